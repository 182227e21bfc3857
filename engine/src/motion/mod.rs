//! Motion: writes, the predictions that follow them, and the snapshots that readers hold.

mod labels;
mod open;
mod resolve;
mod snapshot;
mod upkeep;
mod write;

#[cfg(test)]
mod laws;

pub(crate) use labels::Labels;
pub use snapshot::{Counts, Snapshot};
pub(crate) use snapshot::{Published, Revote};
#[cfg(test)]
use upkeep::list_of;
pub(crate) use write::Writer;
