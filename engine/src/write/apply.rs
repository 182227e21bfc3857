//! The path of a transaction: it is applied now, or acknowledged and deferred. Earlier deferred transactions are applied first.

use parking_lot::FairMutexGuard;

use super::core::{Core, tail_rows};
use super::deferred::{Deferral, Queue, is_far_reaching};
use super::expect::Expect;
use super::policy::{HOLD_BACK_ROWS, HOLD_BACK_SEGMENTS};
use super::resolve::Transaction;
use super::signal::Duty;
use super::writer::{Note, Writer, only_deletes};
use crate::catalog::{Batch, Waiting, codec};
use crate::error::{Error, ErrorKind, Result};
use crate::operation::{Operation, Receipt, Role};
use crate::progress::{Progress, Watch, report};
use crate::state::{Published, Snapshot};

impl Core {
    /// Whether a transaction is acknowledged before it is applied.
    fn defers(&self, queue: &Queue, is_far_reaching: bool) -> bool {
        match *self.deferral.lock() {
            Deferral::Never => false,
            Deferral::Always => true,
            Deferral::Automatic => !queue.is_empty() || is_far_reaching,
        }
    }

    /// Applies a transaction, or acknowledges and defers it.
    pub(crate) fn write(&self, operations: Vec<Operation>) -> Result<Receipt> {
        // Before it waits for a worker that a database opened to read does not have.
        self.refuse_within()?;
        self.commits.refuse()?;
        if operations.is_empty() {
            // It changes nothing, so it has no number.
            return Ok(Receipt { sequence: self.accepted(), ..Receipt::default() });
        }
        self.hold_back();
        let is_far_reaching = is_far_reaching(&self.current(), &operations);
        {
            // Without the writer's lock: deferred writes may be being applied, which takes time.
            let mut queue = self.waitlist.lock();
            if self.defers(&queue, is_far_reaching) && !queue.is_full() {
                return self.accept(&mut queue, operations);
            }
        }
        let mut writer = self.behind_most()?;
        let mut queue = self.waitlist.lock();
        if self.defers(&queue, is_far_reaching) {
            if queue.is_full() {
                self.drain_all(&mut writer, &mut queue)?;
            }
            return self.accept(&mut queue, operations);
        }
        self.carry_out_now(&mut writer, &mut queue, operations, None)
    }

