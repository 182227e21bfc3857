//! Reciprocal neighbourhoods: sparse rows of the neighbour graph (docs/ALGORITHMS.md, reciprocal neighbours).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::Result;
use crate::state::{Neighbourhood, Sparse};

/// Share of a member's own reciprocal neighbours that must be the image's too, so that all of them join the image's.
const JOIN_ABOVE: f64 = 2.0 / 3.0;

/// Weight of a neighbour at this cosine: the exponential of minus the squared distance.
pub(super) fn weight(cosine: f32) -> f64 {
    weight_of(2.0 - 2.0 * f64::from(cosine))
}

/// Weight of a neighbour at this squared distance, which may be a share of the largest.
pub(super) fn weight_of(squared: f64) -> f64 {
    (-squared).exp()
}

/// Half of k1, rounded to even as the authors' code rounds; 1 at least.
fn half(k1: usize) -> usize {
    ((k1 as f64 / 2.0).round_ties_even() as usize).max(1)
}

/// Rows that are among a row's k nearest and have it among theirs; the row itself too.
fn reciprocal(graph: &Neighbourhood, row: usize, k: usize) -> BTreeSet<u32> {
    let near = graph.nearest(row, k).iter().filter(|edge| graph.has(edge.row as usize, row, k));
    near.map(|edge| edge.row).chain(std::iter::once(row as u32)).collect()
}

/// The members, and the reciprocal neighbours of each member that shares most of them.
fn joined(graph: &Neighbourhood, members: &BTreeSet<u32>, k1: usize) -> BTreeSet<u32> {
    let mut all = members.clone();
    for &member in members {
        let of_member = reciprocal(graph, member as usize, half(k1));
        let shared = of_member.iter().filter(|row| members.contains(row)).count();
        if shared as f64 > JOIN_ABOVE * of_member.len() as f64 {
            all.extend(of_member);
        }
    }
    all
}

/// The neighbourhood of a row: weights that sum to 1, in proportion to `weight`, which another row has in it.
///
/// # Errors
/// Those of `weight`.
pub(super) fn row_of(
    graph: &Neighbourhood,
    row: usize,
    k1: usize,
    weight: impl Fn(usize) -> Result<f64>,
) -> Result<Sparse> {
    let mut weights = Vec::new();
    for other in joined(graph, &reciprocal(graph, row, k1), k1) {
        weights.push((other, weight(other as usize)?));
    }
    let whole: f64 = weights.iter().map(|(_, weight)| weight).sum();
    Ok(weights.into_iter().map(|(row, weight)| (row, (weight / whole) as f32)).collect::<Arc<[_]>>())
}

/// The neighbourhood of a query, averaged over it and its k2 - 1 nearest rows, or all if there are fewer. `near` are its nearest rows with their cosines, `cosine` is
/// that of the query to a row, `row` the neighbourhood of one.
///
/// # Errors
/// Those of `cosine` and `row`.
pub(super) fn row_of_query(
    graph: &Neighbourhood,
    (k1, k2): (usize, usize),
    near: &[(usize, f32)],
    cosine: impl Fn(usize) -> Result<f32>,
    row: impl Fn(usize) -> Result<Sparse>,
) -> Result<BTreeMap<u32, f64>> {
    let near = &near[..k1.min(near.len())];
    // The query would be among the k1 nearest of these.
    let is_reciprocal = |&&(row, cosine): &&(usize, f32)| {
        let others = graph.nearest(row, k1);
        others.len() < k1 || others.last().is_none_or(|last| cosine >= last.similarity)
    };
    let members: BTreeSet<u32> = near.iter().filter(is_reciprocal).map(|&(row, _)| row as u32).collect();
    let mut weights: BTreeMap<u32, f64> = BTreeMap::new();
    for row in joined(graph, &members, k1) {
        weights.insert(row, weight(cosine(row as usize)?));
    }
    // The query is one of its own neighbours.
    let whole: f64 = 1.0 + weights.values().sum::<f64>();
    weights.values_mut().for_each(|weight| *weight /= whole);
    let near = &near[..(k2 - 1).min(near.len())];
    for &(near, _) in near {
        for &(other, value) in &*row(near)? {
            *weights.entry(other).or_default() += f64::from(value);
        }
    }
    weights.values_mut().for_each(|weight| *weight /= (1 + near.len()) as f64);
    Ok(weights)
}

/// The mean of the neighbourhoods of a row and of its k2 - 1 nearest ones, or of all others if there are fewer, as far as `wanted` wants it.
///
/// # Errors
/// Those of `row`.
pub(super) fn mean_of(
    graph: &Neighbourhood,
    of: usize,
    k2: usize,
    wanted: impl Fn(u32) -> bool,
    row: impl Fn(usize) -> Result<Sparse>,
) -> Result<BTreeMap<u32, f64>> {
    let mut mean: BTreeMap<u32, f64> = BTreeMap::new();
    let near = graph.nearest(of, k2 - 1);
    let count = (1 + near.len()) as f64;
    for near in std::iter::once(of).chain(near.iter().map(|edge| edge.row as usize)) {
        for &(other, value) in row(near)?.iter().filter(|(other, _)| wanted(*other)) {
            *mean.entry(other).or_default() += f64::from(value) / count;
        }
    }
    Ok(mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It catches: a mean of few neighbourhoods that is divided by more of them, so that images of a small index seem far from each other.
    #[test]
    fn a_mean_of_fewer_images_than_k2_is_still_a_mean() {
        let lists = [vec![(1, 0.9), (2, 0.8)], vec![(0, 0.9), (2, 0.7)], vec![(0, 0.8), (1, 0.7)]];
        let graph = Neighbourhood::of_lists(2, &lists);
        let row = |row: usize| row_of(&graph, row, 2, |_| Ok(1.0));
        for k2 in 1..=6 {
            for of in 0..3 {
                let mean = mean_of(&graph, of, k2, |_| true, row).unwrap();
                assert!((mean.values().sum::<f64>() - 1.0).abs() < 1e-6, "row {of}, k2 = {k2}: {mean:?}");
            }
            let near = [(0, 0.9), (1, 0.8), (2, 0.7)];
            let weights = row_of_query(&graph, (3, k2), &near, |_| Ok(1.0), row).unwrap();
            // The query is one of four members of its own neighbourhood, and in nobody else's.
            let own = 0.25 / k2.min(4) as f64;
            assert!((weights.values().sum::<f64>() + own - 1.0).abs() < 1e-6, "k2 = {k2}: {weights:?}");
        }
    }
}
