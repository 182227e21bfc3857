//! Fuzz targets. Each is a program of libFuzzer: `cargo run --bin query_text -- -max_total_time=60`, or through cargo-fuzz for
//! coverage guidance. A finding is a panic, a hang or a broken promise.
