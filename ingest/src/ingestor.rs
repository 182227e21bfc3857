//! Photos, vectors and changes that come one at a time, for ever: an [`Ingestor`] embeds photos on its threads and writes in the order of
//! arrival, as many together as are ready.
//!
//! A photo that is stored with the same content, label and attributes is not embedded again, so whoever sends everything twice after a
//! crash stores it once. A photo that cannot be embedded fails alone.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use cairn::{Attributes, Database, Error, ErrorKind, Expect, Operation, Photo, Put, Result};

use crate::embedder::{PhotoEmbedder, Prepared};
use crate::photo::{Pixels, about_photo, noted_by_camera, read_photo};

/// Most arrivals in one transaction.
pub const ARRIVALS_PER_TRANSACTION: usize = 64;

/// Something that arrives.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "few are held at a time, and each is moved a few times")]
#[non_exhaustive]
pub enum Arrival {
    /// A photo to embed.
    Photo {
        /// External key; a stored image under it is replaced.
        key: String,
        /// The photo.
        photo: Photo,
        /// Its label; with one it becomes a train image.
        label: Option<String>,
        /// What else is known of it, over what its file says.
        attributes: Attributes,
    },
    /// Any operation: a label that comes later, a deletion, a vector of the embedder's model or, without an embedder, of the program.
    Operation(Operation),
}

impl Arrival {
    /// A photo without a label.
    pub fn photo(key: impl Into<String>, photo: Photo) -> Self {
        Self::Photo { key: key.into(), photo, label: None, attributes: Attributes::new() }
    }

    fn key(&self) -> Option<&str> {
        match self {
            Self::Photo { key, .. } => Some(key),
            Self::Operation(Operation::Put(put)) => Some(&put.key),
            Self::Operation(Operation::Delete { key } | Operation::Label { key, .. }) => Some(key),
            Self::Operation(Operation::Unlabel { key } | Operation::Describe { key, .. }) => Some(key),
            // It names two keys, or a list's: nothing is known of either until it is written.
            Self::Operation(_) => None,
        }
    }
}

impl From<Operation> for Arrival {
    fn from(operation: Operation) -> Self {
        Self::Operation(operation)
    }
}

/// How an [`Ingestor`] works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IngestorOptions {
    /// Threads that decode and embed; default: one per processor.
    pub threads: usize,
    /// Most arrivals that are accepted and not written yet; [`Ingestor::push`] waits beyond that. Default 256.
    pub ahead: usize,
}

impl Default for IngestorOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { threads, ahead: 4 * ARRIVALS_PER_TRANSACTION }
    }
}

/// What became of an arrival that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Landed {
    /// The write that it is durable in; of an unchanged photo the last write before.
    pub sequence: u64,
    /// The photo was stored already, with all that was given.
    pub unchanged: bool,
    /// The write is durable, and its predictions follow ([`Database::wait_for`]).
    pub deferred: bool,
}

/// What an [`Ingestor`] did so far, and what it has before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IngestorStats {
    /// Arrivals that were written, or were unchanged.
    pub landed: u64,
    /// Those of them that were unchanged.
    pub unchanged: u64,
    /// Arrivals that failed.
    pub failed: u64,
    /// Arrivals that no thread has taken yet.
    pub queued: usize,
    /// Arrivals that are being decoded and embedded.
    pub embedding: usize,
    /// Arrivals that are ready and not written yet.
    pub ready: usize,
}

/// The promise of an [`Ingestor`] to write one arrival.
#[derive(Debug)]
pub struct Ticket(Arc<Slot>);

#[derive(Debug, Default)]
struct Slot {
    end: Mutex<Option<Result<Landed>>>,
    ended: Condvar,
}

