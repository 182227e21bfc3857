//! Descriptors of the base network: those that are stored, and those that must be made from photos.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cairn::{Database, Error, Keep, Reembed, Result, Snapshot, Wanted, Watch};
use rayon::prelude::*;

use super::photos::{completed, of_image, original};
use crate::embedder::PhotoEmbedder;
use crate::model::Model;
use crate::train::Adapter;

/// Images whose descriptors are read at a time.
const READ_ROWS: usize = 256;

/// The network without what was trained behind it, and where its descriptors are.
pub(super) struct Base {
    pub(super) model: Arc<Model>,
    /// Its number in the database; `None`: it has none of its descriptors.
    number: Option<u32>,
    in_force: bool,
}

impl Base {
    pub(super) fn new(database: &Database, model: Arc<Model>) -> Result<Self> {
        let is_it = |info: &cairn::ModelInfo| info.fingerprint == model.info().fingerprint;
        let entries = database.models()?;
        // Of two epochs of one model the later one is the better.
        let entry = entries.iter().rev().find(|entry| entry.model.as_ref().is_some_and(is_it));
        let in_force = database.options().model.as_ref().is_some_and(is_it);
        Ok(Self { number: entry.map(|entry| entry.number), in_force, model })
    }

    /// The descriptors of these images, one behind the other; what is not stored is made from the photos.
    pub(super) fn descriptors(
        &self,
        database: &Database,
        snapshot: &Snapshot,
        keys: &[String],
        watch: Option<&dyn Watch>,
    ) -> Result<Vec<f32>> {
        let embedder = PhotoEmbedder::new(Arc::clone(&self.model), Keep::None);
        let mut vectors = Vec::with_capacity(keys.len() * self.model.dimension());
        for (chunk, keys) in keys.chunks(READ_ROWS).enumerate() {
            let stored = match self.number {
                Some(number) => database.descriptors(number, keys)?,
                None => vec![None; keys.len()],
            };
            let photo = |at: usize| Ok((keys[at].clone(), of_image(database, snapshot, &keys[at])?));
            let (rows, _) = completed(&embedder, stored, photo)?;
            rows.iter().for_each(|row| vectors.extend(row));
            let done = chunk * READ_ROWS + keys.len();
            if watch.is_some_and(|watch| !watch.went_on("descriptors read", done, keys.len().max(done))) {
                return Err(Error::new(cairn::ErrorKind::Cancelled, "stopped before the training began"));
            }
        }
        Ok(vectors)
    }

    /// Of these images those whose descriptors are stored.
    pub(super) fn stored(&self, database: &Database, keys: &[String]) -> Result<Vec<f32>> {
        let Some(number) = self.number else { return Ok(Vec::new()) };
        let mut vectors = Vec::new();
        for keys in keys.chunks(READ_ROWS) {
            database.descriptors(number, keys)?.into_iter().flatten().for_each(|row| vectors.extend(row));
        }
        Ok(vectors)
    }
}

/// Gives images the descriptors of another model: through the base's stored ones where it can, from photos where it must.
pub(super) struct Again {
    model: Arc<Model>,
    /// Where the base's descriptors are, and whether it is in force; `None`: they are not to be used.
    stored: Option<(Option<u32>, bool)>,
    adapter: Option<Adapter>,
    /// What the database keeps of its photos.
    keep: Keep,
    photos: AtomicUsize,
}

impl Again {
    /// The base with an adapter behind it, or alone.
    pub(super) fn new(database: &Database, base: Base, adapter: Option<Adapter>) -> Self {
        let stored = Some((base.number, base.in_force));
        Self { stored, adapter, ..Self::from_photos(database, base.model) }
    }

    /// From the photos only.
    pub(super) fn from_photos(database: &Database, model: Arc<Model>) -> Self {
        let keep = database.options().keep;
        Self { model, stored: None, adapter: None, keep, photos: AtomicUsize::new(0) }
    }

    /// Photos that were read so far.
    pub(super) fn photos_read(&self) -> usize {
        self.photos.load(Ordering::Relaxed)
    }

    fn base_of(&self, image: &Wanted) -> Option<Vec<f32>> {
        match self.stored? {
            (_, true) => Some(image.vector.clone()),
            (Some(number), false) => image.others.iter().find(|other| other.0 == number).map(|other| other.1.clone()),
            (None, false) => None,
        }
    }
}

impl Reembed for Again {
    fn reembed(&self, images: &[Wanted]) -> Result<Vec<Vec<f32>>> {
        let embedder = PhotoEmbedder::new(Arc::clone(&self.model), Keep::None);
        let stored: Vec<Option<Vec<f32>>> = images.iter().map(|image| self.base_of(image)).collect();
        let photo = |at: usize| {
            let Wanted { key, source, photo, .. } = &images[at];
            Ok((key.clone(), original(key, source.as_deref(), photo.clone(), self.keep)?))
        };
        let (rows, made) = completed(&embedder, stored, photo)?;
        self.photos.fetch_add(made, Ordering::Relaxed);
        match &self.adapter {
            Some(adapter) => rows.par_iter().map(|row| adapter.apply(row)).collect(),
            None => Ok(rows),
        }
    }
}
