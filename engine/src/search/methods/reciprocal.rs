//! k-reciprocal re-ranking (docs/ALGORITHMS.md, reciprocal neighbours) of one query against the neighbour graph: images are near if
//! their reciprocal neighbourhoods overlap.

use std::collections::BTreeSet;

use cairndb_query::Reciprocal;

use super::super::first_stage::{Context, Found, Ready, itself};
use super::rows::{mean_of, row_of, row_of_query, weight};
use crate::error::Result;
use crate::operation::Role;
use crate::state::{Derivation, Neighbourhood, Sparse};
use crate::vector::dot;

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
        let near: Vec<(usize, f32)> = list.iter().take(k1).map(|found| (found.row, found.score)).collect();
        let row = |row: usize| self.reciprocal_row(&graph, row, k1);
        let weights = row_of_query(&graph, (k1, k2), &near, |row| self.cosine(query, row), row)?;
        let around = weights.keys().flat_map(|&row| graph.nearest(row as usize, k1).iter().map(|edge| edge.row));
        let mut rows: BTreeSet<usize> = around.chain(weights.keys().copied()).map(|row| row as usize).collect();
        rows.extend(list.iter().map(|found| found.row));
        let mut ordered = Vec::with_capacity(rows.len());
        for (at, of) in rows.into_iter().enumerate() {
            self.interrupt.look_at(at)?;
            if !index.live[of] || Some(of) == own {
                continue;
            }
            let mean = mean_of(&graph, of, k2, |other| weights.contains_key(&other), row)?;
            let overlap: f64 = mean.iter().map(|(other, value)| value.min(weights[other])).sum();
            let jaccard = 1.0 - overlap / (2.0 - overlap);
            let distance = 1.0 - f64::from(self.cosine(query, of)?);
            let far = (1.0 - lambda) * jaccard + lambda * distance;
            ordered.push(Found { role: Role::Index, row: of, score: (1.0 - far) as f32 });
        }
        Ok(ordered)
    }

    pub(super) fn cosine(&self, query: &Ready, row: usize) -> Result<f32> {
        Ok(dot(&query.vector, &self.state.index.vector(row)?))
    }

    /// The reciprocal neighbourhood of a row.
    pub(super) fn reciprocal_row(&self, graph: &Neighbourhood, row: usize, k1: usize) -> Result<Sparse> {
        self.state.derived.row(Derivation::Reciprocal(k1), row, || {
            let index = &self.state.index;
            let (vector, edges) = (index.vector(row)?, graph.nearest(row, usize::MAX));
            // Most members are among the nearest, whose edges have the same canonical product.
            let cosine = |other: usize| match edges.iter().find(|edge| edge.row as usize == other) {
                Some(edge) => Ok(edge.similarity),
                None => Ok(dot(&vector, &index.vector(other)?)),
            };
            row_of(graph, row, k1, |other| Ok(weight(cosine(other)?)))
        })
    }
}
