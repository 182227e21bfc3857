//! Dot products of 8-bit codes in AVX-512 VNNI and AVX2; the batch kernel is in `code_tile.rs`.

use std::arch::x86_64::*;

use crate::vector::code::{ALIGNMENT, CodedQuery, SHIFT, row_sum, shift_share, stride};

/// Rows that are scored together, so that a block of the query is loaded once for all of them.
const TOGETHER: usize = 4;
/// Rows between the one being prefetched and the one being scored; 16 and 32 made no difference.
const AHEAD: usize = 8;

/// Whether the AVX-512 kernels can run.
pub(super) fn has_vnni() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni")
}

/// The version that [`scores`] takes; `None`: this machine has none.
pub(super) fn version() -> Option<&'static str> {
    if has_vnni() { Some("AVX-512 VNNI") } else { is_x86_feature_detected!("avx2").then_some("AVX2") }
}

/// Fills `out` with the widest version this machine has; `false`: it has none.
#[inline]
pub(super) fn scores(query: &CodedQuery, rows: &[u8], number: &impl Fn(usize) -> usize, out: &mut [f32]) -> bool {
    if has_vnni() {
        // SAFETY: the features were detected just above.
        unsafe { scores_vnni(query, rows, number, out) };
        true
    } else if is_x86_feature_detected!("avx2") {
        // SAFETY: AVX2 was detected just above.
        unsafe { scores_avx2(query, rows, number, out) };
        true
    } else {
        false
    }
}

/// Sum of the products of the codes of two rows; `None`: this machine has no kernel for it.
#[inline]
pub(super) fn sum(a: &[u8], b: &[u8], dimension: usize) -> Option<i32> {
    if !has_vnni() {
        return None;
    }
    assert!(a.len() >= dimension && b.len() >= dimension, "rows must hold their codes");
    // SAFETY: the features were detected, and both rows hold `dimension` codes.
    let sum = unsafe { sum_vnni(a, b, dimension) };
    Some(sum.wrapping_sub(shift_share(row_sum(b))))
}

/// Sum of the products of `a`'s codes, shifted, with `b`'s.
///
/// # Safety
/// AVX-512 F, BW and VNNI must be there, and both rows must hold `dimension` codes.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn sum_vnni(a: &[u8], b: &[u8], dimension: usize) -> i32 {
    let shift = _mm512_set1_epi8(SHIFT.cast_signed());
    let mut sums = [_mm512_setzero_si512(); 2];
    let whole = dimension - dimension % ALIGNMENT;
    for block in (0..whole).step_by(ALIGNMENT) {
        // SAFETY: block + 64 <= dimension, which both rows hold.
        let (a, b) = unsafe {
            (_mm512_loadu_si512(a.as_ptr().add(block).cast()), _mm512_loadu_si512(b.as_ptr().add(block).cast()))
        };
        let half = &mut sums[block / ALIGNMENT % 2];
        *half = _mm512_dpbusd_epi32(*half, _mm512_xor_si512(a, shift), b);
    }
    if whole < dimension {
        let mask = (1u64 << (dimension - whole)) - 1;
        // SAFETY: the mask reads only the codes that are left; what it leaves out of `b` is zero.
        let (a, b) = unsafe {
            let (a, b) = (a.as_ptr().add(whole).cast(), b.as_ptr().add(whole).cast());
            (_mm512_maskz_loadu_epi8(mask, a), _mm512_maskz_loadu_epi8(mask, b))
        };
        sums[0] = _mm512_dpbusd_epi32(sums[0], _mm512_xor_si512(a, shift), b);
    }
    _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1]))
}

/// The AVX2 version, for the test against the oracle.
#[cfg(test)]
pub(super) fn scores_narrow(query: &CodedQuery, rows: &[u8], out: &mut [f32]) -> bool {
    if is_x86_feature_detected!("avx2") {
        // SAFETY: AVX2 was detected just above.
        unsafe { scores_avx2(query, rows, &|at| at, out) };
        return true;
    }
    false
}

/// Asks for the cache lines of `data`, into the second cache: it can wait for more lines at a time than the first, which made a
/// search of 100,000 rows 10 % faster than prefetching into the first, and 14 % faster than not prefetching.
#[inline]
pub(super) fn prefetch<T>(data: &[T]) {
    let start = data.as_ptr().cast::<i8>();
    for line in (0..size_of_val(data)).step_by(ALIGNMENT) {
        // SAFETY: SSE is part of x86-64, and the address lies inside `data`; a prefetch reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(start.add(line)) };
    }
}

