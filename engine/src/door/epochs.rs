//! Epochs: another model's descriptors are built beside those in force, and then one key flips.

use std::sync::Arc;

use super::database::{Database, Shared};
use crate::catalog::{Pinned, Space};
use crate::error::{Error, ErrorKind, Result};
use crate::id::ImageId;
use crate::motion::Core;
use crate::options::{ModelInfo, Options};
use crate::ports::{Reembed, Wanted};

/// Images that are embedded and stored by one transaction: what a crash costs at most, seconds of a CPU.
const EMBED_ROWS: usize = 64;
/// Times a new epoch catches up with writes before they are made to wait for the last few.
const CATCH_UP_ROUNDS: usize = 8;
/// Images behind which writes are made to wait.
const LAST_FEW: usize = 256;

/// A model of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelEntry {
    /// Its number; never given again while it is there.
    pub number: u32,
    /// The model; `None`: the caller brings vectors.
    pub model: Option<ModelInfo>,
    /// Length of its descriptors.
    pub dimension: usize,
    /// Whether searches use it.
    pub in_force: bool,
    /// Descriptors made so far of a model that was begun and never was in force; `None`: it is whole, and lacks at most images that
    /// came since it was in force.
    pub unfinished: Option<usize>,
}

/// The model that is wanted in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The model; `None`: the caller brings vectors.
    pub model: Option<ModelInfo>,
    /// Length of its descriptors.
    pub dimension: usize,
    /// Also when it is there already: every image gets its descriptor again, in an epoch of its own. What was begun so and stopped
    /// goes on. Default no.
    pub again: bool,
    /// The epoch of that number, of several of one model; default none: the latest.
    pub number: Option<u32>,
}

impl Target {
    /// That model, unless it is in force.
    pub fn new(model: ModelInfo, dimension: usize) -> Self {
        Self { model: Some(model), dimension, again: false, number: None }
    }
}

/// How far a new epoch has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpochProgress {
    /// Descriptors are made: so many of about so many.
    Embedding(usize, usize),
    /// Predictions are made: so many of so many images.
    Voting(usize, usize),
    /// What was made is looked at.
    Verifying,
}

impl Database {
    /// The models whose descriptors the database has, in the order in which they came.
    ///
    /// Complexity: reads the descriptors of unfinished ones, to count them.
    ///
    /// # Errors
    /// A damaged catalog.
    pub fn models(&self) -> Result<Vec<ModelEntry>> {
        let core = self.shared.core();
        let in_force = core.catalog().space();
        let pinned = core.catalog().pin();
        let entry = |space: Space| {
            Ok(ModelEntry {
                number: space.id.0,
                model: space.model,
                dimension: space.dimension,
                in_force: space.id == in_force,
                unfinished: space.unfinished.then(|| pinned.count_vectors(space.id)).transpose()?,
            })
        };
        pinned.spaces()?.into_iter().map(entry).collect()
    }

