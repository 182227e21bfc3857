//! Any text parses to statements and diagnostics, and what was understood survives printing and parsing again.
#![no_main]
#![allow(
    clippy::panic,
    missing_docs,
    reason = "a fuzz target reports by panicking; its macro defines undocumented items"
)]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_target!(|text: &str| {
    let parsed = cairndb_query::parse(text);
    for diagnostic in &parsed.diagnostics {
        assert!(!diagnostic.render(text).is_empty());
    }
    for statement in &parsed.statements {
        let printed = statement.node.to_string();
        let again = cairndb_query::parse(&printed);
        assert!(again.diagnostics.is_empty(), "{printed}");
        assert_eq!(again.statements.len(), 1, "{printed}");
        assert_eq!(again.statements[0].node.to_string(), printed);
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    cairndb_fuzz::mutated(data, size, max_size, seed)
});
