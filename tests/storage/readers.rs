//! R13: eight readers beside a writer, a flusher and a merger. Each answer is that of the model at its `as_of_sequence`. And a
//! reader in another process than the writer sees a state that existed.
//!
//! It catches: rows of one write with predictions of another, a snapshot that sees a merge half done, a `Published` whose pinned
//! catalog is newer than its rows, a read-only opening that mixes tables of one moment with the log of another, or that
//! takes a segment that was merged away for a lost one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use cairn::{Database, Deferral, ErrorKind, Query, SearchRequest, Snapshot};
use cairndb_storage_tests::{
    DIMENSION, Guarded, Model, Random, Stream, create, images, load, many, put, said, votes_near_f64, wait_until,
};

/// The states of the last writes, by sequence number.
type History = Mutex<BTreeMap<u64, Arc<Model>>>;

/// States kept: far more than a reader takes to look at one.
const KEPT: usize = 1000;

fn at(history: &History, sequence: u64) -> Arc<Model> {
    Arc::clone(&history.lock().unwrap()[&sequence])
}

/// One question, and everything that its answer says, against the model.
fn ask(snapshot: &Snapshot, model: &Model, random: &mut Random, story: &str) {
    const DEPTH: usize = 10;
    const CLOSE: f64 = 1e-5;
    let vector: Vec<f32> = (0..DIMENSION).map(|_| random.signed()).collect();
    let length = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    let similarity = |other: &[f32]| -> f64 {
        vector.iter().zip(other).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>() / length
    };
    let ef = (random.below(2) == 0).then_some(100_000);
    let request = SearchRequest::new().depth(DEPTH).limit(DEPTH).ef(ef);
    let answer = snapshot.search(&request, &[Query::new(vector.clone())]).unwrap().remove(0);
    assert_eq!(answer.as_of_sequence, snapshot.sequence());
    let mut wanted: Vec<f64> =
        model.values().filter(|(label, _)| label.is_none()).map(|(_, vector)| similarity(vector)).collect();
    wanted.sort_by(|a, b| b.total_cmp(a));
    wanted.truncate(DEPTH);
    assert_eq!(answer.rows.len(), wanted.len(), "{story}");
    for (row, wanted) in answer.rows.iter().zip(wanted) {
        let (label, vector) = model.get(&row.id).unwrap_or_else(|| panic!("{story}: '{}' is not there", row.id));
        assert!(label.is_none(), "{story}: '{}' is a train image", row.id);
        assert!((similarity(vector) - f64::from(row.similarity)).abs() < CLOSE, "{story}: '{}'", row.id);
        assert!((wanted - f64::from(row.similarity)).abs() < CLOSE, "{story}: '{}' for {wanted}", row.id);
        assert_eq!(row.prediction, snapshot.prediction(&row.id).unwrap(), "{story}: '{}'", row.id);
    }
}

/// However a test ends, its other threads must.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn each_answer_is_that_of_its_sequence_number() {
    let folder = tempfile::tempdir().unwrap();
    let database = create(&folder.path().join("db"), DIMENSION);
    let mut stream = Stream::new(77);
    let history: History = Mutex::new(BTreeMap::from([(0, Arc::new(Model::new()))]));
    let (done, answers, states) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let transactions = many(600, 100_000);
    std::thread::scope(|scope| {
        for reader in 0..8u64 {
            let (database, history, done, answers, states) = (&database, &history, &done, &answers, &states);
            scope.spawn(move || {
                let mut random = Random::new(reader);
                let mut last = 0;
                while !done.load(Ordering::Relaxed) {
                    let snapshot = database.snapshot();
                    let sequence = snapshot.sequence();
                    assert!(sequence >= last, "time ran backwards: {sequence} after {last}");
                    states.fetch_add(usize::from(sequence != last), Ordering::Relaxed);
                    last = sequence;
                    let model = at(history, sequence);
                    let story = format!("reader {reader} at {sequence}");
                    ask(&snapshot, &model, &mut random, &story);
                    if random.below(8) == 0 {
                        assert_eq!(snapshot.keys(None).unwrap(), model.keys().cloned().collect::<Vec<_>>(), "{story}");
                        votes_near_f64(&snapshot, &model, &story);
                    }
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                database.flush().unwrap();
                std::thread::sleep(std::time::Duration::from_millis(15));
                if database.segments().len() > 5 {
                    database.compact().unwrap();
                }
            }
        });
        let _stop = Stop(&done);
        for _ in 0..transactions {
            let operations = stream.transaction();
            stream.advance();
            let sequence = stream.next - 1;
            {
                let mut history = history.lock().unwrap();
                history.insert(sequence, Arc::new(stream.model.clone()));
                while history.len() > KEPT {
                    history.pop_first();
                }
            }
            if sequence.is_multiple_of(10) {
                database.set_deferral([Deferral::Never, Deferral::Always][(sequence / 10 % 2) as usize]);
            }
            assert_eq!(database.write(operations).unwrap().sequence, sequence);
            // A queue without end would leave the readers behind the states that are kept.
            if sequence.is_multiple_of(100) {
                database.apply_pending().unwrap();
            }
        }
    });
    println!("{transactions} transactions, {answers:?} answers, of {states:?} states");
    assert!(answers.into_inner() > 100 && states.into_inner() > 50);
    cairndb_storage_tests::sound(&database, &stream.model, "at the end");
}

