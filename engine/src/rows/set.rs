//! The rows of one role: ids, keys, labels with scores, liveness and vectors, in the order of writing.

use std::sync::Arc;

use rayon::prelude::*;

use super::column::Column;
use crate::id::{ImageId, LabelId};
use crate::ports::VectorChunks;
use crate::vector::{Hit, Top, dot_rows};
use crate::vote::Ballot;

/// Chunks stop growing by merging at this many rows.
const FULL_CHUNK_ROWS: usize = 8192;
/// Rows scored by one task of a parallel scan.
const SCAN_ROWS: usize = 1024;
/// Queries that share a block of rows.
const QUERY_GROUP: usize = 16;
/// Rows scored between two looks at the selection; a group of queries shares them while they are in the second-level cache.
const BLOCK_ROWS: usize = 64;

/// A row about to be appended. Ids must rise.
#[derive(Debug, Clone)]
pub(crate) struct NewRow {
    pub(crate) id: ImageId,
    pub(crate) key: Arc<str>,
    /// A train image's label with score 1; an index image's prediction.
    pub(crate) instance: Option<Ballot<LabelId>>,
    /// Similarity below which a new train image cannot change the row's neighbours (index images).
    pub(crate) floor: f32,
}

/// The rows of one role. Clones share their memory and never see each other's changes.
#[derive(Debug, Clone)]
pub(crate) struct RowSet {
    vectors: VectorChunks,
    /// Row number of the first row of each chunk.
    starts: Vec<usize>,
    pub(crate) ids: Column<ImageId>,
    pub(crate) keys: Column<Arc<str>>,
    pub(crate) instances: Column<Option<Ballot<LabelId>>>,
    pub(crate) floors: Column<f32>,
    pub(crate) live: Column<bool>,
    live_rows: usize,
    /// Rises whenever rows are renumbered.
    generation: u64,
}

impl RowSet {
    /// No rows of that dimension.
    pub(crate) fn new(dimension: usize) -> Self {
        Self {
            vectors: VectorChunks { dimension, chunks: Vec::new() },
            starts: Vec::new(),
            ids: Column::default(),
            keys: Column::default(),
            instances: Column::default(),
            floors: Column::default(),
            live: Column::default(),
            live_rows: 0,
            generation: 0,
        }
    }

    /// Which numbering of rows this is.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// The rows without the dead ones, once those are the greater part; the numbering changes.
    pub(crate) fn shrunk(&self) -> Option<Self> {
        let dead = self.len() - self.live_rows;
        if dead < FULL_CHUNK_ROWS || dead <= self.live_rows {
            return None;
        }
        let mut shrunk = Self { generation: self.generation + 1, ..Self::new(self.vectors.dimension) };
        let live: Vec<usize> = self.live().collect();
        for rows in live.chunks(FULL_CHUNK_ROWS) {
            let vectors = rows.iter().flat_map(|&row| self.vector(row)).copied().collect();
            let kept = |&row: &usize| NewRow {
                id: self.ids[row],
                key: Arc::clone(&self.keys[row]),
                instance: self.instances[row],
                floor: self.floors[row],
            };
            shrunk.append(rows.iter().map(kept).collect(), vectors);
        }
        Some(shrunk)
    }

    /// All rows, dead ones included.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Rows that answer.
    pub(crate) fn live_rows(&self) -> usize {
        self.live_rows
    }

    /// The vectors, chunk by chunk.
    pub(crate) fn vectors(&self) -> &VectorChunks {
        &self.vectors
    }

    /// Appends rows with their vectors (row-major).
    pub(crate) fn append(&mut self, rows: Vec<NewRow>, vectors: Vec<f32>) {
        if rows.is_empty() {
            return;
        }
        let start = self.len();
        self.live_rows += rows.len();
        for row in rows {
            self.ids.push(row.id);
            self.keys.push(row.key);
            self.instances.push(row.instance);
            self.floors.push(row.floor);
            self.live.push(true);
        }
        self.starts.push(start);
        self.vectors.chunks.push(Arc::new(vectors));
        self.merge_chunks();
    }

