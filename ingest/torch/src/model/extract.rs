//! From a batch of inputs to unit descriptors: single- or multi-scale extraction (docs/ALGORITHMS.md).

use std::sync::Arc;

use cairn::{Error, Result};
use tch::{Kind, TchError, Tensor};

use super::fast::FastTrunk;
use super::fishnet::Fishnet;
use super::gem::{Head, gem};
use super::layers::{Apply, Conv, Each, channels_last};
use super::lite::Lite;
use super::resnet::Resnet;
use crate::device::torch_error;

/// Side lengths that a network takes are multiples of this.
pub(crate) const STRIDE: u32 = 32;
/// Smallest side at a scale other than the only one.
const SMALLEST_SCALED_SIDE: i64 = 128;

/// A trunk, of layers to embed with or to train.
pub(crate) enum Trunk<L = Conv> {
    Lite(Lite<L>),
    Resnet(Resnet<L>),
    Fishnet(Fishnet<L>),
}

impl<L> Trunk<L> {
    /// (n, 3, h, w) -> the feature maps that are pooled, of which the last is (n, c, h / 32, w / 32), with `apply` for each layer.
    pub(crate) fn forward(&self, x: &Tensor, apply: Apply<'_, L>) -> Result<Vec<Tensor>, TchError> {
        match self {
            Trunk::Lite(net) => Ok(vec![net.forward(x, apply)?]),
            Trunk::Resnet(net) => Ok(vec![net.forward(x, apply)?]),
            Trunk::Fishnet(net) => net.forward(x, apply),
        }
    }

    /// All layers, from the input on.
    pub(crate) fn layers(&self) -> Vec<&L> {
        match self {
            Trunk::Lite(net) => net.layers(),
            Trunk::Resnet(net) => net.layers(),
            Trunk::Fishnet(net) => net.layers(),
        }
    }

    /// The trunk of other layers.
    pub(crate) fn map<M>(&self, each: Each<'_, L, M>) -> Result<Trunk<M>, TchError> {
        Ok(match self {
            Trunk::Lite(net) => Trunk::Lite(net.map(each)?),
            Trunk::Resnet(net) => Trunk::Resnet(net.map(each)?),
            Trunk::Fishnet(net) => Trunk::Fishnet(net.map(each)?),
        })
    }
}

/// Each map pooled by itself, one behind the other: (n, sum of their channels).
pub(crate) fn pooled(maps: &[Tensor], pool: &dyn Fn(&Tensor) -> Result<Tensor, TchError>) -> Result<Tensor, TchError> {
    let parts = maps.iter().map(pool).collect::<Result<Vec<_>, _>>()?;
    match parts.as_slice() {
        [only] => Ok(only.shallow_clone()),
        all => Tensor::f_cat(all, 1),
    }
}

/// Trunk, pooling, head: everything between pixels and a descriptor. Belongs to one thread at a time; `share` gives another
/// thread its own handles to the same tensors.
pub(crate) struct Network {
    pub(crate) trunk: Trunk,
    /// GeM's exponent.
    pub(crate) p: f64,
    pub(crate) head: Option<Head>,
    /// Scales of the input; `[1.0]` is single-scale.
    pub(crate) scales: Vec<f64>,
    /// (x - mean) / deviation a channel, on values 0 to 255; shape (1, 3, 1, 1), f32, on the device.
    pub(crate) mean: Tensor,
    pub(crate) deviation: Tensor,
    /// Kind in which the trunk computes: f32, or bf16 on CUDA.
    pub(crate) kind: Kind,
    /// The trunk by a faster library, if there is one.
    pub(super) fast: Option<Arc<FastTrunk>>,
}

impl Network {
    pub(crate) fn share(&self) -> Result<Self> {
        Ok(Self {
            trunk: self.trunk.map(&|conv: &Conv| Ok(conv.share())).map_err(torch_error)?,
            head: self.head.as_ref().map(Head::share),
            scales: self.scales.clone(),
            mean: self.mean.shallow_clone(),
            deviation: self.deviation.shallow_clone(),
            fast: self.fast.clone(),
            ..*self
        })
    }

    /// RGB bytes (n, h, w, 3) on the device -> raw descriptors (n, dimension), the mean over the scales.
    pub(crate) fn raw(&self, rgb: &Tensor) -> Result<Tensor, TchError> {
        tch::no_grad(|| self.raw_of_input(&self.input(rgb)?))
    }

    /// RGB bytes (n, h, w, 3) on the device -> the trunk's last feature map (n, c, h / 32, w / 32), at that size alone.
    pub(crate) fn map(&self, rgb: &Tensor) -> Result<Tensor, TchError> {
        let maps = tch::no_grad(|| self.trunk.forward(&self.input(rgb)?.f_to_kind(self.kind)?, &Conv::forward))?;
        maps.into_iter().next_back().ok_or_else(|| TchError::Torch("the trunk gave no feature map".to_owned()))
    }

