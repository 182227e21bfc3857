//! Any bytes are a photo or an error.
#![no_main]
#![allow(missing_docs, reason = "the macro of a fuzz target defines undocumented items")]

use cairndb_ingest::photo::{DecodeLimits, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // Small limits, so that a finding about memory shows.
    let limits =
        DecodeLimits { pixels: 1 << 20, decoded_bytes: 16 << 20, working_bytes: 32 << 20, ..DecodeLimits::default() };
    if let Ok(pixels) = decode(bytes, &limits) {
        assert_eq!(pixels.rgb().len(), 3 * pixels.width() as usize * pixels.height() as usize);
    }
});
