//! Sketches: 512 signs of a row after a random rotation. Two rows at an angle of a differ in each sign with probability a / pi
//! (Charikar, "Similarity estimation techniques from rounding algorithms", STOC 2002), so the number of signs that differ tells the
//! angle to within a few degrees. Half of the signs are counted for every row, all of them are weighed for the rows which that leaves.
//!
//! The rotation is signs and a Walsh-Hadamard transform, three times (Andoni et al., "Practical and optimal LSH for angular distance",
//! NIPS 2015): `O(d log d)` additions. A sketch is a function of a coded row alone, the same on every machine: the
//! sums are of floats, but in one order. Sketches are not stored.

use std::f64::consts::PI;
use std::sync::OnceLock;

use rayon::prelude::*;

use super::code::stride;
use super::kernel::{BIT_WORDS, Bits, HEAD_WORDS, HEADS_TOGETHER, Heads, bit_sums, head_distances};
use super::random::Random;

/// Signs of a sketch.
pub(crate) const BITS: usize = 64 * BIT_WORDS;
/// Components that are rotated at most; those of a longer row are folded onto them with random signs (feature hashing).
const MOST_ROTATED: usize = 4096;
/// Signs and transform are applied so many times.
const ROUNDS: usize = 3;

/// The signs of one row.
pub(crate) type Sketch = Bits;

/// Signs of a sketch that are counted; 255 differing ones stand for all 256.
const HEAD_BITS: usize = 64 * HEAD_WORDS;

/// The sketches of some rows.
#[derive(Debug)]
pub(crate) struct Sketches {
    rows: Vec<Sketch>,
    /// The first half of each once more, in the order in which it is counted.
    heads: Vec<Heads>,
}

impl Sketches {
    fn new(rows: Vec<Sketch>) -> Self {
        let heads = rows.chunks(HEADS_TOGETHER).map(|rows| {
            let word = |at: usize| std::array::from_fn(|row| rows.get(row).map_or(0, |row| row.0[at]));
            Heads(std::array::from_fn(word))
        });
        Self { heads: heads.collect(), rows }
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Those of the rows of both.
    pub(crate) fn followed_by(&self, next: &Self) -> Self {
        Self::new([&self.rows[..], &next.rows].concat())
    }

    /// In how many of the first half of its signs each row differs from the query.
    ///
    /// # Panics
    /// When there are more outputs than rows.
    pub(crate) fn distances(&self, query: &Sketch, out: &mut [u8]) {
        head_distances(query, &self.heads, out);
    }
}

/// Makes sketches of rows of one dimension.
pub(crate) struct SketchBuilder {
    /// For each round what each component's sign bit is changed by.
    flips: [Vec<u32>; ROUNDS],
    rotated: Vec<f32>,
}

impl SketchBuilder {
    /// For rows of so many components.
    pub(crate) fn new(dimension: usize) -> Self {
        let width = dimension.next_power_of_two().clamp(BITS, MOST_ROTATED);
        let flips = |round: usize| {
            let mut random = Random(round as u64);
            let count = if round == 0 { dimension } else { width };
            (0..count).map(|_| (random.next() >> 63) as u32 * (1 << 31)).collect()
        };
        Self { flips: std::array::from_fn(flips), rotated: vec![0.0; width] }
    }

    /// Components of its rows.
    pub(crate) fn dimension(&self) -> usize {
        self.flips[0].len()
    }

    /// The sketch of a row's codes.
    ///
    /// # Panics
    /// When the row has another dimension.
    pub(crate) fn sketch(&mut self, codes: &[u8]) -> Sketch {
        assert_eq!(codes.len(), self.dimension(), "the row must have the builder's dimension");
        let width = self.rotated.len();
        self.rotated.fill(0.0);
        for (codes, flips) in codes.chunks(width).zip(self.flips[0].chunks(width)) {
            for ((value, &code), &flip) in self.rotated.iter_mut().zip(codes).zip(flips) {
                *value += flipped(f32::from(code.cast_signed()), flip);
            }
        }
        hadamard(&mut self.rotated);
        for flips in &self.flips[1..] {
            self.rotated.iter_mut().zip(flips).for_each(|(value, &flip)| *value = flipped(*value, flip));
            hadamard(&mut self.rotated);
        }
        let mut sketch = Bits([0; BIT_WORDS]);
        for (word, values) in sketch.0.iter_mut().zip(self.rotated.chunks_exact(64)) {
            *word = values.iter().enumerate().fold(0, |word, (at, &value)| word | u64::from(value < 0.0) << at);
        }
        sketch
    }

