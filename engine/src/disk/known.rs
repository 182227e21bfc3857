//! The file `known`: the state of the catalog's files when this machine closed the database, or checked it.
//!
//! RocksDB trusts bytes with valid checksums, so a scout first reads a catalog that another machine wrote (`process/scout.rs`). A
//! catalog that this machine wrote needs no scout. The file tells the two apart: it has a mark of each table, and one of the
//! lists and logs. A mark consists of a file's name, length, inode number and last change, and of the machine, so that no copy,
//! archive or other disk has the same marks, and nobody elsewhere can predict them.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::sync::OnceLock;

use bytes::{Buf, BufMut};

use super::contents::is_of_catalog;
use super::file::write_whole;
use super::folder::{About, Folder};
use super::{CATALOG, KNOWN};
use crate::error::{Error, Result};

/// What the file is called while it is written.
const HALF_A_NOTE: &str = "known.tmp";
const MAGIC: [u8; 8] = *b"CAIRNKNW";
const VERSION: u32 = 1;
/// Bytes of a table: its number and its mark.
const TABLE_BYTES: u64 = 16;
/// More tables than any catalog has; a longer file is not read.
const MOST_TABLES: u64 = 1 << 20;
/// Magic, version, mark of lists and logs, number of tables, checksum.
const BYTES_BESIDE: u64 = 8 + 4 + 8 + 4 + 4;

/// Who wrote a catalog, as far as its files tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// This machine: nothing changed since.
    Known,
    /// This machine, and it or somebody who may write into the folder went on since: every table that it knows is as it was, and the
    /// others are newer. So it is after a crash, and beside a process that writes.
    Grown,
    /// Nobody knows.
    Foreign,
}

/// The files of a catalog at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Of `CURRENT`, of the lists of tables and of the logs.
    lists: u64,
    /// Mark of each table, by its number.
    tables: BTreeMap<u64, u64>,
    /// Bytes of all of them.
    bytes: u64,
}

impl Record {
    /// Of a database's folder as it is now. Nothing is read but the names and what the system knows of each.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn now(folder: &Folder) -> Result<Self> {
        let catalog = folder.within(CATALOG)?;
        let mut lists = marker();
        let mut record = Self { lists: 0, tables: BTreeMap::new(), bytes: 0 };
        for name in catalog.names()?.iter().filter(|name| is_of_catalog(name)) {
            // A writer beside removes what it needs no longer.
            let Some(about) = catalog.about(name)? else { continue };
            let text = name.to_string_lossy();
            record.bytes = record.bytes.saturating_add(about.bytes);
            if let Some(number) = text.strip_suffix(".sst").and_then(|number| number.parse().ok()) {
                let mut mark = marker();
                put(&mut mark, &text, &about);
                record.tables.insert(number, mark.finish());
            } else if text == "CURRENT" || text.starts_with("MANIFEST-") || text.ends_with(".log") {
                put(&mut lists, &text, &about);
            }
        }
        record.lists = lists.finish();
        Ok(record)
    }

    /// Bytes of the catalog's files.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Who wrote these files, by what the folder's own file says.
    pub(crate) fn origin(&self, folder: &Folder) -> Origin {
        let Some(known) = Self::read(folder) else { return Origin::Foreign };
        if known.lists == self.lists && known.tables == self.tables {
            return Origin::Known;
        }
        let last = known.tables.keys().next_back().copied().unwrap_or(0);
        let is_ours = |(number, mark): (&u64, &u64)| match known.tables.get(number) {
            Some(known) => known == mark,
            None => *number > last,
        };
        if self.tables.iter().all(is_ours) { Origin::Grown } else { Origin::Foreign }
    }

    /// Notes these files as known, unless they are noted already.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn note(&self, folder: &Folder) -> Result<()> {
        if self.origin(folder) == Origin::Known {
            return Ok(());
        }
        let mut bytes = Vec::new();
        bytes.put_slice(&MAGIC);
        bytes.put_u32_le(VERSION);
        bytes.put_u64_le(self.lists);
        bytes.put_u32_le(self.tables.len() as u32);
        for (&number, &mark) in &self.tables {
            bytes.put_u64_le(number);
            bytes.put_u64_le(mark);
        }
        bytes.put_u32_le(crc32fast::hash(&bytes));
        let io = |error| Error::io(&folder.path_of(KNOWN), error);
        write_whole(folder, KNOWN, "known", |file| file.write_all(&bytes).map_err(io))
    }

    /// Removes what a note that was cut short left, for those who write none.
    pub(crate) fn forget_half_a_note(folder: &Folder) {
        // It belongs to nobody, and does no harm.
        let _stays = folder.discard(HALF_A_NOTE);
    }

    fn read(folder: &Folder) -> Option<Self> {
        let bytes = folder.read(KNOWN, BYTES_BESIDE + TABLE_BYTES * MOST_TABLES).ok()??;
        let (body, check) = bytes.split_last_chunk::<4>()?;
        let mut rest = body.strip_prefix(&MAGIC)?;
        if crc32fast::hash(body) != u32::from_le_bytes(*check) || rest.try_get_u32_le().ok()? != VERSION {
            return None;
        }
        let (lists, count) = (rest.try_get_u64_le().ok()?, rest.try_get_u32_le().ok()?);
        if rest.len() as u64 != TABLE_BYTES * u64::from(count) {
            return None;
        }
        let tables = (0..count).map(|_| (rest.get_u64_le(), rest.get_u64_le())).collect();
        Some(Self { lists, tables, bytes: 0 })
    }
}

