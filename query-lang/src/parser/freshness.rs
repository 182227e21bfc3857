//! FRESH, SINCE SEQ and STALE: how far an answer's predictions may lag the last write. A statement takes at most one of the
//! three.

use std::time::Duration;

use super::{Parse, Parser};
use crate::ast::{Freshness, Span, Spanned};
use crate::complaints;
use crate::lexer::Token;
use crate::limits::MAX_LAG;
use crate::print::lag;
use crate::value::Value;
use crate::words;

/// Units of a lag, and their milliseconds.
const UNITS: [(&str, u64); 3] = [("ms", 1), ("s", 1_000), ("m", 60_000)];

/// What may be typed instead of `<=`; most of these are no tokens of the language.
const OTHER_COMPARISONS: [&str; 4] = ["<", ">", "=", "≤"];

impl Parser<'_> {
    /// Whether one of the three clauses comes next.
    pub(super) fn is_freshness(&self) -> bool {
        words::FRESHNESS.iter().any(|clause| self.is(clause))
    }

    /// One of the three, which comes next; `given` is the earlier one.
    pub(super) fn freshness(
        &mut self,
        given: Option<&Spanned<Freshness<Value<u64>>>>,
    ) -> Parse<Spanned<Freshness<Value<u64>>>> {
        let start = self.bump();
        let keyword = self.typed(start).to_ascii_uppercase();
        if let Some(given) = given {
            return Err(complaints::freshness_twice(start, &keyword, given));
        }
        let node = match keyword.as_str() {
            "SINCE" => Freshness::Since(self.sequence()?),
            "STALE" => Freshness::Within(self.accepted_lag()?),
            _ => Freshness::Fresh,
        };
        Ok(Spanned { node, span: self.since(start) })
    }

    /// `SEQ 5`, after the word SINCE.
    fn sequence(&mut self) -> Parse<Value<u64>> {
        const EXAMPLE: &str = "SINCE SEQ 5";
        if self.take("SEQ").is_none() {
            let typed = complaints::shown(self.typed(self.here()));
            let help = match self.peek() {
                Some(Token::Number) => format!("write SINCE SEQ {typed}"),
                _ => format!("for example {EXAMPLE}"),
            };
            return Err(self.expected("SEQ and a sequence number", help));
        }
        if self.peek() == Some(&Token::Equals) {
            let equals = self.bump();
            let typed = complaints::shown(self.typed(self.here()));
            let number = if self.peek() == Some(&Token::Number) { &typed } else { "5" };
            return Err(complaints::equals_forbidden(equals, "SINCE SEQ", number));
        }
        Ok(self.whole("the number of SINCE SEQ", EXAMPLE, 0..=u64::MAX)?.node)
    }

    /// `<= 5s`, after the word STALE.
    fn accepted_lag(&mut self) -> Parse<Duration> {
        if self.take_token(&Token::AtMost) {
            return self.lag();
        }
        let span = self.here();
        if matches!(self.peek(), Some(Token::Bad(_))) && !OTHER_COMPARISONS.contains(&self.typed(span)) {
            return Err(self.expected("<= and a lag", "write STALE <= 5s"));
        }
        // Whatever is typed instead of `<=`, the help shows the lag that follows it, if there is one.
        while OTHER_COMPARISONS.contains(&self.typed(self.here())) {
            self.bump();
        }
        let right = self.lag().map_or_else(|_| "5s".to_owned(), lag);
        Err(complaints::stale_form(span, &right))
    }

    /// `5s` or `500 ms`.
    fn lag(&mut self) -> Parse<Duration> {
        const HELP: &str = "for example STALE <= 5s; units are ms, s and m";
        let start = self.here();
        let typed = self.typed(start);
        // A number directly followed by its unit is one token.
        let unit_at = typed.find(|character: char| !character.is_ascii_digit() && !"+-.".contains(character));
        let (number, unit, unit_span) = match self.peek() {
            Some(Token::Number) => {
                self.bump();
                let span = self.here();
                let Some(word) = self.word() else {
                    return Err(self.expected("a unit of time", HELP));
                };
                (typed, word, span)
            }
            Some(Token::Bare) if typed[..unit_at.unwrap_or(0)].contains(|digit: char| digit.is_ascii_digit()) => {
                let (number, unit) = typed.split_at(unit_at.unwrap_or(0));
                (number, unit, Span { start: start.start + number.len(), end: start.end })
            }
            _ => return Err(self.expected("a lag", HELP)),
        };
        let Some((_, milliseconds)) = UNITS.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) else {
            return Err(complaints::expected(unit_span, "a unit of time", Some(complaints::shown(unit)), HELP));
        };
        self.bump();
        let span = self.since(start);
        let digits = number.strip_prefix('-').unwrap_or(number);
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(complaints::not_whole(span, "the lag of STALE", "STALE <= 500ms"));
        }
        let asked = number.parse::<u64>().ok().and_then(|number| number.checked_mul(milliseconds));
        match asked.map(Duration::from_millis) {
            Some(lag) if !lag.is_zero() && lag <= MAX_LAG => Ok(lag),
            asked => Err(complaints::lag_range(span, asked.is_some_and(|lag| lag.is_zero()) || digits != number)),
        }
    }
}
