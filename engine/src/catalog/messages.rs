//! The stored values that have fields. The number of a field is never reused for another one.

use prost::Message;

use crate::attribute::Attributes;
use crate::error::{Error, ErrorKind, Result};
use crate::operation::SetBy;
use crate::options::{Keep, ModelInfo, Options};
use crate::vote::List;

use super::attributes::AttributeMessage;

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
    /// Who set the label, or left the image without one. Absent: written by a build of format 3 or earlier.
    #[prost(message, optional, tag = "6")]
    pub(crate) origin: Option<OriginMessage>,
    /// What a list said of the image when it was read last. Absent: none was read.
    #[prost(message, optional, tag = "7")]
    pub(crate) listed: Option<ListedMessage>,
    /// What else is known of it, by name. Empty in format 4 and earlier.
    #[prost(message, repeated, tag = "8")]
    pub(crate) attributes: Vec<AttributeMessage>,
}

/// Who set a label, inside other values.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct OriginMessage {
    /// One of the numbers below.
    #[prost(uint32, tag = "1")]
    pub(crate) by: u32,
    /// Sequence number of the transaction that did so.
    #[prost(uint64, tag = "2")]
    pub(crate) at: u64,
    /// Number of the cleaning, where it was one.
    #[prost(uint64, optional, tag = "3")]
    pub(crate) cleaning: Option<u64>,
}

/// Numbers of `by`.
const BY_LIST: u32 = 1;
const BY_STATEMENT: u32 = 2;
const BY_CLEANING: u32 = 3;
const BY_NOBODY: u32 = 4;

impl OriginMessage {
    /// What is stored of it; `None`: nothing.
    pub(crate) fn of(set_by: SetBy, at: u64) -> Option<Self> {
        let (by, cleaning) = match set_by {
            SetBy::List => (BY_LIST, None),
            SetBy::Statement => (BY_STATEMENT, None),
            SetBy::Cleaning(number) => (BY_CLEANING, Some(number)),
            SetBy::Nobody => (BY_NOBODY, None),
            SetBy::Unknown => return None,
        };
        Some(Self { by, at, cleaning })
    }

    /// Who it was.
    pub(crate) fn set_by(self) -> SetBy {
        match self.by {
            BY_LIST => SetBy::List,
            BY_STATEMENT => SetBy::Statement,
            BY_CLEANING => SetBy::Cleaning(self.cleaning.unwrap_or_default()),
            BY_NOBODY => SetBy::Nobody,
            // A later build may know more.
            _ => SetBy::Unknown,
        }
    }

    /// Whether the image came without a label, and nobody gave it one.
    pub(crate) fn is_nobody(self) -> bool {
        self.by == BY_NOBODY
    }
}

/// What a list said of an image when it was read last, inside a record.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ListedMessage {
    /// The label that it gave; absent: none.
    #[prost(uint32, optional, tag = "1")]
    pub(crate) label: Option<u32>,
    /// BLAKE3 of the photo that it named, where the image has another one since; absent: the image's own.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(crate) content: Option<Vec<u8>>,
}

impl RecordMessage {
    /// Who set the label.
    pub(crate) fn set_by(&self) -> SetBy {
        self.origin.map_or(SetBy::Unknown, OriginMessage::set_by)
    }

    /// The label that a list gave when it was last read. For an image that an earlier build stored and nobody changed since, the
    /// stored label counts as the list's: most images come from lists.
    pub(crate) fn listed(&self) -> Option<ListedMessage> {
        let untouched = self.origin.is_none() && self.version <= 1;
        self.listed.clone().or_else(|| untouched.then_some(ListedMessage { label: self.label, content: None }))
    }

    /// What else is known of the image.
    pub(crate) fn attributes(&self) -> Result<Attributes> {
        AttributeMessage::attributes(self.attributes.clone())
    }

    /// BLAKE3 of the photo's file as it was ingested, where it came from one.
    pub(crate) fn photo_hash(&self) -> Result<Option<[u8; 32]>> {
        hash_of(self.content.as_ref(), &self.key)
    }
}

impl ListedMessage {
    /// BLAKE3 of the photo that the list named for that key, where the image has another one since.
    pub(crate) fn photo_hash(&self, key: &str) -> Result<Option<[u8; 32]>> {
        hash_of(self.content.as_ref(), key)
    }
}

fn hash_of(content: Option<&Vec<u8>>, key: &str) -> Result<Option<[u8; 32]>> {
    let Some(content) = content else { return Ok(None) };
    let hash = content.as_slice().try_into();
    hash.map(Some).map_err(|_| Error::corrupt(format!("a content hash of '{key}' is not 32 bytes")))
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

impl ListMessage {
    /// What is stored of a list.
    pub(crate) fn of(list: &List) -> Self {
        Self {
            ids: list.entries.iter().map(|entry| entry.id).collect(),
            similarities: list.entries.iter().map(|entry| entry.similarity).collect(),
            floor_similarity: list.floor.as_ref().map(|floor| floor.0),
            floor_key: list.floor.as_ref().map(|floor| floor.1.to_string()).unwrap_or_default(),
        }
    }
}

/// Value of `oplog`: a transaction that was acknowledged and waits.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TransactionMessage {
    #[prost(message, repeated, tag = "1")]
    pub(crate) operations: Vec<OperationMessage>,
}

