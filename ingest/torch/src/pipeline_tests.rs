//! The pipeline with the default network: bits depend neither on the threads nor on the way, and how fast it is.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cairn::embed::{Embed as _, ReadQueries as _};
use cairn::{Database, Keep, Options, Photo, Progress, Stop, Watch};
use cairndb_ingest::photo::{Pixels, thumbnail};
use cairndb_ingest::source::{Item, list_folder};
use cairndb_ingest::{IngestOptions, PhotoEmbedder, QueryReader, ingest};

use crate::Hardware;
use crate::model::{Architecture, Model, ModelSpec};

/// A new database of the default network, and its embedder.
fn database(folder: &Path, keep: Keep) -> (Database, PhotoEmbedder) {
    let model = Model::load(&ModelSpec::new(Architecture::Lite0), &Hardware::cpu()).unwrap();
    let options = Options::for_model(model.info().clone(), model.dimension()).keep(keep);
    (Database::create(folder, options).unwrap(), PhotoEmbedder::new(Arc::new(model), keep))
}

/// A folder of this many small photos of several sizes.
fn photos(count: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..count {
        let (w, h) = ([96, 64, 80][i as usize % 3], [64, 96][i as usize % 2]);
        let byte = |at: u32| (at.wrapping_mul(97 + i) / 61) as u8;
        let picture = Pixels::new(w, h, (0..w * h * 3).map(byte).collect()).unwrap();
        std::fs::write(folder.path().join(format!("{i:03}.jpg")), thumbnail(&picture).unwrap()).unwrap();
    }
    folder
}

/// Stops after the first window.
#[derive(Default)]
struct StopAfterOne(AtomicUsize);

impl Watch for StopAfterOne {
    fn progress(&self, at: Progress<'_>) -> ControlFlow<()> {
        self.0.store(at.done, Ordering::Relaxed);
        if at.done == 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

/// It catches: a descriptor whose bits depend on the number of threads, or on whether the ingest was stopped before it.
#[test]
fn a_stopped_ingest_of_a_network_ends_bit_equal_to_an_undisturbed_one() {
    let (folder, home) = (photos(100), tempfile::tempdir().unwrap());
    let items = list_folder(folder.path(), None).unwrap().items;
    let (whole, embedder) = database(&home.path().join("whole"), Keep::None);
    assert_eq!(ingest(&whole, &embedder, &items, &IngestOptions::default(), &Stop::new()).unwrap().added, 100);
    let (halves, embedder) = database(&home.path().join("halves"), Keep::None);
    let stop = StopAfterOne::default();
    let first =
        ingest(&halves, &embedder, &items, &IngestOptions { threads: 1, ..IngestOptions::default() }, &stop).unwrap();
    assert!(first.stopped && first.added > 0 && first.added < items.len(), "{} of {}", first.added, items.len());
    let second =
        ingest(&halves, &embedder, &items, &IngestOptions { threads: 3, ..IngestOptions::default() }, &Stop::new())
            .unwrap();
    assert_eq!((second.added, second.unchanged), (100 - first.added, first.added));
    for item in &items {
        let (a, b) = (whole.snapshot().vector(&item.key).unwrap(), halves.snapshot().vector(&item.key).unwrap());
        assert_eq!(a, b, "{}", item.key);
    }
}

#[test]
fn a_single_photo_and_a_list_of_queries_embed_like_the_pipeline() {
    let (folder, home) = (photos(4), tempfile::tempdir().unwrap());
    let (db, embedder) = database(&home.path().join("db"), Keep::Thumb);
    let items = list_folder(folder.path(), None).unwrap().items;
    ingest(&db, &embedder, &items, &IngestOptions::default(), &Stop::new()).unwrap();
    let one = embedder.embed(&Photo::File(folder.path().join("002.jpg"))).unwrap();
    // The engine stores unit length; a second normalisation of a unit vector may move its last bit.
    let stored = db.snapshot().vector("002.jpg").unwrap().unwrap();
    assert!(stored.iter().zip(&one.vector).all(|(a, b)| (a - b).abs() <= 1e-7 * b.abs().max(1e-3)));
    let list = folder.path().join("queries.csv");
    std::fs::write(&list, "id,path\nq1,002.jpg\nq2,001.jpg\n").unwrap();
    let queries = QueryReader::new(Some(Arc::new(embedder))).read(&list).unwrap().queries;
    assert_eq!((queries.len(), &queries[0].vector), (2, &one.vector));
}

#[test]
#[ignore = "measures photos a second; run alone on an idle machine"]
fn throughput_of_the_landmarks() {
    let Some(photos) = crate::testing::shared_photos("photos/landmarks/index.csv") else { return };
    let items: Vec<Item> =
        photos.into_iter().map(|(key, path)| Item { given: true, ..Item::found(key, path) }).collect();
    for threads in [1, 2] {
        let home = tempfile::tempdir().unwrap();
        let (db, embedder) = database(&home.path().join("db"), Keep::Thumb);
        let start = std::time::Instant::now();
        let options = IngestOptions { threads, ..IngestOptions::default() };
        let report = ingest(&db, &embedder, &items, &options, &Stop::new()).unwrap();
        let rate = report.added as f64 / start.elapsed().as_secs_f64();
        println!("{threads} threads: {} photos, {rate:.1} a second", report.added);
    }
}
