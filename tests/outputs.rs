//! Files that statements, options and dot commands write: complete or not at all, and over nothing but an earlier output, unless
//! a person says so; never into a database or a backup, whatever path leads there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use cairndb_tests::{cairn, run, run_ok};

const SEARCH: &str = "SEARCH VECTOR [1, 0]";

/// A database of vectors, a backup of it, and things of others beside them.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let path = home.path();
    run_ok(path, &["create", "DB", "--dim", "2"]);
    run_ok(path, &["query", "DB", "-c", "PUT ID 'a' VECTOR [1, 0]; PUT ID 'b' VECTOR [0, 1] LABEL 'x'; FLUSH"]);
    run_ok(path, &["backup", "DB", "BK"]);
    std::fs::create_dir(path.join("folder")).unwrap();
    std::fs::write(path.join("photo.jpg"), "a photo").unwrap();
    std::fs::write(path.join("photo.html"), "<p>mine</p>").unwrap();
    std::fs::write(path.join("q.csv"), "id,images,Usage\nq,a,Public\n").unwrap();
    std::fs::write(path.join("ids"), "q\n").unwrap();
    symlink("photo.html", path.join("link.html")).unwrap();
    symlink("nowhere.html", path.join("dangling.html")).unwrap();
    symlink("DB/segments", path.join("into")).unwrap();
    std::fs::hard_link(path.join("photo.html"), path.join("again.html")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(path.join("pipe.html")).status().unwrap().success());
    home
}

/// Every file below a folder with its bytes, links with what they say.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let kind = std::fs::symlink_metadata(&path).unwrap().file_type();
            if kind.is_dir() {
                folders.push(path.clone());
            }
            let bytes = if kind.is_file() {
                std::fs::read(&path).unwrap()
            } else if kind.is_symlink() {
                std::fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else {
                Vec::new()
            };
            found.insert(path, bytes);
        }
    }
    found
}

/// What lies beside the database, and in the backup.
fn outside(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    tree(path).into_iter().filter(|(file, _)| !file.starts_with(path.join("DB"))).collect()
}

/// The shell with these lines on its standard input.
fn shell(folder: &Path, lines: &str) -> Output {
    let mut command = cairn();
    command.current_dir(folder).args(["repl", "DB"]).env("CAIRN_HISTORY", "");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8([output.stdout.as_slice(), &output.stderr].concat()).unwrap()
}

/// Names that nothing may be written to, whatever is said.
const NEVER: [&str; 12] = [
    "DB",
    "DB/catalog/CURRENT",
    "DB/new.html",
    "DB/segments/new.html",
    "into/new.html",
    "BK/new.html",
    "BK/BACKUP",
    "folder",
    "link.html",
    "dangling.html",
    "pipe.html",
    "nowhere/new.html",
];

#[test]
fn answers_of_the_shell_go_over_nothing_that_is_there() {
    let home = home();
    let path = home.path();
    let before = outside(path);
    for name in NEVER.into_iter().chain(["photo.jpg", "photo.html"]) {
        let told = said(&shell(path, &format!(".output {name}\n{SEARCH};\n")));
        assert!(told.contains("error:") && told.contains("help:"), "{name}: {told}");
        assert_eq!(outside(path), before, "{name}");
    }
    for name in NEVER {
        let told = said(&shell(path, &format!(".output '{name}' overwrite\n{SEARCH};\n")));
        assert!(told.contains("error:"), "{name}: {told}");
        assert_eq!(outside(path), before, "{name}");
    }
    // Each opening for writing has RocksDB name another list there.
    assert!(std::fs::read_to_string(path.join("DB/catalog/CURRENT")).unwrap().starts_with("MANIFEST-"));
    run_ok(path, &["check", "DB", "--deep"]);
}

#[test]
fn answers_of_the_shell_appear_as_a_whole_file() {
    let home = home();
    let path = home.path();
    let script = format!(
        ".mode csv\n.output 'a b.csv'\n{SEARCH};\nSHOW LABELS;\n.output c.csv\n{SEARCH};\n.output c.csv\n.output -\n\
         SHOW LABELS;\n.output photo.jpg OVERWRITE\nSHOW LABELS;\n"
    );
    let output = shell(path, &script);
    // One command failed, and the others were done.
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("answers are in a b.csv"), "{}", said(&output));
    let file = |name: &str| std::fs::read_to_string(path.join(name)).unwrap();
    assert!(file("a b.csv").starts_with("query,rank,id") && file("a b.csv").ends_with("label,train_images\nx,1\n"));
    // Named a second time, it is there already.
    assert!(said(&output).contains("c.csv already exists"), "{}", said(&output));
    assert!(file("c.csv").contains("\n0,1,a,1,"), "{}", file("c.csv"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "label,train_images\nx,1\n");
    assert_eq!(file("photo.jpg"), "label,train_images\nx,1\n");
    let hidden = tree(path).into_keys().filter(|file| file.file_name().unwrap().to_string_lossy().starts_with('.'));
    assert_eq!(hidden.count(), 0);
}

