//! The nearest few rows through sketches: one pass over 16 bytes per row, then sketches and codes of the remaining rows.
//!
//! A graph search reads some thousand codes at random places, and still misses one of three neighbours now and then: at 100,000
//! rows and breadth 256, three votes in a hundred differ from the exact one; of 2,000 votes through sketches, one did.

use std::cell::RefCell;

use super::part::Part;
use super::set::RowSet;
use super::sieve::{Interval, Sieve};
use crate::error::Result;
use crate::vector::{
    COMPARED, CodedQuery, Hit, SketchBuilder, SketchQuery, Sketches, prefetch, row_residual, stride, within,
};

/// From this many rows on a pass over the sketches takes several times as long as a search of the graph.
pub(crate) const MOST_SKETCHED_ROWS: usize = 400_000;
/// At most one in this many rows is examined again; if more are as near as the best, the sketches cannot decide.
const LIKELY_SHARE: usize = 2;
/// Number of rows that are examined first, to learn how similar the best are; more if more are requested.
const FIRST_ROWS: usize = 128;
/// One in this many of them is scored.
const SCORED_SHARE: usize = 4;
/// A row that should be found is skipped if an estimate of its similarity is this many standard deviations too low: 1 of 160 rows
/// that are just as similar as the last wanted one, for each of the two estimates, and next to none of the others.
const DEVIATIONS: f32 = 2.5;
/// To learn which rows cost the least, this many times [`COMPARED`] are enough.
const LOOKED_AT: usize = 256;
/// No row costs more.
const DEAREST: u8 = u8::MAX;

/// What a search needs besides the rows; kept by each thread.
#[derive(Default)]
struct Scratch {
    builder: Option<SketchBuilder>,
    costs: Vec<u8>,
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
    /// Complexity: `O(rows)` sums over 128 signs, over 512 for the rows that these leave, and 8-bit products for those that stay. Sketches are made when they are first
    /// asked for.
    pub(crate) fn near_by_sketch(
        &self,
        query: &[f32],
        count: usize,
        admit: impl Fn(usize) -> bool,
    ) -> Result<Option<Vec<Hit>>> {
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
        if count == 0 {
            return Some(Vec::new());
        }
        let coded = CodedQuery::new(query);
        let builder = scratch.builder.take().filter(|builder| builder.dimension() == self.dimension);
        let builder = scratch.builder.insert(builder.unwrap_or_else(|| SketchBuilder::new(self.dimension)));
        let sketched = builder.query(&coded.signed()[..self.dimension]);
        scratch.costs.resize(self.len(), 0);
        for (&start, sketches) in self.starts.iter().zip(sketches) {
            let end = start + sketches.len();
            sketched.costs(sketches, &mut scratch.costs[start..end]);
        }
        let search = Search { set: self, coded, sketched, sketches, admit };
        let mut sieve = Sieve::new(count);
        let probed = search.probe(count, &mut sieve, scratch);
        let limit = search.sketched.dearest(sieve.floor(), DEVIATIONS);
        let most = if sieve.floor().is_finite() { FIRST_ROWS.max(self.len() / LIKELY_SHARE) } else { usize::MAX };
        search.look(limit, most, &probed, &mut sieve, scratch).then(|| sieve.into_kept())
    }
}

/// What stays the same while one query is answered.
struct Search<'a, A> {
    set: &'a RowSet,
    coded: CodedQuery,
    sketched: SketchQuery,
    /// Of each part.
    sketches: &'a [&'a Sketches],
    admit: A,
}

