//! How many bits of two rows differ. The counts are integers, so every version gives the same.

/// Words of a row of bits.
pub(crate) const WORDS: usize = 8;

/// The number of bits in which each row differs from `query`.
///
/// # Panics
/// When there are not as many outputs as rows.
pub(crate) fn distances(query: &[u64; WORDS], rows: &[[u64; WORDS]], out: &mut [u16]) {
    assert_eq!(rows.len(), out.len(), "rows and outputs must fit");
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

/// The loop that each version is compiled from: one row is one register of 512 bits, or eight words.
#[inline(always)]
fn plain(query: &[u64; WORDS], rows: &[[u64; WORDS]], out: &mut [u16]) {
    for (row, out) in rows.iter().zip(out) {
        // No sum of 512 ones overflows; an addition that is checked for it would not become one instruction for all words.
        let differing = |sum: u64, (a, b): (&u64, &u64)| sum.wrapping_add(u64::from((a ^ b).count_ones()));
        *out = row.iter().zip(query).fold(0, differing) as u16;
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vpopcntdq")]
fn distances_avx512(query: &[u64; WORDS], rows: &[[u64; WORDS]], out: &mut [u16]) {
    plain(query, rows, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "popcnt")]
fn distances_popcnt(query: &[u64; WORDS], rows: &[[u64; WORDS]], out: &mut [u16]) {
    plain(query, rows, out);
}

/// The sum of the `values` at which a row has a one, for the rows of those numbers. Integers: every version gives the same.
///
/// # Panics
/// When there are not as many outputs as numbers, or a number is not below the count of rows.
pub(crate) fn sums(values: &[i32; 64 * WORDS], rows: &[[u64; WORDS]], numbers: &[u32], out: &mut [i32]) {
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
fn plain_sums(values: &[i32; 64 * WORDS], rows: &[[u64; WORDS]], numbers: &[u32], out: &mut [i32]) {
    for (&number, out) in numbers.iter().zip(out) {
        let words = rows[number as usize].iter().zip(values.chunks_exact(64));
        *out = words.fold(0, |sum: i32, (word, values)| {
            let bits = (0u32..).zip(values);
            bits.fold(sum, |sum, (at, &value)| sum.wrapping_add(value & ((word >> at) as i32 & 1).wrapping_neg()))
        });
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn sums_avx2(values: &[i32; 64 * WORDS], rows: &[[u64; WORDS]], numbers: &[u32], out: &mut [i32]) {
    plain_sums(values, rows, numbers, out);
}

/// Sixteen bits of a row are the mask of an addition of sixteen values.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn sums_avx512(values: &[i32; 64 * WORDS], rows: &[[u64; WORDS]], numbers: &[u32], out: &mut [i32]) {
    use std::arch::x86_64::*;
    for (&number, out) in numbers.iter().zip(out) {
        let mut lanes = [_mm512_setzero_si512(); 4];
        for (word, values) in rows[number as usize].iter().zip(values.chunks_exact(64)) {
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

    proptest! {
        #[test]
        fn every_version_counts_the_same(query: [u64; WORDS], rows: Vec<[u64; WORDS]>) {
            let expected: Vec<u16> = rows
                .iter()
                .map(|row| (0..64 * WORDS).filter(|at| (row[at / 64] ^ query[at / 64]) >> (at % 64) & 1 == 1).count() as u16)
                .collect();
            let mut got = vec![u16::MAX; rows.len()];
            distances(&query, &rows, &mut got);
            prop_assert_eq!(&got, &expected);
            plain(&query, &rows, &mut got);
            prop_assert_eq!(&got, &expected);
        }

        #[test]
        fn every_version_sums_the_same(
            rows in prop::collection::vec(any::<[u64; WORDS]>(), 1..6),
            values in prop::collection::vec(-100_000i32..100_000, 64 * WORDS), numbers in prop::collection::vec(0u32..6, 0..9)
        ) {
            let numbers: Vec<u32> = numbers.into_iter().map(|number| number % rows.len() as u32).collect();
            let values: [i32; 64 * WORDS] = values.try_into().unwrap();
            let bit = |row: &[u64; WORDS], at: usize| row[at / 64] >> (at % 64) & 1 == 1;
            let sum = |row: &[u64; WORDS]| (0..64 * WORDS).filter(|&at| bit(row, at)).map(|at| values[at]).sum::<i32>();
            let expected: Vec<i32> = numbers.iter().map(|&number| sum(&rows[number as usize])).collect();
            let mut got = vec![0; numbers.len()];
            sums(&values, &rows, &numbers, &mut got);
            prop_assert_eq!(&got, &expected);
            plain_sums(&values, &rows, &numbers, &mut got);
            prop_assert_eq!(&got, &expected);
        }
    }
}
