//! The public interface of the library crates, as text beside each of them: every change of it is visible and deliberate.
//!
//! `UPDATE_EXPECT=1 cargo test --workspace --test commands interface` writes the files again. It reads the sources and not the
//! compiler's output, and relies on rustfmt's layout: one item per line or block, closed by a brace at the item's indentation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Library crates whose root file is `src/lib.rs`.
const CRATES: [&str; 3] = ["query-lang", "engine", "ingest"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The lines of every source file of a crate that are no test and no comment.
fn sources(folder: &Path, found: &mut Vec<Vec<String>>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            found.push(lines.map(str::to_owned).collect());
        }
    }
}

/// The names that a root file gives to the outside, each with the module inside it that it is in (empty: the root).
fn exported(lib: &str) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    let mut group = String::new();
    let mut lines = lib.lines();
    while let Some(line) = lines.next() {
        if let Some(module) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(" {")) {
            group = format!("{module}::");
        } else if line == "}" {
            group.clear();
        }
        let Some(item) = line.trim_start().strip_prefix("pub use ") else { continue };
        let mut item = item.to_owned();
        while !item.ends_with(';') {
            item.push(' ');
            item.push_str(lines.next().unwrap().trim());
        }
        let item = item.trim_end_matches(';');
        let list = item.split_once('{').map_or(item, |(_, list)| list.trim_end_matches('}'));
        for name in list.split(',') {
            let name = name.rsplit("::").next().unwrap().rsplit(" as ").next().unwrap().trim();
            if !name.is_empty() {
                names.insert(name.to_owned(), group.clone());
            }
        }
    }
    names
}

/// The name behind a word like `struct`.
fn name_of(rest: &str) -> &str {
    rest.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next().unwrap()
}

/// What an `impl` line is of: the type, and the trait if it is of one.
fn implemented(line: &str) -> Option<(&str, Option<&str>)> {
    let rest = line.strip_prefix("impl")?;
    let rest = if rest.starts_with('<') { rest.split_once("> ")?.1 } else { rest.trim_start() };
    match rest.split_once(" for ") {
        Some((of, to)) => Some((name_of(to.trim_start_matches('&')), Some(of))),
        None => Some((name_of(rest), None)),
    }
}

/// A signature that goes over several lines as one, up to its body.
fn signature(lines: &[String], at: usize) -> String {
    let mut joined = String::new();
    for line in &lines[at..] {
        let line = line.trim();
        let separated = !joined.is_empty() && !joined.ends_with('(') && !line.starts_with(')');
        joined.push_str(if separated { " " } else { "" });
        joined.push_str(line);
        if line.ends_with('{') || line.ends_with(';') || line.ends_with('}') {
            break;
        }
    }
    joined.trim_end_matches(['{', ';']).trim_end().replace(",)", ")")
}

/// The lines of each exported item, by name.
fn interface(lib: &str, files: &[Vec<String>]) -> BTreeMap<String, BTreeSet<String>> {
    let names = exported(lib);
    let mut items: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut add = |name: &str, line: String| {
        if let Some(group) = names.get(name) {
            items.entry(format!("{group}{name}")).or_default().insert(line);
        }
    };
    for lines in files {
        // The item whose block the lines are in, and what counts in it.
        let mut block: Option<(String, &str)> = None;
        for (at, line) in lines.iter().enumerate() {
            if line.starts_with('}') {
                block = None;
            }
            for (word, inside) in [("pub struct ", "    pub "), ("pub enum ", "    "), ("pub trait ", "    fn ")] {
                let Some(rest) = line.strip_prefix(word) else { continue };
                let name = name_of(rest).to_owned();
                let grows = at > 0 && lines[at.saturating_sub(3)..at].iter().any(|line| line == "#[non_exhaustive]");
                add(&name, format!("{}{}", if grows { "#[non_exhaustive] " } else { "" }, signature(lines, at)));
                block = line.ends_with('{').then_some((name, inside));
            }
            for word in ["pub fn ", "pub const ", "pub type ", "pub static "] {
                if let Some(rest) = line.strip_prefix(word) {
                    add(name_of(rest), signature(lines, at));
                }
            }
            if let Some((name, of)) = implemented(line) {
                match of {
                    Some(of) => add(name, format!("impl {of}")),
                    None => block = Some((name.to_owned(), "    pub ")),
                }
            }
            let Some((name, inside)) = &block else { continue };
            let is_item = line.strip_prefix(inside).is_some_and(|rest| !rest.starts_with([' ', '}', '#']));
            if is_item && !line.starts_with("    pub(") {
                let is_field = *inside == "    " || line.ends_with(',');
                let text = if is_field { line.trim().trim_end_matches(',').to_owned() } else { signature(lines, at) };
                add(name, format!("    {text}"));
            }
        }
    }
    items
}

