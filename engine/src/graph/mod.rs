//! The approximate index: an HNSW graph in memory, built by hnsw_rs when a search first needs it and extended as rows arrive.
//!
//! It proposes rows; similarity, liveness and order are decided by the row set, so a graph can be behind or lost without a wrong
//! answer, only a less complete one.

use std::sync::Arc;

use anndists::dist::Distance;
use hnsw_rs::hnsw::Hnsw;
use parking_lot::RwLock;
use rayon::prelude::*;

use crate::rows::RowSet;
use crate::vector::dot;

/// Links of a node and level.
const DEGREE: usize = 24;
/// Breadth of the search that finds a new node's links.
const EF_CONSTRUCTION: usize = 200;
/// Levels; enough for more rows than memory holds.
const LEVELS: usize = 16;
/// Rows the graph is told to expect at first; it grows past them.
const EXPECTED_ROWS: usize = 1 << 17;

/// 1 - cosine, never negative: rounding can push the cosine of equal unit vectors past 1, and the library asserts on that.
struct UnitDistance;

impl Distance<f32> for UnitDistance {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        (1.0 - dot(a, b)).max(0.0)
    }
}

struct Built {
    hnsw: Hnsw<'static, f32, UnitDistance>,
    /// Which numbering of rows it speaks of.
    generation: u64,
    /// Rows in it: all below this number.
    rows: usize,
}

/// The graph of one role, shared by all snapshots.
#[derive(Default)]
pub(crate) struct Graph {
    built: RwLock<Option<Arc<RwLock<Built>>>>,
}

impl Graph {
    /// Rows near `query`, in no order of importance: up to `ef` of them, dead ones and rows newer than `set` left out.
    ///
    /// `None`: the graph speaks of newer row numbers than `set`, which only happens to a snapshot that was kept over a renumbering.
    pub(crate) fn propose(&self, set: &RowSet, query: &[f32], ef: usize) -> Option<Vec<usize>> {
        let built = self.covering(set)?;
        let built = built.read();
        let near = built.hnsw.search(query, ef, ef);
        Some(near.into_iter().map(|hit| hit.d_id).filter(|&row| set.live.get(row) == Some(&true)).collect())
    }

    /// The graph, holding every row of `set`.
    fn covering(&self, set: &RowSet) -> Option<Arc<RwLock<Built>>> {
        let current = self.built.read().clone();
        let current = match current {
            Some(current) if current.read().generation >= set.generation() => current,
            _ => {
                let mut slot = self.built.write();
                match &*slot {
                    Some(current) if current.read().generation >= set.generation() => Arc::clone(current),
                    _ => {
                        let hnsw =
                            Hnsw::new(DEGREE, set.len().max(EXPECTED_ROWS), LEVELS, EF_CONSTRUCTION, UnitDistance);
                        let fresh = Arc::new(RwLock::new(Built { hnsw, generation: set.generation(), rows: 0 }));
                        *slot = Some(Arc::clone(&fresh));
                        fresh
                    }
                }
            }
        };
        if current.read().generation != set.generation() {
            return None;
        }
        if current.read().rows < set.len() {
            let mut built = current.write();
            let from = built.rows;
            (from..set.len()).into_par_iter().for_each(|row| built.hnsw.insert((set.vector(row), row)));
            built.rows = built.rows.max(set.len());
        }
        Some(current)
    }
}
