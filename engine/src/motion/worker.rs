//! The thread behind a database: carries out what waits, makes segments, merges them, keeps the side file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::core::{Core, tail_rows};
use super::policy::FLUSH_ROWS;
use crate::error::Result;

/// How long the side file may be behind.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// How the worker and those who wait for it find each other.
#[derive(Default)]
pub(super) struct Signal {
    pub(super) stop: AtomicBool,
    changed: Mutex<u64>,
    condvar: Condvar,
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

    /// Waits while `behind` holds and the database is open.
    pub(super) fn wait_while(&self, behind: impl Fn() -> bool) {
        let mut seen = 0;
        while !self.is_stopped() && behind() {
            self.wait(&mut seen, NOTE_EVERY);
        }
    }
}

/// The running thread; dropping it stops the thread and waits for it.
pub(crate) struct Worker {
    core: Arc<Core>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub(crate) fn start(core: &Arc<Core>) -> std::io::Result<Self> {
        let its = Arc::clone(core);
        let thread = std::thread::Builder::new().name("cairn-worker".to_owned()).spawn(move || run(&its))?;
        Ok(Self { core: Arc::clone(core), thread: Some(thread) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.core.signal.stop.store(true, Ordering::Relaxed);
        self.core.signal.notify();
        if let Some(thread) = self.thread.take() {
            // A panic of the worker was printed where it happened; the data is as the last commit left it.
            let _panicked = thread.join();
        }
    }
}

fn run(core: &Core) {
    let (mut seen, mut noted) = (0, core.accepted());
    while !core.signal.is_stopped() {
        let done = round(core);
        let idle = match &done {
            Ok(worked) => !worked,
            Err(_) => true,
        };
        if !core.signal.is_stopped() {
            // What went well the next time is forgotten; what did not is shown until it does.
            *core.trouble.lock() = done.err().map(|error| error.message().to_owned());
        }
        if core.accepted() != noted {
            let accepted = core.accepted();
            match core.note() {
                Ok(()) => noted = accepted,
                // It is tried again in the next round, even when nothing is written any more.
                Err(error) => *core.trouble.lock() = Some(error.message().to_owned()),
            }
        }
        if idle {
            core.signal.wait(&mut seen, NOTE_EVERY);
        }
    }
}

/// One piece of work; `false`: there was none.
fn round(core: &Core) -> Result<bool> {
    if core.is_poisoned() {
        // Whatever it made could not be named; the disk may be full.
        return Ok(false);
    }
    if core.drain_some()? {
        return Ok(true);
    }
    if tail_rows(&core.current()) >= FLUSH_ROWS {
        return core.flush();
    }
    core.merge_one()
}
