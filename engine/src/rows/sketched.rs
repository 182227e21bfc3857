//! The nearest few rows through sketches: one pass over 64 bytes a row, then codes for the rows that the sketches leave.
//!
//! A graph reads some thousand codes that lie anywhere, and still misses one of three neighbours now and then: at 100,000 rows and
//! breadth 256 three votes in a hundred differ from the exact one. A pass over the sketches reads as much, in order, and what it
//! leaves is some hundred rows: of 1,000 votes none differed, at 10,000 rows in half the time, at 100,000 in twice the time.

use std::cell::RefCell;

use super::part::Part;
use super::set::RowSet;
use super::sieve::{Interval, Sieve};
use crate::error::Result;
use crate::vector::{
    CodedQuery, Hit, SKETCH_BITS, Sketch, SketchBuilder, Weights, bit_distances, farthest, row_residual, stride,
};

/// From this many rows on a pass over the sketches takes several times as long as a search of the graph.
pub(crate) const MOST_SKETCHED_ROWS: usize = 400_000;
/// One in so many rows is scored at most; when more are as near as the best, the sketches do not tell.
const SCORED_SHARE: usize = 8;
/// Rows that are scored first, to learn how similar the best are. More where more are asked for, and one in so many of all rows: the
/// more rows there are, the more of them are near by chance.
const FIRST_ROWS: usize = 64;
const FIRST_SHARE: usize = 128;
/// A row that should be found is passed over when its sketch is so many standard deviations farther from the query's than its
/// similarity makes expected, or the estimate from it so many too low. If the signs were independent, that would be 1 of 160 rows that
/// are just as similar as the last that is wanted, and next to none of the others; those of a rotation of 512 components or more are
/// spread a fifth less: 1 of 1,000.
const DEVIATIONS: f64 = 2.5;

/// What a search needs besides the rows; kept by each thread.
#[derive(Default)]
struct Scratch {
    builder: Option<SketchBuilder>,
    distances: Vec<u16>,
    near: Vec<u32>,
    sums: Vec<i32>,
    likely: Vec<u32>,
    scores: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

/// What makes a row worth the reading of its codes, by its sketch alone.
struct Likely<'a> {
    weights: Weights,
    /// Of each part.
    sketches: &'a [&'a [Sketch]],
    /// The least estimated similarity.
    least: f32,
}

impl RowSet {
    /// Makes the sketches that are not made yet, so that threads that search together do not each make them.
    pub(crate) fn make_sketches(&self) {
        self.parts.iter().for_each(|part| {
            part.sketches();
        });
    }

    /// The best `count` live rows that `admit` lets through, as the sketches propose them; `None`: nothing is so near that they narrow
    /// the rows down. Similarities and order are exact; a row is missed as seldom as [`DEVIATIONS`] says.
    ///
    /// Complexity: `O(rows)` comparisons of 512 bits, and 8-bit products for the rows that stay. Sketches are made when they are first
    /// asked for.
    pub(crate) fn near_by_sketch(
        &self,
        query: &[f32],
        count: usize,
        admit: impl Fn(usize) -> bool,
    ) -> Result<Option<Vec<Hit>>> {
        let coded = CodedQuery::new(query);
        // Made before the scratch is borrowed: a thread that waits for its helpers may take up another search.
        let sketches: Vec<&[Sketch]> = self.parts.iter().map(Part::sketches).collect();
        let kept = SCRATCH.with_borrow_mut(|scratch| self.sieved(&coded, &sketches, count, admit, scratch));
        kept.map(|kept| self.decided(query, count, kept.into_iter())).transpose()
    }

