//! Training the whole network from photos: trunk, GeM and head (paper section 3.1 and 4.1).

mod layer;
mod loader;
mod network;
mod speed;
#[cfg(test)]
mod tests;

use std::time::Instant;

use cairn::language::{DEFAULT_SCALEUP, DEFAULT_TRUNK_EPOCHS, DEFAULT_TRUNK_RATE, DEFAULT_VALIDATION};
use cairn::runtime::pool;
use cairn::{Error, Photo, Result};
use tch::{Kind, TchError, Tensor};

use super::Augmentation;
use super::aspect::sizes;
use super::batches::{Pool, Sampling};
use super::checkpoint::Identity;
use super::course::{Course, Learner, Lesson, Run, Schedule};
use super::head::Norm;
use super::init::class_weights;
use super::loss::{Loss, LossOptions, Objective};
use super::options::HeadOptions;
use super::parameter::{Parameter, Place};
use super::record::Step;
use super::samples::{HoldOut, LABEL_SHARE, Prepared, Samples, Singles};
use super::validate::{Descriptors, Validation, validate};
use crate::device::{Hardware, one_thread, torch_error};
use crate::model::Architecture;
use crate::model::weights::Weights;
use cairndb_ingest::photo::{DecodeLimits, about_photo, aspect_group, read_photo, upright_size};
use loader::{Loader, Recipe};
use network::Network;
pub use speed::{StepSize, step_speed};

/// How a network is trained from photos. The defaults are the paper's.
#[derive(Debug, Clone, PartialEq)]
pub struct TrunkOptions {
    /// The loss with its margin and scale; ArcFace, m = 0.3, s = 30.
    pub loss: LossOptions,
    /// Numbers of a descriptor; 512, and 2,048 for triplet and AP.
    pub dimension: usize,
    /// Times that the images are gone through; 5.
    pub epochs: u64,
    /// How many of them, at the end, see larger photos and leave the batch normalisations as they are; 1.
    pub scaleup_epochs: u64,
    /// Images of a mini-batch, all of one aspect group; 32.
    pub batch: usize,
    /// How an epoch goes through the images.
    pub sampling: Sampling,
    /// How a view differs from its photo; soft.
    pub augmentation: Augmentation,
    /// Whether GeM's exponent learns, as released; false: it stays as it is (the paper's 3).
    pub learns_p: bool,
    /// Learning rate of the first step; 1e-3.
    pub rate: f64,
    /// Learning rate at the end of the cosine; 3e-6, as released.
    pub last_rate: f64,
    /// Momentum; 0.9.
    pub momentum: f64,
    /// Weight decay on every parameter; 1e-5.
    pub weight_decay: f64,
    /// Decides everything that is drawn.
    pub seed: u64,
    /// Share of the images held out to judge by, which are not learnt from; `DEFAULT_VALIDATION` of TRAIN. Unless it is 0, a fifth of the labels is held out too where there are five or
    /// more.
    pub validation: f64,
    /// What happens to labels with one image.
    pub singles: Singles,
}

impl TrunkOptions {
    /// The defaults for a loss.
    pub fn new(loss: Loss) -> Self {
        let HeadOptions { loss, dimension, batch, sampling, last_rate, momentum, weight_decay, seed, .. } =
            HeadOptions::new(loss);
        Self {
            loss,
            dimension,
            epochs: DEFAULT_TRUNK_EPOCHS as u64,
            scaleup_epochs: DEFAULT_SCALEUP as u64,
            batch,
            sampling,
            augmentation: Augmentation::default(),
            learns_p: false,
            rate: DEFAULT_TRUNK_RATE,
            last_rate,
            momentum,
            weight_decay,
            seed,
            validation: DEFAULT_VALIDATION,
            singles: Singles::default(),
        }
    }

