//! A trained map from a descriptor to a better one, as plain data.

use cairn::limits::MAX_DIMENSION;
use cairn::runtime::pool;
use cairn::{Error, Result};

/// Most blocks of an adapter.
pub const MAX_BLOCKS: usize = 16;
/// Descriptors that go through the matrices together, so that a row of a matrix is read once for all of them.
const TOGETHER: usize = 16;
/// Sums run in this many parts, whose order is fixed.
const LANES: usize = 16;

/// x -> L2(P [w_1 L2(A_1 x + b_1); w_2 L2(A_2 x + b_2); ...]) for x at unit length.
///
/// A block is x itself or an affine map of it; each is brought to unit length and multiplied by its weight; they stand one behind
/// the other; the projection P may be left out. A block of length zero (x in the middle of all images, say) stays zero.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    /// Length of x, 1 to [`MAX_DIMENSION`].
    pub input: usize,
    /// 1 to [`MAX_BLOCKS`] of them, in the order in which they stand behind each other.
    pub blocks: Vec<Block>,
    /// P.
    pub projection: Option<Projection>,
}

/// One part of an adapted descriptor before the projection.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// A and b; `None`: the descriptor as it is.
    pub map: Option<Affine>,
    /// w, above 0, at most 1e6.
    pub weight: f32,
}

/// x -> A x + b.
#[derive(Debug, Clone, PartialEq)]
pub struct Affine {
    /// A, row after row: (length of b) x (length of x).
    pub matrix: Vec<f32>,
    /// b, one number a row.
    pub bias: Vec<f32>,
}

/// P, row after row: `rows` x (sum of the blocks' lengths).
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    /// Numbers of the adapted descriptor.
    pub rows: usize,
    /// The numbers of P.
    pub matrix: Vec<f32>,
}

impl Block {
    /// Its numbers for descriptors of `input` numbers.
    fn rows(&self, input: usize) -> usize {
        self.map.as_ref().map_or(input, |map| map.bias.len())
    }
}

impl Adapter {
    /// The adapter that changes nothing but the length of a descriptor, to 1.
    pub fn plain(input: usize) -> Self {
        Self { input, blocks: vec![Block { map: None, weight: 1.0 }], projection: None }
    }

    /// L2(A x + b), or, where `concatenation` is not 0, L2 of (concatenation x, L2(A x + b)).
    pub fn affine(input: usize, map: Affine, concatenation: f32) -> Self {
        let before = (concatenation != 0.0).then_some(Block { map: None, weight: concatenation });
        let after = Block { map: Some(map), weight: 1.0 };
        Self { input, blocks: before.into_iter().chain([after]).collect(), projection: None }
    }

    /// Length of an adapted descriptor.
    pub fn dimension(&self) -> usize {
        self.projection.as_ref().map_or_else(|| self.concatenated(), |projection| projection.rows)
    }

    /// Length of all blocks together.
    pub(crate) fn concatenated(&self) -> usize {
        self.blocks.iter().map(|block| block.rows(self.input)).sum()
    }

    /// The adapted descriptor, of unit length: the same bits on every machine. O(numbers of the adapter).
    ///
    /// # Errors
    /// `Mismatch` for another length; `Invalid` where a length is zero or not finite.
    pub fn apply(&self, vector: &[f32]) -> Result<Vec<f32>> {
        if vector.len() != self.input {
            return Err(self.mismatch(vector.len()));
        }
        self.adapt(vector)
    }

    /// The adapted descriptors of many, given and returned one behind the other; each has the bits that [`Adapter::apply`] gives
    /// it. On the engine's threads ([`pool`]); memory: the result, and for each thread a few rows.
    ///
    /// # Errors
    /// `Mismatch` where the numbers are no whole rows; `Invalid` where the length of a row is zero or not finite.
    pub fn apply_many(&self, vectors: &[f32]) -> Result<Vec<f32>> {
        if !vectors.len().is_multiple_of(self.input.max(1)) {
            return Err(self.mismatch(vectors.len()));
        }
        let chunks: Vec<&[f32]> = vectors.chunks(self.input.max(1) * TOGETHER).collect();
        Ok(pool::try_map(&chunks, |rows| self.adapt(rows))?.concat())
    }

