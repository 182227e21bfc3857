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
    }
}
