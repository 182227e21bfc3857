//! The stored values that have fields. Numbers of fields are never used again for something else.

use prost::Message;

use crate::error::{Error, Result};
use crate::options::{Keep, ModelInfo, Options};

/// Value of `records`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RecordMessage {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    /// Label of a train image; absent: an index image.
    #[prost(uint32, optional, tag = "2")]
    pub(crate) label: Option<u32>,
    #[prost(string, optional, tag = "3")]
    pub(crate) source: Option<String>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub(crate) content: Option<Vec<u8>>,
    #[prost(uint64, tag = "5")]
    pub(crate) version: u64,
}

/// Value of `neighbours`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ListMessage {
    #[prost(fixed64, repeated, tag = "1")]
    pub(crate) ids: Vec<u64>,
    #[prost(float, repeated, tag = "2")]
    pub(crate) similarities: Vec<f32>,
    #[prost(float, optional, tag = "3")]
    pub(crate) floor_similarity: Option<f32>,
    #[prost(string, tag = "4")]
    pub(crate) floor_key: String,
}

/// Value of `meta` / `options`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct OptionsMessage {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(uint32, tag = "2")]
    dimension: u32,
    #[prost(uint32, tag = "3")]
    vote_k: u32,
    #[prost(uint32, tag = "4")]
    kept_neighbours: u32,
    #[prost(string, tag = "5")]
    keep: String,
    #[prost(message, optional, tag = "6")]
    model: Option<ModelMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct ModelMessage {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    fingerprint: String,
    #[prost(string, tag = "3")]
    settings: String,
}

/// The layout of the catalog that this build writes, and the only one it reads so far.
pub(crate) const FORMAT: u32 = 1;

impl OptionsMessage {
    /// What is stored of the options.
    pub(crate) fn of(options: &Options) -> Self {
        Self {
            format: FORMAT,
            dimension: options.dimension as u32,
            vote_k: options.vote_k as u32,
            kept_neighbours: options.kept_neighbours as u32,
            keep: options.keep.word().to_owned(),
            model: options.model.as_ref().map(|model| ModelMessage {
                name: model.name.clone(),
                fingerprint: model.fingerprint.clone(),
                settings: model.settings.clone(),
            }),
        }
    }

    /// The options that were stored.
    pub(crate) fn options(self) -> Result<Options> {
        if self.format != FORMAT {
            return Err(Error::corrupt(format!("the database has format {}, this build reads {FORMAT}", self.format)));
        }
        let keep = Keep::from_word(&self.keep)
            .ok_or_else(|| Error::corrupt(format!("the stored options keep photos as '{}'", self.keep)))?;
        let options = Options {
            dimension: self.dimension as usize,
            model: self.model.map(|model| ModelInfo {
                name: model.name,
                fingerprint: model.fingerprint,
                settings: model.settings,
            }),
            vote_k: self.vote_k as usize,
            kept_neighbours: self.kept_neighbours as usize,
            keep,
        };
        options
            .check()
            .map_err(|error| Error::corrupt(format!("the stored options are damaged: {}", error.message())))?;
        Ok(options)
    }
}

/// Decodes a stored value; `what` names it in the error.
pub(crate) fn decode<M: Message + Default>(bytes: &[u8], what: &str) -> Result<M> {
    M::decode(bytes).map_err(|error| Error::corrupt(format!("{what} cannot be decoded")).because(error))
}
