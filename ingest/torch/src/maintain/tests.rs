#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;

use cairn::eval::{Truth, evaluate};
use cairn::language::{CleanPlan, Flip, Loss, TrainPlan};
use cairn::model::Maintain;
use cairn::reports::Report;
use cairn::{
    Database, ErrorKind, Expect, Operation, Options, Progress, Put, Query, Rerank, Result, Role, SearchRequest, Watch,
};

use super::TorchMaintainer;
use crate::device::Hardware;
use crate::model::{Architecture, Model, ModelSpec};
use crate::testing::{shared, shared_npy};

/// Ids and descriptors of a part of the landmarks.
fn part(name: &str) -> Option<Vec<(String, Vec<f32>)>> {
    let ids = std::fs::read_to_string(shared(&format!("golden/lite0/landmarks_{name}_ids.txt"))?).unwrap();
    let vectors = shared_npy(&format!("golden/lite0/landmarks_{name}_f16.npy"))?;
    let vectors: Vec<Vec<f32>> = vectors.try_into().unwrap();
    Some(ids.lines().map(str::to_owned).zip(vectors).collect())
}

/// Column `value` of a list by its column `id`.
fn column(list: &str, value: usize) -> Option<HashMap<String, String>> {
    let mut rows = csv::Reader::from_path(shared(list)?).unwrap();
    Some(
        rows.records().map(std::result::Result::unwrap).map(|row| (row[0].to_owned(), row[value].to_owned())).collect(),
    )
}

fn plain() -> Model {
    Model::load(&ModelSpec::new(Architecture::Lite0), &Hardware::cpu()).unwrap()
}

fn maintainer() -> TorchMaintainer {
    TorchMaintainer::new(Hardware::cpu(), None)
}

/// TRAIN, and what it names is stored.
fn train(database: &Database, plan: &TrainPlan, watch: Option<&dyn Watch>) -> Result<Report> {
    database.adopt(maintainer().train(database, plan, watch)?, watch)
}

fn use_model(database: &Database, number: u64) -> Result<Report> {
    database.adopt(maintainer().use_model(database, number)?, None)
}

fn reembed(database: &Database) -> Result<Report> {
    database.adopt(maintainer().reembed(database, None)?, None)
}

fn image(key: &str, label: Option<&str>, vector: Vec<f32>) -> Operation {
    let label = label.map(str::to_owned);
    Operation::Put({
        let mut put = Put::new(key.to_owned(), vector);
        put.label = label;
        put
    })
}

/// Writes descriptors of the active model.
fn write(database: &Database, operations: Vec<Operation>) {
    let made_by = database.options().model.map(|model| model.fingerprint);
    database.write_if([Expect::Model(made_by)], operations).unwrap();
}

/// The landmarks without their photos: their descriptors are known.
fn landmarks(folder: &Path) -> Option<Database> {
    let labels = column("photos/landmarks/train.csv", 2)?;
    let model = plain();
    let database = Database::create(folder, Options::for_model(model.info().clone(), model.dimension())).unwrap();
    let train = part("train")?.into_iter().map(|(id, vector)| image(&id, Some(&labels[&id]), vector));
    let index = part("index")?.into_iter().map(|(id, vector)| image(&id, None, vector));
    write(&database, train.chain(index).collect());
    Some(database)
}

/// mAP@100 of kNN and of sort + insert, in percent.
fn measured(database: &Database) -> Option<(f64, f64)> {
    let solution = column("photos/landmarks/solution.csv", 1)?;
    let mut truths: Vec<Truth> = solution
        .into_iter()
        .map(|(query, relevant)| Truth { query, relevant: relevant.split(' ').map(str::to_owned).collect() })
        .collect();
    // One order, so that sums are the same to the last bit.
    truths.sort_by(|a, b| a.query.cmp(&b.query));
    let info = database.options().model.unwrap();
    let model = Model::reload(&info, &|name| database.snapshot().model_file(name), None, &Hardware::cpu()).unwrap();
    let queries = part("query")?;
    let adapted = |vector: &Vec<f32>| match model.adapter() {
        Some(adapter) => adapter.apply(vector).unwrap(),
        None => vector.clone(),
    };
    let asked: Vec<Query> = queries.iter().map(|(_, vector)| Query::new(adapted(vector))).collect();
    let map = |rerank: Option<Rerank>| {
        let answers = database.snapshot().search(&SearchRequest::new().rerank(rerank), &asked).unwrap();
        let ranked = queries.iter().zip(answers);
        let ranked = ranked.map(|((id, _), answer)| (id.clone(), answer.rows.into_iter().map(|row| row.id).collect()));
        100.0 * evaluate(&truths, &ranked.collect(), 100).map
    };
    Some((map(None), map(Some(Rerank::new().k(3).tau(0.6)))))
}

