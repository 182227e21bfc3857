//! Decodes photos of every kind into upright RGB of sRGB; it checks every size in the header before it decodes a pixel.
//!
//! Transparent colours lie on white, grey is repeated, inks become light, 16 bits become 8, colour profiles are applied; of an
//! animation it takes the first frame. Damaged photos are refused: a decoder would fill the rest with grey, and a wrong descriptor
//! is worse than a missing one.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cairn::Result;
use image::{DynamicImage, RgbImage};

use super::budget::Share;
use super::kind::Kind;
use super::resize::SizeRule;
use super::source::{Raster, Source, refuse};
use super::{Pixels, colour, heif, jpeg, jpeg_xl, jpeg2000, pictures, raw};

/// Limits on a photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Largest number of pixels, according to the header; default 300 million.
    pub pixels: u64,
    /// Largest number of bytes held at once: pixels, their conversion, rotation, a progressive JPEG's coefficients; of all threads
    /// together; default 448 MiB.
    pub working_bytes: u64,
    /// Largest number of bytes of a file; default 256 MiB.
    pub file_bytes: u64,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { pixels: 300_000_000, working_bytes: 448 << 20, file_bytes: 256 << 20 }
    }
}

/// The size at which a photo will be used: a larger one may be decoded at 1/2, 1/4 or 1/8, if twice the size is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Every pixel.
    All,
    /// Scaled down to a longest side.
    LongestSide(u32),
    /// As the input of a model, and as a thumbnail.
    Input(SizeRule),
}

impl Need {
    /// (width, height) for an upright photo of that width and height.
    fn target(self, width: u32, height: u32) -> (u32, u32) {
        let within = |longest: u32| {
            let side = |side: u32| u64::from(side) * u64::from(longest) / u64::from(width.max(height).max(1));
            (u32::try_from(side(width)).unwrap_or(width), u32::try_from(side(height)).unwrap_or(height))
        };
        match self {
            Need::All => (width, height),
            Need::LongestSide(longest) => within(longest),
            Need::Input(rule) => {
                let ((w, h), thumb) = (rule.target(width, height), within(super::THUMB_LONGEST_SIDE));
                (w.max(thumb.0), h.max(thumb.1))
            }
        }
    }

    /// The divisor of a photo that can be decoded smaller.
    fn divisor(self, width: u32, height: u32) -> u32 {
        let (wide, high) = self.target(width, height);
        let is_enough =
            |divisor: &u32| width / divisor >= wide.saturating_mul(2) && height / divisor >= high.saturating_mul(2);
        [8, 4, 2].into_iter().find(is_enough).unwrap_or(1)
    }
}

/// Decodes a photo with every pixel: upright, RGB, 8 bits.
///
/// # Errors
/// As [`decode_for`].
pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Pixels> {
    decode_for(bytes, Need::All, limits)
}

/// Decodes a photo for a use: upright (all eight EXIF orientations), RGB, 8 bits, at its size or at 1/2, 1/4 or 1/8 of it. It
/// waits while other threads use the memory that it needs.
///
/// # Errors
/// When it is no photo (the message says what it is), has a kind that is not read, is incomplete, or is larger than the limits.
/// Never panics: it catches a decoder's panic.
pub fn decode_for(bytes: &[u8], need: Need, limits: &DecodeLimits) -> Result<Pixels> {
    catch_unwind(AssertUnwindSafe(|| decode_unguarded(bytes, need, limits)))
        .unwrap_or_else(|_| Err(refuse("the decoder failed on it; the file is damaged")))
}

/// (width, height) of a photo when upright; it decodes no pixel.
///
/// # Errors
/// When it is no photo or its header is damaged. Never panics.
pub fn upright_size(bytes: &[u8], limits: &DecodeLimits) -> Result<(u32, u32)> {
    let size = || Ok(open(bytes, limits)?.upright());
    catch_unwind(AssertUnwindSafe(size)).unwrap_or_else(|_| Err(refuse("its header is damaged")))
}

/// Reads the header.
fn open<'b>(bytes: &'b [u8], limits: &DecodeLimits) -> Result<Source<'b>> {
    let kind = Kind::of(bytes).map_err(|what| refuse(&format!("not a photo: {what}")))?;
    match kind {
        Kind::Jpeg => jpeg::open(bytes),
        Kind::Png | Kind::WebP | Kind::Gif | Kind::Bmp => pictures::open(bytes, kind, limits),
        Kind::Tiff if raw::is_raw(bytes) => raw::open(bytes),
        Kind::Tiff => pictures::open(bytes, kind, limits),
        Kind::Raw => raw::open(bytes),
        Kind::Heif => heif::open(bytes, "HEIC"),
        Kind::Avif => heif::open(bytes, "AVIF"),
        Kind::JpegXl => jpeg_xl::open(bytes, limits),
        Kind::Jpeg2000 => jpeg2000::open(bytes),
    }
}

fn decode_unguarded(bytes: &[u8], need: Need, limits: &DecodeLimits) -> Result<Pixels> {
    let source = open(bytes, limits)?;
    let (width, height) = source.upright();
    let pixels = u64::from(width).saturating_mul(u64::from(height));
    let over = |what: String| Err(refuse(&format!("{width}x{height} pixels: {what}")));
    if pixels == 0 {
        return over("an empty picture".to_owned());
    }
    if pixels > limits.pixels {
        return over(format!("a photo may have {} million", limits.pixels / 1_000_000));
    }
    let divisor = if source.scales { need.divisor(width, height) } else { 1 };
    let working = source.working_bytes(divisor);
    if working > limits.working_bytes {
        return over(format!(
            "decoding takes {} MiB, more than the {} that it may use",
            working.div_ceil(1 << 20),
            limits.working_bytes >> 20
        ));
    }
    let _share = Share::take(working, limits.working_bytes);
    let (orientation, profile) = (source.orientation, source.profile.clone());
    let ((width, height), mut rgb) = match source.decode(divisor)? {
        Raster::Rgb(size, rgb) => (size, rgb),
        Raster::Rgba(size, rgba) => (size, colour::on_white(&rgba)),
        Raster::Cmyk(size, cmyk, inks) => (size, colour::of_inks(cmyk, inks, size.0, profile.as_ref())),
    };
    colour::to_srgb(&mut rgb, width, profile.as_ref());
    let picture = RgbImage::from_raw(width, height, rgb).ok_or_else(|| refuse("the decoder lost pixels"))?;
    let mut picture = DynamicImage::ImageRgb8(picture);
    picture.apply_orientation(orientation);
    let picture = picture.into_rgb8();
    Pixels::new(picture.width(), picture.height(), picture.into_raw()).ok_or_else(|| refuse("the decoder lost pixels"))
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
