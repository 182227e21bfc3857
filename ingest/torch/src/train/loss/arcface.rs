//! ArcFace: an additive margin on the angle to the own class (Deng et al., CVPR 2019).

use tch::{TchError, Tensor};

use super::one_hot;

/// Floor of 1 - cos^2 below its square root. The released code has none, and gives NaN where rounding makes a cosine exceed 1.
const SINE_FLOOR: f64 = 1e-7;

/// sqrt(1 - cos^2), with a gradient everywhere.
pub(super) fn sine(cosine: &Tensor) -> Result<Tensor, TchError> {
    // As a product, 1 - cos^2 loses no digits where the cosine is near 1.
    let square = cosine.f_neg()?.f_add_scalar(1.0)?.f_mul(&cosine.f_add_scalar(1.0)?)?;
    square.f_clamp_min(SINE_FLOOR)?.f_sqrt()
}

/// (n, classes) cosines -> logits s * cos(theta + m) for the own class and s * cos(theta) for the others.
///
/// Beyond theta = pi - m, where cos(theta + m) would rise again, the own class gets cos(theta) - m sin(m). `smoothing` mixes the
/// one-hot target with 1 / classes before the margin is applied, as released.
pub(super) fn logits(
    cosine: &Tensor,
    targets: &Tensor,
    scale: f64,
    margin: f64,
    smoothing: f64,
) -> Result<Tensor, TchError> {
    let shifted = (cosine.f_mul_scalar(margin.cos())?).f_sub(&sine(cosine)?.f_mul_scalar(margin.sin())?)?;
    let beyond = cosine.f_sub_scalar(margin * margin.sin())?;
    let falls = cosine.f_gt((std::f64::consts::PI - margin).cos())?;
    let own = shifted.f_where_self(&falls, &beyond)?;
    let (_, classes) = cosine.size2()?;
    let share = one_hot(targets, cosine)?.f_mul_scalar(1.0 - smoothing)?.f_add_scalar(smoothing / classes as f64)?;
    cosine.f_add(&share.f_mul(&own.f_sub(cosine)?)?)?.f_mul_scalar(scale)
}