/// # Safety
/// AVX-512 F, BW and VNNI must be there.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn scores_vnni(query: &CodedQuery, rows: &[u8], number: &impl Fn(usize) -> usize, out: &mut [f32]) {
    let stride = stride(query.dimension());
    let row = |at: usize| &rows[number(at) * stride..][..stride];
    let count = out.len();
    for at in 0..count.min(AHEAD) {
        prefetch(row(at));
    }
    let shifted = query.shifted();
    let mut at = 0;
    while at + TOGETHER <= count {
        for next in at + AHEAD..(at + AHEAD + TOGETHER).min(count) {
            prefetch(row(next));
        }
        let four = [row(at), row(at + 1), row(at + 2), row(at + 3)];
        let mut sums = [_mm512_setzero_si512(); TOGETHER];
        for block in (0..shifted.len()).step_by(ALIGNMENT) {
            // SAFETY: the query is padded to whole blocks.
            let q = unsafe { _mm512_loadu_si512(shifted.as_ptr().add(block).cast()) };
            for (sum, row) in sums.iter_mut().zip(four) {
                // SAFETY: a row is at least as long as the padded query.
                let x = unsafe { _mm512_loadu_si512(row.as_ptr().add(block).cast()) };
                *sum = _mm512_dpbusd_epi32(*sum, q, x);
            }
        }
        let sums = sums_of_4(sums);
        for (j, row) in four.into_iter().enumerate() {
            out[at + j] = query.score_of_sum(sums[j].wrapping_sub(shift_share(row_sum(row))), row);
        }
        at += TOGETHER;
    }
    for (at, out) in out.iter_mut().enumerate().skip(at) {
        let row = row(at);
        let mut sums = [_mm512_setzero_si512(); 2];
        for block in (0..shifted.len()).step_by(ALIGNMENT) {
            // SAFETY: the query is padded to whole blocks, and a row is at least as long.
            let (q, x) = unsafe {
                (
                    _mm512_loadu_si512(shifted.as_ptr().add(block).cast()),
                    _mm512_loadu_si512(row.as_ptr().add(block).cast()),
                )
            };
            let half = &mut sums[block / ALIGNMENT % 2];
            *half = _mm512_dpbusd_epi32(*half, q, x);
        }
        let sum = _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1]));
        *out = query.score_of_sum(sum.wrapping_sub(shift_share(row_sum(row))), row);
    }
}

/// The sums of the lanes of four registers.
#[inline]
#[target_feature(enable = "avx512f")]
fn sums_of_4(four: [__m512i; TOGETHER]) -> [i32; TOGETHER] {
    // Not `four.map`: a function without these target features would pass the registers through memory.
    let mut halves = [_mm256_setzero_si256(); TOGETHER];
    for (half, v) in halves.iter_mut().zip(four) {
        *half = _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64::<1>(v));
    }
    let (ab, cd) = (_mm256_hadd_epi32(halves[0], halves[1]), _mm256_hadd_epi32(halves[2], halves[3]));
    let abcd = _mm256_hadd_epi32(ab, cd);
    let sums = _mm_add_epi32(_mm256_castsi256_si128(abcd), _mm256_extracti128_si256::<1>(abcd));
    [
        _mm_extract_epi32::<0>(sums),
        _mm_extract_epi32::<1>(sums),
        _mm_extract_epi32::<2>(sums),
        _mm_extract_epi32::<3>(sums),
    ]
}

/// # Safety
/// AVX2 must be there.
#[target_feature(enable = "avx2")]
unsafe fn scores_avx2(query: &CodedQuery, rows: &[u8], number: &impl Fn(usize) -> usize, out: &mut [f32]) {
    const WIDTH: usize = 32;
    let stride = stride(query.dimension());
    let row = |at: usize| &rows[number(at) * stride..][..stride];
    let count = out.len();
    for at in 0..count.min(AHEAD) {
        prefetch(row(at));
    }
    let signed = query.signed();
    let ones = _mm256_set1_epi16(1);
    for (at, out) in out.iter_mut().enumerate() {
        if at + AHEAD < count {
            prefetch(row(at + AHEAD));
        }
        let row = row(at);
        let mut sum = _mm256_setzero_si256();
        for block in (0..signed.len()).step_by(WIDTH) {
            // SAFETY: the query is padded to whole blocks, and a row is at least as long.
            let (q, x) = unsafe {
                (
                    _mm256_loadu_si256(signed.as_ptr().add(block).cast()),
                    _mm256_loadu_si256(row.as_ptr().add(block).cast()),
                )
            };
            // |q| times x with q's sign: pairs sum to at most 2 x 127 x 127 (128 only beside zeros), which an i16 holds.
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(q), _mm256_sign_epi8(x, q));
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
        }
        let four = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
        let two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
        let one = _mm_add_epi32(two, _mm_shuffle_epi32::<0b01>(two));
        *out = query.score_of_sum(_mm_cvtsi128_si32(one), row);
    }
}
