//! Approximate dot products of coded rows, and bounds of their error.

use super::code::{CodedQuery, row_scale, stride, upper};
use super::kernel;

impl CodedQuery {
    /// Approximate dot product with one row.
    pub(crate) fn score(&self, row: &[u8]) -> f32 {
        let mut out = [0.0];
        self.scores(row, &mut out);
        out[0]
    }

    /// Approximate dot products with `out.len()` rows that follow one another.
    pub(crate) fn scores(&self, rows: &[u8], out: &mut [f32]) {
        assert_eq!(rows.len(), stride(self.dimension()) * out.len(), "rows and outputs must fit");
        kernel::code_scores(self, rows, |at| at, out);
    }

    /// Approximate dot products with the rows of those numbers among `rows`, which it prefetches: rows that lie apart cost the
    /// latency of memory only once.
    pub(crate) fn scores_at(&self, rows: &[u8], numbers: &[u32], out: &mut [f32]) {
        assert_eq!(numbers.len(), out.len(), "rows and outputs must fit");
        kernel::code_scores(self, rows, |at| numbers[at] as usize, out);
    }

    /// How far the score of a row with that residual can be from the canonical dot product of the two vectors.
    ///
    /// With x = x^ + e and q = q^ + f: x q - x^ q^ = e q + x^ f, so exact arithmetic stays within |e| |q| + (|x| + |e|) |f|, and
    /// unit lengths are within 1e-6 of 1. The canonical sum makes at most ceil(d / 64) + 6 roundings on the way of any product,
    /// each of a relative 2^-24, and the products' magnitudes sum to at most |x| |q|; the score makes 3 on a value of at most
    /// |x^| |q^| < 4.1, as a residual is at most sqrt(65,536) / 254. [`ROUNDINGS`] covers both and their second-order terms.
    pub(crate) fn bound(&self, row_residual: f32) -> f32 {
        /// What unit lengths can be off.
        const UNIT: f64 = 1e-6;
        /// Roundings besides those of the canonical sum's chains: 6 of its tree, 3 x 4.1 of the score, and some to spare.
        const ROUNDINGS: f64 = 32.0;
        /// Relative error of one rounding to f32.
        const HALF_ULP: f64 = f32::EPSILON as f64 / 2.0;
        let (row, query) = (f64::from(row_residual), f64::from(self.residual()));
        let chain = self.dimension().div_ceil(kernel::LANES) as f64;
        upper((row + query * (1.0 + row)) * (1.0 + UNIT) + (chain + ROUNDINGS) * HALF_ULP)
    }
}

/// Approximate dot product of two coded rows; the same bits as a query of either would give.
#[inline]
pub(crate) fn row_score(a: &[u8], b: &[u8], dimension: usize) -> f32 {
    assert!(a.len() == stride(dimension) && b.len() == a.len(), "rows must have the stride of their dimension");
    (row_scale(a) * row_scale(b)) * kernel::code_sum(a, b, dimension) as f32
}

/// Fewer queries do not repay the transposing of the rows.
const TILED_FROM_QUERIES: usize = 4;

/// Approximate dot products of every query with every row: `out` is row-major by query.
///
/// # Panics
/// When the lengths do not fit, or the queries differ in dimension.
pub(crate) fn products(queries: &[CodedQuery], rows: &[u8], out: &mut [f32]) {
    let Some(first) = queries.first() else {
        return;
    };
    assert!(queries.iter().all(|query| query.dimension() == first.dimension()), "queries must be of one dimension");
    let stride = stride(first.dimension());
    assert!(rows.len().is_multiple_of(stride), "rows must be whole");
    assert_eq!(out.len(), queries.len() * (rows.len() / stride), "queries, rows and outputs must fit");
    if queries.len() < TILED_FROM_QUERIES && !rows.is_empty() {
        let each = queries.iter().zip(out.chunks_exact_mut(rows.len() / stride));
        each.for_each(|(query, out)| query.scores(rows, out));
        return;
    }
    kernel::code_products(queries, rows, out);
}
