//! Long work: local features of images, results worth keeping over a crash, and the log of cleanings.

use prost::Message;

use super::messages::{CleaningMessage, decode};
use super::{Batch, Family, Pinned, codec};
use crate::error::Result;
use crate::id::ImageId;

/// Key in `jobs`: which extractor made the features and the inlier counts.
const EXTRACTOR: &[u8] = b"extractor";
/// Key prefix in `jobs`: pair of images -> inliers.
const INLIERS: &[u8] = b"inliers/";
/// Key prefix in `jobs`: number -> cleaning.
const CLEANINGS: &[u8] = b"cleaning/";

/// Key prefix in `jobs`: name -> bytes that a model needs.
const FILES: &[u8] = b"file/";

fn pair_key(first: ImageId, second: ImageId) -> Vec<u8> {
    [INLIERS, &codec::image_key(first), &codec::image_key(second)].concat()
}

fn cleaning_key(number: u64) -> Vec<u8> {
    // Numbers are ordered as ids are.
    [CLEANINGS, &codec::image_key(ImageId(number))].concat()
}

impl Batch<'_> {
    /// The local features of an image, in their compact form.
    pub(crate) fn put_features(&mut self, id: ImageId, features: &[u8]) -> Result<()> {
        self.put(Family::Features, &codec::image_key(id), features)
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

    /// Notes a cleaning.
    pub(crate) fn put_cleaning(&mut self, cleaning: &CleaningMessage) -> Result<()> {
        self.put(Family::Jobs, &cleaning_key(cleaning.number), &cleaning.encode_to_vec())
    }
}

impl Pinned {
    /// The local features of an image, in their compact form.
    pub(crate) fn features(&self, id: ImageId) -> Result<Option<Vec<u8>>> {
        self.get(Family::Features, &codec::image_key(id))
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

    /// Every cleaning, oldest first.
    pub(crate) fn cleanings(&self) -> Result<Vec<CleaningMessage>> {
        let mut cleanings = Vec::new();
        self.scan(Family::Jobs, CLEANINGS, |_, value| {
            cleanings.push(decode(value, "a cleaning")?);
            Ok(true)
        })?;
        Ok(cleanings)
    }
}
