//! The networks of `cairndb-torch`, loaded for a command or a statement.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn::embed::{LoadFeatures, LocalFeatures};
use cairn::language::TrainPlan;
use cairn::model::{Maintain, Maintained, ModelInfo};
use cairn::{Database, ErrorKind, Options, Photo, Role, Watch};
use cairn_torch::local::{TrunkExtractor, XFeatExtractor};
use cairn_torch::model::rules::Rules;
use cairn_torch::model::trust::TrustList;
use cairn_torch::model::{
    Architecture, KeptModule, Model, ModelSpec, Prober, base_of, modules_of, probe_network, set_prober, try_file,
};
use cairn_torch::{Device, Hardware, TorchMaintainer, TorchProposer, released};
use cairndb_ingest::PhotoEmbedder;
use clap::builder::{PossibleValuesParser, ValueParser};

use crate::args::{DeviceWord, ModelArgs};
use crate::exit::Exit;
use crate::scout::OWN_PROGRAM;
use crate::terminal::note;

use super::ForCreation;

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

/// The options of a new database with the model of this name, or the ensemble of these names, and the files that it keeps for it;
/// weights, scales and rules of modules (as JSON) default to the model's. Its modules become trusted once the database is there: a person named them.
///
/// # Errors
/// When the model does not exist, its weights are not available, or its module cannot be used.
pub(crate) fn of_model(
    name: &str,
    weights: &[PathBuf],
    scales: Option<&[f64]>,
    rules: &str,
) -> cairn::Result<ForCreation> {
    let mut spec = name.parse::<ModelSpec>()?.rules(&Rules::parse(rules)?)?;
    if !weights.is_empty() {
        spec = spec.weights(weights)?;
    }
    if let Some(scales) = scales {
        spec.scales = scales.to_vec();
    }
    // The model decides the dimension, and its fingerprint is stored: it is loaded once here, on the CPU.
    let model = Model::load(&spec, &Hardware::cpu())?;
    let modules = modules_of(model.info())?;
    let list = (!modules.is_empty()).then(TrustList::of_this_user).transpose()?;
    let trust = move || match list {
        Some(list) => modules.iter().try_for_each(|module| trusted(&list, module.digest, &module.name)),
        None => Ok(()),
    };
    let options = Options::for_model(model.info().clone(), model.dimension());
    Ok(ForCreation { options, files: model.files().to_vec(), created: Box::new(trust) })
}

/// Adds a module to the list, and says so if it is new there.
fn trusted(list: &TrustList, digest: blake3::Hash, name: &str) -> cairn::Result<()> {
    if list.add(digest, name)? {
        note(&format!("{name} is trusted on this machine (BLAKE3 {digest}, in {})", list.path().display()));
    }
    Ok(())
}

/// Lets the modules of a database, or the module of a file, run on this machine. Returns their number.
///
/// # Errors
/// When one of them cannot be used; those before it are trusted.
pub(crate) fn trust(what: &Path) -> cairn::Result<usize> {
    let list = TrustList::of_this_user()?;
    if !what.is_dir() {
        let (digest, name) = try_file(what)?;
        trusted(&list, digest, &name)?;
        return Ok(1);
    }
    let database = Database::open_read_only(what)?;
    let snapshot = database.snapshot();
    let mut modules: Vec<KeptModule> = Vec::new();
    for info in database.models()?.into_iter().filter_map(|entry| entry.model) {
        modules.extend(modules_of(&info)?);
    }
    for module in &modules {
        module.try_first(&|name| snapshot.model_file(name))?;
        trusted(&list, module.digest, &module.name)?;
    }
    Ok(modules.len())
}

/// The list of what is trusted: digests and names.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn trust_list() -> cairn::Result<Vec<(String, String)>> {
    let entries = TrustList::of_this_user()?.entries()?;
    Ok(entries.into_iter().map(|(digest, name)| (digest.to_string(), name)).collect())
}

/// Takes the module of this digest out of the list.
///
/// # Errors
/// When it is not in it.
pub(crate) fn forget(digest: &str) -> cairn::Result<()> {
    let hash = blake3::Hash::from_hex(digest).ok();
    match hash.map(|hash| TrustList::of_this_user()?.remove(hash)).transpose()? {
        Some(true) => Ok(()),
        _ => Err(cairn::Error::not_found(format!("no trusted module has the digest '{digest}'"))
            .help("cairn trust --list shows the digests")),
    }
}

/// The first word of the command line of the process that tries a module. People do not type it, so no help lists it.
const WORD: &str = "try-the-network-first";

/// Tries a module, if the command line says so; the exit code.
pub(crate) fn called() -> Option<u8> {
    let mut words = std::env::args_os().skip(1);
    if words.next()? != WORD {
        return None;
    }
    let understood = probe_network(&words.collect::<Vec<OsString>>());
    Some(if understood { 0 } else { Exit::Usage as u8 })
}

/// From now on, such a process first loads each module that a person names.
pub(crate) fn install() {
    if Path::new(OWN_PROGRAM).exists() {
        set_prober(Some(Prober::new(OWN_PROGRAM, [WORD])));
    }
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
