//! The door: the calls of an application.

mod arguments;
mod cleaning;
mod database;
mod descriptors;
mod execute;
mod labelling;
#[cfg(test)]
mod laws;
mod maintaining;
mod models;
mod notes;
mod operations;
mod outcome;
mod ports;
mod prepared;
mod staleness;
mod status;
mod training;
mod verifying;
mod within;

pub use arguments::{Argument, Arguments};
pub use database::Database;
pub use labelling::{Labelled, LabelsUndone};
pub use notes::MAX_NOTE_BYTES;
pub use outcome::{Answers, Outcome, Recognitions, Table};
pub use ports::{LoadFeatures, Maintain, Maintained, ModelChange, Ports};
pub use prepared::Prepared;
pub use training::HeldFolder;
