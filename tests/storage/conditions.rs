//! Conditional writes: the condition is checked on the very state that is changed, also beside writers and after deferred writes.
//! Also the openings that belong to them: a folder that is opened or created, a reader that refreshes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use cairn::{Database, Deferral, ErrorKind, Expect, Operation, Options, Put, Snapshot};
use cairndb_storage_tests::create;

fn put(key: &str) -> Operation {
    Put::new(key, [1.0, 0.5]).into()
}

fn version(snapshot: &Snapshot, key: &str) -> u64 {
    snapshot.record(key).unwrap().unwrap().version
}

/// It catches: a look before the writer's lock is taken, after which another thread inserts the same key.
#[test]
fn of_threads_that_insert_a_key_if_it_is_absent_one_does() {
    const THREADS: usize = 8;
    const KEYS: usize = 50;
    let folder = tempfile::tempdir().unwrap();
    let database = create(&folder.path().join("db"), 2);
    let (inserted, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let together = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for n in 0..KEYS {
                    together.wait();
                    let key = format!("k{n}");
                    match database.write_if([Expect::absent(&key)], [put(&key)]) {
                        Ok(_) => inserted.fetch_add(1, Ordering::SeqCst),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                            refused.fetch_add(1, Ordering::SeqCst)
                        }
                    };
                }
            });
        }
    });
    assert_eq!((inserted.into_inner(), refused.into_inner()), (KEYS, (THREADS - 1) * KEYS));
    assert!((0..KEYS).all(|n| version(&database.snapshot(), &format!("k{n}")) == 1));
}

/// It catches: an increment that is lost, because a version is checked in another state than the one that is changed.
#[test]
fn no_change_is_lost_where_each_expects_the_version_that_it_read() {
    const THREADS: u64 = 4;
    const CHANGES: u64 = 25;
    let folder = tempfile::tempdir().unwrap();
    let database = create(&folder.path().join("db"), 2);
    database.write([put("counter")]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..CHANGES {
                    loop {
                        let seen = database.snapshot().record("counter").unwrap().unwrap();
                        let count: u64 = seen.source.as_deref().unwrap_or("0").parse().unwrap();
                        let next = Put::new("counter", [1.0, 0.5]).source((count + 1).to_string()).into();
                        match database.write_if([Expect::version("counter", seen.version)], [next]) {
                            Ok(_) => break,
                            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
                        }
                    }
                }
            });
        }
    });
    let counted = database.snapshot().record("counter").unwrap().unwrap().source;
    assert_eq!(counted, Some((THREADS * CHANGES).to_string()));
}

/// It catches: an expectation that is judged by what readers see, and not behind the writes that wait.
#[test]
fn what_waits_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let database = create(&folder.path().join("db"), 2);
    database.write([put("a")]).unwrap();
    database.set_deferral(Deferral::Always);
    let before = database.snapshot();
    assert!(database.write([Operation::Delete { key: "a".to_owned() }, put("b")]).unwrap().deferred);
    for expected in
        [Expect::present("a"), Expect::version("a", 1), Expect::absent("b"), Expect::sequence(before.sequence())]
    {
        let refused = database.write_if([expected.clone()], [put("c")]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{expected:?}: {refused}");
    }
    let now = database.snapshot();
    assert_eq!((now.lag(), now.keys(None).unwrap()), (0, vec!["b".to_owned()]));
    let both = [Expect::absent("a"), Expect::present("b"), Expect::version("b", 1), Expect::sequence(now.sequence())];
    let receipt = database.write_if(both, [put("c")]).unwrap();
    assert!(!receipt.deferred && receipt.sequence == now.sequence() + 1);
    // Nothing to write is an answer, too: all of it held.
    assert_eq!(database.write_if([Expect::present("c")], []).unwrap().sequence, receipt.sequence);
    assert_eq!(database.write_if([Expect::absent("c")], []).unwrap_err().kind(), ErrorKind::Conflict);
}

/// It catches: a folder that is created over an existing one, options that are silently ignored.
#[test]
fn a_folder_is_opened_where_it_is_and_made_where_it_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let made = Database::open_or_create(&path, Options::for_vectors(2)).unwrap();
    made.write([put("a")]).unwrap();
    made.close().unwrap();
    let refused = Database::open_or_create(&path, Options::for_vectors(3)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Mismatch, "{refused}");
    assert!(refused.message().contains("dimension 2"), "{refused}");
    let opened = Database::open_or_create(&path, Options::for_vectors(2)).unwrap();
    assert_eq!(opened.snapshot().keys(None).unwrap(), ["a"]);
}

/// It catches: a reader that shows for ever what it opened, one whose earlier snapshots change, a writer that loses its worker.
#[test]
fn a_reader_looks_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let writer = create(&path, 2);
    writer.write([put("a")]).unwrap();
    let reader = Database::open_read_only(&path).unwrap();
    let clone = reader.clone();
    let before = reader.snapshot();
    writer.write([put("b")]).unwrap();
    writer.flush().unwrap();
    assert_eq!(reader.snapshot().keys(None).unwrap(), ["a"]);
    assert_eq!(reader.refresh().unwrap().keys(None).unwrap(), ["a", "b"]);
    assert_eq!((before.keys(None).unwrap().len(), clone.snapshot().keys(None).unwrap().len()), (1, 2));
    assert!(reader.is_read_only() && reader.check(true).unwrap().problems.is_empty());
    assert_eq!(writer.refresh().unwrap().sequence(), writer.snapshot().sequence());
    writer.close().unwrap();
    // Another folder in its place is not looked at.
    std::fs::rename(&path, folder.path().join("elsewhere")).unwrap();
    create(&path, 2).close().unwrap();
    assert_eq!(reader.refresh().unwrap_err().kind(), ErrorKind::Displaced);
    assert_eq!(reader.snapshot().keys(None).unwrap(), ["a", "b"]);
}
