//! A run of rows that never changes: a segment, or a block of the tail in memory.

use std::sync::{Arc, OnceLock};

use crate::error::Result;
use crate::graph::Graph;
use crate::id::ImageId;
use crate::ports::VectorChunk;
use crate::segment::{Segment, Vector};
use crate::vector::{Aligned, Sketches, encode, prefetch, sketched_once, stride};

/// Rows of the tail.
#[derive(Debug)]
pub(crate) struct Block {
    dimension: usize,
    ids: Vec<u64>,
    keys: Vec<Arc<str>>,
    vectors: VectorChunk,
    codes: Aligned,
    sketches: OnceLock<Sketches>,
}

impl Block {
    /// Rows with their vectors (row-major); they are coded here.
    pub(super) fn new(dimension: usize, ids: Vec<u64>, keys: Vec<Arc<str>>, vectors: Vec<f32>) -> Self {
        let width = stride(dimension);
        let mut codes = Aligned::zeroed(width * ids.len());
        for (vector, row) in vectors.chunks_exact(dimension).zip(codes.chunks_exact_mut(width)) {
            encode(vector, row);
        }
        Self { dimension, ids, keys, vectors: vectors.into(), codes, sketches: OnceLock::new() }
    }

    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        self.ids.len()
    }

    /// The sketches of its rows.
    fn sketches(&self) -> &Sketches {
        sketched_once(&self.sketches, &self.codes, self.dimension)
    }

    /// Both blocks as one.
    pub(super) fn followed_by(&self, next: &Self) -> Self {
        Self {
            dimension: self.dimension,
            ids: [&self.ids[..], &next.ids].concat(),
            keys: [&self.keys[..], &next.keys].concat(),
            vectors: [&self.vectors[..], &next.vectors[..]].concat().into(),
            codes: self.codes.followed_by(&next.codes),
            // What one of them has is not made again.
            sketches: self.sketches.get().map(|own| own.followed_by(next.sketches()).into()).unwrap_or_default(),
        }
    }
}

/// A run of rows that never changes. Rows are numbered from 0 inside it, in rising order of ids.
#[derive(Clone)]
pub(crate) enum Part {
    /// A mapped file.
    Segment(Arc<Segment>),
    /// Memory.
    Block(Arc<Block>),
}

impl Part {
    /// Rows in memory with their vectors (row-major).
    pub(crate) fn in_memory(dimension: usize, ids: Vec<u64>, keys: Vec<Arc<str>>, vectors: Vec<f32>) -> Self {
        Self::Block(Arc::new(Block::new(dimension, ids, keys, vectors)))
    }

    /// Number of rows, dead ones included.
    pub(crate) fn rows(&self) -> usize {
        self.ids().len()
    }

    /// Image ids, rising.
    pub(crate) fn ids(&self) -> &[u64] {
        match self {
            Self::Segment(segment) => segment.ids(),
            Self::Block(block) => &block.ids,
        }
    }

    /// Id of a row.
    pub(crate) fn id(&self, row: usize) -> ImageId {
        ImageId(self.ids()[row])
    }

    /// The row of an id.
    ///
    /// Ids are nearly consecutive, so the place is guessed by proportion and found by doubling steps from there: about two cache
    /// misses where a binary search of a million has twenty.
    pub(super) fn row_of(&self, id: ImageId) -> Option<usize> {
        let ids = self.ids();
        let (&first, &last) = (ids.first()?, ids.last()?);
        if id.0 < first || id.0 > last {
            return None;
        }
        let share = (id.0 - first) as f64 / (last - first).max(1) as f64;
        let guess = ((share * (ids.len() - 1) as f64) as usize).min(ids.len() - 1);
        let (mut low, mut high, mut step) = (guess, guess + 1, 1);
        while low > 0 && ids[low] > id.0 {
            low = low.saturating_sub(step);
            step *= 2;
        }
        step = 1;
        while high < ids.len() && ids[high - 1] < id.0 {
            high = (high + step).min(ids.len());
            step *= 2;
        }
        ids[low..high].binary_search(&id.0).ok().map(|at| low + at)
    }

    /// External key of a row.
    pub(crate) fn key(&self, row: usize) -> &str {
        match self {
            Self::Segment(segment) => segment.key(row),
            Self::Block(block) => &block.keys[row],
        }
    }

    /// External key of a row, to be kept.
    pub(crate) fn shared_key(&self, row: usize) -> Arc<str> {
        match self {
            Self::Segment(segment) => segment.key(row).into(),
            Self::Block(block) => Arc::clone(&block.keys[row]),
        }
    }

    /// Coded rows.
    pub(crate) fn codes(&self) -> &[u8] {
        match self {
            Self::Segment(segment) => segment.codes(),
            Self::Block(block) => &block.codes,
        }
    }

    /// The sketches of its rows, made from the codes when they are first asked for.
    pub(crate) fn sketches(&self) -> &Sketches {
        match self {
            Self::Segment(segment) => segment.sketches(),
            Self::Block(block) => block.sketches(),
        }
    }

    /// Descriptor of a row.
    ///
    /// # Errors
    /// [`Segment::vector`].
    pub(crate) fn vector(&self, row: usize) -> Result<Vector<'_>> {
        match self {
            Self::Segment(segment) => segment.vector(row),
            Self::Block(block) => Ok(Vector::Lent(&block.vectors[row * block.dimension..(row + 1) * block.dimension])),
        }
    }

    /// Asks for the descriptor of a row before it is needed.
    pub(super) fn prefetch(&self, row: usize) {
        match self {
            Self::Segment(segment) => segment.prefetch(row),
            Self::Block(block) => prefetch(&block.vectors[row * block.dimension..(row + 1) * block.dimension]),
        }
    }

    /// The links, where there are any.
    pub(crate) fn graph(&self) -> Option<Graph<'_>> {
        match self {
            Self::Segment(segment) => segment.graph(),
            Self::Block(_) => None,
        }
    }

    /// All descriptors; `None`: some are damaged.
    pub(crate) fn chunk(&self) -> Option<VectorChunk> {
        match self {
            Self::Segment(segment) => {
                segment.all_vectors()?;
                Some(VectorChunk::of(Arc::clone(segment)))
            }
            Self::Block(block) => Some(block.vectors.clone()),
        }
    }
}

impl AsRef<[f32]> for Segment {
    fn as_ref(&self) -> &[f32] {
        self.all_vectors().unwrap_or_default()
    }
}
