//! `cairn bench losses`: the comparison of losses of the paper's Table 5 on a database with queries and known answers.

use std::io::Write as _;

use cairn::eval::evaluate;
use cairn::language::{BoundTrain, DEFAULT_TAU, Loss, TrainPlan};
use cairn::{Asked, Database, Operation, Options, Put, Query, Rerank, Role, SearchRequest};
use cairndb_ingest::train::Adapter;
use cairndb_ingest::{PhotoEmbedder, QueryReader, TorchMaintainer, Trial};

use super::standard_output;
use crate::args::{BenchLosses, Opened};
use crate::comparison::ranked;
use crate::failure::{Failure, Result};
use crate::output::{Cell, Printer};
use crate::session::{Session, hardware};
use crate::terminal::note;

/// Images written by one transaction.
const WRITTEN_ROWS: usize = 1000;

/// Images and queries with the base's descriptors.
struct Set {
    /// Key, label, descriptor.
    images: Vec<(String, Option<String>, Vec<f32>)>,
    queries: Vec<Asked>,
}

/// mAP@100 of kNN and of sort + insert, in percent.
type Score = [f64; 2];

/// Runs the command.
///
/// # Errors
/// When a file cannot be read, the database has no model or no labels, or a training fails.
pub(super) fn run(args: &BenchLosses) -> Result<()> {
    let opened = Opened { database: args.database.clone(), read_only: false };
    let session = Session::open(&opened, &args.model, args.format, Some(&args.truth))?;
    let maintainer = TorchMaintainer::new(hardware(args.model.device)?, args.model.weights.clone());
    let trial = maintainer.trial(&session.database)?;
    let set = read(&session, &trial, args)?;
    let mut out = standard_output();
    let columns = ["loss", "dim", "seeds", "kNN mAP@100", "+-", "sort+insert mAP@100", "+-"];
    let mut printer = Printer::begin(&mut out, args.format, &columns)?;
    let plain = score(&session, &set, &|vector: &[f32]| Ok(vector.to_vec()))?;
    printer.row(line("none: as published", trial.base().dimension(), &[plain]))?;
    for loss in Loss::ALL {
        let mut scores = Vec::new();
        let mut dimension = 0;
        for seed in 0..args.seeds {
            note(&format!("training with {}, seed {seed}", loss.name()));
            let adapter = trial.learn(&plan(loss, seed, args))?;
            dimension = adapter.dimension();
            scores.push(score(&session, &set, &|vector: &[f32]| Adapter::apply(&adapter, vector))?);
        }
        printer.row(line(loss.name(), dimension, &scores))?;
    }
    printer.end()?;
    Ok(out.flush()?)
}

fn plan(loss: Loss, seed: u64, args: &BenchLosses) -> TrainPlan {
    // Nothing is held out: the queries judge.
    let typed = BoundTrain {
        loss: Some(loss),
        seed: Some(seed),
        epochs: args.epochs,
        validation: Some(0.0),
        ..BoundTrain::default()
    };
    cairn::language::plan_train(typed)
}

fn line(name: &str, dimension: usize, scores: &[Score]) -> Vec<Cell> {
    let mut cells = vec![Cell::Text(name.to_owned()), Cell::Whole(dimension as u64), Cell::Whole(scores.len() as u64)];
    for method in 0..2 {
        let values = scores.iter().map(|score| score[method]);
        let mean = values.clone().sum::<f64>() / scores.len().max(1) as f64;
        let (least, most) =
            values.fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)));
        cells.push(Cell::Fixed(mean, 2));
        cells.push(Cell::Fixed((most - least).max(0.0) / 2.0, 2));
    }
    cells
}

fn read(session: &Session, trial: &Trial<'_>, args: &BenchLosses) -> Result<Set> {
    let snapshot = session.database.drain()?;
    let mut images = Vec::new();
    for role in [Role::Train, Role::Index] {
        let keys = snapshot.keys(Some(role))?;
        let vectors = trial.descriptors(&keys)?;
        for (key, vector) in keys.into_iter().zip(vectors.chunks(trial.base().dimension())) {
            let label = snapshot.record(&key)?.and_then(|record| record.label);
            images.push((key, label, vector.to_vec()));
        }
    }
    let embedder = PhotoEmbedder::new(std::sync::Arc::clone(trial.base()), session.database.options().keep);
    let reader = QueryReader::new(Some(std::sync::Arc::new(embedder)));
    let named = cairn::ReadQueries::read(&reader, &args.queries)?;
    let asked = |query: cairn::NamedQuery| {
        let name = query.id.clone().unwrap_or_default();
        Asked { name, id: query.id, query: Query { vector: query.vector, without: None }, photo: query.photo }
    };
    Ok(Set { images, queries: named.into_iter().map(asked).collect() })
}

/// What the images and queries give once their descriptors went through `adapt`.
fn score(session: &Session, set: &Set, adapt: &dyn Fn(&[f32]) -> cairn::Result<Vec<f32>>) -> Result<Score> {
    let truth = session.truth().ok_or_else(|| Failure::new("no known answers"))?;
    let folder = tempfile::tempdir().map_err(|error| Failure::io(&std::env::temp_dir(), error))?;
    let first = set.images.first().ok_or_else(|| Failure::new("the database is empty"))?;
    let dimension = adapt(&first.2)?.len();
    let database = Database::create(&folder.path().join("db"), Options::for_vectors(dimension))?;
    for images in set.images.chunks(WRITTEN_ROWS) {
        let put = |(key, label, vector): &(String, Option<String>, Vec<f32>)| {
            let (key, label, vector) = (key.clone(), label.clone(), adapt(vector)?);
            Ok(Operation::Put(Put { key, label, vector, source: None, content: None, photo: None }))
        };
        database.write(images.iter().map(put).collect::<cairn::Result<_>>()?)?;
    }
    let mut asked = set.queries.clone();
    for query in &mut asked {
        query.query.vector = adapt(&query.query.vector)?;
    }
    let queries: Vec<Query> = asked.iter().map(|asked| asked.query.clone()).collect();
    let snapshot = database.drain()?;
    let rerank = Rerank { k: cairn::DEFAULT_VOTE_K, sort: true, insert: Some(DEFAULT_TAU) };
    let mut score = [0.0; 2];
    for (score, rerank) in score.iter_mut().zip([None, Some(rerank)]) {
        let request = SearchRequest { rerank, ..SearchRequest::default() };
        let answers = snapshot.search(&request, &queries)?;
        *score = 100.0 * evaluate(truth.truths(), &ranked(&asked, &answers), request.depth).map;
    }
    Ok(score)
}
