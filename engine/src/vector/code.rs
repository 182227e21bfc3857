//! 8-bit codes: a row of signed bytes with its own scale, and a query in the forms that the kernels read.
//!
//! Layout of a row of `stride(dimension)` bytes: `dimension` signed bytes, zeros, and in the last 16 bytes the head: scale (f32),
//! residual (f32), sum of the codes (i32), 4 zero bytes, all little-endian. A code times the scale approximates its component;
//! the residual is the length of what that leaves out. Vectors are of unit length, of 1..=65,536 dimensions.
//!
//! A row is a function of its vector alone and a score a function of two rows alone, bit for bit on every machine: sums of codes
//! are exact integers, and the floats around them are multiplied in one fixed order.

/// Bytes that a row is a multiple of: a cache line, and a register of the widest kernel.
pub(crate) const ALIGNMENT: usize = 64;
/// Bytes of the head, at the end of a row.
const HEAD: usize = 16;
/// The largest code; -128 is not used, so that codes are symmetric.
const LARGEST: f32 = 127.0;
/// What makes a code unsigned, as one side of the VNNI instruction wants it.
pub(crate) const SHIFT: u8 = 128;

/// Bytes of a coded row.
pub(crate) const fn stride(dimension: usize) -> usize {
    (dimension + HEAD).next_multiple_of(ALIGNMENT)
}

/// What one step of a row's codes is worth.
#[inline]
pub(crate) fn row_scale(row: &[u8]) -> f32 {
    f32::from_le_bytes(head_word(row, 0))
}

/// Length of the vector minus the vector that the row stands for, never understated.
#[inline]
pub(crate) fn row_residual(row: &[u8]) -> f32 {
    f32::from_le_bytes(head_word(row, 1))
}

/// Sum of a row's codes.
#[inline]
pub(crate) fn row_sum(row: &[u8]) -> i32 {
    i32::from_le_bytes(head_word(row, 2))
}

/// What [`SHIFT`] adds to a dot product with codes whose sum is `row_sum`. A segment that a mad writer sealed can hold any sum: it gives
/// a wrong score, never an overflow.
#[inline]
pub(crate) fn shift_share(row_sum: i32) -> i32 {
    i32::from(SHIFT).wrapping_mul(row_sum)
}

/// Word `at` of the head, as it is stored.
#[inline]
fn head_word(row: &[u8], at: usize) -> [u8; 4] {
    let start = row.len() - HEAD + 4 * at;
    [row[start], row[start + 1], row[start + 2], row[start + 3]]
}

/// Codes `vector` into `row`, which must be `stride(vector.len())` bytes long.
pub(crate) fn encode(vector: &[f32], row: &mut [u8]) {
    assert_eq!(row.len(), stride(vector.len()), "a row must have the stride of its dimension");
    let largest = vector.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    let scale = largest / LARGEST;
    row.fill(0);
    let (mut sum, mut left_out) = (0i32, 0.0f64);
    for (byte, &x) in row.iter_mut().zip(vector) {
        let code = if scale > 0.0 { rounded(x / scale).clamp(-LARGEST, LARGEST) } else { 0.0 };
        sum += code as i32;
        // Exact but for the squares' rounding: a scale has 24 bits and a code 7.
        let rest = f64::from(x) - f64::from(scale) * f64::from(code);
        left_out += rest * rest;
        *byte = (code as i8).cast_unsigned();
    }
    let head = row.len() - HEAD;
    row[head..head + 4].copy_from_slice(&scale.to_le_bytes());
    row[head + 4..head + 8].copy_from_slice(&upper(left_out.sqrt()).to_le_bytes());
    row[head + 8..head + 12].copy_from_slice(&sum.to_le_bytes());
}

/// Whether some vector of unit length may have that coded row: its head says what the codes say, its residual is no greater than rounding
/// leaves and no less than the length lacks, and nothing stands where zeros belong. Whose row it is, is not known from this.
///
/// Complexity: one pass over the row.
pub(crate) fn is_of_a_unit_vector(row: &[u8], dimension: usize) -> bool {
    /// What unit lengths and sums of squares can be off.
    const SLACK: f64 = 1e-4;
    let (codes, rest) = row.split_at(dimension);
    let (scale, residual) = (f64::from(row_scale(row)), f64::from(row_residual(row)));
    // Three simple passes over a row in the cache are faster than one. 65,536 squares of 128 fit.
    let signed = || codes.iter().map(|code| i16::from(code.cast_signed()));
    let sum: i32 = signed().map(i32::from).sum();
    let squares: i32 = signed().map(|code| i32::from(code) * i32::from(code)).sum();
    let largest = codes.iter().fold(0, |largest: u8, code| largest.max(code.cast_signed().unsigned_abs()));
    let zeros = rest.len() - HEAD;
    let is_padded = rest[..zeros].iter().chain(&rest[rest.len() - 4..]).all(|&byte| byte == 0);
    let length = scale * f64::from(squares).sqrt();
    let most_left_out = 0.5 * scale * (dimension as f64).sqrt();
    // Written so that what is not a number passes none of them.
    let is_scaled = scale > 0.0 && scale <= (1.0 + SLACK) / f64::from(LARGEST) && largest == LARGEST as u8;
    let is_left_out = residual >= 0.0 && residual <= most_left_out * (1.0 + SLACK) + SLACK * SLACK;
    let is_unit = (length - 1.0).abs() <= residual + SLACK;
    is_padded && sum == row_sum(row) && is_scaled && is_left_out && is_unit
}

