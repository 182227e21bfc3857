//! Searches rows: exactly, by codes that cannot miss a row, or through the segments' graphs.
//!
//! Every similarity that it returns is the canonical kernel's. Codes only decide for which rows it is computed: a row is skipped
//! if its coded score plus the bound of the code's error is below the current best ones.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, Ordering};

use super::part::Part;
use super::set::RowSet;
use super::sieve::{Interval, Sieve};
use crate::error::{Error, Result};
use crate::graph::{Codes, Scratch, search};
use crate::process::pool;
use crate::progress::Interrupt;
use crate::vector::{CodedQuery, Hit, Top, dot, products, row_residual, stride};

/// Rows that one task of a parallel scan takes.
const TASK_ROWS: usize = 8192;
/// Rows coded scores are computed for at a time; with the queries of a group they stay in the second-level cache.
const BLOCK_ROWS: usize = 256;
/// Rows ahead of the one being scored whose descriptors are asked for.
const PREFETCHED: usize = 3;
/// Queries that share a block of rows.
const QUERY_GROUP: usize = 64;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

/// Some rows of one part.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) part: &'a Part,
    /// First row inside the part.
    pub(crate) first: usize,
    pub(crate) rows: usize,
    /// Number of the first row in the set.
    pub(crate) start: usize,
}

impl<'a> Run<'a> {
    /// Its coded rows.
    pub(crate) fn codes(&self, dimension: usize) -> &'a [u8] {
        let width = stride(dimension);
        &self.part.codes()[self.first * width..(self.first + self.rows) * width]
    }

    /// The run in blocks of at most this many rows.
    pub(crate) fn blocks(self, rows: usize) -> impl Iterator<Item = Run<'a>> {
        (0..self.rows).step_by(rows).map(move |at| Run {
            part: self.part,
            first: self.first + at,
            rows: rows.min(self.rows - at),
            start: self.start + at,
        })
    }
}

/// The best similarity that a full list of any task has as its last: no row below it can be among the best of all.
struct SharedFloor(AtomicU32);

impl SharedFloor {
    fn new() -> Self {
        Self(AtomicU32::new(f32::NEG_INFINITY.to_bits()))
    }

    fn get(&self) -> f32 {
        f32::from_bits(self.0.load(Ordering::Relaxed))
    }

    fn raise(&self, floor: f32) {
        let higher = |old: u32| (floor > f32::from_bits(old)).then_some(floor.to_bits());
        // Another task was faster with a higher one: as good.
        let _kept = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, higher);
    }
}