impl Ticket {
    /// Waits until it is durable.
    ///
    /// # Errors
    /// Why it failed; nothing of it was written.
    pub fn wait(self) -> Result<Landed> {
        let mut end = lock(&self.0.end);
        loop {
            match end.take() {
                Some(end) => return end,
                None => end = self.0.ended.wait(end).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

impl Slot {
    fn end(&self, end: Result<Landed>) {
        *lock(&self.end) = Some(end);
        self.ended.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An arrival that is ready to be written.
enum Ready {
    Operation(Operation),
    /// The writer embeds it, together with others.
    Pixels(Put, Pixels),
    Unchanged,
    Failed(Error),
}

/// Something of an arrival, its key, and whom to say what becomes of it.
type Waiting<T> = (T, Option<String>, Arc<Slot>);

#[derive(Default)]
struct State {
    /// Arrivals that no thread has taken yet.
    queue: VecDeque<(u64, Arrival)>,
    ready: BTreeMap<u64, (Ready, Option<String>)>,
    slots: HashMap<u64, Arc<Slot>>,
    /// Keys of arrivals that are not written, and how many name each.
    named: HashMap<String, usize>,
    /// Arrivals that are not written and whose keys are not known.
    unnamed: usize,
    /// Number of the next arrival, and of the next one to write.
    next: u64,
    written: u64,
    closed: bool,
    /// The database takes no more.
    broken: Option<Error>,
    stats: IngestorStats,
}

struct Shared {
    database: Database,
    embedder: Option<Arc<PhotoEmbedder>>,
    state: Mutex<State>,
    /// Something changed that somebody may wait for.
    changed: Condvar,
    ahead: u64,
}

/// Embeds and writes what arrives, on threads of its own. Share it by reference or in an `Arc`; every method takes `&self`.
///
/// Dropping it writes what was accepted, and waits for that.
pub struct Ingestor {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Ingestor {
    /// Starts one for a database. Photos need an embedder of the active model.
    ///
    /// # Errors
    /// `Mismatch`: the embedder is of another model than the active one; the system refuses threads.
    pub fn start(database: &Database, embedder: Option<Arc<PhotoEmbedder>>, options: IngestorOptions) -> Result<Self> {
        if let Some(embedder) = &embedder {
            super::pipeline::check_model(database, embedder)?;
        }
        let shared = Arc::new(Shared {
            database: database.clone(),
            embedder,
            state: Mutex::default(),
            changed: Condvar::new(),
            ahead: options.ahead.max(1) as u64,
        });
        let mut ingestor = Self { shared, threads: Vec::new() };
        for _ in 0..options.threads.max(1) {
            ingestor.spawn("cairn-embed", Shared::prepare_all)?;
        }
        ingestor.spawn("cairn-ingest", Shared::write_all)?;
        Ok(ingestor)
    }

    fn spawn(&mut self, name: &str, work: fn(&Shared)) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&shared));
        let thread =
            thread.map_err(|error| Error::new(ErrorKind::Io, format!("a thread cannot be started: {error}")))?;
        self.threads.push(thread);
        Ok(())
    }

    /// Accepts an arrival; waits while too many are not written yet.
    ///
    /// # Errors
    /// `Invalid`: a photo without an embedder; what ended the writing for good.
    pub fn push(&self, arrival: impl Into<Arrival>) -> Result<Ticket> {
        let arrival = arrival.into();
        if self.shared.embedder.is_none() && matches!(arrival, Arrival::Photo { .. }) {
            return Err(Error::invalid("this ingestor has no embedder for photos")
                .help("start it with a PhotoEmbedder of the database's model, or push vectors"));
        }
        let mut state = lock(&self.shared.state);
        while state.next - state.written >= self.shared.ahead && state.broken.is_none() {
            state = self.shared.wait(state);
        }
        if let Some(error) = &state.broken {
            return Err(again(error));
        }
        let (number, slot) = (state.next, Arc::new(Slot::default()));
        state.next += 1;
        state.slots.insert(number, Arc::clone(&slot));
        match arrival.key() {
            Some(key) => *state.named.entry(key.to_owned()).or_default() += 1,
            None => state.unnamed += 1,
        }
        state.queue.push_back((number, arrival));
        drop(state);
        self.shared.changed.notify_all();
        Ok(Ticket(slot))
    }

    /// Waits until everything that was accepted before is written, or failed.
    ///
    /// # Errors
    /// What ended the writing for good.
    pub fn flush(&self) -> Result<()> {
        let mut state = lock(&self.shared.state);
        let all = state.next;
        while state.written < all && state.broken.is_none() {
            state = self.shared.wait(state);
        }
        state.broken.as_ref().map_or(Ok(()), |error| Err(again(error)))
    }

    /// What it did so far.
    pub fn stats(&self) -> IngestorStats {
        let state = lock(&self.shared.state);
        let (queued, ready) = (state.queue.len(), state.ready.len());
        let open = usize::try_from(state.next - state.written).unwrap_or(usize::MAX);
        IngestorStats { queued, ready, embedding: open.saturating_sub(queued + ready), ..state.stats }
    }

    /// Writes what was accepted, and ends.
    ///
    /// # Errors
    /// As [`Ingestor::flush`].
    pub fn close(mut self) -> Result<IngestorStats> {
        let flushed = self.flush();
        self.end();
        flushed.map(|()| self.stats())
    }

    fn end(&mut self) {
        lock(&self.shared.state).closed = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            let _panicked = thread.join();
        }
    }
}

impl Drop for Ingestor {
    fn drop(&mut self) {
        self.end();
    }
}

/// The same error for another caller.
fn again(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.message().to_owned());
    match error.next_step() {
        Some(step) => copy.help(step.to_owned()),
        None => copy,
    }
}

impl Shared {
    fn wait<'s>(&self, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker: takes arrivals until the queue is closed and empty.
    fn prepare_all(&self) {
        loop {
            let mut state = lock(&self.state);
            let (number, arrival) = loop {
                match state.queue.pop_front() {
                    Some(taken) => break taken,
                    None if state.closed || state.broken.is_some() => return,
                    None => state = self.wait(state),
                }
            };
            let key = arrival.key().map(str::to_owned);
            // What is stored of the key now is what this arrival meets, unless an earlier one is not written yet.
            let is_alone = state.unnamed == 0 && key.as_ref().is_some_and(|key| state.named.get(key) == Some(&1));
            drop(state);
            let work = || self.prepared(arrival, is_alone).unwrap_or_else(Ready::Failed);
            let ready = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
                Ready::Failed(Error::invalid("an internal error while it was decoded or embedded"))
            });
            lock(&self.state).ready.insert(number, (ready, key));
            self.changed.notify_all();
        }
    }

