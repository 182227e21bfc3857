//! The helpers of the storage tests: a seeded stream of transactions, the model of their result, and the laws that a database
//! must obey.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers fail by panicking")]

pub mod epochs;
mod faults;
mod look;
pub mod scenes;
pub mod sealed;
mod stream;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Mutex;

use cairn::{Database, Operation, Options, Progress, Put, Watch};

pub use faults::obey_faults;
pub use look::{digest, healthy, sound, status, votes_near_f64};
pub use stream::{DIMENSION, Model, Random, Stream, apply, unit};

/// How many cases: few with every change, many in the long run (`CAIRN_LONG=1`).
pub fn many(few: usize, long: usize) -> usize {
    if std::env::var("CAIRN_LONG").is_ok_and(|value| value == "1") { long } else { few }
}

/// The same with another number for CI (`CI=true`), which takes more time than a person waits.
pub fn many_in_ci(few: usize, ci: usize, long: usize) -> usize {
    many(if std::env::var("CI").is_ok_and(|value| value == "true") { ci } else { few }, long)
}

/// The operation that stores an image.
pub fn put(key: impl Into<String>, label: Option<&str>, vector: &[f32]) -> Operation {
    let put = Put::new(key, vector);
    match label {
        Some(label) => put.label(label).into(),
        None => put.into(),
    }
}

/// A new database for bare vectors.
///
/// # Panics
/// When it cannot be created.
pub fn create(folder: &Path, dimension: usize) -> Database {
    Database::create(folder, Options::for_vectors(dimension)).unwrap()
}

/// Images with the keys `prefix`0, `prefix`1, .. and directions around `labels` centres; every `labelled`-th is a train image.
pub fn images(
    prefix: &str,
    count: usize,
    dimension: usize,
    labels: usize,
    labelled: usize,
    seed: u64,
) -> Vec<Operation> {
    let mut random = Random::new(seed);
    let mut image = |n: usize| {
        let label = random.below(labels);
        let vector = stream::near_centre(label, dimension, 0.35, &mut random);
        put(format!("{prefix}{n:06}"), n.is_multiple_of(labelled).then(|| format!("label {label}")).as_deref(), &vector)
    };
    (0..count).map(&mut image).collect()
}

/// The program that the tests kill.
pub fn load() -> Command {
    let program = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("storage-load");
    let mut command = Command::new(program);
    faults::VARIABLES.iter().for_each(|name| _ = command.env_remove(name));
    command
}

/// Runs a test, named with its module, in a separate process: its settings apply to the whole process.
///
/// # Panics
/// When it fails there, or there is no test of that name.
pub fn in_own_process(test: &str, work: impl FnOnce()) {
    const INSIDE: &str = "STORAGE_TEST_INSIDE";
    if std::env::var(INSIDE).is_ok_and(|inside| inside == test) {
        return work();
    }
    let program = std::env::current_exe().unwrap();
    let ran = Command::new(program).args([test, "--exact", "--nocapture"]).env(INSIDE, test).output().unwrap();
    let out = String::from_utf8_lossy(&ran.stdout);
    let passed = ran.status.success() && out.contains("test result: ok. 1 passed");
    assert!(passed, "{test}: {}\n{out}{}", ran.status, String::from_utf8_lossy(&ran.stderr));
}

/// A child process that does not outlive its test.
pub struct Guarded(pub Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _already_gone = self.0.kill();
        let _already_waited = self.0.wait();
    }
}

/// Copies a folder with everything in it.
///
/// # Panics
/// When that fails.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The files of a folder, sorted.
///
/// # Panics
/// When it cannot be read.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Every entry below a folder with its length, the checksum of its bytes and when it was last written; two equal lists: nothing was
/// changed, not even to the same.
///
/// # Panics
/// When one cannot be read.
pub fn tree(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for path in files(folder) {
        let about = path.symlink_metadata().unwrap();
        let (written, name) = (about.modified().unwrap(), path.display());
        if about.is_dir() {
            lines.push(format!("{name} {written:?}"));
            lines.extend(tree(&path));
        } else {
            lines.push(format!(
                "{name} {} {:08x} {written:?}",
                about.len(),
                crc32fast::hash(&std::fs::read(&path).unwrap())
            ));
        }
    }
    lines
}

