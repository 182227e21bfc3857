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
//! It decodes no photo and runs no network: descriptors come from the caller, or through the ports [`Embed`] and [`Reembed`]
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
//! - [`Database::change_model`]: descriptors of another model, while the database is used.
//! - [`Database::check`], [`Database::backup`], [`Database::repair`]: care.
//! - `examples/`: one question each.
//!
//! **Threads.** Every call may be made by any thread, and blocks; in asynchronous code make calls where blocking is allowed
//! (`tokio::task::spawn_blocking`). [`Database`] and [`Snapshot`] are `Send`, `Sync` and cheap to clone.
//!
//! The modules are floors, and each imports only from lower ones (docs/ARCHITECTURE.md).

// 0 words
mod answer;
mod error;
mod id;
mod operation;
mod options;
mod ports;
mod process;
mod progress;
mod report;
// 1 bytes
mod disk;
// 2 numbers
mod vector;
// 3 graph and vote
mod graph;
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

pub use admin::scouting::scout;
pub use answer::{Answer, Asked, Prediction, Query, Rerank, Row, SearchRequest, Stage, Vote, Voter};
pub use background::{ModelEntry, Target};
pub use cairndb_query as language;
pub use cairndb_query::{Column, Condition, Field, Scope, SearchPlan};
pub use clean::{
    Cleaned, Cleaning, CleaningEntry, Judged, Judgement, Marked, Readings, Sight, Sights, Standing, Undone, Witness,
    spatial,
};
#[doc(hidden)]
pub use disk::{Faults, install_faults};
pub use door::{
    Answers, Argument, Arguments, Copied, Database, HeldFolder, Labelled, LabelsUndone, LoadFeatures, MAX_NOTE_BYTES,
    Maintain, Maintained, ModelChange, Outcome, Ports, Prepared, Table,
};
pub use error::{Error, ErrorKind, Result};
pub use operation::{Heard, ListSaid, Listed, Operation, Put, Reading, Receipt, Record, Role, SetBy};
pub use options::{
    DEFAULT_BLOCK_CACHE, DEFAULT_KEPT_NEIGHBOURS, DEFAULT_VOTE_K, GRAPH_FROM_ROWS, Keep, MAX_DIMENSION,
    MAX_KEPT_NEIGHBOURS, MAX_KEY_BYTES, MAX_SEARCH_DEPTH, MAX_VOTERS, ModelInfo, OpenOptions, Options,
};
pub use ports::{
    Embed, Embedded, FailedQuery, LocalFeatureSet, LocalFeatures, NamedQuery, Photo, Propose, QueryFile, ReadQueries,
    Reembed, VectorChunk, VectorChunks, Wanted,
};
pub use process::leaving::{Gated, Inside, end_process, may_end, native};
pub use process::pool;
pub use process::scout::{Scout, set_scout};
pub use progress::{Progress, Stop, Watch};
pub use report::{CheckReport, Health, Part, Problem, Repaired, Report, SegmentInfo, Status};
pub use search::{eval, rerank};
pub use state::{Counts, Images, Keys, OfInstance, Snapshot};
pub use vector::kernels;
pub use vote::{Ballot, soft_vote};
pub use write::{Deferral, Expect};
