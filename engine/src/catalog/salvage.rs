//! A new catalog with everything that can still be read of a damaged one.
//!
//! RocksDB's own repair drops a table with a damaged block as a whole, or keeps it so that every reader fails. So entries are
//! copied into a new catalog: from the damaged one, skipping what cannot be read; and, for the keys of each gap, from what
//! RocksDB's repair leaves of the other tables. There, an entry may reappear that a lost entry had overwritten or deleted.
//!
//! The damaged catalog is not written: RocksDB works in a clone of it. Once the new one is complete it replaces the damaged one,
//! which stays beside it.

use std::path::Path;
use std::sync::Arc;

use rocksdb::{DB, DBRawIterator, ReadOptions, WriteBatch, WriteOptions};

use super::tables::db_options;
use super::{Catalog, Family, REPAIRING, codec, handle, identity, logs};
use crate::disk::{CATALOG, Folder, is_of_catalog, look_at_catalog};
use crate::error::{Error, ErrorKind, Result};
use crate::options::OpenOptions;
use crate::process::leaving::{Gated, inside_slow};

/// Families whose entries cannot be made again from others; by the manifest, segments lend descriptors that are lost.
const KEPT: [Family; 9] = [
    Family::Meta,
    Family::Records,
    Family::Blobs,
    Family::Labels,
    Family::Embeddings,
    Family::Oplog,
    Family::Features,
    Family::Jobs,
    Family::Manifest,
];
/// Bytes of entries that are written together.
const BATCH_BYTES: usize = 4 << 20;
/// First bytes of a key that are counted with to find the next readable one; keys that are equal so far go together.
const COUNTED: usize = 32;

/// Families with what nothing else tells of: of a place in them that cannot be read, nobody knows what was there. A lost descriptor
/// is missed by its record; segments and features are made again; what the database is is kept twice.
const IRREPLACEABLE: [Family; 5] = [Family::Records, Family::Blobs, Family::Labels, Family::Oplog, Family::Jobs];

/// What a repair has lost so far; kept while it is under way, so that one that was cut short and is done again tells all of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) images: u64,
    pub(crate) labels: u64,
    pub(crate) writes: u64,
    /// Places that cannot be read, and of which nobody knows what was there.
    pub(crate) places: u64,
}

impl Lost {
    pub(super) fn encode(self) -> Vec<u8> {
        [self.images, self.labels, self.writes, self.places].into_iter().flat_map(u64::to_le_bytes).collect()
    }

    /// Of a repair by an older build nothing is known.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        let mut numbers = bytes.chunks_exact(8).map(|number| number.try_into().map_or(0, u64::from_le_bytes));
        let mut next = || numbers.next().unwrap_or(0).min(codec::MOST_NUMBER);
        Self { images: next(), labels: next(), writes: next(), places: next() }
    }

    /// The greater of two counts of the same loss.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            images: self.images.max(other.images),
            labels: self.labels.max(other.labels),
            writes: self.writes.max(other.writes),
            places: self.places.max(other.places),
        }
    }
}

/// A new catalog that is full and has to take the place of the damaged one.
const FILLED: &str = "catalog.filled";
/// A new catalog that is being filled.
const FILLING: &str = "catalog.filling";
/// What RocksDB works in.
const CLONE: &str = "catalog.clone";
/// Names of files in which RocksDB tells what it did, and of its lock: they are no part of a catalog.
const NO_PART: [&str; 2] = ["LOG", "LOCK"];

/// Whether a repair was cut short between its last two steps.
pub(super) fn is_half_done(folder: &Folder) -> Result<bool> {
    Ok(folder.about(CATALOG)?.is_none() && folder.inner(FILLED)?.is_some())
}

/// Does the last step of a salvage that was cut short before it.
pub(super) fn take_up(folder: &Folder) -> Result<()> {
    if is_half_done(folder)? { rename(folder, FILLED, CATALOG) } else { Ok(()) }
}

