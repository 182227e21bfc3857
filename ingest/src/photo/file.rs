//! Reads the bytes of photos, within the limit on a file, and tells whether they are still those that were ingested.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use cairn::{Error, ErrorKind, Photo, Result};

use super::Pixels;
use super::decode::{DecodeLimits, Need, decode_for};
use crate::plain::open_plain;

/// The bytes of a file, if it is a file and no larger than the limit.
///
/// # Errors
/// When it does not exist, is no file, is too large, or cannot be read; the message names it.
pub fn read_file(path: &Path, limits: &DecodeLimits) -> Result<Vec<u8>> {
    let (file, length) = open_within(path, limits)?;
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    file.take(limits.file_bytes).read_to_end(&mut bytes).map_err(|e| Error::io(path, e))?;
    Ok(bytes)
}

/// A plain file within the limit, and its length.
fn open_within(path: &Path, limits: &DecodeLimits) -> Result<(File, u64)> {
    match open_plain(path)? {
        (_, length) if length > limits.file_bytes => Err(Error::invalid(format!(
            "{}: {length} bytes are more than the {} that a photo may have",
            path.display(),
            limits.file_bytes
        ))),
        opened => Ok(opened),
    }
}

/// Whether bytes are those of a photo with this BLAKE3, which the record of an ingested photo has.
pub fn is_content(bytes: &[u8], content: &[u8; 32]) -> bool {
    blake3::hash(bytes).as_bytes() == content
}

/// The BLAKE3 of a file, if it is a file and no larger than a photo may be.
pub fn hash_file(path: &Path, limits: &DecodeLimits) -> Result<[u8; 32]> {
    let (file, _) = open_within(path, limits)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file.take(limits.file_bytes)).map_err(|error| Error::io(path, error))?;
    Ok(*hasher.finalize().as_bytes())
}

/// The bytes of a photo from any source, if they are within the limit.
pub fn read_photo(photo: &Photo, limits: &DecodeLimits) -> Result<Vec<u8>> {
    match photo {
        Photo::File(path) => read_file(path, limits),
        Photo::Bytes(bytes) if bytes.len() as u64 > limits.file_bytes => {
            Err(Error::invalid(format!("{} bytes are more than a photo may have", bytes.len())))
        }
        Photo::Bytes(bytes) => Ok(bytes.clone()),
    }
}

/// The same for a photo that must still have this BLAKE3.
///
/// # Errors
/// `Mismatch`: the file has another content.
fn read_stored(photo: &Photo, content: Option<&[u8; 32]>, limits: &DecodeLimits) -> Result<Vec<u8>> {
    let bytes = read_photo(photo, limits)?;
    match content {
        Some(content) if !is_content(&bytes, content) => Err(about_photo(
            photo,
            Error::new(ErrorKind::Mismatch, "the file is no longer the photo that was ingested"),
        )
        .help("ingest it again to store the new photo, or restore the old file")),
        _ => Ok(bytes),
    }
}

/// The pixels of a photo that must still have this BLAKE3; errors name the file.
///
/// # Errors
/// `Mismatch`: the file has another content; otherwise as [`decode_for`].
pub fn stored_pixels(photo: &Photo, content: Option<&[u8; 32]>, need: Need, limits: &DecodeLimits) -> Result<Pixels> {
    decode_for(&read_stored(photo, content, limits)?, need, limits).map_err(|error| about_photo(photo, error))
}

/// The error with the name of the photo's file before it, if it is a file.
pub fn about_photo(photo: &Photo, error: Error) -> Error {
    match photo {
        Photo::File(path) => Error::new(error.kind(), format!("{}: {}", path.display(), error.message())),
        Photo::Bytes(_) => error,
    }
}
