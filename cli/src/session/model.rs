//! What statements need besides a database: its model, loaded when a statement first needs it, and the maintainer.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use cairn::embed::{Embed, Embedded, QueryFile, ReadQueries};
use cairn::model::ModelInfo;
use cairn::{Database, Photo, Ports, Watch};
use cairndb_ingest::{PhotoEmbedder, QueryReader};

use crate::args::ModelArgs;
use crate::networks::{embedder, features, maintainer};

/// The ports of statements on a database: files of vectors always, photos if it has a model.
pub(super) fn ports(database: &Database, args: &ModelArgs, watch: Arc<dyn Watch>) -> Ports {
    let (embed, queries): (Option<Arc<dyn Embed>>, Arc<dyn ReadQueries>) = match database.options().model {
        None => (None, Arc::new(QueryReader::new(None))),
        Some(_) => {
            let lazy = Arc::new(Lazy { database: database.clone(), args: args.clone(), loaded: Mutex::new(None) });
            (Some(Arc::clone(&lazy) as Arc<dyn Embed>), lazy)
        }
    };
    let mut ports = Ports::default()
        .queries(queries)
        .features(features(database, args))
        .maintain(maintainer(args))
        .watch(watch)
        .writes_reports(true);
    ports.embed = embed;
    ports
}

/// An embedder that is created when it is needed, and created again after the database changed its active model.
struct Lazy {
    database: Database,
    args: ModelArgs,
    loaded: Mutex<Option<(ModelInfo, Arc<PhotoEmbedder>)>>,
}

impl Lazy {
    fn get(&self) -> cairn::Result<Arc<PhotoEmbedder>> {
        let info = self.database.options().model;
        let info = info.ok_or_else(|| cairn::Error::invalid("the active model embeds no photos"))?;
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