impl<A: Fn(usize) -> bool> Search<'_, A> {
    /// Shows the sieve, of the rows that cost the least, those that are estimated best, so that it learns how similar the best are:
    /// `count` rows or more, unless there are fewer; then none. Gives the rows in rising order.
    fn probe(&self, count: usize, sieve: &mut Sieve, scratch: &mut Scratch) -> Vec<usize> {
        let mut wanted = FIRST_ROWS.max(2 * count);
        loop {
            let limit = with_rows(&scratch.costs, wanted);
            let mut likely: Vec<(f32, usize)> = Vec::with_capacity(2 * wanted.min(self.set.len()));
            for ((&start, part), sketches) in self.set.starts.iter().zip(&self.set.parts).zip(self.sketches) {
                near(&scratch.costs[start..start + part.rows()], limit, &mut scratch.near);
                let estimates = self.sketched.estimates(sketches, &scratch.near, &mut scratch.sums);
                let rows = scratch.near.iter().map(|&at| start + at as usize);
                likely.extend(estimates.zip(rows).filter(|&(_, row)| self.answers(row)));
            }
            if likely.len() >= count {
                return self.score_best(likely, count.max(wanted / SCORED_SHARE), sieve);
            }
            if limit == DEAREST {
                return Vec::new();
            }
            // Dead rows, or ones that may not answer: look farther.
            wanted *= 4;
        }
    }

    /// Shows the sieve this many of some rows, those with the best estimates.
    fn score_best(&self, mut likely: Vec<(f32, usize)>, scored: usize, sieve: &mut Sieve) -> Vec<usize> {
        if scored < likely.len() {
            likely.select_nth_unstable_by(scored, |a, b| b.0.total_cmp(&a.0));
            likely.truncate(scored);
        }
        let mut rows: Vec<usize> = likely.into_iter().map(|(_, row)| row).collect();
        rows.sort_unstable();
        rows.iter().for_each(|&row| prefetch(self.set.coded(row)));
        for &row in &rows {
            let codes = self.set.coded(row);
            let mut score = [0.0];
            self.coded.scores(codes, &mut score);
            sieve.push(self.interval(row, score[0], codes));
        }
        sieve.settled();
        rows
    }

    fn answers(&self, row: usize) -> bool {
        self.set.live[row] && (self.admit)(row)
    }

    fn interval(&self, row: usize, score: f32, codes: &[u8]) -> Interval {
        let bound = self.coded.bound(row_residual(codes));
        Interval { lower: score - bound, upper: score + bound, row: row as u32 }
    }

    /// Shows the sieve the rows whose costs lie within the limit and whose sketches make them likely, but for those that it was shown.
    /// Stops and says no when more than `most` lie within it.
    fn look(&self, limit: u8, most: usize, shown: &[usize], sieve: &mut Sieve, scratch: &mut Scratch) -> bool {
        let width = stride(self.set.dimension);
        let mut left = most;
        for ((&start, part), sketches) in self.set.starts.iter().zip(&self.set.parts).zip(self.sketches) {
            near(&scratch.costs[start..start + part.rows()], limit, &mut scratch.near);
            match left.checked_sub(scratch.near.len()) {
                Some(rest) => left = rest,
                None => return false,
            }
            let least = self.sketched.least(sieve.floor(), DEVIATIONS);
            let mut estimates = self.sketched.estimates(sketches, &scratch.near, &mut scratch.sums);
            scratch.near.retain(|_| estimates.next().is_some_and(|estimate| estimate >= least));
            scratch.scores.resize(scratch.near.len(), 0.0);
            let codes = part.codes();
            self.coded.scores_at(codes, &scratch.near, &mut scratch.scores);
            for (&at, &score) in scratch.near.iter().zip(&scratch.scores) {
                let (at, row) = (at as usize, start + at as usize);
                let interval = self.interval(row, score, &codes[at * width..(at + 1) * width]);
                if sieve.wants(interval.upper) && self.answers(row) && shown.binary_search(&row).is_err() {
                    sieve.push(interval);
                }
            }
        }
        true
    }
}

/// The least limit that about `wanted` of the costs do not exceed, or more if they are equal; [`DEAREST`] if there are fewer. Of
/// many costs, an evenly spaced part is examined.
///
/// Complexity: a step for each examined row that is among the nearest of those before it: `O(rows + wanted log rows)`, and no
/// more if there are more than 2 x [`LOOKED_AT`] x [`COMPARED`] rows.
fn with_rows(costs: &[u8], wanted: usize) -> u8 {
    let mut limit = DEAREST;
    let (whole, rest) = costs.as_chunks::<COMPARED>();
    let step = (whole.len() / LOOKED_AT).max(1);
    let wanted = wanted.div_ceil(step);
    // How many of the rows that were met have a cost, and how many of them are within the limit.
    let (mut having, mut met) = ([0; 1 << u8::BITS], 0);
    let mut meet = |cost: u8, limit: &mut u8| {
        if cost <= *limit {
            having[usize::from(cost)] += 1;
            met += 1;
            while *limit > 0 && met - having[usize::from(*limit)] >= wanted {
                met -= having[usize::from(*limit)];
                *limit -= 1;
            }
        }
    };
    for some in whole.iter().step_by(step) {
        ones(within(some, limit)).for_each(|at| meet(some[at], &mut limit));
    }
    rest.iter().for_each(|&cost| meet(cost, &mut limit));
    limit
}

