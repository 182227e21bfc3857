//! R28: crafted databases with valid checksums: bytes of segments, of the saved columns and neighbours, of the catalog's values and keys, and of
//! RocksDB's own tables, list and logs. A separate process does everything with each of them (`using.rs`): it ends normally,
//! without a signal or a panic, and if only copies were crafted, each answer is right or the deep check names the problem.
//!
//! It catches: a segment whose claims are not checked (`Expected::compare` removed: other dimensions end searches by a panic),
//! codes that are not checked (`check_codes` removed: answers differ), counters near their end (`codec::counted` that accepts
//! everything: an overflow), columns without a checksum in the catalog, a catalog that is opened without a scout (RocksDB ends
//! the process by a signal).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use cairn::hostile::{catalog_entries, put_catalog_entry, seal_segment, segment_entry};
use cairn::language::{Action, CleanPlan, CleanRule, Cut};
use cairn::{Database, Deferral, Operation};
use cairndb_storage_tests::{Random, copy_folder, create, files, images, load, many_in_ci, sealed};

const DIMENSION: usize = 16;

/// A database with something of everything: labels, a cleaning, dead rows, a tail, writes that wait. A large one has a graph.
fn build(path: &Path, index: usize) {
    let database = create(path, DIMENSION);
    database.write(images("t", 24, DIMENSION, 5, 1, 1)).unwrap();
    database.write(images("i", index, DIMENSION, 5, usize::MAX, 2)).unwrap();
    let plan = CleanPlan::default().rule(CleanRule::Suspects(Cut::Top(2))).action(Action::Relabel);
    database.clean(&plan, None, None).unwrap();
    database.flush().unwrap();
    database.write(vec![Operation::Delete { key: "i000003".into() }]).unwrap();
    database.write(vec![Operation::Label { key: "t000002".into(), label: "by hand".into() }]).unwrap();
    database.close().unwrap();
    let database = Database::open(path).unwrap();
    database.save_neighbours().unwrap();
    database.write(images("j", 10, DIMENSION, 5, 4, 3)).unwrap();
    database.close().unwrap();
}

/// The same, with a table for each family and one that waits.
fn with_tables(path: &Path) {
    build(path, 60);
    let database = Database::open(path).unwrap();
    database.compact().unwrap();
    database.set_deferral(Deferral::Always);
    database.write(images("k", 4, DIMENSION, 5, 4, 4)).unwrap();
    database.close().unwrap();
}

/// What the process said of a database.
#[derive(Debug)]
struct Said {
    ended: Option<i32>,
    lines: Vec<String>,
}

impl Said {
    fn of(path: &Path) -> Self {
        let output = load().args(["use", path.to_str().unwrap()]).output().unwrap();
        let lines = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
        Self { ended: output.status.code(), lines }
    }

    /// What a step of the first reading gave, before anything was written.
    fn first(&self, step: &str) -> Option<&str> {
        let reading = self.lines.iter().take_while(|line| !line.starts_with("opened "));
        let begin = format!("{step} gave ");
        reading.filter_map(|line| line.strip_prefix(&begin)).next()
    }

    fn must_have_ended(&self, story: &str) {
        let last = self.lines.last().map_or("", String::as_str);
        assert!(self.ended == Some(0) && last == "end", "{story}: ended with {:?} behind: {last}", self.ended);
    }

    /// Answers are those of the database as it was, or its check says that they are not.
    fn must_be_right(&self, wanted: &Self, story: &str) {
        let is_told = || self.first("checked deeply").is_some_and(|problems| problems != "[]");
        for step in ["answers", "answers by neighbours", "answers by graph", "predicted"] {
            let Some(given) = self.first(step) else { continue };
            assert!(Some(given) == wanted.first(step) || is_told(), "{story}: '{step}' differs, and nobody says so");
        }
    }
}

/// Copies of a database, one after the other, each with something of it made up.
struct Crafter {
    folder: tempfile::TempDir,
    origin: PathBuf,
    wanted: Said,
    random: Random,
}

static CASES: AtomicUsize = AtomicUsize::new(0);

