//! Ingests photos and bare vectors: it decodes in parallel, embeds, and writes in transactions, in the order of the items.
//!
//! An item that is stored with the same content, role and label is skipped before it is decoded. So an interrupted run is
//! finished by running it again, and ends with the same rows as an uninterrupted one: the descriptor of a photo does not depend
//! on other photos. A bad photo is reported and stops nothing.
//!
//! A list is one source of labels, and people are another: an unchanged list does not revert what people set ([`heard`]).

mod heard;
mod twins;
mod vectors;
mod written;

use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError, mpsc};

use cairn::limits::MAX_KEY_BYTES;
use cairn::lists::{Listed, Reading};
use cairn::model::ModelInfo;
use cairn::{Database, Error, ErrorKind, Operation, Progress, Put, Record, Result, Watch};

pub use heard::LabelReport;
use heard::Word;
use twins::Added;
pub use twins::Twins;
pub use vectors::{VECTORS_PER_TRANSACTION, ingest_vector_list, ingest_vectors};
use written::{Ready, write};

use crate::embedder::{PhotoEmbedder, Prepared};
use crate::encoder::Encoder;
use crate::living::Survey;
use crate::photo::{noted_by_camera, read_file};
use crate::source::{Item, place_of};

/// Photos per transaction.
pub const PHOTOS_PER_TRANSACTION: usize = 64;

/// How an ingest runs.
#[derive(Debug, Clone)]
pub struct IngestOptions {
    /// Number of threads that decode (and embed, unless the encoder prefers batches); default: one per processor. It does not change
    /// the rows.
    pub threads: usize,
    /// The reading that the items belong to; default: a new one. One that overrules takes the list's labels, even over those set by
    /// hand.
    pub reading: Option<Reading>,
    /// The contents of the items, where they are known: an item that is stored with its content is not read again. Default: none.
    pub survey: Survey,
}

impl Default for IngestOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { threads, reading: None, survey: Survey::default() }
    }
}

/// The result of an ingest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Number of new keys.
    pub added: usize,
    /// Number of keys whose content, role or label changed.
    pub replaced: usize,
    /// Number of keys that were skipped because everything was the same, or because people set what differs.
    pub unchanged: usize,
    /// Number of stored photos whose path changed and whose key did not: their folder was moved as a whole. They also count in
    /// `unchanged` or, with another label, in `replaced`.
    pub moved: usize,
    /// Number of images of which nothing but attributes changed. They also count in `unchanged`.
    pub described: usize,
    /// What happened to labels that differ from the list's.
    pub labels: LabelReport,
    /// The images that were added, for [`Report::twins`].
    added_photos: Added,
    /// Key and reason of each failure.
    pub failed: Vec<(String, String)>,
    /// The caller stopped the ingest before its end; running it again resumes it.
    pub stopped: bool,
}

impl Report {
    /// The added photos that the snapshot also has under another key. Call it after the deferred writes are applied.
    ///
    /// Complexity: reads every record of the database once, and again if it finds any; nothing if no image was added.
    ///
    /// # Errors
    /// A damaged catalog.
    pub fn twins(&self, snapshot: &cairn::Snapshot) -> Result<Twins> {
        self.added_photos.twins(snapshot)
    }
}

/// The result for an item before the writer.
enum Outcome {
    /// Nothing is to be written.
    Known(Word),
    Failed(String),
    /// The worker embedded it, or it needs no embedding.
    Embedded(Ready),
    /// A batch will embed it; its vector is still empty.
    Pixels(Ready, crate::photo::Pixels),
}