    /// Goes over to another model: descriptors of all images are made by `reembed`, predictions and segments are made from them, all
    /// beside what is in force; then one key flips. Searches and writes go on meanwhile and never see a mixture.
    ///
    /// `progress` returns `false` to stop. What was embedded until a stop, an error or a crash is kept, and a later call for the same
    /// model goes on with it; so does a call that goes back to an earlier model, whose descriptors are still there.
    ///
    /// Complexity: one descriptor for each image that has none of that model, then as putting every image anew.
    ///
    /// # Errors
    /// `AlreadyExists`: it is in force already; `Invalid`: the number is that of an unfinished one; `Cancelled`; what `reembed` gives;
    /// `Corrupt` when the new epoch does not agree with itself. The model in force stays then.
    pub fn change_model(
        &self,
        to: Target,
        reembed: &dyn Reembed,
        progress: &mut dyn FnMut(EpochProgress) -> bool,
    ) -> Result<u32> {
        let Target { model, dimension, again, number } = to;
        Options { dimension, ..self.options() }.check()?;
        let mut told = |at: EpochProgress| {
            if progress(at) {
                return Ok(());
            }
            Err(Error::new(ErrorKind::Cancelled, "stopped before the new model was in force")
                .help("what was embedded is kept; the same command goes on with it"))
        };
        // One at a time: a second one would derive the same space.
        let _one_at_a_time = self.shared.epochs.try_lock().ok_or_else(|| {
            Error::new(ErrorKind::Locked, "another model is being put in force").help("wait for it, or stop it")
        })?;
        let core = self.shared.core();
        let space = core.space_for(number, model, dimension, again)?;
        embed(&core, &space, reembed, &mut told)?;
        let building = core.build(&space)?;
        let approach = |told: &mut dyn FnMut(EpochProgress) -> Result<()>| -> Result<()> {
            for _ in 0..CATCH_UP_ROUNDS {
                // What waits would otherwise be carried out, and embedded, while nobody may write.
                core.reach(core.accepted())?;
                let (taken, bare) =
                    building.catch_up(&core, &mut |done, all| told(EpochProgress::Voting(done, all)))?;
                if taken + bare <= LAST_FEW {
                    break;
                }
                embed(&core, &space, reembed, told)?;
            }
            Ok(())
        };
        approach(&mut told)?;
        told(EpochProgress::Verifying)?;
        building.verify()?;
        // Verifying takes its time, and writers go on.
        approach(&mut told)?;

        let _nobody_writes = self.shared.close_gate();
        // Its worker would go on merging segments that are about to go.
        let stopped = Stopped::new(&self.shared);
        let flipped = (|| {
            core.reach(core.accepted())?;
            embed(&core, &space, reembed, &mut told)?;
            match building.catch_up(&core, &mut |done, all| told(EpochProgress::Voting(done, all)))? {
                (_, 0) => building.flip(&core),
                (_, bare) => Err(Error::corrupt(format!("{bare} images have no descriptor of the new model"))),
            }
        })();
        let flipped = flipped?;
        stopped.replaced_by(flipped);
        Ok(space.id.0)
    }

    /// Keeps bytes under a name, with the rows and in every backup: what a model needs beside its descriptors.
    ///
    /// # Errors
    /// `Io`.
    pub fn put_file(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let _no_flip = self.shared.gate.read();
        self.shared.core().keep(|batch| batch.put_file(name, bytes))
    }

    /// Forgets, in one transaction, the bytes kept under every name that begins with `prefix`.
    ///
    /// # Errors
    /// `Invalid` for a database that was opened to read only; `Io`.
    pub fn remove_files(&self, prefix: &str) -> Result<()> {
        let _no_flip = self.shared.gate.read();
        self.shared.core().keep(|batch| batch.delete_files(prefix))
    }

    /// The bytes kept under a name.
    ///
    /// # Errors
    /// A damaged catalog.
    pub fn file(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.snapshot().state.pinned.file(name)
    }

    /// Forgets a model that is not in force, and its descriptors; whether other models were trained on them is asked by the statement
    /// DROP MODEL and not here.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for the one in force.
    pub fn drop_model(&self, number: u32) -> Result<()> {
        let _no_flip = self.shared.gate.read();
        let _no_epoch = self.shared.epochs.try_lock().ok_or_else(|| {
            Error::new(ErrorKind::Locked, "a model is being put in force").help("wait for it, or stop it")
        })?;
        self.shared.core().drop_space(number)
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

/// Gives every image that has none a descriptor in the space.
fn embed(
    core: &Core,
    space: &Space,
    reembed: &dyn Reembed,
    told: &mut dyn FnMut(EpochProgress) -> Result<()>,
) -> Result<()> {
    let (mut from, mut done) = (Some(ImageId(0)), 0);
    let neither = |other: &Space| other.id != space.id && other.id != core.catalog().space();
    let others: Vec<Space> = core.spaces()?.into_iter().filter(neither).collect();
    while let Some(first) = from {
        let (bare, next) = core.bare(space.id, first, EMBED_ROWS)?;
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
        told(EpochProgress::Embedding(done, images))?;
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
