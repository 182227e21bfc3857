//! The bytes of a segment file; `docs/FORMAT.md` describes them, and a test compares it with the constants here.
//!
//! header | section table | sections, each starting at a multiple of [`ALIGN`] and padded with zeros | footer. Everything is
//! little-endian. The header's checksum covers the table, the table carries the checksum of each section with its padding, so
//! every byte of the file is covered by one of them, the vectors row by row.

use bytes::{Buf, BufMut};

use crate::graph::BASE_DEGREE;
use crate::id::{ImageId, SegmentId, SpaceId};
use crate::operation::Role;
use crate::vector::stride;

/// First bytes of a segment file.
pub(crate) const MAGIC: [u8; 8] = *b"CAIRNSEG";
/// First bytes of its footer.
pub(crate) const FOOTER_MAGIC: [u8; 8] = *b"CAIRNEND";
/// The version this build writes.
pub(crate) const VERSION: u32 = 1;
/// The oldest build version that can read what this build writes.
pub(crate) const OLDEST_READER: u32 = 1;
/// Sections start at multiples of this; so does the file's end.
pub(crate) const ALIGN: usize = 64;
/// Bytes of the header, without the table.
pub(crate) const HEADER_BYTES: usize = 128;
/// Bytes of a table entry.
pub(crate) const ENTRY_BYTES: usize = 32;
/// Bytes of the footer.
pub(crate) const FOOTER_BYTES: usize = 64;
/// Where the first section starts.
pub(crate) const SECTIONS_START: usize = (HEADER_BYTES + ENTRY_BYTES * Section::ALL.len()).next_multiple_of(ALIGN);

/// The sections in the order of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    /// rows x u64: image ids, rising.
    Ids,
    /// (rows + 1) x u64: where each key starts in `Keys`; the last is its length.
    KeyStarts,
    /// External keys, one behind the other.
    Keys,
    /// rows x dimension x f32: copies of the descriptors.
    Vectors,
    /// rows x u32: CRC-32 of each row of `Vectors`.
    VectorChecks,
    /// rows x stride: 8-bit codes.
    Codes,
    /// rows x degree x u32: links of the lowest level; nothing when the segment has no graph.
    BaseLinks,
    /// levels x u32: nodes of each upper level, lowest first.
    UpperCounts,
    /// nodes x u32: the row of each upper node.
    UpperRows,
    /// Links of the upper levels.
    UpperLinks,
}

impl Section {
    /// All, in the order of the file.
    pub(crate) const ALL: [Self; 10] = [
        Self::Ids,
        Self::KeyStarts,
        Self::Keys,
        Self::Vectors,
        Self::VectorChecks,
        Self::Codes,
        Self::BaseLinks,
        Self::UpperCounts,
        Self::UpperRows,
        Self::UpperLinks,
    ];

    /// Its name in messages and in the document.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ids => "ids",
            Self::KeyStarts => "key starts",
            Self::Keys => "keys",
            Self::Vectors => "vectors",
            Self::VectorChecks => "vector checks",
            Self::Codes => "codes",
            Self::BaseLinks => "base links",
            Self::UpperCounts => "upper counts",
            Self::UpperRows => "upper rows",
            Self::UpperLinks => "upper links",
        }
    }

    /// Its bytes in a segment of this many rows, if that follows from the header alone.
    pub(crate) fn expected_bytes(self, rows: usize, dimension: usize) -> Option<usize> {
        match self {
            Self::Ids => rows.checked_mul(8),
            Self::KeyStarts => rows.checked_add(1)?.checked_mul(8),
            Self::Vectors => rows.checked_mul(dimension)?.checked_mul(4),
            Self::VectorChecks => rows.checked_mul(4),
            Self::Codes => rows.checked_mul(stride(dimension)),
            Self::Keys | Self::BaseLinks | Self::UpperCounts | Self::UpperRows | Self::UpperLinks => None,
        }
    }

    /// Whether the whole section is read and checked at open; the vectors are checked row by row when they are used.
    pub(crate) fn is_checked_at_open(self) -> bool {
        self != Self::Vectors
    }
}

