//! R22: a database is the folder that was opened, whatever is at its path. Processes have it open, and a person moves it, deletes
//! it, restores, creates or copies another one to its path, in any order.
//!
//! No acknowledged write is missing where it was acknowledged, no folder is damaged, and a process whose folder is no longer at
//! its path reports that and accepts no more writes. A program whose database is in its place never gets this error.
//!
//! It catches: a file opened by its path, a commit that is acknowledged without a check, a check only before the sync, a closing
//! that saves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Stdio};

use cairn::Database;
use cairndb_storage_tests::{DIMENSION, Guarded, Random, create, files, images, load, many, wait_until};

/// A process that has a database open and does what it is asked.
struct Program {
    child: Guarded,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// Number of its place.
    place: usize,
}

impl Program {
    /// Starts it on a path; what it said first.
    fn start(path: &Path, place: usize) -> (Self, String) {
        let mut child = load().arg("obey").arg(path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut program = Self { child: Guarded(child), input, output, place };
        let first = program.line();
        (program, first)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn ask(&mut self, what: &str) -> String {
        self.tell(what);
        self.line()
    }

    fn tell(&mut self, what: &str) {
        writeln!(self.input.as_mut().unwrap(), "{what}").unwrap();
    }

    /// Lets it close the database; its last word.
    fn close(&mut self) -> String {
        self.input = None;
        let last = self.line();
        assert!(self.child.0.wait().unwrap().success());
        last
    }
}

/// A folder that was made, wherever it lies now.
struct Place {
    /// `None`: it was deleted.
    path: Option<PathBuf>,
    /// What was acknowledged for it.
    keys: BTreeSet<String>,
}

/// One run of changes.
struct Schedule {
    folder: tempfile::TempDir,
    random: Random,
    places: Vec<Place>,
    programs: Vec<Program>,
    next: usize,
    story: Vec<String>,
}

fn keys_of(prefix: &str) -> Vec<String> {
    (0..2).map(|n| format!("{prefix}{n:06}")).collect()
}

impl Schedule {
    fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (path, backup) = (folder.path().join("A.db"), folder.path().join("A.bk"));
        let database = create(&path, DIMENSION);
        database.write(images("base-", 2, DIMENSION, 3, 2, 1)).unwrap();
        database.backup(&backup).unwrap();
        drop(database);
        let place = Place { path: Some(path), keys: keys_of("base-").into_iter().collect() };
        let random = Random::new(seed);
        Self { folder, random, places: vec![place], programs: Vec::new(), next: 0, story: vec![format!("seed {seed}")] }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("A.db")
    }

    /// Which place lies at the path.
    fn here(&self) -> Option<usize> {
        self.places.iter().position(|place| place.path.as_ref() == Some(&self.path()))
    }

    fn note(&mut self, what: String) {
        self.story.push(what);
    }

    fn told(&self) -> String {
        self.story.join("\n")
    }

    fn number(&mut self) -> usize {
        self.next += 1;
        self.next
    }

    fn begin(&mut self) {
        let place = self.here();
        let (program, first) = Program::start(&self.path(), place.unwrap_or(usize::MAX));
        let holder = self.programs.iter().find(|other| Some(other.place) == place).map(|other| other.child.0.id());
        self.note(format!("start in {place:?}: {first}"));
        match (place, holder) {
            (None, _) => assert!(first.starts_with("error open NotFound"), "{}", self.told()),
            (Some(_), Some(holder)) => {
                let locked = first.starts_with("error open Locked") && first.contains(&format!("process {holder}"));
                assert!(locked, "{}", self.told());
            }
            (Some(_), None) => {
                assert_eq!(first, "open", "{}", self.told());
                self.programs.push(program);
            }
        }
    }

    /// One of the programs writes, or does what writes something.
    fn write(&mut self) {
        if self.programs.is_empty() {
            return self.begin();
        }
        let at = self.random.below(self.programs.len());
        let what = ["put", "put", "put", "wait", "flush", "compact", "health"][self.random.below(7)];
        let prefix = format!("k{}-", self.number());
        let here = self.here();
        let program = &mut self.programs[at];
        let (place, answer) = (program.place, program.ask(&format!("{what} {prefix}")));
        self.note(format!("{what} {prefix} in {place}: {answer}"));
        let is_displaced = here != Some(place);
        match what {
            "put" | "wait" if !is_displaced => {
                assert!(answer.starts_with("ack "), "{}", self.told());
                self.places[place].keys.extend(keys_of(&prefix));
            }
            "put" | "wait" => assert!(answer.starts_with(&format!("error {what} Displaced")), "{}", self.told()),
            "health" => assert_eq!(answer != "ok", is_displaced, "{}", self.told()),
            _ => assert_eq!(answer != "done", is_displaced, "{}", self.told()),
        }
        if is_displaced {
            let where_it_is = match &self.places[place].path {
                Some(path) => format!("now {};", path.canonicalize().unwrap().display()),
                None => "which was deleted".to_owned(),
            };
            assert!(answer.contains(&where_it_is) && answer.contains("A.db"), "{}", self.told());
        }
    }

    /// A person moves or deletes what lies at the path and may put something else there. While `busy`, a program goes on writing.
    fn displace(&mut self) {
        let busy = self.here().and_then(|here| {
            let program = self.programs.iter().position(|program| program.place == here)?;
            (self.random.below(3) == 0).then_some(program)
        });
        let prefixes: Vec<String> = (0..20).map(|_| format!("b{}-", self.number())).collect();
        if let Some(program) = busy {
            prefixes.iter().for_each(|prefix| self.programs[program].tell(&format!("put {prefix}")));
        }
        if let Some(here) = self.here() {
            let number = self.number();
            let old = self.folder.path().join(format!("A.old{number}"));
            if self.random.below(3) == 0 {
                if std::fs::remove_dir_all(self.path()).is_err() {
                    // A program that has it open makes files while they are removed, until it notices.
                    std::fs::rename(self.path(), &old).unwrap();
                    wait_until("the end of the folder", || std::fs::remove_dir_all(&old).is_ok());
                }
                self.places[here].path = None;
            } else {
                std::fs::rename(self.path(), &old).unwrap();
                self.places[here].path = Some(old);
            }
            self.note(format!("place {here} is now {:?}", self.places[here].path));
        }
        self.replace(busy.is_some());
        if let Some(program) = busy {
            let place = self.programs[program].place;
            for prefix in prefixes {
                let answer = self.programs[program].line();
                self.note(format!("meanwhile put {prefix} in {place}: {answer}"));
                if answer.starts_with("ack ") {
                    self.places[place].keys.extend(keys_of(&prefix));
                } else {
                    // What was deleted under its feet may have been refused by the system before it was looked at.
                    let is_deleted = self.places[place].path.is_none();
                    let is_told =
                        answer.starts_with("error put Displaced") || is_deleted && answer.starts_with("error put");
                    assert!(is_told, "{}", self.told());
                }
            }
            let answer = self.programs[program].ask("put last-");
            assert!(answer.starts_with("error put"), "{}", self.told());
        }
    }

    fn replace(&mut self, is_busy: bool) {
        let (path, backup) = (self.path(), self.folder.path().join("A.bk"));
        let moved: Vec<usize> = (0..self.places.len()).filter(|&place| self.places[place].path.is_some()).collect();
        let what = self.random.below(6);
        match (what, moved.as_slice()) {
            (0 | 1, _) => {
                Database::restore_backup(&backup, &path).unwrap();
                self.places.push(Place { path: Some(path), keys: keys_of("base-").into_iter().collect() });
            }
            (2, _) => {
                drop(create(&path, DIMENSION));
                self.places.push(Place { path: Some(path), keys: BTreeSet::new() });
            }
            // A database that is being written is no whole thing to copy.
            (3 | 4, [.., last]) if !is_busy => {
                copy_at_rest(self.places[*last].path.as_ref().unwrap(), &path);
                let keys = self.places[*last].keys.clone();
                self.places.push(Place { path: Some(path), keys });
            }
            (5, [first, ..]) if !is_busy => {
                // It comes back, or one of long ago does.
                std::fs::rename(self.places[*first].path.as_ref().unwrap(), &path).unwrap();
                self.places[*first].path = Some(path);
                let back = self.programs.iter().position(|program| program.place == *first);
                // Whether it noticed that it was gone depends on the moment, so it is ended here.
                if let Some(program) = back {
                    self.programs.remove(program).close();
                }
            }
            _ => {}
        }
        self.note(format!("then {what}: {:?} lies there", self.here()));
    }

    fn end(&mut self, at: usize) {
        let here = self.here();
        let mut program = self.programs.remove(at);
        let place = program.place;
        if self.random.below(4) == 0 {
            program.child.0.kill().unwrap();
            self.note(format!("kill in {place}"));
            return;
        }
        let last = program.close();
        self.note(format!("close in {place}, {here:?} lies there: {last}"));
        assert_eq!(last, "closed", "{}", self.told());
    }

    fn play(mut self) {
        self.begin();
        for _ in 0..8 + self.random.below(8) {
            match self.random.below(8) {
                0..=3 => self.write(),
                4..=5 => self.displace(),
                6 => self.begin(),
                _ if self.programs.is_empty() => {}
                _ => {
                    let at = self.random.below(self.programs.len());
                    self.end(at);
                }
            }
        }
        while !self.programs.is_empty() {
            let at = self.random.below(self.programs.len());
            self.end(at);
        }
        for place in 0..self.places.len() {
            self.hold(place);
        }
    }

    /// Everything that was acknowledged for a place is there, and it is sound.
    fn hold(&self, place: usize) {
        let Place { path: Some(path), keys } = &self.places[place] else { return };
        let database = Database::open(path)
            .unwrap_or_else(|error| panic!("place {place}, {}: {error}\n{}", path.display(), self.told()));
        let found: BTreeSet<String> = database.apply_pending().unwrap().keys(None).unwrap().into_iter().collect();
        let lost: Vec<&String> = keys.difference(&found).collect();
        assert!(lost.is_empty(), "place {place}, {}: {lost:?} are lost\n{}", path.display(), self.told());
        let report = database.check(true).unwrap();
        assert_eq!(report.problems, Vec::<String>::new(), "place {place}\n{}", self.told());
    }
}

/// Copies a database until no background thread made or removed a file meanwhile: RocksDB merges tables of a database that nobody writes.
fn copy_at_rest(from: &Path, to: &Path) {
    let seen = || ["catalog", "segments"].map(|name| files(&from.join(name)));
    loop {
        let before = seen();
        copy(from, to);
        if seen() == before {
            return;
        }
        std::fs::remove_dir_all(to).unwrap();
    }
}

/// Copies a database that nobody writes at the moment; it skips files that a background thread renames meanwhile.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else if let Err(error) = std::fs::copy(entry.path(), &target) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        }
    }
}

#[test]
fn what_is_acknowledged_stays_where_it_was_acknowledged_for() {
    let count = many(20, 500) as u64;
    for seed in 0..count {
        Schedule::new(seed).play();
    }
    println!("{count} schedules");
}
