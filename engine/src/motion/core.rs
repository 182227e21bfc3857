//! The running database: the current state, the single writer, the queue of waiting transactions.
//!
//! Two locks, always taken in this order: `maintenance` (one flush, merge, backup or repair at a time), `writer` (one transaction at
//! a time). Readers take neither.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard, RwLock};

use super::open::remove_orphans;
use super::policy::{HOLD_BACK_ROWS, HOLD_BACK_SEGMENTS};
use super::snapshot::{Published, Snapshot};
use super::waiting::{Deferral, Queue, is_far_reaching};
use super::worker::Signal;
use super::write::Writer;
use super::{acknowledged, columns, space};
use crate::catalog::{Batch, Catalog, CleaningMessage, Waiting};
use crate::error::{Error, Result};
use crate::operation::{Operation, Receipt, Role};
use crate::ports::Propose;

/// What only the holder of the writer's lock touches.
pub(super) struct Writing {
    pub(super) writer: Writer,
    pub(super) queue: Queue,
    deferral: Deferral,
}

/// The running database.
pub(crate) struct Core {
    pub(super) folder: PathBuf,
    pub(super) catalog: Arc<Catalog>,
    pub(super) maintenance: Mutex<()>,
    pub(super) writing: Mutex<Writing>,
    current: RwLock<Arc<Published>>,
    /// Number of the last acknowledged transaction.
    accepted: AtomicU64,
    /// Transactions that wait, and the operations in them: beside the queue, so that nobody waits for a writer to learn it.
    waiting: Mutex<(usize, usize)>,
    proposer: RwLock<Option<Arc<dyn Propose>>>,
    pub(super) signal: Signal,
    /// What the worker could not do, the last time it tried.
    pub(super) trouble: Mutex<Option<String>>,
}

impl Core {
    /// Loads a database whose catalog is open.
    ///
    /// # Errors
    /// A damaged catalog, or one that lost acknowledged writes.
    pub(crate) fn load(folder: &Path, catalog: Catalog) -> Result<Self> {
        let catalog = Arc::new(catalog);
        let pinned = catalog.pin();
        let queue = Queue::of(pinned.waiting()?);
        let waiting = Mutex::new(queue.len());
        let accepted = queue.last().unwrap_or(0).max(pinned.sequence()?);
        if !catalog.is_read_only() {
            acknowledged::check(folder, catalog.database(), accepted)?;
            catalog.copy_identity()?;
            space::forget_half_derived(&catalog, &pinned)?;
            remove_orphans(folder, &catalog.pin())?;
        }
        drop(pinned);
        let state = Published::load(folder, &catalog)?;
        let mut core = Self::with(folder, catalog, state)?;
        core.writing.get_mut().queue = queue;
        core.waiting = waiting;
        core.accepted = AtomicU64::new(accepted);
        Ok(core)
    }

    /// The running database of a state; nothing waits.
    pub(super) fn with(folder: &Path, catalog: Arc<Catalog>, state: Published) -> Result<Self> {
        let writer = Writer::new(folder, Arc::clone(&catalog), &state)?;
        Ok(Self {
            folder: folder.to_owned(),
            catalog,
            maintenance: Mutex::new(()),
            writing: Mutex::new(Writing { writer, queue: Queue::default(), deferral: Deferral::default() }),
            accepted: AtomicU64::new(state.sequence),
            current: RwLock::new(Arc::new(state)),
            waiting: Mutex::default(),
            proposer: RwLock::new(None),
            signal: Signal::default(),
            trouble: Mutex::new(None),
        })
    }

    /// Undoes the stop that a worker's end leaves.
    pub(crate) fn resume(&self) {
        self.signal.stop.store(false, Ordering::Relaxed);
    }

    /// Takes over what was chosen for another one.
    pub(super) fn inherit(&self, other: &Self) {
        *self.proposer.write() = other.proposer.read().clone();
        self.writing.lock().deferral = other.writing.lock().deferral;
    }

