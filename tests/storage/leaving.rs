//! R26: a program may return from `main`, or call `exit`, while threads of it are in the middle of searches, writes, flushes, merges, an
//! opening or a closing: it ends with its own exit code and no signal, nothing acknowledged is lost, and a database that nobody closed
//! is saved.
//!
//! It catches: no handler in `process/leaving.rs`, or one that waits for nobody; a call into RocksDB outside the gate; a closing that is
//! cut short.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use cairndb_storage_tests::{DIMENSION, Guarded, Random, Stream, create, load, many, said, survives};

/// Runs the program once; how it ended, and what it said.
fn leave(path: &Path, words: &Path, arguments: &[String]) -> (Option<i32>, Option<i32>) {
    let out = std::fs::File::create(words).unwrap();
    let mut child = Guarded(load().arg("leave").arg(path).args(arguments).stdout(out).spawn().unwrap());
    let status = child.0.wait().unwrap();
    (status.code(), status.signal())
}

#[test]
fn main_may_return_while_threads_hold_the_database() {
    const SEED: u64 = 26;
    let folder = tempfile::tempdir().unwrap();
    let (path, words) = (folder.path().join("db"), folder.path().join("words"));
    drop(create(&path, DIMENSION));
    let (mut stream, mut random) = (Stream::new(SEED), Random::new(SEED));
    let ends = many(100, 5_000);
    for end in 0..ends {
        let way = ["return", "exit", "close", "look", "look-exit"][end % 5];
        let story = format!("end {end} ({way})");
        // Some end while they open.
        let most = if random.below(6) == 0 { 20 } else { 250 };
        let arguments = [SEED.to_string(), stream.next.to_string(), random.below(most).to_string(), way.to_owned()];
        let status = leave(&path, &words, &arguments);
        assert_eq!(status, (Some(7), None), "{story}: code and signal");
        let said = said(&words, stream.next - 1);
        survives(&path, &mut stream, &said, &story);
    }
    println!("{ends} ends, {} transactions, {} images", stream.next - 1, stream.model.len());
    assert!(stream.next > ends as u64, "the load hardly ran");
}

#[test]
fn a_database_that_nobody_closes_is_saved_when_its_process_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (path, words) = (folder.path().join("db"), folder.path().join("words"));
    for way in ["forget", "forget-exit", "keep"] {
        let _absent = std::fs::remove_dir_all(&path);
        assert_eq!(leave(&path, &words, &["1".to_owned(), way.to_owned()]), (Some(7), None), "{way}");
        assert!(path.join("columns").exists(), "{way}: nothing was saved");
        let mut stream = Stream::new(1);
        survives(&path, &mut stream, &said(&words, 0), way);
    }
}
