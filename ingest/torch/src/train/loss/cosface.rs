//! CosFace: a margin on the cosine of the own class (Wang et al., CVPR 2018).

use tch::{TchError, Tensor};

use super::one_hot;

/// (n, classes) cosines -> logits s * (cos - m) for the own class and s * cos for the others.
pub(super) fn logits(cosine: &Tensor, targets: &Tensor, scale: f64, margin: f64) -> Result<Tensor, TchError> {
    cosine.f_sub(&one_hot(targets, cosine)?.f_mul_scalar(margin)?)?.f_mul_scalar(scale)
}
