//! Commits to the catalog, by the writer and beside it; after a failed one there are no more until it is known what was stored.
//!
//! A full disk is detected here and not in RocksDB: a write that may not fit is refused with the bytes that it needs, while
//! everything else continues. If another program took the space meanwhile, RocksDB stops, and resumes writing when there is
//! space.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::catalog::{Batch, Catalog, LISTS, ROOM_TO_COMPACT};
use crate::disk::{Folder, RESERVE_BYTES, free_bytes, is_set_aside, only_read, release, too_full};
use crate::error::{Error, ErrorKind, Result};

/// What is said when a write neither succeeded nor failed: foreign code panicked in it.
const CUT_SHORT: &str = "it was interrupted";
/// With this many bytes free beyond its own size, a write needs no closer check: the log and its tables take less.
const AMPLE: u64 = 256 << 20;
/// Bytes of log that are worth becoming tables when the disk gets full.
const WORTH_A_FLUSH: u64 = 1 << 20;
/// Times and pauses of looking whether the log is gone behind a flush.
const FLUSH_LOOKS: usize = 10;
const FLUSH_LOOK: Duration = Duration::from_millis(5);
/// Bytes beside its own that a deletion needs.
const FOR_A_DELETION: u64 = 256 << 10;

/// Why no more commits are taken.
#[derive(Clone)]
struct Poison {
    cause: String,
    /// The disk was full after RocksDB had accepted this many changes: if the number is the same when RocksDB accepts writes
    /// again, nothing of the failed write is stored.
    full_at: Option<u64>,
}

/// The way to the catalog.
pub(crate) struct Commits {
    folder: Folder,
    catalog: Arc<Catalog>,
    /// Why a commit failed: what is on disk is uncertain until the database is opened again, or has healed.
    poison: Mutex<Option<Poison>>,
    closed: AtomicBool,
}

impl Commits {
    /// The way to the catalog of the database in `folder`.
    pub(crate) fn new(folder: Folder, catalog: Arc<Catalog>) -> Self {
        Self { folder, catalog, poison: Mutex::new(None), closed: AtomicBool::new(false) }
    }

    /// The catalog.
    pub(crate) fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Takes no more commits, because the database was closed.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Whether it was closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Why no more commits are taken, and what ends that, if so.
    pub(crate) fn poison(&self) -> Option<String> {
        self.poison.lock().as_ref().map(|Poison { cause, full_at }| match full_at {
            Some(_) => format!("until {} are free: {cause}", mebibytes(self.catalog.resumed_from())),
            None => format!("until it is opened again: {cause}"),
        })
    }

    /// Takes no more commits.
    pub(crate) fn set_poison(&self, cause: &str) {
        self.set(Poison { cause: cause.to_owned(), full_at: None });
    }

    fn set(&self, poison: Poison) {
        self.poison.lock().get_or_insert(poison);
    }

    /// # Errors
    /// `Displaced`: the folder that was opened is not at its path any more; `DiskFull`: a commit met a full disk; `Io`: one failed
    /// otherwise; `Invalid`: the database was closed; `ReadOnly`: it was opened for reading only.
    pub(crate) fn refuse(&self) -> Result<()> {
        if self.is_closed() {
            return Err(Error::invalid("the database was closed").help("open it again"));
        }
        if let Some(poison) = &*self.poison.lock() {
            self.catalog.check_place()?;
            let message = format!("an earlier write failed, so the database accepts no more writes; {}", poison.cause);
            return Err(match poison.full_at {
                Some(_) => Error::new(ErrorKind::DiskFull, message).help(format!(
                    "reading continues, and writing resumes some seconds after {} are free on that disk",
                    mebibytes(self.catalog.resumed_from())
                )),
                None => Error::new(ErrorKind::Io, message)
                    .help("reading continues; close the database and open it again to see what was stored"),
            });
        }
        if self.catalog.is_read_only() {
            return Err(only_read(&self.folder));
        }
        Ok(())
    }

