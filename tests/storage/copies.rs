//! Segments whose checksums fit and whose contents are not the catalog's: the deep check names the segment, and nothing of it becomes
//! the truth.
//!
//! It catches: postings that are written with the key that a segment gives an image; segments that are made with keys of another
//! segment; a vector that no descriptor can be and that is compared with the catalog's own; the blame given to the catalog.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use cairn::hostile::{catalog_entries, put_catalog_entry, seal_segment, segment_entry};
use cairn::{Database, Put, Query, SearchRequest};
use cairndb_storage_tests::{create, files, images};

const DIMENSION: usize = 16;
const KEY: &str = "i000005";

/// A closed database with both roles in segments.
fn build(path: &Path) {
    let database = create(path, DIMENSION);
    database.write(images("t", 24, DIMENSION, 5, 1, 1)).unwrap();
    database.write(images("i", 60, DIMENSION, 5, usize::MAX, 2)).unwrap();
    database.flush().unwrap();
    database.close().unwrap();
}

/// Replaces bytes in the segments that have them; their checksums and the manifest agree afterwards.
fn craft(path: &Path, what: &[u8], by: &[u8]) {
    assert_eq!(what.len(), by.len());
    let mut crafted = 0;
    for file in files(&path.join("segments")) {
        let mut bytes = std::fs::read(&file).unwrap();
        let places: Vec<usize> =
            bytes.windows(what.len()).enumerate().filter(|(_, w)| *w == what).map(|(at, _)| at).collect();
        if places.is_empty() {
            continue;
        }
        places.iter().for_each(|&at| bytes[at..at + by.len()].copy_from_slice(by));
        let check = seal_segment(&mut bytes);
        std::fs::write(&file, &bytes).unwrap();
        let number: u64 = file.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let key = [&b"s"[..], &number.swap_bytes().to_le_bytes()].concat();
        let entries = catalog_entries(path).unwrap();
        let entry = entries.into_iter().find(|entry| entry.0 == "manifest" && entry.1 == key).unwrap();
        let entry = segment_entry(&entry.2, check, bytes.len() as u64).unwrap();
        put_catalog_entry(path, "manifest", &key, Some(&entry)).unwrap();
        crafted += 1;
    }
    assert!(crafted > 0, "no segment has these bytes");
}

fn problems(database: &Database) -> Vec<String> {
    database.check(true).unwrap().problems.into_iter().map(|problem| problem.message).collect()
}

#[test]
fn another_key_in_a_segment_is_named_and_never_becomes_the_truth() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    build(&path);
    let vector = Database::open_read_only(&path).unwrap().snapshot().vector(KEY).unwrap().unwrap();
    craft(&path, KEY.as_bytes(), b"x000005");
    let found = problems(&Database::open_read_only(&path).unwrap());
    assert!(found.iter().any(|problem| problem.ends_with("has 1 keys that are not the catalog's")), "{found:?}");
    assert!(!found.iter().any(|problem| problem.contains("posting")), "the catalog is right: {found:?}");

    // Its prediction changes, so its postings are written; the segment is noticed and made again.
    let database = Database::open(&path).unwrap();
    let before = database.snapshot().prediction(KEY).unwrap();
    database.write((0..3).map(|n| Put::new(format!("new {n}"), vector.clone()).label("another").into())).unwrap();
    assert_ne!(database.snapshot().prediction(KEY).unwrap(), before);
    assert!(!problems(&database).is_empty());
    for _ in 0..100 {
        database.compact().unwrap();
        if problems(&database).is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(problems(&database), Vec::<String>::new());
    let nearest = database.snapshot().search_one(&SearchRequest::new().depth(1), &Query::new(vector)).unwrap();
    assert_eq!(nearest.rows[0].id, KEY);
}

#[test]
fn a_vector_that_no_descriptor_can_be_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    build(&path);
    let reader = Database::open_read_only(&path).unwrap();
    let vector = reader.snapshot().vector(KEY).unwrap().unwrap();
    let query = Query::new(vector.clone());
    let answer = reader.snapshot().search_one(&SearchRequest::new(), &query).unwrap();
    drop(reader);
    let bytes = |vector: &[f32]| vector.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let mut wrong = vector.clone();
    wrong[0] = f32::NAN;
    craft(&path, &bytes(&vector), &bytes(&wrong));
    let reader = Database::open_read_only(&path).unwrap();
    assert_eq!(reader.snapshot().search_one(&SearchRequest::new(), &query).unwrap(), answer);
    let found = problems(&Database::open_read_only(&path).unwrap());
    assert!(found.iter().any(|problem| problem.ends_with("has damaged vectors")), "{found:?}");
}
