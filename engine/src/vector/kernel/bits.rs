//! Weighted sums of rows of bits for a query. They are sums of integers, so every version gives the same.

/// Words of a row of bits.
pub(crate) const WORDS: usize = 8;

/// Bytes of a row whose costs are looked up; the first ones.
pub(crate) const HEAD_BYTES: usize = 16;
/// Rows whose first bytes lie together, byte by byte, so that one register holds the same byte of many rows and no sum crosses it.
pub(crate) const TOGETHER: usize = 64;

/// A row of bits, in one cache line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(align(64))]
pub(crate) struct Bits(pub(crate) [u64; WORDS]);

/// The first bytes of some rows: each byte's rows in one cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Heads(pub(crate) [[u8; TOGETHER]; HEAD_BYTES]);

/// What each value of each half byte costs: a byte's lower half, then its upper one.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(crate) struct Costs(pub(crate) [[u8; 16]; 2 * HEAD_BYTES]);

/// The summed cost of the first bytes of each row, modulo 256: tables of a register's width are looked up in for many rows at once
/// (André et al., "Cache locality is not enough: high-performance nearest neighbor search with product quantization fast scan", VLDB
/// 2015).
///
/// # Panics
/// When there are more outputs than rows.
pub(crate) fn costs(costs: &Costs, rows: &[Heads], out: &mut [u8]) {
    assert!(out.len() <= rows.len() * TOGETHER, "rows and outputs must fit");
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512bw") {
            // SAFETY: the instructions were detected.
            return unsafe { costs_avx512(costs, rows, out) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the instructions were detected.
            return unsafe { costs_avx2(costs, rows, out) };
        }
    }
    #[cfg(target_arch = "aarch64")]
    if std::arch::is_aarch64_feature_detected!("neon") {
        // SAFETY: the instructions were detected.
        return unsafe { costs_neon(costs, rows, out) };
    }
    plain_costs(costs, rows, out);
}

/// Fills the outputs with the costs of the rows that lie together.
#[inline(always)]
fn each(rows: &[Heads], out: &mut [u8], together: impl Fn(&Heads) -> [u8; TOGETHER]) {
    for (heads, out) in rows.iter().zip(out.chunks_mut(TOGETHER)) {
        let costs = together(heads);
        match out.first_chunk_mut() {
            Some(out) => *out = costs,
            None => out.copy_from_slice(&costs[..out.len()]),
        }
    }
}