impl Crafter {
    fn new(seed: u64, build: impl Fn(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let origin = folder.path().join("origin");
        build(&origin);
        let copy = folder.path().join("reference");
        copy_folder(&origin, &copy);
        let wanted = Said::of(&copy);
        wanted.must_have_ended("as it was written");
        assert_eq!(wanted.first("checked deeply"), Some("[]"), "as it was written");
        assert!(wanted.first("answers").is_some() && wanted.first("predicted").is_some());
        Self { folder, origin, wanted, random: Random::new(seed) }
    }

    fn copy(&self) -> PathBuf {
        let path = self.folder.path().join("copy");
        for old in ["copy", "copy.backup", "copy.restored"] {
            let _absent = std::fs::remove_dir_all(self.folder.path().join(old));
        }
        copy_folder(&self.origin, &path);
        path
    }

    /// Uses a copy that was made up, which must do no harm; `true`: it could be read.
    fn holds(&self, path: &Path, is_copied: bool, story: &str) -> bool {
        let said = Said::of(path);
        said.must_have_ended(story);
        if is_copied {
            said.must_be_right(&self.wanted, story);
        }
        CASES.fetch_add(1, Ordering::Relaxed);
        let answers = said.first("answers").is_some();
        if is_copied && !answers {
            println!("{story}: {said:?}");
        }
        answers
    }

    fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.random.below(all.len())].clone()
    }

    /// Bytes that mean something wherever they stand.
    fn extreme(&mut self) -> Vec<u8> {
        let number = self.random.number();
        let float = self.one_of(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0, -0.008, 0.0, 1e-40, 3e38, 0.5]);
        self.one_of(&[
            u64::MAX.to_le_bytes().to_vec(),
            (u64::MAX - 1).to_le_bytes().to_vec(),
            (1u64 << 63).to_le_bytes().to_vec(),
            u32::MAX.to_le_bytes().to_vec(),
            0u64.to_le_bytes().to_vec(),
            float.to_le_bytes().to_vec(),
            vec![number as u8],
            (number as u32).to_le_bytes().to_vec(),
        ])
    }

    /// Replaces some bytes by others.
    fn overwritten(&mut self, bytes: &mut [u8], first: usize, end: usize, step: usize) -> String {
        let at = first + step * self.random.below(((end - first) / step).max(1));
        let extreme = self.extreme();
        let length = extreme.len().min(bytes.len() - at);
        bytes[at..at + length].copy_from_slice(&extreme[..length]);
        format!("{extreme:02x?} at {at}")
    }
}

fn number_at(bytes: &[u8], at: usize) -> usize {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize
}

/// Header 128 bytes, then a table of ten entries of 32: offset at 8, length at 16.
fn section(bytes: &[u8], number: usize) -> (usize, usize) {
    let entry = 128 + 32 * number;
    (number_at(bytes, entry + 8), number_at(bytes, entry + 16))
}

#[test]
fn crafted_segments_give_right_answers_or_are_named() {
    let mut crafter = Crafter::new(1, |path| build(path, 2100));
    let mut read = 0;
    let cases = many_in_ci(8, 24, 6_000);
    for case in 0..cases {
        let path = crafter.copy();
        let file = crafter.one_of(&files(&path.join("segments")));
        let mut bytes = std::fs::read(&file).unwrap();
        let story = match case % 4 {
            // The header; its checksum is made again.
            0 => crafter.overwritten(&mut bytes, 8, 96, 4),
            1 => {
                let (start, length) = section(&bytes, crafter.random.below(10));
                crafter.overwritten(&mut bytes, start, start + length.max(8), 4)
            }
            // Heads of coded rows: codes are the sixth section, a row is 64 bytes, its head the last 16.
            2 => {
                let (start, length) = section(&bytes, 5);
                let head = start + 64 * crafter.random.below(length / 64) + 48;
                crafter.overwritten(&mut bytes, head, head + 12, 4)
            }
            _ => {
                let (start, length) = section(&bytes, 5);
                let rows = (0..length / 64).map(|row| start + 64 * row);
                let byte = crafter.random.number() as u8;
                rows.for_each(|row| bytes[row..row + DIMENSION].iter_mut().for_each(|code| *code ^= byte));
                format!("codes with {byte:02x}")
            }
        };
        let check = seal_segment(&mut bytes);
        std::fs::write(&file, &bytes).unwrap();
        let number: u64 = file.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let key = [&b"s"[..], &number.swap_bytes().to_le_bytes()].concat();
        let entries = catalog_entries(&path).unwrap();
        let entry = entries.into_iter().find(|entry| entry.0 == "manifest" && entry.1 == key).unwrap();
        let entry = segment_entry(&entry.2, check, bytes.len() as u64).unwrap();
        put_catalog_entry(&path, "manifest", &key, Some(&entry)).unwrap();
        read += usize::from(crafter.holds(&path, true, &format!("case {case}: segment {number}, {story}")));
    }
    println!("{cases} segments, {read} read");
    assert!(read > cases / 2, "a segment that is refused hides no row: {read} of {cases} databases could be read");
}