    /// A number of whole rows.
    fn adapt(&self, rows: &[f32]) -> Result<Vec<f32>> {
        let unusable = || Error::invalid("a descriptor cannot be adapted: its length is zero or not finite");
        let input = self.input.max(1);
        let x = rows.chunks_exact(input).map(unit).collect::<Option<Vec<_>>>().ok_or_else(unusable)?.concat();
        let width = self.concatenated();
        let mut joined = vec![0f32; rows.len() / input * width];
        let mut start = 0;
        for block in &self.blocks {
            let length = block.rows(input);
            let raw = block.map.as_ref().map(|map| product(&map.matrix, input, &x, &map.bias));
            let raw = raw.as_deref().unwrap_or(&x);
            for (row, values) in joined.chunks_exact_mut(width).zip(raw.chunks_exact(length)) {
                scale(values, block.weight, &mut row[start..start + length]).ok_or_else(unusable)?;
            }
            start += length;
        }
        if let Some(Projection { rows, matrix }) = &self.projection {
            joined = product(matrix, width, &joined, &vec![0.0; *rows]);
        }
        let adapted = joined.chunks_exact(self.dimension()).map(unit).collect::<Option<Vec<_>>>();
        Ok(adapted.ok_or_else(unusable)?.concat())
    }

    fn mismatch(&self, given: usize) -> Error {
        let taken = self.input;
        Error::new(
            cairn::ErrorKind::Mismatch,
            format!("the adapter takes descriptors of {taken} numbers, not of {given}"),
        )
        .help("use the adapter with the model that it was trained on")
    }

    /// # Errors
    /// A text that says which of its numbers do not fit together.
    pub(crate) fn check(&self) -> Result<(), String> {
        let sides = 1..=MAX_DIMENSION;
        let Self { input, blocks, projection } = self;
        if !sides.contains(input) || !(1..=MAX_BLOCKS).contains(&blocks.len()) {
            let count = blocks.len();
            return Err(format!(
                "it takes {input} numbers to {count} blocks; 1 to {MAX_DIMENSION} and 1 to {MAX_BLOCKS} are possible"
            ));
        }
        for (at, Block { map, weight }) in blocks.iter().enumerate() {
            if !(*weight > 0.0 && *weight <= 1e6) {
                return Err(format!("the weight of block {at} is {weight}; it lies above 0 and at most at 1e6"));
            }
            let Some(Affine { matrix, bias }) = map else { continue };
            if !sides.contains(&bias.len()) || bias.len().checked_mul(*input) != Some(matrix.len()) {
                let (rows, numbers) = (bias.len(), matrix.len());
                return Err(format!("block {at} has {numbers} numbers for {rows} rows of {input}"));
            }
        }
        let width = self.concatenated();
        match projection {
            Some(Projection { rows, matrix }) if rows.checked_mul(width) != Some(matrix.len()) => {
                let numbers = matrix.len();
                return Err(format!("the projection has {numbers} numbers for {rows} rows of {width}"));
            }
            _ if !sides.contains(&self.dimension()) => {
                return Err(format!("its descriptors have {} numbers; at most {MAX_DIMENSION}", self.dimension()));
            }
            _ => {}
        }
        let maps = blocks.iter().filter_map(|block| block.map.as_ref());
        let numbers = maps.flat_map(|map| [&map.matrix, &map.bias]).chain(projection.as_ref().map(|p| &p.matrix));
        match numbers.flatten().all(|x| x.is_finite()) {
            true => Ok(()),
            false => Err("one of its numbers is NaN or infinite".to_owned()),
        }
    }
}

/// A vector over its length, computed in f64; `None` where that cannot be done.
pub(crate) fn unit(values: &[f32]) -> Option<Vec<f32>> {
    let length = values.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    let sound = length.is_finite() && length > 0.0;
    sound.then(|| values.iter().map(|&x| (f64::from(x) / length) as f32).collect())
}

/// For rows x (n, `side`): A x + b, (n, length of b).
fn product(matrix: &[f32], side: usize, x: &[f32], bias: &[f32]) -> Vec<f32> {
    let side = side.max(1);
    let mut out = vec![0f32; x.len() / side * bias.len()];
    for (at, (row, b)) in matrix.chunks_exact(side).zip(bias).enumerate() {
        for (x, out) in x.chunks_exact(side).zip(out.chunks_exact_mut(bias.len())) {
            out[at] = (dot(row, x) + f64::from(*b)) as f32;
        }
    }
    out
}

/// a . b: products and partial sums in f32, in [`LANES`] parts that are added in f64 in their order.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut parts = [0f32; LANES];
    let (whole_a, rest_a) = a.as_chunks::<LANES>();
    let (whole_b, rest_b) = b.as_chunks::<LANES>();
    for (a, b) in whole_a.iter().zip(whole_b) {
        for lane in 0..LANES {
            parts[lane] += a[lane] * b[lane];
        }
    }
    for (part, (a, b)) in parts.iter_mut().zip(rest_a.iter().zip(rest_b)) {
        *part += a * b;
    }
    parts.iter().map(|&part| f64::from(part)).sum()
}

