//! Known answers of queries, and submissions: the files of the Google Landmarks Dataset v2 and its competitions, and the ground truth of
//! revisited Oxford and Paris.

mod landmarks;
mod revisited;

use cairn::eval::{RecognitionTruth, Truth};
use cairn::{Error, Result};

pub use landmarks::{Submission, write_lists, write_predictions};
pub use revisited::{MAX_JSON_BYTES, RevisitedAnswers};

use crate::source::Text;

/// Most ids or labels that a file of answers may name in all its rows.
pub const MAX_NAMED: usize = 1 << 24;

/// The known answers of queries.
#[derive(Debug, Clone, PartialEq)]
pub enum KnownAnswers {
    /// The images that each query should find, in the order of the file.
    Retrieval(Vec<Truth>),
    /// The labels that each query shows.
    Recognition(RecognitionTruth),
    /// The images that each query should find, by difficulty.
    Revisited(RevisitedAnswers),
}

impl KnownAnswers {
    /// Reads known answers of either kind. The text is one of
    ///
    /// - a table with the columns `id`, `images` (ids separated by spaces) and perhaps `Usage`: Google Landmarks' retrieval solution, or
    ///   a submission taken as the truth;
    /// - a table with `id`, `landmarks` (labels separated by spaces) and perhaps `Usage`: its recognition solution;
    /// - JSON with `gnd`, `imlist` and `qimlist`, or the array `gnd` alone: revisited Oxford and Paris.
    ///
    /// Rows whose Usage is `Ignored` are skipped. The answers take memory for each name; [`MAX_NAMED`] bounds them.
    ///
    /// # Errors
    /// When the text cannot be read or is none of these, a row is invalid, or the text has no query.
    pub fn read(mut text: Text) -> Result<Self> {
        match text.first_mark()? {
            Some(b'{' | b'[') => Ok(Self::Revisited(RevisitedAnswers::read(text)?)),
            _ => landmarks::known(text),
        }
    }
}

/// Counts names, so that a file of answers ends somewhere.
#[derive(Default)]
struct Named(usize);

impl Named {
    /// Counts some more.
    ///
    /// # Errors
    /// There are more than [`MAX_NAMED`].
    fn more(&mut self, names: usize) -> Result<(), String> {
        self.0 += names;
        if self.0 <= MAX_NAMED {
            return Ok(());
        }
        Err(format!("the rows up to here name more than {MAX_NAMED} ids; split the file into parts"))
    }
}

/// A text that is no file of answers.
fn refuse(name: &str, what: &str) -> Error {
    Error::invalid(format!("{name}: {what}"))
}
