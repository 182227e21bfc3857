//! A command whose photos partly fail reports it: every failure is counted, the exit code is 5, and the last line says how many
//! failed and how to list them. For a file of another user, the message names the owner. Also the output to a terminal, or
//! without a reader.
//!
//! It catches: exit code 0 after failures; a folder, a link or a name that is skipped silently; advice about the disk if a
//! permission is missing; a character that controls a terminal; success although nobody got the answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use cairn::{Database, Options, Put};
use cairndb_tests::{cairn, run, run_ok};

/// A user that is not root and owns nothing.
const NOBODY: u32 = 65_534;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn picture(path: &Path, seed: u8) {
    image::RgbImage::from_fn(64, 48, |x, y| image::Rgb([seed.wrapping_mul(40), (x * 3) as u8, (y * 5) as u8]))
        .save(path)
        .unwrap();
}

#[test]
fn every_photo_that_failed_is_counted_and_the_exit_code_says_so() {
    let home = tempfile::tempdir().unwrap();
    let (path, photos) = (home.path(), home.path().join("photos"));
    fs::create_dir(&photos).unwrap();
    (0..3).for_each(|n| picture(&photos.join(format!("{n}.png")), n));
    fs::write(photos.join("text.jpg"), "this is text").unwrap();
    fs::write(photos.join(std::ffi::OsStr::from_bytes(b"latin-\xe9.jpg")), "x").unwrap();
    symlink("/nowhere/at/all", photos.join("card")).unwrap();
    run_ok(path, &["create", "DB", "--model", "lite0-gem"]);
    let output = run(path, &["ingest", "DB", "photos", "--as", "index"]);
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    let last = "error: 3 of 6 could not be ingested\n  help: --list-failures writes all of them to standard output; \
                --allow-failures 3 accepts this number\n";
    assert!(said(&output).ends_with(last), "{}", said(&output));
    assert!(output.stdout.is_empty());
    // Again: what is in is in, and the failures are still failures.
    let again = |more: &[&str]| run(path, &[&["ingest", "DB", "photos", "--as", "index"], more].concat());
    assert_eq!(again(&[]).status.code(), Some(5));
    assert_eq!(again(&["--allow-failures", "2"]).status.code(), Some(5));
    assert_eq!(again(&["--allow-failures", "3"]).status.code(), Some(0));
    assert_eq!(again(&["--allow-failures", "all"]).status.code(), Some(0));
    assert_eq!(again(&["--allow-failures", "some"]).status.code(), Some(2));
    let listed = String::from_utf8(again(&["--list-failures"]).stdout).unwrap();
    let rows: Vec<&str> = listed.lines().collect();
    assert_eq!((rows.len(), rows[0]), (4, "id,reason"), "{listed}");
    for name in ["card", "latin-", "text.jpg"] {
        assert_eq!(rows.iter().filter(|row| row.contains(name)).count(), 1, "{name}: {listed}");
    }
    let json = String::from_utf8(again(&["--list-failures=json"]).stdout).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap().as_array().unwrap().len(), 3);
    // Rows of a list, and nothing but failures.
    fs::write(path.join("list.csv"), "id,path\na,photos/0.png\nb,photos/none.png\n").unwrap();
    assert_eq!(run(path, &["ingest", "DB", "list.csv", "--as", "index"]).status.code(), Some(5));
    fs::write(path.join("bad.csv"), "id,path\nb,photos/none.png\n").unwrap();
    assert_eq!(run(path, &["ingest", "DB", "bad.csv", "--as", "index"]).status.code(), Some(1));
    // Predictions.
    let predict = |words: &[&str]| run(path, &[&["predict", "DB"], words].concat()).status.code();
    assert_eq!(predict(&["photos/0.png", "photos/text.jpg"]), Some(5));
    assert_eq!(predict(&["photos/0.png", "photos/text.jpg", "--allow-failures", "1"]), Some(0));
    assert_eq!(predict(&["photos/text.jpg"]), Some(1));
}

#[test]
fn folders_that_cannot_be_entered_and_rows_without_a_direction_are_failures() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path();
    fs::create_dir_all(path.join("photos/closed")).unwrap();
    picture(&path.join("photos/a.png"), 1);
    run_ok(path, &["create", "DB", "--model", "lite0-gem"]);
    give(path);
    fs::set_permissions(path.join("photos/closed"), fs::Permissions::from_mode(0o000)).unwrap();
    if let Some(mut command) = as_nobody(path) {
        let output = command.args(["ingest", "DB", "photos", "--as", "index"]).output().unwrap();
        let said = said(&output);
        if said.contains("weights") {
            eprintln!("skipped: another user may not read the weights");
        } else {
            assert_eq!(output.status.code(), Some(5), "{said}");
            assert!(said.contains("photos/closed: Permission denied"), "{said}");
            assert!(said.contains("1 of 2 could not be ingested"), "{said}");
        }
    }
    fs::set_permissions(path.join("photos/closed"), fs::Permissions::from_mode(0o700)).unwrap();
    run_ok(path, &["create", "VECTORS", "--dim", "2"]);
    fs::write(
        path.join("v.fvecs"),
        [2i32.to_le_bytes(), 1f32.to_le_bytes(), [0; 4], 2i32.to_le_bytes(), [0; 4], [0; 4]].concat(),
    )
    .unwrap();
    fs::write(path.join("ids"), "a\nb\n").unwrap();
    let output = run(path, &["ingest", "VECTORS", "v.fvecs", "--ids", "ids", "--as", "index"]);
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
}

