//! The canonical sum in NEON: sixteen registers of 4 lanes.

use std::arch::aarch64::*;

use super::LANES;

/// The name of this version; `None`: this machine has no NEON.
pub(super) fn version() -> Option<&'static str> {
    std::arch::is_aarch64_feature_detected!("neon").then_some("NEON")
}

/// Fills `out`; `false`: this machine has no NEON.
pub(super) fn dot_rows(query: &[f32], rows: &[f32], out: &mut [f32]) -> bool {
    if !std::arch::is_aarch64_feature_detected!("neon") {
        return false;
    }
    for (row, out) in rows.chunks_exact(query.len()).zip(out) {
        // SAFETY: NEON was detected; `query` and `row` have equal length.
        *out = unsafe { dot(query, row) };
    }
    true
}

/// # Safety
/// NEON must be there, and both slices must have the same length.
#[target_feature(enable = "neon")]
unsafe fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [vdupq_n_f32(0.0); 16];
    let (a_blocks, b_blocks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (a_rest, b_rest) = (a_blocks.remainder(), b_blocks.remainder());
    for (x, y) in a_blocks.zip(b_blocks) {
        // SAFETY: both blocks hold LANES elements.
        unsafe { accumulate(x.as_ptr(), y.as_ptr(), &mut lanes) };
    }
    if !a_rest.is_empty() {
        let (mut x, mut y) = ([0.0f32; LANES], [0.0f32; LANES]);
        x[..a_rest.len()].copy_from_slice(a_rest);
        y[..b_rest.len()].copy_from_slice(b_rest);
        // SAFETY: both arrays hold LANES elements.
        unsafe { accumulate(x.as_ptr(), y.as_ptr(), &mut lanes) };
    }
    let mut width = 8;
    while width > 0 {
        for j in 0..width {
            lanes[j] = vaddq_f32(lanes[j], lanes[j + width]);
        }
        width /= 2;
    }
    let by2 = vadd_f32(vget_low_f32(lanes[0]), vget_high_f32(lanes[0]));
    vget_lane_f32::<0>(by2) + vget_lane_f32::<1>(by2) + 0.0
}

/// # Safety
/// NEON must be there; both pointers must be readable for LANES elements.
#[target_feature(enable = "neon")]
unsafe fn accumulate(a: *const f32, b: *const f32, lanes: &mut [float32x4_t; 16]) {
    for (j, lane) in lanes.iter_mut().enumerate() {
        // SAFETY: 4 j + 4 <= LANES.
        let (x, y) = unsafe { (vld1q_f32(a.add(4 * j)), vld1q_f32(b.add(4 * j))) };
        *lane = vfmaq_f32(*lane, x, y);
    }
}
