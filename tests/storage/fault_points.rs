//! R2: death at every named point of the engine. R4: EIO and ENOSPC at every one, and files that may not grow.
//!
//! It catches: a segment named before it is synced and renamed (`segment.*`), old segments unlinked before the batch that forgets
//! them (`merged.remove`), an acknowledgement before the commit (`commit.*`), writes that continue after a failed commit
//! (`commit.after`), a failed commit that is not reported, a model change that counts as failed when its commit is done
//! (`space.remove`) or as undone when it is uncertain (`commit.after`), a half-written list that makes a backup (`backup.*`), an
//! interrupted creation, backup or restore that counts as complete or cannot be started over (`making.*`, `*.finish`), a repair
//! that cannot be repeated (`repair.remove`), a new folder whose name is not synced (`*.folder.sync_folder`,
//! `create.sync_folder`, `backup.segments.sync_folder`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use cairn::{Database, ErrorKind};
use cairndb_storage_tests::epochs::{self, Turns, counted, is_mirrored, model_after, under};
use cairndb_storage_tests::{
    DIMENSION, Guarded, Random, Said, Stream, create, healthy, load, many, no_leftovers, said, sound, survives,
};

/// Transactions of a scene: enough for every kind of work, twice.
const TRANSACTIONS: u64 = 40;

/// A folder for one scene.
struct Stage {
    _folder: tempfile::TempDir,
    path: PathBuf,
    words: PathBuf,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (path, words) = (folder.path().join("db"), folder.path().join("words"));
        Self { _folder: folder, path, words }
    }

    /// Plays a scene to its end, whatever that is.
    fn play(&self, mut command: Command, seed: u64, story: &str) -> (ExitStatus, Said) {
        command.arg("scene").arg(&self.path).args([seed.to_string(), TRANSACTIONS.to_string()]);
        self.run(command, story)
    }

    /// Runs to the end, whatever that is; more than two minutes is a hang.
    fn run(&self, mut command: Command, story: &str) -> (ExitStatus, Said) {
        let out = std::fs::File::create(&self.words).unwrap();
        let errors = std::fs::File::create(self.words.with_extension("errors")).unwrap();
        let mut child = Guarded(command.stdout(out).stderr(errors).spawn().unwrap());
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = child.0.try_wait().unwrap() {
                break status;
            }
            assert!(begin.elapsed() < Duration::from_secs(120), "{story}: it hangs");
            std::thread::sleep(Duration::from_millis(2));
        };
        (status, said(&self.words, 0))
    }

    fn errors(&self) -> String {
        std::fs::read_to_string(self.words.with_extension("errors")).unwrap()
    }
}

/// Every point that an undisturbed scene passes, and how often.
fn points(seed: u64) -> BTreeMap<String, u64> {
    let stage = Stage::new();
    let log = stage.words.with_extension("log");
    let mut command = load();
    command.env("CAIRN_FAULT_LOG", &log);
    let (status, said) = stage.play(command, seed, "undisturbed");
    assert!(status.success(), "{}", stage.errors());
    assert_eq!(said.acknowledged, TRANSACTIONS);
    let mut points = BTreeMap::new();
    for name in std::fs::read_to_string(log).unwrap().lines() {
        *points.entry(name.to_owned()).or_default() += 1;
    }
    points
}

/// The points that a scene passes; a change of models passes more. Those of `write_whole` and `remove` carry the name of what is
/// written.
const NAMED: [&str; 80] = [
    "acknowledged.create",
    "acknowledged.rename",
    "acknowledged.renamed",
    "acknowledged.sync",
    "acknowledged.sync_folder",
    "acknowledged.write",
    "acknowledged.written",
    "backup.catalog",
    "backup.create",
    "backup.finish",
    "backup.finished",
    "backup.folder.sync_folder",
    "backup.list",
    "backup.made.sync_folder",
    "backup.rename",
    "backup.renamed",
    "backup.segments.sync_folder",
    "backup.sync",
    "backup.sync_folder",
    "backup.write",
    "backup.written",
    "columns.create",
    "columns.rename",
    "columns.renamed",
    "columns.sync",
    "columns.sync_folder",
    "columns.write",
    "columns.written",
    "commit.after",
    "commit.before",
    "compact.catalog",
    "create.finish",
    "create.finished",
    "create.folder.sync_folder",
    "create.made.sync_folder",
    "create.sync_folder",
    "flush.made",
    "known.create",
    "known.rename",
    "known.renamed",
    "known.sync",
    "known.sync_folder",
    "known.write",
    "known.written",
    "making.clear",
    "making.cleared",
    "making.create",
    "making.rename",
    "making.renamed",
    "making.sync",
    "making.sync_folder",
    "making.write",
    "making.written",
    "merge.made",
    "merged.remove",
    "neighbours.create",
    "neighbours.rename",
    "neighbours.renamed",
    "neighbours.sync",
    "neighbours.sync_folder",
    "neighbours.write",
    "neighbours.written",
    "orphan.remove",
    "repair.remove",
    "restore.copy",
    "restore.finish",
    "restore.finished",
    "restore.folder.sync_folder",
    "restore.made.sync_folder",
    "restore.segments.sync_folder",
    "restore.sync_folder",
    "segment.create",
    "segment.open",
    "segment.rename",
    "segment.renamed",
    "segment.sync",
    "segment.sync_folder",
    "segment.write",
    "segment.written",
    "segments.folder.sync_folder",
];

