//! Answers: first-stage search, re-ranking, metrics.

pub mod eval;
mod filter;
pub mod rerank;
mod search;
