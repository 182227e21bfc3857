//! Any bytes are a history: writes of a few images with a few labels and directions, deferred or not, flushes, merges, openings. Each
//! ends in a database in which CHECK DEEP finds nothing.
#![no_main]
#![allow(
    missing_docs,
    clippy::expect_used,
    reason = "a fuzz target stops by panicking; its macro defines undocumented items"
)]

use cairn::{Database, Deferral, Operation, Options, Put, Reading};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

/// Steps of one history: a database that is made and opened again costs milliseconds.
const MOST_STEPS: usize = 200;

/// What three bytes ask for. An operation may be one that is refused: an image that is not there cannot be deleted.
fn operation(bytes: [u8; 3]) -> Operation {
    let [what, key, more] = bytes;
    let key = format!("k{}", key % 16);
    let label = format!("label {}", more % 4);
    match what % 8 {
        0..=2 => Put::new(key, [f32::from(more % 5) - 1.5, f32::from(more / 5 % 5) - 2.0]).into(),
        3 => {
            let reading = Reading { number: u64::from(more / 64), overrules: what / 8 % 4 == 0 };
            let put = Put::new(key, [f32::from(what / 8) - 15.5, 1.0]).content([what / 64; 32]);
            let put = if more % 5 == 0 { put } else { put.label(label) };
            put.from_list(reading).into()
        }
        4 => Put::new(key, [f32::from(what / 8) - 15.5, 1.0]).label(label).into(),
        5 => Operation::Delete { key },
        6 => Operation::Label { key, label },
        _ => Operation::Unlabel { key },
    }
}

fuzz_target!(|bytes: &[u8]| {
    let path = std::env::temp_dir().join(format!("cairn-fuzz-{}.history", std::process::id()));
    let _absent = std::fs::remove_dir_all(&path);
    let options = Options { vote_k: 2, kept_neighbours: 3, ..Options::for_vectors(2) };
    let mut database = Database::create(&path, options).expect("a database can be created");
    let mut transaction = Vec::new();
    let (steps, _) = bytes.as_chunks::<4>();
    for &[kind, what, key, more] in steps.iter().take(MOST_STEPS) {
        transaction.push(operation([what, key, more]));
        if kind % 4 == 0 {
            let _refused = database.write(std::mem::take(&mut transaction));
        }
        match kind / 4 {
            0 => drop(database.flush().expect("it can be flushed")),
            1 => database.compact().expect("it can be merged"),
            2 => database.set_deferral(Deferral::Always),
            3 => database.set_deferral(Deferral::Never),
            4 => {
                drop(database);
                database = Database::open(&path).expect("it opens again");
            }
            _ => {}
        }
    }
    drop(database.drain().expect("what was acknowledged can be carried out"));
    let problems = database.check(true).expect("it can be checked").problems;
    assert!(problems.is_empty(), "{problems:?}");
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    cairndb_fuzz::mutated(data, size, max_size, seed)
});
