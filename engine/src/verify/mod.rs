//! Verify: how many inliers do stored photos have with each other? It finds their local features, keeps them, and counts.

mod asked;
mod compare;
mod scratch;
mod shelf;
mod sights;

pub(crate) use asked::{AskedPhoto, QueryComparer, Shown};
pub use asked::{KnownInliers, Verification};
pub(crate) use compare::{Compared, Comparer};
pub use sights::{Readings, Sight, Sights};