    fn input(&self, rgb: &Tensor) -> Result<Tensor, TchError> {
        input(rgb, &self.mean, &self.deviation)
    }

    /// Normalised input (n, 3, h, w), f32 -> raw descriptors.
    pub(crate) fn raw_of_input(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let (_, _, height, width) = x.size4()?;
        let mut outputs = Vec::with_capacity(self.scales.len());
        for &scale in &self.scales {
            let (h, w) = match self.scales.len() {
                1 if scale == 1.0 => (height, width),
                _ => (scaled_side(height, scale), scaled_side(width, scale)),
            };
            let x = if (h, w) == (height, width) {
                x.shallow_clone()
            } else {
                channels_last(&x.f_upsample_bilinear2d([h, w], true, None, None)?)?
            };
            let maps = match &self.fast {
                Some(fast) => vec![fast.forward(&x)?],
                None => self.trunk.forward(&x.f_to_kind(self.kind)?, &Conv::forward)?,
            };
            let pooled = pooled(&maps, &|map| gem(map, self.p))?;
            outputs.push(match &self.head {
                Some(head) => head.forward(&pooled)?,
                None => pooled,
            });
        }
        mean_of_scales(&outputs)
    }
}

/// RGB bytes (n, h, w, 3) -> normalised input (n, 3, h, w); mean and deviation (1, 3, 1, 1).
pub(crate) fn input(rgb: &Tensor, mean: &Tensor, deviation: &Tensor) -> Result<Tensor, TchError> {
    // The permutation leaves the channels innermost in memory, which is what convolutions like.
    let x = rgb.f_permute([0, 3, 1, 2])?.f_to_kind(Kind::Float)?;
    x.f_sub(mean)?.f_div(deviation)
}

/// A number a channel of R, G and B, as (1, 3, 1, 1) on a device.
pub(crate) fn channel(values: [f32; 3], device: tch::Device) -> Result<Tensor, TchError> {
    Tensor::f_from_slice(&values)?.f_view([1, 3, 1, 1])?.f_to_device(device)
}

/// A side at a scale: floor(side * scale / 32) * 32, at least 128.
pub(crate) fn scaled_side(side: i64, scale: f64) -> i64 {
    let stride = f64::from(STRIDE);
    ((side as f64 * scale / stride).floor() * stride).max(SMALLEST_SCALED_SIDE as f64) as i64
}

/// The mean of the raw outputs; no scale is normalised on its own.
pub(crate) fn mean_of_scales(outputs: &[Tensor]) -> Result<Tensor, TchError> {
    match outputs {
        [only] => Ok(only.shallow_clone()),
        all => Tensor::f_stack(all, 0)?.f_mean_dim([0i64].as_slice(), false, Kind::Float),
    }
}

/// The rows of (n, d) with unit length, computed in f64 in one order on every machine.
pub(crate) fn unit_rows(raw: &Tensor) -> Result<Vec<Vec<f32>>> {
    let (rows, dimension) = raw.size2().map_err(torch_error)?;
    let count = usize::try_from(rows * dimension).unwrap_or(0);
    let mut values = vec![0f32; count];
    let flat = raw.f_to_kind(Kind::Float).and_then(|t| t.f_to_device(tch::Device::Cpu)).and_then(|t| t.f_contiguous());
    flat.and_then(|t| t.f_copy_data(&mut values, count)).map_err(torch_error)?;
    let dimension = usize::try_from(dimension).unwrap_or(0).max(1);
    values
        .chunks_exact(dimension)
        .map(|row| {
            let length = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
            if length.is_finite() && length > 0.0 {
                Ok(row.iter().map(|&x| (f64::from(x) / length) as f32).collect())
            } else {
                Err(Error::invalid("the network gave no usable descriptor (zero, NaN or infinite)")
                    .help("check the weights: they may belong to another model"))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use cairndb_ingest::photo::SizeRule;

    #[test]
    fn sides_at_each_scale_equal_the_golden_cases() {
        let Some(path) = crate::testing::shared("golden/model/preprocess_cases.json") else { return };
        let cases: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let cases = cases.as_array().unwrap();
        for case in cases {
            let [width, height] = ["w", "h"].map(|name| case[name].as_u64().unwrap() as u32);
            let (wide, high) = SizeRule::AspectGroups.target(width, height);
            let sides = |scale| [high, wide].map(|side| scaled_side(i64::from(side), scale));
            let golden = [0.75, 1.0, 1.25].map(sides);
            assert_eq!(serde_json::json!(golden), case["L2"]["ms_hw"], "{width}x{height}");
        }
        assert!(cases.len() > 10, "{}", cases.len());
    }

    #[test]
    fn scaled_sides_follow_the_specification() {
        assert_eq!([0.75, 1.0, 1.25].map(|s| scaled_side(800, s)), [576, 800, 992]);
        assert_eq!([0.75, 1.0, 1.25].map(|s| scaled_side(608, s)), [448, 608, 736]);
        assert_eq!(scaled_side(96, 0.75), 128);
    }
}
