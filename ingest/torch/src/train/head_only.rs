//! Trains a head on cached descriptors: the trunk does not change, so two CPU cores suffice.

use cairn::Result;
use cairn::runtime::pool;
use tch::{Device, Kind, TchError, Tensor};

use super::batches::Pool;
use super::checkpoint::Identity;
use super::course::{Course, Learner, Lesson, Run, Schedule};
use super::head::{Norm, TrainHead};
use super::init::{class_weights, initial_head};
use super::loss::Objective;
use super::nearest::numbers;
use super::options::HeadOptions;
use super::parameter::{Parameter, Place};
use super::record::Step;
use super::samples::{HoldOut, Prepared, Samples};
use super::validate::{Descriptors, Validation, validate};
use crate::device::{Hardware, one_thread, torch_error};
use crate::model::adapter::{Adapter, Affine};
use crate::random::Mix;

/// Tells this file's draws from others of the same seed.
const VIEWS: u64 = 0x71e5;

/// What a training gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// The head.
    pub adapter: Adapter,
    /// All steps, also those that were made before it was cut short.
    pub log: Vec<Step>,
    /// mAP before and after on the images held out; `None` where none were.
    pub validation: Option<Validation>,
}

/// Trains FC + BatchNorm1d on cached descriptors (docs/ALGORITHMS.md, with the trunk frozen).
///
/// On the CPU the result is a function of samples and options, to the bit, however often it was cut short. Memory: one more
/// copy of the samples while the first head is computed.
///
/// # Errors
/// `Invalid` for samples or options that cannot be used, and when the loss leaves the numbers; `Mismatch` and `Corrupt` for a
/// checkpoint that is another training's or damaged; `Cancelled` when `progress` says `Break` (the state is saved
/// first); `Io`.
pub fn train_head(samples: &Samples, options: &HeadOptions, hardware: &Hardware, run: &Run) -> Result<Trained> {
    let _native = cairn::runtime::native();
    one_thread();
    options.check(samples.dimension)?;
    let prepared = Prepared::new(samples, options.singles, HoldOut::images(options.validation), options.seed)?;
    let identity =
        Identity { options: options.text(), data: blake3::Hash::from(samples.digest()).to_hex().to_string() };
    let learning = Learning::begin(&prepared, options, hardware.torch()).map_err(torch_error)??;
    let schedule = learning.schedule();
    let mut course = Course::begin(learning, schedule)?;
    course.go(&identity, run)?;
    let adapter = course.learner.adapter(samples.dimension).map_err(torch_error)?;
    let validation =
        validate(&prepared, &|images| pool::try_map(images, |&image| adapter.apply(&prepared.plain(image))))?;
    Ok(Trained { adapter, log: course.log, validation })
}

/// How good other descriptors are on the images that a training with these options holds out. `None` where it holds out none.
///
/// # Errors
/// As [`train_head`], and as `descriptors`, which gives unit rows of images by number.
pub(crate) fn judge_head(
    samples: &Samples,
    options: &HeadOptions,
    descriptors: Descriptors<'_>,
) -> Result<Option<Validation>> {
    let share = HoldOut::images(options.validation);
    validate(&Prepared::new(samples, options.singles, share, options.seed)?, descriptors)
}

/// A head that is learning.
struct Learning<'a> {
    prepared: &'a Prepared<'a>,
    options: &'a HeadOptions,
    device: Device,
    head: TrainHead,
    objective: Objective,
}

