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
    /// dilation (kernel - 1) / 2 on every side, as torchvision does.
    Half,
}

/// What follows a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    None,
    Relu,
    Relu6,
    Sigmoid,
}

/// How a layer is applied to a map.
pub(crate) type Apply<'a, L> = &'a dyn Fn(&L, &Tensor) -> Result<Tensor, tch::TchError>;
/// What a layer becomes elsewhere.
pub(crate) type Each<'a, L, M> = &'a dyn Fn(&L) -> Result<M, tch::TchError>;

/// What a convolution is folded with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Norm<'a> {
    /// Batch normalisation of that name; `.weight`, `.bias`, `.running_mean`, `.running_var` are added.
    Batch { name: &'a str, epsilon: f64 },
    /// Batch normalisation without gain and shift: `.running_mean` and `.running_var` only.
    Plain { name: &'a str, epsilon: f64 },
    /// None; the convolution has its own `.bias`.
    Bias,
    /// None, and no bias either.
    Nothing,
}

/// The names and numbers of one convolution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvShape<'a> {
    /// Name of the convolution; `.weight` is added. `None`: the layer is its normalisation and activation alone.
    pub(crate) conv: Option<&'a str>,
    /// What follows it before the activation.
    pub(crate) norm: Norm<'a>,
    pub(crate) input: i64,
    pub(crate) output: i64,
    pub(crate) kernel: i64,
    pub(crate) stride: i64,
    /// Pixels of the map from one pixel that a filter sees to the next.
    pub(crate) dilation: i64,
    /// Groups of channels that do not see each other; `input` of them: one filter a channel.
    pub(crate) groups: i64,
    pub(crate) padding: Padding,
    pub(crate) activation: Activation,
}

/// Convolution + batch normalisation + activation, as one convolution with a bias.
pub(crate) struct Conv {
    weight: Tensor,
    bias: Option<Tensor>,
    geometry: Geometry,
    activation: Activation,
}

impl<'a> ConvShape<'a> {
    /// A 1x1 convolution of single pixels.
    pub(crate) fn pointwise(conv: &'a str, norm: Norm<'a>, input: i64, output: i64, activation: Activation) -> Self {
        let (conv, padding) = (Some(conv), Padding::Half);
        Self { conv, norm, input, output, kernel: 1, stride: 1, dilation: 1, groups: 1, padding, activation }
    }

    /// No convolution: a normalisation of `channels` and an activation.
    pub(crate) fn norm_alone(norm: Norm<'a>, channels: i64, activation: Activation) -> Self {
        Self { conv: None, groups: channels, ..Self::pointwise("", norm, channels, channels, activation) }
    }

    pub(crate) fn geometry(&self) -> Geometry {
        let Self { kernel, stride, dilation, padding, groups, .. } = *self;
        Geometry { kernel, stride, dilation, padding, groups }
    }

    /// The name and the sides of the convolution's weights; `None`: it has none.
    pub(crate) fn weight(&self) -> Option<(String, [i64; 4])> {
        let sides = [self.output, self.input / self.groups.max(1), self.kernel, self.kernel];
        self.conv.map(|conv| (format!("{conv}.weight"), sides))
    }

    /// The name of the convolution's bias; `None`: it has none.
    pub(crate) fn bias(&self) -> Option<String> {
        self.conv.filter(|_| self.norm == Norm::Bias).map(|conv| format!("{conv}.bias"))
    }
}

