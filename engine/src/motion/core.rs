//! The running database: the current state, the single writer, the queue of waiting transactions.
//!
//! Four locks, always taken in this order: `merging` (one merge or backup at a time), `flushing` (one flush or backup), `writer` (one
//! transaction is carried out at a time), `waitlist` (which transactions wait). Readers take none. A drain holds the last one only between two
//! batches, so that writes behind a waiting one are acknowledged while it is carried out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::commits::Commits;
use super::now::{Now, Waits};
use super::open::{open_segments, remove_orphans};
use super::policy::{HOLD_BACK_ROWS, HOLD_BACK_SEGMENTS};
use super::resolve::Transaction;
use super::snapshot::{Published, Snapshot};
use super::waiting::{Deferral, Queue, is_far_reaching};
use super::worker::{Duty, Signal};
use super::write::{Note, Writer, only_deletes};
use super::{acknowledged, columns, space};
use crate::catalog::{Batch, Catalog, Waiting, codec, too_busy};
use crate::disk::{COLUMNS, Folder, only_read, release, set_aside};
use crate::error::{Error, ErrorKind, Result};
use crate::id::SegmentId;
use crate::operation::{Operation, Receipt, Role};
use crate::ports::Propose;
use crate::process::callback;

/// Times a reader looks again whose view of the catalog was overtaken by the writer beside it. With 8, a reader of 8,000 rows beside a
/// writer that made 240 segments a second once took a segment for lost.
pub(super) const BESIDE_LOOKS: usize = 20;

