//! The columns of the segments' rows, saved when a database is closed: predictions and floors. The catalog has them too, but
//! reading them there takes a scan over every row.
//!
//! The file counts only if it was written for the catalog's sequence number and has the checksum that the catalog stores;
//! otherwise it is ignored.

use std::io::Write;

use bytes::{Buf, BufMut};

use super::snapshot::Published;
use crate::disk::{COLUMNS, Folder, write_whole};
use crate::error::{Error, Result};
use crate::id::{LabelId, SegmentId};
use crate::operation::Role;
use crate::rows::RowSet;
use crate::vote::Ballot;

const MAGIC: [u8; 8] = *b"CAIRNCOL";
const VERSION: u32 = 1;
/// Label number of a row without a prediction.
const NO_LABEL: u32 = u32::MAX;
/// Bytes of a row: label, score, floor.
const ROW_BYTES: usize = 12;

/// The columns of one segment, row by row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Saved {
    pub(crate) segment: SegmentId,
    pub(crate) rows: Vec<(Option<Ballot<LabelId>>, f32)>,
}

/// Bytes of the columns of these rows.
fn bytes_of(train: &RowSet, index: &RowSet) -> u64 {
    /// Magic, version, database, sequence, checksum.
    const ALL: usize = 8 + 4 + 16 + 8 + 4;
    /// Number and rows of a segment.
    const SEGMENT: usize = 8 + 4;
    let sets =
        [train, index].map(|set| set.frozen().map(|(part, ..)| SEGMENT + ROW_BYTES * part.rows()).sum::<usize>());
    sets.iter().fold(ALL, |sum, set| sum + 4 + set) as u64
}

/// Saves the columns of a state, and returns their checksum, by which the catalog is to know them.
///
/// # Errors
/// `Io`.
pub(crate) fn save(folder: &Folder, database: [u8; 16], state: &Published) -> Result<u32> {
    let mut bytes = Vec::new();
    bytes.put_slice(&MAGIC);
    bytes.put_u32_le(VERSION);
    bytes.put_slice(&database);
    bytes.put_u64_le(state.sequence);
    for role in Role::ALL {
        put_set(&mut bytes, state.rows(role));
    }
    let check = crc32fast::hash(&bytes);
    bytes.put_u32_le(check);
    let io = |error| Error::io(&folder.path_of(COLUMNS), error);
    write_whole(folder, COLUMNS, "columns", |file| file.write_all(&bytes).map_err(io))?;
    Ok(check)
}

fn put_set(bytes: &mut Vec<u8>, set: &RowSet) {
    bytes.put_u32_le(set.frozen().count() as u32);
    for (part, entry, start) in set.frozen() {
        bytes.put_u64_le(entry.id.0);
        bytes.put_u32_le(part.rows() as u32);
        for row in start..start + part.rows() {
            let (label, score) = set.instances[row].map_or((NO_LABEL, 0.0), |ballot| (ballot.label.0, ballot.score));
            bytes.put_u32_le(label);
            bytes.put_f32_le(score);
            bytes.put_f32_le(set.floors[row]);
        }
    }
}

/// The columns saved for this sequence number and these rows; `None`: there are none that can be believed. `known` is the checksum by
/// which the catalog knows them.
pub(crate) fn load(
    folder: &Folder,
    (database, sequence, known): ([u8; 16], u64, Option<u32>),
    train: &RowSet,
    index: &RowSet,
) -> Option<Vec<Saved>> {
    let known = known?;
    let bytes = folder.read(COLUMNS, bytes_of(train, index)).ok()??;
    let (body, check) = bytes.split_last_chunk::<4>()?;
    // Their own checksum tells that they are whole, the catalog's that they are the ones that were written.
    if u32::from_le_bytes(*check) != known || crc32fast::hash(body) != known {
        return None;
    }
    decode(body, database, sequence).ok()?
}

fn decode(mut bytes: &[u8], database: [u8; 16], sequence: u64) -> Result<Option<Vec<Saved>>, bytes::TryGetError> {
    let (mut magic, mut name) = ([0; 8], [0; 16]);
    bytes.try_copy_to_slice(&mut magic)?;
    let version = bytes.try_get_u32_le()?;
    bytes.try_copy_to_slice(&mut name)?;
    if (magic, version, name) != (MAGIC, VERSION, database) || bytes.try_get_u64_le()? != sequence {
        return Ok(None);
    }
    let mut saved = Vec::new();
    for _ in Role::ALL {
        for _ in 0..bytes.try_get_u32_le()? {
            let segment = SegmentId(bytes.try_get_u64_le()?);
            let count = bytes.try_get_u32_le()? as usize;
            if bytes.len() / ROW_BYTES < count {
                return Ok(None);
            }
            let mut rows = Vec::with_capacity(count);
            for _ in 0..count {
                let (label, score, floor) = (bytes.get_u32_le(), bytes.get_f32_le(), bytes.get_f32_le());
                rows.push(((label != NO_LABEL).then_some(Ballot { label: LabelId(label), score }), floor));
            }
            saved.push(Saved { segment, rows });
        }
    }
    Ok(Some(saved))
}
