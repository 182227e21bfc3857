//! TRAIN, REEMBED and USE MODEL: the engine's port for them.
//!
//! A training works on the descriptors of the published network (the *base*), which a database keeps beside the active ones; its
//! result is an adapter behind the network. So a trained model needs no photo to embed the stored images.

mod base;
mod checkpoints;
mod gather;
mod judgement;
mod photos;
mod recipe;
mod release;
mod report;
mod trained;
mod tuned;
mod wishes;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn::language::{Origin, TrainPlan};
use cairn::model::{Maintain, Maintained, ModelChange, ModelInfo, Target};
use cairn::reports::Report;
use cairn::{Database, Error, Result, Watch};

use crate::device::Hardware;
use crate::model::{Adapter, Model, base_of, spec_of};
use base::{Again, Base, Gathering};
use gather::Workshop;
pub use release::released;

/// The line of an answer that says which files were read: their paths came from the database.
const FILES_READ: &str = "photo files read";

/// Trains and embeds with torch.
pub struct TorchMaintainer {
    hardware: Hardware,
    weights: Option<PathBuf>,
}

impl TorchMaintainer {
    /// On a device; `weights` replaces the remembered path of the network's weights, never their digest.
    pub fn new(hardware: Hardware, weights: Option<PathBuf>) -> Self {
        Self { hardware, weights }
    }

    fn load(&self, database: &Database, info: &ModelInfo) -> Result<Arc<Model>> {
        let snapshot = database.snapshot();
        let files = |name: &str| snapshot.model_file(name);
        Ok(Arc::new(Model::reload(info, &files, self.weights.as_deref(), &self.hardware)?))
    }

    /// The network behind a model of the database, without what was trained.
    fn base(&self, database: &Database, info: &ModelInfo) -> Result<Base> {
        let info = base_of(info)?;
        Base::new(database, self.load(database, &info)?)
    }
}

/// A loss that was trained on a database, and what it needs to be measured elsewhere.
pub struct Trial<'d> {
    maintainer: &'d TorchMaintainer,
    database: &'d Database,
    base: Base,
    gathered: gather::Gathered,
}

impl Trial<'_> {
    /// The network without anything trained behind it.
    pub fn base(&self) -> &Arc<Model> {
        &self.base.model
    }

    /// The base's descriptors of these images; those that are not stored are made from photos.
    ///
    /// # Errors
    /// When a photo does not exist any more.
    pub fn descriptors(&self, keys: &[String]) -> Result<Vec<f32>> {
        let (database, snapshot) = (self.database, self.database.snapshot());
        self.base.descriptors(&Gathering { database, snapshot: &snapshot, keeps: false, watch: None }, keys)
    }

    /// The same with other labels, by key; `None` leaves an image out.
    #[must_use]
    pub fn relabelled(&self, labels: &HashMap<String, Option<String>>) -> Self {
        let gathered = self.gathered.relabelled(labels);
        Self { maintainer: self.maintainer, database: self.database, base: self.base.clone(), gathered }
    }

    /// Trains as TRAIN would, but for the descriptor as it was, which is left out; changes nothing.
    ///
    /// # Errors
    /// As TRAIN.
    pub fn learn(&self, plan: &TrainPlan) -> Result<Adapter> {
        let hardware = &self.maintainer.hardware;
        let setting = trained::Setting { hardware, concatenation: 0.0, files: None, watch: None };
        Ok(trained::learn(self.database, &self.base, &self.gathered, plan, &setting)?.adapter)
    }
}

impl TorchMaintainer {
    /// To compare losses on the labelled images of a database.
    ///
    /// # Errors
    /// `Invalid`: there are none, or the database has no model.
    pub fn trial<'d>(&'d self, database: &'d Database) -> Result<Trial<'d>> {
        let base = self.base(database, &in_force(database)?)?;
        let gathered = gather::gather(database, &base, true, None)?;
        Ok(Trial { maintainer: self, database, base, gathered })
    }
}

/// The active model.
fn in_force(database: &Database) -> Result<ModelInfo> {
    database.options().model.ok_or_else(|| {
        Error::invalid("this is a database of bare vectors: it has no model")
            .help("create one with a model: cairn create DB --model lite0-gem")
    })
}

impl Maintain for TorchMaintainer {
    fn train(&self, database: &Database, plan: &TrainPlan, watch: Option<&dyn Watch>) -> Result<Maintained> {
        let info = in_force(database)?;
        let base = match &plan.from {
            Some(Origin::File(weights)) => Base::new(database, self.of_file(&info, weights)?)?,
            Some(Origin::Model(number)) => self.base(database, &entry(database, *number)?.0)?,
            None => self.base(database, &info)?,
        };
        let is_of_file = matches!(plan.from, Some(Origin::File(_)));
        let (hardware, weights) = (&self.hardware, self.weights.as_deref().filter(|_| !is_of_file));
        trained::train(&Workshop { database, hardware, weights, watch }, &base, plan)
    }

    fn base(&self, model: &ModelInfo) -> Result<ModelInfo> {
        base_of(model)
    }

    fn released(&self, dropped: &ModelInfo, others: &[ModelInfo]) -> Result<Vec<String>> {
        released(dropped, others)
    }

    fn reembed(&self, database: &Database, weights: Option<&str>) -> Result<Maintained> {
        let info = in_force(database)?;
        let model = match weights {
            Some(weights) => self.of_file(&info, weights)?,
            None => self.load(database, &info)?,
        };
        let mut target = Target::new(model.info().clone(), model.dimension()).again(true);
        target.files = model.files().to_vec();
        // Every descriptor is made from its photo: the stored ones may be what is wrong.
        let reembed = Again::from_photos(database, model);
        Ok(Maintained::new(Report::default(), ModelChange::new(target, reembed)))
    }

    fn use_model(&self, database: &Database, number: u64) -> Result<Maintained> {
        let (info, number, dimension) = entry(database, number)?;
        let base = self.base(database, &info)?;
        let adapter = self.load(database, &info)?.adapter().cloned();
        let reembed = Again::new(database, base, adapter);
        let target = Target::new(info, dimension).number(number);
        Ok(Maintained::new(Report::default(), ModelChange::new(target, reembed)))
    }
}

impl TorchMaintainer {
    /// The active architecture and scales with the weights of a file, or a module. A statement may come from somebody else, so it does
    /// not make a module trusted.
    fn of_file(&self, info: &ModelInfo, file: &str) -> Result<Arc<Model>> {
        Ok(Arc::new(Model::load_trusted(&spec_of(info, Path::new(file))?, &self.hardware)?))
    }
}

/// A model of the database: what it is, its number, and its dimension.
fn entry(database: &Database, number: u64) -> Result<(ModelInfo, u32, usize)> {
    let entry = database.models()?.into_iter().find(|entry| u64::from(entry.number) == number);
    let entry = entry.ok_or_else(|| {
        Error::not_found(format!("model {number} does not exist")).help("SHOW MODELS lists the models of the database")
    })?;
    let info = entry.model.ok_or_else(|| Error::invalid(format!("model {number} has your own vectors")))?;
    Ok((info, entry.number, entry.dimension))
}

#[cfg(test)]
mod history_tests;
#[cfg(test)]
mod tests;
