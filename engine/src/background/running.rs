//! The running database of a folder: the core that answers, the gate before it, and the worker. A model change replaces the core.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use super::ages::Ages;
use super::gate::Gate;
use super::worker::Worker;
use crate::disk::Folder;
use crate::error::Result;
use crate::options::{OpenOptions, Options};
use crate::process::leaving::{Inside, Leave, inside_slow, register};
use crate::state::Snapshot;
use crate::write::Core;

/// How long the end of the process waits to learn which database runs.
const LEAVING_PATIENCE: Duration = Duration::from_millis(500);

/// What the clones of a database share.
pub(crate) struct Shared {
    pub(crate) folder: Folder,
    /// How it was opened, for when it is opened again.
    pub(crate) opening: OpenOptions,
    /// Of the active space; another one after a flip.
    running: Arc<Running>,
    /// Everything that changes the database goes through it, and a flip closes it. Readers do not touch it.
    pub(crate) gate: Gate,
    /// Held while another model becomes active.
    pub(crate) epochs: Mutex<()>,
    pub(crate) ages: Ages,
    /// Held by statements that look at an image's label and then change it, so that no other one comes between.
    pub(crate) labelling: Mutex<()>,
    worker: Mutex<Option<Worker>>,
    /// Behind everything that is closed.
    closing: Option<Inside>,
}

/// What the end of the process saves, apart from the database, whose last clone may stand before the gate then.
struct Running {
    core: RwLock<Arc<Core>>,
}

impl Leave for Running {
    fn hurry(&self) {
        if let Some(core) = self.core.try_read_for(LEAVING_PATIENCE) {
            core.hurry();
        }
    }

    fn save(&self) {
        if let Some(core) = self.core.try_read_for(LEAVING_PATIENCE) {
            let _slower = core.save();
        }
    }
}

impl Shared {
    /// A database whose core was just loaded; without a worker it only reads.
    pub(crate) fn new(folder: Folder, core: Arc<Core>, worker: Option<Worker>, opening: OpenOptions) -> Self {
        let ages = Ages::behind(core.accepted());
        let running = Arc::new(Running { core: RwLock::new(core) });
        register(&running);
        Self {
            folder,
            opening,
            running,
            gate: Gate::default(),
            epochs: Mutex::default(),
            ages,
            labelling: Mutex::default(),
            worker: Mutex::new(worker),
            closing: None,
        }
    }

    /// What readers see now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.core().snapshot()
    }

    /// Applies all deferred writes; the state after them.
    ///
    /// # Errors
    /// As [`Core::reach`].
    pub(crate) fn apply_pending(&self) -> Result<Snapshot> {
        let core = self.core();
        core.reach(core.accepted(), None)
    }

    /// What the database was created with; the model and the dimension are the active ones.
    pub(crate) fn options(&self) -> Options {
        self.core().catalog().options().clone()
    }

    /// Calls `set` with the core that answers; none takes its place meanwhile.
    pub(crate) fn with_core(&self, set: impl FnOnce(&Core)) {
        set(&self.running.core.read());
    }

    /// The running database of the active space.
    pub(crate) fn core(&self) -> Arc<Core> {
        Arc::clone(&self.running.core.read())
    }

    /// The running database, and the gate kept open for a change of it.
    ///
    /// # Errors
    /// `Reentrant`, `Forked`; as [`Gate::enter`].
    pub(crate) fn enter(&self) -> Result<(RwLockReadGuard<'_, ()>, Arc<Core>)> {
        self.core().refuse_within()?;
        let entered = self.gate.enter()?;
        // Another one may have become active while it was closed.
        Ok((entered, self.core()))
    }

    /// [`Shared::enter`] for work that may take long and changes no row.
    ///
    /// # Errors
    /// `Reentrant`, `Forked`.
    pub(crate) fn enter_upkeep(&self) -> Result<(RwLockReadGuard<'_, ()>, Arc<Core>)> {
        self.core().refuse_within()?;
        let entered = self.gate.enter_upkeep();
        Ok((entered, self.core()))
    }

    /// Lets another one answer from now on, with what was chosen for the one before until this moment; its worker is started. Without
    /// threads for a worker it answers too, and says so.
    pub(crate) fn replace(&self, core: Arc<Core>) {
        {
            let mut running = self.running.core.write();
            core.inherit(&running);
            *running = Arc::clone(&core);
        }
        match Worker::start(&core) {
            Ok(worker) => *self.worker.lock() = Some(worker),
            Err(error) => core.has_no_worker(&error.to_string()),
        }
    }

    /// Lets another one that only reads answer from now on.
    pub(crate) fn show(&self, core: Arc<Core>) {
        let mut running = self.running.core.write();
        core.inherit(&running);
        let before = std::mem::replace(&mut *running, core);
        drop(running);
        // Closing it may take long, and readers do not wait for that.
        drop(before);
    }

    /// The worker goes on where it was stopped.
    pub(crate) fn restart_worker(&self) {
        let core = self.core();
        core.resume();
        self.replace(core);
    }

    /// Completes the opening of a database for writing.
    pub(crate) fn take_over(&self, core: Arc<Core>, worker: Worker) {
        self.ages.begin(core.accepted());
        {
            let mut running = self.running.core.write();
            core.inherit(&running);
            *running = core;
        }
        *self.worker.lock() = Some(worker);
    }

    /// Stops the worker, if there is one, and waits for it.
    pub(crate) fn stop_worker(&self) {
        drop(self.worker.lock().take());
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.core().is_forked() {
            return;
        }
        // Without what is saved the next opening takes longer, and nothing else. Whoever wants to know calls `Database::close`.
        let _slower = self.close();
        self.closing = Some(inside_slow());
    }
}

impl Shared {
    /// Ends what goes on behind the callers, and saves. A second call does nothing.
    pub(crate) fn close(&self) -> Result<()> {
        self.core().refuse_within()?;
        // Whoever writes comes to an end first.
        let _no_write = self.gate.close();
        // The worker first: what it still does is in what is saved.
        self.stop_worker();
        let _inside = inside_slow();
        let core = self.core();
        if core.is_closed() {
            return Ok(());
        }
        let saved = core.save();
        core.close();
        saved
    }
}
