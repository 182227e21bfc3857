//! Any bytes are a history of writes, thousands per second (`history.rs`).
#![no_main]
#![allow(missing_docs, reason = "the macro of a fuzz target defines undocumented items")]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| cairndb_fuzz::history::run(bytes, false));