/// Replaces a damaged catalog by a new one with everything that can be read; the damaged one stays beside it. Only a repair may
/// open the new one: it has no derived data. The caller holds the lock.
///
/// `judge` sees the new catalog before anything is changed, and may refuse it.
///
/// Complexity: reads the damaged catalog once and writes what is kept of it; needs as much room on the disk again.
///
/// # Errors
/// `Corrupt`: not even what the database is can be read; `Io`; what `judge` gives. The damaged catalog is then as it was.
pub(super) fn salvage(folder: &Folder, judge: &dyn Fn(&Arc<Catalog>) -> Result<()>) -> Result<Vec<String>> {
    let catalog = folder.within(CATALOG)?;
    look_at_catalog(&catalog)?;
    [FILLING, CLONE, FILLED].into_iter().try_for_each(|name| clear(folder, name))?;
    let clone = folder.inner_or_new(CLONE, "repair")?;
    let filling = folder.inner_or_new(FILLING, "repair")?;
    let done = self::clone(&catalog, &clone).and_then(|()| fill(&filling, &clone));
    let done = done.and_then(|story| judge(&Arc::new(Catalog::of_folder(filling.clone())?)).map(|()| story));
    clear(folder, CLONE)?;
    let mut story = match done {
        Ok(story) => story,
        Err(error) => {
            clear(folder, FILLING)?;
            return Err(error);
        }
    };
    let mut number = 1;
    let mut damaged = format!("{CATALOG}.damaged-{number}");
    while folder.about(&damaged)?.is_some() {
        number += 1;
        damaged = format!("{CATALOG}.damaged-{number}");
    }
    rename(folder, FILLING, FILLED)?;
    rename(folder, CATALOG, &damaged)?;
    rename(folder, FILLED, CATALOG)?;
    story.push(format!(
        "the old files are in {}; remove them when you are content with the database",
        folder.path_of(&damaged).display()
    ));
    Ok(story)
}

/// What a salvage does with RocksDB, and nothing else: for a scout, which may not outlive it. What it worked in is cleared by the next
/// salvage, too.
///
/// # Errors
/// What `alive` gives; `Io`: the copies cannot be made.
pub(super) fn rehearse(folder: &Folder, alive: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    let _inside = inside_slow();
    let catalog = folder.within(CATALOG)?;
    look_at_catalog(&catalog)?;
    clear_rehearsal(folder)?;
    let clone = folder.inner_or_new(CLONE, "repair")?;
    let filling = folder.inner_or_new(FILLING, "repair")?;
    let filled = self::clone(&catalog, &clone).and_then(|()| alive()).and_then(|()| fill(&filling, &clone));
    // What it refuses, the salvage refuses as well.
    let _story = filled.and_then(|_story| Catalog::of_folder(filling.clone()).map(|_catalog| ()));
    clear_rehearsal(folder)
}

/// Removes what a rehearsal works in.
pub(super) fn clear_rehearsal(folder: &Folder) -> Result<()> {
    [FILLING, CLONE].into_iter().try_for_each(|name| clear(folder, name))
}

/// The files of a catalog once more. Tables are never written again, so a link does; where the file system has none, a copy.
fn clone(from: &Folder, to: &Folder) -> Result<()> {
    for name in from.names()? {
        let text = name.to_string_lossy();
        if !is_of_catalog(&name) || NO_PART.iter().any(|begin| text.starts_with(begin)) {
            continue;
        }
        let is_table = Path::new(&name).extension().is_some_and(|end| end == "sst");
        if !(is_table && from.link(&name, to)) {
            let Some(mut file) = from.file(&name)? else { continue };
            let length = file.metadata().map_err(|error| Error::io(&from.path_of(&name), error))?.len();
            if !is_table && length > logs::MOST_BYTES {
                return Err(Error::corrupt(format!(
                    "the catalog's {text} is {length} bytes long, which is too long for a log"
                )));
            }
            let copied = std::io::copy(&mut file, &mut to.create(&name)?);
            copied.map_err(|error| Error::io(&to.path_of(&name), error))?;
        }
    }
    Ok(())
}