/// Ingests photos.
///
/// Every 64 items are one transaction. If `watch` answers `Break`, the ingest finishes
/// and writes the current photos, and returns.
///
/// # Errors
/// When the database has another model or changes its active model meanwhile, two items have one key, or the database refuses to
/// write; what was written stays, and another call, with an embedder of the active model, resumes.
pub fn ingest(
    db: &Database,
    embedder: &PhotoEmbedder,
    items: &[Item],
    options: &IngestOptions,
    watch: &dyn Watch,
) -> Result<Report> {
    check_model(db, embedder)?;
    check_unique(items.iter().map(|item| item.key.as_str()))?;
    let told = |done| watch.progress(Progress::new(Progress::IMAGES, done, items.len())).is_break();
    let stop = AtomicBool::new(told(0));

    let window = if batches(embedder) { embedder.encoder().preferred_batch() } else { PHOTOS_PER_TRANSACTION };
    let threads = options.threads.clamp(1, window);
    let snapshot = db.snapshot();
    let task = Task {
        db,
        embedder,
        reading: options.reading.unwrap_or_else(|| snapshot.reading()),
        network: network_of(db, embedder.encoder())?,
        survey: &options.survey,
    };
    let next = AtomicUsize::new(0);
    // Number of items that the writer is done with; workers are at most two windows ahead, which bounds memory.
    let gate = Gate { written: Mutex::new(Some(0)), moved: Condvar::new() };
    let (send, receive) = mpsc::channel();
    let mut report = Report::default();
    std::thread::scope(|scope| {
        // However this scope ends, even by an error, it releases the workers.
        let _open = OpenAtEnd(&gate);
        for _ in 0..threads {
            let send = send.clone();
            scope.spawn(|| {
                let send = send;
                while !stop.load(Ordering::Relaxed) {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at).filter(|_| gate.wait(at, 2 * window)) else { break };
                    let work = || task.outcome(item, &snapshot);
                    let done = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
                        Outcome::Failed("an internal error while it was decoded or embedded".to_owned())
                    });
                    if send.send((at, done)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let mut early = BTreeMap::new();
        let mut batch = Vec::with_capacity(window);
        let (mut expected, mut written) = (0, 0);
        for (at, done) in receive {
            if told(written) {
                stop.store(true, Ordering::Relaxed);
            }
            early.insert(at, done);
            while let Some(done) = early.remove(&expected) {
                batch.push((&items[expected], done));
                expected += 1;
                if batch.len() == window {
                    task.finish(std::mem::take(&mut batch), &mut report)?;
                    written = expected;
                    gate.advance(expected);
                }
            }
        }
        task.finish(batch, &mut report)?;
        // Nothing is left that it could stop.
        let _over = told(expected);
        report.stopped = expected < items.len();
        Ok(report)
    })
}

struct Gate {
    /// `None`: the workers are released.
    written: Mutex<Option<usize>>,
    moved: Condvar,
}

impl Gate {
    /// Waits until item `at` is less than `ahead` before the writer; false if the ingest has ended.
    fn wait(&self, at: usize, ahead: usize) -> bool {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match *written {
                None => return false,
                Some(done) if at < done + ahead => return true,
                Some(_) => written = self.moved.wait(written).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn advance(&self, done: usize) {
        *self.written.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
        self.moved.notify_all();
    }
}

struct OpenAtEnd<'a>(&'a Gate);

impl Drop for OpenAtEnd<'_> {
    fn drop(&mut self) {
        *self.0.written.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.0.moved.notify_all();
    }
}

/// Whether the encoder gets photos of many threads together, from the writer.
fn batches(embedder: &PhotoEmbedder) -> bool {
    embedder.encoder().preferred_batch() > 1
}

/// What workers and the writer know of an ingest.
struct Task<'a> {
    db: &'a Database,
    embedder: &'a PhotoEmbedder,
    reading: Reading,
    /// The number of the model without its adapter, if its descriptors are kept.
    network: Option<u32>,
    survey: &'a Survey,
}

impl Task<'_> {
    /// A worker's part: read, compare, decode, and embed, unless photos are embedded in batches.
    fn outcome(&self, item: &Item, snapshot: &cairn::Snapshot) -> Outcome {
        self.judged(item, snapshot).unwrap_or_else(|error| Outcome::Failed(error.message().to_owned()))
    }

    fn judged(&self, item: &Item, snapshot: &cairn::Snapshot) -> Result<Outcome> {
        check_words(&item.key, item.label.as_deref())?;
        let stored = snapshot.record(&item.key)?;
        if let (Some(stored), Some(&content)) = (&stored, self.survey.content(&item.key)) {
            let word = Word::of(Some(stored), item.label.as_deref(), content, self.reading);
            if word.is_known_photo {
                return Ok(self.known(item, stored, content, &place_of(&item.path), word));
            }
        }
        let bytes = read_file(&item.path, self.embedder.limits())?;
        let content = *blake3::hash(&bytes).as_bytes();
        let word = Word::of(stored.as_ref(), item.label.as_deref(), content, self.reading);
        let source = place_of(&item.path);
        if let (Some(stored), true) = (&stored, word.is_known_photo) {
            return Ok(self.known(item, stored, content, &source, word));
        }
        if let Some(stored) = &stored {
            check_same_photo(stored, item, content, &source)?;
        }
        let attributes = noted_by_camera(&bytes);
        let Prepared { pixels, kept } = self.embedder.prepare(bytes)?;
        let mut put = Put::new(item.key.clone(), Vec::new()).source(source.display().to_string()).content(content);
        (put.label, put.photo, put.attributes) = (item.label.clone(), kept, attributes);
        let listed = put.from_list(self.reading).attributes(item.attributes.clone());
        let (mut ready, encoder) = (Ready::new(listed, word), self.embedder.encoder());
        if batches(self.embedder) {
            return Ok(Outcome::Pixels(ready, pixels));
        }
        ready.describe(encoder, encoder.encode(&[&pixels])?.pop().unwrap_or_default(), self.network)?;
        Ok(Outcome::Embedded(ready))
    }

    /// An image that has its photo already: what is new of label, attributes and place.
    fn known(&self, item: &Item, stored: &Record, content: [u8; 32], source: &Path, word: Word) -> Outcome {
        let attributes = item.attributes.clone();
        let is_described = attributes.iter().all(|(name, value)| stored.attributes.get(name) == value.as_ref());
        let lies_elsewhere = stored.content == Some(content)
            && stored.source.as_deref().is_some_and(|old| Path::new(old) != source && !Path::new(old).exists());
        if word.is_noted && is_described && !lies_elsewhere {
            return Outcome::Known(word);
        }
        let listed = Listed::known(&item.key, self.reading).label(item.label.clone()).content(content);
        let mut ready = Ready::new(listed.attributes(attributes), word);
        ready.is_described = !is_described;
        if lies_elsewhere {
            ready.before = Some(Operation::rename(&item.key, &item.key, source.display().to_string()));
        }
        Outcome::Embedded(ready)
    }

    /// The writer's part: embed the photos of a batch, write, count.
    fn finish(&self, settled: Vec<(&Item, Outcome)>, report: &mut Report) -> Result<()> {
        let waiting = settled
            .iter()
            .filter_map(|(_, done)| if let Outcome::Pixels(_, pixels) = done { Some(pixels) } else { None });
        let waiting: Vec<_> = waiting.collect();
        let encoder = self.embedder.encoder();
        let mut vectors = if waiting.is_empty() { Vec::new() } else { encoder.encode(&waiting)? }.into_iter();
        let mut rows = Vec::with_capacity(settled.len());
        for (item, done) in settled {
            match done {
                Outcome::Known(word) => word.count(report),
                Outcome::Failed(reason) => report.failed.push((item.key.clone(), reason)),
                Outcome::Embedded(ready) => rows.push(ready),
                Outcome::Pixels(mut ready, _) => {
                    ready.describe(encoder, vectors.next().unwrap_or_default(), self.network)?;
                    rows.push(ready);
                }
            }
        }
        while !rows.is_empty() {
            let later = rows.split_off(rows.len().min(PHOTOS_PER_TRANSACTION));
            let made_by = encoder.info().fingerprint.as_str();
            let mut now = std::mem::replace(&mut rows, later);
            let kept = now.iter_mut().filter_map(|row| {
                let (of_network, photo) = (row.of_network.take()?, row.listed.photo.as_ref()?);
                Some((photo.key.clone(), photo.content, of_network))
            });
            let kept: Vec<_> = kept.collect();
            write(self.db, Some(made_by), now, report)?;
            keep(self.db, self.network, kept)?;
        }
        Ok(())
    }
}

