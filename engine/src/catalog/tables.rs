//! RocksDB's files: their limits of disk space and open files, the length of the log, and the merging of small tables.
//!
//! A row is safe as soon as it is in the log, so a short session leaves it there: the next opening reads a few MiB of it. Small
//! tables are merged here, because RocksDB moves tables that overlap no others down unchanged, one for each flush.

use std::path::Path;
use std::sync::atomic::Ordering;

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{BottommostLevelCompaction, Cache, CompactOptions, DBRecoveryMode, LiveFile, properties};

use super::{Catalog, Family, statics};
use crate::disk::{Folder, must_fit, point};
use crate::error::{Error, ErrorKind, Result, open_files_allowed};
use crate::options::{DEFAULT_BLOCK_CACHE, LEAST_OPEN_TABLES, MOST_OPEN_TABLES, OpenOptions};
use crate::process::leaving::{inside, inside_slow, is_closed};

/// Bytes of log from which on RocksDB moves into tables what the oldest log holds. A database of photos that are replaced all the time
/// takes that much beside its rows, and so much may an opening have to read after a crash.
const MOST_LOG: u64 = 64 << 20;
/// Bytes of log that closing leaves for the next opening to read: some 20 ms of it.
pub(crate) const MOST_LOG_AT_CLOSE: u64 = 4 << 20;
/// Files of log that closing leaves. Each opening begins one.
const MOST_LOGS_AT_CLOSE: usize = 16;
/// Bytes of a family that are held in memory before they become a table. RocksDB takes the full disk for mended when so much is free,
/// and no less. Four such tables are compacted, and with them goes what was replaced or deleted: so much of it is left on the disk at
/// most, beside a share of the rows.
pub(crate) const WRITE_BUFFER: usize = 16 << 20;
/// Bytes of all families together that are held in memory and are in no table yet. Above it the oldest becomes a table: without such a
/// bound each of the families takes two buffers in the end.
const MOST_BUFFERED: usize = 64 << 20;
/// A table below this size is small.
const SMALL_TABLE: u64 = 4 << 20;
/// Number of small tables of a family that stay unmerged, plus one for each of this many bytes of it: merging reads and writes
/// the family at most once.
const MOST_SMALL_TABLES: u64 = 8;
const BYTES_FOR_A_SMALL_TABLE: u64 = 8 << 20;
/// Bytes that RocksDB takes beside tables and log when it makes some: its lists and its file of options.
pub(crate) const LISTS: u64 = 1 << 20;
/// Bytes that one compaction reads at most, and so writes beside them before they go.
const MOST_COMPACTED: u64 = 25 * (64 << 20);
/// Bytes with which RocksDB may compact as it likes, what it reads first (four tables from memory) twice; with less, only what is sure to
/// fit is compacted. One that it began before takes the last of a disk otherwise, and with it what was set aside.
pub(crate) const ROOM_TO_COMPACT: u64 = 128 << 20;
/// What the C interface has no call for. Nothing is set aside before it is written: RocksDB would take 18 MiB for a log and 4 for a list
/// of tables of what is left of a disk. The file of options is read by nobody, so that an opening may fail to write it.
pub(super) const BY_NAME: &str =
    "avoid_flush_during_recovery=true;allow_fallocate=false;fail_if_options_file_error=false";

/// The options of the whole catalog.
///
/// # Errors
/// None but a mistake in [`BY_NAME`].
pub(super) fn db_options() -> Result<rocksdb::Options> {
    statics::construct(BY_NAME);
    let mut options = rocksdb::Options::default().get_options_from_string(BY_NAME).map_err(Error::of_catalog)?;
    // Absolute consistency turns a torn last record, which every crash may leave, into a database that never opens.
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_keep_log_file_num(4);
    options.set_max_total_wal_size(MOST_LOG);
    options.set_max_open_files(open_tables(&OpenOptions::new()));
    options.set_db_write_buffer_size(MOST_BUFFERED);
    Ok(options)
}

/// Tables that are kept open. Those of segments, logs and the caller's own files need the rest.
fn open_tables(opening: &OpenOptions) -> i32 {
    let usual = || {
        let allowed = open_files_allowed().and_then(|allowed| usize::try_from(allowed / 4).ok());
        allowed.unwrap_or(usize::MAX).clamp(LEAST_OPEN_TABLES, MOST_OPEN_TABLES)
    };
    i32::try_from(opening.open_tables.unwrap_or_else(usual)).unwrap_or(i32::MAX)
}

