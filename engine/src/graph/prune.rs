//! Which of a node's candidates become its links: the HNSW heuristic on 8-bit scores.

use super::Codes;
use crate::vector::{prefetch, row_score};

/// How much nearer to a link than to the node a candidate must be, to be dropped for it. 1 is plain HNSW; a little more keeps
/// some long links, and took 3 % of the scores off a search of 25,000 rows at a recall of .95 (1.1 as much, but loses at .99).
const ALPHA: f32 = 1.06;
/// Candidates between the one being prefetched and the one at hand.
const AHEAD: usize = 3;

/// Appends to `links` up to `degree` of `candidates`, which are sorted by score with the node, best first, none twice.
///
/// A candidate that is nearer to a link than to the node is reached through that link and dropped; distance is 1 - score. Places
/// that stay free go to the best of the dropped: they took 7 % of the scores off a search.
///
/// Cost: up to `degree` scores a candidate, few for most.
pub(super) fn prune(codes: Codes, candidates: &[(f32, u32)], degree: usize, links: &mut Vec<u32>) {
    let start = links.len();
    for (at, &(score, candidate)) in candidates.iter().enumerate() {
        if links.len() - start == degree {
            return;
        }
        if let Some(&(_, next)) = candidates.get(at + AHEAD) {
            prefetch(codes.row(next));
        }
        let row = codes.row(candidate);
        let is_covered = |&link: &u32| ALPHA * (1.0 - row_score(row, codes.row(link), codes.dimension)) < 1.0 - score;
        if !links[start..].iter().any(is_covered) {
            links.push(candidate);
        }
    }
    let diverse = links.len();
    for &(_, candidate) in candidates {
        if links.len() - start == degree {
            return;
        }
        if !links[start..diverse].contains(&candidate) {
            links.push(candidate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::{encode, stride};

    #[test]
    fn what_another_link_covers_comes_last_if_at_all() {
        // In the plane: the node at 0 degrees, candidates at 10, 14 and -20; the second is nearer to the first than to the node.
        let mut bytes = vec![0; 4 * stride(2)];
        let degrees: [f32; 4] = [0.0, 10.0, 14.0, -20.0];
        for (row, angle) in bytes.chunks_exact_mut(stride(2)).zip(degrees) {
            encode(&[angle.to_radians().cos(), angle.to_radians().sin()], row);
        }
        let codes = Codes { bytes: &bytes, dimension: 2 };
        let candidates: Vec<(f32, u32)> =
            (1..4).map(|node| (row_score(codes.row(0), codes.row(node), 2), node)).collect();
        for (degree, expected) in [(1, &[1][..]), (2, &[1, 3]), (3, &[1, 3, 2]), (5, &[1, 3, 2])] {
            let mut links = Vec::new();
            prune(codes, &candidates, degree, &mut links);
            assert_eq!(links, expected);
        }
    }
}
