//! Sketches: 512 signs of a row after a random rotation. Summed with the rotated components of a query they estimate the
//! similarity (Gao and Long, "RaBitQ: quantizing high-dimensional vectors with a theoretical error bound for approximate nearest
//! neighbor search", SIGMOD 2024; here the mean replaces each row's own factor). A quarter of the signs is weighted for every
//! row, by tables of the costs of four signs at a time; all signs are weighted for the remaining rows.
//!
//! The rotation is signs and a Walsh-Hadamard transform, three times (Andoni et al., "Practical and optimal LSH for angular distance",
//! NIPS 2015): `O(d log d)` additions. A sketch is a function of a coded row alone, the same on every machine: the
//! sums are of floats, but in one order. Sketches are not stored.

use std::f64::consts::PI;
use std::sync::OnceLock;

use super::code::{rounded, stride};
use super::kernel::{BIT_WORDS, Bits, Costs, HEAD_BYTES, HEADS_TOGETHER, Heads, bit_sums, head_costs};
use super::random::Random;
use crate::process::pool;

/// Signs of a sketch.
pub(crate) const BITS: usize = 64 * BIT_WORDS;
/// Components that are rotated at most; those of a longer row are folded onto them with random signs (feature hashing).
const MOST_ROTATED: usize = 4096;
/// How often signs and transform are applied.
const ROUNDS: usize = 3;

/// The signs of one row.
pub(crate) type Sketch = Bits;

/// Signs of a sketch that are weighed for every row.
const HEAD_BITS: usize = 8 * HEAD_BYTES;

/// The sketches of some rows.
#[derive(Debug)]
pub(crate) struct Sketches {
    rows: Vec<Sketch>,
    /// The first signs of each once more, in the order in which they are weighed.
    heads: Vec<Heads>,
}

