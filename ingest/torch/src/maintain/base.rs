//! Descriptors of the base network: it reads the stored ones and computes the others from photos.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cairn::clean::Readings;
use cairn::model::{Reembed, Wanted};
use cairn::reports::Report;
use cairn::runtime::pool;
use cairn::{Database, Error, Keep, Progress, Result, Snapshot, Watch};

use super::FILES_READ;
use super::photos::{Each, completed, of_image, original};
use crate::model::{Adapter, Model};
use cairndb_ingest::PhotoEmbedder;

/// The line of a report that counts photos.
const PHOTOS_READ: &str = "descriptors made from photos";
/// Images whose descriptors are read at a time.
const READ_ROWS: usize = 256;

/// The network without what was trained behind it, and where its descriptors are.
#[derive(Clone)]
pub(super) struct Base {
    pub(super) model: Arc<Model>,
    /// Its number in the database; `None`: it has none of its descriptors.
    number: Option<u32>,
    active: bool,
    /// Photos that were read for it.
    pub(super) read: Arc<Readings>,
}

/// What descriptors are gathered from.
#[derive(Clone, Copy)]
pub(super) struct Gathering<'a> {
    pub(super) database: &'a Database,
    pub(super) snapshot: &'a Snapshot,
    /// Those that are made from photos are kept for the next time.
    pub(super) keeps: bool,
    pub(super) watch: Option<&'a dyn Watch>,
}

impl Base {
    pub(super) fn new(database: &Database, model: Arc<Model>) -> Result<Self> {
        let is_it = |info: &cairn::model::ModelInfo| info.fingerprint == model.info().fingerprint;
        let entries = database.models()?;
        // Of two whole epochs of one model the later one is the better; one that was begun lacks images, and goes before none at all.
        let those = entries.iter().filter(|entry| entry.model.as_ref().is_some_and(is_it));
        let entry = those.max_by_key(|entry| (entry.active, entry.unfinished.is_none(), entry.number));
        let active = database.options().model.as_ref().is_some_and(is_it);
        Ok(Self { number: entry.map(|entry| entry.number), active, model, read: Arc::default() })
    }

    /// The descriptors of these images, one behind the other; what is not stored is made from the photos.
    ///
    /// # Errors
    /// The first image that has neither.
    pub(super) fn descriptors(&self, from: &Gathering<'_>, keys: &[String]) -> Result<Vec<f32>> {
        let mut vectors = Vec::with_capacity(keys.len() * self.model.dimension());
        self.each(from, keys, "descriptors read", &mut |row| {
            vectors.extend(row?);
            Ok(())
        })?;
        Ok(vectors)
    }

    /// The same for images that may be skipped, with the reasons of those that were.
    pub(super) fn descriptors_there(&self, from: &Gathering<'_>, keys: &[String]) -> Result<(Vec<f32>, Vec<Error>)> {
        let (mut vectors, mut passed_over) = (Vec::with_capacity(keys.len() * self.model.dimension()), Vec::new());
        self.each(from, keys, "index descriptors read", &mut |row| {
            match row {
                Ok(row) => vectors.extend(row),
                Err(error) => passed_over.push(error),
            }
            Ok(())
        })?;
        Ok((vectors, passed_over))
    }

    /// Hands out the descriptors of images in order.
    fn each(
        &self,
        from: &Gathering<'_>,
        keys: &[String],
        what: &str,
        take: &mut dyn FnMut(Result<Vec<f32>>) -> Result<()>,
    ) -> Result<()> {
        let Gathering { database, snapshot, keeps, watch } = *from;
        let embedder = PhotoEmbedder::new(self.model.clone(), Keep::None);
        let (mut done, all) = (0, keys.len());
        for keys in keys.chunks(READ_ROWS) {
            let stored = self.stored(snapshot, keys)?;
            let lacking: Vec<usize> = (0..keys.len()).filter(|&at| stored[at].is_none()).collect();
            let photo = |at: usize| Ok((keys[at].clone(), of_image(database, snapshot, &keys[at], &self.read)?));
            let (rows, _) = completed(&embedder, stored, photo)?;
            if let (true, Some(number)) = (keeps, self.number) {
                let made = lacking.iter().filter_map(|&at| Some((keys[at].clone(), rows[at].as_ref().ok()?.clone())));
                database.keep_descriptors(snapshot, number, made.collect())?;
            }
            rows.into_iter().try_for_each(&mut *take)?;
            done += keys.len();
            if watch.is_some_and(|watch| watch.progress(Progress::new(what, done, all)).is_break()) {
                return Err(Error::new(cairn::ErrorKind::Cancelled, "stopped before the training began"));
            }
        }
        Ok(())
    }

    /// The descriptors of these images that are stored.
    pub(super) fn stored(&self, snapshot: &Snapshot, keys: &[String]) -> Result<Vec<Option<Vec<f32>>>> {
        match self.number {
            Some(number) => snapshot.descriptors(number, keys),
            None => Ok(vec![None; keys.len()]),
        }
    }
}

/// Gives images the descriptors of another model: through the base's stored ones where it can, from photos where it must.
pub(super) struct Again {
    model: Arc<Model>,
    /// Where the base's descriptors are, and whether it is active; `None`: they are not to be used.
    stored: Option<(Option<u32>, bool)>,
    adapter: Option<Adapter>,
    /// What the database keeps of its photos.
    keep: Keep,
    photos: AtomicUsize,
    read: Arc<Readings>,
}

impl Again {
    /// The base with an adapter behind it, or alone.
    pub(super) fn new(database: &Database, base: Base, adapter: Option<Adapter>) -> Self {
        let stored = Some((base.number, base.active));
        Self { stored, adapter, read: base.read, ..Self::from_photos(database, base.model) }
    }

    /// From the photos only.
    pub(super) fn from_photos(database: &Database, model: Arc<Model>) -> Self {
        let keep = database.options().keep;
        Self { model, stored: None, adapter: None, keep, photos: AtomicUsize::new(0), read: Arc::default() }
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
    fn reembed(&self, images: &[Wanted]) -> Result<Each<Vec<f32>>> {
        let embedder = PhotoEmbedder::new(self.model.clone(), Keep::None);
        let stored: Vec<Option<Vec<f32>>> = images.iter().map(|image| self.base_of(image)).collect();
        let photo = |at: usize| {
            let Wanted { key, source, content, photo, .. } = &images[at];
            Ok((key.clone(), original(key, source.as_deref(), *content, photo.clone(), self.keep, &self.read)?))
        };
        let (rows, made) = completed(&embedder, stored, photo)?;
        self.photos.fetch_add(made, Ordering::Relaxed);
        match &self.adapter {
            Some(adapter) => {
                let rows: Vec<Result<Vec<f32>>> = rows;
                pool::try_map_owned(rows, |row| Ok(row.and_then(|row| adapter.apply(&row))))
            }
            None => Ok(rows),
        }
    }

    /// How many photos were read, and which files, for the person who asked.
    fn activated(&self) -> Report {
        let photos = self.photos.load(Ordering::Relaxed).to_string();
        let lines = [Some((PHOTOS_READ, photos)), self.read.line().map(|files| (FILES_READ, files))];
        lines.into_iter().flatten().collect()
    }
}
