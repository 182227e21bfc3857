//! libjpeg-turbo's decoder, as mozjpeg-sys compiles it into the program: its interface in C, behind one safe function.

use std::ffi::{CStr, c_char, c_int, c_uchar, c_ulong, c_void};

// Nothing of it is called by a Rust name; without this line the library would not be linked.
use mozjpeg_sys as _;

unsafe extern "C" {
    fn tjInitDecompress() -> *mut c_void;
    fn tjDestroy(handle: *mut c_void) -> c_int;
    fn tjDecompress2(
        handle: *mut c_void,
        jpeg: *const c_uchar,
        bytes: c_ulong,
        pixels: *mut c_uchar,
        width: c_int,
        pitch: c_int,
        height: c_int,
        format: c_int,
        flags: c_int,
    ) -> c_int;
    fn tjGetErrorStr2(handle: *mut c_void) -> *const c_char;
    fn tjGetErrorCode(handle: *mut c_void) -> c_int;
}

/// Layout of a decoded pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    Rgb,
    /// Four inks; Adobe's programs store them inverted, and nothing is converted here.
    Cmyk,
}

impl Layout {
    pub(super) fn channels(self) -> usize {
        if self == Layout::Rgb { 3 } else { 4 }
    }
}

/// Why a picture was not decoded.
#[derive(Debug)]
pub(super) struct Flaw {
    pub(super) message: String,
    /// The decoder could continue, but not with the pixels of the photo.
    pub(super) is_warning: bool,
}

/// Handle of a decoder; its scratch memory is freed with it.
struct Decoder(*mut c_void);

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: tjInitDecompress returned the handle, it is not null, and nothing uses it afterwards.
        unsafe { tjDestroy(self.0) };
    }
}

/// Decodes to `width` x `height` pixels, which must be the picture's size times 1, 1/2, 1/4 or 1/8, rounded up. The first warning
/// (damaged or missing data) ends it, unless `tolerated` has words of it; then later ones are not seen.
///
/// # Errors
/// In libjpeg-turbo's words.
pub(super) fn decode(
    jpeg: &[u8],
    (width, height): (u32, u32),
    layout: Layout,
    tolerated: &[&str],
) -> Result<Vec<u8>, Flaw> {
    const FORMAT_RGB: c_int = 0;
    const FORMAT_CMYK: c_int = 11;
    const STOP_ON_WARNING: c_int = 8192;
    // A picture of many thousand passes would take minutes.
    const LIMIT_SCANS: c_int = 32768;
    let own = |message: &str| Flaw { message: message.to_owned(), is_warning: false };
    let side = |side: u32| c_int::try_from(side).ok().filter(|&side| side > 0).ok_or_else(|| own("an impossible size"));
    let (wide, high) = (side(width)?, side(height)?);
    let row = width as usize * layout.channels();
    let pitch = c_int::try_from(row).map_err(|_| own("an impossible width"))?;
    let mut pixels = vec![0u8; row.checked_mul(height as usize).ok_or_else(|| own("an impossible size"))?];
    let format = if layout == Layout::Rgb { FORMAT_RGB } else { FORMAT_CMYK };
    let flags = LIMIT_SCANS | if tolerated.is_empty() { STOP_ON_WARNING } else { 0 };
    // SAFETY: it takes nothing, and returns a handle or null.
    let decoder = Decoder(unsafe { tjInitDecompress() });
    if decoder.0.is_null() {
        std::mem::forget(decoder);
        return Err(own("no memory for a decoder"));
    }
    // SAFETY: the handle is a decoder's and belongs to this call alone. The input has as many bytes as stated and is only read. The
    // output has `height` rows of `pitch` bytes, and the function writes at most `width` pixels of the format into each of `height`
    // rows: it refuses if no scaling factor makes the picture as small as that. Errors return; none unwinds.
    let status = unsafe {
        tjDecompress2(
            decoder.0,
            jpeg.as_ptr(),
            jpeg.len() as c_ulong,
            pixels.as_mut_ptr(),
            wide,
            pitch,
            high,
            format,
            flags,
        )
    };
    if status == 0 {
        return Ok(pixels);
    }
    // SAFETY: the handle is live; the text belongs to it, ends with NUL, and is copied before the handle is used again.
    let (text, code) = unsafe { (CStr::from_ptr(tjGetErrorStr2(decoder.0)), tjGetErrorCode(decoder.0)) };
    let flaw = Flaw { message: text.to_string_lossy().into_owned(), is_warning: code == 0 };
    // Behind a warning an error has the code of a warning, but its own words.
    if flaw.is_warning && tolerated.iter().any(|words| flaw.message.contains(words)) { Ok(pixels) } else { Err(flaw) }
}
