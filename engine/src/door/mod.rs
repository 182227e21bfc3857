//! The door: what an application calls.

mod cleaning;
mod comparing;
mod database;
mod epochs;
mod execute;
mod gate;
mod labelling;
mod log;
mod maintaining;
mod operations;
mod outcome;
mod ports;
mod scouting;
mod scratch;
mod staleness;
mod status;
mod training;

pub use cleaning::{Cleaning, Judged, Judgement, Witness};
pub use database::Database;
pub use epochs::{EpochProgress, ModelEntry, Target};
pub use execute::{Argument, Arguments};
pub use labelling::{Labelled, LabelsUndone};
pub use log::{Cleaned, CleaningEntry, Marked, Standing, Undone};
pub use operations::Copied;
pub use outcome::{Outcome, Table};
pub use ports::{LoadFeatures, Maintain, Ports, Watch};
pub use scouting::scout;
pub use training::HeldFolder;
