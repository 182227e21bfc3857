//! Photos and vector files into rows of a database: everything between a folder of pictures and the engine, but for the network.
//!
//! It lists what to ingest ([`source`]), decodes photos under limits ([`photo`]), has an [`Encoder`] embed them, and hands rows to the
//! engine in transactions ([`ingest()`]); it never opens RocksDB and knows no torch. For the engine's ports it offers [`PhotoEmbedder`]
//! and [`QueryReader`]. The networks are in the `cairndb-torch` crate.

mod embedder;
mod encoder;
pub mod photo;
mod pipeline;
mod plain;
pub mod source;
#[cfg(test)]
mod testing;

pub use embedder::{PhotoEmbedder, QueryReader};
pub use encoder::Encoder;
pub use pipeline::{
    IngestOptions, LabelReport, PHOTOS_PER_TRANSACTION, Report, Twins, VECTORS_PER_TRANSACTION, ingest, ingest_list,
    ingest_vector_list, ingest_vectors,
};