    /// What a head has in common with it; the rest are a head's defaults.
    fn as_head(&self) -> HeadOptions {
        HeadOptions {
            loss: self.loss,
            dimension: self.dimension,
            epochs: self.epochs,
            frozen_epochs: self.scaleup_epochs,
            batch: self.batch,
            sampling: self.sampling,
            rate: self.rate,
            last_rate: self.last_rate,
            momentum: self.momentum,
            weight_decay: self.weight_decay,
            seed: self.seed,
            validation: self.validation,
            singles: self.singles,
            ..HeadOptions::new(self.loss.loss)
        }
    }

    /// What is not learnt. A network that learns photos by heart ranks what it never saw among what it knows, so labels are held out
    /// beside images.
    fn hold_out(&self) -> HoldOut {
        HoldOut { images: self.validation, labels: if self.validation > 0.0 { LABEL_SHARE } else { 0.0 } }
    }

    /// Everything that decides the result, as lines `name = value`.
    fn text(&self) -> String {
        let Self { augmentation, learns_p, .. } = self;
        format!(
            "network = 1\nlabels held out = {}\n{}augmentation = {}\nlearns p = {learns_p}\n",
            self.hold_out().labels,
            self.as_head().text(),
            augmentation.word()
        )
    }
}

/// What is learnt from.
pub struct PhotoSet<'a> {
    /// Labels, and the descriptors before the training, which only the validation reads: one row an image.
    pub samples: &'a Samples,
    /// The photo of an image, by its number in `samples`.
    pub photo: &'a (dyn Fn(u32) -> Result<Photo> + Sync),
    /// Tells these photos from others, wherever they lie: a training that was cut short goes on only with the same.
    pub photos: blake3::Hash,
}

/// What a training gives.
pub struct TrainedTrunk {
    /// A file of weights (safetensors) of the same architecture, with a head.
    pub weights: Vec<u8>,
    /// All steps, also those that were made before it was cut short.
    pub log: Vec<Step>,
    /// Images that were never learnt from: too few photos have their shape.
    pub never_seen: usize,
    /// Over this run.
    pub images_per_second: f64,
    /// Share of the time in which the network waited for photos, 0 to 1; of this run alone.
    pub waited: f64,
}

/// Trains a network of `architecture`, from `weights` on. On the CPU the result is a function of photos, weights and options, to the
/// bit, however often it was cut short. Memory: the network four times (numbers, momentum, gradient, checkpoint), the activations of
/// a mini-batch, and three mini-batches of pixels a reading thread.
///
/// # Errors
/// As [`super::train_head`]; and when a photo cannot be read (the message names it, and the training goes on from its checkpoint).
pub(crate) fn train_trunk(
    set: &PhotoSet,
    architecture: Architecture,
    weights: &Weights,
    options: &TrunkOptions,
    hardware: &Hardware,
    run: &Run,
) -> Result<TrainedTrunk> {
    one_thread();
    options.as_head().check(usize::MAX)?;
    let prepared = Prepared::new(set.samples, options.singles, options.hold_out(), options.seed)?;
    let photo = |place: u32| (set.photo)(prepared.train[place as usize]);
    let groups = groups(prepared.train.len(), &photo)?;
    let pool = Pool {
        classes: &prepared.classes,
        groups: Some(&groups),
        batch: options.batch,
        sampling: options.sampling,
        seed: options.seed,
    };
    let per_epoch = pool.epoch(0).len() as u64;
    let never_seen = pool.never_seen(options.epochs);
    let recipe = Recipe { pool, open: &photo, options, sizes: sizes(architecture), per_epoch };
    let identity = Identity { options: options.text(), data: digest(&prepared, set, weights) };
    let head = (options.dimension, options.learns_p, options.seed);
    let native = cairn::runtime::native();
    let network = Network::load(architecture, weights, head.0, head.1, head.2, hardware)?;
    let objective = class_weights(prepared.class_count, options.dimension, options.seed)
        .and_then(|drawn| Objective::new(options.loss, drawn)?.learning(hardware.torch()))
        .map_err(torch_error)?;
    drop(native);
    let HeadOptions { epochs, frozen_epochs, rate, last_rate, momentum, weight_decay, .. } = options.as_head();
    let schedule = Schedule { epochs, frozen_epochs, rate, last_rate, momentum, weight_decay };
    // On the CPU the network computes on one thread, so that one other is free.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if hardware.is_cuda() { cores } else { 1 };
    let start = Instant::now();
    let (network, log, waited, seen) = std::thread::scope(|scope| -> Result<_> {
        let loader = Loader::new(scope, &recipe, threads);
        let learning = Learning { network, objective, recipe: &recipe, loader };
        let mut course = Course::begin(learning, schedule)?;
        course.go(&identity, run)?;
        let Learning { network, loader, .. } = course.learner;
        Ok((network, course.log, loader.waited.as_secs_f64(), loader.seen))
    })?;
    let seconds = start.elapsed().as_secs_f64().max(1e-9);
    let _native = cairn::runtime::native();
    let (weights, images_per_second) = (network.encode()?, seen as f64 / seconds);
    Ok(TrainedTrunk { weights, log, never_seen, images_per_second, waited: waited / seconds })
}