impl RowSet {
    /// The rows below number `until` in runs of at most `rows`, each within one part.
    pub(crate) fn runs(&self, until: usize, rows: usize) -> Vec<Run<'_>> {
        let whole = self.starts.iter().zip(&self.parts).filter(|&(&start, _)| start < until);
        let whole = whole.map(|(&start, part)| Run { part, first: 0, rows: part.rows().min(until - start), start });
        whole.flat_map(|run| run.blocks(rows)).collect()
    }

    /// Shows `sieve` the rows of a block whose coded scores are given: live and admitted ones that may be good enough.
    fn offer(
        &self,
        coded: &CodedQuery,
        block: Run<'_>,
        scores: &[f32],
        sieve: &mut Sieve,
        shared: f32,
        admit: impl Fn(usize) -> bool,
    ) {
        let width = stride(self.dimension);
        let codes = block.codes(self.dimension);
        for (at, &score) in scores.iter().enumerate() {
            let bound = coded.bound(row_residual(&codes[at * width..(at + 1) * width]));
            let (upper, row) = (score + bound, block.start + at);
            if upper >= shared && sieve.wants(upper) && self.live[row] && admit(row) {
                sieve.push(Interval { lower: score - bound, upper, row: row as u32 });
            }
        }
    }

    pub(crate) fn top<'s>(&'s self, count: usize) -> Top<impl Fn(u32) -> &'s str> {
        Top::new(count, |row| self.key(row as usize))
    }

    /// The best among rows that a scan could not rule out.
    pub(super) fn decided(
        &self,
        query: &[f32],
        count: usize,
        parts: impl Iterator<Item = Interval>,
    ) -> Result<Vec<Hit>> {
        let mut sieve = Sieve::new(count);
        parts.for_each(|interval| sieve.push(interval));
        self.best_among(query, sieve.into_kept().iter().map(|interval| interval.row as usize), count, |_| true)
    }

    /// The best `count` live rows that `admit` lets through, by exact search, best first; one query over all processors.
    ///
    /// Complexity: `O(rows * dimension)` 8-bit products, and canonical products for the rows that come close.
    ///
    /// # Errors
    /// `Cancelled`; a segment's copy is damaged and the catalog does not have the image any more.
    pub(crate) fn best(
        &self,
        query: &[f32],
        count: usize,
        admit: impl Fn(usize) -> bool + Sync,
        interrupt: &Interrupt<'_>,
    ) -> Result<Vec<Hit>> {
        let (coded, shared) = (CodedQuery::new(query), SharedFloor::new());
        let task = |run: Run<'_>| {
            let mut sieve = Sieve::new(count);
            let mut scores = [0.0; BLOCK_ROWS];
            for block in run.blocks(BLOCK_ROWS) {
                let scores = &mut scores[..block.rows];
                coded.scores(block.codes(self.dimension), scores);
                self.offer(&coded, block, scores, &mut sieve, shared.get(), &admit);
                shared.raise(sieve.floor());
            }
            sieve.into_kept()
        };
        let runs = self.runs(self.len(), TASK_ROWS);
        let parts: Vec<Vec<Interval>> = pool::try_map(&runs, |&run| interrupt.look().map(|()| task(run)))?;
        self.decided(query, count, parts.into_iter().flatten())
    }

    /// [`RowSet::best`] for many queries (row-major) in one pass; `admit` gets the query's number and the row.
    ///
    /// A group of queries shares each block of rows while it is in the cache.
    ///
    /// # Errors
    /// As [`RowSet::best`].
    pub(crate) fn best_of_many(
        &self,
        queries: &[f32],
        count: usize,
        admit: impl Fn(usize, usize) -> bool + Sync,
        interrupt: &Interrupt<'_>,
    ) -> Result<Vec<Vec<Hit>>> {
        let groups: Vec<(usize, &[f32])> = queries.chunks(QUERY_GROUP * self.dimension).enumerate().collect();
        let runs = self.runs(self.len(), TASK_ROWS);
        let sieved = |&(group, queries): &(usize, &[f32]), runs: &[Run<'_>]| {
            let coded: Vec<CodedQuery> = queries.chunks_exact(self.dimension).map(CodedQuery::new).collect();
            let mut sieves: Vec<Sieve> = coded.iter().map(|_| Sieve::new(count)).collect();
            let mut scores = vec![0.0; coded.len() * BLOCK_ROWS];
            for (run, block) in runs.iter().flat_map(|run| run.blocks(BLOCK_ROWS).map(move |block| (run, block))) {
                if block.start == run.start {
                    interrupt.look()?;
                }
                let scores = &mut scores[..coded.len() * block.rows];
                products(&coded, block.codes(self.dimension), scores);
                for (at, (coded, sieve)) in coded.iter().zip(&mut sieves).enumerate() {
                    let scores = &scores[at * block.rows..(at + 1) * block.rows];
                    let admit = |row| admit(group * QUERY_GROUP + at, row);
                    self.offer(coded, block, scores, sieve, f32::NEG_INFINITY, admit);
                }
            }
            Ok::<_, Error>(sieves.into_iter().map(Sieve::into_kept).collect::<Vec<_>>())
        };
        let decided = |group: &(usize, &[f32]), parts: Vec<Vec<Vec<Interval>>>| {
            let decide = |(at, query): (usize, &[f32])| {
                let kept = parts.iter().flat_map(|part: &Vec<Vec<Interval>>| part[at].iter().copied());
                self.decided(query, count, kept)
            };
            group.1.chunks_exact(self.dimension).enumerate().map(decide).collect::<Result<Vec<_>>>()
        };
        let lists: Vec<Vec<Vec<Hit>>> = if groups.len() >= pool::threads() || runs.len() < 2 {
            pool::try_map(&groups, |group| decided(group, vec![sieved(group, &runs)?]))?
        } else {
            // Few queries: the rows are shared out instead.
            let over_rows = |group: &(usize, &[f32])| {
                decided(group, pool::try_map(&runs, |run| sieved(group, std::slice::from_ref(run)))?)
            };
            groups.iter().map(over_rows).collect::<Result<_>>()?
        };
        Ok(lists.into_iter().flatten().collect())
    }

    /// Rescores rows proposed by an approximate search and keeps the best `count` live ones among them.
    pub(crate) fn best_among(
        &self,
        query: &[f32],
        rows: impl IntoIterator<Item = usize>,
        count: usize,
        admit: impl Fn(usize) -> bool,
    ) -> Result<Vec<Hit>> {
        let mut top = self.top(count);
        let rows: Vec<usize> = rows.into_iter().collect();
        for (at, &row) in rows.iter().enumerate() {
            if let Some(&next) = rows.get(at + PREFETCHED) {
                self.prefetch(next);
            }
            if self.live.get(row) == Some(&true) && admit(row) {
                top.push(Hit { similarity: dot(query, &self.vector(row)?), row: row as u32 });
            }
        }
        Ok(top.into_sorted())
    }

    /// The best `count` live rows that `admit` lets through, found through the graphs of the segments, each searched with breadth
    /// `ef`, and by coded scores elsewhere. Fewer than there are may come back; similarities and order are exact.
    ///
    /// Complexity: about `O(ef * log rows)` 8-bit products a segment.
    pub(crate) fn near(
        &self,
        query: &[f32],
        count: usize,
        ef: usize,
        admit: impl Fn(usize) -> bool,
    ) -> Result<Vec<Hit>> {
        let coded = CodedQuery::new(query);
        let mut found: Vec<(f32, u32)> = Vec::with_capacity(2 * ef.min(self.len()));
        let wanted = |row: usize| self.live[row] && admit(row);
        SCRATCH.with_borrow_mut(|scratch| {
            for (&start, part) in self.starts.iter().zip(&self.parts) {
                match part.graph() {
                    Some(graph) => {
                        let codes = Codes { bytes: part.codes(), dimension: self.dimension };
                        let near = search(graph, codes, &coded, ef, scratch);
                        found.extend(near.iter().map(|&(score, row)| (score, (start + row as usize) as u32)));
                    }
                    None => {
                        let mut scores = [0.0; BLOCK_ROWS];
                        for block in (Run { part, first: 0, rows: part.rows(), start }).blocks(BLOCK_ROWS) {
                            let scores = &mut scores[..block.rows];
                            coded.scores(block.codes(self.dimension), scores);
                            found.extend(scores.iter().zip(block.start as u32..).map(|(&score, row)| (score, row)));
                            cut(&mut found, 4 * ef.max(BLOCK_ROWS), ef, wanted);
                        }
                    }
                }
            }
        });
        cut(&mut found, rescored(count), rescored(count), wanted);
        self.best_among(query, found.into_iter().map(|(_, row)| row as usize), count, admit)
    }
}

