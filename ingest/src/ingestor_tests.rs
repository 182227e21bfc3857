//! The ingestor against a model: order, repetition, photos that fail, back-pressure, and a database that takes no more.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use cairn::model::ModelInfo;
use cairn::{Keep, Options, Value};

use super::*;
use crate::encoder::Encoder;
use crate::photo::{SizeRule, thumbnail};

const SIDE: u32 = 4;
const DIMENSION: usize = (SIDE * SIDE * 3) as usize;

/// Colours plus one; it counts photos, and waits while it is held.
struct Slow {
    info: ModelInfo,
    batch: usize,
    embedded: AtomicUsize,
    held: AtomicBool,
}

impl Encoder for Slow {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn size_rule(&self) -> SizeRule {
        SizeRule::Squash { width: SIDE, height: SIDE }
    }

    fn preferred_batch(&self) -> usize {
        self.batch
    }

    fn encode(&self, photos: &[&Pixels]) -> Result<Vec<Vec<f32>>> {
        assert!(photos.len() <= self.batch);
        while self.held.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.embedded.fetch_add(photos.len(), Ordering::SeqCst);
        Ok(photos.iter().map(|photo| photo.rgb().iter().map(|&x| f32::from(x) + 1.0).collect()).collect())
    }
}

fn photo(number: u8) -> Photo {
    let byte = |at: usize| (at as u8).wrapping_mul(number.wrapping_add(3)).wrapping_add(number);
    Photo::Bytes(thumbnail(&Pixels::new(SIDE, SIDE, (0..DIMENSION).map(byte).collect()).unwrap()).unwrap())
}

struct Scene {
    database: Database,
    encoder: Arc<Slow>,
    embedder: Arc<PhotoEmbedder>,
}

impl Scene {
    fn new(folder: &Path, batch: usize) -> Self {
        let (embedded, held) = (AtomicUsize::new(0), AtomicBool::new(false));
        let encoder = Arc::new(Slow { info: ModelInfo::new("slow", "slow 1"), batch, embedded, held });
        let embedder = Arc::new(PhotoEmbedder::new(Arc::clone(&encoder) as Arc<dyn Encoder>, Keep::None));
        let options = Options::for_model(encoder.info.clone(), DIMENSION);
        let database = Database::create(folder.join("db"), options).unwrap();
        Self { database, encoder, embedder }
    }

    fn start(&self, options: IngestorOptions) -> Ingestor {
        Ingestor::start(&self.database, Some(Arc::clone(&self.embedder)), options).unwrap()
    }
}

/// A stream that says the same again and again: every tenth photo is no photo, labels come, change and go, images are deleted.
fn stream(length: u32) -> Vec<Arrival> {
    let mut state = 7u32;
    let mut below = |bound: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % bound
    };
    (0..length)
        .map(|_| {
            let key = format!("k{}", below(12));
            match below(10) {
                0 => Arrival::photo(key, Photo::Bytes(b"no photo".to_vec())),
                1 => Operation::delete(key).into(),
                2 => Operation::label(key, format!("label {}", below(3))).into(),
                3 => Operation::unlabel(key).into(),
                4 => Operation::rename(key, format!("k{}", below(12)), None).into(),
                which => Arrival::Photo {
                    key,
                    photo: photo(below(5) as u8),
                    label: (which > 7).then(|| "first".to_owned()),
                    attributes: [("n".to_owned(), Value::Number(f64::from(below(2))))].into(),
                },
            }
        })
        .collect()
}

/// Key -> label, content, attribute: what the stream comes to, one arrival after the other.
type Model = BTreeMap<String, (Option<String>, [u8; 32], Option<Value>)>;

/// Whether the arrival is valid, and what it does.
fn apply(model: &mut Model, arrival: &Arrival) -> bool {
    match arrival {
        Arrival::Photo { photo: Photo::Bytes(bytes), .. } if bytes == b"no photo" => false,
        Arrival::Photo { key, photo: Photo::Bytes(bytes), label, attributes } => {
            let content = *blake3::hash(bytes).as_bytes();
            model.insert(key.clone(), (label.clone(), content, attributes.get("n").cloned()));
            true
        }
        Arrival::Operation(Operation::Delete { key }) => model.remove(key).is_some(),
        Arrival::Operation(Operation::Label { key, label }) => {
            model.get_mut(key).map(|image| image.0 = Some(label.clone())).is_some()
        }
        Arrival::Operation(Operation::Unlabel { key }) => model.get_mut(key).map(|image| image.0 = None).is_some(),
        Arrival::Operation(Operation::Rename { key, to, .. }) => {
            if key == to {
                return model.contains_key(key);
            }
            if model.contains_key(to) {
                return false;
            }
            let image = model.remove(key);
            image.is_some_and(|image| model.insert(to.clone(), image).is_none())
        }
        _ => false,
    }
}