/// weight L2(values); zeros stay zeros. `None` where the length is not finite.
fn scale(values: &[f32], weight: f32, out: &mut [f32]) -> Option<()> {
    let length = values.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    let factor = if length > 0.0 { f64::from(weight) / length } else { 0.0 };
    out.iter_mut().zip(values).for_each(|(out, &x)| *out = (f64::from(x) * factor) as f32);
    length.is_finite().then_some(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::random::Mix;

    fn map() -> Affine {
        Affine { matrix: vec![0.0, 1.0, 0.0, -1.0, 0.0, 0.0], bias: vec![0.0, 0.5] }
    }

    #[test]
    fn the_map_by_hand() {
        // x = (.6, .8, 0): A x + b = (.8, -.1).
        let length = (0.64f32 + 0.01).sqrt();
        let one = Adapter::affine(3, map(), 0.0);
        let adapted = one.apply(&[3.0, 4.0, 0.0]).unwrap();
        assert!((adapted[0] - 0.8 / length).abs() < 1e-6 && (adapted[1] + 0.1 / length).abs() < 1e-6);
        let both = Adapter::affine(3, map(), 2.0);
        let joined = both.apply(&[3.0, 4.0, 0.0]).unwrap();
        assert_eq!((joined.len(), both.dimension(), one.dimension()), (5, 5, 2));
        assert!((joined[0] - 1.2 / 5f32.sqrt()).abs() < 1e-6 && (joined[3] - adapted[0] / 5f32.sqrt()).abs() < 1e-6);
        // P picks the second and the fourth of the five: (1.6, a_0) over their length.
        let matrix = vec![0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0];
        let projected = Adapter { projection: Some(Projection { rows: 2, matrix }), ..both };
        let y = projected.apply(&[3.0, 4.0, 0.0]).unwrap();
        let length = (1.6f32 * 1.6 + adapted[0] * adapted[0]).sqrt();
        assert_eq!((y.len(), projected.dimension()), (2, 2));
        assert!((y[0] - 1.6 / length).abs() < 1e-6 && (y[1] - adapted[0] / length).abs() < 1e-6);
        assert_eq!(Adapter::plain(2).apply(&[3.0, 4.0]).unwrap(), [0.6, 0.8]);
    }

    #[test]
    fn what_has_no_length_is_refused_and_a_block_of_zeros_stays() {
        let one = Adapter::affine(3, map(), 0.0);
        assert!(one.apply(&[1.0]).unwrap_err().to_string().contains("takes descriptors of 3"));
        assert!(one.apply_many(&[1.0; 4]).is_err());
        assert!(one.apply(&[0.0; 3]).is_err());
        assert!(one.apply(&[f32::NAN, 0.0, 1.0]).is_err());
        let centred = Affine { matrix: vec![1.0, 0.0], bias: vec![-1.0] };
        assert!(Adapter::affine(2, centred.clone(), 0.0).apply(&[1.0, 0.0]).is_err());
        assert_eq!(Adapter::affine(2, centred, 1.0).apply(&[1.0, 0.0]).unwrap(), [1.0, 0.0, 0.0]);
    }

    #[test]
    fn many_have_the_bits_of_each() {
        let mut mix = Mix::new(&[5]);
        let mut draw = |count: usize| -> Vec<f32> { (0..count).map(|_| mix.normal() as f32).collect() };
        let wide = Affine { matrix: draw(37 * 21), bias: draw(21) };
        let narrow = Block { map: Some(Affine { matrix: draw(37 * 3), bias: draw(3) }), weight: 0.5 };
        let mut adapter = Adapter::affine(37, wide, 1.5);
        adapter.blocks.push(narrow);
        adapter.projection = Some(Projection { rows: 9, matrix: draw(9 * 61) });
        adapter.check().unwrap();
        let rows = draw(37 * 50);
        let many = adapter.apply_many(&rows).unwrap();
        let each: Vec<f32> = rows.chunks(37).flat_map(|row| adapter.apply(row).unwrap()).collect();
        assert!(many.iter().map(|x| x.to_bits()).eq(each.iter().map(|x| x.to_bits())));
        assert_eq!(many.len(), 50 * 9);
        assert!(adapter.apply_many(&[]).unwrap().is_empty());
        // The order of summation is a promise: another one would give other bits. Computed here in the simplest words.
        let first = unit(&rows[..37]).unwrap();
        let Some(Affine { matrix, .. }) = &adapter.blocks[1].map else { unreachable!() };
        let mut parts = [0f32; 16];
        (0..37).for_each(|at| parts[at % 16] += matrix[at] * first[at]);
        assert_eq!(dot(&matrix[..37], &first), parts.iter().fold(0.0, |sum, &part| sum + f64::from(part)));
    }
}