fn armed(name: &str, count: u64, action: &str) -> Command {
    let mut command = load();
    command.env("CAIRN_FAULT", format!("{name}:{count}:{action}"));
    command
}

#[test]
fn a_scene_passes_every_point() {
    let points = points(1);
    println!("{} points: {points:?}", points.len());
    let missed: Vec<&&str> = NAMED.iter().filter(|&&name| !points.contains_key(name)).collect();
    assert!(missed.is_empty(), "no scene passes {missed:?}");
    let new: Vec<&String> = points.keys().filter(|name| !NAMED.contains(&name.as_str())).collect();
    assert!(new.is_empty(), "the list of points does not have {new:?}");
}

#[test]
fn death_at_every_point() {
    let mut runs = 0;
    for seed in 0..many(2, 20) as u64 {
        let points = points(seed);
        let mut random = Random::new(seed);
        for (name, passed) in points {
            // The worker's work comes at its own times, so a late passage may not come again: then the first one.
            for count in [1 + random.below(passed as usize) as u64, 1] {
                let story = format!("seed {seed}, killed at {name}:{count}");
                let stage = Stage::new();
                let (status, said) = stage.play(armed(&name, count, "kill"), seed, &story);
                let died = status.signal() == Some(9);
                assert!(died || status.success(), "{story}: {}", stage.errors());
                check_what_is_left(&stage.path, seed, &said, &story);
                runs += 1;
                if died {
                    break;
                }
                assert_ne!(count, 1, "{story}: it was never passed");
            }
        }
    }
    println!("{runs} scenes");
}

fn check_what_is_left(path: &Path, seed: u64, said: &Said, story: &str) {
    if said.tried == 0 && Database::open(path).is_err() {
        // Killed in its creation: nothing was promised yet, the error says so, and the same command starts over.
        let error = Database::open(path).err().unwrap();
        assert!([ErrorKind::Unfinished, ErrorKind::NotFound].contains(&error.kind()), "{story}: {error}");
        create(path, DIMENSION);
        assert!(healthy(&Database::open(path).unwrap()), "{story}");
        return;
    }
    survives(path, &mut Stream::new(seed), said, story);
    let (backup, restored) = (path.with_extension("backup"), path.with_extension("restored"));
    if restored.join("catalog.unfinished").exists() {
        let error = Database::open(&restored).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unfinished, "{story}: {error}");
        Database::restore_backup(&backup, &restored).unwrap_or_else(|error| panic!("{story}: {error}"));
        let restored = Database::open(&restored).unwrap_or_else(|error| panic!("{story}: {error}"));
        assert_eq!(restored.check(true).unwrap().problems, Vec::<String>::new(), "{story}");
    } else if restored.join("catalog").exists() {
        // Repairing it was cut short: that is done again from the start. What was restored is whole.
        let last = said.lines.iter().rfind(|line| ["copying", "restored"].contains(&line.as_str()));
        let is_restored = last.is_some_and(|line| line == "restored");
        if is_restored && backup.join("BACKUP").exists() {
            Database::repair(&restored).unwrap_or_else(|error| panic!("{story}: {error}"));
        }
        match Database::open(&restored) {
            Ok(database) => {
                let report = database.check(true).unwrap();
                assert!(report.problems.is_empty(), "{story}, the restored one: {:?}", report.problems);
            }
            Err(error) => assert!(!is_restored, "{story}: the repaired copy cannot be opened: {error}"),
        }
    }
}

/// Points behind which nobody waits for the outcome: saving columns, neighbours and the note of known files is only speed, the side file is written again, and a segment that
/// the worker could not make is made later. An opening that met a full disk is tried again with the space that was set aside.
fn may_be_silent(name: &str, action: &str) -> bool {
    let again = ["columns.", "neighbours.", "known.", "acknowledged.", "segment.", "merge"]
        .iter()
        .any(|part| name.starts_with(part));
    again || (action == "enospc" && name.starts_with("orphan."))
}

