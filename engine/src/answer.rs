//! Questions and answers as plain data.

pub use cairndb_query::{RecognizeRequest, Rerank, SearchRequest};

use crate::operation::Role;
use crate::ports::Photo;

/// One query: a descriptor, and the stored image that it belongs to, if that must neither be in the answer nor vote.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Query {
    /// Descriptor; normalised when it is used.
    pub vector: Vec<f32>,
    /// Key of a stored image that neither votes nor is in the answer.
    pub without: Option<String>,
}

impl Query {
    /// The query of a descriptor.
    pub fn new(vector: impl Into<Vec<f32>>) -> Self {
        Self { vector: vector.into(), without: None }
    }

    /// Excludes the stored image with this key from voters and results.
    #[must_use]
    pub fn without(self, key: impl Into<String>) -> Self {
        Self { without: Some(key.into()), ..self }
    }
}

/// The outcome of a vote (eq. 3).
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Vote {
    /// The label with the largest tally; ties go to the label met first.
    pub instance: String,
    /// Its tally divided by k.
    pub score: f32,
}

/// A voter of a prediction.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Voter {
    /// Key of the train image.
    pub key: String,
    /// Its label.
    pub label: String,
    /// Its cosine to the image.
    pub similarity: f32,
}

/// The predicted instance of an image, and its voters.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Prediction {
    /// `None` without train images.
    pub vote: Option<Vote>,
    /// The k nearest train images, best first.
    pub voters: Vec<Voter>,
    /// The sequence number of its state.
    pub as_of_sequence: u64,
    /// Number of acknowledged writes that the snapshot does not see.
    pub lag: u64,
}

/// What a recognition says about a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Verdict {
    /// It shows the instance of the label.
    Known,
    /// The score is too small: nothing known is on it.
    Unknown,
    /// The label is elected for too many queries: it belongs to no instance.
    Distractor,
    /// There is no train image that could elect a label.
    #[default]
    NoTrainImages,
}

impl Verdict {
    /// The words of the `answer` column.
    pub fn words(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Unknown => "unknown",
            Self::Distractor => "distractor",
            Self::NoTrainImages => "no train images",
        }
    }
}

/// A near train image of a recognised query.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct NearImage {
    /// Its key.
    pub key: String,
    /// Its label.
    pub label: String,
    /// Its cosine to the query.
    pub similarity: f32,
    /// Inliers of the query and it; `None`: they were not compared.
    pub inliers: Option<u32>,
    /// Matched points in pixels of the extractor's frames, the query's first. Only for a report.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub lines: Vec<[[f32; 2]; 2]>,
}

/// The instance that a query shows, or that nothing known is on it.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Recognition {
    /// The label that the near train images elect, also if the verdict is that it is no answer; `None` without train images.
    pub label: Option<String>,
    /// Whether the label is the answer.
    pub verdict: Verdict,
    /// Both terms; of a distractor minus the number of queries that its label is elected for. 0 without train images.
    pub score: f64,
    /// Sum of 2 cos - 1 of the images with this label.
    pub similarity_term: f64,
    /// Sum of min(70, inliers) / 70 of the images with this label; `None`: none of them was compared.
    pub inlier_term: Option<f64>,
    /// What is compared with [`least`](Self::least): the score, or for a learnt threshold the similarity term alone.
    pub evidence: f64,
    /// The nearest train images, best first.
    pub images: Vec<NearImage>,
    /// Labels with less evidence are no answer; `None`: the train images are too few to teach a threshold.
    pub least: Option<f64>,
    /// The sequence number of its state.
    pub as_of_sequence: u64,
    /// Number of acknowledged writes that the snapshot does not see.
    pub lag: u64,
}

/// The second stage's decision about a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "lowercase"))]
pub enum Stage {
    /// Retrieved, and predicted to be the query's instance.
    Positive,
    /// Not retrieved by similarity; inserted by its prediction.
    Inserted,
    /// Retrieved, with another predicted instance.
    Negative,
}

impl Stage {
    /// The word of the `stage` column.
    pub fn word(self) -> &'static str {
        match self {
            Stage::Positive => "positive",
            Stage::Inserted => "inserted",
            Stage::Negative => "negative",
        }
    }
}

/// One row of an answer.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Row {
    /// External key.
    pub id: String,
    /// Cosine to the query, also for inserted rows.
    pub similarity: f32,
    /// What the first stage ordered it by: the score of the request's method, or the similarity to the query; `None` for inserted
    /// rows.
    pub score: Option<f32>,
    /// Number of other rows that count as its copies ([`SearchRequest::collapse`](crate::SearchRequest::collapse)).
    pub copies: usize,
    /// Inliers with the query, where the search verified the image ([`SearchRequest::verify`](crate::SearchRequest::verify)).
    pub inliers: Option<u32>,
    /// Predicted instance and score; a train image's own label and 1.0; `None` without train images.
    pub prediction: Option<Vote>,
    /// The second stage's decision; `None` without one.
    pub stage: Option<Stage>,
    /// Its given label; index images have none.
    pub label: Option<String>,
    /// Whether it is a train or an index image.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serial::role"))]
    pub split: Role,
    /// The file or address that it came from; `None` unless the request asks for it ([`SearchRequest::paths`](crate::SearchRequest::paths)), as
    /// RETURN path does.
    pub path: Option<String>,
}

/// How much labels counted in a fusion ([`Fusion`](crate::methods::Fusion)).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LabelWeight {
    /// Weight of their evidence.
    pub weight: f64,
    /// Whether the train images tell how certain a label is; otherwise they are too few, or their labels say nothing.
    pub learnt: bool,
}

/// The answer to one query.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Answer {
    /// The query's own vote; `None` without RERANK, or when there is no train image.
    pub prediction: Option<Vote>,
    /// Best first.
    pub rows: Vec<Row>,
    /// How much labels counted; `None` unless the request's order is a fusion.
    pub labels: Option<LabelWeight>,
    /// The sequence number of the predictions.
    pub as_of_sequence: u64,
    /// Number of acknowledged writes that this answer does not see.
    pub lag: u64,
}

/// The source of a statement's query.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Asked {
    /// Its name for people: a path, a key, an id of the queries file, or `vector`.
    pub name: String,
    /// The id in the queries file, the stored key, or nothing.
    pub id: Option<String>,
    /// The descriptor and the image that it excludes.
    pub query: Query,
    /// The photo, when it was one.
    pub photo: Option<Photo>,
    /// Its number among the queries of the statement, from 0 on: the `query` column. Those that could not be asked count too.
    pub number: usize,
}

impl Asked {
    /// A query with the name that people see and its number in the statement.
    pub fn new(name: impl Into<String>, number: usize, query: Query) -> Self {
        Self { name: name.into(), id: None, query, photo: None, number }
    }

    /// Sets [`Asked::id`].
    #[must_use]
    pub fn id(self, id: impl Into<Option<String>>) -> Self {
        Self { id: id.into(), ..self }
    }

    /// Sets [`Asked::photo`].
    #[must_use]
    pub fn photo(self, photo: impl Into<Option<Photo>>) -> Self {
        Self { photo: photo.into(), ..self }
    }
}
