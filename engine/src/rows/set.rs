//! The rows of one role, numbered through segments and tail in rising order of ids.

use std::ops::Range;
use std::sync::Arc;

use super::column::Column;
use super::part::{Block, Part};
use crate::catalog::SegmentEntry;
use crate::error::{Error, Result};
use crate::id::{ImageId, LabelId};
use crate::ports::VectorChunks;
use crate::segment::{Segment, Vector};
use crate::vote::Ballot;

/// Blocks of the tail stop growing by merging at this many rows.
const FULL_BLOCK_ROWS: usize = 8192;

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
#[derive(Clone)]
pub(crate) struct RowSet {
    pub(super) dimension: usize,
    /// Segments, then blocks.
    pub(super) parts: Vec<Part>,
    /// Row number of the first row of each part.
    pub(super) starts: Vec<usize>,
    /// What the manifest says of the parts that are not the tail. Such a part is a block while its file is damaged.
    frozen: Vec<SegmentEntry>,
    rows: usize,
    pub(crate) instances: Column<Option<Ballot<LabelId>>>,
    pub(crate) floors: Column<f32>,
    pub(crate) live: Column<bool>,
    live_rows: usize,
}

impl RowSet {
    /// No rows of that dimension.
    pub(crate) fn new(dimension: usize) -> Self {
        Self {
            dimension,
            parts: Vec::new(),
            starts: Vec::new(),
            frozen: Vec::new(),
            rows: 0,
            instances: Column::default(),
            floors: Column::default(),
            live: Column::default(),
            live_rows: 0,
        }
    }

    /// Appends a part that the manifest names; `known` gives instance, floor and liveness of its rows. Parts come in rising order
    /// of ids, before any row of the tail.
    pub(crate) fn push_frozen(
        &mut self,
        part: Part,
        entry: SegmentEntry,
        mut known: impl FnMut(ImageId) -> (Option<Ballot<LabelId>>, f32, bool),
    ) {
        for &id in part.ids() {
            let (instance, floor, live) = known(ImageId(id));
            self.instances.push(instance);
            self.floors.push(floor);
            self.live.push(live);
            self.live_rows += usize::from(live);
        }
        self.starts.push(self.rows);
        self.rows += part.rows();
        self.parts.push(part);
        self.frozen.push(entry);
    }

    /// The set with the frozen parts numbered `replaced` replaced by a new segment (or by nothing, if no row is left).
    ///
    /// # Errors
    /// A live row would be lost.
    pub(crate) fn with_merged(
        &self,
        replaced: &Range<usize>,
        made: Option<(Arc<Segment>, SegmentEntry)>,
    ) -> Result<Self> {
        let mut next = Self::new(self.dimension);
        let mut made = made;
        for number in 0..self.frozen.len() {
            if number == replaced.start
                && let Some((segment, entry)) = made.take()
            {
                next.push_as_known(Part::Segment(segment), entry, self);
            }
            if !replaced.contains(&number) {
                next.push_as_known(self.parts[number].clone(), self.frozen[number], self);
            }
        }
        next.append_tail_of(self, ImageId(0))?;
        next.holding_all_of(self)
    }

    /// The set with the tail's rows with ids below `end` replaced by a new segment (or by nothing, if no row was left).
    ///
    /// # Errors
    /// A live row would be lost.
    pub(crate) fn with_flushed(&self, made: Option<(Arc<Segment>, SegmentEntry)>, end: ImageId) -> Result<Self> {
        let mut next = Self::new(self.dimension);
        for number in 0..self.frozen.len() {
            next.push_as_known(self.parts[number].clone(), self.frozen[number], self);
        }
        if let Some((segment, entry)) = made {
            next.push_as_known(Part::Segment(segment), entry, self);
        }
        next.append_tail_of(self, end)?;
        next.holding_all_of(self)
    }

    fn push_as_known(&mut self, part: Part, entry: SegmentEntry, before: &Self) {
        self.push_frozen(part, entry, |id| match before.row_of(id) {
            Some(row) => (before.instances[row], before.floors[row], before.live[row]),
            None => (None, f32::NEG_INFINITY, false),
        });
    }

