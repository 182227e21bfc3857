//! Callbacks that call the database: each call is answered, or refused at once with an error that says why. Nothing here may
//! hang; a test that does fails after a minute.
//!
//! It catches: a call that waits for the gate that its own caller closed, or for the writer that called it; a refusal of a call
//! that could be answered; a model change that never ends because of writers without a pause.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cairn::embed::{Embed, Embedded, LocalFeatureSet, LocalFeatures, Propose, VectorChunks};
use cairn::model::{Reembed, Target, Wanted};
use cairn::{
    Arguments, Database, Deferral, ErrorKind, Operation, Photo, Ports, Progress, Put, Query, SearchRequest, Watch,
};
use cairndb_storage_tests::epochs::{is_mirrored, mirror, model, options, write_named};
use cairndb_storage_tests::scenes::Scenes;
use cairndb_storage_tests::{DIMENSION, images, many, put, told};

/// More than anything here takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Calls it in a new thread, and fails if it does not return.
fn returns<T: Send + 'static>(what: &str, call: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = channel();
    let thread = std::thread::spawn(move || _ = send.send(call()));
    match receive.recv_timeout(PATIENCE) {
        Ok(returned) => returned,
        Err(_) if thread.is_finished() => std::panic::resume_unwind(thread.join().unwrap_err()),
        Err(_) => panic!("{what} does not return"),
    }
}

/// What was asked for, and the kind of the error.
type Told = Vec<(&'static str, Option<ErrorKind>)>;

/// Asks a database for everything, and notes what it says.
#[derive(Clone)]
struct Asker {
    database: Database,
    folder: PathBuf,
    asked: Arc<AtomicUsize>,
    told: Arc<Mutex<Told>>,
}

impl Asker {
    fn new(database: &Database, folder: &std::path::Path) -> Self {
        let (asked, told) = (Arc::default(), Arc::default());
        Self { database: database.clone(), folder: folder.to_owned(), asked, told }
    }

    fn note<T>(&self, what: &'static str, said: cairn::Result<T>) {
        let kind = said.err().map(|error| error.kind());
        let mut told = self.told.lock().unwrap();
        if !told.contains(&(what, kind)) {
            told.push((what, kind));
        }
    }

    /// Whether a call was ever answered so.
    fn heard(&self, what: &'static str, kind: Option<ErrorKind>) -> bool {
        self.told.lock().unwrap().contains(&(what, kind))
    }

    fn ask(&self) {
        let (database, number) = (&self.database, self.asked.fetch_add(1, Ordering::Relaxed));
        let snapshot = database.snapshot();
        let query = Query::new(vec![1.0; DIMENSION]);
        self.note("search", snapshot.search(&SearchRequest::new(), &[query]));
        self.note("keys", snapshot.keys(None));
        self.note("reach", database.wait_for(snapshot.sequence()));
        self.note("write", write_named(database, vec![put(format!("asked{number}"), None, &[1.0; DIMENSION])]));
        self.note("drain", database.apply_pending());
        self.note("within", database.snapshot_within(Duration::ZERO));
        self.note("flush", database.flush());
        self.note("check", database.check(false));
        self.note("status", Ok(database.status()));
        self.note("models", database.models());
        self.note("note", database.snapshot().note("name"));
        self.note("set note", database.set_note("name", Some(b"bytes")));
        self.note("reopen", database.reopen_for_writing());
        for statement in
            ["LABEL ID 'i000001' AS 'label 1'", "SHOW STALE", "SHOW MODELS", "FLUSH", "CLEAN RULE suspects"]
        {
            self.note(statement, database.query(statement, &Arguments::default(), &Ports::default()));
        }
        self.note("undo", database.undo_labels());
        self.note("drop", database.drop_model(77));
        let target = Target::new(model(!is_mirrored(database)), DIMENSION);
        self.note("change", database.change_model(target, &Mirrors(None), Some(&told(|_| false))));
        if number < 3 {
            self.note("compact", database.compact());
            self.note("backup", database.backup(self.folder.join(format!("backup{number}"))));
        }
        database.set_deferral(if number % 2 == 0 { Deferral::Never } else { Deferral::Automatic });
    }

    /// Nothing was answered by anything but what it is for.
    fn is_plain(&self) {
        let allowed = [
            None,
            Some(ErrorKind::Reentrant),
            Some(ErrorKind::Locked),
            Some(ErrorKind::NotFound),
            Some(ErrorKind::AlreadyExists),
            Some(ErrorKind::Cancelled),
            Some(ErrorKind::Invalid),
        ];
        let told = self.told.lock().unwrap();
        let odd: Vec<_> = told.iter().filter(|(_, kind)| !allowed.contains(kind)).collect();
        assert!(odd.is_empty(), "{odd:?}");
    }
}

/// Gives the other model's descriptors, and asks meanwhile.
struct Mirrors(Option<Asker>);

impl Reembed for Mirrors {
    fn reembed(&self, images: &[Wanted]) -> cairn::Result<Vec<cairn::Result<Vec<f32>>>> {
        self.0.iter().for_each(Asker::ask);
        Ok(images.iter().map(|image| Ok(mirror(&image.vector))).collect())
    }
}

fn filled(folder: &std::path::Path) -> Database {
    let database = Database::create(folder.join("db"), options()).unwrap();
    write_named(&database, images("i", 300, DIMENSION, 9, 5, 3)).unwrap();
    database
}

/// Each call of the callback puts one more image, so that the last ones must be embedded while writers wait.
#[test]
fn whoever_embeds_for_a_new_model_may_ask_for_anything() {
    let folder = tempfile::tempdir().unwrap();
    let database = filled(folder.path());
    let asker = Asker::new(&database, folder.path());
    let (asks, its) = (asker.clone(), database.clone());
    returns("a model change", move || {
        let reembed = Mirrors(Some(asks.clone()));
        let watch = |_: Progress<'_>| {
            asks.ask();
            ControlFlow::Continue(())
        };
        its.change_model(Target::new(model(true), DIMENSION), &reembed, Some(&watch))
    })
    .unwrap();
    assert!(is_mirrored(&database));
    asker.is_plain();
    for what in ["search", "keys", "reach", "drain", "check", "status", "models", "note", "SHOW STALE"] {
        assert!(asker.heard(what, None) && !asker.heard(what, Some(ErrorKind::Reentrant)), "{what}");
    }
    for what in ["write", "flush", "set note"] {
        assert!(asker.heard(what, None), "{what} while writers go on");
        assert!(asker.heard(what, Some(ErrorKind::Reentrant)), "{what} while they wait");
    }
    assert!(asker.heard("change", Some(ErrorKind::Locked)));
    assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new());
}

