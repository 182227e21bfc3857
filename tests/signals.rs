//! Signals and limits: however the program ends, it prints a sentence, has a documented exit code, and releases the lock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use cairndb_tests::{cairn, run, run_ok};
use rustix::process::{Pid, Signal, kill_process};

/// Nothing here takes as long; what hangs must not hang the test.
const LONGEST: Duration = Duration::from_secs(120);

fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    run_ok(home.path(), &["create", "DB", "--dim", "2"]);
    run_ok(home.path(), &["query", "DB", "-c", "PUT ID 'a' VECTOR [1, 0]; PUT ID 'b' VECTOR [0, 1] LABEL 'x'; FLUSH"]);
    home
}

/// The program with pipes; its history lies in the folder.
fn begin(folder: &Path, words: &[&str]) -> Child {
    let mut command = cairn();
    command.current_dir(folder).args(words).env("CAIRN_HISTORY", folder.join("history"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), signal).unwrap();
}

/// Waits for the end, which must come.
fn ended(child: &mut Child) -> ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if began.elapsed() > LONGEST {
            child.kill().unwrap();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What the program said on standard error once it has ended.
fn said(child: &mut Child) -> String {
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    told
}

/// Another program gets the lock, and everything is sound.
fn is_free_and_sound(folder: &Path) {
    run_ok(folder, &["query", "DB", "-c", "LABEL ID 'b' AS 'x'; CHECK DEEP"]);
}

#[test]
fn an_idle_shell_ends_on_a_signal_and_frees_the_lock() {
    let home = home();
    for (signal, code, name) in [(Signal::TERM, 143, "SIGTERM"), (Signal::HUP, 129, "SIGHUP")] {
        let mut child = begin(home.path(), &["repl", "DB"]);
        let mut input = child.stdin.take().unwrap();
        input
            .write_all(
                b".output answers.csv OVERWRITE\nPUT ID 'c' VECTOR [1, 1];\n.output\n.output kept.csv OVERWRITE\n",
            )
            .unwrap();
        input.write_all(b"SHOW LABELS;\n.tables\nSEARCH VECTOR [1,").unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
        assert!(first.starts_with("train"), "{first}");
        send(&child, signal);
        let status = ended(&mut child);
        let told = said(&mut child);
        assert_eq!(status.code(), Some(code), "{told}");
        assert!(told.contains(name) && told.contains("are kept"), "{told}");
        drop(input);
        // What whole statements answered is kept as well.
        assert!(std::fs::read_to_string(home.path().join("kept.csv")).unwrap().contains('x'));
        is_free_and_sound(home.path());
        assert!(run_ok(home.path(), &["query", "DB", "-c", "DELETE ID 'c'"]).contains('1'));
    }
}

#[test]
fn a_shell_on_a_terminal_ends_on_a_signal_and_keeps_its_history() {
    let home = home();
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129)] {
        let (mut person, terminal) = terminal();
        let mut command = cairn();
        command.current_dir(home.path()).args(["repl", "DB"]).env("CAIRN_HISTORY", home.path().join("history"));
        command.env("TERM", "xterm").stdin(terminal.try_clone().unwrap()).stdout(terminal.try_clone().unwrap());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let settings = rustix::termios::tcgetattr(&terminal).unwrap();
        person.write_all(format!("SHOW LABELS LIMIT {code};\r").as_bytes()).unwrap();
        let mut shown = Vec::new();
        let mut byte = [0];
        // A mistake; after it the prompt stands there again, and half a statement is typed.
        let mut told = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("help:") {
            line.clear();
            assert!(told.read_line(&mut line).unwrap() > 0);
        }
        person.write_all(b"SHOW STA").unwrap();
        while !String::from_utf8_lossy(&shown).ends_with("STA") {
            person.read_exact(&mut byte).unwrap();
            shown.push(byte[0]);
        }
        send(&child, signal);
        assert_eq!(ended(&mut child).code(), Some(code));
        told.read_to_string(&mut line).unwrap();
        assert!(line.contains("ended by SIG"), "{line}");
        let after = rustix::termios::tcgetattr(&terminal).unwrap();
        assert_eq!(after.local_modes, settings.local_modes, "the terminal is as it was");
        let history = std::fs::read_to_string(home.path().join("history")).unwrap();
        assert!(history.contains(&format!("LIMIT {code}")), "{history}");
        is_free_and_sound(home.path());
    }
}

/// Both ends of a new terminal.
fn terminal() -> (File, File) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&person).unwrap();
    unlockpt(&person).unwrap();
    let name = PathBuf::from(ptsname(&person, Vec::new()).unwrap().into_string().unwrap());
    let terminal = File::options().read(true).write(true).open(name).unwrap();
    (File::from(person), terminal)
}

