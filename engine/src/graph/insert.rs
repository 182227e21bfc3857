//! The batch inserter: nodes are added to a level in batches, each against the frozen graph of all before it.
//!
//! A batch searches in parallel, and since its nodes cannot find each other that way, the exact products within the batch supply
//! them. Links back are then grouped by the node they start from, so that each node is rewritten by one thread. Nothing depends on
//! the order in which threads run: the graph is a function of the codes and the order of insertion.

use std::sync::atomic::AtomicBool;

use super::parallel::each;
use super::prune::prune;
use super::search::{Scratch, best_first};
use super::{Codes, NONE, is_any_set, used};
use crate::vector::{CodedQuery, products, stride};

/// Nodes of the first batch, whose candidates are exact.
const FIRST_BATCH: usize = 256;
/// Nodes of a batch at most: its products cost a node as many, at about 1.5 ns each.
const LARGEST_BATCH: usize = 2048;
/// Neighbours within the batch that a node takes as candidates.
const BATCH_NEIGHBOURS: usize = 32;
/// Queries whose products with the batch are computed together.
const QUERIES: usize = 16;

/// A level that is being built: node `n` has the code `codes.row(n)` and the links `links[n * degree..][..degree]`.
pub(super) struct Level<'a> {
    pub(super) codes: Codes<'a>,
    pub(super) degree: usize,
    pub(super) links: Vec<u32>,
    /// Breadth of the search for a node's candidates.
    pub(super) ef: usize,
}

/// How an insertion runs, and whom it tells.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) threads: usize,
    pub(super) stop: &'a [&'a AtomicBool],
    /// It is called with the number of nodes inserted so far.
    pub(super) progress: &'a (dyn Fn(usize) + Sync),
}

impl Run<'_> {
    /// Whether the caller wants it to end.
    pub(super) fn is_stopped(&self) -> bool {
        is_any_set(self.stop)
    }
}

/// Inserts the nodes of `order`; `there` others are in the level already. `enter` gives a node near a query to start from.
///
/// `None`: stopped.
pub(super) fn insert(
    level: &mut Level,
    order: &[u32],
    there: usize,
    enter: impl Fn(&CodedQuery) -> u32 + Sync,
    run: Run,
) -> Option<()> {
    let mut done = 0;
    while done < order.len() {
        let size = (there + done).clamp(FIRST_BATCH, LARGEST_BATCH).min(order.len() - done);
        let batch = &order[done..done + size];
        let near = neighbours_within(level.codes, batch, run);
        let mut forward: Vec<Vec<u32>> = vec![Vec::new(); size];
        let state = || (Scratch::default(), CodedQuery::of_row(level.codes.row(batch[0]), level.codes.dimension));
        each(run.threads, &mut forward, state, |(scratch, query), at, links| {
            if run.is_stopped() {
                return;
            }
            let mut candidates = near[at].clone();
            if there + done > 0 {
                query.set_row(level.codes.row(batch[at]));
                best_first(level.codes, &level.links, level.degree, enter(query), query, level.ef, scratch);
                candidates.extend(scratch.found().iter().filter(|&&(_, node)| node != batch[at]));
                sort(&mut candidates);
            }
            prune(level.codes, &candidates, level.degree, links);
        });
        if run.is_stopped() {
            return None;
        }
        for (&node, forward) in batch.iter().zip(&forward) {
            write(&mut level.links, level.degree, node, forward);
        }
        link_back(level, batch, &forward, run);
        done += size;
        (run.progress)(done);
    }
    if run.is_stopped() { None } else { Some(()) }
}

/// Best first, equal ones by node, none twice.
pub(super) fn sort(candidates: &mut Vec<(f32, u32)>) {
    candidates.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    candidates.dedup_by_key(|candidate| candidate.1);
}

/// Makes `new` the links of `node`.
pub(super) fn write(links: &mut [u32], degree: usize, node: u32, new: &[u32]) {
    let block = &mut links[node as usize * degree..][..degree];
    block[..new.len()].copy_from_slice(new);
    block[new.len()..].fill(NONE);
}

