//! The nearest few rows through sketches: one pass over 32 bytes a row, then sketches and codes of the rows which that leaves.
//!
//! A graph reads some thousand codes that lie anywhere, and still misses one of three neighbours now and then: at 100,000 rows and
//! breadth 256 three votes in a hundred differ from the exact one; of 1,000 votes through sketches none did.

use std::cell::RefCell;

use super::part::Part;
use super::set::RowSet;
use super::sieve::{Interval, Sieve};
use crate::error::Result;
use crate::vector::{
    COMPARED, CodedQuery, Hit, SketchBuilder, Sketches, Weights, farthest, row_residual, stride, within,
};

/// From this many rows on a pass over the sketches takes several times as long as a search of the graph.
pub(crate) const MOST_SKETCHED_ROWS: usize = 400_000;
/// One in so many rows is looked at again at most; when more are as near as the best, the sketches do not tell.
const LIKELY_SHARE: usize = 4;
/// Rows that are looked at first, to learn how similar the best are; more where more are asked for.
const FIRST_ROWS: usize = 128;
/// A row that should be found is passed over when its sketch is so many standard deviations farther from the query's than its
/// similarity makes expected, or the estimate from it so many too low. If the signs were independent, that would be 1 of 160 rows that
/// are just as similar as the last that is wanted, and next to none of the others; those of a rotation of 512 components or more are
/// spread a fifth less: 1 of 1,000.
const DEVIATIONS: f64 = 2.5;
/// No row is farther.
const FARTHEST: u8 = u8::MAX;

/// What a search needs besides the rows; kept by each thread.
#[derive(Default)]
struct Scratch {
    builder: Option<SketchBuilder>,
    distances: Vec<u8>,
    near: Vec<u32>,
    sums: Vec<i32>,
    scores: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
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
    /// Complexity: `O(rows)` comparisons of 256 bits, and 8-bit products for the rows that stay. Sketches are made when they are first
    /// asked for.
    pub(crate) fn near_by_sketch(
        &self,
        query: &[f32],
        count: usize,
        admit: impl Fn(usize) -> bool,
    ) -> Result<Option<Vec<Hit>>> {
        // Made before the scratch is borrowed: a thread that waits for its helpers may take up another search.
        let sketches: Vec<&Sketches> = self.parts.iter().map(Part::sketches).collect();
        let kept = SCRATCH.with_borrow_mut(|scratch| self.sieved(query, &sketches, count, admit, scratch));
        kept.map(|kept| self.decided(query, count, kept.into_iter())).transpose()
    }

    fn sieved(
        &self,
        query: &[f32],
        sketches: &[&Sketches],
        count: usize,
        admit: impl Fn(usize) -> bool,
        scratch: &mut Scratch,
    ) -> Option<Vec<Interval>> {
        let coded = CodedQuery::new(query);
        let builder = scratch.builder.take().filter(|builder| builder.dimension() == self.dimension);
        let builder = scratch.builder.insert(builder.unwrap_or_else(|| SketchBuilder::new(self.dimension)));
        let (sketch, weights) = builder.query(&coded.signed()[..self.dimension]);
        scratch.distances.resize(self.len(), 0);
        for (&start, sketches) in self.starts.iter().zip(sketches) {
            let end = start + sketches.len();
            sketches.distances(&sketch, &mut scratch.distances[start..end]);
        }
        let search = Search { set: self, coded, weights, sketches, admit };
        let mut sieve = Sieve::new(count);
        let (mut wanted, mut seen) = (FIRST_ROWS.max(2 * count), None);
        let first = loop {
            let limit = with_rows(&scratch.distances, wanted);
            search.look(seen, limit, usize::MAX, &mut sieve, scratch);
            if sieve.settled() >= count || limit == FARTHEST {
                break limit;
            }
            // Dead rows, or ones that may not answer: look farther.
            (wanted, seen) = (wanted * 4, Some(limit));
        };
        let limit = farthest(sieve.floor(), DEVIATIONS);
        if limit > first {
            let most = FIRST_ROWS.max(self.len() / LIKELY_SHARE);
            search.look(Some(first), limit, most, &mut sieve, scratch).then_some(())?;
        }
        Some(sieve.into_kept())
    }
}

/// What stays the same while one query is answered.
struct Search<'a, A> {
    set: &'a RowSet,
    coded: CodedQuery,
    weights: Weights,
    /// Of each part.
    sketches: &'a [&'a Sketches],
    admit: A,
}

