//! The batch kernel of 8-bit codes in AVX-512 VNNI: many queries, many rows, no horizontal sums.
//!
//! Groups of 16 rows are interleaved by 4 bytes, so that one instruction adds 4 products to each of 16 rows' sums. A block of
//! 4 groups is interleaved once into a scratch that stays in the first cache (at 512 dimensions), and read by all queries, 6 at
//! a time: 24 accumulators. Here the rows take the unsigned side, because a query can then be broadcast from memory.

use std::arch::x86_64::*;

use super::code_x86::{has_vnni, prefetch};
use crate::vector::code::{ALIGNMENT, CodedQuery, SHIFT, row_scale, shift_share, stride};

/// Lanes of a register of 32-bit sums: rows of a group.
const GROUP: usize = 16;
/// Groups of a block.
const GROUPS: usize = 4;
/// Rows of a block.
const BLOCK: usize = GROUP * GROUPS;
/// Queries that are multiplied with a block together.
const QUERIES: usize = 6;
/// Bytes that one lane takes at a time.
const QUAD: usize = 4;

/// A quad of each row of a group. A register's load that straddles two cache lines costs twice.
#[derive(Clone, Copy)]
#[repr(align(64))]
#[expect(dead_code, reason = "read through pointers, as registers")]
struct Line([u8; ALIGNMENT]);

/// 64 rows, interleaved: byte `b` of quad `k` of row `g * 16 + r` is byte `r * 4 + b` of line `k * 4 + g`.
struct Block {
    lines: Vec<Line>,
    scales: [f32; BLOCK],
    /// Rows that are there; the others are zeros.
    rows: usize,
}

/// Fills `out`, row-major by query; `false`: this machine cannot.
pub(super) fn products(queries: &[CodedQuery], rows: &[u8], out: &mut [f32]) -> bool {
    if !has_vnni() {
        return false;
    }
    let Some(first) = queries.first() else {
        return true;
    };
    let stride = stride(first.dimension());
    let count = rows.len() / stride;
    let padded = first.signed().len();
    assert_eq!(out.len(), queries.len() * count, "queries, rows and outputs must fit");
    assert!(queries.iter().all(|query| query.signed().len() == padded), "queries must be of one dimension");
    let mut block = Block { lines: vec![Line([0; ALIGNMENT]); padded], scales: [0.0; BLOCK], rows: 0 };
    let missing = vec![0; stride];
    for (at, some) in rows.chunks(BLOCK * stride).enumerate() {
        let row = |j: usize| some.get(j * stride..(j + 1) * stride).unwrap_or(&missing);
        block.rows = some.len() / stride;
        let next = rows.get((at + 1) * BLOCK * stride..).unwrap_or_default();
        prefetch(&next[..next.len().min(BLOCK * stride)]);
        for (j, scale) in block.scales.iter_mut().enumerate() {
            *scale = row_scale(row(j));
        }
        for group in 0..GROUPS {
            let sources = std::array::from_fn(|j| row(group * GROUP + j));
            // SAFETY: AVX-512F was detected; rows hold `padded` bytes and the scratch as many lines.
            unsafe { interleave(sources, group, padded, &mut block.lines) };
        }
        for (first, queries) in (0..queries.len()).step_by(QUERIES).zip(queries.chunks(QUERIES)) {
            let out = &mut out[first * count + at * BLOCK..];
            // SAFETY: the features were detected; every query is padded to `padded`, and `out` reaches to the last
            // query's last row.
            unsafe {
                match queries.len() {
                    1 => tile::<1>(queries, &block, out, count),
                    2 => tile::<2>(queries, &block, out, count),
                    3 => tile::<3>(queries, &block, out, count),
                    4 => tile::<4>(queries, &block, out, count),
                    5 => tile::<5>(queries, &block, out, count),
                    _ => tile::<QUERIES>(queries, &block, out, count),
                }
            }
        }
    }
    true
}