    /// The sketch of a query's codes, and its weights.
    pub(crate) fn query(&mut self, codes: &[u8]) -> (Sketch, Weights) {
        /// The sum of 512 of them fits 32 bits.
        const LARGEST: f32 = 1_000_000.0;
        let sketch = self.sketch(codes);
        let used = &self.rotated[..BITS];
        let largest = used.iter().fold(f32::MIN_POSITIVE, |largest, value| largest.max(value.abs()));
        let norm = used.iter().map(|value| f64::from(*value) * f64::from(*value)).sum::<f64>().sqrt();
        let values = std::array::from_fn(|at| (used[at] / largest * LARGEST) as i32);
        // A row's signs, as a vector of length sqrt(d), lie at a cosine of about sqrt(2 / pi) to the row.
        let along = norm * (BITS as f64).sqrt() * (2.0 / PI).sqrt();
        let scale = f64::from(largest) / f64::from(LARGEST) / along.max(f64::MIN_POSITIVE);
        (sketch, Weights { values, total: values.iter().sum(), scale: scale as f32 })
    }
}

/// The rotated components of a query, to be summed with the signs of rows: that tells a similarity twice as well as the signs of both,
/// at several times the price (the estimator of Gao and Long, "RaBitQ", SIGMOD 2024, with the mean in the place of each row's factor).
pub(crate) struct Weights {
    values: [i32; BITS],
    total: i32,
    /// What a unit of a signed sum is worth as a cosine.
    scale: f32,
}

impl Weights {
    /// Standard deviation of an estimate: 1 / sqrt(512) for rows of thousands of components, a quarter less for 512 or fewer.
    pub(crate) const DEVIATION: f32 = 0.0442;

    /// The estimated similarities of the rows of those numbers; `sums` is room.
    pub(crate) fn estimates<'s>(
        &self,
        sketches: &Sketches,
        numbers: &[u32],
        sums: &'s mut Vec<i32>,
    ) -> impl Iterator<Item = f32> + use<'s, '_> {
        sums.resize(numbers.len(), 0);
        bit_sums(&self.values, &sketches.rows, numbers, sums);
        let (total, scale) = (self.total, self.scale);
        // A one is a negative sign.
        sums.iter().map(move |&negative| scale * (total - 2 * negative) as f32)
    }
}

#[inline]
fn flipped(value: f32, flip: u32) -> f32 {
    f32::from_bits(value.to_bits() ^ flip)
}

/// The Walsh-Hadamard transform of `2^n` values, in place and not scaled: signs do not need it.
fn hadamard(values: &mut [f32]) {
    /// Values whose first stages are done together, in registers.
    const TOGETHER: usize = 16;
    let (groups, rest) = values.as_chunks_mut::<TOGETHER>();
    debug_assert!(rest.is_empty(), "a rotated row has a power of two of components, {BITS} or more");
    for group in groups {
        let mut from = *group;
        for half in [1, 2, 4, 8] {
            let to = |at: usize| {
                let (own, other) = (from[at], from[at ^ half]);
                if at & half == 0 { own + other } else { other - own }
            };
            from = std::array::from_fn(to);
        }
        *group = from;
    }
    let mut half = TOGETHER;
    while half < values.len() {
        for pair in values.chunks_exact_mut(2 * half) {
            let (left, right) = pair.split_at_mut(half);
            for (a, b) in left.iter_mut().zip(right) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
}

/// The sketches of rows of codes, made when they are first asked for, on all processors.
///
/// Nothing is held while they are made, so that a thread that waits for its helpers may take up another search of the same rows: it
/// makes them a second time.
///
/// Complexity: about 3 microseconds a row of 512 components.
pub(crate) fn sketched_once<'a>(made: &'a OnceLock<Sketches>, rows: &[u8], dimension: usize) -> &'a Sketches {
    match made.get() {
        Some(made) => made,
        None => {
            let rows = rows.par_chunks_exact(stride(dimension)).with_min_len(256);
            let builder = || SketchBuilder::new(dimension);
            let sketches = rows.map_init(builder, |builder, row| builder.sketch(&row[..dimension])).collect();
            made.get_or_init(|| Sketches::new(sketches))
        }
    }
}