/// The largest number of bytes of a segment of this many rows, with this many bytes of keys.
pub(crate) fn most_bytes(rows: usize, dimension: usize, keys: usize) -> u64 {
    /// Of the upper levels: a sixteenth of the rows has links there, and few have more.
    const UPPER_BYTES: usize = 16;
    let known: usize = Section::ALL.iter().filter_map(|section| section.expected_bytes(rows, dimension)).sum();
    let graph = rows * (4 * BASE_DEGREE + UPPER_BYTES);
    (SECTIONS_START + known + keys + graph + ALIGN * Section::ALL.len() + FOOTER_BYTES) as u64
}

/// Where a section lies and what its bytes sum to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Entry {
    /// From the start of the file.
    pub(crate) offset: u64,
    /// Without the padding.
    pub(crate) length: u64,
    /// CRC-32 of the bytes and their padding.
    pub(crate) check: u32,
}

/// What the header says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Header {
    pub(crate) database: [u8; 16],
    pub(crate) segment: SegmentId,
    pub(crate) space: SpaceId,
    pub(crate) role: Role,
    pub(crate) dimension: usize,
    pub(crate) rows: usize,
    pub(crate) first: ImageId,
    pub(crate) last: ImageId,
    /// Sequence number of the state it was frozen from.
    pub(crate) sequence: u64,
    pub(crate) entries: [Entry; Section::ALL.len()],
}

fn role_number(role: Role) -> u32 {
    match role {
        Role::Train => 0,
        Role::Index => 1,
    }
}

impl Header {
    /// The entry of a section.
    pub(crate) fn entry(&self, section: Section) -> Entry {
        self.entries[section as usize]
    }

    /// Bytes of the whole file.
    pub(crate) fn file_bytes(&self) -> u64 {
        let end = self.entries.iter().map(|entry| entry.offset + entry.length.next_multiple_of(ALIGN as u64)).max();
        end.unwrap_or(SECTIONS_START as u64) + FOOTER_BYTES as u64
    }