/// One operation; exactly one field is there.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct OperationMessage {
    #[prost(oneof = "StepMessage", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub(crate) step: Option<StepMessage>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum StepMessage {
    #[prost(message, tag = "1")]
    Put(PutMessage),
    #[prost(string, tag = "2")]
    Delete(String),
    #[prost(message, tag = "3")]
    Label(LabelMessage),
    #[prost(string, tag = "4")]
    Unlabel(String),
    #[prost(message, tag = "5")]
    Listed(SaidMessage),
    #[prost(message, tag = "6")]
    Rename(RenameMessage),
    #[prost(message, tag = "7")]
    Describe(DescribeMessage),
}

/// Attributes that an image gets and loses, as an operation that waits.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct DescribeMessage {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) changes: Vec<AttributeMessage>,
}

/// An image that gets another key, as an operation that waits.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RenameMessage {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(string, tag = "2")]
    pub(crate) to: String,
    #[prost(string, optional, tag = "3")]
    pub(crate) source: Option<String>,
}

/// What a list says of an image, as an operation that waits.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SaidMessage {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(string, optional, tag = "2")]
    pub(crate) label: Option<String>,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub(crate) content: Option<Vec<u8>>,
    #[prost(message, optional, tag = "4")]
    pub(crate) photo: Option<PutMessage>,
    #[prost(uint64, tag = "5")]
    pub(crate) reading: u64,
    #[prost(bool, tag = "6")]
    pub(crate) overrules: bool,
    #[prost(message, repeated, tag = "7")]
    pub(crate) attributes: Vec<AttributeMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PutMessage {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(string, optional, tag = "2")]
    pub(crate) label: Option<String>,
    #[prost(float, repeated, tag = "3")]
    pub(crate) vector: Vec<f32>,
    #[prost(string, optional, tag = "4")]
    pub(crate) source: Option<String>,
    #[prost(bytes = "vec", optional, tag = "5")]
    pub(crate) content: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "6")]
    pub(crate) photo: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "7")]
    pub(crate) attributes: Vec<AttributeMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct LabelMessage {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(string, tag = "2")]
    pub(crate) label: String,
}

/// Value of `manifest` for a segment.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SegmentMessage {
    #[prost(uint32, tag = "1")]
    pub(crate) space: u32,
    #[prost(bool, tag = "2")]
    pub(crate) train: bool,
    #[prost(uint64, tag = "3")]
    pub(crate) rows: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) first: u64,
    #[prost(uint64, tag = "5")]
    pub(crate) last: u64,
    /// Checksum in the header of the file.
    #[prost(fixed32, tag = "6")]
    pub(crate) check: u32,
    /// Length of the file.
    #[prost(uint64, tag = "7")]
    pub(crate) bytes: u64,
}

/// Value of `jobs` for a cleaning.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct CleaningMessage {
    #[prost(uint64, tag = "1")]
    pub(crate) number: u64,
    /// Sequence number of the write.
    #[prost(uint64, tag = "2")]
    pub(crate) sequence: u64,
    /// In words: rule and parameters.
    #[prost(string, tag = "3")]
    pub(crate) what: String,
    #[prost(message, repeated, tag = "4")]
    pub(crate) changes: Vec<ChangeMessage>,
    /// The images go on voting with the label that they have.
    #[prost(bool, tag = "5")]
    pub(crate) keep_voters: bool,
    #[prost(bool, tag = "6")]
    pub(crate) undone: bool,
    /// The next image's id when it was committed: an image with this id or a later one is none that it left. Absent: noted by a
    /// build that did not tell.
    #[prost(uint64, optional, tag = "7")]
    pub(crate) next_image: Option<u64>,
}

/// What a cleaning did to an image.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ChangeMessage {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(string, tag = "2")]
    pub(crate) label: String,
    /// Absent: the image lost its label.
    #[prost(string, optional, tag = "3")]
    pub(crate) becomes: Option<String>,
    /// Version of the record that was judged.
    #[prost(uint64, tag = "4")]
    pub(crate) version: u64,
    /// The undo of the cleaning left it alone, because it was changed in between.
    #[prost(bool, tag = "5")]
    pub(crate) left_alone: bool,
    /// Id of the image that was judged. Absent: noted by a build that did not tell.
    #[prost(uint64, optional, tag = "6")]
    pub(crate) judged: Option<u64>,
    /// Id of the image after the cleaning: another one if it lost its label, and if the undo of a later cleaning restored it.
    /// Absent: recorded by a build without this field; it can be any id below the cleaning's `next_image`.
    #[prost(uint64, optional, tag = "7")]
    pub(crate) left: Option<u64>,
    /// Who had set the label before the cleaning: its undo restores that too. Absent: an earlier build.
    #[prost(message, optional, tag = "8")]
    pub(crate) was_by: Option<OriginMessage>,
}

