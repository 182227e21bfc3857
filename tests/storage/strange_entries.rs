//! R23: every entry of a database's folder replaced by something else: a link to a file, to a folder, to nothing, a folder, a
//! pipe, a device, another name of a foreign file. Then everything that opens a folder is done with it.
//!
//! Nothing outside the folder changes, nothing blocks, and each unusable entry is named. A name that is not Cairn's is left
//! alone, and nothing is refused because of it.
//!
//! It catches: a file opened, written, truncated or removed by a call that follows links; a pipe that is opened before it is
//! checked; an entry of RocksDB's that nobody checked; a name of somebody else that is removed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cairn::Database;
use cairndb_storage_tests::{DIMENSION, Guarded, copy_folder, create, images, load, many};

/// Far longer than a visit takes on the slowest machine; a visit that hangs fails after it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What an entry is made.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Made {
    LinkToFile,
    LinkToFolder,
    LinkToNothing,
    Folder,
    Pipe,
    Device,
    /// Another name of a file outside with the same content.
    HardLink,
}

/// A database, a backup of it, and a tree beside them that nobody may touch.
struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A database with everything in its folder that there ever is.
    fn new() -> Self {
        let scene = Self { folder: tempfile::tempdir().unwrap() };
        let database = create(&scene.path("sound"), DIMENSION);
        database.write(images("i", 60, DIMENSION, 5, 3, 1)).unwrap();
        database.flush().unwrap();
        database.write(images("j", 20, DIMENSION, 5, 3, 2)).unwrap();
        database.training_folder().unwrap();
        database.backup(scene.path("backup")).unwrap();
        drop(database);
        std::fs::create_dir(scene.path("outside")).unwrap();
        std::fs::write(scene.path("outside/file"), "theirs").unwrap();
        for name in ["0000000001.segment", "0000000001.tmp", "000009.sst", "000010.log", "CURRENT", "notes.txt"] {
            std::fs::create_dir_all(scene.path("outside/folder")).unwrap();
            std::fs::write(scene.path("outside/folder").join(name), format!("theirs {name}")).unwrap();
        }
        scene
    }

    /// A copy of the database in which this entry is something else; no: it cannot be made here.
    fn with(&self, entry: &str, made: Made) -> bool {
        let (path, outside) = (self.path("db"), self.path("outside"));
        let _absent = std::fs::remove_dir_all(&path);
        copy_folder(&self.path("sound"), &path);
        let target = path.join(entry);
        let there = std::fs::read(&target).unwrap_or_else(|_| b"theirs".to_vec());
        if target.is_dir() {
            std::fs::remove_dir_all(&target).unwrap();
        } else {
            let _absent = std::fs::remove_file(&target);
        }
        let program = |name: &str, words: &[&str]| {
            let status = Command::new(name).arg(&target).args(words).stderr(Stdio::null()).status();
            status.is_ok_and(|status| status.success())
        };
        match made {
            Made::LinkToFile => symlink(outside.join("file"), &target).is_ok(),
            Made::LinkToFolder => symlink(outside.join("folder"), &target).is_ok(),
            Made::LinkToNothing => symlink(outside.join("new"), &target).is_ok(),
            Made::Folder => {
                std::fs::create_dir(&target).unwrap();
                std::fs::write(target.join("notes.txt"), "theirs").is_ok()
            }
            Made::Pipe => program("mkfifo", &[]),
            // The device that is always full: writing to it fails, and has no effect.
            Made::Device => program("mknod", &["c", "1", "7"]),
            Made::HardLink => {
                let foreign = outside.join("foreign");
                let _absent = std::fs::remove_file(&foreign);
                std::fs::write(&foreign, there).unwrap();
                std::fs::hard_link(&foreign, &target).is_ok()
            }
        }
    }

    /// Everything outside the database's folder: names, kinds, contents.
    fn outside(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        for part in ["outside", "sound", "backup"] {
            digest(&self.path(part), &mut found);
        }
        found
    }

    /// Does everything with the folder; what it said.
    fn visit(&self, story: &str) -> Vec<String> {
        let new = self.path("new");
        let _absent = std::fs::remove_dir_all(&new);
        std::fs::create_dir(&new).unwrap();
        let out = self.path("said");
        let mut visit = load();
        visit.arg("visit").arg(self.path("db")).arg(self.path("backup")).arg(&new);
        visit.stdout(std::fs::File::create(&out).unwrap());
        let mut child = Guarded(visit.spawn().unwrap());
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = child.0.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "{story}: it hangs behind {}", std::fs::read_to_string(&out).unwrap());
            std::thread::sleep(Duration::from_millis(2));
        };
        let said: Vec<String> = std::fs::read_to_string(&out).unwrap().lines().map(str::to_owned).collect();
        assert!(status.success() && said.last().is_some_and(|last| last == "done"), "{story}: {status}, {said:#?}");
        said
    }
}

fn digest(path: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.insert(entry.path(), Vec::new());
            digest(&entry.path(), found);
        } else if kind.is_file() {
            found.insert(entry.path(), std::fs::read(entry.path()).unwrap());
        } else {
            found.insert(entry.path(), format!("{} {}", kind.is_symlink(), kind.is_fifo()).into_bytes());
        }
    }
}