fn put(marker: &mut DefaultHasher, name: &str, about: &About) {
    (name, about.bytes, about.id.number(), about.written).hash(marker);
}

/// A hasher that has taken in what this machine is.
fn marker() -> DefaultHasher {
    /// Longer than any machine's name for itself.
    const MOST_BYTES: u64 = 256;
    static MACHINE: OnceLock<Vec<u8>> = OnceLock::new();
    let machine = MACHINE.get_or_init(|| {
        let mut name = Vec::new();
        // Where a machine has no such name, the other parts of a mark tell.
        let _nameless =
            std::fs::File::open("/etc/machine-id").and_then(|file| file.take(MOST_BYTES).read_to_end(&mut name));
        name
    });
    let mut marker = DefaultHasher::new();
    machine.hash(&mut marker);
    marker
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// It catches: a copy, a changed table or a changed list that passes for what was written here.
    #[test]
    fn what_was_written_here_is_told_from_copies_and_changes() {
        let place = tempfile::tempdir().unwrap();
        let filled = |name: &str| {
            let catalog = place.path().join(name).join(CATALOG);
            std::fs::create_dir_all(&catalog).unwrap();
            for file in ["CURRENT", "MANIFEST-000004", "000005.log", "000012.sst", "000014.sst", "notes.txt"] {
                std::fs::write(catalog.join(file), file).unwrap();
            }
            Folder::open(&place.path().join(name)).unwrap()
        };
        let (own, copy) = (filled("own"), filled("copy"));
        let origin = |folder: &Folder| Record::now(folder).unwrap().origin(folder);
        assert_eq!(origin(&own), Origin::Foreign);
        Record::now(&own).unwrap().note(&own).unwrap();
        assert_eq!(origin(&own), Origin::Known);
        std::fs::copy(own.path_of(KNOWN), copy.path_of(KNOWN)).unwrap();
        assert_eq!(origin(&copy), Origin::Foreign);

        let file = |name: &str| own.path_of(CATALOG).join(name);
        std::fs::write(file("notes.txt"), "of somebody").unwrap();
        assert_eq!(origin(&own), Origin::Known);
        std::fs::write(file("000005.log"), "longer than it was").unwrap();
        assert_eq!(origin(&own), Origin::Grown);
        std::fs::write(file("000020.sst"), "new").unwrap();
        std::fs::remove_file(file("000012.sst")).unwrap();
        assert_eq!(origin(&own), Origin::Grown);
        Record::now(&own).unwrap().note(&own).unwrap();
        assert_eq!(origin(&own), Origin::Known);
        // A table that is older than the last known one and was not known.
        std::fs::write(file("000013.sst"), "old").unwrap();
        assert_eq!(origin(&own), Origin::Foreign);
        std::fs::remove_file(file("000013.sst")).unwrap();
        assert_eq!(origin(&own), Origin::Known);
        std::fs::write(file("000014.sst"), "000014.ssT").unwrap();
        assert_eq!(origin(&own), Origin::Foreign);

        Record::now(&own).unwrap().note(&own).unwrap();
        let mut bytes = std::fs::read(own.path_of(KNOWN)).unwrap();
        for (at, wrong) in [(0, 1), (8, 9), (20, 1), (30, 1)] {
            bytes[at] ^= wrong;
            std::fs::write(own.path_of(KNOWN), &bytes).unwrap();
            assert_eq!(origin(&own), Origin::Foreign, "byte {at}");
            bytes[at] ^= wrong;
        }
    }
}
