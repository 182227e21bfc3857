//! The canonical sum in AVX-512 (four registers of 16 lanes) and AVX2 with FMA (eight registers of 8 lanes).

use std::arch::x86_64::*;

use super::LANES;

/// Fills `out` with the widest version this machine has; `false`: it has none.
pub(super) fn dot_rows(query: &[f32], rows: &[f32], out: &mut [f32]) -> bool {
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: AVX-512F was detected, and the caller checked that `rows` holds `out.len()` rows of `query.len()`.
        unsafe { dot_rows_avx512(query, rows, out) };
        true
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: AVX2 and FMA were detected, and the caller checked that `rows` holds `out.len()` rows of `query.len()`.
        unsafe { dot_rows_avx2(query, rows, out) };
        true
    } else {
        false
    }
}

/// The version that [`dot_rows`] takes; `None`: this machine has none.
pub(super) fn version() -> Option<&'static str> {
    if is_x86_feature_detected!("avx512f") {
        Some("AVX-512")
    } else {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some("AVX2 with FMA")
    }
}

/// Query, rows, outputs.
#[cfg(test)]
type Version = fn(&[f32], &[f32], &mut [f32]);

/// Every version this machine can run, for the test against the oracle.
#[cfg(test)]
pub(super) fn all_detected() -> Vec<Version> {
    let mut versions: Vec<Version> = Vec::new();
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: detected just above; the test passes fitting lengths.
        versions.push(|query, rows, out| unsafe { dot_rows_avx512(query, rows, out) });
    }
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: detected just above; the test passes fitting lengths.
        versions.push(|query, rows, out| unsafe { dot_rows_avx2(query, rows, out) });
    }
    versions
}

/// # Safety
/// AVX-512F must be there, and `rows` must hold `out.len()` rows of `query.len()`.
#[target_feature(enable = "avx512f")]
unsafe fn dot_rows_avx512(query: &[f32], rows: &[f32], out: &mut [f32]) {
    for (row, out) in rows.chunks_exact(query.len()).zip(out) {
        // SAFETY: `query` and `row` have equal length; the features are the caller's promise.
        *out = unsafe { dot_avx512(query, row) };
    }
}

/// # Safety
/// AVX-512F must be there, and both slices must have the same length.
#[target_feature(enable = "avx512f")]
unsafe fn dot_avx512(a: &[f32], b: &[f32]) -> f32 {
    let length = a.len();
    let (a, b) = (a.as_ptr(), b.as_ptr());
    let mut lanes = [_mm512_setzero_ps(); 4];
    let whole = length - length % LANES;
    let mut at = 0;
    while at < whole {
        for (j, lane) in lanes.iter_mut().enumerate() {
            // SAFETY: at + 16 j + 16 <= whole <= length.
            let (x, y) = unsafe { (_mm512_loadu_ps(a.add(at + 16 * j)), _mm512_loadu_ps(b.add(at + 16 * j))) };
            *lane = _mm512_fmadd_ps(x, y, *lane);
        }
        at += LANES;
    }
    for lane in &mut lanes {
        if at >= length {
            break;
        }
        let mask = (((1u32 << (length - at).min(16)) - 1) & 0xffff) as __mmask16;
        // SAFETY: the mask reads only the `length - at` elements that are left; masked-off elements are not touched.
        let (x, y) = unsafe { (_mm512_maskz_loadu_ps(mask, a.add(at)), _mm512_maskz_loadu_ps(mask, b.add(at))) };
        *lane = _mm512_fmadd_ps(x, y, *lane);
        at += 16;
    }
    let by32 = [_mm512_add_ps(lanes[0], lanes[2]), _mm512_add_ps(lanes[1], lanes[3])];
    let by16 = _mm512_add_ps(by32[0], by32[1]);
    let low = _mm512_castps512_ps256(by16);
    let high = _mm512_castps512_ps256(_mm512_shuffle_f32x4::<0b00_00_11_10>(by16, by16));
    sum_of_8(low, high)
}

/// Lanes `j` and `j + 8`, then by halves to one.
#[target_feature(enable = "avx")]
fn sum_of_8(low: __m256, high: __m256) -> f32 {
    let by8 = _mm256_add_ps(low, high);
    let by4 = _mm_add_ps(_mm256_castps256_ps128(by8), _mm256_extractf128_ps::<1>(by8));
    let by2 = _mm_add_ps(by4, _mm_movehl_ps(by4, by4));
    let by1 = _mm_add_ss(by2, _mm_shuffle_ps::<0b01>(by2, by2));
    _mm_cvtss_f32(by1) + 0.0
}

/// # Safety
/// AVX2 and FMA must be there, and `rows` must hold `out.len()` rows of `query.len()`.
#[target_feature(enable = "avx2,fma")]
unsafe fn dot_rows_avx2(query: &[f32], rows: &[f32], out: &mut [f32]) {
    for (row, out) in rows.chunks_exact(query.len()).zip(out) {
        // SAFETY: `query` and `row` have equal length; the features are the caller's promise.
        *out = unsafe { dot_avx2(query, row) };
    }
}

/// # Safety
/// AVX2 and FMA must be there, and both slices must have the same length.
#[target_feature(enable = "avx2,fma")]
unsafe fn dot_avx2(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [_mm256_setzero_ps(); 8];
    let (a_blocks, b_blocks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (a_rest, b_rest) = (a_blocks.remainder(), b_blocks.remainder());
    for (x, y) in a_blocks.zip(b_blocks) {
        // SAFETY: both blocks hold LANES elements.
        unsafe { accumulate_avx2(x.as_ptr(), y.as_ptr(), &mut lanes) };
    }
    if !a_rest.is_empty() {
        let (mut x, mut y) = ([0.0f32; LANES], [0.0f32; LANES]);
        x[..a_rest.len()].copy_from_slice(a_rest);
        y[..b_rest.len()].copy_from_slice(b_rest);
        // SAFETY: both arrays hold LANES elements.
        unsafe { accumulate_avx2(x.as_ptr(), y.as_ptr(), &mut lanes) };
    }
    let mut width = 4;
    while width > 1 {
        for j in 0..width {
            lanes[j] = _mm256_add_ps(lanes[j], lanes[j + width]);
        }
        width /= 2;
    }
    // Two registers are left: lanes 0-7 and 8-15, after 64 -> 32 -> 16.
    sum_of_8(lanes[0], lanes[1])
}

/// # Safety
/// AVX2 and FMA must be there; both pointers must be readable for LANES elements.
#[target_feature(enable = "avx2,fma")]
unsafe fn accumulate_avx2(a: *const f32, b: *const f32, lanes: &mut [__m256; 8]) {
    for (j, lane) in lanes.iter_mut().enumerate() {
        // SAFETY: 8 j + 8 <= LANES.
        let (x, y) = unsafe { (_mm256_loadu_ps(a.add(8 * j)), _mm256_loadu_ps(b.add(8 * j))) };
        *lane = _mm256_fmadd_ps(x, y, *lane);
    }
}