    /// The writer's lock, once most of what is deferred now is applied: at most one batch of it is left, and what others deferred
    /// meanwhile.
    ///
    /// It gives the lock to whoever waits between two batches: a full queue takes minutes, and upkeep would stand still for them.
    fn behind_most(&self) -> Result<FairMutexGuard<'_, Writer>> {
        let last = self.accepted();
        loop {
            let mut writer = self.writer.lock();
            let next = self.current().sequence + 1;
            if next > last || self.waitlist.lock().is_short() {
                return Ok(writer);
            }
            self.drain_to(&mut writer, next)?;
        }
    }

    /// Applies a transaction together with its notes. It never waits; earlier deferred writes are applied first.
    ///
    /// `decide` says from the very state that the transaction changes what it does and notes, or that nothing is left to do (`None`).
    /// It is called under the writer's lock, so that nothing comes between; it must not write.
    pub(crate) fn write_noted(
        &self,
        decide: impl FnOnce(&Published) -> Result<Option<(Vec<Operation>, Note)>>,
    ) -> Result<Option<(Receipt, Note)>> {
        self.refuse_within()?;
        let decided = |state: &Published| Ok(decide(state)?.map(|(operations, note)| (operations, Some(note))));
        let written = self.write_decided(decided)?;
        Ok(written.and_then(|(receipt, note)| Some((receipt, note?))))
    }

    /// Decides under the writer's lock, behind everything that waits, what a transaction does and what is noted of it, and carries it out.
    fn write_decided(
        &self,
        decide: impl FnOnce(&Published) -> Result<Option<(Vec<Operation>, Option<Note>)>>,
    ) -> Result<Option<(Receipt, Option<Note>)>> {
        // Most of it before the queue is held: other writes are acknowledged meanwhile.
        let mut writer = self.behind_most()?;
        let mut queue = self.waitlist.lock();
        self.drain_all(&mut writer, &mut queue)?;
        let Some((operations, note)) = decide(&self.current())? else { return Ok(None) };
        let receipt = self.carry_out_now(&mut writer, &mut queue, operations, note.as_ref())?;
        Ok(Some((receipt, note)))
    }

    /// Applies a transaction if all conditions hold for the very state that it changes. It never waits; deferred writes are
    /// applied first.
    ///
    /// # Errors
    /// `Conflict`: something does not hold, and nothing changed; as [`Core::write`].
    pub(crate) fn write_if(&self, expected: &[Expect], operations: Vec<Operation>) -> Result<Receipt> {
        self.refuse_within()?;
        self.commits.refuse()?;
        self.hold_back();
        let written = self.write_decided(|state| {
            expected.iter().try_for_each(|one| one.check(state))?;
            // No operations change nothing, and have no number of their own.
            Ok((!operations.is_empty()).then_some((operations, None)))
        })?;
        let nothing = || Receipt { sequence: self.accepted(), ..Receipt::default() };
        Ok(written.map_or_else(nothing, |(receipt, _)| receipt))
    }

    /// Applies a transaction after all deferred ones. The queue is held meanwhile, so that no other write gets its number.
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
    ) -> Result<super::writer::Carried> {
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

    /// Applies deferred transactions until readers see number `sequence`. More may be deferred meanwhile.
    pub(crate) fn drain_to(&self, writer: &mut Writer, sequence: u64) -> Result<()> {
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

    /// Applies all deferred transactions; none can be deferred meanwhile.
    fn drain_all(&self, writer: &mut Writer, queue: &mut Queue) -> Result<()> {
        while !queue.is_empty() {
            let count = self.carry_out_waiting(writer, queue.next())?;
            queue.done(count);
        }
        Ok(())
    }

    /// Returns how many transactions it were.
    fn carry_out_waiting(&self, writer: &mut Writer, transactions: Vec<Transaction>) -> Result<usize> {
        span!("apply", writes = transactions.len());
        let numbers: Vec<u64> = transactions.iter().map(|transaction| transaction.sequence).collect();
        self.carry_out(writer, transactions, &numbers, None)?;
        event!(writes = numbers.len(), "deferred writes are applied");
        Ok(numbers.len())
    }

    /// Whether a deferred transaction names this key.
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

    /// Waits until readers see number `sequence`, by applying earlier deferred writes.
    ///
    /// # Errors
    /// `Invalid`: no such write was acknowledged yet; `Cancelled`; or what the writes give.
    pub(crate) fn reach(&self, sequence: u64, watch: Option<&dyn Watch>) -> Result<Snapshot> {
        let now = self.snapshot();
        let accepted = now.accepted;
        if sequence > accepted {
            return Err(Error::invalid(format!(
                "there is no write with number {sequence} yet: the last one is {accepted}"
            ))
            .help("ask for a number that a write to this database returned"));
        }
        if now.sequence() >= sequence {
            return Ok(now);
        }
        self.refuse_when_read_only().map_err(|error| match error.kind() {
            ErrorKind::ReadOnly => Error::new(
                ErrorKind::ReadOnly,
                format!("{}, and {} writes are deferred", error.message(), now.lag()),
            )
            .help(format!(
                "read the present state, which is of write {}: leave FRESH and SINCE out, or call Database::freshest",
                now.sequence()
            )),
            _ => error,
        })?;
        let first = now.sequence();
        loop {
            let now = self.current().sequence;
            let done = usize::try_from(now.saturating_sub(first)).unwrap_or(usize::MAX);
            let all = usize::try_from(sequence - first).unwrap_or(usize::MAX);
            if now >= sequence {
                return Ok(self.snapshot());
            }
            // Without the lock: it is the application's code, and may write.
            report(watch, Progress::WRITES, done, all)?;
            let mut writer = self.writer.lock();
            let next = self.current().sequence + 1;
            self.drain_to(&mut writer, next)?;
        }
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
}
