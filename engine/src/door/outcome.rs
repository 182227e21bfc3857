//! What a statement returns, as plain data.

use super::cleaning::Cleaning;
use super::labelling::Labelled;
use crate::answer::{Answers, CheckReport, Prediction, SegmentInfo, Status};
use crate::operation::Receipt;

/// What a statement gave.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// SEARCH.
    Answers(Box<Answers>),
    /// PREDICT.
    Prediction {
        /// The image, as it is shown to people.
        name: String,
        /// What it shows.
        prediction: Prediction,
    },
    /// DELETE.
    Written(Receipt),
    /// PUT, LABEL, UNLABEL.
    Labelled(Box<Labelled>),
    /// SHOW STATUS.
    Status(Status),
    /// SHOW LABELS: label and number of train images, by label.
    Labels(Vec<(String, usize)>),
    /// SHOW SEGMENTS.
    Segments(Vec<SegmentInfo>),
    /// CHECK: what was found wrong; nothing, on a sound database.
    Checked(CheckReport),
    /// CLEAN, SHOW SUSPECTS.
    Cleaned(Box<Cleaning>),
    /// SHOW MODELS, SHOW CLEANS, SHOW CLEAN, SHOW MARKED.
    Table(Table),
    /// FLUSH, COMPACT, BACKUP: what was done.
    Done(String),
    /// EXPLAIN: the plan as text; with ANALYZE the measured lines too.
    Explained(String),
}

/// Lines of cells, for people and programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// As many cells each as there are columns.
    pub rows: Vec<Vec<String>>,
}
