//! The options of a new database. Every field documents its unit, its default, and whether it can change later.

use crate::error::{Error, Result};

/// Default of [`Options::vote_k`]: the paper's k (section 5.3, Table 4).
pub const DEFAULT_VOTE_K: usize = 3;
/// Default of [`Options::kept_neighbours`]: with 8, a deletion seldom leaves fewer than `vote_k`.
pub const DEFAULT_KEPT_NEIGHBOURS: usize = 8;
/// Most voters of one prediction.
pub const MAX_VOTERS: usize = 1_000;
/// Most candidates of one search, and its greatest breadth: what the language takes.
pub const MAX_SEARCH_DEPTH: usize = cairndb_query::MAX_COUNT;
/// Largest dimension of a descriptor that a database accepts.
pub const MAX_DIMENSION: usize = 65_536;
/// Largest length of an external key or a label, in bytes.
pub const MAX_KEY_BYTES: usize = 1_024;
/// Most neighbours that can be kept of an index image.
pub const MAX_KEPT_NEIGHBOURS: usize = 256;
/// From this many live rows in a scope on, a search that does not say EXACT uses the graph: below it a scan of f32 vectors takes
/// no longer.
pub const GRAPH_FROM_ROWS: usize = 20_000;

/// What is kept of the photos' bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// The bytes as they came: they can be shown and embedded again.
    Original,
    /// A small JPEG: it can be shown (the default).
    #[default]
    Thumb,
    /// Nothing: a photo is read from its path, where that is asked for and its file is the one that was ingested.
    None,
}

impl Keep {
    /// The word of the command line and of the stored options.
    pub fn word(self) -> &'static str {
        match self {
            Keep::Original => "original",
            Keep::Thumb => "thumb",
            Keep::None => "none",
        }
    }

    /// The policy of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Keep::Original, Keep::Thumb, Keep::None].into_iter().find(|keep| keep.word() == word)
    }
}

/// The model whose descriptors a database holds. The engine compares fingerprints and hands the rest back untouched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// Name, for example `lite0-gem`.
    pub name: String,
    /// A digest of everything that decides a descriptor: architecture, weights, input rule, scales.
    pub fingerprint: String,
    /// What the embedding side needs to load the same model again (its own format). Empty: nobody but the caller can load it, and vectors
    /// that the caller writes are taken for that model's; else they are taken only with its fingerprint.
    pub settings: String,
}

/// What a database is created with. TRAIN, REEMBED and USE MODEL change the model and its dimension; nothing else can change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Dimension of the descriptors; 1 to [`MAX_DIMENSION`].
    pub dimension: usize,
    /// The model that makes them; `None`: the caller brings vectors.
    pub model: Option<ModelInfo>,
    /// k of the stored predictions; default [`DEFAULT_VOTE_K`], at most `kept_neighbours`.
    pub vote_k: usize,
    /// Train neighbours kept of every index image (k'); default [`DEFAULT_KEPT_NEIGHBOURS`].
    pub kept_neighbours: usize,
    /// What is kept of the photos; default [`Keep::Thumb`].
    pub keep: Keep,
}

impl Options {
    /// The fingerprint of the model that makes the descriptors, if one does.
    pub(crate) fn fingerprint(&self) -> Option<&str> {
        self.model.as_ref().map(|model| model.fingerprint.as_str())
    }

    /// The defaults for bare vectors of that dimension.
    pub fn for_vectors(dimension: usize) -> Self {
        Self {
            dimension,
            model: None,
            vote_k: DEFAULT_VOTE_K,
            kept_neighbours: DEFAULT_KEPT_NEIGHBOURS,
            keep: Keep::default(),
        }
    }

    /// The defaults for photos embedded by a model of that dimension.
    pub fn for_model(model: ModelInfo, dimension: usize) -> Self {
        Self { model: Some(model), ..Self::for_vectors(dimension) }
    }

    /// Another k of the stored predictions.
    #[must_use]
    pub fn vote_k(self, vote_k: usize) -> Self {
        Self { vote_k, ..self }
    }

    /// Another number of train neighbours kept of every index image.
    #[must_use]
    pub fn kept_neighbours(self, kept_neighbours: usize) -> Self {
        Self { kept_neighbours, ..self }
    }

    /// Keeps this of the photos.
    #[must_use]
    pub fn keep(self, keep: Keep) -> Self {
        Self { keep, ..self }
    }

    /// Whether a database can be created with them.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub(crate) fn check(&self) -> Result<()> {
        let range = |name: &str, value: usize, most: usize| match value {
            0 => Err(Error::invalid(format!("{name} is 0")).help(format!("choose 1 to {most}"))),
            value if value > most => {
                Err(Error::invalid(format!("{name} is {value}")).help(format!("choose 1 to {most}")))
            }
            _ => Ok(()),
        };
        range("the dimension", self.dimension, MAX_DIMENSION)?;
        range("the number of kept neighbours", self.kept_neighbours, MAX_KEPT_NEIGHBOURS)?;
        range("vote_k", self.vote_k, self.kept_neighbours)
    }
}
