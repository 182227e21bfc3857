//! What a file is, by its name where that says enough, otherwise by its first bytes.

use std::io::Read as _;
use std::path::Path;

use cairn::{Error, Result};

use crate::photo::{KIND_BYTES, Kind, TEXT};
use crate::plain::open_plain;

/// Endings of photos, in lower case: what has one counts as a photo without a look inside.
pub const PHOTO_ENDINGS: [&str; 36] = [
    "jpg", "jpeg", "jpe", "jfif", "jif", "png", "apng", "webp", "gif", "bmp", "dib", "tif", "tiff", "heic", "heif",
    "hif", "avif", "jxl", "jp2", "j2k", "j2c", "jpf", "jpx", "dng", "cr2", "cr3", "nef", "nrw", "arw", "srw", "orf",
    "rw2", "pef", "raf", "rwl", "x3f",
];

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// A photo of a kind that is read.
    Photo,
    /// A text, which may be a list.
    Text,
    /// Something else, in words that follow "this is".
    Other(&'static str),
}

/// Whether a name ends like a photo's ([`PHOTO_ENDINGS`]).
pub fn is_named_like_a_photo(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
    ending.is_some_and(|ending| PHOTO_ENDINGS.contains(&ending.as_str()))
}

/// What a plain file holds, by its first bytes.
///
/// # Errors
/// When it cannot be opened or read.
pub fn sniff(path: &Path) -> Result<Sort> {
    let mut head = Vec::with_capacity(KIND_BYTES);
    let (file, _) = open_plain(path)?;
    file.take(KIND_BYTES as u64).read_to_end(&mut head).map_err(|error| Error::io(path, error))?;
    Ok(match Kind::of(&head) {
        Ok(_) => Sort::Photo,
        Err(what) if what == TEXT => Sort::Text,
        Err(what) => Sort::Other(what),
    })
}
