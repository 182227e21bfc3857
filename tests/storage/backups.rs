//! R14: backups beside a writer. Each verifies and restores elsewhere to exactly the state of its sequence number; a flipped byte
//! in any of its files is found, and a list with a forbidden name is refused.
//!
//! It catches: a segment unlinked between the copy of the catalog and that of the segments, a list whose own checksum is not compared,
//! merging that waits until a backup has read what it copied, `is_ours` that lets a name out of the folder, a backup that is written into the database.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use cairn::{Database, Deferral, ErrorKind};
use cairndb_storage_tests::{
    DIMENSION, Model, Random, Stream, copy_folder, create, digest, files, healthy, images, many, put, sound,
};

#[test]
fn a_backup_is_the_state_of_its_sequence_number() {
    let folder = tempfile::tempdir().unwrap();
    let database = create(&folder.path().join("db"), DIMENSION);
    let history: Mutex<BTreeMap<u64, Model>> = Mutex::default();
    let done = AtomicBool::new(false);
    let backups = many(6, 100);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut stream = Stream::new(31);
            while !done.load(Ordering::Relaxed) {
                let operations = stream.transaction();
                stream.advance();
                let sequence = stream.next - 1;
                {
                    let mut history = history.lock().unwrap();
                    history.insert(sequence, stream.model.clone());
                    while history.len() > 5000 {
                        history.pop_first();
                    }
                }
                if sequence.is_multiple_of(40) {
                    database.set_deferral([Deferral::Never, Deferral::Always][(sequence / 40 % 2) as usize]);
                }
                database.write(operations).unwrap();
                if sequence.is_multiple_of(9) {
                    database.flush().unwrap();
                }
            }
        });
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _stop = Stop(&done);
        for backup in 0..backups {
            let story = format!("backup {backup}");
            std::thread::sleep(std::time::Duration::from_millis(60));
            let (to, restored) = (folder.path().join("backup"), folder.path().join("restored"));
            let before = database.snapshot();
            let accepted = before.sequence() + before.lag();
            database.backup(&to).unwrap();
            Database::verify_backup(&to).unwrap_or_else(|error| panic!("{story}: {error}"));
            Database::restore_backup(&to, &restored).unwrap();
            std::fs::remove_dir_all(&to).unwrap();
            let copy = Database::open(&restored).unwrap_or_else(|error| panic!("{story}: {error}"));
            let sequence = copy.apply_pending().unwrap().sequence();
            assert!(sequence >= accepted, "{story}: {accepted} was acknowledged before it and {sequence} is in it");
            let model = history.lock().unwrap()[&sequence].clone();
            sound(&copy, &model, &story);
            // It is a separate database.
            copy.write(images("more", 3, DIMENSION, 3, 3, 1)).unwrap();
            drop(copy);
            std::fs::remove_dir_all(&restored).unwrap();
        }
    });
    let last = history.lock().unwrap().last_key_value().map(|(&sequence, _)| sequence);
    println!("{backups} backups beside {last:?} transactions");
}

/// A pipe among the files makes the backup wait, as a slow disk would, when it reads back what it copied.
#[test]
fn segments_are_made_and_merged_while_a_backup_reads_what_it_copied() {
    let folder = tempfile::tempdir().unwrap();
    let database = create(&folder.path().join("db"), DIMENSION);
    for number in 0..2 {
        database.write(images("row", 50, DIMENSION, 5, 5, number)).unwrap();
        database.flush().unwrap();
    }
    let (pipe, to) = (folder.path().join("pipe"), folder.path().join("backup"));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let waits = to.join("segments/pipe");
    let is_free = std::thread::scope(|scope| {
        let backup = scope.spawn(|| database.backup(&to).unwrap());
        // Before the files are listed: the catalog is copied behind this.
        while std::fs::rename(&pipe, &waits).is_err() {
            assert!(!backup.is_finished(), "the pipe came too late");
        }
        let busy = scope.spawn(|| {
            database.write(images("more", 50, DIMENSION, 5, 5, 7)).unwrap();
            database.flush().unwrap();
            database.compact().unwrap();
        });
        let is_free = (0..1000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            busy.is_finished()
        });
        assert!(!backup.is_finished(), "the backup did not wait");
        // Whoever reads the pipe finds its end.
        drop(std::fs::OpenOptions::new().write(true).open(&waits).unwrap());
        is_free
    });
    assert!(is_free, "making and merging waited for the backup's reading");
    std::fs::remove_file(&waits).unwrap();
    std::fs::write(&waits, []).unwrap();
    Database::verify_backup(&to).unwrap();
    std::fs::remove_file(&waits).unwrap();
    // Whether the third write is in it hangs on when the catalog was copied.
    let copy = Database::open_read_only(&to).unwrap();
    assert!((2..=3).contains(&copy.snapshot().sequence()) && healthy(&copy));
    assert_eq!(copy.check(true).unwrap().problems, Vec::<String>::new());
}

