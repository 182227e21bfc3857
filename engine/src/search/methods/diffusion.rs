//! Diffusion (docs/ALGORITHMS.md, diffusion): similarities spread over the mutual neighbour graph of the index images.

use std::collections::HashMap;
use std::sync::Arc;

use cairndb_query::Diffusion;

use super::super::first_stage::{Context, Found, Ready, itself};
use crate::error::Result;
use crate::operation::Role;
use crate::process::pool;
use crate::progress::Interrupt;
use crate::state::{Derivation, Neighbourhood, Sparse};

/// Power of the cosines.
const GAMMA: i32 = 3;
/// Share of a node's similarity that comes from its neighbours.
const ALPHA: f64 = 0.99;
/// Steps of the conjugate gradient, and the residual at which it ends.
const STEPS: usize = 20;
const TOLERANCE: f64 = 1e-6;
/// Keeps the degree of a node without mutual neighbours from being 0.
const LEAST_DEGREE: f64 = 1e-12;

impl Context<'_> {
    /// Rows that similarity spreads to, with what they receive; in no order.
    pub(in crate::search) fn diffused(
        &self,
        query: &Ready,
        sources: &[Found],
        method: Diffusion,
    ) -> Result<Vec<Found>> {
        let graph = self.state.neighbourhood(method.degree - 1, self.interrupt)?;
        let weight = |found: &Found| f64::from(found.score).max(0.0).powi(GAMMA);
        let received: HashMap<u32, f64> = match method.cut {
            Some(cut) => {
                let row = |at: usize| {
                    let source = sources[at].row;
                    let of = Derivation::Diffusion(method.degree, cut);
                    self.state.derived.row(of, source, || self.truncated(&graph, source, method.degree - 1, cut))
                };
                let rows = pool::try_each(sources.len(), row)?;
                let mut received = HashMap::new();
                for (source, row) in sources.iter().zip(&rows) {
                    let weight = weight(source);
                    row.iter().for_each(|&(row, value)| *received.entry(row).or_default() += weight * f64::from(value));
                }
                received
            }
            None => {
                let whole = Laplacian::whole(&graph, method.degree - 1);
                let mut start = vec![0.0; graph.rows()];
                sources.iter().for_each(|source| start[source.row] = weight(source));
                let solved = whole.solve(&start, self.interrupt)?;
                solved.into_iter().enumerate().map(|(row, value)| (row as u32, value)).collect()
            }
        };
        let own = itself(&self.state.index, query);
        let live = |row: usize| self.state.index.live[row] && Some(row) != own;
        let found = |(row, value): (u32, f64)| Found { role: Role::Index, row: row as usize, score: value as f32 };
        Ok(received.into_iter().filter(|&(row, _)| live(row as usize)).map(found).collect())
    }

    /// The row of one source: a unit of similarity, spread over its nearest rows.
    fn truncated(&self, graph: &Neighbourhood, source: usize, others: usize, cut: usize) -> Result<Sparse> {
        let index = &self.state.index;
        let nearest = index.best(&index.vector(source)?, cut - 1, |row| row != source, self.interrupt)?;
        let rows: Vec<u32> = std::iter::once(source as u32).chain(nearest.iter().map(|hit| hit.row)).collect();
        let part = Laplacian::of(graph, others, &rows);
        let mut start = vec![0.0; rows.len()];
        start[0] = 1.0;
        let solved = part.solve(&start, self.interrupt)?;
        Ok(rows.into_iter().zip(solved.into_iter().map(|value| value as f32)).collect::<Arc<[_]>>())
    }
}

/// I - alpha S of some rows, S being the graph's mutual edges normalised by the degrees that rows have in the whole graph.
pub(super) struct Laplacian {
    starts: Vec<usize>,
    /// Places and weights, alpha included.
    edges: Vec<(u32, f64)>,
}

impl Laplacian {
    fn whole(graph: &Neighbourhood, others: usize) -> Self {
        let rows: Vec<u32> = (0..graph.rows() as u32).collect();
        Self::of(graph, others, &rows)
    }

    pub(super) fn of(graph: &Neighbourhood, others: usize, rows: &[u32]) -> Self {
        let place: HashMap<u32, u32> = rows.iter().enumerate().map(|(at, &row)| (row, at as u32)).collect();
        let mutual = |row: u32| {
            let is_mutual = move |edge: &&crate::vector::Hit| graph.has(edge.row as usize, row as usize, others);
            let affinity = |edge: &crate::vector::Hit| f64::from(edge.similarity).max(0.0).powi(GAMMA);
            graph.nearest(row as usize, others).iter().filter(is_mutual).map(move |edge| (edge.row, affinity(edge)))
        };
        let mut degrees: HashMap<u32, f64> = HashMap::new();
        let mut degree = |row: u32| {
            *degrees.entry(row).or_insert_with(|| mutual(row).map(|(_, affinity)| affinity).sum::<f64>() + LEAST_DEGREE)
        };
        let (mut starts, mut edges) = (Vec::with_capacity(rows.len() + 1), Vec::new());
        for &row in rows {
            starts.push(edges.len());
            for (other, affinity) in mutual(row) {
                if let Some(&at) = place.get(&other) {
                    edges.push((at, ALPHA * affinity / (degree(row) * degree(other)).sqrt()));
                }
            }
        }
        starts.push(edges.len());
        Self { starts, edges }
    }

    fn times(&self, x: &[f64], out: &mut [f64]) {
        for (row, out) in out.iter_mut().enumerate() {
            let edges = &self.edges[self.starts[row]..self.starts[row + 1]];
            *out = x[row] - edges.iter().map(|&(other, weight)| weight * x[other as usize]).sum::<f64>();
        }
    }

    /// The solution for a right-hand side, by conjugate gradients.
    pub(super) fn solve(&self, right: &[f64], interrupt: &Interrupt<'_>) -> Result<Vec<f64>> {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let (mut x, mut rest) = (vec![0.0; right.len()], right.to_vec());
        let (mut way, mut image) = (rest.clone(), vec![0.0; right.len()]);
        let mut left = dot(&rest, &rest);
        let end = TOLERANCE * left.sqrt();
        for _ in 0..STEPS {
            interrupt.look()?;
            if left.sqrt() <= end {
                break;
            }
            self.times(&way, &mut image);
            let step = left / dot(&way, &image);
            x.iter_mut().zip(&way).for_each(|(x, way)| *x += step * way);
            rest.iter_mut().zip(&image).for_each(|(rest, image)| *rest -= step * image);
            let next = dot(&rest, &rest);
            way.iter_mut().zip(&rest).for_each(|(way, rest)| *way = rest + next / left * *way);
            left = next;
        }
        Ok(x)
    }
}
