//! What statements need beside a database: its model, loaded when a statement first needs it, and whoever maintains it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use cairn::language::TrainPlan;
use cairn::{
    Database, Embed, Embedded, ErrorKind, LoadFeatures, LocalFeatures, Maintain, ModelInfo, Photo, Ports, QueryFile,
    ReadQueries, Role, Status, Watch,
};
use cairndb_ingest::local::{TrunkExtractor, XFeatExtractor};
use cairndb_ingest::model::{Model, base_of};
use cairndb_ingest::{Device, Hardware, PhotoEmbedder, QueryReader, TorchMaintainer, release};

use crate::args::{DeviceWord, ModelArgs};
use crate::terminal::note;

/// The device of that word.
///
/// # Errors
/// When CUDA is asked for and cannot be had.
pub(crate) fn hardware(word: DeviceWord) -> cairn::Result<Hardware> {
    let device = match word {
        DeviceWord::Auto => Device::Auto,
        DeviceWord::Cpu => Device::Cpu,
        DeviceWord::Cuda => Device::Cuda,
    };
    device.find()
}

/// The embedder of a database's model.
///
/// # Errors
/// When the device or the weights cannot be had.
pub(crate) fn embedder(database: &Database, info: &ModelInfo, args: &ModelArgs) -> cairn::Result<Arc<PhotoEmbedder>> {
    let files = |name: &str| database.file(name);
    let model = Model::reload(info, &files, args.weights.as_deref(), &hardware(args.device)?)?;
    Ok(Arc::new(PhotoEmbedder::new(Arc::new(model), database.options().keep)))
}

/// What statements on a database need: files of vectors always, photos where it has a model.
pub(super) fn ports(database: &Database, args: &ModelArgs, watch: Arc<dyn Watch>) -> Ports {
    let (embed, queries): (Option<Arc<dyn Embed>>, Arc<dyn ReadQueries>) = match database.options().model {
        None => (None, Arc::new(QueryReader::new(None))),
        Some(_) => {
            let lazy = Arc::new(Lazy { database: database.clone(), args: args.clone(), loaded: Mutex::new(None) });
            (Some(Arc::clone(&lazy) as Arc<dyn Embed>), lazy)
        }
    };
    Ports {
        embed,
        queries: Some(queries),
        features: Some(features(database, args)),
        maintain: Some(Arc::new(Maintainer { args: args.clone() })),
        watch: Some(watch),
        writes_reports: true,
    }
}

/// XFeat; the embedding model's own trunk where XFeat's weights are not to be had.
fn features(database: &Database, args: &ModelArgs) -> LoadFeatures {
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
            "note: XFeat's weights are not there; local features come from the embedding model, for which inliers=12 suits better",
        );
        let model = Model::reload(&info, &|name| database.file(name), args.weights.as_deref(), &hardware)?;
        Ok(Arc::new(TrunkExtractor::fit(Arc::new(model), &train_photos(&database)?)?))
    })
}

/// The photos of the train images, where they came from or as they are kept.
fn train_photos(database: &Database) -> cairn::Result<Vec<(Photo, Option<[u8; 32]>)>> {
    let snapshot = database.snapshot();
    let mut photos = Vec::new();
    for key in snapshot.keys(Some(Role::Train))? {
        let record = snapshot.record(&key)?;
        let (source, content) = record.map_or((None, None), |record| (record.source, record.content));
        // Without a digest any file could stand at the path.
        match source.map(PathBuf::from).filter(|path| content.is_some() && path.is_file()) {
            Some(path) => photos.push((Photo::File(path), content)),
            None => photos.extend(snapshot.photo(&key)?.map(|kept| (Photo::Bytes(kept), None))),
        }
    }
    Ok(photos)
}

/// Trains and embeds again, with a device that is looked for when it is needed.
struct Maintainer {
    args: ModelArgs,
}

impl Maintainer {
    fn get(&self) -> cairn::Result<TorchMaintainer> {
        Ok(TorchMaintainer::new(hardware(self.args.device)?, self.args.weights.clone()))
    }
}

impl Maintain for Maintainer {
    fn train(&self, database: &Database, plan: &TrainPlan, watch: Option<&dyn Watch>) -> cairn::Result<Status> {
        self.get()?.train(database, plan, watch)
    }

    fn reembed(&self, database: &Database, weights: Option<&str>, watch: Option<&dyn Watch>) -> cairn::Result<Status> {
        self.get()?.reembed(database, weights, watch)
    }

    fn use_model(&self, database: &Database, number: u64, watch: Option<&dyn Watch>) -> cairn::Result<Status> {
        self.get()?.use_model(database, number, watch)
    }

    fn base(&self, model: &ModelInfo) -> cairn::Result<ModelInfo> {
        base_of(model)
    }

    fn dropped(&self, database: &Database, model: &ModelInfo) -> cairn::Result<()> {
        release(database, model)
    }
}

/// An embedder that does not exist before it is needed, and another one after the database went over to another model.
struct Lazy {
    database: Database,
    args: ModelArgs,
    loaded: Mutex<Option<(ModelInfo, Arc<PhotoEmbedder>)>>,
}

impl Lazy {
    fn get(&self) -> cairn::Result<Arc<PhotoEmbedder>> {
        let info = self.database.options().model;
        let info = info.ok_or_else(|| cairn::Error::invalid("the model in force embeds no photos"))?;
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        match &*loaded {
            Some((of, embedder)) if *of == info => return Ok(Arc::clone(embedder)),
            _ => {}
        }
        let embedder = embedder(&self.database, &info, &self.args)?;
        *loaded = Some((info, Arc::clone(&embedder)));
        Ok(embedder)
    }
}

impl Embed for Lazy {
    fn fingerprint(&self) -> Option<String> {
        self.database.options().model.map(|model| model.fingerprint)
    }

    fn embed(&self, photo: &Photo) -> cairn::Result<Embedded> {
        self.get()?.embed(photo)
    }
}

impl ReadQueries for Lazy {
    fn read(&self, path: &Path) -> cairn::Result<QueryFile> {
        let is_list = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
        let embedder = if is_list { Some(self.get()?) } else { None };
        QueryReader::new(embedder).read(path)
    }
}
