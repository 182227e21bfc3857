//! Crafted databases (`shared/cases/hostile`) with valid checksums, with every command that people type.
//!
//! It catches: a segment whose claims are not checked, counters that overflow, RocksDB that ends the program by a signal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use cairndb_tests::{lines, run, shared};

/// The exit code of a damaged database.
const DAMAGED: i32 = 3;

fn unpacked(archive: &Path, folder: &Path) -> PathBuf {
    let status = Command::new("tar").arg("xzf").arg(archive).arg("-C").arg(folder).status().unwrap();
    assert!(status.success());
    folder.join(archive.file_stem().unwrap())
}

fn code(folder: &Path, words: &[&str]) -> (i32, String) {
    let output = run(folder, words);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let code = output.status.code().unwrap_or_else(|| panic!("cairn {words:?} ended by {}: {said}", output.status));
    assert!(!said.contains("unexpectedly"), "cairn {words:?}: {said}");
    (code, said)
}

#[test]
fn crafted_databases_are_named_and_end_no_command() {
    let Some(cases) = shared("cases/hostile") else { return };
    let search = format!("SEARCH VECTOR [{}] EXACT K 5", ["1"; 16].join(", "));
    let mut archives: Vec<PathBuf> = std::fs::read_dir(cases).unwrap().map(|entry| entry.unwrap().path()).collect();
    archives.sort();
    assert!(archives.len() >= 5);
    for archive in archives {
        let name = archive.file_name().unwrap().to_string_lossy().into_owned();
        // What only segments lack, the catalog still has: such a database answers, and its check says what is wrong.
        let is_copied = name.starts_with("segment");
        for words in [
            &["check"][..],
            &["check", "--deep"],
            &["status"],
            &["query", "-c", &search],
            &["query", "-c", "FLUSH"],
            &["query", "-c", "COMPACT"],
            &["query", "-c", "DELETE ID 'i0'"],
            &["repair"],
        ] {
            let folder = tempfile::tempdir().unwrap();
            let database = unpacked(&archive, folder.path());
            let all = [&words[..1], &[database.to_str().unwrap()], &words[1..]].concat();
            let (code, said) = self::code(folder.path(), &all);
            let story = format!("{name}: {words:?} ended with {code}: {said}");
            match words[0] {
                "check" => assert_eq!(code, DAMAGED, "{story}"),
                "repair" => assert!([0, DAMAGED].contains(&code), "{story}"),
                _ if is_copied => assert!([0, 1].contains(&code), "{story}"),
                _ => assert_eq!(code, DAMAGED, "{story}"),
            }
            if words[0] == "repair" && code == 0 {
                let (code, said) = self::code(folder.path(), &["check", database.to_str().unwrap(), "--deep"]);
                assert_eq!(code, 0, "{name} behind its repair: {said}");
                let (code, said) =
                    self::code(folder.path(), &["query", database.to_str().unwrap(), "-c", "DELETE ID 'i0'"]);
                assert!([0, 1].contains(&code), "{name} behind its repair: {said}");
            }
        }
    }
}

/// It catches: a list that may name a file twice, a list of nothing, files read beyond what is listed of them, whole files of any length
/// read where a few bytes are expected.
#[test]
fn backups_and_small_files_are_read_as_far_as_they_may_go() {
    const TERABYTE: u64 = 1 << 40;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for words in [&["create", "db", "--dim", "4"][..], &["query", "db", "-c", "FLUSH"], &["backup", "db", "backup"]] {
        assert_eq!(code(folder.path(), words).0, 0);
    }
    let list = lines(&at("backup/BACKUP"));
    let written = |lines: &[String]| {
        let body = lines.join("\n") + "\n";
        std::fs::write(at("backup/BACKUP"), format!("{body}end {:08x}\n", crc32(body.as_bytes()))).unwrap();
    };
    let verify = || code(folder.path(), &["backup", "--verify", "backup"]);
    let listed = &list[..list.len() - 1];
    written(listed);
    assert_eq!(verify().0, 0);
    let twice: Vec<String> = listed.iter().chain(&listed[1..2]).cloned().collect();
    let without = |name: &str| listed.iter().filter(|line| !line.contains(name)).cloned().collect::<Vec<_>>();
    let many: Vec<String> =
        std::iter::once(&listed[0]).chain(std::iter::repeat_n(&listed[1], 800_000)).cloned().collect();
    for (lines, reason) in [
        (twice, "twice"),
        (many, "twice"),
        (listed[..1].to_vec(), "names no catalog"),
        (without("CURRENT"), "names no catalog"),
        (without("MANIFEST"), "list of tables"),
    ] {
        written(&lines);
        let (code, said) = verify();
        assert!(code == DAMAGED && said.contains(reason), "{code}: {said}");
    }
    written(listed);
    // A file that takes no room and has no end to speak of.
    let long = |path: &str| {
        std::fs::OpenOptions::new().write(true).open(at(path)).unwrap().set_len(TERABYTE).unwrap();
    };
    let table = listed[1].rsplit(' ').next().unwrap();
    long(&format!("backup/{table}"));
    let (ended, said) = verify();
    assert!(ended == DAMAGED && said.contains("not the file that was backed up"), "{said}");
    for name in ["db/acknowledged", "db/columns"] {
        long(name);
        assert_eq!(code(folder.path(), &["status", "db"]).0, 0, "{name}");
    }
    let log = std::fs::read_dir(at("db/catalog")).unwrap().map(|entry| entry.unwrap().path());
    let log = log.filter(|path| path.extension().is_some_and(|end| end == "log")).max().unwrap();
    std::fs::OpenOptions::new().write(true).open(log).unwrap().set_len(TERABYTE).unwrap();
    let (ended, said) = code(folder.path(), &["status", "db"]);
    assert!(ended == DAMAGED && said.contains("too long for a log"), "{said}");
}

/// CRC-32 (IEEE).
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        (0..8).for_each(|_| crc = crc >> 1 ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 });
    }
    !crc
}
