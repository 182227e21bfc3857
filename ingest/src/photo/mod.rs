//! Turns a photo's bytes into pixels: decoding under limits, orientation, colours, resizing, thumbnails. It uses no network.

mod budget;
mod colour;
mod decode;
mod exif;
mod file;
mod heif;
mod jpeg;
mod jpeg2000;
mod jpeg_xl;
mod kind;
mod pictures;
mod raw;
mod resize;
mod source;
mod thumb;

pub use decode::{DecodeLimits, Need, decode, decode_for, upright_size};
pub use exif::noted_by_camera;
pub use file::{about_photo, hash_file, is_content, read_file, read_photo, stored_pixels};
pub(crate) use kind::TEXT;
pub use kind::{KIND_BYTES, Kind};
pub use resize::{SizeRule, aspect_group, resize};
pub use thumb::{THUMB_LONGEST_SIDE, encode, thumbnail};

/// Longest side of the frame of local features, in pixels, unless an extractor has another one.
///
/// The frame of a photo is the upright photo, scaled down so that its longest side is at most this; a smaller photo is its own
/// frame. (0, 0) is the centre of its top left pixel, x goes right, y goes down. Residuals of verification are pixels of it.
pub const FRAME_LONGEST_SIDE: u32 = 640;

/// An upright RGB picture, 8 bits per channel, rows from the top, no padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

impl Pixels {
    /// A picture of these bytes; `None` unless there are exactly width x height x 3 of them, and at least one pixel.
    pub fn new(width: u32, height: u32, rgb: Vec<u8>) -> Option<Self> {
        let bytes = u64::from(width).checked_mul(u64::from(height))?.checked_mul(3)?;
        (bytes > 0 && bytes == rgb.len() as u64).then_some(Self { width, height, rgb })
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// R, G, B of the first pixel, and so on.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }
}

#[cfg(test)]
mod cases_tests;