/// The number of the database's model that is the network without an adapter, if the active model has one: its descriptors are
/// computed on the way, and a training needs them.
fn network_of(db: &Database, encoder: &dyn Encoder) -> Result<Option<u32>> {
    let Some(ModelInfo { fingerprint, .. }) = encoder.base()? else { return Ok(None) };
    let is_it =
        |entry: &&cairn::model::ModelEntry| entry.model.as_ref().is_some_and(|model| model.fingerprint == fingerprint);
    Ok(db
        .models()?
        .iter()
        .filter(is_it)
        .max_by_key(|entry| (entry.unfinished.is_none(), entry.number))
        .map(|it| it.number))
}

/// Refuses to replace a photo by another one with the same name in another folder: cameras count from 1 on every card.
///
/// Keys of a list are the user's choice, and replace the stored photo.
fn check_same_photo(stored: &Record, item: &Item, content: [u8; 32], source: &Path) -> Result<()> {
    let is_other = |stored: &Path| place_of(stored) != source && stored.exists();
    let elsewhere = stored.source.as_deref().is_some_and(|stored| is_other(Path::new(stored)));
    if !item.given && elsewhere && stored.content != Some(content) {
        let from = stored.source.as_deref().unwrap_or_default();
        return Err(Error::new(
            ErrorKind::AlreadyExists,
            format!(
                "another photo, {from}, is stored under this key; ingest a folder that contains both, or a list with ids (id,path)"
            ),
        ));
    }
    Ok(())
}

