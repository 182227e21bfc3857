//! FishNet-150 (Sun et al., NeurIPS 2018) up to its four head stages: (n, 3, h, w) -> maps of 320, 832, 1600 and 2112 channels at
//! h/4, h/8, h/16 and h/32.
//!
//! Tensor names are the authors'. A tail shrinks the map three times, a body enlarges it three times, a head shrinks it again; each
//! stage of body and head takes the map of an earlier stage beside its own. Blocks normalise before they convolve. Input: RGB / 255,
//! minus ImageNet's mean, divided by its standard deviation.

use cairn::Result;
use tch::{TchError, Tensor};

use super::layers::{Activation, Apply, Conv, ConvShape, Each, Gate, Norm, Padding};

/// Channels of the four maps together.
pub(crate) const POOLED: i64 = 320 + 832 + 1600 + CHANNELS;
/// Channels of the last map.
pub(crate) const CHANNELS: i64 = 2112;
const EPSILON: f64 = 1e-5;
/// Channels of the first map.
const STEM: i64 = 64;
/// Output channels of a block over its width.
const REDUCTION: i64 = 4;
/// Stages of the tail: (output channels, blocks).
const TAIL: [(i64, usize); 3] = [(128, 2), (256, 4), (512, 8)];
/// The stage between tail and body: blocks.
const NECK: usize = 4;
/// Output channels of the neck over the numbers between the two layers of its gate.
const GATE_REDUCTION: i64 = 16;
/// How many of the stages behind the neck enlarge the map.
const BODY: usize = 3;
/// Stages of body and head: (output channels of its own, blocks; which earlier map it takes beside, blocks for that). Map 0 is
/// that of the stem.
const STAGES: [(i64, usize, usize, usize); 6] =
    [(512, 2, 2, 2), (384, 2, 1, 2), (256, 2, 0, 2), (320, 2, 6, 2), (832, 2, 5, 2), (1600, 4, 4, 4)];

/// Normalise, narrow 1x1, 3x3, widen 1x1, plus the input.
struct Block<L> {
    layers: [L; 4],
    /// Normalisation and projection of the input where shapes differ.
    shortcut: Option<[L; 2]>,
    /// Neighbouring channels of the input that are added up; 1: none.
    together: i64,
}

/// What stands between tail and body.
struct Neck<L> {
    layers: [L; 3],
    blocks: Vec<Block<L>>,
    before_gate: L,
    gate: Gate<L>,
}

/// A stage of body or head.
struct Stage<L> {
    main: Vec<Block<L>>,
    beside: Vec<Block<L>>,
}

/// The trunk, of layers to embed with ([`Conv`]) or to train.
pub(crate) struct Fishnet<L = Conv> {
    stem: [L; 3],
    tail: Vec<Vec<Block<L>>>,
    neck: Neck<L>,
    stages: Vec<Stage<L>>,
}

fn batch(name: &str) -> Norm<'_> {
    Norm::Batch { name, epsilon: EPSILON }
}

/// How the map of a row of blocks is made.
#[derive(Clone, Copy)]
struct Row {
    input: i64,
    output: i64,
    blocks: usize,
    dilation: i64,
    /// The first block adds up its input's channels and does not project them.
    adds: bool,
}

type Make<'a, L> = &'a mut dyn FnMut(&ConvShape) -> Result<L>;

impl<L> Block<L> {
    fn build(make: Make<'_, L>, name: &str, input: i64, row: Row) -> Result<Self> {
        let Row { output, dilation, adds, .. } = row;
        let part = |part: &str| format!("{name}.{part}");
        let width = output / REDUCTION;
        let (relu, none) = (Activation::Relu, Activation::None);
        let (first, second) = (part("conv1"), part("conv2"));
        let wide =
            ConvShape { kernel: 3, dilation, ..ConvShape::pointwise(&second, Norm::Nothing, width, width, relu) };
        let layers = [
            make(&ConvShape::norm_alone(batch(&part("bn1")), input, relu))?,
            make(&ConvShape::pointwise(&first, batch(&part("bn2")), input, width, relu))?,
            make(&ConvShape { norm: batch(&part("bn3")), ..wide })?,
            make(&ConvShape::pointwise(&part("conv3"), Norm::Nothing, width, output, none))?,
        ];
        let shortcut = match input == output || adds {
            true => None,
            false => Some([
                make(&ConvShape::norm_alone(batch(&part("shortcut.0")), input, relu))?,
                make(&ConvShape::pointwise(&part("shortcut.2"), Norm::Nothing, input, output, none))?,
            ]),
        };
        Ok(Self { layers, shortcut, together: if adds { input / output } else { 1 } })
    }

