//! The running database: the current state, the single writer, the queue of deferred transactions.
//!
//! Four locks, always taken in this order: `merging` (one merge or backup at a time), `flushing` (one flush or backup), `writer`
//! (one transaction is applied at a time), `waitlist` (the deferred transactions). Readers take none. A drain holds the last one
//! only between two batches, so that later writes are acknowledged while a deferred one is applied.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::{FairMutex, Mutex, RwLock};

use super::committer::Commits;
use super::deferred::{Deferral, Queue};
use super::signal::{Duty, Signal};
use super::writer::Writer;
use crate::catalog::{Catalog, forget_half_derived, too_busy};
use crate::disk::{Folder, only_read};
use crate::error::Result;
use crate::id::SegmentId;
use crate::operation::Role;
use crate::options::OpenOptions;
use crate::ports::Propose;
use crate::process::callback;
use crate::process::processors;
use crate::report::Trouble;
use crate::state::load::{open_segments, remove_orphans};
use crate::state::now::{Now, Waits};
use crate::state::snapshot::{Published, Snapshot};
use crate::state::watermark;

/// Times a reader looks again whose view of the catalog was overtaken by the writer beside it. With 8, a reader of 8,000 rows beside a
/// writer that made 240 segments a second once took a segment for lost.
pub(crate) const BESIDE_LOOKS: usize = 20;

/// Whoever hears of troubles.
pub(crate) type HearsTrouble = Arc<dyn Fn(&Trouble) + Send + Sync>;

/// The running database.
pub(crate) struct Core {
    pub(crate) folder: Folder,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) merging: FairMutex<()>,
    /// Beside `merging`: rows become segments while large ones are merged, or the tail would grow until writers had to wait.
    pub(crate) flushing: FairMutex<()>,
    /// Fair, as the queue's: whoever writes without a pause would take an unfair lock again and again before those who wait wake up.
    pub(crate) writer: FairMutex<Writer>,
    pub(crate) waitlist: FairMutex<Queue>,
    /// Which transactions are to wait: beside the queue, which a writer may hold for long.
    pub(crate) deferral: Mutex<Deferral>,
    pub(crate) commits: Arc<Commits>,
    pub(crate) now: Now,
    /// The last acknowledged transaction that the side file tells of.
    pub(crate) noted: AtomicU64,
    proposer: RwLock<Option<Arc<dyn Propose>>>,
    pub(crate) signal: Signal,
    /// Threads that make the graph of a segment.
    build_threads: AtomicUsize,
    /// Segments that were written and whose naming failed: nobody reads them, unless the naming turns out to be stored.
    pub(crate) unnamed: Mutex<Vec<SegmentId>>,
    /// Number of changes of the catalog after which its tables are examined again.
    pub(crate) next_look: Mutex<u64>,
    /// What each thread could not do, the last time it tried.
    pub(crate) troubles: Mutex<[Option<Trouble>; Duty::ALL.len()]>,
    hears_trouble: RwLock<Option<HearsTrouble>>,
}

impl Core {
    /// Loads a database whose catalog is open for writing.
    ///
    /// # Errors
    /// A damaged catalog, or one that lost acknowledged writes.
    pub(crate) fn load(folder: &Folder, catalog: Catalog) -> Result<Self> {
        let catalog = Arc::new(catalog);
        let pinned = catalog.pin();
        let queue = Queue::of(pinned.waiting()?);
        let accepted = queue.last().unwrap_or(0).max(pinned.sequence()?);
        watermark::check(watermark::read(folder), catalog.database(), accepted)?;
        catalog.copy_identity()?;
        forget_half_derived(&catalog, &pinned)?;
        remove_orphans(folder, &catalog.pin())?;
        drop(pinned);
        let state = Published::load(folder, &catalog)?;
        Self::with_queue(folder, catalog, state, queue, accepted)
    }