/// The oracle.
fn plain_costs(costs: &Costs, rows: &[Heads], out: &mut [u8]) {
    each(rows, out, |heads| {
        std::array::from_fn(|row| {
            let bytes = heads.0.iter().map(|rows| rows[row]).zip(costs.0.as_chunks::<2>().0);
            bytes.fold(0u8, |sum, (byte, [lower, upper])| {
                sum.wrapping_add(lower[usize::from(byte & 15)]).wrapping_add(upper[usize::from(byte >> 4)])
            })
        })
    });
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
fn costs_avx512(costs: &Costs, rows: &[Heads], out: &mut [u8]) {
    use std::arch::x86_64::*;
    let low = _mm512_set1_epi8(15);
    each(rows, out, |heads| {
        let mut sums = [_mm512_setzero_si512(); 2];
        for (rows, tables) in heads.0.iter().zip(costs.0.as_chunks::<2>().0) {
            // SAFETY: `rows` has 64 elements, and each table 16.
            let (rows, [lower, upper]) = unsafe {
                let table = |table: &[u8; 16]| _mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast()));
                (_mm512_loadu_si512(rows.as_ptr().cast()), [table(&tables[0]), table(&tables[1])])
            };
            let halves = (_mm512_and_si512(rows, low), _mm512_and_si512(_mm512_srli_epi16::<4>(rows), low));
            sums[0] = _mm512_add_epi8(sums[0], _mm512_shuffle_epi8(lower, halves.0));
            sums[1] = _mm512_add_epi8(sums[1], _mm512_shuffle_epi8(upper, halves.1));
        }
        let mut costs = [0; TOGETHER];
        // SAFETY: `costs` has 64 elements.
        unsafe { _mm512_storeu_si512(costs.as_mut_ptr().cast(), _mm512_add_epi8(sums[0], sums[1])) };
        costs
    });
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn costs_avx2(costs: &Costs, rows: &[Heads], out: &mut [u8]) {
    use std::arch::x86_64::*;
    let low = _mm256_set1_epi8(15);
    each(rows, out, |heads| {
        let mut sums = [_mm256_setzero_si256(); 2];
        for (rows, tables) in heads.0.iter().zip(costs.0.as_chunks::<2>().0) {
            // SAFETY: a table has 16 elements.
            let table =
                |table: &[u8; 16]| unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast())) };
            let (lower, upper) = (table(&tables[0]), table(&tables[1]));
            for (rows, sums) in rows.as_chunks::<32>().0.iter().zip(&mut sums) {
                // SAFETY: `rows` has 32 elements.
                let rows = unsafe { _mm256_loadu_si256(rows.as_ptr().cast()) };
                let halves = (_mm256_and_si256(rows, low), _mm256_and_si256(_mm256_srli_epi16::<4>(rows), low));
                let costs = _mm256_add_epi8(_mm256_shuffle_epi8(lower, halves.0), _mm256_shuffle_epi8(upper, halves.1));
                *sums = _mm256_add_epi8(*sums, costs);
            }
        }
        let mut costs = [0; TOGETHER];
        for (sums, costs) in sums.iter().zip(costs.as_chunks_mut::<32>().0) {
            // SAFETY: `costs` has 32 elements.
            unsafe { _mm256_storeu_si256(costs.as_mut_ptr().cast(), *sums) };
        }
        costs
    });
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn costs_neon(costs: &Costs, rows: &[Heads], out: &mut [u8]) {
    use std::arch::aarch64::*;
    let low = vdupq_n_u8(15);
    each(rows, out, |heads| {
        let mut sums = [vdupq_n_u8(0); 4];
        for (rows, tables) in heads.0.iter().zip(costs.0.as_chunks::<2>().0) {
            // SAFETY: each table has 16 elements.
            let (lower, upper) = unsafe { (vld1q_u8(tables[0].as_ptr()), vld1q_u8(tables[1].as_ptr())) };
            for (rows, sums) in rows.as_chunks::<16>().0.iter().zip(&mut sums) {
                // SAFETY: `rows` has 16 elements.
                let rows = unsafe { vld1q_u8(rows.as_ptr()) };
                let halves = (vandq_u8(rows, low), vshrq_n_u8::<4>(rows));
                *sums = vaddq_u8(*sums, vaddq_u8(vqtbl1q_u8(lower, halves.0), vqtbl1q_u8(upper, halves.1)));
            }
        }
        let mut costs = [0; TOGETHER];
        for (sums, costs) in sums.iter().zip(costs.as_chunks_mut::<16>().0) {
            // SAFETY: `costs` has 16 elements.
            unsafe { vst1q_u8(costs.as_mut_ptr(), *sums) };
        }
        costs
    });
}

/// Costs that are compared together.
pub(crate) const COMPARED: usize = 64;

/// Which of the costs do not exceed the limit: a bit each.
#[inline]
pub(crate) fn within(costs: &[u8; COMPARED], limit: u8) -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instructions belong to every such processor.
    return unsafe { within_sse2(costs, limit) };
    #[cfg(not(target_arch = "x86_64"))]
    plain_within(costs, limit)
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn within_sse2(costs: &[u8; COMPARED], limit: u8) -> u64 {
    use std::arch::x86_64::*;
    let limits = _mm_set1_epi8(limit.cast_signed());
    let mut within = 0;
    for (at, some) in costs.chunks_exact(16).enumerate() {
        // SAFETY: `some` has sixteen elements.
        let some = unsafe { _mm_loadu_si128(some.as_ptr().cast()) };
        let mask = _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(some, limits), some));
        within |= u64::from(mask.cast_unsigned()) << (16 * at);
    }
    within
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn plain_within(costs: &[u8; COMPARED], limit: u8) -> u64 {
    (0..).zip(costs).fold(0, |within, (at, &cost)| within | u64::from(cost <= limit) << at)
}

/// The sum of the `values` at which a row has a one, for the rows of those numbers. Integers: every version gives the same.
///
/// # Panics
/// When there are not as many outputs as numbers, or a number is not below the count of rows.
pub(crate) fn sums(values: &[i8; 64 * WORDS], rows: &[Bits], numbers: &[u32], out: &mut [i32]) {
    assert_eq!(numbers.len(), out.len(), "numbers and outputs must fit");
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vnni") {
            // SAFETY: the instructions were detected.
            return unsafe { sums_avx512(values, rows, numbers, out) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the instructions were detected.
            return unsafe { sums_avx2(values, rows, numbers, out) };
        }
    }
    plain_sums(values, rows, numbers, out);
}