/// Everything in a folder to nobody.
fn give(folder: &Path) {
    let _not_root = chown(folder, Some(NOBODY), Some(NOBODY));
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let _not_root = chown(&path, Some(NOBODY), Some(NOBODY));
        if path.is_dir() {
            give(&path);
        }
    }
}

/// The program as somebody who may not do everything; `None`, said aloud, where this test may not start it so.
fn as_nobody(folder: &Path) -> Option<Command> {
    let mut command = cairn();
    command.current_dir(folder);
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        // Whoever runs the test is not root, and rights hold for them.
        return Some(command);
    }
    command.uid(NOBODY).gid(NOBODY);
    if command.arg("--version").output().is_ok_and(|output| output.status.success()) {
        let mut command = cairn();
        command.current_dir(folder).uid(NOBODY).gid(NOBODY);
        return Some(command);
    }
    eprintln!("skipped: another user may not start the program");
    None
}

#[test]
fn a_file_of_another_user_is_named_with_its_owner_and_the_disk_is_not_blamed() {
    let home = tempfile::tempdir().unwrap();
    let (path, database) = (home.path(), home.path().join("DB"));
    let make = || {
        let _absent = fs::remove_dir_all(&database);
        let made = Database::create(&database, Options::for_vectors(2)).unwrap();
        made.write((0..9).map(|n| Put::new(format!("k{n}"), vec![1.0, n as f32]).into())).unwrap();
        made.flush().unwrap();
        drop(made);
        give(path);
    };
    make();
    let entries = |folder: &str| -> Vec<String> {
        let names = fs::read_dir(database.join(folder)).unwrap().map(|entry| entry.unwrap());
        let files = names.filter(|entry| entry.file_type().unwrap().is_file());
        files.map(|entry| format!("{folder}{}", entry.file_name().to_string_lossy())).collect()
    };
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let mut refused = 0;
    for name in [entries(""), entries("catalog/"), vec!["catalog".to_owned(), String::new()]].concat() {
        make();
        let Some(mut command) = as_nobody(path) else { return };
        // Numbers of files change from one to the next.
        let place = database.join(&name);
        let Ok(about) = fs::metadata(&place) else { continue };
        if root {
            chown(&place, Some(0), Some(0)).unwrap();
        }
        fs::set_permissions(&place, fs::Permissions::from_mode(0o000)).unwrap();
        let output = command.args(["query", "DB", "-c", "PUT ID 'x' VECTOR [1, 2]"]).output().unwrap();
        let said = said(&output);
        fs::set_permissions(&place, about.permissions()).unwrap();
        assert!(!said.contains("disk's") && !said.contains("repair"), "{name}: {said}");
        if output.status.success() {
            continue;
        }
        refused += 1;
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        let owner = if root { "belongs to root, but this program runs as" } else { "but its mode does not allow this" };
        assert!(said.contains(owner) && said.contains("Permission denied"), "{name}: {said}");
    }
    assert!(refused >= 4, "only {refused} files were needed");
}

/// The output of a command to a new terminal.
fn on_a_terminal(folder: &Path, words: &[&str]) -> Vec<u8> {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = fs::File::options().read(true).write(true).open(Path::new(name.to_str().unwrap())).unwrap();
    let mut child =
        cairn().current_dir(folder).args(words).stdout(theirs.try_clone().unwrap()).stderr(theirs).spawn().unwrap();
    let (mut bytes, mut master) = (Vec::new(), fs::File::from(ours));
    // The terminal ends with an error as soon as nobody has it open any more.
    let _end = master.read_to_end(&mut bytes);
    assert!(child.wait().unwrap().success(), "{words:?}: {}", String::from_utf8_lossy(&bytes));
    bytes
}

/// Keys that would clear the screen, set the clipboard, ring, turn text around, begin a formula.
const NASTY: [&str; 6] = [
    "\u{1b}[2J",
    "\u{1b}]52;c;ZXZpbA==\u{7}",
    "\u{9b}2J",
    "a\u{202e}gpj.exe",
    "=HYPERLINK(\"http://x\")",
    "two\nlines\r",
];

