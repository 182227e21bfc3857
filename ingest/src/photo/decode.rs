//! Decodes image files into upright RGB; it checks every size in the header before it decodes a pixel.
//!
//! Colour follows Pillow's `convert('RGB')`: it drops alpha, repeats grey, converts CMYK and reduces 16 bits to 8; of an
//! animation it takes the first frame. It refuses a JPEG without an end marker: a decoder would fill the rest with grey, and a
//! wrong descriptor is worse than a missing one.

use std::fs::File;
use std::io::{Cursor, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use cairn::{Error, ErrorKind, Photo, Result};
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::Pixels;

/// Limits on a photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Largest number of pixels, according to the header; default 100 million.
    pub pixels: u64,
    /// Largest number of bytes of decoded pixels; default 256 MiB.
    pub decoded_bytes: u64,
    /// Largest number of bytes held at once: pixels, conversion to 8-bit RGB, rotation, a progressive JPEG's coefficients;
    /// default 448 MiB.
    pub working_bytes: u64,
    /// Largest number of bytes of a file; default 256 MiB.
    pub file_bytes: u64,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { pixels: 100_000_000, decoded_bytes: 256 << 20, working_bytes: 448 << 20, file_bytes: 256 << 20 }
    }
}

/// Photos that need more than this are decoded one at a time, on any number of threads: 64 MiB.
const LARGE_BYTES: u64 = 64 << 20;
static LARGE_PHOTO: Mutex<()> = Mutex::new(());

/// The bytes of a file, if it is a file and no larger than the limit.
///
/// # Errors
/// When it does not exist, is no file, is too large, or cannot be read; the message names it.
pub fn read_file(path: &Path, limits: &DecodeLimits) -> Result<Vec<u8>> {
    let (file, length) = open_plain(path, limits)?;
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    file.take(limits.file_bytes).read_to_end(&mut bytes).map_err(|e| Error::io(path, e))?;
    Ok(bytes)
}

/// A plain file within the limit, and its length. A pipe or a device is not even opened: opening it might block, or have an
/// effect.
fn open_plain(path: &Path, limits: &DecodeLimits) -> Result<(File, u64)> {
    let check = |about: std::fs::Metadata| match about.len() {
        _ if !about.is_file() => Err(Error::invalid(format!("{}: not a regular file", path.display()))),
        length if length > limits.file_bytes => Err(Error::invalid(format!(
            "{}: {length} bytes are more than the {} that a photo may have",
            path.display(),
            limits.file_bytes
        ))),
        length => Ok(length),
    };
    let io = |error| Error::io(path, error);
    check(std::fs::metadata(path).map_err(io)?)?;
    // A file that replaces it meanwhile is checked again, and opening a pipe does not block.
    let no_wait = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = File::options().read(true).custom_flags(no_wait).open(path).map_err(io)?;
    let length = check(file.metadata().map_err(io)?)?;
    Ok((file, length))
}

/// Whether bytes are those of a photo with this BLAKE3, which the record of an ingested photo has.
pub fn is_content(bytes: &[u8], content: &[u8; 32]) -> bool {
    blake3::hash(bytes).as_bytes() == content
}

/// The BLAKE3 of a file, if it is a file and no larger than a photo may be.
pub fn hash_file(path: &Path, limits: &DecodeLimits) -> Result<[u8; 32]> {
    let (file, _) = open_plain(path, limits)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file.take(limits.file_bytes)).map_err(|error| Error::io(path, error))?;
    Ok(*hasher.finalize().as_bytes())
}

/// The bytes of a photo from any source, if they are within the limit.
pub fn read_photo(photo: &Photo, limits: &DecodeLimits) -> Result<Vec<u8>> {
    match photo {
        Photo::File(path) => read_file(path, limits),
        Photo::Bytes(bytes) if bytes.len() as u64 > limits.file_bytes => {
            Err(Error::invalid(format!("{} bytes are more than a photo may have", bytes.len())))
        }
        Photo::Bytes(bytes) => Ok(bytes.clone()),
    }
}

/// The same for a photo that must still have this BLAKE3.
///
/// # Errors
/// `Mismatch`: the file has another content.
fn read_stored(photo: &Photo, content: Option<&[u8; 32]>, limits: &DecodeLimits) -> Result<Vec<u8>> {
    let bytes = read_photo(photo, limits)?;
    match content {
        Some(content) if !is_content(&bytes, content) => Err(about_photo(
            photo,
            Error::new(ErrorKind::Mismatch, "the file is no longer the photo that was ingested"),
        )
        .help("ingest it again to store the new photo, or restore the old file")),
        _ => Ok(bytes),
    }
}

/// Its pixels; errors name the file.
pub fn stored_pixels(photo: &Photo, content: Option<&[u8; 32]>, limits: &DecodeLimits) -> Result<Pixels> {
    decode(&read_stored(photo, content, limits)?, limits).map_err(|error| about_photo(photo, error))
}

/// The error with the name of the photo's file before it, if it is a file.
pub fn about_photo(photo: &Photo, error: Error) -> Error {
    match photo {
        Photo::File(path) => Error::new(error.kind(), format!("{}: {}", path.display(), error.message())),
        Photo::Bytes(_) => error,
    }
}

/// Decodes an image file: upright (all eight EXIF orientations), RGB, 8 bits.
///
/// # Errors
/// When it is no image, has an unsupported format, is incomplete, or is larger than the limits. Never panics: it catches a
/// decoder's panic.
pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Pixels> {
    catch_unwind(AssertUnwindSafe(|| decode_unguarded(bytes, limits)))
        .unwrap_or_else(|_| Err(refuse("the decoder failed on it; the file is damaged")))
}