#[test]
fn what_nobody_reads_keeps_no_program_alive() {
    let home = home();
    let path = home.path();
    let rows: String = (0..3000).map(|n| format!("PUT ID 'row {n}' VECTOR [1, {n}];\n")).collect();
    std::fs::write(path.join("long.sql"), "SHOW STATUS;\n".repeat(20_000)).unwrap();
    std::fs::write(path.join("rows.sql"), rows).unwrap();
    std::fs::create_dir(path.join("bad")).unwrap();
    // More messages than a pipe holds.
    for n in 0..20 {
        std::fs::write(path.join("bad").join(format!("{}{n}.jpg", "long ".repeat(45))), "no photo").unwrap();
    }
    run_ok(path, &["create", "PHOTOS", "--model", "lite0-gem"]);
    let commands: [&[&str]; 4] = [
        &["query", "DB", "-f", "long.sql"],
        &["repl", "DB"],
        &["query", "DB", "-f", "rows.sql"],
        &["ingest", "PHOTOS", "bad", "--as", "index"],
    ];
    for words in commands {
        for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::INT, 130)] {
            if words[0] == "repl" && signal == Signal::INT {
                // The shell goes on: a Ctrl-C leaves the statement.
                continue;
            }
            let full = full_pipe();
            let mut command = cairn();
            command.current_dir(path).args(words).env("CAIRN_HISTORY", "");
            let mut child = command
                .stdin(File::open(path.join("long.sql")).unwrap())
                .stdout(full.1.try_clone().unwrap())
                .stderr(full.1.try_clone().unwrap())
                .spawn()
                .unwrap();
            until_it_sleeps(&child);
            send(&child, signal);
            if words[0] == "ingest" && signal == Signal::INT {
                // The first Ctrl-C asks, the second one ends.
                std::thread::sleep(Duration::from_millis(100));
                send(&child, signal);
            }
            assert_eq!(ended(&mut child).code(), Some(code), "{words:?}");
            drop(full);
            is_free_and_sound(path);
        }
    }
}

/// Waits until the program sleeps several times in a row: it waits for the pipe then. Being wrong makes the test easier, not wrong.
fn until_it_sleeps(child: &Child) {
    let (mut asleep, began) = (0, Instant::now());
    while asleep < 5 && began.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(60));
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        asleep = if stat.rsplit(") ").next().unwrap().starts_with('S') { asleep + 1 } else { 0 };
    }
}

/// A pipe that takes nothing more.
fn full_pipe() -> (File, File) {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let (read, mut write) = (File::from(read), File::from(write));
    rustix::fs::fcntl_setfl(&write, rustix::fs::OFlags::NONBLOCK).unwrap();
    while write.write(&[b' '; 4096]).is_ok() {}
    rustix::fs::fcntl_setfl(&write, rustix::fs::OFlags::empty()).unwrap();
    (read, write)
}

#[test]
fn a_signal_that_is_ignored_from_the_beginning_stays_so() {
    let home = home();
    let script = "trap '' HUP; exec \"$0\" repl DB";
    let mut child = shell(home.path(), script);
    let mut input = child.stdin.take().unwrap();
    input.write_all(b".tables\n").unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    answers.read_line(&mut line).unwrap();
    send(&child, Signal::HUP);
    input.write_all(b".mode\n").unwrap();
    drop(input);
    answers.read_to_string(&mut line).unwrap();
    assert!(line.contains("table"), "{line}");
    assert_eq!(ended(&mut child).code(), Some(0));
}

