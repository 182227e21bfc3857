//! Answers: first-stage search, re-ranking, metrics; and what the train images say about each other.

pub mod clean;
pub mod eval;
mod filter;
pub mod rerank;
mod search;
