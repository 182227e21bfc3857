//! All the changes of one write, and the one commit point.

use prost::Message;
use rocksdb::{WriteBatch, WriteOptions};

use super::messages::{ListMessage, RecordMessage};
use super::salvage::Lost;
use super::{Catalog, Family, NEXT_IMAGE, REPAIRING, SEQUENCE, codec};
use crate::disk::{point, syncs};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{ImageId, LabelId, SpaceId};
use crate::operation::Role;
use crate::process::leaving::inside_slow;
use crate::vote::Ballot;

/// Everything one write changes. It becomes durable as a whole in [`Batch::commit`], the only commit point of the database.
pub(crate) struct Batch<'c> {
    pub(super) catalog: &'c Catalog,
    inner: WriteBatch,
    owed: bool,
}

impl<'c> Batch<'c> {
    /// Nothing yet.
    pub(crate) fn new(catalog: &'c Catalog) -> Self {
        Self { catalog, inner: WriteBatch::default(), owed: false }
    }

    /// The space that it writes.
    pub(super) fn space(&self) -> SpaceId {
        self.catalog.space()
    }

    pub(super) fn put(&mut self, family: Family, key: &[u8], value: &[u8]) -> Result<()> {
        self.inner.put_cf(self.catalog.family(family)?, key, value);
        Ok(())
    }

    /// It applies acknowledged writes, or makes the database smaller in the end: it may use the reserved space.
    pub(crate) fn set_owed(&mut self) {
        self.owed = true;
    }

    /// Whether it may take the space that was set aside.
    pub(crate) fn is_owed(&self) -> bool {
        self.owed
    }

    /// Bytes that it takes in the log.
    pub(crate) fn bytes(&self) -> u64 {
        self.inner.size_in_bytes() as u64
    }

    pub(super) fn delete(&mut self, family: Family, key: &[u8]) -> Result<()> {
        self.inner.delete_cf(self.catalog.family(family)?, key);
        Ok(())
    }

    pub(crate) fn set_sequence(&mut self, sequence: u64) -> Result<()> {
        self.put(Family::Meta, SEQUENCE, &codec::number(sequence))
    }

    pub(crate) fn set_next_image(&mut self, next: u64) -> Result<()> {
        self.put(Family::Meta, NEXT_IMAGE, &codec::number(next))
    }

    /// Whether a repair is under way, and what it has lost so far.
    pub(crate) fn set_repairing(&mut self, lost: Option<&Lost>) -> Result<()> {
        match lost {
            Some(lost) => self.put(Family::Meta, REPAIRING, &lost.encode()),
            None => self.delete(Family::Meta, REPAIRING),
        }
    }

    pub(crate) fn put_label(&mut self, id: LabelId, text: &str) -> Result<()> {
        self.put(Family::Labels, &codec::label_text_key(id), text.as_bytes())
    }

    /// Forgets the text of a label: for repairs.
    pub(crate) fn delete_label(&mut self, id: LabelId) -> Result<()> {
        self.delete(Family::Labels, &codec::label_text_key(id))
    }

    /// The record of an image, and its external key.
    pub(crate) fn put_record(&mut self, id: ImageId, record: &RecordMessage) -> Result<()> {
        self.put(Family::Records, &codec::image_key(id), &record.encode_to_vec())?;
        self.put(Family::Keys, record.key.as_bytes(), &codec::number(id.0))
    }

    pub(crate) fn put_vector(&mut self, space: SpaceId, id: ImageId, vector: &[f32]) -> Result<()> {
        self.put(Family::Embeddings, &codec::space_image_key(space, id), &codec::vector(vector))
    }

    /// A descriptor as it is stored.
    pub(crate) fn put_vector_bytes(&mut self, space: SpaceId, id: ImageId, bytes: &[u8]) -> Result<()> {
        self.put(Family::Embeddings, &codec::space_image_key(space, id), bytes)
    }

    pub(crate) fn put_photo(&mut self, id: ImageId, photo: &[u8]) -> Result<()> {
        self.put(Family::Blobs, &codec::image_key(id), photo)
    }

    pub(crate) fn delete_photo(&mut self, id: ImageId) -> Result<()> {
        self.delete(Family::Blobs, &codec::image_key(id))
    }

    pub(crate) fn delete_vector(&mut self, space: SpaceId, id: ImageId) -> Result<()> {
        self.delete(Family::Embeddings, &codec::space_image_key(space, id))
    }

    /// Everything stored under an image's id in any space; the external key only when no newer id took it over.
    pub(crate) fn delete_image(&mut self, id: ImageId, key: Option<&str>) -> Result<()> {
        self.delete(Family::Records, &codec::image_key(id))?;
        self.delete(Family::Blobs, &codec::image_key(id))?;
        self.delete(Family::Features, &codec::image_key(id))?;
        for space in self.catalog.other_spaces() {
            self.delete_vector(space, id)?;
        }
        self.delete_vector(self.catalog.space(), id)?;
        match key {
            Some(key) => self.delete(Family::Keys, key.as_bytes()),
            None => Ok(()),
        }
    }

