//! Histories: any bytes are writes of a few images with a few labels and directions, deferred or not, and, on request, flushes,
//! merges and openings between them. After each history every list, vote and posting equals a recompute, and the images and
//! labels equal those of a plain map.
//!
//! Creating a database costs more than many histories, so one database runs a number of them; each history ends with the deletion
//! of its images, and starts like the first one except for the rising numbers and the dead rows.
#![allow(clippy::expect_used, clippy::panic, reason = "a fuzz target stops by panicking")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use cairn::{Database, Deferral, Operation, Options, Put, Role};

/// Steps of one history.
const MOST_STEPS: usize = 32;
/// Histories of one database: each leaves dead rows, over which every write of the next goes.
const HISTORIES: usize = 32;
/// Different keys.
const KEYS: u8 = 16;
/// Of 256 kinds of a step, those from here on are upkeep, which costs milliseconds.
const UPKEEP: u8 = 224;

/// The label of each key.
type Model = BTreeMap<String, Option<String>>;

/// What three bytes ask for. An operation may be one that is refused: an image that is not there cannot be deleted.
fn operation([what, key, more]: [u8; 3]) -> Operation {
    let key = format!("k{}", key % KEYS);
    let label = format!("label {}", more % 4);
    match what % 8 {
        0..=2 => Put::new(key, [f32::from(more % 5) - 1.5, f32::from(more / 5 % 5) - 2.0]).into(),
        3 | 4 => Put::new(key, [f32::from(what / 8) - 15.5, 1.0]).label(label).into(),
        5 => Operation::Delete { key },
        6 => Operation::Label { key, label },
        _ => Operation::Unlabel { key },
    }
}

/// What the transaction makes of the model; `false`: it must be refused.
fn apply(model: &mut Model, transaction: &[Operation]) -> bool {
    let mut next = model.clone();
    for operation in transaction {
        let known = match operation {
            Operation::Put(put) => {
                next.insert(put.key.clone(), put.label.clone());
                true
            }
            Operation::Delete { key } => next.remove(key).is_some(),
            Operation::Label { key, label } => next.get_mut(key).map(|own| *own = Some(label.clone())).is_some(),
            Operation::Unlabel { key } => next.get_mut(key).map(|own| *own = None).is_some(),
            other => panic!("no history has {other:?}"),
        };
        if !known {
            return false;
        }
    }
    *model = next;
    true
}

fn folder() -> PathBuf {
    crate::scratch("history")
}

fn fresh() -> Database {
    let _absent = std::fs::remove_dir_all(folder());
    let options = Options::for_vectors(2).vote_k(2).kept_neighbours(3);
    Database::create(folder(), options).expect("a database can be created")
}

thread_local! {
    /// With the number of histories that it had.
    static DATABASE: RefCell<(usize, Option<Database>)> = const { RefCell::new((HISTORIES, None)) };
}

/// A step that is no write.
fn maintain(database: &mut Option<Database>, what: u8) {
    let open = || Database::open(folder()).expect("it opens again");
    let own = database.as_ref().expect("it is there between two steps");
    match what % 3 {
        0 => drop(own.flush().expect("it can be flushed")),
        1 => own.compact().expect("it can be merged"),
        _ => {
            drop(database.take());
            *database = Some(open());
        }
    }
}

/// Carries a history out; with `upkeep` it flushes, merges and opens again.
///
/// # Panics
/// Where the database is not what the history makes of it.
pub fn run(bytes: &[u8], upkeep: bool) {
    DATABASE.with_borrow_mut(|(histories, database)| {
        if *histories == HISTORIES {
            drop(database.take());
            (*histories, *database) = (0, Some(fresh()));
        }
        *histories += 1;
        history(database, bytes, upkeep);
    });
}

fn history(database: &mut Option<Database>, bytes: &[u8], upkeep: bool) {
    let (mut model, mut transaction) = (Model::new(), Vec::new());
    let (steps, _) = bytes.as_chunks::<4>();
    for &[kind, what, key, more] in steps.iter().take(MOST_STEPS) {
        if kind >= UPKEEP && upkeep {
            maintain(database, what);
            continue;
        }
        let own = database.as_ref().expect("it is there between two steps");
        transaction.push(operation([what, key, more]));
        if kind % 4 == 0 {
            let is_sound = apply(&mut model, &transaction);
            let outcome = own.write(std::mem::take(&mut transaction));
            assert_eq!(outcome.is_ok(), is_sound, "{outcome:?}");
        }
        match kind / 4 {
            2 => own.set_deferral(Deferral::Always),
            3 => own.set_deferral(Deferral::Never),
            _ => {}
        }
    }
    let own = database.as_ref().expect("it is there behind the last step");
    let snapshot = own.apply_pending().expect("what was acknowledged can be carried out");
    let problems = cairn::hostile::history_problems(own).expect("it can be read");
    assert!(problems.is_empty(), "{problems:?}");
    for (key, label) in &model {
        let record = snapshot.record(key).expect("it can be read");
        assert_eq!(record.map(|record| record.label), Some(label.clone()), "{key}");
    }
    let counts = [Role::Train, Role::Index].map(|role| snapshot.keys(Some(role)).expect("they can be read").len());
    assert_eq!(counts.iter().sum::<usize>(), model.len(), "images that nobody put");
    own.set_deferral(Deferral::Never);
    let delete = model.into_keys().map(|key| Operation::Delete { key });
    let _receipt = own.write(delete).expect("what is there can be deleted");
}