    /// Appends the live rows of another set's tail with ids from `first` on.
    fn append_tail_of(&mut self, before: &Self, first: ImageId) -> Result<()> {
        let rows: Vec<usize> =
            (before.tail_start()..before.rows).filter(|&row| before.live[row] && before.id(row) >= first).collect();
        for rows in rows.chunks(FULL_BLOCK_ROWS) {
            let vectors = before.gathered(rows)?;
            let new = |&row: &usize| NewRow {
                id: before.id(row),
                key: before.shared_key(row),
                instance: before.instances[row],
                floor: before.floors[row],
            };
            self.append(rows.iter().map(new).collect(), vectors);
        }
        Ok(())
    }

    fn holding_all_of(self, before: &Self) -> Result<Self> {
        if self.live_rows == before.live_rows {
            return Ok(self);
        }
        let (here, there) = (self.live_rows, before.live_rows);
        Err(Error::corrupt(format!("a new segment would leave {here} of {there} live rows; it was discarded")))
    }

    /// Dimension of the descriptors.
    pub(crate) fn dimension(&self) -> usize {
        self.dimension
    }

    /// All rows, dead ones included.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// Rows that answer.
    pub(crate) fn live_rows(&self) -> usize {
        self.live_rows
    }

    /// The parts that the manifest names, in rising order of ids, each with its entry and the number of its first row.
    pub(crate) fn frozen(&self) -> impl Iterator<Item = (&Part, SegmentEntry, usize)> {
        self.parts.iter().zip(&self.frozen).zip(&self.starts).map(|((part, &entry), &start)| (part, entry, start))
    }

    /// Number of the first row of the tail.
    pub(crate) fn tail_start(&self) -> usize {
        self.starts.get(self.frozen.len()).copied().unwrap_or(self.rows)
    }

    /// The vectors, part by part; `None`: a part has damaged ones.
    pub(crate) fn vectors(&self) -> Option<VectorChunks> {
        let chunks = self.parts.iter().map(Part::chunk).collect::<Option<_>>()?;
        Some(VectorChunks { dimension: self.dimension, chunks })
    }

    /// Appends rows with their vectors (row-major) to the tail.
    pub(crate) fn append(&mut self, rows: Vec<NewRow>, vectors: Vec<f32>) {
        if rows.is_empty() {
            return;
        }
        let start = self.rows;
        self.rows += rows.len();
        self.live_rows += rows.len();
        let (mut ids, mut keys) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
        for row in rows {
            ids.push(row.id.0);
            keys.push(row.key);
            self.instances.push(row.instance);
            self.floors.push(row.floor);
            self.live.push(true);
        }
        self.starts.push(start);
        self.parts.push(Part::Block(Arc::new(Block::new(self.dimension, ids, keys, vectors))));
        self.merge_blocks();
    }

    /// Merges the last blocks while the later one is at least as long, so that there are few of them and each vector is copied a
    /// logarithmic number of times.
    fn merge_blocks(&mut self) {
        while let [.., Part::Block(before), Part::Block(last)] = &self.parts[self.frozen.len()..] {
            if before.rows() > last.rows() || before.rows() + last.rows() > FULL_BLOCK_ROWS {
                break;
            }
            let merged = before.followed_by(last);
            self.parts.truncate(self.parts.len() - 2);
            self.parts.push(Part::Block(Arc::new(merged)));
            self.starts.pop();
        }
    }

    /// The part of a row and its number inside it.
    pub(super) fn place(&self, row: usize) -> (&Part, usize) {
        let part = self.starts.partition_point(|&start| start <= row) - 1;
        (&self.parts[part], row - self.starts[part])
    }

    /// Id of a row.
    pub(crate) fn id(&self, row: usize) -> ImageId {
        let (part, row) = self.place(row);
        part.id(row)
    }

    /// Key of a row.
    pub(crate) fn key(&self, row: usize) -> &str {
        let (part, row) = self.place(row);
        part.key(row)
    }

    /// Key of a row, to be kept.
    pub(crate) fn shared_key(&self, row: usize) -> Arc<str> {
        let (part, row) = self.place(row);
        part.shared_key(row)
    }