    /// What narrows voters down.
    pub(super) fn proposer(&self) -> Option<Arc<dyn Propose>> {
        self.proposer.read().clone()
    }

    /// A transaction of that number was acknowledged.
    pub(super) fn set_accepted(&self, sequence: u64) {
        self.accepted.store(sequence, Ordering::Release);
    }

    /// Its catalog.
    pub(crate) fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Lets a device propose neighbours during writes.
    pub(crate) fn set_proposer(&self, proposer: Option<Arc<dyn Propose>>) {
        *self.proposer.write() = proposer;
    }

    /// Chooses which writes may wait.
    pub(crate) fn set_deferral(&self, deferral: Deferral) {
        self.writing.lock().deferral = deferral;
    }

    /// A reader beside a writer must not touch the writer's files, and does not see all that the writer has acknowledged.
    ///
    /// # Errors
    /// `Invalid`, when it was opened for reading only.
    pub(crate) fn refuse_when_read_only(&self) -> Result<()> {
        if self.catalog.is_read_only() {
            return Err(Error::invalid("the database was opened for reading only")
                .help("ask the program that holds it for writing, or open it for writing when that program is done"));
        }
        Ok(())
    }

    /// What the worker could not do, the last time it tried.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// The state of now. Never waits for a write.
    pub(crate) fn current(&self) -> Arc<Published> {
        Arc::clone(&self.current.read())
    }

    pub(super) fn publish(&self, state: Published) {
        *self.current.write() = Arc::new(state);
        self.signal.notify();
    }

