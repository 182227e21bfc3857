//! Long calls end soon after they are stopped, and leave nothing half-done.
//!
//! It catches: a long call that never looks whether it is to end, or only once; a stop that is reported as damage or as success; a
//! database that a stopped call leaves unsound, changed or locked; a walk that continues behind its error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cairn::{
    Arguments, Database, Deferral, ErrorKind, Outcome, Ports, Progress, Put, Query, Rerank, Role, SearchRequest, Stop,
};
use cairndb_storage_tests::{DIMENSION, digest, images, no_leftovers, put, told};

/// Several times as many rows as are passed between two looks.
const ROWS: usize = 12_000;

fn filled(folder: &Path) -> Database {
    let database = Database::create(folder, cairn::Options::for_vectors(DIMENSION)).unwrap();
    database.set_deferral(Deferral::Never);
    for part in 0..2 {
        let rows = images(&format!("{part} "), ROWS / 2, DIMENSION, 9, 5, 3).into_iter();
        database
            .write(rows.map(|row| match row {
                cairn::Operation::Put(put) => put.content([7; 32]).into(),
                other => other,
            }))
            .unwrap();
        database.flush().unwrap();
    }
    database
}

/// Makes a call that is stopped at its first step, then at later and later ones, until it finishes; returns a lower bound of the
/// steps of the last one.
fn stopped_everywhere<T>(
    what: &str,
    mut call: impl FnMut(&dyn cairn::Watch) -> cairn::Result<T>,
    mut behind: impl FnMut(),
) -> usize {
    let mut last = 1;
    loop {
        let steps = AtomicUsize::new(0);
        let watch = told(|_| steps.fetch_add(1, Ordering::Relaxed) + 1 < last);
        match call(&watch) {
            Ok(_) => return steps.load(Ordering::Relaxed),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Cancelled, "{what}, stopped at step {last}: {error}"),
        }
        drop(watch);
        // Whoever answered `Break` is not asked again.
        assert_eq!(steps.load(Ordering::Relaxed), last, "{what}");
        behind();
        last += 1 + last / 2;
    }
}

#[test]
fn each_long_call_ends_where_it_is_stopped_and_leaves_the_database_sound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let database = filled(&path);
    database.write((0..300).map(|at| cairn::Operation::Delete { key: format!("0 {at:06}") })).unwrap();
    let before = digest(&database.snapshot());
    let sound = || {
        assert_eq!(database.check(false).unwrap().problems, Vec::<String>::new());
        no_leftovers(&database, "behind a stop");
    };
    for deep in [false, true] {
        let steps = stopped_everywhere("a check", |watch| database.check_watched(deep, watch), || ());
        assert!(steps > 10, "a check of {ROWS} rows looks {steps} times");
    }
    assert!(stopped_everywhere("a compaction", |watch| database.compact_watched(watch), sound) > 10);
    assert_eq!((database.segments().len(), digest(&database.snapshot()) == before), (2, true));
    let (backup, copy) = (folder.path().join("backup"), folder.path().join("copy"));
    assert!(stopped_everywhere("a backup", |watch| database.backup_watched(&backup, watch), || ()) > 5);
    assert!(stopped_everywhere("a verification", |watch| Database::verify_backup_watched(&backup, watch), || ()) > 5);
    let restore = |watch: &dyn cairn::Watch| Database::restore_backup_watched(&backup, &copy, watch);
    let unfinished = || assert_eq!(Database::open(&copy).unwrap_err().kind(), ErrorKind::Unfinished);
    // The backup is compared before anything is written.
    let _of_reading = stopped_everywhere("a restore", restore, || {
        if copy.exists() {
            unfinished();
        }
    });
    drop(database);
    let (mut stops, mut refused) = (0, 0);
    stopped_everywhere(
        "a repair",
        |watch| Database::repair_watched(&copy, false, watch),
        || {
            // Until it changes something, the database is as it was; then it is opened by nobody but a repair.
            stops += 1;
            refused += usize::from(Database::open(&copy).is_err());
        },
    );
    assert!(0 < refused && refused < stops, "{refused} of {stops}");
    let repaired = Database::open(&copy).unwrap();
    assert_eq!(digest(&repaired.snapshot()), before);
    assert_eq!(repaired.check(true).unwrap().problems, Vec::<String>::new());
}

/// Applying is the worker's, too: a stop is heard only where something still waits.
#[test]
fn a_drain_that_is_stopped_keeps_what_it_applied_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("db"), cairn::Options::for_vectors(DIMENSION)).unwrap();
    database.set_deferral(Deferral::Always);
    let stop = Stop::new();
    stop.stop();
    let was_stopped = |round: usize| {
        for at in 0..20 {
            database.write([put(format!("{round} {at}"), None, &[1.0; DIMENSION])]).unwrap();
        }
        match database.apply_pending_watched(&stop) {
            Ok(_) => false,
            Err(error) => error.kind() == ErrorKind::Cancelled,
        }
    };
    let rounds = 1 + (0..1_000).position(was_stopped).expect("the worker was faster each time");
    assert_eq!(database.apply_pending().unwrap().counts().index, 20 * rounds);
    assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new());
}

