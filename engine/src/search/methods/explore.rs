//! Explore-exploit graph traversal (docs/ALGORITHMS.md, explore and exploit): images in the order in which the best edges reach them.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap, HashSet};

use cairndb_query::Exploration;

use super::super::first_stage::{Context, Found, Ready, itself};
use crate::error::Result;
use crate::operation::Role;

/// An edge that was seen: the best one is taken first, of equal ones the first that was seen.
#[derive(PartialEq)]
struct Seen {
    similarity: f32,
    number: usize,
    to: u32,
}

impl Eq for Seen {}

impl Ord for Seen {
    fn cmp(&self, other: &Self) -> Ordering {
        self.similarity.total_cmp(&other.similarity).then_with(|| other.number.cmp(&self.number))
    }
}

impl PartialOrd for Seen {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Context<'_> {
    /// Rows in the order in which they are reached, until `enough` says so; each with the similarity of the edge that reached it.
    pub(in crate::search) fn explored(
        &self,
        query: &Ready,
        nearest: &[Found],
        method: Exploration,
        mut enough: impl FnMut(&Found) -> Result<bool>,
    ) -> Result<()> {
        // A list of the directed graph begins with the image itself.
        let degree = method.degree - usize::from(method.directed);
        let graph = self.state.neighbourhood(degree, self.interrupt)?;
        let back = (!method.directed).then(|| self.state.derived.reversed(&graph, degree));
        let own = itself(&self.state.index, query);
        let mut heap = BinaryHeap::new();
        let (mut best, mut reached): (HashMap<u32, f32>, HashSet<u32>) = (HashMap::new(), HashSet::new());
        let mut number = 0;
        let mut see = |similarity: f32, to: u32, reached: &HashSet<u32>, heap: &mut BinaryHeap<Seen>| {
            let known = best.entry(to).or_insert(f32::NEG_INFINITY);
            if !reached.contains(&to) && similarity > *known {
                *known = similarity;
                heap.push(Seen { similarity, number, to });
                number += 1;
            }
        };
        nearest.iter().for_each(|found| see(found.score, found.row as u32, &reached, &mut heap));
        loop {
            self.interrupt.look()?;
            let mut frontier = Vec::new();
            while let Some(top) = heap.peek() {
                let goes_on = method.threshold.is_some_and(|threshold| f64::from(top.similarity) > threshold);
                if !frontier.is_empty() && !goes_on {
                    break;
                }
                let Some(Seen { similarity, to, .. }) = heap.pop() else { break };
                if !reached.insert(to) {
                    continue;
                }
                frontier.push(to);
                let found = Found { role: Role::Index, row: to as usize, score: similarity };
                if Some(found.row) != own && enough(&found)? {
                    return Ok(());
                }
            }
            if frontier.is_empty() {
                return Ok(());
            }
            for row in frontier {
                let back = back.iter().flat_map(|back| back.nearest(row as usize, usize::MAX));
                let all = graph.nearest(row as usize, degree).iter().chain(back);
                all.for_each(|edge| see(edge.similarity, edge.row, &reached, &mut heap));
            }
        }
    }
}