fn plan(loss: Loss) -> TrainPlan {
    TrainPlan::usual(loss, false).epochs(12).batch(32).rate(0.02).seed(1).validation(0.34)
}

#[test]
fn a_training_makes_the_landmarks_better_and_can_be_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let Some(database) = landmarks(&folder.path().join("db")) else { return };
    let before = measured(&database).unwrap();
    let tried = train(&database, &plan(Loss::Discriminant).flip(Flip::Never), None);
    assert!(tried.unwrap().value("outcome").unwrap().contains("dry run"));
    assert_eq!(database.options().dimension, 1280);
    let trained = train(&database, &plan(Loss::Discriminant), None).unwrap();
    assert_eq!(trained.value("active model"), Some("1"), "{trained:?}");
    assert_eq!(trained.value("descriptors made from photos"), Some("0"));
    assert_eq!(database.options().dimension, 256);
    assert!(database.check(true).unwrap().problems.is_empty());
    let after = measured(&database).unwrap();
    println!("kNN {:.2} -> {:.2}, sort + insert {:.2} -> {:.2}", before.0, after.0, before.1, after.1);
    assert!(after.0 > before.0 + 5.0 && after.1 >= 82.0, "{before:?} -> {after:?}");

    // The same training on the same images gives the same model.
    let again = train(&database, &plan(Loss::Discriminant), None).unwrap();
    assert!(again.value("outcome").unwrap().contains("already active"), "{again:?}");
    // A recipe that does worse does not displace it unasked.
    let head = train(&database, &plan(Loss::Softmax).epochs(2), None).unwrap();
    assert!(head.value("outcome").unwrap().contains("with the new one"), "{head:?}");
    use_model(&database, 0).unwrap();
    assert_eq!(measured(&database).unwrap(), before);
    use_model(&database, 1).unwrap();
    assert_eq!(measured(&database).unwrap(), after);
    assert_eq!(use_model(&database, 1).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(use_model(&database, 9).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_training_after_a_cleaning_is_compared_with_what_learnt_from_all() {
    let folder = tempfile::tempdir().unwrap();
    let Some(database) = landmarks(&folder.path().join("db")) else { return };
    let first = train(&database, &plan(Loss::Discriminant), None).unwrap();
    assert_eq!(first.value("active model"), Some("1"), "{first:?}");
    // It marks good photos, too.
    let marked = CleanPlan::suspects(150).dry_run(false);
    database.clean(&marked, None, None).unwrap();
    assert!(database.marked().unwrap().len() > 100);
    let second = train(&database, &plan(Loss::Discriminant), None).unwrap();
    assert!(second.value("outcome").unwrap().contains("with the new one"), "{second:?}");
    assert!(second.value("mAP@100, images held out").unwrap().contains("active"), "{second:?}");
    // On request it becomes active; from then on another training starts from it, too.
    let plan = plan(Loss::Discriminant).flip(Flip::Always);
    assert_eq!(train(&database, &plan, None).unwrap().value("active model"), Some("2"));
    let plan = plan.flip(Flip::UnlessWorse);
    let again = train(&database, &plan, None).unwrap();
    assert!(again.value("outcome").unwrap().contains("already active"), "{again:?}");
}

#[test]
fn the_networks_descriptors_are_read_where_they_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    let Some(database) = landmarks(&folder.path().join("db")) else { return };
    // No photo is there: the epoch begins and holds nothing.
    assert!(reembed(&database).is_err());
    assert_eq!(database.models().unwrap()[1].unfinished, Some(0));
    let trained = train(&database, &plan(Loss::Discriminant), None).unwrap();
    assert_eq!(trained.value("descriptors made from photos"), Some("0"), "{trained:?}");
    assert_ne!(trained.value("index images also used for training"), Some("0"), "{trained:?}");
}

/// Deletes an image and puts another one while a training reads.
struct Writer(Database, String);

impl Watch for Writer {
    fn progress(&self, Progress { what, done, .. }: Progress<'_>) -> ControlFlow<()> {
        if what == "descriptors read" && done == 256 {
            let vector = self.0.snapshot().vector(&self.1).unwrap().unwrap();
            let new = image("new", Some("a new label"), vector);
            write(&self.0, vec![Operation::Delete { key: self.1.clone() }, new]);
        }
        ControlFlow::Continue(())
    }
}

#[test]
fn writes_go_on_while_a_training_reads() {
    let folder = tempfile::tempdir().unwrap();
    let Some(database) = landmarks(&folder.path().join("db")) else { return };
    let last = database.snapshot().keys(Some(Role::Train)).unwrap().pop().unwrap();
    let beside = Writer(database.clone(), last.clone());
    let trained = train(&database, &plan(Loss::Discriminant), Some(&beside)).unwrap();
    assert_eq!(trained.value("active model"), Some("1"), "{trained:?}");
    let snapshot = database.snapshot();
    assert!(snapshot.record(&last).unwrap().is_none() && snapshot.vector("new").unwrap().unwrap().len() == 256);
    assert!(database.check(true).unwrap().problems.is_empty());
}

/// Notes how the reading goes on, and tries a training beside the one that it watches.
struct Second {
    database: Database,
    seen: Mutex<Vec<(usize, usize)>>,
    refused: Mutex<Option<ErrorKind>>,
}

impl Watch for Second {
    fn progress(&self, Progress { what, done, all, .. }: Progress<'_>) -> ControlFlow<()> {
        if what == "descriptors read" {
            self.seen.lock().unwrap().push((done, all));
        }
        if what == "steps" && done == 1 {
            let beside = train(&self.database, &plan(Loss::Softmax), None);
            *self.refused.lock().unwrap() = beside.err().map(|error| error.kind());
        }
        ControlFlow::Continue(())
    }
}

#[test]
fn an_unreadable_photo_does_not_cost_the_others_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let Some(photos) = shared("photos/landmarks/images") else { return };
    let mut photos: Vec<_> = std::fs::read_dir(photos).unwrap().map(|entry| entry.unwrap().path()).collect();
    photos.sort();
    let model = plain();
    let options = Options::for_model(model.info().clone(), model.dimension());
    let database = Database::create(folder.path().join("db"), options).unwrap();
    let bad = folder.path().join("bad.jpg");
    std::fs::write(&bad, b"no photo").unwrap();
    // The third one was damaged after it was stored.
    for (key, file, was) in [("a", &photos[0], &photos[0]), ("bad", &bad, &photos[2]), ("c", &photos[1], &photos[1])] {
        let source = Some(file.to_str().unwrap().to_owned());
        let vector = (0..1280).map(|n| (n % 7) as f32).collect::<Vec<_>>();
        let content = Some(*blake3::hash(&std::fs::read(was).unwrap()).as_bytes());
        let put = {
            let mut put = Put::new(key.to_owned(), vector);
            put.source = source;
            put.content = content;
            put
        };
        write(&database, vec![Operation::Put(put)]);
    }
    let refused = reembed(&database).unwrap_err();
    assert!(refused.to_string().contains("'bad'") && refused.next_step().unwrap().contains("DELETE"), "{refused}");
    assert_eq!(database.models().unwrap()[1].unfinished, Some(2), "the sound photos of the chunk are kept");
    std::fs::copy(&photos[2], &bad).unwrap();
    let status = reembed(&database).unwrap();
    assert_eq!(status.value("descriptors made from photos"), Some("1"), "{status:?}");
}

