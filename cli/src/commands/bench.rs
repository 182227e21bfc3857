//! The common part of `cairn bench losses` and `cairn bench cleaning`: the images and queries of a database, and the results with
//! other descriptors and other labels, each measured in a separate database.

use std::collections::HashMap;

use cairn::eval::evaluate;
use cairn::language::{DEFAULT_TAU, Loss, TrainPlan};
use cairn::reports::Asked;
use cairn::{Database, Operation, Options, Put, Query, Rerank, Role, SearchRequest};
use cairn_torch::{TorchMaintainer, Trial};
use cairndb_ingest::{PhotoEmbedder, QueryReader};

use crate::args::Opened;
use crate::args::measure::BenchSet;
use crate::comparison::{Measurable, ranked};
use crate::failure::{Failure, Result};
use crate::networks::hardware;
use crate::session::Session;

/// Images per transaction.
const WRITTEN_ROWS: usize = 1000;

/// Images and queries with the base's descriptors.
pub(super) struct Set {
    /// Key, label, descriptor.
    images: Vec<(String, Option<String>, Vec<f32>)>,
    queries: Vec<Asked>,
}

/// mAP@100 of kNN and of sort + insert, in percent.
pub(super) type Score = [f64; 2];

/// Labels that differ from the database's, by key; `None`: the image is left out.
pub(super) type Change = HashMap<String, Option<String>>;

/// The plan of TRAIN, with nothing held out: the queries measure it.
pub(super) fn plan(loss: Loss, seed: u64, epochs: Option<usize>) -> TrainPlan {
    let usual = TrainPlan::usual(loss, false);
    let epochs = epochs.unwrap_or(usual.epochs);
    usual.seed(seed).epochs(epochs).validation(0.0)
}

/// The session of a bench's database, and the trainer.
///
/// # Errors
/// When the database cannot be opened, or the device does not exist.
pub(super) fn opened(args: &BenchSet) -> Result<(Session, TorchMaintainer)> {
    let opened = Opened { database: args.database.clone(), read_only: false };
    let session = Session::open(&opened, &args.model, args.format, Some(&args.truth))?;
    let maintainer = TorchMaintainer::new(hardware(args.model.device)?, args.model.weights.clone());
    Ok((session, maintainer))
}

impl Set {
    /// The images of a database, with the queries of a file.
    ///
    /// # Errors
    /// When a photo or the file cannot be read, or the known answers are for other queries.
    pub(super) fn read(session: &Session, trial: &Trial<'_>, args: &BenchSet) -> Result<Self> {
        let snapshot = session.database.snapshot();
        let mut images = Vec::new();
        for role in [Role::Train, Role::Index] {
            let keys = snapshot.keys(Some(role))?;
            let vectors = trial.descriptors(&keys)?;
            for (key, vector) in keys.into_iter().zip(vectors.chunks(trial.base().dimension())) {
                let label = snapshot.record(&key)?.and_then(|record| record.label);
                images.push((key, label, vector.to_vec()));
            }
        }
        let embedder = PhotoEmbedder::new(trial.base().clone(), session.database.options().keep);
        let reader = QueryReader::new(Some(std::sync::Arc::new(embedder)));
        let read = cairn::embed::ReadQueries::read(&reader, &args.queries)?;
        let asked = |query: cairn::embed::NamedQuery| {
            let (name, number) = (query.id.clone().unwrap_or_default(), query.number);
            Asked::new(name, number, Query::new(query.vector)).id(query.id).photo(query.photo)
        };
        let queries: Vec<Asked> = read.queries.into_iter().map(asked).collect();
        session.failed_queries(&read.failed, queries.len());
        let truth = session.truth().ok_or_else(|| Failure::new("no known answers"))?;
        let named = |path: &std::path::Path| path.display().to_string();
        let measurable = Measurable { asked: &queries, snapshot: &snapshot, scope: SearchRequest::default().scope };
        measurable.check(truth, &named(&args.queries), &named(&args.truth))?;
        Ok(Self { images, queries })
    }

    /// The results of the images with changed labels and of the queries, after `adapt` mapped their descriptors.
    ///
    /// # Errors
    /// When the separate database cannot be created, or a search fails.
    pub(super) fn score(
        &self,
        session: &Session,
        change: &Change,
        adapt: &dyn Fn(&[f32]) -> cairn::Result<Vec<f32>>,
    ) -> Result<Score> {
        let truth = session.truth().ok_or_else(|| Failure::new("no known answers"))?;
        let folder = tempfile::tempdir().map_err(|error| Failure::io(&std::env::temp_dir(), error))?;
        let first = self.images.first().ok_or_else(|| Failure::new("the database is empty"))?;
        let dimension = adapt(&first.2)?.len();
        let database = Database::create(folder.path().join("db"), Options::for_vectors(dimension))?;
        for images in self.images.chunks(WRITTEN_ROWS) {
            let put = |(key, label, vector): &(String, Option<String>, Vec<f32>)| {
                let label = match change.get(key) {
                    Some(None) => return None,
                    Some(label) => label.clone(),
                    None => label.clone(),
                };
                let put = |vector| {
                    let mut put = Put::new(key.clone(), vector);
                    put.label = label;
                    put
                };
                Some(adapt(vector).map(|vector| Operation::Put(put(vector))))
            };
            database.write(images.iter().filter_map(put).collect::<cairn::Result<Vec<_>>>()?)?;
        }
        let mut asked = self.queries.clone();
        for query in &mut asked {
            query.query.vector = adapt(&query.query.vector)?;
        }
        let queries: Vec<Query> = asked.iter().map(|asked| asked.query.clone()).collect();
        let snapshot = database.apply_pending()?;
        let rerank = Rerank::new().k(cairn::limits::DEFAULT_VOTE_K).tau(DEFAULT_TAU);
        let mut score = [0.0; 2];
        for (score, rerank) in score.iter_mut().zip([None, Some(rerank)]) {
            let request = SearchRequest::new().rerank(rerank);
            let answers = snapshot.search(&request, &queries)?;
            *score = 100.0 * evaluate(truth.truths(), &ranked(&asked, &answers), request.depth).map;
        }
        Ok(score)
    }
}

/// Mean, minimum and maximum of one of the two figures.
pub(super) fn spread(scores: &[Score], method: usize) -> (f64, f64, f64) {
    let values = scores.iter().map(|score| score[method]);
    let mean = values.clone().sum::<f64>() / scores.len().max(1) as f64;
    let (least, most) = values.fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)));
    (mean, least, most)
}
