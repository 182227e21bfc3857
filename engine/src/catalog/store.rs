//! The RocksDB handle that the views of all spaces share, with their common numbers.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use rocksdb::DB;

use super::tables::Work;
use crate::disk::{Folder, Lock, Origin, Record};
use crate::error::Result;
use crate::id::{SegmentId, SpaceId};
use crate::process::fork;
use crate::process::leaving::{Inside, Leave, inside_slow, register};

/// The handle. Every call to RocksDB through it is made inside the gate (`process/leaving.rs`).
pub(super) struct Handle {
    db: DB,
    /// Behind `db`, whose threads reach their files through it until RocksDB is closed.
    pub(super) folder: Folder,
    /// Compactions that callers asked for and that are under way.
    compactions: AtomicUsize,
}

impl Handle {
    /// What is held while a caller compacts.
    pub(super) fn compacting(&self) -> Compacting<'_> {
        self.compactions.fetch_add(1, Ordering::SeqCst);
        Compacting(self)
    }
}

/// A compaction that may be cut short when the process ends.
pub(super) struct Compacting<'h>(&'h Handle);

impl Drop for Compacting<'_> {
    fn drop(&mut self) {
        self.0.compactions.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Deref for Handle {
    type Target = DB;

    fn deref(&self) -> &DB {
        &self.db
    }
}

impl Leave for Handle {
    fn hurry(&self) {
        // It may take minutes, and nothing is lost with it.
        if self.compactions.load(Ordering::SeqCst) > 0 {
            self.db.cancel_all_background_work(false);
        }
    }

    fn stop(&self) {
        self.db.cancel_all_background_work(true);
    }
}

/// The lock, and with it the word for the files: when they are let go, they are noted as known, if they may be.
struct Held {
    /// `None`: the catalog is only read.
    lock: Option<Lock>,
    /// The database's folder, once this machine is known to have written its catalog or looked through it.
    vouched: OnceLock<Folder>,
    catalog: Folder,
}

impl Held {
    /// Whether what lies at the database's path is still what was opened.
    fn check_place(&self) -> Result<()> {
        self.lock.as_ref().map_or(Ok(()), |lock| lock.check(&self.catalog))
    }

    fn note(&self) {
        let Some(folder) = self.vouched.get() else { return };
        if self.check_place().is_ok() {
            // Without it the next opening takes longer.
            let _slower = Record::now(folder).and_then(|record| record.note(folder));
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.note();
    }
}

/// The handle and its lock.
pub(super) struct Store {
    /// Separate from the store, so that RocksDB's threads can be stopped while the thread that closes the store waits at the
    /// gate.
    pub(super) db: Arc<Handle>,
    // Behind `db`, so that it is let go when RocksDB is closed: a snapshot may outlive its `Database`.
    held: Held,
    /// Every space that has, or had and may keep, descriptors.
    pub(super) spaces: RwLock<Vec<SpaceId>>,
    /// The number after the last one given to a segment in this process: two spaces may make segments at once.
    given: Mutex<u64>,
    /// RocksDB compacts nothing by itself.
    pub(super) holds_compactions: AtomicBool,
    /// Where it was opened.
    origin: fork::Origin,
    /// Behind everything that is closed.
    closing: Option<Inside>,
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.origin.is_elsewhere() {
            // RocksDB would wait for its threads, and the lock is the other process's.
            std::mem::forget(Arc::clone(&self.db));
            std::mem::forget(self.held.lock.take());
            // Nor is the word for the files this one's to give.
            self.held.vouched = OnceLock::new();
            return;
        }
        self.closing = Some(inside_slow());
    }
}

impl Store {
    pub(super) fn new(db: DB, folder: Folder, lock: Option<Lock>) -> Self {
        let held = Held { lock, vouched: OnceLock::new(), catalog: folder.clone() };
        let db = Arc::new(Handle { db, folder, compactions: AtomicUsize::new(0) });
        register(&db);
        Self {
            db,
            held,
            spaces: RwLock::new(vec![SpaceId::FIRST]),
            given: Mutex::new(0),
            holds_compactions: AtomicBool::new(false),
            origin: fork::Origin::here(),
            closing: None,
        }
    }

    /// # Errors
    /// `Forked`: this process is a fork of the one that opened it.
    pub(super) fn refuse_in_fork(&self) -> Result<()> {
        self.origin.refuse_elsewhere()
    }

    /// It was opened to work so.
    pub(super) fn at(self, work: &Work) -> Self {
        self.holds_compactions.store(work.holds_compactions, Ordering::Relaxed);
        self
    }

    /// Its files may be noted as known from now on: this machine made them, or looked through them.
    pub(super) fn vouch(&self, folder: &Folder) {
        if self.is_read_only() {
            return;
        }
        let _once = self.held.vouched.set(folder.clone());
        // What follows adds to what is known, also where nobody closes it.
        if Record::now(folder).is_ok_and(|record| record.origin(folder) == Origin::Foreign) {
            self.held.note();
        }
    }

    /// Notes its files as they are now, if they may be noted.
    pub(super) fn note_known(&self) {
        self.held.note();
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.held.lock.is_none()
    }

    /// Whether what lies at the database's path is still what was opened.
    ///
    /// # Errors
    /// `Displaced`.
    pub(super) fn check_place(&self) -> Result<()> {
        self.held.check_place()
    }

    /// A segment number at or above `least` that nobody else gets in this process.
    pub(super) fn give_segment(&self, least: SegmentId) -> SegmentId {
        let mut given = self.given.lock();
        let number = least.0.max(*given);
        *given = number + 1;
        SegmentId(number)
    }

    /// The number after the last one given.
    pub(super) fn segments_given(&self) -> u64 {
        *self.given.lock()
    }
}
