//! Turns pixels into a small JPEG without metadata: the copy of a photo that a database keeps to show it in answers.

use cairn::{Error, Result};
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::{Pixels, resize};

/// Longest side of a thumbnail, in pixels; smaller photos keep their size.
pub const THUMB_LONGEST_SIDE: u32 = 256;
const QUALITY: u8 = 85;

/// A JPEG of the picture, aspect ratio kept, its longest side at most [`THUMB_LONGEST_SIDE`].
///
/// # Errors
/// When the encoder fails.
pub fn thumbnail(picture: &Pixels) -> Result<Vec<u8>> {
    encode(picture, THUMB_LONGEST_SIDE, QUALITY)
}

/// A JPEG of the picture with its aspect ratio, its longest side at most `longest` pixels, of a quality from 1 to 100. It has
/// only
/// pixels: no EXIF, no XMP, no colour profile, no comment.
///
/// # Errors
/// When the encoder fails.
pub fn encode(picture: &Pixels, longest: u32, quality: u8) -> Result<Vec<u8>> {
    let scale = (f64::from(longest) / f64::from(picture.width().max(picture.height()))).min(1.0);
    let side = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
    let small = resize(picture, side(picture.width()), side(picture.height()))?;
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, quality)
        .write_image(small.rgb(), small.width(), small.height(), ExtendedColorType::Rgb8)
        .map_err(|error| Error::invalid(format!("the thumbnail cannot be made: {error}")).because(error))?;
    Ok(jpeg)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::super::{DecodeLimits, decode};
    use super::*;

    #[test]
    fn a_thumbnail_keeps_the_aspect_ratio_and_small_photos_their_size() {
        for ((w, h), expected) in [((512, 300), (256, 150)), ((100, 60), (100, 60)), ((3000, 2), (256, 1))] {
            let picture = Pixels::new(w, h, vec![90; (w * h * 3) as usize]).unwrap();
            let back = decode(&thumbnail(&picture).unwrap(), &DecodeLimits::default()).unwrap();
            assert_eq!((back.width(), back.height()), expected);
        }
    }
}
