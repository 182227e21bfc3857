//! Triplet loss on squared distances of unit descriptors, as Radenovic et al. (TPAMI 2019) train it: [38] of Table 5.
//!
//! Their tuples are a query, one positive and the hardest negatives of a pool mined every epoch. Here the mini-batch is the pool:
//! every (anchor, positive) pair of it is compared with the anchor's hardest negative in the batch.

use tch::{Kind, TchError, Tensor};

use super::{distinct_pairs, same_label};

/// Below every cosine by so much that no margin reaches it.
const NEVER: f64 = -1e3;

/// (n, d) unit rows, (n) labels -> the mean over pairs of max(0, |a - p|^2 - |a - n|^2 + margin). Zero, with a gradient of
/// zero, where the batch has no pair or no negative.
pub(super) fn loss(unit: &Tensor, targets: &Tensor, margin: f64) -> Result<Tensor, TchError> {
    let cosine = unit.f_mm(&unit.f_tr()?)?;
    let same = same_label(targets)?;
    let pairs = same.f_logical_and(&distinct_pairs(targets)?)?.f_to_kind(cosine.f_kind()?)?;
    let (hardest, _) = cosine.f_masked_fill(&same, NEVER)?.f_max_dim(1, true)?;
    // |a - b|^2 = 2 - 2 cos on unit rows.
    let excess = hardest.f_sub(&cosine)?.f_mul_scalar(2.0)?.f_add_scalar(margin)?.f_relu()?;
    let count = pairs.f_sum(Kind::Double)?.f_double_value(&[])?.max(1.0);
    excess.f_mul(&pairs)?.f_sum(None)?.f_div_scalar(count)
}
