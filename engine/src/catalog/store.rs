//! The RocksDB handle that the views of all spaces share, and what they must agree on.

use parking_lot::{Mutex, RwLock};
use rocksdb::DB;

use crate::disk::Lock;
use crate::id::{SegmentId, SpaceId};

/// The handle and its lock.
pub(super) struct Store {
    pub(super) db: DB,
    // Behind `db`, so that it is released when RocksDB is closed: a snapshot may outlive its `Database`.
    lock: Option<Lock>,
    /// Every space that has, or had and may keep, descriptors.
    pub(super) spaces: RwLock<Vec<SpaceId>>,
    /// The number after the last one given to a segment in this process: two spaces may make segments at once.
    given: Mutex<u64>,
}

impl Store {
    pub(super) fn new(db: DB, lock: Option<Lock>) -> Self {
        Self { db, lock, spaces: RwLock::new(vec![SpaceId::FIRST]), given: Mutex::new(0) }
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.lock.is_none()
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
