//! What keeps a database sound over the years: checks, backups, repairs.

use std::fmt;
use std::path::Path;

use super::database::Database;
use crate::answer::CheckReport;
use crate::disk::release;
use crate::error::Result;
use crate::motion::{backup, repair};

/// How much a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Files.
    pub files: usize,
    /// Bytes in them; on one file system most are shared with the database.
    pub bytes: u64,
}

impl fmt::Display for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files, {:.1} MB", self.files, self.bytes as f64 / 1e6)
    }
}

impl From<(usize, u64)> for Copied {
    fn from((files, bytes): (usize, u64)) -> Self {
        Self { files, bytes }
    }
}

impl Database {
    /// Whether what is stored agrees with itself; with `deep`, whether every list, floor and prediction equals a recompute and every
    /// byte of the catalog and the segments is what was written. Reads and writes go on meanwhile.
    ///
    /// Complexity: reads records, lists and postings once; `deep`: every file, photos included, and `O(index * train)` similarities.
    ///
    /// # Errors
    /// Only when the folder cannot be listed at all; what is wrong is in the report.
    pub fn check(&self, deep: bool) -> Result<CheckReport> {
        let _no_flip = self.shared.gate.read();
        self.shared.core().check(deep)
    }

    /// Copies the database, as it is at one moment, into a folder that does not exist or is empty. Writes go on meanwhile.
    ///
    /// On the same file system the files are shared by hard links, which protects from mistakes and from lost folders, not from a
    /// dying disk: back up to another one for that.
    ///
    /// # Errors
    /// `AlreadyExists`, `Io`.
    pub fn backup(&self, to: &Path) -> Result<Copied> {
        let _no_flip = self.shared.gate.read();
        self.shared.core().backup(to).map(Copied::from)
    }

    /// Reads every file of a backup and compares it with what was backed up.
    ///
    /// # Errors
    /// `NotFound`: no backup; `Corrupt`: what differs.
    pub fn verify_backup(folder: &Path) -> Result<Copied> {
        backup::verify(folder).map(Copied::from)
    }

    /// Verifies a backup and copies it into a folder that does not exist or is empty; then that folder is a database.
    ///
    /// # Errors
    /// As [`Database::verify_backup`]; `AlreadyExists`; `Io`.
    pub fn restore_backup(from: &Path, to: &Path) -> Result<Copied> {
        backup::restore(from, to).map(Copied::from)
    }

    /// Makes a database usable again that cannot be opened, or whose check found something wrong, from whatever images can still be
    /// read. Returns what was found and done, line by line. Make a copy of the folder first.
    ///
    /// # Errors
    /// `Locked`; `Corrupt` when not even the options can be read; `Invalid`: a name of ours is a link, a pipe, ..; `Io`.
    pub fn repair(folder: &Path) -> Result<Vec<String>> {
        let folder = Self::opened_folder(folder)?;
        match repair::repair(&folder) {
            // What was set aside for a full disk may be enough for it.
            Err(error) if error.is_disk_full() && release(&folder) => repair::repair(&folder),
            repaired => repaired,
        }
    }
}
