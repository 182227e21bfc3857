//! Ingests photos and bare vectors: it decodes in parallel, embeds, and writes in transactions, in the order of the items.
//!
//! An item that is stored with the same content, role and label is skipped before it is decoded. So an interrupted run is
//! finished by running it again, and ends with the same rows as an uninterrupted one: the descriptor of a photo does not depend
//! on other photos. A bad photo is reported and stops nothing.
//!
//! A list is one source of labels, and people are another: an unchanged list does not revert what people set ([`heard`]).

mod heard;
mod twins;

use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError, mpsc};

use cairn::limits::MAX_KEY_BYTES;
use cairn::lists::{Listed, Reading};
use cairn::model::ModelInfo;
use cairn::{Database, Error, ErrorKind, Expect, Operation, Progress, Put, Record, Result, Watch};

pub use heard::LabelReport;
use heard::Word;
use twins::Added;
pub use twins::Twins;

use crate::embedder::{PhotoEmbedder, Prepared};
use crate::encoder::Encoder;
use crate::photo::read_file;
use crate::source::{Item, VectorFile, place_of, row_fault};

/// Photos per transaction.
pub const PHOTOS_PER_TRANSACTION: usize = 64;
/// Bare vectors per transaction.
pub const VECTORS_PER_TRANSACTION: usize = 1_000;

/// How an ingest runs; it does not change what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IngestOptions {
    /// Number of threads that decode (and embed, unless the encoder prefers batches); default: one per processor.
    pub threads: usize,
}