/// A small backup with segments and tables; RocksDB moves the log into tables when it is copied.
fn small(folder: &Path) -> (std::path::PathBuf, Vec<String>) {
    let database = create(&folder.join("db"), DIMENSION);
    database.write(images("a", 60, DIMENSION, 5, 4, 1)).unwrap();
    database.flush().unwrap();
    drop(database);
    let database = Database::open(folder.join("db")).unwrap();
    database.write(images("b", 30, DIMENSION, 5, 4, 2)).unwrap();
    let backup = folder.join("backup");
    database.backup(&backup).unwrap();
    (backup, digest(&database.snapshot()))
}

/// What lies in the database's own folder is the database's: the next opening would remove a backup there, or back it up again.
#[test]
fn a_backup_inside_the_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let database = create(&path, DIMENSION);
    database.write(images("a", 60, DIMENSION, 5, 4, 1)).unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let before = files(&path);
    for inside in ["backup", "segments/backup", "new/backup", "../db/backup", "../link/backup", "new/../backup", "."] {
        let error = database.backup(path.join(inside)).err().unwrap_or_else(|| panic!("{inside}: it is taken"));
        assert!([ErrorKind::Invalid, ErrorKind::AlreadyExists].contains(&error.kind()), "{inside}: {error}");
        assert!(inside == "." || error.message().contains("inside the database"), "{inside}: {error}");
    }
    assert_eq!(database.backup(link.join("backup")).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(files(&path), before);
    // Beside it, by whatever way.
    for beside in ["db-backup", "db/../beside", "new/folder"] {
        let beside = folder.path().join(beside);
        database.backup(&beside).unwrap();
        Database::verify_backup(&beside).unwrap();
    }
}

fn refused(backup: &Path, story: &str) {
    let error = Database::verify_backup(backup).err().unwrap_or_else(|| panic!("{story}: it verifies"));
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{story}: {error}");
    let nowhere = backup.with_extension("nowhere");
    let error = Database::restore_backup(backup, &nowhere).err().unwrap_or_else(|| panic!("{story}: it is restored"));
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{story}: {error}");
    assert!(!nowhere.join("catalog").exists(), "{story}: some of it was restored");
    let _empty = std::fs::remove_dir(nowhere);
}

#[test]
fn a_flipped_byte_in_any_file_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (backup, wanted) = small(folder.path());
    let mut random = Random::new(4);
    let copy = folder.path().join("copy");
    copy_folder(&backup, &copy);
    let all = ["catalog", "segments", ""].iter().flat_map(|part| files(&copy.join(part))).filter(|path| path.is_file());
    let mut cases = 0;
    for file in all.collect::<Vec<_>>() {
        let sound = std::fs::read(&file).unwrap();
        for case in 0..many(4, 200) {
            let story = format!("{}, case {case}", file.display());
            let mut bytes = sound.clone();
            match case {
                0 if !sound.is_empty() => {
                    let at = random.below(bytes.len());
                    bytes.remove(at);
                }
                1 => bytes.push(0),
                _ if sound.is_empty() => continue,
                _ => {
                    let at = random.below(bytes.len());
                    bytes[at] ^= 1 << random.below(8);
                }
            }
            if file.file_name().unwrap() == "BACKUP"
                && String::from_utf8_lossy(&bytes).trim_end() == String::from_utf8_lossy(&sound).trim_end()
            {
                // Line ends behind the list's end say nothing.
                continue;
            }
            std::fs::write(&file, bytes).unwrap();
            refused(&copy, &story);
            cases += 1;
        }
        std::fs::remove_file(&file).unwrap();
        if file.file_name().unwrap() != "BACKUP" {
            refused(&copy, &format!("{} is gone", file.display()));
        } else {
            assert_eq!(Database::verify_backup(&copy).err().unwrap().kind(), ErrorKind::NotFound);
        }
        std::fs::write(&file, sound).unwrap();
    }
    println!("{cases} changed bytes");
    let restored = folder.path().join("restored");
    Database::restore_backup(&copy, &restored).unwrap();
    assert!(digest(&Database::open(&restored).unwrap().snapshot()) == wanted);
}

