//! The ports that a program passes to the database with a statement.

use std::sync::Arc;

use super::database::Database;
use crate::background::Target;
use crate::error::Result;
use crate::options::ModelInfo;
use crate::ports::{Embed, LocalFeatures, ReadQueries, Reembed};
use crate::progress::Watch;
use crate::report::Report;
use cairndb_query::TrainPlan;

/// The ports that a program passes to the database with a statement. A statement that needs a missing port (`None`) fails with an
/// error that says so.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Ports {
    /// Embeds photos.
    pub embed: Option<Arc<dyn Embed>>,
    /// Reads files of queries.
    pub queries: Option<Arc<dyn ReadQueries>>,
    /// Finds local features, for CLEAN and VERIFY; loaded when a statement first needs it.
    pub features: Option<LoadFeatures>,
    /// Trains models and embeds again, for TRAIN, REEMBED and USE MODEL.
    pub maintain: Option<Arc<dyn Maintain>>,
    /// Watches every statement that may take long, and may stop it: SEARCH, PREDICT, RECOGNIZE, CHECK, COMPACT, BACKUP, CLEAN, TRAIN, REEMBED and
    /// USE MODEL end with [`ErrorKind::Cancelled`](crate::ErrorKind) soon after it answers `Break`. A [`Stop`](crate::Stop) is a watch, too.
    pub watch: Option<Arc<dyn Watch>>,
    /// Whether the program writes the report of `INTO 'file'` from the outcome; the engine writes no reports. Default no: then a
    /// statement with INTO is refused before it runs.
    pub writes_reports: bool,
}

impl Ports {
    /// No ports; the other methods add one each.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`Ports::embed`].
    #[must_use]
    pub fn embed(self, embed: Arc<dyn Embed>) -> Self {
        Self { embed: Some(embed), ..self }
    }

    /// Sets [`Ports::queries`].
    #[must_use]
    pub fn queries(self, queries: Arc<dyn ReadQueries>) -> Self {
        Self { queries: Some(queries), ..self }
    }

    /// Sets [`Ports::features`].
    #[must_use]
    pub fn features(self, features: LoadFeatures) -> Self {
        Self { features: Some(features), ..self }
    }

    /// Sets [`Ports::maintain`].
    #[must_use]
    pub fn maintain(self, maintain: Arc<dyn Maintain>) -> Self {
        Self { maintain: Some(maintain), ..self }
    }

    /// Sets [`Ports::watch`].
    #[must_use]
    pub fn watch(self, watch: Arc<dyn Watch>) -> Self {
        Self { watch: Some(watch), ..self }
    }

    /// Sets [`Ports::writes_reports`].
    #[must_use]
    pub fn writes_reports(self, writes_reports: bool) -> Self {
        Self { writes_reports, ..self }
    }
}

/// Loads the extractor of local features.
pub type LoadFeatures = Arc<dyn Fn() -> Result<Arc<dyn LocalFeatures>> + Send + Sync>;

/// A model to activate, and the code that computes its descriptors.
#[non_exhaustive]
pub struct ModelChange {
    /// The model, and its files in the database.
    pub target: Target,
    /// Computes the descriptors that the database lacks.
    pub reembed: Box<dyn Reembed>,
}

/// The result of a maintenance statement: the engine stores what it names ([`Database::adopt`]).
#[derive(Default)]
#[non_exhaustive]
pub struct Maintained {
    /// The results and measurements, for people.
    pub report: Report,
    /// The model to activate; `None`: the active model stays.
    pub change: Option<ModelChange>,
}

impl ModelChange {
    /// That model, and the code that computes its descriptors.
    pub fn new(target: Target, reembed: impl Reembed + 'static) -> Self {
        Self { target, reembed: Box::new(reembed) }
    }
}

impl Maintained {
    /// A report, and the model to activate, if there is one.
    pub fn new(report: Report, change: impl Into<Option<ModelChange>>) -> Self {
        Self { report, change: change.into() }
    }
}

/// Trains models from a database. It only reads the database; the engine stores and activates the result.
pub trait Maintain: Send + Sync {
    /// TRAIN.
    ///
    /// # Errors
    /// A message for people; the active model stays.
    fn train(&self, database: &Database, plan: &TrainPlan, watch: Option<&dyn Watch>) -> Result<Maintained>;

    /// REEMBED, with the model of a file of weights or the active one.
    ///
    /// # Errors
    /// A message for people; the active model stays.
    fn reembed(&self, database: &Database, weights: Option<&str>) -> Result<Maintained>;

    /// USE MODEL.
    ///
    /// # Errors
    /// A message for people; the active model stays.
    fn use_model(&self, database: &Database, number: u64) -> Result<Maintained>;

    /// The model whose descriptors this one was trained on, for DROP MODEL: the network without its adapter. Default: itself, as
    /// for an untrained model.
    ///
    /// # Errors
    /// A message for people: the stored files of the model cannot be read.
    fn base(&self, model: &ModelInfo) -> Result<ModelInfo> {
        Ok(model.clone())
    }

    /// Prefixes of the names of files that belong to a dropped model and that no other model needs: the engine removes these
    /// files. Default: none.
    ///
    /// # Errors
    /// A message for people; the model is dropped anyway, and its files stay.
    fn released(&self, _dropped: &ModelInfo, _others: &[ModelInfo]) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}