/// [`db_options`] of a reader beside a writer: a table that is merged away meanwhile is lost to a reader that has not opened it,
/// so all tables are opened at once and kept open, if the process may have that many.
///
/// # Errors
/// As [`db_options`]; the folder cannot be listed.
pub(super) fn options_beside(folder: &Folder, opening: &OpenOptions) -> Result<rocksdb::Options> {
    /// RocksDB's word for all.
    const ALL: i32 = -1;
    let mut options = db_options()?;
    options.set_max_open_files(open_tables(opening));
    let tables =
        folder.names()?.iter().filter(|name| Path::new(name).extension().is_some_and(|end| end == "sst")).count();
    if i32::try_from(tables).is_ok_and(|tables| tables <= open_tables(opening)) {
        options.set_max_open_files(ALL);
    }
    Ok(options)
}

/// Bytes and number of the files of log in a catalog's folder, those that RocksDB does not need any more and has not removed yet
/// included.
fn logged(folder: &Folder) -> (u64, usize) {
    let names = folder.names().unwrap_or_default();
    let logs = names.iter().filter(|name| Path::new(name).extension().is_some_and(|end| end == "log"));
    let bytes = |name| folder.about(name).ok().flatten().map_or(0, |found| found.bytes);
    logs.fold((0, 0), |(sum, files), name| (sum + bytes(name), files + 1))
}

/// How RocksDB is to work on the disk as it is when a catalog is opened.
pub(super) struct Work {
    /// Bytes of each family that are held in memory. Where the log does not fit on the disk as tables, all of it is.
    pub(super) write_buffer: usize,
    /// The disk is nearly full: tables are merged only where it was made sure that they fit. What RocksDB begins takes all there is, and
    /// gives it back when it failed.
    pub(super) holds_compactions: bool,
    /// What keeps tables in memory; `None`: for each family what RocksDB has by itself.
    pub(super) cache: Option<Cache>,
}

impl Work {
    /// For reading, or on a disk with room.
    pub(super) const USUAL: Self = Self { write_buffer: WRITE_BUFFER, holds_compactions: false, cache: None };

    /// For reading, in so much memory as was asked for.
    pub(super) fn reading(opening: &OpenOptions) -> Self {
        Self { cache: opening.block_cache.map(Cache::new_lru_cache), ..Self::USUAL }
    }

    pub(super) fn on(folder: &Folder, options: &mut rocksdb::Options, opening: &OpenOptions) -> Self {
        /// Bytes of memory for one of the log: what holds an entry may be longer than it.
        const FOR_A_BYTE: u64 = 4;
        let (logged, _) = logged(folder);
        options.set_max_open_files(open_tables(opening));
        // Another handle of the same files has its own, or a check would not see the disk.
        let cache = Some(Cache::new_lru_cache(opening.block_cache.unwrap_or(DEFAULT_BLOCK_CACHE)));
        let fits = |bytes| must_fit(folder, "", bytes).is_ok();
        let holds_compactions = !fits(ROOM_TO_COMPACT);
        if fits(logged + LISTS) {
            return Self { holds_compactions, cache, ..Self::USUAL };
        }
        options.set_max_total_wal_size(FOR_A_BYTE * logged + MOST_LOG);
        options.set_db_write_buffer_size(0);
        let write_buffer = WRITE_BUFFER + usize::try_from(FOR_A_BYTE * logged).unwrap_or(WRITE_BUFFER);
        Self { write_buffer, holds_compactions, cache }
    }
}

impl Catalog {
    /// Bytes of the files of log.
    ///
    /// Complexity: lists the catalog's folder.
    pub(crate) fn logged(&self) -> u64 {
        logged(&self.store.db.folder).0
    }

    /// Bytes that must be free before RocksDB takes writes again behind a full disk.
    pub(crate) fn resumed_from(&self) -> u64 {
        self.flush_bytes().max(WRITE_BUFFER as u64)
    }

    /// Turns RocksDB's own compaction on or off. A running one finishes.
    fn hold_compactions(&self, hold: bool) -> Result<()> {
        if self.store.holds_compactions.swap(hold, Ordering::Relaxed) != hold {
            let _inside = inside_slow();
            let hold = if hold { "true" } else { "false" };
            for family in Family::ALL {
                self.store
                    .db
                    .set_options_cf(self.family(family)?, &[("disable_auto_compactions", hold)])
                    .map_err(Error::of_catalog)?;
            }
        }
        Ok(())
    }