    /// Loads a database for reading, beside a process that may be writing it. A view of the catalog that names a segment which was
    /// merged away meanwhile is given up for a newer one.
    ///
    /// # Errors
    /// As [`Core::load`]; `Locked`: the writer was too busy for a consistent look.
    pub(crate) fn load_beside(folder: &Folder, opening: &OpenOptions) -> Result<Self> {
        let mut looks = BESIDE_LOOKS;
        let mut missed = Vec::new();
        loop {
            looks -= 1;
            let note = watermark::read(folder);
            let catalog = Arc::new(Catalog::open_beside(folder, opening)?);
            let pinned = catalog.pin();
            let queue = Queue::of(pinned.waiting()?);
            let accepted = queue.last().unwrap_or(0).max(pinned.sequence()?);
            watermark::check(note, catalog.database(), accepted)?;
            let segments = open_segments(folder, &catalog, &pinned)?;
            let gone: Vec<_> = segments.iter().filter(|opened| opened.is_gone).map(|opened| opened.entry.id).collect();
            // What a newer view names still was not merged away: it is lost.
            if gone.iter().any(|id| !missed.contains(id)) {
                if looks == 0 {
                    return Err(too_busy(folder));
                }
                missed = gone;
                continue;
            }
            let state = Published::of(folder, &catalog, pinned, segments)?;
            return Self::with_queue(folder, catalog, state, queue, accepted);
        }
    }

    fn with_queue(
        folder: &Folder,
        catalog: Arc<Catalog>,
        state: Published,
        queue: Queue,
        accepted: u64,
    ) -> Result<Self> {
        let commits = Arc::new(Commits::new(folder.clone(), Arc::clone(&catalog)));
        Ok(Self {
            folder: folder.clone(),
            catalog,
            merging: FairMutex::new(()),
            flushing: FairMutex::new(()),
            writer: FairMutex::new(Writer::new(Arc::clone(&commits), &state)?),
            deferral: Mutex::default(),
            commits,
            now: Now::new(state, accepted, queue.len()),
            waitlist: FairMutex::new(queue),
            noted: AtomicU64::new(accepted),
            proposer: RwLock::new(None),
            signal: Signal::default(),
            build_threads: AtomicUsize::new(processors()),
            unnamed: Mutex::default(),
            next_look: Mutex::default(),
            troubles: Mutex::default(),
            hears_trouble: RwLock::default(),
        })
    }

    /// The running database of a state; nothing waits.
    pub(crate) fn with(folder: &Folder, catalog: Arc<Catalog>, state: Published) -> Result<Self> {
        let sequence = state.sequence;
        Self::with_queue(folder, catalog, state, Queue::default(), sequence)
    }

    /// Undoes the stop that a worker's end leaves.
    pub(crate) fn resume(&self) {
        self.signal.stop.store(false, Ordering::Relaxed);
    }

    /// Takes over what was chosen for another one, which may be itself.
    pub(crate) fn inherit(&self, other: &Self) {
        let (proposer, deferral) = (other.proposer(), *other.deferral.lock());
        self.set_proposer(proposer);
        self.set_deferral(deferral);
        self.set_build_threads(Some(other.build_threads()));
        // Not as an argument: the guard of one that is itself would be held.
        let hears = other.hears_trouble.read().clone();
        self.set_hears_trouble(hears);
    }

    /// Threads that make the graph of a segment.
    pub(crate) fn build_threads(&self) -> usize {
        self.build_threads.load(Ordering::Relaxed)
    }

    /// Chooses them; `None`: one for each processor.
    pub(crate) fn set_build_threads(&self, threads: Option<usize>) {
        self.build_threads.store(threads.unwrap_or_else(processors), Ordering::Relaxed);
    }

    /// What narrows voters down.
    pub(crate) fn proposer(&self) -> Option<Arc<dyn Propose>> {
        self.proposer.read().clone()
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
        *self.deferral.lock() = deferral;
    }

    /// Refuses a change that could only wait for its own caller, or that this process cannot make.
    ///
    /// # Errors
    /// `Reentrant`, `Forked`.
    pub(crate) fn refuse_within(&self) -> Result<()> {
        self.catalog.refuse_in_fork()?;
        callback::refuse_within(self.catalog.handle_number())
    }

    /// Whether this process is a fork of the one that opened the database.
    pub(crate) fn is_forked(&self) -> bool {
        self.catalog.refuse_in_fork().is_err()
    }

    /// Refuses what changes something, where nothing may be: a reader beside a writer must not touch the writer's files, and does not see
    /// all that the writer has acknowledged.
    ///
    /// # Errors
    /// `ReadOnly`, when it was opened for reading only, as every backup is; as [`Core::refuse_within`].
    pub(crate) fn refuse_when_read_only(&self) -> Result<()> {
        self.refuse_within()?;
        if self.catalog.is_read_only() { Err(only_read(&self.folder)) } else { Ok(()) }
    }

