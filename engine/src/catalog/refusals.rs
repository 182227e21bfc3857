//! The errors of a catalog that cannot be opened: it lacks files, belongs to another program, is older, half repaired, or changes
//! too fast.

use std::path::Path;

use super::salvage;
use crate::disk::{ACKNOWLEDGED, CATALOG, Folder, SEGMENTS};
use crate::error::{Error, ErrorKind, Result};

/// The writer beside a reader changes files faster than they are read.
pub(crate) fn too_busy(folder: &Folder) -> Error {
    Error::new(ErrorKind::Locked, format!("{} changes too fast to be read", folder.path().display())).help("try again")
}

pub(super) fn older_format() -> Error {
    Error::new(ErrorKind::OlderFormat, "the database has an older format")
        .help("open it once for writing to upgrade it")
}

pub(super) fn half_repaired() -> Error {
    Error::corrupt("a repair of the database was interrupted").help("run it again: cairn repair DB")
}

pub(super) fn foreign(folder: &Folder) -> Error {
    let path = folder.path_of(CATALOG);
    let is_ours = |name| folder.about(name).is_ok_and(|found| found.is_some());
    if is_ours(SEGMENTS) && is_ours(ACKNOWLEDGED) {
        // A list of tables that was cut knows none of the families.
        return Error::corrupt(format!("{} no longer lists a database", path.display()))
            .help("restore a backup; or save what is left: cairn repair DB");
    }
    Error::invalid(format!("{} has a RocksDB database that is not one of Cairn's", path.display()))
        .help("nothing in it was changed; name the folder of a database")
}

/// RocksDB's error, or that files are missing where it says so.
pub(super) fn if_incomplete(error: Error, folder: &Folder) -> Error {
    match error.kind() {
        ErrorKind::Io if error.message().contains("No such file") => unfinished(folder).because(error),
        _ => error,
    }
}

/// Why a database's folder cannot be opened whose catalog lacks files.
pub(super) fn unfinished(folder: &Folder) -> Error {
    if salvage::is_half_done(folder).unwrap_or(false) {
        return half_repaired();
    }
    let path = folder.path_of(CATALOG);
    if holds_data(folder).unwrap_or(false) {
        return Error::corrupt(format!("{} lacks files that a database needs", path.display())).help(
            "save what is left: cairn repair DB; only if that finds nothing, delete the folder and restore a backup",
        );
    }
    Error::corrupt(format!("{} has no database: its files are missing", path.display()))
        .help("delete the folder, and create the database again or restore a backup")
}

/// Whether there is anything in the catalog that a repair could keep.
fn holds_data(folder: &Folder) -> Result<bool> {
    let Some(catalog) = folder.inner(CATALOG)? else { return Ok(false) };
    for name in catalog.names()? {
        let end = Path::new(&name).extension();
        let is_filled = || Ok::<_, Error>(catalog.about(&name)?.is_some_and(|found| found.bytes > 0));
        if end.is_some_and(|end| end == "sst") || end.is_some_and(|end| end == "log") && is_filled()? {
            return Ok(true);
        }
    }
    Ok(false)
}
