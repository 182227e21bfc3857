//! A part of the load: a process that ends in the middle of its threads' work.
//!
//! `SEED FROM MS WAY`: transactions from FROM on, and searches beside them, for MS milliseconds; then WAY. `return`: main returns 7;
//! `exit`: another thread calls `exit(7)`; `close`: main returns while the database is closed and opened again all the time; `look`:
//! while it is opened for reading all the time beside the writer; `look-exit`: another thread calls `exit(7)` then. `SEED forget`,
//! `SEED forget-exit`: a few transactions, and nobody closes the database; `SEED keep`: a variable of the main thread does.

use std::cell::RefCell;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use cairn::{Database, Query, Rerank, SearchRequest};
use cairndb_storage_tests::{DIMENSION, Stream};

use crate::{act, open, say};

/// What a process ends with that ends as it wants to.
const CODE: u8 = 7;

/// Ends in the midst of things.
pub(crate) fn leave(folder: &Path, words: &[String]) -> ExitCode {
    let number = |at: usize| -> u64 { words[at].parse().unwrap() };
    // No handler sees a thread whose very first call begins while `exit` runs.
    drop(cairn::runtime::native());
    if words.len() == 2 {
        forget(folder, number(0), words[1] == "keep");
        if words[1] == "forget-exit" {
            std::thread::spawn(|| std::process::exit(i32::from(CODE))).join().unwrap();
        }
        return ExitCode::from(CODE);
    }
    let (seed, from, time, way) = (number(0), number(1), Duration::from_millis(number(2)), words[3].clone());
    let closes = way == "close";
    if way.starts_with("look") {
        let path = folder.to_owned();
        std::thread::spawn(move || look(&path));
    }
    let path = folder.to_owned();
    std::thread::spawn(move || write(&path, seed, from, closes));
    std::thread::sleep(time);
    if way.ends_with("exit") {
        std::thread::spawn(|| std::process::exit(i32::from(CODE)));
        std::thread::sleep(Duration::from_secs(3600));
    }
    ExitCode::from(CODE)
}

/// Opens the database for reading over and over, and looks at all of it.
fn look(folder: &Path) {
    loop {
        // The writer may be too busy for a consistent look.
        if let Ok(database) = Database::open_read_only(folder) {
            assert!(database.snapshot().keys(None).is_ok());
        }
    }
}

fn transaction(database: &Database, stream: &mut Stream) {
    say(&format!("try {}", stream.next));
    let receipt = database.write(stream.transaction()).unwrap();
    say(&format!("ack {} {}", receipt.sequence, receipt.deferred));
}

fn write(folder: &Path, seed: u64, from: u64, closes: bool) {
    let mut stream = Stream::new(seed);
    stream.run_to(from - 1);
    let mut database = open(folder).unwrap();
    if !closes {
        for _ in 0..2 {
            let database = database.clone();
            std::thread::spawn(move || search(&database));
        }
    }
    loop {
        transaction(&database, &mut stream);
        act(&database, &stream).unwrap();
        if closes && stream.next.is_multiple_of(5) {
            drop(database);
            database = open(folder).unwrap();
        }
        stream.advance();
    }
}

fn search(database: &Database) {
    let request = SearchRequest::new().depth(20).rerank(Rerank::new().k(3));
    for round in 0u32.. {
        let query = |at: u32| {
            Query::new((0..DIMENSION).map(|of| ((round + 7 * at + of as u32) as f32).sin()).collect::<Vec<_>>())
        };
        let queries: Vec<Query> = (0..round % 40 + 1).map(query).collect();
        database.snapshot().search(&request, &queries).unwrap();
    }
}

thread_local! {
    /// Closed when its thread ends.
    static KEPT: RefCell<Option<Database>> = const { RefCell::new(None) };
}

fn forget(folder: &Path, seed: u64, is_kept: bool) {
    let (mut stream, database) = (Stream::new(seed), open(folder).unwrap());
    for _ in 0..10 {
        transaction(&database, &mut stream);
        stream.advance();
    }
    if is_kept {
        KEPT.with(|kept| kept.replace(Some(database)));
    } else {
        std::mem::forget(database);
    }
}
