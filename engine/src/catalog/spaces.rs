//! The spaces of a database: the models that exist, the descriptors that are kept, and the active space.
//!
//! Descriptors of several spaces may exist at once; everything derived from them (lists, votes, postings, segments) exists for
//! the active space, and for one under construction.

use std::sync::Arc;

use prost::Message;

use super::messages::{ModelMessage, OptionsMessage, SpaceMessage, decode};
use super::{ACTIVE, Batch, Catalog, Family, OPTIONS, Pinned, codec};
use crate::error::{Error, Result};
use crate::id::{ImageId, SpaceId};
use crate::options::{MAX_DIMENSION, ModelInfo, Options};
use crate::process::leaving::inside;

/// Key prefix in `meta` of what is known of a space.
const SPACE: &[u8] = b"space/";
/// Key in `meta`: the space that is being derived; whatever is derived of it is incomplete.
const DERIVING: &[u8] = b"deriving";

/// A space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) id: SpaceId,
    /// `None`: the caller brings vectors.
    pub(crate) model: Option<ModelInfo>,
    pub(crate) dimension: usize,
    /// It was started and never active.
    pub(crate) unfinished: bool,
}

/// Key in `meta`: the largest number that a space had which is gone; no other one gets a number up to it.
const LAST: &[u8] = b"last_space";

fn key_of(space: SpaceId) -> Vec<u8> {
    [SPACE, &codec::space_key(space)].concat()
}

/// Whether that key of `meta` says which spaces there are.
pub(super) fn is_stated(key: &[u8]) -> bool {
    key.starts_with(SPACE) || key == DERIVING || key == LAST || key == ACTIVE
}

/// The space whose number is stored as a value.
pub(super) fn space_of(value: &[u8]) -> Result<SpaceId> {
    u32::try_from(codec::number_of(value)?)
        .map(SpaceId)
        .map_err(|_| Error::corrupt("the number of a space is too large"))
}

impl Catalog {
    /// The space that it sees, which is or becomes active.
    pub(crate) fn own_space(&self) -> Space {
        let Options { dimension, model, .. } = self.options.clone();
        Space { id: self.space, model, dimension, unfinished: false }
    }

    /// The same store as another space sees it.
    pub(crate) fn of_space(&self, space: &Space) -> Self {
        let options = Options { dimension: space.dimension, model: space.model.clone(), ..self.options.clone() };
        Self { store: Arc::clone(&self.store), space: space.id, options, database: self.database }
    }

    /// Learns which spaces there are.
    pub(super) fn read_spaces(&self) -> Result<()> {
        let _inside = inside();
        let mut known = vec![SpaceId::FIRST, self.space];
        let family = self.family(Family::Meta)?;
        for entry in self.store.db.prefix_iterator_cf(family, SPACE) {
            let (key, _) = entry.map_err(Error::of_catalog)?;
            match key.strip_prefix(SPACE) {
                Some(number) => known.push(codec::space_of_key(number)?),
                None => break,
            }
        }
        known.sort_unstable();
        known.dedup();
        *self.store.spaces.write() = known;
        Ok(())
    }

    /// The other spaces that may hold descriptors of images.
    pub(crate) fn other_spaces(&self) -> Vec<SpaceId> {
        self.store.spaces.read().iter().copied().filter(|&space| space != self.space).collect()
    }

    /// From now on, writes care for this space's descriptors too. Called before the batch that stores the space.
    pub(crate) fn care_for(&self, space: SpaceId) {
        let mut spaces = self.store.spaces.write();
        if !spaces.contains(&space) {
            spaces.push(space);
        }
    }
}

