//! The threads of a database: one applies deferred writes, one writes segments, one merges them, one saves the watermark.

use std::sync::Arc;
use std::thread::JoinHandle;

use crate::error::Result;
use crate::process::leaving::is_leaving;
use crate::report::Trouble;
use crate::write::core::{Core, tail_rows};
use crate::write::policy::FLUSH_ROWS;
use crate::write::signal::{Duty, NOTE_EVERY};

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
                Some(Trouble::gone(self.duty.work(), "it panicked and ended; close the database and open it again")),
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
            core.set_trouble(duty, done.err().map(|error| Trouble::new(duty.work(), &error)));
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

impl Core {
    /// Applies some deferred writes; `true`: there were some.
    fn drain_some(&self) -> Result<bool> {
        if self.waiting().0 == 0 {
            return Ok(false);
        }
        let mut writer = self.writer.lock();
        let next = self.current().sequence + 1;
        self.drain_to(&mut writer, next)?;
        Ok(true)
    }
}