fn fill(new: &Folder, damaged: &Folder) -> Result<Vec<String>> {
    let (new, _) = Catalog::open_db(new, true, &OpenOptions::new())?;
    // Behind a record that RocksDB would not get past, a log is cut; without all of the manifest its tables must be looked for.
    let is_listed = logs::cut(damaged)?;
    let opened = if is_listed { Catalog::open_unsound(damaged)? } else { None };
    let (mut kept, mut gaps) = (0, Vec::new());
    for family in KEPT {
        let hidden = match &opened {
            Some(db) if db.cf_handle(family.name()).is_none() => Vec::new(),
            Some(db) => {
                let copied = copy(db, &new, family, &Range::default())?;
                kept += copied.entries;
                copied.gaps
            }
            None => vec![Range::default()],
        };
        gaps.extend(hidden.into_iter().map(|gap| (family, gap)));
    }
    drop(opened);
    let mut found = 0;
    if !gaps.is_empty() {
        DB::repair(&db_options()?, damaged.native()).map_err(Error::of_catalog)?;
        let repaired =
            Catalog::open_unsound(damaged)?.ok_or_else(|| Error::corrupt("no table of the catalog can be read"))?;
        for (family, gap) in gaps.iter().filter(|(family, _)| repaired.cf_handle(family.name()).is_some()) {
            found += copy(&repaired, &new, *family, gap)?.entries;
        }
    }
    let is_whole = |family| gaps.iter().all(|(other, _)| *other != family);
    identity::restore(&new, !is_whole(Family::Meta) && is_whole(Family::Jobs))?;
    // What this build cannot open must not take the place of what another can.
    Catalog::identity(&new, || Error::corrupt("neither copy of the database's identity can be read"))?;
    let places = gaps.iter().filter(|(family, _)| IRREPLACEABLE.contains(family)).count() as u64;
    let lost = Lost { places, ..Lost::default() }.encode();
    new.put_cf(handle(&new, Family::Meta)?, REPAIRING, lost).map_err(Error::of_catalog)?;
    for family in Family::ALL {
        new.flush_cf(handle(&new, family)?).map_err(Error::of_catalog)?;
    }
    let places = if gaps.len() == 1 { "place" } else { "places" };
    Ok(vec![format!(
        "{kept} entries were read and {} unreadable {places} skipped; other tables had {found} entries for them",
        gaps.len()
    )])
}

/// Whether every entry of every family can be read.
///
/// # Errors
/// `Corrupt`, as RocksDB says it.
pub(super) fn read_all(db: &DB) -> Result<()> {
    Family::ALL.iter().try_for_each(|&family| read_through(db, family, &mut || Ok(())))
}

/// Whether every entry of a family can be read, each block's checksum compared.
///
/// # Errors
/// `Corrupt`, as RocksDB says it.
pub(super) fn read_through(db: &DB, family: Family, look: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    /// Entries that are read before a process that ends may do so.
    const AT_ONCE: usize = 1_024;
    let family = handle(db, family)?;
    let mut entries = Gated::new(|| db.raw_iterator_cf_opt(family, thorough()));
    entries.with(DBRawIterator::seek_to_first);
    let some = |entries: &mut DBRawIterator<'_>| {
        (0..AT_ONCE).for_each(|_| {
            if entries.valid() {
                entries.next();
            }
        });
        entries.valid()
    };
    while entries.with(some) {
        look()?;
    }
    entries.with(|entries| entries.status()).map_err(Error::of_catalog)
}

fn rename(folder: &Folder, from: &str, to: &str) -> Result<()> {
    folder.rename(from, to)?;
    folder.sync("repair")
}

/// Removes a folder in which a repair worked, if it is there: the files of a catalog, and then the folder.
fn clear(folder: &Folder, name: &str) -> Result<()> {
    let Some(inner) = folder.inner(name)? else { return Ok(()) };
    for file in inner.names()? {
        if is_of_catalog(&file) {
            inner.discard(&file)?;
        } else if matches!(file.to_str(), Some("archive" | "lost")) {
            clear(&inner, file.to_str().unwrap_or_default())?;
        }
    }
    folder.remove_empty(name)
}

