//! The networks of `cairndb-torch`, loaded for a command or a statement.

use std::path::PathBuf;
use std::sync::Arc;

use cairn::embed::{LoadFeatures, LocalFeatures};
use cairn::language::TrainPlan;
use cairn::model::{Maintain, Maintained, ModelInfo};
use cairn::{Database, ErrorKind, Options, Photo, Role, Watch};
use cairn_torch::local::{TrunkExtractor, XFeatExtractor};
use cairn_torch::model::{Architecture, Model, ModelSpec, base_of};
use cairn_torch::{Device, Hardware, TorchMaintainer, TorchProposer, released};
use cairndb_ingest::PhotoEmbedder;
use clap::builder::{PossibleValuesParser, ValueParser};

use crate::args::{DeviceWord, ModelArgs};
use crate::terminal::note;

/// The build's lines of `--version`.
pub(crate) fn version() -> String {
    let (version, cuda) = (cairn_torch::TORCH_VERSION, cairn_torch::TORCH_LIB_VARIABLE);
    format!(
        "features: torch (photos, local features, training)\nlibtorch: {version} for the CPU; CUDA if {cuda} names its folder"
    )
}

/// The names of the models.
pub(crate) fn model_names() -> ValueParser {
    PossibleValuesParser::new(Architecture::ALL.map(Architecture::word)).into()
}

/// The device of this name.
///
/// # Errors
/// When CUDA is asked for and not available.
pub(crate) fn hardware(word: DeviceWord) -> cairn::Result<Hardware> {
    let device = match word {
        DeviceWord::Auto => Device::Auto,
        DeviceWord::Cpu => Device::Cpu,
        DeviceWord::Cuda => Device::Cuda,
    };
    device.find()
}

/// The options of a new database with the model of this name, or the ensemble of these names; weights and scales default to the model's.
///
/// # Errors
/// When the model does not exist, or its weights are not available.
pub(crate) fn of_model(name: &str, weights: &[PathBuf], scales: Option<&[f64]>) -> cairn::Result<Options> {
    let mut spec = name.parse::<ModelSpec>()?;
    if !weights.is_empty() {
        spec = spec.weights(weights)?;
    }
    if let Some(scales) = scales {
        spec.scales = scales.to_vec();
    }
    // The model decides the dimension, and its fingerprint is stored: it is loaded once here, on the CPU.
    let model = Model::load(&spec, &Hardware::cpu())?;
    Ok(Options::for_model(model.info().clone(), model.dimension()))
}

/// The embedder of a database's model.
///
/// # Errors
/// When the device or the weights are not available.
pub(crate) fn embedder(database: &Database, info: &ModelInfo, args: &ModelArgs) -> cairn::Result<Arc<PhotoEmbedder>> {
    let snapshot = database.snapshot();
    let files = |name: &str| snapshot.model_file(name);
    let model = Model::reload(info, &files, args.weights.as_deref(), &hardware(args.device)?)?;
    Ok(Arc::new(PhotoEmbedder::new(Arc::new(model), database.options().keep)))
}

/// Lets a GPU propose voters for the database's writes.
///
/// # Errors
/// When CUDA is asked for and not available.
pub(crate) fn propose(database: &Database, args: &ModelArgs) -> cairn::Result<()> {
    let hardware = hardware(args.device)?;
    if hardware.is_cuda() {
        database.set_proposer(Some(Arc::new(TorchProposer::new(&hardware)?)));
    }
    Ok(())
}

/// XFeat; or the embedding model's trunk if XFeat's weights are missing.
pub(crate) fn features(database: &Database, args: &ModelArgs) -> LoadFeatures {
    let (database, args) = (database.clone(), args.clone());
    Arc::new(move || {
        let hardware = hardware(args.device)?;
        let missing = match XFeatExtractor::load(None, &hardware) {
            Ok(extractor) => return Ok(Arc::new(extractor) as Arc<dyn LocalFeatures>),
            Err(error) if error.kind() == ErrorKind::NotFound => error,
            Err(error) => return Err(error),
        };
        let Some(info) = database.options().model else { return Err(missing) };
        let info = base_of(&info)?;
        note(
            "note: XFeat's weights are missing; local features come from the embedding model, for which inliers=12 suits better",
        );
        let snapshot = database.snapshot();
        let model = Model::reload(&info, &|name| snapshot.model_file(name), args.weights.as_deref(), &hardware)?;
        Ok(Arc::new(TrunkExtractor::fit(Arc::new(model), &train_photos(&database)?)?))
    })
}

/// The photos of the train images, from their files or the database's copies.
fn train_photos(database: &Database) -> cairn::Result<Vec<(Photo, Option<[u8; 32]>)>> {
    let snapshot = database.snapshot();
    let mut photos = Vec::new();
    for key in snapshot.keys(Some(Role::Train))? {
        let record = snapshot.record(&key)?;
        let (source, content) = record.map_or((None, None), |record| (record.source, record.content));
        // Without a digest, the path could have any file.
        match source.map(PathBuf::from).filter(|path| content.is_some() && path.is_file()) {
            Some(path) => photos.push((Photo::File(path), content)),
            None => photos.extend(snapshot.photo(&key)?.map(|kept| (Photo::Bytes(kept), None))),
        }
    }
    Ok(photos)
}

/// The trainer and re-embedder.
pub(crate) fn maintainer(args: &ModelArgs) -> Arc<dyn Maintain> {
    Arc::new(Maintainer { args: args.clone() })
}

/// Trains and embeds again; it opens the device when it needs it.
struct Maintainer {
    args: ModelArgs,
}

impl Maintainer {
    fn get(&self) -> cairn::Result<TorchMaintainer> {
        Ok(TorchMaintainer::new(hardware(self.args.device)?, self.args.weights.clone()))
    }
}

impl Maintain for Maintainer {
    fn train(&self, database: &Database, plan: &TrainPlan, watch: Option<&dyn Watch>) -> cairn::Result<Maintained> {
        self.get()?.train(database, plan, watch)
    }

    fn reembed(&self, database: &Database, weights: Option<&str>) -> cairn::Result<Maintained> {
        self.get()?.reembed(database, weights)
    }

    fn use_model(&self, database: &Database, number: u64) -> cairn::Result<Maintained> {
        self.get()?.use_model(database, number)
    }

    fn base(&self, model: &ModelInfo) -> cairn::Result<ModelInfo> {
        base_of(model)
    }

    fn released(&self, dropped: &ModelInfo, others: &[ModelInfo]) -> cairn::Result<Vec<String>> {
        released(dropped, others)
    }
}