/// The running database.
pub(crate) struct Core {
    pub(super) folder: Folder,
    pub(super) catalog: Arc<Catalog>,
    pub(super) merging: Mutex<()>,
    /// Beside `merging`: rows become segments while large ones are merged, or the tail would grow until writers had to wait.
    pub(super) flushing: Mutex<()>,
    pub(super) writer: Mutex<Writer>,
    waitlist: Mutex<Queue>,
    /// Which transactions are to wait: beside the queue, which a writer may hold for long.
    deferral: Mutex<Deferral>,
    commits: Arc<Commits>,
    now: Now,
    /// The last acknowledged transaction that the side file tells of.
    noted: AtomicU64,
    proposer: RwLock<Option<Arc<dyn Propose>>>,
    pub(super) signal: Signal,
    /// Segments that were written and whose naming failed: nobody reads them, unless the naming turns out to be stored.
    pub(super) unnamed: Mutex<Vec<SegmentId>>,
    /// The number of changes of the catalog from which on its tables are looked at again.
    next_look: Mutex<u64>,
    /// What each thread could not do, the last time it tried.
    troubles: Mutex<[Option<String>; Duty::ALL.len()]>,
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
        acknowledged::check(acknowledged::read(folder), catalog.database(), accepted)?;
        catalog.copy_identity()?;
        space::forget_half_derived(&catalog, &pinned)?;
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
    pub(crate) fn load_beside(folder: &Folder) -> Result<Self> {
        let mut looks = BESIDE_LOOKS;
        let mut missed = Vec::new();
        loop {
            looks -= 1;
            let note = acknowledged::read(folder);
            let catalog = Arc::new(Catalog::open_beside(folder)?);
            let pinned = catalog.pin();
            let queue = Queue::of(pinned.waiting()?);
            let accepted = queue.last().unwrap_or(0).max(pinned.sequence()?);
            acknowledged::check(note, catalog.database(), accepted)?;
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
            merging: Mutex::new(()),
            flushing: Mutex::new(()),
            writer: Mutex::new(Writer::new(Arc::clone(&commits), &state)?),
            deferral: Mutex::default(),
            commits,
            now: Now::new(state, accepted, queue.len()),
            waitlist: Mutex::new(queue),
            noted: AtomicU64::new(accepted),
            proposer: RwLock::new(None),
            signal: Signal::default(),
            unnamed: Mutex::default(),
            next_look: Mutex::default(),
            troubles: Mutex::default(),
        })
    }

    /// The running database of a state; nothing waits.
    pub(super) fn with(folder: &Folder, catalog: Arc<Catalog>, state: Published) -> Result<Self> {
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
    }

    /// What narrows voters down.
    pub(super) fn proposer(&self) -> Option<Arc<dyn Propose>> {
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
        let troubles: Vec<String> = self.troubles.lock().iter().flatten().cloned().collect();
        (!troubles.is_empty()).then(|| troubles.join("; "))
    }

    /// What a thread could not do; `None`: it went well.
    pub(super) fn set_trouble(&self, duty: Duty, trouble: Option<String>) {
        self.troubles.lock()[duty as usize] = trouble;
    }

    /// Tells that nothing makes segments, because there is no thread to do so.
    pub(crate) fn has_no_worker(&self, why: &str) {
        // What a start that was given up stopped; FLUSH and COMPACT go on by the caller's thread.
        self.resume();
        self.set_trouble(Duty::Flush, Some(format!("there is no thread for it ({why}); open the database again")));
    }

    /// Why the database takes no more writes, if so.
    pub(crate) fn poison(&self) -> Option<String> {
        self.commits.poison()
    }

    /// # Errors
    /// `Io`: a commit failed, and nothing more is written.
    pub(super) fn refuse_when_poisoned(&self) -> Result<()> {
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
    pub(super) fn set_poison(&self, cause: &str) {
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

    pub(super) fn publish(&self, state: Published) {
        self.publish_behind(state, (0, 0));
    }

    /// Publishes a state by which so many of the waiting writes were carried out.
    fn publish_behind(&self, state: Published, done: Waits) {
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

    /// Whether a transaction is acknowledged before it is carried out.
    fn defers(&self, queue: &Queue, is_far_reaching: bool) -> bool {
        match *self.deferral.lock() {
            Deferral::Never => false,
            Deferral::Always => true,
            Deferral::Automatic => !queue.is_empty() || is_far_reaching,
        }
    }

    /// Carries out a transaction, or acknowledges it and lets it wait.
    pub(crate) fn write(&self, operations: Vec<Operation>) -> Result<Receipt> {
        // Before it waits for a worker that a database opened to read does not have.
        self.refuse_within()?;
        self.commits.refuse()?;
        if operations.is_empty() {
            // It changes nothing, so it has no number of its own.
            return Ok(Receipt { sequence: self.accepted(), ..Receipt::default() });
        }
        self.hold_back();
        let is_far_reaching = is_far_reaching(&self.current(), &operations);
        {
            // Without the writer's lock: what waits may be being carried out, which takes its time.
            let mut queue = self.waitlist.lock();
            if self.defers(&queue, is_far_reaching) && !queue.is_full() {
                return self.accept(&mut queue, operations);
            }
        }
        let mut writer = self.writer.lock();
        if self.waitlist.lock().is_full() {
            self.drain_to(&mut writer, self.accepted())?;
        }
        let mut queue = self.waitlist.lock();
        if self.defers(&queue, is_far_reaching) {
            if queue.is_full() {
                self.drain_all(&mut writer, &mut queue)?;
            }
            return self.accept(&mut queue, operations);
        }
        self.carry_out_now(&mut writer, &mut queue, operations, None)
    }

    /// Carries out a transaction together with what is noted of it. It never waits; what waits before it is carried out first.
    ///
    /// `decide` says from the very state that the transaction changes what it does and notes, or that nothing is left to do (`None`).
    /// It is called under the writer's lock, so that nothing comes between; it must not write.
    pub(crate) fn write_noted(
        &self,
        decide: impl FnOnce(&Published) -> Result<Option<(Vec<Operation>, Note)>>,
    ) -> Result<Option<(Receipt, Note)>> {
        self.refuse_within()?;
        let mut writer = self.writer.lock();
        // Most of it before the queue is held: other writes are acknowledged meanwhile.
        self.drain_to(&mut writer, self.accepted())?;
        let mut queue = self.waitlist.lock();
        self.drain_all(&mut writer, &mut queue)?;
        let Some((operations, note)) = decide(&self.current())? else { return Ok(None) };
        let receipt = self.carry_out_now(&mut writer, &mut queue, operations, Some(&note))?;
        Ok(Some((receipt, note)))
    }

    /// Carries out a transaction behind everything that waits. The queue is held meanwhile, so that nothing gets its number.
    fn carry_out_now(
        &self,
        writer: &mut Writer,
        queue: &mut Queue,
        operations: Vec<Operation>,
        note: Option<&Note>,
    ) -> Result<Receipt> {
        self.drain_all(writer, queue)?;
        let sequence = codec::next_number(self.current().sequence, "the number of the next write")?;
        let carried = self.carry_out(writer, vec![Transaction { sequence, operations }], &[], note)?;
        Ok(Receipt {
            sequence,
            images_changed: carried.images_changed,
            predictions_changed: carried.predictions_changed,
            deferred: false,
        })
    }

    fn carry_out(
        &self,
        writer: &mut Writer,
        transactions: Vec<Transaction>,
        drained: &[u64],
        note: Option<&Note>,
    ) -> Result<super::write::Carried> {
        let proposer = self.proposer();
        let operations = transactions.iter().map(|transaction| transaction.operations.len()).sum();
        let done = if drained.is_empty() { (0, 0) } else { (drained.len(), operations) };
        let (published, carried) = writer.write(&self.current(), transactions, proposer.as_deref(), drained, note)?;
        self.publish_behind(published, done);
        Ok(carried)
    }

    fn accept(&self, queue: &mut Queue, operations: Vec<Operation>) -> Result<Receipt> {
        let state = self.current();
        let exists = |key: &str| Ok(state.pinned.image(key)?.is_some());
        queue.check(&operations, state.options.dimension, exists)?;
        let sequence = codec::next_number(self.accepted(), "the number of the next write")?;
        self.commits.commit(|batch| {
            if only_deletes(&operations) {
                batch.set_owed();
            }
            batch.put_waiting(sequence, &operations)
        })?;
        let count = operations.len();
        queue.push(Waiting { sequence, operations });
        self.now.accept(sequence, count);
        self.signal.notify();
        Ok(Receipt { sequence, images_changed: 0, predictions_changed: 0, deferred: true })
    }

    /// Carries out waiting transactions until readers see number `sequence`. More may come to wait meanwhile.
    pub(super) fn drain_to(&self, writer: &mut Writer, sequence: u64) -> Result<()> {
        while self.current().sequence < sequence {
            let transactions = self.waitlist.lock().next();
            if transactions.is_empty() {
                break;
            }
            let count = self.carry_out_waiting(writer, transactions)?;
            self.waitlist.lock().done(count);
        }
        Ok(())
    }

    /// Carries out everything that waits; nothing comes to wait meanwhile.
    fn drain_all(&self, writer: &mut Writer, queue: &mut Queue) -> Result<()> {
        while !queue.is_empty() {
            let count = self.carry_out_waiting(writer, queue.next())?;
            queue.done(count);
        }
        Ok(())
    }

    /// Returns how many transactions it were.
    fn carry_out_waiting(&self, writer: &mut Writer, transactions: Vec<Transaction>) -> Result<usize> {
        let numbers: Vec<u64> = transactions.iter().map(|transaction| transaction.sequence).collect();
        self.carry_out(writer, transactions, &numbers, None)?;
        Ok(numbers.len())
    }

    /// Whether something that waits to be carried out names this key.
    pub(crate) fn waits_on(&self, key: &str) -> bool {
        self.waitlist.lock().names(key)
    }

    /// Commits what is kept beside the rows; readers see it at once.
    pub(crate) fn keep(&self, fill: impl FnOnce(&mut Batch<'_>) -> Result<()>) -> Result<()> {
        self.refuse_when_read_only()?;
        let mut writer = self.writer.lock();
        writer.commit(fill)?;
        self.repin(&mut writer);
        Ok(())
    }

    /// Waits until readers see number `sequence`, by carrying out what waits before it.
    ///
    /// # Errors
    /// `Invalid`: no such write was acknowledged yet; or what the writes give.
    pub(crate) fn reach(&self, sequence: u64) -> Result<Snapshot> {
        let now = self.snapshot();
        let accepted = now.accepted;
        if sequence > accepted {
            return Err(Error::invalid(format!("no write has the number {sequence} yet: the last one is {accepted}"))
                .help("ask for a number that a write returned"));
        }
        if now.sequence() >= sequence {
            return Ok(now);
        }
        self.refuse_when_read_only().map_err(|error| match error.kind() {
            ErrorKind::ReadOnly => Error::new(
                ErrorKind::ReadOnly,
                format!("{}, and {} writes wait to be carried out", error.message(), now.lag()),
            )
            .help(format!(
                "ask for the state that there is, which is of write {}: leave FRESH and SINCE out, or call Database::freshest",
                now.sequence()
            )),
            _ => error,
        })?;
        self.drain_to(&mut self.writer.lock(), sequence)?;
        Ok(self.snapshot())
    }

    /// Slows writers down that would outrun the making and merging of segments.
    fn hold_back(&self) {
        self.signal.wait_while(|| {
            let state = self.current();
            let is_behind = Role::ALL.into_iter().any(|role| state.rows(role).frozen().count() >= HOLD_BACK_SEGMENTS)
                || tail_rows(&state) >= HOLD_BACK_ROWS;
            // A thread that cannot work, or that nobody would let, must not stop the writers as well.
            let is_well = |duty: Duty| self.troubles.lock()[duty as usize].is_none();
            is_behind && is_well(Duty::Flush) && is_well(Duty::Merge) && self.poison().is_none()
        });
    }

    /// Notes what was acknowledged, if it was not noted yet; `true`: it was not.
    pub(super) fn note_if_behind(&self) -> Result<bool> {
        let accepted = self.accepted();
        let is_behind = self.noted.load(Ordering::Relaxed) != accepted;
        if is_behind {
            self.check_place()?;
            acknowledged::note(&self.folder, self.catalog.database(), accepted)?;
            self.noted.store(accepted, Ordering::Relaxed);
        }
        Ok(is_behind)
    }

    /// Whoever works long behind it comes to an end, or waits no more.
    pub(crate) fn hurry(&self) {
        self.signal.close();
    }

    /// Makes good what a full disk did, once there is room: writes are taken again, space is set aside, segments that nobody names are
    /// removed. Without trouble it costs one look for a file.
    pub(super) fn heal(&self) -> Result<()> {
        if self.catalog.is_read_only() {
            return Ok(());
        }
        if self.commits.poison().is_some() {
            // Whoever commits holds one of these.
            let _no_write = self.writer.lock();
            let _no_acceptance = self.waitlist.lock();
            if !self.commits.heal() {
                return Ok(());
            }
            self.signal.notify();
        }
        let unnamed = std::mem::take(&mut *self.unnamed.lock());
        if !unnamed.is_empty() {
            // The next opening removes what stays.
            let _stays = self.remove_segments(unnamed, "orphan");
        }
        set_aside(&self.folder);
        self.catalog.use_room()
    }

    /// Merges the catalog's small tables if there are many, at first and after every so many changes; RocksDB never does. `false`: there
    /// is nothing to do at once.
    pub(super) fn merge_tables(&self) -> Result<bool> {
        /// Changes after which there may be more tables.
        const CHANGES: u64 = 100_000;
        let changes = self.catalog.changes();
        let mut next_look = self.next_look.lock();
        if changes >= *next_look {
            *next_look = changes + CHANGES;
            self.catalog.merge_small_tables()?;
        }
        Ok(false)
    }

    /// What keeps a small write from being stored, in words.
    pub(crate) fn shortage(&self) -> Option<String> {
        self.commits.shortage()
    }

    /// Saves what makes the next opening fast. Call it when nothing writes any more.
    ///
    /// A log of a few MiB stays for the next opening to read: a table for each family and session would be many tables. Where the disk
    /// is too full for tables or for the columns, they are left out, and the next opening takes longer.
    ///
    /// # Errors
    /// `Displaced`: the folder that was opened is not at its path any more, and nothing was written; why the database takes no more
    /// writes; `Io`. Nothing acknowledged is lost.
    pub(crate) fn save(&self) -> Result<()> {
        if self.catalog.is_read_only() {
            return Ok(());
        }
        self.check_place()?;
        self.commits.refuse()?;
        // Whether or not it is behind: a crash may have left half of one.
        let note = || acknowledged::note(&self.folder, self.catalog.database(), self.accepted());
        match note() {
            Err(error) if error.is_disk_full() && release(&self.folder) => note()?,
            noted => noted?,
        }
        if self.catalog.has_much_log() {
            unless_full(self.catalog.flush())?;
            self.catalog.merge_small_tables()?;
        }
        let saved = columns::save(&self.folder, self.catalog.database(), &self.current());
        if saved.as_ref().is_err_and(Error::is_disk_full) {
            // Those of an earlier state help nobody.
            self.folder.discard(COLUMNS)?;
        }
        let known = unless_full(saved.and_then(|check| self.catalog.know_columns(check)));
        self.catalog.note_known();
        known
    }
}

/// What a full disk leaves undone is done another time.
fn unless_full(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.is_disk_full() => Ok(()),
        outcome => outcome,
    }
}

/// Rows that no segment holds.
pub(super) fn tail_rows(state: &Published) -> usize {
    Role::ALL.into_iter().map(|role| state.rows(role).len() - state.rows(role).tail_start()).sum()
}
