//! Reads the catalog in the state in which it was pinned.

use std::collections::HashMap;

use rocksdb::{IteratorMode, ReadOptions};

use super::messages::{ListMessage, RecordMessage, decode, record_of};
use super::{Family, NEXT_IMAGE, Pinned, SEQUENCE, Space, codec};
use crate::error::{Error, Result};
use crate::id::{ImageId, LabelId, SpaceId};
use crate::operation::Role;
use crate::process::leaving::{Gated, inside};
use crate::vote::Ballot;

/// Reads as they were when the catalog was pinned.
impl Pinned {
    pub(super) fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let handle = self.catalog().family(family)?;
        let _inside = inside();
        self.snapshot().get_cf(handle, key).map_err(Error::of_catalog)
    }

    /// Every entry whose key starts with `prefix`, in order of keys, until `visit` returns `false`.
    pub(super) fn scan(
        &self,
        family: Family,
        prefix: &[u8],
        visit: impl FnMut(&[u8], &[u8]) -> Result<bool>,
    ) -> Result<()> {
        self.scan_from(family, prefix, prefix, visit)
    }

    /// [`Pinned::scan`] from the first key at or behind `from`.
    pub(super) fn scan_from(
        &self,
        family: Family,
        prefix: &[u8],
        from: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<bool>,
    ) -> Result<()> {
        let handle = self.catalog().family(family)?;
        let mut options = ReadOptions::default();
        if let Some(end) = codec::end_of(prefix) {
            options.set_iterate_upper_bound(end);
        }
        let start = IteratorMode::From(from, rocksdb::Direction::Forward);
        // What is done with an entry may take long, and is done outside.
        let mut entries = Gated::new(|| self.snapshot().iterator_cf_opt(handle, options, start));
        while let Some(entry) = entries.with(Iterator::next) {
            let (key, value) = entry.map_err(Error::of_catalog)?;
            if !visit(&key, &value)? {
                break;
            }
        }
        Ok(())
    }

    fn meta_number(&self, key: &[u8]) -> Result<u64> {
        let name = String::from_utf8_lossy(key);
        self.stored_number(key)?.ok_or_else(|| Error::corrupt(format!("the catalog lacks '{name}'")))
    }

    /// A number that a database of an older format lacks.
    pub(super) fn meta_number_or(&self, key: &[u8], absent: u64) -> Result<u64> {
        Ok(self.stored_number(key)?.unwrap_or(absent))
    }

    fn stored_number(&self, key: &[u8]) -> Result<Option<u64>> {
        let named = |error: Error| {
            Error::corrupt(format!("the catalog's '{}': {}", String::from_utf8_lossy(key), error.message()))
        };
        self.get(Family::Meta, key)?.map(|value| codec::number_of(&value).map_err(named)).transpose()
    }

    /// Refuses a catalog with impossible counters: counting on from them would overflow, or skip rows.
    ///
    /// # Errors
    /// `Corrupt`, with the counter's name.
    pub(crate) fn check_counters(&self) -> Result<()> {
        self.sequence()?;
        self.check_segment_counter()?;
        let (next, covered) = (self.next_image()?, self.covered()?);
        if covered.0 > next {
            let what =
                format!("the catalog says that rows below {} are in segments, but ids only reach {next}", covered.0);
            return Err(Error::corrupt(what));
        }
        Ok(())
    }

    /// Number of the last write.
    pub(crate) fn sequence(&self) -> Result<u64> {
        self.meta_number(SEQUENCE)
    }

    /// The id that the next image gets.
    pub(crate) fn next_image(&self) -> Result<u64> {
        self.meta_number(NEXT_IMAGE)
    }

    /// The image with that external key.
    pub(crate) fn image(&self, key: &str) -> Result<Option<ImageId>> {
        self.get(Family::Keys, key.as_bytes())?.map(|value| codec::number_of(&value).map(ImageId)).transpose()
    }

    /// The record of an image.
    pub(crate) fn record(&self, id: ImageId) -> Result<Option<RecordMessage>> {
        self.get(Family::Records, &codec::image_key(id))?.map(|value| record_of(&value)).transpose()
    }

    /// The records of the images from `first` to `last`, in ascending order of ids.
    pub(crate) fn records(
        &self,
        first: ImageId,
        last: ImageId,
        mut visit: impl FnMut(ImageId, RecordMessage) -> Result<()>,
    ) -> Result<()> {
        self.records_while(first, |id, record| {
            let is_within = id <= last;
            if is_within {
                visit(id, record)?;
            }
            Ok(is_within)
        })
    }

    /// The records from `first` on, in ascending order of ids, until `visit` returns `false`.
    pub(crate) fn records_while(
        &self,
        first: ImageId,
        mut visit: impl FnMut(ImageId, RecordMessage) -> Result<bool>,
    ) -> Result<()> {
        self.scan_from(Family::Records, &[], &codec::image_key(first), |key, value| {
            visit(codec::image_of_key(key)?, record_of(value)?)
        })
    }

    /// The records that can be decoded, in ascending order of ids, and where the others are: for repairs. One whose version nobody
    /// counted to counts from 1 again.
    pub(crate) fn readable_records(&self) -> Result<(Vec<Named>, Vec<Vec<u8>>)> {
        let (mut records, mut unreadable) = (Vec::new(), Vec::new());
        self.scan(Family::Records, &[], |key, value| {
            match (codec::image_of_key(key), decode::<RecordMessage>(value, "a record")) {
                (Ok(id), Ok(mut record)) if !record.key.is_empty() => {
                    if codec::counted(record.version, "").is_err() {
                        record.version = 1;
                    }
                    records.push((id, record));
                }
                _ => unreadable.push(key.to_vec()),
            }
            Ok(true)
        })?;
        Ok((records, unreadable))
    }

    /// The label texts that are there, by number: for repairs.
    pub(crate) fn readable_labels(&self) -> Result<HashMap<u32, String>> {
        let mut texts = HashMap::new();
        self.scan(Family::Labels, b"t", |key, value| {
            if let (Some(number), Ok(text)) = (codec::label_of_text_key(key), String::from_utf8(value.to_vec())) {
                texts.insert(number.0, text);
            }
            Ok(true)
        })?;
        Ok(texts)
    }

    /// What is kept of an image's photo.
    pub(crate) fn photo(&self, id: ImageId) -> Result<Option<Vec<u8>>> {
        self.get(Family::Blobs, &codec::image_key(id))
    }

    /// The descriptor of an image.
    pub(crate) fn vector(&self, space: SpaceId, id: ImageId) -> Result<Option<Vec<f32>>> {
        let dimension = self.catalog().options.dimension;
        let Some(value) = self.get(Family::Embeddings, &codec::space_image_key(space, id))? else { return Ok(None) };
        let mut vector = Vec::with_capacity(dimension);
        codec::vector_into(&value, dimension, &mut vector)?;
        Ok(Some(vector))
    }

    /// A descriptor of any space.
    pub(crate) fn descriptor(&self, space: &Space, id: ImageId) -> Result<Option<Vec<f32>>> {
        let Some(bytes) = self.vector_bytes(space.id, id)? else { return Ok(None) };
        let mut vector = Vec::with_capacity(space.dimension);
        codec::vector_into(&bytes, space.dimension, &mut vector)?;
        Ok(Some(vector))
    }

    /// The stored bytes of a descriptor of any space.
    pub(crate) fn vector_bytes(&self, space: SpaceId, id: ImageId) -> Result<Option<Vec<u8>>> {
        self.get(Family::Embeddings, &codec::space_image_key(space, id))
    }

    /// The descriptors of the images from `first` to `last`, in ascending order of ids.
    pub(crate) fn vectors(
        &self,
        space: SpaceId,
        first: ImageId,
        last: ImageId,
        mut visit: impl FnMut(ImageId, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let start = codec::space_image_key(space, first);
        self.scan_from(Family::Embeddings, &codec::space_key(space), &start, |key, value| {
            let id = codec::image_of_space_key(key)?;
            if id > last {
                return Ok(false);
            }
            visit(id, value)?;
            Ok(true)
        })
    }

    /// Ids, similarities and floor of an index image's neighbours; the caller knows the keys.
    pub(crate) fn neighbours(&self, space: SpaceId, id: ImageId) -> Result<Option<StoredList>> {
        self.get(Family::Neighbours, &codec::space_image_key(space, id))?
            .map(|value| StoredList::of(&value))
            .transpose()
    }

    /// The neighbours of every index image from this id on, in ascending order of ids.
    pub(crate) fn all_neighbours(
        &self,
        space: SpaceId,
        from: ImageId,
        mut visit: impl FnMut(ImageId, StoredList) -> Result<()>,
    ) -> Result<()> {
        self.scan_from(
            Family::Neighbours,
            &codec::space_key(space),
            &codec::space_image_key(space, from),
            |key, value| {
                visit(codec::image_of_space_key(key)?, StoredList::of(value)?)?;
                Ok(true)
            },
        )
    }

    /// The index images that have this train image among their neighbours.
    pub(crate) fn voters(&self, space: SpaceId, train: ImageId) -> Result<Vec<ImageId>> {
        let mut found = Vec::new();
        self.scan(Family::Voters, &codec::space_image_key(space, train), |key, _| {
            found.push(codec::index_of_voter_key(key)?);
            Ok(true)
        })?;
        Ok(found)
    }

    /// Every pair of the reverse index: train image, index image.
    pub(crate) fn each_voter(
        &self,
        space: SpaceId,
        mut visit: impl FnMut(ImageId, ImageId) -> Result<()>,
    ) -> Result<()> {
        self.scan(Family::Voters, &codec::space_key(space), |key, _| {
            visit(codec::image_of_space_key(key)?, codec::index_of_voter_key(key)?)?;
            Ok(true)
        })
    }

    /// The stored predictions of one k from this id on, in ascending order of ids.
    pub(crate) fn predictions(
        &self,
        space: SpaceId,
        k: usize,
        from: ImageId,
        mut visit: impl FnMut(ImageId, Ballot<LabelId>) -> Result<()>,
    ) -> Result<()> {
        let start = codec::prediction_key(space, k, from);
        self.scan_from(Family::Predictions, &codec::predictions_prefix(space, k), &start, |key, value| {
            visit(codec::image_of_prediction_key(key)?, codec::prediction_of(value)?)?;
            Ok(true)
        })
    }

    /// The images of one role predicted to be one instance, best score first, equal scores by key, until `visit` returns `false`.
    pub(crate) fn postings(
        &self,
        space: SpaceId,
        k: usize,
        role: Role,
        label: LabelId,
        mut visit: impl FnMut(f32, &str, ImageId) -> Result<bool>,
    ) -> Result<()> {
        let prefix = codec::posting_prefix(space, k, role, label);
        self.scan(Family::ByInstance, &prefix, |key, value| {
            let (score, external) = codec::posting_of(key, prefix.len())?;
            visit(score, external, ImageId(codec::number_of(value)?))
        })
    }

    /// All label texts, by id.
    pub(crate) fn labels(&self) -> Result<Vec<String>> {
        let mut texts = Vec::new();
        self.scan(Family::Labels, b"t", |key, value| {
            if key != codec::label_text_key(LabelId(texts.len() as u32)) {
                return Err(Error::corrupt(format!("the text of label {} is missing", texts.len())));
            }
            texts.push(String::from_utf8(value.to_vec()).map_err(|_| Error::corrupt("a label is not UTF-8"))?);
            Ok(true)
        })?;
        Ok(texts)
    }
}

/// An image and its record.
pub(crate) type Named = (ImageId, RecordMessage);

/// A neighbour list as stored: ids without keys.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredList {
    /// Train images and similarities, best first.
    pub(crate) entries: Vec<(ImageId, f32)>,
    /// Similarity and key of the floor.
    pub(crate) floor: Option<(f32, String)>,
}

impl StoredList {
    /// The list of a stored value.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(super) fn of(value: &[u8]) -> Result<Self> {
        let message: ListMessage = decode(value, "a neighbour list")?;
        if message.ids.len() != message.similarities.len() {
            return Err(Error::corrupt("a neighbour list has more ids than similarities, or fewer"));
        }
        let entries = message.ids.into_iter().map(ImageId).zip(message.similarities).collect();
        Ok(Self { entries, floor: message.floor_similarity.map(|similarity| (similarity, message.floor_key)) })
    }
}
