//! EXPLORE and EXPLORE DIRECTED against their rules on whole matrices, at degrees at which they differ.
//!
//! It catches: a directed graph with edges back, a list that does not count the image itself, a round that ends too early.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use cairn::methods::Exploration;
use cairn::{Query, Role, SearchRequest, Snapshot};
use cairndb_storage_tests::{Random, create, images, unit};

const DIMENSION: usize = 12;
const DEPTH: usize = 40;

/// Similarities of all index images, in the order of their keys.
struct Matrix {
    keys: Vec<String>,
    vectors: Vec<Vec<f32>>,
}

impl Matrix {
    fn of(snapshot: &Snapshot) -> Self {
        let keys = snapshot.keys(Some(Role::Index)).unwrap();
        let vectors = keys.iter().map(|key| snapshot.vector(key).unwrap().unwrap()).collect();
        Self { keys, vectors }
    }

    fn nearest(&self, of: &[f32], without: Option<usize>, most: usize) -> Vec<(usize, f64)> {
        let cosine = |other: &[f32]| of.iter().zip(other).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
        let mut all: Vec<(usize, f64)> = (0..self.keys.len())
            .filter(|row| Some(*row) != without)
            .map(|row| (row, cosine(&self.vectors[row])))
            .collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all.truncate(most);
        all
    }

    /// As the authors' code goes: `heap` has the best edge to each image that was seen and not taken.
    fn explored(&self, query: &[f32], method: Exploration) -> Vec<String> {
        let others = if method.directed { method.degree - 1 } else { method.degree };
        let near: Vec<Vec<(usize, f64)>> =
            (0..self.keys.len()).map(|row| self.nearest(&self.vectors[row], Some(row), others)).collect();
        let edges = |row: usize| -> Vec<(usize, f64)> {
            let mut edges = near[row].clone();
            if !method.directed {
                let back = (0..near.len()).flat_map(|from| near[from].iter().map(move |edge| (from, *edge)));
                edges.extend(back.filter(|(_, edge)| edge.0 == row).map(|(from, edge)| (from, edge.1)));
            }
            edges
        };
        let (mut heap, mut taken, mut order): (BTreeMap<usize, f64>, BTreeSet<usize>, Vec<usize>) = Default::default();
        let mut seen = self.nearest(query, None, method.degree);
        loop {
            for (row, similarity) in seen.drain(..).filter(|(row, _)| !taken.contains(row)) {
                let known = heap.entry(row).or_insert(similarity);
                *known = known.max(similarity);
            }
            let mut round = Vec::new();
            let mut best: Vec<(usize, f64)> = heap.iter().map(|(row, similarity)| (*row, *similarity)).collect();
            best.sort_by(|a, b| b.1.total_cmp(&a.1));
            for (row, similarity) in best {
                if round.is_empty() || method.threshold.is_some_and(|threshold| similarity > threshold) {
                    round.push(row);
                }
            }
            if round.is_empty() || order.len() >= DEPTH {
                order.truncate(DEPTH);
                return order.into_iter().map(|row| self.keys[row].clone()).collect();
            }
            for row in round {
                heap.remove(&row);
                taken.insert(row);
                order.push(row);
                seen.extend(edges(row));
            }
        }
    }
}

#[test]
fn both_graphs_are_walked_by_their_rules() {
    let folder = tempfile::tempdir().unwrap();
    let database = create(&folder.path().join("db"), DIMENSION);
    database.write(images("row", 160, DIMENSION, 9, 4, 1)).unwrap();
    let snapshot = database.snapshot();
    let matrix = Matrix::of(&snapshot);
    let (mut random, mut differ) = (Random::new(2), 0);
    for _ in 0..8 {
        let query = unit(&(0..DIMENSION).map(|_| random.signed()).collect::<Vec<f32>>());
        let walked = |method: Exploration| {
            let request = SearchRequest::new().depth(DEPTH).order(method);
            let answer = snapshot.search_one(&request, &Query::new(query.clone())).unwrap();
            let got: Vec<String> = answer.rows.into_iter().map(|row| row.id).collect();
            // What no edge reaches follows by similarity.
            let reached = matrix.explored(&query, method);
            assert_eq!(got[..reached.len()], reached[..], "{method:?}");
            got
        };
        for degree in [2, 4, 7] {
            for threshold in [None, Some(0.3), Some(0.8)] {
                let method = Exploration::new().degree(degree).threshold(threshold);
                differ += usize::from(walked(method) != walked(method.directed()));
            }
        }
    }
    assert!(differ > 10, "both graphs gave the same list but for {differ} searches");
}