#[test]
fn a_shorter_training_of_the_same_recipe_does_not_displace_a_better_one() {
    let folder = tempfile::tempdir().unwrap();
    let Some(database) = landmarks(&folder.path().join("db")) else { return };
    let long = train(&database, &plan(Loss::ArcFace), None).unwrap();
    assert_eq!(long.value("active model"), Some("1"), "{long:?}");
    let worth = long.value("mAP@100, images held out").unwrap().rsplit(" -> ").next().unwrap().to_owned();
    let plan = plan(Loss::ArcFace).epochs(3);
    let short = train(&database, &plan, None).unwrap();
    assert!(short.value("outcome").unwrap().contains("with the new one"), "{short:?}");
    // The same images were held out, so the active model has the figure of its training.
    let shown = short.value("mAP@100, images held out").unwrap();
    assert!(shown.ends_with(&format!("; active: {worth}")), "{shown}, {worth}");
    assert_eq!(database.models().unwrap().len(), 2);
    let told = train(&database, &plan.flip(Flip::Always), None).unwrap();
    assert_eq!(told.value("active model"), Some("2"), "{told:?}");
}

#[test]
fn a_loss_trains_a_head_beside_the_descriptor() {
    let folder = tempfile::tempdir().unwrap();
    let Some(database) = landmarks(&folder.path().join("db")) else { return };
    let vector = database.snapshot().vector(&part("train").unwrap()[0].0).unwrap().unwrap();
    write(&database, vec![image("alone", Some("seen once"), vector)]);
    let second = Second { database: database.clone(), seen: Mutex::default(), refused: Mutex::default() };
    let trained = train(&database, &plan(Loss::ArcFace), Some(&second)).unwrap();
    assert_eq!(trained.value("active model"), Some("1"), "{trained:?}");
    assert_eq!(trained.value("left out: only image of its label"), Some("1"), "{trained:?}");
    assert_eq!(database.options().dimension, 1280 + 512);
    assert_eq!(second.seen.into_inner().unwrap(), [(256, 259), (259, 259)]);
    assert_eq!(second.refused.into_inner().unwrap(), Some(ErrorKind::Locked));
    let solved = plan(Loss::Discriminant).flip(Flip::Never);
    let solved = train(&database, &solved, None).unwrap();
    assert_eq!(solved.value("left out: only image of its label"), Some("1"), "{solved:?}");
    let log = std::fs::read_to_string(trained.value("log").unwrap()).unwrap();
    assert_eq!(log.lines().count() - 1, trained.value("steps").unwrap().parse::<usize>().unwrap());
    assert!(std::fs::read_to_string(trained.value("plot").unwrap()).unwrap().contains("<polyline"));
}

