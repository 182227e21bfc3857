//! The rules of the house, read from the files themselves: floors, sizes, where `unsafe` may stand, what documents promise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

/// The floors of the engine, lowest first; modules of one floor may see each other.
const FLOORS: [&[&str]; 11] = [
    &[
        "answer",
        "attribute",
        "error",
        "id",
        "operation",
        "options",
        "ports",
        "process",
        "progress",
        "report",
        "serial",
        "trace",
    ],
    &["disk"],
    &["vector"],
    &["graph", "spatial", "vote"],
    &["catalog", "rows", "segment"],
    &["state"],
    &["write"],
    &["background"],
    &["admin", "search", "verify"],
    &["clean"],
    &["door", "hostile"],
];

/// The files in which `unsafe` may stand, each with a SAFETY text at every use (a lint holds that).
const UNSAFE_FILES: [&str; 15] = [
    "cli/src/signals.rs",
    "engine/src/process/fork.rs",
    "engine/src/process/leaving.rs",
    "engine/src/process/pool.rs",
    "engine/src/segment/reader.rs",
    "engine/src/vector/kernel/bits.rs",
    "engine/src/vector/kernel/mod.rs",
    "engine/src/vector/kernel/code_neon.rs",
    "engine/src/vector/kernel/code_tile.rs",
    "engine/src/vector/kernel/code_x86.rs",
    "engine/src/vector/kernel/x86.rs",
    "engine/src/vector/kernel/neon.rs",
    "ingest/src/photo/heif/library.rs",
    "ingest/src/photo/jpeg/turbo.rs",
    "ingest/torch/src/device.rs",
];

/// Licences under which what we link may stand.
const LICENCES: [&str; 14] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "IJG",
    "ISC",
    "Unicode-3.0",
    "Zlib",
    "CC0-1.0",
    "Unlicense",
    "0BSD",
    "BSL-1.0",
    "NCSA",
];

