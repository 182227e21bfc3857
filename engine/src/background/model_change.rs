//! Model changes: another model's descriptors are built beside the active ones, and then one key flips.

use std::sync::Arc;

use bytes::Bytes;

use super::gate::Closed;
use super::model_build::Building;
use super::running::Shared;
use crate::catalog::{Pinned, Space};
use crate::error::{Error, ErrorKind, Result};
use crate::id::ImageId;
use crate::options::{ModelInfo, Options};
use crate::ports::{Reembed, Wanted};
use crate::progress::{Progress, Watch};
use crate::write::Core;

/// Images that are embedded and stored by one transaction: what a crash costs at most, seconds of a CPU.
const EMBED_ROWS: usize = 64;
/// Times a new epoch catches up with writes before they are made to wait for the rest.
const CATCH_UP_ROUNDS: usize = 8;
/// Images behind which writes are made to wait.
const LAST_FEW: usize = 256;
/// Times the gate is opened again because more than the last few came, or one of them must be embedded.
const OPENED_AGAIN: usize = 3;
/// What is called while it is closed.
const EMBEDS: &str = "the embedder of a new model";
const IS_TOLD: &str = "the observer of a model change";

/// A model of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelEntry {
    /// Its number; never given again, also when it is gone.
    pub number: u32,
    /// The model; `None`: the caller brings vectors.
    pub model: Option<ModelInfo>,
    /// Length of its descriptors.
    pub dimension: usize,
    /// Whether searches use it.
    pub active: bool,
    /// Number of descriptors so far of a model that was started and never active; `None`: it is complete, or lacks only images
    /// that arrived since it was active.
    pub unfinished: Option<usize>,
}

/// The model to activate.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// The model; `None`: the caller brings vectors.
    pub model: Option<ModelInfo>,
    /// Length of its descriptors.
    pub dimension: usize,
    /// Even if it exists already: every image gets its descriptor again, under a new model number. An interrupted run of this
    /// kind resumes. Default no.
    pub again: bool,
    /// The epoch of that number, of several of one model; default none: the latest.
    pub number: Option<u32>,
    /// Names and bytes that the database keeps for the model, with the rows and in every backup ([`Snapshot::model_file`]). They are
    /// stored in this order, each in a transaction, before the first descriptor. Default none.
    ///
    /// [`Snapshot::model_file`]: crate::Snapshot::model_file
    pub files: Vec<(String, Bytes)>,
}

impl Target {
    /// That model, unless it is active.
    pub fn new(model: ModelInfo, dimension: usize) -> Self {
        Self { model: Some(model), dimension, again: false, number: None, files: Vec::new() }
    }

    /// Sets [`Target::again`].
    #[must_use]
    pub fn again(self, again: bool) -> Self {
        Self { again, ..self }
    }

    /// Sets [`Target::number`].
    #[must_use]
    pub fn number(self, number: impl Into<Option<u32>>) -> Self {
        Self { number: number.into(), ..self }
    }
}

impl Shared {
    /// The models whose descriptors the database has, in the order in which they came; counts the descriptors of unfinished ones.
    pub(crate) fn models(&self) -> Result<Vec<ModelEntry>> {
        let core = self.core();
        let active = core.catalog().space();
        let pinned = core.catalog().pin();
        let entry = |space: Space| {
            Ok(ModelEntry {
                number: space.id.0,
                model: space.model,
                dimension: space.dimension,
                active: space.id == active,
                unfinished: space.unfinished.then(|| pinned.count_vectors(space.id)).transpose()?,
            })
        };
        pinned.spaces()?.into_iter().map(entry).collect()
    }

