//! The side file of the last acknowledged write.
//!
//! RocksDB recovers up to the first damaged record of its log and silently drops what lies behind it, acknowledged or not. This
//! file is how that is noticed: it holds a sequence number that was acknowledged, written about once a second and at close.

use std::io::Write;
use std::path::Path;

use bytes::{Buf, BufMut};

use crate::disk::{acknowledged_file, write_whole};
use crate::error::{Error, Result};

const MAGIC: [u8; 8] = *b"CAIRNACK";

/// Notes that this sequence number was acknowledged.
///
/// # Errors
/// `Io`.
pub(super) fn note(folder: &Path, database: [u8; 16], sequence: u64) -> Result<()> {
    let mut bytes = Vec::with_capacity(36);
    bytes.put_slice(&MAGIC);
    bytes.put_slice(&database);
    bytes.put_u64_le(sequence);
    bytes.put_u32_le(crc32fast::hash(&bytes));
    let path = acknowledged_file(folder);
    write_whole(&path, "acknowledged", |file| file.write_all(&bytes).map_err(|error| Error::io(&path, error)))
}

/// The sequence number noted last for this database; `None`: no note, or one that cannot be believed.
pub(super) fn noted(folder: &Path, database: [u8; 16]) -> Option<u64> {
    let bytes = std::fs::read(acknowledged_file(folder)).ok()?;
    let (body, check) = bytes.split_last_chunk::<4>()?;
    let mut rest = body.strip_prefix(&MAGIC)?.strip_prefix(&database)?;
    let sequence = rest.try_get_u64_le().ok()?;
    (rest.is_empty() && crc32fast::hash(body) == u32::from_le_bytes(*check)).then_some(sequence)
}

/// Refuses a catalog that lost what was acknowledged.
///
/// # Errors
/// `Corrupt`: which writes are gone.
pub(super) fn check(folder: &Path, database: [u8; 16], found: u64) -> Result<()> {
    match noted(folder, database) {
        Some(noted) if noted > found => Err(Error::corrupt(format!(
            "data loss: writes up to {noted} were acknowledged, and the catalog ends at {found}"
        ))
        .help("its log is damaged or files of it are gone. Restore a backup; or keep what is left: cairn repair DB")),
        _ => Ok(()),
    }
}
