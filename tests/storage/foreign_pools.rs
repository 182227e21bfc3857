//! Calls from foreign threads: tasks of rayon's pools, producers that wait for a channel, busy pools. Each call returns whatever
//! the caller's pool does, and its writes are stored.
//!
//! It catches: parallel work on the caller's pool, or on another one while the caller runs other tasks (`ThreadPool::install`
//! from a rayon task): such a task writes too, and waits for a lock that its own thread holds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::mpsc::{channel, sync_channel};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use cairn::{Database, Query, Rerank, SearchRequest};
use cairndb_storage_tests::{create, images, many};
use rayon::prelude::*;

/// Dimension of the descriptors.
const DIMENSION: usize = 8;
/// Rows of a transaction.
const ROWS: usize = 50;
/// Longer than any of this takes on the slowest machine; a call that hangs fails after it.
const PATIENCE: Duration = Duration::from_secs(300);

/// Fails when it does not come to an end. What hangs stays behind.
fn ends<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = channel();
    std::thread::spawn(move || send.send(work()));
    receive.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{what} hangs, or failed above"))
}

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

/// A new database, and whatever the test does with it; afterwards so many images are there and everything is sound.
fn with_database(what: &str, images: usize, work: impl FnOnce(&Database) + Send + 'static) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let at = path.clone();
    ends(what, move || {
        let database = create(&at, DIMENSION);
        work(&database);
    });
    is_sound(&path, images, what);
}

fn is_sound(path: &Path, images: usize, what: &str) {
    let database = Database::open(path).unwrap();
    assert_eq!(database.snapshot().keys(None).unwrap().len(), images, "{what}");
    let report = database.check(true).unwrap();
    assert!(report.problems.is_empty(), "{what}: {:?}", report.problems);
}

fn write(database: &Database, number: usize) {
    database.write(images(&format!("{number} "), ROWS, DIMENSION, 20, 10, number as u64)).unwrap();
}

fn query(number: usize) -> Query {
    Query::new((0..DIMENSION).map(|at| ((7 * number + 3 * at) as f32).sin()).collect::<Vec<_>>())
}

/// So many transactions that the tail becomes segments several times.
fn transactions() -> usize {
    many(1_500, 5_000)
}

#[test]
fn writes_of_rayon_tasks_come_to_an_end() {
    with_database("writes of a pool of 2", transactions() * ROWS, |database| {
        pool(2).install(|| (0..transactions()).into_par_iter().for_each(|number| write(database, number)));
    });
}

#[test]
fn producers_on_the_global_pool_do_not_stop_a_plain_writer() {
    const SENT: usize = 400;
    with_database("a writer behind a bounded channel", SENT * ROWS, |database| {
        let (send, receive) = sync_channel(1);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let produce = |number: usize| {
                    send.send(images(&format!("{number} "), ROWS, DIMENSION, 20, 10, number as u64)).unwrap();
                };
                (0..SENT).into_par_iter().for_each(produce);
            });
            receive.into_iter().for_each(|rows| assert!(database.write(rows).unwrap().sequence > 0));
        });
    });
}

#[test]
fn writes_of_scoped_tasks_come_to_an_end() {
    for round in 0..many(3, 20) {
        with_database(&format!("round {round} of a scope"), 300 * ROWS, |database| {
            pool(4).install(|| {
                rayon::scope(|scope| {
                    (0..300).for_each(|number| scope.spawn(move |_| write(database, number)));
                });
            });
        });
    }
}

#[test]
fn every_call_may_be_made_by_a_rayon_task() {
    with_database("all calls of a pool of 2", 60 * ROWS, |database| {
        let folder = tempfile::tempdir().unwrap();
        let request = SearchRequest::new().depth(20).rerank(Rerank::new().k(3));
        let queries: Vec<Query> = (0..40).map(query).collect();
        let call = |number: usize| {
            write(database, number);
            let snapshot = database.snapshot();
            match number % 8 {
                0 => {
                    database.flush().unwrap();
                }
                1 => database.compact().unwrap(),
                2 => drop(snapshot.search(&request, &queries).unwrap()),
                3 => drop(snapshot.search(&request.clone().rerank(Rerank::new().k(2)), &queries).unwrap()),
                4 => drop(snapshot.predict(&queries[0], 3).unwrap()),
                5 => drop(database.check(true).unwrap()),
                6 => drop(database.backup(folder.path().join(format!("{number}"))).unwrap()),
                _ => drop(database.apply_pending().unwrap()),
            }
        };
        pool(2).install(|| (0..60).into_par_iter().for_each(call));
    });
}

/// Every thread of the global pool waits until the calls have returned.
#[test]
fn a_busy_global_pool_delays_no_call() {
    with_database("calls beside a busy pool", 20 * ROWS, |database| {
        let threads = rayon::current_num_threads();
        let (busy, over) = (Arc::new(Barrier::new(threads + 1)), Arc::new(Barrier::new(threads + 1)));
        for _ in 0..threads {
            let (busy, over) = (Arc::clone(&busy), Arc::clone(&over));
            rayon::spawn(move || {
                busy.wait();
                over.wait();
            });
        }
        busy.wait();
        (0..20).for_each(|number| write(database, number));
        database.flush().unwrap();
        database.compact().unwrap();
        let queries: Vec<Query> = (0..100).map(query).collect();
        let request = SearchRequest::new().depth(20).rerank(Rerank::new().k(3));
        assert_eq!(database.snapshot().search(&request, &queries).unwrap().len(), 100);
        assert!(database.check(true).unwrap().problems.is_empty());
        over.wait();
    });
}
