//! R17: every row replaced ten times over, with flushes and merges as they come by themselves. Afterwards the graph finds what a
//! freshly built database finds, and the segments take no more room than live rows need.
//!
//! It catches: a merge that keeps dead rows, links to dead rows that are never repaired, segments that are not unlinked, a policy that
//! never merges.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::path::Path;

use cairn::{Database, Query, SearchRequest};
use cairndb_storage_tests::{Random, create, files, images, many_in_ci, status, wait_until};

const DIMENSION: usize = 32;
const DEPTH: usize = 100;
const TURNS: usize = 10;

fn queries() -> Vec<Query> {
    let mut random = Random::new(5);
    (0..200).map(|_| Query { vector: (0..DIMENSION).map(|_| random.signed()).collect(), without: None }).collect()
}

/// Share of the true first hundred that the graph finds.
fn recall(database: &Database) -> f64 {
    let queries = queries();
    let snapshot = database.snapshot();
    let request = SearchRequest { depth: DEPTH, limit: DEPTH, ..Default::default() };
    let exact = snapshot.search(&request, &queries).unwrap();
    let near = snapshot.search(&SearchRequest { ef: Some(DEPTH), ..request }, &queries).unwrap();
    let mut found = 0;
    for (exact, near) in exact.iter().zip(&near) {
        let true_ones: HashSet<&str> = exact.rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(near.rows.len(), DEPTH);
        found += near.rows.iter().filter(|row| true_ones.contains(row.id.as_str())).count();
    }
    found as f64 / (exact.len() * DEPTH) as f64
}

fn bytes_in(folder: &Path) -> u64 {
    files(folder).iter().map(|path| path.metadata().unwrap().len()).sum()
}

#[test]
fn ten_turnovers_leave_a_database_like_new() {
    let folder = tempfile::tempdir().unwrap();
    let rows = many_in_ci(6_000, 20_000, 100_000);
    let database = create(&folder.path().join("db"), DIMENSION);
    database.write(images("train", 200, DIMENSION, 40, 1, 1)).unwrap();
    let mut random = Random::new(6);
    let mut places: Vec<usize> = (0..rows).collect();
    let mut last = Vec::new();
    let mut most_segments = 0;
    for turn in 0..=TURNS {
        let mut new = images("row", rows, DIMENSION, 40, usize::MAX, 100 + turn as u64);
        // The first of `images` is always a train image; here all are searched.
        for operation in &mut new {
            if let cairn::Operation::Put(put) = operation {
                put.label = None;
            }
        }
        last.clone_from(&new);
        random.shuffle(&mut places);
        for places in places.chunks(500) {
            database.write(places.iter().map(|&at| new[at].clone()).collect()).unwrap();
            most_segments = most_segments.max(database.segments().len());
        }
    }
    database.flush().unwrap();
    // Settled: no segment waits to be rewritten because a quarter of it is dead, and nothing changes for a while.
    let mut seen = (String::new(), 0);
    wait_until("rest", || {
        let segments = database.segments();
        let now = format!("{segments:?}");
        let waits = segments.iter().any(|segment| 4 * (segment.rows - segment.live) > segment.rows);
        seen = if now == seen.0 && !waits { (now, seen.1 + 1) } else { (now, 0) };
        seen.1 > 120
    });
    let (settled, segments) = (recall(&database), database.segments());
    let settled_bytes = bytes_in(&database.folder().join("segments"));

    let fresh = create(&folder.path().join("fresh"), DIMENSION);
    fresh.write(images("train", 200, DIMENSION, 40, 1, 1)).unwrap();
    fresh.write(last).unwrap();
    fresh.compact().unwrap();
    let fresh_bytes = bytes_in(&fresh.folder().join("segments"));
    let fresh_recall = recall(&fresh);

    println!(
        "settled: recall {settled:.4}, {} segments (at most {most_segments}), {settled_bytes} bytes in segments",
        segments.len()
    );
    println!("fresh: recall {fresh_recall:.4}, {fresh_bytes} bytes in segments");
    println!(
        "tables: {} bytes, of a fresh one {}",
        status(&database, "bytes in tables"),
        status(&fresh, "bytes in tables")
    );
    assert!(settled_bytes as f64 <= 1.5 * fresh_bytes as f64, "{settled_bytes} bytes for {fresh_bytes}: {segments:?}");
    assert!(settled >= fresh_recall - 0.005, "recall {settled} against {fresh_recall}");
    database.compact().unwrap();
    let (compacted, bytes) = (recall(&database), bytes_in(&database.folder().join("segments")));
    println!("compacted: recall {compacted:.4}, {bytes} bytes in segments");
    assert!(compacted >= fresh_recall - 0.005, "recall {compacted} against {fresh_recall}");
    assert!(bytes as f64 <= 1.05 * fresh_bytes as f64, "{bytes} bytes for {fresh_bytes}");
    assert_eq!(database.check(false).unwrap().problems, Vec::<String>::new());
}