#[test]
fn a_failing_disk_at_every_point() {
    let (mut runs, mut told) = (0, 0);
    for seed in 0..many(1, 20) as u64 {
        for (name, passed) in points(100 + seed) {
            let mut random = Random::new(seed + passed);
            for action in ["eio", "enospc"] {
                for count in [1 + random.below(passed as usize) as u64, 1] {
                    let story = format!("seed {seed}, {action} at {name}:{count}");
                    let stage = Stage::new();
                    let (status, said) = stage.play(armed(&name, count, action), 100 + seed, &story);
                    assert!(status.success(), "{story}: {}{:?}", stage.errors(), said.lines);
                    assert_eq!(said.acknowledged, TRANSACTIONS, "{story}");
                    survives(&stage.path, &mut Stream::new(100 + seed), &said, &story);
                    runs += 1;
                    let trouble: Vec<&String> = said
                        .lines
                        .iter()
                        .filter(|line| line.starts_with("error") || line.starts_with("health"))
                        .collect();
                    let is_refused = said.lines.iter().any(|line| line.contains("an earlier write failed"));
                    let is_told = said.lines.iter().any(|line| line.starts_with("health accepts no more writes"));
                    assert!(is_told || !is_refused, "{story}: {:?}", said.lines);
                    if let Some(first) = trouble.first() {
                        told += 1;
                        let cause = if action == "eio" { "os error 5" } else { "os error 28" };
                        assert!(
                            trouble.iter().any(|line| line.contains(cause)) || first.contains("earlier write failed"),
                            "{story}: {trouble:?}"
                        );
                        break;
                    }
                    if may_be_silent(&name, action) {
                        break;
                    }
                    assert_ne!(count, 1, "{story}: no error was reported");
                }
            }
        }
    }
    println!("{runs} scenes, in {told} the failure was reported");
}

/// A database with a first model and a segment, in which the other model becomes active with a fault on the way.
fn change(fault: Option<(&str, u64, &str)>, seed: u64, story: &str) -> (Stage, Said, Option<i32>) {
    let stage = Stage::new();
    let database = Database::create(&stage.path, epochs::options()).unwrap();
    let mut turns = Turns::new(&database, seed);
    for _ in 0..30 {
        turns.write();
    }
    database.flush().unwrap();
    drop(database);
    let mut command = load();
    command.env("CAIRN_FAULT_LOG", stage.words.with_extension("log"));
    if let Some((name, count, action)) = fault {
        command.env("CAIRN_FAULT", format!("{name}:{count}:{action}"));
    }
    command.arg("flip").arg(&stage.path).arg(seed.to_string());
    let (status, said) = stage.run(command, story);
    assert!(status.success() || status.signal() == Some(9), "{story}: {status} {}", stage.errors());
    (stage, said, status.signal())
}

#[test]
fn a_change_of_models_with_a_fault_at_every_point() {
    let (stage, said, _) = change(None, 7, "undisturbed");
    assert!(said.lines.contains(&"flipped".to_owned()), "{:?}", said.lines);
    let mut points: BTreeMap<String, u64> = BTreeMap::new();
    for name in std::fs::read_to_string(stage.words.with_extension("log")).unwrap().lines() {
        *points.entry(name.to_owned()).or_default() += 1;
    }
    assert!(points.contains_key("space.remove"), "the flip has no segments to remove: {points:?}");
    let (mut runs, mut flips) = (0, 0);
    for (name, passed) in points {
        // Every commit, and of the others the first and the last.
        let counts: Vec<u64> = if name.starts_with("commit.") { (1..=passed).collect() } else { vec![1, passed] };
        for (count, action) in counts.iter().flat_map(|&count| ["kill", "eio"].map(|action| (count, action))) {
            let story = format!("{action} at {name}:{count} of a change of models");
            let (stage, said, _) = change(Some((&name, count, action)), 7, &story);
            let database = Database::open(&stage.path).unwrap_or_else(|error| panic!("{story}: {error}"));
            let stored = counted(&database);
            assert!(stored >= said.acknowledged, "{story}: {} was acknowledged, {stored} is stored", said.acknowledged);
            sound(&database, &under(&model_after(7, stored), is_mirrored(&database)), &story);
            no_leftovers(&database, &story);
            flips += usize::from(is_mirrored(&database));
            runs += 1;
        }
    }
    println!("{runs} scenes, {flips} ended under the other model");
    assert!(flips > 0 && flips < runs, "{flips} of {runs}");
}

/// The operating system itself refuses: files may not grow past a size (EFBIG), so RocksDB's own writes fail at places that have no
/// name. The load cannot go on; it must end with an error, without a hang, and lose nothing. The smallest size has room for the file of
/// options that RocksDB writes first, 6 KB a family.
#[test]
fn files_that_may_not_grow() {
    for (case, blocks) in (0..many(6, 60)).map(|case| (case, 210 + 23 * case % 400)) {
        let story = format!("files of at most {blocks} blocks");
        let seed = 300 + case as u64;
        let stage = Stage::new();
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\""]).arg(blocks.to_string());
        command.arg(load().get_program()).arg("load").arg(&stage.path).args([seed.to_string(), "1".to_owned()]);
        let (status, said) = stage.run(command, &story);
        println!("{story}: {status}, {} acknowledged", said.acknowledged);
        assert!(status.code().is_some_and(|code| code != 0), "{story}: {status}");
        assert!(said.acknowledged > 0, "{story}: {}", stage.errors());
        // Whose write met the limit: the load's own, or the worker's, behind which the load is refused.
        let errors = stage.errors();
        assert!(errors.contains("File too large") || errors.contains("an earlier write failed"), "{story}: {errors}");
        survives(&stage.path, &mut Stream::new(seed), &said, &story);
    }
}
