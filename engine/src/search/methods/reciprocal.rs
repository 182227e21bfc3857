//! k-reciprocal re-ranking (docs/ALGORITHMS.md, reciprocal neighbours) of one query against the neighbour graph: images are near if
//! their reciprocal neighbourhoods overlap.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cairndb_query::Reciprocal;

use super::super::first_stage::{Context, Found, Ready, itself};
use crate::error::Result;
use crate::operation::Role;
use crate::state::{Derivation, Neighbourhood, Sparse};
use crate::vector::dot;

/// Share of a member's own reciprocal neighbours that must be the image's too, so that all of them join the image's.
const JOIN_ABOVE: f64 = 2.0 / 3.0;

/// Weight of a neighbour at this cosine: the exponential of minus the squared distance.
fn weight(cosine: f32) -> f64 {
    (2.0 * f64::from(cosine) - 2.0).exp()
}

/// Half of k1, rounded to even as the authors' code rounds.
fn half(k1: usize) -> usize {
    (k1 as f64 / 2.0).round_ties_even() as usize
}

impl Context<'_> {
    /// Rows whose neighbourhoods may overlap the query's, and those of the list, with their nearness; in no order.
    pub(in crate::search) fn by_reciprocal(
        &self,
        query: &Ready,
        list: &[Found],
        method: Reciprocal,
    ) -> Result<Vec<Found>> {
        let Reciprocal { k1, k2, lambda, .. } = method;
        let (index, graph) = (&self.state.index, self.state.neighbourhood(k1, self.interrupt)?);
        let own = itself(index, query);
        let near = &list[..k1.min(list.len())];
        // The query would be among the k1 nearest of these.
        let is_reciprocal = |found: &&Found| {
            let others = graph.nearest(found.row, k1);
            others.len() < k1 || others.last().is_none_or(|last| found.score >= last.similarity)
        };
        let members: BTreeSet<u32> = near.iter().filter(is_reciprocal).map(|found| found.row as u32).collect();
        let all = joined(&graph, &members, k1);
        let mut weights: BTreeMap<u32, f64> = BTreeMap::new();
        for row in all {
            weights.insert(row, weight(self.cosine(query, row as usize)?));
        }
        // The query is one of its own neighbours.
        let whole: f64 = 1.0 + weights.values().sum::<f64>();
        weights.values_mut().for_each(|weight| *weight /= whole);
        for found in &near[..(k2 - 1).min(near.len())] {
            for &(row, value) in &*self.reciprocal_row(&graph, found.row, k1)? {
                *weights.entry(row).or_default() += f64::from(value);
            }
        }
        weights.values_mut().for_each(|weight| *weight /= k2 as f64);

        let around = weights.keys().flat_map(|&row| graph.nearest(row as usize, k1).iter().map(|edge| edge.row));
        let mut rows: BTreeSet<usize> = around.chain(weights.keys().copied()).map(|row| row as usize).collect();
        rows.extend(list.iter().map(|found| found.row));
        let mut ordered = Vec::with_capacity(rows.len());
        for (at, row) in rows.into_iter().enumerate() {
            self.interrupt.look_at(at)?;
            if !index.live[row] || Some(row) == own {
                continue;
            }
            let overlap = self.overlap(&graph, row, &weights, method)?;
            let jaccard = 1.0 - overlap / (2.0 - overlap);
            let distance = 1.0 - f64::from(self.cosine(query, row)?);
            let far = (1.0 - lambda) * jaccard + lambda * distance;
            ordered.push(Found { role: Role::Index, row, score: (1.0 - far) as f32 });
        }
        Ok(ordered)
    }

    fn cosine(&self, query: &Ready, row: usize) -> Result<f32> {
        Ok(dot(&query.vector, &self.state.index.vector(row)?))
    }

    /// What the mean neighbourhood of a row has in common with the query's.
    fn overlap(
        &self,
        graph: &Neighbourhood,
        row: usize,
        weights: &BTreeMap<u32, f64>,
        Reciprocal { k1, k2, .. }: Reciprocal,
    ) -> Result<f64> {
        let mut mean: BTreeMap<u32, f64> = BTreeMap::new();
        let rows = std::iter::once(row).chain(graph.nearest(row, k2 - 1).iter().map(|edge| edge.row as usize));
        for row in rows {
            for &(other, value) in &*self.reciprocal_row(graph, row, k1)? {
                if weights.contains_key(&other) {
                    *mean.entry(other).or_default() += f64::from(value) / k2 as f64;
                }
            }
        }
        Ok(mean.iter().map(|(row, value)| value.min(weights[row])).sum())
    }

    /// The reciprocal neighbourhood of a row: weights that sum to 1.
    fn reciprocal_row(&self, graph: &Neighbourhood, row: usize, k1: usize) -> Result<Sparse> {
        self.state.derived.row(Derivation::Reciprocal(k1), row, || {
            let index = &self.state.index;
            let all = joined(graph, &reciprocal(graph, row, k1), k1);
            let vector = index.vector(row)?;
            let mut weights = Vec::with_capacity(all.len());
            for other in all {
                weights.push((other, weight(dot(&vector, &index.vector(other as usize)?))));
            }
            let whole: f64 = weights.iter().map(|(_, weight)| weight).sum();
            Ok(weights.into_iter().map(|(row, weight)| (row, (weight / whole) as f32)).collect::<Arc<[_]>>())
        })
    }
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