#[test]
fn a_shell_that_is_killed_leaves_the_file_of_before() {
    let home = home();
    let path = home.path();
    let mut command = cairn();
    command.current_dir(path).args(["repl", "DB"]).env("CAIRN_HISTORY", "");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = format!(".output photo.jpg OVERWRITE\n{SEARCH};\n.tables\n");
    child.stdin.as_mut().unwrap().write_all(lines.as_bytes()).unwrap();
    // What .tables says comes behind the answer.
    let mut first = [0];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
    let before = outside(path);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(outside(path), before);
    assert_eq!(std::fs::read_to_string(path.join("photo.jpg")).unwrap(), "a photo");
}

#[test]
fn reports_go_over_earlier_reports_alone_unless_a_person_says_so() {
    let home = home();
    let path = home.path();
    std::fs::write(path.join("q.npy"), npy()).unwrap();
    let more = ["PUT ID 'c' VECTOR [0.1, 1] LABEL 'x'", "PUT ID 'd' VECTOR [1, 0.1] LABEL 'y'"];
    run_ok(path, &["query", "DB", "-c", &format!("{}; PUT ID 'e' VECTOR [1, 0.2] LABEL 'y'", more.join("; "))]);
    let search = |to: &str, more: &str| {
        let statement = format!("{SEARCH} INTO '{to}'{more}");
        run(path, &["query", "DB", "-c", &statement])
    };
    let eval = |to: &str, more: &[&str]| {
        let words = ["eval", "DB", "--queries", "q.npy", "--query-ids", "ids", "--truth", "q.csv", "--report", to];
        run(path, &[words.as_slice(), more].concat())
    };
    let clean = |to: &str, more: &[&str]| {
        run(path, &[&["maintain", "clean", "DB", "--rule", "suspects", "--dry-run", "--into", to], more].concat())
    };
    let before = outside(path);
    for name in NEVER {
        for output in [
            search(name, ""),
            search(name, " OVERWRITE"),
            eval(name, &[]),
            eval(name, &["--force"]),
            clean(name, &[]),
            clean(name, &["--overwrite"]),
        ] {
            assert_eq!(output.status.code(), Some(1), "{name}: {}", said(&output));
            assert_eq!(outside(path), before, "{name}");
        }
    }
    // The page of somebody else, also under a second name.
    for name in ["photo.html", "again.html"] {
        for output in [search(name, ""), eval(name, &[]), clean(name, &[])] {
            assert!(output.status.code() == Some(1) && said(&output).contains("OVERWRITE"), "{}", said(&output));
        }
    }
    assert_eq!(outside(path), before);
    // An earlier report is replaced by any of them.
    let fine = |output: Output| assert!(output.status.success(), "{}", said(&output));
    fine(search("r.html", ""));
    fine(eval("r.html", &[]));
    fine(clean("r.html", &[]));
    fine(search("r.html", ""));
    // A second name of it may be anybody's.
    std::fs::hard_link(path.join("r.html"), path.join("mine.html")).unwrap();
    assert_eq!(search("r.html", "").status.code(), Some(1));
    fine(search("r.html", " OVERWRITE"));
    fine(eval("photo.html", &["--force"]));
    assert_eq!(std::fs::read_to_string(path.join("again.html")).unwrap(), "<p>mine</p>");
    fine(clean("again.html", &["--overwrite"]));
    assert!(std::fs::read_to_string(path.join("again.html")).unwrap().contains("data-made-by=\"cairn\""));
}

/// One query of two dimensions.
fn npy() -> Vec<u8> {
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }";
    let padded = format!("{header:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((padded.len() as u16).to_le_bytes());
    bytes.extend(padded.as_bytes());
    bytes.extend([1.0_f32, 0.0].iter().flat_map(|x| x.to_le_bytes()));
    bytes
}

#[test]
fn databases_backups_and_demos_are_not_made_inside_databases_and_backups() {
    let home = home();
    let path = home.path();
    let before = outside(path);
    for place in ["DB/new", "DB/segments/new/deeper", "into/new", "BK/new"] {
        for words in [
            vec!["create", place, "--dim", "2"],
            vec!["backup", "DB", place],
            vec!["restore", "BK", place],
            vec!["demo", "--out", place],
        ] {
            let output = run(path, &words);
            assert_eq!(output.status.code(), Some(1), "{words:?}: {}", said(&output));
        }
        for statement in [format!("BACKUP TO '{place}'"), format!("BACKUP RESTORE 'BK' TO '{place}'")] {
            assert_eq!(run(path, &["query", "DB", "-c", &statement]).status.code(), Some(1), "{statement}");
        }
    }
    assert_eq!(outside(path), before);
    assert!(!path.join("DB/new").exists() && !path.join("DB/segments/new").exists());
    run_ok(path, &["backup", "--verify", "BK"]);
}
