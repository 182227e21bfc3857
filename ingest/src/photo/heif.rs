//! HEIC and AVIF, by libheif where the machine has it. It turns the picture upright itself, so the EXIF orientation is not applied.

mod library;

use cairn::Result;

use super::colour::Profile;
use super::source::{Raster, Source, refuse};
use library::{Colours, Failure, Picture};

/// Bytes that decoding holds for each pixel beside its colours in the library and here: luminance and chrominance.
const BYTES_PER_PIXEL: u64 = 2;

/// Reads the header of a photo of the `name`d kind.
pub(super) fn open<'b>(bytes: &'b [u8], name: &'static str) -> Result<Source<'b>> {
    let explain = move |failure: Failure| {
        match failure {
        Failure::NoLibrary => refuse(&format!("{name} is read by libheif, which this machine lacks")).help(
            "install it (Debian and Ubuntu: libheif1, and where they exist libheif-plugin-libde265 and libheif-plugin-dav1d)",
        ),
        Failure::NoDecoder(words) => refuse(&format!("libheif has no decoder for this {name}: {words}"))
            .help("install its decoders (Debian and Ubuntu: libheif-plugin-libde265 for HEIC, libheif-plugin-dav1d for AVIF)"),
        Failure::Damaged(words) => refuse(&format!("damaged: {words}")),
    }
    };
    let picture = Picture::open(bytes).map_err(explain)?;
    let (width, height) = picture.size();
    let profile = picture.colours().and_then(|colours| match colours {
        Colours::Icc(profile) => Some(Profile::Icc(profile)),
        Colours::Primaries(12) => Some(Profile::DisplayP3),
        Colours::Primaries(9) => Some(Profile::Bt2020),
        Colours::Primaries(_) => None,
    });
    let channels = if picture.has_alpha() { 4 } else { 3 };
    let decode = move |_| {
        let has_alpha = picture.has_alpha();
        let (size, pixels) = picture.decode().map_err(explain)?;
        Ok(if has_alpha { Raster::Rgba(size, pixels) } else { Raster::Rgb(size, pixels) })
    };
    let mut source =
        Source::new(width, height, decode).working(move |pixels| (BYTES_PER_PIXEL + 2 * channels) * pixels);
    source.profile = profile;
    Ok(source)
}
