//! One process holds a database at a time, and says who it is.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// Its name in the folder of a database.
pub(crate) const LOCK_FILE: &str = "LOCK";

/// The lock of a database, held until it is dropped; the operating system releases it when the process dies.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a process that this one is just starting shares the open file for a moment, and with it the lock.
        let _closing_releases_it = self.file.unlock();
    }
}

impl Lock {
    /// Takes the lock of a database's folder, at once or not at all.
    ///
    /// # Errors
    /// `Locked`, with the process id of the holder, when another process or another handle of this one has it.
    pub(crate) fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(LOCK_FILE);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.map_err(|error| Error::io(&path, error))?;
        match file.try_lock() {
            Ok(()) => {
                // The text is for people: if it cannot be written, on a full disk for one, the lock still holds.
                let pid = format!("{}\n", std::process::id());
                let _unwritten =
                    file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(pid.as_bytes()));
                Ok(Self { file })
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _unreadable = file.read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => "another process".to_owned(),
                    pid => format!("process {pid}"),
                };
                Err(Error::new(ErrorKind::Locked, format!("{} is held by {holder}", folder.display()))
                    .help("close that program, or wait for it, and try again"))
            }
            Err(TryLockError::Error(error)) => Err(Error::io(&path, error)),
        }
    }
}