/// For each node of the batch the nearest others of it, best first.
fn neighbours_within(codes: Codes, batch: &[u32], run: Run) -> Vec<Vec<(f32, u32)>> {
    let mut rows = Vec::with_capacity(batch.len() * stride(codes.dimension));
    for &node in batch {
        rows.extend_from_slice(codes.row(node));
    }
    let mut near: Vec<Vec<Vec<(f32, u32)>>> =
        batch.chunks(QUERIES).map(|nodes| vec![Vec::new(); nodes.len()]).collect();
    each(
        run.threads,
        &mut near,
        || vec![0.0; QUERIES * batch.len()],
        |scores, at, near| {
            let own = &batch[at * QUERIES..][..near.len()];
            let queries: Vec<_> =
                own.iter().map(|&node| CodedQuery::of_row(codes.row(node), codes.dimension)).collect();
            let scores = &mut scores[..own.len() * batch.len()];
            products(&queries, &rows, scores);
            for ((near, scores), &own) in near.iter_mut().zip(scores.chunks_exact(batch.len())).zip(own) {
                *near = nearest(batch, scores, own);
            }
        },
    );
    near.into_iter().flatten().collect()
}

/// The best [`BATCH_NEIGHBOURS`] of the batch other than `own`, best first.
fn nearest(batch: &[u32], scores: &[f32], own: u32) -> Vec<(f32, u32)> {
    let mut best: Vec<(f32, u32)> = Vec::with_capacity(2 * BATCH_NEIGHBOURS);
    let mut floor = f32::NEG_INFINITY;
    for (&node, &score) in batch.iter().zip(scores) {
        // Nodes come in any order, so equal scores must be kept until they are sorted.
        if score >= floor && node != own {
            best.push((score, node));
            if best.len() == 2 * BATCH_NEIGHBOURS {
                sort(&mut best);
                best.truncate(BATCH_NEIGHBOURS);
                floor = best[BATCH_NEIGHBOURS - 1].0;
            }
        }
    }
    sort(&mut best);
    best.truncate(BATCH_NEIGHBOURS);
    best
}

/// A node that others now link to: the pairs of it and each of them, and the links it gets.
struct Target<'a> {
    sources: &'a [(u32, u32)],
    links: Vec<u32>,
}

/// Links the batch's new links back; a node with more links than fit keeps those that pruning leaves.
fn link_back(level: &mut Level, batch: &[u32], forward: &[Vec<u32>], run: Run) {
    let mut back: Vec<(u32, u32)> =
        batch.iter().zip(forward).flat_map(|(&node, links)| links.iter().map(move |&to| (to, node))).collect();
    back.sort_unstable();
    let mut targets: Vec<Target> =
        back.chunk_by(|a, b| a.0 == b.0).map(|sources| Target { sources, links: Vec::new() }).collect();
    let (codes, degree, links) = (level.codes, level.degree, &level.links);
    let state = || (CodedQuery::of_row(codes.row(batch[0]), codes.dimension), Vec::new(), Vec::new());
    each(run.threads, &mut targets, state, |(query, scores, candidates), _, target| {
        let node = target.sources[0].0;
        let mut all: Vec<u32> = used(&links[node as usize * degree..][..degree]).collect();
        let before = all.len();
        for &(_, source) in target.sources {
            if !all[..before].contains(&source) {
                all.push(source);
            }
        }
        if all.len() <= degree {
            target.links = all;
            return;
        }
        query.set_row(codes.row(node));
        scores.clear();
        scores.resize(all.len(), 0.0);
        query.scores_at(codes.bytes, &all, scores);
        candidates.clear();
        candidates.extend(scores.iter().copied().zip(all));
        sort(candidates);
        prune(codes, candidates, degree, &mut target.links);
    });
    let new: Vec<(u32, Vec<u32>)> = targets.into_iter().map(|target| (target.sources[0].0, target.links)).collect();
    for (node, new) in new {
        write(&mut level.links, level.degree, node, &new);
    }
}
