//! Tests of the graph as a whole: both ways of building it, on clustered, equal and few vectors.
//!
//! It catches (R17): rows that parallel insertion leaves unreachable and no repair links again, links to rows that a merge
//! dropped, a merge that depends on the number of threads, a link that leads out of the graph.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::vector::{CodedQuery, encode, unit};

const DIMENSION: usize = 24;

/// A stream of numbers in -1..1.
fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// Coded rows in clusters of about 20.
fn clustered(rows: usize, seed: u64) -> Vec<u8> {
    let mut next = noise(seed);
    let centres: Vec<Vec<f32>> = (0..rows.div_ceil(20)).map(|_| (0..DIMENSION).map(|_| next()).collect()).collect();
    let mut bytes = vec![0; rows * stride(DIMENSION)];
    for (at, row) in bytes.chunks_exact_mut(stride(DIMENSION)).enumerate() {
        let vector: Vec<f32> = centres[at * 7 % centres.len()].iter().map(|x| x + 0.5 * next()).collect();
        encode(&unit(&vector).unwrap(), row);
    }
    bytes
}

fn codes(bytes: &[u8]) -> Codes<'_> {
    Codes { bytes, dimension: DIMENSION }
}

/// The best rows by score, equal ones by row.
fn brute_force(codes: Codes, query: &CodedQuery, count: usize) -> Vec<(f32, u32)> {
    let mut all: Vec<(f32, u32)> = (0..codes.rows() as u32).map(|row| (query.score(codes.row(row)), row)).collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    all.truncate(count);
    all
}

fn recall_at_10(graph: Graph, codes: Codes) -> f64 {
    let mut scratch = Scratch::default();
    let queries = clustered(100, 5);
    let mut hits = 0;
    for row in queries.chunks_exact(stride(DIMENSION)).chain((0..100).map(|row| codes.row(row * 7))) {
        let query = CodedQuery::of_row(row, DIMENSION);
        let expected = brute_force(codes, &query, 10);
        let found = search(graph, codes, &query, 40, &mut scratch);
        hits += expected.iter().filter(|hit| found[..10].contains(hit)).count();
    }
    hits as f64 / 2000.0
}

/// What every graph must be.
fn assert_sound(graph: &OwnedGraph, rows: usize) {
    assert_eq!(graph.view().check(), Ok(()));
    assert_eq!(graph.rows, rows);
    assert_eq!(unreachable(graph.view()), [0u32; 0]);
}

fn merge(bytes: &[u8], base: Option<(Graph, &[u32])>, threads: usize) -> OwnedGraph {
    merged(codes(bytes), base, threads, &[], &|_| ()).unwrap()
}

#[test]
fn a_fresh_graph_finds_what_is_near() {
    let bytes = clustered(3000, 1);
    let graph = fresh(codes(&bytes), 2, &[]).unwrap();
    assert_sound(&graph, 3000);
    assert!(recall_at_10(graph.view(), codes(&bytes)) >= 0.95);
}

/// New rows and behind them the old ones but for one in `dropped`; and where each old row lies now.
fn followed_by_some(mut rows: Vec<u8>, old: &[u8], dropped: usize) -> (Vec<u8>, Vec<u32>) {
    let mut place = Vec::new();
    for (row, code) in old.chunks_exact(stride(DIMENSION)).enumerate() {
        if row.is_multiple_of(dropped) {
            place.push(NONE);
        } else {
            place.push((rows.len() / stride(DIMENSION)) as u32);
            rows.extend_from_slice(code);
        }
    }
    (rows, place)
}

