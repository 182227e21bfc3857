//! Motion: writes, the predictions that follow them, segments that are made and merged behind them, and what readers hold.

mod acknowledged;
pub(crate) mod backup;
mod beside;
mod check;
mod columns;
mod commits;
mod core;
mod labels;
mod lists;
mod maintain;
mod now;
mod open;
mod policy;
mod proposed;
mod relabellings;
pub(crate) mod repair;
mod resolve;
mod snapshot;
mod space;
mod upkeep;
mod waiting;
mod worker;
mod write;

#[cfg(test)]
mod behind;
#[cfg(test)]
mod laws;

pub(crate) use self::core::Core;
pub(crate) use labels::Labels;
#[cfg(test)]
use lists::list_of;
pub(crate) use relabellings::{KEPT_IMAGES, KEPT_TRANSACTIONS};
pub use snapshot::{Counts, Snapshot};
pub(crate) use snapshot::{Published, Revote};
pub(crate) use space::Building;
pub use waiting::Deferral;
pub(crate) use worker::Worker;
pub(crate) use write::Note;
