//! The pipeline on a real database, with an encoder of plain arithmetic: what is skipped, what fails, what a stop leaves, and that
//! bits do not depend on the way. The same with a network: `ingest/torch/src/pipeline_tests.rs`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use cairn::embed::{Embed, ReadQueries};
use cairn::model::{ModelInfo, Reembed, Target, Wanted};
use cairn::{Keep, Options, Photo, Role, Stop};

use super::*;
use crate::QueryReader;
use crate::photo::{Pixels, SizeRule, thumbnail};
use crate::source::{Spellings, VectorFile, list_folder};

/// Side of the picture that [`Colours`] sees.
const SIDE: u32 = 8;
/// Numbers of its descriptors.
const DIMENSION: usize = (SIDE * SIDE * 3) as usize;

/// An encoder without a network: the colours of a tiny picture, at unit length. Where something is trained behind it, that turns the
/// descriptor round.
struct Colours {
    info: ModelInfo,
    batch: usize,
    base: Option<ModelInfo>,
}

fn info(fingerprint: &str) -> ModelInfo {
    ModelInfo::new("colours", fingerprint)
}

impl Encoder for Colours {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn size_rule(&self) -> SizeRule {
        SizeRule::LongestSide { longest: SIDE, multiple: SIDE }
    }

    fn preferred_batch(&self) -> usize {
        self.batch
    }

    fn encode(&self, photos: &[&Pixels]) -> Result<Vec<Vec<f32>>> {
        assert!(photos.len() <= self.batch, "{} photos at once", photos.len());
        let one = |photo: &&Pixels| {
            assert_eq!((photo.width(), photo.height()), (SIDE, SIDE));
            let length = photo.rgb().iter().map(|&x| f32::from(x).powi(2)).sum::<f32>().sqrt();
            photo.rgb().iter().map(|&x| f32::from(x) / length).collect()
        };
        Ok(photos.iter().map(one).collect())
    }

    fn adapt(&self, mut of_network: Vec<f32>) -> Result<Vec<f32>> {
        if self.base.is_some() {
            of_network.iter_mut().for_each(|x| *x = -*x);
        }
        Ok(of_network)
    }

    fn base(&self) -> Result<Option<ModelInfo>> {
        Ok(self.base.clone())
    }
}

fn embedder(keep: Keep) -> PhotoEmbedder {
    PhotoEmbedder::new(Arc::new(Colours { info: info("colours 1"), batch: 1, base: None }), keep)
}

fn database(folder: &Path, name: &str, embedder: &PhotoEmbedder, keep: Keep) -> Database {
    let options = Options::for_model(embedder.encoder().info().clone(), DIMENSION);
    Database::create(folder.join(name), options.keep(keep)).unwrap()
}

/// A folder of small photos, `good` of them readable, in two subfolders, and three that are not.
fn photos(good: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for place in ["bridge", "tower"] {
        std::fs::create_dir(folder.path().join(place)).unwrap();
    }
    for i in 0..good {
        let (w, h) = ([96, 64, 80][i as usize % 3], [64, 96][i as usize % 2]);
        let byte = |at: u32| (at.wrapping_mul(97 + i) / 61) as u8;
        let picture = Pixels::new(w, h, (0..w * h * 3).map(byte).collect()).unwrap();
        let place = ["bridge", "tower"][i as usize % 2];
        std::fs::write(folder.path().join(format!("{place}/{i:03}.jpg")), thumbnail(&picture).unwrap()).unwrap();
    }
    std::fs::write(folder.path().join("bridge/text.jpg"), "not a photo").unwrap();
    std::fs::write(folder.path().join("tower/empty.png"), "").unwrap();
    let whole = std::fs::read(folder.path().join("bridge/000.jpg")).unwrap();
    std::fs::write(folder.path().join("tower/cut.jpg"), &whole[..whole.len() / 2]).unwrap();
    folder
}

fn run(db: &Database, embedder: &PhotoEmbedder, items: &[Item]) -> Report {
    ingest(db, embedder, items, &IngestOptions::default(), &Stop::new()).unwrap()
}

