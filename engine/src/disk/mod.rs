//! The folder of a database: who holds it, what lies where in it, and files that are on the disk before anyone names them.

mod fault;
mod file;
mod lock;
mod reserve;

pub use fault::{Faults, install_faults};
pub(crate) use fault::{point, syncs};
pub(crate) use file::{make_folder, remove, sync_folder, write_whole};
pub(crate) use lock::{LOCK_FILE, Lock};
pub(crate) use reserve::{release, set_aside};

use std::path::{Path, PathBuf};

/// The catalog inside a database's folder.
pub(crate) fn catalog_folder(folder: &Path) -> PathBuf {
    folder.join("catalog")
}

/// The segment files inside a database's folder.
pub(crate) fn segment_folder(folder: &Path) -> PathBuf {
    folder.join("segments")
}

/// The columns saved when a database was closed.
pub(crate) fn columns_file(folder: &Path) -> PathBuf {
    folder.join("columns")
}

/// The space set aside for a full disk.
fn reserve_file(folder: &Path) -> PathBuf {
    folder.join("reserve")
}

/// The side file of the last acknowledged write.
pub(crate) fn acknowledged_file(folder: &Path) -> PathBuf {
    folder.join("acknowledged")
}
