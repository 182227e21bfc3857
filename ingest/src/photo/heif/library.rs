//! libheif's interface in C, loaded when the first photo needs it: nothing links it, and a machine without it reads all else.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::OnceLock;

use libloading::Library;

/// Names of the library, the one with a version first.
#[cfg(target_os = "macos")]
const NAMES: [&str; 2] = ["libheif.1.dylib", "libheif.dylib"];
#[cfg(not(target_os = "macos"))]
const NAMES: [&str; 2] = ["libheif.so.1", "libheif.so"];

/// Largest ICC profile that is read: 4 MiB.
const MOST_PROFILE_BYTES: usize = 4 << 20;

/// Why a photo is not read.
pub(super) enum Failure {
    NoLibrary,
    /// libheif's words.
    NoDecoder(String),
    /// libheif's words.
    Damaged(String),
}

/// What a photo says about its colours.
pub(super) enum Colours {
    Icc(Vec<u8>),
    /// The number of its primaries (ITU-T H.273).
    Primaries(c_int),
}

/// `struct heif_error`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Status {
    code: c_int,
    subcode: c_int,
    message: *const c_char,
}

/// The first fields of `struct heif_color_profile_nclx`; the library allocates it.
#[repr(C)]
struct Nclx {
    version: u8,
    primaries: c_int,
}

macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions that are used, with the library that keeps them in memory.
        struct Functions {
            $($name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
            _library: Library,
        }

        impl Functions {
            fn load() -> Option<Self> {
                // SAFETY: the names are libheif's; its initializers do nothing to the process but register decoders.
                let library = NAMES.iter().find_map(|&name| unsafe { Library::new(name) }.ok())?;
                // SAFETY: the types are those of heif.h, which have been the same since version 1.3 of the library.
                Some(Self { $($name: *unsafe { library.get(concat!(stringify!($name), "\0").as_bytes()) }.ok()?,)* _library: library })
            }
        }
    };
}

functions! {
    heif_context_alloc: fn() -> *mut c_void;
    heif_context_free: fn(*mut c_void);
    heif_context_read_from_memory_without_copy: fn(*mut c_void, *const c_void, usize, *const c_void) -> Status;
    heif_context_get_primary_image_handle: fn(*mut c_void, *mut *mut c_void) -> Status;
    heif_image_handle_release: fn(*const c_void);
    heif_image_handle_get_width: fn(*const c_void) -> c_int;
    heif_image_handle_get_height: fn(*const c_void) -> c_int;
    heif_image_handle_has_alpha_channel: fn(*const c_void) -> c_int;
    heif_image_handle_get_raw_color_profile_size: fn(*const c_void) -> usize;
    heif_image_handle_get_raw_color_profile: fn(*const c_void, *mut c_void) -> Status;
    heif_image_handle_get_nclx_color_profile: fn(*const c_void, *mut *mut Nclx) -> Status;
    heif_nclx_color_profile_free: fn(*mut Nclx);
    heif_decode_image: fn(*const c_void, *mut *mut c_void, c_int, c_int, *const c_void) -> Status;
    heif_image_get_width: fn(*const c_void, c_int) -> c_int;
    heif_image_get_height: fn(*const c_void, c_int) -> c_int;
    heif_image_get_plane_readonly: fn(*const c_void, c_int, *mut c_int) -> *const u8;
    heif_image_release: fn(*const c_void);
}

/// `heif_colorspace_RGB`, `heif_chroma_interleaved_RGB` and `_RGBA`, and `heif_channel_interleaved`.
const COLOUR_SPACE_RGB: c_int = 1;
const INTERLEAVED_RGB: c_int = 10;
const INTERLEAVED_RGBA: c_int = 11;
const CHANNEL_INTERLEAVED: c_int = 10;

fn functions() -> Option<&'static Functions> {
    static FUNCTIONS: OnceLock<Option<Functions>> = OnceLock::new();
    FUNCTIONS.get_or_init(Functions::load).as_ref()
}

impl Status {
    /// # Errors
    /// When it is not success.
    fn checked(self) -> Result<(), Failure> {
        const UNSUPPORTED_FILE_TYPE: c_int = 3;
        const UNSUPPORTED_FEATURE: c_int = 4;
        if self.code == 0 {
            return Ok(());
        }
        let words = match self.message.is_null() {
            true => format!("error {}.{}", self.code, self.subcode),
            // SAFETY: messages are constants of the library, which stays loaded, or belong to a context that is still alive; they
            // end with NUL.
            false => unsafe { CStr::from_ptr(self.message) }.to_string_lossy().into_owned(),
        };
        match self.code {
            UNSUPPORTED_FILE_TYPE | UNSUPPORTED_FEATURE => Err(Failure::NoDecoder(words)),
            _ => Err(Failure::Damaged(words)),
        }
    }
}

/// The main picture of a file.
pub(super) struct Picture<'b> {
    functions: &'static Functions,
    context: *mut c_void,
    handle: *mut c_void,
    /// The context reads them in place.
    _bytes: &'b [u8],
}

impl Drop for Picture<'_> {
    fn drop(&mut self) {
        // SAFETY: both were allocated by the library, null is allowed for neither and checked, and nothing uses them afterwards.
        unsafe {
            if !self.handle.is_null() {
                (self.functions.heif_image_handle_release)(self.handle);
            }
            (self.functions.heif_context_free)(self.context);
        }
    }
}

