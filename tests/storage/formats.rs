//! R19: a database of every format that was ever written is read, or refused with what to do.
//!
//! It catches: a side file that is laid out otherwise than documented, a family that a reader of format 1 expects and does not get, a changed meaning of a stored field, also of the present
//! format without another number, a newer format that is opened as if it were this one.
//!
//! The databases of formats 3 to 5 were written by `writes_a_database_of_the_present_format`, before these were released. Whoever changes
//! what is stored gives the format a new number and adds a folder; the ones that are there stay.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fmt::Write;
use std::path::{Path, PathBuf};

use cairn::language::{Action, CleanPlan, CleanRule, Cut};
use cairn::{Database, ErrorKind, Expect, Operation, Put, Query, Rerank, SearchRequest, Value};
use cairndb_storage_tests::epochs::{self, Turns};
use cairndb_storage_tests::{DIMENSION, copy_folder, create, digest, files, healthy, put};

#[test]
fn format_1_gives_the_answers_that_it_gave() {
    gives_what_it_gave("v1");
}

#[test]
fn format_2_gives_the_answers_that_it_gave() {
    gives_what_it_gave("v2");
}

#[test]
fn format_3_gives_the_answers_that_it_gave() {
    gives_what_it_gave("v3");
}

#[test]
fn format_4_gives_the_answers_that_it_gave() {
    gives_what_it_gave("v4");
}

#[test]
fn format_5_gives_the_answers_that_it_gave() {
    gives_what_it_gave("v5");
}

fn formats() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../formats")
}

/// The queries that lie beside a database.
fn queries(kept: &Path) -> Vec<Query> {
    let queries = std::fs::read(kept.join("queries.npy")).unwrap();
    let queries = npyz::NpyFile::new(&queries[..]).unwrap();
    let dimension = queries.shape()[1] as usize;
    let values = queries.into_vec::<f32>().unwrap();
    values.chunks(dimension).map(|vector| Query::new(vector.to_vec())).collect()
}

/// The answers to these queries.
fn answered(database: &Database, queries: &[Query]) -> String {
    let request = SearchRequest::new().depth(30).limit(30).rerank(Rerank::new().k(3).tau(0.6));
    let answers = database.snapshot().search(&request, queries).unwrap();
    let mut text = "query,rank,id,similarity,instance,instance_score,stage\n".to_owned();
    for (query, answer) in answers.iter().enumerate() {
        for (rank, row) in answer.rows.iter().enumerate() {
            let vote = row.prediction.as_ref().unwrap();
            let (id, similarity, stage) = (&row.id, row.similarity, row.stage.unwrap().word());
            writeln!(text, "{query},{},{id},{similarity},{},{},{stage}", rank + 1, vote.instance, vote.score).unwrap();
        }
    }
    text
}

/// What was shown of a record when format 3 was written.
#[derive(Debug)]
#[expect(dead_code, reason = "it is only shown")]
struct Record {
    key: String,
    role: cairn::Role,
    label: Option<String>,
    marked: Option<u64>,
    source: Option<String>,
    content: Option<[u8; 32]>,
    version: u64,
}

/// What answers do not show: contents, cleanings, marks, what is kept of a photo; from format 4 on who set each label, and what lists
/// said.
fn contents(database: &Database, format: &str) -> String {
    let snapshot = database.snapshot();
    let mut text = digest(&snapshot).join("\n");
    let photo = snapshot.photo("photo").unwrap();
    let record = snapshot.record("photo").unwrap().map(|stored| {
        let cairn::Record { key, role, label, marked, source, content, version, .. } = stored;
        Record { key, role, label, marked, source, content, version }
    });
    let model = database.options().model;
    writeln!(text, "\n{:?}\n{:?}", database.cleanings().unwrap(), database.marked().unwrap()).unwrap();
    writeln!(text, "{photo:?}\n{record:?}\n{model:?}").unwrap();
    for key in snapshot.keys(None).unwrap().iter().filter(|_| format != "v3") {
        let record = snapshot.record(key).unwrap().unwrap();
        writeln!(text, "{key} {:?} {:?}", record.set_by, record.listed).unwrap();
        if !["v3", "v4"].contains(&format) {
            writeln!(text, "{:?} {:?}", record.source, record.attributes).unwrap();
        }
    }
    text
}