impl Batch<'_> {
    /// Notes what a space is.
    pub(crate) fn put_space(&mut self, space: &Space) -> Result<()> {
        let message = SpaceMessage {
            dimension: space.dimension as u32,
            model: space.model.as_ref().map(ModelMessage::of),
            unfinished: space.unfinished,
        };
        self.state(&key_of(space.id), &message.encode_to_vec())
    }

    /// Forgets a space and its descriptors.
    pub(crate) fn delete_space(&mut self, space: SpaceId) -> Result<()> {
        self.unstate(&key_of(space))?;
        self.delete_prefix(Family::Embeddings, &codec::space_key(space))
    }

    /// No space gets a number up to this one any more.
    pub(crate) fn set_last_space(&mut self, last: SpaceId) -> Result<()> {
        self.state(LAST, &codec::number(u64::from(last.0)))
    }

    /// Whatever is derived of this space from now on is incomplete; `None`: nothing is being derived.
    pub(crate) fn set_deriving(&mut self, space: Option<SpaceId>) -> Result<()> {
        match space {
            Some(space) => self.state(DERIVING, &codec::number(u64::from(space.0))),
            None => self.unstate(DERIVING),
        }
    }

    /// Forgets what was derived from the descriptors of a space: lists, votes, postings, tombstones; its segments are forgotten one
    /// by one.
    pub(crate) fn clear_derived_of(&mut self, space: SpaceId) -> Result<()> {
        let prefix = codec::space_key(space);
        for family in [Family::Neighbours, Family::Voters, Family::Predictions, Family::ByInstance] {
            self.delete_prefix(family, &prefix)?;
        }
        self.clear_tombstones(space)?;
        self.set_covered_of(space, ImageId(0))
    }

    /// The key that flips: from this commit on, `space` answers.
    pub(crate) fn set_active(&mut self, space: SpaceId, options: &Options) -> Result<()> {
        self.state(OPTIONS, &OptionsMessage::of(options).encode_to_vec())?;
        self.state(ACTIVE, &codec::number(u64::from(space.0)))
    }
}

impl Pinned {
    /// All spaces, in the order of their numbers; the active one at least.
    pub(crate) fn spaces(&self) -> Result<Vec<Space>> {
        let mut spaces = Vec::new();
        self.scan(Family::Meta, SPACE, |key, value| {
            let message: SpaceMessage = decode(value, "a space")?;
            let id = codec::space_of_key(key.strip_prefix(SPACE).unwrap_or_default())?;
            let SpaceMessage { dimension, model, unfinished } = message;
            if !(1..=MAX_DIMENSION).contains(&(dimension as usize)) {
                return Err(Error::corrupt(format!("model {} is stored with dimension {dimension}", id.0)));
            }
            let model = model.map(ModelMessage::info);
            spaces.push(Space { id, model, dimension: dimension as usize, unfinished });
            Ok(true)
        })?;
        if !spaces.iter().any(|space| space.id == self.space()) {
            spaces.push(self.catalog().own_space());
            spaces.sort_by_key(|space| space.id);
        }
        Ok(spaces)
    }

    /// The largest number that a space has or had.
    pub(crate) fn last_space(&self) -> Result<SpaceId> {
        let gone = self.get(Family::Meta, LAST)?.map(|value| space_of(&value)).transpose()?;
        let there = self.spaces()?.into_iter().map(|space| space.id);
        Ok(there.chain(gone).max().unwrap_or(SpaceId::FIRST))
    }

    /// The space that was being derived when this was pinned.
    pub(crate) fn deriving(&self) -> Result<Option<SpaceId>> {
        self.get(Family::Meta, DERIVING)?.map(|value| space_of(&value)).transpose()
    }

    /// How many images have a descriptor in that space. Complexity: reads them all.
    pub(crate) fn count_vectors(&self, space: SpaceId) -> Result<usize> {
        let mut count = 0;
        self.scan(Family::Embeddings, &codec::space_key(space), |_, _| {
            count += 1;
            Ok(true)
        })?;
        Ok(count)
    }

    /// Whether an image has a descriptor in that space.
    pub(crate) fn has_vector(&self, space: SpaceId, id: ImageId) -> Result<bool> {
        Ok(self.vector_bytes(space, id)?.is_some())
    }
}

/// What a crash left of a space that was being derived.
pub(crate) fn forget_half_derived(catalog: &Catalog, pinned: &Pinned) -> Result<()> {
    let Some(space) = pinned.deriving()? else { return Ok(()) };
    let mut batch = Batch::new(catalog);
    forget_derived(&mut batch, pinned, space)?;
    batch.set_deriving(None)?;
    batch.commit()
}

/// Forgets everything derived of a space; its descriptors stay.
pub(crate) fn forget_derived(batch: &mut Batch<'_>, pinned: &Pinned, space: SpaceId) -> Result<()> {
    batch.clear_derived_of(space)?;
    for entry in pinned.all_segments()?.into_iter().filter(|entry| entry.space == space) {
        batch.delete_segment(entry.id)?;
    }
    Ok(())
}
