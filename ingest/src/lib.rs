//! Turns photos and vector files into rows of a database: everything between a folder of photos and the engine, except the
//! network.
//!
//! It lists the photos to ingest ([`source`]), decodes them under limits ([`photo`]), lets an [`Encoder`] embed them, and passes
//! rows to the engine in transactions ([`ingest()`]); it never opens RocksDB and does not use torch. It reads known answers and
//! submissions ([`answers`]), and provides
//! [`PhotoEmbedder`] and [`QueryReader`] for the engine's ports. The `cairndb-torch` crate has the networks.

pub mod answers;
mod embedder;
mod encoder;
mod ingestor;
mod living;
pub mod photo;
mod pipeline;
mod plain;
pub mod source;
#[cfg(test)]
mod testing;

pub use embedder::{PhotoEmbedder, QueryReader};
pub use encoder::Encoder;
pub use ingestor::{ARRIVALS_PER_TRANSACTION, Arrival, Ingestor, IngestorOptions, IngestorStats, Landed, Ticket};
pub use living::{Gone, Survey};
pub use pipeline::{
    IngestOptions, LabelReport, PHOTOS_PER_TRANSACTION, Report, Twins, VECTORS_PER_TRANSACTION, ingest,
    ingest_vector_list, ingest_vectors,
};
