//! Augmentation of the train images: they vote by the mean of their own descriptor and of those of their nearest ones that have the same
//! label (docs/ALGORITHMS.md, augmentation of the train images).

use std::sync::Arc;

use cairndb_query::Expand;

use super::expand::weight;
use crate::error::{Error, Result};
use crate::process::pool;
use crate::progress::{Interrupt, Progress};
use crate::rows::{NewRow, RowSet};
use crate::state::{AugmentedTrain, Neighbourhood, Published, Snapshot, TrainImage};
use crate::vector::unit;

/// Components of descriptors that are held in memory: 4 bytes each, and 1 of their codes.
const MOST_COMPONENTS: usize = 1 << 30;
/// Rows whose descriptors are computed at a time.
const ROWS_AT_ONCE: usize = 8_192;

impl Snapshot {
    /// The descriptor by which a train image votes in a search whose votes are augmented ([`Rerank::augment`](crate::Rerank::augment)):
    /// of unit length. `None`: there is no such train image.
    ///
    /// # Errors
    /// An augmentation out of range; too many train images for memory; a damaged catalog; `Cancelled`.
    pub fn augmented_vector(&self, key: &str, by: Expand) -> Result<Option<Vec<f32>>> {
        super::super::request::check_expand(&by)?;
        let Some(id) = self.state.pinned.image(key)? else { return Ok(None) };
        let augmented = self.state.augmented_train(by, &self.interrupt())?;
        augmented.rows.row_of(id).map(|row| Ok(augmented.rows.vector(row)?.to_vec())).transpose()
    }
}

impl Published {
    /// The train images by an augmentation: each one that no cleaning marked by the mean of itself and of those of its `images - 1`
    /// nearest unmarked ones that have its label, each times its cosine to the power of alpha. Marked images, and images without such
    /// a neighbour, keep their descriptors to the bit.
    ///
    /// Complexity: on first use `O(train^2)` 8-bit products, and memory of the descriptors, their codes and `8 * images` bytes an
    /// image. Then nothing until a train image comes, goes, gets another label or is marked; `O(train)` for each that came, and for
    /// each that had one among its nearest that went, and the means of all.
    ///
    /// # Errors
    /// `Invalid`: too many train images for memory; a damaged catalog; `Cancelled`.
    pub(in crate::search) fn augmented_train(
        &self,
        by: Expand,
        interrupt: &Interrupt<'_>,
    ) -> Result<Arc<AugmentedTrain>> {
        self.voters_by(by, |images, last| self.augment_train(by, images, last, interrupt))
    }

    fn augment_train(
        &self,
        by: Expand,
        images: Vec<TrainImage>,
        last: Option<&AugmentedTrain>,
        interrupt: &Interrupt<'_>,
    ) -> Result<AugmentedTrain> {
        let dimension = self.train.dimension();
        if images.len().saturating_mul(dimension) > MOST_COMPONENTS {
            let most = MOST_COMPONENTS / dimension;
            return Err(Error::invalid(format!(
                "the augmented descriptors of {} train images are too many",
                images.len()
            ))
            .help(format!("memory is kept for {most} of this dimension: leave AUGMENT TRAIN out")));
        }
        let mut unmarked = self.train.clone();
        for (row, image) in self.train.live().zip(&images) {
            if image.is_marked {
                unmarked.kill(row);
            }
        }
        let others = by.images - 1;
        let graph = match last.map(|last| &last.graph).filter(|graph| graph.others() >= others) {
            Some(graph) => graph.moved_to(&unmarked, interrupt)?,
            None => Neighbourhood::of(&unmarked, others, interrupt)?,
        };
        let mut rows = RowSet::new(dimension);
        let live: Vec<usize> = self.train.live().collect();
        for some in live.chunks(ROWS_AT_ONCE) {
            interrupt.at(Progress::ROWS, rows.len(), live.len())?;
            let vectors = pool::try_each(some.len(), |at| self.mean_of_label(&graph, some[at], by))?;
            let new = |&row: &usize| NewRow {
                id: self.train.id(row),
                key: self.train.shared_key(row),
                instance: self.train.instances[row],
                floor: f32::NEG_INFINITY,
            };
            rows.append(some.iter().map(new).collect(), vectors.concat());
        }
        Ok(AugmentedTrain { by, images, graph, rows })
    }

    /// The augmented descriptor of a train row; a marked one has no edges.
    fn mean_of_label(&self, graph: &Neighbourhood, row: usize, by: Expand) -> Result<Vec<f32>> {
        let train = &self.train;
        let label = |row: usize| train.instances[row].map(|own| own.label);
        let own = train.vector(row)?.to_vec();
        let mut sum: Vec<f64> = own.iter().map(|&x| f64::from(x)).collect();
        let mut is_alone = true;
        for edge in graph.nearest(row, by.images - 1) {
            let (other, weight) = (edge.row as usize, weight(edge.similarity, by.alpha));
            if label(other) == label(row) && weight > 0.0 {
                is_alone = false;
                sum.iter_mut().zip(train.vector(other)?.iter()).for_each(|(sum, &x)| *sum += weight * f64::from(x));
            }
        }
        if is_alone {
            return Ok(own);
        }
        let sum: Vec<f32> = sum.into_iter().map(|x| x as f32).collect();
        // Equal weights may cancel the image out.
        Ok(unit(&sum).unwrap_or(own))
    }
}