fn nasty_database(folder: &Path) {
    let database = Database::create(folder.join("DB"), Options::for_vectors(2)).unwrap();
    let put = |(n, key): (usize, &&str)| Put::new(*key, vec![1.0, n as f32]).label(*key).into();
    database.write(NASTY.iter().enumerate().map(put)).unwrap();
}

#[test]
fn a_terminal_is_driven_by_no_value_in_no_format_and_data_stay_whole() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    nasty_database(folder);
    let words = |format| ["query", "DB", "-c", "SEARCH VECTOR [1, 1] IN train RETURN id, label", "--format", format];
    for format in ["table", "json", "jsonl", "csv", "csv-safe", "markdown"] {
        let shown = String::from_utf8(on_a_terminal(folder, &words(format))).expect("UTF-8");
        // The terminal itself makes CR LF of each LF.
        let left = shown.replace("\r\n", "\n");
        let bad = left.chars().find(|c| (c.is_control() && *c != '\n') || ('\u{202a}'..='\u{202e}').contains(c));
        assert_eq!(bad, None, "{format}: {shown:?}");
        assert!(shown.contains("2J"), "{format}: the values are shown: {shown}");
    }
    let csv = run_ok(folder, &words("csv"));
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let mut keys: Vec<String> = reader.records().map(|row| row.unwrap()[0].to_owned()).collect();
    keys.sort();
    let mut stored = NASTY.map(str::to_owned).to_vec();
    stored.sort();
    assert_eq!(keys, stored, "a file of data holds them exactly");
    for format in ["json", "jsonl"] {
        let text = run_ok(folder, &words(format));
        let bad = text.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
        assert_eq!(bad, None, "{format}: {text:?}");
        let rows: Vec<serde_json::Value> = match format {
            "json" => serde_json::from_str(&text).unwrap(),
            _ => text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        };
        let mut keys: Vec<String> = rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
        keys.sort();
        assert_eq!(keys, stored, "{format}");
    }
    assert!(run_ok(folder, &words("csv-safe")).contains("\"'=HYPERLINK(\"\"http://x\"\")\""));
    // Messages: the key of a statement that fails.
    let output = run(folder, &["query", "DB", "-c", "DELETE ID 'no\u{1b}[2J\u{202e}such'"]);
    let said = said(&output);
    assert!(!said.contains('\u{1b}') && !said.contains('\u{202e}') && said.contains("no\\u{1b}[2J"), "{said:?}");
}

#[test]
fn a_key_of_a_megabyte_is_cut_where_people_read() {
    let home = tempfile::tempdir().unwrap();
    run_ok(home.path(), &["create", "DB", "--dim", "2"]);
    let key = "k".repeat(1_000_000);
    fs::write(home.path().join("s.sql"), format!("DELETE ID '{key}'")).unwrap();
    for words in [&["query", "DB", "-f", "s.sql"][..], &["query", "DB", "-f", "s.sql", "--format", "csv"]] {
        let output = run(home.path(), words);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{}", &said[..said.len().min(500)]);
        assert!(said.len() < 4_000 && said.contains(" characters)"), "{} bytes", said.len());
    }
}

#[test]
fn a_closed_standard_output_is_an_error_and_a_reader_that_leaves_is_none() {
    let home = tempfile::tempdir().unwrap();
    nasty_database(home.path());
    let program = cairn().get_program().to_str().unwrap().to_owned();
    let shell = |text: &str| {
        let output =
            Command::new("sh").current_dir(home.path()).arg("-c").arg(text).stdin(Stdio::null()).output().unwrap();
        (output.status.code(), said(&output))
    };
    for words in ["query DB -c 'SHOW STATUS'", "status DB", "check DB", "--help", "--version"] {
        for closed in [">&-", "1</dev/null", ">/dev/full"] {
            if words.starts_with("--") && closed == "1</dev/null" {
                continue;
            }
            let (code, said) = shell(&format!("'{program}' {words} {closed}"));
            assert_eq!(code, Some(1), "{words} {closed}: {said}");
        }
    }
    let (code, said) = shell(&format!("'{program}' query DB -c 'SHOW STATUS' >&-"));
    assert!(code == Some(1) && said.contains("standard output is closed"), "{said}");
    // What writes no answer needs no output.
    assert_eq!(shell(&format!("'{program}' create OTHER --dim 2 >&-")).0, Some(0));
    assert_eq!(shell(&format!("'{program}' query DB -c 'SHOW STATUS' >/dev/null")).0, Some(0));
    let (code, said) = shell(&format!("('{program}' query DB -c 'SHOW STATUS'; echo $? >code) | true; cat code"));
    assert!(code == Some(0) && said.is_empty(), "{said}");
    assert_eq!(fs::read_to_string(home.path().join("code")).unwrap().trim(), "0");
}