/// The progress callback writes each time, and is never refused: with so few images it is not called while writers wait.
#[test]
fn whoever_is_told_of_progress_may_write_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let database = filled(folder.path());
    let its = database.clone();
    let written = returns("a model change", move || {
        let mut written = 0;
        let watch = told(|_| {
            its.write(vec![put(format!("told{written}"), None, &[1.0; DIMENSION])]).unwrap();
            written += 1;
            true
        });
        its.change_model(Target::new(model(true), DIMENSION), &Mirrors(None), Some(&watch)).unwrap();
        drop(watch);
        written
    });
    assert!(written > 3, "told {written} times");
    assert_eq!(database.snapshot().keys(None).unwrap().len(), 300 + written);
    assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new());
}

/// Asks in the middle of a write, and names no rows, impossible ones, too few, or panics.
struct Proposes {
    asker: Asker,
    calls: AtomicUsize,
}

impl Propose for Proposes {
    fn propose(
        &self,
        rows: &VectorChunks,
        live: &[bool],
        queries: &[f32],
        _: usize,
    ) -> cairn::Result<Vec<Option<Vec<u32>>>> {
        self.asker.ask();
        let count = queries.len() / rows.dimension;
        let first = live.iter().position(|&live| live).unwrap_or(0) as u32;
        Ok(match self.calls.fetch_add(1, Ordering::Relaxed) % 5 {
            0 => vec![None; count],
            1 => vec![Some(vec![u32::MAX, first]); count],
            2 => vec![Some(vec![first; 100]); count],
            3 => vec![Some(Vec::new()); count + 1],
            _ => panic!("the proposer's own"),
        })
    }
}

#[test]
fn a_proposer_may_ask_fail_and_panic_and_changes_no_prediction() {
    let folder = tempfile::tempdir().unwrap();
    let database = filled(folder.path());
    let asker = Asker::new(&database, folder.path());
    let proposes = Proposes { asker: asker.clone(), calls: AtomicUsize::new(0) };
    database.set_proposer(Some(Arc::new(proposes)));
    for round in 0..10 {
        let (its, more) = (database.clone(), images(&format!("r{round} "), 40, DIMENSION, 9, 5, round));
        returns("a write", move || its.write(more)).unwrap();
    }
    database.set_proposer(None);
    asker.is_plain();
    for what in ["search", "keys", "reach", "check", "status", "models", "note"] {
        assert!(asker.heard(what, None) && !asker.heard(what, Some(ErrorKind::Reentrant)), "{what}");
    }
    for what in ["write", "flush", "set note", "undo", "change", "compact", "backup", "CLEAN RULE suspects"] {
        assert!(asker.heard(what, Some(ErrorKind::Reentrant)) && !asker.heard(what, None), "{what}");
    }
    assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new());
    // Another database has no such caller.
    std::fs::create_dir(folder.path().join("other")).unwrap();
    let other = filled(&folder.path().join("other"));
    database.set_proposer(Some(Arc::new(Proposes {
        asker: Asker::new(&other, folder.path()),
        calls: AtomicUsize::new(0),
    })));
    let its = database.clone();
    returns("a write", move || its.write(images("last", 40, DIMENSION, 9, 5, 1))).unwrap();
    database.set_proposer(None);
    assert!(other.snapshot().record("asked0").unwrap().is_some());
}

