//! JPEG 2000, by hayro-jpeg2000; a resolution of 1/2, 1/4 or 1/8 lies ready in the file.

use cairn::Result;
use hayro_jpeg2000::{ColorSpace, DecodeSettings, DecoderContext, Image};

use super::colour::Inks;
use super::source::{Raster, Source, refuse};

/// Bytes that decoding holds for each pixel of a channel: numbers in floating point, twice.
const BYTES_PER_SAMPLE: u64 = 8;

/// Reads the header.
pub(super) fn open(bytes: &[u8]) -> Result<Source<'_>> {
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
