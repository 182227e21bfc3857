//! Any bytes are a photo or an error. A decoder's panic is an error, because `decode` catches it; a panic of our code is a
//! finding.
#![no_main]
#![allow(missing_docs, reason = "the macro of a fuzz target defines undocumented items")]

use cairndb_ingest::photo::{DecodeLimits, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(
    // libFuzzer's hook ends the process before anybody can catch. What nobody catches ends it all the same.
    init: cairndb_fuzz::catches_decoders(),
    |bytes: &[u8]| {
        // Small limits, so that a finding about memory shows.
        let limits = DecodeLimits {
            pixels: 1 << 20,
            working_bytes: 32 << 20,
            ..DecodeLimits::default()
        };
        if let Ok(pixels) = decode(bytes, &limits) {
            assert_eq!(pixels.rgb().len(), 3 * pixels.width() as usize * pixels.height() as usize);
        }
    }
);