#[test]
fn good_photos_go_in_bad_ones_are_named_and_the_same_ones_are_passed_over() {
    let (folder, home) = (photos(20), tempfile::tempdir().unwrap());
    let embedder = embedder(Keep::Original);
    let db = database(home.path(), "db", &embedder, Keep::Original);
    let mut items = list_folder(folder.path(), Some(&mut Spellings::default())).unwrap().items;
    let report = run(&db, &embedder, &items);
    assert_eq!((report.added, report.replaced, report.unchanged, report.stopped), (20, 0, 0, false));
    let failed: Vec<_> = report.failed.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(failed, ["bridge/text.jpg", "tower/cut.jpg", "tower/empty.png"]);
    assert!(report.failed[1].1.contains("cut short"), "{:?}", report.failed);

    let record = db.snapshot().record("tower/001.jpg").unwrap().unwrap();
    assert_eq!((record.role, record.label.as_deref()), (Role::Train, Some("tower")));
    assert!(record.source.unwrap().ends_with("tower/001.jpg"));

    let again = run(&db, &embedder, &items);
    assert_eq!((again.added, again.replaced, again.unchanged, again.failed.len()), (0, 0, 20, 3));
    // Another label, another role, another content: each is a replacement; the same bytes under another key are an addition.
    items.retain(|item| !failed.contains(&item.key.as_str()));
    items[0].label = Some("other".to_owned());
    items[1].label = None;
    std::fs::copy(&items[3].path, &items[2].path).unwrap();
    items.push(Item { key: "copy".to_owned(), given: true, ..items[4].clone() });
    let changed = run(&db, &embedder, &items);
    assert_eq!((changed.added, changed.replaced, changed.unchanged), (1, 3, 17));
    assert_eq!(db.snapshot().record(&items[1].key).unwrap().unwrap().role, Role::Index);
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

#[test]
fn a_stopped_ingest_goes_on_and_ends_bit_equal_to_an_undisturbed_one() {
    let (folder, home) = (photos(300), tempfile::tempdir().unwrap());
    let embedder = embedder(Keep::None);
    let items = list_folder(folder.path(), None).unwrap().items;
    let whole = database(home.path(), "whole", &embedder, Keep::None);
    assert_eq!(run(&whole, &embedder, &items).added, 300);

    let halves = database(home.path(), "halves", &embedder, Keep::None);
    let stop = StopAfterOne::default();
    let one = IngestOptions { threads: 1, ..IngestOptions::default() };
    let first = ingest(&halves, &embedder, &items, &one, &stop).unwrap();
    let done = stop.0.load(Ordering::Relaxed);
    assert!(first.stopped && first.added > 0 && done < items.len(), "{} of {}", first.added, items.len());
    assert_eq!(first.added + first.failed.len(), done);
    let three = IngestOptions { threads: 3, ..IngestOptions::default() };
    let second = ingest(&halves, &embedder, &items, &three, &Stop::new()).unwrap();
    assert!(!second.stopped);
    assert_eq!((second.added, second.unchanged), (300 - first.added, first.added));
    for item in &items {
        let (a, b) = (whole.snapshot().vector(&item.key).unwrap(), halves.snapshot().vector(&item.key).unwrap());
        assert_eq!(a, b, "{}", item.key);
    }
}

/// Makes another model active after the first transaction.
struct Overtaken<'d>(&'d Database, AtomicBool);

impl Watch for Overtaken<'_> {
    fn progress(&self, at: Progress<'_>) -> ControlFlow<()> {
        if at.done > 0 && !self.1.swap(true, Ordering::Relaxed) {
            let options = self.0.options();
            let model = ModelInfo::new(options.model.unwrap().name, "another");
            self.0.change_model(Target::new(model, options.dimension), &Turned, None).unwrap();
        }
        ControlFlow::Continue(())
    }
}

/// Another model's descriptors, from the active ones.
struct Turned;

impl Reembed for Turned {
    fn reembed(&self, images: &[Wanted]) -> Result<Vec<Result<Vec<f32>>>> {
        Ok(images.iter().map(|image| Ok(image.vector.iter().map(|x| -x).collect())).collect())
    }
}

#[test]
fn an_ingest_that_another_model_overtakes_ends_and_writes_nothing_more() {
    let (folder, home) = (photos(100), tempfile::tempdir().unwrap());
    let embedder = embedder(Keep::None);
    let db = database(home.path(), "db", &embedder, Keep::None);
    let items = list_folder(folder.path(), None).unwrap().items;
    let (options, overtaken) =
        (IngestOptions { threads: 1, ..IngestOptions::default() }, Overtaken(&db, AtomicBool::new(false)));
    let error = ingest(&db, &embedder, &items, &options, &overtaken).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
    assert!(error.message().contains("another model became active"), "{error}");
    let stored = db.snapshot().counts();
    assert!((1..=PHOTOS_PER_TRANSACTION).contains(&(stored.train + stored.index)), "{stored:?}");
}

