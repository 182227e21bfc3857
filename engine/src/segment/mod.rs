//! Segments: immutable files of rows with their codes and graph, written once, checked by reading, then mapped.
//!
//! A segment is derived data: all of it can be built again from the catalog.

#[cfg(any(test, feature = "hostile"))]
pub(crate) mod hostile;
pub(crate) mod layout;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use reader::{Damage, Expected, Segment, Truth, Vector};
pub(crate) use writer::{Contents, write};

use crate::id::SegmentId;

/// Ending of a segment's file name.
pub(crate) const FILE_ENDING: &str = "segment";

/// The name of a segment's file in the folder of segments; `disk/contents.rs` knows it again.
pub(crate) fn file_of(segment: SegmentId) -> String {
    format!("{:010}.{FILE_ENDING}", segment.0)
}
