//! Any bytes are a value of the catalog, or an error of a known kind: records, lists, deferred transactions, segments' entries,
//! .. A decoded value is encoded to the same value again, and holds no more memory than the number of bytes justifies.
#![no_main]
#![allow(missing_docs, reason = "the macro of a fuzz target defines undocumented items")]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| cairn::hostile::catalog_values(bytes));
