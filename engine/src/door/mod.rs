//! The door: what an application calls.

mod arguments;
mod cleaning;
mod comparing;
mod database;
mod descriptors;
mod epochs;
mod execute;
mod gate;
mod labelling;
mod log;
mod maintaining;
mod operations;
mod outcome;
mod ports;
mod prepared;
mod scouting;
mod scratch;
mod sights;
mod staleness;
mod status;
mod training;

pub use arguments::{Argument, Arguments};
pub use cleaning::{Cleaning, Judged, Judgement, Witness};
pub use database::Database;
pub use epochs::{EpochProgress, ModelEntry, Target};
pub use labelling::{Labelled, LabelsUndone};
pub use log::{Cleaned, CleaningEntry, Marked, Standing, Undone};
pub use operations::Copied;
pub use outcome::{Answers, Outcome, Table};
pub use ports::{LoadFeatures, Maintain, Ports, Watch};
pub use prepared::Prepared;
pub use scouting::scout;
pub use sights::{Readings, Sight, Sights};
pub use training::HeldFolder;
