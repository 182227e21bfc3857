//! Turns a feature map into a descriptor: generalised-mean pooling, and the head of docs/ALGORITHMS.md if the weights have one.

use cairn::limits::MAX_DIMENSION;
use cairn::{Error, Result};
use tch::{Device, Kind, TchError, Tensor};

use super::weights::Weights;
use crate::device::torch_error;

/// Exponent of GeM where the weights bring none: the paper's 3.
pub const GEM_P: f64 = 3.0;
/// Floor of an activation before it is raised to p.
pub const GEM_EPSILON: f64 = 1e-6;
/// Added to a variance of the head's normalisation before its square root.
pub(crate) const NORM_EPSILON: f64 = 1e-5;

/// (n, c, h, w) -> (n, c): (mean over space of max(x, 1e-6)^p)^(1/p), in f32 whatever the kind of the map.
pub(crate) fn gem(map: &Tensor, p: f64) -> Result<Tensor, TchError> {
    map.f_to_kind(Kind::Float)?
        .f_clamp_min(GEM_EPSILON)?
        .f_pow_tensor_scalar(p)?
        .f_mean_dim([2i64, 3].as_slice(), false, Kind::Float)?
        .f_pow_tensor_scalar(1.0 / p)
}

/// GeM's exponent of a file: the tensor `gem.p` (one number), or [`GEM_P`].
pub(crate) fn exponent(weights: &Weights) -> Result<f64> {
    if !weights.has("gem.p") {
        return Ok(GEM_P);
    }
    let p = weights.tensor("gem.p", &[1]).or_else(|_| weights.tensor("gem.p", &[]))?;
    let p = p.f_view([-1]).and_then(|p| p.f_double_value(&[0])).map_err(torch_error)?;
    if (0.1..=100.0).contains(&p) {
        Ok(p)
    } else {
        Err(Error::invalid(format!("the weights' gem.p is {p}; a GeM exponent must be 0.1 to 100")))
    }
}

/// Numbers of the output of the head that a file has, by the length of its bias.
///
/// # Errors
/// When it is none that a descriptor can have.
pub(crate) fn head_dimension(weights: &Weights) -> Result<i64> {
    let length = weights.shape("head.fc.bias").and_then(|shape| match shape {
        &[length] if (1..=MAX_DIMENSION).contains(&length) => i64::try_from(length).ok(),
        _ => None,
    });
    length.ok_or_else(|| {
        Error::invalid(
            "the weights have a head (head.fc.weight) whose bias (head.fc.bias) does not give the length of a descriptor",
        )
        .help(format!("a head's bias has 1 to {MAX_DIMENSION} numbers"))
    })
}

/// Whether a batch normalisation stands behind the fully connected layer of a file.
pub(crate) fn has_norm(weights: &Weights) -> bool {
    ["weight", "bias", "running_mean", "running_var"].iter().any(|part| weights.has(&format!("head.bn.{part}")))
}

/// Fully connected layer and batch normalisation, if any, as one matrix and a bias, in f32: (n, c) -> (n, output).
pub(crate) struct Head {
    /// (output, c)
    pub(crate) weight: Tensor,
    /// (output)
    pub(crate) bias: Tensor,
}

impl Head {
    /// The head of a file that has one: tensors `head.fc.*` and, unless the layer stands alone, `head.bn.*`.
    pub(crate) fn load(weights: &Weights, channels: i64) -> Result<Option<Self>> {
        if !weights.has("head.fc.weight") {
            return Ok(None);
        }
        let out = head_dimension(weights)?;
        let norm = |part: &str| weights.tensor(&format!("head.bn.{part}"), &[out]);
        let fc = (weights.tensor("head.fc.weight", &[out, channels])?, weights.tensor("head.fc.bias", &[out])?);
        if !has_norm(weights) {
            return Ok(Some(Self { weight: fc.0, bias: fc.1 }));
        }
        let norm = [norm("weight")?, norm("bias")?, norm("running_mean")?, norm("running_var")?];
        Self::fold(&fc.0, &fc.1, &norm).map(Some).map_err(torch_error)
    }

    /// `norm` holds weight, bias, running mean and running variance.
    pub(crate) fn fold(weight: &Tensor, bias: &Tensor, norm: &[Tensor; 4]) -> Result<Self, TchError> {
        let double = |t: &Tensor| t.f_to_kind(Kind::Double);
        let [gamma, beta, mean, variance] = norm;
        let factor =
            double(gamma)?.f_div(&double(variance)?.f_clamp_min(0.0)?.f_add_scalar(NORM_EPSILON)?.f_sqrt()?)?;
        let bias = double(bias)?.f_sub(&double(mean)?)?.f_mul(&factor)?.f_add(&double(beta)?)?;
        let weight = double(weight)?.f_mul(&factor.f_view([-1, 1])?)?;
        Ok(Self { weight: weight.f_to_kind(Kind::Float)?, bias: bias.f_to_kind(Kind::Float)? })
    }

    /// Numbers of its output.
    pub(crate) fn dimension(&self) -> i64 {
        self.bias.numel() as i64
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_linear(&self.weight, Some(&self.bias))
    }

    pub(crate) fn to(&self, device: Device) -> Result<Self, TchError> {
        Ok(Self { weight: self.weight.f_to_device(device)?, bias: self.bias.f_to_device(device)? })
    }

    pub(crate) fn share(&self) -> Self {
        Self { weight: self.weight.shallow_clone(), bias: self.bias.shallow_clone() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::model::extract::mean_of_scales;
    use crate::testing::{largest_difference, shared_npy};

    #[test]
    fn gem_and_head_equal_the_golden_files() {
        let file = |name: &str| shared_npy(&format!("golden/model/{name}.npy"));
        let Some(map) = file("feature_map") else { return };
        let pooled = gem(&map, GEM_P).unwrap();
        assert!(largest_difference(&pooled, &file("gem").unwrap()) < 1e-5);
        let norm = ["bn_weight", "bn_bias", "bn_mean", "bn_var"].map(|name| file(name).unwrap());
        let head = Head::fold(&file("fc_weight").unwrap(), &file("fc_bias").unwrap(), &norm).unwrap();
        let raw = head.forward(&pooled).unwrap();
        assert!(largest_difference(&raw, &file("head_raw").unwrap()) < 1e-4);
        let unit = crate::model::extract::unit_rows(&raw).unwrap();
        let golden = Vec::<f32>::try_from(file("head_l2").unwrap().view(-1)).unwrap();
        assert!(unit.concat().iter().zip(&golden).all(|(a, b)| (a - b).abs() < 1e-5));
    }

    #[test]
    fn scales_are_averaged_before_the_one_normalisation() {
        let Some(raw) = shared_npy("golden/model/ms_raw.npy") else { return };
        let scales: Vec<Tensor> = (0..raw.size()[0]).map(|s| raw.get(s)).collect();
        let unit = crate::model::extract::unit_rows(&mean_of_scales(&scales).unwrap()).unwrap().concat();
        let golden = Vec::<f32>::try_from(shared_npy("golden/model/ms_l2.npy").unwrap().view(-1)).unwrap();
        assert_eq!(unit.len(), golden.len());
        assert!(unit.iter().zip(&golden).all(|(a, b)| (a - b).abs() < 1e-5));
    }

    #[test]
    fn the_floor_keeps_a_negative_map_a_number() {
        let pooled = gem(&Tensor::from_slice(&[-1f32, -2.0, 0.0, 0.0]).view([1, 1, 2, 2]), GEM_P).unwrap();
        assert!((pooled.double_value(&[0, 0]) - 1e-6).abs() < 1e-9);
    }
}
