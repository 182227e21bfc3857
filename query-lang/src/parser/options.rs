//! Options: a name, `=` and a value, each at most once; and the statements that are made of them.

use std::ops::RangeInclusive;

use super::{Parse, Parser};
use crate::ast::{Span, Spanned};
use crate::complaints;
use crate::diagnostic::Diagnostic;
use crate::lexer::Token;
use crate::print::{interval, number};
use crate::value::{Interval, Value, Whole};
use crate::words;

impl Parser<'_> {
    /// `nn=1000`, a whole number of a range that has no negative ones; the word comes next.
    pub(super) fn whole_option<T: Whole>(
        &mut self,
        given: &mut Option<Spanned<Value<T>>>,
        name: &'static str,
        usual: T,
        range: RangeInclusive<T>,
    ) -> Parse<()> {
        let example = format!("{name}={usual}");
        self.assignment(given.is_some(), name, &example)?;
        *given = Some(self.whole(name, &example, range)?);
        Ok(())
    }

    /// `rate=0.001`; the word comes next.
    pub(super) fn number_option(
        &mut self,
        given: &mut Option<Spanned<Value<f64>>>,
        name: &'static str,
        usual: f64,
        range: Interval,
    ) -> Parse<()> {
        let example = format!("{name}={}", number(usual));
        self.assignment(given.is_some(), name, &example)?;
        let outside = |span| complaints::number_range(span, name, &interval(range), &example);
        *given = Some(self.finite(name, &example, range, outside)?);
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
