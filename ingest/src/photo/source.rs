//! A photo whose header was read and whose pixels were not: what every format has in common.

use cairn::{Error, Result};
use image::metadata::Orientation;

use super::colour::{Inks, Profile};

/// Pixels as a format stores them, with their width and height.
pub(super) enum Raster {
    Rgb((u32, u32), Vec<u8>),
    Rgba((u32, u32), Vec<u8>),
    Cmyk((u32, u32), Vec<u8>, Inks),
}

type Decode<'b> = Box<dyn FnOnce(u32) -> Result<Raster> + 'b>;
type Working<'b> = Box<dyn Fn(u64) -> u64 + 'b>;

/// The header of a photo.
pub(super) struct Source<'b> {
    /// As stored, before it is turned upright.
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) orientation: Orientation,
    pub(super) profile: Option<Profile>,
    /// Whether it can be decoded at 1/2, 1/4 and 1/8.
    pub(super) scales: bool,
    working: Working<'b>,
    decode: Decode<'b>,
}

impl<'b> Source<'b> {
    /// A photo that `decode` decodes at 1 / its argument.
    pub(super) fn new(width: u32, height: u32, decode: impl FnOnce(u32) -> Result<Raster> + 'b) -> Self {
        Self {
            width,
            height,
            orientation: Orientation::NoTransforms,
            profile: None,
            scales: false,
            working: Box::new(|pixels| 3 * pixels),
            decode: Box::new(decode),
        }
    }

    /// It can be decoded at 1/2, 1/4 and 1/8.
    pub(super) fn scales(self) -> Self {
        Self { scales: true, ..self }
    }

    /// How its rows lie; a damaged EXIF block does not cost the photo.
    pub(super) fn turned(self, orientation: Option<Orientation>) -> Self {
        Self { orientation: orientation.unwrap_or(self.orientation), ..self }
    }

    /// The ICC profile of its colours.
    pub(super) fn profile(self, icc: Option<Vec<u8>>) -> Self {
        Self { profile: icc.map(Profile::Icc), ..self }
    }

    /// Bytes that its decoder holds at most, for that many pixels of output; default 3 a pixel.
    pub(super) fn working(self, bytes: impl Fn(u64) -> u64 + 'b) -> Self {
        Self { working: Box::new(bytes), ..self }
    }

    /// (width, height) when upright.
    pub(super) fn upright(&self) -> (u32, u32) {
        if self.swaps_sides() { (self.height, self.width) } else { (self.width, self.height) }
    }

    /// Whether it lies on its side.
    pub(super) fn swaps_sides(&self) -> bool {
        matches!(
            self.orientation,
            Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
        )
    }

    /// Bytes that decoding holds at once at 1 / `divisor`, until the pixels are upright RGB.
    pub(super) fn working_bytes(&self, divisor: u32) -> u64 {
        let side = |side: u32| u64::from(side.div_ceil(divisor));
        let pixels = side(self.width) * side(self.height);
        let turning = if self.orientation == Orientation::NoTransforms { 0 } else { 3 * pixels };
        (self.working)(pixels).max(3 * pixels + turning)
    }

    /// The pixels at 1 / `divisor`.
    pub(super) fn decode(self, divisor: u32) -> Result<Raster> {
        (self.decode)(divisor)
    }
}

pub(super) fn refuse(what: &str) -> Error {
    Error::invalid(what.to_owned())
}