/// Lines a source file may have.
const MOST_LINES: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Every Rust file of the project with its path from the root.
fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if path.file_name().unwrap() != "target" {
                    walk(&path, root, found);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let (root, mut found) = (root(), Vec::new());
    for folder in ["query-lang", "engine", "ingest", "cli", "tests", "fuzz", "benches"] {
        walk(&root.join(folder), &root, &mut found);
    }
    assert!(found.len() > 50, "only {} files found", found.len());
    found
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

#[test]
fn engine_modules_import_only_from_lower_floors() {
    let mut seen = 0;
    for (file, text) in sources() {
        let Some(inside) = file.strip_prefix("engine/src/").filter(|inside| *inside != "lib.rs") else { continue };
        let module = inside.split(['/', '.']).next().unwrap();
        let floor = floor_of(module).unwrap_or_else(|| panic!("{file}: module '{module}' has no floor"));
        // Tests may look upwards: they check what is built on a module.
        let is_test = file.ends_with("/laws.rs") || file.ends_with("/tests.rs");
        let text = if is_test { "" } else { text.split("#[cfg(test)]\nmod tests").next().unwrap() };
        // Links of the documentation name the groups of the public interface.
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for part in lines.join("\n").split("crate::").skip(1) {
            let target: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            // Names starting with a capital are re-exports used in documentation links.
            if target.chars().next().is_none_or(char::is_uppercase) {
                continue;
            }
            let below = floor_of(&target).unwrap_or_else(|| panic!("{file}: imports unknown module '{target}'"));
            assert!(below <= floor, "{file} on floor {floor} imports '{target}' of floor {below}");
            seen += 1;
        }
    }
    assert!(seen > 50, "only {seen} imports found: the test no longer reads them");
}

#[test]
fn crates_depend_one_way() {
    let allowed = [
        ("query-lang", &[][..]),
        ("engine", &["cairndb-query"][..]),
        ("ingest", &["cairndb"][..]),
        ("ingest/torch", &["cairndb", "cairndb-ingest"][..]),
        ("cli/demo", &["cairndb"][..]),
        ("cli", &["cairndb-query", "cairndb", "cairndb-ingest", "cairndb-torch", "cairndb-demo"][..]),
    ];
    for (folder, allowed) in allowed {
        let manifest = std::fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        for line in manifest.lines().filter(|line| line.starts_with("cairndb")) {
            let name = line.split(['.', ' ', '=']).next().unwrap();
            assert!(allowed.contains(&name), "{folder} depends on {name}");
        }
        let uses_torch = manifest.lines().any(|line| line.starts_with("tch"));
        assert_eq!(uses_torch, folder == "ingest/torch", "{folder} and torch");
        let uses_rocksdb = manifest.lines().any(|line| line.starts_with("rocksdb"));
        assert_eq!(uses_rocksdb, folder == "engine", "{folder} and RocksDB");
    }
}

/// Work on a pool that belongs to the caller, or to everybody, hangs with it: the engine has threads of its own (`cairn::runtime::pool`).
#[test]
fn nothing_computes_on_a_foreign_pool() {
    for folder in ["query-lang", "engine", "ingest", "ingest/torch", "cli", "cli/demo"] {
        let manifest = std::fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        assert!(!manifest.lines().any(|line| line.starts_with("rayon")), "{folder} depends on rayon");
    }
}

/// Whether a licence expression offers a choice that is allowed as a whole.
fn is_allowed(licence: &str) -> bool {
    let choices = licence.replace('/', " OR ");
    let mut choices = choices.split(" OR ").map(|choice| choice.split(" AND ").collect::<Vec<_>>());
    choices.any(|all| all.iter().all(|one| LICENCES.contains(&one.trim_matches([' ', '(', ')']))))
}

/// It catches: a dependency from a repository or a folder elsewhere, or under a licence that asks for more than a notice.
#[test]
fn dependencies_come_from_the_registry_under_free_licences() {
    assert!(is_allowed("GPL-2.0 OR MIT/X") && !is_allowed("GPL-2.0-only") && !is_allowed("MIT AND GPL-2.0-only"));
    let words =
        ["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", "x86_64-unknown-linux-gnu"];
    let about = std::process::Command::new(env!("CARGO")).args(words).current_dir(root()).output().unwrap();
    assert!(about.status.success(), "{}", String::from_utf8_lossy(&about.stderr));
    let about: serde_json::Value = serde_json::from_slice(&about.stdout).unwrap();
    let packages = about["packages"].as_array().unwrap();
    assert!(packages.len() > 100, "only {} packages found", packages.len());
    for package in packages {
        let (name, source) = (&package["name"], package["source"].as_str());
        let Some(source) = source else {
            let place = package["manifest_path"].as_str().unwrap();
            assert!(Path::new(place).starts_with(root()), "{name} lies in {place}");
            continue;
        };
        assert!(source.starts_with("registry+https://github.com/rust-lang/crates.io-index"), "{name} is from {source}");
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(is_allowed(licence), "{name} is under '{licence}'");
    }
}

/// RocksDB and all that it is built with, with the features that a cargo command of these words asks for: a line each.
fn rocksdb_of(words: &[&str]) -> Vec<String> {
    let how = ["--locked", "--offline", "--prefix", "depth", "--no-dedupe", "--format", "|{p}|{f}"];
    let tree = std::process::Command::new(env!("CARGO")).arg("tree").args(words).args(how).current_dir(root()).output();
    let tree = tree.unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let text = String::from_utf8(tree.stdout).unwrap();
    let lines = text.lines().filter_map(|line| {
        let (depth, package) = line.split_once('|')?;
        Some((depth.parse::<usize>().ok()?, package.to_owned()))
    });
    let mut lines = lines.skip_while(|(_, package)| !package.starts_with("librocksdb-sys "));
    let (top, first) = lines.next().unwrap_or_else(|| panic!("{words:?} has no RocksDB"));
    [first].into_iter().chain(lines.take_while(|(depth, _)| *depth > top).map(|(_, package)| package)).collect()
}

/// It catches: a feature that one package asks for and another one does not, so that cargo compiles RocksDB again (28 CPU-minutes)
/// for a package that is built or tested alone.
#[test]
fn rocksdb_is_compiled_once_whichever_package_is_asked_for() {
    let whole = rocksdb_of(&["--workspace", "--edges", "normal,build,dev"]);
    assert!(whole.len() > 20, "{whole:?}");
    for package in ["cairndb", "cairndb-ingest", "cairndb-torch", "cairndb-cli", "cairndb-fuzz"] {
        for edges in ["normal,build", "normal,build,dev"] {
            assert_eq!(rocksdb_of(&["--package", package, "--edges", edges]), whole, "{package}, {edges}");
        }
    }
    let bare = ["--package", "cairndb-cli", "--no-default-features", "--edges", "normal,build"];
    assert_eq!(rocksdb_of(&bare), whole, "the program without torch");
}

/// It catches: a way by which the program for bare vectors comes to need libtorch.
#[test]
fn a_program_without_the_feature_torch_needs_none() {
    let words =
        ["tree", "--package", "cairndb-cli", "--locked", "--offline", "--prefix", "none", "--edges", "normal,build"];
    let packages = |more: &[&str]| {
        let tree =
            std::process::Command::new(env!("CARGO")).args(words).args(more).current_dir(root()).output().unwrap();
        assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
        String::from_utf8(tree.stdout).unwrap()
    };
    let has_torch = |tree: &str| tree.lines().any(|line| line.starts_with("torch-sys ") || line.starts_with("tch "));
    assert!(has_torch(&packages(&[])), "the test no longer sees torch");
    assert!(!has_torch(&packages(&["--no-default-features"])));
}

/// An assertion that only a debug build makes is made by nobody: everything here is built with optimisations.
#[test]
fn no_assertion_is_left_out_of_a_build() {
    for (file, text) in sources().iter().filter(|(file, _)| file != "tests/house.rs") {
        assert!(!text.contains("debug_assert!(") && !text.contains("debug_assert_eq!("), "{file} has a debug_assert");
    }
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    for (file, text) in sources() {
        assert!(text.starts_with("//!") || text.starts_with("#!"), "{file} does not open with //! and its purpose");
        let lines = text.lines().count();
        assert!(lines <= MOST_LINES, "{file} has {lines} lines, {MOST_LINES} are allowed");
        for (at, line) in text.lines().enumerate() {
            assert!(line.trim_end() == line, "{file}:{} ends in white space", at + 1);
        }
    }
}

#[test]
fn unsafe_stands_only_in_named_files() {
    let word = concat!("uns", "afe ");
    for (file, text) in sources() {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let found = code.filter(|line| line.contains(word) && !line.contains('"')).count();
        assert!(found == 0 || UNSAFE_FILES.contains(&file.as_str()), "{file} has {found} lines of it");
    }
}

/// The one file below the program that may ask for the time: `STALE <= 5s` speaks of it. What it learns decides whether waiting
/// writes are carried out before an answer, never what an answer to one state is.
const CLOCK_FILES: [&str; 2] = ["engine/src/background/ages.rs", "engine/src/progress.rs"];

#[test]
fn no_clock_below_the_program() {
    let sources = sources();
    let asks = |text: &str| text.contains("Instant::now");
    for exempt in CLOCK_FILES {
        assert!(sources.iter().any(|(file, text)| file == exempt && asks(text)), "{exempt} needs no exemption");
    }
    for (file, text) in sources.into_iter().filter(|(file, _)| !CLOCK_FILES.contains(&file.as_str())) {
        if file.starts_with("engine/src") || file.starts_with("query-lang/src") {
            for clock in ["SystemTime", "Instant::now"] {
                assert!(!text.contains(clock), "{file} reads a clock");
            }
        }
    }
}

#[test]
fn no_environment_below_the_program() {
    for (file, text) in sources() {
        let below = file.starts_with("engine/src") || file.starts_with("query-lang/src");
        let is_test = file.ends_with("/laws.rs") || file.ends_with("/tests.rs");
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let reads = ["env::var", "env::vars", "temp_dir()", "home_dir()"].into_iter().find(|word| text.contains(word));
        assert!(!below || is_test || reads.is_none(), "{file} reads the environment: {reads:?}");
    }
}

/// It catches: an invariant without a test, or whose test got another name.
#[test]
fn every_invariant_names_a_test_that_exists() {
    let document = std::fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let invariants = document.split("\n## Invariants\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let sources = sources();
    let mut rows = 0;
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| | ") && !line.starts_with("| ---");
    for row in invariants.lines().filter(is_row) {
        rows += 1;
        let cells: Vec<&str> = row.trim_matches(['|', ' ']).split(" | ").collect();
        let [number, _, tests] = cells[..] else { panic!("not number, invariant and tests: {row}") };
        assert_eq!(number, rows.to_string(), "invariants are numbered in order");
        for test in tests.split(", ") {
            let name = test.strip_prefix('`').and_then(|test| test.strip_suffix('`'));
            let function = format!("fn {}(", name.unwrap_or_else(|| panic!("not a test's name: {test}")));
            assert!(sources.iter().any(|(_, text)| text.contains(&function)), "no test is called {test}");
        }
    }
    assert!(rows >= 50, "only {rows} invariants found");
}

/// The documents that people read, with their texts.
fn documents() -> Vec<(String, String)> {
    let docs = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let docs = docs.map(|name| format!("docs/{}", name.into_string().unwrap())).filter(|name| name.ends_with(".md"));
    let names = ["README.md", "CONTRIBUTING.md"].map(str::to_owned).into_iter().chain(docs);
    let read = |name: String| (std::fs::read_to_string(root().join(&name)).unwrap(), name);
    let found: Vec<_> = names.map(read).map(|(text, name)| (name, text)).collect();
    assert!(found.len() >= 10, "only {} documents found", found.len());
    found
}

/// Phrases that readers stumble over, and what to write instead.
const BANNED: [(&str, &str); 33] = [
    ("anew", "again"),
    ("be it", "whether, or"),
    ("be their", "even if"),
    ("be the label", "even if the label"),
    ("goes on with", "resumes, continues"),
    ("go on with", "resume, continue"),
    ("going on with", "resuming, continuing"),
    ("goes over to", "changes to"),
    ("go over to", "change to"),
    ("went over to", "changed to"),
    ("in force", "active, present"),
    ("is told", "name who says it: reports, says"),
    ("are told", "name who says it: reports, says"),
    ("was told", "name who says it: reported, said"),
    ("were told", "name who says it: reported, said"),
    ("without a word", "silently"),
    ("had back", "restored"),
    ("specification section", "the paper's section or equation"),
    ("is taken for", "counts as, is read as"),
    ("are taken for", "count as, are read as"),
    ("in the place of", "instead of, replaces"),
    ("comes to its end", "ends, finishes"),
    ("come to its end", "end, finish"),
    ("what waits", "the deferred writes"),
    ("put in force", "made active"),
    ("taken back", "undone, reverted"),
    ("takes it back", "reverts it"),
    ("is carried out", "is applied, runs"),
    ("are carried out", "are applied, run"),
    ("carries out", "applies, runs"),
    ("passed over", "skipped"),
    ("are looked at", "are checked, are examined"),
    ("is looked at", "is checked, is examined"),
];

/// The banned phrases in a text, in any case and across the ends of lines; the names of tests, files and options are one word each.
fn banned_in(text: &str) -> Vec<(&'static str, &'static str)> {
    let words: Vec<&str> =
        text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').filter(|word| !word.is_empty()).collect();
    let text = format!(" {} ", words.join(" ").to_lowercase());
    BANNED.into_iter().filter(|(word, _)| text.contains(&format!(" {word} "))).collect()
}

/// The text literals of a source, with a line between two, without those of comments and of its tests.
fn literals_of(source: &str) -> String {
    let code = source.split("#[cfg(test)]\nmod ").next().unwrap();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ").replace("\\\"", "'").replace("'\"'", "");
    code.split('"').skip(1).step_by(2).map(|literal| literal.replace("\\n", " ")).collect::<Vec<_>>().join("\n|\n")
}

/// The documentation of a source, item by item.
fn documentation_of(source: &str) -> String {
    let lines = source.lines().map(str::trim_start);
    lines
        .map(|line| line.strip_prefix("///").or_else(|| line.strip_prefix("//!")).unwrap_or("|"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// It catches: a phrase in a document, a message, a help text or a doc comment that has no actor, or is another language's.
#[test]
fn texts_use_no_banned_words() {
    assert_eq!(banned_in("It begins Anew, and\n goes on\nwith it.").len(), 2, "the test no longer sees words");
    assert!(banned_in("a renewed plan; maybe it works; --anew").is_empty());
    let source = "//! Told be it\n/// anew: \"in\n/// force\"\nfn f() { g(\"is \\\n  told\"); } // taken back\n";
    assert_eq!(banned_in(&documentation_of(source)).len(), 3, "{}", documentation_of(source));
    assert_eq!(banned_in(&literals_of(source)), [BANNED[11]], "{}", literals_of(source));
    for (document, text) in documents() {
        assert!(banned_in(&text).is_empty(), "{document} has {:?}", banned_in(&text));
    }
    for (file, text) in sources() {
        // The tests' own data may hold any word.
        let is_of_tests =
            ["tests/", "fuzz/", "benches/"].iter().any(|folder| file.contains(folder)) || file.ends_with("tests.rs");
        let literals = if is_of_tests { String::new() } else { literals_of(&text) };
        let found = [banned_in(&documentation_of(&text)), banned_in(&literals)].concat();
        assert!(found.is_empty() || file == "tests/house.rs", "{file} has {found:?}");
    }
}

#[test]
fn documents_link_to_files_that_exist() {
    for (document, text) in documents() {
        let path = root().join(&document);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap();
            if target.is_empty() || target.starts_with("http") {
                continue;
            }
            assert!(path.parent().unwrap().join(target).exists(), "{document} links to {target}, which does not exist");
        }
    }
}

#[test]
fn the_visible_root_is_the_mandated_one() {
    let allowed = [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "engine",
        "ingest",
        "query-lang",
        "cli",
        "tests",
        "fuzz",
        "benches",
        "docs",
        "target",
        "demo",
    ];
    for entry in std::fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name.starts_with('.') || allowed.contains(&name.as_str()), "'{name}' stands in the visible root");
    }
}
