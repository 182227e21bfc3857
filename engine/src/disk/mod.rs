//! The folder of a database: who holds it, what lies where in it, and files that are on the disk before anyone names them.

mod contents;
mod fault;
mod file;
mod folder;
mod lock;
mod reserve;

pub(crate) use contents::{is_of_catalog, is_of_segments, look_at_catalog, look_at_database};
pub use fault::{Faults, install_faults};
pub(crate) use fault::{point, syncs};
pub(crate) use file::{make_folder, write_whole};
pub(crate) use folder::{Folder, Kind};
pub(crate) use lock::Lock;
pub(crate) use reserve::{release, set_aside};

/// Who holds the database.
pub(crate) const LOCK: &str = "LOCK";
/// The folder of the catalog.
pub(crate) const CATALOG: &str = "catalog";
/// The folder of the segment files.
pub(crate) const SEGMENTS: &str = "segments";
/// The columns saved when a database was closed.
pub(crate) const COLUMNS: &str = "columns";
/// The side file of the last acknowledged write.
pub(crate) const ACKNOWLEDGED: &str = "acknowledged";
/// The space set aside for a full disk.
const RESERVE: &str = "reserve";
/// Files that a program keeps of its trainings.
pub(crate) const TRAINING: &str = "training";