/// It catches: a batch whose descriptors reach other photos, or a batch larger than the encoder asked for.
#[test]
fn an_encoder_of_batches_gives_the_rows_of_one_that_takes_single_photos() {
    let (folder, home) = (photos(100), tempfile::tempdir().unwrap());
    let items = list_folder(folder.path(), None).unwrap().items;
    let [one, many] = [1, 7].map(|batch| {
        let embedder = PhotoEmbedder::new(Arc::new(Colours { info: info("colours 1"), batch, base: None }), Keep::None);
        let db = database(home.path(), &batch.to_string(), &embedder, Keep::None);
        let report = run(&db, &embedder, &items);
        assert_eq!((report.added, report.failed.len()), (100, 3));
        let there: Vec<(String, Photo)> =
            items.iter().map(|item| (item.key.clone(), Photo::File(item.path.clone()))).collect();
        let embedded = embedder.embed_all(&there).unwrap();
        assert_eq!(embedded.iter().filter(|vector| vector.is_err()).count(), 3);
        (db, embedded.into_iter().map(Result::ok).collect::<Vec<_>>())
    });
    for item in &items {
        let [a, b] = [&one, &many].map(|(db, _)| db.snapshot().vector(&item.key).unwrap());
        assert_eq!(a, b, "{}", item.key);
    }
    assert_eq!(one.1, many.1);
}

/// It catches: an ingest under a trained model that drops what the network alone gave, which a later training asks for.
#[test]
fn what_the_network_alone_gave_is_kept_beside_the_trained_model() {
    let (folder, home) = (photos(6), tempfile::tempdir().unwrap());
    let plain = embedder(Keep::None);
    let db = database(home.path(), "db", &plain, Keep::None);
    let target = Target::new(info("colours 1, trained"), DIMENSION);
    db.change_model(target, &Turned, None).unwrap();
    let trained = Colours { info: info("colours 1, trained"), batch: 1, base: Some(info("colours 1")) };
    let trained = PhotoEmbedder::new(Arc::new(trained), Keep::None);
    let items = list_folder(folder.path(), None).unwrap().items;
    assert_eq!(run(&db, &trained, &items).added, 6);
    let snapshot = db.snapshot();
    let kept = snapshot.descriptors(0, &["bridge/000.jpg".to_owned()]).unwrap().remove(0).unwrap();
    let stored = snapshot.vector("bridge/000.jpg").unwrap().unwrap();
    assert!(kept.iter().zip(&stored).all(|(a, b)| (a + b).abs() < 1e-6), "one is the other turned round");
}

#[test]
fn a_single_photo_and_a_list_of_queries_embed_like_the_pipeline() {
    let (folder, home) = (photos(4), tempfile::tempdir().unwrap());
    let embedder = Arc::new(embedder(Keep::Thumb));
    let db = database(home.path(), "db", &embedder, Keep::Thumb);
    let items = list_folder(folder.path(), None).unwrap().items;
    run(&db, &embedder, &items);
    let path = folder.path().join("bridge/002.jpg");
    let one = embedder.embed(&Photo::File(path.clone())).unwrap();
    let bytes = embedder.embed(&Photo::Bytes(std::fs::read(&path).unwrap())).unwrap();
    assert_eq!(one, bytes);
    assert!(one.kept.is_some());
    // The engine stores unit length; a second normalisation of a unit vector may move its last bit.
    let stored = db.snapshot().vector("bridge/002.jpg").unwrap().unwrap();
    assert!(stored.iter().zip(&one.vector).all(|(a, b)| (a - b).abs() <= 1e-7 * b.abs().max(1e-3)));

    let list = folder.path().join("queries.csv");
    std::fs::write(&list, "id,path\nq1,bridge/002.jpg\nq2,tower/001.jpg\n").unwrap();
    let queries = QueryReader::new(Some(Arc::clone(&embedder))).read(&list).unwrap().queries;
    assert_eq!((queries.len(), queries[0].id.as_deref()), (2, Some("q1")));
    assert_eq!(queries[0].vector, one.vector);
    assert!(QueryReader::default().read(&list).unwrap_err().to_string().contains("no model"));
}

