//! ResNet-18, -50 and -101 up to the last feature map: (n, 3, h, w) -> (n, 512 or 2048, h/32, w/32).
//!
//! Tensor names and strides are torchvision's (the 3x3 convolution of a bottleneck carries the stride). Input: RGB / 255, minus
//! ImageNet's mean, divided by its standard deviation.

use cairn::Result;
use tch::{TchError, Tensor};

use super::layers::{Activation, Conv, ConvShape, Norm, Padding};

const EPSILON: f64 = 1e-5;
const STEM: i64 = 64;

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    R18,
    R50,
    R101,
}

impl Depth {
    fn blocks(self) -> [usize; 4] {
        match self {
            Depth::R18 => [2, 2, 2, 2],
            Depth::R50 => [3, 4, 6, 3],
            Depth::R101 => [3, 4, 23, 3],
        }
    }

    /// Output channels of a block over its width.
    fn expansion(self) -> i64 {
        if self == Depth::R18 { 1 } else { 4 }
    }

    /// Channels of the feature map.
    pub(crate) fn channels(self) -> i64 {
        512 * self.expansion()
    }
}

/// A residual block: its convolutions, and the projection of its input where shapes differ.
struct Block<L> {
    layers: Vec<L>,
    shortcut: Option<L>,
}

/// The trunk, of layers to embed with ([`Conv`]) or to train.
pub(crate) struct Resnet<L = Conv> {
    stem: L,
    blocks: Vec<Block<L>>,
}

impl<L> Resnet<L> {
    /// The trunk of the layers that `make` makes, from the input on.
    pub(crate) fn build(depth: Depth, make: &mut dyn FnMut(&ConvShape) -> Result<L>) -> Result<Self> {
        let mut conv = |conv: &str, norm: &str, input, output, kernel, stride, activation| {
            let (norm, padding, depthwise) = (Norm::Batch { name: norm, epsilon: EPSILON }, Padding::Half, false);
            make(&ConvShape { conv, norm, input, output, kernel, stride, depthwise, padding, activation })
        };
        let stem = conv("conv1", "bn1", 3, STEM, 7, 2, Activation::Relu)?;
        let mut blocks = Vec::new();
        let mut input = STEM;
        for (stage, count) in depth.blocks().into_iter().enumerate() {
            let width = STEM << stage;
            let output = width * depth.expansion();
            for within in 0..count {
                let stride = if within == 0 && stage > 0 { 2 } else { 1 };
                let name = |part: &str| format!("layer{}.{within}.{part}", stage + 1);
                let (relu, none) = (Activation::Relu, Activation::None);
                let layers = if depth == Depth::R18 {
                    vec![
                        conv(&name("conv1"), &name("bn1"), input, width, 3, stride, relu)?,
                        conv(&name("conv2"), &name("bn2"), width, output, 3, 1, none)?,
                    ]
                } else {
                    vec![
                        conv(&name("conv1"), &name("bn1"), input, width, 1, 1, relu)?,
                        conv(&name("conv2"), &name("bn2"), width, width, 3, stride, relu)?,
                        conv(&name("conv3"), &name("bn3"), width, output, 1, 1, none)?,
                    ]
                };
                let shortcut = if stride != 1 || input != output {
                    Some(conv(&name("downsample.0"), &name("downsample.1"), input, output, 1, stride, none)?)
                } else {
                    None
                };
                blocks.push(Block { layers, shortcut });
                input = output;
            }
        }
        Ok(Self { stem, blocks })
    }

    pub(crate) fn map<M>(&self, each: &dyn Fn(&L) -> Result<M, TchError>) -> Result<Resnet<M>, TchError> {
        let block = |block: &Block<L>| -> Result<Block<M>, TchError> {
            Ok(Block {
                layers: block.layers.iter().map(each).collect::<Result<_, _>>()?,
                shortcut: block.shortcut.as_ref().map(each).transpose()?,
            })
        };
        Ok(Resnet { stem: each(&self.stem)?, blocks: self.blocks.iter().map(block).collect::<Result<_, _>>()? })
    }

    /// All layers, from the input on.
    pub(crate) fn layers(&self) -> Vec<&L> {
        let inner = self.blocks.iter().flat_map(|block| block.layers.iter().chain(&block.shortcut));
        [&self.stem].into_iter().chain(inner).collect()
    }

    /// The feature map, with `apply` for each layer.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        apply: &dyn Fn(&L, &Tensor) -> Result<Tensor, TchError>,
    ) -> Result<Tensor, TchError> {
        let mut x = apply(&self.stem, x)?.f_max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)?;
        for block in &self.blocks {
            let mut y = x.shallow_clone();
            for layer in &block.layers {
                y = apply(layer, &y)?;
            }
            let shortcut = block.shortcut.as_ref().map_or_else(|| Ok(x.shallow_clone()), |conv| apply(conv, &x))?;
            x = y.f_add_(&shortcut)?.f_relu_()?;
        }
        Ok(x)
    }
}