    /// Merges the last chunks while the later one is at least as long, so that there are few of them and each vector is copied a
    /// logarithmic number of times.
    fn merge_chunks(&mut self) {
        let full = FULL_CHUNK_ROWS * self.vectors.dimension;
        while let [.., before, last] = &self.vectors.chunks[..]
            && before.len() <= last.len()
            && before.len() + last.len() <= full
        {
            let merged = [before.as_slice(), last.as_slice()].concat();
            self.vectors.chunks.truncate(self.vectors.chunks.len() - 2);
            self.vectors.chunks.push(Arc::new(merged));
            self.starts.pop();
        }
    }

    /// The row of an id, dead or alive: ids rise with the row number.
    pub(crate) fn row_of(&self, id: ImageId) -> Option<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.ids[middle] < id {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        (self.ids.get(low) == Some(&id)).then_some(low)
    }

    /// The vector of a row.
    pub(crate) fn vector(&self, row: usize) -> &[f32] {
        let chunk = self.starts.partition_point(|&start| start <= row) - 1;
        let at = (row - self.starts[chunk]) * self.vectors.dimension;
        &self.vectors.chunks[chunk][at..at + self.vectors.dimension]
    }

    /// The row no longer answers.
    pub(crate) fn kill(&mut self, row: usize) {
        if self.live.get(row) == Some(&true) {
            self.live.set(row, false);
            self.live_rows -= 1;
        }
    }

    /// Key of a row.
    pub(crate) fn key(&self, row: u32) -> &str {
        &self.keys[row as usize]
    }