#[test]
fn a_reader_beside_the_writing_process_sees_a_state_that_was() {
    const SEED: u64 = 78;
    let folder = tempfile::tempdir().unwrap();
    let (path, words) = (folder.path().join("db"), folder.path().join("words"));
    drop(create(&path, DIMENSION));
    let mut stream = Stream::new(SEED);
    let out = std::fs::File::create(&words).unwrap();
    let mut child =
        Guarded(load().arg("load").arg(&path).args([SEED.to_string(), "1".to_owned()]).stdout(out).spawn().unwrap());
    let (mut looks, mut busy) = (0, 0);
    while looks < many(15, 500) {
        let before = said(&words, 0).acknowledged;
        let database = match Database::open_read_only(&path) {
            Ok(database) => database,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
                busy += 1;
                assert!(busy < 100 + looks, "the writer leaves no room for a look");
                continue;
            }
        };
        let snapshot = database.snapshot();
        assert!(
            snapshot.sequence() + snapshot.lag() >= before,
            "{before} was acknowledged, it sees {}",
            snapshot.sequence()
        );
        let tried = said(&words, 0).tried;
        assert!(snapshot.sequence() <= tried);
        // What the stored sequence number promises is there, whole.
        stream.run_to(snapshot.sequence());
        assert_eq!(snapshot.keys(None).unwrap(), stream.model.keys().cloned().collect::<Vec<_>>(), "look {looks}");
        votes_near_f64(&snapshot, &stream.model, &format!("look {looks} at {}", snapshot.sequence()));
        let problems = database.check(true).unwrap().problems;
        assert!(problems.is_empty(), "look {looks} at {}: {problems:?}", snapshot.sequence());
        looks += 1;
        wait_until("a write", || child.0.try_wait().unwrap().is_none() && said(&words, 0).acknowledged > before + 5);
    }
    println!("{looks} looks, {busy} times too busy, {} transactions", stream.next - 1);
}

/// A reader that is held keeps what it opened, however much the writing process flushes and merges since.
#[test]
fn a_deep_check_beside_a_writing_process_finds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, words) = (folder.path().join("db"), folder.path().join("words"));
    let out = std::fs::File::create(&words).unwrap();
    let mut child = Guarded(load().arg("busy").arg(&path).arg("80").stdout(out).spawn().unwrap());
    let acknowledged = || said(&words, 0).acknowledged;
    wait_until("the writer's first transactions", || acknowledged() > 60);
    let (mut looks, mut busy) = (0, 0);
    while looks < many(6, 300) {
        let reader = match Database::open_read_only(&path) {
            Ok(reader) => reader,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
                busy += 1;
                assert!(busy < 100 + looks, "the writer leaves no room for a look");
                continue;
            }
        };
        let held = acknowledged();
        for passed in [0, 30] {
            // Segments of what it sees are merged every 25 transactions.
            wait_until("a merge", || child.0.try_wait().unwrap().is_none() && acknowledged() >= held + passed);
            let report = reader.check(true).unwrap();
            assert_eq!(report.problems, Vec::<String>::new(), "look {looks} after {passed} transactions");
        }
        looks += 1;
    }
    println!("{looks} looks, {busy} times too busy, {} transactions", acknowledged());
}

/// A check goes on while segments are made, merged and unlinked, and finds nothing, because nothing is wrong.
#[test]
fn a_check_beside_merging_finds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let database = create(&folder.path().join("db"), DIMENSION);
    let mut stream = Stream::new(79);
    for _ in 0..30 {
        database.write(stream.transaction()).unwrap();
        stream.advance();
    }
    let flushes = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..many(100, 5000) {
                database.write(stream.transaction()).unwrap();
                stream.advance();
                database.flush().unwrap();
                flushes.fetch_add(1, Ordering::Relaxed);
            }
        });
        let (mut checks, mut found) = (0, Vec::new());
        while !writer.is_finished() {
            found.extend(database.check(checks % 4 != 0).unwrap().problems);
            checks += 1;
        }
        println!("{checks} checks beside {flushes:?} flushes");
        assert_eq!(found, Vec::<String>::new());
    });
}

/// A segment that is unlinked while a reader opens the database was merged away and is not lost: the reader looks again.
#[test]
fn a_reader_beside_merging_is_not_degraded() {
    const WIDE: usize = 256;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let database = create(&path, WIDE);
    // A segment that takes a while to open, so that a merge of those behind it often comes in between.
    database.write(images("large", 8000, WIDE, 9, 100, 1)).unwrap();
    database.flush().unwrap();
    let done = AtomicBool::new(false);
    let flushes = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let number = flushes.fetch_add(1, Ordering::Relaxed);
                // Little, so that the log which a reader reads stays short, and not a voter.
                let vector: Vec<f32> = (0..WIDE).map(|at| ((at as u64 + number) % 7) as f32).collect();
                database.write(vec![put(format!("again{}", number % 5), None, &vector)]).unwrap();
                database.flush().unwrap();
                // Or every look would be overtaken.
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        });
        let _stop = Stop(&done);
        let (mut looks, mut busy, mut degraded) = (0, 0, Vec::new());
        while looks < many(8, 500) {
            match Database::open_read_only(&path) {
                Ok(reader) => {
                    let health = cairndb_storage_tests::status(&reader, "health");
                    if health != "ok" {
                        degraded.push(health);
                    }
                    looks += 1;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
                    busy += 1;
                    assert!(busy < 100 + looks, "the writer leaves no room for a look");
                }
            }
        }
        println!("{looks} looks beside {flushes:?} flushes, {busy} times too busy");
        assert_eq!(degraded, Vec::<String>::new());
    });
}
