//! The program as a build of the whole workspace makes it: which variables of the environment it obeys, read from its bytes.
//!
//! It catches: test faults that come into the program with a feature that another package asks for, a variable that README.md does
//! not list.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

/// The program of this build.
const PROGRAM: &str = env!("CARGO_BIN_EXE_cairn");
/// Its own variables, as README.md lists them; two are of the networks.
const VARIABLES: &[&str] = match cfg!(feature = "torch") {
    true => &["CAIRN_HISTORY", "CAIRN_ONNXRUNTIME", "CAIRN_TORCH_LIB", "CAIRN_TRUST", "CAIRN_WEIGHTS"],
    false => &["CAIRN_HISTORY"],
};

/// The position of `what` in `bytes`.
fn places(bytes: &[u8], what: &[u8]) -> Vec<usize> {
    (0..bytes.len().saturating_sub(what.len())).filter(|&at| bytes[at..].starts_with(what)).collect()
}

#[test]
fn the_program_knows_the_variables_of_the_readme_and_no_test_fault() {
    let bytes = std::fs::read(PROGRAM).unwrap();
    for name in VARIABLES {
        assert!(
            !places(&bytes, name.as_bytes()).is_empty(),
            "{name} is not in the program: the test no longer sees names"
        );
    }
    for at in places(&bytes, b"CAIRN_") {
        let known = VARIABLES.iter().any(|name| bytes[at..].starts_with(name.as_bytes()));
        assert!(known, "the program holds {:?}", String::from_utf8_lossy(&bytes[at..at + 40]));
    }
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/OPERATING.md")).unwrap();
    VARIABLES.iter().for_each(|name| assert!(readme.contains(&format!("`{name}`")), "README.md does not list {name}"));
}

#[test]
fn the_program_passes_over_the_variables_of_test_programs() {
    let home = tempfile::tempdir().unwrap();
    let log = home.path().join("points");
    let run = |words: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.current_dir(home.path()).args(words).stdin(std::process::Stdio::null());
        command.env("CAIRN_FAULT", "commit.before:1:eio").env("CAIRN_FAULT_LOG", &log).env("CAIRN_SYNC", "off");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run(&["create", "DB", "--dim", "2"]);
    run(&["query", "DB", "-c", "PUT ID 'a' VECTOR [1, 2] LABEL 'x'"]);
    assert!(!log.exists(), "a test fault was obeyed");
}
