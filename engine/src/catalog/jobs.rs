//! The data of long work: local features of images, results that should survive a crash, the log of cleanings and their marks.

use std::collections::HashSet;

use prost::Message;

use super::messages::{CleaningMessage, cleaning_of};
use super::{Batch, Family, Pinned, codec};
use crate::error::{Error, Result};
use crate::id::ImageId;

/// Key in `jobs`: which extractor made the features and the inlier counts.
const EXTRACTOR: &[u8] = b"extractor";
/// Key prefix in `jobs`: pair of images -> inliers.
const INLIERS: &[u8] = b"inliers/";
/// Key prefix in `jobs`: number -> cleaning.
const CLEANINGS: &[u8] = b"cleaning/";
/// Key prefix in `jobs`: train image -> number of the cleaning that marked it.
const MARKS: &[u8] = b"mark/";
/// Key prefix in `jobs`: name -> bytes that a model needs.
const FILES: &[u8] = b"file/";
/// Files of applications.
const NOTES: &[u8] = b"note/";

/// What an extractor was given of a photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// All of it.
    Whole = 0,
    /// The thumbnail that was kept, because the photo was not there.
    Thumbnail = 1,
}

fn pair_key(first: ImageId, second: ImageId) -> Vec<u8> {
    [INLIERS, &codec::image_key(first), &codec::image_key(second)].concat()
}

fn mark_key(id: ImageId) -> Vec<u8> {
    [MARKS, &codec::image_key(id)].concat()
}

fn cleaning_key(number: u64) -> Vec<u8> {
    // Numbers are ordered as ids are.
    [CLEANINGS, &codec::image_key(ImageId(number))].concat()
}

impl Batch<'_> {
    /// The local features of an image, in their compact form, and what they were found in.
    pub(crate) fn put_features(&mut self, id: ImageId, seen: Seen, features: &[u8]) -> Result<()> {
        self.put(Family::Features, &codec::image_key(id), &[&[seen as u8], features].concat())
    }

    /// Forgets features, and the pairs that were counted with them.
    pub(crate) fn forget_features(&mut self, ids: &HashSet<ImageId>, pairs: &[(ImageId, ImageId)]) -> Result<()> {
        ids.iter().try_for_each(|&id| self.delete(Family::Features, &codec::image_key(id)))?;
        pairs.iter().try_for_each(|&(first, second)| self.delete(Family::Jobs, &pair_key(first, second)))
    }

    /// Inliers of the second image's features against the first one's.
    pub(crate) fn put_inliers(&mut self, first: ImageId, second: ImageId, inliers: u32) -> Result<()> {
        self.put(Family::Jobs, &pair_key(first, second), &codec::number(u64::from(inliers)))
    }

    /// Features and inlier counts are another extractor's from now on; the old ones go.
    pub(crate) fn set_extractor(&mut self, fingerprint: &str) -> Result<()> {
        self.delete_prefix(Family::Features, &[])?;
        self.delete_prefix(Family::Jobs, INLIERS)?;
        self.put(Family::Jobs, EXTRACTOR, fingerprint.as_bytes())
    }

    /// Keeps bytes under a name.
    pub(crate) fn put_file(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.put(Family::Jobs, &[FILES, name.as_bytes()].concat(), bytes)
    }

    /// Forgets the bytes under every name that begins so.
    pub(crate) fn delete_files(&mut self, prefix: &str) -> Result<()> {
        self.delete_prefix(Family::Jobs, &[FILES, prefix.as_bytes()].concat())
    }

    /// Keeps an application's note under a name; `None` forgets it.
    pub(crate) fn set_note(&mut self, name: &str, bytes: Option<&[u8]>) -> Result<()> {
        let key = [FILES, NOTES, name.as_bytes()].concat();
        match bytes {
            Some(bytes) => self.put(Family::Jobs, &key, bytes),
            None => self.delete(Family::Jobs, &key),
        }
    }

    /// Notes a cleaning.
    pub(crate) fn put_cleaning(&mut self, cleaning: &CleaningMessage) -> Result<()> {
        self.put(Family::Jobs, &cleaning_key(cleaning.number), &cleaning.encode_to_vec())
    }

    /// Marks a train image as one that a cleaning found.
    pub(crate) fn put_mark(&mut self, id: ImageId, cleaning: u64) -> Result<()> {
        self.put(Family::Jobs, &mark_key(id), &codec::number(cleaning))
    }

    /// Takes the mark of an image away.
    pub(crate) fn delete_mark(&mut self, id: ImageId) -> Result<()> {
        self.delete(Family::Jobs, &mark_key(id))
    }
}

