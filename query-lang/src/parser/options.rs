//! Options: a name, `=` and a value, each at most once; and the statements that are made of them.

use std::fmt::Display;
use std::ops::{Bound, RangeBounds as _, RangeInclusive};
use std::str::FromStr;

use super::{Parse, Parser};
use crate::ast::{Span, Spanned};
use crate::complaints;
use crate::diagnostic::Diagnostic;
use crate::lexer::Token;
use crate::print::number;
use crate::words;

/// The numbers that an option takes; both ends are there.
pub(super) type Interval = (Bound<f64>, Bound<f64>);

impl Parser<'_> {
    /// `nn=1000`, a whole number of a range that has no negative ones; the word comes next.
    pub(super) fn whole_option<T>(
        &mut self,
        given: &mut Option<Spanned<T>>,
        name: &str,
        usual: T,
        range: RangeInclusive<T>,
    ) -> Parse<()>
    where
        T: FromStr + PartialOrd + Display,
    {
        let example = format!("{name}={usual}");
        self.assignment(given.is_some(), name, &example)?;
        *given = Some(self.whole(name, &example, range)?);
        Ok(())
    }

    /// `rate=0.001`; the word comes next.
    pub(super) fn number_option(
        &mut self,
        given: &mut Option<Spanned<f64>>,
        name: &str,
        usual: f64,
        range: Interval,
    ) -> Parse<()> {
        let example = format!("{name}={}", number(usual));
        self.assignment(given.is_some(), name, &example)?;
        let outside = |span| complaints::number_range(span, name, &in_words(range), &example);
        *given = Some(self.finite(name, &example, |value| range.contains(&value), outside)?);
        Ok(())
    }

    /// `augment=soft`, one of some words; the option's name comes next.
    pub(super) fn choice_option<T, const N: usize>(
        &mut self,
        given: &mut Option<Spanned<T>>,
        name: &str,
        all: [(&'static str, T); N],
    ) -> Parse<()> {
        let words: Vec<&'static str> = all.iter().map(|(word, _)| *word).collect();
        self.assignment(given.is_some(), name, &format!("{name}={}", words.first().copied().unwrap_or_default()))?;
        let Some(word) = self.word() else {
            return Err(self.expected(&format!("what {name} is"), format!("it is one of {}", words.join(", "))));
        };
        let Some((_, node)) = all.into_iter().find(|(of, _)| of.eq_ignore_ascii_case(word)) else {
            return Err(complaints::unknown_choice(self.here(), word, name, &words));
        };
        *given = Some(Spanned { node, span: self.bump() });
        Ok(())
    }

    /// Two words such as DRY RUN, of which the first one comes next; `why` is what they do, for the help.
    pub(super) fn two_words(&mut self, first: &str, second: &str, why: &str) -> Parse<Span> {
        let start = self.bump();
        if self.take(second).is_none() {
            return Err(self.expected(second, format!("{first} {second}: {why}")));
        }
        Ok(self.since(start))
    }

    /// What to say where a clause takes its value without `=` and `=` comes next.
    pub(super) fn without_equals(&self, clause: &str, example: &str) -> Parse<()> {
        if self.peek() == Some(&Token::Equals) {
            return Err(complaints::equals_forbidden(self.here(), clause, example));
        }
        Ok(())
    }

    /// What to say about a token where an option or a clause of `statement` should begin.
    pub(super) fn no_option(&self, statement: &str, clauses: &[&str]) -> Diagnostic {
        self.complain(|span| match self.word() {
            Some(word) if words::contains(words::STATEMENTS, word) => complaints::missing_semicolon(span, word),
            Some(word) => complaints::unknown_clause(span, word, statement, clauses),
            None => complaints::unexpected(span, &self.found().unwrap_or_default(), statement),
        })
    }
}

/// `lie in [0, 1.5]`, or `be more than 0 and at most 10`: what a number must do.
fn in_words((start, end): Interval) -> String {
    let edge = |edge: Bound<f64>| match edge {
        Bound::Included(value) | Bound::Excluded(value) => number(value),
        Bound::Unbounded => "anything".to_owned(),
    };
    match start {
        Bound::Excluded(_) => format!("be more than {} and at most {}", edge(start), edge(end)),
        _ => format!("lie in [{}, {}]", edge(start), edge(end)),
    }
}
