//! The model of a database, loaded when a statement first needs it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use cairn::{Database, Embed, Embedded, Keep, ModelInfo, NamedQuery, Photo, Ports, ReadQueries};
use cairndb_ingest::model::Model;
use cairndb_ingest::{Device, Hardware, PhotoEmbedder, QueryReader};

use crate::args::{DeviceWord, ModelArgs};

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
pub(crate) fn embedder(info: &ModelInfo, keep: Keep, args: &ModelArgs) -> cairn::Result<Arc<PhotoEmbedder>> {
    let model = Model::reload(info, args.weights.as_deref(), &hardware(args.device)?)?;
    Ok(Arc::new(PhotoEmbedder::new(Arc::new(model), keep)))
}

/// What statements on a database need: files of vectors always, photos where it has a model.
pub(super) fn ports(database: &Database, args: &ModelArgs) -> Ports {
    let options = database.options();
    match &options.model {
        None => Ports { embed: None, queries: Some(Arc::new(QueryReader::new(None))) },
        Some(info) => {
            let lazy =
                Arc::new(Lazy { info: info.clone(), keep: options.keep, args: args.clone(), loaded: Mutex::new(None) });
            Ports { embed: Some(Arc::clone(&lazy) as Arc<dyn Embed>), queries: Some(lazy) }
        }
    }
}

/// An embedder that does not exist before it is needed.
struct Lazy {
    info: ModelInfo,
    keep: Keep,
    args: ModelArgs,
    loaded: Mutex<Option<Arc<PhotoEmbedder>>>,
}

impl Lazy {
    fn get(&self) -> cairn::Result<Arc<PhotoEmbedder>> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(embedder) = &*loaded {
            return Ok(Arc::clone(embedder));
        }
        let embedder = embedder(&self.info, self.keep, &self.args)?;
        Ok(Arc::clone(loaded.insert(embedder)))
    }
}

impl Embed for Lazy {
    fn embed(&self, photo: &Photo) -> cairn::Result<Embedded> {
        self.get()?.embed(photo)
    }
}

impl ReadQueries for Lazy {
    fn read(&self, path: &Path) -> cairn::Result<Vec<NamedQuery>> {
        let vectors = path.extension().is_some_and(|ending| !ending.eq_ignore_ascii_case("csv"));
        let embedder = if vectors { None } else { Some(self.get()?) };
        QueryReader::new(embedder).read(path)
    }
}
