//! The networks of Cairn, on torch: they turn photos into descriptors and local features, and are trained here.
//!
//! This is the only crate that links libtorch. A [`model::Model`] on a [`Device`] is the [`cairndb_ingest::Encoder`] of the
//! pipeline; [`local`] finds the features that spatial verification compares. It provides [`TorchMaintainer`], [`TorchProposer`]
//! and [`local::XFeatExtractor`] for the engine's ports.

mod device;
pub mod local;
mod maintain;
pub mod model;
#[cfg(test)]
mod pipeline_tests;
mod propose;
mod random;
#[cfg(test)]
mod testing;
pub mod train;

pub use device::{Device, Hardware, TORCH_LIB_VARIABLE, TORCH_VERSION};
pub use maintain::{TorchMaintainer, Trial, released};
pub use propose::TorchProposer;