    /// Before the last of a full disk is taken: RocksDB begins nothing that would take it.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn be_frugal(&self) -> Result<()> {
        self.hold_compactions(true)
    }

    /// Lets RocksDB compact by itself again when there is room.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn use_room(&self) -> Result<()> {
        let holds = self.store.holds_compactions.load(Ordering::Relaxed);
        if holds && must_fit(&self.store.db.folder, "", self.flush_bytes() + ROOM_TO_COMPACT).is_ok() {
            self.hold_compactions(false)?;
        }
        Ok(())
    }

    /// Whether the log is longer than what closing leaves, or holds all that there is of a family: a repair without RocksDB's list
    /// learns the numbers of families from their tables, and can give the records of a log to no other.
    pub(crate) fn has_much_log(&self) -> bool {
        let (bytes, files) = logged(&self.store.db.folder);
        bytes > MOST_LOG_AT_CLOSE || files > MOST_LOGS_AT_CLOSE || self.is_only_logged()
    }

    /// Whether a family has entries and no table.
    fn is_only_logged(&self) -> bool {
        let _inside = inside();
        let Ok(tables) = self.store.db.live_files() else { return true };
        let is_filled = |family: Family| {
            let handle = self.store.db.cf_handle(family.name())?;
            self.store.db.property_int_value_cf(handle, properties::NUM_ENTRIES_ACTIVE_MEM_TABLE).ok()?
        };
        let lacks = |&family: &Family| of_family(&tables, family).is_empty() && is_filled(family).unwrap_or(0) > 0;
        Family::ALL.iter().any(lacks)
    }

    /// A consistent copy of the catalog in a folder that must not exist: hard links where the file system has them.
    pub(crate) fn copy_to(&self, folder: &Path) -> Result<()> {
        let _inside = inside_slow();
        let checkpoint = Checkpoint::new(&self.store.db).map_err(Error::of_catalog)?;
        // RocksDB moves its log into tables first, so that there are links to make and next to nothing of a log to copy; what is
        // written meanwhile is copied with the log's end. Where a table does not fit on the disk any more, the log is copied.
        let is_roomy = must_fit(&self.store.db.folder, "", self.flush_bytes() + ROOM_TO_COMPACT).is_ok();
        let log = if is_roomy { 0 } else { u64::MAX };
        checkpoint.create_checkpoint_with_log_size(folder, log).map_err(Error::of_catalog)
    }

    /// Bytes that moving the log into tables takes for a while.
    pub(crate) fn flush_bytes(&self) -> u64 {
        self.logged() + LISTS
    }

    fn must_fit_flush(&self) -> Result<()> {
        must_fit(&self.store.db.folder, "moving the catalog's log into tables", self.flush_bytes())
    }

    /// Moves what is in the log into tables, so that the next opening has none to read.
    ///
    /// # Errors
    /// `DiskFull`, before anything is done, where the tables may not fit; `Io`.
    pub(crate) fn flush(&self) -> Result<()> {
        let _inside = inside_slow();
        self.check_place()?;
        // RocksDB would stop.
        self.must_fit_flush()?;
        let families = Family::ALL.iter().map(|&family| self.family(family)).collect::<Result<Vec<_>>>()?;
        let mut options = rocksdb::FlushOptions::default();
        options.set_wait(true);
        self.store.db.flush_cfs_opt(&families, &options).map_err(Error::of_catalog)
    }

    /// Rewrites the tables without what was replaced or deleted, but for what a pin holds. Readers and writers go on.
    ///
    /// Complexity: one reading and one writing of all tables.
    ///
    /// # Errors
    /// `DiskFull`: a family's new tables may not fit; all that fitted are rewritten, and as they make room, trying again may help.
    /// `Io`; what `look` gives, which is called before each family with the number of those that are done. What was there stays.
    pub(crate) fn compact(&self, look: &mut dyn FnMut(usize) -> Result<()>) -> Result<()> {
        let mut inside = inside_slow();
        point("compact.catalog")?;
        // A database that RocksDB stopped says so here; the compaction below would do nothing and count nothing.
        self.flush()?;
        let tables = self.store.db.live_files().map_err(Error::of_catalog)?;
        let mut families = Family::ALL.map(|family| (kept_bytes(&of_family(&tables, family)), family));
        // The smallest first: what they give back helps the others.
        families.sort_by_key(|&(bytes, _)| bytes);
        let mut outcome = Ok(());
        let _while_it_lasts = self.store.db.compacting();
        for (done, (bytes, family)) in families.into_iter().enumerate() {
            if is_closed() {
                break;
            }
            inside.outside(|| look(done))?;
            match must_fit(&self.store.db.folder, &format!("compacting '{}'", family.name()), bytes + LISTS) {
                Ok(()) => self.compact_between(family, None)?,
                Err(full) => outcome = outcome.and(Err(full)),
            }
        }
        outcome
    }

    fn compact_between(&self, family: Family, keys: Option<(&[u8], &[u8])>) -> Result<()> {
        self.check_place()?;
        let failures = || {
            let count = self.store.db.property_int_value(properties::BACKGROUND_ERRORS);
            count.ok().flatten().unwrap_or(0)
        };
        let before = failures();
        let mut options = CompactOptions::default();
        // The compactions that writers may have to wait for go on beside it.
        options.set_exclusive_manual_compaction(false);
        // A table that overlaps no other is moved to the last level as it is, with all that it hides.
        options.set_bottommost_level_compaction(BottommostLevelCompaction::ForceOptimized);
        let (first, last) = keys.unzip();
        self.store.db.compact_range_cf_opt(self.family(family)?, first, last, &options);
        // RocksDB's C interface drops the outcome; a failure is counted.
        if failures() == before {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Io, "the catalog could not be compacted: its tables could not be written or read").help(
            "check the disk's space and health, then open the database again; nothing is lost: the old tables are kept",
        ))
    }

    /// Merges the small tables of each family that has many, where that fits on the disk; `true`: there was one. Readers and writers
    /// go on.
    ///
    /// Complexity: lists the tables; reads and writes a family once for each 8 tables, or each 8 MiB of it, that became small ones.
    ///
    /// # Errors
    /// `Io`; what was there stays.
    pub(crate) fn merge_small_tables(&self) -> Result<bool> {
        let _inside = inside_slow();
        let tables = self.store.db.live_files().map_err(Error::of_catalog)?;
        let mut merged = false;
        let _while_it_lasts = self.store.db.compacting();
        for family in Family::ALL {
            if is_closed() {
                break;
            }
            let tables = of_family(&tables, family);
            let Some(keys) = to_merge(&tables) else { continue };
            if must_fit(&self.store.db.folder, "merging tables", kept_bytes(&tables) + LISTS).is_ok() {
                self.compact_between(family, Some(keys))?;
                merged = true;
            }
        }
        Ok(merged)
    }

    /// Bytes of the catalog's tables; what is still in its log is not counted.
    pub(crate) fn bytes(&self) -> u64 {
        let _inside = inside();
        let live = |family: &Family| {
            let handle = self.store.db.cf_handle(family.name())?;
            self.store.db.property_int_value_cf(handle, "rocksdb.total-sst-files-size").ok()?
        };
        Family::ALL.iter().filter_map(live).sum()
    }
}