impl<A: Fn(usize) -> bool> Search<'_, A> {
    /// Shows the sieve the rows whose distances lie above the first limit and not above the second; once the sieve knows what it wants,
    /// only those whose sketches make them likely. Stops and says no when more than `most` lie between the limits.
    fn look(&self, above: Option<u8>, limit: u8, most: usize, sieve: &mut Sieve, scratch: &mut Scratch) -> bool {
        let set = self.set;
        let width = stride(set.dimension);
        let mut left = most;
        for ((&start, part), sketches) in set.starts.iter().zip(&set.parts).zip(self.sketches) {
            near(&scratch.distances[start..start + part.rows()], above, limit, &mut scratch.near);
            match left.checked_sub(scratch.near.len()) {
                Some(rest) => left = rest,
                None => return false,
            }
            let least = sieve.floor() - DEVIATIONS as f32 * Weights::DEVIATION;
            if least > -1.0 {
                let mut estimates = self.weights.estimates(sketches, &scratch.near, &mut scratch.sums);
                scratch.near.retain(|_| estimates.next().is_some_and(|estimate| estimate >= least));
            }
            scratch.scores.resize(scratch.near.len(), 0.0);
            let codes = part.codes();
            self.coded.scores_at(codes, &scratch.near, &mut scratch.scores);
            for (&at, &score) in scratch.near.iter().zip(&scratch.scores) {
                let (at, row) = (at as usize, start + at as usize);
                let bound = self.coded.bound(row_residual(&codes[at * width..(at + 1) * width]));
                if sieve.wants(score + bound) && set.live[row] && (self.admit)(row) {
                    sieve.push(Interval { lower: score - bound, upper: score + bound, row: row as u32 });
                }
            }
        }
        true
    }
}

/// The least limit that at least `wanted` of the distances do not exceed; [`FARTHEST`] when there are fewer.
///
/// Complexity: one pass, and a step for each row that is among the `wanted` nearest of those before it: `O(rows + wanted log rows)`.
fn with_rows(distances: &[u8], wanted: usize) -> u8 {
    let mut limit = FARTHEST;
    // How many of the rows that were met have a distance, and how many of them are within the limit.
    let (mut having, mut met) = ([0; 1 << u8::BITS], 0);
    let mut meet = |distance: u8, limit: &mut u8| {
        if distance <= *limit {
            having[usize::from(distance)] += 1;
            met += 1;
            while *limit > 0 && met - having[usize::from(*limit)] >= wanted {
                met -= having[usize::from(*limit)];
                *limit -= 1;
            }
        }
    };
    let (whole, rest) = distances.as_chunks::<COMPARED>();
    for some in whole {
        ones(within(some, limit)).for_each(|at| meet(some[at], &mut limit));
    }
    rest.iter().for_each(|&distance| meet(distance, &mut limit));
    limit
}

/// The numbers of the distances above the first limit and not above the second.
fn near(distances: &[u8], above: Option<u8>, limit: u8, numbers: &mut Vec<u32>) {
    numbers.clear();
    let (whole, rest) = distances.as_chunks::<COMPARED>();
    for (first, some) in (0..).step_by(COMPARED).zip(whole) {
        let near = within(some, limit) & above.map_or(u64::MAX, |above| !within(some, above));
        numbers.extend(ones(near).map(|at| first + at as u32));
    }
    let is_near = |distance: u8| distance <= limit && above.is_none_or(|above| distance > above);
    let first = whole.as_flattened().len() as u32;
    numbers.extend((first..).zip(rest).filter(|&(_, &distance)| is_near(distance)).map(|(number, _)| number));
}

/// Where a mask has ones.
fn ones(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = (mask != 0).then(|| mask.trailing_zeros() as usize)?;
        mask &= mask - 1;
        Some(at)
    })
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
        let distances = [5, 3, 9, 3, 200];
        let limits: Vec<u8> = (0..7).map(|wanted| with_rows(&distances, wanted)).collect();
        assert_eq!(limits, [0, 3, 3, 5, 9, 200, FARTHEST]);
        let mut numbers = Vec::new();
        near(&distances, None, 3, &mut numbers);
        assert_eq!(numbers, [1, 3]);
        near(&distances, Some(3), 9, &mut numbers);
        assert_eq!(numbers, [0, 2]);
        // More than are counted or passed over together.
        let many: Vec<u8> = (0..1_000u32).map(|number| (number % 251) as u8).collect();
        assert_eq!((with_rows(&many, 40), with_rows(&many, 41), with_rows(&many, 1_000)), (9, 10, 250));
        near(&many, Some(3), 5, &mut numbers);
        assert_eq!(numbers, [4, 5, 255, 256, 506, 507, 757, 758]);
    }
}
