//! EfficientNet-Lite up to and including its head convolution: (n, 3, h, w) -> (n, 1280, h/32, w/32).
//!
//! The layout of EfficientNet without squeeze-and-excitation, with ReLU6 instead of swish, TensorFlow's "same" padding, batch
//! normalisation with epsilon 1e-3. Input: RGB, (x - 127) / 128.

use cairn::Result;
use tch::{TchError, Tensor};

use super::layers::{Activation, Apply, Conv, ConvShape, Each, Norm, Padding};

/// Channels of the feature map.
pub(crate) const CHANNELS: i64 = 1280;
/// Epsilon of every batch normalisation.
const EPSILON: f64 = 1e-3;
const STEM: i64 = 32;

/// A stage: (blocks, kernel, stride of the first block, expansion, output channels).
type Stage = (usize, i64, i64, i64, i64);

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    Lite0,
    Lite2,
}

impl Size {
    /// Lite2 is Lite0 with 1.1 x the channels, in multiples of 8, and 1.2 x the blocks; the first and the last stage keep one block.
    fn stages(self) -> [Stage; 7] {
        match self {
            Size::Lite0 => [
                (1, 3, 1, 1, 16),
                (2, 3, 2, 6, 24),
                (2, 5, 2, 6, 40),
                (3, 3, 2, 6, 80),
                (3, 5, 1, 6, 112),
                (4, 5, 2, 6, 192),
                (1, 3, 1, 6, 320),
            ],
            Size::Lite2 => [
                (1, 3, 1, 1, 16),
                (3, 3, 2, 6, 24),
                (3, 5, 2, 6, 48),
                (4, 3, 2, 6, 88),
                (4, 5, 1, 6, 120),
                (5, 5, 2, 6, 208),
                (1, 3, 1, 6, 352),
            ],
        }
    }
}

/// An inverted bottleneck: expand 1x1, depthwise, project 1x1, plus its input where shapes allow.
struct Block<L> {
    layers: Vec<L>,
    skip: bool,
}

/// The trunk, of layers to embed with ([`Conv`]) or to train.
pub(crate) struct Lite<L = Conv> {
    stem: L,
    blocks: Vec<Block<L>>,
    head: L,
}

impl<L> Lite<L> {
    /// The trunk of the layers that `make` makes, from the input on.
    pub(crate) fn build(size: Size, make: &mut dyn FnMut(&ConvShape) -> Result<L>) -> Result<Self> {
        let mut conv = |conv: &str, norm: &str, [input, output]: [i64; 2], kernel, stride, groups, activation| {
            let (norm, padding, dilation) = (Norm::Batch { name: norm, epsilon: EPSILON }, Padding::Same, 1);
            let conv = Some(conv);
            make(&ConvShape { conv, norm, input, output, kernel, stride, dilation, groups, padding, activation })
        };
        let (relu6, none) = (Activation::Relu6, Activation::None);
        let stem = conv("_conv_stem", "_bn0", [3, STEM], 3, 2, 1, relu6)?;
        let mut blocks: Vec<Block<L>> = Vec::new();
        let mut input = STEM;
        for (count, kernel, first_stride, expansion, output) in size.stages() {
            for within in 0..count {
                let name = |part: &str| format!("_blocks.{}.{part}", blocks.len());
                let stride = if within == 0 { first_stride } else { 1 };
                let wide = input * expansion;
                let mut layers = Vec::new();
                if expansion != 1 {
                    layers.push(conv(&name("_expand_conv"), &name("_bn0"), [input, wide], 1, 1, 1, relu6)?);
                }
                let depthwise = name("_depthwise_conv");
                layers.push(conv(&depthwise, &name("_bn1"), [wide, wide], kernel, stride, wide, relu6)?);
                layers.push(conv(&name("_project_conv"), &name("_bn2"), [wide, output], 1, 1, 1, none)?);
                blocks.push(Block { layers, skip: stride == 1 && input == output });
                input = output;
            }
        }
        let head = conv("_conv_head", "_bn1", [input, CHANNELS], 1, 1, 1, relu6)?;
        Ok(Self { stem, blocks, head })
    }

    pub(crate) fn map<M>(&self, each: Each<'_, L, M>) -> Result<Lite<M>, TchError> {
        let block = |block: &Block<L>| -> Result<Block<M>, TchError> {
            Ok(Block { layers: block.layers.iter().map(each).collect::<Result<_, _>>()?, skip: block.skip })
        };
        Ok(Lite {
            stem: each(&self.stem)?,
            blocks: self.blocks.iter().map(block).collect::<Result<_, _>>()?,
            head: each(&self.head)?,
        })
    }

    /// All layers, from the input on.
    pub(crate) fn layers(&self) -> Vec<&L> {
        let inner = self.blocks.iter().flat_map(|block| &block.layers);
        [&self.stem].into_iter().chain(inner).chain([&self.head]).collect()
    }

    /// The feature map, with `apply` for each layer.
    pub(crate) fn forward(&self, x: &Tensor, apply: Apply<'_, L>) -> Result<Tensor, TchError> {
        self.walk(x.shallow_clone(), &mut |layer, x| apply(layer, x), &mut |mut y, x| y.f_add_(x))
    }

    /// What `x` becomes, with `apply` for each layer and `add` where a block adds its input.
    pub(crate) fn walk<V, E>(
        &self,
        x: V,
        apply: &mut dyn FnMut(&L, &V) -> Result<V, E>,
        add: &mut dyn FnMut(V, &V) -> Result<V, E>,
    ) -> Result<V, E> {
        let mut x = apply(&self.stem, &x)?;
        for block in &self.blocks {
            let mut inside = None;
            for layer in &block.layers {
                inside = Some(apply(layer, inside.as_ref().unwrap_or(&x))?);
            }
            x = match inside {
                Some(y) if block.skip => add(y, &x)?,
                Some(y) => y,
                None => x,
            };
        }
        apply(&self.head, &x)
    }
}