#[test]
fn the_public_interface_is_the_one_that_was_decided() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    for name in CRATES {
        let folder = root().join(name);
        let mut lib = std::fs::read_to_string(folder.join("src/lib.rs")).unwrap();
        let public: Vec<String> = lib
            .lines()
            .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';').map(str::to_owned))
            .filter(|module| module != "hostile")
            .collect();
        for module in public {
            if let Ok(text) = std::fs::read_to_string(folder.join(format!("src/{module}/mod.rs"))) {
                lib.push_str(&format!("pub mod {module} {{\n{text}\n}}\n"));
            }
        }
        let mut files = Vec::new();
        sources(&folder.join("src"), &mut files);
        let items = interface(&lib, &files);
        assert!(items.len() > 10, "{name}: only {} items found", items.len());
        let mut text =
            format!("# What {name} gives to the outside; tests/interface.rs compares it with the sources.\n");
        for (item, lines) in &items {
            text.push_str(&format!("\n{item}\n"));
            lines.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
        }
        let golden = folder.join("interface.txt");
        if update {
            std::fs::write(&golden, &text).unwrap();
        }
        let decided = std::fs::read_to_string(&golden).unwrap();
        let differs = text.lines().zip(decided.lines()).find(|(found, decided)| found != decided);
        assert!(
            text == decided,
            "{name}: the public interface is not {}; first difference: {differs:?}. UPDATE_EXPECT=1 writes it, if it is meant",
            golden.display()
        );
    }
}

/// It catches: a scan that sees no methods, fields, variants or traits any more.
#[test]
fn the_scan_sees_each_form() {
    let lib = "pub use a::{One, Two as\nThree};\npub mod inner {\n    pub use b::free;\n}\n";
    let text = "#[derive(Debug)]\n#[non_exhaustive]\npub struct One {\n    pub a: u8,\n    b: u8,\n}\nimpl One {\n    pub fn long(\n        &self,\n        \
                b: u8,\n    ) -> u8 {\n        1\n    }\n    fn hidden(&self) {}\n    pub(crate) fn inner(&self) {}\n}\nimpl Clone for One {\n    \
                fn clone(&self) -> Self {\n    }\n}\npub enum Three {\n    A,\n    B(u8),\n}\npub fn free(x: u8) -> u8 {\n    x\n}\npub struct Other;\n";
    let lines = text.lines().map(str::to_owned).collect();
    let found = interface(lib, &[lines]);
    let of = |name: &str| found[name].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(found.keys().collect::<Vec<_>>(), ["One", "Three", "inner::free"]);
    assert_eq!(
        of("One"),
        ["    pub a: u8", "    pub fn long(&self, b: u8) -> u8", "#[non_exhaustive] pub struct One", "impl Clone"]
    );
    assert_eq!(of("Three"), ["    A", "    B(u8)", "pub enum Three"]);
    assert_eq!(of("inner::free"), ["pub fn free(x: u8) -> u8"]);
}
