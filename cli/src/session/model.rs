//! What statements need beside a database: its model, loaded when a statement first needs it, and whoever maintains it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use cairn::{Database, Embed, Embedded, Keep, ModelInfo, NamedQuery, Photo, Ports, ReadQueries, Watch};
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
        // THE PLACE where CLEAN gets its local features, and TRAIN, REEMBED and USE MODEL whoever carries them out.
        features: None,
        maintain: None,
        watch: Some(watch),
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
        let options = self.database.options();
        let info = options.model.ok_or_else(|| cairn::Error::invalid("the model in force embeds no photos"))?;
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        match &*loaded {
            Some((of, embedder)) if *of == info => return Ok(Arc::clone(embedder)),
            _ => {}
        }
        let embedder = embedder(&info, options.keep, &self.args)?;
        *loaded = Some((info, Arc::clone(&embedder)));
        Ok(embedder)
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