/// It catches: a photo that cannot be read and keeps the others of its list from being asked, or moves their numbers.
#[test]
fn a_query_photo_that_cannot_be_read_is_named_and_the_others_are_embedded() {
    let folder = photos(4);
    let embedder = Arc::new(embedder(Keep::None));
    let list = folder.path().join("queries.csv");
    let rows = "id,path\nq0,bridge/text.jpg\nq1,bridge/002.jpg\nq2,nowhere.jpg\nq3,tower/cut.jpg\nq4,tower/001.jpg\n";
    std::fs::write(&list, rows).unwrap();
    let found = QueryReader::new(Some(Arc::clone(&embedder))).read(&list).unwrap();
    let asked: Vec<_> = found.queries.iter().map(|query| (query.number, query.id.as_deref())).collect();
    assert_eq!(asked, [(1, Some("q1")), (4, Some("q4"))]);
    let one = embedder.embed(&Photo::File(folder.path().join("tower/001.jpg"))).unwrap();
    assert_eq!(found.queries[1].vector, one.vector);
    let failed: Vec<_> = found.failed.iter().map(|failed| (failed.number, failed.name())).collect();
    assert_eq!(failed, [(0, "q0".to_owned()), (2, "q2".to_owned()), (3, "q3".to_owned())]);
    for (failed, (file, why)) in found.failed.iter().zip([
        ("text.jpg", "not a photo: a text"),
        ("nowhere.jpg", "No such file"),
        ("cut.jpg", "cut short"),
    ]) {
        assert!(failed.reason.contains(file) && failed.reason.contains(why), "{failed:?}");
    }
}

/// It catches: the same photos added under other keys silently, or such a key counted twice.
#[test]
fn photos_that_are_there_under_other_keys_are_told() {
    let (folder, home) = (photos(6), tempfile::tempdir().unwrap());
    let embedder = embedder(Keep::None);
    let db = database(home.path(), "db", &embedder, Keep::None);
    let mut items = list_folder(folder.path(), None).unwrap().items;
    items.retain(|item| !["bridge/text.jpg", "tower/empty.png", "tower/cut.jpg"].contains(&item.key.as_str()));
    let twins = |report: &Report| report.twins(&db.snapshot()).unwrap();
    assert_eq!(twins(&run(&db, &embedder, &items)), Twins::default());
    // Again under the same keys: nothing is added.
    assert_eq!(twins(&run(&db, &embedder, &items)), Twins::default());
    let other = |item: &Item, prefix: &str| Item { key: format!("{prefix}{}", item.key), given: true, ..item.clone() };
    let again: Vec<Item> = items.iter().map(|item| other(item, "again/")).collect();
    let told = twins(&run(&db, &embedder, &again));
    assert_eq!((told.count, told.pairs.len()), (6, 5));
    assert!(told.pairs.iter().all(|(new, old)| *new == format!("again/{old}")), "{:?}", told.pairs);
    // Three new keys of a photo that is not there: two of them are others of the first.
    std::fs::write(folder.path().join("new.jpg"), thumbnail(&Pixels::new(40, 40, vec![7; 4800]).unwrap()).unwrap())
        .unwrap();
    let new = Item { given: true, ..Item::found("x", folder.path().join("new.jpg")) };
    let three: Vec<Item> = ["a/", "b/", "c/"].map(|prefix| other(&new, prefix)).to_vec();
    assert_eq!(twins(&run(&db, &embedder, &three)).count, 2);
}

/// It catches: a folder that counts as another one because its path is spelt otherwise or leads through a link, and a list's own key
/// refused because it is called like its file.
#[test]
fn a_folder_is_the_same_by_whatever_path_it_is_reached() {
    let (folder, home) = (photos(2), tempfile::tempdir().unwrap());
    let embedder = embedder(Keep::None);
    let db = database(home.path(), "db", &embedder, Keep::None);
    let place = folder.path().join("bridge");
    let link = home.path().join("link");
    std::os::unix::fs::symlink(folder.path(), &link).unwrap();
    std::fs::remove_file(place.join("text.jpg")).unwrap();
    let picture = |shade: u8| thumbnail(&Pixels::new(40, 40, vec![shade; 4800]).unwrap()).unwrap();
    let ways = [place.clone(), place.join("../bridge/."), link.join("bridge"), folder.path().join("tower/../bridge")];
    for (shade, way) in (10u8..).zip(&ways) {
        std::fs::write(place.join("000.jpg"), picture(shade)).unwrap();
        let report = run(&db, &embedder, &list_folder(way, None).unwrap().items);
        assert_eq!((report.added + report.replaced, report.failed.len()), (1, 0), "{}: {report:?}", way.display());
    }
    let source = db.snapshot().record("000.jpg").unwrap().unwrap().source.unwrap();
    assert_eq!(Path::new(&source), place.canonicalize().unwrap().join("000.jpg"));
    // Another folder's photo of that name is another photo, unless a list gave the key.
    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("000.jpg"), picture(200)).unwrap();
    let mut items = list_folder(&other, None).unwrap().items;
    let refused = run(&db, &embedder, &items);
    assert!(refused.failed[0].1.contains("another photo"), "{refused:?}");
    items[0].given = true;
    assert_eq!(run(&db, &embedder, &items).replaced, 1);
}

