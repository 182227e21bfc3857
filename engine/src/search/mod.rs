//! Search: the first stage, the second stage, metrics.

pub mod eval;
mod filter;
mod first_stage;
mod least_score;
mod methods;
mod recognise;
mod request;
pub mod rerank;
mod second_stage;
mod shown;
mod verification;
