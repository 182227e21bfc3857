//! Any text parses to statements and diagnostics, and each statement survives printing and parsing.
#![no_main]
#![allow(
    clippy::panic,
    missing_docs,
    reason = "a fuzz target reports by panicking; its macro defines undocumented items"
)]

use libfuzzer_sys::fuzz_target;

/// From so many on the parser reads no further.
const MOST_DIAGNOSTICS: usize = 100;

fuzz_target!(|text: &str| {
    let parsed = cairndb_query::parse(text);
    for diagnostic in &parsed.diagnostics {
        assert!(!diagnostic.render(text).is_empty());
    }
    // A script that comes in pieces has the same statements.
    let (mut script, mut pieces) = (cairndb_query::Script::new(), Vec::new());
    for part in text.as_bytes().chunks(1 + text.len() % 7) {
        assert!(script.push(part).is_ok());
        while let Ok(Some(piece)) = script.take() {
            pieces.extend(cairndb_query::parse(&piece.text).statements);
        }
    }
    script.end();
    while let Ok(Some(piece)) = script.take() {
        pieces.extend(cairndb_query::parse(&piece.text).statements);
    }
    if parsed.diagnostics.len() < MOST_DIAGNOSTICS {
        let texts = |statements: &[cairndb_query::Spanned<cairndb_query::Statement>]| {
            statements.iter().map(|statement| statement.node.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(texts(&pieces), texts(&parsed.statements), "{text}");
    }
    for statement in &parsed.statements {
        let printed = statement.node.to_string();
        let again = cairndb_query::parse(&printed);
        assert!(again.diagnostics.is_empty(), "{printed}");
        assert_eq!(again.statements.len(), 1, "{printed}");
        assert_eq!(again.statements[0].node.to_string(), printed);
    }
});
