//! PNG, WebP, GIF, BMP and TIFF, by the image crate.

use std::io::{Cursor, Read as _};

use cairn::Result;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageReader, Limits};

use super::decode::DecodeLimits;
use super::kind::Kind;
use super::source::{Raster, Source, refuse};

/// Largest colour profile of a PNG, unpacked: 4 MiB.
const MOST_PROFILE_BYTES: u64 = 4 << 20;
/// Bytes for each pixel that the decoder of WebP holds beside its output: luminance and chrominance.
const WEBP_BYTES_PER_PIXEL: u64 = 2;

/// Reads the header; the decoder allocates no more than the limits allow.
pub(super) fn open<'b>(bytes: &'b [u8], kind: Kind, limits: &DecodeLimits) -> Result<Source<'b>> {
    if kind == Kind::Png && profile_of_png(bytes).is_some_and(unpacks_too_far) {
        return Err(refuse("damaged: its colour profile is larger than any"));
    }
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
    let planes = if kind == Kind::WebP { WEBP_BYTES_PER_PIXEL } else { 0 };
    // Anything but RGB is converted, and what has transparency once more.
    let converted = move |pixels: u64| match (is_rgb, has_alpha) {
        (true, _) => 0,
        (false, true) => 4 * pixels + 3 * pixels,
        (false, false) => 3 * pixels,
    };
    Ok(Source::new(width, height, decode)
        .turned(orientation)
        .profile(profile)
        .working(move |pixels| stored.saturating_add(converted(pixels)).saturating_add(planes * pixels)))
}

/// The packed colour profile of a PNG, behind its name and the byte of its method. The decoder would unpack it without a limit.
fn profile_of_png(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.get(8..)?;
    loop {
        let (head, behind) = rest.split_at_checked(8)?;
        let length = head.iter().take(4).fold(0usize, |length, &byte| length << 8 | usize::from(byte));
        let (body, behind) = behind.split_at_checked(length)?;
        match &head[4..] {
            b"iCCP" => {
                let name = body.iter().position(|&byte| byte == 0)?;
                return body.get(name + 2..);
            }
            b"IDAT" | b"IEND" => return None,
            _ => rest = behind.get(4..)?,
        }
    }
}

fn unpacks_too_far(packed: &[u8]) -> bool {
    let unpacked = flate2::read::ZlibDecoder::new(packed).take(MOST_PROFILE_BYTES + 1);
    std::io::copy(&mut { unpacked }, &mut std::io::sink()).is_ok_and(|bytes| bytes > MOST_PROFILE_BYTES)
}

fn explain(error: ImageError) -> cairn::Error {
    match &error {
        ImageError::Unsupported(what) => refuse(&format!("this kind of image is not read: {what}")),
        ImageError::Limits(what) => refuse(&format!("too large: {what}")),
        // Some decoders tell in several lines.
        other => refuse(&format!("damaged: {}", other.to_string().split_whitespace().collect::<Vec<_>>().join(" "))),
    }
}