/// Bash with the program as `$0`.
fn shell(folder: &Path, script: &str) -> Child {
    let mut command = Command::new("bash");
    command
        .args(["-c", script])
        .arg(cairn().get_program())
        .current_dir(folder)
        .env("CAIRN_HISTORY", "")
        .env("NO_COLOR", "1");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What a limited program may end with: success, or a sentence and a documented code.
fn ends_well(folder: &Path, script: &str) -> (Option<i32>, String) {
    let mut child = shell(folder, script);
    drop(child.stdin.take());
    let (mut out, mut error) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let reader = std::thread::spawn(move || {
        let mut told = String::new();
        error.read_to_string(&mut told).unwrap();
        told
    });
    let mut text = String::new();
    out.read_to_string(&mut text).unwrap();
    let told = reader.join().unwrap();
    let status = ended(&mut child);
    assert_eq!(status.signal(), None, "{script}: {told}");
    let code = status.code();
    assert!(matches!(code, Some(0 | 1 | 3)) || code == Some(127), "{script}: {code:?} {told}");
    assert!(code == Some(0) || told.contains("error"), "{script}: {told}");
    assert!(!told.contains("panicked"), "{script}: {told}");
    (code, told)
}

#[test]
fn a_process_that_may_start_few_threads_says_so() {
    let home = home();
    let path = home.path();
    // Root is exempt from the limit: as another user, who may read what root may.
    let user = if rustix::process::getuid().is_root() {
        let change = "setpriv --reuid 54321 --inh-caps +dac_override --ambient-caps +dac_override";
        if !Command::new("bash").args(["-c", &format!("{change} true")]).status().is_ok_and(|status| status.success()) {
            println!("skipped: no other user can be had here");
            return;
        }
        change
    } else {
        "env"
    };
    let mut seen = Vec::new();
    for most in [1, 2, 3, 5, 8, 13, 21, 34, 400] {
        for words in ["status DB", "query DB -c \"SEARCH VECTOR [1, 0]; FLUSH; COMPACT\"", "repl DB"] {
            let (code, told) =
                ends_well(path, &format!("exec {user} bash -c 'ulimit -u {most}; exec \"$0\" {words}' \"$0\""));
            if code == Some(1) {
                assert!(told.contains("ulimit"), "{most}: {told}");
            }
            seen.push(code);
        }
    }
    assert_eq!((seen[0], seen[seen.len() - 1]), (Some(1), Some(0)), "{seen:?}");
    is_free_and_sound(path);
}

#[test]
fn a_process_with_little_address_space_says_so() {
    let home = home();
    let path = home.path();
    let mut failed = 0;
    for megabytes in [700, 900, 1000, 1100, 1200, 1300, 1500, 2000, 4000] {
        for words in ["status DB", "query DB -c \"SEARCH VECTOR [1, 0]; FLUSH; COMPACT\""] {
            let (code, told) = ends_well(path, &format!("ulimit -v {}; exec \"$0\" {words}", megabytes << 10));
            failed += usize::from(code == Some(1));
            println!("{megabytes} MB, {words}: {code:?} {told}");
        }
    }
    assert!(failed > 0, "no limit was met");
    is_free_and_sound(path);
}

#[test]
fn a_file_that_may_not_grow_is_an_error_and_nothing_is_lost() {
    let home = home();
    let path = home.path();
    let rows: String = (0..4000).map(|n| format!("PUT ID 'row {n}' VECTOR [1, {n}];\n")).collect();
    std::fs::write(path.join("rows.sql"), rows).unwrap();
    let (code, told) = ends_well(path, "ulimit -f 256; exec \"$0\" query DB -f rows.sql --format csv");
    assert!(code == Some(1) && told.contains("statements ran before"), "{code:?} {told}");
    let ran: usize = told.split("; ").find_map(|part| part.split_once(" statements ran")?.0.parse().ok()).unwrap();
    let status = run_ok(path, &["query", "DB", "-c", "SHOW STATUS", "--format", "csv"]);
    let kept: usize = status.lines().find_map(|line| line.strip_prefix("index images,")).unwrap().parse().unwrap();
    assert!(kept > ran, "{kept} rows after {ran} acknowledged ones and one from before");
    is_free_and_sound(path);
}

#[test]
fn a_segment_that_is_cut_short_under_the_program_ends_it_with_a_sentence() {
    let home = home();
    let path = home.path();
    let mut child = begin(path, &["repl", "DB"]);
    let mut input = child.stdin.take().unwrap();
    input.write_all(b".tables\n").unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    for entry in std::fs::read_dir(path.join("DB/segments")).unwrap() {
        File::options().write(true).open(entry.unwrap().path()).unwrap().set_len(0).unwrap();
    }
    input.write_all(b"SEARCH VECTOR [1, 0] EXACT;\n").unwrap();
    drop(input);
    let status = ended(&mut child);
    let told = said(&mut child);
    assert_eq!(status.code(), Some(3), "{told}");
    assert!(told.contains("cut short") && told.contains("cairn check"), "{told}");
    // Segments are copies.
    run(path, &["query", "DB", "-c", "COMPACT"]);
    is_free_and_sound(path);
}

#[test]
fn the_help_lists_every_exit_code() {
    let help = run_ok(Path::new("."), &["--help"]);
    for code in ["  0  success", "  1  ", "  2  ", "  3  ", "  4  ", "  5  ", "129  ", "130  ", "143  ", "152  "] {
        assert!(help.contains(code), "{code}: {help}");
    }
}
