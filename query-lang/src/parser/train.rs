//! TRAIN: its options and clauses in any order, each at most once.

use super::options::check_setting;
use super::{Parse, Parser};
use crate::ast::{Flip, Origin, Spanned, Train};
use crate::complaints;
use crate::diagnostic::Diagnostic;
use crate::options::{self, EPOCHS, LOSS, Only, SCALEUP};
use crate::value::{Setting, Takes, Value};

impl Parser<'_> {
    /// After the word TRAIN, up to the end of the statement.
    pub(super) fn train(&mut self) -> Parse<Train> {
        let mut train = Train::default();
        while self.peek().is_some() {
            self.train_clause(&mut train)?;
        }
        check_train(&train)?;
        Ok(train)
    }

    fn train_clause(&mut self, train: &mut Train) -> Parse<()> {
        let word = self.word();
        if let Some(part) = word.and_then(|word| options::named(&options::TRAIN, word)) {
            return self.option(&mut train.options, part);
        }
        match word.map(str::to_ascii_uppercase).as_deref() {
            Some("FROM") => self.origin(&mut train.from),
            Some("FORCE") => {
                let span = self.bump();
                self.flip(train, Spanned { node: Flip::Always, span })
            }
            Some("DRY") => {
                let span = self.two_words("DRY", "RUN", "train and measure; the active model stays")?;
                self.flip(train, Spanned { node: Flip::Never, span })
            }
            _ => Err(self.no_option("TRAIN", &options::names(&options::TRAIN))),
        }
    }

    /// `FROM 'model.safetensors'`; the word comes next.
    pub(super) fn model_file(&mut self, given: &mut Option<Spanned<Value<String>>>) -> Parse<()> {
        self.once(given.is_some(), "FROM")?;
        self.without_equals("FROM", "'model.safetensors'")?;
        *given = Some(self.weights()?);
        Ok(())
    }

    /// `FROM 'model.safetensors'` or `FROM MODEL 2`; the word comes next.
    fn origin(&mut self, given: &mut Option<Spanned<Origin<Value<String>, Value<u64>>>>) -> Parse<()> {
        self.once(given.is_some(), "FROM")?;
        self.without_equals("FROM", "'model.safetensors'")?;
        *given = Some(if self.is("MODEL") {
            let Spanned { node, span } = self.model_number("FROM", "2")?;
            Spanned { node: Origin::Model(node), span }
        } else {
            let Spanned { node, span } = self.weights()?;
            Spanned { node: Origin::File(node), span }
        });
        Ok(())
    }

    /// The name of a file with weights, after FROM.
    fn weights(&mut self) -> Parse<Spanned<Value<String>>> {
        self.bindable_text("the file of a model", Takes::Text, |typed| format!("write FROM {typed}"))
    }

    fn flip(&self, train: &mut Train, flip: Spanned<Flip>) -> Parse<()> {
        if let Some(given) = &train.flip {
            return Err(complaints::flip_twice(&flip, given));
        }
        train.flip = Some(flip);
        Ok(())
    }
}

/// Options must have values that they take, and must apply: those of TRUNK need TRUNK, the others a loss that takes them.
pub(crate) fn check_train(train: &Train) -> Result<(), Diagnostic> {
    let Train { options, .. } = train;
    options.iter().try_for_each(|given| check_setting(given.part, &given.value))?;
    let (loss, trunk) = (train.loss(), train.trunk());
    let place = |part| options.get(part).map(|value| value.span);
    if let Some(given) = options.iter().find(|given| given.part.only == Only::Trunk && !trunk) {
        return Err(complaints::only_with_trunk(given.value.span, given.part.name));
    }
    if let Some(span) = place(&LOSS).filter(|_| trunk && !loss.has_steps()) {
        return Err(complaints::no_loss_of_a_trunk(span, loss));
    }
    // A parameter is checked once it has its value.
    let epochs = options.get(&EPOCHS).map_or(EPOCHS.usual(loss, trunk), |given| given.node.typed().copied());
    let scaleup = options.get(&SCALEUP).and_then(|given| given.node.typed().copied());
    if let (Some(scaleup), Some(epochs), Some(span)) =
        (scaleup.and_then(Setting::whole), epochs.and_then(Setting::whole), place(&SCALEUP))
        && scaleup > epochs
    {
        return Err(complaints::scaleup_above_epochs(span, scaleup, epochs, place(&EPOCHS)));
    }
    match options.iter().find(|given| !given.part.suits(loss)) {
        Some(given) => Err(complaints::not_of_loss(given.value.span, given.part, loss, place(&LOSS))),
        None => Ok(()),
    }
}
