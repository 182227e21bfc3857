//! Database-side augmentation: index images are compared by the mean of their own descriptor and those of their nearest images
//! (docs/ALGORITHMS.md, query expansion).
//!
//! No augmented descriptor is stored. A sum of descriptors has the same product with a query as the sum of their products, so a search
//! needs the query's similarity to every row, the edges of the neighbour graph, and one length a row.

use std::sync::Arc;

use cairndb_query::Expand;

use super::super::first_stage::{Context, Found, Ready, itself};
use super::expand::weight;
use crate::error::Result;
use crate::operation::Role;
use crate::process::pool;
use crate::state::Neighbourhood;
use crate::vector::{Hit, dot};

/// Rows of one task.
const TASK_ROWS: usize = 2_048;

/// How every index row is augmented.
struct Augmented {
    by: Expand,
    graph: Arc<Neighbourhood>,
    /// Length of each row's sum; 0 where the images cancel each other out.
    lengths: Arc<[f32]>,
}

impl Augmented {
    /// The nearest rows of a row and their weights.
    fn others(&self, row: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let edges = self.graph.nearest(row, self.by.images - 1).iter();
        edges.map(|edge| (edge.row as usize, weight(edge.similarity, self.by.alpha)))
    }
}

impl Context<'_> {
    /// The index images whose augmented descriptors are nearest to each query, best first; `filtered`: of those that meet the
    /// conditions.
    ///
    /// Complexity: a canonical product and `images` additions a row.
    pub(in crate::search) fn nearest_augmented(
        &self,
        queries: &[Ready],
        depth: usize,
        filtered: bool,
        by: Expand,
    ) -> Result<Vec<Vec<Found>>> {
        let (index, augmented) = (&self.state.index, self.augmented(by)?);
        let admitted = self.admitted(Role::Index, filtered)?;
        let tasks = index.len().div_ceil(TASK_ROWS);
        let rows_of = |task: usize| task * TASK_ROWS..((task + 1) * TASK_ROWS).min(index.len());
        let mut lists = Vec::with_capacity(queries.len());
        for query in queries {
            self.interrupt.look()?;
            let product = |row: usize| {
                if index.live[row] { Ok(f64::from(dot(&query.vector, &index.vector(row)?))) } else { Ok(0.0) }
            };
            let products = pool::try_each(tasks, |task| rows_of(task).map(product).collect::<Result<Vec<f64>>>())?;
            let products: Vec<f64> = products.into_iter().flatten().collect();
            let own = itself(index, query);
            let is_wanted = |row: usize| {
                let is_admitted = admitted.as_ref().is_none_or(|admitted| admitted[row]);
                index.live[row] && Some(row) != own && is_admitted && augmented.lengths[row] > 0.0
            };
            let best = |task: usize| {
                let mut top = index.top(depth);
                for row in rows_of(task).filter(|&row| is_wanted(row)) {
                    let others: f64 = augmented.others(row).map(|(other, weight)| weight * products[other]).sum();
                    let similarity = ((products[row] + others) / f64::from(augmented.lengths[row])) as f32;
                    top.push(Hit { similarity, row: row as u32 });
                }
                top.into_sorted()
            };
            let mut top = index.top(depth);
            pool::each(tasks, best).into_iter().flatten().for_each(|hit| top.push(hit));
            let found = |hit: Hit| Found { role: Role::Index, row: hit.row as usize, score: hit.similarity };
            lists.push(top.into_sorted().into_iter().map(found).collect());
        }
        Ok(lists)
    }

    fn augmented(&self, by: Expand) -> Result<Augmented> {
        let graph = self.state.neighbourhood(by.images - 1, self.interrupt)?;
        let mut augmented = Augmented { by, graph, lengths: Arc::default() };
        augmented.lengths = self.state.derived.lengths((by.images, by.alpha.to_bits()), || {
            let length = |row: usize| -> Result<f32> {
                self.interrupt.look_at(row)?;
                if !self.state.index.live[row] {
                    return Ok(0.0);
                }
                let sum = self.sum(&augmented, row)?;
                Ok(sum.iter().map(|x| x * x).sum::<f64>().sqrt() as f32)
            };
            Ok(pool::try_each(self.state.index.len(), length)?.into())
        })?;
        Ok(augmented)
    }

    /// A row's descriptor and those of its nearest rows, each times its weight.
    fn sum(&self, augmented: &Augmented, row: usize) -> Result<Vec<f64>> {
        let index = &self.state.index;
        let mut sum: Vec<f64> = index.vector(row)?.iter().map(|&x| f64::from(x)).collect();
        for (other, weight) in augmented.others(row) {
            sum.iter_mut().zip(index.vector(other)?.iter()).for_each(|(sum, &x)| *sum += weight * f64::from(x));
        }
        Ok(sum)
    }
}
