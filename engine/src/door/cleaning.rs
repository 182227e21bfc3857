//! CLEAN, its log, its marks and its undo, as an application calls them.

use super::database::Database;
use crate::clean::{self, Cleaned, Cleaning, CleaningEntry, Marked, Undone};
use crate::error::Result;
use crate::ports::LocalFeatures;
use crate::progress::Watch;
use cairndb_query::CleanPlan;

impl Database {
    /// Finds train images that do not belong to their label and, unless it is a dry run, applies the plan's action in one
    /// transaction with an entry in the log. Images that have a mark are not marked again; if it finds nothing new, it writes
    /// nothing. Writes continue meanwhile, and win: it acts only on images that have not changed since it read them.
    ///
    /// An image is compared by its photo, or by the database's copy. An image with neither is unchanged, and so is one that
    /// therefore lacks neighbours to be compared with ([`Judgement::NotCompared`](crate::clean::Judgement::NotCompared)).
    ///
    /// The paper's rule needs `features`; the ranking of suspects uses only descriptors. Features and inlier counts are stored,
    /// so an interrupted cleaning resumes; a dry run stores none, and changes nothing on the disk.
    ///
    /// Complexity: a search for each train image; by the paper's rule `neighbours` comparisons of local features for each, about 10
    /// ms of one core.
    ///
    /// # Errors
    /// `Invalid`: there is nothing to clean, or more than a tenth of the images would be compared by thumbnails and
    /// `plan.thumbnails` is off; `ReadOnly`: the database is open for reading only, and it is no dry run; `Cancelled`; if no
    /// photo at all can be read, the error of the first one. Then nothing has changed.
    pub fn clean(
        &self,
        plan: &CleanPlan,
        features: Option<&dyn LocalFeatures>,
        watch: Option<&dyn Watch>,
    ) -> Result<Cleaning> {
        clean::run(&self.shared, plan, features, watch)
    }

    /// Refuses a cleaning that would fail after the work.
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

    /// The effect of the cleaning of this number on each image that it found.
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