    fn row(make: Make<'_, L>, name: &str, row: Row) -> Result<Vec<Self>> {
        let block = |at: usize| {
            let first = at == 0;
            let input = if first { row.input } else { row.output };
            Self::build(make, &format!("{name}.{at}"), input, Row { adds: row.adds && first, ..row })
        };
        (0..row.blocks).map(block).collect()
    }

    fn forward(&self, x: &Tensor, apply: Apply<'_, L>) -> Result<Tensor, TchError> {
        let mut y = x.shallow_clone();
        for layer in &self.layers {
            y = apply(layer, &y)?;
        }
        let beside = match &self.shortcut {
            Some([norm, conv]) => apply(conv, &apply(norm, x)?)?,
            None if self.together > 1 => {
                let (n, c, h, w) = x.size4()?;
                let apart = x.f_reshape([n, c / self.together, self.together, h, w])?;
                apart.f_sum_dim_intlist([2i64].as_slice(), false, x.kind())?
            }
            None => x.shallow_clone(),
        };
        y.f_add_(&beside)
    }

    fn map<M>(&self, each: Each<'_, L, M>) -> Result<Block<M>, TchError> {
        let [first, second, third, fourth] = &self.layers;
        let pair = |[norm, conv]: &[L; 2]| -> Result<[M; 2], TchError> { Ok([each(norm)?, each(conv)?]) };
        let shortcut = self.shortcut.as_ref().map(pair).transpose()?;
        let layers = [each(first)?, each(second)?, each(third)?, each(fourth)?];
        Ok(Block { layers, shortcut, together: self.together })
    }

    fn layers(&self) -> impl Iterator<Item = &L> {
        self.layers.iter().chain(self.shortcut.iter().flatten())
    }
}

fn all<L>(blocks: &[Block<L>], x: &Tensor, apply: Apply<'_, L>) -> Result<Tensor, TchError> {
    blocks.iter().try_fold(x.shallow_clone(), |x, block| block.forward(&x, apply))
}

fn mapped<L, M>(blocks: &[Block<L>], each: Each<'_, L, M>) -> Result<Vec<Block<M>>, TchError> {
    blocks.iter().map(|block| block.map(each)).collect()
}

fn half(x: &Tensor) -> Result<Tensor, TchError> {
    x.f_max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)
}

impl<L> Neck<L> {
    fn build(make: Make<'_, L>, name: &str, channels: i64) -> Result<Self> {
        let part = |part: &str| format!("{name}.{part}");
        let (relu, none) = (Activation::Relu, Activation::None);
        let wide = 2 * channels;
        let layers = [
            make(&ConvShape::norm_alone(batch(&part("0.0")), channels, relu))?,
            make(&ConvShape::pointwise(&part("0.2"), batch(&part("0.3")), channels, channels / 2, relu))?,
            make(&ConvShape::pointwise(&part("1"), Norm::Bias, channels / 2, wide, none))?,
        ];
        let row = Row { input: wide, output: channels, blocks: NECK, dilation: 1, adds: false };
        let blocks = Block::row(make, &part("2"), row)?;
        let before_gate = make(&ConvShape::norm_alone(batch(&part("3.0.0")), wide, relu))?;
        let sides = [wide, channels / GATE_REDUCTION, channels];
        Ok(Self { layers, blocks, before_gate, gate: Gate::build(make, [&part("3.0.3"), &part("3.0.5")], sides)? })
    }

    fn forward(&self, x: &Tensor, apply: Apply<'_, L>) -> Result<Tensor, TchError> {
        let mut x = x.shallow_clone();
        for layer in &self.layers {
            x = apply(layer, &x)?;
        }
        let gate = self.gate.forward(&apply(&self.before_gate, &x)?, apply)?;
        all(&self.blocks, &x, apply)?.f_mul(&gate)?.f_add(&gate)
    }
}

