//! One graph of the index images and of the queries of a request, for transductive methods: those whose answers to a query depend on
//! the other queries (docs/ALGORITHMS.md).

use super::super::first_stage::{Context, Ready};
use crate::error::{Error, Result};
use crate::process::pool;
use crate::rows::RowSet;
use crate::state::Neighbourhood;
use crate::vector::{Hit, dot};

/// Similarities of queries to index images that are held in memory, 4 bytes each.
const MOST_PAIRS: usize = 1 << 27;
/// Rows whose farthest ones are looked for in one pass.
const ROWS_AT_ONCE: usize = 1_024;

/// The nodes are the index rows, and behind them the queries.
pub(super) struct Joint<'a> {
    context: &'a Context<'a>,
    index: &'a RowSet,
    queries: &'a [Ready],
    /// Of each query to each row; 0 for dead ones.
    similarities: Vec<Vec<f32>>,
    pub(super) graph: Neighbourhood,
}

impl<'a> Joint<'a> {
    /// The graph with so many edges a node.
    ///
    /// Complexity: that of the neighbour graph, and a canonical product for each query and row.
    ///
    /// # Errors
    /// `Invalid`: too many queries for so many images; those of the neighbour graph.
    pub(super) fn of(context: &'a Context<'a>, queries: &'a [Ready], others: usize) -> Result<Self> {
        let index = &context.state.index;
        if queries.len().saturating_mul(index.len()) > MOST_PAIRS {
            let most = MOST_PAIRS / index.len().max(1);
            let message = format!("{} queries at once, together with {} index images", queries.len(), index.len());
            return Err(Error::invalid(message).help(format!(
                "a transductive method takes {most} queries here: ask fewer, or leave TRANSDUCTIVE out"
            )));
        }
        let base = context.state.neighbourhood(others, context.interrupt)?;
        let similarity = |query: usize| -> Result<Vec<f32>> {
            let of = |row: usize| {
                context.interrupt.look_at(row)?;
                if index.live[row] { Ok(dot(&queries[query].vector, &index.vector(row)?)) } else { Ok(0.0) }
            };
            (0..index.len()).map(of).collect()
        };
        let similarities = pool::try_each(queries.len(), similarity)?;
        let mut joint = Self { context, index, queries, similarities, graph: Neighbourhood::of_lists(others, &[]) };
        let list = |node: usize| -> Result<Vec<(usize, f32)>> {
            context.interrupt.look_at(node)?;
            if node < index.len() {
                let near = base.nearest(node, others).iter().map(|edge| (edge.row as usize, edge.similarity));
                return Ok(joint.with_queries(node, near.collect(), others));
            }
            Ok(joint.with_queries(node, joint.rows_near(node - index.len(), others), others))
        };
        let lists = pool::try_each(joint.nodes(), list)?;
        joint.graph = Neighbourhood::of_lists(others, &lists);
        Ok(joint)
    }

    pub(super) fn nodes(&self) -> usize {
        self.index.len() + self.queries.len()
    }

    /// Whether it is a query or a live row.
    pub(super) fn is_live(&self, node: usize) -> bool {
        node >= self.index.len() || self.index.live[node]
    }

    /// The node of a query.
    pub(super) fn query(&self, at: usize) -> usize {
        self.index.len() + at
    }

    /// The similarity of two nodes.
    pub(super) fn similarity(&self, a: usize, b: usize) -> Result<f32> {
        let rows = self.index.len();
        Ok(match (a < rows, b < rows) {
            (true, true) => dot(&self.index.vector(a)?, &self.index.vector(b)?),
            (true, false) => self.similarities[b - rows][a],
            (false, true) => self.similarities[a - rows][b],
            (false, false) => dot(&self.queries[a - rows].vector, &self.queries[b - rows].vector),
        })
    }

    /// The nearest other nodes of a node, best first.
    pub(super) fn nearest(&self, node: usize, most: usize) -> Result<Vec<usize>> {
        let near: Vec<(usize, f32)> = if node < self.index.len() {
            let vector = self.index.vector(node)?;
            let best = self.index.best(&vector, most, |row| row != node, self.context.interrupt)?;
            best.iter().map(|hit| (hit.row as usize, hit.similarity)).collect()
        } else {
            self.rows_near(node - self.index.len(), most)
        };
        Ok(self.with_queries(node, near, most).into_iter().map(|(node, _)| node).collect())
    }

    /// The largest squared distance of each node to another.
    pub(super) fn farthest(&self) -> Result<Vec<f64>> {
        let live: Vec<usize> = self.index.live().collect();
        // The nearest row of the opposite vector is the farthest one.
        let opposite = |vectors: Vec<f32>| vectors.into_iter().map(|x| -x).collect::<Vec<f32>>();
        let least_of = |vectors: Vec<f32>| -> Result<Vec<f32>> {
            let lists = self.index.best_of_many(&opposite(vectors), 1, |_, _| true, self.context.interrupt)?;
            Ok(lists.iter().map(|list| list.first().map_or(1.0, |hit| -hit.similarity)).collect())
        };
        let mut least = vec![1.0; self.nodes()];
        for rows in live.chunks(ROWS_AT_ONCE) {
            for (&row, similarity) in rows.iter().zip(least_of(self.index.gathered(rows)?)?) {
                least[row] = similarity;
            }
        }
        for at in 0..self.queries.len() {
            let of = live.iter().map(|&row| self.similarities[at][row]).fold(1.0, f32::min);
            least[self.query(at)] = of;
            live.iter().for_each(|&row| least[row] = least[row].min(self.similarities[at][row]));
            for other in 0..at {
                let similarity = self.similarity(self.query(at), self.query(other))?;
                for node in [at, other].map(|query| self.query(query)) {
                    least[node] = least[node].min(similarity);
                }
            }
        }
        // Where all are equal, no distance is divided.
        let distance = |least: f32| (2.0 - 2.0 * f64::from(least)).max(f64::MIN_POSITIVE);
        Ok(least.into_iter().map(distance).collect())
    }

    /// The rows that are nearest to a query, best first.
    fn rows_near(&self, query: usize, most: usize) -> Vec<(usize, f32)> {
        let mut top = self.index.top(most);
        let of = &self.similarities[query];
        self.index.live().for_each(|row| top.push(Hit { similarity: of[row], row: row as u32 }));
        top.into_sorted().into_iter().map(|hit| (hit.row as usize, hit.similarity)).collect()
    }

    /// The best of these rows of a node and of the queries other than it; a query stands behind equal rows.
    fn with_queries(&self, node: usize, mut near: Vec<(usize, f32)>, most: usize) -> Vec<(usize, f32)> {
        if !self.is_live(node) {
            return near;
        }
        let queries = (0..self.queries.len()).map(|at| self.query(at)).filter(|&query| query != node);
        let of = |query: usize| match node < self.index.len() {
            true => self.similarities[query - self.index.len()][node],
            false => dot(&self.queries[query - self.index.len()].vector, &self.queries[node - self.index.len()].vector),
        };
        near.extend(queries.map(|query| (query, of(query))));
        near.sort_by(|a, b| b.1.total_cmp(&a.1));
        near.truncate(most);
        near
    }
}
