//! The process that the storage tests kill and starve: a seeded mixed load that reports its attempts and acknowledged writes.
//!
//! `load DB SEED FROM [clean]`: transactions FROM, FROM + 1, .. forever; with `clean`, cleanings and their undos among them.
//! `scene DB SEED COUNT`: that many, with everything else a database does at fixed places; a failing call is reported, the
//! database is opened again, and the load continues. `hold DB`: opens and holds it until its input ends. `epochs DB SEED`:
//! transactions, and between them, forever, a change to the other one of two models. `flip DB SEED`: transactions, the other
//! model once, transactions; the first failing call is reported and ends it. `race DB MS`: opens it, holds it that long, and
//! reports the result. `obey DB`: opens it and runs the commands of its input line by line. `visit DB BACKUP NEW`: everything
//! that opens a folder, each reported by a line. `create DB`, `backup DB TO`, `restore FROM DB`, `clean DB`, `compact DB`: only
//! that. `busy DB SEED`: transactions, flushes and merges forever. `sessions DB FROM COUNT`: opens it that many times, puts an
//! image, and closes it. `heal DB SEED`: puts images until the disk is full, and ten more when it is not. `tables DB COUNT`: puts
//! images, each of which becomes separate tables. `leave DB SEED ..`: see `leave.rs`. `use DB`: see `using.rs`. `scout ..`: what
//! `use` starts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test program fails by panicking")]

mod leave;
mod using;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use cairn::language::{Action, CleanPlan, CleanRule, Cut};
use cairn::{Database, Deferral, Error, ErrorKind, Operation, Options, Put, Query, Role, SearchRequest};
use cairndb_storage_tests::{DIMENSION, Random, Stream, epochs::Turns, images, put};