    pub(crate) fn put_neighbours(&mut self, space: SpaceId, id: ImageId, list: &crate::vote::List) -> Result<()> {
        self.put(Family::Neighbours, &codec::space_image_key(space, id), &ListMessage::of(list).encode_to_vec())
    }

    pub(crate) fn delete_neighbours(&mut self, space: SpaceId, id: ImageId) -> Result<()> {
        self.delete(Family::Neighbours, &codec::space_image_key(space, id))
    }

    pub(crate) fn put_voter(&mut self, space: SpaceId, train: ImageId, index: ImageId) -> Result<()> {
        self.put(Family::Voters, &codec::voter_key(space, train, index), &[])
    }

    pub(crate) fn delete_voter(&mut self, space: SpaceId, train: ImageId, index: ImageId) -> Result<()> {
        self.delete(Family::Voters, &codec::voter_key(space, train, index))
    }

    /// A prediction and its posting.
    pub(crate) fn put_prediction(
        &mut self,
        space: SpaceId,
        k: usize,
        id: ImageId,
        key: &str,
        ballot: Ballot<LabelId>,
    ) -> Result<()> {
        self.put(Family::Predictions, &codec::prediction_key(space, k, id), &codec::prediction(ballot))?;
        self.put_posting(space, k, Role::Index, id, key, ballot)
    }

    /// A prediction and its posting.
    pub(crate) fn delete_prediction(
        &mut self,
        space: SpaceId,
        k: usize,
        id: ImageId,
        key: &str,
        ballot: Ballot<LabelId>,
    ) -> Result<()> {
        self.delete(Family::Predictions, &codec::prediction_key(space, k, id))?;
        self.delete_posting(space, k, Role::Index, key, ballot)
    }

    pub(crate) fn put_posting(
        &mut self,
        space: SpaceId,
        k: usize,
        role: Role,
        id: ImageId,
        key: &str,
        ballot: Ballot<LabelId>,
    ) -> Result<()> {
        self.put(Family::ByInstance, &codec::posting_key(space, k, role, ballot, key), &codec::number(id.0))
    }

    pub(crate) fn delete_posting(
        &mut self,
        space: SpaceId,
        k: usize,
        role: Role,
        key: &str,
        ballot: Ballot<LabelId>,
    ) -> Result<()> {
        self.delete(Family::ByInstance, &codec::posting_key(space, k, role, ballot, key))
    }

    /// Forgets everything that can be made again from images: tombstones, lists, votes, postings.
    pub(crate) fn clear_derived(&mut self) -> Result<()> {
        for family in [Family::Neighbours, Family::Voters, Family::Predictions, Family::ByInstance, Family::Manifest] {
            self.clear(family)?;
        }
        Ok(())
    }

    /// Forgets which image a key leads to.
    pub(crate) fn clear_keys(&mut self) -> Result<()> {
        self.clear(Family::Keys)
    }

    /// Forgets the record that is stored there, whatever it is: for repairs.
    pub(crate) fn delete_record_at(&mut self, key: &[u8]) -> Result<()> {
        self.delete(Family::Records, key)?;
        match codec::image_of_key(key) {
            Ok(id) => self.delete_image(id, None),
            Err(_no_image_has_it) => Ok(()),
        }
    }

    /// Forgets every entry whose key starts with `prefix`.
    pub(super) fn delete_prefix(&mut self, family: Family, prefix: &[u8]) -> Result<()> {
        match codec::end_of(prefix) {
            Some(end) => {
                self.inner.delete_range_cf(self.catalog.family(family)?, prefix, &end[..]);
                Ok(())
            }
            None => self.clear(family),
        }
    }

    fn clear(&mut self, family: Family) -> Result<()> {
        /// Longer than any key, and above them all in byte order.
        const PAST_ALL: [u8; 2048] = [u8::MAX; 2048];
        self.inner.delete_range_cf(self.catalog.family(family)?, &[][..], &PAST_ALL[..]);
        Ok(())
    }

    /// Writes it all, synced to disk, or nothing.
    ///
    /// # Errors
    /// `Displaced`: the folder that was opened is not at its path any more; the batch may be in it, wherever it lies. `Io`.
    pub(crate) fn commit(self) -> Result<()> {
        let mut options = WriteOptions::default();
        options.set_sync(syncs());
        self.catalog.check_place()?;
        point("commit.before")?;
        let _inside = inside_slow();
        let written = self.catalog.store.db.write_opt(self.inner, &options).map_err(Error::of_catalog);
        // Once more: what is acknowledged lies, now that it is durable, where the path leads.
        let stayed = written.and_then(|()| point("commit.after")).and_then(|()| self.catalog.check_place());
        stayed.map_err(|error| {
            if error.kind() == ErrorKind::Displaced {
                return error;
            }
            Error::new(error.kind(), format!("the write failed: {}", error.message()))
                .help_of_disk(&error, "check the disk's space and health, then close the database and open it again: it then has either all of this write or nothing of it")
                .because(error)
        })
    }
}
