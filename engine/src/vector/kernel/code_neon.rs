//! Dot products of 8-bit codes in NEON.

use std::arch::aarch64::*;

use crate::vector::code::{CodedQuery, stride};

/// The name of this version; `None`: this machine has no NEON.
pub(super) fn version() -> Option<&'static str> {
    std::arch::is_aarch64_feature_detected!("neon").then_some("NEON")
}

/// Fills `out`; `false`: this machine has no NEON.
#[inline]
pub(super) fn scores(query: &CodedQuery, rows: &[u8], number: &impl Fn(usize) -> usize, out: &mut [f32]) -> bool {
    if !std::arch::is_aarch64_feature_detected!("neon") {
        return false;
    }
    let stride = stride(query.dimension());
    for (at, out) in out.iter_mut().enumerate() {
        let row = &rows[number(at) * stride..][..stride];
        // SAFETY: NEON was detected; the query is padded to a multiple of 64 bytes, and a row is at least as long.
        let sum = unsafe { dot(query.signed(), row) };
        *out = query.score_of_sum(sum, row);
    }
    true
}

/// # Safety
/// NEON must be there; `query` must be a multiple of 16 bytes long, and `row` at least as long.
#[target_feature(enable = "neon")]
unsafe fn dot(query: &[u8], row: &[u8]) -> i32 {
    const WIDTH: usize = 16;
    let mut sums = [vdupq_n_s32(0); 2];
    for block in (0..query.len()).step_by(WIDTH) {
        // SAFETY: block + 16 is within both.
        let (q, x) = unsafe { (vld1q_s8(query.as_ptr().add(block).cast()), vld1q_s8(row.as_ptr().add(block).cast())) };
        // A product is at most 127 x 128, which an i16 holds; pairs are added in 32 bits.
        sums[0] = vpadalq_s16(sums[0], vmull_s8(vget_low_s8(q), vget_low_s8(x)));
        sums[1] = vpadalq_s16(sums[1], vmull_high_s8(q, x));
    }
    vaddvq_s32(vaddq_s32(sums[0], sums[1]))
}
