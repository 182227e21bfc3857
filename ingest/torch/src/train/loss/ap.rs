//! AP loss: one minus the average precision of every row of the batch as a query against the others, made differentiable by a soft
//! histogram of similarities (Revaud et al., ICCV 2019, equations 5 to 7): [41] of Table 5.

use tch::{Kind, TchError, Tensor};

use super::{distinct_pairs, same_label};

/// Bins of the histogram over cosines 0 to 1, as the authors release it (the paper quantises -1 to 1 into 20).
const BINS: i64 = 25;
/// Keeps the precision of an empty bin a number.
const NOTHING: f64 = 1e-16;

/// (n, d) unit rows, (n) labels -> 1 - mean over rows with a positive of sum over bins of precision * recall gained. A row is
/// not among its own answers. Zero, with a gradient of zero, where no row has a positive. Memory: n x n x 25.
pub(super) fn loss(unit: &Tensor, targets: &Tensor) -> Result<Tensor, TchError> {
    let kind = unit.f_kind()?;
    let cosine = unit.f_mm(&unit.f_tr()?)?;
    let answers = distinct_pairs(targets)?;
    let relevant = same_label(targets)?.f_logical_and(&answers)?.f_to_kind(kind)?.f_unsqueeze(-1)?;
    let answers = answers.f_to_kind(kind)?.f_unsqueeze(-1)?;
    // Each similarity is shared between the centres of the two nearest bins; beyond the ends the outer bin takes all of it.
    let step = 1.0 / (BINS - 1) as f64;
    let centres = Tensor::f_arange(BINS, (kind, unit.device()))?.f_mul_scalar(-step)?.f_add_scalar(1.0)?;
    let apart = cosine.f_clamp(0.0, 1.0)?.f_unsqueeze(-1)?.f_sub(&centres)?.f_abs()?;
    let share = apart.f_mul_scalar(-1.0 / step)?.f_add_scalar(1.0)?.f_relu()?;
    let counts = |mask: &Tensor| share.f_mul(mask)?.f_sum_dim_intlist([1i64].as_slice(), false, None);
    let (hits, all) = (counts(&relevant)?, counts(&answers)?);
    let precision = hits.f_cumsum(1, None)?.f_div(&all.f_cumsum(1, None)?.f_add_scalar(NOTHING)?)?;
    let positives = relevant.f_sum_dim_intlist([1i64, 2].as_slice(), false, None)?;
    let recall = hits.f_div(&positives.f_clamp_min(1.0)?.f_unsqueeze(-1)?)?;
    let average = precision.f_mul(&recall)?.f_sum_dim_intlist([1i64].as_slice(), false, None)?;
    let asked = positives.f_gt(0.5)?.f_to_kind(kind)?;
    let queries = asked.f_sum(Kind::Double)?.f_double_value(&[])?.max(1.0);
    average.f_neg()?.f_add_scalar(1.0)?.f_mul(&asked)?.f_sum(None)?.f_div_scalar(queries)
}
