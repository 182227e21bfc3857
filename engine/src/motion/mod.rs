//! Motion: writes, the predictions that follow them, and the snapshots that readers hold.

mod labels;
mod lists;
mod open;
mod resolve;
mod snapshot;
mod upkeep;
mod write;

#[cfg(test)]
mod laws;

pub(crate) use labels::Labels;
#[cfg(test)]
use lists::list_of;
pub use snapshot::{Counts, Snapshot};
pub(crate) use snapshot::{Published, Revote};
pub(crate) use write::Writer;
