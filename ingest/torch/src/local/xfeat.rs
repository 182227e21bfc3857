//! The XFeat network: an upright photo in, maps of keypoints, reliability and descriptors out (Potje et al., CVPR 2024).
//!
//! Grey input, normalised over the picture. A backbone down to 1/32 with three levels fused at 1/8 gives descriptors and their
//! reliability; keypoints come from a second branch that sees 8 x 8 pixels at a time. Tensor names are those of the authors' file.

use cairn::Result;
use tch::{Device, Kind, TchError, Tensor};

use crate::model::layers::{Activation, Conv, ConvShape, Norm};
use crate::model::weights::Weights;
use cairndb_ingest::photo::Pixels;

/// Channels of the descriptor map.
pub(super) const CHANNELS: usize = 64;
/// Pixels along a side of a cell of the maps.
pub(super) const CELL: usize = 8;
/// Epsilon of every batch normalisation, and of the normalisation of the input.
const EPSILON: f64 = 1e-5;
/// Width of the layers at 1/8, as torch counts.
const WIDE: i64 = 64;
/// Logits of a cell: its 64 pixels, and one for "no keypoint here".
const LOGITS: i64 = 65;
/// Sum of R, G and B of a white pixel.
const WHITE: usize = 3 * 255;

/// A stack of convolutions: (output channels, kernel, stride) each, with batch normalisation and ReLU.
type Stack = [(i64, i64, i64)];

const BLOCK_1: &Stack = &[(4, 3, 1), (8, 3, 2), (8, 3, 1), (24, 3, 2)];
const BLOCK_2: &Stack = &[(24, 3, 1), (24, 3, 1)];
const BLOCK_3: &Stack = &[(WIDE, 3, 2), (WIDE, 3, 1), (WIDE, 1, 1)];
const BLOCK_4: &Stack = &[(WIDE, 3, 2), (WIDE, 3, 1), (WIDE, 3, 1)];
const BLOCK_5: &Stack = &[(128, 3, 2), (128, 3, 1), (128, 3, 1), (WIDE, 1, 1)];
const FUSION: &Stack = &[(WIDE, 3, 1), (WIDE, 3, 1)];
const HEATMAP: &Stack = &[(WIDE, 1, 1), (WIDE, 1, 1)];
const KEYPOINTS: &Stack = &[(WIDE, 1, 1), (WIDE, 1, 1), (WIDE, 1, 1)];

/// The network. Belongs to one thread at a time; `share` gives another thread its own handles to the same tensors.
pub(super) struct XFeat {
    /// 1/4 of the input, averaged: 1 -> 24 channels.
    skip: Vec<Conv>,
    block_1: Vec<Conv>,
    block_2: Vec<Conv>,
    block_3: Vec<Conv>,
    block_4: Vec<Conv>,
    block_5: Vec<Conv>,
    fusion: Vec<Conv>,
    heatmap: Vec<Conv>,
    keypoints: Vec<Conv>,
}

/// What the network says of a picture of `columns` x `rows` cells of 8 x 8 pixels. Row-major.
pub(super) struct Maps {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// How likely each pixel is the keypoint of its cell: (8 rows, 8 columns).
    pub(super) keypoints: Vec<f32>,
    /// How reliably the descriptor at a cell matches, 0 to 1: (rows, columns).
    pub(super) reliability: Vec<f32>,
    /// (rows, columns, 64), as the network gives them: not of unit length.
    pub(super) descriptors: Vec<f32>,
}

impl XFeat {
    pub(super) fn load(weights: &Weights) -> Result<Self> {
        let stack = |name: &str, mut input: i64, layers: &Stack| -> Result<Vec<Conv>> {
            let mut loaded = Vec::with_capacity(layers.len());
            for (i, &(output, kernel, stride)) in layers.iter().enumerate() {
                let (conv, norm) = (format!("{name}.{i}.layer.0"), format!("{name}.{i}.layer.1"));
                let norm = Norm::Plain { name: &norm, epsilon: EPSILON };
                let shape = ConvShape::pointwise(&conv, norm, input, output, Activation::Relu);
                loaded.push(Conv::load(weights, &ConvShape { kernel, stride, ..shape })?);
                input = output;
            }
            Ok(loaded)
        };
        let last = |conv: &str, input: i64, output: i64| {
            Conv::load(weights, &ConvShape::pointwise(conv, Norm::Bias, input, output, Activation::None))
        };
        let mut fusion = stack("block_fusion", WIDE, FUSION)?;
        fusion.push(last("block_fusion.2", WIDE, WIDE)?);
        let mut heatmap = stack("heatmap_head", WIDE, HEATMAP)?;
        heatmap.push(last("heatmap_head.2", WIDE, 1)?);
        let mut keypoints = stack("keypoint_head", WIDE, KEYPOINTS)?;
        keypoints.push(last("keypoint_head.3", WIDE, LOGITS)?);
        Ok(Self {
            skip: vec![last("skip1.1", 1, 24)?],
            block_1: stack("block1", 1, BLOCK_1)?,
            block_2: stack("block2", 24, BLOCK_2)?,
            block_3: stack("block3", 24, BLOCK_3)?,
            block_4: stack("block4", WIDE, BLOCK_4)?,
            block_5: stack("block5", WIDE, BLOCK_5)?,
            fusion,
            heatmap,
            keypoints,
        })
    }