impl Pinned {
    /// The local features of an image, in their compact form, and what they were found in.
    pub(crate) fn features(&self, id: ImageId) -> Result<Option<(Seen, Vec<u8>)>> {
        let Some(mut value) = self.get(Family::Features, &codec::image_key(id))? else { return Ok(None) };
        let seen = match value.first() {
            Some(0) => Seen::Whole,
            Some(1) => Seen::Thumbnail,
            _ => return Err(Error::corrupt(format!("the local features of image {} cannot be read", id.0))),
        };
        value.remove(0);
        Ok(Some((seen, value)))
    }

    /// The counted pairs that one of these images is part of. Complexity: reads all counted pairs.
    pub(crate) fn pairs_of(&self, ids: &HashSet<ImageId>) -> Result<Vec<(ImageId, ImageId)>> {
        let mut pairs = Vec::new();
        self.scan(Family::Jobs, INLIERS, |key, _| {
            let both = key.strip_prefix(INLIERS).and_then(|both| both.split_at_checked(8));
            let (first, second) = both.ok_or_else(|| Error::corrupt("a counted pair of images cannot be read"))?;
            let pair = (codec::image_of_key(first)?, codec::image_of_key(second)?);
            if ids.contains(&pair.0) || ids.contains(&pair.1) {
                pairs.push(pair);
            }
            Ok(true)
        })?;
        Ok(pairs)
    }

    /// Inliers of the second image's features against the first one's, if they were counted.
    pub(crate) fn inliers(&self, first: ImageId, second: ImageId) -> Result<Option<u32>> {
        let stored = self.get(Family::Jobs, &pair_key(first, second))?;
        stored.map(|value| Ok(u32::try_from(codec::number_of(&value)?).unwrap_or(u32::MAX))).transpose()
    }

    /// Which extractor made the features.
    pub(crate) fn extractor(&self) -> Result<Option<String>> {
        Ok(self.get(Family::Jobs, EXTRACTOR)?.map(|name| String::from_utf8_lossy(&name).into_owned()))
    }

    /// The bytes kept under a name.
    pub(crate) fn file(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.get(Family::Jobs, &[FILES, name.as_bytes()].concat())
    }

    /// The application's note of that name.
    pub(crate) fn note(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.get(Family::Jobs, &[FILES, NOTES, name.as_bytes()].concat())
    }

    /// The cleaning that marked an image.
    pub(crate) fn mark(&self, id: ImageId) -> Result<Option<u64>> {
        self.get(Family::Jobs, &mark_key(id))?.map(|value| codec::number_of(&value)).transpose()
    }

    /// Every marked image and the cleaning that marked it, in ascending order of ids.
    pub(crate) fn marks(&self) -> Result<Vec<(ImageId, u64)>> {
        let mut marks = Vec::new();
        self.scan(Family::Jobs, MARKS, |key, value| {
            let id = codec::image_of_key(key.strip_prefix(MARKS).unwrap_or_default())?;
            marks.push((id, codec::number_of(value)?));
            Ok(true)
        })?;
        Ok(marks)
    }

    /// The cleaning of that number.
    pub(crate) fn cleaning(&self, number: u64) -> Result<Option<CleaningMessage>> {
        self.get(Family::Jobs, &cleaning_key(number))?.map(|value| cleaning_of(&value)).transpose()
    }

    /// Every cleaning, oldest first.
    pub(crate) fn cleanings(&self) -> Result<Vec<CleaningMessage>> {
        let mut cleanings = Vec::new();
        self.scan(Family::Jobs, CLEANINGS, |_, value| {
            cleanings.push(cleaning_of(value)?);
            Ok(true)
        })?;
        Ok(cleanings)
    }
}
