//! Commits to the catalog, by the writer and beside it; after one that failed there are no more.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::catalog::{Batch, Catalog};
use crate::disk::{Folder, only_read, release};
use crate::error::{Error, ErrorKind, Result};

/// What is said when a write neither succeeded nor failed: foreign code panicked in it.
const CUT_SHORT: &str = "it was cut short";

/// The way to the catalog.
pub(super) struct Commits {
    folder: Folder,
    catalog: Arc<Catalog>,
    /// Why a commit failed: what is on disk is uncertain until the database is opened again.
    poison: Mutex<Option<String>>,
}

impl Commits {
    /// The way to the catalog of the database in `folder`.
    pub(super) fn new(folder: Folder, catalog: Arc<Catalog>) -> Self {
        Self { folder, catalog, poison: Mutex::new(None) }
    }

    /// The catalog.
    pub(super) fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Why no more commits are taken, if so.
    pub(super) fn poison(&self) -> Option<String> {
        self.poison.lock().clone()
    }

    /// Takes no more commits.
    pub(super) fn set_poison(&self, cause: &str) {
        self.poison.lock().get_or_insert_with(|| cause.to_owned());
    }

    /// # Errors
    /// `Displaced`: the folder that was opened is not at its path any more; `Io`: a commit failed; `ReadOnly`: the database was opened
    /// for reading only.
    pub(super) fn refuse(&self) -> Result<()> {
        if let Some(cause) = self.poison() {
            self.catalog.check_place()?;
            let message = format!("an earlier write failed, so the database takes no more writes; {cause}");
            return Err(Error::new(ErrorKind::Io, message)
                .help("reading goes on; close the database and open it again to see what was stored"));
        }
        if self.catalog.is_read_only() {
            return Err(only_read(&self.folder));
        }
        Ok(())
    }

    /// Commits what `fill` puts into a batch.
    ///
    /// # Errors
    /// Those of `fill`, with which nothing changed; `Io`, after which nothing more is taken.
    pub(super) fn commit(&self, fill: impl FnOnce(&mut Batch<'_>) -> Result<()>) -> Result<()> {
        self.refuse()?;
        let mut batch = Batch::new(&self.catalog);
        fill(&mut batch)?;
        self.commit_batch(batch)
    }

    /// Commits a batch.
    ///
    /// # Errors
    /// `Io`, after which nothing more is taken.
    pub(super) fn commit_batch(&self, batch: Batch<'_>) -> Result<()> {
        let watched = self.watch();
        let committed = batch.commit();
        if let Err(error) = &committed {
            self.set_poison(error.message());
            if error.is_disk_full() {
                // Opening again writes a little.
                release(&self.folder);
            }
        }
        watched.over();
        committed
    }

    /// Until it is over, a panic leaves a database that takes no more writes.
    pub(super) fn watch(&self) -> Watched<'_> {
        Watched { commits: self }
    }
}

/// A write whose outcome is not known yet.
pub(super) struct Watched<'c> {
    commits: &'c Commits,
}

impl Watched<'_> {
    /// The outcome is known.
    pub(super) fn over(self) {
        std::mem::forget(self);
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.commits.set_poison(CUT_SHORT);
    }
}
