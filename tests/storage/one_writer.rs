//! R12: threads and processes race for one folder; no lock outlives its process. There are never two writers, and a refused one
//! learns which process holds the lock.
//!
//! A child process gets nothing of the lock, as a program that starts others between fork and exec must be able to rely on. How long a
//! refusal takes is not asserted: it depends on the machine; nothing in it waits.
//!
//! It catches: a lock that children inherit, the lock taken after RocksDB was touched, a lock file that a dead process holds, a lock given back while a snapshot
//! still keeps RocksDB open, a message without the process id.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, MutexGuard};

use cairn::{Database, ErrorKind, Options};
use cairndb_storage_tests::{DIMENSION, Guarded, create, images, load, many, wait_until};

/// One test at a time: between fork and exec a child process shares the open lock of its parent, so spawning beside a race shows as a
/// folder that is still held.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn small(path: &Path) {
    let database = create(path, DIMENSION);
    database.write(images("i", 40, DIMENSION, 5, 4, 1)).unwrap();
}

#[test]
fn threads_race_for_a_folder() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    small(&path);
    let (inside, opened, refused) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let barrier = Barrier::new(4);
    let rounds = many(40, 1000);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (path, barrier, inside, opened, refused) = (&path, &barrier, &inside, &opened, &refused);
            scope.spawn(move || {
                for round in 0..rounds {
                    barrier.wait();
                    match Database::open(path) {
                        Ok(database) => {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two writers in round {round}");
                            if round % 4 == thread {
                                database.write(images(&format!("r{round}-"), 1, DIMENSION, 5, 4, 1)).unwrap();
                            }
                            inside.fetch_sub(1, Ordering::SeqCst);
                            opened.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
                            refused.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
    });
    println!("{rounds} rounds of 4 threads: {opened:?} opened it, {refused:?} were refused");
    assert!(opened.into_inner() >= rounds && refused.into_inner() > 0);
    let report = Database::open(&path).unwrap().check(true).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
}

#[test]
fn processes_race_for_a_folder() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    small(&path);
    let (mut opened, mut refused) = (0, 0);
    let rounds = many(20, 1000);
    for round in 0..rounds {
        let start = || {
            Guarded(
                load().arg("race").arg(&path).arg("15").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap(),
            )
        };
        let mut racers: Vec<Guarded> = (0..3).map(|_| start()).collect();
        for racer in &mut racers {
            let status = racer.0.wait().unwrap();
            assert!(
                status.success(),
                "round {round}: {}",
                std::io::read_to_string(racer.0.stderr.take().unwrap()).unwrap()
            );
            let words = std::io::read_to_string(racer.0.stdout.take().unwrap()).unwrap();
            if words == "open\n" {
                opened += 1;
            } else {
                assert!(
                    words.starts_with("error open Locked") && words.contains("is held by"),
                    "round {round}: {words}"
                );
                refused += 1;
            }
        }
    }
    println!("{rounds} rounds of 3 processes: {opened} opened it, {refused} were refused");
    assert!(opened >= rounds);
}

/// A process that has the database open.
fn holder(path: &Path) -> Guarded {
    let mut child = load().arg("hold").arg(path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "open\n");
    Guarded(child)
}

fn refused(path: &Path, holder: &Child) {
    let who = format!("process {}", holder.id());
    let attempts = [Database::open(path).err().unwrap(), Database::repair(path).err().unwrap()];
    for error in attempts {
        assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
        assert!(error.message().contains(&who), "{error} does not name {who}");
    }
    let error = Database::create(path, Options::for_vectors(DIMENSION)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
}

#[test]
fn a_lock_dies_with_its_holder() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    small(&path);
    for _ in 0..many(5, 100) {
        let mut child = holder(&path);
        refused(&path, &child.0);
        // A reader needs no lock.
        assert_eq!(Database::open_read_only(&path).unwrap().snapshot().counts().index, 30);
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        drop(Database::open(&path).unwrap());
    }
}

/// Not a bare fork, which takes `unsafe`: what a child has behind its exec is what a program that starts others leaves behind.
#[test]
fn a_child_does_not_inherit_the_lock() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("db"), folder.path().join("other"));
    small(&path);
    small(&other);
    for _ in 0..many(5, 100) {
        let database = Database::open(&path).unwrap();
        let mut child = holder(&other);
        drop(database);
        // The child lives on and holds another folder.
        drop(Database::open(&path).unwrap());
        assert!(child.0.try_wait().unwrap().is_none());
        refused(&other, &child.0);
    }
}

#[test]
fn a_snapshot_keeps_the_folder_locked() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    small(&path);
    let database = Database::open(&path).unwrap();
    let snapshot = database.snapshot();
    drop(database);
    let error = Database::open(&path).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(error.message().contains(&format!("process {}", std::process::id())), "{error}");
    assert_eq!(snapshot.keys(None).unwrap().len(), 40);
    drop(snapshot);
    wait_until("the lock's end", || Database::open(&path).is_ok());
}