#[test]
fn crafted_columns_give_right_answers_or_are_named() {
    let mut crafter = Crafter::new(2, |path| build(path, 60));
    let cases = many_in_ci(6, 12, 3_000);
    for case in 0..cases {
        let path = crafter.copy();
        let file = path.join("columns");
        let mut bytes = std::fs::read(&file).unwrap();
        let end = bytes.len() - 4;
        let story = crafter.overwritten(&mut bytes, if case % 2 == 0 { 36 } else { 8 }, end, 4);
        let check = crc32fast::hash(&bytes[..end]).to_le_bytes();
        bytes[end..].copy_from_slice(&check);
        std::fs::write(&file, &bytes).unwrap();
        // Half of them are known to the catalog, too.
        if case % 4 < 2 {
            put_catalog_entry(&path, "meta", b"columns", Some(&check)).unwrap();
        }
        assert!(
            crafter.holds(&path, true, &format!("case {case}: {story}")),
            "case {case}: {story}: columns are copies"
        );
    }
    println!("{cases} files of columns");
}

/// Edges that lead nowhere, to other images, or twice to one; images that nobody has; lists that are cut short.
#[test]
fn a_crafted_neighbour_graph_gives_right_answers_or_is_named() {
    let mut crafter = Crafter::new(4, |path| build(path, 60));
    for case in 0..many_in_ci(6, 12, 3_000) {
        let path = crafter.copy();
        let file = path.join("neighbours");
        let mut bytes = std::fs::read(&file).unwrap();
        let (begin, end) = (if case % 2 == 0 { 40 } else { 8 }, bytes.len());
        let mut story = crafter.overwritten(&mut bytes, begin, end, 4);
        if case % 5 == 4 {
            bytes.truncate(begin + crafter.random.below(end - begin));
            story += ", cut short";
        }
        std::fs::write(&file, &bytes).unwrap();
        // Most of them are known to the catalog, too.
        if case % 4 < 3 {
            let known = [&crc32fast::hash(&bytes).to_le_bytes()[..], &(bytes.len() as u64).to_le_bytes()].concat();
            put_catalog_entry(&path, "meta", b"neighbours", Some(&known)).unwrap();
        }
        assert!(crafter.holds(&path, true, &format!("case {case}: {story}")), "case {case}: {story}: it is a copy");
    }
}

#[test]
fn crafted_entries_of_the_catalog_end_nothing() {
    let mut crafter = Crafter::new(3, with_tables);
    let copy = crafter.copy();
    let entries = catalog_entries(&copy).unwrap();
    let mut families: Vec<String> = entries.iter().map(|entry| entry.0.clone()).collect();
    families.dedup();
    assert!(families.len() >= 10, "{families:?}");
    let (cases, mut read) = (many_in_ci(12, 20, 5_000), 0);
    for case in 0..cases {
        let path = crafter.copy();
        let family = crafter.one_of(&families);
        let own: Vec<_> = entries.iter().filter(|entry| entry.0 == family).cloned().collect();
        let (_, key, mut value) = crafter.one_of(&own);
        let other = crafter.one_of(&entries).2;
        let mut target = key.clone();
        let story = match crafter.random.below(6) {
            0 if !value.is_empty() => {
                let end = value.len();
                crafter.overwritten(&mut value, 0, end, 1)
            }
            1 => {
                let end = target.len();
                crafter.overwritten(&mut target, 0, end, 1)
            }
            2 => {
                value.truncate(crafter.random.below(value.len() + 1));
                "cut".to_owned()
            }
            3 => {
                value.extend(crafter.extreme());
                "longer".to_owned()
            }
            4 => {
                value = other;
                "of another".to_owned()
            }
            _ => {
                value = crafter.extreme();
                format!("{value:02x?}")
            }
        };
        if target != key {
            put_catalog_entry(&path, &family, &key, None).unwrap();
        }
        put_catalog_entry(&path, &family, &target, Some(&value)).unwrap();
        let story = format!("case {case}: {family} {key:02x?} -> {target:02x?}: {story}");
        read += usize::from(crafter.holds(&path, false, &story));
    }
    println!("{cases} entries, {read} databases could be read");
}