/// Watches by a closure that may change things; `false` stops what it watches.
pub fn told(hears: impl FnMut(Progress<'_>) -> bool + Send) -> impl Watch {
    let hears = Mutex::new(hears);
    move |at: Progress<'_>| {
        let goes_on = hears.lock().is_ok_and(|mut hears| hears(at));
        if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

/// Waits until `done` holds; fails after a minute, so that a test that can never end says so.
///
/// # Panics
/// After a minute.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if done() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{what} did not happen in a minute");
}

/// What a child said: the last transaction that it tried, the last one that was acknowledged, and its other lines.
pub struct Said {
    /// Number of the last transaction handed to the database.
    pub tried: u64,
    /// Number of the last one that it acknowledged.
    pub acknowledged: u64,
    /// Everything else.
    pub lines: Vec<String>,
}

/// Reads what a child wrote; a last line that was cut short by a kill does not count.
///
/// # Panics
/// When the file cannot be read.
pub fn said(path: &Path, before: u64) -> Said {
    let text = std::fs::read_to_string(path).unwrap();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let mut said = Said { tried: before, acknowledged: before, lines: Vec::new() };
    for line in whole.lines() {
        let mut words = line.split(' ');
        match (words.next(), words.next().and_then(|number| number.parse().ok())) {
            (Some("try"), Some(number)) => said.tried = number,
            (Some("ack"), Some(number)) => said.acknowledged = number,
            _ => said.lines.push(line.to_owned()),
        }
    }
    said
}

/// After a death: opens the database, brings the stream to where the database is, and checks that nothing acknowledged is lost,
/// nothing is half applied, everything stored is sound, and nothing lies about.
///
/// # Panics
/// When one of that does not hold.
pub fn survives(folder: &Path, stream: &mut Stream, said: &Said, story: &str) {
    let database = Database::open(folder).unwrap_or_else(|error| panic!("{story}: {error}"));
    let reached = database.apply_pending().unwrap_or_else(|error| panic!("{story}: {error}")).sequence();
    assert!(reached >= said.acknowledged, "{story}: {} was acknowledged, {reached} is stored", said.acknowledged);
    assert!(reached <= said.tried, "{story}: {} was tried, {reached} is stored", said.tried);
    let reached = cleanings_are_whole(&database, stream, reached, story);
    stream.run_to(reached);
    sound(&database, &stream.model, story);
    no_leftovers(&database, story);
    drop(database);
    let stray: Vec<PathBuf> = files(folder).into_iter().filter(|path| path.extension().is_some()).collect();
    assert!(stray.is_empty(), "{story}: left behind after closing: {stray:?}");
}

/// What a load cleaned is no transaction of its stream, and undone by the next write. A cleaning that a kill left without its undo has
/// changed as many labels as it says, all or none of them, and is undone here. Returns the number of the last write.
fn cleanings_are_whole(database: &Database, stream: &mut Stream, reached: u64, story: &str) -> u64 {
    let cleanings = database.cleanings().unwrap_or_else(|error| panic!("{story}: {error}"));
    cleanings.iter().for_each(|cleaning| stream.take(cleaning.sequence));
    let Some(last) = cleanings.last().filter(|last| !last.undone) else { return reached };
    assert_eq!(last.sequence, reached, "{story}: a write came between a cleaning and its undo");
    stream.run_to(reached);
    let snapshot = database.snapshot();
    let label = |key: &str| snapshot.record(key).unwrap().unwrap_or_else(|| panic!("{story}: '{key}' is gone")).label;
    let changed = stream.model.iter().filter(|(key, image)| label(key) != image.0).count();
    assert_eq!(changed, last.found, "{story}: labels that cleaning {} changed", last.number);
    database.undo_cleaning().unwrap_or_else(|error| panic!("{story}: {error}")).receipt.sequence
}

/// The folder of segments holds the named ones and nothing else, once the worker is done unlinking.
///
/// # Panics
/// When something else stays there.
pub fn no_leftovers(database: &Database, story: &str) {
    let folder = database.folder().join("segments");
    let mut last = String::new();
    for _ in 0..300 {
        let named = database.segments().len();
        let found = files(&folder);
        if found.len() == named && found.iter().all(|path| path.extension().is_some_and(|end| end != "tmp")) {
            return;
        }
        last = format!("{named} segments are named, the folder holds {found:?}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{story}: {last}");
}
