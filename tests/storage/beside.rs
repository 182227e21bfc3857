//! A backup of a database that another process writes, flushes and merges without a pause: each verifies, restores to exactly the
//! state of its sequence number, and has everything that was acknowledged before it started. The writer notices nothing.
//!
//! It catches: a list of tables of one moment with the log of another, a segment that was merged away between the copy of the catalog
//! and that of the segments, a log copied beyond what its list knows, a copy that takes the writer's lock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::process::Stdio;

use cairn::{Database, ErrorKind};
use cairndb_storage_tests::{Guarded, Stream, load, many, said, sound, wait_until};

#[test]
fn a_database_that_another_process_writes_is_backed_up() {
    let folder = tempfile::tempdir().unwrap();
    let (path, words) = (folder.path().join("db"), folder.path().join("words"));
    let mut command = load();
    let out = std::fs::File::create(&words).unwrap();
    command.arg("busy").arg(&path).arg("77").stdout(out).stdin(Stdio::null());
    let mut child = Guarded(command.spawn().unwrap());
    wait_until("the writer's first transactions", || said(&words, 0).acknowledged > 5);
    let rounds = many(5, 100);
    let mut stream = Stream::new(77);
    let (mut last, mut busy) = (0, 0);
    for round in 0..rounds {
        let story = format!("round {round}");
        assert_eq!(Database::open(&path).err().unwrap().kind(), ErrorKind::Locked, "{story}");
        let (to, restored) = (folder.path().join("backup"), folder.path().join("restored"));
        let before = said(&words, 0).acknowledged;
        // As the program does.
        let reader = Database::open_read_only(&path).unwrap_or_else(|error| panic!("{story}: {error}"));
        while let Err(error) = reader.backup(&to) {
            assert_eq!(error.kind(), ErrorKind::Locked, "{story}: {error}");
            busy += 1;
            assert!(busy <= rounds, "{story}: {error}");
        }
        drop(reader);
        Database::verify_backup(&to).unwrap_or_else(|error| panic!("{story}: {error}"));
        Database::restore_backup(&to, &restored).unwrap();
        std::fs::remove_dir_all(&to).unwrap();
        let copy = Database::open(&restored).unwrap_or_else(|error| panic!("{story}: {error}"));
        let sequence = copy.apply_pending().unwrap().sequence();
        assert!(sequence >= before, "{story}: {before} was acknowledged before it, and {sequence} is in it");
        assert!(sequence <= said(&words, 0).tried, "{story}");
        stream.run_to(sequence);
        sound(&copy, &stream.model, &story);
        last = sequence;
        drop(copy);
        std::fs::remove_dir_all(&restored).unwrap();
        assert!(child.0.try_wait().unwrap().is_none(), "{story}: the writer ended");
    }
    println!("{rounds} backups beside {last} transactions of another process; the writer was too busy {busy} times");
    drop(child);
    sound(
        &Database::open(&path).unwrap(),
        &{
            let reached = Database::open_read_only(&path).unwrap().snapshot();
            stream.run_to(reached.sequence() + reached.lag());
            stream.model.clone()
        },
        "the writer's own",
    );
}