impl Default for IngestOptions {
    fn default() -> Self {
        Self { threads: std::thread::available_parallelism().map_or(1, usize::from) }
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

/// A row that is ready to write.
struct Ready {
    listed: Listed,
    word: Word,
    /// Its descriptor without the adapter, if the database keeps those.
    of_network: Option<Vec<f32>>,
}

impl Ready {
    fn new(listed: Listed, word: Word) -> Self {
        Self { listed, word, of_network: None }
    }

    /// Sets the photo's descriptor, from the network's.
    ///
    /// # Errors
    /// As [`Encoder::adapt`].
    fn describe(&mut self, encoder: &dyn Encoder, of_network: Vec<f32>, network: Option<u32>) -> Result<()> {
        self.of_network = network.map(|_| of_network.clone());
        if let Some(photo) = &mut self.listed.photo {
            photo.vector = encoder.adapt(of_network)?;
        }
        Ok(())
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
    ingest_list(db, embedder, items, db.snapshot().reading(), options, watch)
}

/// [`ingest`] for a reading that the caller started: one that overrules takes the list's labels, even over those set by hand.
///
/// # Errors
/// As [`ingest`].
pub fn ingest_list(
    db: &Database,
    embedder: &PhotoEmbedder,
    items: &[Item],
    reading: Reading,
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
    let network = network_of(db, embedder.encoder())?;
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
                    let work = || outcome(item, &snapshot, embedder, reading, network);
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
                    finish(db, embedder, network, std::mem::take(&mut batch), &mut report)?;
                    written = expected;
                    gate.advance(expected);
                }
            }
        }
        finish(db, embedder, network, batch, &mut report)?;
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

/// A worker's part: read, compare, decode, and embed, unless photos are embedded in batches.
fn outcome(
    item: &Item,
    snapshot: &cairn::Snapshot,
    embedder: &PhotoEmbedder,
    reading: Reading,
    network: Option<u32>,
) -> Outcome {
    let work = || -> Result<Outcome> {
        check_words(&item.key, item.label.as_deref())?;
        let bytes = read_file(&item.path, embedder.limits())?;
        let content = *blake3::hash(&bytes).as_bytes();
        let stored = snapshot.record(&item.key)?;
        let word = Word::of(stored.as_ref(), item.label.as_deref(), content, reading);
        if let Some(known) = heard_of_known(&item.key, item.label.as_deref(), content, reading, word) {
            return Ok(known);
        }
        let source = place_of(&item.path);
        if let Some(stored) = &stored {
            check_same_photo(stored, item, content, &source)?;
        }
        let Prepared { pixels, kept } = embedder.prepare(bytes)?;
        let mut put = Put::new(item.key.clone(), Vec::new()).source(source.display().to_string()).content(content);
        put.label = item.label.clone();
        put.photo = kept;
        let (mut ready, encoder) = (Ready::new(put.from_list(reading), word), embedder.encoder());
        if batches(embedder) {
            return Ok(Outcome::Pixels(ready, pixels));
        }
        ready.describe(encoder, encoder.encode(&[&pixels])?.pop().unwrap_or_default(), network)?;
        Ok(Outcome::Embedded(ready))
    };
    work().unwrap_or_else(|error| Outcome::Failed(error.message().to_owned()))
}

/// What to do about an image whose photo the list named before, or which has this photo anyway; `None`: the photo is needed.
fn heard_of_known(key: &str, label: Option<&str>, content: [u8; 32], reading: Reading, word: Word) -> Option<Outcome> {
    if !word.is_known_photo {
        return None;
    }
    if word.is_noted {
        return Some(Outcome::Known(word));
    }
    let listed = Listed::known(key, reading).label(label.map(str::to_owned)).content(content);
    Some(Outcome::Embedded(Ready::new(listed, word)))
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
    let elsewhere = stored.source.as_deref().is_some_and(|stored| place_of(Path::new(stored)) != source);
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

/// The writer's part: embed the photos of a batch, write, count.
fn finish(
    db: &Database,
    embedder: &PhotoEmbedder,
    network: Option<u32>,
    batch: Vec<(&Item, Outcome)>,
    report: &mut Report,
) -> Result<()> {
    let waiting: Vec<_> = batch
        .iter()
        .filter_map(|(_, done)| if let Outcome::Pixels(_, pixels) = done { Some(pixels) } else { None })
        .collect();
    let encoder = embedder.encoder();
    let mut vectors = if waiting.is_empty() { Vec::new() } else { encoder.encode(&waiting)? }.into_iter();
    let mut rows = Vec::with_capacity(batch.len());
    for (item, done) in batch {
        match done {
            Outcome::Known(word) => word.count(report),
            Outcome::Failed(reason) => report.failed.push((item.key.clone(), reason)),
            Outcome::Embedded(ready) => rows.push(ready),
            Outcome::Pixels(mut ready, _) => {
                ready.describe(encoder, vectors.next().unwrap_or_default(), network)?;
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
        write(db, Some(made_by), now, report)?;
        keep(db, network, kept)?;
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

/// Ingests bare vectors: one key and (for train images) one label for each row of the file.
///
/// Every 1,000 rows are one transaction; `watch` may stop it between them. Rows that are zero, NaN or infinite are
/// reported by number.
///
/// # Errors
/// When the dimension is another than the database's, the database has a model, the numbers of keys, labels and rows differ,
/// two keys are the same, or reading or writing fails; what was written stays.
pub fn ingest_vectors(
    db: &Database,
    file: &mut VectorFile,
    keys: &[String],
    labels: &[Option<String>],
    watch: &dyn Watch,
) -> Result<Report> {
    ingest_vector_list(db, file, keys, labels, db.snapshot().reading(), watch)
}

/// [`ingest_vectors`] for a reading that the caller started.
///
/// # Errors
/// As [`ingest_vectors`].
pub fn ingest_vector_list(
    db: &Database,
    file: &mut VectorFile,
    keys: &[String],
    labels: &[Option<String>],
    reading: Reading,
    watch: &dyn Watch,
) -> Result<Report> {
    let name = file.path().display().to_string();
    if let Some(model) = &db.options().model {
        return Err(Error::new(
            ErrorKind::Mismatch,
            format!(
                "{name}: this database has descriptors of {}; it does not take vectors of unknown origin",
                model.name
            ),
        )
        .help("ingest photos, or create a database for these vectors with --dim"));
    }
    let dimension = db.options().dimension;
    if file.dimension() != dimension {
        return Err(Error::new(
            ErrorKind::Mismatch,
            format!("{name}: vectors of dimension {}, the database has {dimension}", file.dimension()),
        )
        .help("ingest them into a database created with their dimension"));
    }
    if keys.len() != file.rows() || labels.len() != file.rows() {
        let (keys, labels, rows) = (keys.len(), labels.len(), file.rows());
        return Err(Error::invalid(format!("{name}: {rows} vectors, but {keys} ids and {labels} labels")));
    }
    check_unique(keys.iter().map(String::as_str))?;
    let file_rows = file.rows();
    let told = |done| watch.progress(Progress::new(Progress::ROWS, done, file_rows)).is_break();
    let mut report = Report::default();
    let rows: Vec<usize> = (0..file.rows()).collect();
    for rows in rows.chunks(VECTORS_PER_TRANSACTION) {
        if told(rows[0]) {
            report.stopped = true;
            break;
        }
        let numbers = file.read(rows[0], rows.len())?;
        let snapshot = db.snapshot();
        let mut ready = Vec::with_capacity(rows.len());
        for (&row, vector) in rows.iter().zip(numbers.chunks_exact(dimension)) {
            let (key, label) = (&keys[row], &labels[row]);
            let fault = row_fault(vector).map(|fault| format!(" {fault}"));
            let words = || check_words(key, label.as_deref()).err().map(|error| format!(": {}", error.message()));
            let fault = fault.or_else(words);
            if let Some(fault) = fault {
                report.failed.push((key.clone(), format!("row {row}{fault}")));
                continue;
            }
            let mut hasher = blake3::Hasher::new();
            vector.iter().for_each(|x| _ = hasher.update(&x.to_le_bytes()));
            let content = *hasher.finalize().as_bytes();
            let stored = snapshot.record(key)?;
            let word = Word::of(stored.as_ref(), label.as_deref(), content, reading);
            match heard_of_known(key, label.as_deref(), content, reading, word) {
                Some(Outcome::Embedded(known)) => {
                    ready.push(known);
                    continue;
                }
                Some(_) => {
                    word.count(&mut report);
                    continue;
                }
                None => {}
            }
            let put = {
                let mut put =
                    Put::new(key.clone(), vector.to_vec()).source(format!("{name} row {row}")).content(content);
                put.label = label.clone();
                put
            };
            ready.push(Ready::new(put.from_list(reading), word));
        }
        write(db, None, ready, &mut report)?;
    }
    if !report.stopped {
        // Nothing is left that it could stop.
        let _over = told(file_rows);
    }
    Ok(report)
}

/// One transaction. If the engine refuses a value in it, each row gets a separate transaction, so that only the refused one is
/// left out. A change of the active model is no such value: it ends the ingest.
fn write(db: &Database, made_by: Option<&str>, rows: Vec<Ready>, report: &mut Report) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let is_in_force = || db.options().model.as_ref().map(|model| model.fingerprint.as_str()) == made_by;
    // An image that does not exist was deleted meanwhile.
    let refused_value = |error: &Error| {
        matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Mismatch | ErrorKind::NotFound) && is_in_force()
    };
    let write_all = |operations| db.write_if([Expect::Model(made_by.map(str::to_owned))], operations);
    match write_all(rows.iter().map(|row| Operation::Listed(row.listed.clone())).collect::<Vec<_>>()) {
        Ok(_) => rows.iter().for_each(|row| {
            row.word.count(report);
            report.added_photos.note(&row.word, &row.listed);
        }),
        Err(error) if refused_value(&error) => {
            for Ready { listed, word, .. } in rows {
                let key = listed.key.clone();
                match write_all(vec![Operation::Listed(listed.clone())]) {
                    Ok(_) => {
                        word.count(report);
                        report.added_photos.note(&word, &listed);
                    }
                    Err(error) if refused_value(&error) => report.failed.push((key, error.message().to_owned())),
                    Err(error) => return Err(error),
                }
            }
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

fn check_model(db: &Database, embedder: &PhotoEmbedder) -> Result<()> {
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
