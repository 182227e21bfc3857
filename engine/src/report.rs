//! Reports of the database: its state, the findings of a check, the result of a repair, the report of a long statement.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Error, ErrorKind};
use crate::operation::Role;
use crate::options::{Keep, ModelInfo};

/// The state of a database at one moment (SHOW STATUS, [`Database::status`](crate::Database::status)).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Status {
    /// Its folder.
    pub folder: PathBuf,
    /// The active model; `None`: the caller's own vectors.
    pub model: Option<ModelInfo>,
    /// Length of its descriptors.
    pub dimension: usize,
    /// Images that have a label and vote.
    pub train: usize,
    /// Images that searches find and that have a prediction.
    pub index: usize,
    /// Labels that at least one train image has.
    pub labels: usize,
    /// Number of train images that vote for each prediction.
    pub vote_k: usize,
    /// Length of the stored neighbour lists.
    pub kept_neighbours: usize,
    /// Number of the last write that readers see.
    pub sequence: u64,
    /// Writes that are deferred.
    pub deferred_writes: usize,
    /// Operations in them.
    pub deferred_operations: usize,
    /// The segments, train before index, in the order of their rows.
    pub segments: Vec<SegmentInfo>,
    /// Rows in no segment.
    pub tail_rows: usize,
    /// Bytes of the catalog's tables.
    pub table_bytes: u64,
    /// Which copies of photos it keeps.
    pub keep: Keep,
    /// Its problems, if any.
    pub health: Health,
}

impl Status {
    /// Bytes of the segment files.
    pub fn segment_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Name and value of each line that SHOW STATUS prints.
    pub fn lines(&self) -> Vec<(String, String)> {
        let model = match &self.model {
            Some(model) => format!("{} ({})", model.name, model.fingerprint.get(..12).unwrap_or(&model.fingerprint)),
            None => "none (your own vectors)".to_owned(),
        };
        let waiting = format!("{} ({} operations)", self.deferred_writes, self.deferred_operations);
        let mut lines = vec![
            ("folder", self.folder.display().to_string()),
            ("model", model),
            ("dimension", self.dimension.to_string()),
            ("train images", self.train.to_string()),
            ("index images", self.index.to_string()),
            ("labels", self.labels.to_string()),
            ("vote_k", self.vote_k.to_string()),
            ("kept neighbours", self.kept_neighbours.to_string()),
            ("sequence", self.sequence.to_string()),
            ("deferred writes", waiting),
            ("segments", self.segments.len().to_string()),
            ("rows in the tail", self.tail_rows.to_string()),
            ("bytes in segments", self.segment_bytes().to_string()),
            ("bytes in tables", self.table_bytes.to_string()),
        ];
        if self.model.is_some() {
            lines.push(("photos kept as", self.keep.word().to_owned()));
        }
        lines.push(("health", self.health.to_string()));
        lines.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// The problems of an open database; none of them makes an answer wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Health {
    /// Why it accepts no more writes: a commit failed, or the folder is no longer in its place.
    pub takes_no_writes: Option<String>,
    /// What keeps it from growing: the disk is full.
    pub shortage: Option<String>,
    /// Segments that cannot be used, each with its number and the reason. The catalog answers instead, exactly and more slowly.
    pub degraded: Vec<String>,
    /// The last failure of each background thread.
    pub trouble: Option<String>,
}

impl Health {
    /// Whether there is no problem.
    pub fn is_ok(&self) -> bool {
        *self == Self::default()
    }
}

/// A failure of a background thread ([`Database::on_trouble`](crate::Database::on_trouble)). It tries again by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Trouble {
    /// Its work: `keeping the watermark`, `applying deferred writes`, `making segments` or `merging segments`.
    pub work: &'static str,
    /// The kind of the error; `None`: the thread panicked, or the system started none. Then nothing does this work until the
    /// database is opened again.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serial::debug"))]
    pub kind: Option<ErrorKind>,
    /// What happened, for people.
    pub message: String,
}

impl Trouble {
    pub(crate) fn new(work: &'static str, error: &Error) -> Self {
        Self { work, kind: Some(error.kind()), message: error.message().to_owned() }
    }

    /// There is no thread for it.
    pub(crate) fn gone(work: &'static str, message: impl Into<String>) -> Self {
        Self { work, kind: None, message: message.into() }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.work, self.message)
    }
}

