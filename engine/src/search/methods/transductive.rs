//! The methods that compare all queries of a request with each other, too (docs/ALGORITHMS.md, diffusion and reciprocal neighbours).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cairndb_query::{Diffusion, Reciprocal};

use super::super::first_stage::{Context, Found, Ready, itself};
use super::diffusion::Laplacian;
use super::joint::Joint;
use super::rows::{mean_of, row_of, weight_of};
use crate::error::Result;
use crate::operation::Role;
use crate::process::pool;
use crate::state::Sparse;

impl Context<'_> {
    /// For each query the rows whose neighbourhoods overlap its own and those of its list, with their nearness; in no order.
    ///
    /// Complexity: all pairs of images in 8-bit products; memory of the neighbourhoods, some hundred weights a row.
    pub(super) fn reciprocal_jointly(
        &self,
        queries: &[Ready],
        lists: &[Vec<Found>],
        method: Reciprocal,
    ) -> Result<Vec<Vec<Found>>> {
        let Reciprocal { k1, k2, lambda, .. } = method;
        let joint = Joint::of(self, queries, k1)?;
        let (graph, farthest) = (&joint.graph, joint.farthest()?);
        let neighbourhood = |node: usize| {
            self.interrupt.look_at(node)?;
            if !joint.is_live(node) {
                return Ok(Sparse::default());
            }
            let squared = |other: usize| -> Result<f64> { Ok(2.0 - 2.0 * f64::from(joint.similarity(node, other)?)) };
            row_of(graph, node, k1, |other| Ok(weight_of(squared(other)? / farthest[node])))
        };
        let neighbourhoods: Vec<Sparse> = pool::try_each(joint.nodes(), neighbourhood)?;
        let mean = |node: usize| -> Result<BTreeMap<u32, f64>> {
            mean_of(graph, node, k2, |_| true, |node| Ok(Arc::clone(&neighbourhoods[node])))
        };
        let means = pool::try_each(joint.nodes(), mean)?;
        // Which rows have a node in their neighbourhood.
        let mut within: Vec<Vec<(u32, f64)>> = vec![Vec::new(); joint.nodes()];
        for row in self.state.index.live() {
            means[row].iter().for_each(|(&other, &value)| within[other as usize].push((row as u32, value)));
        }
        let one = |at: usize| {
            let (node, own) = (joint.query(at), itself(&self.state.index, &queries[at]));
            let mut overlaps: BTreeMap<u32, f64> = lists[at].iter().map(|found| (found.row as u32, 0.0)).collect();
            for (&other, &value) in &means[node] {
                for &(row, its) in &within[other as usize] {
                    *overlaps.entry(row).or_default() += value.min(its);
                }
            }
            let mut found = Vec::with_capacity(overlaps.len());
            for (row, overlap) in overlaps {
                let distance = (2.0 - 2.0 * f64::from(joint.similarity(node, row as usize)?)) / farthest[node];
                let far = (1.0 - lambda) * (1.0 - overlap / (2.0 - overlap)) + lambda * distance;
                found.push(Found { role: Role::Index, row: row as usize, score: (1.0 - far) as f32 });
            }
            found.retain(|found| Some(found.row) != own);
            Ok(found)
        };
        pool::try_each(queries.len(), one)
    }

    /// For each query the rows and how much their spread similarities are like its own; in no order.
    ///
    /// Complexity: one system of `cut` equations for each index image and query; memory of one number a query and row.
    pub(super) fn diffused_jointly(&self, queries: &[Ready], method: Diffusion) -> Result<Vec<Vec<Found>>> {
        let others = method.degree - 1;
        let joint = Joint::of(self, queries, others)?;
        let cut = method.cut.unwrap_or(joint.nodes());
        // What a node spreads, as a unit vector.
        let spread = |node: usize| -> Result<Vec<(u32, f64)>> {
            let near = joint.nearest(node, cut - 1)?;
            let nodes: Vec<u32> = std::iter::once(node).chain(near).map(|node| node as u32).collect();
            let mut start = vec![0.0; nodes.len()];
            start[0] = 1.0;
            let solved = Laplacian::of(&joint.graph, others, &nodes).solve(&start, self.interrupt)?;
            let length = solved.iter().map(|x| x * x).sum::<f64>().sqrt();
            Ok(nodes.into_iter().zip(solved.into_iter().map(|x| x / length)).collect())
        };
        let asked = pool::try_each(queries.len(), |at| spread(joint.query(at)))?;
        let mut reached: HashMap<u32, Vec<(u32, f64)>> = HashMap::new();
        for (at, spread) in asked.iter().enumerate() {
            spread.iter().for_each(|&(node, value)| reached.entry(node).or_default().push((at as u32, value)));
        }
        let live: Vec<usize> = self.state.index.live().collect();
        let products = |at: usize| -> Result<Vec<f32>> {
            let mut products = vec![0.0f64; queries.len()];
            for (node, value) in spread(live[at])? {
                let with = reached.get(&node).into_iter().flatten();
                with.for_each(|&(query, its)| products[query as usize] += value * its);
            }
            Ok(products.into_iter().map(|x| x as f32).collect())
        };
        let products = pool::try_each(live.len(), products)?;
        let one = |at: usize| {
            let own = itself(&self.state.index, &queries[at]);
            // Those that share nothing with the query follow by similarity.
            let rows = live.iter().zip(&products).filter(|(row, products)| products[at] != 0.0 && Some(**row) != own);
            rows.map(|(&row, products)| Found { role: Role::Index, row, score: products[at] }).collect()
        };
        Ok((0..queries.len()).map(one).collect())
    }
}
