//! The canonical similarity: a dot product with one fixed order of operations, bit-identical on every machine.
//!
//! Stored predictions must equal a recompute on any machine, so the sum may not depend on the width of a register. Element `i` is
//! accumulated by fused multiply-add into lane `i mod 64`, in ascending `i`; the 64 lanes are then added by halves (lane `j` with
//! lane `j + 32`, then `j + 16`, .. `j + 1`). A fused multiply-add rounds once wherever it runs, so the scalar version, which is
//! the oracle, and the SIMD versions agree to the last bit. Missing elements of the last block count as zeros, and +0 is added to
//! the sum: versions that pad and versions that skip can differ only in the sign of a zero, which that addition makes positive.
//!
//! Cost: one pass, `d` fused multiply-adds. The order is part of the format: changing it changes stored predictions.

// The SIMD versions are the reason for `unsafe` here; each is called only where its instructions were detected.
#[cfg(target_arch = "x86_64")]
mod code_tile;
#[cfg(target_arch = "x86_64")]
mod code_x86;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "aarch64")]
mod code_neon;
#[cfg(target_arch = "aarch64")]
mod neon;

mod bits;
mod code;
mod scalar;

pub(crate) use bits::{
    Bits, COMPARED, Costs, HEAD_BYTES, Heads, TOGETHER as HEADS_TOGETHER, WORDS as BIT_WORDS, costs as head_costs,
    sums as bit_sums, within,
};
pub(crate) use code::{code_products, code_scores, code_sum, prefetch};

/// Lanes of the canonical sum.
pub(crate) const LANES: usize = 64;

/// Dot product of two vectors of equal length in the canonical order.
///
/// Units: on unit vectors this is the cosine, in [-1, 1] up to rounding.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut out = [0.0];
    dot_rows(a, b, &mut out);
    out[0]
}

/// Dot products of `query` with each row of `rows` (row-major, `out.len()` rows of `query.len()`).
///
/// # Panics
/// When the lengths do not fit: a caller's mistake that would read past a row.
pub(crate) fn dot_rows(query: &[f32], rows: &[f32], out: &mut [f32]) {
    assert_eq!(rows.len(), query.len() * out.len(), "rows and outputs must fit");
    if query.is_empty() {
        out.fill(0.0);
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if x86::dot_rows(query, rows, out) {
        return;
    }
    #[cfg(target_arch = "aarch64")]
    if neon::dot_rows(query, rows, out) {
        return;
    }
    scalar::dot_rows(query, rows, out);
}

/// The versions of the kernels that this processor runs, for people: of f32 vectors, and of codes of 8 bits.
pub fn kernels() -> [&'static str; 2] {
    #[cfg(target_arch = "x86_64")]
    let found = [x86::version(), code_x86::version()];
    #[cfg(target_arch = "aarch64")]
    let found = [neon::version(), code_neon::version()];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let found = [None; 2];
    found.map(|version| version.unwrap_or("scalar"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Values whose sums depend on the order of addition.
    fn vectors(length: usize) -> impl Strategy<Value = Vec<f32>> {
        prop::collection::vec(
            prop_oneof![-1.0f32..1.0, -1e6f32..1e6, Just(1e-30), Just(-1e-30), Just(0.0), Just(-0.0)],
            length,
        )
    }

    proptest! {
        #[test]
        fn simd_equals_scalar_to_the_last_bit(
            (query, rows) in (1usize..300).prop_flat_map(|d| (vectors(d), (1usize..6).prop_flat_map(move |n| vectors(d * n))))
        ) {
            let count = rows.len() / query.len();
            let mut expected = vec![0.0; count];
            scalar::dot_rows(&query, &rows, &mut expected);
            let mut got = vec![f32::NAN; count];
            dot_rows(&query, &rows, &mut got);
            prop_assert_eq!(bits(&got), bits(&expected));
            #[cfg(target_arch = "x86_64")]
            for version in x86::all_detected() {
                got.fill(f32::NAN);
                version(&query, &rows, &mut got);
                prop_assert_eq!(bits(&got), bits(&expected));
            }
        }

        #[test]
        fn it_is_a_dot_product((a, b) in (1usize..700).prop_flat_map(|d| (
            prop::collection::vec(-1.0f32..1.0, d), prop::collection::vec(-1.0f32..1.0, d)))
        ) {
            let exact: f64 = a.iter().zip(&b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
            prop_assert!((f64::from(dot(&a, &b)) - exact).abs() <= 1e-6 * a.len() as f64);
        }

        #[test]
        fn it_is_symmetric((a, b) in (1usize..200).prop_flat_map(|d| (vectors(d), vectors(d)))) {
            prop_assert_eq!(dot(&a, &b).to_bits(), dot(&b, &a).to_bits());
        }
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    #[should_panic(expected = "must fit")]
    fn rows_that_do_not_fit_are_refused() {
        dot_rows(&[1.0, 2.0], &[1.0, 2.0, 3.0], &mut [0.0]);
    }
}
