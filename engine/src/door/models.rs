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

    /// Goes over to another model: descriptors of all images are made by `reembed`, predictions and segments are made from them, all
    /// beside what is in force; then one key flips. Searches and writes go on meanwhile and never see a mixture.
    ///
    /// `watch` may stop it. What was embedded until a stop, an error or a crash is kept, and a later call for the same
    /// model goes on with it; so does a call that goes back to an earlier model, whose descriptors are still there.
    ///
    /// **Beside writers** it catches up with what they wrote until few images are left, and makes them wait for those only. Writers that
    /// never pause cannot keep it from its end: as soon as a round leaves more than half of what the one before left, after 19 rounds in
    /// any case, they wait while the rest is embedded and voted on, which is what was written during one round.
    ///
    /// `reembed` and `watch` may ask the database for anything, and write. Only while writers wait, what would wait with them is
    /// refused (`Reentrant`).
    ///
    /// Complexity: one descriptor for each image that has none of that model, then as putting every image anew.
    ///
    /// # Errors
    /// `AlreadyExists`: it is in force already; `Locked`: another change of models is under way; `Invalid`: the number is that of an
    /// unfinished one; `Cancelled`; what `reembed` gives; `Reentrant`: a [`Propose`](crate::embed::Propose) called it; `Corrupt` when the new
    /// epoch does not agree with itself. The model in force stays then.
    pub fn change_model(&self, to: Target, reembed: &dyn Reembed, watch: Option<&dyn Watch>) -> Result<u32> {
        self.shared.change_model(to, reembed, watch)
    }

    /// Forgets a model that is not in force, and its descriptors; whether other models were trained on them is asked by the statement
    /// DROP MODEL and not here.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for the one in force; `Locked`: a model is being put in force, which may be that one.
    pub fn drop_model(&self, number: u32) -> Result<()> {
        self.shared.drop_model(number)
    }
}
