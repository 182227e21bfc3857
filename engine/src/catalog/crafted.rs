//! Reads and writes stored entries of a catalog without the engine's checks: tests use it to craft databases with valid checksums
//! that no engine wrote.

use prost::Message;
use rocksdb::IteratorMode;

use super::messages::{SegmentMessage, decode};
use super::{Catalog, Family, handle};
use crate::disk::{CATALOG, Folder};
use crate::error::{Error, Result};
use crate::options::OpenOptions;
use crate::process::leaving::inside_slow;

/// Family, key and value.
pub(crate) type Entry = (String, Vec<u8>, Vec<u8>);

/// Every entry of a database's catalog.
///
/// # Errors
/// What RocksDB gives.
pub(crate) fn entries(folder: &Folder) -> Result<Vec<Entry>> {
    let _inside = inside_slow();
    // Held for as long as RocksDB reaches its files through it.
    let its = folder.within(CATALOG)?;
    let (db, _) = Catalog::open_db(&its, false, &OpenOptions::new())?;
    let mut entries = Vec::new();
    for family in Family::ALL {
        for entry in db.iterator_cf(handle(&db, family)?, IteratorMode::Start) {
            let (key, value) = entry.map_err(Error::of_catalog)?;
            entries.push((family.name().to_owned(), key.into_vec(), value.into_vec()));
        }
    }
    Ok(entries)
}

/// Stores an entry, whatever it says; `None`: takes the one under that key away.
///
/// # Errors
/// `Invalid`: there is no such family; what RocksDB gives.
pub(crate) fn put(folder: &Folder, (family, key): (&str, &[u8]), value: Option<&[u8]>) -> Result<()> {
    let _inside = inside_slow();
    // Held for as long as RocksDB reaches its files through it.
    let its = folder.within(CATALOG)?;
    let (db, _) = Catalog::open_db(&its, false, &OpenOptions::new())?;
    let family = Family::ALL.into_iter().find(|known| known.name() == family);
    let family = handle(&db, family.ok_or_else(|| Error::invalid("there is no such family"))?)?;
    match value {
        Some(value) => db.put_cf(family, key, value).map_err(Error::of_catalog)?,
        None => db.delete_cf(family, key).map_err(Error::of_catalog)?,
    }
    db.flush_cf(family).map_err(Error::of_catalog)
}

/// The entry of a segment in the manifest, for a file with that checksum in its header and that length.
///
/// # Errors
/// `Corrupt`: it was no entry.
pub(crate) fn segment_entry(value: &[u8], check: u32, bytes: u64) -> Result<Vec<u8>> {
    let entry: SegmentMessage = decode(value, "a segment's entry")?;
    Ok(SegmentMessage { check, bytes, ..entry }.encode_to_vec())
}
