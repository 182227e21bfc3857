//! The same final rows, however they came in: one bulk import, any order, any sizes of transactions, detours (other vectors, other
//! roles, deletions), deferral, flushes, merges, reopenings. Law D: one digest of keys, labels, predictions and answers.
//!
//! It catches: ties by internal id instead of key, a list that depends on when its floor rose, postings of an old score, label
//! numbers that show in answers, saved columns of another state.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use cairn::{Database, Deferral, Operation, Put};
use cairndb_storage_tests::{
    DIMENSION, Guarded, Random, Stream, create, digest, images, load, many, put, said, survives, wait_until,
};

const ROWS: usize = 350;

/// Rows with ties: some descriptors are equal.
fn rows() -> Vec<Put> {
    let mut rows: Vec<Put> = images("r", ROWS, DIMENSION, 7, 4, 5)
        .into_iter()
        .filter_map(|operation| if let Operation::Put(put) = operation { Some(put) } else { None })
        .collect();
    for at in (0..ROWS).step_by(9) {
        rows[at].vector = rows[at / 2].vector.clone();
    }
    rows
}

/// What may happen to a row before it is what it will be.
fn way(row: &Put, random: &mut Random) -> Vec<Operation> {
    let last = Operation::Put(row.clone());
    let key = row.key.clone();
    match random.below(7) {
        0 => vec![put(&key, Some("another"), &[1.0, 0.0, 0.5, 0.0, 0.0, 0.0, -1.0, 0.2]), last],
        1 => vec![last.clone(), Operation::Delete { key }, last],
        2 => match &row.label {
            Some(label) => {
                let mut bare = row.clone();
                bare.label = None;
                vec![Operation::Put(bare), Operation::Label { key, label: label.clone() }]
            }
            None => {
                vec![Operation::Put(row.clone().label("wrong")), Operation::Unlabel { key }]
            }
        },
        3 => match &row.label {
            Some(label) => {
                vec![
                    last,
                    Operation::Label { key: key.clone(), label: "wrong".into() },
                    Operation::Label { key, label: label.clone() },
                ]
            }
            None => vec![last.clone(), last],
        },
        _ => vec![last],
    }
}

#[test]
fn the_order_of_writing_does_not_show() {
    let folder = tempfile::tempdir().unwrap();
    let rows = rows();
    let wanted = {
        let bulk = create(&folder.path().join("bulk"), DIMENSION);
        bulk.write(rows.iter().cloned().map(Operation::Put)).unwrap();
        assert_eq!(bulk.check(true).unwrap().problems, Vec::<String>::new());
        digest(&bulk.snapshot())
    };
    let orders = many(20, 1000);
    for order in 0..orders {
        let mut random = Random::new(order as u64);
        let path = folder.path().join("db");
        let mut database = create(&path, DIMENSION);
        // Each row keeps the order of its steps; the rows are mixed.
        let mut ways: Vec<std::collections::VecDeque<Operation>> =
            rows.iter().map(|row| way(row, &mut random).into()).collect();
        let mut turns: Vec<usize> =
            ways.iter().enumerate().flat_map(|(at, way)| std::iter::repeat_n(at, way.len())).collect();
        random.shuffle(&mut turns);
        let mut operations: Vec<Operation> = turns.into_iter().map(|at| ways[at].pop_front().unwrap()).collect();
        let most = [1, 3, 20, 200, 2000][random.below(5)];
        // A transaction each: slow, so only some orders are written so.
        let most = if most == 1 && !order.is_multiple_of(4) { 20 } else { most };
        while !operations.is_empty() {
            let size = (1 + random.below(most)).min(operations.len());
            let rest = operations.split_off(size);
            if random.below(4) == 0 {
                database.set_deferral([Deferral::Never, Deferral::Always, Deferral::Automatic][random.below(3)]);
            }
            database.write(std::mem::replace(&mut operations, rest)).unwrap();
            match random.below(if most < 20 { 60 } else { 12 }) {
                0 | 1 => drop(database.flush().unwrap()),
                2 => database.compact().unwrap(),
                3 => {
                    drop(database);
                    database = Database::open(&path).unwrap();
                }
                _ => {}
            }
        }
        let found = digest(&database.apply_pending().unwrap());
        for (found, wanted) in found.iter().zip(&wanted) {
            assert_eq!(found, wanted, "order {order}");
        }
        assert_eq!(found.len(), wanted.len(), "order {order}");
        assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new(), "order {order}");
        drop(database);
        assert!(digest(&Database::open(&path).unwrap().snapshot()) == wanted, "order {order}, opened again");
        std::fs::remove_dir_all(&path).unwrap();
    }
    println!("{orders} orders of {ROWS} rows");
}

/// After crashes the database equals one that took the final rows in a single transaction.
#[test]
fn crashes_do_not_show() {
    const SEED: u64 = 51;
    let folder = tempfile::tempdir().unwrap();
    let (path, words) = (folder.path().join("db"), folder.path().join("words"));
    drop(create(&path, DIMENSION));
    let mut stream = Stream::new(SEED);
    let mut random = Random::new(SEED);
    let crashes = many(5, 100);
    for crash in 0..crashes {
        let story = format!("crash {crash}");
        let out = std::fs::File::create(&words).unwrap();
        let arguments = [SEED.to_string(), stream.next.to_string()];
        let mut child = Guarded(load().arg("load").arg(&path).args(arguments).stdout(out).spawn().unwrap());
        wait_until("the opening", || std::fs::read_to_string(&words).unwrap().starts_with("open\n"));
        std::thread::sleep(std::time::Duration::from_millis(random.below(400) as u64));
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        let said = said(&words, stream.next - 1);
        survives(&path, &mut stream, &said, &story);
        let once = folder.path().join("once");
        let database = create(&once, DIMENSION);
        let all = stream.model.iter().map(|(key, (label, vector))| put(key, label.as_deref(), vector));
        database.write(all).unwrap();
        assert!(digest(&Database::open(&path).unwrap().snapshot()) == digest(&database.snapshot()), "{story}");
        drop(database);
        std::fs::remove_dir_all(&once).unwrap();
    }
    println!("{crashes} crashes, {} transactions", stream.next - 1);
}