    fn sieved(
        &self,
        coded: &CodedQuery,
        sketches: &[&[Sketch]],
        count: usize,
        admit: impl Fn(usize) -> bool,
        scratch: &mut Scratch,
    ) -> Option<Vec<Interval>> {
        let builder = scratch.builder.take().filter(|builder| builder.dimension() == self.dimension);
        let builder = scratch.builder.insert(builder.unwrap_or_else(|| SketchBuilder::new(self.dimension)));
        let (query, weights) = builder.query(&coded.signed()[..self.dimension]);
        scratch.distances.resize(self.len(), 0);
        for (&start, sketches) in self.starts.iter().zip(sketches) {
            bit_distances(&query, sketches, &mut scratch.distances[start..start + sketches.len()]);
        }
        let mut sieve = Sieve::new(count);
        let (mut scored, mut wanted) = (None, FIRST_ROWS.max(2 * count).max(self.len() / FIRST_SHARE));
        loop {
            let limit = with_rows(&scratch.distances, wanted);
            self.score(coded, (scored, limit), None, &admit, &mut sieve, scratch);
            scored = Some(limit);
            if sieve.settled() >= count || usize::from(limit) == SKETCH_BITS {
                break;
            }
            // Dead rows, or one that may not answer: look farther.
            wanted *= 4;
        }
        let limit = farthest(sieve.floor(), DEVIATIONS);
        if scored.is_some_and(|scored| scored < limit) {
            if within(&scratch.distances, limit) > FIRST_ROWS.max(self.len() / SCORED_SHARE) {
                return None;
            }
            let likely = Likely { weights, sketches, least: sieve.floor() - DEVIATIONS as f32 * Weights::DEVIATION };
            self.score(coded, (scored, limit), Some(&likely), &admit, &mut sieve, scratch);
        }
        Some(sieve.into_kept())
    }

    /// Shows the sieve the rows whose distances lie above the first limit and not above the second, the likely ones of them.
    fn score(
        &self,
        coded: &CodedQuery,
        (above, limit): (Option<u16>, u16),
        likely: Option<&Likely<'_>>,
        admit: impl Fn(usize) -> bool,
        sieve: &mut Sieve,
        scratch: &mut Scratch,
    ) {
        let width = stride(self.dimension);
        for (number, (&start, part)) in self.starts.iter().zip(&self.parts).enumerate() {
            let near = near(&scratch.distances[start..start + part.rows()], above, limit, &mut scratch.near);
            let near = match likely {
                Some(likely) => {
                    let estimates = likely.weights.estimates(likely.sketches[number], near, &mut scratch.sums);
                    scratch.likely.clear();
                    let pairs = near.iter().zip(estimates).filter(|&(_, estimate)| estimate >= likely.least);
                    scratch.likely.extend(pairs.map(|(&at, _)| at));
                    &scratch.likely[..]
                }
                None => near,
            };
            scratch.scores.resize(near.len(), 0.0);
            let codes = part.codes();
            coded.scores_at(codes, near, &mut scratch.scores);
            for (&at, &score) in near.iter().zip(&scratch.scores) {
                let (at, row) = (at as usize, start + at as usize);
                let bound = coded.bound(row_residual(&codes[at * width..(at + 1) * width]));
                if sieve.wants(score + bound) && self.live[row] && admit(row) {
                    sieve.push(Interval { lower: score - bound, upper: score + bound, row: row as u32 });
                }
            }
        }
    }
}

/// The least limit that at least `wanted` of the distances do not exceed; [`SKETCH_BITS`] when there are fewer.
fn with_rows(distances: &[u16], wanted: usize) -> u16 {
    let (mut low, mut high) = (0, SKETCH_BITS as u16);
    // Some nine counts at the speed of memory: faster than a histogram.
    while low < high {
        let middle = low.midpoint(high);
        if within(distances, middle) >= wanted { high = middle } else { low = middle + 1 }
    }
    low
}

/// How many of the distances do not exceed the limit.
fn within(distances: &[u16], limit: u16) -> usize {
    /// Of so many the count fits 16 bits, as wide as a distance, which lets one instruction count several.
    const TOGETHER: usize = 1 << 15;
    let count = |sum: u16, &distance: &u16| sum.wrapping_add(u16::from(distance <= limit));
    distances.chunks(TOGETHER).map(|some| usize::from(some.iter().fold(0, count))).sum()
}

/// The numbers of the distances above the first limit and not above the second.
fn near<'n>(distances: &[u16], above: Option<u16>, limit: u16, numbers: &'n mut Vec<u32>) -> &'n [u32] {
    if numbers.len() < distances.len() {
        numbers.resize(distances.len(), 0);
    }
    let is_near = |distance: u16| distance <= limit && above.is_none_or(|above| distance > above);
    let mut found = 0;
    for (number, &distance) in (0..).zip(distances) {
        // Written whether it counts or not: a branch would be mispredicted at every row that is near.
        numbers[found] = number;
        found += usize::from(is_near(distance));
    }
    &numbers[..found]
}

#[cfg(test)]
mod tests {
    use super::super::{NewRow, RowSet};
    use super::*;
    use crate::id::ImageId;
    use crate::vector::{Random, unit};