impl ChangeMessage {
    /// Whether the image of this id in this version is as the cleaning left it; `next_image` is the cleaning's. Versions alone do not
    /// tell: they count from 1 again where an image was deleted and came back, with another id then.
    pub(crate) fn left_as(&self, next_image: Option<u64>, id: u64, version: u64) -> bool {
        let is_the_same = match self.left {
            Some(left) => left == id,
            None => next_image.is_none_or(|next| id < next),
        };
        is_the_same && Some(version) == self.version.checked_add(1)
    }
}

/// Value of `jobs` for a transaction that changed labels by people or by a list.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RelabellingMessage {
    #[prost(uint64, tag = "1")]
    pub(crate) sequence: u64,
    /// Number of the list's reading; absent: people.
    #[prost(uint64, optional, tag = "2")]
    pub(crate) reading: Option<u64>,
    /// Transactions of the same reading that changed labels before this one.
    #[prost(uint64, tag = "3")]
    pub(crate) part: u64,
    /// Images whose label it changed.
    #[prost(uint64, tag = "4")]
    pub(crate) images: u64,
    /// Each of them; none, where there are too many to be kept.
    #[prost(message, repeated, tag = "5")]
    pub(crate) changes: Vec<RelabelledMessage>,
}

/// An image whose label changed.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RelabelledMessage {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    /// Absent: it had none.
    #[prost(string, optional, tag = "2")]
    pub(crate) was: Option<String>,
    /// Who had set it.
    #[prost(message, optional, tag = "3")]
    pub(crate) was_by: Option<OriginMessage>,
    /// Absent: it lost its label.
    #[prost(string, optional, tag = "4")]
    pub(crate) becomes: Option<String>,
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

/// A model, inside other values.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ModelMessage {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    fingerprint: String,
    #[prost(string, tag = "3")]
    settings: String,
}

impl ModelMessage {
    /// What is stored of a model.
    pub(crate) fn of(model: &ModelInfo) -> Self {
        Self { name: model.name.clone(), fingerprint: model.fingerprint.clone(), settings: model.settings.clone() }
    }

    /// The model that was stored.
    pub(crate) fn info(self) -> ModelInfo {
        ModelInfo { name: self.name, fingerprint: self.fingerprint, settings: self.settings }
    }
}

/// Value of `meta` / `space/` and the number of a space.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SpaceMessage {
    #[prost(uint32, tag = "1")]
    pub(crate) dimension: u32,
    #[prost(message, optional, tag = "2")]
    pub(crate) model: Option<ModelMessage>,
    /// It was started and never active: some images may have no descriptor in it.
    #[prost(bool, tag = "3")]
    pub(crate) unfinished: bool,
}

/// The layout of the catalog that this build writes.
pub(crate) const FORMAT: u32 = 5;
/// The oldest layout that this build reads, and brings up to date when it opens it.
pub(crate) const OLDEST_FORMAT: u32 = 1;

impl OptionsMessage {
    /// The format that they were stored with.
    pub(crate) fn format(&self) -> u32 {
        self.format
    }

    /// What is stored of the options.
    pub(crate) fn of(options: &Options) -> Self {
        Self {
            format: FORMAT,
            dimension: options.dimension as u32,
            vote_k: options.vote_k as u32,
            kept_neighbours: options.kept_neighbours as u32,
            keep: options.keep.word().to_owned(),
            model: options.model.as_ref().map(ModelMessage::of),
        }
    }

    /// The options that were stored.
    pub(crate) fn options(self) -> Result<Options> {
        if self.format > FORMAT || self.format < OLDEST_FORMAT {
            let message =
                format!("the database has format {}, this build reads {OLDEST_FORMAT} to {FORMAT}", self.format);
            return Err(
                Error::new(ErrorKind::Mismatch, message).help("open it with the version that wrote it, or a later one")
            );
        }
        let keep = Keep::from_word(&self.keep)
            .ok_or_else(|| Error::corrupt(format!("the stored options keep photos as '{}'", self.keep)))?;
        let options = Options {
            dimension: self.dimension as usize,
            model: self.model.map(ModelMessage::info),
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

/// A stored record.
///
/// # Errors
/// `Corrupt`: it cannot be decoded, or has a version that nobody counted to.
pub(crate) fn record_of(bytes: &[u8]) -> Result<RecordMessage> {
    let record: RecordMessage = decode(bytes, "a record")?;
    super::codec::counted(record.version, &format!("the version of '{}'", record.key.escape_debug()))?;
    Ok(record)
}

/// A stored cleaning.
///
/// # Errors
/// `Corrupt`, as [`record_of`].
pub(crate) fn cleaning_of(bytes: &[u8]) -> Result<CleaningMessage> {
    let cleaning: CleaningMessage = decode(bytes, "a cleaning")?;
    super::codec::counted(cleaning.number, "the number of a cleaning")?;
    Ok(cleaning)
}

/// Decodes a stored value; `what` names it in the error.
pub(crate) fn decode<M: Message + Default>(bytes: &[u8], what: &str) -> Result<M> {
    M::decode(bytes).map_err(|error| Error::corrupt(format!("{what} cannot be decoded")).because(error))
}