    fn prepared(&self, arrival: Arrival, is_alone: bool) -> Result<Ready> {
        let (key, photo, label, attributes) = match arrival {
            Arrival::Operation(operation) => return Ok(Ready::Operation(operation)),
            Arrival::Photo { key, photo, label, attributes } => (key, photo, label, attributes),
        };
        let embedder = self.embedder.as_ref().ok_or_else(|| Error::invalid("no embedder"))?;
        let bytes = read_photo(&photo, embedder.limits())?;
        let content = *blake3::hash(&bytes).as_bytes();
        let mut put = Put::new(key, Vec::new()).content(content);
        put.attributes = noted_by_camera(&bytes);
        put.attributes.extend(attributes);
        put.label = label;
        if let Photo::File(path) = &photo {
            put.source = Some(crate::source::place_of(path).display().to_string());
        }
        let stored = if is_alone { self.database.snapshot().record(&put.key)? } else { None };
        let is_stored = stored.is_some_and(|stored| {
            let is_same_place = put.source.is_none() || stored.source == put.source;
            stored.content == Some(content)
                && stored.label == put.label
                && stored.attributes == put.attributes
                && is_same_place
        });
        if is_stored {
            return Ok(Ready::Unchanged);
        }
        let Prepared { pixels, kept } = embedder.prepare(bytes).map_err(|error| about_photo(&photo, error))?;
        put.photo = kept;
        let encoder = embedder.encoder();
        if encoder.preferred_batch() > 1 {
            return Ok(Ready::Pixels(put, pixels));
        }
        put.vector = encoder.embed(&[&pixels])?.pop().unwrap_or_default();
        Ok(Ready::Operation(put.into()))
    }