fn say(line: &str) {
    // One call of the operating system: a kill cuts between lines or the reader drops the rest.
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

fn main() -> ExitCode {
    cairndb_storage_tests::obey_faults();
    let words: Vec<String> = std::env::args().collect();
    if words[1] == "scout" {
        return if cairn::runtime::scout(&std::env::args_os().skip(2).collect::<Vec<_>>()) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    let folder = PathBuf::from(&words[2]);
    let number = |at: usize| -> u64 { words[at].parse().unwrap() };
    match words[1].as_str() {
        "load" => endless(&folder, number(3), number(4), words.get(5).is_some_and(|word| word == "clean")),
        "scene" => Scene::new(&folder, number(3)).play(number(4)),
        "epochs" => epochs(&folder, number(3)),
        "flip" => flip(&folder, number(3)),
        "sessions" => sessions(&folder, number(3), number(4)),
        "tables" => tables(&folder, number(3)),
        "heal" => heal(&folder, number(3)),
        "hold" => hold(&folder),
        "race" => race(&folder, number(3)),
        "obey" => obey(&folder),
        "visit" => visit(&folder, Path::new(&words[3]), Path::new(&words[4])),
        "leave" => return leave::leave(&folder, &words[3..]),
        "use" => return using::everything(&folder),
        "busy" => busy(&folder, number(3)),
        "look" => look(&folder),
        word @ ("create" | "backup" | "restore" | "clean" | "compact") => {
            one(word, &folder, words.get(3).map(Path::new)).unwrap_or_else(|error| tell(word, &error));
        }
        other => panic!("no such part: {other}"),
    }
    ExitCode::SUCCESS
}

/// Opens it; one that is not there, or whose creation failed, is created.
fn open(folder: &Path) -> cairn::Result<Database> {
    match Database::open(folder) {
        Err(error) if [ErrorKind::NotFound, ErrorKind::Unfinished].contains(&error.kind()) => {
            Database::create(folder, Options::for_vectors(DIMENSION))
        }
        opened => opened,
    }
}

/// A folder beside the database without what was finished there before; what was not is started over.
fn scratch(folder: &Path, what: &str) -> PathBuf {
    let path = folder.with_extension(what);
    if !path.join("catalog.unfinished").exists() {
        let _absent = std::fs::remove_dir_all(&path);
    }
    path
}

/// What else happens at a transaction.
fn act(database: &Database, stream: &Stream) -> cairn::Result<()> {
    let mut random = stream.random(1);
    if random.below(10) == 0 {
        database.set_deferral([Deferral::Automatic, Deferral::Always, Deferral::Never][random.below(3)]);
    }
    match random.below(80) {
        0..=7 => database.flush().map(|_| ()),
        8..=10 => database.compact(),
        11 => database.backup(scratch(database.folder(), "backup")).map(|_| ()),
        12 => database.check(random.below(2) == 0).map(|_| ()),
        13 => database.apply_pending().map(|_| ()),
        14 | 15 => database.save_neighbours().map(|_| ()),
        _ => Ok(()),
    }
}

/// A cleaning by what neighbours say and its undo, which leave everything as it was, as the writes `next` and `next + 1`; `false`:
/// there was nothing to clean.
fn clean(database: &Database, stream: &mut Stream) -> bool {
    let actions = [Action::Unlabel, Action::Relabel];
    let action = actions[stream.random(4).below(2)];
    let plan = CleanPlan::default().rule(CleanRule::Suspects(Cut::Top(5))).action(action);
    // Whoever looks on must be able to tell a cleaning that was cut short from a write that waits.
    let waiting = database.apply_pending().unwrap();
    if waiting.keys(Some(Role::Train)).unwrap().len() < 20 {
        return false;
    }
    drop(waiting);
    say(&format!("try {}", stream.next));
    let Some(receipt) = database.clean(&plan, None, None).unwrap().receipt else { return false };
    assert_eq!(receipt.sequence, stream.next);
    say(&format!("ack {}", stream.next));
    stream.take(stream.next);
    say(&format!("try {}", stream.next + 1));
    assert_eq!(database.undo_cleaning().unwrap().receipt.sequence, stream.next + 1);
    say(&format!("ack {}", stream.next + 1));
    stream.run_to(stream.next + 1);
    true
}

fn endless(folder: &Path, seed: u64, from: u64, cleans: bool) {
    let mut stream = Stream::new(seed);
    let mut database = open(folder).unwrap();
    database.cleanings().unwrap().iter().for_each(|cleaning| stream.take(cleaning.sequence));
    stream.run_to(from - 1);
    say("open");
    loop {
        if cleans && stream.random(3).below(25) == 0 && clean(&database, &mut stream) {
            continue;
        }
        say(&format!("try {}", stream.next));
        let receipt = database.write(stream.transaction()).unwrap();
        assert_eq!(receipt.sequence, stream.next);
        say(&format!("ack {} {}", receipt.sequence, receipt.deferred));
        act(&database, &stream).unwrap();
        if stream.random(2).below(60) == 0 {
            drop(database);
            database = open(folder).unwrap();
        }
        stream.advance();
    }
}

/// Writes, and goes to and fro between two models.
fn epochs(folder: &Path, seed: u64) {
    let database = Database::open(folder).unwrap();
    say("open");
    let mut turns = Turns::new(&database, seed);
    loop {
        for _ in 0..5 {
            say(&format!("try {}", turns.next()));
            let number = turns.write();
            say(&format!("ack {number}"));
        }
        turns.change(&mut |number| say(&format!("ack {number}"))).unwrap();
        say("flipped");
    }
}

/// Writes, goes to the other model once, and writes under it.
fn flip(folder: &Path, seed: u64) {
    let written = |database: &Database| -> cairn::Result<()> {
        let mut turns = Turns::new(database, seed);
        let mut change = true;
        for _ in 0..2 {
            for _ in 0..3 {
                say(&format!("try {}", turns.next()));
                let number = turns.try_write()?;
                say(&format!("ack {number}"));
            }
            database.flush()?;
            if std::mem::take(&mut change) {
                let changed = turns.change(&mut |number| say(&format!("try {number}\nack {number}")));
                // A change that failed leaves a database that takes writes, or one that says that it does not.
                changed.map_or_else(|error| tell("change", &error), |_number| say("flipped"));
            }
        }
        Ok(())
    };
    match Database::open(folder) {
        Ok(database) => written(&database).unwrap_or_else(|error| tell("write", &error)),
        Err(error) => tell("open", &error),
    }
    say("done");
}

/// A finite load with everything a database does at fixed places, which lives through failing calls.
struct Scene {
    folder: PathBuf,
    stream: Stream,
    database: Option<Database>,
}

impl Scene {
    fn new(folder: &Path, seed: u64) -> Self {
        Self { folder: folder.to_owned(), stream: Stream::new(seed), database: None }
    }

    fn play(mut self, count: u64) {
        self.open();
        while self.stream.next <= count {
            self.step();
        }
        self.database = None;
        say("done");
    }

    /// Opens it; one failing opening is reported and repeated, two are too many.
    fn open(&mut self) {
        self.database = None;
        let opened = open(&self.folder).or_else(|error| {
            tell("open", &error);
            open(&self.folder)
        });
        self.database = Some(opened.unwrap());
    }

    fn database(&self) -> &Database {
        self.database.as_ref().unwrap()
    }

    fn step(&mut self) {
        let at = self.stream.next;
        let modes = [Deferral::Never, Deferral::Always, Deferral::Automatic];
        self.database().set_deferral(modes[(at / 3 % 3) as usize]);
        say(&format!("try {at}"));
        match self.database().write(self.stream.transaction()) {
            Ok(receipt) => {
                assert_eq!(receipt.sequence, at);
                say(&format!("ack {at}"));
                self.stream.advance();
            }
            Err(error) => return self.recover("write", &error),
        }
        let done = self.more(at);
        self.tell_health();
        if let Err((what, error)) = done {
            self.recover(what, &error);
        }
    }

    fn tell_health(&self) {
        let status = self.database().status();
        if !status.health.is_ok() {
            say(&format!("health {}", status.health));
        }
    }

    fn more(&mut self, at: u64) -> Result<(), (&'static str, Error)> {
        let name = |what| move |error| (what, error);
        if at % 5 == 4 {
            self.database().flush().map_err(name("flush"))?;
        }
        if at % 14 == 13 {
            self.database().compact().map_err(name("compact"))?;
        }
        if at % 17 == 16 {
            self.copies().map_err(name("copies"))?;
        }
        if at % 19 == 18 {
            self.database = None;
            // What a crash between writing and naming a segment leaves.
            std::fs::write(self.folder.join("segments/9999999999.segment"), b"half").unwrap();
            self.open();
        }
        Ok(())
    }

    /// Backs up, verifies, restores, and repairs the restored copy.
    fn copies(&self) -> cairn::Result<()> {
        say("copying");
        let (backup, restored) = (scratch(&self.folder, "backup"), scratch(&self.folder, "restored"));
        self.database().backup(&backup)?;
        Database::verify_backup(&backup)?;
        Database::restore_backup(&backup, &restored)?;
        say("restored");
        Database::repair(&restored)?;
        let report = Database::open(&restored)?.check(true)?;
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        Ok(())
    }

    /// A call failed: that is reported, reads continue, and after closing and opening the load continues where the database is.
    fn recover(&mut self, what: &str, error: &Error) {
        tell(what, error);
        self.tell_health();
        let snapshot = self.database().snapshot();
        for key in snapshot.keys(None).unwrap() {
            snapshot.record(&key).unwrap().unwrap();
            snapshot.vector(&key).unwrap().unwrap();
        }
        let query = Query::new(vec![1.0; DIMENSION]);
        snapshot.search(&SearchRequest::default(), &[query]).unwrap();
        // Either it takes writes or it says that it does not; this one is impossible and changes nothing.
        match self.database().write(vec![Operation::Delete { key: "nobody".to_owned() }]) {
            Err(error) => tell("write after it", &error),
            Ok(receipt) => panic!("an image that is not there was deleted: {receipt:?}"),
        }
        drop(snapshot);
        self.open();
        let reached = self.database().apply_pending().unwrap().sequence();
        assert!(reached + 1 == self.stream.next || reached == self.stream.next, "{reached} is stored");
        self.stream.run_to(reached);
        say(&format!("ack {reached}"));
    }
}

fn tell(what: &str, error: &Error) {
    say(&format!("error {what} {:?} {}", error.kind(), error.message().replace('\n', " ")));
}

fn image(number: u64) -> Operation {
    let mut random = Random::new(number);
    let vector: Vec<f32> = (0..DIMENSION).map(|_| random.signed()).collect();
    put(format!("{number:06}"), number.is_multiple_of(5).then_some("place"), &vector)
}

/// The shortest sessions. It reports how long each opening took, and the files afterwards.
fn sessions(folder: &Path, from: u64, count: u64) {
    for number in from..from + count {
        let begin = Instant::now();
        let opened = Database::open(folder);
        let milliseconds = begin.elapsed().as_secs_f64() * 1e3;
        let written = opened.and_then(|database| {
            database.write(vec![image(number)])?;
            database.close()
        });
        match written {
            Ok(()) => say(&format!("ack {number} {milliseconds:.1}")),
            Err(error) => return tell("session", &error),
        }
    }
    say("done");
}

/// A backup makes tables of what is in the log.
fn tables(folder: &Path, count: u64) {
    let database = Database::open(folder).unwrap();
    for number in 0..count {
        database.write(vec![image(number)]).unwrap();
        database.backup(scratch(folder, "backup")).unwrap();
    }
    let _unneeded = scratch(folder, "backup");
    say("done");
    // Closing would merge them.
    std::process::abort();
}

/// Writes until the disk is full and says so; then the same write until it succeeds, and a few more. A write that nobody may take up any
/// more ends it.
fn heal(folder: &Path, seed: u64) {
    let database = Database::open(folder).unwrap();
    let mut random = Random::new(seed);
    let (mut is_full, mut healed) = (false, 0);
    for number in 0.. {
        let key = format!("{number:06}");
        let vector: Vec<f32> = (0..DIMENSION).map(|_| random.signed()).collect();
        let photo: Vec<u8> = (0..1 << 15).map(|_| (random.signed() * 127.0) as i8 as u8).collect();
        let write = || database.write(vec![Put::new(key.clone(), vector.clone()).photo(photo.clone()).into()]);
        let mut outcome = write();
        while let Err(error) = &outcome {
            if error.kind() != ErrorKind::DiskFull {
                return tell("heal", error);
            }
            if !is_full {
                say(&format!("full {}", error.message().replace('\n', " ")));
                is_full = true;
            }
            std::thread::sleep(Duration::from_millis(50));
            outcome = write();
        }
        say(&format!("ack {key}"));
        healed += u32::from(is_full);
        if healed == 10 {
            database.close().unwrap();
            return say("healed");
        }
    }
}

fn hold(folder: &Path) {
    let database = Database::open(folder).unwrap();
    say("open");
    let _until_it_ends = std::io::stdin().read(&mut [0]);
    drop(database);
}

/// Opens it, and answers each line of its input by one line: `put KEY`, `wait KEY` (a deferred write), `flush`, `compact`, `note`
/// (after the time at which the watermark's file is written), `count`, `health`. It closes the database at the end.
fn obey(folder: &Path) {
    let database = match Database::open(folder) {
        Ok(database) => database,
        Err(error) => return tell("open", &error),
    };
    say("open");
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (what, key) = line.split_once(' ').unwrap_or((&line, ""));
        let write = |deferral| {
            database.set_deferral(deferral);
            database.write(images(key, 2, DIMENSION, 3, 2, 1)).map(|receipt| format!("ack {}", receipt.sequence))
        };
        let answer = match what {
            "put" => write(Deferral::Never),
            "wait" => write(Deferral::Always),
            "flush" => database.flush().map(|_| "done".to_owned()),
            "compact" => database.compact().map(|()| "done".to_owned()),
            "note" => {
                std::thread::sleep(Duration::from_millis(1100));
                Ok("done".to_owned())
            }
            "count" => database.snapshot().keys(None).map(|keys| keys.len().to_string()),
            _ => Ok(database.status().health.to_string()),
        };
        match answer {
            Ok(answer) => say(&answer),
            Err(error) => tell(what, &error),
        }
    }
    drop(database);
    say("closed");
}

/// Does everything with a folder that opens it; `backup` is a sound backup, `new` a folder for what is made.
fn visit(folder: &Path, backup: &Path, new: &Path) {
    let looked = |database: &Database| {
        let keys = database.snapshot().keys(None)?.len();
        let problems = database.check(true)?.problems;
        Ok(format!("{keys} images, problems {problems:?}"))
    };
    let told = |what: &str, done: cairn::Result<String>| match done {
        Ok(done) => say(&format!("{what}: {done}")),
        Err(error) => tell(what, &error),
    };
    told("read", Database::open_read_only(folder).and_then(|database| looked(&database)));
    let written = |database: &Database| {
        let seen = looked(database)?;
        database.write(images("visit-", 2, DIMENSION, 3, 2, 1))?;
        database.flush()?;
        database.training_folder()?;
        let (copy, restored) = (new.join("backup"), new.join("restored"));
        database.backup(&copy)?;
        Database::restore_backup(&copy, &restored)?;
        database.compact()?;
        Ok(seen)
    };
    told("open", Database::open(folder).and_then(|database| written(&database)));
    told("repair", Database::repair(folder).map(|_story| String::new()));
    told("reopen", Database::open(folder).and_then(|database| looked(&database)));
    told("verify", Database::verify_backup(folder).map(|copied| copied.to_string()));
    told("create", Database::create(folder, Options::for_vectors(DIMENSION)).map(|_| String::new()));
    told("restore", Database::restore_backup(backup, folder).map(|copied| copied.to_string()));
    say("done");
}

/// One command, as the program carries it out.
fn one(word: &str, folder: &Path, other: Option<&Path>) -> cairn::Result<()> {
    match word {
        "create" => Database::create(folder, Options::for_vectors(DIMENSION)).map(|_| ())?,
        "backup" => Database::open_read_only(folder)?.backup(other.unwrap()).map(|_| ())?,
        "restore" => Database::restore_backup(folder, other.unwrap()).map(|_| ())?,
        "clean" => {
            let rule = CleanRule::Suspects(Cut::Top(5));
            let plan = CleanPlan::default().rule(rule).action(Action::Unlabel);
            Database::open(folder)?.clean(&plan, None, None).map(|_| ())?;
        }
        _ => Database::open(folder)?.compact()?,
    }
    say("done");
    Ok(())
}

/// Writes, makes segments and merges them without a pause.
fn busy(folder: &Path, seed: u64) {
    let database = open(folder).unwrap();
    let mut stream = Stream::new(seed);
    stream.run_to(database.apply_pending().unwrap().sequence());
    say("open");
    loop {
        say(&format!("try {}", stream.next));
        let receipt = database.write(stream.transaction()).unwrap();
        say(&format!("ack {}", receipt.sequence));
        stream.advance();
        if receipt.sequence.is_multiple_of(3) {
            database.flush().unwrap();
        }
        if receipt.sequence.is_multiple_of(25) {
            database.compact().unwrap();
        }
    }
}

/// Opens it for reading, holds what it sees while the writer goes on, and checks it, again and again.
fn look(folder: &Path) {
    let parent = std::os::unix::process::parent_id();
    // A parent that aborts kills nobody.
    while std::os::unix::process::parent_id() == parent {
        match Database::open_read_only(folder) {
            Ok(database) => {
                let (snapshot, health) = (database.snapshot(), database.status());
                std::thread::sleep(Duration::from_millis(50));
                let report = database.check(true).unwrap();
                let images = snapshot.keys(None).unwrap().len();
                let is_whole = health.health.is_ok();
                match report.problems.is_empty() && is_whole {
                    true => say(&format!("looked {} {images} images", snapshot.sequence())),
                    false => say(&format!("found {:?} {:?}", report.problems, health.lines())),
                }
            }
            // The writer leaves no room for a look.
            Err(error) if error.kind() == ErrorKind::Locked => {}
            Err(error) => tell("look", &error),
        }
    }
}

fn race(folder: &Path, milliseconds: u64) {
    match Database::open(folder) {
        Ok(database) => {
            // Whoever is inside says so; two at once would find the other's mark.
            let mark = folder.with_extension("inside");
            std::fs::OpenOptions::new().write(true).create_new(true).open(&mark).expect("another writer is inside");
            std::thread::sleep(Duration::from_millis(milliseconds));
            std::fs::remove_file(&mark).unwrap();
            drop(database);
            say("open");
        }
        Err(error) => tell("open", &error),
    }
}