    /// The descriptor of a row.
    ///
    /// # Errors
    /// The segment's copy is damaged and the catalog does not have the image any more.
    pub(crate) fn vector(&self, row: usize) -> Result<Vector<'_>> {
        let (part, row) = self.place(row);
        part.vector(row)
    }

    /// The coded row.
    pub(crate) fn coded(&self, row: usize) -> &[u8] {
        let width = crate::vector::stride(self.dimension);
        let (part, row) = self.place(row);
        &part.codes()[row * width..(row + 1) * width]
    }

    /// Asks for the descriptor of a row before it is needed.
    pub(crate) fn prefetch(&self, row: usize) {
        if let Some(part) = self.starts.partition_point(|&start| start <= row).checked_sub(1) {
            self.parts[part].prefetch(row - self.starts[part]);
        }
    }

    /// The descriptors of some rows, row-major.
    ///
    /// # Errors
    /// [`RowSet::vector`].
    pub(crate) fn gathered(&self, rows: &[usize]) -> Result<Vec<f32>> {
        let mut vectors = Vec::with_capacity(rows.len() * self.dimension);
        for &row in rows {
            vectors.extend_from_slice(&self.vector(row)?);
        }
        Ok(vectors)
    }

    /// The row of an id, dead or alive: ids rise with the row number.
    pub(crate) fn row_of(&self, id: ImageId) -> Option<usize> {
        let tail = &self.parts[self.frozen.len()..];
        let in_tail = tail.partition_point(|part| part.ids().first().is_some_and(|&first| first <= id.0));
        // What stands for a lost segment has no rows when none of its rows live; the manifest knows where it begins.
        let part = match in_tail {
            0 => self.frozen.partition_point(|entry| entry.first <= id),
            blocks => self.frozen.len() + blocks,
        };
        let part = part.checked_sub(1)?;
        let row = self.parts[part].row_of(id)?;
        Some(self.starts[part] + row)
    }

    /// The row no longer answers.
    pub(crate) fn kill(&mut self, row: usize) {
        if self.live.get(row) == Some(&true) {
            self.live.set(row, false);
            self.live_rows -= 1;
        }
    }

    /// Live rows among `rows` of them from number `start` on.
    pub(crate) fn live_in(&self, start: usize, rows: usize) -> usize {
        (start..start + rows).filter(|&row| self.live[row]).count()
    }

    /// Live rows in order.
    pub(crate) fn live(&self) -> impl Iterator<Item = usize> + '_ {
        self.live.iter().enumerate().filter_map(|(row, &live)| live.then_some(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{SegmentId, SpaceId};
    use crate::operation::Role;

    /// Random histories found it (`proptest-regressions/door/laws.txt`): all rows of a lost segment were dead, what stood for it was
    /// empty, and no row behind it was found any more.
    #[test]
    fn rows_behind_a_lost_segment_without_live_rows_are_found() {
        let entry = |number: u64, first: u64, last: u64| SegmentEntry {
            id: SegmentId(number),
            space: SpaceId::FIRST,
            role: Role::Index,
            rows: 2,
            first: ImageId(first),
            last: ImageId(last),
            check: 0,
            bytes: 0,
        };
        let part = |ids: &[u64]| {
            let keys = ids.iter().map(|id| id.to_string().into()).collect();
            Part::in_memory(1, ids.to_vec(), keys, vec![1.0; ids.len()])
        };
        let mut set = RowSet::new(1);
        for (number, ids, (first, last)) in [(1, &[0, 3][..], (0, 3)), (2, &[], (6, 7)), (3, &[8], (8, 8))] {
            set.push_frozen(part(ids), entry(number, first, last), |_| (None, 0.0, true));
        }
        set.append(vec![NewRow { id: ImageId(9), key: "9".into(), instance: None, floor: 0.0 }], vec![1.0]);
        let found: Vec<Option<usize>> = (0..11).map(|id| set.row_of(ImageId(id))).collect();
        let row = |id: u64| [0, 3, 8, 9].iter().position(|&of| of == id);
        assert_eq!(found, (0..11).map(row).collect::<Vec<_>>());
        assert!((0..4).all(|row| set.row_of(set.id(row)) == Some(row)));
    }
}
