//! How many bits of two rows differ. The counts are integers, so every version gives the same.

/// Words of a row of bits.
pub(crate) const WORDS: usize = 8;

/// Words of a row that are counted; the first ones.
pub(crate) const HEAD_WORDS: usize = WORDS / 2;
/// Rows whose first words lie together, word by word, so that one register holds the same word of several rows and no sum crosses it.
pub(crate) const TOGETHER: usize = 8;

/// A row of bits, in one cache line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(align(64))]
pub(crate) struct Bits(pub(crate) [u64; WORDS]);

/// The first words of some rows: each word's rows in one cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Heads(pub(crate) [[u64; TOGETHER]; HEAD_WORDS]);

/// In how many bits the first words of each row differ from the query's; 255 stands for 256 too.
///
/// # Panics
/// When there are more outputs than rows.
pub(crate) fn distances(query: &Bits, rows: &[Heads], out: &mut [u8]) {
    assert!(out.len() <= rows.len() * TOGETHER, "rows and outputs must fit");
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vpopcntdq") {
            // SAFETY: the instructions were detected.
            return unsafe { distances_avx512(query, rows, out) };
        }
        if is_x86_feature_detected!("popcnt") {
            // SAFETY: the instruction was detected.
            return unsafe { distances_popcnt(query, rows, out) };
        }
    }
    plain(query, rows, out);
}

