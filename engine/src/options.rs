//! The options of a new database and of an opening. Every field documents its unit, its default, and whether it can change later.

use crate::error::{Error, Result};

/// Default of [`Options::vote_k`]: the paper's k (section 5.3, Table 4).
pub const DEFAULT_VOTE_K: usize = 3;
/// Default of [`Options::kept_neighbours`]: with 8, a deletion seldom leaves fewer than `vote_k`.
pub const DEFAULT_KEPT_NEIGHBOURS: usize = 8;
/// Most voters of one prediction.
pub const MAX_VOTERS: usize = cairndb_query::MAX_VOTERS;
/// Largest number of candidates of a search, and largest breadth: the limits of the language.
pub const MAX_SEARCH_DEPTH: usize = cairndb_query::MAX_COUNT;
/// Largest dimension of a descriptor that a database accepts.
pub const MAX_DIMENSION: usize = 65_536;
/// Largest length of an external key or a label, in bytes.
pub const MAX_KEY_BYTES: usize = 1_024;
/// Largest length of an index image's neighbour list.
pub const MAX_KEPT_NEIGHBOURS: usize = 256;
/// The number of live rows in a scope from which a search without EXACT uses the graph: with fewer, a scan of f32 vectors is as
/// fast.
pub const GRAPH_FROM_ROWS: usize = 20_000;

/// Default of [`OpenOptions::block_cache`], in bytes.
pub const DEFAULT_BLOCK_CACHE: usize = 128 << 20;
/// Smallest number of tables that are kept open.
pub(crate) const LEAST_OPEN_TABLES: usize = 32;
/// Largest number of tables that are kept open, unless [`OpenOptions::open_tables`] is larger.
pub(crate) const MOST_OPEN_TABLES: usize = 4096;

/// Which copy of each photo the database keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "lowercase"))]
pub enum Keep {
    /// The original bytes: they can be shown and embedded again.
    Original,
    /// A small JPEG: it can be shown (the default).
    #[default]
    Thumb,
    /// Nothing: a photo is read from its path, on request and if the file is the one that was ingested.
    None,
}

impl Keep {
    /// Its word on the command line and in the stored options.
    pub fn word(self) -> &'static str {
        match self {
            Keep::Original => "original",
            Keep::Thumb => "thumb",
            Keep::None => "none",
        }
    }

    /// The policy of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Keep::Original, Keep::Thumb, Keep::None].into_iter().find(|keep| keep.word() == word)
    }
}

/// The model of a database's descriptors. The engine compares fingerprints and returns the rest unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ModelInfo {
    /// Name, for example `lite0-gem`.
    pub name: String,
    /// A digest of everything that decides a descriptor: architecture, weights, input rule, scales.
    pub fingerprint: String,
    /// What the embedder needs to load the same model again (in its own format). Empty: only the caller can load it, and vectors
    /// of the caller count as that model's; otherwise they are accepted only with its fingerprint.
    pub settings: String,
}

impl ModelInfo {
    /// A model that only the caller can load: it has no settings.
    pub fn new(name: impl Into<String>, fingerprint: impl Into<String>) -> Self {
        Self { name: name.into(), fingerprint: fingerprint.into(), settings: String::new() }
    }

    /// Sets [`ModelInfo::settings`].
    #[must_use]
    pub fn settings(self, settings: impl Into<String>) -> Self {
        Self { settings: settings.into(), ..self }
    }
}

/// The options of a new database. TRAIN, REEMBED and USE MODEL change the model and its dimension; nothing else can change.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Dimension of the descriptors; 1 to [`MAX_DIMENSION`].
    pub dimension: usize,
    /// The model that computes them; `None`: the caller's own vectors.
    pub model: Option<ModelInfo>,
    /// k of the stored predictions; default [`DEFAULT_VOTE_K`], at most `kept_neighbours`.
    pub vote_k: usize,
    /// Length of an index image's neighbour list (k'); default [`DEFAULT_KEPT_NEIGHBOURS`].
    pub kept_neighbours: usize,
    /// Which copies of photos it keeps; default [`Keep::Thumb`].
    pub keep: Keep,
}

impl Options {
    /// The fingerprint of the model, if there is one.
    pub(crate) fn fingerprint(&self) -> Option<&str> {
        self.model.as_ref().map(|model| model.fingerprint.as_str())
    }

    /// The defaults for bare vectors of this dimension.
    pub fn for_vectors(dimension: usize) -> Self {
        Self {
            dimension,
            model: None,
            vote_k: DEFAULT_VOTE_K,
            kept_neighbours: DEFAULT_KEPT_NEIGHBOURS,
            keep: Keep::default(),
        }
    }

    /// The defaults for photos embedded by a model of this dimension.
    pub fn for_model(model: ModelInfo, dimension: usize) -> Self {
        Self { model: Some(model), ..Self::for_vectors(dimension) }
    }

    /// Sets the model.
    #[must_use]
    pub fn model(self, model: impl Into<Option<ModelInfo>>) -> Self {
        Self { model: model.into(), ..self }
    }

