//! The query language of Cairn: it turns text into typed statements, and mistakes into diagnostics with places.
//!
//! There are two forms: [`Statement`] is the statement as typed, with spans, and [`fill`] puts the values of parameters into it;
//! [`Plan`] is what will run, with every name resolved and every default filled in, and the only thing that EXPLAIN prints. This
//! crate does no I/O and never sees a vector of the database: it knows images, files and parameters only by name.
//!
//! ```
//! let parsed = cairndb_query::parse("SEARCH img K 100 RERANK k=3 tau=0.6");
//! assert!(parsed.diagnostics.is_empty());
//! assert_eq!(parsed.statements.len(), 1);
//! ```

mod ast;
mod complaints;
mod diagnostic;
mod effect;
mod explain;
mod fill;
mod label;
mod lexer;
mod limits;
pub mod methods;
mod names;
pub mod options;
mod parser;
mod plan;
mod planner;
mod print;
mod recognition;
mod reference;
mod request;
mod script;
mod terms;
mod value;
mod words;

pub use ast::{
    Action, Augment, Clean, Column, Condition, Cut, Field, Flip, Freshness, Gem, Given, Image, Loss, Method,
    MethodClause, Mode, Options, Origin, Place, Recognize, RerankClause, Role, Rule, Scope, Search, Span, Spanned,
    Statement, Train,
};
pub use diagnostic::Diagnostic;
pub use effect::Effect;
pub use fill::fill;
pub use label::{plain_label, spelt};
pub use limits::{
    DEFAULT_ALPHA, DEFAULT_BATCH, DEFAULT_BETA, DEFAULT_DEPTH, DEFAULT_DIMENSION, DEFAULT_EF_PER_K, DEFAULT_EPOCHS,
    DEFAULT_EVIDENCE, DEFAULT_EXPANDED, DEFAULT_FREQ, DEFAULT_INLIERS, DEFAULT_MARGIN, DEFAULT_NEAR,
    DEFAULT_NEIGHBOURS, DEFAULT_NN, DEFAULT_OF_LABEL, DEFAULT_RATE, DEFAULT_REFINED, DEFAULT_SCALE, DEFAULT_SCALEUP,
    DEFAULT_SEED, DEFAULT_SUSPECTS, DEFAULT_TAU, DEFAULT_TRUNK_EPOCHS, DEFAULT_TRUNK_RATE, DEFAULT_VALIDATION,
    MAX_ALPHA, MAX_BATCH, MAX_BETA, MAX_COLLAPSED, MAX_CONDITIONS, MAX_COUNT, MAX_DIMENSION, MAX_EPOCHS, MAX_EXPANDED,
    MAX_FREQ, MAX_INLIERS, MAX_LAG, MAX_MARGIN, MAX_NEIGHBOURS, MAX_NN, MAX_RATE, MAX_REFINED, MAX_SCALE, MAX_TAU,
    MAX_TERM, MAX_TEXT_BYTES, MAX_VALIDATION, MAX_VOTERS, MIN_BATCH, MIN_DIMENSION, MIN_INLIERS, MIN_TAU, MIN_TERM,
};
pub use limits::{DEFAULT_CUT, DEFAULT_DEGREE, DEFAULT_RECIPROCAL, DEFAULT_SOURCES, MAX_CUT, MAX_DEGREE, MAX_LABELS};
pub use names::{Names, Source};
pub use parser::{Parsed, parse, statement_is_complete};
pub use plan::{CleanPlan, CleanRule, Facts, Plan, RecognizePlan, SearchPlan, TrainPlan, TrunkPlan, VotesFrom};
pub use planner::{check, plan};
pub use recognition::RecognizeRequest;
pub use reference::{forms, keywords, names, schema, table};
pub use request::{Diffusion, Expand, Exploration, Fusion, Order, Reciprocal, Rerank, SearchRequest, SuperGlobal};
pub use script::{Piece, Script, ScriptError};
pub use value::{Binding, Interval, Parameter, Setting, Takes, Value};
pub use words::nearest_name;
