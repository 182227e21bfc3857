//! A convolution and its batch normalisation during training: kept separate, as in weights files.

use cairn::{Error, Result};
use tch::{Device, Kind, TchError, Tensor};

use crate::device::torch_error;
use crate::model::layers::{Activation, ConvShape, Geometry, Norm as Shape};
use crate::model::weights::Weights;
use crate::train::head::{NORM_MOMENTUM, Norm};
use crate::train::parameter::learning;
use crate::train::parameter::{Parameter, Place};

/// Convolution + batch normalisation + activation, all of whose numbers learn.
pub(super) struct Layer {
    conv: String,
    norm: String,
    weight: Tensor,
    gamma: Tensor,
    beta: Tensor,
    mean: Tensor,
    variance: Tensor,
    epsilon: f64,
    geometry: Geometry,
    activation: Activation,
}

impl Layer {
    /// # Errors
    /// When a tensor is missing or of another shape, or the layer has no batch normalisation to train.
    pub(super) fn load(weights: &Weights, shape: &ConvShape, device: Device) -> Result<Self> {
        let Shape::Batch { name, epsilon } = shape.norm else {
            return Err(Error::invalid(format!("{} has no batch normalisation that could be trained", shape.conv)));
        };
        let ConvShape { input, output, kernel, .. } = *shape;
        let of_norm = |part: &str| weights.tensor(&format!("{name}.{part}"), &[output]);
        let weight =
            weights.tensor(&format!("{}.weight", shape.conv), &[output, input / shape.groups(), kernel, kernel])?;
        let (gamma, beta) = (of_norm("weight")?, of_norm("bias")?);
        let (mean, variance) = (of_norm("running_mean")?, of_norm("running_var")?);
        let place = || -> Result<Self, TchError> {
            Ok(Self {
                conv: shape.conv.to_owned(),
                norm: name.to_owned(),
                weight: learning(&weight, device)?,
                gamma: learning(&gamma, device)?,
                beta: learning(&beta, device)?,
                mean: mean.f_to_device(device)?,
                variance: variance.f_to_device(device)?,
                epsilon,
                geometry: shape.geometry(),
                activation: shape.activation,
            })
        };
        place().map_err(torch_error)
    }

    /// (n, input, h, w) -> (n, output, ceil(h / stride), ceil(w / stride)), in `kind`; the numbers that learn stay f32.
    pub(super) fn forward(&self, x: &Tensor, norm: Norm, kind: Kind) -> Result<Tensor, TchError> {
        let y = self.geometry.convolve(x, &self.weight.f_to_kind(kind)?, None)?.f_batch_norm(
            Some(&self.gamma),
            Some(&self.beta),
            Some(&self.mean),
            Some(&self.variance),
            norm == Norm::Batch,
            NORM_MOMENTUM,
            self.epsilon,
            true,
        )?;
        // Nothing in place: the gradient needs what the activation saw.
        match self.activation {
            Activation::None => Ok(y),
            Activation::Relu => y.f_relu(),
            Activation::Relu6 => y.f_clamp(0.0, 6.0),
        }
    }

    pub(super) fn parameters(&self) -> [Parameter; 3] {
        [
            Parameter::new(&format!("{}.weight", self.conv), &self.weight, false),
            Parameter::new(&format!("{}.weight", self.norm), &self.gamma, true),
            Parameter::new(&format!("{}.bias", self.norm), &self.beta, true),
        ]
    }

    pub(super) fn buffers(&self) -> [Place; 2] {
        let place = |part: &str, tensor: &Tensor| (format!("{}.{part}", self.norm), tensor.shallow_clone());
        [place("running_mean", &self.mean), place("running_var", &self.variance)]
    }
}
