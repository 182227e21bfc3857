//! The rows that an answer shows: their similarities, copies of rows that are shown already, and the limit.

use super::first_stage::{Context, Found, Ready};
use crate::answer::Stage;
use crate::error::Result;
use crate::vector::dot;

/// The similarity of a descriptor to itself may be this much below 1.
const ROUNDING: f64 = 1e-6;

/// A row of an answer.
pub(super) struct Shown {
    pub(super) found: Found,
    pub(super) stage: Option<Stage>,
    /// To the query itself, whatever ordered the row.
    pub(super) similarity: f32,
    /// Rows behind it that count as its copies.
    pub(super) copies: usize,
}

impl Context<'_> {
    /// The similarity of an image to the query itself.
    pub(super) fn similarity(&self, query: &Ready, found: &Found) -> Result<f32> {
        Ok(dot(&query.vector, &self.state.rows(found.role).vector(found.row)?))
    }

    /// Whether rows of the first stage are ordered by their similarity to the query itself.
    pub(super) fn is_by_similarity(&self) -> bool {
        self.request.expand.is_none() && self.request.augment.is_none() && self.request.order.is_none()
    }

    /// The first of these rows, without copies of earlier ones.
    pub(super) fn shown(&self, query: &Ready, mut staged: Vec<(Found, Option<Stage>)>) -> Result<Vec<Shown>> {
        if self.request.collapse.is_none() {
            staged.truncate(self.request.limit);
        }
        // The scores of the others are similarities.
        let by_similarity = self.is_by_similarity();
        let is_read = |staged: &(Found, Option<Stage>)| !by_similarity || staged.1 == Some(Stage::Inserted);
        let read: Vec<usize> = (0..staged.len()).filter(|&at| is_read(&staged[at])).collect();
        let mut next = read.iter().skip(1);
        let mut shown: Vec<Shown> = Vec::new();
        let mut vectors: Vec<f32> = Vec::new();
        for (number, (found, stage)) in staged.iter().copied().enumerate() {
            self.interrupt.look_at(number)?;
            let similarity = if is_read(&(found, stage)) {
                if let Some(&next) = next.next() {
                    let next = staged[next].0;
                    self.state.rows(next.role).prefetch(next.row);
                }
                self.similarity(query, &found)?
            } else {
                found.score
            };
            if let Some(near) = self.request.collapse {
                let vector = self.state.rows(found.role).vector(found.row)?;
                let is_near = |earlier: &[f32]| f64::from(dot(earlier, &vector)) + ROUNDING >= near;
                let earlier = vectors.chunks_exact(vector.len()).position(is_near);
                if let Some(earlier) = earlier {
                    shown[earlier].copies += 1;
                    continue;
                }
                // Those behind the limit are only compared.
                if shown.len() == self.request.limit {
                    continue;
                }
                vectors.extend_from_slice(&vector);
            }
            shown.push(Shown { found, stage, similarity, copies: 0 });
        }
        Ok(shown)
    }
}
