//! The layers of the networks: a convolution with its batch normalisation, if any, folded in.

use cairn::Result;
use tch::{Device, Kind, Tensor};

use super::weights::Weights;
use crate::device::torch_error;

/// How a convolution is padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Padding {
    /// TensorFlow's "same": out = ceil(in / stride), the odd pixel goes to the right and the bottom.
    Same,
    /// (kernel - 1) / 2 on every side, as torchvision does.
    Half,
}

/// What follows a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    None,
    Relu,
    Relu6,
}

/// What a convolution is folded with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Norm<'a> {
    /// Batch normalisation of that name; `.weight`, `.bias`, `.running_mean`, `.running_var` are added.
    Batch { name: &'a str, epsilon: f64 },
    /// Batch normalisation without gain and shift: `.running_mean` and `.running_var` only.
    Plain { name: &'a str, epsilon: f64 },
    /// None; the convolution has its own `.bias`.
    Bias,
}

/// The names and numbers of one convolution.
pub(crate) struct ConvShape<'a> {
    /// Name of the convolution; `.weight` is added.
    pub(crate) conv: &'a str,
    /// What follows it before the activation.
    pub(crate) norm: Norm<'a>,
    pub(crate) input: i64,
    pub(crate) output: i64,
    pub(crate) kernel: i64,
    pub(crate) stride: i64,
    /// True: one filter a channel.
    pub(crate) depthwise: bool,
    pub(crate) padding: Padding,
    pub(crate) activation: Activation,
}

/// Convolution + batch normalisation + activation, as one convolution with a bias.
pub(crate) struct Conv {
    weight: Tensor,
    bias: Tensor,
    geometry: Geometry,
    activation: Activation,
}

impl ConvShape<'_> {
    pub(crate) fn geometry(&self) -> Geometry {
        let Self { kernel, stride, padding, .. } = *self;
        Geometry { kernel, stride, padding, groups: self.groups() }
    }

    /// Groups of channels that do not see each other.
    pub(crate) fn groups(&self) -> i64 {
        if self.depthwise { self.input } else { 1 }
    }
}

impl Conv {
    /// Loads and folds: w' = w gamma / sqrt(var + eps), b' = beta - mean gamma / sqrt(var + eps), computed in f64.
    pub(crate) fn load(weights: &Weights, shape: &ConvShape) -> Result<Self> {
        let ConvShape { input, output, kernel, .. } = *shape;
        let groups = shape.groups();
        let weight = weights.tensor(&format!("{}.weight", shape.conv), &[output, input / groups, kernel, kernel])?;
        let of_norm = |name: &str, part: &str| weights.tensor(&format!("{name}.{part}"), &[output]);
        let (name, epsilon) = match shape.norm {
            Norm::Batch { name, epsilon } | Norm::Plain { name, epsilon } => (name, epsilon),
            Norm::Bias => {
                let bias = of_norm(shape.conv, "bias")?;
                let weight = channels_last(&weight).map_err(torch_error)?;
                return Ok(Self::new(weight, bias, shape));
            }
        };
        let learned = match shape.norm {
            Norm::Batch { .. } => Some((of_norm(name, "weight")?, of_norm(name, "bias")?)),
            _ => None,
        };
        let (mean, variance) = (of_norm(name, "running_mean")?, of_norm(name, "running_var")?);
        let fold = || -> Result<(Tensor, Tensor), tch::TchError> {
            let double = |t: &Tensor| t.f_to_kind(Kind::Double);
            // A negative variance can only come from a damaged file; the floor keeps its square root a number.
            let deviation = double(&variance)?.f_clamp_min(0.0)?.f_add_scalar(epsilon)?.f_sqrt()?;
            let (factor, shift) = match &learned {
                Some((gamma, beta)) => (double(gamma)?.f_div(&deviation)?, double(beta)?),
                None => (deviation.f_reciprocal()?, deviation.f_zeros_like()?),
            };
            let bias = shift.f_sub(&double(&mean)?.f_mul(&factor)?)?.f_to_kind(Kind::Float)?;
            let weight = double(&weight)?.f_mul(&factor.f_view([-1, 1, 1, 1])?)?.f_to_kind(Kind::Float)?;
            Ok((channels_last(&weight)?, bias))
        };
        let (weight, bias) = fold().map_err(torch_error)?;
        Ok(Self::new(weight, bias, shape))
    }

    fn new(weight: Tensor, bias: Tensor, shape: &ConvShape) -> Self {
        Self { weight, bias, geometry: shape.geometry(), activation: shape.activation }
    }

    /// The same layer on a device, in a kind.
    pub(crate) fn to(&self, device: Device, kind: Kind) -> Result<Self, tch::TchError> {
        let place = |t: &Tensor| t.f_to_device(device)?.f_to_kind(kind);
        Ok(Self { weight: place(&self.weight)?, bias: place(&self.bias)?, ..*self })
    }

    /// A second handle to the same tensors, for another thread.
    pub(crate) fn share(&self) -> Self {
        Self { weight: self.weight.shallow_clone(), bias: self.bias.shallow_clone(), ..*self }
    }

    /// (n, input, h, w) -> (n, output, ceil(h / stride), ceil(w / stride)).
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor, tch::TchError> {
        let mut y = self.geometry.convolve(x, &self.weight, Some(&self.bias))?;
        match self.activation {
            Activation::None => Ok(y),
            Activation::Relu => y.f_relu_(),
            Activation::Relu6 => y.f_clamp_(0.0, 6.0),
        }
    }
}

/// How a filter moves over a map.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Geometry {
    pub(crate) kernel: i64,
    pub(crate) stride: i64,
    pub(crate) groups: i64,
    pub(crate) padding: Padding,
}

impl Geometry {
    /// (n, input, h, w) -> (n, output, ceil(h / stride), ceil(w / stride)).
    pub(crate) fn convolve(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor, tch::TchError> {
        let half = (self.kernel - 1) / 2;
        let convolve =
            |x: &Tensor, padding: [i64; 2]| x.f_conv2d(weight, bias, [self.stride; 2], padding, [1, 1], self.groups);
        match self.padding {
            Padding::Half => convolve(x, [half, half]),
            Padding::Same => {
                let (_, _, height, width) = x.size4()?;
                let [(top, bottom), (left, right)] = [height, width].map(|side| same(side, self.kernel, self.stride));
                if top == bottom && left == right {
                    convolve(x, [top, left])
                } else {
                    convolve(&x.f_constant_pad_nd([left, right, top, bottom])?, [0, 0])
                }
            }
        }
    }
}

/// Padding before and after a side under TensorFlow's "same".
fn same(side: i64, kernel: i64, stride: i64) -> (i64, i64) {
    let outputs = (side + stride - 1) / stride;
    let total = ((outputs - 1) * stride + kernel - side).max(0);
    (total / 2, total - total / 2)
}

/// The same numbers with the channels innermost in memory: the layout in which convolutions are fastest here.
pub(crate) fn channels_last(x: &Tensor) -> Result<Tensor, tch::TchError> {
    x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_is_tensorflows() {
        assert_eq!(same(96, 3, 2), (0, 1));
        assert_eq!(same(96, 5, 2), (1, 2));
        assert_eq!(same(96, 3, 1), (1, 1));
        assert_eq!(same(7, 3, 2), (1, 1));
        assert_eq!(same(1, 1, 2), (0, 0));
    }
}
