//! Any bytes are a file of vectors, or an error that allocates no more than the file is long.
#![no_main]
#![allow(
    missing_docs,
    clippy::expect_used,
    reason = "a fuzz target stops by panicking; its macro defines undocumented items"
)]

use cairndb_ingest::source::VectorFile;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_target!(|bytes: &[u8]| {
    for ending in ["npy", "fvecs"] {
        let path = std::env::temp_dir().join(format!("cairn-fuzz-{}.{ending}", std::process::id()));
        std::fs::write(&path, bytes).expect("the temporary folder can be written");
        let Ok(mut file) = VectorFile::open(&path) else { continue };
        let (rows, dimension) = (file.rows(), file.dimension());
        assert!(rows.saturating_mul(dimension) <= bytes.len(), "more numbers than bytes");
        if let Ok(values) = file.read(0, rows.min(64)) {
            assert_eq!(values.len(), rows.min(64) * dimension);
        }
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    cairndb_fuzz::mutated(data, size, max_size, seed)
});