impl<'b> Picture<'b> {
    pub(super) fn open(bytes: &'b [u8]) -> Result<Self, Failure> {
        let functions = functions().ok_or(Failure::NoLibrary)?;
        // SAFETY: it takes nothing and returns a context or null.
        let context = unsafe { (functions.heif_context_alloc)() };
        if context.is_null() {
            return Err(Failure::Damaged("no memory for a decoder".to_owned()));
        }
        let mut picture = Self { functions, context, handle: null_mut(), _bytes: bytes };
        // SAFETY: the context is live; the bytes outlive it (the struct borrows them) and are only read; no options.
        unsafe {
            (functions.heif_context_read_from_memory_without_copy)(context, bytes.as_ptr().cast(), bytes.len(), null())
        }
        .checked()?;
        // SAFETY: the context is live, and the place for the handle is this struct's.
        unsafe { (functions.heif_context_get_primary_image_handle)(context, &raw mut picture.handle) }.checked()?;
        if picture.handle.is_null() {
            return Err(Failure::Damaged("it has no main picture".to_owned()));
        }
        Ok(picture)
    }

    /// (width, height) when upright.
    pub(super) fn size(&self) -> (u32, u32) {
        // SAFETY: the handle is live.
        let (width, height) = unsafe {
            (
                (self.functions.heif_image_handle_get_width)(self.handle),
                (self.functions.heif_image_handle_get_height)(self.handle),
            )
        };
        (u32::try_from(width).unwrap_or(0), u32::try_from(height).unwrap_or(0))
    }

    /// Whether some of it is transparent.
    pub(super) fn has_alpha(&self) -> bool {
        // SAFETY: the handle is live.
        unsafe { (self.functions.heif_image_handle_has_alpha_channel)(self.handle) != 0 }
    }

    pub(super) fn colours(&self) -> Option<Colours> {
        // SAFETY: the handle is live.
        let bytes = unsafe { (self.functions.heif_image_handle_get_raw_color_profile_size)(self.handle) };
        if bytes > 0 && bytes <= MOST_PROFILE_BYTES {
            let mut profile = vec![0u8; bytes];
            // SAFETY: the handle is live, and the place has as many bytes as the library just said that it writes.
            let status = unsafe {
                (self.functions.heif_image_handle_get_raw_color_profile)(self.handle, profile.as_mut_ptr().cast())
            };
            return (status.code == 0).then_some(Colours::Icc(profile));
        }
        let mut nclx = null_mut();
        // SAFETY: the handle is live; on success the library allocates a profile whose first fields are those of `Nclx`, which is read
        // and freed once.
        unsafe {
            let status = (self.functions.heif_image_handle_get_nclx_color_profile)(self.handle, &raw mut nclx);
            if status.code != 0 || nclx.is_null() {
                return None;
            }
            let primaries = (*nclx).primaries;
            (self.functions.heif_nclx_color_profile_free)(nclx);
            Some(Colours::Primaries(primaries))
        }
    }

    /// Its pixels upright, as RGB, or as RGBA if some of it is transparent.
    pub(super) fn decode(&self) -> Result<((u32, u32), Vec<u8>), Failure> {
        let (chroma, channels) = if self.has_alpha() { (INTERLEAVED_RGBA, 4) } else { (INTERLEAVED_RGB, 3) };
        let mut image = null_mut();
        // SAFETY: the handle is live, the place for the image is this function's, and there are no options.
        unsafe { (self.functions.heif_decode_image)(self.handle, &raw mut image, COLOUR_SPACE_RGB, chroma, null()) }
            .checked()?;
        let image = Decoded { functions: self.functions, image };
        let odd = || Failure::Damaged("libheif decoded it to an impossible size".to_owned());
        let mut stride = 0;
        // SAFETY: the image is live; the plane belongs to it.
        let (width, height, plane) = unsafe {
            (
                (self.functions.heif_image_get_width)(image.image, CHANNEL_INTERLEAVED),
                (self.functions.heif_image_get_height)(image.image, CHANNEL_INTERLEAVED),
                (self.functions.heif_image_get_plane_readonly)(image.image, CHANNEL_INTERLEAVED, &raw mut stride),
            )
        };
        let (wide, high) = (usize::try_from(width).map_err(|_| odd())?, usize::try_from(height).map_err(|_| odd())?);
        let stride = usize::try_from(stride).map_err(|_| odd())?;
        let row = wide.checked_mul(channels).filter(|&row| row > 0 && row <= stride).ok_or_else(odd)?;
        if plane.is_null() || high == 0 {
            return Err(odd());
        }
        let mut pixels = Vec::with_capacity(row.checked_mul(high).ok_or_else(odd)?);
        for at in 0..high {
            // SAFETY: the plane has `high` rows that begin `stride` bytes apart, and each has at least `row` bytes.
            pixels.extend_from_slice(unsafe { std::slice::from_raw_parts(plane.add(at * stride), row) });
        }
        Ok(((width as u32, height as u32), pixels))
    }
}

/// A decoded picture of the library.
struct Decoded {
    functions: &'static Functions,
    image: *mut c_void,
}

impl Drop for Decoded {
    fn drop(&mut self) {
        // SAFETY: the library allocated it, and nothing uses it afterwards.
        unsafe { (self.functions.heif_image_release)(self.image) };
    }
}
