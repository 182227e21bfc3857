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
    /// Name and numbers of the convolution's weights; `None`: the layer is its normalisation and activation alone.
    weight: Option<Place>,
    /// Those of its bias, where it has one.
    bias: Option<Place>,
    norm: Option<BatchNorm>,
    geometry: Geometry,
    activation: Activation,
}

/// A batch normalisation.
struct BatchNorm {
    name: String,
    gamma: Tensor,
    beta: Tensor,
    mean: Tensor,
    variance: Tensor,
    epsilon: f64,
}

impl BatchNorm {
    fn load(weights: &Weights, name: &str, epsilon: f64, channels: i64, device: Device) -> Result<Self> {
        let part = |part: &str| weights.tensor(&format!("{name}.{part}"), &[channels]);
        let (gamma, beta) = (part("weight")?, part("bias")?);
        let (mean, variance) = (part("running_mean")?, part("running_var")?);
        let place = || -> Result<Self, TchError> {
            Ok(Self {
                name: name.to_owned(),
                gamma: learning(&gamma, device)?,
                beta: learning(&beta, device)?,
                mean: mean.f_to_device(device)?,
                variance: variance.f_to_device(device)?,
                epsilon,
            })
        };
        place().map_err(torch_error)
    }

    fn forward(&self, x: &Tensor, norm: Norm) -> Result<Tensor, TchError> {
        x.f_batch_norm(
            Some(&self.gamma),
            Some(&self.beta),
            Some(&self.mean),
            Some(&self.variance),
            norm == Norm::Batch,
            NORM_MOMENTUM,
            self.epsilon,
            true,
        )
    }
}

impl Layer {
    /// # Errors
    /// When a tensor is missing or of another shape, or the layer's normalisation has nothing to train.
    pub(super) fn load(weights: &Weights, shape: &ConvShape, device: Device) -> Result<Self> {
        let norm = match shape.norm {
            Shape::Batch { name, epsilon } => Some(BatchNorm::load(weights, name, epsilon, shape.output, device)?),
            Shape::Plain { name, .. } => {
                return Err(Error::invalid(format!("{name} is a batch normalisation that cannot be trained")));
            }
            Shape::Bias | Shape::Nothing => None,
        };
        let learns = |(name, sides): (String, &[i64])| -> Result<Place> {
            let tensor = weights.tensor(&name, sides)?;
            Ok((name, learning(&tensor, device).map_err(torch_error)?))
        };
        let weight = shape.weight().map(|(name, sides)| learns((name, &sides))).transpose()?;
        let bias = shape.bias().map(|name| learns((name, &[shape.output]))).transpose()?;
        Ok(Self { weight, bias, norm, geometry: shape.geometry(), activation: shape.activation })
    }

    /// (n, input, h, w) -> (n, output, ceil(h / stride), ceil(w / stride)), in `kind`; the numbers that learn stay f32.
    pub(super) fn forward(&self, x: &Tensor, norm: Norm, kind: Kind) -> Result<Tensor, TchError> {
        let bias = self.bias.as_ref().map(|(_, bias)| bias.f_to_kind(kind)).transpose()?;
        let y = match &self.weight {
            Some((_, weight)) => self.geometry.convolve(x, &weight.f_to_kind(kind)?, bias.as_ref())?,
            None => x.shallow_clone(),
        };
        let y = match &self.norm {
            Some(own) => own.forward(&y, norm)?,
            None => y,
        };
        // Nothing in place: the gradient needs what the activation saw.
        match self.activation {
            Activation::None => Ok(y),
            Activation::Relu => y.f_relu(),
            Activation::Relu6 => y.f_clamp(0.0, 6.0),
            Activation::Sigmoid => y.f_sigmoid(),
        }
    }

    pub(super) fn parameters(&self) -> Vec<Parameter> {
        let of_conv = self.weight.iter().chain(&self.bias).map(|(name, tensor)| Parameter::new(name, tensor, false));
        let of_norm = self.norm.iter().flat_map(|BatchNorm { name, gamma, beta, .. }| {
            [("weight", gamma), ("bias", beta)].map(|(part, of)| Parameter::new(&format!("{name}.{part}"), of, true))
        });
        of_conv.chain(of_norm).collect()
    }

    pub(super) fn buffers(&self) -> Vec<Place> {
        let places = self.norm.iter().flat_map(|BatchNorm { name, mean, variance, .. }| {
            [("running_mean", mean), ("running_var", variance)]
                .map(|(part, of)| (format!("{name}.{part}"), of.shallow_clone()))
        });
        places.collect()
    }
}