/// A port of every other kind.
struct AskingPort(Asker, Scenes);

impl Embed for AskingPort {
    fn embed(&self, _: &Photo) -> cairn::Result<Embedded> {
        self.0.ask();
        Ok(Embedded::new([1.0; DIMENSION], [1; 32]))
    }
}

impl Watch for AskingPort {
    fn progress(&self, _: Progress<'_>) -> ControlFlow<()> {
        self.0.ask();
        ControlFlow::Continue(())
    }
}

impl LocalFeatures for AskingPort {
    fn fingerprint(&self) -> String {
        self.0.ask();
        self.1.fingerprint()
    }

    fn max_distance(&self) -> f32 {
        self.1.max_distance()
    }

    fn extract(&self, photo: &Photo, content: Option<&[u8; 32]>) -> cairn::Result<LocalFeatureSet> {
        if self.0.asked.load(Ordering::Relaxed) < 20 {
            self.0.ask();
        }
        self.1.extract(photo, content)
    }
}

#[test]
fn embedders_watchers_and_extractors_may_ask_for_anything() {
    let folder = tempfile::tempdir().unwrap();
    let database = filled(folder.path());
    let photos = (0..8u8).map(|at| {
        let vector: Vec<f32> = (0..DIMENSION).map(|n| if n == usize::from(at / 4) { 1.0 } else { 0.1 }).collect();
        Put::new(format!("p{at}"), vector).label(format!("scene {}", at / 4)).photo([at / 4, at]).into()
    });
    let unlabel = (0..300).step_by(5).map(|at| Operation::Unlabel { key: format!("i{at:06}") });
    write_named(&database, photos.chain(unlabel)).unwrap();
    let asker = Asker::new(&database, folder.path());
    let port = Arc::new(AskingPort(asker.clone(), Scenes::default()));
    let features = Arc::clone(&port);
    let ports = Ports::default()
        .embed(Arc::clone(&port) as _)
        .features(Arc::new(move || Ok(Arc::clone(&features) as Arc<dyn LocalFeatures>)))
        .watch(port);
    for statement in ["SEARCH 'photo.jpg' FRESH", "PUT ID 'new' 'photo.jpg'", "CLEAN THUMBNAILS", "CLEAN DRY RUN"] {
        let (its, ports) = (database.clone(), ports.clone());
        returns(statement, move || its.query(statement, &Arguments::default(), &ports)).unwrap();
    }
    asker.is_plain();
    for what in ["write", "flush", "check", "drain", "set note", "compact", "backup"] {
        assert!(asker.heard(what, None) && !asker.heard(what, Some(ErrorKind::Reentrant)), "{what}");
    }
}

#[test]
fn a_model_comes_in_force_beside_writers_that_never_pause() {
    const WRITERS: u64 = 4;
    let rows = many(500, 4_000);
    let folder = tempfile::tempdir().unwrap();
    let database = filled(folder.path());
    let (over, begun) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let write = |writer: u64| {
        let (database, over, begun) = (database.clone(), Arc::clone(&over), Arc::clone(&begun));
        std::thread::spawn(move || {
            for round in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                // The same keys again: each is a new image to embed, and the database does not grow.
                write_named(&database, images(&format!("w{writer} "), rows, DIMENSION, 9, 50, writer * 1000 + round))
                    .unwrap();
                begun.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let writers: Vec<_> = (0..WRITERS).map(write).collect();
    cairndb_storage_tests::wait_until("a write of each", || begun.load(Ordering::Relaxed) >= WRITERS as usize);
    let its = database.clone();
    let mut verified = 0;
    let changed = returns("a model change", move || {
        let watch = told(|at| {
            verified += usize::from(at.what == Progress::VERIFICATION);
            true
        });
        let number = its.change_model(Target::new(model(true), DIMENSION), &Mirrors(None), Some(&watch));
        drop(watch);
        number.map(|number| (number, verified))
    });
    over.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert_eq!(changed.unwrap(), (1, 1));
    assert!(is_mirrored(&database));
    assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new());
}
