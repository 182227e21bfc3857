//! Cairn: an embedded database for instance retrieval. For one photo it finds all others of the same place, product or object, also
//! those that look nothing alike.
//!
//! **What it is.** A library that keeps image descriptors (vectors of unit length) in a folder, in two roles: *train* images carry a
//! label and vote, *index* images are searched and get a predicted instance. A search finds the nearest index images and re-ranks them
//! in two steps (Yokoo et al., "Two-stage Discriminative Re-ranking for Large-scale Landmark Retrieval", CVPRW 2020): items predicted
//! to be the query's instance move to the front, and items that similarity did not find but that carry the same prediction come behind
//! them. Stored predictions equal a recompute after every write; writes are transactions; one process writes, any number read.
//!
//! **What it is not.** It is no server, and no general vector database: it has one vector for each image and one metric, the cosine.
//! It decodes no photo and runs no network: descriptors come from the caller, or through the ports [`Embed`](embed::Embed) and
//! [`Reembed`](model::Reembed)
//! (the crate `cairndb-ingest` reads photos, `cairndb-torch` has networks).
//!
//! ```
//! # fn main() -> cairn::Result<()> {
//! # let folder = tempfile::tempdir().unwrap();
//! use cairn::{Database, Options, Put, Query, Rerank, SearchRequest};
//!
//! let database = Database::open_or_create(folder.path().join("places.db"), Options::for_vectors(2))?;
//! database.write([
//!     // Two views of one tower, which look nothing alike, are labelled.
//!     Put::new("outside", [1.0, 0.0]).label("tower").into(),
//!     Put::new("inside", [0.0, 1.0]).label("tower").into(),
//!     // These are searched.
//!     Put::new("from the street", [0.9, 0.1]).into(),
//!     Put::new("the stairs", [0.1, 0.9]).into(),
//! ])?;
//! let request = SearchRequest::new().rerank(Rerank::new().k(1));
//! let answer = database.snapshot().search_one(&request, &Query::new([1.0, 0.05]))?;
//! assert_eq!(answer.prediction.map(|vote| vote.instance).as_deref(), Some("tower"));
//! assert_eq!(answer.rows.len(), 2);
//! # Ok(())
//! # }
//! ```
//!
//! # Where to go
//!
//! - [`Database`]: create, open, write, close; what threads, forks and the end of the process may do.
//! - [`Snapshot`]: everything that is read. One snapshot is one state, for as long as it is held.
//! - [`Database::prepare`] and [`Database::execute`]: the query language ([`language`]); an application binds its values.
//! - [`Database::write_if`]: writes that expect something ([`Expect`]).
//! - [`Database::clean`], [`mod@clean`]: train labels that look wrong.
//! - [`spatial`]: how many local features of two photos fit one affine map.
//! - [`Database::change_model`]: descriptors of another model, while the database is used.
//! - [`Database::check`], [`Database::backup`], [`Database::repair`]: care.
//! - `examples/`: one question each.
//!
//! **Threads.** Every call may be made by any thread, and blocks; in asynchronous code make calls where blocking is allowed
//! (`tokio::task::spawn_blocking`). [`Database`] and [`Snapshot`] are `Send`, `Sync` and cheap to clone.
//!
//! docs/LIBRARY.md says which call gives which state, and who names the model of a vector.

// 0 words
mod answer;
mod attribute;
mod error;
mod id;
mod operation;
mod options;
mod ports;
mod process;
mod progress;
mod report;
#[cfg(feature = "serde")]
mod serial;
#[macro_use]
mod trace;
// 1 bytes
mod disk;
// 2 numbers
mod vector;
// 3 graph, vote, geometry
mod graph;
pub mod spatial;
mod vote;
// 4 stores
mod catalog;
mod rows;
mod segment;
// 5 what a reader holds
mod state;
// 6 writes
mod write;
// 7 behind the callers
mod background;
// 8 reading and care
mod admin;
mod search;
mod verify;
// 9 cleaning
pub mod clean;
// 10 door
mod door;
#[cfg(any(test, feature = "hostile"))]
#[doc(hidden)]
pub mod hostile;

/// What applications share between threads and keep in their own types.
const _: () = {
    const fn shared<T: Send + Sync + Clone + std::fmt::Debug>() {}
    const fn sent<T: Send + Sync + std::fmt::Debug>() {}
    shared::<Database>();
    shared::<Snapshot>();
    shared::<Prepared>();
    sent::<Error>();
    sent::<Outcome>();
};

