//! Cairn: an embedded database for instance retrieval.
//!
//! It stores image descriptors in two roles: *train* images carry a label and vote, *index* images are searched and get a predicted
//! instance id. A search finds the nearest index images and re-ranks them in two steps (Yokoo et al., "Two-stage Discriminative
//! Re-ranking for Large-scale Landmark Retrieval", CVPRW 2020): items predicted to be the query's instance move to the front, and
//! items that similarity did not find but that carry the same prediction are inserted behind them. Stored predictions equal a
//! recompute after every write.
//!
//! The modules are floors, and each imports only from lower ones:
//! words ([`Error`], [`Options`], plain data), numbers (the canonical kernel), graph and vote, stores (catalog, rows), state (what a
//! reader holds), write (how operations become one batch), background, search (re-ranking, [`eval`]) and admin, [`clean`], door
//! ([`Database`]).
//!
//! The engine never decodes a pixel and never links torch: photos come in through [`ports`](Embed) that the program supplies.

// 0 words
mod answer;
mod error;
mod id;
mod operation;
mod options;
mod ports;
mod process;
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

pub use admin::scouting::scout;
pub use answer::{Answer, Asked, Prediction, Query, Rerank, Row, SearchRequest, Stage, Vote, Voter};
pub use background::{EpochProgress, ModelEntry, Target};
pub use cairndb_query as language;
pub use cairndb_query::{Column, Condition, Field, Scope, SearchPlan};
pub use clean::{
    Cleaned, Cleaning, CleaningEntry, Judged, Judgement, Marked, Readings, Sight, Sights, Standing, Undone, Witness,
    spatial,
};
#[doc(hidden)]
pub use disk::{Faults, install_faults};
pub use door::{
    Answers, Argument, Arguments, Copied, Database, HeldFolder, Labelled, LabelsUndone, LoadFeatures, Maintain,
    Outcome, Ports, Prepared, Table,
};
pub use error::{Error, ErrorKind, Result};
pub use operation::{Heard, ListSaid, Listed, Operation, Put, Reading, Receipt, Record, Role, SetBy};
pub use options::{
    DEFAULT_KEPT_NEIGHBOURS, DEFAULT_VOTE_K, GRAPH_FROM_ROWS, Keep, MAX_DIMENSION, MAX_KEPT_NEIGHBOURS, MAX_KEY_BYTES,
    MAX_SEARCH_DEPTH, MAX_VOTERS, ModelInfo, Options,
};
pub use ports::{
    Embed, Embedded, FailedQuery, LocalFeatureSet, LocalFeatures, NamedQuery, Photo, Propose, QueryFile, ReadQueries,
    Reembed, VectorChunk, VectorChunks, Wanted, Watch,
};
pub use process::leaving::{Gated, Inside, end_process, may_end, native};
pub use process::pool;
pub use process::scout::{Scout, set_scout};
pub use report::{CheckReport, Health, Part, Problem, Repaired, Report, SegmentInfo, Status};
pub use search::{eval, rerank};
pub use state::{Counts, Images, Keys, OfInstance, Snapshot};
pub use vector::kernels;
pub use vote::{Ballot, soft_vote};
pub use write::{Deferral, Expect};
