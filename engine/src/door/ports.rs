//! What a program hands to the database beside a statement.

use std::sync::Arc;

use super::database::Database;
use crate::error::Result;
use crate::options::ModelInfo;
use crate::ports::{Embed, LocalFeatures, ReadQueries};
use crate::progress::Watch;
use crate::report::Report;
use cairndb_query::TrainPlan;

/// What a program hands to the database beside a statement. What is `None` is not to be had: statements that need it say so.
#[derive(Clone, Default)]
pub struct Ports {
    /// Embeds photos.
    pub embed: Option<Arc<dyn Embed>>,
    /// Reads files of queries.
    pub queries: Option<Arc<dyn ReadQueries>>,
    /// Finds local features, for CLEAN; loaded when a statement first needs it.
    pub features: Option<LoadFeatures>,
    /// Trains models and embeds again, for TRAIN, REEMBED and USE MODEL.
    pub maintain: Option<Arc<dyn Maintain>>,
    /// Watches every statement that may take long, and may stop it: SEARCH, PREDICT, CHECK, COMPACT, BACKUP, CLEAN, TRAIN, REEMBED and
    /// USE MODEL end with [`ErrorKind::Cancelled`](crate::ErrorKind) soon after it answers `Break`. A [`Stop`](crate::Stop) is a watch, too.
    pub watch: Option<Arc<dyn Watch>>,
    /// The program writes what `INTO 'file'` names, from the outcome; the engine writes no reports. Default no: a statement with INTO is
    /// refused then, before anything is done.
    pub writes_reports: bool,
}

/// Loads whoever finds local features.
pub type LoadFeatures = Arc<dyn Fn() -> Result<Arc<dyn LocalFeatures>> + Send + Sync>;

/// Trains models on a database and puts them in force; what it returns is for people.
pub trait Maintain: Send + Sync {
    /// TRAIN.
    ///
    /// # Errors
    /// A message for people; the model in force stays.
    fn train(&self, database: &Database, plan: &TrainPlan, watch: Option<&dyn Watch>) -> Result<Report>;

    /// REEMBED, with the model of a file of weights or the one in force.
    ///
    /// # Errors
    /// A message for people; the model in force stays.
    fn reembed(&self, database: &Database, weights: Option<&str>, watch: Option<&dyn Watch>) -> Result<Report>;

    /// USE MODEL.
    ///
    /// # Errors
    /// A message for people; the model in force stays.
    fn use_model(&self, database: &Database, number: u64, watch: Option<&dyn Watch>) -> Result<Report>;

    /// The model whose descriptors this one was trained on, for DROP MODEL: the network without what was trained behind it. Default:
    /// itself, as of a model that nobody trained.
    ///
    /// # Errors
    /// A message for people: what is stored of the model cannot be read.
    fn base(&self, model: &ModelInfo) -> Result<ModelInfo> {
        Ok(model.clone())
    }

    /// DROP MODEL is done: what the database keeps for this model alone may go. Default: nothing.
    ///
    /// # Errors
    /// A message for people; the model is gone all the same.
    fn dropped(&self, _database: &Database, _model: &ModelInfo) -> Result<()> {
        Ok(())
    }
}
