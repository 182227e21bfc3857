//! R19: a database of every format that was ever written is read, or refused with what to do.
//!
//! It catches: a family that a reader of format 1 expects and does not get, a changed meaning of a stored field, a newer format that
//! is opened as if it were this one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fmt::Write;
use std::path::Path;

use cairn::{Database, ErrorKind, Query, Rerank, SearchRequest};
use cairndb_storage_tests::{DIMENSION, copy_folder, create, digest, files, healthy};

#[test]
fn format_1_gives_the_answers_that_it_gave() {
    gives_what_it_gave("v1");
}

#[test]
fn format_2_gives_the_answers_that_it_gave() {
    gives_what_it_gave("v2");
}

fn gives_what_it_gave(format: &str) {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../formats").join(format);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    copy_folder(&kept.join("database"), &path);
    let queries = std::fs::read(kept.join("queries.npy")).unwrap();
    let queries = npyz::NpyFile::new(&queries[..]).unwrap();
    let dimension = queries.shape()[1] as usize;
    let queries: Vec<Query> = queries
        .into_vec::<f32>()
        .unwrap()
        .chunks(dimension)
        .map(|vector| Query { vector: vector.to_vec(), without: None })
        .collect();
    // A reader cannot bring it up to date, and says so.
    let error = Database::open_read_only(&path).err().unwrap();
    assert!(error.to_string().contains("open it once for writing"), "{error}");
    let mut before = Vec::new();
    for state in ["as it was", "brought up to date", "in segments"] {
        let database = Database::open(&path).unwrap();
        if state == "in segments" {
            // Format 2 had segments already.
            assert_eq!(database.flush().unwrap(), format == "v1");
            database.compact().unwrap();
        }
        let request = SearchRequest {
            depth: 30,
            limit: 30,
            rerank: Some(Rerank { k: 3, sort: true, insert: Some(0.6) }),
            ..Default::default()
        };
        let answers = database.snapshot().search(&request, &queries).unwrap();
        let mut text = "query,rank,id,similarity,instance,instance_score,stage\n".to_owned();
        for (query, answer) in answers.iter().enumerate() {
            for (rank, row) in answer.rows.iter().enumerate() {
                let vote = row.prediction.as_ref().unwrap();
                let (id, similarity, stage) = (&row.id, row.similarity, row.stage.unwrap().word());
                writeln!(text, "{query},{},{id},{similarity},{},{},{stage}", rank + 1, vote.instance, vote.score)
                    .unwrap();
            }
        }
        assert_eq!(text, std::fs::read_to_string(kept.join("expected.csv")).unwrap(), "{state}");
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
    change(3);
    Database::open(&path).unwrap();
    for format in [4, 99] {
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
