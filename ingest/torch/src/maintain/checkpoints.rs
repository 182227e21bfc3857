//! The folder where interrupted trainings keep their state: a file each, named by what is trained, so that another training
//! neither resumes from it nor fails because of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use cairn::model::HeldFolder;
use cairn::{Error, ErrorKind, Result};

/// The log's name.
const LOG: &str = "log.csv";
/// The plot's name.
const PLOT: &str = "loss.html";
/// What the name of a checkpoint begins with.
const PREFIX: &str = "checkpoint-";
/// States of other trainings that are kept; the oldest of more are removed.
const KEPT: usize = 2;
/// Characters of a digest in a name.
const DIGITS: usize = 16;

/// Folders of the databases on which a training goes on in this process; no other one has them open.
static BUSY: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// The right to train on a database: a second training beside the first would write the same log and the same state.
pub(super) struct Alone(PathBuf);

impl Alone {
    /// For as long as it is held.
    ///
    /// # Errors
    /// `Locked`: another training goes on.
    pub(super) fn on(database: &Path) -> Result<Self> {
        let mut busy = BUSY.lock().unwrap_or_else(PoisonError::into_inner);
        if busy.insert(database.to_owned()) {
            return Ok(Self(database.to_owned()));
        }
        Err(Error::new(ErrorKind::Locked, "another training is running")
            .help("wait until it ends; a cancelled one stops after its next step"))
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        BUSY.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

/// The files of one training.
pub(super) struct Files {
    folder: HeldFolder,
    /// State of the training while it runs, and after it was cut short.
    pub(super) checkpoint: PathBuf,
    /// A line a step (CSV).
    pub(super) log: PathBuf,
    /// Page with the loss.
    pub(super) plot: PathBuf,
}

impl Files {
    /// Those of the training of that identity (options and what is learnt from), in the database's folder of trainings.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn new(folder: HeldFolder, identity: &[&str]) -> Result<Self> {
        let mut hasher = blake3::Hasher::new();
        for part in identity {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let digest = hasher.finalize().to_hex();
        let digest: String = digest.chars().take(DIGITS).collect();
        let files = Self {
            checkpoint: folder.path().join(format!("{PREFIX}{digest}")),
            log: folder.path().join(LOG),
            plot: folder.path().join(PLOT),
            folder,
        };
        files.prune()?;
        Ok(files)
    }

    /// Where people find the log and the plot.
    pub(super) fn shown(&self) -> [(&'static str, String); 2] {
        [("log", LOG), ("plot", PLOT)].map(|(what, name)| (what, self.folder.shown(name).display().to_string()))
    }

    /// The name of the state's file.
    pub(super) fn name(&self) -> String {
        self.checkpoint.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The training is over: another one of the same identity must not go on from it.
    pub(super) fn done(&self) -> Result<()> {
        remove(&self.checkpoint)
    }

    /// Removes the state of a training that was killed behind its last step, by the name of its file.
    pub(super) fn clear(&self, name: &str) -> Result<()> {
        if name.starts_with(PREFIX) && Path::new(name).components().count() == 1 {
            remove(&self.folder.path().join(name))
        } else {
            Ok(())
        }
    }

    /// Removes the states of trainings that nobody came back to.
    fn prune(&self) -> Result<()> {
        let io = |error| Error::io(self.folder.path(), error);
        let mut others: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in std::fs::read_dir(self.folder.path()).map_err(io)? {
            let entry = entry.map_err(io)?;
            let is_plain = entry.file_type().map_err(io)?.is_file();
            let is_checkpoint = entry.file_name().to_string_lossy().starts_with(PREFIX);
            if is_plain && is_checkpoint && entry.path() != self.checkpoint {
                let written = entry.metadata().and_then(|about| about.modified()).map_err(io)?;
                others.push((written, entry.path()));
            }
        }
        others.sort();
        let surplus = others.len().saturating_sub(KEPT);
        others.iter().take(surplus).try_for_each(|(_, path)| remove(path))
    }
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn one_training_at_a_time_on_a_database() {
        let first = Alone::on(Path::new("a")).unwrap();
        assert_eq!(Alone::on(Path::new("a")).err().unwrap().kind(), ErrorKind::Locked);
        assert!(Alone::on(Path::new("b")).is_ok());
        drop(first);
        assert!(Alone::on(Path::new("a")).is_ok());
    }

    #[test]
    fn each_training_has_a_state_of_its_own_and_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let database = cairn::Database::create(folder.path().join("db"), cairn::Options::for_vectors(2)).unwrap();
        let its = database.training_folder().unwrap();
        let files = |name: &str| Files::new(its.clone(), &["options", name]).unwrap();
        assert_eq!(files("a").checkpoint, files("a").checkpoint);
        assert_ne!(files("a").checkpoint, Files::new(its.clone(), &["option", "sa"]).unwrap().checkpoint);
        for name in ["a", "b", "c"] {
            std::fs::write(files(name).checkpoint, name).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        std::fs::write(&files("d").log, "a log is no state").unwrap();
        assert!(!files("a").checkpoint.exists() && files("b").checkpoint.exists() && files("c").checkpoint.exists());
        files("c").done().unwrap();
        files("c").done().unwrap();
        files("d").clear(&files("b").name()).unwrap();
        files("d").clear("log.csv").unwrap();
        assert!(!files("b").checkpoint.exists());
        assert!(!files("c").checkpoint.exists() && files("d").log.exists());
    }
}
