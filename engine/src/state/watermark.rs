//! The watermark's file: the last acknowledged write.
//!
//! RocksDB recovers its log up to the first damaged record and silently drops the rest, acknowledged or not. This file reveals
//! such a loss: it has a sequence number that was acknowledged, written about once a second and at close.

use std::io::Write;

use bytes::{Buf, BufMut};

use crate::catalog::codec;
use crate::disk::{ACKNOWLEDGED, Folder, write_whole};
use crate::error::{Error, Result};

const MAGIC: [u8; 8] = *b"CAIRNACK";
/// Bytes of the file.
const BYTES: usize = 36;

/// Notes that this sequence number was acknowledged.
///
/// # Errors
/// `Io`.
pub(crate) fn note(folder: &Folder, database: [u8; 16], sequence: u64) -> Result<()> {
    let mut bytes = Vec::with_capacity(BYTES);
    bytes.put_slice(&MAGIC);
    bytes.put_slice(&database);
    bytes.put_u64_le(sequence);
    bytes.put_u32_le(crc32fast::hash(&bytes));
    let io = |error| Error::io(&folder.path_of(ACKNOWLEDGED), error);
    write_whole(folder, ACKNOWLEDGED, "acknowledged", |file| file.write_all(&bytes).map_err(io))
}

/// What the file says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Note {
    database: [u8; 16],
    sequence: u64,
}

/// Reads the file; `None`: no note, or one that cannot be believed.
///
/// A write is noted after its commit is in the log. So a catalog that is opened after the note was read holds what it names, also
/// beside a process that goes on writing both.
pub(crate) fn read(folder: &Folder) -> Option<Note> {
    let bytes = folder.read(ACKNOWLEDGED, BYTES as u64).ok()??;
    let (body, check) = bytes.split_last_chunk::<4>()?;
    let (database, mut rest) = body.strip_prefix(&MAGIC)?.split_first_chunk::<16>()?;
    let sequence = rest.try_get_u64_le().ok()?;
    let is_whole = rest.is_empty()
        && crc32fast::hash(body) == u32::from_le_bytes(*check)
        && codec::counted(sequence, "an acknowledged write").is_ok();
    is_whole.then_some(Note { database: *database, sequence })
}

/// The sequence number noted last for this database.
pub(crate) fn noted(folder: &Folder, database: [u8; 16]) -> Option<u64> {
    read(folder).filter(|note| note.database == database).map(|note| note.sequence)
}

/// Refuses a catalog that lost what was acknowledged before it was opened.
///
/// # Errors
/// `Corrupt`: which writes are gone.
pub(crate) fn check(note: Option<Note>, database: [u8; 16], found: u64) -> Result<()> {
    match note.filter(|note| note.database == database).map(|note| note.sequence) {
        Some(noted) if noted > found => Err(Error::corrupt(format!(
            "data loss: writes up to {noted} were acknowledged, but the catalog ends at {found}"
        ))
        .help("its log is damaged or files are missing. Restore a backup; or save what is left: cairn repair DB")),
        _ => Ok(()),
    }
}
