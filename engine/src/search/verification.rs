//! Spatial verification in a search: the first images of each list are ordered by their inliers with the query (Philbin et al. 2007;
//! docs/ALGORITHMS.md).

use std::cmp::Reverse;
use std::collections::HashMap;

use super::first_stage::{Context, FirstStage};
use crate::error::{Error, Result};
use crate::operation::Role;
use crate::ports::CountInliers;

/// Inliers of the images that were compared, by role and row.
pub(super) type Inliers = HashMap<(Role, usize), u32>;

/// Counts for every query and image, checked.
///
/// # Errors
/// `Invalid`: not one count for each image; what `inliers` fails with.
pub(super) fn counted(inliers: &dyn CountInliers, asked: &[(usize, Vec<String>)]) -> Result<Vec<Vec<Option<u32>>>> {
    let counts = inliers.count(asked)?;
    let fits =
        counts.len() == asked.len() && counts.iter().zip(asked).all(|(counts, (_, keys))| counts.len() == keys.len());
    if fits {
        return Ok(counts);
    }
    Err(Error::invalid("inliers were not counted of each image once")
        .help("CountInliers::count returns a number, or None, for each key of each query"))
}

impl Context<'_> {
    /// Orders the first `images` of each list by their inliers; equal ones, and the rest, stay as they were.
    pub(super) fn verify(
        &self,
        stages: &mut [FirstStage],
        first: usize,
        images: usize,
        inliers: &dyn CountInliers,
    ) -> Result<()> {
        let keys =
            |stage: &FirstStage| stage.retrieved.iter().take(images).map(|found| self.key(found).to_owned()).collect();
        let asked: Vec<(usize, Vec<String>)> =
            stages.iter().enumerate().map(|(at, stage)| (first + at, keys(stage))).collect();
        for (stage, counts) in stages.iter_mut().zip(counted(inliers, &asked)?) {
            let compared = stage.retrieved.iter().zip(&counts);
            stage.inliers = compared.filter_map(|(found, &count)| Some(((found.role, found.row), count?))).collect();
            let FirstStage { retrieved, inliers, .. } = stage;
            // Stable: of equal ones the more similar comes first.
            retrieved[..counts.len()]
                .sort_by_key(|found| Reverse(inliers.get(&(found.role, found.row)).copied().unwrap_or_default()));
        }
        Ok(())
    }
}
