//! Spatial verification: do two photos show the same rigid thing? Local features of both are matched and an affine map is fitted
//! to the matches; the matches that agree with it, the *inliers*, are the evidence (docs/ALGORITHMS.md).
//!
//! Everything here is a function of plain data: no pixels, no files, no clock, and only seeded random numbers. Results are the
//! same on every machine.

mod affine;
mod features;
mod matching;
mod ransac;
mod stored;
#[cfg(test)]
mod tests;

pub use affine::Affine;
pub use features::{Features, MAX_COORDINATE, MAX_FEATURE_DIMENSION, MAX_FEATURES};
pub use matching::{Match, Matching, matches};
pub use ransac::{Fit, Ransac, ransac};

use crate::error::Result;

/// How two images are compared: matching, then the geometry of the matches. The default is that of the released code.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Verify {
    /// Which descriptors match.
    pub matching: Matching,
    /// Which matches agree.
    pub ransac: Ransac,
}

/// What the comparison of two images found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verified {
    /// Putative matches: pairs of similar descriptors, before any geometry.
    pub putative: usize,
    /// The matches that agree with the best map, by rising feature of the second image; their number is the score. Their ends are
    /// `locations()` of the two images, for lines to be drawn between.
    pub inliers: Vec<Match>,
    /// Maps locations of the first image to the second; `None` exactly when there are no inliers.
    pub model: Option<Affine>,
}

/// Compares two images: the number of `inliers` is what the released code calls the inlier count.
///
/// Not symmetric: each feature of `second` looks for its nearest in `first`, and the map leads from `first` to `second`. No map,
/// for whatever reason, is no inlier and not an error.
///
/// # Errors
/// Mismatch when the descriptors differ in dimension, invalid when a parameter is out of range.
///
/// Cost: `O(n m d)` multiplications of 8 bits for n and m features of d dimensions, and at most `trials` times the number of
/// matches for the map.
pub fn verify(first: &Features, second: &Features, how: &Verify) -> Result<Verified> {
    let putative = matches(first, second, &how.matching)?;
    let ends: Vec<[[f32; 2]; 2]> = putative
        .iter()
        .map(|pair| [first.locations()[pair.first as usize], second.locations()[pair.second as usize]])
        .collect();
    let fit = ransac(&ends, &how.ransac)?;
    let (inliers, model) = match fit {
        Some(fit) => (fit.inliers.iter().map(|&at| putative[at]).collect(), Some(fit.model)),
        None => (Vec::new(), None),
    };
    Ok(Verified { putative: putative.len(), inliers, model })
}