    /// Sets the k of the stored predictions.
    #[must_use]
    pub fn vote_k(self, vote_k: usize) -> Self {
        Self { vote_k, ..self }
    }

    /// Sets the length of an index image's neighbour list.
    #[must_use]
    pub fn kept_neighbours(self, kept_neighbours: usize) -> Self {
        Self { kept_neighbours, ..self }
    }

    /// Sets which copies of photos the database keeps.
    #[must_use]
    pub fn keep(self, keep: Keep) -> Self {
        Self { keep, ..self }
    }

    /// Whether a database can be created with them.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub(crate) fn check(&self) -> Result<()> {
        let range = |name: &str, value: usize, most: usize| match value {
            value if value == 0 || value > most => {
                Err(Error::invalid(format!("{name} is {value}, and must be 1 to {most}"))
                    .help(format!("choose 1 to {most}")))
            }
            _ => Ok(()),
        };
        range("the dimension", self.dimension, MAX_DIMENSION)?;
        range("the number of kept neighbours", self.kept_neighbours, MAX_KEPT_NEIGHBOURS)?;
        if self.vote_k > self.kept_neighbours {
            let what = format!("vote_k is {}, but only {} neighbours are kept", self.vote_k, self.kept_neighbours);
            return Err(Error::invalid(what).help("keep at least as many neighbours as vote"));
        }
        range("vote_k", self.vote_k, self.kept_neighbours)
    }
}

/// Limits on the resources of an open database ([`Database::open_with`](crate::Database::open_with)). They are not stored, and no
/// answer depends on them.
///
/// ```
/// # fn main() -> cairn::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// use cairn::{Database, OpenOptions, Options};
///
/// let path = folder.path().join("db");
/// Database::create(&path, Options::for_vectors(2))?.close()?;
/// let small = OpenOptions::new().open_tables(64).block_cache(8 << 20).build_threads(1);
/// let database = Database::open_with(&path, &small)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenOptions {
    pub(crate) open_tables: Option<usize>,
    pub(crate) block_cache: Option<usize>,
    pub(crate) build_threads: Option<usize>,
    pub(crate) search_threads: Option<usize>,
}

impl OpenOptions {
    /// Most tables that can be asked for.
    const MOST_TABLES: usize = 1 << 20;
    /// Fewest and most bytes of the block cache.
    const BLOCK_CACHE: [usize; 2] = [1 << 20, 1 << 40];
    /// Most threads of one kind.
    const MOST_THREADS: usize = 1024;

    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tables of the catalog that stay open: file handles. Segments are mapped and hold none; logs and lists take about 20 more.
    /// From 32 to 1,048,576; default: a quarter of what the process may have open, and between 32 and 4,096 of them. A reader beside a
    /// writer keeps all open where they are no more than that.
    #[must_use]
    pub fn open_tables(self, tables: usize) -> Self {
        Self { open_tables: Some(tables), ..self }
    }

    /// Bytes of the catalog's blocks that stay in memory. From 1 MiB to 1 TiB; default [`DEFAULT_BLOCK_CACHE`] for a database that is
    /// open for writing, and RocksDB's 32 MiB for each of the catalog's families for one that is only read.
    #[must_use]
    pub fn block_cache(self, bytes: usize) -> Self {
        Self { block_cache: Some(bytes), ..self }
    }

    /// Threads that make the graph of a segment, behind the writers and in FLUSH and COMPACT. From 1 to 1,024; default: one for each
    /// processor that the process may use.
    #[must_use]
    pub fn build_threads(self, threads: usize) -> Self {
        Self { build_threads: Some(threads), ..self }
    }

    /// Threads that compute for one call, the calling one included: searches, votes, checks. All databases of a process share these
    /// threads, so that the first number that counts is the process's: an opening that asks for another one is refused (`Invalid`),
    /// also where calls were made before with the default. From 1 to 1,024; default: one for each processor that the process may use.
    #[must_use]
    pub fn search_threads(self, threads: usize) -> Self {
        Self { search_threads: Some(threads), ..self }
    }

    /// # Errors
    /// `Invalid`: the first number that is out of its range.
    pub(crate) fn check(&self) -> Result<()> {
        let [least_cache, most_cache] = Self::BLOCK_CACHE;
        for (name, value, least, most) in [
            ("the number of open tables", self.open_tables, LEAST_OPEN_TABLES, Self::MOST_TABLES),
            ("the block cache in bytes", self.block_cache, least_cache, most_cache),
            ("the number of threads that make graphs", self.build_threads, 1, Self::MOST_THREADS),
            ("the number of threads that compute for a call", self.search_threads, 1, Self::MOST_THREADS),
        ] {
            if let Some(value) = value.filter(|value| !(least..=most).contains(value)) {
                return Err(Error::invalid(format!("{name} is {value}")).help(format!("choose {least} to {most}")));
            }
        }
        Ok(())
    }
}
