//! Best-first search of the graph by 8-bit scores.
//!
//! Most of a search is latency and bookkeeping, not arithmetic. So: a pool entry is one integer, smaller being better, inserted
//! by a branch-free binary search; visited nodes are bits; a hop gathers the unvisited neighbours first and scores them as one
//! block, with prefetch; and a node's links are prefetched when it enters the pool, long before it is expanded.

use super::{BASE_DEGREE, Codes, Graph, MAX_ROWS, NONE, UPPER_DEGREE, used};
use crate::vector::{CodedQuery, prefetch};

/// The bit of a pool entry that says that the node was expanded.
const EXPANDED: u64 = 1;

/// Buffers of a search, to be used again: a search allocates nothing once they are large enough.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// A bit for each node.
    visited: Vec<u64>,
    /// The visited nodes, in the order of their visit.
    seen: Vec<u32>,
    /// The best nodes, as [`entry`] packs them, ascending.
    pool: Vec<u64>,
    /// Scores of the block at hand.
    scores: Vec<f32>,
    found: Vec<(f32, u32)>,
}

impl Scratch {
    /// The nodes that the last search found, best first.
    pub(super) fn found(&self) -> &[(f32, u32)] {
        &self.found
    }

    /// Forgets the last search. Clearing single words pays while they are few.
    fn reset(&mut self, nodes: usize) {
        const WORDS_A_CLEARING: usize = 16;
        let words = nodes.div_ceil(64);
        if self.visited.len() == words && self.seen.len() < words / WORDS_A_CLEARING {
            for &node in &self.seen {
                self.visited[node as usize / 64] = 0;
            }
        } else {
            self.visited.clear();
            self.visited.resize(words, 0);
        }
        self.seen.clear();
        self.pool.clear();
        self.scores.resize(BASE_DEGREE.max(UPPER_DEGREE), 0.0);
    }
}

/// A pool entry: best scores first, equal ones by node; the lowest bit is for [`EXPANDED`].
#[inline]
fn entry(score: f32, node: u32) -> u64 {
    let bits = score.to_bits();
    // Descending in the score: positive floats ascend as integers and negative ones descend.
    let order = if bits >> 31 == 0 { !(bits | 1 << 31) } else { bits };
    u64::from(order) << 32 | u64::from(node) << 1
}

/// The score and node of an entry.
#[inline]
fn unpack(entry: u64) -> (f32, u32) {
    let order = (entry >> 32) as u32;
    let bits = if order >> 31 == 0 { !order & !(1 << 31) } else { order };
    (f32::from_bits(bits), entry as u32 >> 1)
}

/// The `ef` rows with the best scores that a search comes by, best first (equal ones by row); fewer only if the graph is smaller.
///
/// Cost: about 30 scores a row of the result at small `ef`, 15 at large.
pub(crate) fn search<'s>(
    graph: Graph,
    codes: Codes,
    query: &CodedQuery,
    ef: usize,
    scratch: &'s mut Scratch,
) -> &'s [(f32, u32)] {
    scratch.found.clear();
    if graph.rows == 0 || ef == 0 {
        return &scratch.found;
    }
    assert_eq!(codes.rows(), graph.rows, "a graph must be of these codes");
    let slot = descend(graph.levels_from_top(), graph.upper_rows, codes, query);
    let start = slot.map_or(0, |slot| graph.upper_rows[slot as usize]);
    best_first(codes, graph.base, BASE_DEGREE, start, query, ef, scratch);
    &scratch.found
}

/// The slot where a greedy walk down the levels ends; `None` without levels. `rows` maps slots to rows of `codes`.
pub(super) fn descend<'l>(
    levels: impl Iterator<Item = &'l [u32]>,
    rows: &[u32],
    codes: Codes,
    query: &CodedQuery,
) -> Option<u32> {
    let mut at = 0u32;
    let mut best = query.score(codes.row(*rows.first()?));
    let (mut numbers, mut scores) = ([0; UPPER_DEGREE], [0.0; UPPER_DEGREE]);
    for links in levels {
        loop {
            let links = &links[at as usize * UPPER_DEGREE..][..UPPER_DEGREE];
            let mut count = 0;
            for slot in used(links) {
                numbers[count] = rows[slot as usize];
                count += 1;
            }
            query.scores_at(codes.bytes, &numbers[..count], &mut scores[..count]);
            let before = at;
            for (&slot, &score) in links.iter().zip(&scores[..count]) {
                if score > best {
                    (best, at) = (score, slot);
                }
            }
            if at == before {
                break;
            }
        }
    }
    Some(at)
}

/// Fills `scratch.found` with the best `ef` nodes that a best-first search from `start` comes by.
///
/// Node `n` has the code `codes.row(n)` and the links `links[n * degree..][..degree]`.
pub(super) fn best_first(
    codes: Codes,
    links: &[u32],
    degree: usize,
    start: u32,
    query: &CodedQuery,
    ef: usize,
    scratch: &mut Scratch,
) {
    let nodes = links.len() / degree;
    assert!(nodes <= MAX_ROWS, "a pool entry holds 31 bits of a node's number");
    scratch.reset(nodes);
    let Scratch { visited, seen, pool, scores, found } = scratch;
    visited[start as usize / 64] |= 1 << (start % 64);
    seen.push(start);
    pool.push(entry(query.score(codes.row(start)), start));
    // Entries before this one are expanded.
    let mut next = 0;
    while let Some(ahead) = pool[next..].iter().position(|entry| entry & EXPANDED == 0) {
        next += ahead;
        let node = unpack(pool[next]).1;
        pool[next] |= EXPANDED;
        let before = seen.len();
        seen.resize(before + degree, NONE);
        let block = &mut seen[before..];
        let mut count = 0;
        for &neighbour in &links[node as usize * degree..][..degree] {
            if neighbour == NONE {
                break;
            }
            let word = &mut visited[neighbour as usize / 64];
            let bit = 1 << (neighbour % 64);
            // Without a branch: an already visited neighbour is overwritten by the next.
            block[count] = neighbour;
            count += usize::from(*word & bit == 0);
            *word |= bit;
        }
        seen.truncate(before + count);
        let (block, scores) = (&seen[before..], &mut scores[..count]);
        query.scores_at(codes.bytes, block, scores);
        for (&neighbour, &score) in block.iter().zip(&*scores) {
            let entry = entry(score, neighbour);
            if pool.len() == ef {
                if pool.last().is_some_and(|&worst| entry > worst) {
                    continue;
                }
                pool.pop();
            }
            let place = pool.partition_point(|&other| other < entry);
            pool.insert(place, entry);
            prefetch(&links[neighbour as usize * degree..][..degree]);
            next = next.min(place);
        }
        if next >= pool.len() {
            break;
        }
    }
    found.clear();
    found.extend(pool.iter().map(|&entry| unpack(entry)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_sort_by_score_descending_then_by_node() {
        let scores = [1.0, 0.5, 1e-30, 0.0, -0.0, -1e-30, -0.5, -1.0];
        let entries: Vec<u64> =
            scores.iter().flat_map(|&score| [entry(score, 3), entry(score, (1 << 31) - 1)]).collect();
        assert!(entries.is_sorted_by(|a, b| a < b));
        for (score, entry) in scores.iter().zip(entries.iter().step_by(2)) {
            let (got, node) = unpack(entry | EXPANDED);
            assert_eq!((got.to_bits(), node), (score.to_bits(), 3));
        }
    }
}