/// The loop that the narrower versions are compiled from.
#[inline(always)]
fn plain_sums(values: &[i8; 64 * WORDS], rows: &[Bits], numbers: &[u32], out: &mut [i32]) {
    for (&number, out) in numbers.iter().zip(out) {
        let words = rows[number as usize].0.iter().zip(values.as_chunks::<64>().0);
        *out = words.fold(0, |sum: i32, (word, values)| {
            let bits = (0u32..).zip(values);
            bits.fold(sum, |sum, (at, &value)| sum + (i32::from(value) & ((word >> at) as i32 & 1).wrapping_neg()))
        });
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn sums_avx2(values: &[i8; 64 * WORDS], rows: &[Bits], numbers: &[u32], out: &mut [i32]) {
    plain_sums(values, rows, numbers, out);
}

/// The 64 bits of a word are the mask of 64 values.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn sums_avx512(values: &[i8; 64 * WORDS], rows: &[Bits], numbers: &[u32], out: &mut [i32]) {
    use std::arch::x86_64::*;
    /// Rows lie anywhere, and memory is slower than the additions.
    const AHEAD: usize = 16;
    let ones = _mm512_set1_epi8(1);
    let mut wide = [_mm512_setzero_si512(); WORDS];
    for (wide, values) in wide.iter_mut().zip(values.as_chunks::<64>().0) {
        // SAFETY: `values` has 64 elements.
        *wide = unsafe { _mm512_loadu_si512(values.as_ptr().cast()) };
    }
    for (at, (&number, out)) in numbers.iter().zip(out).enumerate() {
        if let Some(row) = numbers.get(at + AHEAD).and_then(|&next| rows.get(next as usize)) {
            super::prefetch(&row.0);
        }
        // Two sums, since an addition waits for the one before it.
        let (mut even, mut odd) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        let words = rows[number as usize].0.as_chunks::<2>().0;
        for (words, values) in words.iter().zip(wide.as_chunks::<2>().0) {
            even = _mm512_dpbusd_epi32(even, ones, _mm512_maskz_mov_epi8(words[0], values[0]));
            odd = _mm512_dpbusd_epi32(odd, ones, _mm512_maskz_mov_epi8(words[1], values[1]));
        }
        *out = _mm512_reduce_add_epi32(_mm512_add_epi32(even, odd));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_version_costs_the_same(
            tables in prop::collection::vec(any::<[u8; 16]>(), 2 * HEAD_BYTES),
            rows in prop::collection::vec(prop::collection::vec(any::<[u8; TOGETHER]>(), HEAD_BYTES), 0..4),
            short in 0..TOGETHER
        ) {
            let (rows_of, tables_of) = (&rows, &tables);
            let costs_of = |row: usize| (0..2 * HEAD_BYTES).map(move |half| {
                let byte = rows_of[row / TOGETHER][half / 2][row % TOGETHER];
                u32::from(tables_of[half][usize::from(byte >> (4 * (half % 2)) & 15)])
            });
            let count = (rows.len() * TOGETHER).saturating_sub(short);
            let expected: Vec<u8> = (0..count).map(|row| (costs_of(row).sum::<u32>() % 256) as u8).collect();
            let costs = Costs(tables.clone().try_into().unwrap());
            let heads: Vec<Heads> = rows.iter().map(|rows| Heads(rows.clone().try_into().unwrap())).collect();
            let mut got = vec![0; count];
            super::costs(&costs, &heads, &mut got);
            prop_assert_eq!(&got, &expected);
            got.fill(0);
            plain_costs(&costs, &heads, &mut got);
            prop_assert_eq!(&got, &expected);
            // What a processor with wider registers passes over.
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") {
                got.fill(0);
                // SAFETY: the instructions were detected.
                unsafe { costs_avx2(&costs, &heads, &mut got) };
                prop_assert_eq!(&got, &expected);
            }
        }

        #[test]
        fn every_version_compares_the_same(costs in prop::array::uniform(any::<u8>()), limit: u8) {
            prop_assert_eq!(within(&costs, limit), plain_within(&costs, limit));
        }

        #[test]
        fn every_version_sums_the_same(
            rows in prop::collection::vec(any::<[u64; WORDS]>().prop_map(Bits), 1..6),
            values in prop::collection::vec(any::<i8>(), 64 * WORDS), numbers in prop::collection::vec(0u32..6, 0..9)
        ) {
            let numbers: Vec<u32> = numbers.into_iter().map(|number| number % rows.len() as u32).collect();
            let values: [i8; 64 * WORDS] = values.try_into().unwrap();
            let bit = |row: &Bits, at: usize| row.0[at / 64] >> (at % 64) & 1 == 1;
            let sum = |row: &Bits| (0..64 * WORDS).filter(|&at| bit(row, at)).map(|at| i32::from(values[at])).sum::<i32>();
            let expected: Vec<i32> = numbers.iter().map(|&number| sum(&rows[number as usize])).collect();
            let mut got = vec![0; numbers.len()];
            sums(&values, &rows, &numbers, &mut got);
            prop_assert_eq!(&got, &expected);
            got.fill(0);
            plain_sums(&values, &rows, &numbers, &mut got);
            prop_assert_eq!(&got, &expected);
        }
    }
}
