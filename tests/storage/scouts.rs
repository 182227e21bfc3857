//! When a scout reads a catalog first (docs/SECURITY.md): a catalog that this machine closed is opened without one, a copy or a
//! changed one is not, and checks, verifications, restores and repairs always use one. The scouts of these tests die in any case,
//! so that a refusal shows that one was sent.
//!
//! It catches: a copy that counts as written here, a table or a list that was changed in place and is opened at once, a known
//! catalog that gets a scout all the same, a refusal that leaves files behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs::FileTimes;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use cairn::runtime::{Scout, set_scout};
use cairn::{Database, ErrorKind, Result};
use cairndb_storage_tests::{copy_folder, create, files, images, in_own_process, load, tree};

fn dying() {
    set_scout(Some(Scout::new("/bin/sh", ["-c", "printf 'CAIRN SCOUT 1\\n'; kill -SEGV $$"])));
}

fn living() {
    set_scout(Some(Scout::new(PathBuf::from(load().get_program()), ["scout"])));
}

fn build(path: &Path) {
    let database = create(path, 8);
    database.write(images("t", 10, 8, 3, 1, 1)).unwrap();
    database.write(images("i", 30, 8, 3, usize::MAX, 2)).unwrap();
    database.compact().unwrap();
    database.close().unwrap();
}

/// Whether a scout was sent, and died.
fn is_looked_at<T>(outcome: Result<T>) -> bool {
    match outcome {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert!(error.message().contains("was ended by signal 11"), "{error}");
            true
        }
    }
}

fn reads(path: &Path) -> bool {
    is_looked_at(Database::open_read_only(path))
}

#[test]
fn what_was_closed_here_is_opened_at_once_and_a_copy_is_not() {
    // The scout is the whole process's.
    in_own_process("scouts::what_was_closed_here_is_opened_at_once_and_a_copy_is_not", || {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("db"), folder.path().join("copy"));
        build(&path);
        copy_folder(&path, &copy);
        dying();
        assert!(!reads(&path) && !is_looked_at(Database::open(&path)), "it was closed here");
        let before = tree(&copy);
        assert!(reads(&copy) && is_looked_at(Database::open(&copy).map(|_| ())));
        // But for the lock, which is taken first.
        assert_eq!(before.len(), tree(&copy).len());
        // Without one, it is opened, and nothing vouches for it.
        set_scout(None);
        Database::open(&copy).unwrap().close().unwrap();
        dying();
        assert!(reads(&copy));
        // A reader that looks again meets the files as an opening does.
        set_scout(None);
        let reader = Database::open_read_only(&copy).unwrap();
        dying();
        assert!(is_looked_at(reader.refresh()));
        drop(reader);
        // One that comes back makes it known, once it was opened for writing.
        living();
        Database::open_read_only(&copy).unwrap();
        dying();
        assert!(!reads(&copy), "a scout of this process came back from the very same files");
        living();
        Database::open(&copy).unwrap().close().unwrap();
        dying();
        assert!(!reads(&copy));
    });
}

#[test]
fn what_was_changed_in_its_place_is_looked_at() {
    // The scout is the whole process's.
    in_own_process("scouts::what_was_changed_in_its_place_is_looked_at", || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        build(&path);
        dying();
        let later = FileTimes::new().set_modified(SystemTime::now() + Duration::from_secs(9));
        for end in [".sst", "MANIFEST-", ".log"] {
            assert!(!reads(&path), "{end}");
            let file =
                files(&path.join("catalog")).into_iter().find(|file| file.to_string_lossy().contains(end)).unwrap();
            std::fs::OpenOptions::new().append(true).open(&file).unwrap().set_times(later).unwrap();
            assert!(reads(&path), "{end}");
            living();
            Database::open(&path).unwrap().close().unwrap();
            dying();
        }
    });
}

#[test]
fn a_crash_leaves_a_catalog_that_is_looked_at_once() {
    // The scout is the whole process's.
    in_own_process("scouts::a_crash_leaves_a_catalog_that_is_looked_at_once", || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let mut child = load().args(["load", path.to_str().unwrap(), "1", "1"]).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let acknowledged = lines.map_while(Result::ok).filter(|line| line.starts_with("ack ")).take(9).count();
        assert_eq!(acknowledged, 9, "the load goes on for ever");
        child.kill().unwrap();
        child.wait().unwrap();
        dying();
        assert!(reads(&path));
        living();
        Database::open(&path).unwrap().close().unwrap();
        dying();
        assert!(!reads(&path));
    });
}

#[test]
fn what_is_cared_for_is_always_looked_at() {
    // The scout is the whole process's.
    in_own_process("scouts::what_is_cared_for_is_always_looked_at", || {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        build(&at("db"));
        let database = Database::open(at("db")).unwrap();
        database.backup(at("backup")).unwrap();
        dying();
        assert!(is_looked_at(database.check(false)) && is_looked_at(database.check(true)));
        database.close().unwrap();
        assert!(is_looked_at(Database::verify_backup(at("backup"))));
        assert!(is_looked_at(Database::restore_backup(at("backup"), at("restored"))));
        assert!(!at("restored").exists(), "nothing was written");
        let before = tree(&at("db"));
        assert!(is_looked_at(Database::repair(at("db"))));
        assert_eq!(before, tree(&at("db")));
        living();
        Database::verify_backup(at("backup")).unwrap();
        Database::restore_backup(at("backup"), at("restored")).unwrap();
        Database::repair(at("db")).unwrap();
        assert_eq!(Database::open(at("db")).unwrap().check(true).unwrap().problems, Vec::<String>::new());
        dying();
        assert!(!reads(&at("restored")) && !reads(&at("db")), "they were looked at, and made here");
    });
}