    fn map(&self, each: &dyn Fn(&Conv) -> Result<Conv, TchError>) -> Result<Self, TchError> {
        let all = |stack: &[Conv]| stack.iter().map(each).collect::<Result<Vec<_>, _>>();
        Ok(Self {
            skip: all(&self.skip)?,
            block_1: all(&self.block_1)?,
            block_2: all(&self.block_2)?,
            block_3: all(&self.block_3)?,
            block_4: all(&self.block_4)?,
            block_5: all(&self.block_5)?,
            fusion: all(&self.fusion)?,
            heatmap: all(&self.heatmap)?,
            keypoints: all(&self.keypoints)?,
        })
    }

    /// The same network on a device.
    pub(super) fn to(&self, device: Device) -> Result<Self, TchError> {
        self.map(&|conv| conv.to(device, Kind::Float))
    }

    pub(super) fn share(&self) -> Result<Self, TchError> {
        self.map(&|conv| Ok(conv.share()))
    }

    /// The maps of a picture whose sides are multiples of 32.
    pub(super) fn maps(&self, picture: &Pixels, device: Device) -> Result<Maps, TchError> {
        let (height, width) = (i64::from(picture.height()), i64::from(picture.width()));
        tch::no_grad(|| {
            let x = Tensor::f_from_slice(&grey(picture))?.f_view([1, 1, height, width])?.f_to_device(device)?;
            let (descriptors, keypoints, reliability) = self.forward(&x)?;
            let (_, _, rows, columns) = descriptors.size4()?;
            // The logits of a cell are its pixels row by row; the 65th says that none of them is a keypoint.
            let shuffle = CELL as i64;
            let keypoints =
                keypoints.f_softmax(1, Kind::Float)?.f_narrow(1, 0, LOGITS - 1)?.f_pixel_shuffle(shuffle)?;
            Ok(Maps {
                rows: rows as usize,
                columns: columns as usize,
                keypoints: numbers(&keypoints)?,
                reliability: numbers(&reliability)?,
                descriptors: numbers(&descriptors.f_permute([0, 2, 3, 1])?)?,
            })
        })
    }

    /// Normalised grey (1, 1, h, w) -> descriptors (1, 64, h/8, w/8), keypoint logits (1, 65, h/8, w/8), reliability
    /// (1, 1, h/8, w/8).
    fn forward(&self, x: &Tensor) -> Result<(Tensor, Tensor, Tensor), TchError> {
        let skip = run(&self.skip, &x.f_avg_pool2d([4, 4], [4, 4], [0, 0], false, true, None)?)?;
        let quarter = run(&self.block_2, &run(&self.block_1, x)?.f_add(&skip)?)?;
        let eighth = run(&self.block_3, &quarter)?;
        let sixteenth = run(&self.block_4, &eighth)?;
        let smallest = run(&self.block_5, &sixteenth)?;
        let (_, _, rows, columns) = eighth.size4()?;
        let up = |map: &Tensor| map.f_upsample_bilinear2d([rows, columns], false, None, None);
        let pyramid = eighth.f_add(&up(&sixteenth)?)?.f_add(&up(&smallest)?)?;
        let descriptors = run(&self.fusion, &pyramid)?;
        let reliability = run(&self.heatmap, &descriptors)?.f_sigmoid()?;
        let keypoints = run(&self.keypoints, &x.f_pixel_unshuffle(CELL as i64)?)?;
        Ok((descriptors, keypoints, reliability))
    }
}

fn run(stack: &[Conv], x: &Tensor) -> Result<Tensor, TchError> {
    let mut x = x.shallow_clone();
    for layer in stack {
        x = layer.forward(&x)?;
    }
    Ok(x)
}

/// All numbers of a tensor, row-major.
pub(super) fn numbers(x: &Tensor) -> Result<Vec<f32>, TchError> {
    let mut numbers = vec![0f32; x.numel()];
    let count = numbers.len();
    x.f_to_kind(Kind::Float)?.f_to_device(Device::Cpu)?.f_contiguous()?.f_copy_data(&mut numbers, count)?;
    Ok(numbers)
}

/// The mean of R, G and B of every pixel, 0 to 1, normalised over the picture: (x - mean) / sqrt(variance + 1e-5).
///
/// Mean and variance are sums of integers, so that a picture of one colour is 0 everywhere and not rounding noise.
fn grey(picture: &Pixels) -> Vec<f32> {
    let level = |rgb: &[u8]| rgb.iter().map(|&x| usize::from(x)).sum::<usize>();
    let mut counts = [0u64; WHITE + 1];
    picture.rgb().chunks_exact(3).for_each(|rgb| counts[level(rgb)] += 1);
    let (mut pixels, mut sum, mut squares) = (0u128, 0u128, 0u128);
    for (level, &count) in counts.iter().enumerate() {
        let (level, count) = (level as u128, u128::from(count));
        pixels += count;
        sum += level * count;
        squares += level * level * count;
    }
    let (n, white) = (pixels as f64, WHITE as f64);
    let mean = sum as f64 / n;
    let variance = (pixels * squares - sum * sum) as f64 / (n * n * white * white);
    let deviation = (variance + EPSILON).sqrt();
    let table: Vec<f32> = (0..=WHITE).map(|level| ((level as f64 - mean) / white / deviation) as f32).collect();
    picture.rgb().chunks_exact(3).map(|rgb| table[level(rgb)]).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn grey_is_normalised_over_the_picture_and_flat_pictures_are_zero() {
        let flat = Pixels::new(3, 1, vec![77, 12, 201, 77, 12, 201, 77, 12, 201]).unwrap();
        assert_eq!(grey(&flat), [0.0; 3]);
        // Levels 0 and 1: mean 1/2, variance 1/4.
        let two = Pixels::new(2, 1, vec![0, 0, 0, 255, 255, 255]).unwrap();
        let expected = (0.5 / (0.25f64 + 1e-5).sqrt()) as f32;
        assert_eq!(grey(&two), [-expected, expected]);
    }
}