/// Interleaves 16 rows into group `group` of the block, made unsigned.
///
/// # Safety
/// AVX-512F must be there; each row must hold `padded` bytes, a multiple of 64, and `lines` as many lines.
#[target_feature(enable = "avx512f")]
unsafe fn interleave(rows: [&[u8]; GROUP], group: usize, padded: usize, lines: &mut [Line]) {
    let shift = _mm512_set1_epi8(SHIFT.cast_signed());
    for from in (0..padded).step_by(ALIGNMENT) {
        // Not `rows.map`: a function without the target feature would pass the registers through memory.
        let mut v = [shift; GROUP];
        for (v, row) in v.iter_mut().zip(rows) {
            // SAFETY: from + 64 <= padded, which every row holds.
            *v = _mm512_xor_si512(unsafe { _mm512_loadu_si512(row.as_ptr().add(from).cast()) }, shift);
        }
        // A transposition of 16 x 16 words of 32 bits: pairs, fours, then the 128-bit quarters twice.
        let mut pairs = v;
        for j in (0..GROUP).step_by(2) {
            pairs[j] = _mm512_unpacklo_epi32(v[j], v[j + 1]);
            pairs[j + 1] = _mm512_unpackhi_epi32(v[j], v[j + 1]);
        }
        let mut fours = pairs;
        for j in (0..GROUP).step_by(4) {
            fours[j] = _mm512_unpacklo_epi64(pairs[j], pairs[j + 2]);
            fours[j + 1] = _mm512_unpackhi_epi64(pairs[j], pairs[j + 2]);
            fours[j + 2] = _mm512_unpacklo_epi64(pairs[j + 1], pairs[j + 3]);
            fours[j + 3] = _mm512_unpackhi_epi64(pairs[j + 1], pairs[j + 3]);
        }
        for j in 0..4 {
            let (a, b, c, d) = (fours[j], fours[j + 4], fours[j + 8], fours[j + 12]);
            let (ab_even, ab_odd) =
                (_mm512_shuffle_i32x4::<0b10_00_10_00>(a, b), _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b));
            let (cd_even, cd_odd) =
                (_mm512_shuffle_i32x4::<0b10_00_10_00>(c, d), _mm512_shuffle_i32x4::<0b11_01_11_01>(c, d));
            let quads = [
                _mm512_shuffle_i32x4::<0b10_00_10_00>(ab_even, cd_even),
                _mm512_shuffle_i32x4::<0b10_00_10_00>(ab_odd, cd_odd),
                _mm512_shuffle_i32x4::<0b11_01_11_01>(ab_even, cd_even),
                _mm512_shuffle_i32x4::<0b11_01_11_01>(ab_odd, cd_odd),
            ];
            for (quarter, quad) in quads.into_iter().enumerate() {
                let k = from / QUAD + 4 * quarter + j;
                // SAFETY: k < padded / 4 and group < 4, so the line is within `padded`.
                unsafe { _mm512_store_si512(lines.as_mut_ptr().add(k * GROUPS + group).cast(), quad) };
            }
        }
    }
}

/// Scores of `Q` queries with a block; those of query `q` go to `out[q * count..]`.
///
/// # Safety
/// AVX-512 F and VNNI must be there; `queries` must hold `Q`, each padded to as many bytes as the block has lines, and `out` must reach
/// to `(Q - 1) * count + block.rows`.
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn tile<const Q: usize>(queries: &[CodedQuery], block: &Block, out: &mut [f32], count: usize) {
    let codes: [*const u8; Q] = std::array::from_fn(|q| queries[q].signed().as_ptr());
    let mut sums = [[_mm512_setzero_si512(); GROUPS]; Q];
    for quad in 0..block.lines.len() / GROUPS {
        let mut x = [_mm512_setzero_si512(); GROUPS];
        for (group, x) in x.iter_mut().enumerate() {
            // SAFETY: the block holds 4 lines for each quad.
            *x = unsafe { _mm512_load_si512(block.lines.as_ptr().add(quad * GROUPS + group).cast()) };
        }
        for q in 0..Q {
            // SAFETY: a query holds 4 bytes for each quad.
            let code = _mm512_set1_epi32(unsafe { codes[q].add(quad * QUAD).cast::<i32>().read_unaligned() });
            for group in 0..GROUPS {
                sums[q][group] = _mm512_dpbusd_epi32(sums[q][group], x[group], code);
            }
        }
    }
    for (q, sums) in sums.into_iter().enumerate() {
        let correction = _mm512_set1_epi32(shift_share(queries[q].sum()));
        let scale = _mm512_set1_ps(queries[q].scale());
        for (group, sum) in sums.into_iter().enumerate() {
            let rows = block.rows.saturating_sub(group * GROUP).min(GROUP);
            let mask = ((1u32 << rows) - 1) as __mmask16;
            let sum = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, correction));
            // SAFETY: there are 4 x 16 scales; the mask leaves only rows that `out` has room for.
            unsafe {
                let scales = _mm512_mul_ps(scale, _mm512_loadu_ps(block.scales.as_ptr().add(group * GROUP)));
                let target = out.as_mut_ptr().wrapping_add(q * count + group * GROUP);
                _mm512_mask_storeu_ps(target, mask, _mm512_mul_ps(scales, sum));
            }
        }
    }
}
