//! The values of statements: images, texts, numbers and literal vectors, with the checks that need no database.

use std::ops::Bound::Included;
use std::ops::{RangeBounds as _, RangeInclusive};

use super::{Parse, Parser};
use crate::ast::{Image, Span, Spanned};
use crate::complaints;
use crate::diagnostic::Diagnostic;
use crate::lexer::Token;
use crate::limits::{MAX_COUNT, MAX_TAU, MAX_VOTERS, MIN_TAU};
use crate::print::quoted;
use crate::value::{Interval, Parameter, Takes, Value, Whole};
use crate::words;

impl Parser<'_> {
    /// An image of any kind; `example` is a whole statement.
    pub(super) fn image(&mut self, example: &str) -> Parse<Spanned<Image>> {
        let start = self.here();
        let node = match self.peek() {
            Some(Token::Text(_)) => Image::File(self.text("the name of a photo", |_| String::new())?.node),
            Some(Token::Parameter) => Image::Parameter(self.parameter()?),
            Some(Token::Bare) => {
                let typed = complaints::shown(self.typed(start));
                let help = format!("a photo: {0}; an image with this key: ID {0}", quoted(&typed));
                return Err(complaints::missing_quotes(start, &typed, help));
            }
            Some(Token::Number) => {
                let help = format!("an image with this key: ID {}", quoted(&complaints::shown(self.typed(start))));
                return Err(self.expected("an image", help));
            }
            Some(Token::Word) => self.image_word()?,
            _ => return Err(self.expected("an image", format!("for example {example}"))),
        };
        Ok(Spanned { node, span: self.since(start) })
    }

    fn image_word(&mut self) -> Parse<Image> {
        if self.take("ID").is_some() {
            return Ok(Image::Key(self.bindable_text("a key", Takes::Key, |typed| format!("write ID {typed}"))?.node));
        }
        if self.take("QUERIES").is_some() {
            let fix = |typed: &str| format!("write QUERIES {typed}");
            return Ok(Image::Queries(self.bindable_text("the name of a file", Takes::Text, fix)?.node));
        }
        if let Some(span) = self.take("VECTOR") {
            return Ok(Image::Vector(self.vector(span)?));
        }
        let span = self.here();
        let word = self.typed(span);
        if words::is_reserved(word) {
            return Err(complaints::reserved_name(span, word));
        }
        self.bump();
        Ok(Image::Name(word.to_owned()))
    }

    /// The position of a parameter, which comes next.
    fn parameter(&mut self) -> Parse<usize> {
        let span = self.here();
        let digits = &self.typed(span)[1..];
        match digits.parse() {
            Ok(number @ 1..=MAX_COUNT) => {
                self.bump();
                Ok(number)
            }
            Ok(0) => Err(complaints::parameter_form(span, digits)),
            _ => Err(complaints::too_large(span, "the position of a parameter", MAX_COUNT)),
        }
    }

    /// A parameter instead of a value, if one comes next.
    pub(super) fn placeholder<T>(&mut self, what: &'static str, takes: Takes) -> Parse<Option<Spanned<Value<T>>>> {
        if self.peek() != Some(&Token::Parameter) {
            return Ok(None);
        }
        let span = self.here();
        let node = Value::Parameter(Parameter { number: self.parameter()?, what, takes });
        Ok(Some(Spanned { node, span }))
    }

    /// Non-empty text in quotes, or a parameter; `fix` as for [`Parser::text`].
    pub(super) fn bindable_text(
        &mut self,
        what: &'static str,
        takes: Takes,
        fix: impl Fn(&str) -> String,
    ) -> Parse<Spanned<Value<String>>> {
        if let Some(parameter) = self.placeholder(what, takes)? {
            return Ok(parameter);
        }
        let Spanned { node, span } = self.text(what, fix)?;
        Ok(Spanned { node: Value::Typed(node), span })
    }

    /// `[0.1, -2e-3]`, after the word VECTOR.
    fn vector(&mut self, word: Span) -> Parse<Vec<f32>> {
        const EXAMPLE: &str = "write VECTOR [0.1, 0.2]";
        if !self.take_token(&Token::OpenBracket) {
            return Err(self.expected("'['", EXAMPLE));
        }
        if self.take_token(&Token::CloseBracket) {
            return Err(complaints::vector_empty(self.since(word)));
        }
        let mut values = Vec::new();
        loop {
            values.push(self.vector_value()?);
            if self.take_token(&Token::CloseBracket) {
                break;
            }
            if !self.take_token(&Token::Comma) {
                return Err(match self.peek() {
                    Some(Token::Number) => complaints::missing_comma(self.here(), "values"),
                    _ => self.expected("',' or ']'", EXAMPLE),
                });
            }
        }
        if values.iter().all(|value| *value == 0.0) {
            return Err(complaints::vector_zero(self.since(word)));
        }
        Ok(values)
    }

    fn vector_value(&mut self) -> Parse<f32> {
        let span = self.here();
        if matches!(self.peek(), Some(Token::Number | Token::Word | Token::Bare))
            && let Ok(value) = self.typed(span).parse::<f32>()
        {
            if !value.is_finite() {
                return Err(complaints::not_finite(
                    span,
                    "a value of VECTOR",
                    "values are 32-bit floats, up to 3.4e38",
                ));
            }
            self.bump();
            return Ok(value);
        }
        Err(self.expected("a number", "write VECTOR [0.1, 0.2]"))
    }

    /// A whole number in 1..=MAX_COUNT.
    fn count(&mut self, what: &'static str, example: &str) -> Parse<Spanned<Value<usize>>> {
        self.whole(what, example, 1..=MAX_COUNT)
    }

    /// A whole number of a range without negative numbers, or a parameter.
    pub(super) fn whole<T: Whole>(
        &mut self,
        what: &'static str,
        example: &str,
        range: RangeInclusive<T>,
    ) -> Parse<Spanned<Value<T>>> {
        let takes = Takes::Whole { least: range.start().wide(), most: range.end().wide() };
        if let Some(parameter) = self.placeholder(what, takes)? {
            return Ok(parameter);
        }
        let span = self.here();
        if self.peek() != Some(&Token::Number) {
            return Err(self.expected("a whole number", format!("for example {example}")));
        }
        let typed = self.typed(span);
        let digits = typed.strip_prefix('-').unwrap_or(typed);
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(complaints::not_whole(span, what, example));
        }
        if typed.starts_with('-') {
            return Err(complaints::too_small(span, what, range.start(), example));
        }
        match typed.parse() {
            Ok(node) if range.contains(&node) => Ok(Spanned { node: Value::Typed(node), span: self.bump() }),
            Ok(node) if node < *range.start() => Err(complaints::too_small(span, what, range.start(), example)),
            // A number with too many digits for a machine word is too large as well.
            _ => Err(complaints::too_large(span, what, range.end())),
        }
    }

    /// `K 100`, `LIMIT 10`, `EF 200`: a word and a number without `=`; the word comes next.
    pub(super) fn counted_clause(
        &mut self,
        repeated: bool,
        what: &'static str,
        example: &str,
    ) -> Parse<Spanned<Value<usize>>> {
        // This comes first, because `K 100 .. k=3` is a misplaced k and not a second K.
        if self.equals_follows() {
            self.bump();
            let equals = self.bump();
            let typed = complaints::shown(self.typed(self.here()));
            let number = if matches!(self.peek(), Some(Token::Number | Token::Parameter)) { &typed } else { example };
            return Err(complaints::equals_forbidden(equals, what, number));
        }
        let span = self.bump();
        if repeated {
            return Err(complaints::repeated_clause(span, what));
        }
        self.count(what, &format!("{what} {example}"))
    }

    /// `k=3`: the word comes next.
    pub(super) fn assigned_count(&mut self, repeated: bool, what: &str) -> Parse<Spanned<Value<usize>>> {
        const EXAMPLE: &str = "k=3";
        self.assignment(repeated, what, EXAMPLE)?;
        self.whole("k", EXAMPLE, 1..=MAX_VOTERS)
    }

    /// `tau=0.6`: the word comes next.
    pub(super) fn tau(&mut self, repeated: bool) -> Parse<Spanned<Value<f64>>> {
        const EXAMPLE: &str = "tau=0.6";
        self.assignment(repeated, "tau", EXAMPLE)?;
        self.finite("tau", EXAMPLE, (Included(MIN_TAU), Included(MAX_TAU)), complaints::tau_range)
    }

    /// A number of a range, or a parameter; `outside` words the diagnostic for others.
    pub(super) fn finite(
        &mut self,
        what: &'static str,
        example: &str,
        range: Interval,
        outside: impl Fn(Span) -> Diagnostic,
    ) -> Parse<Spanned<Value<f64>>> {
        if let Some(parameter) = self.placeholder(what, Takes::Number(range))? {
            return Ok(parameter);
        }
        let help = format!("for example {example}");
        let span = self.here();
        let node = match self.peek() {
            Some(Token::Number | Token::Word | Token::Bare) => self.typed(span).parse::<f64>().ok(),
            _ => None,
        };
        match node {
            None => Err(self.expected("a number", help)),
            Some(node) if range.contains(&node) => Ok(Spanned { node: Value::Typed(node), span: self.bump() }),
            // `1e999` is a number, but out of range; `inf` and `nan` are not numbers.
            Some(_) if self.peek() == Some(&Token::Number) => Err(outside(span)),
            Some(_) => Err(complaints::not_finite(span, what, &help)),
        }
    }

    /// The word and `=`; the word comes next.
    pub(super) fn assignment(&mut self, repeated: bool, what: &str, example: &str) -> Parse<()> {
        if !self.equals_follows() {
            return Err(complaints::equals_missing(self.here(), what, example));
        }
        let span = self.bump();
        if repeated {
            return Err(complaints::repeated_clause(span, what));
        }
        self.bump();
        Ok(())
    }
}

/// PUT stores one new image: no file of queries, and no stored image.
pub(super) fn check_new_image(image: &Spanned<Image>) -> Parse<()> {
    match image.node {
        Image::Queries(_) | Image::Key(_) => Err(complaints::put_source(image.span)),
        _ => Ok(()),
    }
}