    /// Commits what `fill` puts into a batch.
    ///
    /// # Errors
    /// Those of `fill` and of [`Commits::commit_batch`].
    pub(crate) fn commit(&self, fill: impl FnOnce(&mut Batch<'_>) -> Result<()>) -> Result<()> {
        self.refuse()?;
        let mut batch = Batch::new(&self.catalog);
        fill(&mut batch)?;
        self.commit_batch(batch)
    }

    /// Commits a batch.
    ///
    /// # Errors
    /// `DiskFull`, with which nothing changed, and smaller batches and deletions are taken; or any kind, after which nothing more is
    /// taken.
    pub(crate) fn commit_batch(&self, batch: Batch<'_>) -> Result<()> {
        self.make_room(&batch)?;
        let watched = self.watch();
        let before = self.catalog.changes();
        let committed = batch.commit();
        if let Err(error) = &committed {
            let full_at = error.is_disk_full().then_some(before);
            self.set(Poison { cause: error.message().to_owned(), full_at });
            if full_at.is_some() {
                // It is what RocksDB may need to take writes again, and opening writes a little.
                release(&self.folder);
            }
        }
        watched.over();
        committed
    }

    /// The bytes that must be free for a batch of this size: its own in the log, the tables that the log becomes, and the
    /// reserve.
    fn needed(&self, batch: u64) -> u64 {
        let aside = if is_set_aside(&self.folder) { 0 } else { RESERVE_BYTES };
        batch + self.catalog.flush_bytes() + LISTS + aside
    }

    /// Refuses a batch that may not fit on the disk. What is owed may take what was set aside.
    fn make_room(&self, batch: &Batch<'_>) -> Result<()> {
        let bytes = batch.bytes();
        let free = || free_bytes(&self.folder).filter(|&free| free < AMPLE + bytes);
        let Some(mut now) = free() else { return Ok(()) };
        if now < ROOM_TO_COMPACT + bytes {
            self.catalog.be_frugal()?;
        }
        if batch.is_owed() {
            let needed = bytes + FOR_A_DELETION;
            if now >= needed {
                return Ok(());
            }
            if release(&self.folder) && free().is_none_or(|now| now >= needed) {
                return Ok(());
            }
            return Err(too_full(&self.folder, "this write", needed, free().unwrap_or(now)));
        }
        if now >= self.needed(bytes) {
            return Ok(());
        }
        if self.catalog.logged() >= WORTH_A_FLUSH && self.catalog.flush().is_ok() {
            // Tables take the place of the log, which goes a little later.
            for _ in 0..FLUSH_LOOKS {
                let Some(flushed) = free() else { return Ok(()) };
                now = flushed;
                if now >= self.needed(bytes) {
                    return Ok(());
                }
                std::thread::sleep(FLUSH_LOOK);
            }
        }
        let needed = self.needed(bytes);
        if now >= needed { Ok(()) } else { Err(too_full(&self.folder, "this write", needed, now)) }
    }

    /// What keeps a small write from being stored, in words; `None`: nothing, as far as is known.
    pub(crate) fn shortage(&self) -> Option<String> {
        let free = free_bytes(&self.folder).filter(|_| !self.catalog.is_read_only())?;
        let needed = self.needed(0);
        (free < needed)
            .then(|| format!("the disk is full: {} are free, but writing needs {}", mebibytes(free), mebibytes(needed)))
    }

    /// Accepts commits again once RocksDB does and nothing of the failed one is stored; `true`: it does now. The caller holds off
    /// other writers.
    pub(crate) fn heal(&self) -> bool {
        let mut poison = self.poison.lock();
        let Some(Poison { full_at: Some(before), cause }) = poison.clone() else { return false };
        if self.catalog.changes() != before {
            // It was stored and said to have failed, so what is in memory is not what is stored.
            *poison = Some(Poison { cause, full_at: None });
            return false;
        }
        let heals = self.catalog.try_write().is_ok();
        if heals {
            *poison = None;
        }
        heals
    }

    /// Until it is over, a panic leaves a database that takes no more writes.
    pub(crate) fn watch(&self) -> Watched<'_> {
        Watched { commits: self }
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

/// A write whose outcome is not known yet.
pub(crate) struct Watched<'c> {
    commits: &'c Commits,
}

impl Watched<'_> {
    /// The outcome is known.
    pub(crate) fn over(self) {
        std::mem::forget(self);
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.commits.set_poison(CUT_SHORT);
    }
}
