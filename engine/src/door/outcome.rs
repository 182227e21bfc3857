//! What a statement returns, as plain data.

use super::labelling::Labelled;
use crate::answer::{Answer, Asked, Prediction, Recognition};
use crate::clean::Cleaning;
use crate::operation::Receipt;
use crate::ports::FailedQuery;
use crate::report::{CheckReport, Report, SegmentInfo, Status};
use crate::state::Snapshot;
use crate::verify::{KnownInliers, Verification};
use cairndb_query::{RecognizePlan, SearchPlan};

/// The outcome of a statement.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// SEARCH.
    Answers(Box<Answers>),
    /// PREDICT.
    Prediction {
        /// The name of the image, for people.
        name: String,
        /// Its predicted instance and voters.
        prediction: Prediction,
    },
    /// RECOGNIZE.
    Recognitions(Box<Recognitions>),
    /// DELETE.
    Written(Receipt),
    /// PUT, LABEL, UNLABEL.
    Labelled(Box<Labelled>),
    /// SHOW STATUS.
    Status(Box<Status>),
    /// TRAIN, REEMBED, USE MODEL, SHOW STALE: the result, line by line.
    Report(Report),
    /// SHOW LABELS: label and number of train images, by label.
    Labels(Vec<(String, usize)>),
    /// SHOW SEGMENTS.
    Segments(Vec<SegmentInfo>),
    /// CHECK: the problems; none for a sound database.
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

/// The answers of a SEARCH statement, all of one state of the database.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Answers {
    /// The plan that ran.
    pub plan: SearchPlan,
    /// The queries that ran, in order.
    pub asked: Vec<Asked>,
    /// One for each query.
    pub answers: Vec<Answer>,
    /// Queries of a file that could not run; at least one of the file ran.
    pub failed: Vec<FailedQuery>,
    /// How photos were compared; only with VERIFY.
    pub verification: Option<Verification>,
    /// The inlier counts of VERIFY; only if the statement asks for a report, which compares methods of the second stage.
    pub inliers: Option<KnownInliers>,
    /// The state of the answers; only if the statement asks for a report (INTO), which shows more of it.
    pub snapshot: Option<Snapshot>,
}

/// The recognitions of a RECOGNIZE statement, all of one state of the database.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Recognitions {
    /// The plan that ran.
    pub plan: RecognizePlan,
    /// The queries that ran, in order.
    pub asked: Vec<Asked>,
    /// One for each query.
    pub recognitions: Vec<Recognition>,
    /// Queries of a file that could not run; at least one of the file ran.
    pub failed: Vec<FailedQuery>,
    /// How photos were compared; only with VERIFY.
    pub verification: Option<Verification>,
    /// The state of the answers; only if the statement asks for a report (INTO), which shows more of it.
    pub snapshot: Option<Snapshot>,
}

/// Lines of cells, for people and programs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Table {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows, with one cell for each column.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// Columns and the rows' cells in their order.
    pub fn new(columns: Vec<String>, rows: Vec<Vec<String>>) -> Self {
        Self { columns, rows }
    }
}
