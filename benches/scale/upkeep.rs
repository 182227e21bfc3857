//! The cost of exact predictions: train images that are added, changed and deleted, and the first labels of an unlabelled
//! collection.

use std::path::Path;

use cairn::{Database, Operation, Options, Receipt, Role};

use crate::Run;
use crate::data::{DIMENSION, Kind, index_key, name};
use crate::load::write_all;
use crate::meter::{Times, Watch, cpu, heading, line};

/// Images of a larger transaction.
const TOGETHER: usize = 100;
/// Larger transactions.
const TRANSACTIONS: usize = 10;
/// Labels of the cold start.
const FIRST_LABELS: usize = 1_000;
/// Where the train images of this part begin, so that their keys and vectors are their own; a later run on the same folder begins
/// later, at the number of the last write.
const FRESH: u64 = 1 << 32;

/// Transactions of one kind: their times until acknowledged and until seen, and what they did.
#[derive(Default)]
struct Kept {
    acknowledged: Times,
    seen: Times,
    /// Processor seconds, all threads.
    cpu: f64,
    receipts: Vec<Receipt>,
}

impl Kept {
    fn write(&mut self, database: &Database, operations: Vec<Operation>) {
        let (acknowledged, used) = (&mut self.acknowledged, cpu());
        let receipt = self.seen.time(|| {
            let receipt = acknowledged.time(|| database.write(operations).unwrap());
            database.apply_pending().unwrap();
            receipt
        });
        self.cpu += cpu() - used;
        self.receipts.push(receipt);
    }

    fn report(&self, kind: &str, each: usize) {
        let rate = (self.seen.len() * each) as f64 / self.seen.sum();
        let cpu = 1e3 * self.cpu / self.seen.len().max(1) as f64;
        line(kind, format!("{rate:.1} images/s, a transaction {}, CPU {cpu:.1} ms", self.seen.summary()));
        let deferred = self.receipts.iter().filter(|receipt| receipt.deferred).count();
        if deferred > 0 {
            line(
                "  deferred",
                format!("{deferred} of {}: acknowledged {}", self.receipts.len(), self.acknowledged.summary()),
            );
            return;
        }
        let changed: usize = self.receipts.iter().map(|receipt| receipt.predictions_changed).sum();
        let most = self.receipts.iter().map(|receipt| receipt.predictions_changed).max().unwrap_or_default();
        let mean = changed as f64 / (self.receipts.len() * each).max(1) as f64;
        line("  predictions changed by an image", format!("{mean:.1} (most by a transaction: {most})"));
    }
}

/// Inserts, relabels and deletes train images.
pub(crate) fn upkeep(run: &Run, database: &Database) {
    let counts = database.snapshot().counts();
    heading(&format!("upkeep: {} index, {} train images; every write synced", counts.index, counts.train));
    let touched = (database.options().kept_neighbours * counts.index) as f64 / counts.train.max(1) as f64;
    line("lists that a train image is in, on average (k' x index / train)", format!("{touched:.1}"));
    let first = FRESH + (database.snapshot().sequence() << 16);
    let fresh = |n: u64| run.collection.put(Kind::Train, first + n, format!("u{:016x}", first + n));

    run.say("inserting train images, one a transaction");
    let mut inserts = Kept::default();
    (0..run.flags.writes as u64).for_each(|n| inserts.write(database, vec![fresh(n)]));
    inserts.report("train inserts, 1 a transaction", 1);

    run.say("inserting train images, 100 a transaction");
    let mut batches = Kept::default();
    for part in 0..TRANSACTIONS as u64 {
        let first = run.flags.writes as u64 + part * TOGETHER as u64;
        batches.write(database, (first..first + TOGETHER as u64).map(fresh).collect());
    }
    batches.report("train inserts, 100 a transaction", TOGETHER);

    // Every few of the loaded ones: those are in the lists of many.
    let keys = database.snapshot().keys(Some(Role::Train)).unwrap();
    let loaded: Vec<&String> = keys.iter().filter(|key| key.starts_with('t')).collect();
    let chosen = loaded.iter().step_by((loaded.len() / (2 * run.flags.writes).max(1)).max(1));
    let chosen: Vec<&String> = chosen.copied().collect();
    let (relabelled, deleted) = chosen.split_at(run.flags.writes.min(chosen.len() / 2));
    let deleted = &deleted[..run.flags.writes.min(deleted.len())];

    run.say("relabelling");
    let mut relabels = Kept::default();
    for (n, key) in relabelled.iter().enumerate() {
        relabels.write(database, vec![Operation::Label { key: key.to_string(), label: name(1 + n as u64) }]);
    }
    relabels.report("relabels of train images, 1 a transaction", 1);

    run.say("deleting");
    let mut deletes = Kept::default();
    for key in deleted {
        deletes.write(database, vec![Operation::Delete { key: key.to_string() }]);
    }
    deletes.report("deletes of train images, 1 a transaction", 1);
}

/// The first labels on a collection that had none.
pub(crate) fn cold_start(run: &Run, folder: &Path) {
    heading(&format!("cold start: the first {FIRST_LABELS} labels on {} unlabelled images", run.flags.rows));
    let database = if folder.exists() {
        Database::open(folder).unwrap()
    } else {
        let database = Database::create(folder, Options::for_vectors(DIMENSION)).unwrap();
        let rows = run.flags.rows;
        let times = write_all(run, &database, rows, |n| run.collection.put(Kind::Index, n, index_key(n)));
        line("load without train images", format!("{:.0} rows/s", rows as f64 / times.sum()));
        database.compact().unwrap();
        database
    };
    if database.snapshot().counts().train > 0 {
        return line("not measured", "this collection has labels already");
    }
    let step = (run.flags.rows / FIRST_LABELS).max(1);
    let labels = (0..run.flags.rows as u64).step_by(step).take(FIRST_LABELS).map(|n| {
        let (label, _) = run.collection.row(Kind::Index, n);
        Operation::Label { key: index_key(n), label: name(label) }
    });
    let labels: Vec<Operation> = labels.collect();
    run.say("labelling");
    let watch = Watch::start();
    let mut first = Kept::default();
    first.write(&database, labels);
    line("until acknowledged", format!("{:.3} s", first.acknowledged.sum()));
    line("until readers see every prediction", format!("{:.1} s, {:.0} CPU s", first.seen.sum(), first.cpu));
    line("  peak memory", watch.peak());
    line("  deferred", first.receipts[0].deferred);
}