    /// Header and table as stored, up to the first section.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SECTIONS_START);
        bytes.put_slice(&MAGIC);
        bytes.put_u32_le(VERSION);
        bytes.put_u32_le(OLDEST_READER);
        bytes.put_slice(&self.database);
        bytes.put_u64_le(self.segment.0);
        bytes.put_u32_le(self.space.0);
        bytes.put_u32_le(role_number(self.role));
        bytes.put_u32_le(self.dimension as u32);
        bytes.put_u32_le(Section::ALL.len() as u32);
        bytes.put_u64_le(self.rows as u64);
        bytes.put_u64_le(self.first.0);
        bytes.put_u64_le(self.last.0);
        bytes.put_u64_le(self.sequence);
        bytes.put_u64_le(self.file_bytes());
        bytes.resize(HEADER_BYTES, 0);
        for (number, entry) in self.entries.iter().enumerate() {
            bytes.put_u32_le(number as u32 + 1);
            bytes.put_u32_le(0);
            bytes.put_u64_le(entry.offset);
            bytes.put_u64_le(entry.length);
            bytes.put_u32_le(entry.check);
            bytes.put_u32_le(0);
        }
        bytes.resize(SECTIONS_START, 0);
        let check = crc32fast::hash(&bytes);
        bytes[CHECK_AT..CHECK_AT + 4].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// The header of a file of `file_bytes` bytes that starts with `bytes`.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub(crate) fn decode(bytes: &[u8], file_bytes: u64) -> Result<Self, String> {
        let (mut copy, stored) = match bytes.get(..SECTIONS_START) {
            Some(head) => (
                head.to_vec(),
                u32::from_le_bytes([head[CHECK_AT], head[CHECK_AT + 1], head[CHECK_AT + 2], head[CHECK_AT + 3]]),
            ),
            None => return Err(format!("it is {} bytes long, shorter than a header", bytes.len())),
        };
        if copy[..8] != MAGIC {
            return Err("it does not start like a segment".to_owned());
        }
        let mut read = &bytes[8..];
        let (version, oldest) = (read.get_u32_le(), read.get_u32_le());
        if oldest > VERSION {
            return Err(format!(
                "it has format {version}, which needs a build of format {oldest} or later; this one is {VERSION}"
            ));
        }
        copy[CHECK_AT..CHECK_AT + 4].fill(0);
        if crc32fast::hash(&copy) != stored {
            return Err("the checksum of its header does not match".to_owned());
        }
        let mut database = [0; 16];
        read.copy_to_slice(&mut database);
        let segment = SegmentId(read.get_u64_le());
        let space = SpaceId(read.get_u32_le());
        let role = match read.get_u32_le() {
            0 => Role::Train,
            1 => Role::Index,
            other => return Err(format!("it has role {other}")),
        };
        let dimension = read.get_u32_le() as usize;
        let sections = read.get_u32_le();
        let rows = usize::try_from(read.get_u64_le()).map_err(|_| "it has too many rows".to_owned())?;
        let (first, last) = (ImageId(read.get_u64_le()), ImageId(read.get_u64_le()));
        let (sequence, length) = (read.get_u64_le(), read.get_u64_le());
        if sections as usize != Section::ALL.len() {
            return Err(format!("it has {sections} sections instead of {}", Section::ALL.len()));
        }
        if length != file_bytes {
            return Err(format!("it is {file_bytes} bytes long and should be {length}"));
        }
        let mut entries = [Entry::default(); Section::ALL.len()];
        let mut table = &bytes[HEADER_BYTES..];
        let mut at = SECTIONS_START as u64;
        for (section, entry) in Section::ALL.into_iter().zip(&mut entries) {
            let (_number, _zero) = (table.get_u32_le(), table.get_u32_le());
            *entry = Entry { offset: table.get_u64_le(), length: table.get_u64_le(), check: table.get_u32_le() };
            table.advance(4);
            let expected = section.expected_bytes(rows, dimension).map(|bytes| bytes as u64);
            if entry.offset != at || expected.is_some_and(|expected| expected != entry.length) {
                return Err(format!("its section '{}' is at the wrong place", section.name()));
            }
            let end = entry.length.checked_next_multiple_of(ALIGN as u64).and_then(|padded| at.checked_add(padded));
            at = end
                .filter(|&end| end <= file_bytes)
                .ok_or_else(|| format!("its section '{}' reaches past its end", section.name()))?;
        }
        if at + FOOTER_BYTES as u64 != file_bytes {
            return Err("its sections are shorter than it".to_owned());
        }
        if dimension == 0 || rows == 0 || rows >= u32::MAX as usize || first > last {
            return Err("its header is out of range".to_owned());
        }
        Ok(Self { database, segment, space, role, dimension, rows, first, last, sequence, entries })
    }

    /// The last bytes of the file; `head` is what [`Header::encode`] gave.
    pub(crate) fn footer(&self, head: &[u8]) -> [u8; FOOTER_BYTES] {
        let mut bytes = Vec::with_capacity(FOOTER_BYTES);
        bytes.put_slice(&FOOTER_MAGIC);
        bytes.put_u64_le(self.file_bytes());
        bytes.put_u64_le(self.segment.0);
        bytes.put_u32_le(check_of(head));
        bytes.resize(FOOTER_BYTES - 4, 0);
        bytes.put_u32_le(crc32fast::hash(&bytes));
        let mut footer = [0; FOOTER_BYTES];
        footer.copy_from_slice(&bytes);
        footer
    }
}

/// Where the header keeps its own checksum, which is computed with zeros in its place.
pub(crate) const CHECK_AT: usize = HEADER_BYTES - 4;

/// The checksum in an encoded header: what the manifest knows a file by.
pub(crate) fn check_of(head: &[u8]) -> u32 {
    let mut at = &head[CHECK_AT..];
    at.get_u32_le()
}
