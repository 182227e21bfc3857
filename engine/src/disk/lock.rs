//! The lock of a database: one process holds it at a time, says which one it is, and notices when the folder is no longer the one
//! that it opened.

use std::fs::{File, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use super::folder::{Folder, Id, Whereabouts, about_file};
use super::{CATALOG, LOCK};
use crate::error::{Error, ErrorKind, Result};

/// Times the lock is taken again whose file was replaced meanwhile.
const TRIES: usize = 100;

/// The lock of a database, held until it is dropped; the operating system releases it when the process dies.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    id: Id,
    folder: Folder,
    /// What it wrote into the file, a part of which nobody else writes; nothing: the disk was full.
    signature: OnceLock<String>,
    /// What was found in the folder's place, once it was.
    displaced: OnceLock<String>,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a process that this one is just starting shares the open file for a moment, and with it the lock.
        let _closing_releases_it = self.file.unlock();
    }
}

impl Lock {
    /// Takes the lock of a database's folder, at once or not at all. Nothing is written: [`Lock::sign`] does that, when the folder has
    /// proved to be a database.
    ///
    /// # Errors
    /// `Locked`, with the process id of the holder, when another process or another handle of this one has it.
    pub(crate) fn take(folder: &Folder) -> Result<Self> {
        let io = |error| Error::io(&folder.path_of(LOCK), error);
        for _ in 0..TRIES {
            let mut file = folder.file_or_new(LOCK)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(held(folder, &mut file)),
                Err(TryLockError::Error(error)) => return Err(io(error)),
            }
            let held = about_file(&file).map_err(io)?;
            match folder.about(LOCK)? {
                // A file with other names as well is somebody else's: it is not written, and a new file gets the name.
                Some(found) if found.id == held.id && held.names > 1 => _ = folder.discard(LOCK)?,
                Some(found) if found.id == held.id => {
                    let (signature, displaced) = (OnceLock::new(), OnceLock::new());
                    return Ok(Self { file, id: held.id, folder: folder.clone(), signature, displaced });
                }
                // Another file has the name by now.
                _ => {}
            }
        }
        Err(Error::new(ErrorKind::Locked, format!("{} changes all the time", folder.path_of(LOCK).display()))
            .help("another program keeps replacing it: stop that program, and try again"))
    }

    /// Writes who holds the lock. From then on [`Lock::check`] looks.
    pub(crate) fn sign(&self) {
        let [first, second] = [0u8, 1].map(|half| RandomState::new().hash_one(half));
        let text = format!("{}\n{first:016x}{second:016x}\n", std::process::id());
        // The process id is for people: if it cannot be written, on a full disk for one, the lock still holds.
        let mut file = &self.file;
        let written = file.rewind().and_then(|()| file.write_all(text.as_bytes()));
        let cut = written.and_then(|()| file.set_len(text.len() as u64));
        let _signed_once = self.signature.set(if cut.is_ok() { text } else { String::new() });
    }

    /// Whether what lies at the path is still the folder that was opened, with this lock and this catalog in it. Once it was not, it
    /// stays so: what was written meanwhile is elsewhere.
    ///
    /// Complexity: seven calls of the system, none of which reads from the disk.
    ///
    /// # Errors
    /// `Displaced`.
    pub(crate) fn check(&self, catalog: &Folder) -> Result<()> {
        let Some(signature) = self.signature.get() else { return Ok(()) };
        if self.displaced.get().is_none() {
            match self.difference(signature, catalog)? {
                Some(difference) => _ = self.displaced.set(difference),
                None => return Ok(()),
            }
        }
        self.displaced.get().map_or(Ok(()), |difference| Err(self.error(difference)))
    }

    /// What is otherwise than it was.
    fn difference(&self, signature: &str, catalog: &Folder) -> Result<Option<String>> {
        let path = self.folder.path().display();
        if self.folder.id_at_path() != Some(self.folder.id()?) {
            return Ok(Some(format!("{path} was moved, deleted or replaced")));
        }
        let is_there = |name, id| Ok::<_, Error>(self.folder.about(name)?.is_some_and(|found| found.id == id));
        if !is_there(LOCK, self.id)? {
            return Ok(Some(format!("the file LOCK of {path} was deleted or replaced")));
        }
        if !is_there(CATALOG, catalog.id()?)? {
            return Ok(Some(format!("the catalog of {path} was moved, deleted or replaced")));
        }
        // Without it no file of a catalog is found again, whatever this process has open.
        if catalog.about("CURRENT")?.is_none() {
            return Ok(Some(format!("the files of the catalog of {path} were removed")));
        }
        let mut found = vec![0; signature.len()];
        let is_ours = self.file.read_exact_at(&mut found, 0).is_ok() && found == signature.as_bytes();
        Ok((!is_ours).then(|| format!("another process wrote the file LOCK of {path}")))
    }

    fn error(&self, difference: &str) -> Error {
        let now = match self.folder.whereabouts() {
            Whereabouts::At(now) if std::path::absolute(self.folder.path()).is_ok_and(|path| path == now) => {
                let message = format!("{difference} while this process had it open; it accepts no more writes");
                return Error::new(ErrorKind::Displaced, message).help(
                    "restore the removed files, or restore a backup; this process can still read what it has in memory",
                );
            }
            Whereabouts::At(now) => format!(", now {}", now.display()),
            Whereabouts::Deleted => ", which was deleted".to_owned(),
            Whereabouts::Unknown => String::new(),
        };
        let message = format!(
            "{difference} while this process had it open; acknowledged writes are in the folder that was opened{now}; it accepts no more writes"
        );
        Error::new(ErrorKind::Displaced, message)
            .help("reading continues; to write, end this program and open the database at its present place")
    }
}