#[test]
fn crafted_files_of_rocksdb_end_no_process() {
    let mut crafter = Crafter::new(4, with_tables);
    let catalog = files(&crafter.origin.join("catalog"));
    let named =
        |end: &str| catalog.iter().filter(|path| path.to_string_lossy().contains(end)).cloned().collect::<Vec<_>>();
    let (tables, lists, logs) = (named(".sst"), named("MANIFEST"), named(".log"));
    let tables: Vec<_> =
        tables.into_iter().map(|path| (sealed::blocks(&std::fs::read(&path).unwrap()), path)).collect();
    assert!(tables.len() >= 10 && !lists.is_empty() && !logs.is_empty());
    let (cases, mut read) = (many_in_ci(16, 24, 6_000), 0);
    for case in 0..cases {
        let path = crafter.copy();
        let (file, mut bytes, story);
        if case % 3 < 2 {
            let (blocks, table) = crafter.one_of(&tables);
            bytes = std::fs::read(&table).unwrap();
            // Blocks, their kinds of compression, and now and then the footer.
            let block = crafter.one_of(&blocks);
            let places = if case % 12 == 0 { bytes.len() - 53..bytes.len() } else { block.start..block.end + 1 };
            let at = places.start + crafter.random.below(places.len());
            let byte = crafter.random.number() as u8;
            let byte = crafter.one_of(&[0, 0xff, 0x7f, bytes[at].wrapping_add(1), byte]);
            bytes[at] = byte;
            sealed::seal_table(&mut bytes, &blocks);
            (file, story) = (table, format!("{byte:02x} at {at} of block {block:?}"));
        } else {
            let list = if case % 2 == 0 { crafter.one_of(&lists) } else { crafter.one_of(&logs) };
            bytes = std::fs::read(&list).unwrap();
            let records = sealed::records(&bytes);
            let Some(record) = records.get(crafter.random.below(records.len().max(1))).cloned() else { continue };
            let at = record.start + 6 + crafter.random.below(record.len() - 6);
            let byte = crafter.random.number() as u8;
            let byte = crafter.one_of(&[0, 0xff, 0x7f, bytes[at].wrapping_add(1), byte]);
            bytes[at] = byte;
            sealed::seal_record(&mut bytes, &record);
            (file, story) = (list, format!("{byte:02x} at {at} of record {record:?}"));
        }
        let name = file.file_name().unwrap();
        std::fs::write(path.join("catalog").join(name), &bytes).unwrap();
        read += usize::from(crafter.holds(&path, false, &format!("case {case}: {} {story}", name.to_string_lossy())));
    }
    println!("{cases} files, {read} databases could be read");
}

#[test]
fn the_checksums_are_rocksdbs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    with_tables(&path);
    let mut checked = 0;
    for file in files(&path.join("catalog")) {
        let (bytes, name) = (std::fs::read(&file).unwrap(), file.file_name().unwrap().to_string_lossy().into_owned());
        let mut again = bytes.clone();
        if name.ends_with(".sst") {
            sealed::seal_table(&mut again, &sealed::blocks(&bytes));
        } else if name.starts_with("MANIFEST") || name.ends_with(".log") {
            sealed::records(&bytes).iter().for_each(|record| sealed::seal_record(&mut again, record));
        }
        assert!(again == bytes, "{name}");
        checked += 1;
    }
    assert!(checked > 10);
}
