//! The manifest: the segments that count, their dead rows, and the id up to which rows are in segments.

use prost::Message;

use super::messages::{SegmentMessage, decode};
use super::{Batch, COVERED, Family, NEXT_SEGMENT, Pinned, codec};
use crate::error::{Error, Result};
use crate::id::{ImageId, SegmentId, SpaceId};
use crate::operation::Role;

/// Key prefix of segments.
const SEGMENT: u8 = b's';
/// No segment is so long: 256 TiB.
const MOST_BYTES: u64 = 1 << 48;
/// Key prefix of tombstones.
const TOMBSTONE: u8 = b't';

/// What the manifest says of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentEntry {
    pub(crate) id: SegmentId,
    pub(crate) space: SpaceId,
    pub(crate) role: Role,
    pub(crate) rows: u64,
    pub(crate) first: ImageId,
    pub(crate) last: ImageId,
    /// Checksum in the header of its file.
    pub(crate) check: u32,
    /// Length of its file.
    pub(crate) bytes: u64,
}

impl SegmentEntry {
    /// Its key and value in `manifest`.
    pub(super) fn encoded(&self) -> ([u8; 9], Vec<u8>) {
        let message = SegmentMessage {
            space: self.space.0,
            train: self.role == Role::Train,
            rows: self.rows,
            first: self.first.0,
            last: self.last.0,
            check: self.check,
            bytes: self.bytes,
        };
        (segment_key(self.id), message.encode_to_vec())
    }

    /// The entry under a key that begins with [`SEGMENT`].
    ///
    /// # Errors
    /// `Corrupt`.
    pub(super) fn of(key: &[u8], value: &[u8]) -> Result<Self> {
        let message: SegmentMessage = decode(value, "a segment's entry")?;
        let id = SegmentId(codec::image_of_key(key.get(1..).unwrap_or_default())?.0);
        for number in [message.rows, message.first, message.last] {
            codec::counted(number, &format!("a number in the entry of segment {}", id.0))?;
        }
        if message.bytes > MOST_BYTES || message.first > message.last {
            return Err(Error::corrupt(format!("the entry of segment {} is out of range", id.0)));
        }
        Ok(Self {
            id,
            space: SpaceId(message.space),
            role: if message.train { Role::Train } else { Role::Index },
            rows: message.rows,
            first: ImageId(message.first),
            last: ImageId(message.last),
            check: message.check,
            bytes: message.bytes,
        })
    }
}

fn segment_key(id: SegmentId) -> [u8; 9] {
    let mut key = [SEGMENT; 9];
    key[1..].copy_from_slice(&codec::image_key(ImageId(id.0)));
    key
}

fn tombstone_key(space: SpaceId, id: ImageId) -> [u8; 13] {
    let mut key = [TOMBSTONE; 13];
    key[1..].copy_from_slice(&codec::space_image_key(space, id));
    key
}

fn tombstones_of(space: SpaceId) -> Vec<u8> {
    [&[TOMBSTONE], &codec::space_key(space)[..]].concat()
}

/// The first space has the key that databases of one space had.
fn covered_key(space: SpaceId) -> Vec<u8> {
    if space == SpaceId::FIRST { COVERED.to_vec() } else { [COVERED, b"/", &codec::space_key(space)[..]].concat() }
}

impl Batch<'_> {
    /// Names a segment; its file is durable by now.
    pub(crate) fn put_segment(&mut self, entry: &SegmentEntry) -> Result<()> {
        let (key, value) = entry.encoded();
        self.put(Family::Manifest, &key, &value)?;
        // Of two that are made at once the higher number may be named first.
        let next = self.catalog.store.segments_given().max(entry.id.0 + 1);
        self.put(Family::Meta, NEXT_SEGMENT, &codec::number(next))
    }

    /// Segments are numbered from there on: for repairs, where what was counted cannot be believed.
    pub(crate) fn set_next_segment(&mut self, next: SegmentId) -> Result<()> {
        self.put(Family::Meta, NEXT_SEGMENT, &codec::number(next.0))
    }

    /// Forgets a segment; its file is unlinked afterwards.
    pub(crate) fn delete_segment(&mut self, id: SegmentId) -> Result<()> {
        self.delete(Family::Manifest, &segment_key(id))
    }

    /// A row of a segment is dead from now on.
    pub(crate) fn put_tombstone(&mut self, space: SpaceId, id: ImageId) -> Result<()> {
        self.put(Family::Manifest, &tombstone_key(space, id), &[])
    }

    /// No segment holds that dead row any more.
    pub(crate) fn delete_tombstone(&mut self, space: SpaceId, id: ImageId) -> Result<()> {
        self.delete(Family::Manifest, &tombstone_key(space, id))
    }

    /// No segment of that space holds dead rows.
    pub(super) fn clear_tombstones(&mut self, space: SpaceId) -> Result<()> {
        self.delete_prefix(Family::Manifest, &tombstones_of(space))
    }

    /// Live rows below this id lie in segments.
    pub(crate) fn set_covered(&mut self, end: ImageId) -> Result<()> {
        self.set_covered_of(self.space(), end)
    }

    /// Live rows of that space below this id lie in segments.
    pub(super) fn set_covered_of(&mut self, space: SpaceId, end: ImageId) -> Result<()> {
        self.put(Family::Meta, &covered_key(space), &codec::number(end.0))
    }
}

impl Pinned {
    /// The segments of its space, in the order of their numbers.
    pub(crate) fn segments(&self) -> Result<Vec<SegmentEntry>> {
        let space = self.space();
        Ok(self.all_segments()?.into_iter().filter(|entry| entry.space == space).collect())
    }

    /// The segments of all spaces, in the order of their numbers.
    pub(crate) fn all_segments(&self) -> Result<Vec<SegmentEntry>> {
        let mut entries = Vec::new();
        self.scan(Family::Manifest, &[SEGMENT], |key, value| {
            entries.push(SegmentEntry::of(key, value)?);
            Ok(true)
        })?;
        Ok(entries)
    }

    /// The dead rows of segments.
    pub(crate) fn tombstones(&self, space: SpaceId, mut visit: impl FnMut(ImageId) -> Result<()>) -> Result<()> {
        self.scan(Family::Manifest, &tombstones_of(space), |key, _| {
            visit(codec::image_of_space_key(&key[1..])?)?;
            Ok(true)
        })
    }

    /// The number of the next segment, if anybody can have counted to it.
    pub(crate) fn readable_next_segment(&self) -> Option<SegmentId> {
        self.meta_number_or(NEXT_SEGMENT, 0).ok().map(SegmentId)
    }

    /// The id below which live rows lie in segments.
    pub(crate) fn covered(&self) -> Result<ImageId> {
        Ok(ImageId(self.meta_number_or(&covered_key(self.space()), 0)?))
    }

    /// Refuses a number of the next segment that nobody counted to.
    pub(super) fn check_segment_counter(&self) -> Result<()> {
        self.meta_number_or(NEXT_SEGMENT, 0).map(|_counted| ())
    }

    /// A number for a new segment, which no other segment has or had.
    pub(crate) fn next_segment(&self) -> Result<SegmentId> {
        // Two spaces may name segments at once, and the higher number may be named first.
        let named = self.all_segments()?.last().map_or(0, |entry| entry.id.0 + 1);
        let least = self.meta_number_or(NEXT_SEGMENT, 0)?.max(named);
        let given = self.catalog().store.give_segment(SegmentId(least));
        codec::next_number(given.0, "the number of the next segment")?;
        Ok(given)
    }
}
