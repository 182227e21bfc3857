//! Scripts: a statement runs when its end has come, in constant memory, and messages name its line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Output, Stdio};

use cairndb_tests::{cairn, run, run_ok};

fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    run_ok(home.path(), &["create", "DB", "--dim", "2"]);
    home
}

/// The program with a pipe on its standard input.
fn begin(folder: &Path, words: &[&str]) -> Child {
    let mut command = cairn();
    command.current_dir(folder).args(words).env("CAIRN_HISTORY", "");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The same with all of its input.
fn fed(folder: &Path, words: &[&str], input: &[u8]) -> Output {
    let mut child = begin(folder, words);
    // A program that stops at a mistake need not read the rest.
    let _refused = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8([output.stdout.as_slice(), &output.stderr].concat()).unwrap()
}

#[test]
fn the_first_answer_comes_before_the_end_of_the_script() {
    let home = home();
    let scripts: [&[&str]; 4] = [
        &["query", "DB", "--format", "csv"],
        &["query", "DB", "--format", "csv", "-f", "-"],
        &["query", "DB", "--format", "csv", "-f", "pipe"],
        &["repl", "DB"],
    ];
    assert!(std::process::Command::new("mkfifo").arg(home.path().join("pipe")).status().unwrap().success());
    for words in scripts {
        let mut child = begin(home.path(), words);
        let mut own = child.stdin.take();
        let mut pipe = words.contains(&"pipe").then(|| {
            own = None;
            std::fs::OpenOptions::new().write(true).open(home.path().join("pipe")).unwrap()
        });
        let mut say = |text: &[u8]| match (&mut pipe, &mut own) {
            (Some(pipe), _) => pipe.write_all(text).unwrap(),
            (None, Some(own)) => own.write_all(text).unwrap(),
            _ => unreachable!(),
        };
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        for statement in ["SHOW LABELS", ";\nSHOW STATUS; SHOW LAB", "ELS;"] {
            say(statement.as_bytes());
            if statement.contains(';') {
                line.clear();
                assert!(answers.read_line(&mut line).unwrap() > 0, "{words:?}");
            }
        }
        drop((pipe, own));
        answers.read_to_string(&mut line).unwrap();
        assert!(child.wait().unwrap().success(), "{words:?}: {line}");
    }
}

#[test]
fn a_script_stops_at_its_first_mistake_and_says_what_ran() {
    let home = home();
    let path = home.path();
    let script = "-- three\nPUT ID 'a' VECTOR [1, 0];\r\nPUT ID 'b'\r\n  VECTOR [0, 1]; SEARCH\n  'p.jpg' K 0;\nPUT ID 'c' VECTOR [1, 1];\n";
    std::fs::write(path.join("s.sql"), script).unwrap();
    let output = run(path, &["query", "DB", "-f", "s.sql"]);
    assert_eq!(output.status.code(), Some(1));
    let told = said(&output);
    assert!(told.contains("  5 |   'p.jpg' K 0;\n    |             ^"), "{told}");
    assert!(told.contains("stopped at line 4 of s.sql; 2 statements ran before"), "{told}");
    let told = said(&fed(path, &["query", "DB"], b"SHOW LABELS;\nDELETE ID 'a'; DELETE ID 'nobody';\nFLUSH"));
    assert!(told.contains("nobody") && told.contains("line 2 of standard input; 2 statements ran"), "{told}");
    let status = run_ok(path, &["query", "DB", "-c", "SHOW STATUS", "--format", "csv"]);
    assert!(status.contains("index images,1\n"), "{status}");
    // In the shell, and from a file there: the shell goes on.
    let told = said(&fed(
        path,
        &["repl", "DB"],
        b".read s.sql\n.timer\nSHOW\nLABELZ;\nSEARCH VECTOR [1,\n.5]; .x\n;\n.tables\n",
    ));
    assert!(told.contains("5 |   'p.jpg' K 0;") && told.contains("line 4 of s.sql; 2 statements ran"), "{told}");
    assert!(told.contains("  4 | LABELZ;") && told.contains("off\n"), "{told}");
    assert!(told.contains("0.8944"), "a number may begin with a point: {told}");
    assert!(told.contains("index  2 images"), "{told}");
}

#[test]
fn a_text_is_checked_as_a_whole_and_its_carets_are_right() {
    let home = home();
    let told = said(&run(home.path(), &["query", "DB", "-c", "PUT ID 'a' VECTOR [1, 0]; SHOW\nX; SEARCH a K 0"]));
    assert!(told.contains("  2 | X; SEARCH a K 0\n") && !told.contains("ran before"), "{told}");
    let text = "PUT ID 'a' VECTOR [1, 0]; SEARCH b; FLUSH";
    let told = said(&run(home.path(), &["query", "DB", "-c", text]));
    assert!(told.contains("'b'") && told.contains("1 statement ran before"), "{told}");
    let status = run_ok(home.path(), &["query", "DB", "-c", "SHOW STATUS", "--format", "csv"]);
    assert!(status.contains("index images,1\n"), "{status}");
}

#[test]
fn odd_bytes_are_refused_with_their_line_and_marks_of_editors_are_not() {
    let home = home();
    let query = |input: &[u8]| fed(home.path(), &["query", "DB", "--format", "csv"], input);
    let fine = query(b"\xef\xbb\xbfSHOW LABELS;\r\n\r\n-- \xc3\xbc\r\nSHOW LABELS");
    assert_eq!(
        (fine.status.code(), fine.stdout.as_slice()),
        (Some(0), b"label,train_images\nlabel,train_images\n".as_slice())
    );
    for (input, words) in [
        (b"SHOW LABELS;\n\nSHOW \xff;".as_slice(), "line 3 has bytes that are not UTF-8"),
        (b"\xff\xfeS\0H\0O\0W\0", "UTF-16 (little-endian)"),
        (b"SHOW LABELS;\n\0\0;", "line 2 of standard input; 1 statement ran"),
        (b"SHOW LABELS;\nSEARCH 'p", "line 2"),
        (b"-- nothing\n", "no statement"),
        (b"", "no statement"),
    ] {
        let output = query(input);
        let told = said(&output);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(words) && told.contains("error:") && !told.contains("panicked"), "{words}: {told}");
    }
    let long = [b"SHOW LABELS;\n\nSEARCH '".as_slice(), &vec![b';'; 3 << 20]].concat();
    let told = said(&query(&long));
    assert!(told.contains("line 3 has more than 1048576 bytes") && told.contains("quote"), "{told}");
    let shell =
        said(&fed(home.path(), &["repl", "DB"], &[&long, b"\n".as_slice(), b"';\n\xff;\nSHOW LABELS;\n"].concat()));
    assert!(shell.contains("1048576") && shell.contains("not UTF-8") && shell.contains("train_images"), "{shell}");
}

#[test]
fn memory_does_not_grow_with_the_script() {
    let home = home();
    // On one line as well: a caret needs only its surroundings.
    for end in ["\n", " "] {
        let mut child = begin(home.path(), &["query", "DB", "--format", "csv"]);
        let process = child.id();
        let peak = || {
            let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
        };
        let mut input = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let mut peaks = Vec::new();
        for count in [2_000, 20_000] {
            let (statements, mut line) = (format!("SHOW LABELS;{end}").repeat(100), String::new());
            for _ in 0..count / 100 {
                input.write_all(statements.as_bytes()).unwrap();
                for _ in 0..100 {
                    answers.read_line(&mut line).unwrap();
                }
                line.clear();
            }
            peaks.push(peak());
        }
        drop(input);
        assert!(child.wait().unwrap().success());
        assert!(peaks[1] < peaks[0] + (16 << 10), "{peaks:?} kB");
    }
}