/// `ok`, or the problems.
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.takes_no_writes.clone());
        parts.extend(self.shortage.as_ref().map(|shortage| format!("{shortage}; reading and deleting continue")));
        if !self.degraded.is_empty() {
            let degraded = self.degraded.join("; ");
            parts.push(format!("degraded: {degraded}; answers are exact, from the catalog, until it is rebuilt"));
        }
        parts.extend(self.trouble.as_ref().map(|trouble| format!("a background worker failed: {trouble}")));
        f.write_str(if parts.is_empty() { "ok" } else { "" })?;
        f.write_str(&parts.join("; "))
    }
}

/// The report of a long statement, for people: TRAIN, REEMBED, USE MODEL, SHOW STALE.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Report {
    /// Name and value, in order. A name may occur twice.
    pub lines: Vec<(String, String)>,
}

impl Report {
    /// The first value of that name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.lines.iter().find(|line| line.0 == name).map(|line| line.1.as_str())
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Report {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(lines: I) -> Self {
        Self { lines: lines.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }
}

/// A segment, for people.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SegmentInfo {
    /// Its number.
    pub number: u64,
    /// The role of its rows.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serial::role"))]
    pub role: Role,
    /// Number of rows, including dead ones.
    pub rows: usize,
    /// Number of live rows.
    pub live: usize,
    /// Bytes of its file.
    pub bytes: u64,
    /// Whether it has a graph.
    pub graph: bool,
    /// Why its file is not used, if it is not.
    pub problem: Option<String>,
}

/// The result of a repair.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Repaired {
    /// What it found and did, for people.
    pub lines: Vec<String>,
    /// Number of images that were kept.
    pub kept_images: usize,
    /// Number of images that were partly lost, and dropped.
    pub dropped_images: usize,
    /// Number of labels whose text was lost.
    pub dropped_labels: usize,
    /// Number of acknowledged writes that are lost.
    pub dropped_writes: u64,
    /// Number of places of the catalog that could not be read and that had images, their photos, labels, deferred writes or
    /// cleanings: their content is unknown, and may be more than the numbers above say.
    pub unreadable_places: u64,
}

impl Repaired {
    /// Whether stored data was lost.
    pub fn has_lost(&self) -> bool {
        self.dropped_images > 0 || self.dropped_labels > 0 || self.dropped_writes > 0 || self.unreadable_places > 0
    }
}

/// The findings of CHECK.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CheckReport {
    /// What was checked, and how many of it.
    pub checked: Vec<(String, u64)>,
    /// The problems.
    pub problems: Vec<Problem>,
}

/// A problem that CHECK found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Problem {
    /// The part that has it.
    pub part: Part,
    /// A description for people.
    pub message: String,
}

impl Problem {
    /// A problem of that part.
    pub fn new(part: Part, message: impl Into<String>) -> Self {
        Self { part, message: message.into() }
    }
}

/// A part of a database that CHECK examines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Part {
    /// The files of the catalog: a family cannot be read to its end.
    Catalog,
    /// Records, keys and rows.
    Images,
    /// Neighbour lists and their inverse.
    Neighbours,
    /// Predictions and postings.
    Predictions,
    /// The list of segments.
    Manifest,
    /// A segment: a copy, which is written again from the catalog.
    Segment,
    /// Invalid values, and entries that nobody would look up.
    Values,
    /// Dead rows of a segment.
    Tombstones,
    /// Descriptors and their codes.
    Descriptors,
    /// The neighbour graph: a copy, which COMPACT NEIGHBOURS computes and saves again.
    Graph,
    /// More problems than are listed.
    More,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A problem equals its message.
impl PartialEq<String> for Problem {
    fn eq(&self, message: &String) -> bool {
        self.message == *message
    }
}

/// How much a backup holds, or what was restored of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Copied {
    /// Files.
    pub files: usize,
    /// Bytes in them; on one file system most are shared with the database.
    pub bytes: u64,
    /// Number of the last acknowledged write that it holds, deferred ones included; `None`: its catalog cannot be read as it is, because an
    /// older build wrote it, or it was damaged before it was backed up.
    pub sequence: Option<u64>,
}

impl fmt::Display for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files, {:.1} MB", self.files, self.bytes as f64 / 1e6)?;
        self.sequence.map_or(Ok(()), |sequence| write!(f, ", sequence {sequence}"))
    }
}
