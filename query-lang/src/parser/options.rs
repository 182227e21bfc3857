//! Options: a name, `=` and a value, each at most once; and the statements that consist of them.

use std::ops::RangeBounds as _;

use super::{Parse, Parser};
use crate::ast::{Options, Span, Spanned};
use crate::complaints;
use crate::diagnostic::Diagnostic;
use crate::lexer::Token;
use crate::options::{Form, Part};
use crate::print::{example_of, interval};
use crate::value::{Setting, Value};
use crate::words;

impl Parser<'_> {
    /// An option of a table; its name comes next.
    pub(super) fn option(&mut self, options: &mut Options, part: &'static Part) -> Parse<()> {
        let repeated = options.has(part);
        let value = if matches!(part.form, Form::Flag) {
            let span = self.here();
            self.once(repeated, part.name)?;
            Spanned { node: Value::Typed(Setting::Set), span }
        } else {
            self.setting(repeated, part)?
        };
        options.set(part, value);
        Ok(())
    }

    /// `nn=1000`, `rate=0.001`, `augment=soft`; the name comes next.
    pub(super) fn setting(&mut self, repeated: bool, part: &'static Part) -> Parse<Spanned<Value<Setting>>> {
        let example = example_of(part);
        self.assignment(repeated, part.name, &example)?;
        match &part.form {
            Form::Whole { least, most } => Ok(self.whole(part.name, &example, *least..=*most)?.map(Setting::Whole)),
            Form::Number(range) => {
                let outside = |span| complaints::number_range(span, part.name, &interval(*range), &example);
                Ok(self.finite(part.name, &example, *range, outside)?.map(Setting::Number))
            }
            Form::OneOf(words) => self.choice(part, &words()),
            Form::Flag | Form::Clause(_) => Err(self.expected(part.name, example)),
        }
    }

    /// One of some words, after `=`.
    fn choice(&mut self, part: &'static Part, words: &[&'static str]) -> Parse<Spanned<Value<Setting>>> {
        let Some(word) = self.word() else {
            let (what, help) = complaints::choice(part, words);
            return Err(self.expected(&what, help));
        };
        let Some(node) = words.iter().find(|of| of.eq_ignore_ascii_case(word)) else {
            return Err(complaints::unknown_choice(self.here(), word, part, words));
        };
        Ok(Spanned { node: Value::Typed(Setting::Word(node)), span: self.bump() })
    }

    /// Two words such as DRY RUN, of which the first one comes next; `why` is their effect, for the help.
    pub(super) fn two_words(&mut self, first: &str, second: &str, why: &str) -> Parse<Span> {
        let start = self.bump();
        if self.take(second).is_none() {
            return Err(self.expected(second, format!("{first} {second}: {why}")));
        }
        Ok(self.since(start))
    }

    /// The diagnostic for `=` after a clause that takes its value without it.
    pub(super) fn without_equals(&self, clause: &str, example: &str) -> Parse<()> {
        if self.peek() == Some(&Token::Equals) {
            return Err(complaints::equals_forbidden(self.here(), clause, example));
        }
        Ok(())
    }

    /// The diagnostic for a token where an option or a clause of `statement` should start.
    pub(super) fn no_option(&self, statement: &str, clauses: &[&str]) -> Diagnostic {
        self.complain(|span| match self.word() {
            Some(word) if words::contains(words::STATEMENTS, word) => complaints::missing_semicolon(span, word),
            Some(word) => complaints::unknown_clause(span, word, statement, clauses),
            None => complaints::unexpected(span, &self.found().unwrap_or_default(), statement),
        })
    }
}

/// Whether an option of a statement that a program built has a value that it takes. A parameter is checked once it has its value.
pub(super) fn check_setting(part: &Part, value: &Spanned<Value<Setting>>) -> Parse<()> {
    let Value::Typed(setting) = value.node else { return Ok(()) };
    let (span, example) = (value.span, example_of(part));
    match (&part.form, setting) {
        (Form::Whole { least, most }, Setting::Whole(number)) => match number {
            number if number < *least => Err(complaints::too_small(span, part.name, least, &example)),
            number if number > *most => Err(complaints::too_large(span, part.name, most)),
            _ => Ok(()),
        },
        (Form::Number(_), Setting::Number(number)) if !number.is_finite() => {
            Err(complaints::not_finite(span, part.name, &format!("for example {example}")))
        }
        (Form::Number(range), Setting::Number(number)) if !range.contains(&number) => {
            Err(complaints::number_range(span, part.name, &interval(*range), &example))
        }
        (Form::OneOf(words), Setting::Word(word)) if !words().contains(&word) => {
            Err(complaints::unknown_choice(span, word, part, &words()))
        }
        (Form::Number(_), Setting::Number(_)) | (Form::OneOf(_), Setting::Word(_)) | (Form::Flag, Setting::Set) => {
            Ok(())
        }
        _ => Err(complaints::expected(span, &example, Some(setting.to_string()), format!("write {example}"))),
    }
}
