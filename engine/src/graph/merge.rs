//! Builds a graph from a graph: it drops, renumbers and inserts rows.

use std::sync::atomic::AtomicBool;

use super::insert::{Level, Run, insert, sort, write};
use super::parallel::each;
use super::prune::prune;
use super::repair::repair;
use super::search::descend;
use super::{BASE_DEGREE, Codes, Graph, LEVELS, MAX_ROWS, NONE, OwnedGraph, UPPER_DEGREE, used};
use crate::vector::CodedQuery;

/// Breadth of the search for a node's candidates in the base.
const EF_BASE: usize = 150;
/// The same in the upper levels, which only have to lead near.
const EF_UPPER: usize = 64;
/// A base graph is worth keeping if at least one row in this many of the new graph comes from it.
const WORTH_KEEPING: usize = 4;

/// The graph of `codes`, from the graph `base` of an older set of rows, or from nothing.
///
/// `base` has the place of each of its rows in `codes`, [`NONE`] for a dropped one. Nodes that linked to dropped rows take over
/// their links; rows without an old row at their place are inserted. Every row can be reached from the entry. The result is a
/// function of the codes, the base and the places, for any number of threads. `progress` is called with the number of rows
/// inserted so far.
///
/// `None`: stopped.
///
/// # Panics
/// When `base` is no graph that its check accepts, or the places are not as many as its rows, or beyond `codes`.
pub(crate) fn merged(
    codes: Codes,
    base: Option<(Graph, &[u32])>,
    threads: usize,
    stop: &[&AtomicBool],
    progress: &(dyn Fn(usize) + Sync),
) -> Option<OwnedGraph> {
    let rows = codes.rows();
    assert!(rows <= MAX_ROWS, "{rows} rows are more than a graph holds");
    let run = Run { threads, stop, progress: &|_| {} };
    let (upper_counts, upper_rows) = levels(rows);
    let levels = upper_levels(codes, &upper_counts, &upper_rows, run)?;

    let mut is_there = vec![false; rows];
    let links = match base {
        Some((graph, place)) if rows > 0 => consolidated(codes, graph, place, &mut is_there, run),
        _ => vec![NONE; rows * BASE_DEGREE],
    };
    let mut level = Level { codes, degree: BASE_DEGREE, links, ef: EF_BASE };
    let kept = is_there.iter().filter(|&&is_there| is_there).count();
    // Slots that are not there yet borrow their links of level 1, so that a search can enter by them; inserted last, they then
    // get links of their own.
    let mut slots = Vec::new();
    if let Some(lowest) = levels.last() {
        let mut lent = Vec::with_capacity(UPPER_DEGREE);
        for (links, &row) in lowest.chunks_exact(UPPER_DEGREE).zip(&upper_rows) {
            if !is_there[row as usize] {
                lent.clear();
                lent.extend(used(links).map(|slot| upper_rows[slot as usize]));
                write(&mut level.links, BASE_DEGREE, row, &lent);
                is_there[row as usize] = true;
                slots.push(row);
            }
        }
    }
    let mut order: Vec<u32> = (0..rows as u32).filter(|&row| !is_there[row as usize]).collect();
    let there = rows - order.len();
    slots.sort_unstable();
    order.append(&mut slots);
    let enter = |query: &CodedQuery| {
        let slot = descend(levels.iter().map(Vec::as_slice), &upper_rows, codes, query);
        slot.map_or(0, |slot| upper_rows[slot as usize])
    };
    let progress: &(dyn Fn(usize) + Sync) = &|done| progress(kept + done);
    insert(&mut level, &order, there, enter, Run { threads, stop, progress })?;

    let upper_links = levels.iter().rev().flatten().copied().collect();
    let mut graph = OwnedGraph { rows, base: level.links, upper_counts, upper_rows, upper_links };
    repair(&mut graph, codes, stop)?;
    Some(graph)
}