/// (width, height) of an image file when upright; it decodes no pixel.
///
/// # Errors
/// When it is no image or its header is damaged. Never panics.
pub fn upright_size(bytes: &[u8], limits: &DecodeLimits) -> Result<(u32, u32)> {
    let size = || {
        let (_, mut decoder, _) = opened(bytes, limits)?;
        let (width, height) = decoder.dimensions();
        let turned = swaps_sides(decoder.orientation().unwrap_or(Orientation::NoTransforms));
        Ok(if turned { (height, width) } else { (width, height) })
    };
    catch_unwind(AssertUnwindSafe(size)).unwrap_or_else(|_| Err(refuse("its header is damaged")))
}

fn refuse(what: &str) -> Error {
    Error::invalid(what.to_owned())
}

/// The decoder of a file, which allocates no more than the limits allow.
fn opened<'b>(bytes: &'b [u8], limits: &DecodeLimits) -> Result<(ImageFormat, impl ImageDecoder + 'b, Limits)> {
    if bytes.is_empty() {
        return Err(refuse("the file is empty"));
    }
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|e| refuse(&format!("cannot be read: {e}")))?;
    let Some(format) = reader.format() else {
        return Err(refuse("not an image (JPEG, PNG, WebP, GIF, BMP and TIFF are read)"));
    };
    let mut decoder_limits = Limits::no_limits();
    decoder_limits.max_alloc = Some(limits.decoded_bytes);
    reader.limits(decoder_limits.clone());
    Ok((format, reader.into_decoder().map_err(explain)?, decoder_limits))
}

fn decode_unguarded(bytes: &[u8], limits: &DecodeLimits) -> Result<Pixels> {
    let (format, mut decoder, mut decoder_limits) = opened(bytes, limits)?;

    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width).saturating_mul(u64::from(height));
    let over = |what: String| Err(refuse(&format!("{width}x{height} pixels: {what}")));
    if pixels == 0 {
        return over("an empty picture".to_owned());
    }
    if pixels > limits.pixels {
        return over(format!("a photo may have {} million", limits.pixels / 1_000_000));
    }
    if decoder.total_bytes() > limits.decoded_bytes {
        return over(format!("decoded they take more than {} MiB", limits.decoded_bytes >> 20));
    }
    // A damaged EXIF block must not cost the photo.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let jpeg = if format == ImageFormat::Jpeg { Some(JpegEnd::find(bytes)) } else { None };
    if jpeg.as_ref().is_some_and(|jpeg| !jpeg.complete) {
        return Err(refuse("the JPEG is cut short: its end marker is missing"));
    }
    let rgb_bytes = pixels * 3;
    let mut working = decoder.total_bytes();
    if decoder.color_type() != ColorType::Rgb8 {
        working += rgb_bytes;
    }
    if swaps_sides(orientation) {
        working = working.max(2 * rgb_bytes);
    }
    if jpeg.is_some_and(|jpeg| jpeg.progressive) {
        working += 2 * rgb_bytes; // 16-bit coefficients of the whole picture
    }
    if working > limits.working_bytes {
        return over(format!("decoding takes more than {} MiB", limits.working_bytes >> 20));
    }
    let _turn = (working > LARGE_BYTES).then(|| LARGE_PHOTO.lock().unwrap_or_else(PoisonError::into_inner));

    decoder_limits.max_alloc = Some(limits.working_bytes);
    decoder.set_limits(decoder_limits).map_err(explain)?;
    let mut picture = DynamicImage::ImageRgb8(DynamicImage::from_decoder(decoder).map_err(explain)?.into_rgb8());
    picture.apply_orientation(orientation);
    let picture = picture.into_rgb8();
    Pixels::new(picture.width(), picture.height(), picture.into_raw()).ok_or_else(|| refuse("the decoder lost pixels"))
}

fn swaps_sides(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
    )
}

fn explain(error: ImageError) -> Error {
    match &error {
        ImageError::Unsupported(what) => refuse(&format!("this kind of image is not read: {what}")),
        ImageError::Limits(what) => refuse(&format!("too large: {what}")),
        // Some decoders tell in several lines.
        other => refuse(&format!("damaged: {}", other.to_string().split_whitespace().collect::<Vec<_>>().join(" "))),
    }
}

/// What a walk over a JPEG's segments shows.
struct JpegEnd {
    /// The end marker follows the scans.
    complete: bool,
    /// The picture comes in several passes.
    progressive: bool,
}

impl JpegEnd {
    /// Walks the markers. Segments are skipped by their length, so that the end marker of an embedded thumbnail is not taken for
    /// the picture's; inside a scan every 0xFF is stuffed or a restart, so the next other marker ends it.
    fn find(bytes: &[u8]) -> Self {
        const START_OF_SCAN: u8 = 0xDA;
        const END_OF_IMAGE: u8 = 0xD9;
        let mut found = Self { complete: false, progressive: false };
        let mut scanned = false;
        let mut at = 2;
        while let Some(skip) = bytes.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == 0xFF)) {
            at += skip + 1;
            let Some(&marker) = bytes.get(at) else { break };
            match marker {
                0xFF => continue, // fill byte
                END_OF_IMAGE if scanned => {
                    found.complete = true;
                    break;
                }
                0x00 | 0x01 | 0xD0..=END_OF_IMAGE => at += 1,
                _ => {
                    found.progressive |= matches!(marker, 0xC2 | 0xC6 | 0xCA | 0xCE);
                    scanned |= marker == START_OF_SCAN;
                    let Some(length) = bytes.get(at + 1..at + 3) else { break };
                    at += 1 + usize::from(length[0]) * 256 + usize::from(length[1]);
                }
            }
        }
        found
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