#[test]
fn what_cannot_be_learnt_from_is_told_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let model = plain();
    let options = Options::for_model(model.info().clone(), model.dimension());
    let database = Database::create(folder.path().join("db"), options).unwrap();
    let said = |database: &Database, loss: Loss| train(database, &plan(loss), None).unwrap_err().to_string();
    assert!(said(&database, Loss::Discriminant).contains("no labelled images"));
    let vector = |n: usize| (0..1280).map(|i| ((i * 7 + n * 31) % 97) as f32 - 48.0).collect::<Vec<f32>>();
    let images = |from: usize, label: &str| -> Vec<Operation> {
        (from..from + 12).map(|n| image(&format!("i{n}"), Some(label), vector(n))).collect()
    };
    write(&database, images(0, "only"));
    for loss in [Loss::Discriminant, Loss::ArcFace] {
        assert!(said(&database, loss).contains("label"), "{}", said(&database, loss));
    }
    assert_eq!(database.options().dimension, 1280);
    assert_eq!(database.models().unwrap().len(), 1);

    let bare = Database::create(folder.path().join("bare"), Options::for_vectors(8)).unwrap();
    assert!(said(&bare, Loss::ArcFace).contains("has no model"));
    // Without photos nothing can be embedded again, and the model stays.
    let lost = reembed(&database).unwrap_err();
    assert!(lost.to_string().contains("does not exist any more"), "{lost}");
    assert!(lost.next_step().is_some());
    assert_eq!(database.snapshot().keys(Some(Role::Train)).unwrap().len(), 12);
}

/// It catches: an adapter that does not fit an ensemble, and a training of the trunk that trains one network of it.
#[test]
fn a_training_puts_its_map_behind_an_ensemble_and_refuses_its_trunk() {
    let folder = tempfile::tempdir().unwrap();
    let spec: ModelSpec = "lite0-gem+lite0-gem:0.5".parse().unwrap();
    let model = Model::load(&spec, &Hardware::cpu()).unwrap();
    let options = Options::for_model(model.info().clone(), model.dimension());
    let database = Database::create(folder.path().join("db"), options).unwrap();
    let Some(rows) = part("train") else { return };
    let labels = column("photos/landmarks/train.csv", 2).unwrap();
    let twice = |row: &[f32]| row.iter().copied().chain(row.iter().map(|x| x / 2.0)).collect();
    write(&database, rows.iter().map(|(id, row)| image(id, Some(&labels[id]), twice(row))).collect());
    let error = train(&database, &TrainPlan::usual(Loss::ArcFace, true), None).unwrap_err();
    assert!(error.to_string().contains("trains one network") && error.next_step().is_some(), "{error}");
    let short = plan(Loss::ArcFace).epochs(1).validation(0.0).flip(Flip::Always);
    let trained = train(&database, &short, None).unwrap();
    assert_eq!(trained.value("active model"), Some("1"), "{trained:?}");
    assert_eq!(database.options().dimension, 2560 + 512);
    let active = database.options().model.unwrap();
    assert_eq!(active.name, "lite0-gem+lite0-gem:0.5+trained");
    let again = maintainer().load(&database, &active).unwrap();
    assert_eq!((again.info(), again.dimension()), (&active, database.options().dimension));
}