/// Nodes of each upper level, level 1 first, and the rows of the slots; a row's level is a function of its number.
fn levels(rows: usize) -> (Vec<u32>, Vec<u32>) {
    let mut slots: Vec<(std::cmp::Reverse<u32>, u32)> =
        (0..rows as u32).map(|row| (std::cmp::Reverse(level_of(row)), row)).filter(|slot| slot.0.0 > 0).collect();
    slots.sort_unstable();
    let highest = slots.first().map_or(0, |slot| slot.0.0);
    let counts = (1..=highest).map(|level| slots.partition_point(|slot| slot.0.0 >= level) as u32).collect();
    (counts, slots.into_iter().map(|slot| slot.1).collect())
}

/// The level of a row: `l` or more for one row in `16^l`, by the leading zeros of a hash (SplitMix64's finaliser).
fn level_of(row: u32) -> u32 {
    /// Any constant; the golden ratio is SplitMix64's.
    const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
    const BITS_A_LEVEL: u32 = UPPER_DEGREE.trailing_zeros();
    let mut hash = u64::from(row).wrapping_add(1).wrapping_mul(SEED);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^= hash >> 31;
    (hash.leading_zeros() / BITS_A_LEVEL).min(LEVELS as u32)
}

/// Links of each upper level, the topmost first. A level starts as a copy of the one above.
fn upper_levels(codes: Codes, counts: &[u32], rows: &[u32], run: Run) -> Option<Vec<Vec<u32>>> {
    let slots: Vec<u8> = rows.iter().flat_map(|&row| codes.row(row)).copied().collect();
    let slots = Codes { bytes: &slots, dimension: codes.dimension };
    let mut levels: Vec<Vec<u32>> = Vec::new();
    for &count in counts.iter().rev() {
        let mut links = levels.last().cloned().unwrap_or_default();
        let there = links.len() / UPPER_DEGREE;
        links.resize(count as usize * UPPER_DEGREE, NONE);
        let mut level = Level { codes: slots, degree: UPPER_DEGREE, links, ef: EF_UPPER };
        let order: Vec<u32> = (there as u32..count).collect();
        let enter = |query: &CodedQuery| descend(levels.iter().map(Vec::as_slice), rows, codes, query).unwrap_or(0);
        insert(&mut level, &order, there, enter, run)?;
        levels.push(level.links);
    }
    Some(levels)
}

/// Base links of the rows that `graph` places in `codes`, which are marked in `is_there`; none if too few are left.
///
/// A node that linked to a dropped row gets that row's own neighbours as candidates in its stead.
fn consolidated(codes: Codes, graph: Graph, place: &[u32], is_there: &mut [bool], run: Run) -> Vec<u32> {
    let mut links = vec![NONE; codes.rows() * BASE_DEGREE];
    assert_eq!(place.len(), graph.rows, "every old row must have a place");
    let kept: Vec<u32> = (0..graph.rows as u32).filter(|&old| place[old as usize] != NONE).collect();
    if kept.len() * WORTH_KEEPING < codes.rows() {
        return links;
    }
    let placed = |old: u32| Some(place[old as usize]).filter(|&new| new != NONE);
    let mut new: Vec<(u32, Vec<u32>)> = kept.into_iter().map(|old| (old, Vec::new())).collect();
    let state = || (CodedQuery::of_row(codes.row(0), codes.dimension), Vec::new(), Vec::new());
    each(run.threads, &mut new, state, |(query, scores, candidates), _, (old, new)| {
        if run.is_stopped() {
            return;
        }
        let own = place[*old as usize];
        new.extend(graph.links(*old).filter_map(placed));
        let dropped = graph.links(*old).filter(|&link| placed(link).is_none());
        let before = new.len();
        new.extend(dropped.flat_map(|link| graph.links(link)).filter_map(placed).filter(|&link| link != own));
        if new.len() > before {
            query.set_row(codes.row(own));
            scores.clear();
            scores.resize(new.len(), 0.0);
            query.scores_at(codes.bytes, new, scores);
            candidates.clear();
            candidates.extend(scores.iter().copied().zip(new.drain(..)));
            sort(candidates);
            prune(codes, candidates, BASE_DEGREE, new);
        }
    });
    for (old, new) in new {
        let own = place[old as usize];
        is_there[own as usize] = true;
        write(&mut links, BASE_DEGREE, own, &new);
    }
    links
}
