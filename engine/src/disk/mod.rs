//! The folder of a database: its lock, its contents, and files that are on the disk before anything names them.

mod contents;
mod fault;
mod file;
mod folder;
mod known;
mod lock;
mod reserve;
mod room;
mod unfinished;

pub(crate) use contents::{
    MOST_CURRENT, is_of_catalog, is_of_segments, look_at_catalog, look_at_database, refuse_shared_lists,
};
pub use fault::{Faults, install_faults};
pub(crate) use fault::{point, sees_room, syncs};
pub(crate) use file::{copy_file, link_or_copy, make_folder, write_whole};
pub(crate) use folder::{Folder, Kind};
pub(crate) use known::{Origin, Record};
pub(crate) use lock::Lock;
pub(crate) use reserve::{RESERVE_BYTES, is_set_aside, release, set_aside};
pub(crate) use room::{free_bytes, must_fit, too_full};
pub(crate) use unfinished::{Making, What, refuse_unfinished};

use crate::error::{Error, ErrorKind, Result};

/// Who holds the database.
pub(crate) const LOCK: &str = "LOCK";
/// The folder of the catalog.
pub(crate) const CATALOG: &str = "catalog";
/// The folder of the segment files.
pub(crate) const SEGMENTS: &str = "segments";
/// The columns saved when a database was closed.
pub(crate) const COLUMNS: &str = "columns";
/// The neighbour graph saved for another process.
pub(crate) const NEIGHBOURS: &str = "neighbours";
/// The side file of the last acknowledged write.
pub(crate) const ACKNOWLEDGED: &str = "acknowledged";
/// Which files of the catalog this machine has written or read through.
const KNOWN: &str = "known";
/// The space set aside for a full disk.
const RESERVE: &str = "reserve";
/// Files that a program keeps of its trainings.
pub(crate) const TRAINING: &str = "training";
/// The list of a backup's files: a folder that has one is a backup.
pub(crate) const BACKUP: &str = "BACKUP";

/// Whether a folder is a backup, which is only read: a change would make its list wrong, and it could not be restored any more.
///
/// # Errors
/// `Io`.
pub(crate) fn is_backup(folder: &Folder) -> Result<bool> {
    Ok(folder.about(BACKUP)?.is_some())
}

/// Why a folder that was opened for reading is not changed.
pub(crate) fn only_read(folder: &Folder) -> Error {
    let shown = folder.path().display();
    if is_backup(folder).unwrap_or(false) {
        let what = format!("{shown} is a backup, which is read-only");
        return Error::new(ErrorKind::ReadOnly, what).help(format!("restore it first: cairn restore {shown} NEW"));
    }
    Error::new(ErrorKind::ReadOnly, "the database was opened for reading only")
        .help("use the program that holds it for writing, or open it for writing after that program has closed it")
}