/// How good new descriptors are on the images that a training with these options held out. `None` where it held out none.
///
/// # Errors
/// As `descriptors`, which gives those of images by number.
pub(crate) fn judge_trunk(
    samples: &Samples,
    options: &TrunkOptions,
    descriptors: Descriptors<'_>,
) -> Result<Option<Validation>> {
    validate(&Prepared::new(samples, options.singles, options.hold_out(), options.seed)?, descriptors)
}

/// The aspect group of each photo, by its header.
fn groups(count: usize, photo: &(dyn Fn(u32) -> Result<Photo> + Sync)) -> Result<Vec<u8>> {
    let limits = DecodeLimits::default();
    let group = |place: usize| {
        let photo = photo(place as u32)?;
        let size = read_photo(&photo, &limits).and_then(|bytes| upright_size(&bytes, &limits));
        let (width, height) =
            size.map_err(|error| about_photo(&photo, error).help("fix the file or DELETE the image"))?;
        Ok(aspect_group(width, height))
    };
    if u32::try_from(count).is_err() {
        return Err(Error::invalid("more than 2^32 images cannot be learnt from"));
    }
    pool::try_each(count, group)
}

/// A digest of what is learnt from: which images, their classes, and where the network begins.
fn digest(prepared: &Prepared, set: &PhotoSet, weights: &Weights) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(weights.digest().as_bytes());
    hasher.update(set.photos.as_bytes());
    for (image, class) in prepared.train.iter().zip(&prepared.classes) {
        hasher.update(&image.to_le_bytes());
        hasher.update(&class.to_le_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// A network that is learning.
struct Learning<'scope, 'env> {
    network: Network,
    objective: Objective,
    recipe: &'env Recipe<'env>,
    loader: Loader<'scope, 'env>,
}

impl Learner for Learning<'_, '_> {
    fn batches(&self, epoch: u64) -> Vec<Vec<u32>> {
        self.recipe.pool.epoch(epoch)
    }

    fn parameters(&self) -> Vec<Parameter> {
        self.network.parameters().into_iter().chain(self.objective.parameters()).collect()
    }

    fn buffers(&self) -> Vec<Place> {
        self.network.buffers()
    }

    fn scale(&mut self) -> &mut f64 {
        &mut self.objective.scale
    }

    fn lesson(&mut self, at: u64, batch: &[u32], norm: Norm) -> Result<Lesson> {
        // Not inside: the loader's threads may read photos from the database.
        let photos = self.loader.take(at)?;
        let _native = cairn::runtime::native();
        let mut lesson = || -> Result<Lesson, TchError> {
            let shape = [batch.len() as i64, i64::from(photos.height), i64::from(photos.width), 3];
            let rgb = Tensor::f_from_data_size(&photos.rgb, &shape, Kind::Uint8)?;
            let y = self.network.forward(&rgb, norm)?;
            let classes: Vec<i64> = batch.iter().map(|&of| i64::from(self.recipe.pool.classes[of as usize])).collect();
            let targets = Tensor::f_from_slice(&classes)?.f_to_device(y.device())?;
            Lesson::of(&mut self.objective, &y, &targets)
        };
        lesson().map_err(torch_error)
    }
}
