//! Any bytes are a value of the catalog, or an error of a known kind: records, lists, waiting transactions, segments' entries, ..
//! What is understood is stored as the same value again, and holds no more memory than so many bytes justify.
#![no_main]
#![allow(missing_docs, reason = "the macro of a fuzz target defines undocumented items")]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| cairn::hostile::catalog_values(bytes));