impl<'a> Learning<'a> {
    fn begin(prepared: &'a Prepared, options: &'a HeadOptions, device: Device) -> Result<Result<Self>, TchError> {
        let rows: Vec<Vec<f32>> = prepared.train.iter().map(|&image| prepared.plain(image)).collect();
        let input = rows.first().map_or(0, Vec::len) as i64;
        let x = Tensor::f_from_slice(&rows.concat())?.f_view([rows.len() as i64, input])?;
        drop(rows);
        let classes: Vec<i64> = prepared.classes.iter().map(|&class| i64::from(class)).collect();
        let classes = Tensor::f_from_slice(&classes)?;
        let head = match initial_head(options.init, &x, &classes, options.dimension, options.seed) {
            Ok(head) => head,
            Err(error) => return Ok(Err(error)),
        };
        let shape = [prepared.class_count as i64, options.dimension as i64];
        let class_weight = if options.centres {
            // The sum points where the mean does; cosines do not ask for the length, softmax does.
            let y = head.forward(&x, Norm::Frozen)?;
            let hot = classes.f_one_hot(shape[0])?.f_to_kind(Kind::Float)?;
            let sizes = hot.f_sum_dim_intlist([0i64].as_slice(), false, None)?.f_clamp_min(1.0)?;
            hot.f_tr()?.f_mm(&y)?.f_div(&sizes.f_unsqueeze(1)?)?
        } else {
            class_weights(prepared.class_count, options.dimension, options.seed)?
        };
        let head = head.learning(device)?;
        let objective = Objective::new(options.loss, class_weight)?.learning(device)?;
        Ok(Ok(Self { prepared, options, device, head, objective }))
    }

    fn schedule(&self) -> Schedule {
        let HeadOptions { epochs, frozen_epochs, rate, last_rate, momentum, weight_decay, .. } = *self.options;
        Schedule { epochs, frozen_epochs, rate, last_rate, momentum, weight_decay }
    }

    fn pool(&self) -> Pool<'_> {
        let HeadOptions { batch, sampling, seed, .. } = *self.options;
        Pool { classes: &self.prepared.classes, groups: None, batch, sampling, seed }
    }

    /// One of the rows of training image `of`, with noise and dropout, drawn for this slot of this step.
    fn view(&self, at: u64, slot: usize, of: u32) -> Vec<f32> {
        let HeadOptions { noise, dropout, seed, .. } = *self.options;
        let mut mix = Mix::new(&[seed, VIEWS, at, slot as u64]);
        let views = self.prepared.views(self.prepared.train[of as usize]);
        let mut row = views.get(mix.below(views.len())).map_or_else(Vec::new, |&row| self.prepared.unit_row(row));
        if noise > 0.0 {
            let each = noise / (row.len().max(1) as f64).sqrt();
            row.iter_mut().for_each(|x| *x += (each * mix.normal()) as f32);
        }
        if dropout > 0.0 {
            let kept = (1.0 / (1.0 - dropout)) as f32;
            row.iter_mut().for_each(|x| *x *= if mix.unit() < dropout { 0.0 } else { kept });
        }
        row
    }

    fn adapter(&self, input: usize) -> Result<Adapter, TchError> {
        let (weight, bias) = self.head.fold()?;
        let map = Affine { matrix: numbers(&weight)?, bias: numbers(&bias)? };
        Ok(Adapter::affine(input, map, self.options.concatenation))
    }
}

impl Learner for Learning<'_> {
    fn batches(&self, epoch: u64) -> Vec<Vec<u32>> {
        self.pool().epoch(epoch)
    }

    fn parameters(&self) -> Vec<Parameter> {
        self.head.parameters().into_iter().chain(self.objective.parameters()).collect()
    }

    fn buffers(&self) -> Vec<Place> {
        self.head.buffers().into()
    }

    fn scale(&mut self) -> &mut f64 {
        &mut self.objective.scale
    }

    fn lesson(&mut self, at: u64, batch: &[u32], norm: Norm) -> Result<Lesson> {
        let _native = cairn::runtime::native();
        let mut lesson = || -> Result<Lesson, TchError> {
            let rows: Vec<f32> = batch.iter().enumerate().flat_map(|(slot, &of)| self.view(at, slot, of)).collect();
            let input = rows.len() / batch.len().max(1);
            let x =
                Tensor::f_from_slice(&rows)?.f_view([batch.len() as i64, input as i64])?.f_to_device(self.device)?;
            let targets: Vec<i64> = batch.iter().map(|&of| i64::from(self.prepared.classes[of as usize])).collect();
            let targets = Tensor::f_from_slice(&targets)?.f_to_device(self.device)?;
            Lesson::of(&mut self.objective, &self.head.forward(&x, norm)?, &targets)
        };
        lesson().map_err(torch_error)
    }
}

#[cfg(test)]
#[path = "head_only_tests.rs"]
mod tests;