/// The number of differing signs, of the first half, that a row of at least that similarity seldom exceeds: the expected number and
/// `deviations` standard deviations of it (a binomial distribution; the signs of one rotation are a little less spread).
pub(crate) fn farthest(similarity: f32, deviations: f64) -> u8 {
    let share = f64::from(similarity.clamp(-1.0, 1.0)).acos() / PI;
    let (bits, spread) = (HEAD_BITS as f64, (HEAD_BITS as f64 * share * (1.0 - share)).sqrt());
    (bits * share + deviations * spread).clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::super::{encode, stride, unit};
    use super::*;

    fn sketch_of(vector: &[f32]) -> Sketch {
        let mut row = vec![0; stride(vector.len())];
        encode(&unit(vector).unwrap(), &mut row);
        SketchBuilder::new(vector.len()).sketch(&row[..vector.len()])
    }

    fn distance(a: &[f32], b: &[f32]) -> f64 {
        let mut out = [0];
        Sketches::new(vec![sketch_of(b)]).distances(&sketch_of(a), &mut out);
        f64::from(out[0])
    }

    #[test]
    fn the_distance_tells_the_angle_in_every_dimension() {
        for dimension in [2usize, 3, 60, 128, 512, 1280, 5000] {
            let mut random = Random(dimension as u64);
            let mut off = Vec::new();
            for _ in 0..40 {
                let a: Vec<f32> = (0..dimension).map(|_| random.normal()).collect();
                let b: Vec<f32> = a.iter().map(|x| 0.7 * x + random.normal()).collect();
                let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
                let cosine = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
                off.push(distance(&a, &b) - HEAD_BITS as f64 * cosine.acos() / PI);
            }
            let mean = off.iter().sum::<f64>() / off.len() as f64;
            let spread = (off.iter().map(|x| x * x).sum::<f64>() / off.len() as f64).sqrt();
            // The deviation of 256 independent signs is at most 8; the mean of 40 pairs stays within 4 of its own.
            assert!(mean.abs() < 5.1 && spread < 10.0, "{dimension} dimensions: mean {mean}, spread {spread}");
        }
    }

    #[test]
    fn weights_estimate_the_cosine_in_every_dimension() {
        for dimension in [60usize, 128, 512, 1280, 5000] {
            let mut random = Random(dimension as u64);
            let mut off = Vec::new();
            for share in [0.0, 0.3, 0.7, 2.0] {
                for _ in 0..50 {
                    let a: Vec<f32> = (0..dimension).map(|_| random.normal()).collect();
                    let b: Vec<f32> = a.iter().map(|x| share * x + random.normal()).collect();
                    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
                    let cosine = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
                    let mut row = vec![0; stride(dimension)];
                    encode(&unit(&a).unwrap(), &mut row);
                    let (_, weights) = SketchBuilder::new(dimension).query(&row[..dimension]);
                    let estimate =
                        weights.estimates(&Sketches::new(vec![sketch_of(&b)]), &[0], &mut Vec::new()).next().unwrap();
                    off.push(f64::from(estimate) - cosine);
                }
            }
            let mean = off.iter().sum::<f64>() / off.len() as f64;
            let spread = (off.iter().map(|x| x * x).sum::<f64>() / off.len() as f64).sqrt();
            let most = f64::from(Weights::DEVIATION);
            assert!(
                mean.abs() < most / 4.0 && spread < 1.1 * most,
                "{dimension} dimensions: mean {mean}, spread {spread}"
            );
        }
    }

    #[test]
    fn equal_rows_do_not_differ_and_opposite_ones_differ_everywhere() {
        let a: Vec<f32> = (0..200).map(|n| (n as f32 * 0.7).sin()).collect();
        let b: Vec<f32> = a.iter().map(|x| -x).collect();
        assert_eq!((distance(&a, &a), distance(&a, &b)), (0.0, 255.0));
    }

    #[test]
    fn one_component_alone_is_spread_over_all_signs() {
        let axis = |at: usize| (0..256).map(|n| f32::from(n == at)).collect::<Vec<f32>>();
        for at in 1..20 {
            let distance = distance(&axis(0), &axis(at));
            assert!((distance - 128.0).abs() < 42.0, "axes 0 and {at} differ in {distance} of 256 signs");
        }
    }

    #[test]
    fn the_limit_rises_as_the_similarity_falls() {
        assert_eq!((farthest(1.0, 3.0), farthest(-1.0, 3.0)), (0, 255));
        assert_eq!(farthest(0.0, 0.0), 128);
        assert_eq!(farthest(0.0, 2.0), 144);
        assert!(farthest(f32::NEG_INFINITY, 3.0) == 255 && farthest(2.0, 3.0) == 0);
    }
}
