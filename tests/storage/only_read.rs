//! R24: a backup that is read, and that everything tries to write into, keeps every byte, verifies and restores.
//!
//! It catches: an opening for writing that takes a backup, a statement that writes and is not asked whether it may, an opening for
//! reading that leaves a file, a repair that takes a backup for a damaged database, a list that says nothing of files that came later.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use cairn::{Arguments, Database, Error, ErrorKind, Ports};
use cairndb_storage_tests::{DIMENSION, create, digest, healthy, images, put, tree};

/// What only reads.
const READS: [&str; 18] = [
    "SHOW STATUS",
    "SHOW LABELS",
    "SHOW SEGMENTS",
    "SHOW STALE",
    "SHOW MODELS",
    "SHOW CLEANS",
    "SHOW CLEAN 1",
    "SHOW MARKED",
    "SHOW SUSPECTS",
    "CLEAN RULE suspects DRY RUN",
    "CHECK",
    "CHECK DEEP",
    "SEARCH ID 'a000001' K 10 RERANK",
    "SEARCH ID 'a000001' FRESH",
    "PREDICT ID 'a000001'",
    "EXPLAIN DELETE ID 'a000001'",
    "EXPLAIN ANALYZE SEARCH ID 'a000001'",
    "BACKUP VERIFY 'BACKUP'",
];
/// Statements that write, even if there is nothing left to do.
const WRITES: [&str; 21] = [
    "PUT ID 'new' VECTOR [1, 0, 0, 0, 0, 0, 0, 0]",
    "PUT ID 'a000001' VECTOR [1, 0, 0, 0, 0, 0, 0, 0] LABEL 'x'",
    "DELETE ID 'a000001'",
    "LABEL ID 'a000001' AS 'x'",
    "UNLABEL ID 'a000000'",
    "CLEAN",
    "CLEAN RULE suspects",
    "CLEAN RULE suspects RELABEL",
    "UNDO CLEAN",
    "UNDO LABEL",
    "TRAIN",
    "TRAIN FORCE",
    "TRAIN TRUNK",
    "REEMBED",
    "USE MODEL 0",
    "DROP MODEL 0",
    "DROP MODEL 0 FORCE",
    "FLUSH",
    "COMPACT",
    "EXPLAIN ANALYZE DELETE ID 'a000001'",
    "SHOW STATUS; DELETE ID 'a000001'",
];

/// A database with segments, a tail, a cleaning and marks, closed; its backup; and what both say.
fn backed_up(folder: &Path) -> (PathBuf, Vec<String>) {
    let database = create(&folder.join("db"), DIMENSION);
    database.write(images("a", 60, DIMENSION, 5, 2, 1)).unwrap();
    database.flush().unwrap();
    query(&database, "CLEAN RULE suspects top=3").unwrap();
    database.write(images("b", 30, DIMENSION, 5, 4, 2)).unwrap();
    let backup = folder.join("backup");
    database.backup(&backup).unwrap();
    (backup, digest(&database.snapshot()))
}

fn query(database: &Database, text: &str) -> Result<(), Error> {
    database.query(text, &Arguments::default(), &Ports::default()).map(|_| ())
}

#[test]
fn a_backup_is_only_read() {
    let folder = tempfile::tempdir().unwrap();
    let (backup, wanted) = backed_up(folder.path());
    assert!(Database::is_backup(&backup) && !Database::is_backup(folder.path().join("db")));
    let before = tree(&backup);
    let unchanged = |story: &str| assert_eq!(tree(&backup), before, "{story}");
    let refused = |error: Error, story: &str| {
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{story}: {error}");
        let help = error.next_step().unwrap_or_default();
        assert!(help.contains(&format!("cairn restore {}", backup.display())), "{story}: {error}");
        unchanged(story);
    };
    refused(Database::open(&backup).err().unwrap(), "open");
    refused(Database::repair(&backup).err().unwrap(), "repair");
    refused(Database::repair_at_any_loss(&backup).err().unwrap(), "repair at any loss");
    let reader = Database::open_read_only(&backup).unwrap();
    assert!(healthy(&reader) && digest(&reader.snapshot()) == wanted);
    unchanged("open_read_only");
    for text in READS {
        query(&reader, &text.replace("BACKUP'", &format!("{}'", backup.display())))
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        unchanged(text);
    }
    for text in WRITES {
        refused(query(&reader, text).err().unwrap_or_else(|| panic!("{text} was carried out")), text);
    }
    refused(reader.write(vec![put("new", None, &[1.0; DIMENSION])]).err().unwrap(), "write");
    refused(reader.flush().err().unwrap(), "flush");
    refused(reader.compact().err().unwrap(), "compact");
    refused(reader.undo_cleaning().err().unwrap(), "undo_cleaning");
    refused(reader.set_note("x", Some(b"y")).err().unwrap(), "set_note");
    refused(reader.drop_model(0).err().unwrap(), "drop_model");
    refused(reader.reopen_for_writing().err().unwrap(), "reopen_for_writing");
    assert_eq!(
        Database::create(&backup, cairn::Options::for_vectors(2)).err().unwrap().kind(),
        ErrorKind::AlreadyExists
    );
    assert_eq!(Database::restore_backup(&backup, &backup).err().unwrap().kind(), ErrorKind::AlreadyExists);
    assert_eq!(Database::restore_backup(&backup, backup.join("new")).err().unwrap().kind(), ErrorKind::Invalid);
    let copy = folder.path().join("copy");
    reader.backup(&copy).unwrap();
    drop(reader);
    unchanged("closed");
    Database::verify_backup(&backup).unwrap();
    for (from, to) in [(&backup, "restored"), (&copy, "restored copy")] {
        Database::verify_backup(from).unwrap();
        let to = folder.path().join(to);
        Database::restore_backup(from, &to).unwrap();
        let restored = Database::open(&to).unwrap();
        assert!(digest(&restored.snapshot()) == wanted);
        assert_eq!(restored.check(true).unwrap().problems, Vec::<String>::new());
        restored.write(vec![put("new", None, &[1.0; DIMENSION])]).unwrap();
    }
    unchanged("restored");
}

