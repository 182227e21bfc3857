//! R17: every row replaced ten times, with the flushes and merges of the background. Afterwards the graph finds what a freshly
//! built database finds, and the segments take no more space than live rows need; after COMPACT neither does the catalog, and
//! without it the catalog keeps a bounded part of the replaced data.
//!
//! It catches: a merge that keeps dead rows, links to dead rows that are never repaired, segments that are not unlinked, a policy that
//! never merges, a COMPACT that leaves what was replaced in the catalog, tables and logs that grow by what is replaced.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::path::Path;

use cairn::{Database, Operation, Put, Query, SearchRequest};
use cairndb_storage_tests::{Random, create, files, images, many_in_ci, status, wait_until};

const DIMENSION: usize = 32;
const DEPTH: usize = 10;
const TURNS: usize = 10;
/// Recall that may be lost: half a point.
const LOST: f64 = 0.005;

/// Breadth at which a fresh graph finds 0.99 and has next to nothing to spare: a lost link costs something.
const EF: usize = 12;
const QUERIES: usize = 1000;
/// Times that a fifth of the rows goes; as many are left as have a graph.
const DROPS: usize = 4;

fn put_of(operation: &Operation) -> &Put {
    match operation {
        Operation::Put(put) => put,
        other => panic!("{other:?}"),
    }
}

/// Directions near stored images, where people look: a graph is built to lead there.
fn queries(stored: &[Operation]) -> Vec<Query> {
    let mut random = Random::new(5);
    let mut near = |operation: &Operation| {
        Query::new(put_of(operation).vector.iter().map(|&x| x + 0.1 * random.signed()).collect::<Vec<_>>())
    };
    stored.iter().step_by(stored.len() / QUERIES).map(&mut near).collect()
}

/// Share of the true first ten that the graph finds.
fn recall(database: &Database, stored: &[Operation]) -> f64 {
    let queries = queries(stored);
    let snapshot = database.snapshot();
    let request = SearchRequest::new().depth(DEPTH).limit(DEPTH);
    let exact = snapshot.search(&request, &queries).unwrap();
    let near = snapshot.search(&request.ef(EF), &queries).unwrap();
    let mut found = 0;
    for (exact, near) in exact.iter().zip(&near) {
        let true_ones: HashSet<&str> = exact.rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(near.rows.len(), DEPTH);
        found += near.rows.iter().filter(|row| true_ones.contains(row.id.as_str())).count();
    }
    found as f64 / (exact.len() * DEPTH) as f64
}

/// Whether the room that a database takes beside that of a fresh one is bounded, though nobody called COMPACT.
fn is_kept(whole: u64, fresh: u64) -> bool {
    /// Whatever the size: the log, and the tables of photos that wait for four to be compacted.
    const ALWAYS: u64 = (64 << 20) + 4 * (16 << 20);
    whole <= fresh * 3 / 2 + ALWAYS
}

/// Images that are all searched.
fn rows(count: usize, seed: u64) -> Vec<Operation> {
    let mut new = images("row", count, DIMENSION, 40, usize::MAX, seed);
    // The first of `images` is always a train image.
    for operation in &mut new {
        if let Operation::Put(put) = operation {
            put.label = None;
        }
    }
    new
}

/// A database of these rows, as it is made at once.
fn fresh(folder: &Path, rows: &[Operation]) -> Database {
    let fresh = create(folder, DIMENSION);
    fresh.write(images("train", 200, DIMENSION, 40, 1, 1)).unwrap();
    fresh.write(rows.to_vec()).unwrap();
    fresh.compact().unwrap();
    fresh
}

fn bytes_in(folder: &Path) -> u64 {
    // RocksDB removes files behind everybody's back.
    files(folder).iter().filter_map(|path| Some(path.metadata().ok()?.len())).sum()
}

/// What the database takes on the disk, but for what is set aside.
fn bytes_of(database: &Database) -> u64 {
    ["catalog", "segments"].iter().map(|part| bytes_in(&database.folder().join(part))).sum()
}

