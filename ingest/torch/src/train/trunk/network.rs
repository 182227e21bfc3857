//! A whole network during training: trunk, GeM, head; from a file of weights to another one of the same layout.

use std::collections::HashMap;

use cairn::Result;
use tch::{Device, Kind, TchError, Tensor};

use super::layer::Layer;
use crate::device::{Hardware, torch_error};
use crate::model::Architecture;
use crate::model::extract::{Trunk, channel, input, pooled};
use crate::model::file::{Named, serialise};
use crate::model::gem::{GEM_EPSILON, NORM_EPSILON, exponent, has_norm, head_dimension};
use crate::model::weights::Weights;
use crate::train::head::{Norm, TrainHead};
use crate::train::init::chance_head;
use crate::train::nearest::numbers;
use crate::train::parameter::{Parameter, Place};

/// What the metadata of the file say under `cairn`.
const FORMAT: &str = "network 1";

/// Trunk, pooling and head whose numbers learn.
pub(super) struct Network {
    trunk: Trunk<Layer>,
    /// GeM's exponent, (1).
    p: Tensor,
    learns_p: bool,
    head: TrainHead,
    mean: Tensor,
    deviation: Tensor,
    /// Kind in which the trunk computes: f32, or bf16 on CUDA.
    kind: Kind,
    device: Device,
}

impl Network {
    /// The network of a file. A head of `dimension` numbers goes on from the file's; where it has none, or one of another length, one
    /// is drawn by `seed`.
    ///
    /// # Errors
    /// When the file is not of that architecture.
    pub(super) fn load(
        architecture: Architecture,
        weights: &Weights,
        dimension: usize,
        learns_p: bool,
        seed: u64,
        hardware: &Hardware,
    ) -> Result<Self> {
        let device = hardware.torch();
        let trunk = architecture.trunk(&mut |shape| Layer::load(weights, shape, device))?;
        let (p, channels) = (exponent(weights)?, architecture.pooled());
        let has_head = weights.has("head.fc.weight") && usize::try_from(head_dimension(weights)?) == Ok(dimension);
        let out = dimension as i64;
        let of_head = |part: &str, shape: &[i64]| weights.tensor(&format!("head.{part}"), shape);
        // A layer without a normalisation gets one that changes nothing.
        let is_normed = has_norm(weights);
        let of_norm = |part: &str, otherwise: f64| match is_normed {
            true => of_head(&format!("bn.{part}"), &[out]),
            false => Tensor::f_full([out], otherwise, (Kind::Float, Device::Cpu)).map_err(torch_error),
        };
        let head = if has_head {
            TrainHead {
                weight: of_head("fc.weight", &[out, channels])?,
                bias: of_head("fc.bias", &[out])?,
                gamma: of_norm("weight", 1.0)?,
                beta: of_norm("bias", 0.0)?,
                mean: of_norm("running_mean", 0.0)?,
                variance: of_norm("running_var", 1.0 - NORM_EPSILON)?,
            }
        } else {
            chance_head(usize::try_from(channels).unwrap_or(0), dimension, seed).map_err(torch_error)?
        };
        let (mean, deviation) = architecture.normalisation();
        let place = || -> Result<Self, TchError> {
            let p = Tensor::f_from_slice(&[p as f32])?.f_to_device(device)?.f_set_requires_grad(learns_p)?;
            Ok(Self {
                trunk,
                p,
                learns_p,
                head: head.learning(device)?,
                mean: channel(mean, device)?,
                deviation: channel(deviation, device)?,
                kind: if hardware.is_cuda() { Kind::BFloat16 } else { Kind::Float },
                device,
            })
        };
        place().map_err(torch_error)
    }

    /// RGB bytes (n, h, w, 3) -> raw descriptors (n, dimension), f32.
    pub(super) fn forward(&self, rgb: &Tensor, norm: Norm) -> Result<Tensor, TchError> {
        let x = input(&rgb.f_to_device(self.device)?, &self.mean, &self.deviation)?.f_to_kind(self.kind)?;
        let maps = self.trunk.forward(&x, &|layer: &Layer, x: &Tensor| layer.forward(x, norm, self.kind))?;
        self.head.forward(&pooled(&maps, &|map| gem_learning(map, &self.p))?, norm)
    }

    pub(super) fn parameters(&self) -> Vec<Parameter> {
        let layers = self.trunk.layers().into_iter().flat_map(Layer::parameters);
        let p = self.learns_p.then(|| Parameter::new("gem.p", &self.p, false));
        layers.chain(p).chain(self.head.parameters()).collect()
    }

    pub(super) fn buffers(&self) -> Vec<Place> {
        self.trunk.layers().into_iter().flat_map(Layer::buffers).chain(self.head.buffers()).collect()
    }

    /// The bytes of a file of weights that a model can be loaded from: the same for the same numbers.
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let parameters = self.parameters().into_iter().map(|parameter| (parameter.name, parameter.tensor));
        let fixed_p = (!self.learns_p).then(|| ("gem.p".to_owned(), self.p.shallow_clone()));
        let named = |(name, tensor): Place| -> Result<Named> {
            let shape = tensor.size().into_iter().map(|side| usize::try_from(side).unwrap_or(0)).collect();
            Ok((name, shape, numbers(&tensor).map_err(torch_error)?))
        };
        let tensors: Vec<Named> = parameters.chain(self.buffers()).chain(fixed_p).map(named).collect::<Result<_>>()?;
        serialise(&tensors, HashMap::from([("cairn".to_owned(), FORMAT.to_owned())]))
    }
}

/// GeM with an exponent that learns: (n, c, h, w) -> (n, c), in f32 whatever the kind of the map.
fn gem_learning(map: &Tensor, p: &Tensor) -> Result<Tensor, TchError> {
    map.f_to_kind(Kind::Float)?
        .f_clamp_min(GEM_EPSILON)?
        .f_pow(p)?
        .f_mean_dim([2i64, 3].as_slice(), false, Kind::Float)?
        .f_pow(&p.f_reciprocal()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::model::gem::gem;
    use crate::testing::{largest_difference, shared_npy};

    #[test]
    fn pooling_equals_the_golden_file_and_its_gradients_finite_differences() {
        let Some(map) = shared_npy("golden/model/feature_map.npy") else { return };
        let p = Tensor::from_slice(&[3f32]);
        let golden = shared_npy("golden/model/gem.npy").unwrap();
        assert!(largest_difference(&gem_learning(&map, &p).unwrap(), &golden) < 1e-5);
        assert!(largest_difference(&gem_learning(&map, &p).unwrap(), &gem(&map, 3.0).unwrap()) < 1e-5);
        let p = Tensor::from_slice(&[3f32]).set_requires_grad(true);
        let value = |p: &Tensor| gem_learning(&map, p).unwrap().sum(Kind::Double);
        let gradient = Tensor::run_backward(&[value(&p)], &[&p], false, false).remove(0).double_value(&[0]);
        let at = |p: f32| tch::no_grad(|| value(&Tensor::from_slice(&[p]))).double_value(&[]);
        let numeric = (at(3.01) - at(2.99)) / 0.02;
        assert!((gradient - numeric).abs() < 1e-2 * (1.0 + numeric.abs()), "{gradient} is not {numeric}");
    }
}