    /// Rows of some places, several of each, in blocks as writes make them, and a query near each of the first places.
    fn places(rows: usize, queries: usize, dimension: usize) -> (RowSet, Vec<Vec<f32>>) {
        let mut random = Random(rows as u64);
        let mut vector = |place: usize| {
            let mut own = Random(1 << 32 | place as u64);
            let values: Vec<f32> = (0..dimension).map(|_| own.normal() + random.normal()).collect();
            unit(&values).unwrap()
        };
        let mut set = RowSet::new(dimension);
        for first in (0..rows).step_by(700) {
            let numbers = first..rows.min(first + 700);
            let new = |at: usize| {
                let key = format!("k{at:06}").into();
                NewRow { id: ImageId(at as u64), key, instance: None, floor: 0.0 }
            };
            set.append(numbers.clone().map(new).collect(), numbers.flat_map(|at| vector(at / 5)).collect());
        }
        (set, (0..queries).map(&mut vector).collect())
    }

    #[test]
    fn the_sketches_lose_next_to_nothing() {
        let (set, queries) = places(6_000, 400, 96);
        let (mut lost, mut told) = (0, 0);
        for query in &queries {
            let exact = set.best(query, 3, |row| row % 7 > 0).unwrap();
            let Some(found) = set.near_by_sketch(query, 3, |row| row % 7 > 0).unwrap() else { continue };
            assert_eq!(found.len(), 3);
            told += 1;
            lost += exact.iter().filter(|hit| !found.contains(hit)).count();
        }
        assert!(told > 300 && lost * 100 <= told, "{lost} of 3 x {told} neighbours were not found");
    }

    #[test]
    fn as_many_come_as_there_are_whatever_is_dead_or_refused() {
        let (mut set, queries) = places(3_000, 20, 8);
        (0..3_000).filter(|row| row % 50 > 1).for_each(|row| set.kill(row));
        let live = |count: usize, query: &[f32], admit: &dyn Fn(usize) -> bool| {
            // Where the sketches do not tell, whoever asked goes on without them.
            set.near_by_sketch(query, count, admit).unwrap().map_or(count, |found| found.len())
        };
        for query in &queries {
            assert_eq!(live(100, query, &|_| true), 100);
            assert_eq!(set.near_by_sketch(query, 100, |row| row % 50 > 0).unwrap().unwrap().len(), 60);
            let all = set.near_by_sketch(query, 500, |_| true).unwrap().unwrap();
            assert_eq!(all, set.best(query, 500, |_| true).unwrap());
            assert_eq!(set.near_by_sketch(query, 0, |_| true).unwrap().unwrap(), []);
            assert_eq!(RowSet::new(8).near_by_sketch(query, 3, |_| true).unwrap().unwrap(), []);
        }
    }

    #[test]
    fn a_query_of_no_place_is_not_narrowed_down() {
        let (set, _) = places(4_000, 0, 256);
        let mut random = Random(1 << 40);
        let query: Vec<f32> = (0..256).map(|_| random.normal()).collect();
        assert_eq!(set.near_by_sketch(&unit(&query).unwrap(), 3, |_| true).unwrap(), None);
    }

    /// A thread that waits for the sketches to be made takes up other searches meanwhile.
    #[test]
    fn searches_on_many_threads_may_make_the_sketches() {
        use rayon::prelude::*;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
        for _ in 0..20 {
            let (set, queries) = places(3_000, 64, 32);
            let search = || queries.par_iter().map(|query| set.near_by_sketch(query, 3, |_| true).unwrap());
            let together: Vec<_> = pool.install(|| search().collect());
            let alone: Vec<_> = queries.iter().map(|query| set.near_by_sketch(query, 3, |_| true).unwrap()).collect();
            assert_eq!(together, alone);
        }
    }

    #[test]
    fn limits_are_the_least_that_leave_enough_rows() {
        let distances = [5, 3, 9, 3, 400];
        let limits: Vec<u16> = (0..7).map(|wanted| with_rows(&distances, wanted)).collect();
        assert_eq!(limits, [0, 3, 3, 5, 9, 400, SKETCH_BITS as u16]);
        let mut numbers = Vec::new();
        assert_eq!(near(&distances, None, 3, &mut numbers), [1, 3]);
        assert_eq!(near(&distances, Some(3), 9, &mut numbers), [0, 2]);
    }
}
