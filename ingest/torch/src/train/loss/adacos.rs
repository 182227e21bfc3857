//! AdaCos: a scale that follows the angles of the batch (Zhang et al., CVPR 2019), with the margin that the released code of the
//! pipeline adds to it (docs/ALGORITHMS.md).

use tch::{Kind, TchError, Tensor};

use super::arcface::sine;
use super::one_hot;

/// Smallest scale. With two classes the paper's start is ln(1) = 0, which no step would ever leave.
const SMALLEST_SCALE: f64 = 1.0;
/// How far from +-1 a cosine stays before its angle is taken.
const EDGE: f64 = 1e-7;

/// The scale before the first step: ln(classes - 1) / cos(theta0), at least 1.
pub(super) fn first_scale(classes: usize, theta0: f64) -> f64 {
    (((classes.max(2) - 1) as f64).ln() / theta0.cos().max(f64::EPSILON)).max(SMALLEST_SCALE)
}

/// The scale of this step from that of the last one: ln(B) / cos(min(theta0, median angle)), at least 1. B is the sum of
/// exp(scale * cos) over all wrong classes, divided by the batch; the median is the lower one of all angles of the batch.
pub(super) fn next_scale(cosine: &Tensor, targets: &Tensor, scale: f64, theta0: f64) -> Result<f64, TchError> {
    tch::no_grad(|| {
        let cosine = cosine.f_to_kind(Kind::Double)?;
        let (batch, _) = cosine.size2()?;
        let median = cosine.f_clamp(-1.0 + EDGE, 1.0 - EDGE)?.f_acos()?.f_median()?.f_double_value(&[])?;
        let others = one_hot(targets, &cosine)?.f_neg()?.f_add_scalar(1.0)?;
        let mass = cosine.f_mul_scalar(scale)?.f_exp()?.f_mul(&others)?.f_sum(Kind::Double)?.f_double_value(&[])?;
        let next = (mass / batch as f64).ln() / median.min(theta0).cos().max(f64::EPSILON);
        Ok(if next.is_finite() { next.max(SMALLEST_SCALE) } else { SMALLEST_SCALE })
    })
}

/// (n, classes) cosines -> logits s * cos(theta + m) for the own class, at any angle, and s * cos(theta) for the others.
pub(super) fn logits(cosine: &Tensor, targets: &Tensor, scale: f64, margin: f64) -> Result<Tensor, TchError> {
    let shifted = cosine.f_mul_scalar(margin.cos())?.f_sub(&sine(cosine)?.f_mul_scalar(margin.sin())?)?;
    let change = one_hot(targets, cosine)?.f_mul(&shifted.f_sub(cosine)?)?;
    cosine.f_add(&change)?.f_mul_scalar(scale)
}
