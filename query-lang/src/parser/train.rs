//! TRAIN: its options and clauses in any order, each at most once.

use std::ops::Bound::{Excluded, Included};

use super::{Parse, Parser};
use crate::ast::{Augment, Flip, Gem, Loss, Origin, Spanned, Train};
use crate::complaints;
use crate::diagnostic::Diagnostic;
use crate::limits::{
    DEFAULT_BATCH, DEFAULT_DIMENSION, DEFAULT_EPOCHS, DEFAULT_MARGIN, DEFAULT_RATE, DEFAULT_SCALE, DEFAULT_SCALEUP,
    DEFAULT_SEED, DEFAULT_TRUNK_EPOCHS, DEFAULT_VALIDATION, MAX_BATCH, MAX_DIMENSION, MAX_EPOCHS, MAX_MARGIN, MAX_RATE,
    MAX_SCALE, MAX_VALIDATION, MIN_BATCH, MIN_DIMENSION,
};
use crate::value::{Takes, Value};
use crate::words;

impl Parser<'_> {
    /// Behind the word TRAIN, up to the end of the statement.
    pub(super) fn train(&mut self) -> Parse<Train> {
        let mut train = Train::default();
        while self.peek().is_some() {
            self.train_clause(&mut train)?;
        }
        check_train(&train)?;
        Ok(train)
    }

    fn train_clause(&mut self, train: &mut Train) -> Parse<()> {
        let word = self.word().map(str::to_ascii_uppercase);
        match word.as_deref() {
            Some("LOSS") => {
                self.assignment(train.loss.is_some(), "loss", "loss=arcface")?;
                train.loss = Some(self.loss()?);
                Ok(())
            }
            Some("DIM") => {
                self.whole_option(&mut train.dimension, "dim", DEFAULT_DIMENSION, MIN_DIMENSION..=MAX_DIMENSION)
            }
            Some("EPOCHS") => self.whole_option(&mut train.epochs, "epochs", DEFAULT_EPOCHS, 1..=MAX_EPOCHS),
            Some("BATCH") => self.whole_option(&mut train.batch, "batch", DEFAULT_BATCH, MIN_BATCH..=MAX_BATCH),
            Some("RATE") => {
                self.number_option(&mut train.rate, "rate", DEFAULT_RATE, (Excluded(0.0), Included(MAX_RATE)))
            }
            Some("MARGIN") => {
                self.number_option(&mut train.margin, "margin", DEFAULT_MARGIN, (Included(0.0), Included(MAX_MARGIN)))
            }
            Some("SCALE") => {
                self.number_option(&mut train.scale, "scale", DEFAULT_SCALE, (Excluded(0.0), Included(MAX_SCALE)))
            }
            Some("SEED") => self.whole_option(&mut train.seed, "seed", DEFAULT_SEED, 0..=u64::MAX),
            Some("VALIDATION") => {
                let range = (Included(0.0), Included(MAX_VALIDATION));
                self.number_option(&mut train.validation, "validation", DEFAULT_VALIDATION, range)
            }
            Some("BALANCE") => {
                self.once(train.balance, "BALANCE")?;
                train.balance = true;
                Ok(())
            }
            Some("TRUNK") => {
                self.once(train.trunk, "TRUNK")?;
                train.trunk = true;
                Ok(())
            }
            Some("AUGMENT") => {
                self.choice_option(&mut train.augment, "augment", Augment::ALL.map(|it| (it.name(), it)))
            }
            Some("SCALEUP") => self.whole_option(&mut train.scaleup, "scaleup", DEFAULT_SCALEUP, 0..=MAX_EPOCHS),
            Some("GEM") => self.choice_option(&mut train.gem, "gem", Gem::ALL.map(|it| (it.name(), it))),
            Some("FROM") => self.origin(&mut train.from),
            Some("FORCE") => {
                let span = self.bump();
                self.flip(train, Spanned { node: Flip::Always, span })
            }
            Some("DRY") => {
                let span = self.two_words("DRY", "RUN", "train and measure, and go on with the present model")?;
                self.flip(train, Spanned { node: Flip::Never, span })
            }
            _ => Err(self.no_option("TRAIN", words::TRAININGS)),
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

    /// The name of a file with weights, behind FROM.
    fn weights(&mut self) -> Parse<Spanned<Value<String>>> {
        self.bindable_text("the file of a model", Takes::Text, |typed| format!("write FROM {typed}"))
    }

    fn loss(&mut self) -> Parse<Spanned<Loss>> {
        let Some(word) = self.word() else {
            return Err(self.expected("a loss", complaints::loss_forms()));
        };
        let Some(node) = Loss::ALL.into_iter().find(|loss| loss.name().eq_ignore_ascii_case(word)) else {
            return Err(complaints::unknown_loss(self.here(), word));
        };
        Ok(Spanned { node, span: self.bump() })
    }

    fn flip(&self, train: &mut Train, flip: Spanned<Flip>) -> Parse<()> {
        if let Some(given) = &train.flip {
            return Err(complaints::flip_twice(&flip, given));
        }
        train.flip = Some(flip);
        Ok(())
    }
}

/// A margin and a scale are given to losses that take one, the options of steps to losses that are learnt in steps.
pub(crate) fn check_train(train: &Train) -> Result<(), Diagnostic> {
    let of_trunk = [
        ("augment", train.augment.as_ref().map(|part| part.span)),
        ("scaleup", train.scaleup.as_ref().map(|part| part.span)),
        ("gem", train.gem.as_ref().map(|part| part.span)),
    ];
    if let Some((name, span)) = of_trunk.into_iter().find_map(|(name, span)| Some((name, span?)))
        && !train.trunk
    {
        return Err(complaints::only_with_trunk(span, name));
    }
    if let Some(loss) = train.loss.as_ref().filter(|loss| train.trunk && !loss.node.has_steps()) {
        return Err(complaints::no_loss_of_a_trunk(loss.span, loss.node));
    }
    // A parameter is looked at when it has its value.
    let epochs = train.epochs.as_ref().map_or(Some(DEFAULT_TRUNK_EPOCHS), |epochs| epochs.node.typed().copied());
    if let (Some(Spanned { node: Value::Typed(scaleup), span }), Some(epochs)) = (&train.scaleup, epochs)
        && *scaleup > epochs
    {
        let given = train.epochs.as_ref().map(|epochs| epochs.span);
        return Err(complaints::scaleup_above_epochs(*span, *scaleup, epochs, given));
    }
    let loss = train.loss.as_ref().map_or(Loss::of_training(train.trunk), |loss| loss.node);
    let other = train.loss.as_ref().map(|loss| loss.span);
    let steps = [
        ("epochs", train.epochs.as_ref().map(|epochs| epochs.span)),
        ("batch", train.batch.as_ref().map(|batch| batch.span)),
        ("rate", train.rate.as_ref().map(|rate| rate.span)),
    ];
    if let Some((name, span)) = steps.into_iter().find_map(|(name, span)| Some((name, span?)))
        && !loss.has_steps()
    {
        return Err(complaints::not_of_loss(span, name, loss, other));
    }
    match (&train.margin, &train.scale) {
        (Some(margin), _) if loss.default_margin().is_none() => {
            Err(complaints::not_of_loss(margin.span, "margin", loss, other))
        }
        (_, Some(scale)) if loss.default_scale().is_none() => {
            Err(complaints::not_of_loss(scale.span, "scale", loss, other))
        }
        _ => Ok(()),
    }
}
