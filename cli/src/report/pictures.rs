//! The pictures of a page: small JPEGs in base64, each kept once.

use std::collections::HashMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cairn::Snapshot;
use cairndb_ingest::photo::{DecodeLimits, decode, read_file, thumbnail};

use crate::failure::Result;

/// A stored JPEG of at most this size goes into the page as it is.
const SMALL_BYTES: usize = 32 * 1024;

pub(super) struct Pictures<'a> {
    snapshot: &'a Snapshot,
    list: Vec<String>,
    stored: HashMap<String, (Option<usize>, Option<String>)>,
}

impl<'a> Pictures<'a> {
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, list: Vec::new(), stored: HashMap::new() }
    }

    /// The picture of a stored image, and where it came from: what the database keeps, or the file it came from.
    pub(super) fn of_stored(&mut self, key: &str) -> Result<(Option<usize>, Option<String>)> {
        if let Some(known) = self.stored.get(key) {
            return Ok(known.clone());
        }
        let source = self.snapshot.record(key)?.and_then(|record| record.source);
        let kept = self.snapshot.photo(key)?.and_then(|bytes| self.of_bytes(&bytes));
        let picture = match (&source, kept) {
            (Some(source), None) => self.of_file(Path::new(source)),
            (_, kept) => kept,
        };
        self.stored.insert(key.to_owned(), (picture, source.clone()));
        Ok((picture, source))
    }

    /// The picture of a file; none where it cannot be read any more.
    pub(super) fn of_file(&mut self, path: &Path) -> Option<usize> {
        let bytes = read_file(path, &DecodeLimits::default()).ok()?;
        self.of_bytes(&bytes)
    }

    /// The picture of a photo's bytes; none where they are no photo.
    pub(super) fn of_bytes(&mut self, bytes: &[u8]) -> Option<usize> {
        let small = if bytes.len() <= SMALL_BYTES && bytes.starts_with(&[0xff, 0xd8]) {
            STANDARD.encode(bytes)
        } else {
            STANDARD.encode(thumbnail(&decode(bytes, &DecodeLimits::default()).ok()?).ok()?)
        };
        self.list.push(small);
        Some(self.list.len() - 1)
    }

    pub(super) fn into_list(self) -> Vec<String> {
        self.list
    }
}