pub use answer::{
    Answer, LabelWeight, NearImage, Prediction, Query, Recognition, RecognizeRequest, Rerank, Row, SearchRequest,
    Stage, Verdict, Vote, Voter,
};
pub use attribute::{AttributeChanges, Attributes, Value};
pub use cairndb_query::{Column, Condition, Field, Scope};
#[doc(hidden)]
pub use disk::{Faults, install_faults};
pub use door::{Argument, Arguments, Database, Outcome, Ports, Prepared};
pub use error::{Error, ErrorKind, Result};
pub use operation::{Operation, Put, Receipt, Record, Role};
pub use options::{Keep, OpenOptions, Options};
pub use ports::Photo;
pub use progress::{Progress, Stop, Watch};
pub use search::{eval, rerank};
pub use state::{Changed, Counts, Images, Keys, OfInstance, Snapshot};
pub use vector::kernels;
pub use vote::{Ballot, recognition, soft_vote};
pub use write::{Deferral, Expect};

/// Methods of the first stage of a search ([`SearchRequest::expand`], [`SearchRequest::order`]).
pub mod methods {
    pub use cairndb_query::{Diffusion, Expand, Exploration, Fusion, Order, Reciprocal, SuperGlobal};
}

/// Plans and words of the query language that the library takes and returns. The syntax tree is a crate of its own, `cairndb-query`.
pub mod language {
    pub use cairndb_query::{
        Action, Augment, CleanPlan, CleanRule, Column, Condition, Cut, DEFAULT_DEPTH, DEFAULT_EVIDENCE,
        DEFAULT_SCALEUP, DEFAULT_SEED, DEFAULT_SUSPECTS, DEFAULT_TAU, DEFAULT_TRUNK_EPOCHS, DEFAULT_TRUNK_RATE,
        DEFAULT_VALIDATION, Diagnostic, Field, Flip, Freshness, Gem, Loss, MAX_COUNT, Origin, RecognizePlan, Scope,
        SearchPlan, TrainPlan, TrunkPlan, nearest_name, plain_label, spelt,
    };
}

/// Models: which a database has, how it changes to another, and the code that trains them ([`Database::change_model`]).
pub mod model {
    pub use crate::background::{ModelEntry, Target};
    pub use crate::door::{HeldFolder, Maintain, Maintained, ModelChange};
    pub use crate::options::ModelInfo;
    pub use crate::ports::{Reembed, Wanted};
}

/// What an application implements or hands in, so that statements can name photos and files ([`Ports`]).
pub mod embed {
    pub use crate::door::LoadFeatures;
    pub use crate::ports::{
        CountInliers, Embed, Embedded, FailedQuery, LocalFeatureSet, LocalFeatures, NamedQuery, Propose, QueryFile,
        ReadQueries, VectorChunk, VectorChunks,
    };
}

/// What calls and statements report ([`Outcome`], [`Database::status`], [`Database::check`], [`Database::repair`]).
pub mod reports {
    pub use crate::answer::Asked;
    pub use crate::door::{Answers, Labelled, LabelsUndone, Recognitions, Table};
    pub use crate::report::{
        CheckReport, Copied, Health, Part, Problem, Repaired, Report, SegmentInfo, Status, Trouble,
    };
    pub use crate::verify::{KnownInliers, Verification};
}

/// Lists of images with labels, read again and again: which label wins ([`Operation::Listed`]).
pub mod lists {
    pub use crate::operation::{Heard, ListSaid, Listed, Reading, SetBy};
}

/// Default values and bounds.
pub mod limits {
    pub use crate::attribute::{MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTE_NAME_BYTES, MAX_ATTRIBUTES};
    pub use crate::door::MAX_NOTE_BYTES;
    pub use crate::options::{
        DEFAULT_BLOCK_CACHE, DEFAULT_KEPT_NEIGHBOURS, DEFAULT_VOTE_K, GRAPH_FROM_ROWS, MAX_DIMENSION,
        MAX_KEPT_NEIGHBOURS, MAX_KEY_BYTES, MAX_SEARCH_DEPTH, MAX_VOTERS,
    };
}

/// The process that the library runs in: its threads, how it ends, and the scout that opens unknown databases first.
pub mod runtime {
    pub use crate::admin::scouting::scout;
    pub use crate::process::leaving::{Gated, Inside, end_process, may_end, native};
    pub use crate::process::pool;
    pub use crate::process::scout::{Scout, set_scout};
}
