//! JPEG 2000, by hayro-jpeg2000; a resolution of 1/2, 1/4 or 1/8 lies ready in the file.

use cairn::Result;
use hayro_jpeg2000::{ColorSpace, DecodeSettings, DecoderContext, Image};

use super::colour::Inks;
use super::source::{Raster, Source, refuse};

/// Bytes that decoding holds for each pixel of a channel: numbers in floating point, twice.
const BYTES_PER_SAMPLE: u64 = 8;

/// Reads the header.
pub(super) fn open(bytes: &[u8]) -> Result<Source<'_>> {
    if !has_all_tiles(bytes) {
        return Err(refuse("the JPEG 2000 is cut short: tiles of the picture are missing"));
    }
    let image = read(bytes, None)?;
    let (width, height) = (image.width(), image.height());
    let channels = u64::from(image.color_space().num_channels()) + u64::from(image.has_alpha());
    let profile = match image.color_space() {
        ColorSpace::Icc { profile, .. } => Some(profile.clone()),
        _ => None,
    };
    let decode = move |divisor: u32| {
        let scaled = (width.div_ceil(divisor), height.div_ceil(divisor));
        raster(&if divisor == 1 { image } else { read(bytes, Some(scaled))? })
    };
    Ok(Source::new(width, height, decode)
        .scales()
        .profile(profile)
        .working(move |pixels| (BYTES_PER_SAMPLE + 1).saturating_mul(channels).saturating_mul(pixels)))
}

/// With `strict`, what is damaged is an error and not a guess.
fn read(bytes: &[u8], target_resolution: Option<(u32, u32)>) -> Result<Image<'_>> {
    let settings = DecodeSettings { strict: true, target_resolution, ..DecodeSettings::default() };
    Image::new(bytes, &settings).map_err(|error| refuse(&format!("damaged: {error}")))
}

/// Whether every tile of the picture has a part in the file: the decoder leaves missing ones black.
fn has_all_tiles(bytes: &[u8]) -> bool {
    /// Tiles that are counted: more belong to no photo.
    const MOST_TILES: usize = 1 << 16;
    let tiles = || -> Option<bool> {
        let start = memchr::memmem::find(bytes, b"\xFF\x4F\xFF\x51")?;
        let number = |at: usize, length: usize| {
            let bytes = bytes.get(at..at.checked_add(length)?)?;
            Some(bytes.iter().fold(0usize, |number, &byte| number << 8 | usize::from(byte)))
        };
        // Behind marker, length and capabilities: the sides and offsets of the picture, then those of a tile.
        let sizes = start + 8;
        let side = |place: usize| number(sizes + 4 * place, 4);
        let across = (side(0)?.checked_sub(side(6)?)?).div_ceil(side(4)?.max(1));
        let down = (side(1)?.checked_sub(side(7)?)?).div_ceil(side(5)?.max(1));
        let count = across.checked_mul(down).filter(|&count| count <= MOST_TILES)?;
        let mut seen = vec![false; count];
        let mut at = start + 2;
        while let Some(marker) = number(at, 2) {
            at = match marker {
                // A part of a tile: its tile, and the length of the whole part, 0 for all that is left.
                0xFF90 => {
                    *seen.get_mut(number(at + 4, 2)?)? = true;
                    match number(at + 6, 4)? {
                        0 => break,
                        // No shorter than its own head.
                        part if part < 12 => return None,
                        part => at.checked_add(part)?,
                    }
                }
                0xFFD9 => break,
                _ => at + 2 + number(at + 2, 2)?,
            };
        }
        Some(seen.into_iter().all(|seen| seen))
    };
    tiles().unwrap_or(false)
}

fn raster(image: &Image<'_>) -> Result<Raster> {
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(|error| refuse(&format!("damaged: {error}")))?;
    let size = (image.width(), image.height());
    let samples = decoded.data_u8();
    let grey = |pixel: &[u8]| [pixel[0]; 3];
    let grey_on = |pixel: &[u8]| [pixel[0], pixel[0], pixel[0], pixel[1]];
    let expected = size.0 as usize * size.1 as usize * decoded.components().len();
    if samples.len() != expected {
        return Err(refuse("this kind of image is not read: a JPEG 2000 whose channels have several sizes"));
    }
    Ok(match (image.color_space().num_channels(), image.has_alpha()) {
        (1, false) => Raster::Rgb(size, samples.chunks_exact(1).flat_map(grey).collect()),
        (1, true) => Raster::Rgba(size, samples.chunks_exact(2).flat_map(grey_on).collect()),
        (3, false) => Raster::Rgb(size, samples),
        (3, true) => Raster::Rgba(size, samples),
        (4, false) => Raster::Cmyk(size, samples, Inks::Plain),
        (channels, _) => {
            return Err(refuse(&format!("this kind of image is not read: a JPEG 2000 with {channels} channels")));
        }
    })
}
