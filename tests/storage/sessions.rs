//! R25: short sessions in a process with a low limit of open files. However often a database is opened, written and closed, it
//! has a bounded number of files; one with very many tables opens, works, and has few afterwards.
//!
//! `CAIRN_LONG=1` makes 5,000 sessions.
//!
//! It catches: a table for each family and session; tables that are never merged; logs that pile up; a table or segment for each of
//! which a file is kept open; a write that only the closed session's memory had.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use cairn::{Database, ErrorKind};
use cairndb_storage_tests::{DIMENSION, create, files, load, many, put};

/// Files that a process may have open.
const MOST_OPEN: u64 = 256;
/// Files of a small database at most: 14 families with 8 small tables and four more each that wait to be merged, logs, and RocksDB's own.
const MOST_FILES: usize = 14 * 12 + 16 + 20;

/// The load in a process that may have so few files open.
fn limited(words: &[&str]) -> Vec<String> {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n \"$0\"; exec \"$@\""]).arg(MOST_OPEN.to_string());
    let output = command.arg(load().get_program()).args(words).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.ends_with("done\n"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said.lines().map(str::to_owned).collect()
}

fn count(folder: &Path) -> usize {
    files(&folder.join("catalog")).len() + files(&folder.join("segments")).len()
}

#[test]
fn short_sessions_leave_few_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let words = path.to_str().unwrap().to_owned();
    create(&path, DIMENSION).close().unwrap();
    let sessions = many(200, 5_000);
    let mut most = 0;
    for from in (0..sessions).step_by(100) {
        let said = limited(&["sessions", &words, &from.to_string(), "100"]);
        let mut took: Vec<f64> =
            said.iter().filter_map(|line| line.strip_prefix("ack ")?.split(' ').nth(1)?.parse().ok()).collect();
        took.sort_by(f64::total_cmp);
        let files = count(&path);
        println!("{} sessions: {files} files, opening took {} ms in the median", from + 100, took[50]);
        most = most.max(files);
        assert!(files <= MOST_FILES, "{files} files after {} sessions", from + 100);
    }
    let database = Database::open(&path).unwrap();
    assert_eq!(database.snapshot().keys(None).unwrap().len(), sessions);
    assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new());
}

#[test]
fn a_database_of_very_many_tables_opens_and_heals() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let words = path.to_str().unwrap().to_owned();
    create(&path, DIMENSION).close().unwrap();
    let rounds = many(80, 600);
    let made = load().args(["tables", &words, &rounds.to_string()]).output().unwrap();
    assert!(String::from_utf8_lossy(&made.stdout).ends_with("done\n"), "{}", String::from_utf8_lossy(&made.stderr));
    let before = count(&path);
    assert!(before > 2 * rounds, "{before} files are no disease");
    limited(&["sessions", &words, &rounds.to_string(), "3"]);
    let after = count(&path);
    println!("{before} files, after three sessions {after}");
    assert!(after <= MOST_FILES, "{after} files");
    let database = Database::open(&path).unwrap();
    assert_eq!(database.snapshot().keys(None).unwrap().len(), rounds + 3);
    assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new());
}

/// It catches: an error of the last save that is not reported; a database that is closed and still writes.
#[test]
fn closing_says_how_it_went_and_ends_the_writing_of_clones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let database = create(&path, DIMENSION);
    let clone = database.clone();
    let image = |key: &str| vec![put(key, None, &[1.0; DIMENSION])];
    database.write(image("a")).unwrap();
    let snapshot = database.snapshot();
    database.close().unwrap();
    let refused = clone.write(image("b")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(refused.message().contains("closed"), "{refused}");
    assert_eq!(snapshot.keys(None).unwrap(), ["a"]);
    assert_eq!(Database::open(&path).err().unwrap().kind(), ErrorKind::Locked, "a snapshot holds the folder");
    drop(snapshot);
    clone.close().unwrap();

    let database = Database::open(&path).unwrap();
    // What closing writes cannot be written.
    std::fs::remove_file(path.join("acknowledged")).unwrap();
    std::fs::create_dir(path.join("acknowledged")).unwrap();
    assert!(database.close().is_err());
    std::fs::remove_dir(path.join("acknowledged")).unwrap();
    assert_eq!(Database::open(&path).unwrap().snapshot().keys(None).unwrap(), ["a"]);
}