fn stored(database: &Database) -> Model {
    let snapshot = database.snapshot();
    let row = |record: Result<cairn::Record>| {
        let record = record.unwrap();
        (record.key, (record.label, record.content.unwrap(), record.attributes.get("n").cloned()))
    };
    snapshot.images().map(row).collect()
}

/// It catches: arrivals that overtake each other, a decision by a state that an earlier arrival changes, an error that hits another
/// arrival than its own, a repeated stream that stores something twice.
#[test]
fn a_stream_comes_to_what_its_arrivals_say_one_after_the_other() {
    for batch in [1, 5] {
        let folder = tempfile::tempdir().unwrap();
        let scene = Scene::new(folder.path(), batch);
        let arrivals = stream(900);
        let ingestor = scene.start(IngestorOptions { threads: 3, ahead: 100 });
        let mut model = Model::new();
        let tickets: Vec<_> = arrivals
            .iter()
            .map(|arrival| (apply(&mut model, arrival), ingestor.push(arrival.clone()).unwrap()))
            .collect();
        let mut last = 0;
        for (at, (is_valid, ticket)) in tickets.into_iter().enumerate() {
            let end = ticket.wait();
            assert_eq!(end.is_ok(), is_valid, "{at}: {:?}: {end:?}", arrivals[at]);
            if let Ok(landed) = end {
                assert!(landed.sequence >= last, "{at}");
                last = landed.sequence;
            }
        }
        assert_eq!(stored(&scene.database), model);
        let stats = ingestor.close().unwrap();
        assert_eq!((stats.landed + stats.failed, stats.queued, stats.ready), (900, 0, 0));
        assert_eq!(scene.database.check(true).unwrap().problems, Vec::<String>::new());
        // The same photos again, as after a crash.
        let before = scene.encoder.embedded.load(Ordering::SeqCst);
        let ingestor = scene.start(IngestorOptions::default());
        for (key, (label, content, n)) in &model {
            let photo = (0..5)
                .map(photo)
                .find(|photo| matches!(photo, Photo::Bytes(bytes) if blake3::hash(bytes).as_bytes() == content));
            let attributes = n.clone().map(|n| ("n".to_owned(), n)).into_iter().collect();
            let arrival = Arrival::Photo { key: key.clone(), photo: photo.unwrap(), label: label.clone(), attributes };
            assert!(ingestor.push(arrival).unwrap().wait().unwrap().unchanged);
        }
        drop(ingestor);
        assert_eq!(scene.encoder.embedded.load(Ordering::SeqCst), before);
        assert_eq!(stored(&scene.database), model);
    }
}

/// It catches: a queue without a bound, a flush that returns early, photos of a dropped ingestor that are lost.
#[test]
fn pushing_waits_and_dropping_writes() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::new(folder.path(), 1);
    scene.encoder.held.store(true, Ordering::SeqCst);
    let ingestor = scene.start(IngestorOptions { threads: 2, ahead: 4 });
    let pushed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| {
            for at in 0..10u8 {
                let _later = ingestor.push(Arrival::photo(format!("p{at}"), photo(at))).unwrap();
                pushed.fetch_add(1, Ordering::SeqCst);
            }
        });
        while pushed.load(Ordering::SeqCst) < 4 {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(pushed.load(Ordering::SeqCst), 4);
        let stats = ingestor.stats();
        assert_eq!((stats.queued, stats.embedding, stats.landed), (2, 2, 0));
        scene.encoder.held.store(false, Ordering::SeqCst);
        pushing.join().unwrap();
    });
    ingestor.flush().unwrap();
    assert_eq!(ingestor.stats().landed, 10);
    for at in 10..15u8 {
        let _nobody_waits = ingestor.push(Arrival::photo(format!("p{at}"), photo(at))).unwrap();
    }
    drop(ingestor);
    assert_eq!(scene.database.snapshot().counts().index, 15);
}

/// It catches: a ticket that waits for ever, a push that is accepted and lost.
#[test]
fn a_database_that_takes_no_more_ends_every_wait() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::new(folder.path(), 1);
    let ingestor = scene.start(IngestorOptions::default());
    ingestor.push(Arrival::photo("a", photo(1))).unwrap().wait().unwrap();
    // Another model becomes active: descriptors of this one are refused for good.
    let other = Scene::new(&folder.path().join("other"), 1);
    let wrong = Ingestor::start(&other.database, None, IngestorOptions::default()).unwrap();
    let put = Put::new("v", vec![1.0; DIMENSION]);
    let ticket = wrong.push(Operation::from(put.clone())).unwrap();
    assert_eq!(ticket.wait().unwrap_err().kind(), ErrorKind::Mismatch);
    assert!(wrong.push(Arrival::photo("a", photo(1))).err().is_some_and(|error| error.kind() == ErrorKind::Invalid));
    assert!(wrong.flush().is_err() && wrong.push(Operation::from(put)).is_err());
    assert!(wrong.close().is_err());
    ingestor.close().unwrap();
}