    /// What the threads behind the database could not do, the last time they tried.
    pub(crate) fn trouble(&self) -> Option<String> {
        let troubles: Vec<String> = self.troubles.lock().iter().flatten().map(|told| told.message.clone()).collect();
        (!troubles.is_empty()).then(|| troubles.join("; "))
    }

    /// What a thread could not do; `None`: it went well. The application hears of it once, until it goes well or fails otherwise.
    pub(crate) fn set_trouble(&self, duty: Duty, trouble: Option<Trouble>) {
        let before = std::mem::replace(&mut self.troubles.lock()[duty as usize], trouble.clone());
        let Some(trouble) = trouble else { return };
        if before.is_some_and(|before| before.kind == trouble.kind) {
            return;
        }
        warn_of!(work = trouble.work, message = trouble.message, "work behind the writers failed");
        if let Some(hears) = self.hears_trouble.read().clone() {
            // A thread of its own, that nobody waits for: it may close the database, which waits for this one.
            let thread = std::thread::Builder::new().name("cairn-trouble".to_owned());
            let _shown_by_the_status_alone = thread.spawn(move || hears(&trouble));
        }
    }

    /// Whoever hears of new troubles from now on.
    pub(crate) fn set_hears_trouble(&self, hears: Option<HearsTrouble>) {
        *self.hears_trouble.write() = hears;
    }

    /// Tells that nothing makes segments, because there is no thread to do so.
    pub(crate) fn has_no_worker(&self, why: &str) {
        // What a start that was given up stopped; FLUSH and COMPACT go on by the caller's thread.
        self.resume();
        let message = format!("its thread could not be started ({why}); open the database again");
        self.set_trouble(Duty::Flush, Some(Trouble::gone(Duty::Flush.work(), message)));
    }

    /// Why the database takes no more writes, if so.
    pub(crate) fn poison(&self) -> Option<String> {
        self.commits.poison()
    }

    /// # Errors
    /// `Io`: a commit failed, and the database accepts no more writes.
    pub(crate) fn refuse_when_poisoned(&self) -> Result<()> {
        self.commits.refuse()
    }

    /// Takes no more writes, because the database was closed.
    pub(crate) fn close(&self) {
        self.commits.close();
    }

    /// Whether it was closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.commits.is_closed()
    }

    /// Takes no more writes: what is on disk is uncertain until the database is opened again.
    pub(crate) fn set_poison(&self, cause: &str) {
        self.commits.set_poison(cause);
    }

    /// Whether what lies at the path is still the folder that was opened; when it is not, the database takes no more writes.
    ///
    /// # Errors
    /// `Displaced`.
    pub(crate) fn check_place(&self) -> Result<()> {
        self.catalog.check_place().inspect_err(|error| self.set_poison(error.message()))
    }

    /// The state of now. Never waits for a write.
    pub(crate) fn current(&self) -> Arc<Published> {
        self.now.state()
    }

    pub(crate) fn publish(&self, state: Published) {
        self.publish_behind(state, (0, 0));
    }

    /// Publishes a state in which this many of the deferred writes are applied.
    pub(crate) fn publish_behind(&self, state: Published, done: Waits) {
        drop(self.now.publish(state, done));
        self.signal.notify();
    }

    /// The database as it is now. Never waits for a write.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.now.snapshot()
    }

    /// Number of the last acknowledged transaction.
    pub(crate) fn accepted(&self) -> u64 {
        self.now.accepted()
    }

    /// Transactions that wait, and the operations in them.
    pub(crate) fn waiting(&self) -> Waits {
        self.now.waiting()
    }

    /// Long work behind it finishes, or stops waiting.
    pub(crate) fn hurry(&self) {
        self.signal.close();
    }

    /// What keeps a small write from being stored, in words.
    pub(crate) fn shortage(&self) -> Option<String> {
        self.commits.shortage()
    }
}

/// Rows that no segment holds.
pub(crate) fn tail_rows(state: &Published) -> usize {
    Role::ALL.into_iter().map(|role| state.rows(role).len() - state.rows(role).tail_start()).sum()
}
