//! CLEAN: its options and clauses in any order, each at most once.

use super::options::check_setting;
use super::{Parse, Parser};
use crate::ast::{Action, Clean, Cut, Loss, Rule, Spanned};
use crate::complaints;
use crate::diagnostic::Diagnostic;
use crate::options::{self, EVIDENCE, FREQ, NEIGHBOURS, NN, Only, Part, TOP};
use crate::value::{Setting, Takes, Value, Whole as _};

impl Parser<'_> {
    /// After the word CLEAN, up to the end of the statement.
    pub(super) fn clean(&mut self) -> Parse<Clean> {
        let mut clean = Clean::default();
        while self.peek().is_some() {
            self.clean_clause(&mut clean)?;
        }
        check_clean(&clean)?;
        Ok(clean)
    }

    fn clean_clause(&mut self, clean: &mut Clean) -> Parse<()> {
        let word = self.word();
        if let Some(part) = word.and_then(|word| options::named(&options::CLEAN, word)) {
            return if part.only == Only::Suspects {
                self.cut(clean, part)
            } else {
                self.option(&mut clean.options, part)
            };
        }
        match word.map(str::to_ascii_uppercase).as_deref() {
            Some("RULE") => {
                self.once(clean.rule.is_some(), "RULE")?;
                clean.rule = Some(self.rule()?);
                Ok(())
            }
            Some("RELABEL") => {
                let start = self.bump();
                let empty = self.take("EMPTY").is_some();
                let node = if empty { Action::RelabelEmpty } else { Action::Relabel };
                self.action(clean, Spanned { node, span: self.since(start) })
            }
            Some("UNLABEL") => {
                let span = self.bump();
                self.action(clean, Spanned { node: Action::Unlabel, span })
            }
            Some("KEEP") => {
                let span =
                    self.two_words("KEEP", "VOTERS", "the images that the rule finds are marked, and still vote")?;
                self.action(clean, Spanned { node: Action::KeepVoters, span })
            }
            Some("DRY") => {
                let span = self.two_words("DRY", "RUN", "report what the rule finds, and change nothing")?;
                if clean.dry_run {
                    return Err(complaints::repeated_clause(span, "DRY RUN"));
                }
                clean.dry_run = true;
                Ok(())
            }
            Some("INTO") => {
                self.once(clean.into.is_some(), "INTO")?;
                clean.into = Some(self.report()?);
                clean.overwrite = self.take("OVERWRITE").is_some();
                Ok(())
            }
            _ => Err(self.no_option("CLEAN", &options::names(&options::CLEAN))),
        }
    }

    /// The name of a report, after INTO.
    pub(super) fn report(&mut self) -> Parse<Spanned<Value<String>>> {
        self.bindable_text("the name of a report", Takes::Text, |typed| format!("write INTO {typed}"))
    }

    fn rule(&mut self) -> Parse<Spanned<Rule>> {
        self.without_equals("RULE", Rule::Suspects.name())?;
        let Some(word) = self.word() else {
            return Err(self.expected("paper or suspects", "write RULE paper or RULE suspects"));
        };
        let Some(node) = Rule::ALL.into_iter().find(|rule| rule.name().eq_ignore_ascii_case(word)) else {
            return Err(complaints::unknown_rule(self.here(), word));
        };
        Ok(Spanned { node, span: self.bump() })
    }

    /// `top=20` or `evidence=0.8`; the name comes next. The place covers all of it.
    fn cut(&mut self, clean: &mut Clean, part: &'static Part) -> Parse<()> {
        let start = self.here();
        if let Some(given) = &clean.cut {
            return Err(complaints::cut_twice(start, part.name, given));
        }
        let node = match self.setting(false, part)?.node {
            Value::Typed(Setting::Number(least)) => Cut::Evidence(Value::Typed(least)),
            Value::Typed(setting) => Cut::Top(Value::Typed(setting.whole().unwrap_or_default())),
            Value::Parameter(parameter) if *part == EVIDENCE => Cut::Evidence(Value::Parameter(parameter)),
            Value::Parameter(parameter) => Cut::Top(Value::Parameter(parameter)),
        };
        clean.cut = Some(Spanned { node, span: self.since(start) });
        Ok(())
    }

    fn action(&self, clean: &mut Clean, action: Spanned<Action>) -> Parse<()> {
        if let Some(given) = &clean.action {
            return Err(complaints::action_twice(&action, given));
        }
        clean.action = Some(action);
        Ok(())
    }
}

/// Options of one rule need that rule: the parser silently ignores nothing. And an image must be able to have as many verified
/// pairs as it needs.
pub(crate) fn check_clean(clean: &Clean) -> Result<(), Diagnostic> {
    let Clean { options, .. } = clean;
    options.iter().try_for_each(|given| check_setting(given.part, &given.value))?;
    if let Some(Spanned { node, span }) = &clean.cut {
        let (part, value) = match *node {
            Cut::Top(images) => {
                (&TOP, Spanned { node: images, span: *span }.map(|images| Setting::Whole(images.wide())))
            }
            Cut::Evidence(least) => (&EVIDENCE, Spanned { node: least, span: *span }.map(Setting::Number)),
        };
        check_setting(part, &value)?;
    }
    let suspects = clean.rule.as_ref().is_some_and(|rule| rule.node == Rule::Suspects);
    let rule = clean.rule.as_ref().map(|rule| rule.span);
    if let Some(cut) = clean.cut.as_ref().filter(|_| !suspects) {
        return Err(complaints::only_of_suspects(cut.span, cut.node.name(), rule));
    }
    if let Some(action) = clean.action.as_ref().filter(|action| action.node.relabels() && !suspects) {
        return Err(complaints::only_of_suspects(action.span, action.node.name(), rule));
    }
    if let Some(given) = options.iter().find(|given| given.part.only == Only::Paper && suspects) {
        return Err(complaints::only_of_paper(given.value.span, given.part.name, rule));
    }
    // A parameter is checked once it has its value.
    let count = |part: &Part| {
        let setting = options.get(part).map_or(part.usual(Loss::default(), false), |given| given.node.typed().copied());
        setting.and_then(Setting::whole)
    };
    let (Some(freq), Some(nn), Some(neighbours)) = (count(&FREQ), count(&NN), count(&NEIGHBOURS)) else {
        return Ok(());
    };
    // The image itself is the first of its neighbours, as in the released code, and makes no pair.
    let compared = nn.min(neighbours.saturating_sub(1));
    match [&FREQ, &NEIGHBOURS, &NN].into_iter().find_map(|part| options.get(part)) {
        Some(given) if freq > compared => Err(complaints::freq_above_neighbours(given.span, freq, compared)),
        _ => Ok(()),
    }
}