impl<L> Fishnet<L> {
    /// The trunk of the layers that `make` makes, from the input on.
    pub(crate) fn build(make: Make<'_, L>) -> Result<Self> {
        let mut stem = |name: &str, input, output, stride| {
            let (conv, norm, padding) = (format!("{name}.0"), format!("{name}.1"), Padding::Half);
            let shape = ConvShape::pointwise(&conv, batch(&norm), input, output, Activation::Relu);
            make(&ConvShape { kernel: 3, stride, padding, ..shape })
        };
        let stem =
            [stem("conv1", 3, STEM / 2, 2)?, stem("conv2", STEM / 2, STEM / 2, 1)?, stem("conv3", STEM / 2, STEM, 1)?];
        let name = |stage: usize, part: usize| format!("fish.fish.{stage}.{part}");
        // The channels of each map so far.
        let mut channels = vec![STEM];
        let mut input = STEM;
        let mut tail = Vec::new();
        for (stage, (output, blocks)) in TAIL.into_iter().enumerate() {
            tail.push(Block::row(make, &name(stage, 0), Row { input, output, blocks, dilation: 1, adds: false })?);
            channels.push(output);
            input = output;
        }
        let neck = Neck::build(make, &format!("fish.fish.{}", TAIL.len()), input)?;
        channels.push(input);
        let mut stages = Vec::new();
        for (at, (output, blocks, from, blocks_beside)) in STAGES.into_iter().enumerate() {
            let (stage, adds) = (TAIL.len() + 1 + at, at < BODY);
            let dilation = if adds { 1 << at } else { 1 };
            let main = Block::row(make, &name(stage, 0), Row { input, output, blocks, dilation, adds })?;
            let side = channels[from];
            let beside = Row { input: side, output: side, blocks: blocks_beside, dilation: 1, adds: false };
            stages.push(Stage { main, beside: Block::row(make, &name(stage, 1), beside)? });
            input = output + side;
            channels.push(input);
        }
        Ok(Self { stem, tail, neck, stages })
    }

    pub(crate) fn map<M>(&self, each: Each<'_, L, M>) -> Result<Fishnet<M>, TchError> {
        let [first, second, third] = &self.stem;
        let [narrow, norm, widen] = &self.neck.layers;
        let stage = |stage: &Stage<L>| -> Result<Stage<M>, TchError> {
            Ok(Stage { main: mapped(&stage.main, each)?, beside: mapped(&stage.beside, each)? })
        };
        Ok(Fishnet {
            stem: [each(first)?, each(second)?, each(third)?],
            tail: self.tail.iter().map(|blocks| mapped(blocks, each)).collect::<Result<_, _>>()?,
            neck: Neck {
                layers: [each(narrow)?, each(norm)?, each(widen)?],
                blocks: mapped(&self.neck.blocks, each)?,
                before_gate: each(&self.neck.before_gate)?,
                gate: self.neck.gate.map(each)?,
            },
            stages: self.stages.iter().map(stage).collect::<Result<_, _>>()?,
        })
    }

    /// All layers, from the input on.
    pub(crate) fn layers(&self) -> Vec<&L> {
        let tail = self.tail.iter().flatten().flat_map(Block::layers);
        let neck = self.neck.layers.iter().chain(self.neck.blocks.iter().flat_map(Block::layers));
        let neck = neck.chain([&self.neck.before_gate]).chain(self.neck.gate.layers());
        let stages =
            self.stages.iter().flat_map(|stage| stage.main.iter().chain(&stage.beside)).flat_map(Block::layers);
        self.stem.iter().chain(tail).chain(neck).chain(stages).collect()
    }

    /// The four maps of the head, the largest first, with `apply` for each layer.
    pub(crate) fn forward(&self, x: &Tensor, apply: Apply<'_, L>) -> Result<Vec<Tensor>, TchError> {
        let mut x = x.shallow_clone();
        for layer in &self.stem {
            x = apply(layer, &x)?;
        }
        let mut maps = vec![x.f_max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)?];
        for blocks in &self.tail {
            maps.push(half(&all(blocks, &maps[maps.len() - 1], apply)?)?);
        }
        maps.push(self.neck.forward(&maps[maps.len() - 1], apply)?);
        for (at, (stage, (_, _, from, _))) in self.stages.iter().zip(STAGES).enumerate() {
            let main = all(&stage.main, &maps[maps.len() - 1], apply)?;
            let beside = all(&stage.beside, &maps[from], apply)?;
            // Twice the size, unless a side of the input is no multiple of 32.
            let (_, _, height, width) = beside.size4()?;
            let main = if at < BODY { main.f_upsample_nearest2d([height, width], None, None)? } else { half(&main)? };
            maps.push(Tensor::f_cat(&[main, beside], 1)?);
        }
        Ok(maps.split_off(TAIL.len() + 1 + BODY))
    }
}