#[test]
fn statements_end_when_whoever_watches_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let database = filled(&folder.path().join("db"));
    let vector = format!("[{}]", ["0.5"; DIMENSION].join(", "));
    let before = digest(&database.snapshot());
    for (statement, least) in [
        (format!("SEARCH VECTOR {vector} EXACT"), 3),
        (format!("SEARCH VECTOR {vector} RERANK k=20"), 3),
        (format!("PREDICT VECTOR {vector}"), 1),
        ("CHECK".to_owned(), 3),
        ("CHECK DEEP".to_owned(), 3),
        ("COMPACT".to_owned(), 3),
    ] {
        for step in 1..=least {
            let left = Arc::new(AtomicUsize::new(step));
            let its = Arc::clone(&left);
            let watch = told(move |_| its.fetch_sub(1, Ordering::Relaxed) > 1);
            let ports = Ports::default().watch(Arc::new(watch));
            let ended = database.query(&statement, &Arguments::default(), &ports);
            let error = ended.expect_err(&format!("{statement}, stopped at step {step}"));
            assert_eq!(error.kind(), ErrorKind::Cancelled, "{statement}: {error}");
            assert_eq!(left.load(Ordering::Relaxed), 0, "{statement} asked again");
        }
    }
    assert_eq!(digest(&database.snapshot()), before);
    let checked = database.query("CHECK DEEP", &Arguments::default(), &Ports::default()).unwrap().remove(0);
    assert!(matches!(checked, Outcome::Checked(report) if report.problems.is_empty()));
}

#[test]
fn long_reads_of_a_snapshot_end_and_the_next_one_is_not_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let database = filled(&folder.path().join("db"));
    let snapshot = database.snapshot();
    let query = [Query::new([1.0; DIMENSION])];
    let cancelled = |what: &str, ended: Option<cairn::Error>| {
        let error = ended.unwrap_or_else(|| panic!("{what} was not stopped"));
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{what}: {error}");
        assert!(error.message().contains("on request"), "{what}: {error}");
    };
    let stop = Stop::new();
    let stoppable = snapshot.with_stop(&stop);
    let mut visited = 0;
    let ended = stoppable.each_content(&mut |_, _| {
        visited += 1;
        if visited == 100 {
            stop.stop();
        }
    });
    cancelled("each_content", ended.err());
    assert!(visited < ROWS / 2, "{visited} of {ROWS} records were read");
    let exact = SearchRequest::new();
    cancelled("search", stoppable.search(&exact, &query).err());
    cancelled("near", stoppable.search(&exact.clone().ef(50), &query).err());
    let other_k = exact.clone().rerank(Rerank::new().k(20));
    cancelled("another k", stoppable.search(&other_k, &query).err());
    cancelled("predict", stoppable.predict(&query[0], 3).err());
    cancelled("keys", stoppable.keys(None).err());
    cancelled("labels", stoppable.labels().err());
    for (what, mut walk) in [
        ("images", Box::new(stoppable.images().map(|item| item.map(|_| ()))) as Box<dyn Iterator<Item = _>>),
        ("keys of images", Box::new(stoppable.images().keys().map(|item| item.map(|_| ())))),
        ("of_instance", Box::new(stoppable.of_instance("label 1", Role::Index).map(|item| item.map(|_| ())))),
    ] {
        cancelled(what, walk.next().and_then(Result::err));
        assert!(walk.next().is_none(), "{what} continues behind its error");
    }
    let stop = Stop::new();
    let stoppable = snapshot.with_stop(&stop);
    let mut walk = stoppable.images().keys();
    assert!(walk.by_ref().take(10).all(|key| key.is_ok()));
    stop.stop();
    let rest = walk.by_ref().take_while(Result::is_ok).count();
    assert!(rest < ROWS / 4, "{rest} keys came behind the stop");
    let over = snapshot.with_stop(&Stop::new().after(std::time::Duration::ZERO));
    assert!(over.search(&exact, &query).unwrap_err().message().contains("time limit"));
    assert_eq!(snapshot.search(&exact, &query).unwrap().len(), 1);
    assert_eq!(snapshot, stoppable, "they are of one state");
}

/// A watch of a backup and a compaction may read; what would wait for them is refused at once.
#[test]
fn whoever_watches_care_may_read_and_is_refused_what_would_wait() {
    let folder = tempfile::tempdir().unwrap();
    let database = filled(&folder.path().join("db"));
    let asked = AtomicUsize::new(0);
    let watch = |_: Progress<'_>| {
        asked.fetch_add(1, Ordering::Relaxed);
        assert_eq!(database.snapshot().counts().labels, 9);
        for refused in [
            database.flush().err(),
            database.compact().err(),
            database.write([Put::new("new", [1.0; DIMENSION]).into()]).err(),
        ] {
            assert_eq!(refused.map(|error| error.kind()), Some(ErrorKind::Reentrant));
        }
        std::ops::ControlFlow::Continue(())
    };
    database.backup_watched(folder.path().join("backup"), &watch).unwrap();
    database.compact_watched(&watch).unwrap();
    assert!(asked.load(Ordering::Relaxed) > 10);
    assert_eq!(database.segments().len(), 2);
}