/// The nearest whole number, of two the even one, of a number below 2^22: the rounding of an addition, which is fast where the processor
/// that is compiled for has no instruction for it.
#[inline]
pub(super) fn rounded(value: f32) -> f32 {
    /// In its binade the neighbours of a float are whole numbers.
    const WHOLE: f32 = 1.5 * (1 << 23) as f32;
    value + WHOLE - WHOLE
}

/// The least f32 that is not below `value`, whose own f64 rounding is covered too.
pub(super) fn upper(value: f64) -> f32 {
    /// Above the relative error of a sum of 65,536 squares in f64.
    const F64_ROUNDING: f64 = 1e-10;
    let value = value * (1.0 + F64_ROUNDING);
    let nearest = value as f32;
    if f64::from(nearest) < value { nearest.next_up() } else { nearest }
}

/// A query in the forms that the kernels read.
#[derive(Debug, Clone)]
pub(crate) struct CodedQuery {
    dimension: usize,
    scale: f32,
    residual: f32,
    /// Sum of the codes.
    sum: i32,
    /// Signed codes, with zeros to a multiple of [`ALIGNMENT`]: what follows a row's codes is multiplied by them.
    signed: Vec<u8>,
    /// Codes plus [`SHIFT`], with zeros likewise.
    shifted: Vec<u8>,
}

impl CodedQuery {
    /// The query of a vector of unit length.
    pub(crate) fn new(vector: &[f32]) -> Self {
        let mut row = vec![0; stride(vector.len())];
        encode(vector, &mut row);
        Self::of_row(&row, vector.len())
    }

    /// The query of a vector that is coded already.
    pub(crate) fn of_row(row: &[u8], dimension: usize) -> Self {
        let padded = dimension.next_multiple_of(ALIGNMENT);
        let (signed, shifted) = (vec![0; padded], vec![0; padded]);
        let mut query = Self { dimension, scale: 0.0, residual: 0.0, sum: 0, signed, shifted };
        query.set_row(row);
        query
    }

    /// Becomes the query of another row of the same dimension, without allocating.
    pub(crate) fn set_row(&mut self, row: &[u8]) {
        assert_eq!(row.len(), stride(self.dimension), "a row must have the stride of its dimension");
        self.scale = row_scale(row);
        self.residual = row_residual(row);
        self.sum = row_sum(row);
        let codes = &row[..self.dimension];
        self.signed[..self.dimension].copy_from_slice(codes);
        for (shifted, &code) in self.shifted.iter_mut().zip(codes) {
            // Flipping the sign bit of a signed byte is adding 128 to it as an unsigned one.
            *shifted = code ^ SHIFT;
        }
    }

    /// Components.
    pub(crate) fn dimension(&self) -> usize {
        self.dimension
    }

    /// Signed codes, zero-padded.
    pub(crate) fn signed(&self) -> &[u8] {
        &self.signed
    }

    /// Codes plus [`SHIFT`], zero-padded.
    pub(crate) fn shifted(&self) -> &[u8] {
        &self.shifted
    }

    /// Sum of the codes.
    pub(crate) fn sum(&self) -> i32 {
        self.sum
    }

    /// What one step of its codes is worth.
    pub(crate) fn scale(&self) -> f32 {
        self.scale
    }

    /// Length of the vector minus the vector that the codes stand for, never understated.
    pub(crate) fn residual(&self) -> f32 {
        self.residual
    }