    /// Live rows in order.
    pub(crate) fn live(&self) -> impl Iterator<Item = usize> + '_ {
        self.live.iter().enumerate().filter_map(|(row, &live)| live.then_some(row))
    }

    /// Shows `top` the live rows of one chunk's part that `admit` lets through; `start` is the number of its first row.
    ///
    /// Liveness and admission are asked only of rows that are good enough, which soon are few.
    fn scan_rows<'a, F: Fn(u32) -> &'a str>(
        &self,
        query: &[f32],
        start: usize,
        vectors: &[f32],
        top: &mut Top<F>,
        admit: impl Fn(usize) -> bool,
    ) {
        let mut similarities = [0.0; BLOCK_ROWS];
        for (block, vectors) in vectors.chunks(BLOCK_ROWS * self.vectors.dimension).enumerate() {
            let first = start + block * BLOCK_ROWS;
            let similarities = &mut similarities[..vectors.len() / self.vectors.dimension];
            dot_rows(query, vectors, similarities);
            for (offset, &similarity) in similarities.iter().enumerate() {
                let row = first + offset;
                if top.wants(similarity) && self.live[row] && admit(row) {
                    top.push(Hit { similarity, row: row as u32 });
                }
            }
        }
    }

    /// The best `count` live rows that `admit` lets through, by exact search, best first; one query over all processors.
    ///
    /// Complexity: `O(rows * dimension)`.
    pub(crate) fn best(&self, query: &[f32], count: usize, admit: impl Fn(usize) -> bool + Sync) -> Vec<Hit> {
        let dimension = self.vectors.dimension;
        let tasks: Vec<(usize, &[f32])> = self
            .starts
            .iter()
            .zip(&self.vectors.chunks)
            .flat_map(|(&start, chunk)| {
                let parts = chunk.chunks(SCAN_ROWS * dimension).enumerate();
                parts.map(move |(part, vectors)| (start + part * SCAN_ROWS, vectors))
            })
            .collect();
        let parts: Vec<Vec<Hit>> = tasks
            .par_iter()
            .with_min_len(8)
            .fold(
                || Top::new(count, |row| self.key(row)),
                |mut top, &(start, vectors)| {
                    self.scan_rows(query, start, vectors, &mut top, &admit);
                    top
                },
            )
            .map(Top::into_sorted)
            .collect();
        let mut best = Top::new(count, |row| self.key(row));
        parts.into_iter().flatten().for_each(|hit| best.push(hit));
        best.into_sorted()
    }

    /// [`RowSet::best`] for many queries (row-major) in one pass; `admit` is told the query's number and the row.
    ///
    /// A group of queries shares each block of rows while it is in the cache, and groups run on all processors.
    pub(crate) fn best_of_many(
        &self,
        queries: &[f32],
        count: usize,
        admit: impl Fn(usize, usize) -> bool + Sync,
    ) -> Vec<Vec<Hit>> {
        let dimension = self.vectors.dimension;
        let groups = queries.par_chunks(QUERY_GROUP * dimension).enumerate();
        let best = groups.map(|(group, queries)| {
            let queries: Vec<&[f32]> = queries.chunks_exact(dimension).collect();
            let mut tops: Vec<_> = queries.iter().map(|_| Top::new(count, |row| self.key(row))).collect();
            for (&start, chunk) in self.starts.iter().zip(&self.vectors.chunks) {
                for (block, vectors) in chunk.chunks(BLOCK_ROWS * dimension).enumerate() {
                    for (offset, (query, top)) in queries.iter().zip(&mut tops).enumerate() {
                        let admit = |row| admit(group * QUERY_GROUP + offset, row);
                        self.scan_rows(query, start + block * BLOCK_ROWS, vectors, top, admit);
                    }
                }
            }
            tops.into_iter().map(Top::into_sorted).collect::<Vec<_>>()
        });
        best.flatten().collect()
    }

    /// Rescores rows proposed by an approximate search and keeps the best `count` live ones among them.
    pub(crate) fn best_among(
        &self,
        query: &[f32],
        rows: impl IntoIterator<Item = usize>,
        count: usize,
        admit: impl Fn(usize) -> bool,
    ) -> Vec<Hit> {
        let mut top = Top::new(count, |row| self.key(row));
        for row in rows {
            if self.live.get(row) == Some(&true) && admit(row) {
                top.push(Hit { similarity: crate::vector::dot(query, self.vector(row)), row: row as u32 });
            }
        }
        top.into_sorted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u64) -> NewRow {
        NewRow { id: ImageId(id), key: format!("k{id}").into(), instance: None, floor: 0.0 }
    }

    fn set_of(count: u64) -> RowSet {
        let mut set = RowSet::new(2);
        for id in 0..count {
            set.append(vec![row(2 * id)], vec![id as f32, 1.0]);
        }
        set
    }

    #[test]
    fn rows_are_found_by_id_and_keep_their_vectors_through_merging() {
        let set = set_of(1000);
        assert!(set.vectors().chunks.len() <= 11, "{} chunks", set.vectors().chunks.len());
        for at in 0..1000u64 {
            assert_eq!(set.row_of(ImageId(2 * at)), Some(at as usize));
            assert_eq!(set.row_of(ImageId(2 * at + 1)), None);
            assert_eq!(set.vector(at as usize), [at as f32, 1.0]);
        }
    }

    #[test]
    fn a_clone_does_not_see_later_rows_and_deaths() {
        let mut set = set_of(10);
        let before = set.clone();
        set.kill(9);
        set.kill(9);
        set.append(vec![row(100)], vec![100.0, 1.0]);
        let best = |set: &RowSet| set.best(&[1.0, 0.0], 2, |_| true).iter().map(|hit| hit.row).collect::<Vec<_>>();
        assert_eq!((best(&before), before.live_rows()), (vec![9, 8], 10));
        assert_eq!((best(&set), set.live_rows()), (vec![10, 8], 10));
    }

    #[test]
    fn the_parallel_scan_equals_the_plain_one() {
        let set = set_of(20_000);
        let plain = set.best_among(&[0.6, 0.8], set.live(), 50, |row| row % 3 == 0);
        assert_eq!(plain.len(), 50);
        assert_eq!(set.best(&[0.6, 0.8], 50, |row| row % 3 == 0), plain);
        let queries = [0.6, 0.8, 1.0, 0.0, 0.0, 1.0];
        let many = set.best_of_many(&queries, 50, |_, row| row % 3 == 0);
        assert_eq!((many.len(), &many[0]), (3, &plain));
        assert_eq!(many[1], set.best(&[1.0, 0.0], 50, |row| row % 3 == 0));
    }

    #[test]
    fn shrinking_drops_the_dead_and_nothing_else() {
        let mut set = set_of(20_000);
        (0..20_000).filter(|row| row % 10 > 0).for_each(|row| set.kill(row));
        let shrunk = set.shrunk().unwrap();
        assert_eq!((shrunk.len(), shrunk.live_rows(), shrunk.generation()), (2_000, 2_000, 1));
        assert_eq!(shrunk.row_of(ImageId(40)), Some(2));
        assert_eq!(shrunk.vector(2), [20.0, 1.0]);
        assert!(shrunk.shrunk().is_none());
    }
}
