#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::path::Path;

use cairn::eval::{Truth, evaluate};
use cairn::language::{Flip, Loss, TrainPlan};
use cairn::{Database, ErrorKind, Maintain, Operation, Options, Put, Query, Rerank, Role, SearchRequest, Status};

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
    Some(rows.records().map(Result::unwrap).map(|row| (row[0].to_owned(), row[value].to_owned())).collect())
}

fn plain() -> Model {
    Model::load(&ModelSpec::new(Architecture::Lite0), &Hardware::cpu()).unwrap()
}

fn maintainer() -> TorchMaintainer {
    TorchMaintainer::new(Hardware::cpu(), None)
}

fn image(key: &str, label: Option<&str>, vector: Vec<f32>) -> Operation {
    let label = label.map(str::to_owned);
    Operation::Put(Put { key: key.to_owned(), label, vector, source: None, content: None, photo: None })
}

/// The landmarks without their photos: their descriptors are known.
fn landmarks(folder: &Path) -> Option<Database> {
    let labels = column("photos/landmarks/train.csv", 2)?;
    let model = plain();
    let database = Database::create(folder, Options::for_model(model.info().clone(), model.dimension())).unwrap();
    let train = part("train")?.into_iter().map(|(id, vector)| image(&id, Some(&labels[&id]), vector));
    let index = part("index")?.into_iter().map(|(id, vector)| image(&id, None, vector));
    database.write(train.chain(index).collect()).unwrap();
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
    let model = Model::reload(&info, &|name| database.file(name), None, &Hardware::cpu()).unwrap();
    let queries = part("query")?;
    let adapted = |vector: &Vec<f32>| match model.adapter() {
        Some(adapter) => adapter.apply(vector).unwrap(),
        None => vector.clone(),
    };
    let asked: Vec<Query> =
        queries.iter().map(|(_, vector)| Query { vector: adapted(vector), without: None }).collect();
    let map = |rerank: Option<Rerank>| {
        let answers = database.snapshot().search(&SearchRequest { rerank, ..Default::default() }, &asked).unwrap();
        let ranked = queries.iter().zip(answers);
        let ranked = ranked.map(|((id, _), answer)| (id.clone(), answer.rows.into_iter().map(|row| row.id).collect()));
        100.0 * evaluate(&truths, &ranked.collect(), 100).map
    };
    Some((map(None), map(Some(Rerank { k: 3, sort: true, insert: Some(0.6) }))))
}

fn plan(loss: Loss) -> TrainPlan {
    TrainPlan {
        loss,
        dimension: loss.default_dimension(),
        epochs: 12,
        batch: 32,
        rate: 0.02,
        margin: loss.default_margin(),
        scale: loss.default_scale(),
        seed: 1,
        validation: 0.34,
        balance: false,
        trunk: None,
        from: None,
        flip: Flip::UnlessWorse,
    }
}

fn line<'s>(status: &'s Status, name: &str) -> Option<&'s str> {
    status.lines.iter().find(|line| line.0 == name).map(|line| line.1.as_str())
}

#[test]
fn a_training_makes_the_landmarks_better_and_can_be_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let Some(database) = landmarks(&folder.path().join("db")) else { return };
    let before = measured(&database).unwrap();
    let tried = maintainer().train(&database, &TrainPlan { flip: Flip::Never, ..plan(Loss::Discriminant) }, None);
    assert!(line(&tried.unwrap(), "outcome").unwrap().contains("dry run"));
    assert_eq!(database.options().dimension, 1280);
    let trained = maintainer().train(&database, &plan(Loss::Discriminant), None).unwrap();
    assert_eq!(line(&trained, "model in force"), Some("1"), "{trained:?}");
    assert_eq!(line(&trained, "descriptors made from photos"), Some("0"));
    assert_eq!(database.options().dimension, 256);
    assert!(database.check(true).unwrap().problems.is_empty());
    let after = measured(&database).unwrap();
    println!("kNN {:.2} -> {:.2}, sort + insert {:.2} -> {:.2}", before.0, after.0, before.1, after.1);
    assert!(after.0 > before.0 + 5.0 && after.1 >= 82.0, "{before:?} -> {after:?}");

    // The same training on the same images gives the same model.
    let again = maintainer().train(&database, &plan(Loss::Discriminant), None).unwrap();
    assert!(line(&again, "outcome").unwrap().contains("the same model"), "{again:?}");
    // A recipe that does worse does not displace it unasked.
    let head = maintainer().train(&database, &TrainPlan { epochs: 2, ..plan(Loss::Softmax) }, None).unwrap();
    assert!(line(&head, "outcome").unwrap().contains("when it was trained"), "{head:?}");
    maintainer().use_model(&database, 0, None).unwrap();
    assert_eq!(measured(&database).unwrap(), before);
    maintainer().use_model(&database, 1, None).unwrap();
    assert_eq!(measured(&database).unwrap(), after);
    assert_eq!(maintainer().use_model(&database, 1, None).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(maintainer().use_model(&database, 9, None).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_loss_trains_a_head_beside_the_descriptor() {
    let folder = tempfile::tempdir().unwrap();
    let Some(database) = landmarks(&folder.path().join("db")) else { return };
    let trained = maintainer().train(&database, &plan(Loss::ArcFace), None).unwrap();
    assert_eq!(line(&trained, "model in force"), Some("1"), "{trained:?}");
    assert_eq!(database.options().dimension, 1280 + 512);
    let log = std::fs::read_to_string(line(&trained, "log").unwrap()).unwrap();
    assert_eq!(log.lines().count() - 1, line(&trained, "steps").unwrap().parse::<usize>().unwrap());
    assert!(std::fs::read_to_string(line(&trained, "plot").unwrap()).unwrap().contains("<polyline"));
}

#[test]
fn what_cannot_be_learnt_from_is_told_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let model = plain();
    let options = Options::for_model(model.info().clone(), model.dimension());
    let database = Database::create(&folder.path().join("db"), options).unwrap();
    let said =
        |database: &Database, loss: Loss| maintainer().train(database, &plan(loss), None).unwrap_err().to_string();
    assert!(said(&database, Loss::Discriminant).contains("no labelled images"));
    let vector = |n: usize| (0..1280).map(|i| ((i * 7 + n * 31) % 97) as f32 - 48.0).collect::<Vec<f32>>();
    let images = |from: usize, label: &str| -> Vec<Operation> {
        (from..from + 12).map(|n| image(&format!("i{n}"), Some(label), vector(n))).collect()
    };
    database.write(images(0, "only")).unwrap();
    for loss in [Loss::Discriminant, Loss::ArcFace] {
        assert!(said(&database, loss).contains("label"), "{}", said(&database, loss));
    }
    assert_eq!(database.options().dimension, 1280);
    assert_eq!(database.models().unwrap().len(), 1);

    let bare = Database::create(&folder.path().join("bare"), Options::for_vectors(8)).unwrap();
    assert!(said(&bare, Loss::ArcFace).contains("has no model"));
    // Without photos nothing can be embedded again, and the model stays.
    let lost = maintainer().reembed(&database, None, None).unwrap_err();
    assert!(lost.to_string().contains("is not there any more"), "{lost}");
    assert!(lost.next_step().is_some());
    assert_eq!(database.snapshot().keys(Some(Role::Train)).unwrap().len(), 12);
}
