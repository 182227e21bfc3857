//! The pictures of a page: small JPEGs in base64, each kept once; where places in a photo are drawn, with the frame they lie in.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cairn::Snapshot;
use cairndb_ingest::photo::{DecodeLimits, Pixels, decode, read_file, resize, thumbnail};
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder as _};

use crate::failure::Result;

/// A stored JPEG of at most this size goes into the page as it is.
const SMALL_BYTES: usize = 32 * 1024;
/// Longest side of a picture in which places are drawn.
const DRAWN_LONGEST_SIDE: u32 = 420;
/// Quality of such a picture.
const DRAWN_QUALITY: u8 = 80;

/// A picture of a whole photo and the frame in which its extractor saw it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Framed {
    pub(super) picture: usize,
    /// Pixels of the frame from left to right.
    pub(super) width: f64,
    /// Pixels of the frame from top to bottom.
    pub(super) height: f64,
}

pub(super) struct Pictures<'a> {
    snapshot: &'a Snapshot,
    list: Vec<String>,
    stored: HashMap<String, (Option<usize>, Option<String>)>,
    framed: HashMap<String, Option<Framed>>,
}

impl<'a> Pictures<'a> {
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, list: Vec::new(), stored: HashMap::new(), framed: HashMap::new() }
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

    /// The whole picture of a stored image in a frame whose longest side is at most `frame` pixels. As for the extractor the file it
    /// came from counts first, then what the database keeps of it.
    pub(super) fn framed(&mut self, key: &str, frame: u32) -> Result<Option<Framed>> {
        if let Some(known) = self.framed.get(key) {
            return Ok(*known);
        }
        let limits = DecodeLimits::default();
        let source = self.snapshot.record(key)?.and_then(|record| record.source).map(PathBuf::from);
        let file = source.filter(|path| path.is_file()).and_then(|path| read_file(&path, &limits).ok());
        let seen = match file.and_then(|bytes| decode(&bytes, &limits).ok()) {
            Some(seen) => Some(seen),
            None => self.snapshot.photo(key)?.and_then(|bytes| decode(&bytes, &limits).ok()),
        };
        let framed = seen.and_then(|seen| {
            self.list.push(STANDARD.encode(drawn(&seen)?));
            let longest = f64::from(seen.width().max(seen.height()));
            let scale = (f64::from(frame) / longest).min(1.0);
            let side = |side: u32| f64::from(side) * scale;
            Some(Framed { picture: self.list.len() - 1, width: side(seen.width()), height: side(seen.height()) })
        });
        self.framed.insert(key.to_owned(), framed);
        Ok(framed)
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

/// A JPEG to draw on.
fn drawn(picture: &Pixels) -> Option<Vec<u8>> {
    let longest = picture.width().max(picture.height());
    let scale = (f64::from(DRAWN_LONGEST_SIDE) / f64::from(longest)).min(1.0);
    let side = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
    let small = resize(picture, side(picture.width()), side(picture.height())).ok()?;
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, DRAWN_QUALITY)
        .write_image(small.rgb(), small.width(), small.height(), ExtendedColorType::Rgb8)
        .ok()?;
    Some(jpeg)
}
