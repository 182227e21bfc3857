//! Local features for spatial verification: the distinctive points of a photo, with a descriptor each.
//!
//! [`XFeatExtractor`] is a small network for this purpose (XFeat: Potje, Cadar, Araujo, Martins, Nascimento, CVPR 2024): fast,
//! accurate to a pixel, but sensitive to the viewpoint. [`TrunkExtractor`] needs only the embedding model's weights: it takes the
//! cells of the trunk's feature map at several scales, in the manner of DELF (Noh et al., ICCV 2017); it is some twenty times
//! slower and coarse, but describes more of an object than its corners. The ignored tests of this module measure both. Both
//! implement [`cairn::embed::LocalFeatures`] and give locations in pixels of the same frame, described at [`FRAME_LONGEST_SIDE`].

mod detect;
mod extractor;
mod frame;
mod projection;
mod trunk;
mod xfeat;

pub use cairndb_ingest::photo::FRAME_LONGEST_SIDE;
pub use extractor::{XFEAT_DIMENSION, XFEAT_WEIGHTS_FILE, XFeatExtractor};
pub use projection::{FIT_FEATURES, FIT_PHOTOS, Projection, TRUNK_DIMENSION};
pub use trunk::{MAX_SCALED_PIXELS, TRUNK_SCALES, TrunkExtractor};

/// Most features of a photo; the best are kept.
pub const MAX_FEATURES: usize = 1000;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod matching;
#[cfg(test)]
mod tests;
