//! Photos and vector files into descriptors: everything between a folder of pictures and the engine.
//!
//! The only crate that knows torch. It lists what to ingest ([`source`]), decodes photos under limits ([`photo`]), embeds them
//! ([`model`], on a [`Device`]), and hands rows to the engine in transactions ([`ingest`]); it never opens RocksDB. [`local`] finds
//! the features that geometric verification compares. For the engine's ports it offers [`PhotoEmbedder`], [`QueryReader`],
//! [`TorchProposer`] and [`local::XFeatExtractor`].

mod device;
mod embedder;
pub mod local;
mod maintain;
pub mod model;
pub mod photo;
mod pipeline;
mod plain;
mod propose;
pub mod source;
#[cfg(test)]
mod testing;
pub mod train;

pub use device::{Device, Hardware, TORCH_LIB_VARIABLE};
pub use embedder::{PhotoEmbedder, QueryReader};
pub use maintain::{TorchMaintainer, Trial, release};
pub use pipeline::{
    IngestOptions, LabelReport, PHOTOS_PER_TRANSACTION, Progress, Report, Twins, VECTORS_PER_TRANSACTION, ingest,
    ingest_list, ingest_vector_list, ingest_vectors,
};
pub use propose::TorchProposer;
