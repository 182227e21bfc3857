//! The folder of a database: who holds it, and what lies where in it.

mod lock;

pub(crate) use lock::{LOCK_FILE, Lock};

use std::path::{Path, PathBuf};

/// The catalog inside a database's folder.
pub(crate) fn catalog_folder(folder: &Path) -> PathBuf {
    folder.join("catalog")
}
