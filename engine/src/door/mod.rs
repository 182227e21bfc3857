//! The door: what an application calls.

mod database;
mod execute;

pub use database::Database;
pub use execute::{Argument, Arguments};
