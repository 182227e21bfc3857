//! R25, the half of kills: a creation, a restore, a backup, a cleaning and a COMPACT that die at every named point. Their remains
//! are recognised, the same command starts over or resumes and ends as if nothing had happened, and the data that they read keeps
//! its answers. Not here: TRAIN, whose state is a separate file, which `tests/maintenance_kills.rs` kills, and model changes,
//! which `fault_points.rs` kills at every point.
//!
//! It catches: a catalog that has its name before it is complete, a backup's list that is read before it is complete, remains of
//! the first attempt that spoil the second, a lock that a dead process holds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use cairn::{Database, ErrorKind};
use cairndb_storage_tests::{DIMENSION, copy_folder, create, digest, healthy, images, load, many, tree};

/// What the commands work on: a closed database with several segments and a tail, a backup of it, and what both say.
struct Stock {
    _folder: tempfile::TempDir,
    database: PathBuf,
    backup: PathBuf,
    says: Vec<String>,
    /// The same after the cleaning.
    cleaned: Vec<String>,
}

impl Stock {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (database, backup) = (folder.path().join("stock"), folder.path().join("bk"));
        let open = create(&database, DIMENSION);
        for number in 0..3 {
            open.write(images(&format!("{number}-"), 40, DIMENSION, 5, 2, number)).unwrap();
            open.flush().unwrap();
        }
        open.write(images("tail", 10, DIMENSION, 5, 2, 9)).unwrap();
        open.backup(&backup).unwrap();
        let says = digest(&open.snapshot());
        drop(open);
        let copy = folder.path().join("cleaned");
        copy_folder(&database, &copy);
        assert!(load().arg("clean").arg(&copy).status().unwrap().success());
        let cleaned = digest(&Database::open_read_only(&copy).unwrap().snapshot());
        assert!(cleaned != says, "the cleaning does something");
        Self { _folder: folder, database, backup, says, cleaned }
    }
}

/// The folder of one scene, and the words of its command.
fn stage(stock: &Stock, word: &str) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let new = folder.path().join("new");
    let words = match word {
        "create" => vec![new],
        "restore" => vec![stock.backup.clone(), new],
        "backup" => {
            let from = folder.path().join("db");
            copy_folder(&stock.database, &from);
            vec![from, new]
        }
        _ => {
            copy_folder(&stock.database, &new);
            vec![new]
        }
    };
    (folder, words)
}

/// Runs a command; `true`: it was killed.
fn run(word: &str, words: &[PathBuf], fault: Option<(&str, u64)>, log: Option<&Path>, story: &str) -> bool {
    let mut command = load();
    if let Some((name, count)) = fault {
        command.env("CAIRN_FAULT", format!("{name}:{count}:kill"));
    }
    if let Some(log) = log {
        command.env("CAIRN_FAULT_LOG", log);
    }
    let output = command.arg(word).args(words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let died = output.status.signal() == Some(9);
    assert!(
        died || output.status.success() && said.contains("done"),
        "{story}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    died
}

/// The points that a command passes, and how often.
fn points(stock: &Stock, word: &str) -> BTreeMap<String, u64> {
    let (folder, words) = stage(stock, word);
    let log = folder.path().join("log");
    assert!(!run(word, &words, None, Some(&log), word));
    let mut points = BTreeMap::new();
    for name in std::fs::read_to_string(log).unwrap().lines() {
        *points.entry(name.to_owned()).or_default() += 1;
    }
    points
}

fn same(folder: &Path, wanted: &[String], story: &str) {
    let database = Database::open(folder).unwrap_or_else(|error| panic!("{story}: {error}"));
    assert!(digest(&database.apply_pending().unwrap()) == wanted, "{story}: it says something else");
    assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new(), "{story}");
}

/// What a command left that makes a folder: whole, or nothing, or known as unfinished by everything that looks at it.
fn is_finished(new: &Path, word: &str, story: &str) -> bool {
    let looks = [
        ("open", Database::open(new).err()),
        ("open_read_only", Database::open_read_only(new).err()),
        ("repair", Database::repair(new).err()),
        ("verify", if word == "backup" { Database::verify_backup(new).err() } else { None }),
    ];
    if new.join("catalog").exists() {
        assert!(looks[1].1.is_none(), "{story}: {:?}", looks[1].1);
        assert!(word != "backup" || looks[3].1.is_none(), "{story}: {:?}", looks[3].1);
        return true;
    }
    for (look, error) in looks {
        let Some(error) = error else {
            assert_eq!(look, "verify", "{story}: {look}");
            continue;
        };
        assert!([ErrorKind::Unfinished, ErrorKind::NotFound].contains(&error.kind()), "{story}, {look}: {error}");
        if error.kind() == ErrorKind::Unfinished {
            let said = error.to_string();
            assert!(said.contains(&new.display().to_string()) && said.contains("again"), "{story}, {look}: {said}");
            assert!(!said.contains("repair"), "{story}, {look}: {said}");
        }
    }
    false
}

fn check(stock: &Stock, word: &str, words: &[PathBuf], story: &str) {
    let new = words.last().unwrap();
    match word {
        "create" | "restore" | "backup" => {
            let source = (words.len() > 1).then(|| words[0].as_path());
            let before = source.map(tree);
            if !is_finished(new, word, story) {
                assert!(!run(word, words, None, None, story));
            }
            assert_eq!(source.map(tree), before, "{story}: the source was changed");
            match word {
                "create" => assert!(healthy(&Database::open(new).unwrap()), "{story}"),
                "restore" => same(new, &stock.says, story),
                _ => {
                    Database::verify_backup(new).unwrap_or_else(|error| panic!("{story}: {error}"));
                    let restored = new.with_extension("restored");
                    Database::restore_backup(new, &restored).unwrap();
                    same(&restored, &stock.says, story);
                    same(&words[0], &stock.says, story);
                }
            }
            assert!(!new.join("catalog.unfinished").exists(), "{story}");
        }
        "clean" => {
            let found = digest(&Database::open_read_only(new).unwrap().snapshot());
            assert!(found == stock.says || found == stock.cleaned, "{story}: it is half cleaned");
            if found == stock.says {
                assert!(!run(word, words, None, None, story));
            }
            same(new, &stock.cleaned, story);
        }
        _ => {
            same(new, &stock.says, story);
            assert!(!run(word, words, None, None, story));
            same(new, &stock.says, story);
            assert!(Database::open_read_only(new).unwrap().segments().len() <= 2, "{story}");
        }
    }
}

#[test]
fn what_is_cut_short_is_known_and_starts_over() {
    let stock = Stock::new();
    let mut scenes = 0;
    for word in ["create", "restore", "backup", "clean", "compact"] {
        let points = points(&stock, word);
        println!("{word} passes {} points: {points:?}", points.len());
        assert!(points.len() >= 5, "{word}: {points:?}");
        for (name, passed) in points {
            let mut counts: Vec<u64> =
                if many(0, 1) == 1 { (1..=passed.min(20)).collect() } else { vec![passed.div_ceil(2)] };
            counts.push(1);
            for count in counts {
                let story = format!("{word} killed at {name}:{count}");
                let (_folder, words) = stage(&stock, word);
                // The worker's work comes at its own times, so a late passage may not come again: then the first one.
                let died = run(word, &words, Some((&name, count)), None, &story);
                check(&stock, word, &words, &story);
                scenes += 1;
                if died && many(0, 1) == 0 {
                    break;
                }
            }
        }
        assert!(digest(&Database::open_read_only(&stock.database).unwrap().snapshot()) == stock.says);
        Database::verify_backup(&stock.backup).unwrap();
    }
    println!("{scenes} scenes");
}
