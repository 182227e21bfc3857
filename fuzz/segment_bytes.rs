//! Any bytes are refused as a segment, or everything in them can be used: as they are, and with checksums that fit them, without which
//! no fuzzer would get past the header.
#![no_main]
#![allow(missing_docs, reason = "the macro of a fuzz target defines undocumented items")]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_target!(|bytes: &[u8]| {
    let path = std::env::temp_dir().join(format!("cairn-fuzz-{}.segment", std::process::id()));
    cairn::hostile::segment_bytes(&path, bytes);
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    cairndb_fuzz::mutated(data, size, max_size, seed)
});
