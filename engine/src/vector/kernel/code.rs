//! Dot products of 8-bit codes: which kernel runs, and the scalar oracle of them all.

use crate::vector::code::{CodedQuery, stride};

#[cfg(target_arch = "aarch64")]
use super::code_neon as simd;
#[cfg(target_arch = "x86_64")]
use super::code_x86 as simd;

/// Scores of the rows numbered `number(0..out.len())` among `rows`.
///
/// # Panics
/// When a number is not below the count of rows.
#[inline]
pub(crate) fn code_scores(query: &CodedQuery, rows: &[u8], number: impl Fn(usize) -> usize, out: &mut [f32]) {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    if simd::scores(query, rows, &number, out) {
        return;
    }
    scalar_scores(query, rows, &number, out);
}

/// Scores of every query with every row, row-major by query.
pub(crate) fn code_products(queries: &[CodedQuery], rows: &[u8], out: &mut [f32]) {
    // One query reads the rows as fast as memory gives them.
    #[cfg(target_arch = "x86_64")]
    if queries.len() > 1 && super::code_tile::products(queries, rows, out) {
        return;
    }
    each_query(queries, rows, out);
}

/// The products one query after the other.
pub(super) fn each_query(queries: &[CodedQuery], rows: &[u8], out: &mut [f32]) {
    let count = out.len() / queries.len().max(1);
    if count > 0 {
        for (query, out) in queries.iter().zip(out.chunks_exact_mut(count)) {
            code_scores(query, rows, |at| at, out);
        }
    }
}

/// Sum of the products of the codes of two rows.
#[inline]
pub(crate) fn code_sum(a: &[u8], b: &[u8], dimension: usize) -> i32 {
    #[cfg(target_arch = "x86_64")]
    if let Some(sum) = simd::sum(a, b, dimension) {
        return sum;
    }
    let pairs = a[..dimension].iter().zip(&b[..dimension]);
    pairs.map(|(a, b)| i32::from(a.cast_signed()) * i32::from(b.cast_signed())).sum()
}

/// The oracle.
pub(super) fn scalar_scores(query: &CodedQuery, rows: &[u8], number: impl Fn(usize) -> usize, out: &mut [f32]) {
    let stride = stride(query.dimension());
    for (at, out) in out.iter_mut().enumerate() {
        let row = &rows[number(at) * stride..][..stride];
        let codes = query.signed()[..query.dimension()].iter().zip(row);
        let sum = codes.map(|(q, x)| i32::from(q.cast_signed()) * i32::from(x.cast_signed())).sum();
        *out = query.score_of_sum(sum, row);
    }
}

/// Asks for the cache lines of `data` before they are needed; nothing where the machine has no such instruction.
#[inline]
pub(crate) fn prefetch<T>(data: &[T]) {
    #[cfg(target_arch = "x86_64")]
    super::code_x86::prefetch(data);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = data;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vector::code::encode;

    /// Rows of one dimension, with codes of every size.
    fn rows(counts: std::ops::Range<usize>) -> impl Strategy<Value = (usize, Vec<Vec<u8>>)> {
        (1usize..400, counts).prop_flat_map(|(dimension, count)| {
            let component = prop_oneof![-1.0f32..1.0, Just(1.0), Just(-1.0), Just(0.0), -0.01f32..0.01];
            let row = prop::collection::vec(component, dimension).prop_map(move |vector| {
                let mut row = vec![0; stride(dimension)];
                encode(&vector, &mut row);
                row
            });
            (Just(dimension), prop::collection::vec(row, count))
        })
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_kernel_equals_the_oracle((dimension, rows) in rows(2..14)) {
            let query = CodedQuery::of_row(&rows[0], dimension);
            let flat = rows.concat();
            let mut expected = vec![0.0; rows.len()];
            scalar_scores(&query, &flat, |at| at, &mut expected);
            let mut got = vec![f32::NAN; rows.len()];
            code_scores(&query, &flat, |at| at, &mut got);
            prop_assert_eq!(bits(&got), bits(&expected));
            let last = rows.len() - 1;
            code_scores(&query, &flat, |at| last - at, &mut got);
            got.reverse();
            prop_assert_eq!(bits(&got), bits(&expected));
            for (row, &expected) in rows.iter().zip(&expected) {
                let sum = code_sum(&rows[0], row, dimension);
                prop_assert_eq!(query.score_of_sum(sum, row).to_bits(), expected.to_bits());
            }
            #[cfg(target_arch = "x86_64")]
            if super::super::code_x86::scores_narrow(&query, &flat, &mut got) {
                prop_assert_eq!(bits(&got), bits(&expected));
            }
        }

        #[test]
        fn products_are_the_scores((dimension, rows) in rows(2..150), queries in 0usize..9) {
            let queries: Vec<_> = rows.iter().take(queries).map(|row| CodedQuery::of_row(row, dimension)).collect();
            let flat = rows.concat();
            let mut expected = vec![0.0; queries.len() * rows.len()];
            each_query(&queries, &flat, &mut expected);
            let mut got = vec![f32::NAN; expected.len()];
            code_products(&queries, &flat, &mut got);
            prop_assert_eq!(bits(&got), bits(&expected));
        }
    }

    #[test]
    fn the_largest_sums_fit() {
        let dimension = 65_536;
        let mut rows = vec![0; 2 * stride(dimension)];
        encode(&vec![1.0 / 256.0; dimension], &mut rows[..stride(dimension)]);
        encode(&vec![-1.0 / 256.0; dimension], &mut rows[stride(dimension)..]);
        let query = CodedQuery::of_row(&rows[..stride(dimension)], dimension);
        let (mut got, mut expected, mut product) = ([0.0; 2], [0.0; 2], [0.0; 4]);
        code_scores(&query, &rows, |at| at, &mut got);
        scalar_scores(&query, &rows, |at| at, &mut expected);
        code_products(&[query.clone(), query], &rows, &mut product);
        assert_eq!(bits(&got), bits(&expected));
        assert_eq!(bits(&product), bits(&expected.repeat(2)));
        assert!((got[0] - 1.0).abs() < 1e-4 && (got[1] + 1.0).abs() < 1e-4);
    }

    #[test]
    #[should_panic(expected = "out of range")]
    fn a_row_that_is_not_there_is_refused() {
        let row = vec![0; stride(8)];
        code_scores(&CodedQuery::of_row(&row, 8), &row, |_| 1, &mut [0.0]);
    }
}
