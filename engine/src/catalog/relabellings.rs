//! The log of transactions in which people or a list changed labels, so that the last one can be undone. It is bounded.

use prost::Message;

use super::messages::{RelabellingMessage, decode};
use super::{Batch, Family, Pinned, codec};
use crate::error::Result;
use crate::id::ImageId;

/// Key prefix in `jobs`: sequence number -> what the transaction did to labels.
const RELABELLINGS: &[u8] = b"labels/";

fn key_of(sequence: u64) -> Vec<u8> {
    // Sequence numbers are ordered as ids are.
    [RELABELLINGS, &codec::image_key(ImageId(sequence))].concat()
}

impl Batch<'_> {
    /// Notes what a transaction did to labels.
    pub(crate) fn put_relabelling(&mut self, relabelling: &RelabellingMessage) -> Result<()> {
        self.put(Family::Jobs, &key_of(relabelling.sequence), &relabelling.encode_to_vec())
    }

    /// Forgets what the transaction of that number did to labels.
    pub(crate) fn delete_relabelling(&mut self, sequence: u64) -> Result<()> {
        self.delete(Family::Jobs, &key_of(sequence))
    }
}

impl Pinned {
    /// What transactions did to labels, oldest first, as far as it is kept.
    pub(crate) fn relabellings(&self) -> Result<Vec<RelabellingMessage>> {
        let mut all = Vec::new();
        self.scan(Family::Jobs, RELABELLINGS, |_, value| {
            all.push(decode(value, "a change of labels")?);
            Ok(true)
        })?;
        Ok(all)
    }
}