#[test]
fn a_file_that_was_not_backed_up_is_found_and_a_restore_leaves_it() {
    let folder = tempfile::tempdir().unwrap();
    let (backup, wanted) = backed_up(folder.path());
    for (number, stray) in
        ["LOCK", "columns", "catalog/LOG", "catalog/999999.sst", "segments/9.segment"].into_iter().enumerate()
    {
        std::fs::write(backup.join(stray), b"x").unwrap();
        let error = Database::verify_backup(&backup).unwrap_err();
        assert!(error.kind() == ErrorKind::Corrupt && error.message().contains(stray), "{stray}: {error}");
        let to = folder.path().join(format!("restored {number}"));
        Database::restore_backup(&backup, &to).unwrap();
        assert!(digest(&Database::open(&to).unwrap().snapshot()) == wanted, "{stray}");
        std::fs::remove_file(backup.join(stray)).unwrap();
    }
    std::fs::create_dir(backup.join("training")).unwrap();
    assert!(Database::verify_backup(&backup).unwrap_err().message().contains("training"));
    std::fs::remove_dir(backup.join("training")).unwrap();
    Database::verify_backup(&backup).unwrap();
}

/// It catches: a reader that flushes, saves its columns, reserves space, takes the lock or starts a worker; deferred writes that
/// are applied for an answer that does not ask for it.
#[test]
fn reading_changes_nothing_and_a_reader_can_become_the_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let database = create(&path, DIMENSION);
    database.write(images("a", 60, DIMENSION, 5, 2, 1)).unwrap();
    database.flush().unwrap();
    database.write(images("b", 30, DIMENSION, 5, 4, 2)).unwrap();
    database.set_deferral(cairn::Deferral::Always);
    database.write(images("c", 30, DIMENSION, 5, 4, 3)).unwrap();
    let waits = database.snapshot().lag() > 0;
    drop(database);
    let before = tree(&path);
    let reader = Database::open_read_only(&path).unwrap();
    let lag = reader.snapshot().lag();
    for text in
        READS.iter().filter(|text| !text.contains("VERIFY") && !text.contains("CLEAN 1") && !text.contains("FRESH"))
    {
        query(&reader, text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(tree(&path), before, "{text}");
    }
    let fresh = query(&reader, "SEARCH ID 'a000001' FRESH");
    assert_eq!(fresh.is_err(), lag > 0, "{waits}");
    assert_eq!(tree(&path), before);
    // Readers keep nobody out, and none of them is in the way of the writer that one of them becomes.
    let other = Database::open_read_only(&path).unwrap();
    let seen = reader.snapshot();
    reader.reopen_for_writing().unwrap();
    reader.reopen_for_writing().unwrap();
    assert!(!reader.is_read_only() && other.is_read_only());
    assert_eq!(other.reopen_for_writing().err().unwrap().kind(), ErrorKind::Locked);
    reader.write(vec![put("new", None, &[1.0; DIMENSION])]).unwrap();
    query(&reader, "SEARCH ID 'new' FRESH; FLUSH").unwrap();
    assert!(seen.record("new").unwrap().is_none() && reader.apply_pending().unwrap().record("new").unwrap().is_some());
    assert_eq!(reader.check(true).unwrap().problems, Vec::<String>::new());
}
