//! Bulk load, and the maintenance after it.

use std::path::Path;
use std::sync::mpsc::sync_channel;

use cairn::{Database, Operation, Options, Role};

use crate::Run;
use crate::data::{DIMENSION, Kind, index_key};
use crate::meter::{Times, Watch, cpu, heading, line, memory, mib};

/// Rows of a transaction of the load.
const TRANSACTION: usize = 1_000;
/// Rows between two lines of progress.
const PROGRESS: usize = 20_000;
/// A write that took so many seconds was held back, most likely.
const HELD_BACK: f64 = 2.0;

/// Writes rows in transactions, which a second thread makes ahead; the times of the writes.
pub(crate) fn write_all(run: &Run, database: &Database, rows: usize, row: impl Fn(u64) -> Operation + Send) -> Times {
    let mut times = Times::default();
    std::thread::scope(|scope| {
        let (give, take) = sync_channel::<Vec<Operation>>(4);
        scope.spawn(move || {
            for first in (0..rows).step_by(TRANSACTION) {
                let made = (first..rows.min(first + TRANSACTION)).map(|n| row(n as u64)).collect();
                // The writer panicked: nothing is left to be done.
                let Ok(()) = give.send(made) else { return };
            }
        });
        let mut written = 0;
        for transaction in take {
            let more = transaction.len();
            times.time(|| database.write(transaction).unwrap());
            written += more;
            if written / PROGRESS > (written - more) / PROGRESS {
                let (segments, rate) = (database.segments().len(), written as f64 / times.sum());
                run.say(format!(
                    "{written} of {rows} rows, {rate:.0} rows/s, {segments} segments, {}",
                    mib(memory().0)
                ));
            }
        }
    });
    times
}

/// The times of a load, in words.
fn report(name: &str, rows: usize, times: &Times) {
    line(name, format!("{:.0} rows/s ({:.1} s in writes)", rows as f64 / times.sum(), times.sum()));
    let (longest, held) = (times.quantile(1.0), times.longer_than(HELD_BACK));
    line("  of a transaction of 1,000", format!("{}, longest {longest:.2} s", times.summary()));
    line("  held back for more than 2 s", format!("{held} of {} transactions", times.len()));
}

/// Makes the database: train images, then index images, then quiet.
pub(crate) fn load(run: &Run, folder: &Path) {
    let (train, index) = (run.flags.train, run.flags.rows);
    heading("bulk load, transactions of 1,000 (every one synced)");
    let watch = Watch::start();
    let (wall, used) = (std::time::Instant::now(), cpu());
    let database = Database::create(folder, Options::for_vectors(DIMENSION)).unwrap();
    let times = write_all(run, &database, train, |n| run.collection.put(Kind::Train, n, format!("t{n:09}")));
    report("train images into the empty database", train, &times);
    let times = write_all(run, &database, index, |n| run.collection.put(Kind::Index, n, index_key(n)));
    report("index images, predictions made", index, &times);
    line("  with the making of the data", format!("{:.1} s, {:.0} CPU s", wall.elapsed().as_secs_f64(), cpu() - used));
    line("  peak memory", watch.peak());
    quiet(run, &database);
    close(run, database);
}

/// Time and memory until there is nothing left for maintenance to do.
fn quiet(run: &Run, database: &Database) {
    let mut time = Times::default();
    let (watch, used) = (Watch::start(), cpu());
    run.say("draining, flushing, compacting");
    time.time(|| {
        database.apply_pending().unwrap();
        database.flush().unwrap();
        database.compact().unwrap();
    });
    line("flush and compact after it", format!("{:.1} s, {:.0} CPU s", time.sum(), cpu() - used));
    line("  peak memory", watch.peak());
    for segment in database.segments() {
        let role = if segment.role == Role::Train { "train" } else { "index" };
        let graph = if segment.graph { "with a graph" } else { "without a graph" };
        line(&format!("  segment {}", segment.number), format!("{role}, {} rows, {graph}", segment.live));
    }
}

/// Closes, and says how long that took.
fn close(run: &Run, database: Database) {
    run.say("closing");
    let mut time = Times::default();
    time.time(|| drop(database));
    line("close", format!("{:.3} s", time.sum()));
}

/// Adds train images until there are as many as the flag says, and compacts.
pub(crate) fn more_train(run: &Run, database: &Database) {
    let more = run.flags.more_train.saturating_sub(database.snapshot().counts().train);
    heading("more train images, transactions of 1,000 (deferred ones are carried out at the end)");
    let watch = Watch::start();
    let first = run.flags.train as u64;
    let mut all = Times::default();
    let used = cpu();
    all.time(|| {
        let row = |n: u64| run.collection.put(Kind::Train, first + n, format!("t{:09}", first + n));
        let times = write_all(run, database, more, row);
        report(&format!("{more} train images, until acknowledged"), more, &times);
        run.say("draining");
        database.apply_pending().unwrap();
    });
    let rate = more as f64 / all.sum();
    line("  until readers see them", format!("{rate:.0} rows/s, {:.1} s, {:.0} CPU s", all.sum(), cpu() - used));
    line("  peak memory", watch.peak());
    quiet(run, database);
}
