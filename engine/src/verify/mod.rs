//! Verify: how many inliers do stored photos have with each other? It finds their local features, keeps them, and counts.

mod asked;
mod compare;
mod scratch;
mod shelf;
mod sights;

pub use asked::Verification;
pub(crate) use asked::{AskedPhoto, QueryComparer, Shown};
pub(crate) use compare::{Compared, Comparer};
pub use sights::{Readings, Sight, Sights};
