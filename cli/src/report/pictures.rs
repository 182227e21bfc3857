//! The pictures of a page: small JPEGs in base64, without repetitions; if points of a photo are drawn, with the frame of their
//! coordinates.
//!
//! Every picture is decoded and encoded again, so that a page has pixels and no metadata: no EXIF (place, time, camera), no XMP,
//! no comment, no embedded thumbnail. A stored image is shown from the database's copy; a file is read only below a folder that
//! the user named, and only if it is the photo that was ingested.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cairn::{Record, Snapshot};
use cairndb_ingest::photo::{DecodeLimits, Need, Pixels, THUMB_LONGEST_SIDE, decode_for, encode, thumbnail};

use super::files::{Found, PhotoFolders};
use crate::failure::Result;

/// Longest side of the frame in which features are detected, in pixels; smaller photos are not enlarged.
pub(super) const FRAME: u32 = cairndb_ingest::photo::FRAME_LONGEST_SIDE;
/// Longest side of a picture with points.
const DRAWN_LONGEST_SIDE: u32 = 420;
/// Quality of such a picture.
const DRAWN_QUALITY: u8 = 80;

/// The picture of an image in a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sight {
    /// Number of its picture.
    pub(crate) picture: Option<usize>,
    /// A note about it: why there is no picture, or only a small one.
    pub(crate) note: Option<&'static str>,
}

/// A picture of a complete photo, and the frame in which its extractor saw it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Framed {
    pub(super) picture: usize,
    /// Width of the frame in pixels.
    pub(super) width: f64,
    /// Height of the frame in pixels.
    pub(super) height: f64,
}

/// The pixels of a photo on which points are drawn.
fn drawn(bytes: &[u8]) -> Option<Pixels> {
    decode_for(bytes, Need::LongestSide(FRAME.max(DRAWN_LONGEST_SIDE)), &DecodeLimits::default()).ok()
}

/// The pictures of a page, and how many images came from each source.
pub(crate) struct Pictures<'a> {
    snapshot: &'a Snapshot,
    folders: &'a PhotoFolders,
    list: Vec<String>,
    stored: HashMap<String, Sight>,
    framed: HashMap<String, (Option<Framed>, Option<&'static str>)>,
}

impl<'a> Pictures<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, folders: &'a PhotoFolders) -> Self {
        Self { snapshot, folders, list: Vec::new(), stored: HashMap::new(), framed: HashMap::new() }
    }

    /// The picture of a stored image: the database's copy, or else its file.
    pub(super) fn of_stored(&mut self, key: &str) -> Result<Sight> {
        if let Some(known) = self.stored.get(key) {
            return Ok(*known);
        }
        let kept = self.snapshot.photo(key)?.and_then(|bytes| self.of_bytes(&bytes));
        let sight = match (kept, self.snapshot.record(key)?) {
            (None, Some(record)) => {
                let (bytes, note) = self.file(&record);
                let picture = bytes.and_then(|bytes| self.of_bytes(&bytes));
                Sight { picture, note: if picture.is_some() { None } else { note.or(Some("no picture")) } }
            }
            (picture, _) => Sight { picture, note: None },
        };
        self.stored.insert(key.to_owned(), sight);
        Ok(sight)
    }

    /// The complete picture of a stored image in a frame whose longest side is at most `frame` pixels, with a note. A readable
    /// file comes first, as for the extractor, since it shows more than the database's copy.
    pub(super) fn framed(&mut self, key: &str, frame: u32) -> Result<(Option<Framed>, Option<&'static str>)> {
        if let Some(known) = self.framed.get(key) {
            return Ok(*known);
        }
        let (file, note) = self.snapshot.record(key)?.map_or((None, None), |record| self.file(&record));
        let (seen, note) = match file.and_then(|bytes| drawn(&bytes)) {
            Some(seen) => (Some(seen), None),
            None => match self.snapshot.photo(key)?.and_then(|bytes| drawn(&bytes)) {
                // If the database has a picture, nobody needs to know that the file was not read.
                Some(kept) => (Some(kept), note.filter(|note| *note == Found::CHANGED)),
                None => (None, note),
            },
        };
        let framed = seen.and_then(|seen| self.framed_pixels(&seen, frame));
        self.framed.insert(key.to_owned(), (framed, note));
        Ok((framed, note))
    }

    /// The complete picture of a query's photo in such a frame; `None` if its bytes are no photo.
    pub(super) fn framed_photo(&mut self, bytes: &[u8], frame: u32) -> Option<Framed> {
        self.framed_pixels(&drawn(bytes)?, frame)
    }

    fn framed_pixels(&mut self, seen: &Pixels, frame: u32) -> Option<Framed> {
        self.list.push(STANDARD.encode(encode(seen, DRAWN_LONGEST_SIDE, DRAWN_QUALITY).ok()?));
        let longest = f64::from(seen.width().max(seen.height()));
        let scale = (f64::from(frame) / longest).min(1.0);
        let side = |side: u32| f64::from(side) * scale;
        Some(Framed { picture: self.list.len() - 1, width: side(seen.width()), height: side(seen.height()) })
    }

    fn file(&self, record: &Record) -> (Option<Vec<u8>>, Option<&'static str>) {
        match self.folders.find(record) {
            Found::Photo(bytes) => (Some(bytes), None),
            other => (None, other.note()),
        }
    }

    /// The picture of a photo's bytes; `None` if they are no photo.
    pub(super) fn of_bytes(&mut self, bytes: &[u8]) -> Option<usize> {
        self.of_pixels(&decode_for(bytes, Need::LongestSide(THUMB_LONGEST_SIDE), &DecodeLimits::default()).ok()?)
    }

    /// A small picture of these pixels.
    fn of_pixels(&mut self, pixels: &Pixels) -> Option<usize> {
        self.list.push(STANDARD.encode(thumbnail(pixels).ok()?));
        Some(self.list.len() - 1)
    }

    /// Notes about the pictures, and about images that are not shown as they were ingested.
    pub(super) fn finish(self) -> (Vec<String>, Vec<String>) {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        let notes = self.stored.values().filter_map(|sight| sight.note);
        notes
            .chain(self.framed.values().filter_map(|framed| framed.1))
            .for_each(|note| *counts.entry(note).or_default() += 1);
        let mut lines: Vec<String> = [Found::CHANGED, Found::NOT_ASKED, Found::GONE]
            .into_iter()
            .filter_map(|note| Some((note, *counts.get(note)?)))
            .map(|(note, count)| format!("{count} of the images shown: {}", Found::explain(note)))
            .collect();
        if self.folders.count() > 0 {
            lines.push(format!("{} photos were read from their files.", self.folders.count()));
        }
        (lines, self.list)
    }
}
