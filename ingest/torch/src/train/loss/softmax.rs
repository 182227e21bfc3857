//! Plain softmax: a linear classifier on the raw descriptor, without normalisation, margin or scale.

use tch::{TchError, Tensor};

/// (n, d) descriptors, (classes, d) weights, (classes) biases -> (n, classes) logits.
pub(super) fn logits(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor, TchError> {
    x.f_linear(weight, Some(bias))
}
