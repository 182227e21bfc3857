//! Measures the training speed of a device: whole steps on random pixels and weights, without reading photos.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;

use cairn::{Error, Result};
use tch::{Kind, Tensor};

use super::network::Network;
use crate::device::{Hardware, one_thread, torch_error};
use crate::model::Architecture;
use crate::model::file::{Named, serialise};
use crate::model::layers::{ConvShape, Norm as Shape};
use crate::model::weights::Weights;
use crate::random::Mix;
use crate::train::checkpoint::Identity;
use crate::train::course::{Course, Learner, Lesson, Run, Schedule};
use crate::train::head::Norm;
use crate::train::init::class_weights;
use crate::train::loss::{Loss, LossOptions, Objective};
use crate::train::options::HeadOptions;
use crate::train::parameter::{Parameter, Place};
use crate::train::record::Step;

/// Steps before the clock starts: the first ones choose kernels and fill caches.
const WARM_UP: u64 = 3;
/// Labels of the classifier.
const CLASSES: usize = 1000;
const SEED: u64 = 1;

/// What is timed.
#[derive(Debug, Clone, Copy)]
pub struct StepSize {
    /// Sides of a photo in pixels.
    pub width: u32,
    /// Sides of a photo in pixels.
    pub height: u32,
    /// Photos of a mini-batch, at least 2.
    pub batch: usize,
    /// Steps that are timed, at least 1.
    pub steps: u64,
}

/// Images a second of whole training steps (forward, ArcFace over 1,000 labels, backward, SGD) of a network of `architecture`.
///
/// # Errors
/// `Invalid` for a size that is no mini-batch; when the device fails.
pub fn step_speed(architecture: Architecture, size: StepSize, hardware: &Hardware) -> Result<f64> {
    let _native = cairn::runtime::native();
    let StepSize { width, height, batch, steps } = size;
    if batch < 2 || steps == 0 || width < 32 || height < 32 {
        return Err(Error::invalid(format!("{steps} steps of {batch} photos of {width}x{height} cannot be timed"))
            .help("take one step or more, two photos or more, and sides of 32 pixels or more"));
    }
    one_thread();
    let weights = chance(architecture)?;
    let HeadOptions { dimension, last_rate, momentum, weight_decay, .. } = HeadOptions::new(Loss::ArcFace);
    let network = Network::load(architecture, &weights, dimension, false, SEED, hardware)?;
    let objective = class_weights(CLASSES, dimension, SEED)
        .and_then(|drawn| Objective::new(LossOptions::new(Loss::ArcFace), drawn)?.learning(hardware.torch()))
        .map_err(torch_error)?;
    let mut mix = Mix::new(&[SEED]);
    let bytes: Vec<u8> = (0..batch * width as usize * height as usize * 3).map(|_| mix.below(256) as u8).collect();
    let shape = [batch as i64, i64::from(height), i64::from(width), 3];
    let classes: Vec<i64> = (0..batch).map(|_| mix.below(CLASSES) as i64).collect();
    let rgb = Tensor::f_from_data_size(&bytes, &shape, Kind::Uint8).map_err(torch_error)?;
    let targets = Tensor::f_from_slice(&classes)
        .and_then(|classes| classes.f_to_device(hardware.torch()))
        .map_err(torch_error)?;
    let schedule = Schedule { epochs: 1, frozen_epochs: 0, rate: 1e-3, last_rate, momentum, weight_decay };
    let seconds = RefCell::new(0.0);
    let timed = |step: &Step| {
        if step.step > WARM_UP {
            *seconds.borrow_mut() += batch as f64 / f64::from(step.images_per_second);
        }
        ControlFlow::Continue(())
    };
    let drill = Drill { network, objective, rgb, targets, steps: WARM_UP + steps, batch: (0..batch as u32).collect() };
    let identity = Identity { options: String::new(), data: String::new() };
    Course::begin(drill, schedule)?.go(&identity, &Run { progress: &timed, ..Run::quiet() })?;
    let seconds = seconds.into_inner();
    Ok(steps as f64 * batch as f64 / f64::max(seconds, 1e-9))
}

/// Weights of a network that has learnt nothing: He's normal distribution (ICCV 2015), normalisations that change nothing.
fn chance(architecture: Architecture) -> Result<Weights> {
    let mut mix = Mix::new(&[SEED]);
    let mut tensors: Vec<Named> = Vec::new();
    architecture.trunk(&mut |shape: &ConvShape| {
        let output = usize::try_from(shape.output).unwrap_or(0);
        if let Some((name, sides)) = shape.weight() {
            let sides = sides.map(|side| usize::try_from(side).unwrap_or(0));
            let deviation = (2.0 / (sides[1] * sides[2] * sides[3]).max(1) as f64).sqrt();
            let numbers = (0..sides.iter().product()).map(|_| (deviation * mix.normal()) as f32).collect();
            tensors.push((name, sides.to_vec(), numbers));
        }
        tensors.extend(shape.bias().map(|name| (name, vec![output], vec![0.0; output])));
        if let Shape::Batch { name, .. } = shape.norm {
            for (part, value) in [("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)] {
                tensors.push((format!("{name}.{part}"), vec![output], vec![value; output]));
            }
        }
        Ok(())
    })?;
    Weights::from_bytes(Path::new("weights drawn by chance"), serialise(&tensors, HashMap::new())?, None)
}

/// A network that sees the same mini-batch again and again.
struct Drill {
    network: Network,
    objective: Objective,
    rgb: Tensor,
    targets: Tensor,
    steps: u64,
    batch: Vec<u32>,
}

impl Learner for Drill {
    fn batches(&self, _epoch: u64) -> Vec<Vec<u32>> {
        (0..self.steps).map(|_| self.batch.clone()).collect()
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

    fn lesson(&mut self, _at: u64, _batch: &[u32], norm: Norm) -> Result<Lesson> {
        let y = self.network.forward(&self.rgb, norm).map_err(torch_error)?;
        Lesson::of(&mut self.objective, &y, &self.targets).map_err(torch_error)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn every_architecture_trains() {
        let size = StepSize { width: 64, height: 32, batch: 2, steps: 1 };
        for architecture in
            [Architecture::Lite0, Architecture::Resnet18, Architecture::SeResnext101, Architecture::Fishnet150]
        {
            let speed = step_speed(architecture, size, &Hardware::cpu()).unwrap();
            assert!(speed.is_finite() && speed > 0.0, "{architecture:?}: {speed}");
        }
        assert!(step_speed(Architecture::Lite0, StepSize { batch: 1, ..size }, &Hardware::cpu()).is_err());
    }
}