#[test]
fn hostile_names_are_refused() {
    const HOSTILE: [&str; 22] = [
        "../catalog/CURRENT",
        "../../etc/passwd",
        "/etc/passwd",
        "catalog/../../x",
        "catalog/..",
        "catalog/.",
        "catalog/",
        "",
        "catalog//CURRENT",
        "./catalog/CURRENT",
        "catalog/a\0b",
        "catalog\\CURRENT",
        "C:\\CURRENT",
        "catalog/.hidden",
        "catalog/sub/CURRENT",
        "segments/../catalog/CURRENT",
        "other/CURRENT",
        "BACKUP",
        "LOCK",
        "catalog/CURRENT ",
        "catalog/ü",
        "catalog/%2e%2e",
    ];
    let folder = tempfile::tempdir().unwrap();
    let (backup, _) = small(folder.path());
    let list = backup.join("BACKUP");
    let text = std::fs::read_to_string(&list).unwrap();
    let (body, _) = text.trim_end().rsplit_once('\n').unwrap();
    let line = body.lines().find(|line| line.ends_with("catalog/CURRENT")).unwrap();
    let signed = |body: String| format!("{body}end {:08x}\n", crc32fast::hash(body.as_bytes()));
    // The list is made again as the engine makes it: with the right name it verifies, so below only the name is at fault.
    assert_eq!(signed(format!("{body}\n")), text);
    for name in HOSTILE {
        let hostile = line.replace("catalog/CURRENT", name);
        // In place of the sound line, and beside all of them.
        for body in [body.replace(line, &hostile), format!("{body}\n{hostile}")] {
            std::fs::write(&list, signed(format!("{body}\n"))).unwrap();
            refused(&backup, &format!("{name:?}"));
        }
    }
    std::fs::write(&list, text).unwrap();
    Database::verify_backup(&backup).unwrap();
}

/// It catches: a number that leaves out deferred writes, or is the one of another moment; one that only some of the calls say.
#[test]
fn a_copy_says_which_write_it_ends_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let database = create(&path, DIMENSION);
    database.set_deferral(Deferral::Always);
    let mut last = 0;
    for at in 0..5 {
        last = database.write([put(format!("{at}"), None, &[1.0; DIMENSION])]).unwrap().sequence;
    }
    let backup = folder.path().join("backup");
    let made = database.backup(&backup).unwrap();
    assert_eq!(made.sequence, Some(last));
    assert!(made.to_string().ends_with(&format!(" MB, sequence {last}")), "{made}");
    database.write([put("later", None, &[1.0; DIMENSION])]).unwrap();
    database.close().unwrap();
    assert_eq!(Database::verify_backup(&backup).unwrap(), made);
    let restored = folder.path().join("restored");
    assert_eq!(Database::restore_backup(&backup, &restored).unwrap(), made);
    assert_eq!(Database::open(&restored).unwrap().apply_pending().unwrap().sequence(), last);
    let reader = Database::open_read_only(&path).unwrap();
    let of_reader = reader.backup(folder.path().join("of a reader")).unwrap();
    assert_eq!(of_reader.sequence, Some(last + 1));
}
