//! The words of Cairn: text in, a typed statement and diagnostics with places out.
//!
//! Three forms, three owners: [`Statement`] is what was typed, with spans; [`Bound`] has its names resolved; [`Plan`] is what
//! will run, and the only thing that EXPLAIN prints. This crate does no I/O and never sees a vector of the database: images,
//! files and parameters pass through it as names.
//!
//! ```
//! let parsed = cairndb_query::parse("SEARCH img K 100 RERANK k=3 tau=0.6");
//! assert!(parsed.diagnostics.is_empty());
//! assert_eq!(parsed.statements.len(), 1);
//! ```

mod ast;
mod bind;
mod complaints;
mod diagnostic;
mod explain;
mod lexer;
mod limits;
mod parser;
mod plan;
mod print;
mod words;

pub use ast::{
    Column, Condition, Field, Freshness, Image, Mode, Rerank, Role, Scope, Search, Span, Spanned, Statement,
};
pub use bind::{Bound, BoundSearch, Names, Source, bind};
pub use diagnostic::Diagnostic;
pub use limits::{DEFAULT_DEPTH, DEFAULT_EF_PER_K, DEFAULT_TAU, MAX_COUNT, MAX_LAG, MAX_TAU, MAX_TEXT_BYTES, MIN_TAU};
pub use parser::{Parsed, parse, statement_is_complete};
pub use plan::{Access, Facts, Plan, RerankPlan, SearchPlan, VotesFrom, plan};
pub use words::KEYWORDS;
