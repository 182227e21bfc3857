//! Modules of the crate import one way: only from those that stand in front of them in the list.

// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::Path;

const ORDER: &[&str] = &[
    "label",
    "value",
    "limits",
    "terms",
    "options",
    "methods",
    "ast",
    "words",
    "request",
    "recognition",
    "print",
    "diagnostic",
    "complaints",
    "lexer",
    "parser",
    "effect",
    "script",
    "fill",
    "names",
    "plan",
    "planner",
    "explain",
    "reference",
];

fn place(module: &str) -> usize {
    let found = ORDER.iter().position(|known| *known == module);
    found.unwrap_or_else(|| panic!("module '{module}' is missing from the order"))
}

/// An import of a later module, or of the whole crate by a name that lib.rs only passes on, fails.
#[test]
fn imports_run_one_way() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files: Vec<_> = fs::read_dir(&source).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.extend(fs::read_dir(source.join("parser")).unwrap().map(|entry| entry.unwrap().path()));
    let mut seen = 0;
    for file in files {
        let inside = file.strip_prefix(&source).unwrap().with_extension("");
        let module = inside.iter().next().unwrap().to_str().unwrap();
        if file.is_dir() || module == "lib" {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for part in code.flat_map(|line| line.split("crate::").skip(1)) {
            let target = part.split(|letter: char| letter != '_' && !letter.is_alphanumeric()).next().unwrap();
            let below = place(target) < place(module);
            assert!(below || target == module, "{} imports {target}", file.display());
            seen += 1;
        }
    }
    assert!(seen > 30, "only {seen} imports found: the test no longer reads them");
}