/// Reading that trusts nothing and keeps nothing.
pub(super) fn thorough() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    options.set_verify_checksums(true);
    options
}

/// The keys between two, without them; `None`: as far as there are any.
#[derive(Default)]
struct Range {
    after: Option<Vec<u8>>,
    before: Option<Vec<u8>>,
}

#[derive(Default)]
struct Copied {
    entries: usize,
    /// What could not be read.
    gaps: Vec<Range>,
}

/// Copies the entries of a family in a range that can be read.
fn copy(from: &DB, to: &DB, family: Family, range: &Range) -> Result<Copied> {
    let target = handle(to, family)?;
    let mut unlogged = WriteOptions::default();
    unlogged.disable_wal(true);
    let (mut copied, mut batch) = (Copied::default(), WriteBatch::default());
    let source = handle(from, family)?;
    let looks = || from.raw_iterator_cf_opt(source, thorough());
    let mut last = range.after.clone();
    let mut start = last.clone().unwrap_or_default();
    loop {
        let mut entries = looks();
        entries.seek(&start);
        while let Some((key, value)) = entries.item() {
            if range.before.as_deref().is_some_and(|before| key >= before) {
                break;
            }
            if last.as_deref() != Some(key) {
                batch.put_cf(target, key, value);
                copied.entries += 1;
                last = Some(key.to_vec());
            }
            if batch.size_in_bytes() >= BATCH_BYTES {
                to.write_opt(std::mem::take(&mut batch), &unlogged).map_err(Error::of_catalog)?;
            }
            entries.next();
        }
        match entries.status() {
            Ok(()) => break,
            Err(error) => is_damage(error)?,
        }
        let next = behind_gap(looks, last.as_deref().unwrap_or_default());
        copied.gaps.push(Range { after: last.clone(), before: next.clone().or(range.before.clone()) });
        match next {
            // What could be read a moment ago is not to be waited for.
            Some(next) if next != start => start = next,
            _ => break,
        }
    }
    to.write_opt(batch, &unlogged).map_err(Error::of_catalog)?;
    Ok(copied)
}

/// Skips damage; another error must not count as a gap.
pub(super) fn is_damage(error: rocksdb::Error) -> Result<()> {
    let error = Error::of_catalog(error);
    if is_damaged(&error) { Ok(()) } else { Err(error) }
}

/// Whether an error tells of damage, and not of what may be otherwise the next time.
pub(super) fn is_damaged(error: &Error) -> bool {
    let is_gone = || ["Input/output error", "No such file"].iter().any(|text| error.message().contains(text));
    error.kind() == ErrorKind::Corrupt || error.kind() == ErrorKind::Io && is_gone()
}

/// The first readable entry behind what cannot be read after `last`; `None`: there is none.
///
/// Each look needs a new iterator: one that met damage reports the next block, after a few seeks, as damaged.
///
/// Complexity: some hundred seeks.
fn behind_gap<'d>(looks: impl Fn() -> DBRawIterator<'d>, last: &[u8]) -> Option<Vec<u8>> {
    let found = |key: &[u8; COUNTED]| {
        let mut entries = looks();
        entries.seek(key);
        entries.status().is_ok().then(|| entries.key().map(<[u8]>::to_vec))
    };
    let readable = |key: &[u8; COUNTED]| found(key).is_some();
    let mut counted = [0; COUNTED];
    let length = last.len().min(COUNTED);
    counted[..length].copy_from_slice(&last[..length]);
    // Ever greater steps until something can be read, or the end is met, then back by halves.
    let (mut below, mut above) = (counted, None);
    for power in 0..8 * COUNTED {
        match stepped(&counted, power) {
            Some(key) if readable(&key) => {
                above = Some((key, power));
                break;
            }
            Some(key) => below = key,
            None => break,
        }
    }
    let (mut above, power) = above?;
    for power in (0..power).rev() {
        if let Some(middle) = stepped(&below, power).filter(|middle| *middle < above) {
            if readable(&middle) { above = middle } else { below = middle }
        }
    }
    found(&above).flatten()
}

