//! The background work, and the calls that must never wait for it.
//!
//! It catches: a writer that waits for a drain (one lock for the queue and the writer); a drain, a flush or a note that waits for
//! a merge (one thread or one lock for everything); writers that wait for segments of a database that accepts no more writes.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Worker;
use crate::catalog::Catalog;
use crate::disk::{CATALOG, Folder, Lock};
use crate::error::{ErrorKind, Result};
use crate::operation::{Operation, Put};
use crate::options::Options;
use crate::ports::Propose;
use crate::ports::VectorChunks;
use crate::state::watermark;
use crate::write::core::tail_rows;
use crate::write::policy::{FLUSH_ROWS, HOLD_BACK_ROWS};
use crate::write::{Core, Deferral};

/// Longer than anything here takes on the slowest machine; a test that hangs fails after it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

fn core(folder: &Path) -> Arc<Core> {
    let folder = Folder::open(folder).unwrap();
    let its = folder.inner_or_new(CATALOG, "test").unwrap();
    Catalog::create(its, Options::for_vectors(2), &[]).unwrap();
    let catalog = Catalog::open(&folder, Lock::take(&folder).unwrap(), &Default::default()).unwrap();
    Arc::new(Core::load(&folder, catalog).unwrap())
}

fn put(number: usize, label: Option<&str>) -> Operation {
    let put = Put::new(format!("{number}"), [1.0, number as f32]);
    label.map_or(put.clone(), |label| put.label(label)).into()
}

fn rows(numbers: std::ops::Range<usize>) -> Vec<Operation> {
    numbers.map(|number| put(number, None)).collect()
}

/// Calls it in a new thread, and fails if it does not return.
fn returns<T: Send + 'static>(what: &str, call: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = channel();
    std::thread::spawn(move || send.send(call()));
    receive.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{what} does not return"))
}

fn until(what: &str, done: impl Fn() -> bool) {
    let mut waited = Duration::ZERO;
    while !done() {
        assert!(waited < PATIENCE, "{what} never came");
        std::thread::sleep(PAUSE);
        waited += PAUSE;
    }
}

/// Tells when a write looks for voters, and lets it wait.
struct Gate {
    entered: Mutex<Sender<()>>,
    open: Mutex<Receiver<()>>,
}

impl Propose for Gate {
    fn propose(&self, _: &VectorChunks, _: &[bool], queries: &[f32], _: usize) -> Result<Vec<Option<Vec<u32>>>> {
        self.entered.lock().unwrap().send(()).unwrap();
        // An error of the sender's end lets everything through.
        let _opened = self.open.lock().unwrap().recv();
        Ok(vec![None; queries.len() / 2])
    }
}

#[test]
fn writes_are_acknowledged_while_what_waits_is_carried_out() {
    let folder = tempfile::tempdir().unwrap();
    let core = core(folder.path());
    core.write(vec![put(0, Some("tower"))]).unwrap();
    let (entered, seen) = channel();
    let (opens, open) = channel();
    core.set_proposer(Some(Arc::new(Gate { entered: Mutex::new(entered), open: Mutex::new(open) })));
    core.set_deferral(Deferral::Always);
    assert!(core.write(vec![put(1, None)]).unwrap().deferred);
    let worker = Worker::start(&core).unwrap();
    seen.recv_timeout(PATIENCE).unwrap();

    core.set_deferral(Deferral::Automatic);
    let writer = Arc::clone(&core);
    let receipt = returns("a write behind one that is carried out", move || writer.write(vec![put(2, None)])).unwrap();
    assert_eq!((receipt.sequence, receipt.deferred), (3, true));
    assert_eq!(core.current().sequence, 1, "the first one is still at the gate");
    let impossible = core.write(vec![Operation::Delete { key: "nobody".to_owned() }]).unwrap_err();
    assert_eq!(impossible.kind(), ErrorKind::NotFound);

    drop(opens);
    let snapshot = core.reach(3, None).unwrap();
    assert_eq!(snapshot.keys(None).unwrap(), ["0", "1", "2"]);
    assert_eq!(core.waiting(), (0, 0));
    drop(worker);
}

#[test]
fn everything_else_goes_on_beside_a_merge() {
    let folder = tempfile::tempdir().unwrap();
    let core = core(folder.path());
    let worker = Worker::start(&core).unwrap();
    let merges = core.merging.lock();
    core.write(rows(0..FLUSH_ROWS)).unwrap();
    until("the flush", || tail_rows(&core.current()) == 0);
    core.set_deferral(Deferral::Always);
    let sequence = core.write(vec![put(FLUSH_ROWS, None)]).unwrap().sequence;
    until("the drain", || core.current().sequence == sequence);
    let database = core.catalog().database();
    until("the note", || watermark::noted(&core.folder, database) == Some(sequence));
    drop(merges);
    drop(worker);
}

#[test]
fn a_database_that_takes_no_more_writes_holds_nobody_back() {
    let folder = tempfile::tempdir().unwrap();
    let core = core(folder.path());
    // Nobody makes segments, so the next write is held back.
    for start in (0..HOLD_BACK_ROWS).step_by(FLUSH_ROWS) {
        core.write(rows(start..start + FLUSH_ROWS)).unwrap();
    }
    core.set_poison("the disk failed");
    let writer = Arc::clone(&core);
    let refused = returns("a write", move || writer.write(vec![put(HOLD_BACK_ROWS, None)])).unwrap_err();
    assert!(refused.message().contains("the disk failed"), "{refused}");
    // Nor does a thread that cannot make segments.
    let folder = tempfile::tempdir().unwrap();
    let core = self::core(folder.path());
    for start in (0..HOLD_BACK_ROWS).step_by(FLUSH_ROWS) {
        core.write(rows(start..start + FLUSH_ROWS)).unwrap();
    }
    core.has_no_worker("none is left");
    let writer = Arc::clone(&core);
    returns("a write", move || writer.write(vec![put(HOLD_BACK_ROWS, None)])).unwrap();
    assert!(core.trouble().unwrap().contains("none is left"));
}
