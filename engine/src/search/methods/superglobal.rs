//! SuperGlobal re-ranking (docs/ALGORITHMS.md, SuperGlobal): the first images are ordered by descriptors that their nearest ones among
//! them refine.

use cairndb_query::SuperGlobal;

use super::super::first_stage::{Context, Found, Ready};
use crate::error::Result;
use crate::progress::Interrupt;
use crate::vector::dot;

impl Context<'_> {
    /// The list with its first images in another order, and their scores.
    pub(in crate::search) fn by_superglobal(
        &self,
        query: &Ready,
        mut list: Vec<Found>,
        method: SuperGlobal,
    ) -> Result<Vec<Found>> {
        let first = method.first.min(list.len());
        let mut vectors = Vec::with_capacity(first * query.vector.len());
        for found in &list[..first] {
            vectors.extend_from_slice(&self.state.rows(found.role).vector(found.row)?);
        }
        let scores = scores(&query.vector, &vectors, method, self.interrupt)?;
        let before = list[..first].to_vec();
        for (place, (at, score)) in list.iter_mut().zip(scores) {
            *place = Found { score, ..before[at] };
        }
        Ok(list)
    }
}

/// The places of the images of `vectors` (row-major, best first) in their new order, and their scores. Equal scores keep their order.
///
/// Complexity: the square of the number of images, in similarities; memory of `images` numbers a row and of the descriptors twice.
fn scores(query: &[f32], vectors: &[f32], method: SuperGlobal, interrupt: &Interrupt<'_>) -> Result<Vec<(usize, f32)>> {
    let dimension = query.len();
    let rows: Vec<&[f32]> = vectors.chunks_exact(dimension).collect();
    let mut near: Vec<Nearest> = rows.iter().map(|_| Nearest::new(method.images - 1)).collect();
    for (at, row) in rows.iter().enumerate() {
        interrupt.look()?;
        for other in at + 1..rows.len() {
            let similarity = dot(row, rows[other]);
            near[at].offer(similarity, other);
            near[other].offer(similarity, at);
        }
    }
    let mut refined = vec![0.0f32; vectors.len()];
    for ((row, near), refined) in rows.iter().zip(&near).zip(refined.chunks_exact_mut(dimension)) {
        let mut sum: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
        let mut weights = 1.0;
        for &(similarity, other) in &near.best {
            let weight = method.beta * f64::from(similarity);
            weights += weight;
            sum.iter_mut().zip(rows[other]).for_each(|(sum, &x)| *sum += weight * f64::from(x));
        }
        // Weights that sum to nothing are those of images that contradict each other.
        let weights = if weights > 0.0 { weights } else { 1.0 };
        refined.iter_mut().zip(sum).for_each(|(refined, sum)| *refined = (sum / weights) as f32);
    }
    let refined: Vec<&[f32]> = refined.chunks_exact(dimension).collect();
    let to_query: Vec<f32> = refined.iter().map(|row| dot(query, row)).collect();
    // The query becomes the largest component of the best ones.
    let mut better = vec![f32::NEG_INFINITY; dimension];
    for &at in order(&to_query).iter().take(method.images) {
        better.iter_mut().zip(refined[at]).for_each(|(better, &x)| *better = better.max(x));
    }
    let both: Vec<f32> = refined.iter().zip(&to_query).map(|(row, first)| (first + dot(&better, row)) / 2.0).collect();
    Ok(order(&both).into_iter().map(|at| (at, both[at])).collect())
}

/// Places by falling score.
fn order(scores: &[f32]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..scores.len()).collect();
    places.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    places
}

/// The nearest of some rows; of equal ones those that come first in the list.
struct Nearest {
    most: usize,
    best: Vec<(f32, usize)>,
}

impl Nearest {
    fn new(most: usize) -> Self {
        Self { most, best: Vec::with_capacity(most.min(64)) }
    }

    fn offer(&mut self, similarity: f32, row: usize) {
        let is_before = |other: &(f32, usize)| {
            other.0.total_cmp(&similarity).is_gt() || (other.0.to_bits() == similarity.to_bits() && other.1 < row)
        };
        let place = self.best.partition_point(is_before);
        if place < self.most {
            self.best.insert(place, (similarity, row));
            self.best.truncate(self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::progress::UNINTERRUPTED;
    use crate::vector::{Random, unit};

    /// The method as the paper words it, on whole matrices.
    fn plain(query: &[f32], rows: &[Vec<f32>], method: SuperGlobal) -> Vec<usize> {
        let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
        let by = |scores: &[f64]| {
            let mut places: Vec<usize> = (0..scores.len()).collect();
            places.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
            places
        };
        let refined: Vec<Vec<f32>> = rows
            .iter()
            .enumerate()
            .map(|(at, row)| {
                let near: Vec<f64> = rows
                    .iter()
                    .enumerate()
                    .map(|(to, other)| if to == at { -9.0 } else { cosine(row, other) })
                    .collect();
                let near: Vec<(usize, f64)> =
                    by(&near).into_iter().take(method.images - 1).map(|to| (to, method.beta * near[to])).collect();
                let all = 1.0 + near.iter().map(|(_, weight)| weight).sum::<f64>();
                let sum = |i: usize| {
                    f64::from(row[i]) + near.iter().map(|&(to, weight)| weight * f64::from(rows[to][i])).sum::<f64>()
                };
                (0..row.len()).map(|i| (sum(i) / all) as f32).collect()
            })
            .collect();
        let first: Vec<f64> = refined.iter().map(|row| cosine(query, row)).collect();
        let best = by(&first);
        let better: Vec<f32> = (0..query.len())
            .map(|i| best.iter().take(method.images).map(|&at| refined[at][i]).fold(f32::NEG_INFINITY, f32::max))
            .collect();
        let both: Vec<f64> = refined.iter().zip(&first).map(|(row, first)| first + cosine(&better, row)).collect();
        by(&both)
    }

    /// It catches: neighbours of the wrong side of a pair, the image among its own neighbours, a refined descriptor that is used to
    /// refine another.
    #[test]
    fn the_order_is_that_of_the_whole_matrices() {
        let mut random = Random::new(7);
        let mut vector = || unit(&(0..16).map(|_| random.normal()).collect::<Vec<_>>()).unwrap();
        let query = vector();
        for rows in [0, 1, 2, 30] {
            let rows: Vec<Vec<f32>> = (0..rows).map(|_| vector()).collect();
            let method = SuperGlobal::new().images(5).beta(0.4);
            let got = scores(&query, &rows.concat(), method, &UNINTERRUPTED).unwrap();
            assert_eq!(got.iter().map(|(at, _)| *at).collect::<Vec<_>>(), plain(&query, &rows, method));
            assert!(got.windows(2).all(|pair| pair[0].1 >= pair[1].1));
        }
    }
}
