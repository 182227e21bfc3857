//! The door: what an application calls.

mod database;
mod epochs;
mod execute;
mod operations;
mod staleness;

pub use database::Database;
pub use epochs::{EpochProgress, ModelEntry};
pub use execute::{Argument, Arguments};
pub use operations::Copied;