/// The loop that the narrower versions are compiled from.
#[inline(always)]
fn plain(query: &Bits, rows: &[Heads], out: &mut [u8]) {
    for (heads, out) in rows.iter().zip(out.chunks_mut(TOGETHER)) {
        for (row, out) in out.iter_mut().enumerate() {
            let differing = heads.0.iter().zip(&query.0).map(|(words, query)| (words[row] ^ query).count_ones());
            *out = differing.sum::<u32>().min(255) as u8;
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "popcnt")]
fn distances_popcnt(query: &Bits, rows: &[Heads], out: &mut [u8]) {
    plain(query, rows, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vpopcntdq")]
fn distances_avx512(query: &Bits, rows: &[Heads], out: &mut [u8]) {
    use std::arch::x86_64::*;
    let mut wide = [_mm512_setzero_si512(); HEAD_WORDS];
    for (wide, &word) in wide.iter_mut().zip(&query.0) {
        *wide = _mm512_set1_epi64(word.cast_signed());
    }
    for (heads, out) in rows.iter().zip(out.chunks_mut(TOGETHER)) {
        let mut sums = _mm512_setzero_si512();
        for (words, &query) in heads.0.iter().zip(&wide) {
            // SAFETY: `words` has eight elements of 64 bits.
            let words = unsafe { _mm512_loadu_si512(words.as_ptr().cast()) };
            sums = _mm512_add_epi64(sums, _mm512_popcnt_epi64(_mm512_xor_si512(words, query)));
        }
        let bytes = _mm_cvtsi128_si64(_mm512_cvtusepi64_epi8(sums)).to_le_bytes();
        match out.first_chunk_mut() {
            Some(out) => *out = bytes,
            None => out.copy_from_slice(&bytes[..out.len()]),
        }
    }
}

/// Distances that are compared together.
pub(crate) const COMPARED: usize = 64;

/// Which of the distances do not exceed the limit: a bit each.
#[inline]
pub(crate) fn within(distances: &[u8; COMPARED], limit: u8) -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instructions belong to every such processor.
    return unsafe { within_sse2(distances, limit) };
    #[cfg(not(target_arch = "x86_64"))]
    plain_within(distances, limit)
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn within_sse2(distances: &[u8; COMPARED], limit: u8) -> u64 {
    use std::arch::x86_64::*;
    let limits = _mm_set1_epi8(limit.cast_signed());
    let mut within = 0;
    for (at, some) in distances.chunks_exact(16).enumerate() {
        // SAFETY: `some` has sixteen elements.
        let some = unsafe { _mm_loadu_si128(some.as_ptr().cast()) };
        let mask = _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(some, limits), some));
        within |= u64::from(mask.cast_unsigned()) << (16 * at);
    }
    within
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn plain_within(distances: &[u8; COMPARED], limit: u8) -> u64 {
    (0..).zip(distances).fold(0, |within, (at, &distance)| within | u64::from(distance <= limit) << at)
}

/// The sum of the `values` at which a row has a one, for the rows of those numbers. Integers: every version gives the same.
///
/// # Panics
/// When there are not as many outputs as numbers, or a number is not below the count of rows.
pub(crate) fn sums(values: &[i32; 64 * WORDS], rows: &[Bits], numbers: &[u32], out: &mut [i32]) {
    assert_eq!(numbers.len(), out.len(), "numbers and outputs must fit");
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
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
fn plain_sums(values: &[i32; 64 * WORDS], rows: &[Bits], numbers: &[u32], out: &mut [i32]) {
    for (&number, out) in numbers.iter().zip(out) {
        let words = rows[number as usize].0.iter().zip(values.chunks_exact(64));
        *out = words.fold(0, |sum: i32, (word, values)| {
            let bits = (0u32..).zip(values);
            bits.fold(sum, |sum, (at, &value)| sum.wrapping_add(value & ((word >> at) as i32 & 1).wrapping_neg()))
        });
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn sums_avx2(values: &[i32; 64 * WORDS], rows: &[Bits], numbers: &[u32], out: &mut [i32]) {
    plain_sums(values, rows, numbers, out);
}

/// Sixteen bits of a row are the mask of an addition of sixteen values.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn sums_avx512(values: &[i32; 64 * WORDS], rows: &[Bits], numbers: &[u32], out: &mut [i32]) {
    use std::arch::x86_64::*;
    /// Rows lie anywhere, and memory is slower than the additions.
    const AHEAD: usize = 16;
    for (at, (&number, out)) in numbers.iter().zip(out).enumerate() {
        if let Some(row) = numbers.get(at + AHEAD).and_then(|&next| rows.get(next as usize)) {
            super::prefetch(&row.0);
        }
        let mut lanes = [_mm512_setzero_si512(); 4];
        for (word, values) in rows[number as usize].0.iter().zip(values.chunks_exact(64)) {
            for (part, (lane, values)) in lanes.iter_mut().zip(values.chunks_exact(16)).enumerate() {
                // SAFETY: `values` has sixteen elements.
                let values = unsafe { _mm512_loadu_si512(values.as_ptr().cast()) };
                *lane = _mm512_mask_add_epi32(*lane, (word >> (16 * part)) as u16, *lane, values);
            }
        }
        let pairs = (_mm512_add_epi32(lanes[0], lanes[1]), _mm512_add_epi32(lanes[2], lanes[3]));
        *out = _mm512_reduce_add_epi32(_mm512_add_epi32(pairs.0, pairs.1));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_opposite_differs_everywhere() {
        let mut out = [0; 9];
        let rows = [Heads([[u64::MAX; TOGETHER]; HEAD_WORDS]), Heads([[1; TOGETHER]; HEAD_WORDS])];
        distances(&Bits([0; WORDS]), &rows, &mut out);
        assert_eq!(out, [255, 255, 255, 255, 255, 255, 255, 255, 4]);
    }

    proptest! {
        #[test]
        fn every_version_counts_the_same(
            query: [u64; WORDS], rows: Vec<[[u64; TOGETHER]; HEAD_WORDS]>, short in 0..TOGETHER
        ) {
            let bit = |row: usize, at: usize| rows[row / TOGETHER][at / 64][row % TOGETHER] >> (at % 64) & 1;
            let differs = |row: usize, at: usize| bit(row, at) != query[at / 64] >> (at % 64) & 1;
            let count = |row: usize| (0..64 * HEAD_WORDS).filter(|&at| differs(row, at)).count().min(255) as u8;
            let expected: Vec<u8> = (0..(rows.len() * TOGETHER).saturating_sub(short)).map(count).collect();
            let rows: Vec<Heads> = rows.iter().copied().map(Heads).collect();
            let mut got = vec![0; expected.len()];
            distances(&Bits(query), &rows, &mut got);
            prop_assert_eq!(&got, &expected);
            got.fill(0);
            plain(&Bits(query), &rows, &mut got);
            prop_assert_eq!(&got, &expected);
            // What a processor with wider registers passes over.
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("popcnt") {
                got.fill(0);
                // SAFETY: the instruction was detected.
                unsafe { distances_popcnt(&Bits(query), &rows, &mut got) };
                prop_assert_eq!(&got, &expected);
            }
        }

        #[test]
        fn every_version_compares_the_same(distances in prop::array::uniform(any::<u8>()), limit: u8) {
            prop_assert_eq!(within(&distances, limit), plain_within(&distances, limit));
        }

        #[test]
        fn every_version_sums_the_same(
            rows in prop::collection::vec(any::<[u64; WORDS]>().prop_map(Bits), 1..6),
            values in prop::collection::vec(-100_000i32..100_000, 64 * WORDS), numbers in prop::collection::vec(0u32..6, 0..9)
        ) {
            let numbers: Vec<u32> = numbers.into_iter().map(|number| number % rows.len() as u32).collect();
            let values: [i32; 64 * WORDS] = values.try_into().unwrap();
            let bit = |row: &Bits, at: usize| row.0[at / 64] >> (at % 64) & 1 == 1;
            let sum = |row: &Bits| (0..64 * WORDS).filter(|&at| bit(row, at)).map(|at| values[at]).sum::<i32>();
            let expected: Vec<i32> = numbers.iter().map(|&number| sum(&rows[number as usize])).collect();
            let mut got = vec![0; numbers.len()];
            sums(&values, &rows, &numbers, &mut got);
            prop_assert_eq!(&got, &expected);
            plain_sums(&values, &rows, &numbers, &mut got);
            prop_assert_eq!(&got, &expected);
        }
    }
}
