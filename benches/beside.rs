//! SEARCH beside a bulk load: `cargo bench --profile dev --workspace --bench beside`. Prints the load's rows per second, and p50
//! and p99 of one thread that searches with RERANK at the same time. To compare two builds, alternate their runs on a quiet
//! machine.
#![allow(clippy::unwrap_used, reason = "a bench stops by panicking")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use cairn::{Database, Operation, Options, Put, Query, Rerank, SearchRequest};
use cairndb_benches::random::Random;

const DIMENSION: usize = 128;
/// Rows before the first search, and behind the last.
const FIRST: usize = 20_000;
const LAST: usize = 60_000;
/// Rows of a transaction.
const TOGETHER: usize = 200;
/// One of so many rows is a train image, and so many of these have a label.
const TRAIN_EVERY: usize = 10;
const LABELS: usize = 500;

fn row(random: &mut Random) -> Vec<f32> {
    (0..DIMENSION).map(|_| (random.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
}

fn transaction(from: usize, random: &mut Random) -> Vec<Operation> {
    let put = |at: usize| {
        let put = Put::new(format!("k{at}"), row(random));
        let label = format!("label {}", at / TRAIN_EVERY % LABELS);
        if at.is_multiple_of(TRAIN_EVERY) { put.label(label).into() } else { put.into() }
    };
    (from..from + TOGETHER).map(put).collect()
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("db"), Options::for_vectors(DIMENSION)).unwrap();
    let mut random = Random::new(1);
    (0..FIRST).step_by(TOGETHER).for_each(|from| assert!(database.write(transaction(from, &mut random)).is_ok()));
    database.flush().unwrap();
    let (over, request) = (AtomicBool::new(false), SearchRequest::new().depth(100).rerank(Rerank::new()));
    let (took, load) = std::thread::scope(|scope| {
        let searcher = scope.spawn(|| {
            let (mut random, mut took) = (Random::new(2), Vec::new());
            while !over.load(Ordering::Relaxed) {
                let query = [Query::new(row(&mut random))];
                let start = Instant::now();
                database.snapshot().search(&request, &query).unwrap();
                took.push(1e3 * start.elapsed().as_secs_f64());
            }
            took.sort_by(f64::total_cmp);
            took
        });
        let start = Instant::now();
        (FIRST..LAST)
            .step_by(TOGETHER)
            .for_each(|from| assert!(database.write(transaction(from, &mut random)).is_ok()));
        let load = start.elapsed().as_secs_f64();
        over.store(true, Ordering::Relaxed);
        (searcher.join().unwrap(), load)
    });
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!(
        "{:.0} rows/s; {} searches, p50 {:.2} ms, p99 {:.2} ms, longest {:.1} ms",
        (LAST - FIRST) as f64 / load,
        took.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}
