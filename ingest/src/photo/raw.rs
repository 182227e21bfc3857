//! Camera raws, by the preview that the camera stored in them: the largest JPEG inside.

use cairn::Result;
use image::metadata::Orientation;

use super::jpeg;
use super::source::{Source, refuse};

/// Longest side of the smallest preview that stands for a photo; what is smaller is the thumbnail of a file manager.
const SMALLEST_PREVIEW: u32 = 480;
/// Directories and entries of a TIFF that are read: real ones have a handful, and hostile ones form circles.
const MOST_DIRECTORIES: usize = 64;
const MOST_ENTRIES: usize = 512;
/// JPEGs inside that are examined.
const MOST_PREVIEWS: usize = 64;

/// Whether a TIFF is a camera raw: one of its directories has the pixels of a sensor, or it calls itself a DNG.
pub(super) fn is_raw(bytes: &[u8]) -> bool {
    const PHOTOMETRIC: u16 = 262;
    const DNG_VERSION: u16 = 50706;
    const COLOUR_FILTERS: u32 = 32803;
    const LINEAR_RAW: u32 = 34892;
    let of_sensor = |&(tag, value): &(u16, u32)| match tag {
        PHOTOMETRIC => matches!(value, COLOUR_FILTERS | LINEAR_RAW),
        DNG_VERSION => true,
        _ => false,
    };
    Tiff::at(bytes).is_some_and(|tiff| tiff.entries().iter().any(of_sensor))
}

/// The header of the largest preview.
pub(super) fn open(bytes: &[u8]) -> Result<Source<'_>> {
    let previews = jpegs(bytes).filter_map(|preview| jpeg::open(preview).ok());
    let Some(preview) = previews.max_by_key(|it| u64::from(it.width) * u64::from(it.height)) else {
        return Err(refuse("a camera raw without a JPEG preview: convert it, or give a JPEG of it"));
    };
    let (width, height) = (preview.width, preview.height);
    if width.max(height) < SMALLEST_PREVIEW {
        return Err(refuse(&format!(
            "a camera raw whose largest preview has {width}x{height} pixels: convert it, or give a JPEG of it"
        )));
    }
    // A preview with its own orientation is a whole photo; the others lie as the raw says.
    match preview.orientation {
        Orientation::NoTransforms => Ok(preview.turned(orientation(bytes))),
        _ => Ok(preview),
    }
}

/// Everything that begins like a JPEG, to the end of the file: the decoder finds its end.
fn jpegs(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    const START: &[u8] = b"\xFF\xD8\xFF";
    let mut at = 0;
    let starts = std::iter::from_fn(move || {
        let found = at + memchr::memmem::find(bytes.get(at..)?, START)?;
        at = found + START.len();
        bytes.get(found..)
    });
    starts.take(MOST_PREVIEWS)
}

/// The orientation in the first directory of the raw's own TIFF, or of the one in a CR3's box.
fn orientation(bytes: &[u8]) -> Option<Orientation> {
    const ORIENTATION: u16 = 274;
    let boxed = memchr::memmem::find(&bytes[..bytes.len().min(1 << 16)], b"CMT1").and_then(|at| bytes.get(at + 4..));
    let tiff = Tiff::at(bytes).or_else(|| Tiff::at(boxed?))?;
    let first = tiff.entries().into_iter().find(|&(tag, _)| tag == ORIENTATION)?;
    Orientation::from_exif(u8::try_from(first.1).ok()?)
}

/// A TIFF, as far as directories and their numbers go.
struct Tiff<'b> {
    bytes: &'b [u8],
    is_big_endian: bool,
}

impl<'b> Tiff<'b> {
    /// Olympus and Panasonic have their own number instead of 42.
    fn at(bytes: &'b [u8]) -> Option<Self> {
        let is_big_endian = match bytes.get(..2)? {
            b"II" => false,
            b"MM" => true,
            _ => return None,
        };
        Some(Self { bytes, is_big_endian })
    }

    /// The bytes of a number, least significant first.
    fn number<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let mut bytes: [u8; N] = self.bytes.get(at..at.checked_add(N)?)?.try_into().ok()?;
        if self.is_big_endian {
            bytes.reverse();
        }
        Some(bytes)
    }

    fn short(&self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes(self.number(at)?))
    }

    fn long(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.number(at)?))
    }

    /// Tags with their first number, of every directory, the first one's first.
    fn entries(&self) -> Vec<(u16, u32)> {
        const SUB_DIRECTORIES: u16 = 330;
        let mut found = Vec::new();
        let mut waiting: Vec<u32> = self.long(4).into_iter().collect();
        let mut seen = Vec::new();
        while let Some(start) = waiting.pop() {
            if start == 0 || seen.contains(&start) || seen.len() == MOST_DIRECTORIES {
                continue;
            }
            seen.push(start);
            let start = start as usize;
            let Some(count) = self.short(start).map(usize::from).filter(|&count| count <= MOST_ENTRIES) else {
                continue;
            };
            // Read later than the directories inside this one.
            waiting.extend(self.long(start + 2 + 12 * count));
            for at in (0..count).map(|entry| start + 2 + 12 * entry) {
                let Some((tag, kind, values)) = self.entry(at) else { break };
                if tag == SUB_DIRECTORIES && kind != Kind::Short {
                    let first = self.long(at + 8);
                    let inside = (0..values.min(MOST_DIRECTORIES as u32))
                        .filter_map(|number| self.long(first? as usize + 4 * number as usize));
                    waiting.extend(if values == 1 { first.into_iter().collect() } else { inside.collect::<Vec<_>>() });
                } else if let Some(value) =
                    if kind == Kind::Short { self.short(at + 8).map(u32::from) } else { self.long(at + 8) }
                {
                    found.push((tag, value));
                }
            }
        }
        found
    }

    fn entry(&self, at: usize) -> Option<(u16, Kind, u32)> {
        const SHORT: u16 = 3;
        let kind = if self.short(at + 2)? == SHORT { Kind::Short } else { Kind::Other };
        Some((self.short(at)?, kind, self.long(at + 4)?))
    }
}

/// How a number is stored in its entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Short,
    Other,
}

#[cfg(test)]
#[path = "raw_tests.rs"]
mod tests;