#[test]
fn ten_turnovers_leave_a_database_like_new() {
    let folder = tempfile::tempdir().unwrap();
    let count = many_in_ci(6_000, 20_000, 100_000);
    let database = create(&folder.path().join("db"), DIMENSION);
    database.write(images("train", 200, DIMENSION, 40, 1, 1)).unwrap();
    let mut random = Random::new(6);
    let mut places: Vec<usize> = (0..count).collect();
    let mut stored = Vec::new();
    let mut most_segments = 0;
    for turn in 0..=TURNS {
        stored = rows(count, 100 + turn as u64);
        random.shuffle(&mut places);
        for places in places.chunks(500) {
            database.write(places.iter().map(|&at| stored[at].clone())).unwrap();
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
    let (settled, segments) = (recall(&database, &stored), database.segments());
    let settled_bytes = bytes_in(&database.folder().join("segments"));

    let like_new = fresh(&folder.path().join("fresh"), &stored);
    let fresh_bytes = bytes_in(&like_new.folder().join("segments"));
    let fresh_recall = recall(&like_new, &stored);

    println!(
        "settled: recall {settled:.4}, {} segments (at most {most_segments}), {settled_bytes} bytes in segments",
        segments.len()
    );
    println!("fresh: recall {fresh_recall:.4}, {fresh_bytes} bytes in segments");
    let (whole, fresh_whole) = (bytes_of(&database), bytes_of(&like_new));
    println!("the whole database before COMPACT: {whole} bytes, a fresh one {fresh_whole}");
    assert!(is_kept(whole, fresh_whole), "{whole} bytes for {fresh_whole}");
    assert!(fresh_recall >= 0.95, "{fresh_recall} leaves room for more than wear");
    assert!(settled_bytes as f64 <= 1.5 * fresh_bytes as f64, "{settled_bytes} bytes for {fresh_bytes}: {segments:?}");
    assert!(settled >= fresh_recall - LOST, "recall {settled} against {fresh_recall}");
    database.compact().unwrap();
    let (compacted, bytes) = (recall(&database, &stored), bytes_in(&database.folder().join("segments")));
    println!("compacted: recall {compacted:.4}, {bytes} bytes in segments");
    assert!(compacted >= fresh_recall - LOST, "recall {compacted} against {fresh_recall}");
    assert!(bytes as f64 <= 1.05 * fresh_bytes as f64, "{bytes} bytes for {fresh_bytes}");
    let (whole, fresh_whole) = (bytes_of(&database), bytes_of(&like_new));
    println!("the whole database: {whole} bytes, a fresh one {fresh_whole}");
    assert!(whole as f64 <= 1.5 * fresh_whole as f64, "{whole} bytes for {fresh_whole}");
    assert_eq!(database.check(false).unwrap().problems, Vec::<String>::new());

    // A graph whose rows are dropped again and again keeps the links that are left.
    for _ in 0..DROPS {
        random.shuffle(&mut stored);
        let gone = stored.split_off(stored.len() * 4 / 5);
        let delete = |operation: &Operation| Operation::Delete { key: put_of(operation).key.clone() };
        database.write(gone.iter().map(delete)).unwrap();
        database.compact().unwrap();
    }
    let like_new = fresh(&folder.path().join("fresh again"), &stored);
    let (thinned, fresh_recall) = (recall(&database, &stored), recall(&like_new, &stored));
    println!("a fifth dropped {DROPS} times: recall {thinned:.4}, fresh {fresh_recall:.4}");
    assert!(fresh_recall >= 0.95, "{fresh_recall} leaves room for more than wear");
    assert!(thinned >= fresh_recall - LOST, "recall {thinned} against {fresh_recall}");
}

/// The disk that images with photos take as they are replaced, without COMPACT.
#[test]
fn replaced_photos_leave_the_disk_by_themselves() {
    const PHOTO: usize = 20_000;
    let folder = tempfile::tempdir().unwrap();
    let (count, turns) = (many_in_ci(2_000, 4_000, 20_000), TURNS);
    let mut random = Random::new(12);
    let mut photo = || -> Vec<u8> { (0..PHOTO / 8).flat_map(|_| random.number().to_le_bytes()).collect() };
    let mut put_all = |database: &Database, turn: usize| {
        let all = rows(count, 300 + turn as u64);
        for some in all.chunks(100) {
            let some = some.iter().map(|operation| put_of(operation).clone().photo(photo()).into());
            database.write(some).unwrap();
        }
    };
    let database = create(&folder.path().join("db"), DIMENSION);
    (0..=turns).for_each(|turn| put_all(&database, turn));
    // RocksDB compacts behind everybody's back, as far as it is going to.
    let mut last = (0, 0);
    wait_until("rest", || {
        let now = bytes_of(&database);
        last = if now == last.0 { (now, last.1 + 1) } else { (now, 0) };
        last.1 > 100
    });
    let tables = status(&database, "bytes in tables");
    let like_new = create(&folder.path().join("fresh"), DIMENSION);
    put_all(&like_new, turns);
    like_new.compact().unwrap();
    let (whole, fresh) = (bytes_of(&database), bytes_of(&like_new));
    println!("{whole} bytes, of them {tables} in tables, a fresh one {fresh}");
    assert!(is_kept(whole, fresh), "{whole} bytes for {fresh}");
}

/// Photos that are deleted leave the disk with COMPACT, beside a writer who goes on and a reader who holds what was.
#[test]
fn deleted_photos_leave_the_disk() {
    const PHOTO: usize = 40_000;
    const PHOTOS: usize = 200;
    let folder = tempfile::tempdir().unwrap();
    let database = create(&folder.path().join("db"), DIMENSION);
    let mut random = Random::new(8);
    for n in 0..PHOTOS {
        let photo: Vec<u8> = (0..PHOTO).map(|_| random.number() as u8).collect();
        let vector: Vec<f32> = (0..DIMENSION).map(|_| random.signed()).collect();
        database.write(vec![Put::new(format!("photo{n:03}"), vector).photo(photo).into()]).unwrap();
    }
    database.compact().unwrap();
    let full = bytes_of(&database);
    assert!(full >= (PHOTO * PHOTOS) as u64, "{full}");
    let delete = |range: std::ops::Range<usize>| range.map(|n| Operation::Delete { key: format!("photo{n:03}") });
    database.write(delete(0..PHOTOS / 2)).unwrap();
    let held = database.snapshot();
    database.write(delete(PHOTOS / 2..PHOTOS)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| database.write(images("more", 40, DIMENSION, 5, 5, 1)).unwrap());
        database.compact().unwrap();
    });
    assert_eq!(held.photo("photo199").unwrap().map(|photo| photo.len()), Some(PHOTO), "it is still held");
    wait_until("the first half's room", || bytes_of(&database) < full * 3 / 4);
    drop(held);
    database.compact().unwrap();
    wait_until("the other half's room", || bytes_of(&database) < full / 4);
    println!("{full} bytes with {PHOTOS} photos, {} without", bytes_of(&database));
}
