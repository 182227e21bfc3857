//! A training depends on the images, their labels, the options and the seed, and on nothing that happened before.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn::embed::Embed as _;
use cairn::reports::Report;
use cairn::{Arguments, Database, Expect, Keep, Operation, Options, Outcome, Photo, Ports, Put, Stop};

use super::TorchMaintainer;
use crate::device::Hardware;
use crate::model::{Architecture, Model, ModelSpec};
use cairndb_ingest::photo::{Pixels, thumbnail};
use cairndb_ingest::source::Item;
use cairndb_ingest::{IngestOptions, PhotoEmbedder, ingest};

const LABELS: usize = 3;
/// The last of these photos of each label are index images.
const PHOTOS: usize = 9;
const TRAIN_PHOTOS: usize = 5;
/// Random histories.
const HISTORIES: u64 = 4;

/// Photos of stripes, one direction and width for each label, with noise.
fn photos(folder: &Path) -> Vec<Item> {
    std::fs::create_dir_all(folder).unwrap();
    let mut items = Vec::new();
    for at in 0..LABELS * PHOTOS {
        let (label, number) = (at % LABELS, at / LABELS);
        let pixel = |place: usize| {
            let (x, y) = (place % 96, place / 96);
            let stripe = [x / 9, y / 5, (x + y) / 13][label] % 2;
            let noise = (place + 7 * at).wrapping_mul(2_654_435_761) >> 7 & 63;
            [stripe * 150 + noise, noise + 10 * number, stripe * 90 + noise].map(|byte| byte.min(255) as u8)
        };
        let picture = Pixels::new(96, 64, (0..96 * 64).flat_map(pixel).collect()).unwrap();
        let path = folder.join(format!("{at:02}.jpg"));
        std::fs::write(&path, thumbnail(&picture).unwrap()).unwrap();
        let label = (number < TRAIN_PHOTOS).then(|| format!("label {label}"));
        items.push(Item { label, given: true, ..Item::found(format!("i{at:02}"), path) });
    }
    items
}

struct Home {
    database: Database,
    ports: Ports,
}

impl Home {
    fn new(folder: &Path) -> Self {
        let model = Model::load(&ModelSpec::new(Architecture::Lite0), &Hardware::cpu()).unwrap();
        let options = Options::for_model(model.info().clone(), model.dimension()).keep(Keep::None);
        let maintain = Arc::new(TorchMaintainer::new(Hardware::cpu(), None));
        let ports = Ports::default().maintain(maintain);
        Self { database: Database::create(folder, options).unwrap(), ports }
    }

    fn run(&self, statement: &str) -> Report {
        match self.database.query(statement, &Arguments::default(), &self.ports).unwrap().pop() {
            Some(Outcome::Report(status)) => status,
            _ => Report::default(),
        }
    }

    fn embedder(&self) -> PhotoEmbedder {
        let info = self.database.options().model.unwrap();
        let model =
            Model::reload(&info, &|name| self.database.snapshot().model_file(name), None, &Hardware::cpu()).unwrap();
        PhotoEmbedder::new(Arc::new(model), Keep::None)
    }

    fn ingest(&self, items: &[Item]) {
        let report = ingest(&self.database, &self.embedder(), items, &IngestOptions::default(), &Stop::new());
        assert_eq!(report.unwrap().failed, []);
    }

    /// Without what the pipeline keeps on the way: as PUT does.
    fn put(&self, key: &str, path: &Path) {
        let embedded = self.embedder().embed(&Photo::File(path.to_owned())).unwrap();
        let put = Put::new(key, embedded.vector).source(path.display().to_string()).content(embedded.content);
        self.database.write_if([Expect::model(self.in_force())], [Operation::Put(put)]).unwrap();
    }

    fn in_force(&self) -> String {
        self.database.options().model.unwrap().fingerprint
    }
}

const LAST: &str = "TRAIN dim=8 seed=7 FORCE";

