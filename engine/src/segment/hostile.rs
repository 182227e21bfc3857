//! R10: a crafted segment file must be refused, or every access to it must stay inside the file. Used by a fuzz target
//! (`fuzz/segment_bytes.rs`) and by `tests.rs`.

use std::path::Path;
use std::sync::Arc;

use super::layout::{self, Header, Section};
use super::{Expected, Segment, Truth};
use crate::catalog::SegmentEntry;
use crate::disk::Folder;
use crate::error::Error;
use crate::graph::{self, Codes};
use crate::vector::{CodedQuery, products, stride};

/// Makes the checksums of a file fit its bytes again, where the table can be followed; the checksum of the header. What is shorter
/// than a header and a footer stays as it is.
pub(crate) fn resealed(bytes: &mut [u8]) -> u32 {
    if bytes.len() < layout::SECTIONS_START + layout::FOOTER_BYTES {
        return 0;
    }
    let number = |bytes: &[u8], at: usize| {
        let bytes = bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        usize::try_from(u64::from_le_bytes(bytes.unwrap_or_default())).unwrap_or(usize::MAX)
    };
    for entry in (0..Section::ALL.len()).map(|number| layout::HEADER_BYTES + number * layout::ENTRY_BYTES) {
        let (offset, length) = (number(bytes, entry + 8), number(bytes, entry + 16));
        let end = length.checked_next_multiple_of(layout::ALIGN).and_then(|padded| offset.checked_add(padded));
        if let Some(section) = end.and_then(|end| bytes.get(offset..end)) {
            let check = crc32fast::hash(section).to_le_bytes();
            bytes[entry + 24..entry + 28].copy_from_slice(&check);
        }
    }
    bytes[layout::CHECK_AT..layout::CHECK_AT + 4].fill(0);
    let check = crc32fast::hash(&bytes[..layout::SECTIONS_START]);
    bytes[layout::CHECK_AT..layout::CHECK_AT + 4].copy_from_slice(&check.to_le_bytes());
    let footer = bytes.len() - layout::FOOTER_BYTES;
    bytes[footer + 24..footer + 28].copy_from_slice(&check.to_le_bytes());
    let last = crc32fast::hash(&bytes[footer..bytes.len() - 4]);
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&last.to_le_bytes());
    check
}

/// What a database that names this very file expects of it.
pub(crate) fn expected(header: &Header, check: u32) -> Expected {
    let Header { database, segment, space, role, dimension, rows, first, last, .. } = *header;
    let entry =
        SegmentEntry { id: segment, space, role, rows: rows as u64, first, last, check, bytes: header.file_bytes() };
    Expected { database, dimension, entry }
}

/// Opens bytes as a segment with the checksum that they claim, and with checksums that fit; how often they were one.
///
/// # Panics
/// Where the reader breaks its promise: that is how a fuzz target reports.
#[cfg(feature = "hostile")]
pub(crate) fn withstands(path: &Path, bytes: &[u8]) -> usize {
    let mut bytes = bytes.to_vec();
    let claimed = bytes.get(..layout::SECTIONS_START).map_or(0, layout::check_of);
    let as_it_is = is_used(path, &bytes, claimed);
    let check = resealed(&mut bytes);
    usize::from(as_it_is) + usize::from(is_used(path, &bytes, check))
}

/// Opens a file of these bytes and uses everything in it; `false`: it was refused.
///
/// # Panics
/// Where the reader breaks its promise, or the file cannot be written.
pub(crate) fn is_used(path: &Path, bytes: &[u8], check: u32) -> bool {
    assert!(std::fs::write(path, bytes).is_ok(), "{} cannot be written", path.display());
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return false;
    };
    let Ok(folder) = Folder::open(folder) else { return false };
    let truth: Truth = Arc::new(|_| Err(Error::corrupt("there is no other copy")));
    // Whatever it says of itself is what is expected.
    let Ok(header) = Header::decode(bytes, bytes.len() as u64) else { return false };
    let Ok(segment) = Segment::open(&folder, name, &expected(&header, check), truth) else { return false };
    for row in 0..segment.rows() {
        let _ = (segment.ids()[row], segment.key(row).len(), segment.vector(row).is_ok());
    }
    let (dimension, codes) = (segment.header().dimension, segment.codes());
    assert!(segment.rows() * (stride(dimension) + 4 * dimension + 16) <= bytes.len(), "more rows than bytes");
    let query = CodedQuery::new(&vec![0.5; dimension]);
    let mut scores = vec![0.0; segment.rows()];
    products(std::slice::from_ref(&query), codes, &mut scores);
    let _ = (segment.all_vectors().map(<[f32]>::len), segment.check_deep(&folder, name).is_ok(), segment.is_damaged());
    if let Some(found) = segment.graph() {
        let mut scratch = graph::Scratch::default();
        let near = graph::search(found, Codes { bytes: codes, dimension }, &query, 10, &mut scratch);
        assert!(near.len() <= 10);
    }
    true
}
