//! Augmented voters: the train images by other descriptors, with which they vote where a search asks for it. A search computes them on
//! first use (search/methods/voters), and they are kept here.

use std::collections::HashSet;
use std::sync::Arc;

use cairndb_query::Expand;
use parking_lot::Mutex;

use super::neighbourhood::Neighbourhood;
use super::snapshot::Published;
use crate::error::Result;
use crate::id::{ImageId, LabelId};
use crate::rows::RowSet;

/// The train images by augmented descriptors.
pub(crate) struct AugmentedTrain {
    pub(crate) by: Expand,
    /// All live train images, in the order of their rows. With `by` they decide everything else: an id names one version of a
    /// descriptor.
    pub(crate) images: Vec<TrainImage>,
    /// The nearest ones of each unmarked image among the unmarked ones; its rows are those of the state that it was computed for.
    pub(crate) graph: Neighbourhood,
    /// The same images with their augmented descriptors. Ids lead from these rows to those of a state.
    pub(crate) rows: RowSet,
}

/// What the augmented descriptors depend on besides the descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TrainImage {
    pub(crate) id: ImageId,
    pub(crate) label: Option<LabelId>,
    /// A cleaning marked it.
    pub(crate) is_marked: bool,
}

/// The augmented voters of a state, and those that were computed last for any state of its model: those of one augmentation each.
#[derive(Default)]
pub(crate) struct AugmentedVoters {
    here: Mutex<Option<Arc<AugmentedTrain>>>,
    last: Arc<Mutex<Option<Arc<AugmentedTrain>>>>,
}

impl AugmentedVoters {
    /// Those of another state of the same model.
    pub(crate) fn of_another_state(&self) -> Self {
        Self { here: Mutex::default(), last: Arc::clone(&self.last) }
    }
}

impl Published {
    /// The train images of this state by that augmentation, as they are kept; otherwise `make` computes them, with the help of those that
    /// were computed last. It holds no lock, so two readers who ask at once do it twice.
    ///
    /// Complexity: one pass over the train images of a state, and then nothing.
    ///
    /// # Errors
    /// A damaged catalog; those of `make`.
    pub(crate) fn voters_by(
        &self,
        by: Expand,
        make: impl FnOnce(Vec<TrainImage>, Option<&AugmentedTrain>) -> Result<AugmentedTrain>,
    ) -> Result<Arc<AugmentedTrain>> {
        if let Some(known) = self.voters.here.lock().as_ref().filter(|known| known.by == by) {
            return Ok(Arc::clone(known));
        }
        let images = self.train_images()?;
        let last = self.voters.last.lock().clone();
        let found = match last {
            Some(last) if last.by == by && last.images == images => last,
            last => Arc::new(make(images, last.as_deref())?),
        };
        *self.voters.here.lock() = Some(Arc::clone(&found));
        *self.voters.last.lock() = Some(Arc::clone(&found));
        Ok(found)
    }

    fn train_images(&self) -> Result<Vec<TrainImage>> {
        let marked: HashSet<u64> = self.pinned.marks()?.into_iter().map(|(id, _)| id.0).collect();
        let image = |row: usize| {
            let id = self.train.id(row);
            let label = self.train.instances[row].map(|own| own.label);
            TrainImage { id, label, is_marked: marked.contains(&id.0) }
        };
        Ok(self.train.live().map(image).collect())
    }
}
