//! Files beside the catalog that count only if the catalog knows their checksum: those of another origin, even with a valid one, are not
//! used.

use std::sync::Arc;

use super::{Batch, Catalog, Family, Pinned};
use crate::error::Result;

/// Checksum of the saved columns.
const COLUMNS_CHECK: &[u8] = b"columns";
/// Checksum and length of the saved neighbour graph.
const NEIGHBOURS_FILE: &[u8] = b"neighbours";

/// A file beside the catalog that counts only if it is the one that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoredFile {
    /// CRC-32 of its bytes.
    pub(crate) check: u32,
    /// Its length.
    pub(crate) bytes: u64,
}

impl Catalog {
    /// Records the checksum of the saved columns, unless it is recorded already: columns of another origin, even with a valid
    /// checksum, are not used.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn know_columns(self: &Arc<Self>, check: u32) -> Result<()> {
        if self.pin().columns_check()? == Some(check) {
            return Ok(());
        }
        let mut batch = Batch::new(self);
        batch.put(Family::Meta, COLUMNS_CHECK, &check.to_le_bytes())?;
        batch.commit()
    }

    /// Records the file of the neighbour graph, as [`Catalog::know_columns`].
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn know_neighbours(self: &Arc<Self>, file: StoredFile) -> Result<()> {
        if self.pin().neighbours_file()? == Some(file) {
            return Ok(());
        }
        let mut batch = Batch::new(self);
        batch.put(
            Family::Meta,
            NEIGHBOURS_FILE,
            &[&file.check.to_le_bytes()[..], &file.bytes.to_le_bytes()].concat(),
        )?;
        batch.commit()
    }

    /// Records that no file of the neighbour graph counts, as before another one is written.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn forget_neighbours(self: &Arc<Self>) -> Result<()> {
        if self.pin().get(Family::Meta, NEIGHBOURS_FILE)?.is_none() {
            return Ok(());
        }
        let mut batch = Batch::new(self);
        batch.delete(Family::Meta, NEIGHBOURS_FILE)?;
        batch.commit()
    }
}

impl Pinned {
    /// The checksum of the columns that were saved last; `None`: nobody noted one.
    pub(crate) fn columns_check(&self) -> Result<Option<u32>> {
        let stored = self.get(Family::Meta, COLUMNS_CHECK)?;
        Ok(stored.and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes))
    }

    /// The file of the neighbour graph that was saved last; `None`: nobody noted one.
    pub(crate) fn neighbours_file(&self) -> Result<Option<StoredFile>> {
        let stored = self.get(Family::Meta, NEIGHBOURS_FILE)?.unwrap_or_default();
        let parts = stored.split_first_chunk::<4>().and_then(|(check, bytes)| Some((check, bytes.try_into().ok()?)));
        Ok(parts
            .map(|(&check, bytes)| StoredFile { check: u32::from_le_bytes(check), bytes: u64::from_le_bytes(bytes) }))
    }
}
