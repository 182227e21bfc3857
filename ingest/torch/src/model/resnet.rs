//! ResNet-18, -50 and -101, and SE-ResNeXt-101 (32x4d), up to the last feature map: (n, 3, h, w) -> (n, 512 or 2048, h/32, w/32).
//!
//! Tensor names and strides of ResNets are torchvision's (the 3x3 convolution of a bottleneck carries the stride), those of
//! SE-ResNeXt Cadene's: a ResNet-101 of twice the width in 32 groups, whose blocks end in a gate. Input: RGB / 255, minus ImageNet's
//! mean, divided by its standard deviation.

use cairn::Result;
use tch::{TchError, Tensor};

use super::layers::{Activation, Apply, Conv, ConvShape, Each, Gate, Norm, Padding};

const EPSILON: f64 = 1e-5;
const STEM: i64 = 64;
/// Groups of the 3x3 convolutions of SE-ResNeXt.
const CARDINALITY: i64 = 32;
/// Output channels of a block over the numbers between the two layers of its gate.
const REDUCTION: i64 = 16;

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    R18,
    R50,
    R101,
    SeX101,
}

impl Variant {
    fn blocks(self) -> [usize; 4] {
        match self {
            Variant::R18 => [2, 2, 2, 2],
            Variant::R50 => [3, 4, 6, 3],
            Variant::R101 | Variant::SeX101 => [3, 4, 23, 3],
        }
    }

    /// Output channels of a block over its stage's channels.
    fn expansion(self) -> i64 {
        if self == Variant::R18 { 1 } else { 4 }
    }

    /// Channels of the feature map.
    pub(crate) fn channels(self) -> i64 {
        512 * self.expansion()
    }

    /// Names of the first convolution and its normalisation.
    fn stem(self) -> [&'static str; 2] {
        if self == Variant::SeX101 { ["layer0.conv1", "layer0.bn1"] } else { ["conv1", "bn1"] }
    }
}

/// A residual block: its convolutions, the gate behind them, and the projection of its input where shapes differ.
struct Block<L> {
    layers: Vec<L>,
    gate: Option<Gate<L>>,
    shortcut: Option<L>,
}

/// The trunk, of layers to embed with ([`Conv`]) or to train.
pub(crate) struct Resnet<L = Conv> {
    variant: Variant,
    stem: L,
    blocks: Vec<Block<L>>,
}

impl<L> Resnet<L> {
    /// The trunk of the layers that `make` makes, from the input on.
    pub(crate) fn build(variant: Variant, make: &mut dyn FnMut(&ConvShape) -> Result<L>) -> Result<Self> {
        let mut conv = |[conv, norm]: [&str; 2], [input, output]: [i64; 2], kernel, stride, groups, activation| {
            let (norm, padding, dilation) = (Norm::Batch { name: norm, epsilon: EPSILON }, Padding::Half, 1);
            let conv = Some(conv);
            make(&ConvShape { conv, norm, input, output, kernel, stride, dilation, groups, padding, activation })
        };
        let (relu, none) = (Activation::Relu, Activation::None);
        let stem = conv(variant.stem(), [3, STEM], 7, 2, 1, relu)?;
        let mut blocks = Vec::new();
        let mut input = STEM;
        for (stage, count) in variant.blocks().into_iter().enumerate() {
            let (channels, has_gates) = (STEM << stage, variant == Variant::SeX101);
            let output = channels * variant.expansion();
            let (width, groups) = if has_gates { (2 * channels, CARDINALITY) } else { (channels, 1) };
            for within in 0..count {
                let stride = if within == 0 && stage > 0 { 2 } else { 1 };
                let name = |part: &str| format!("layer{}.{within}.{part}", stage + 1);
                let mut numbered = |number: u32, sides, kernel, stride, groups, activation| {
                    let names = ["conv", "bn"].map(|part| name(&format!("{part}{number}")));
                    conv([&names[0], &names[1]], sides, kernel, stride, groups, activation)
                };
                let layers = if variant == Variant::R18 {
                    vec![numbered(1, [input, width], 3, stride, 1, relu)?, numbered(2, [width, output], 3, 1, 1, none)?]
                } else {
                    vec![
                        numbered(1, [input, width], 1, 1, 1, relu)?,
                        numbered(2, [width, width], 3, stride, groups, relu)?,
                        numbered(3, [width, output], 1, 1, 1, none)?,
                    ]
                };
                let shortcut = if stride != 1 || input != output {
                    let names = [name("downsample.0"), name("downsample.1")];
                    Some(conv([&names[0], &names[1]], [input, output], 1, stride, 1, none)?)
                } else {
                    None
                };
                blocks.push((layers, name("se_module"), output, shortcut));
                input = output;
            }
        }
        let gated = |(layers, name, output, shortcut): (Vec<L>, String, i64, Option<L>)| -> Result<Block<L>> {
            let names = [format!("{name}.fc1"), format!("{name}.fc2")];
            let sides = [output, output / REDUCTION, output];
            let has_gate = variant == Variant::SeX101;
            let gate = has_gate.then(|| Gate::build(make, [&names[0], &names[1]], sides)).transpose()?;
            Ok(Block { layers, gate, shortcut })
        };
        Ok(Self { variant, stem, blocks: blocks.into_iter().map(gated).collect::<Result<_>>()? })
    }

    pub(crate) fn map<M>(&self, each: Each<'_, L, M>) -> Result<Resnet<M>, TchError> {
        let block = |block: &Block<L>| -> Result<Block<M>, TchError> {
            Ok(Block {
                layers: block.layers.iter().map(each).collect::<Result<_, _>>()?,
                gate: block.gate.as_ref().map(|gate| gate.map(each)).transpose()?,
                shortcut: block.shortcut.as_ref().map(each).transpose()?,
            })
        };
        let blocks = self.blocks.iter().map(block).collect::<Result<_, _>>()?;
        Ok(Resnet { variant: self.variant, stem: each(&self.stem)?, blocks })
    }

    /// All layers, from the input on.
    pub(crate) fn layers(&self) -> Vec<&L> {
        let mut layers = vec![&self.stem];
        for block in &self.blocks {
            layers.extend(block.layers.iter().chain(&block.shortcut));
            layers.extend(block.gate.iter().flat_map(Gate::layers));
        }
        layers
    }

    /// The feature map, with `apply` for each layer.
    pub(crate) fn forward(&self, x: &Tensor, apply: Apply<'_, L>) -> Result<Tensor, TchError> {
        // Cadene's pooling sees no border, and a window that ends outside counts.
        let (border, is_whole) = if self.variant == Variant::SeX101 { (0, true) } else { (1, false) };
        let mut x = apply(&self.stem, x)?.f_max_pool2d([3, 3], [2, 2], [border; 2], [1, 1], is_whole)?;
        for block in &self.blocks {
            let mut y = x.shallow_clone();
            for layer in &block.layers {
                y = apply(layer, &y)?;
            }
            if let Some(gate) = &block.gate {
                y = y.f_mul(&gate.forward(&y, apply)?)?;
            }
            let shortcut = block.shortcut.as_ref().map_or_else(|| Ok(x.shallow_clone()), |conv| apply(conv, &x))?;
            x = y.f_add_(&shortcut)?.f_relu_()?;
        }
        Ok(x)
    }
}
