//! JPEG by libjpeg-turbo: at 1/2, 1/4 or 1/8 of its size where no more is needed, which costs a fraction of the time and memory.

mod markers;
mod turbo;

use std::borrow::Cow;

use cairn::Result;

use super::colour::Inks;
use super::source::{Raster, Source, refuse};
use markers::Markers;
use turbo::{Flaw, Layout};

/// Most pixels of all passes together: a camera's photo has about ten passes, and a made-up one takes minutes.
const MOST_SCANNED_PIXELS: u64 = 10_000_000_000;
/// Warnings of the decoder about a header that change no pixel.
const HARMLESS: [&str; 2] = ["JFIF revision", "Adobe color transform"];

/// The header of a JPEG.
pub(super) fn open(bytes: &[u8]) -> Result<Source<'_>> {
    let markers = Markers::read(bytes);
    if markers.channels() == 0 {
        return Err(refuse("damaged: the JPEG has no header of a picture"));
    }
    // Cut between two passes, a picture has an end and lacks what came behind.
    if (!markers.complete || markers.in_passes) && !markers.announces_all() {
        return Err(refuse("the JPEG is cut short: parts of the picture are missing"));
    }
    let pixels = u64::from(markers.width) * u64::from(markers.height);
    if pixels.saturating_mul(markers.scans as u64) > MOST_SCANNED_PIXELS {
        return Err(refuse(&format!(
            "it comes in {} passes over {pixels} pixels, more than a photo has",
            markers.scans
        )));
    }
    let (width, height) = (markers.width, markers.height);
    let layout = if markers.channels() == 4 { Layout::Cmyk } else { Layout::Rgb };
    let (orientation, profile) = (markers.orientation, markers.profile.clone());
    let held = markers.coefficient_bytes();
    let channels = layout.channels() as u64;
    let decode = move |divisor: u32| {
        let size = (width.div_ceil(divisor), height.div_ceil(divisor));
        let pixels = decode(bytes, &markers, size, layout)?;
        Ok(match layout {
            Layout::Rgb => Raster::Rgb(size, pixels),
            Layout::Cmyk => Raster::Cmyk(size, pixels, Inks::Inverted),
        })
    };
    Ok(Source::new(width, height, decode)
        .scales()
        .turned(orientation)
        .profile(profile)
        .working(move |pixels| held + channels * pixels))
}

fn decode(bytes: &[u8], markers: &Markers, size: (u32, u32), layout: Layout) -> Result<Vec<u8>> {
    // If nothing but the end marker is missing, the decoder must not warn of it.
    let whole = if markers.complete { Cow::Borrowed(bytes) } else { Cow::Owned([bytes, b"\xFF\xD9"].concat()) };
    let explain = |flaw: Flaw| match &flaw.message {
        text if text.contains("premature end") || text.contains("Premature end") => {
            refuse("damaged or cut short: its data ends before the picture does")
        }
        text if flaw.is_warning => refuse(&format!("damaged: some of its data is lost ({text})")),
        text => refuse(&format!("damaged: {text}")),
    };
    match turbo::decode(&whole, size, layout, &[]) {
        Err(flaw) if flaw.is_warning && HARMLESS.iter().any(|words| flaw.message.contains(words)) => {
            turbo::decode(&whole, size, layout, &HARMLESS).map_err(explain)
        }
        decoded => decoded.map_err(explain),
    }
}
