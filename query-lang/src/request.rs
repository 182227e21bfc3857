//! A search request with everything decided: the planner makes it, and the engine runs it.

use crate::ast::{Condition, Scope};
use crate::limits::{DEFAULT_DEPTH, DEFAULT_TAU};

/// A search of stored images, made by the planner or by a program.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SearchRequest {
    /// The scope; default index images.
    pub scope: Scope,
    /// Number of candidates to retrieve and re-rank; 1 to [`MAX_COUNT`](crate::MAX_COUNT), default [`DEFAULT_DEPTH`].
    pub depth: usize,
    /// Number of rows returned, at most `depth`; default all of them.
    pub limit: usize,
    /// `None`: score every row; `Some(ef)`: search the graph with this breadth (at most [`MAX_COUNT`](crate::MAX_COUNT)); then
    /// the query's vote may miss a voter now and then. Default exact.
    pub ef: Option<usize>,
    /// The second stage; default none.
    pub rerank: Option<Rerank>,
    /// Conditions; all must hold, also for inserted rows; default none.
    pub filter: Vec<Condition>,
    /// Each row says where its image came from, which takes one read of the catalog a row; default no.
    pub paths: bool,
}

/// The second stage: soft vote, sort-step, insert-step (paper section 5.3).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Rerank {
    /// Voters; 1 to 1000; default [`Rerank::STORED_K`].
    pub k: usize,
    /// Sort-step: move positives to the front; default true.
    pub sort: bool,
    /// Insert-step: `Some(tau)` inserts unretrieved positives unless score(query) + score(item) < tau, in -2 .. 2; default 0.6.
    pub insert: Option<f64>,
}

impl Default for SearchRequest {
    fn default() -> Self {
        Self {
            scope: Scope::Index,
            depth: DEFAULT_DEPTH,
            limit: usize::MAX,
            ef: None,
            rerank: None,
            filter: Vec::new(),
            paths: false,
        }
    }
}

impl SearchRequest {
    /// Sets every field to its default; the other methods change one each.
    pub fn new() -> Self {
        Self::default()
    }

    /// Searches these images.
    #[must_use]
    pub fn scope(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// Retrieves this many candidates, and returns as many rows unless a [`limit`](Self::limit) is set.
    #[must_use]
    pub fn depth(self, depth: usize) -> Self {
        Self { depth, ..self }
    }

    /// Returns this many rows.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// Searches the graph with this breadth, 1 or more; `None`: scores every row.
    #[must_use]
    pub fn ef(self, ef: impl Into<Option<usize>>) -> Self {
        Self { ef: ef.into(), ..self }
    }

    /// Sets the second stage; `None`: none.
    #[must_use]
    pub fn rerank(self, rerank: impl Into<Option<Rerank>>) -> Self {
        Self { rerank: rerank.into(), ..self }
    }

    /// Each row says where its image came from.
    #[must_use]
    pub fn paths(self) -> Self {
        Self { paths: true, ..self }
    }

    /// Adds a condition on the rows.
    #[must_use]
    pub fn filter(mut self, condition: Condition) -> Self {
        self.filter.push(condition);
        self
    }
}

impl Default for Rerank {
    fn default() -> Self {
        Self { k: Self::STORED_K, sort: true, insert: Some(DEFAULT_TAU) }
    }
}

impl Rerank {
    /// As a [`k`](Self::k): the database's own `vote_k`, which its stored predictions use. No other k is as fast.
    pub const STORED_K: usize = usize::MAX;

    /// Sort-step and insert-step with the database's k and the paper's tau (section 5.3).
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the vote of this many train images.
    #[must_use]
    pub fn k(self, k: usize) -> Self {
        Self { k, ..self }
    }

    /// Inserts unretrieved positives unless score(query) + score(item) < tau.
    #[must_use]
    pub fn tau(self, tau: f64) -> Self {
        Self { insert: Some(tau), ..self }
    }

    /// Without the insert-step.
    #[must_use]
    pub fn sort_only(self) -> Self {
        Self { sort: true, insert: None, ..self }
    }
}