/// A key plus two to a power, as one number; `None` when it is too great for its bytes.
fn stepped(key: &[u8; COUNTED], power: usize) -> Option<[u8; COUNTED]> {
    let mut sum = *key;
    let mut carry = 1u16 << (power % 8);
    for byte in sum[..COUNTED - power / 8].iter_mut().rev() {
        let digit = u16::from(*byte) + carry;
        *byte = digit as u8;
        carry = digit >> 8;
        if carry == 0 {
            return Some(sum);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use rocksdb::ColumnFamilyDescriptor;

    use super::super::tables::Work;
    use super::*;

    /// It catches: one damaged block that costs all entries behind it.
    #[test]
    fn a_damaged_block_costs_its_own_entries_only() {
        const ENTRIES: u64 = 20_000;
        let folder = tempfile::tempdir().unwrap();
        for (name, part) in [("first", 0.006), ("middle", 0.6), ("last", 0.97)] {
            let path = folder.path().join(name);
            let mut options = rocksdb::Options::default();
            options.create_if_missing(true);
            options.create_missing_column_families(true);
            let families =
                || Family::ALL.map(|family| ColumnFamilyDescriptor::new(family.name(), family.options(&Work::USUAL)));
            let db = DB::open_cf_descriptors(&options, &path, families()).unwrap();
            let target = handle(&db, Family::Embeddings).unwrap();
            for id in 0..ENTRIES {
                let key = codec::space_image_key(crate::id::SpaceId::FIRST, crate::id::ImageId(id));
                let value: Vec<u8> = (0..128u64).map(|byte| (id * 31 + byte * 7) as u8).collect();
                db.put_cf(target, key, value).unwrap();
            }
            db.flush_cf(target).unwrap();
            drop(db);
            let table = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
            let table = table.filter(|path| path.extension().is_some_and(|end| end == "sst"));
            let table = table.max_by_key(|path| std::fs::metadata(path).unwrap().len()).unwrap();
            let mut bytes = std::fs::read(&table).unwrap();
            let at = (bytes.len() as f64 * part) as usize;
            bytes[at..at + 4].copy_from_slice(b"XXXX");
            std::fs::write(&table, bytes).unwrap();
            let damaged = DB::open_cf_descriptors_read_only(&options, &path, families(), false).unwrap();
            let whole =
                DB::open_cf_descriptors(&options, folder.path().join(format!("{name} new")), families()).unwrap();
            let copied = copy(&damaged, &whole, Family::Embeddings, &Range::default()).unwrap();
            assert_eq!(copied.gaps.len(), 1, "{name}");
            // A block is 64 KiB, an entry about 140 bytes.
            assert!(copied.entries as u64 >= ENTRIES - 600, "{name}: {} of {ENTRIES}", copied.entries);
        }
    }

    #[test]
    fn keys_are_counted_with_as_numbers() {
        let key = |end: &[u8]| {
            let mut key = [0; COUNTED];
            key[COUNTED - end.len()..].copy_from_slice(end);
            key
        };
        assert_eq!(stepped(&key(&[7]), 0), Some(key(&[8])));
        assert_eq!(stepped(&key(&[1, 255]), 0), Some(key(&[2, 0])));
        assert_eq!(stepped(&key(&[1, 255]), 9), Some(key(&[3, 255])));
        assert_eq!(stepped(&key(&[255, 255, 1]), 15), Some(key(&[1, 0, 127, 1])));
        assert_eq!(stepped(&[255; COUNTED], 0), None);
        assert_eq!(stepped(&[255; COUNTED], 8 * COUNTED - 1), None);
        assert_eq!(stepped(&[0; COUNTED], 8 * COUNTED - 1).map(|key| key[0]), Some(128));
    }
}