/// It catches: index images that a training skips because they were added after another one, were ingested under a trained model,
/// or lost the network's descriptors; a seed or an order that depends on the history.
#[test]
fn the_same_images_give_the_same_model_whatever_happened_before() {
    let folder = tempfile::tempdir().unwrap();
    let items = photos(&folder.path().join("photos"));
    let plain = Home::new(&folder.path().join("plain"));
    plain.ingest(&items);
    let status = plain.run(LAST);
    assert_eq!(status.value("index images skipped"), None, "{status:?}");
    let expected = plain.in_force();
    for history in 0..HISTORIES {
        let mut state = history.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
        let mut draw = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let home = Home::new(&folder.path().join(format!("db{history}")));
        let mut told = Vec::new();
        // The first has enough of every label to train on.
        let parts: Vec<usize> = items.iter().enumerate().map(|(at, _)| if at < 6 { 0 } else { draw(3) }).collect();
        for part in 0..3 {
            let now: Vec<Item> =
                items.iter().zip(&parts).filter(|(_, of)| **of == part).map(|(it, _)| it.clone()).collect();
            home.ingest(&now);
            for _ in 0..2 {
                let models = home.database.models().unwrap();
                let out: Vec<u32> = models.iter().filter(|it| !it.active).map(|it| it.number).collect();
                let statement = match draw(4) {
                    0 | 1 => format!("TRAIN dim={} seed={} FORCE", 4 + draw(6), draw(3)),
                    2 if !out.is_empty() => format!("USE MODEL {}", out[draw(out.len())]),
                    3 if !out.is_empty() => format!("DROP MODEL {} FORCE", out[draw(out.len())]),
                    _ => continue,
                };
                home.run(&statement);
                told.push(statement);
            }
        }
        home.run(LAST);
        assert_eq!(home.in_force(), expected, "history {history}: {told:?}, {parts:?}");
        assert!(home.database.check(true).unwrap().problems.is_empty());
    }
}

fn moved(items: &[Item], to: &Path) -> PathBuf {
    let from = items[0].path.parent().unwrap().to_owned();
    std::fs::rename(&from, to).unwrap();
    from
}

/// It catches: the network's descriptors of photos that went in under a trained model thrown away, so that a training or the way back
/// reads the photos again, or cannot.
#[test]
fn no_photo_is_read_again_whose_descriptor_was_made_on_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let items = photos(&folder.path().join("photos"));
    let home = Home::new(&folder.path().join("db"));
    let (first, later) = items.split_at(LABELS * TRAIN_PHOTOS);
    home.ingest(first);
    home.run("TRAIN dim=8 FORCE");
    home.ingest(later);
    let back = moved(&items, &folder.path().join("elsewhere"));
    let trained = home.run(LAST);
    assert_eq!(trained.value("index images skipped"), None, "{trained:?}");
    assert_eq!(trained.value("photo files read"), None, "{trained:?}");
    assert_eq!(home.run("USE MODEL 0").value("descriptors made from photos"), Some("0"));
    home.run("USE MODEL 2");

    // A photo that nothing was kept of is read once.
    std::fs::rename(folder.path().join("elsewhere"), &back).unwrap();
    home.put("late", &items[0].path);
    let table =
        |home: &Home| match home.database.query("SHOW MODELS", &Arguments::default(), &home.ports).unwrap().pop() {
            Some(Outcome::Table(table)) => table.rows.into_iter().map(|row| row[4].clone()).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
    assert_eq!(table(&home), ["kept: 27 of 28 descriptors", "kept: 27 of 28 descriptors", "active"]);
    let trained = home.run("TRAIN dim=8 seed=8 FORCE");
    assert!(trained.value("photo files read").unwrap().starts_with("1: "), "{trained:?}");
    assert_eq!(table(&home)[0], "kept");
    let _away = moved(&items, &folder.path().join("elsewhere"));
    let trained = home.run("TRAIN dim=8 seed=9 FORCE");
    assert_eq!(trained.value("photo files read"), None, "{trained:?}");
    // One of which there is neither is passed over, and told.
    let row = home.database.snapshot().vector("late").unwrap().unwrap();
    home.database.write_if([Expect::model(home.in_force())], [Operation::Put(Put::new("bare", row))]).unwrap();
    let trained = home.run("TRAIN dim=8 seed=10 FORCE");
    let said = trained.value("index images skipped").unwrap();
    assert!(said.starts_with("1: ") && said.contains("'bare'"), "{said}");
    let dry = home.run("TRAIN dim=8 seed=11 DRY RUN");
    assert!(dry.value("index images skipped").is_some(), "{dry:?}");
}

/// It catches: the number of a model that is gone, which people remember, on another one.
#[test]
fn a_number_of_a_model_that_is_gone_is_not_given_again() {
    let folder = tempfile::tempdir().unwrap();
    let items = photos(&folder.path().join("photos"));
    let home = Home::new(&folder.path().join("db"));
    home.ingest(&items);
    for (statement, number) in [("TRAIN dim=8 FORCE", "1"), ("TRAIN dim=9 FORCE", "2")] {
        assert_eq!(home.run(statement).value("active model"), Some(number));
    }
    home.run("USE MODEL 0; DROP MODEL 2");
    assert_eq!(home.run("TRAIN dim=10 FORCE").value("active model"), Some("3"));
    home.run("USE MODEL 0; DROP MODEL 3; DROP MODEL 1");
    let Home { database, ports } = home;
    drop(database);
    let home = Home { database: Database::open(folder.path().join("db")).unwrap(), ports };
    assert_eq!(home.run("TRAIN dim=10 FORCE").value("active model"), Some("4"));
}
