//! Makes every row reachable from the entry by base links.
//!
//! A breadth-first tree from the entry marks the links that connect the reachable rows. Every other link, and every unused one,
//! can be replaced without disconnecting a row; so each row that is attached stays attached, and one pass is enough. With `n`
//! reachable rows the tree uses `n - 1` of `32 n` links, so there is always a replaceable one.

use std::sync::atomic::AtomicBool;

#[cfg(test)]
use super::Graph;
use super::search::{Scratch, search};
use super::{BASE_DEGREE, Codes, NONE, OwnedGraph, is_any_set};
use crate::vector::{CodedQuery, row_score};

/// Breadth of the search for the rows nearest to an unreachable one.
const EF: usize = 32;

/// The rows that cannot be reached from the entry by base links, ascending; `O(links)`.
#[cfg(test)]
pub(crate) fn unreachable(graph: Graph) -> Vec<u32> {
    let tree = Tree::of(graph.base, graph.rows, graph.entry());
    (0..graph.rows as u32).filter(|&row| !tree.has(row)).collect()
}

/// Links every unreachable row from a near reachable one; `None`: stopped.
pub(super) fn repair(graph: &mut OwnedGraph, codes: Codes, stop: &[&AtomicBool]) -> Option<()> {
    let mut tree = Tree::of(&graph.base, graph.rows, graph.view().entry());
    let mut scratch = Scratch::default();
    // Reachable rows before this one have nothing to give; they never will again.
    let mut giver = 0;
    for row in 0..graph.rows as u32 {
        if tree.has(row) {
            continue;
        }
        if is_any_set(stop) {
            return None;
        }
        let query = CodedQuery::of_row(codes.row(row), codes.dimension);
        let near = search(graph.view(), codes, &query, EF, &mut scratch);
        let slot = near.iter().find_map(|&(_, from)| tree.free_slot(&graph.base, codes, from));
        let slot = slot.or_else(|| {
            while (giver as usize) < graph.rows {
                if let Some(slot) = tree.free_slot(&graph.base, codes, giver) {
                    return Some(slot);
                }
                giver += 1;
            }
            None
        })?;
        graph.base[slot] = row;
        tree.grow(&graph.base, (slot / BASE_DEGREE) as u32, row);
    }
    Some(())
}

/// A tree of base links that reaches what can be reached.
struct Tree {
    /// The row that each row was reached from; itself for the entry, [`NONE`] for a row that was not reached.
    parent: Vec<u32>,
}

impl Tree {
    fn of(base: &[u32], rows: usize, entry: u32) -> Self {
        let mut tree = Self { parent: vec![NONE; rows] };
        if rows > 0 {
            tree.grow(base, entry, entry);
        }
        tree
    }

    fn has(&self, row: u32) -> bool {
        self.parent[row as usize] != NONE
    }

    /// Adds `row` below `parent`, and all that can be reached from it.
    fn grow(&mut self, base: &[u32], parent: u32, row: u32) {
        self.parent[row as usize] = parent;
        let mut queue = std::collections::VecDeque::from([row]);
        while let Some(row) = queue.pop_front() {
            for &link in &base[row as usize * BASE_DEGREE..][..BASE_DEGREE] {
                if link == NONE {
                    break;
                }
                if !self.has(link) {
                    self.parent[link as usize] = row;
                    queue.push_back(link);
                }
            }
        }
    }

    /// The link of `from`, as an index into the base links, that it can best spare: an unused one, else the one nearest to
    /// another of its links; `None` if it is not reachable itself or all its links hold the tree together.
    fn free_slot(&self, base: &[u32], codes: Codes, from: u32) -> Option<usize> {
        if !self.has(from) {
            return None;
        }
        let start = from as usize * BASE_DEGREE;
        let links = &base[start..start + BASE_DEGREE];
        if let Some(unused) = links.iter().position(|&link| link == NONE) {
            return Some(start + unused);
        }
        let spare = (0..BASE_DEGREE).filter(|&at| self.parent[links[at] as usize] != from);
        let redundancy = |at: usize| {
            let others = links.iter().filter(|&&other| other != links[at]);
            others
                .map(|&other| row_score(codes.row(links[at]), codes.row(other), codes.dimension))
                .fold(f32::NEG_INFINITY, f32::max)
        };
        spare.map(|at| (redundancy(at), at)).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, at)| start + at)
    }
}