/// Two models, one activated during writes, segments with dead rows, a tail, a photo, a cleaning that marks, labels that were set
/// by lists, by people and by a cleaning.
#[test]
#[ignore = "writes a database to be kept, where CAIRN_FORMAT_FOLDER says"]
fn writes_a_database_of_the_present_format() {
    let Some(kept) = std::env::var_os("CAIRN_FORMAT_FOLDER").map(PathBuf::from) else { return };
    std::fs::create_dir_all(&kept).unwrap();
    std::fs::copy(formats().join("v2/queries.npy"), kept.join("queries.npy")).unwrap();
    let path = kept.join("database");
    let database = Database::create(&path, epochs::options()).unwrap();
    let mut turns = Turns::new(&database, 5);
    for _ in 0..12 {
        turns.write();
    }
    database.flush().unwrap();
    turns.change(&mut |_| ()).unwrap();
    for _ in 0..12 {
        turns.write();
    }
    database.flush().unwrap();
    let write = |operations: Vec<Operation>| {
        let made_by = database.options().model.map(|model| model.fingerprint);
        database.write_if([Expect::Model(made_by)], operations).unwrap();
    };
    let put = Put::new("photo", [1.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5]).source("folder/photo.jpg").content([7; 32]);
    let put =
        put.attribute("camera", "Leica M11").attribute("iso", 200.0).attribute("taken", Value::Time(1_714_559_400_000));
    write(vec![put.photo(*b"bytes of a photo").into()]);
    let plan = CleanPlan::default().rule(CleanRule::Suspects(Cut::Top(3)));
    assert_eq!(database.clean(&plan, None, None).unwrap().found, 3);
    let reading = database.snapshot().reading();
    let listed = |n: u8, label: &str| {
        let put = Put::new(format!("listed {n}"), [1.0, f32::from(n), 0.0, 0.0, 0.5, 0.0, 0.0, 0.0]);
        Operation::from(put.content([n; 32]).label(label).from_list(reading))
    };
    write((0..5).map(|n| listed(n, if n < 2 { "label 1" } else { "label 2" })).collect());
    let (key, label) = ("listed 0".to_owned(), "by hand".to_owned());
    database.write(vec![Operation::Label { key, label }, Operation::Unlabel { key: "listed 2".to_owned() }]).unwrap();
    let plan = CleanPlan::default().rule(CleanRule::Suspects(Cut::Top(2))).action(Action::Relabel);
    assert_eq!(database.clean(&plan, None, None).unwrap().found, 2);
    turns = Turns::new(&database, 5);
    turns.write();
    let place = Value::Place { latitude: 48.858, longitude: 2.294 };
    let changes = vec![("place".to_owned(), Some(place)), ("iso".to_owned(), None)];
    let moved = Operation::rename("listed 3", "moved/3", Some("folder/moved/3.jpg".to_owned()));
    database.write(vec![Operation::Describe { key: "photo".to_owned(), changes }, moved]).unwrap();
    std::fs::write(kept.join("expected.csv"), answered(&database, &queries(&kept))).unwrap();
    std::fs::write(kept.join("contents.txt"), contents(&database, "v5")).unwrap();
    drop(database);
    let is_needless = |name: &str| ["LOCK", "LOG", "OPTIONS", "reserve"].iter().any(|begin| name.starts_with(begin));
    for file in files(&path).into_iter().chain(files(&path.join("catalog"))) {
        if file.is_file() && is_needless(&file.file_name().unwrap().to_string_lossy()) {
            std::fs::remove_file(file).unwrap();
        }
    }
}

fn gives_what_it_gave(format: &str) {
    let kept = formats().join(format);
    // Format 3 has the same families; its missing fields count as unknown.
    let is_readable = ["v3", "v4", "v5"].contains(&format);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    copy_folder(&kept.join("database"), &path);
    let queries = queries(&kept);
    // A reader cannot bring it up to date, and says so.
    match Database::open_read_only(&path) {
        Err(error) => assert!(!is_readable && error.to_string().contains("open it once for writing"), "{error}"),
        Ok(database) => {
            assert!(is_readable, "{format} was opened for reading");
            assert_eq!(answered(&database, &queries), std::fs::read_to_string(kept.join("expected.csv")).unwrap());
        }
    }
    let mut before = Vec::new();
    for state in ["as it was", "brought up to date", "in segments"] {
        let database = Database::open(&path).unwrap();
        if state == "in segments" {
            // Format 2 was kept without a tail.
            assert_eq!(database.flush().unwrap(), format != "v2");
            database.compact().unwrap();
        }
        let expected = |name: &str| std::fs::read_to_string(kept.join(name)).unwrap();
        assert_eq!(answered(&database, &queries), expected("expected.csv"), "{state}");
        if is_readable {
            assert_eq!(contents(&database, format), expected("contents.txt"), "{state}");
        }
        assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new(), "{state}");
        assert!(healthy(&database));
        let digest = digest(&database.snapshot());
        assert!(before.is_empty() || before == digest, "{state}");
        before = digest;
    }
}