fn of_family(tables: &[LiveFile], family: Family) -> Vec<&LiveFile> {
    tables.iter().filter(|table| table.column_family_name == family.name()).collect()
}

/// About what a compaction writes before what it read is removed: each deletion goes with one entry of a mean length that it deletes.
fn kept_bytes(tables: &[&LiveFile]) -> u64 {
    let sum = |of: fn(&LiveFile) -> u64| tables.iter().map(|table| of(table)).sum::<u64>();
    let (bytes, deletions) = (sum(|table| table.size as u64), sum(|table| table.num_deletions));
    // Deletions are among the entries and take next to no bytes, so that they are not among those by which bytes are shared out.
    let filled = sum(|table| table.num_entries).saturating_sub(deletions);
    let kept = filled.saturating_sub(deletions);
    ((bytes as f64 * kept as f64 / filled.max(1) as f64) as u64).min(MOST_COMPACTED)
}

/// The keys between which the small tables of a family lie, if they are many.
fn to_merge<'t>(tables: &[&'t LiveFile]) -> Option<(&'t [u8], &'t [u8])> {
    let small = || tables.iter().filter(|table| (table.size as u64) < SMALL_TABLE);
    let bytes: u64 = tables.iter().map(|table| table.size as u64).sum();
    if small().count() as u64 <= MOST_SMALL_TABLES + bytes / BYTES_FOR_A_SMALL_TABLE {
        return None;
    }
    let first = small().filter_map(|table| table.start_key.as_deref()).min()?;
    let last = small().filter_map(|table| table.end_key.as_deref()).max()?;
    Some((first, last))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::catalog::Batch;
    use crate::disk::{CATALOG, Lock};
    use crate::options::Options;

    fn table(size: u64, key: u8) -> LiveFile {
        LiveFile {
            column_family_name: "records".to_owned(),
            name: String::new(),
            size: size as usize,
            level: 6,
            start_key: Some(vec![key]),
            end_key: Some(vec![key, 9]),
            num_entries: 1,
            num_deletions: 0,
        }
    }

    /// It catches: a bound for each family in place of one for all.
    #[test]
    fn changes_that_are_in_no_table_are_bounded_for_all_families_together() {
        const ENTRIES: u64 = 20_000;
        let folder = tempfile::tempdir().unwrap();
        let folder = Folder::open(folder.path()).unwrap();
        Catalog::create(folder.inner_or_new(CATALOG, "test").unwrap(), Options::for_vectors(2), &[]).unwrap();
        let catalog = Catalog::open(&folder, Lock::take(&folder).unwrap(), &Default::default()).unwrap();
        let buffered = || {
            let of = |family: Family| {
                let family = catalog.family(family).unwrap();
                catalog.store.db.property_int_value_cf(family, properties::CUR_SIZE_ALL_MEM_TABLES).unwrap().unwrap()
            };
            Family::ALL.into_iter().map(of).sum::<u64>()
        };
        let mut most = 0;
        // Short entries take several times in memory what they take of the log, whose length alone would bound them.
        for round in 0..120 {
            let family = [Family::Voters, Family::Keys, Family::Predictions, Family::ByInstance][round as usize % 4];
            let mut batch = Batch::new(&catalog);
            for entry in 0..ENTRIES {
                batch.put(family, &(round * ENTRIES + entry).to_le_bytes(), b"").unwrap();
            }
            batch.commit().unwrap();
            most = most.max(buffered());
        }
        // What is being written into a table counts, too.
        assert!(most > MOST_BUFFERED as u64 / 2 && most < 3 * MOST_BUFFERED as u64 / 2, "{} MiB", most >> 20);
    }

    /// It catches: large tables rewritten for a few small ones; small ones that are never merged.
    #[test]
    fn small_tables_are_merged_when_they_are_many_for_the_family() {
        let small = |count: u8| (0..count).map(|key| table(100, key + 1)).collect::<Vec<_>>();
        let of = |tables: &[LiveFile]| {
            to_merge(&tables.iter().collect::<Vec<_>>()).map(|(first, last)| (first.to_vec(), last.to_vec()))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&small(8)), None);
        assert_eq!(of(&small(9)), Some((vec![1], vec![9, 9])));
        let beside_large = |count| small(count).into_iter().chain([table(64 << 20, 200)]).collect::<Vec<_>>();
        assert_eq!(of(&beside_large(16)), None);
        assert_eq!(of(&beside_large(17)), Some((vec![1], vec![17, 9])));
        // Half of the entries delete the other half.
        let deleting = LiveFile { num_entries: 2, num_deletions: 2, ..table(50, 1) };
        assert_eq!([kept_bytes(&[]), kept_bytes(&[&table(50, 1)])], [0, 50]);
        assert_eq!(kept_bytes(&[&deleting, &LiveFile { num_entries: 2, ..table(50, 1) }]), 0);
        // A tenth of the images deleted leaves nine tenths of the bytes, not what their share of all entries would.
        let tenth = LiveFile { num_entries: 110, num_deletions: 10, ..table(1_000, 1) };
        assert_eq!(kept_bytes(&[&tenth]), 900);
    }

    #[test]
    fn the_options_by_name_are_known_and_tables_leave_room_for_other_files() {
        db_options().unwrap();
        let limit = open_files_allowed().unwrap();
        let tables = open_tables(&OpenOptions::new());
        assert!(tables as u64 <= limit / 2 && tables >= 32, "{tables} of {limit}");
        assert_eq!(open_tables(&OpenOptions::new().open_tables(77)), 77);
    }
}