impl Sketches {
    fn new(rows: Vec<Sketch>) -> Self {
        let heads = rows.chunks(HEADS_TOGETHER).map(|rows| {
            let byte = |row: &Sketch, at: usize| row.0[at / 8].to_le_bytes()[at % 8];
            let each = |at: usize| std::array::from_fn(|row| rows.get(row).map_or(0, |row| byte(row, at)));
            Heads(std::array::from_fn(each))
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
}

/// Makes sketches of rows of one dimension.
pub(crate) struct SketchBuilder {
    /// For each round what each component's sign bit is changed by.
    flips: [Vec<u32>; ROUNDS],
    rotated: Vec<f32>,
}

impl SketchBuilder {
    /// For rows of this many components.
    pub(crate) fn new(dimension: usize) -> Self {
        let width = dimension.next_power_of_two().clamp(BITS, MOST_ROTATED);
        let flips = |round: usize| {
            let mut random = Random::new(round as u64);
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
        self.rotate(codes);
        let mut sketch = Bits([0; BIT_WORDS]);
        for (word, values) in sketch.0.iter_mut().zip(self.rotated.chunks_exact(64)) {
            *word = values.iter().enumerate().fold(0, |word, (at, &value)| word | u64::from(value < 0.0) << at);
        }
        sketch
    }

    /// Fills `rotated`, of which the first [`BITS`] components are used.
    fn rotate(&mut self, codes: &[u8]) {
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
    }

    /// A query's codes, to be compared with sketches.
    pub(crate) fn query(&mut self, codes: &[u8]) -> SketchQuery {
        const LARGEST: f32 = i8::MAX as f32;
        self.rotate(codes);
        let used = &self.rotated[..BITS];
        let largest = used.iter().fold(f32::MIN_POSITIVE, |largest, value| largest.max(value.abs()));
        let values: [i8; BITS] = std::array::from_fn(|at| rounded(used[at] * (LARGEST / largest)) as i8);
        let width = self.rotated.len();
        let all = Estimator::new(used, width);
        SketchQuery {
            values,
            total: values.iter().map(|&value| i32::from(value)).sum(),
            scale: largest / LARGEST * all.scale,
            estimator: all,
            head: Head::new(&used[..HEAD_BITS], width),
        }
    }
}

/// How a sum of some rotated components of a query, each with the sign of a row's, estimates their similarity.
struct Estimator {
    /// What a unit of the sum is worth as a cosine.
    scale: f32,
    /// Standard deviation of the estimate for rows that are not similar.
    deviation: f32,
    /// The estimate for the query itself: about 1.
    itself: f32,
}

impl Estimator {
    /// For those components of a rotation of this many.
    fn new(used: &[f32], width: usize) -> Self {
        let norm = used.iter().map(|value| f64::from(*value) * f64::from(*value)).sum::<f64>().sqrt();
        // A row's signs, as a vector of length sqrt(d), lie at a cosine of about sqrt(2 / pi) to the row.
        let along = norm * (used.len() as f64).sqrt() * (2.0 / PI).sqrt();
        // Those of all its components have 2 / pi of the square of its length, fewer their share of it; what the signs do not have of a
        // row is spread evenly.
        let has = 2.0 / PI * used.len() as f64 / width as f64;
        let deviation = ((1.0 - has) / has / width as f64).sqrt();
        let scale = if along > 0.0 { along.recip() } else { 0.0 };
        let most: f64 = used.iter().map(|value| f64::from(value.abs())).sum();
        Self { scale: scale as f32, deviation: deviation as f32, itself: (scale * most) as f32 }
    }
}

impl Estimator {
    /// Standard deviation of the estimate for rows of that similarity: it falls with the sine of the angle, since nothing is left to
    /// chance in a row that is the query.
    fn deviation(&self, similarity: f32) -> f32 {
        self.deviation * (1.0 - similarity * similarity).max(0.0).sqrt()
    }

    /// The estimate that rows of at least that similarity seldom fall below.
    fn least(&self, similarity: f32, deviations: f32) -> f32 {
        // A query whose components are more uneven than most is estimated too low by all rows that are like it.
        let short = (1.0 - self.itself).max(0.0) * similarity * similarity;
        similarity - short - deviations * self.deviation(similarity)
    }
}

/// A query, to be compared with sketches.
pub(crate) struct SketchQuery {
    /// Its rotated components, to be summed with the signs of rows.
    values: [i8; BITS],
    total: i32,
    /// What a unit of a signed sum is worth as a cosine.
    scale: f32,
    estimator: Estimator,
    head: Head,
}

/// What is weighed of every row.
struct Head {
    costs: Costs,
    /// Cost of a row that differs in every sign.
    most: f32,
    /// What a unit of cost takes from the cosine.
    scale: f32,
    estimator: Estimator,
}

impl Head {
    fn new(values: &[f32], width: usize) -> Self {
        /// Signs whose costs are looked up together.
        const SIGNS: usize = 4;
        // Each table's entries are rounded up by a half at most, and the largest of all must add up to no more than a byte holds.
        let room = f32::from(u8::MAX) - 0.5 * (values.len() / SIGNS) as f32;
        let sum: f32 = values.iter().map(|value| value.abs()).sum();
        let unit = sum / room;
        let estimator = Estimator::new(values, width);
        let per_cost = if unit > 0.0 { unit.recip() } else { 0.0 };
        let table = |values: &[f32; SIGNS]| {
            let own = (0..SIGNS).fold(0, |own, at| own | usize::from(values[at] < 0.0) << at);
            // What differs is a set of signs: the cost of one of them and of the others.
            let mut sums = [0.0; 1 << SIGNS];
            for differing in 1..sums.len() {
                let one = differing.trailing_zeros() as usize;
                sums[differing] = sums[differing & (differing - 1)] + values[one].abs();
            }
            std::array::from_fn(|signs| rounded(sums[signs ^ own] * per_cost) as u8)
        };
        let tables = values.as_chunks::<SIGNS>().0;
        Self {
            costs: Costs(std::array::from_fn(|at| table(&tables[at]))),
            most: room,
            // A sign that differs is taken away and not added.
            scale: 2.0 * unit * estimator.scale,
            estimator,
        }
    }
}

impl SketchQuery {
    /// What the first signs of each row cost: the more, the farther it seems.
    ///
    /// # Panics
    /// When there are more outputs than rows.
    pub(crate) fn costs(&self, sketches: &Sketches, out: &mut [u8]) {
        head_costs(&self.head.costs, &sketches.heads, out);
    }

    /// The cost that a row of at least that similarity seldom exceeds: the expected one and `deviations` standard deviations of it.
    pub(crate) fn dearest(&self, similarity: f32, deviations: f32) -> u8 {
        if similarity <= -1.0 || self.head.scale == 0.0 {
            return u8::MAX;
        }
        let least = self.head.estimator.least(similarity.min(1.0), deviations);
        // The estimate of a row that differs nowhere is half of what lies between it and one that differs everywhere.
        (0.5 * self.head.most - least / self.head.scale).ceil().clamp(0.0, 255.0) as u8
    }

    /// The similarity that the estimates of rows of at least that one seldom fall below.
    pub(crate) fn least(&self, similarity: f32, deviations: f32) -> f32 {
        self.estimator.least(similarity.max(-1.0), deviations)
    }

    /// The estimated similarities of the rows of those numbers; `sums` is room.
    pub(crate) fn estimates<'s>(
        &self,
        sketches: &Sketches,
        numbers: &[u32],
        sums: &'s mut Vec<i32>,
    ) -> impl Iterator<Item = f32> + use<'s> {
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
    assert!(rest.is_empty(), "a rotated row has a power of two of components, {BITS} or more");
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
/// Nothing is held while they are made: of two threads that ask at once, each makes them.
///
/// Complexity: about 3 microseconds a row of 512 components.
pub(crate) fn sketched_once<'a>(made: &'a OnceLock<Sketches>, rows: &[u8], dimension: usize) -> &'a Sketches {
    match made.get() {
        Some(made) => made,
        None => {
            let width = stride(dimension);
            let pieces = pool::pieces(rows.len() / width, 256);
            let sketches = pool::map(&pieces, |piece| {
                let mut builder = SketchBuilder::new(dimension);
                let rows = rows[piece.start * width..piece.end * width].chunks_exact(width);
                rows.map(|row| builder.sketch(&row[..dimension])).collect::<Vec<_>>()
            });
            made.get_or_init(|| Sketches::new(sketches.concat()))
        }
    }
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

    fn query_of(vector: &[f32]) -> SketchQuery {
        let mut row = vec![0; stride(vector.len())];
        encode(&unit(vector).unwrap(), &mut row);
        SketchBuilder::new(vector.len()).query(&row[..vector.len()])
    }

    fn cost(query: &SketchQuery, row: &[f32]) -> u8 {
        let mut out = [0];
        query.costs(&Sketches::new(vec![sketch_of(row)]), &mut out);
        out[0]
    }

    /// What the two estimates of the similarity of two vectors are: from the first signs, and from all.
    fn estimates(a: &[f32], b: &[f32]) -> [f32; 2] {
        let query = query_of(a);
        let first = (0.5 * query.head.most - f32::from(cost(&query, b))) * query.head.scale;
        let all = query.estimates(&Sketches::new(vec![sketch_of(b)]), &[0], &mut Vec::new()).next().unwrap();
        [first, all]
    }

    #[test]
    fn estimates_tell_the_cosine_in_every_dimension() {
        for dimension in [32usize, 60, 128, 512, 1280, 5000] {
            let mut random = Random::new(dimension as u64);
            let mut off = [Vec::new(), Vec::new()];
            for share in [0.0, 0.3, 0.7, 2.0, 5.0, 10.0] {
                let mut too_low = [0, 0];
                for _ in 0..200 {
                    let a: Vec<f32> = (0..dimension).map(|_| random.normal()).collect();
                    let b: Vec<f32> = a.iter().map(|x| share * x + random.normal()).collect();
                    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
                    let cosine = (dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()) as f32;
                    let query = query_of(&a);
                    let estimates = estimates(&a, &b);
                    // Above, the random part is less than the error of using the mean instead of a row's own factor.
                    if share <= 2.0 {
                        off[0].push((estimates[0] - cosine) / query.head.estimator.deviation(cosine));
                        off[1].push((estimates[1] - cosine) / query.estimator.deviation(cosine));
                    }
                    too_low[0] += usize::from(cost(&query, &b) > query.dearest(cosine, 2.5));
                    too_low[1] += usize::from(estimates[1] < query.least(cosine, 2.5));
                }
                let seldom = too_low.iter().all(|&times| times <= 6);
                assert!(seldom, "{dimension} dimensions, {share}: {too_low:?} of 200 are 2.5 deviations too low");
            }
            for off in off {
                let mean = off.iter().sum::<f32>() / off.len() as f32;
                let spread = (off.iter().map(|x| x * x).sum::<f32>() / off.len() as f32).sqrt();
                let as_said = mean.abs() < 0.2 && (0.7..1.15).contains(&spread);
                assert!(as_said, "{dimension} dimensions: mean {mean}, spread {spread}");
            }
        }
    }

    #[test]
    fn equal_rows_cost_nothing_and_opposite_ones_the_most() {
        let a: Vec<f32> = (0..200).map(|n| (n as f32 * 0.7).sin()).collect();
        let b: Vec<f32> = a.iter().map(|x| -x).collect();
        let query = query_of(&a);
        assert_eq!(cost(&query, &a), 0);
        assert!(f32::from(cost(&query, &b)) > query.head.most - 16.0);
    }

    #[test]
    fn one_component_alone_is_spread_over_all_signs() {
        let axis = |at: usize| (0..256).map(|n| f32::from(n == at)).collect::<Vec<f32>>();
        for at in 1..20 {
            let [first, all] = estimates(&axis(0), &axis(at));
            assert!(first.abs() < 0.35 && all.abs() < 0.18, "axes 0 and {at} are estimated at {first} and {all}");
        }
    }

    #[test]
    fn the_limit_rises_as_the_similarity_falls() {
        let query = query_of(&(0..200).map(|n| (n as f32 * 0.7).sin()).collect::<Vec<f32>>());
        let limits = [2.0, 1.0, 0.7, 0.3, 0.0, -0.5].map(|similarity| query.dearest(similarity, 2.5));
        assert!(limits.is_sorted() && limits[1] < 12 && limits[4] > 119, "{limits:?}");
        assert_eq!(query.dearest(f32::NEG_INFINITY, 2.5), 255);
        // A query without a direction tells nothing.
        assert_eq!(SketchBuilder::new(3).query(&[0; 3]).dearest(0.9, 2.5), 255);
    }
}
