//! The saved neighbour graph: CHECK DEEP reads the file that the catalog knows, and compares it and the graph in memory with a recompute.
//!
//! It catches: a damaged, cut or foreign file that nobody names; a wrong edge in a file whose checksum fits, or in memory; COMPACT
//! NEIGHBOURS that takes an edge of an earlier graph; a crash between two steps of saving that looks like damage.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use cairn::hostile::put_catalog_entry;
use cairn::methods::Reciprocal;
use cairn::reports::Part;
use cairn::{Arguments, Database, ErrorKind, Ports, Query, SearchRequest};
use cairndb_storage_tests::{create, images};

const DIMENSION: usize = 16;
/// Bytes before the first image: magic, version, database, space, edges an image, images.
const HEADER: usize = 40;
/// Bytes before an image's edges: its id and their number.
const IMAGE: usize = 12;
/// Bytes of an edge, of which the first four are the place of the other image.
const EDGE: usize = 8;

/// A closed database of 80 index images with a saved graph.
fn saved(path: &Path) -> Vec<u8> {
    let database = create(path, DIMENSION);
    database.write(images("i", 120, DIMENSION, 5, 3, 1)).unwrap();
    assert_eq!(database.save_neighbours().unwrap(), 80);
    assert_eq!(problems(&database), Vec::<String>::new(), "the process that saved it reads the file");
    database.close().unwrap();
    std::fs::read(path.join("neighbours")).unwrap()
}

/// What CHECK DEEP finds in the neighbour graph, and nothing else may be wrong.
fn problems(database: &Database) -> Vec<String> {
    let problems = database.check(true).unwrap().problems;
    assert!(problems.iter().all(|problem| problem.part == Part::Graph), "{problems:?}");
    problems.into_iter().map(|problem| problem.message).collect()
}

/// Writes the file, and lets the catalog know its checksum and length if `is_known`.
fn put(path: &Path, bytes: &[u8], is_known: bool) {
    std::fs::write(path.join("neighbours"), bytes).unwrap();
    if is_known {
        let known = [&crc32fast::hash(bytes).to_le_bytes()[..], &(bytes.len() as u64).to_le_bytes()].concat();
        put_catalog_entry(path, "meta", b"neighbours", Some(&known)).unwrap();
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// The same graph, but the first image has another neighbour instead of its nearest.
fn with_a_wrong_neighbour(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let edges = number(&bytes, HEADER + IMAGE - 4) as usize;
    let near: Vec<u32> = (0..edges).map(|edge| number(&bytes, HEADER + IMAGE + EDGE * edge)).collect();
    let far = (1..number(&bytes, HEADER - 4)).find(|place| !near.contains(place)).unwrap();
    bytes[HEADER + IMAGE..HEADER + IMAGE + 4].copy_from_slice(&far.to_le_bytes());
    bytes
}

#[test]
fn a_file_that_is_not_the_written_graph_is_named_and_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let intact = saved(&path);
    let foreign = saved(&folder.path().join("other"));
    let mut flipped = intact.clone();
    flipped[HEADER + IMAGE + 5] ^= 1;
    let mut format = intact.clone();
    format[8] = 9;
    let mut edges = intact.clone();
    edges[HEADER - 8..HEADER - 4].fill(0xff);
    let mut id = intact.clone();
    let last = id.len() - EDGE * number(&id, HEADER - 8) as usize - IMAGE;
    id[last..last + 8].fill(0xff);
    let cut = intact[..intact.len() - 3].to_vec();
    let longer = [&intact[..], b"x"].concat();
    for (name, bytes, is_known, said) in [
        ("a flipped bit", flipped, false, "has another checksum than what was written"),
        ("a cut file", cut.clone(), false, "bytes of the"),
        ("a longer file", longer.clone(), false, "is longer than"),
        ("a cut file with its checksum", cut, true, "ends before its last image"),
        ("a longer file with its checksum", longer, true, "has bytes behind its last image"),
        ("a file of another database", foreign.clone(), false, "has another checksum"),
        ("a file of another database with its checksum", foreign, true, "is of another database"),
        ("another format", format, true, "has another format"),
        ("too many edges", edges, true, "has an impossible number of edges"),
        ("an image that never was", id, true, "which was never an index image"),
        ("a wrong neighbour", with_a_wrong_neighbour(&intact), true, "the saved neighbour graph has other images near"),
    ] {
        put(&path, &bytes, is_known);
        for database in [Database::open_read_only(&path).unwrap(), Database::open(&path).unwrap()] {
            let found = problems(&database);
            let [one] = &found[..] else { panic!("{name}: {found:?}") };
            assert!(one.contains(said) && one.contains("COMPACT NEIGHBOURS"), "{name}: {one}");
            assert_eq!(database.check(false).unwrap().problems, Vec::<String>::new(), "only the deep check reads it");
        }
        let database = Database::open(&path).unwrap();
        database.save_neighbours().unwrap();
        assert_eq!(problems(&database), Vec::<String>::new(), "{name}: it was written again");
        database.close().unwrap();
        assert_eq!(std::fs::read(path.join("neighbours")).unwrap(), intact, "{name}");
        assert_eq!(problems(&Database::open_read_only(&path).unwrap()), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_wrong_graph_in_memory_is_named_until_it_is_computed_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let intact = saved(&path);
    put(&path, &with_a_wrong_neighbour(&intact), true);
    let database = Database::open(&path).unwrap();
    let snapshot = database.snapshot();
    let query = Query::new(snapshot.vector("i000001").unwrap().unwrap());
    snapshot.search_one(&SearchRequest::new().order(Reciprocal::new()), &query).unwrap();
    // What remains is in memory.
    std::fs::remove_file(path.join("neighbours")).unwrap();
    let found = problems(&database);
    assert!(found.len() == 1 && found[0].contains("the neighbour graph in memory has other images near"), "{found:?}");
    database.save_neighbours().unwrap();
    assert_eq!(problems(&database), Vec::<String>::new());
    database.close().unwrap();
    assert_eq!(std::fs::read(path.join("neighbours")).unwrap(), intact);
}

/// A process that ends between the steps of saving leaves a file that the catalog does not know.
#[test]
fn a_file_that_the_catalog_does_not_know_is_no_problem() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let intact = saved(&path);
    put_catalog_entry(&path, "meta", b"neighbours", None).unwrap();
    std::fs::write(path.join("neighbours"), &intact[..60]).unwrap();
    let reader = Database::open_read_only(&path).unwrap();
    assert_eq!(problems(&reader), Vec::<String>::new());
    for error in [
        reader.save_neighbours().unwrap_err(),
        reader.query("COMPACT NEIGHBOURS", &Arguments::default(), &Ports::default()).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::ReadOnly);
        assert!(error.message().contains("the neighbour graph cannot be saved"), "{error}");
        assert!(error.next_step().is_some_and(|help| help.contains("open it for writing")), "{error:?}");
    }
}
