//! RECOGNIZE and its clauses: in any order, each at most once.

use std::ops::Bound::Included;
use std::ops::RangeBounds as _;

use super::{Parse, Parser};
use crate::ast::{Image, Recognize, Spanned};
use crate::complaints;
use crate::diagnostic::Diagnostic;
use crate::limits::{DEFAULT_NEAR, EXAMPLE_DISTRACTORS, MAX_TERM, MAX_VOTERS, MIN_TERM};
use crate::print::interval;
use crate::value::{Interval, Value};
use crate::words::RECOGNIZE_CLAUSES;

/// The score of MIN SCORE in examples.
const EXAMPLE_SCORE: &str = "MIN SCORE 0.9";

impl Parser<'_> {
    /// After the word RECOGNIZE, up to the end of the statement.
    pub(super) fn recognize(&mut self) -> Parse<Recognize> {
        let image = self.image("RECOGNIZE 'photo.jpg' VERIFY")?;
        let mut recognize = Recognize::of(image);
        while self.peek().is_some() {
            self.recognize_clause(&mut recognize)?;
        }
        check_recognize(&recognize)?;
        Ok(recognize)
    }

    fn recognize_clause(&mut self, recognize: &mut Recognize) -> Parse<()> {
        match self.word().map(str::to_ascii_uppercase).as_deref() {
            Some("N") => {
                let example = format!("n={DEFAULT_NEAR}");
                self.assignment(recognize.n.is_some(), "n", &example)?;
                recognize.n = Some(self.whole("n", &example, 1..=MAX_VOTERS)?);
            }
            Some("VERIFY") => {
                self.once(recognize.verify, "VERIFY")?;
                recognize.verify = true;
            }
            Some("MIN") => {
                self.once(recognize.least.is_some(), "MIN SCORE")?;
                if self.take("SCORE").is_none() {
                    return Err(self.expected("SCORE", format!("for example {EXAMPLE_SCORE}")));
                }
                self.without_equals("MIN SCORE", "0.9")?;
                let range = scores(MAX_VOTERS);
                let outside = |span| complaints::number_range(span, "MIN SCORE", &interval(range), EXAMPLE_SCORE);
                recognize.least = Some(self.finite("the score", EXAMPLE_SCORE, range, outside)?);
            }
            Some("DISTRACTORS") => {
                let (given, example) = (recognize.distractors.is_some(), EXAMPLE_DISTRACTORS.to_string());
                recognize.distractors = Some(self.counted_clause(given, "DISTRACTORS", &example)?);
            }
            Some("INTO") => {
                self.once(recognize.into.is_some(), "INTO")?;
                recognize.into = Some(self.report()?);
                recognize.overwrite = self.take("OVERWRITE").is_some();
            }
            Some(_) if self.is_freshness() => {
                recognize.freshness = Some(self.freshness(recognize.freshness.as_ref())?);
            }
            _ => return Err(self.no_option("RECOGNIZE", RECOGNIZE_CLAUSES)),
        }
        Ok(())
    }
}

/// The scores that so many train images can give.
fn scores(images: usize) -> Interval {
    (Included(MIN_TERM * images as f64), Included(MAX_TERM * images as f64))
}

/// A score must be one that the train images can give, and distractors are found among many queries. A parameter is checked once it
/// has its value.
pub(crate) fn check_recognize(recognize: &Recognize) -> Result<(), Diagnostic> {
    let n = match &recognize.n {
        None => Some(DEFAULT_NEAR),
        Some(Spanned { node: Value::Typed(n), .. }) => Some(*n),
        Some(_) => None,
    };
    if let (Some(n), Some(Spanned { node: Value::Typed(least), span })) = (n, &recognize.least)
        && !scores(n).contains(least)
    {
        let what = format!("MIN SCORE with n={n}");
        return Err(complaints::number_range(*span, &what, &interval(scores(n)), EXAMPLE_SCORE));
    }
    match &recognize.distractors {
        Some(distractors) if !matches!(recognize.image.node, Image::Queries(_)) => {
            Err(complaints::distractors_of_one(distractors.span, recognize.image.span))
        }
        _ => Ok(()),
    }
}