    /// Switches to another model, as `Database::change_model` documents it.
    pub(crate) fn change_model(&self, to: Target, reembed: &dyn Reembed, watch: Option<&dyn Watch>) -> Result<u32> {
        let Target { model, dimension, again, number, files } = to;
        Options { dimension, ..self.options() }.check()?;
        let mut told = |at: Progress<'_>| {
            event!(what = at.what, done = at.done, all = at.all, "the model changes");
            match watch {
                Some(watch) if watch.progress(at).is_break() => Err(stopped()),
                _ => Ok(()),
            }
        };
        // One at a time: a second one would derive the same space.
        let _one_at_a_time = self.epochs.try_lock().ok_or_else(|| {
            Error::new(ErrorKind::Locked, "another model is becoming active").help("wait for it, or stop it")
        })?;
        let core = self.core();
        files.iter().try_for_each(|(name, bytes)| core.keep(|batch| batch.put_file(name, bytes)))?;
        let space = core.space_for(number, model, dimension, again)?;
        let mut change = Change { core: &core, space: &space, reembed, told: &mut told, left: usize::MAX };
        change.embed(ImageId(0))?;
        let building = core.build(&space)?;
        change.approach(&building)?;
        (change.told)(Progress::new(Progress::VERIFICATION, 0, 1))?;
        building.verify()?;
        // Verifying takes its time, and writers go on.
        change.approach(&building)?;
        let mut opened = 0;
        let closed = loop {
            let closed = self.gate.close();
            core.reach(core.accepted(), None)?;
            let (rows, bare) = building.lack(&core)?;
            let is_little = rows + bare.count <= LAST_FEW;
            // A few are better embedded while writers write; of many, only where fewer would be left.
            let is_ready = if is_little { bare.count == 0 } else { rows + bare.count > change.left / 2 };
            if is_ready || opened == OPENED_AGAIN {
                break closed;
            }
            opened += 1;
            drop(closed);
            change.round(&building)?;
        };
        // Its worker would go on merging segments that are about to go.
        let stopped = Stopped::new(self);
        stopped.replaced_by(change.finish(building, &closed)?);
        Ok(space.id.0)
    }

    /// Forgets a model that is not active, and its descriptors.
    pub(crate) fn drop_model(&self, number: u32) -> Result<()> {
        let (_no_flip, core) = self.enter()?;
        let _no_epoch = self.epochs.try_lock().ok_or_else(|| {
            Error::new(ErrorKind::Locked, "a model is becoming active").help("wait for it, or stop it")
        })?;
        core.drop_space(number)
    }
}

/// A database whose worker stands still. It goes on when this goes without another core, by an error or a panic of the caller's code.
struct Stopped<'a>(Option<&'a Shared>);

impl<'a> Stopped<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.stop_worker();
        Self(Some(shared))
    }

    fn replaced_by(mut self, core: Core) {
        if let Some(shared) = self.0.take() {
            shared.replace(Arc::new(core));
        }
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        if let Some(shared) = self.0 {
            shared.restart_worker();
        }
    }
}

/// The descriptors that an image has in these spaces.
fn others_of(pinned: &Pinned, spaces: &[Space], id: ImageId) -> Result<Vec<(u32, Vec<f32>)>> {
    let mut others = Vec::new();
    for space in spaces {
        if let Some(vector) = pinned.descriptor(space, id)? {
            others.push((space.id.0, vector));
        }
    }
    Ok(others)
}

fn stopped() -> Error {
    Error::new(ErrorKind::Cancelled, "stopped before the new model became active")
        .help("the descriptors so far are kept; run the same command again to resume")
}

/// The progress callback.
type Told<'t> = dyn FnMut(Progress<'_>) -> Result<()> + 't;

/// A change of models under way.
struct Change<'c> {
    core: &'c Core,
    space: &'c Space,
    reembed: &'c dyn Reembed,
    told: &'c mut Told<'c>,
    /// Images that the last round took, or could not take: what had been left to it.
    left: usize,
}