/// Rows whose canonical similarity is computed to find the best `count`: codes of 8 bits swap neighbours in the order now and then,
/// and seldom by more places than this leaves room for.
fn rescored(count: usize) -> usize {
    count + count / 2 + 32
}

/// Keeps the `kept` best of a list that has grown past `most`, wanted rows only.
fn cut(found: &mut Vec<(f32, u32)>, most: usize, kept: usize, wanted: impl Fn(usize) -> bool) {
    if found.len() > most {
        found.retain(|&(_, row)| wanted(row as usize));
    }
    if found.len() > most && kept < found.len() {
        found.select_nth_unstable_by(kept, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        found.truncate(kept);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::sync::atomic::AtomicUsize;

    use super::super::NewRow;
    use super::*;
    use crate::error::ErrorKind;
    use crate::id::ImageId;
    use crate::progress::{Stop, UNINTERRUPTED};
    use crate::vector::unit;

    fn set_of(vectors: &[Vec<f32>]) -> RowSet {
        let mut set = RowSet::new(vectors[0].len());
        for (at, vector) in vectors.iter().enumerate() {
            let key = format!("k{:04}", (at * 7919) % 10_000).into();
            let row = NewRow { id: ImageId(2 * at as u64), key, instance: None, floor: 0.0 };
            set.append(vec![row], vector.clone());
        }
        set
    }

    fn vectors(dimension: usize) -> impl Strategy<Value = Vec<Vec<f32>>> {
        // Few levels: ties and near ties are common.
        let component = prop_oneof![(-2i8..3).prop_map(|x| f32::from(x) / 2.0), -1.0f32..1.0];
        let vector =
            prop::collection::vec(component, dimension).prop_filter_map("no direction", |vector| unit(&vector).ok());
        prop::collection::vec(vector, 3..400)
    }

    proptest! {
        /// The coded scan never loses a row that a plain computation of every similarity would give.
        #[test]
        fn coded_scans_equal_the_plain_one(vectors in vectors(24), count in 1usize..40, dead in 2usize..9) {
            let mut set = set_of(&vectors);
            (0..vectors.len()).filter(|row| row % dead == 0).for_each(|row| set.kill(row));
            let queries: Vec<f32> = vectors[..3].concat();
            let plain: Vec<Vec<Hit>> = vectors[..3]
                .iter()
                .map(|query| set.best_among(query, 0..set.len(), count, |row| row % 3 > 0).unwrap())
                .collect();
            for (query, plain) in vectors.iter().zip(&plain) {
                prop_assert_eq!(&set.best(query, count, |row| row % 3 > 0, &UNINTERRUPTED).unwrap(), plain);
            }
            prop_assert_eq!(set.best_of_many(&queries, count, |_, row| row % 3 > 0, &UNINTERRUPTED).unwrap(), plain);
        }
    }

    /// It catches: a scan that stops only after every row, and a batch that checks once.
    #[test]
    fn a_scan_that_is_stopped_looks_at_few_more_rows() {
        const ROWS: usize = 40 * TASK_ROWS;
        let mut set = RowSet::new(2);
        for start in (0..ROWS).step_by(TASK_ROWS) {
            let row =
                |at: usize| NewRow { id: ImageId(at as u64), key: at.to_string().into(), instance: None, floor: 0.0 };
            set.append((start..start + TASK_ROWS).map(row).collect(), [1.0, 0.0].repeat(TASK_ROWS));
        }
        for queries in [1, 3, QUERY_GROUP * pool::threads()] {
            let (stop, seen) = (Stop::new(), AtomicUsize::new(0));
            // Each row passes the sieve: all are equally good.
            let admit = || {
                if seen.fetch_add(1, Ordering::Relaxed) == 100 {
                    stop.stop();
                }
                false
            };
            let interrupt = Interrupt::new(&stop, None);
            let ended = match queries {
                1 => set.best(&[1.0, 0.0], 5, |_| admit(), &interrupt).map(|_| ()),
                _ => set.best_of_many(&[1.0, 0.0].repeat(queries), 5, |_, _| admit(), &interrupt).map(|_| ()),
            };
            assert_eq!(ended.unwrap_err().kind(), ErrorKind::Cancelled);
            let seen = seen.into_inner() / queries;
            assert!(seen <= TASK_ROWS * pool::threads(), "{seen} of {ROWS} rows of each of {queries} queries");
        }
    }

    #[test]
    fn rows_are_found_by_id_and_keep_their_vectors_through_merging() {
        let vectors: Vec<Vec<f32>> = (0..1000).map(|at| unit(&[at as f32, 1.0]).unwrap()).collect();
        let set = set_of(&vectors);
        assert!(set.parts.len() <= 11, "{} blocks", set.parts.len());
        for (at, vector) in vectors.iter().enumerate() {
            assert_eq!(set.row_of(ImageId(2 * at as u64)), Some(at));
            assert_eq!(set.row_of(ImageId(2 * at as u64 + 1)), None);
            assert_eq!(&*set.vector(at).unwrap(), &vector[..]);
        }
    }

    proptest! {
        #[test]
        fn an_id_is_found_wherever_it_lies(gaps in prop::collection::vec(prop_oneof![9 => Just(1u64), 1 => 1u64..100_000], 1..300)) {
            let ids: Vec<u64> = gaps.iter().scan(7, |id, gap| { *id += gap; Some(*id) }).collect();
            let keys = ids.iter().map(|id| id.to_string().into()).collect();
            let part = Part::in_memory(2, ids.clone(), keys, vec![1.0; 2 * ids.len()]);
            for (row, &id) in ids.iter().enumerate() {
                prop_assert_eq!(part.row_of(ImageId(id)), Some(row));
                for other in [id - 1, id + 1] {
                    prop_assert_eq!(part.row_of(ImageId(other)), ids.binary_search(&other).ok());
                }
            }
        }
    }

    #[test]
    fn a_clone_does_not_see_later_rows_and_deaths() {
        let vectors: Vec<Vec<f32>> = (0..10).map(|at| unit(&[at as f32, 1.0]).unwrap()).collect();
        let mut set = set_of(&vectors);
        let before = set.clone();
        set.kill(9);
        set.kill(9);
        let late = NewRow { id: ImageId(100), key: "late".into(), instance: None, floor: 0.0 };
        set.append(vec![late], vec![1.0, 0.0]);
        let best = |set: &RowSet| {
            set.best(&[1.0, 0.0], 2, |_| true, &UNINTERRUPTED).unwrap().iter().map(|hit| hit.row).collect::<Vec<_>>()
        };
        assert_eq!((best(&before), before.live_rows()), (vec![9, 8], 10));
        assert_eq!((best(&set), set.live_rows()), (vec![10, 8], 10));
    }
}
