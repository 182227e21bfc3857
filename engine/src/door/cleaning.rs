//! CLEAN, its log, its marks and its undo, as an application calls them.

use super::database::Database;
use crate::clean::{self, Cleaned, Cleaning, CleaningEntry, Marked, Undone};
use crate::error::Result;
use crate::ports::LocalFeatures;
use crate::progress::Watch;
use cairndb_query::CleanPlan;

impl Database {
    /// Looks for train images that do not belong to their label and, unless it is a dry run, does what `plan` says in one
    /// transaction with an entry in the log. What has a mark is not marked again; where nothing new is found, nothing is written.
    /// Writes go on while it looks, and what they changed is left to them: it acts on images that are still as it saw them.
    ///
    /// An image is compared by its photo, or by what is kept of it. One of which neither can be read stays as it is, and so does one
    /// that lacks neighbours to be compared with for that reason ([`Judgement::NotCompared`](crate::clean::Judgement::NotCompared)).
    ///
    /// `features` are needed for the paper's rule; the ranking of suspects goes by descriptors alone. Features and inlier counts are
    /// kept, so a cleaning that was cut short goes on; not so those of a dry run, which changes nothing on the disk.
    ///
    /// Complexity: a search for each train image; by the paper's rule `neighbours` comparisons of local features for each, about 10
    /// ms of one core.
    ///
    /// # Errors
    /// `Invalid`: there is nothing to clean, or more than a tenth of the images would be compared by thumbnails and `plan.thumbnails` is
    /// off; `ReadOnly`: the database was opened for reading only, and it is no dry run; `Cancelled`;
    /// where no photo at all can be read, what the first of them gives. Nothing was changed then.
    pub fn clean(
        &self,
        plan: &CleanPlan,
        features: Option<&dyn LocalFeatures>,
        watch: Option<&dyn Watch>,
    ) -> Result<Cleaning> {
        clean::run(&self.shared, plan, features, watch)
    }

    /// Refuses a cleaning that could only fail after the work.
    ///
    /// # Errors
    /// `ReadOnly`: the database was opened for reading only; `Invalid`: it has no photos to compare.
    pub(super) fn check_cleaning(&self, plan: &CleanPlan) -> Result<()> {
        clean::check_cleaning(&self.shared, plan)
    }

    /// Undoes the last cleaning that was not undone: images that have not changed since get their labels back, or lose its mark.
    /// Images that were changed since, even to the same label and back or by another photo under the same key, stay unchanged.
    ///
    /// Complexity: one transaction; reads the record of each image that the cleaning changed.
    ///
    /// # Errors
    /// `NotFound`: there is none; `ReadOnly`: the database was opened for reading only.
    pub fn undo_cleaning(&self) -> Result<Undone> {
        clean::undo_cleaning(&self.shared)
    }

    /// The cleanings, oldest first.
    ///
    /// # Errors
    /// A damaged catalog.
    pub fn cleanings(&self) -> Result<Vec<CleaningEntry>> {
        clean::cleanings(&self.snapshot())
    }

    /// What the cleaning of that number did, image by image, as it was found.
    ///
    /// Complexity: reads the record of each of its images.
    ///
    /// # Errors
    /// `NotFound`: there is none of that number; a damaged catalog.
    pub fn cleaned(&self, number: u64) -> Result<Vec<Cleaned>> {
        clean::cleaned(&self.snapshot(), number)
    }

    /// The train images with a mark, which training skips, by key.
    ///
    /// # Errors
    /// A damaged catalog.
    pub fn marked(&self) -> Result<Vec<Marked>> {
        clean::marked(&self.snapshot())
    }
}