impl Change<'_> {
    /// Catches up with writers while they write, until few images are left or another round would leave about as many.
    fn approach(&mut self, building: &Building) -> Result<()> {
        for _ in 0..CATCH_UP_ROUNDS {
            let last = self.left;
            self.round(building)?;
            if self.left <= LAST_FEW || self.left > last / 2 {
                break;
            }
        }
        Ok(())
    }

    /// Catches up once.
    fn round(&mut self, building: &Building) -> Result<()> {
        // Deferred writes would otherwise be applied, and embedded, while nobody may write.
        self.core.reach(self.core.accepted(), None)?;
        let told = &mut *self.told;
        let (taken, bare) =
            building.catch_up(self.core, &mut |done, all| told(Progress::new(Progress::PREDICTIONS, done, all)))?;
        if let Some(first) = bare.first {
            self.embed(first)?;
        }
        self.left = taken + bare.count;
        Ok(())
    }

    /// The last round: nobody writes any more.
    fn finish(self, building: Building, closed: &Closed<'_>) -> Result<Core> {
        let Self { core, space, reembed, told, left } = self;
        let database = core.catalog().handle_number();
        let (rows, bare) = building.lack(core)?;
        let is_short = rows + bare.count <= EMBED_ROWS;
        // Nobody needs to hear of a few images, and may do as before whenever told.
        let mut told = |at: Progress<'_>| if is_short { Ok(()) } else { closed.call(database, IS_TOLD, || told(at)) };
        if let Some(first) = bare.first {
            let behind = Behind { reembed, closed, database };
            Change { core, space, reembed: &behind, told: &mut told, left }.embed(first)?;
        }
        match building.catch_up(core, &mut |done, all| told(Progress::new(Progress::PREDICTIONS, done, all)))?.1.count {
            0 => building.flip(core),
            bare => Err(Error::corrupt(format!("{bare} images have no descriptor of the new model"))),
        }
    }

    /// Gives every image from `first` on that is there now and has none a descriptor in the space.
    fn embed(&mut self, first: ImageId) -> Result<()> {
        let Self { core, space, reembed, told, .. } = self;
        embed(core, space, *reembed, first, told)
    }
}

/// Embeds behind the closed gate.
struct Behind<'c> {
    reembed: &'c dyn Reembed,
    closed: &'c Closed<'c>,
    database: usize,
}

impl Reembed for Behind<'_> {
    fn reembed(&self, images: &[Wanted]) -> Result<Vec<Result<Vec<f32>>>> {
        self.closed.call(self.database, EMBEDS, || self.reembed.reembed(images))
    }
}

fn embed(core: &Core, space: &Space, reembed: &dyn Reembed, first: ImageId, told: &mut Told<'_>) -> Result<()> {
    let (mut from, mut done) = (Some(first), 0);
    // Images that come meanwhile are the next round's, or this one would have no end beside writers that never pause.
    let end = core.next_image();
    let neither = |other: &Space| other.id != space.id && other.id != core.catalog().space();
    let others: Vec<Space> = core.spaces()?.into_iter().filter(neither).collect();
    while let Some(first) = from {
        let (bare, next) = core.bare(space.id, first..end, EMBED_ROWS)?;
        from = next;
        let snapshot = core.snapshot();
        let mut ids = Vec::with_capacity(bare.len());
        let mut wanted = Vec::with_capacity(bare.len());
        for image in bare {
            let pinned = &snapshot.state.pinned;
            // An image that is gone again needs nothing.
            let Some(vector) = pinned.vector(pinned.space(), image.id)? else { continue };
            let content = image.record.photo_hash()?;
            let (key, source) = (image.record.key, image.record.source);
            let others = others_of(pinned, &others, image.id)?;
            wanted.push(Wanted { key, source, content, photo: pinned.photo(image.id)?, vector, others });
            ids.push(image.id);
        }
        if wanted.is_empty() {
            continue;
        }
        let vectors = reembed.reembed(&wanted)?;
        if vectors.len() != ids.len() {
            return Err(Error::invalid(format!("{} images got {} descriptors", ids.len(), vectors.len())));
        }
        let (mut sound, mut failed) = (Vec::with_capacity(ids.len()), Vec::new());
        for (id, vector) in ids.into_iter().zip(vectors) {
            match vector {
                Ok(vector) => sound.push((id, vector)),
                Err(error) => failed.push(error),
            }
        }
        done += core.put_descriptors(space, sound)?;
        if let Some(error) = first_of(failed) {
            return Err(error);
        }
        let images = snapshot.state.train.live_rows() + snapshot.state.index.live_rows();
        told(Progress::new(Progress::DESCRIPTORS, done, images))?;
    }
    Ok(())
}

/// The first of these errors, and how many there are beside it.
fn first_of(mut errors: Vec<Error>) -> Option<Error> {
    let others = errors.len().saturating_sub(1);
    let first = errors.drain(..).next()?;
    if others == 0 {
        return Some(first);
    }
    let told = Error::new(first.kind(), format!("{} ({others} more photos like it)", first.message()));
    Some(match first.next_step() {
        Some(help) => told.help(help),
        None => told,
    })
}