    /// The writer: writes what is ready, in order, until the queue is closed and everything is written.
    fn write_all(&self) {
        loop {
            let mut state = lock(&self.state);
            loop {
                let is_idle = state.written == state.next;
                if state.broken.is_some() || state.closed && is_idle {
                    return;
                }
                let next = state.written;
                if state.ready.contains_key(&next) {
                    break;
                }
                state = self.wait(state);
            }
            let mut batch = Vec::new();
            while batch.len() < ARRIVALS_PER_TRANSACTION {
                let number = state.written + batch.len() as u64;
                let Some((ready, key)) = state.ready.remove(&number) else { break };
                let slot = state.slots.remove(&number).unwrap_or_default();
                batch.push((ready, key, slot));
            }
            drop(state);
            let slots: Vec<Arc<Slot>> = batch.iter().map(|(_, _, slot)| Arc::clone(slot)).collect();
            let work = || self.write(batch);
            let ended = catch_unwind(AssertUnwindSafe(work))
                .unwrap_or_else(|_| Err(Error::invalid("an internal error while it was written")));
            let mut state = lock(&self.state);
            match ended {
                Ok(ended) => ended.into_iter().for_each(|(end, key, slot)| state.land(end, key, &slot)),
                Err(error) => {
                    slots.iter().for_each(|slot| slot.end(Err(again(&error))));
                    state.break_with(&error);
                }
            }
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Writes a batch as one transaction. If the database refuses a value in it, each arrival gets a transaction of its own.
    ///
    /// # Errors
    /// What ends the writing for good.
    fn write(&self, batch: Vec<Waiting<Ready>>) -> Result<Vec<Waiting<Result<Landed>>>> {
        let batch = self.embedded(batch)?;
        let last = self.database.snapshot().sequence();
        let made_by = self.embedder.as_ref().map(|embedder| embedder.encoder().info().fingerprint.clone());
        let write = |operations: Vec<Operation>| -> Result<Landed> {
            let receipt = self.database.write_if([Expect::Model(made_by.clone())], operations)?;
            Ok(Landed { sequence: receipt.sequence, unchanged: false, deferred: receipt.deferred })
        };
        let operations: Vec<Operation> = batch
            .iter()
            .filter_map(
                |(ready, ..)| if let Ready::Operation(operation) = ready { Some(operation.clone()) } else { None },
            )
            .collect();
        let together = if operations.is_empty() { None } else { Some(write(operations)) };
        let is_refused = |error: &Error| {
            let of_value = matches!(
                error.kind(),
                ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::AlreadyExists | ErrorKind::Mismatch
            );
            let active = self.database.options().model.as_ref().map(|model| model.fingerprint.clone());
            of_value && active == made_by
        };
        let one_by_one = match &together {
            Some(Err(error)) if is_refused(error) => true,
            Some(Err(error)) => return Err(again(error)),
            _ => false,
        };
        let mut ended = Vec::with_capacity(batch.len());
        for (ready, key, slot) in batch {
            let end = match ready {
                Ready::Operation(operation) if one_by_one => match write(vec![operation]) {
                    Err(error) if !is_refused(&error) => return Err(error),
                    end => end,
                },
                Ready::Operation(_) => match &together {
                    Some(Ok(landed)) => Ok(*landed),
                    _ => Err(Error::invalid("it was not written")),
                },
                Ready::Unchanged => Ok(Landed { sequence: last, unchanged: true, deferred: false }),
                Ready::Failed(error) => Err(error),
                Ready::Pixels(..) => Err(Error::invalid("it was not embedded")),
            };
            ended.push((end, key, slot));
        }
        Ok(ended)
    }

    /// The batch with every photo embedded, for encoders that want many at once.
    fn embedded(&self, mut batch: Vec<Waiting<Ready>>) -> Result<Vec<Waiting<Ready>>> {
        let Some(embedder) = &self.embedder else { return Ok(batch) };
        let pixels: Vec<&Pixels> = batch
            .iter()
            .filter_map(|(ready, ..)| if let Ready::Pixels(_, pixels) = ready { Some(pixels) } else { None })
            .collect();
        if pixels.is_empty() {
            return Ok(batch);
        }
        let mut vectors = Vec::with_capacity(pixels.len());
        for some in pixels.chunks(embedder.encoder().preferred_batch().max(1)) {
            vectors.extend(embedder.encoder().embed(some)?);
        }
        let mut vectors = vectors.into_iter();
        for (ready, ..) in &mut batch {
            let taken = std::mem::replace(ready, Ready::Unchanged);
            *ready = match taken {
                Ready::Pixels(mut put, _) => {
                    put.vector = vectors.next().unwrap_or_default();
                    Ready::Operation(put.into())
                }
                other => other,
            };
        }
        Ok(batch)
    }
}

impl State {
    /// The next arrival came to its end.
    fn land(&mut self, end: Result<Landed>, key: Option<String>, slot: &Slot) {
        self.written += 1;
        match key {
            None => self.unnamed -= 1,
            Some(key) => {
                if let Some(count) = self.named.get_mut(&key) {
                    *count -= 1;
                    if *count == 0 {
                        self.named.remove(&key);
                    }
                }
            }
        }
        match &end {
            Ok(landed) => {
                self.stats.landed += 1;
                self.stats.unchanged += u64::from(landed.unchanged);
            }
            Err(_) => self.stats.failed += 1,
        }
        slot.end(end);
    }

    /// Nothing is written any more: everything that is not written fails.
    fn break_with(&mut self, error: &Error) {
        self.broken = Some(again(error));
        self.queue.clear();
        self.ready.clear();
        for (_, slot) in self.slots.drain() {
            slot.end(Err(again(error)));
        }
    }
}

#[cfg(test)]
#[path = "ingestor_tests.rs"]
mod tests;
