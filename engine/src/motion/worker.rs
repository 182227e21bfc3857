//! The threads behind a database: one carries out what waits, one makes segments, one merges them, one
//! keeps the side file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::core::{Core, tail_rows};
use super::policy::FLUSH_ROWS;
use crate::error::Result;
use crate::process::leaving::is_leaving;

/// How long the side file may be behind.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// How the threads and those who wait for them find each other.
#[derive(Default)]
pub(super) struct Signal {
    pub(super) stop: AtomicBool,
    changed: Mutex<u64>,
    condvar: Condvar,
    resting: Mutex<()>,
    closes: Condvar,
}

impl Signal {
    /// Something changed.
    pub(super) fn notify(&self) {
        *self.changed.lock() += 1;
        self.condvar.notify_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits until something changes, the time is over, or the database closes.
    fn wait(&self, seen: &mut u64, most: Duration) {
        let mut changed = self.changed.lock();
        if *changed == *seen && !self.is_stopped() {
            self.condvar.wait_for(&mut changed, most);
        }
        *seen = *changed;
    }

    /// Waits until the time is over or the database closes, whatever changes.
    fn rest(&self, time: Duration) {
        let mut nothing = self.resting.lock();
        if !self.is_stopped() {
            self.closes.wait_for(&mut nothing, time);
        }
    }

    /// Stops the threads, and whoever waits for them.
    pub(super) fn close(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.notify();
        // Whoever is about to rest sees the flag, or is resting when it is woken.
        let _nothing = self.resting.lock();
        self.closes.notify_all();
    }

    /// Waits while `behind` holds and the database is open.
    pub(super) fn wait_while(&self, behind: impl Fn() -> bool) {
        let mut seen = 0;
        while !self.is_stopped() && behind() {
            self.wait(&mut seen, NOTE_EVERY);
        }
    }
}

/// What is done behind the callers, each by a thread of its own, because each may take minutes and none may wait for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duty {
    /// The side file is kept up, and what a full disk did is made good.
    Note,
    /// What waits is carried out.
    Drain,
    /// Segments are made.
    Flush,
    /// Segments are merged.
    Merge,
}

impl Duty {
    pub(super) const ALL: [Self; 4] = [Self::Note, Self::Drain, Self::Flush, Self::Merge];

    fn name(self) -> &'static str {
        match self {
            Self::Note => "cairn-note",
            Self::Drain => "cairn-drain",
            Self::Flush => "cairn-flush",
            Self::Merge => "cairn-merge",
        }
    }
}

/// The running threads; dropping it stops them and waits for them.
pub(crate) struct Worker {
    core: Arc<Core>,
    threads: Vec<JoinHandle<()>>,
}

impl Worker {
    /// Starts the threads.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub(crate) fn start(core: &Arc<Core>) -> std::io::Result<Self> {
        let mut worker = Self { core: Arc::clone(core), threads: Vec::new() };
        for duty in Duty::ALL {
            let its = Arc::clone(core);
            let thread = std::thread::Builder::new().name(duty.name().to_owned());
            worker.threads.push(thread.spawn(move || run(&its, duty))?);
        }
        Ok(worker)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.core.is_forked() {
            // It has none of them.
            return;
        }
        self.core.signal.close();
        if is_leaving() {
            // They may stand before the gate.
            return;
        }
        for thread in self.threads.drain(..) {
            // A panic was printed where it happened; the data is as the last commit left it.
            let _panicked = thread.join();
        }
    }
}

/// Tells of a thread that a panic ended.
struct Ending<'c> {
    core: &'c Core,
    duty: Duty,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.core.set_trouble(
                self.duty,
                Some("it panicked and is gone; close the database and open it again".to_owned()),
            );
            self.core.signal.notify();
        }
    }
}

fn run(core: &Core, duty: Duty) {
    let _ending = Ending { core, duty };
    let mut seen = 0;
    while !core.signal.is_stopped() {
        let done = round(core, duty);
        let is_idle = !matches!(done, Ok(true));
        if !core.signal.is_stopped() {
            // What went well the next time is forgotten; what did not is shown until it does.
            core.set_trouble(duty, done.err().map(|error| error.message().to_owned()));
        }
        match duty {
            // Each note is synced; one for each write would cost as much as the write.
            Duty::Note => core.signal.rest(NOTE_EVERY),
            _ if is_idle => core.signal.wait(&mut seen, NOTE_EVERY),
            _ => {}
        }
    }
}

/// One piece of work; `false`: there was none.
fn round(core: &Core, duty: Duty) -> Result<bool> {
    match duty {
        Duty::Note if core.check_place().is_err() => Ok(false),
        Duty::Note => {
            core.heal()?;
            core.note_if_behind()
        }
        // Whatever it made could not be named: the disk may be full, or the folder be gone.
        _ if core.poison().is_some() => Ok(false),
        Duty::Drain => core.drain_some(),
        Duty::Flush if tail_rows(&core.current()) < FLUSH_ROWS => Ok(false),
        Duty::Flush => core.flush(),
        Duty::Merge => Ok(core.merge_one()? || core.merge_tables()?),
    }
}