/// The checksum of RocksDB's log records: CRC-32C, bit by bit, masked.
fn masked_crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    (!crc).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Sets the format in the options, which a fresh database still has in RocksDB's log: a record is checksum, length, kind, bytes.
fn set_format(log: &Path, format: u8) -> bool {
    let mut bytes = std::fs::read(log).unwrap();
    let Some(options) = bytes.windows(7).position(|window| window == b"options") else { return false };
    // Behind the key: the value's length, then field 1 of the message, the format.
    let field = options + 8;
    assert_eq!(bytes[field], 0x08, "the options do not start with the format");
    bytes[field + 1] = format;
    let mut at = 0;
    while at + 7 < bytes.len() {
        let length = usize::from(u16::from_le_bytes([bytes[at + 4], bytes[at + 5]]));
        let end = at + 7 + length;
        if (at..end).contains(&field) {
            let check = masked_crc32c(&bytes[at + 6..end]);
            bytes[at..at + 4].copy_from_slice(&check.to_le_bytes());
            std::fs::write(log, bytes).unwrap();
            return true;
        }
        at = end;
    }
    panic!("no record of the log holds the options");
}

#[test]
fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let origin = folder.path().join("origin");
    {
        // As a crash leaves it: closing would move the options out of the log.
        let _open = create(&path, DIMENSION);
        copy_folder(&path, &origin);
    }
    let change = |format: u8| {
        std::fs::remove_dir_all(&path).unwrap();
        copy_folder(&origin, &path);
        let logs =
            files(&path.join("catalog")).into_iter().filter(|file| file.extension().is_some_and(|end| end == "log"));
        assert!(logs.into_iter().any(|log| set_format(&log, format)), "the options are not in the log");
    };
    // With the format it has, the changed log is sound: what follows is refused for its format alone.
    change(5);
    Database::open(&path).unwrap();
    for format in [6, 99] {
        change(format);
        for error in [Database::open_read_only(&path).err(), Database::open(&path).err(), Database::repair(&path).err()]
        {
            let error = error.unwrap_or_else(|| panic!("format {format} was opened"));
            assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
            assert!(error.message().contains(&format!("format {format}")), "{error}");
            assert!(error.next_step().is_some(), "{error}");
        }
    }
}

/// The files beside catalog and segments, byte by byte.
#[test]
fn the_document_agrees_with_the_side_files() {
    let document = include_str!("../../docs/FORMAT.md").split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "`CAIRNCOL` (8), version 1 (4), database (16), sequence (8); then for train and index: number of segments (4), and for each its \
         number (8), rows (4), and for each row label (4; 4294967295: none), score (f32), floor (f32); last a checksum (4).",
        "`CAIRNACK` (8), database (16), sequence (8), checksum (4).",
    ] {
        assert!(document.contains(said), "docs/FORMAT.md lacks: {said}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let database = create(&path, 2);
    // Fewer train images than are kept of each list: there is no floor.
    database.write(vec![put("t0", Some("a"), &[1.0, 0.0]), put("i0", None, &[1.0, 0.0])]).unwrap();
    database.write(vec![put("t1", Some("b"), &[0.0, 1.0])]).unwrap();
    database.flush().unwrap();
    let score = database.snapshot().prediction("i0").unwrap().unwrap().score;
    let numbers: Vec<u64> = database.segments().iter().map(|segment| segment.number).collect();
    drop(database);
    let segment = std::fs::read(files(&path.join("segments")).remove(0)).unwrap();
    let (name, floor) = (&segment[16..32], f32::NEG_INFINITY.to_le_bytes());
    let row = |label: u32, score: f32| [&label.to_le_bytes()[..], &score.to_le_bytes(), &floor].concat();
    let columns = [
        b"CAIRNCOL",
        &1u32.to_le_bytes()[..],
        name,
        &2u64.to_le_bytes(),
        // Train.
        &1u32.to_le_bytes(),
        &numbers[0].to_le_bytes(),
        &2u32.to_le_bytes(),
        &row(0, 1.0),
        &row(1, 1.0),
        // Index.
        &1u32.to_le_bytes(),
        &numbers[1].to_le_bytes(),
        &1u32.to_le_bytes(),
        &row(0, score),
    ];
    let acknowledged = [b"CAIRNACK", name, &2u64.to_le_bytes()[..]];
    for (file, parts) in [("columns", &columns[..]), ("acknowledged", &acknowledged)] {
        let body = parts.concat();
        let sum = crc32fast::hash(&body).to_le_bytes();
        assert_eq!(std::fs::read(path.join(file)).unwrap(), [&body[..], &sum].concat(), "{file}");
    }
}