/// R17. Both ways of building are parallel, and of the first the result depends on how the threads met. `CAIRN_CASES` says how many
/// pairs of graphs are built.
#[test]
fn parallel_builds_leave_no_row_out_of_reach() {
    let builds = std::env::var("CAIRN_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(10);
    for build in 0..builds {
        let rows = 200 + (build as usize * 977) % 1800;
        let bytes = clustered(rows, build);
        let fresh = fresh(codes(&bytes), 4, &[]).unwrap();
        assert_sound(&fresh, rows);
        let (more, place) = followed_by_some(clustered(200, !build), &bytes, 5);
        assert_sound(&merge(&more, Some((fresh.view(), &place)), 4), more.len() / stride(DIMENSION));
    }
}

#[test]
fn a_graph_merged_from_nothing_finds_what_is_near() {
    let bytes = clustered(3000, 1);
    let last = AtomicUsize::new(0);
    let graph = merged(codes(&bytes), None, 2, &[], &|done| {
        assert!(last.swap(done, Ordering::Relaxed) < done);
    });
    let graph = graph.unwrap();
    assert_sound(&graph, 3000);
    assert!(recall_at_10(graph.view(), codes(&bytes)) >= 0.95);
    assert!(last.into_inner() <= 3000);
}

#[test]
fn a_merge_drops_moves_and_inserts() {
    let old = clustered(2000, 2);
    let old_graph = merge(&old, None, 1);
    let (bytes, place) = followed_by_some(clustered(1000, 3), &old, 3);
    let rows = bytes.len() / stride(DIMENSION);
    let graph = merge(&bytes, Some((old_graph.view(), &place)), 2);
    assert_sound(&graph, rows);
    assert!(recall_at_10(graph.view(), codes(&bytes)) >= 0.95);
    assert_eq!(graph, merge(&bytes, Some((old_graph.view(), &place)), 1));
}

#[test]
fn a_merge_that_only_drops_keeps_the_rest_within_reach() {
    let old = clustered(2000, 4);
    let old_graph = merge(&old, None, 2);
    // Every other hundred is dropped: half of each cluster.
    let is_kept = |row: u32| (row / 100).is_multiple_of(2);
    let bytes: Vec<u8> = (0..2000).filter(|&row| is_kept(row)).flat_map(|row| codes(&old).row(row)).copied().collect();
    let place: Vec<u32> = (0..2000).map(|row| if is_kept(row) { row / 200 * 100 + row % 100 } else { NONE }).collect();
    let graph = merge(&bytes, Some((old_graph.view(), &place)), 2);
    assert_sound(&graph, 1000);
    assert!(recall_at_10(graph.view(), codes(&bytes)) >= 0.95);
    // Half of the links went to dropped rows; what those linked to takes their place.
    let links = graph.base.iter().filter(|&&link| link != NONE).count();
    assert!(links > 1000 * BASE_DEGREE * 3 / 4);
}

#[test]
fn a_merge_does_not_depend_on_the_number_of_threads() {
    let bytes = clustered(3000, 6);
    let one = merge(&bytes, None, 1);
    assert_eq!(one, merge(&bytes, None, 2));
    assert_eq!(one, merge(&bytes, None, 5));
}

#[test]
fn a_search_as_broad_as_the_graph_is_brute_force() {
    let bytes = clustered(700, 7);
    let (bytes, queries) = bytes.split_at(650 * stride(DIMENSION));
    let mut scratch = Scratch::default();
    for graph in [merge(bytes, None, 2), fresh(codes(bytes), 2, &[]).unwrap()] {
        for row in queries.chunks_exact(stride(DIMENSION)) {
            let query = CodedQuery::of_row(row, DIMENSION);
            for ef in [650, 1000] {
                let found = search(graph.view(), codes(bytes), &query, ef, &mut scratch);
                assert_eq!(found, brute_force(codes(bytes), &query, 650));
            }
        }
    }
}

#[test]
fn few_and_equal_rows_make_graphs_too() {
    let one = clustered(1, 8);
    let mut scratch = Scratch::default();
    for rows in [0, 1, 2, 3, 40, 3000] {
        let bytes = one.repeat(rows);
        for graph in [merge(&bytes, None, 2), fresh(codes(&bytes), 2, &[]).unwrap()] {
            assert_sound(&graph, rows);
            let query = CodedQuery::of_row(&one, DIMENSION);
            assert_eq!(search(graph.view(), codes(&bytes), &query, 3, &mut scratch).len(), rows.min(3));
            assert_eq!(search(graph.view(), codes(&bytes), &query, 0, &mut scratch), []);
            let dropped = vec![NONE; rows];
            assert_sound(&merge(&[], Some((graph.view(), &dropped)), 1), 0);
        }
    }
}

#[test]
fn building_stops_when_asked_to() {
    let bytes = clustered(3000, 9);
    let (stop, never) = (AtomicBool::new(true), AtomicBool::new(false));
    assert_eq!(fresh(codes(&bytes), 2, &[&never, &stop]), None);
    assert_eq!(merged(codes(&bytes), None, 2, &[&stop, &never], &|_| ()), None);
    stop.store(false, Ordering::Relaxed);
    let midway = |_| stop.store(true, Ordering::Relaxed);
    assert_eq!(merged(codes(&bytes), None, 2, &[&stop, &never], &midway), None);
}

proptest! {
    /// One element of one array is overwritten, dropped or doubled: the check refuses it, or the graph is still one that can be
    /// searched.
    #[test]
    fn damage_is_refused(array in 0usize..4, at in any::<prop::sample::Index>(), how in 0u8..3, value in prop_oneof![any::<u32>(), 0u32..2100]) {
        static GRAPH: std::sync::LazyLock<(Vec<u8>, OwnedGraph)> = std::sync::LazyLock::new(|| {
            let bytes = clustered(2000, 10);
            let graph = merge(&bytes, None, 2);
            (bytes, graph)
        });
        let (bytes, sound) = &*GRAPH;
        let mut graph = sound.clone();
        let array = match array {
            0 => &mut graph.base,
            1 => &mut graph.upper_counts,
            2 => &mut graph.upper_rows,
            _ => &mut graph.upper_links,
        };
        let at = at.index(array.len());
        let is_length = how > 0;
        match how {
            0 => array[at] = value,
            1 => drop(array.remove(at)),
            _ => array.insert(at, value),
        }
        match graph.view().check() {
            Ok(()) => {
                prop_assert!(!is_length);
                let query = CodedQuery::of_row(codes(bytes).row(0), DIMENSION);
                let mut scratch = Scratch::default();
                search(graph.view(), codes(bytes), &query, 2000, &mut scratch);
            }
            Err(_) => prop_assert!(graph != *sound),
        }
    }
}

#[test]
fn each_kind_of_damage_is_refused() {
    let bytes = clustered(2000, 11);
    let sound = merge(&bytes, None, 2);
    let refused = |damage: &dyn Fn(&mut OwnedGraph)| {
        let mut graph = sound.clone();
        damage(&mut graph);
        assert!(graph.view().check().is_err());
    };
    assert!(sound.upper_counts.len() > 1, "the damage below needs two levels");
    refused(&|graph| graph.rows += 1);
    refused(&|graph| graph.rows -= 1);
    refused(&|graph| graph.base[0] = 0);
    refused(&|graph| graph.base[0] = NONE);
    refused(&|graph| graph.base[0] = 2000);
    refused(&|graph| graph.upper_counts[1] = graph.upper_counts[0] + 1);
    refused(&|graph| graph.upper_counts[1] = 0);
    refused(&|graph| graph.upper_counts.push(1));
    refused(&|graph| graph.upper_rows.swap(0, 1));
    refused(&|graph| graph.upper_rows[0] = graph.upper_rows[1]);
    refused(&|graph| graph.upper_rows[0] = 2000);
    refused(&|graph| graph.upper_links[0] = 0);
    refused(&|graph| graph.upper_links[0] = graph.upper_counts[0]);
    refused(&|graph| *graph.upper_links.last_mut().unwrap() = graph.upper_counts[0]);
}
