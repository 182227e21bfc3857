//! Any bytes are refused as a segment, or every access to them stays inside: unchanged, and with valid checksums, without which
//! no fuzzer would get past the header.
#![no_main]
#![allow(missing_docs, reason = "the macro of a fuzz target defines undocumented items")]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    cairn::hostile::segment_bytes(&cairndb_fuzz::scratch("segment"), bytes);
});