/// The numbers of the costs within the limit.
fn near(costs: &[u8], limit: u8, numbers: &mut Vec<u32>) {
    numbers.clear();
    let (whole, rest) = costs.as_chunks::<COMPARED>();
    for (first, some) in (0..).step_by(COMPARED).zip(whole) {
        numbers.extend(ones(within(some, limit)).map(|at| first + at as u32));
    }
    let first = whole.as_flattened().len() as u32;
    numbers.extend((first..).zip(rest).filter(|&(_, &cost)| cost <= limit).map(|(number, _)| number));
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
    use crate::process::pool;
    use crate::progress::UNINTERRUPTED;
    use crate::vector::{Random, unit};

    /// Rows of some places, several of each, in blocks as writes make them, and a query near each of the first places.
    fn places(rows: usize, queries: usize, dimension: usize) -> (RowSet, Vec<Vec<f32>>) {
        let mut random = Random::new(rows as u64);
        let mut vector = |place: usize| {
            let mut own = Random::new(1 << 32 | place as u64);
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
            let exact = set.best(query, 3, |row| row % 7 > 0, &UNINTERRUPTED).unwrap();
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
            assert_eq!(all, set.best(query, 500, |_| true, &UNINTERRUPTED).unwrap());
            assert_eq!(set.near_by_sketch(query, 0, |_| true).unwrap().unwrap(), []);
            assert_eq!(RowSet::new(8).near_by_sketch(query, 3, |_| true).unwrap().unwrap(), []);
        }
    }

    #[test]
    fn a_query_of_no_place_is_not_narrowed_down() {
        let (set, _) = places(4_000, 0, 256);
        let mut random = Random::new(1 << 40);
        let query: Vec<f32> = (0..256).map(|_| random.normal()).collect();
        assert_eq!(set.near_by_sketch(&unit(&query).unwrap(), 3, |_| true).unwrap(), None);
    }

    #[test]
    fn searches_on_many_threads_may_make_the_sketches() {
        for _ in 0..20 {
            let (set, queries) = places(3_000, 64, 32);
            let together = pool::map(&queries, |query| set.near_by_sketch(query, 3, |_| true).unwrap());
            let alone: Vec<_> = queries.iter().map(|query| set.near_by_sketch(query, 3, |_| true).unwrap()).collect();
            assert_eq!(together, alone);
        }
    }

    #[test]
    fn limits_are_the_least_that_leave_enough_rows() {
        let costs = [5, 3, 9, 3, 200];
        let limits: Vec<u8> = (0..7).map(|wanted| with_rows(&costs, wanted)).collect();
        assert_eq!(limits, [0, 3, 3, 5, 9, 200, DEAREST]);
        let mut numbers = Vec::new();
        near(&costs, 3, &mut numbers);
        assert_eq!(numbers, [1, 3]);
        near(&costs, 9, &mut numbers);
        assert_eq!(numbers, [0, 1, 2, 3]);
        // More than are counted or passed over together.
        let many: Vec<u8> = (0..1_000u32).map(|number| (number % 251) as u8).collect();
        assert_eq!((with_rows(&many, 40), with_rows(&many, 41), with_rows(&many, 1_000)), (9, 10, 250));
        // Of very many, those that are looked at tell: here each cost is as frequent everywhere.
        let very_many: Vec<u8> = (0..100_000u32).map(|number| (number * 167 % 251) as u8).collect();
        let within = |limit: u8| very_many.iter().filter(|&&cost| cost <= limit).count();
        let limit = with_rows(&very_many, 4_000);
        assert!((3_600..4_800).contains(&within(limit)), "{limit}: {}", within(limit));
        near(&many, 1, &mut numbers);
        assert_eq!(numbers, [0, 1, 251, 252, 502, 503, 753, 754]);
    }
}