#[test]
fn a_database_of_another_kind_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let embedder = embedder(Keep::None);
    let bare = Database::create(home.path().join("bare"), Options::for_vectors(DIMENSION)).unwrap();
    let none = |db: &Database| ingest(db, &embedder, &[], &IngestOptions::default(), &Stop::new());
    assert_eq!(none(&bare).unwrap_err().kind(), ErrorKind::Mismatch);
    let other = ModelInfo::new("colours", "other");
    let db = Database::create(home.path().join("other"), Options::for_model(other, DIMENSION)).unwrap();
    assert_eq!(none(&db).unwrap_err().kind(), ErrorKind::Mismatch);
}

#[test]
fn two_items_of_one_key_write_nothing() {
    let home = tempfile::tempdir().unwrap();
    let embedder = embedder(Keep::None);
    let db = database(home.path(), "db", &embedder, Keep::None);
    let item = Item { given: true, ..Item::found("a", "x") };
    let error = ingest(&db, &embedder, &[item.clone(), item], &IngestOptions::default(), &Stop::new());
    assert!(error.unwrap_err().to_string().contains("'a'"));
}

fn fvecs(folder: &Path, rows: &[Vec<f32>]) -> VectorFile {
    let mut bytes = Vec::new();
    for row in rows {
        bytes.extend((row.len() as u32).to_le_bytes());
        row.iter().for_each(|x| bytes.extend(x.to_le_bytes()));
    }
    let path = folder.join("v.fvecs");
    std::fs::write(&path, bytes).unwrap();
    VectorFile::open(&path).unwrap()
}

#[test]
fn bare_vectors_go_in_once_and_bad_rows_are_numbered() {
    let home = tempfile::tempdir().unwrap();
    let db = Database::create(home.path().join("db"), Options::for_vectors(3)).unwrap();
    let mut rows: Vec<Vec<f32>> = (0..2_500).map(|i| vec![1.0, i as f32, 0.5]).collect();
    rows[7] = vec![0.0; 3];
    rows[1_900][1] = f32::NAN;
    let mut file = fvecs(home.path(), &rows);
    let keys: Vec<String> = (0..2_500).map(|row| row.to_string()).collect();
    let labels: Vec<_> = (0..2_500).map(|i| (i % 2 == 0).then(|| "x".to_owned())).collect();
    let stop = Stop::new();
    let report = ingest_vectors(&db, &mut file, &keys, &labels, &stop).unwrap();
    assert_eq!((report.added, report.failed.len()), (2_498, 2));
    assert_eq!(report.failed[0], ("7".to_owned(), "row 7 is zero".to_owned()));
    assert!(report.failed[1].1.starts_with("row 1900 holds NaN"));
    let again = ingest_vectors(&db, &mut file, &keys, &labels, &stop).unwrap();
    assert_eq!((again.added, again.unchanged), (0, 2_498));
    assert_eq!(db.snapshot().record("4").unwrap().unwrap().role, Role::Train);

    let stopped = Stop::new();
    stopped.stop();
    assert!(ingest_vectors(&db, &mut file, &keys, &labels, &stopped).unwrap().stopped);
    let short = ingest_vectors(&db, &mut file, &keys[1..], &labels, &stop).unwrap_err().to_string();
    assert!(short.contains("2500 vectors, but 2499 ids"), "{short}");
    let four = Database::create(home.path().join("four"), Options::for_vectors(4)).unwrap();
    let error = ingest_vectors(&four, &mut file, &keys, &labels, &stop).unwrap_err();
    assert!(error.kind() == ErrorKind::Mismatch && error.to_string().contains("dimension 3"), "{error}");
}

#[test]
fn query_vectors_are_read_without_a_model() {
    let home = tempfile::tempdir().unwrap();
    fvecs(home.path(), &[vec![1.0, 2.0], vec![3.0, 4.0]]);
    let path = home.path().join("v.fvecs");
    let queries = QueryReader::default().read(&path).unwrap().queries;
    assert_eq!((queries.len(), &queries[1].vector), (2, &vec![3.0, 4.0]));
    fvecs(home.path(), &[vec![0.0, 0.0], vec![1.0, 2.0], vec![f32::NAN, 0.0]]);
    let found = QueryReader::default().read(&path).unwrap();
    assert_eq!((found.queries.len(), found.queries[0].number), (1, 1));
    let reasons: Vec<_> = found.failed.iter().map(|failed| failed.reason.as_str()).collect();
    assert_eq!(reasons, ["row 0 is zero", "row 2 holds NaN, infinity or a number out of the range of 32-bit floats"]);
    assert!(QueryReader::default().read(Path::new("q.txt")).is_err());
}

#[path = "living_tests.rs"]
mod living;
