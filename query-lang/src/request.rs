//! What a search is asked for, with everything decided: the form that the planner gives and the engine runs.

use crate::ast::{Condition, Scope};
use crate::limits::{DEFAULT_DEPTH, DEFAULT_TAU};

/// A search of stored images: what a statement plans, and what a program asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchRequest {
    /// What is searched; default index images.
    pub scope: Scope,
    /// Candidates searched and re-ranked; 1 to [`MAX_COUNT`](crate::MAX_COUNT), default [`DEFAULT_DEPTH`].
    pub depth: usize,
    /// Rows returned, at most `depth`; default all of them, as any number from `depth` on.
    pub limit: usize,
    /// `None`: every row is scored; `Some(ef)`: the graph, this broad (at most [`MAX_COUNT`](crate::MAX_COUNT)), and the
    /// query's vote may miss a voter now and then. Default exact.
    pub ef: Option<usize>,
    /// The second stage; default none.
    pub rerank: Option<Rerank>,
    /// All must hold, for inserted rows too; default none.
    pub filter: Vec<Condition>,
    /// Each row says where its image came from, which takes one read of the catalog a row; default no.
    pub paths: bool,
}

/// The second stage: soft vote, sort-step, insert-step (paper section 5.3).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rerank {
    /// Voters; 1 to 1000; default [`Rerank::STORED_K`].
    pub k: usize,
    /// Positives to the front; default true.
    pub sort: bool,
    /// `Some(tau)`: unretrieved positives are inserted unless score(query) + score(item) < tau, in -2 .. 2; default 0.6.
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
    /// The defaults of every field; the other methods change one each.
    pub fn new() -> Self {
        Self::default()
    }

    /// Searches these images.
    #[must_use]
    pub fn scope(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// Searches so many candidates, and returns as many rows unless a [`limit`](Self::limit) is set.
    #[must_use]
    pub fn depth(self, depth: usize) -> Self {
        Self { depth, ..self }
    }

    /// Returns so many rows.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// Searches the graph, this broad: 1 or more.
    #[must_use]
    pub fn ef(self, ef: usize) -> Self {
        Self { ef: Some(ef), ..self }
    }

    /// Has a second stage.
    #[must_use]
    pub fn rerank(self, rerank: Rerank) -> Self {
        Self { rerank: Some(rerank), ..self }
    }

    /// Each row says where its image came from.
    #[must_use]
    pub fn paths(self) -> Self {
        Self { paths: true, ..self }
    }

    /// Rows must meet this condition too.
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
    /// As a [`k`](Self::k): the database's own `vote_k`, by which its predictions are stored. No other k is
    /// as fast.
    pub const STORED_K: usize = usize::MAX;

    /// Sort-step and insert-step with the database's k and the paper's tau (section 5.3).
    pub fn new() -> Self {
        Self::default()
    }

    /// The vote of so many train images.
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
