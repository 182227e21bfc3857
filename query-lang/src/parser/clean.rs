//! CLEAN: its options and clauses in any order, each at most once.

use std::ops::Bound::Included;

use super::{Parse, Parser};
use crate::ast::{Action, Clean, Cut, Rule, Spanned};
use crate::complaints;
use crate::diagnostic::Diagnostic;
use crate::limits::{
    DEFAULT_EVIDENCE, DEFAULT_FREQ, DEFAULT_INLIERS, DEFAULT_NEIGHBOURS, DEFAULT_NN, DEFAULT_SUSPECTS, MAX_COUNT,
    MAX_FREQ, MAX_INLIERS, MAX_NEIGHBOURS, MAX_NN, MIN_INLIERS,
};
use crate::value::{Takes, Value};
use crate::words;

impl Parser<'_> {
    /// Behind the word CLEAN, up to the end of the statement.
    pub(super) fn clean(&mut self) -> Parse<Clean> {
        let mut clean = Clean::default();
        while self.peek().is_some() {
            self.clean_clause(&mut clean)?;
        }
        check_clean(&clean)?;
        Ok(clean)
    }

    fn clean_clause(&mut self, clean: &mut Clean) -> Parse<()> {
        let word = self.word().map(str::to_ascii_uppercase);
        match word.as_deref() {
            Some("NN") => self.whole_option(&mut clean.nn, "nn", DEFAULT_NN, 1..=MAX_NN),
            Some("NEIGHBOURS") => {
                self.whole_option(&mut clean.neighbours, "neighbours", DEFAULT_NEIGHBOURS, 1..=MAX_NEIGHBOURS)
            }
            Some("INLIERS") => {
                self.whole_option(&mut clean.inliers, "inliers", DEFAULT_INLIERS, MIN_INLIERS..=MAX_INLIERS)
            }
            Some("FREQ") => self.whole_option(&mut clean.freq, "freq", DEFAULT_FREQ, 1..=MAX_FREQ),
            Some("RULE") => {
                self.once(clean.rule.is_some(), "RULE")?;
                clean.rule = Some(self.rule()?);
                Ok(())
            }
            Some("TOP" | "EVIDENCE") => self.cut(clean),
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
                let span = self.two_words("KEEP", "VOTERS", "what the rule finds is marked and votes as before")?;
                self.action(clean, Spanned { node: Action::KeepVoters, span })
            }
            Some("THUMBNAILS") => {
                let span = self.here();
                self.once(clean.thumbnails.is_some(), "THUMBNAILS")?;
                clean.thumbnails = Some(span);
                Ok(())
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
            _ => Err(self.no_option("CLEAN", words::CLEANINGS)),
        }
    }

    /// The name of a report, behind INTO.
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

    /// `top=20` or `evidence=0.8`, one of which comes next; its place is the whole of it.
    fn cut(&mut self, clean: &mut Clean) -> Parse<()> {
        let start = self.here();
        let (top, (mut count, mut evidence)) = (self.is("TOP"), (None, None));
        if let Some(given) = &clean.cut {
            return Err(complaints::cut_twice(start, if top { "top" } else { "evidence" }, given));
        }
        if top {
            self.whole_option(&mut count, "top", DEFAULT_SUSPECTS, 1..=MAX_COUNT)?;
        } else {
            self.number_option(&mut evidence, "evidence", DEFAULT_EVIDENCE, (Included(0.0), Included(1.0)))?;
        }
        let node = count.map(|count| Cut::Top(count.node)).or(evidence.map(|evidence| Cut::Evidence(evidence.node)));
        clean.cut = node.map(|node| Spanned { node, span: self.since(start) });
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

/// What belongs to one rule needs that rule: nothing typed is passed over in silence. And an image must be able to have as many verified pairs as it needs.
pub(crate) fn check_clean(clean: &Clean) -> Result<(), Diagnostic> {
    let suspects = clean.rule.as_ref().is_some_and(|rule| rule.node == Rule::Suspects);
    let rule = clean.rule.as_ref().map(|rule| rule.span);
    if let Some(cut) = clean.cut.as_ref().filter(|_| !suspects) {
        return Err(complaints::only_of_suspects(cut.span, cut.node.name(), rule));
    }
    if let Some(action) = clean.action.as_ref().filter(|action| action.node.relabels() && !suspects) {
        return Err(complaints::only_of_suspects(action.span, action.node.name(), rule));
    }
    let of_the_paper =
        [("nn", &clean.nn), ("neighbours", &clean.neighbours), ("inliers", &clean.inliers), ("freq", &clean.freq)];
    let of_the_paper = of_the_paper.map(|(name, given)| (name, given.as_ref().map(|given| given.span)));
    let of_the_paper = of_the_paper.into_iter().chain([("THUMBNAILS", clean.thumbnails)]);
    if let Some((name, span)) = of_the_paper.into_iter().find_map(|(name, span)| Some((name, span?)))
        && suspects
    {
        return Err(complaints::only_of_paper(span, name, rule));
    }
    // A parameter is looked at when it has its value.
    let count = |given: &Option<Spanned<Value<usize>>>, usual| match given {
        None => Some(usual),
        Some(given) => given.node.typed().copied(),
    };
    let counts = (count(&clean.freq, DEFAULT_FREQ), count(&clean.nn, DEFAULT_NN));
    let (Some(freq), Some(nn)) = counts else { return Ok(()) };
    let Some(neighbours) = count(&clean.neighbours, DEFAULT_NEIGHBOURS) else { return Ok(()) };
    // The image itself is the first of its neighbours, as released, and no pair.
    let compared = nn.min(neighbours.saturating_sub(1));
    match [&clean.freq, &clean.neighbours, &clean.nn].into_iter().flatten().next() {
        Some(given) if freq > compared => Err(complaints::freq_above_neighbours(given.span, freq, compared)),
        _ => Ok(()),
    }
}