impl Conv {
    /// Loads and folds: w' = w gamma / sqrt(var + eps), b' = beta - mean gamma / sqrt(var + eps), computed in f64.
    pub(crate) fn load(weights: &Weights, shape: &ConvShape) -> Result<Self> {
        let output = shape.output;
        let weight = match shape.weight() {
            Some((name, sides)) => weights.tensor(&name, &sides)?,
            // Each channel as it is.
            None => Tensor::f_ones([output, 1, 1, 1], (Kind::Float, Device::Cpu)).map_err(torch_error)?,
        };
        let of_norm = |name: &str, part: &str| weights.tensor(&format!("{name}.{part}"), &[output]);
        let (name, epsilon) = match shape.norm {
            Norm::Batch { name, epsilon } | Norm::Plain { name, epsilon } => (name, epsilon),
            Norm::Bias | Norm::Nothing => {
                let bias = shape.bias().map(|name| weights.tensor(&name, &[output])).transpose()?;
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
        Ok(Self::new(weight, Some(bias), shape))
    }

    fn new(weight: Tensor, bias: Option<Tensor>, shape: &ConvShape) -> Self {
        Self { weight, bias, geometry: shape.geometry(), activation: shape.activation }
    }

    /// The same layer on a device, in a kind.
    pub(crate) fn to(&self, device: Device, kind: Kind) -> Result<Self, tch::TchError> {
        let place = |t: &Tensor| t.f_to_device(device)?.f_to_kind(kind);
        let bias = self.bias.as_ref().map(place).transpose()?;
        Ok(Self { weight: place(&self.weight)?, bias, ..*self })
    }

    /// Weight, bias, and what is done with them.
    pub(crate) fn parts(&self) -> (&Tensor, Option<&Tensor>, Geometry, Activation) {
        (&self.weight, self.bias.as_ref(), self.geometry, self.activation)
    }

    /// A second handle to the same tensors, for another thread.
    pub(crate) fn share(&self) -> Self {
        let bias = self.bias.as_ref().map(Tensor::shallow_clone);
        Self { weight: self.weight.shallow_clone(), bias, ..*self }
    }

    /// (n, input, h, w) -> (n, output, ceil(h / stride), ceil(w / stride)).
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor, tch::TchError> {
        let mut y = self.geometry.convolve(x, &self.weight, self.bias.as_ref())?;
        match self.activation {
            Activation::None => Ok(y),
            Activation::Relu => y.f_relu_(),
            Activation::Relu6 => y.f_clamp_(0.0, 6.0),
            Activation::Sigmoid => y.f_sigmoid_(),
        }
    }
}

/// How a filter moves over a map.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Geometry {
    pub(crate) kernel: i64,
    pub(crate) stride: i64,
    pub(crate) dilation: i64,
    pub(crate) groups: i64,
    pub(crate) padding: Padding,
}

impl Geometry {
    /// (n, input, h, w) -> (n, output, ceil(h / stride), ceil(w / stride)).
    pub(crate) fn convolve(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor, tch::TchError> {
        let half = self.dilation * (self.kernel - 1) / 2;
        let (stride, dilation) = ([self.stride; 2], [self.dilation; 2]);
        let convolve = |x: &Tensor, padding: [i64; 2]| x.f_conv2d(weight, bias, stride, padding, dilation, self.groups);
        match self.padding {
            Padding::Half => convolve(x, [half, half]),
            Padding::Same => {
                let (_, _, height, width) = x.size4()?;
                let seen = self.dilation * (self.kernel - 1) + 1;
                let [(top, bottom), (left, right)] = [height, width].map(|side| same(side, seen, self.stride));
                if top == bottom && left == right {
                    convolve(x, [top, left])
                } else {
                    convolve(&x.f_constant_pad_nd([left, right, top, bottom])?, [0, 0])
                }
            }
        }
    }
}

/// Squeeze and excitation: one number a channel, computed from the means of all channels.
pub(crate) struct Gate<L = Conv> {
    pub(crate) squeeze: L,
    pub(crate) excite: L,
}

impl<L> Gate<L> {
    /// Of `output` channels from the means of `input`, by way of `between`; the names of its two layers.
    pub(crate) fn build(
        make: &mut dyn FnMut(&ConvShape) -> Result<L>,
        [squeeze, excite]: [&str; 2],
        [input, between, output]: [i64; 3],
    ) -> Result<Self> {
        Ok(Self {
            squeeze: make(&ConvShape::pointwise(squeeze, Norm::Bias, input, between, Activation::Relu))?,
            excite: make(&ConvShape::pointwise(excite, Norm::Bias, between, output, Activation::Sigmoid))?,
        })
    }

    /// (n, input, h, w) -> (n, output, 1, 1), each number 0 to 1.
    pub(crate) fn forward(&self, x: &Tensor, apply: Apply<'_, L>) -> Result<Tensor, tch::TchError> {
        apply(&self.excite, &apply(&self.squeeze, &x.f_mean_dim([2i64, 3].as_slice(), true, None::<Kind>)?)?)
    }

    pub(crate) fn map<M>(&self, each: Each<'_, L, M>) -> Result<Gate<M>, tch::TchError> {
        Ok(Gate { squeeze: each(&self.squeeze)?, excite: each(&self.excite)? })
    }

    pub(crate) fn layers(&self) -> [&L; 2] {
        [&self.squeeze, &self.excite]
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
