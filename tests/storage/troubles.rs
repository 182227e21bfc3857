//! What fails behind the writers reaches the application, once, and whoever hears of it may do anything.
//!
//! It catches: a failure that only the status shows; one that is reported at every attempt, or not again after it went well; a hearer
//! that a change of the model forgets; a hearer that waits for the thread that called it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use cairn::model::{Reembed, Target, Wanted};
use cairn::reports::Trouble;
use cairn::{Database, Error, ErrorKind, Expect, Faults, Options, Put, install_faults};
use cairndb_storage_tests::epochs::{mirror, model};
use cairndb_storage_tests::{DIMENSION, in_own_process, put, wait_until};

/// More than what the worker makes into segments by itself.
const ROWS: usize = 17_000;
const PATIENCE: Duration = Duration::from_secs(120);

static FAILS: AtomicBool = AtomicBool::new(false);
static FAILED: AtomicUsize = AtomicUsize::new(0);

fn point(name: &str) -> cairn::Result<()> {
    if name == "flush.made" && FAILS.load(Ordering::SeqCst) {
        FAILED.fetch_add(1, Ordering::SeqCst);
        return Err(Error::new(ErrorKind::Io, "the disk is gone"));
    }
    Ok(())
}

struct Mirrors;

impl Reembed for Mirrors {
    fn reembed(&self, images: &[Wanted]) -> cairn::Result<Vec<cairn::Result<Vec<f32>>>> {
        Ok(images.iter().map(|image| Ok(mirror(&image.vector))).collect())
    }
}

/// Descriptors are of the model that is active now.
fn now(database: &Database) -> Expect {
    Expect::Model(database.snapshot().model().map(|model| model.fingerprint.clone()))
}

fn heard(troubles: &Receiver<Trouble>) -> Trouble {
    troubles.recv_timeout(PATIENCE).unwrap()
}

#[test]
fn a_failing_flush_is_reported_once_until_it_goes_well() {
    in_own_process("troubles::a_failing_flush_is_reported_once_until_it_goes_well", || {
        assert!(install_faults(Faults { point, syncs: true, sees_room: true }));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let database = Database::create(&path, Options::for_model(model(false), DIMENSION)).unwrap();
        let (sends, troubles) = channel();
        let its = database.clone();
        database.on_trouble(move |trouble| {
            // It waits for nobody that waits for it.
            its.write_if([now(&its)], [put("heard", None, &[1.0; DIMENSION])]).unwrap();
            sends.send(trouble.clone()).unwrap();
        });
        let fill = |name: &str| {
            let row = |at: usize| Put::new(format!("{name}{at}"), [1.0 + at as f32; DIMENSION]).into();
            database.write((0..ROWS).map(row)).unwrap();
        };
        FAILS.store(true, Ordering::SeqCst);
        fill("a");
        let trouble = heard(&troubles);
        assert_eq!((trouble.work, trouble.kind), ("making segments", Some(ErrorKind::Io)));
        assert_eq!(trouble.message, "the disk is gone");
        assert_eq!(database.status().health.trouble.as_deref(), Some("the disk is gone"));
        let tried = FAILED.load(Ordering::SeqCst);
        wait_until("two more attempts", || FAILED.load(Ordering::SeqCst) > tried + 1);
        assert!(troubles.try_recv().is_err(), "the same trouble was reported again");
        FAILS.store(false, Ordering::SeqCst);
        wait_until("a flush", || !database.segments().is_empty() && database.status().health.is_ok());
        // What was chosen goes to the database of the other model, too.
        database.change_model(Target::new(model(true), DIMENSION), &Mirrors, None).unwrap();
        FAILS.store(true, Ordering::SeqCst);
        let again = |at: usize| Put::new(format!("b{at}"), [2.0 + at as f32; DIMENSION]).into();
        database.write_if([now(&database)], (0..ROWS).map(again)).unwrap();
        assert_eq!(heard(&troubles).message, "the disk is gone");

        // Whoever hears of it may be the one who closes the database.
        FAILS.store(false, Ordering::SeqCst);
        wait_until("a flush", || database.status().health.is_ok());
        let (sends, closed) = channel();
        let its = std::sync::Mutex::new(Some(database.clone()));
        database.on_trouble(move |_| {
            let last = its.lock().unwrap().take();
            sends.send(last.map(Database::close)).unwrap();
        });
        FAILS.store(true, Ordering::SeqCst);
        let more = |at: usize| Put::new(format!("c{at}"), [3.0 + at as f32; DIMENSION]).into();
        database.write_if([now(&database)], (0..ROWS).map(more)).unwrap();
        closed.recv_timeout(PATIENCE).unwrap().unwrap().unwrap();
        drop(database);
        FAILS.store(false, Ordering::SeqCst);
        let database = Database::open(&path).unwrap();
        assert_eq!(database.snapshot().counts().index, 3 * ROWS + 1);
        assert_eq!(database.check(false).unwrap().problems, Vec::<String>::new());
    });
}