    /// The database as it is now. Never waits for a write.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let state = self.current();
        Snapshot { state, accepted: self.accepted() }
    }

    /// Number of the last acknowledged transaction.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Acquire)
    }

    /// Transactions that wait, and the operations in them.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        *self.waiting.lock()
    }

    /// Carries out a transaction, or acknowledges it and lets it wait.
    pub(crate) fn write(&self, operations: Vec<Operation>) -> Result<Receipt> {
        self.hold_back();
        let mut writing = self.writing.lock();
        let waits = match writing.deferral {
            Deferral::Never => false,
            Deferral::Always => true,
            Deferral::Automatic => !writing.queue.is_empty() || is_far_reaching(&self.current(), &operations),
        };
        if waits {
            if writing.queue.is_full() {
                self.drain_to(&mut writing, u64::MAX)?;
            }
            return self.accept(&mut writing, &self.current(), operations);
        }
        self.drain_to(&mut writing, u64::MAX)?;
        let state = self.current();
        let sequence = state.sequence + 1;
        self.carry_out_now(&mut writing, &state, operations, sequence, None)
    }

    /// Carries out a transaction together with what is noted of it. It never waits; what waits before it is carried out first.
    pub(crate) fn write_noted(
        &self,
        operations: Vec<Operation>,
        note: impl FnOnce(u64) -> CleaningMessage,
    ) -> Result<Receipt> {
        let mut writing = self.writing.lock();
        self.drain_to(&mut writing, u64::MAX)?;
        let state = self.current();
        let sequence = state.sequence + 1;
        self.carry_out_now(&mut writing, &state, operations, sequence, Some(&note(sequence)))
    }

    fn carry_out_now(
        &self,
        writing: &mut Writing,
        state: &Published,
        operations: Vec<Operation>,
        sequence: u64,
        note: Option<&CleaningMessage>,
    ) -> Result<Receipt> {
        let carried = self.carry_out(writing, state, operations, sequence, &[], note)?;
        self.set_accepted(sequence);
        Ok(Receipt {
            sequence,
            images_changed: carried.images_changed,
            predictions_changed: carried.predictions_changed,
            deferred: false,
        })
    }

    fn carry_out(
        &self,
        writing: &mut Writing,
        state: &Published,
        operations: Vec<Operation>,
        sequence: u64,
        drained: &[u64],
        note: Option<&CleaningMessage>,
    ) -> Result<super::write::Carried> {
        let proposer = self.proposer();
        let (published, carried) =
            writing.writer.write(state, operations, proposer.as_deref(), sequence, drained, note)?;
        self.publish(published);
        Ok(carried)
    }

    fn accept(&self, writing: &mut Writing, state: &Published, operations: Vec<Operation>) -> Result<Receipt> {
        let exists = |key: &str| Ok(state.pinned.image(key)?.is_some());
        writing.queue.check(&operations, state.options.dimension, exists)?;
        let sequence = self.accepted() + 1;
        writing.writer.commit(|batch| batch.put_waiting(sequence, &operations))?;
        writing.queue.push(Waiting { sequence, operations });
        *self.waiting.lock() = writing.queue.len();
        self.accepted.store(sequence, Ordering::Release);
        self.signal.notify();
        Ok(Receipt { sequence, images_changed: 0, predictions_changed: 0, deferred: true })
    }

    /// Carries out waiting transactions until readers see number `sequence`; `true`: some wait still.
    pub(super) fn drain_to(&self, writing: &mut MutexGuard<'_, Writing>, sequence: u64) -> Result<bool> {
        loop {
            let state = self.current();
            if writing.queue.is_empty() || state.sequence >= sequence {
                return Ok(!writing.queue.is_empty());
            }
            let (operations, numbers) = writing.queue.next();
            let reached = numbers.last().copied().unwrap_or(state.sequence);
            self.carry_out(writing, &state, operations, reached, &numbers, None)?;
            writing.queue.done(numbers.len());
            *self.waiting.lock() = writing.queue.len();
        }
    }

    /// Commits what is kept beside the rows; readers see it at once.
    pub(crate) fn keep(&self, fill: impl FnOnce(&mut Batch<'_>) -> Result<()>) -> Result<()> {
        self.refuse_when_read_only()?;
        let mut writing = self.writing.lock();
        writing.writer.commit(fill)?;
        self.repin(&mut writing);
        Ok(())
    }

    /// Waits until readers see number `sequence`, by carrying out what waits before it.
    ///
    /// # Errors
    /// `Invalid`: no such write was acknowledged yet; or what the writes give.
    pub(crate) fn reach(&self, sequence: u64) -> Result<Snapshot> {
        let accepted = self.accepted();
        if sequence > accepted {
            return Err(Error::invalid(format!("no write has the number {sequence} yet: the last one is {accepted}"))
                .help("ask for a number that a write returned"));
        }
        if self.current().sequence < sequence {
            self.refuse_when_read_only()?;
            self.drain_to(&mut self.writing.lock(), sequence)?;
        }
        Ok(self.snapshot())
    }

    /// Slows writers down that would outrun the making and merging of segments.
    fn hold_back(&self) {
        self.signal.wait_while(|| {
            let state = self.current();
            let is_behind = Role::ALL.into_iter().any(|role| state.rows(role).frozen().count() >= HOLD_BACK_SEGMENTS)
                || tail_rows(&state) >= HOLD_BACK_ROWS;
            // A worker that cannot work must not stop the writers as well.
            is_behind && self.trouble.lock().is_none()
        });
    }

    /// Notes what a reader of the folder may rely on after this process is gone.
    pub(crate) fn note(&self) -> Result<()> {
        acknowledged::note(&self.folder, self.catalog.database(), self.accepted())
    }

    /// Whether a commit failed, so that nothing is written any more.
    pub(super) fn is_poisoned(&self) -> bool {
        self.writing.lock().writer.is_poisoned()
    }

    /// Saves what makes the next opening fast. Call it when nothing writes any more.
    pub(crate) fn save(&self) -> Result<()> {
        if self.catalog.is_read_only() || self.is_poisoned() {
            return Ok(());
        }
        self.note()?;
        self.catalog.flush()?;
        columns::save(&self.folder, self.catalog.database(), &self.current())
    }
}

/// Rows that no segment holds.
pub(super) fn tail_rows(state: &Published) -> usize {
    Role::ALL.into_iter().map(|role| state.rows(role).len() - state.rows(role).tail_start()).sum()
}
