//! The networks of Cairn, on torch: photos' pixels into descriptors, local features, training.
//!
//! The only crate that links libtorch. A [`model::Model`] on a [`Device`] is the [`cairndb_ingest::Encoder`] of the pipeline; [`local`]
//! finds the features that geometric verification compares. For the engine's ports it offers [`TorchMaintainer`], [`TorchProposer`]
//! and [`local::XFeatExtractor`].

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
