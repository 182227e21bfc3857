//! R26, the shell: it ends while a statement runs, by the end of its input or after Ctrl-C in a training or a cleaning.
//!
//! It catches: a thread that still holds the database, or is inside torch, when `main` returns: SIGSEGV or SIGABRT ended the
//! program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cairn::{Database, Options, Put};
use cairndb_tests::{cairn, few_landmarks, run_ok};

fn rounds(few: u32, long: u32) -> u32 {
    if std::env::var("CAIRN_LONG").is_ok_and(|value| value == "1") { long } else { few }
}

fn shell(folder: &Path) -> Child {
    let mut command = cairn();
    command.current_dir(folder).args(["repl", "db"]).env("CAIRN_HISTORY", "");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// The input ends; how the shell did: 0, or 130 behind Ctrl-C, and never by a signal.
fn ends_well(mut child: Child, story: &str) {
    drop(child.stdin.take());
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), None, "{story}");
    assert!(matches!(status.code(), Some(0 | 130)), "{story}: {status}");
}

#[test]
fn a_shell_that_reads_a_pipe_ends_with_its_own_code() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("db"), Options::for_vectors(2)).unwrap();
    database.write(vec![Put::new("a", [1.0, 0.5]).label("tower").into(), Put::new("b", [1.0, 0.6]).into()]).unwrap();
    drop(database);
    for round in 0..rounds(40, 2_000) {
        let mut child = shell(folder.path());
        child.stdin.as_mut().unwrap().write_all(b"SHOW LABELS;\n").unwrap();
        ends_well(child, &format!("round {round}"));
    }
}

#[test]
fn a_shell_is_left_behind_an_interrupted_statement() {
    let folder = tempfile::tempdir().unwrap();
    if few_landmarks(folder.path(), "db").is_none() {
        return;
    }
    for round in 0..rounds(12, 500) {
        let statement = ["TRAIN;\n", "CLEAN RULE suspects;\n"][round as usize % 2];
        let story = format!("round {round}, {}", statement.trim_end());
        let mut child = shell(folder.path());
        // Once it has answered, it hears Ctrl-C.
        child.stdin.as_mut().unwrap().write_all(b"SHOW STATUS;\n").unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        answers.read_line(&mut String::new()).unwrap();
        child.stdin.as_mut().unwrap().write_all(statement.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(u64::from(round * 271 % 1_500)));
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success(), "{story}");
        std::thread::sleep(Duration::from_millis(u64::from(round * 37 % 200)));
        ends_well(child, &story);
        drop(answers);
    }
    run_ok(folder.path(), &["check", "db", "--deep"]);
}