/// The entries of the database, those that come and go, and those that RocksDB will make next.
fn entries(scene: &Scene) -> Vec<String> {
    let sound = scene.path("sound");
    let mut found = BTreeMap::new();
    digest(&sound, &mut found);
    let mut names: Vec<String> =
        found.into_keys().map(|path| path.strip_prefix(&sound).unwrap().to_str().unwrap().to_owned()).collect();
    if many(0, 1) == 0 {
        // Of many tables and of what RocksDB tells of itself, the first ones.
        let mut tables = 0;
        names.retain(|name| {
            tables += usize::from(name.ends_with(".sst"));
            !name.ends_with(".sst") || tables <= 2
        });
    }
    for name in [
        "columns.tmp",
        "acknowledged.tmp",
        "catalog.filled",
        "catalog.filling",
        "catalog.clone",
        "catalog/000099.dbtmp",
        "catalog/CURRENT.dbtmp",
        "catalog/MANIFEST-000099",
        "catalog/000099.sst",
        "catalog/000099.log",
        "catalog/LOG.old.1",
        "catalog/archive",
        "segments/0000000099.segment",
        "segments/0000000002.tmp",
        "training/log.csv",
        "training/checkpoint-0123456789abcdef",
        "training/checkpoint-0123456789abcdef.tmp",
    ] {
        names.push(name.to_owned());
    }
    names.sort();
    names.dedup();
    names
}

#[test]
fn what_is_no_plain_file_or_folder_is_named_and_nothing_outside_changes() {
    let scene = Scene::new();
    let before = scene.outside();
    let kinds = [Made::LinkToFile, Made::LinkToFolder, Made::LinkToNothing, Made::Folder, Made::Pipe, Made::Device];
    let (mut refused, mut skipped) = (0, 0);
    for entry in entries(&scene) {
        for made in kinds {
            let is_folder = scene.path("sound").join(&entry).is_dir()
                || entry.starts_with("catalog.")
                || entry == "catalog/archive";
            // A folder with a segment's name belongs to nobody and is left alone: `files_lost.rs`.
            if made == Made::Folder && (is_folder || entry.starts_with("segments/")) {
                continue;
            }
            let story = format!("{entry} is made {made:?}");
            if !scene.with(&entry, made) {
                skipped += 1;
                continue;
            }
            let said = scene.visit(&story);
            assert!(scene.outside() == before, "{story}: what is outside changed: {said:#?}");
            for what in ["read", "open", "repair", "reopen"] {
                let line = said.iter().find(|line| line.split([' ', ':']).any(|word| word == what)).unwrap();
                let is_named =
                    line.starts_with(&format!("error {what} Invalid")) && line.contains(&format!("db/{entry} is a"));
                assert!(is_named, "{story}: {line}");
            }
            for line in said.iter().filter(|line| line.contains(" create ") || line.contains(" restore ")) {
                assert!(line.contains("AlreadyExists"), "{story}: {line}");
            }
            refused += 1;
        }
    }
    println!("{refused} entries refused by name; {skipped} could not be made here (devices take root)");
    assert!(refused > 100);
}

#[test]
fn a_foreign_file_with_a_name_of_ours_is_not_written() {
    let scene = Scene::new();
    let before = scene.outside();
    let mut count = 0;
    for entry in entries(&scene) {
        if scene.path("sound").join(&entry).is_dir() || entry.starts_with("catalog.") || entry == "catalog/archive" {
            continue;
        }
        let story = format!("{entry} is another name of a foreign file");
        assert!(scene.with(&entry, Made::HardLink), "{story}");
        let foreign = std::fs::read(scene.path("outside/foreign")).unwrap();
        let said = scene.visit(&story);
        assert!(std::fs::read(scene.path("outside/foreign")).unwrap() == foreign, "{story}: it was written: {said:#?}");
        std::fs::remove_file(scene.path("outside/foreign")).unwrap();
        assert!(scene.outside() == before, "{story}: what is outside changed");
        count += 1;
    }
    println!("{count} entries with another name outside");
}

#[test]
fn names_of_others_are_left_alone() {
    let scene = Scene::new();
    let mut all = Vec::new();
    for folder in ["", "catalog/", "segments/", "training/"] {
        for name in ["notes.txt", "0000000001.jpg", "1.segment", "photo.tmp", "my.sst"] {
            all.push(format!("{folder}{name}"));
        }
    }
    for made in [Made::LinkToFile, Made::LinkToFolder, Made::LinkToNothing, Made::Folder, Made::Pipe] {
        let before = scene.outside();
        scene.with(&all[0], made);
        for name in &all[1..] {
            symlink(scene.path("outside/file"), scene.path("db").join(name)).unwrap();
        }
        let story = format!("{} is made {made:?}", all[0]);
        let said = scene.visit(&story);
        for what in ["read: 80 images, problems []", "open: 80 images, problems []", "reopen: 82 images, problems []"] {
            assert!(said.iter().any(|line| line == what), "{story}: {said:#?}");
        }
        for name in &all {
            assert!(scene.path("db").join(name).symlink_metadata().is_ok(), "{story}: {name} was removed");
        }
        assert!(scene.outside() == before, "{story}: what is outside changed: {said:#?}");
    }
}

/// It catches: names that are written before the folder has proved to be a database.
#[test]
fn a_folder_that_is_no_database_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("theirs");
    for (name, text) in [
        ("LOCK", "theirs"),
        ("reserve", "theirs"),
        ("columns", "theirs"),
        ("segments/0000000001.segment", "theirs"),
        ("segments/photo.jpg", "theirs"),
        ("catalog/CURRENT", "MANIFEST-000001\n"),
        ("catalog/000004.log", "theirs"),
        ("catalog/IDENTITY", "theirs"),
    ] {
        std::fs::create_dir_all(path.join(name).parent().unwrap()).unwrap();
        std::fs::write(path.join(name), text).unwrap();
    }
    let mut before = BTreeMap::new();
    digest(&path, &mut before);
    for refused in [Database::open(&path).err(), Database::open_read_only(&path).err(), Database::repair(&path).err()] {
        assert!(refused.is_some());
        let mut after = BTreeMap::new();
        digest(&path, &mut after);
        assert_eq!(after, before);
    }
}
