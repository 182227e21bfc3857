//! R5, R6: a segment file of 256 KiB or more with any byte flipped, cut or extended anywhere, pages zeroed or swapped, replaced
//! by a file of another database or an earlier one. It is always noticed: never a wrong answer, never a signal.
//!
//! It catches: a section that no checksum covers, padding that is not read, `check_vector_padding` left out, a file accepted by its
//! own header alone (another time), rows of vectors used without their checksum.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use cairn::{Database, Operation, Query, Rerank, SearchRequest};
use cairndb_storage_tests::{Random, create, files, healthy, images, many};

const DIMENSION: usize = 16;

/// One index segment with a graph, one small train segment, dead rows.
fn build(path: &Path) -> PathBuf {
    let database = create(path, DIMENSION);
    database.write(images("t", 40, DIMENSION, 9, 1, 1)).unwrap();
    database.write(images("i", 2200, DIMENSION, 9, usize::MAX, 2)).unwrap();
    database.write(vec![Operation::Delete { key: "i000000".into() }]).unwrap();
    database.compact().unwrap();
    database.write((1..20).map(|n| Operation::Delete { key: format!("i{:06}", n * 100) })).unwrap();
    let segment = database.segments().into_iter().max_by_key(|segment| segment.bytes).unwrap();
    assert!(segment.graph && segment.bytes >= 256 << 10, "{segment:?}");
    drop(database);
    files(&path.join("segments")).into_iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap()
}

/// Answers of an exact search with the second stage, and of the graph.
fn answers(database: &Database) -> String {
    let mut random = Random::new(3);
    let queries: Vec<Query> =
        (0..6).map(|_| Query::new((0..DIMENSION).map(|_| random.signed()).collect::<Vec<_>>())).collect();
    let rerank = Some(Rerank::new().k(3).tau(0.0));
    let request = SearchRequest::new().depth(30).limit(60).rerank(rerank);
    let exact = database.snapshot().search(&request, &queries).unwrap();
    // The whole graph is walked at this breadth, so its answers are exact ones too.
    let graph = request.ef(2200);
    let by_graph = database.snapshot().search(&graph, &queries[..2]).unwrap();
    format!("{exact:?}{by_graph:?}")
}

/// Opens the database beside the damaged file: the same answers, and the damage is noticed.
fn holds(path: &Path, wanted: &str, story: &str) {
    let database = Database::open_read_only(path).unwrap_or_else(|error| panic!("{story}: {error}"));
    assert!(answers(&database) == wanted, "{story}: other answers");
    if !healthy(&database) {
        return;
    }
    // What is met only by a reader of that row.
    let problems = database.check(true).unwrap().problems;
    assert!(!problems.is_empty(), "{story}: not noticed");
}

fn replace(file: &Path, bytes: &[u8]) {
    // A file that may be mapped is unlinked, never cut short.
    std::fs::remove_file(file).unwrap();
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn every_flipped_byte_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let file = build(&path);
    let sound = std::fs::read(&file).unwrap();
    let wanted = answers(&Database::open_read_only(&path).unwrap());
    let mut places: Vec<usize> = (0..sound.len()).step_by(many(4999, 13)).collect();
    places.extend((0..512).step_by(many(61, 1)));
    places.extend([sound.len() - 1, sound.len() - 40]);
    let mut bytes = sound.clone();
    for &at in &places {
        bytes[at] ^= 1 << (at % 8);
        replace(&file, &bytes);
        holds(&path, &wanted, &format!("byte {at} of {}", sound.len()));
        bytes[at] = sound[at];
    }
    replace(&file, &sound);
    let database = Database::open_read_only(&path).unwrap();
    assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new());
    println!("{} bytes, {} flipped", sound.len(), places.len());
}

#[test]
fn every_other_length_and_place_is_noticed() {
    const PAGE: usize = 4096;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let file = build(&path);
    let sound = std::fs::read(&file).unwrap();
    let wanted = answers(&Database::open_read_only(&path).unwrap());
    let mut cases = 0;
    let pages = sound.len() / PAGE;
    let mut try_with = |bytes: &[u8], story: String| {
        if bytes != sound {
            replace(&file, bytes);
            holds(&path, &wanted, &story);
            cases += 1;
        }
    };
    for page in (0..=pages).step_by(many(13, 1)) {
        for length in [(page * PAGE).saturating_sub(1), page * PAGE, page * PAGE + 1] {
            try_with(&sound[..length.min(sound.len() - 1)], format!("cut to {length}"));
        }
        let end = ((page + 1) * PAGE).min(sound.len());
        let mut bytes = sound.clone();
        bytes[page * PAGE..end].fill(0);
        try_with(&bytes, format!("page {page} zeroed"));
        let other = (page * 7 + 3) % pages;
        if page < pages && other != page {
            let mut bytes = sound.clone();
            bytes[page * PAGE..(page + 1) * PAGE].copy_from_slice(&sound[other * PAGE..(other + 1) * PAGE]);
            bytes[other * PAGE..(other + 1) * PAGE].copy_from_slice(&sound[page * PAGE..(page + 1) * PAGE]);
            try_with(&bytes, format!("pages {page} and {other} swapped"));
        }
    }
    for more in [1, PAGE - 1, PAGE, PAGE + 1, 64, 1 << 20] {
        let mut bytes = sound.clone();
        bytes.resize(sound.len() + more, 0);
        try_with(&bytes, format!("{more} zeros behind it"));
    }
    println!("{cases} cases");
}

/// Two copies of one database go different ways and give their segments the same number: the other's file is whole, has the right
/// name and the right database, and is refused.
#[test]
fn a_file_of_another_time_or_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["a", "b", "stranger"].map(|name| folder.path().join(name));
    for path in [&paths[0], &paths[2]] {
        let database = create(path, DIMENSION);
        database.write(images("i", 300, DIMENSION, 9, 5, 2)).unwrap();
    }
    let backup = folder.path().join("backup");
    Database::open(&paths[0]).unwrap().backup(&backup).unwrap();
    Database::restore_backup(&backup, &paths[1]).unwrap();
    for (path, seed) in paths.iter().zip([5, 6, 5]) {
        let database = Database::open(path).unwrap();
        database.write(images("j", 300, DIMENSION, 9, 5, seed)).unwrap();
        database.flush().unwrap();
    }
    let wanted = answers(&Database::open_read_only(&paths[0]).unwrap());
    let names: Vec<PathBuf> = files(&paths[0].join("segments"));
    for other in &paths[1..] {
        let mut put_back = Vec::new();
        for file in &names {
            put_back.push((file, std::fs::read(file).unwrap()));
            replace(file, &std::fs::read(other.join("segments").join(file.file_name().unwrap())).unwrap());
        }
        holds(&paths[0], &wanted, &format!("files of {}", other.display()));
        for (file, bytes) in put_back {
            replace(file, &bytes);
        }
    }
    assert_eq!(Database::open_read_only(&paths[0]).unwrap().check(true).unwrap().problems, Vec::<String>::new());
}
