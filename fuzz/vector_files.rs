//! Any bytes are a file of vectors, or an error that allocates no more memory than the length of the file.
#![no_main]
#![allow(
    missing_docs,
    clippy::expect_used,
    reason = "a fuzz target stops by panicking; its macro defines undocumented items"
)]

use cairndb_ingest::source::VectorFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // What an archive is called says nothing: the first ending reads .npz as well.
    for ending in ["npy", "fvecs"] {
        let path = cairndb_fuzz::scratch(ending);
        std::fs::write(&path, bytes).expect("a scratch file can be written");
        let Ok(mut file) = VectorFile::open(&path) else { continue };
        let (rows, dimension) = (file.rows(), file.dimension());
        // An array in an archive may be compressed, but no further than deflate can.
        let most = if bytes.starts_with(b"PK") { bytes.len().saturating_mul(1032) } else { bytes.len() };
        assert!(rows.saturating_mul(dimension) <= most, "more numbers than bytes");
        if let Ok(values) = file.read(0, rows.min(64)) {
            assert_eq!(values.len(), rows.min(64) * dimension);
        }
    }
});
