//! PNG, WebP, GIF, BMP and TIFF, by the image crate.

use std::io::Cursor;

use cairn::Result;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageReader, Limits};

use super::decode::DecodeLimits;
use super::source::{Raster, Source, refuse};

/// Reads the header; the decoder allocates no more than the limits allow.
pub(super) fn open<'b>(bytes: &'b [u8], limits: &DecodeLimits) -> Result<Source<'b>> {
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| refuse(&format!("cannot be read: {error}")))?;
    let mut most = Limits::no_limits();
    most.max_alloc = Some(limits.working_bytes);
    reader.limits(most.clone());
    let mut decoder = reader.into_decoder().map_err(explain)?;
    let (width, height) = decoder.dimensions();
    let (stored, is_rgb) = (decoder.total_bytes(), decoder.color_type() == ColorType::Rgb8);
    let has_alpha = decoder.color_type().has_alpha();
    let (orientation, profile) = (decoder.orientation().ok(), decoder.icc_profile().ok().flatten());
    let decode = move |_| {
        decoder.set_limits(most).map_err(explain)?;
        let picture = DynamicImage::from_decoder(decoder).map_err(explain)?;
        let size = (picture.width(), picture.height());
        Ok(match has_alpha {
            true => Raster::Rgba(size, picture.into_rgba8().into_raw()),
            false => Raster::Rgb(size, picture.into_rgb8().into_raw()),
        })
    };
    // Anything but RGB is converted, and what has transparency once more.
    let converted = move |pixels: u64| match (is_rgb, has_alpha) {
        (true, _) => 0,
        (false, true) => 4 * pixels + 3 * pixels,
        (false, false) => 3 * pixels,
    };
    Ok(Source::new(width, height, decode)
        .turned(orientation)
        .profile(profile)
        .working(move |pixels| stored.saturating_add(converted(pixels))))
}

fn explain(error: ImageError) -> cairn::Error {
    match &error {
        ImageError::Unsupported(what) => refuse(&format!("this kind of image is not read: {what}")),
        ImageError::Limits(what) => refuse(&format!("too large: {what}")),
        // Some decoders tell in several lines.
        other => refuse(&format!("damaged: {}", other.to_string().split_whitespace().collect::<Vec<_>>().join(" "))),
    }
}
