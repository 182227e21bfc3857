//! The models of a database: which there are, which one is active, and what is kept for them.

use super::database::Database;
use crate::background::{ModelEntry, Target};
use crate::error::Result;
use crate::ports::Reembed;
use crate::progress::Watch;

impl Database {
    /// The models whose descriptors the database has, in the order in which they came.
    ///
    /// Complexity: reads the descriptors of unfinished ones, to count them.
    ///
    /// # Errors
    /// A damaged catalog.
    pub fn models(&self) -> Result<Vec<ModelEntry>> {
        self.shared.models()
    }

    /// Changes the active model: `reembed` makes the descriptors of all images, the database makes predictions and segments from them
    /// beside the active ones, and one key switches. Searches and writes continue meanwhile and never see a mixture.
    ///
    /// **Applications that embed themselves** name the model of each vector: writers by [`Expect::model`](crate::Expect::model), searches
    /// by [`Snapshot::search_of_model`](crate::Snapshot::search_of_model). From the switch on [`Database::write`] refuses vectors
    /// without a name, and a vector of the earlier model is refused too; only the application can embed it again. After the change
    /// [`Database::open_or_create`] with the earlier options is refused: open with [`Database::open`].
    ///
    /// `watch` may stop the change. The database keeps the descriptors that were made before a stop, an error or a crash, and a later
    /// call for the same model resumes; a call for an earlier model uses the descriptors that are still stored.
    ///
    /// **Beside writers** it catches up with their writes until few images are left, and only then makes them wait. Writers that never
    /// pause cannot prevent the end: when a round leaves more than half of the images that the round before left, and after 19 rounds at
    /// most, they wait while `reembed` and the votes process the images written during one round.
    ///
    /// `reembed` and `watch` may call the database, and may write. While writers wait, a call that would wait with them is refused
    /// (`Reentrant`).
    ///
    /// Complexity: one descriptor for each image that has none of that model, then the cost of putting every image again.
    ///
    /// # Errors
    /// `AlreadyExists`: that model is active already; `Locked`: another change of models is under way; `Invalid`: the number belongs to
    /// an unfinished model; `Cancelled`; errors of `reembed`; `Reentrant`: a [`Propose`](crate::embed::Propose) called it; `Corrupt`: the
    /// new space does not agree with itself. The active model stays after each of them, and what was made of the new one stays listed
    /// ([`Database::models`]) until a later call resumes or [`Database::drop_model`] removes it.
    pub fn change_model(&self, to: Target, reembed: &dyn Reembed, watch: Option<&dyn Watch>) -> Result<u32> {
        self.shared.change_model(to, reembed, watch)
    }

    /// Removes a model that is not active, and its descriptors. Only the statement DROP MODEL checks whether other models were trained
    /// on them.
    ///
    /// # Errors
    /// `NotFound`; `Invalid`: it is the active model; `Locked`: a change of models is under way, perhaps to that one.
    pub fn drop_model(&self, number: u32) -> Result<()> {
        self.shared.drop_model(number)
    }
}