    /// The score of a row for which `sum` is the dot product of the codes; every kernel ends in this.
    #[inline]
    pub(crate) fn score_of_sum(&self, sum: i32, row: &[u8]) -> f32 {
        (self.scale * row_scale(row)) * sum as f32
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn rounding_goes_to_the_nearest_and_to_even() {
        for quarter in -1_000_000i32..1_000_000 {
            let value = quarter as f32 / 4.0;
            assert_eq!(super::rounded(value), value.round_ties_even(), "{value}");
        }
    }

    use proptest::prelude::*;

    use super::*;
    use crate::vector::{dot, row_score, unit};

    fn coded(vector: &[f32]) -> Vec<u8> {
        let mut row = vec![0xff; stride(vector.len())];
        encode(vector, &mut row);
        row
    }

    /// Directions that are hard to code: spikes, equal components, halves of a step, many small ones beside a large one.
    fn vectors(dimension: usize) -> impl Strategy<Value = Vec<f32>> {
        let spread = prop_oneof![Just(1.0f32), Just(1e-3), Just(1e-6)];
        let random =
            (prop::collection::vec(-1.0f32..1.0, dimension), spread, 0..dimension).prop_map(|(mut v, small, at)| {
                v.iter_mut().for_each(|x| *x *= small);
                v[at] = 1.0;
                v
            });
        let halves = (prop::collection::vec(-127i8..127, dimension), 0..dimension).prop_map(|(codes, at)| {
            let mut v: Vec<f32> = codes.iter().map(|&code| f32::from(code) + 0.5).collect();
            v[at] = 127.0;
            v
        });
        prop_oneof![random, halves, Just(vec![1.0; dimension])].prop_map(|v| unit(&v).unwrap())
    }

    proptest! {
        #[test]
        fn the_bound_holds((x, q) in (1usize..600).prop_flat_map(|d| (vectors(d), vectors(d)))) {
            let (row, query) = (coded(&x), CodedQuery::new(&q));
            let off = (f64::from(dot(&x, &q)) - f64::from(query.score(&row))).abs();
            let bound = f64::from(query.bound(row_residual(&row)));
            prop_assert!(off <= bound, "off by {}, bound {}", off, bound);
            let rest: f64 = x.iter().zip(&row).map(|(&x, &code)| {
                (f64::from(x) - f64::from(row_scale(&row)) * f64::from(code.cast_signed())).powi(2)
            }).sum();
            prop_assert!(f64::from(row_residual(&row)) >= rest.sqrt());
            prop_assert!(f64::from(row_residual(&row)) <= rest.sqrt() * (1.0 + 1e-6));
        }
    }

    proptest! {
        /// It catches: heads that are believed, whatever they say.
        #[test]
        fn rows_of_vectors_are_told_from_others(
            x in (1usize..300).prop_flat_map(vectors), word in 0usize..3, other in any::<u32>(), at in any::<prop::sample::Index>()
        ) {
            let row = coded(&x);
            prop_assert!(is_of_a_unit_vector(&row, x.len()));
            let head = row.len() - HEAD;
            let refused = |row: &[u8]| !is_of_a_unit_vector(row, x.len());
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0, -row_scale(&row), 1.0, 1e30] {
                for word in 0..2 {
                    let mut row = row.clone();
                    row[head + 4 * word..][..4].copy_from_slice(&bad.to_le_bytes());
                    prop_assert!(refused(&row) || bad.to_bits() << 1 == 0, "{} in word {}", bad, word);
                }
            }
            let mut crafted = row.clone();
            crafted[head + 4 * word..][..4].copy_from_slice(&other.to_le_bytes());
            let (before, after) = (row[head + 4 * word..][..4].to_vec(), crafted[head + 4 * word..][..4].to_vec());
            // Another scale or residual may be another vector's, if it is close; another sum never is.
            prop_assert!(before == after || word < 2 || refused(&crafted));
            // Nor does one code go without the sum, nor anything stand in the gap.
            let mut crafted = row.clone();
            let at = at.index(head);
            crafted[at] = crafted[at].wrapping_add(1);
            prop_assert!(refused(&crafted), "byte {}", at);
        }
    }

    #[test]
    fn the_bound_holds_at_the_largest_dimension() {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let (x, q): (Vec<f32>, Vec<f32>) = (0..65_536).map(|_| (next(), next())).unzip();
        let (x, q) = (unit(&x).unwrap(), unit(&q).unwrap());
        for (x, q) in [(&x, &q), (&x, &x), (&q, &q)] {
            let (row, query) = (coded(x), CodedQuery::new(q));
            let bound = query.bound(row_residual(&row));
            assert!((dot(x, q) - query.score(&row)).abs() <= bound);
            assert!(bound < 0.03, "a bound of {bound} would say nothing");
        }
    }

    #[test]
    fn a_coded_row_has_these_bytes() {
        let row = coded(&[0.6, 0.0, -0.8]);
        let mut expected = vec![0; 64];
        expected[..3].copy_from_slice(&[95, 0, 129]);
        expected[48..52].copy_from_slice(&(0.8f32 / 127.0).to_le_bytes());
        expected[52..56].copy_from_slice(&row_residual(&row).to_le_bytes());
        expected[56..60].copy_from_slice(&(-32i32).to_le_bytes());
        assert_eq!(row, expected);
        assert_eq!(row[48..56], [0xa0, 0x69, 0xce, 0x3b, 0x81, 0x6a, 0xce, 0x3a]);
    }

    #[test]
    fn rows_leave_room_for_the_head() {
        assert_eq!([1, 48, 49, 112, 512, 65_536].map(stride), [64, 64, 128, 128, 576, 65_600]);
    }

    #[test]
    fn a_query_of_a_row_is_the_query_of_its_vector() {
        let (x, q) = (unit(&[1.0, 2.0, 3.0]).unwrap(), unit(&[-3.0, 1.0, 9.0]).unwrap());
        let mut of_row = CodedQuery::of_row(&coded(&x), 3);
        of_row.set_row(&coded(&q));
        let query = CodedQuery::new(&q);
        assert_eq!(of_row.score(&coded(&x)), query.score(&coded(&x)));
        assert_eq!(of_row.bound(0.25), query.bound(0.25));
        assert_eq!(of_row.shifted(), query.shifted());
        assert_eq!(row_score(&coded(&q), &coded(&x), 3), query.score(&coded(&x)));
    }
}
