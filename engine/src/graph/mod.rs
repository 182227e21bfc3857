//! The approximate index: an HNSW graph in memory, built by hnsw_rs when a search first needs it and extended as rows arrive.
//!
//! It proposes rows; similarity, liveness and order are decided by the row set, so a graph can be behind or lost without a wrong
//! answer, only a less complete one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anndists::dist::Distance;
use hnsw_rs::hnsw::Hnsw;
use parking_lot::RwLock;

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

/// A graph that holds every row of the set it was asked for.
pub(crate) struct Covering(Arc<RwLock<Built>>);

impl Graph {
    /// The graph with every row of `set` in it, built or extended now if need be.
    ///
    /// `None`: it speaks of newer row numbers than `set`, which only happens to a snapshot that was kept over a renumbering.
    ///
    /// Ask for it before a parallel loop, never inside one: building takes a lock, and runs on threads of its own because a worker
    /// of a shared pool that waits under a lock may be handed a job that waits for the same lock.
    pub(crate) fn covering(&self, set: &RowSet) -> Option<Covering> {
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
            extend(&built.hnsw, set, built.rows);
            built.rows = built.rows.max(set.len());
        }
        Some(Covering(current))
    }
}

/// Inserts the rows of `set` from number `from` on, on all processors.
fn extend(hnsw: &Hnsw<'static, f32, UnitDistance>, set: &RowSet, from: usize) {
    let next = AtomicUsize::new(from);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let row = next.fetch_add(1, Ordering::Relaxed);
                    if row >= set.len() {
                        break;
                    }
                    hnsw.insert((set.vector(row), row));
                }
            });
        }
    });
}

impl Covering {
    /// Rows of `set` near `query`: up to `ef` of them, in no order of importance, dead ones and rows newer than `set` left out.
    pub(crate) fn propose(&self, set: &RowSet, query: &[f32], ef: usize) -> Vec<usize> {
        let ef = ef.min(set.len());
        let near = self.0.read().hnsw.search(query, ef, ef);
        near.into_iter().map(|hit| hit.d_id).filter(|&row| set.live.get(row) == Some(&true)).collect()
    }
}
