//! Builds a graph from scratch by hnsw_rs, and flattens it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::Builder;

use anndists::dist::Distance;
use hnsw_rs::hnsw::Hnsw;

use super::insert::write;
use super::repair::repair;
use super::{BASE_DEGREE, Codes, LEVELS, MAX_ROWS, NONE, OwnedGraph, UPPER_DEGREE, is_any_set};
use crate::vector::row_score;

/// Breadth of the search that finds a new node's links.
const EF_CONSTRUCTION: usize = 200;

/// 1 - score, never negative: the library asserts on that, and the score of nearly equal vectors can pass 1.
struct CodeDistance {
    dimension: usize,
}

impl Distance<u8> for CodeDistance {
    fn eval(&self, a: &[u8], b: &[u8]) -> f32 {
        (1.0 - row_score(a, b, self.dimension)).max(0.0)
    }
}

/// The graph of `codes`, built by hnsw_rs on `threads` threads; every row can be reached from the entry.
///
/// It depends on how the threads take turns. `None`: stopped.
pub(crate) fn fresh(codes: Codes, threads: usize, stop: &[&AtomicBool]) -> Option<OwnedGraph> {
    let rows = codes.rows();
    assert!(rows <= MAX_ROWS, "{rows} rows are more than a graph holds");
    let distance = CodeDistance { dimension: codes.dimension };
    // The library's layers include the base.
    let hnsw: Hnsw<u8, CodeDistance> = Hnsw::new(UPPER_DEGREE, rows.max(1), LEVELS + 1, EF_CONSTRUCTION, distance);
    let next = AtomicUsize::new(0);
    let insert_next = || {
        let row = next.fetch_add(1, Ordering::Relaxed);
        let is_left = row < rows && !is_any_set(stop);
        if is_left {
            hnsw.insert_slice((codes.row(row as u32), row));
        }
        is_left
    };
    // The first alone: it becomes the entry that the others start from.
    insert_next();
    std::thread::scope(|scope| {
        for _ in 1..threads {
            // Where the system gives no more threads, fewer do the work.
            let _fewer = Builder::new().spawn_scoped(scope, || while insert_next() {});
        }
        while insert_next() {}
    });
    if is_any_set(stop) {
        return None;
    }
    let mut graph = flat(&hnsw, rows);
    repair(&mut graph, codes, stop)?;
    Some(graph)
}

/// The library's graph in flat form.
fn flat(hnsw: &Hnsw<u8, CodeDistance>, rows: usize) -> OwnedGraph {
    // A node's links of each level, nearest first; only rows of that level count, the library also keeps others.
    let mut nodes: Vec<(usize, Vec<Vec<u32>>)> = vec![(0, Vec::new()); rows];
    for level in 0..=usize::from(hnsw.get_max_level_observed()) {
        for point in hnsw.get_point_indexation().get_layer_iterator(level) {
            let mut links = point.get_neighborhood_id();
            links.truncate(level + 1);
            let sorted = links.into_iter().map(|mut links| {
                links.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.d_id.cmp(&b.d_id)));
                links.into_iter().map(|link| link.d_id as u32).collect()
            });
            nodes[point.get_origin_id()] = (level, sorted.collect());
        }
    }
    let mut upper_rows: Vec<u32> = (0..rows as u32).filter(|&row| nodes[row as usize].0 > 0).collect();
    upper_rows.sort_by_key(|&row| std::cmp::Reverse(nodes[row as usize].0));
    let mut slot_of = vec![NONE; rows];
    for (slot, &row) in upper_rows.iter().enumerate() {
        slot_of[row as usize] = slot as u32;
    }
    let links_of = |row: u32, level: usize, degree: usize| -> Vec<u32> {
        let links = nodes[row as usize].1.get(level).into_iter().flatten().copied();
        links.filter(|&link| link != row && nodes[link as usize].0 >= level).take(degree).collect()
    };
    let mut base = vec![NONE; rows * BASE_DEGREE];
    for row in 0..rows as u32 {
        write(&mut base, BASE_DEGREE, row, &links_of(row, 0, BASE_DEGREE));
    }
    let highest = upper_rows.first().map_or(0, |&row| nodes[row as usize].0);
    let (mut upper_counts, mut upper_links) = (Vec::new(), Vec::new());
    for level in 1..=highest {
        let count = upper_rows.partition_point(|&row| nodes[row as usize].0 >= level);
        let mut links = vec![NONE; count * UPPER_DEGREE];
        for (slot, &row) in upper_rows[..count].iter().enumerate() {
            let slots: Vec<u32> =
                links_of(row, level, UPPER_DEGREE).iter().map(|&link| slot_of[link as usize]).collect();
            write(&mut links, UPPER_DEGREE, slot as u32, &slots);
        }
        upper_counts.push(count as u32);
        upper_links.append(&mut links);
    }
    OwnedGraph { rows, base, upper_counts, upper_rows, upper_links }
}