/// Keeps the descriptors without the adapter of photos that were written; those of photos that are not visible yet are computed
/// when they are needed.
fn keep(db: &Database, network: Option<u32>, kept: Vec<(String, Option<[u8; 32]>, Vec<f32>)>) -> Result<()> {
    let Some(number) = network.filter(|_| !kept.is_empty()) else { return Ok(()) };
    let snapshot = db.snapshot();
    let mut rows = Vec::with_capacity(kept.len());
    for (key, content, of_network) in kept {
        if snapshot.record(&key)?.is_some_and(|record| record.content == content) {
            rows.push((key, of_network));
        }
    }
    db.keep_descriptors(&snapshot, number, rows).map(|_| ())
}

pub(crate) fn check_model(db: &Database, embedder: &PhotoEmbedder) -> Result<()> {
    let ours = embedder.encoder().info();
    match &db.options().model {
        Some(model) if model.fingerprint == ours.fingerprint => Ok(()),
        Some(model) => Err(Error::new(
            ErrorKind::Mismatch,
            format!("the database has descriptors of {}, not of the loaded {}", model.name, ours.name),
        )
        .help("load the database's own model, or ingest into a database created with this one")),
        None => Err(Error::new(ErrorKind::Mismatch, "the database was created for bare vectors and has no model")
            .help("create a database for photos with --model lite0-gem")),
    }
}

fn check_unique<'a>(keys: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut seen = HashSet::new();
    let mut keys = keys;
    match keys.find(|key| !seen.insert(*key)) {
        Some(twice) => Err(Error::invalid(format!("two items have the key '{twice}'"))
            .help("give every image a different key; nothing was written")),
        None => Ok(()),
    }
}

fn check_words(key: &str, label: Option<&str>) -> Result<()> {
    for (what, word) in [("key", Some(key)), ("label", label)] {
        let Some(word) = word else { continue };
        if word.is_empty() || word.len() > MAX_KEY_BYTES || word.contains('\0') {
            return Err(Error::invalid(format!("the {what} must have 1 to {MAX_KEY_BYTES} bytes, none of them NUL")));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