fn held(folder: &Folder, file: &mut File) -> Error {
    /// What to do about another process.
    const HELD: &str =
        "close that program, or wait for it, and try again; reading works beside it (open it for reading only)";
    /// More than a process id takes.
    const MOST_BYTES: u64 = 64;
    let mut text = String::new();
    let _unreadable = file.take(MOST_BYTES).read_to_string(&mut text);
    let own = std::process::id().to_string();
    let (holder, help) = match text.lines().next().map_or("", str::trim) {
        pid if pid == own => (
            format!("process {pid}, which is this one"),
            "drop the clones and the snapshots of the database that are left, or use one of them",
        ),
        "" => ("another process".to_owned(), HELD),
        pid => (format!("process {pid}"), HELD),
    };
    Error::new(ErrorKind::Locked, format!("{} is held by {holder}", folder.path().display())).help(help)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// A folder with a catalog, locked and signed.
    fn held_at(path: &Path) -> (Lock, Folder) {
        std::fs::create_dir_all(path.join(CATALOG)).unwrap();
        std::fs::write(path.join(CATALOG).join("CURRENT"), "MANIFEST-000001\n").unwrap();
        let folder = Folder::open(path).unwrap();
        let lock = Lock::take(&folder).unwrap();
        lock.sign();
        (lock, folder.within(CATALOG).unwrap())
    }

    /// It catches each comparison of [`Lock::difference`] that is left out.
    #[test]
    fn a_folder_that_is_no_longer_the_opened_one_is_noticed() {
        type Change = fn(&Path);
        let changes: [(&str, Change); 8] = [
            ("was moved", |path| std::fs::rename(path, path.with_extension("old")).unwrap()),
            ("was moved, deleted or replaced", |path| std::fs::remove_dir_all(path).unwrap()),
            ("was moved, deleted or replaced", |path| {
                std::fs::rename(path, path.with_extension("old")).unwrap();
                std::fs::create_dir_all(path.join(CATALOG)).unwrap();
                std::fs::hard_link(path.with_extension("old").join(LOCK), path.join(LOCK)).unwrap();
            }),
            ("LOCK", |path| std::fs::remove_file(path.join(LOCK)).unwrap()),
            ("LOCK", |path| {
                let text = std::fs::read(path.join(LOCK)).unwrap();
                std::fs::write(path.join("other"), text).unwrap();
                std::fs::rename(path.join("other"), path.join(LOCK)).unwrap();
            }),
            ("another process wrote the file LOCK", |path| std::fs::write(path.join(LOCK), "1\n").unwrap()),
            ("the files of the catalog", |path| std::fs::remove_file(path.join(CATALOG).join("CURRENT")).unwrap()),
            ("the catalog", |path| {
                std::fs::rename(path.join(CATALOG), path.join("catalog.old")).unwrap();
                std::fs::create_dir(path.join(CATALOG)).unwrap();
            }),
        ];
        for (number, (difference, change)) in changes.into_iter().enumerate() {
            let place = tempfile::tempdir().unwrap();
            let path = place.path().canonicalize().unwrap().join("db");
            let (lock, catalog) = held_at(&path);
            lock.check(&catalog).unwrap();
            change(&path);
            let error = lock.check(&catalog).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Displaced);
            assert!(error.message().contains(difference), "{number}: {error}");
            // It stays so, also when the folder comes back.
            let _absent = std::fs::remove_dir_all(&path);
            let _absent = std::fs::rename(path.with_extension("old"), &path);
            assert_eq!(lock.check(&catalog).unwrap_err().kind(), ErrorKind::Displaced);
        }
    }

    #[test]
    fn nothing_is_written_before_the_lock_is_signed_nor_into_a_file_with_other_names() {
        let place = tempfile::tempdir().unwrap();
        let (path, theirs) = (place.path().join("db"), place.path().join("theirs"));
        std::fs::create_dir_all(path.join(CATALOG)).unwrap();
        std::fs::write(path.join(CATALOG).join("CURRENT"), "MANIFEST-000001\n").unwrap();
        std::fs::write(path.join(LOCK), "of somebody").unwrap();
        let folder = Folder::open(&path).unwrap();
        drop(Lock::take(&folder).unwrap());
        assert_eq!(std::fs::read(path.join(LOCK)).unwrap(), b"of somebody");
        std::fs::rename(path.join(LOCK), &theirs).unwrap();
        std::fs::hard_link(&theirs, path.join(LOCK)).unwrap();
        let lock = Lock::take(&folder).unwrap();
        lock.sign();
        lock.check(&folder.within(CATALOG).unwrap()).unwrap();
        assert_eq!(std::fs::read(&theirs).unwrap(), b"of somebody");
        let told = Lock::take(&folder).unwrap_err();
        assert!(
            told.message().ends_with(&format!("is held by process {}, which is this one", std::process::id())),
            "{told}"
        );
    }
}
