//! JPEG XL, by jxl-oxide.

use cairn::Result;
use jxl_oxide::{AllocTracker, InitializeResult, JxlImage, JxlThreadPool};

use super::colour::Profile;
use super::decode::DecodeLimits;
use super::source::{Raster, Source, refuse};

/// Bytes that decoding holds for each pixel: three channels in floating point, before and behind a filter, and the result. The decoder
/// counts what it takes itself, and ends where it takes more than the limit.
const BYTES_PER_PIXEL: u64 = 4 * 3 * 2 + 3;

/// Reads the header.
pub(super) fn open<'b>(bytes: &'b [u8], limits: &DecodeLimits) -> Result<Source<'b>> {
    let damaged = |error: &dyn std::fmt::Display| refuse(&format!("damaged: {error}"));
    let tracker = AllocTracker::with_limit(usize::try_from(limits.working_bytes).unwrap_or(usize::MAX));
    // Photos are decoded side by side; one thread each.
    let builder = JxlImage::builder().pool(JxlThreadPool::none()).alloc_tracker(tracker);
    let mut image = builder.build_uninit();
    image.feed_bytes(bytes).map_err(|error| damaged(&error))?;
    let InitializeResult::Initialized(mut image) = image.try_init().map_err(|error| damaged(&error))? else {
        return Err(refuse("damaged: the JPEG XL is cut short"));
    };
    let (width, height) = (image.width(), image.height());
    let format = image.pixel_format();
    if format.has_black() {
        return Err(refuse("this kind of image is not read: a JPEG XL with inks"));
    }
    let profile = Some(Profile::Icc(image.rendered_icc()));
    let decode = move |_| {
        image.finalize().map_err(|error| damaged(&error))?;
        if !image.is_loading_done() {
            return Err(refuse("damaged: the JPEG XL is cut short"));
        }
        let render = image.render_frame(0).map_err(|error| damaged(&error))?;
        let mut stream = if format.has_alpha() { render.stream() } else { render.stream_no_alpha() };
        let (width, height, channels) = (stream.width(), stream.height(), stream.channels() as usize);
        let mut samples = vec![0u8; width as usize * height as usize * channels];
        stream.write_to_buffer(&mut samples);
        let size = (width, height);
        let grey = |pixel: &[u8]| [pixel[0]; 3];
        Ok(match (format.is_grayscale(), format.has_alpha()) {
            (false, false) if channels == 3 => Raster::Rgb(size, samples),
            (false, true) if channels == 4 => Raster::Rgba(size, samples),
            (true, false) if channels == 1 => Raster::Rgb(size, samples.chunks_exact(1).flat_map(grey).collect()),
            (true, true) if channels == 2 => {
                let pixel = |pixel: &[u8]| [pixel[0], pixel[0], pixel[0], pixel[1]];
                Raster::Rgba(size, samples.chunks_exact(2).flat_map(pixel).collect())
            }
            _ => return Err(refuse("this kind of image is not read: a JPEG XL with other channels than colours")),
        })
    };
    let mut source = Source::new(width, height, decode).working(|pixels| BYTES_PER_PIXEL * pixels);
    source.profile = profile;
    Ok(source)
}
