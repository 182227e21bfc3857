//! R30: everything at once. Four writers, three readers, callbacks that call back, model changes, flushes, merges, checks,
//! backups and cleanings in one process, and another process that only reads. Every snapshot is a prefix of each writer's
//! transactions and of the sequence numbers that the writer got; every visible number is an acknowledged one; a check finds
//! nothing; no thread stops for 30 seconds of a machine that does nothing else. It takes 20 seconds; with CAIRN_LONG=1 an hour, at
//! the end of which the process must not have grown.
//!
//! It catches: a call that waits for its own caller, a state and its number that are not published as one, a transaction seen in
//! part or out of order, descriptors of two models in one snapshot, a reader that reports merged rows as lost, memory that grows
//! with time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cairn::embed::{Propose, VectorChunks};
use cairn::model::{Reembed, Target, Wanted};
use cairn::{
    Arguments, Database, Deferral, ErrorKind, Expect, Operation, Ports, Progress, Put, Query, Rerank, SearchRequest,
    Snapshot,
};
use cairndb_storage_tests::epochs::{mirror, model, options};
use cairndb_storage_tests::{DIMENSION, Guarded, Model, Random, Stream, load, many, put, said};

/// A thread hangs that makes no step while its process uses this many seconds of processors, which is half a minute of a machine
/// with two that does nothing else; on a busy machine that takes longer.
const WATCHED: f64 = 60.0;
/// It also hangs if it makes no step for this long: if all threads wait for each other, they use no processor.
const WAITED: Duration = Duration::from_secs(300);
/// The name of its part.
const BESIDE: &str = "the process beside";
/// Writers, each in its own thread; one more writes in a callback.
const WRITERS: usize = 4;
const READERS: usize = 3;
/// States of a writer that are kept: far more than a reader takes to look at one.
const KEPT: u64 = 300;

/// A writer with its own keys, and the numbers that it got.
struct Writer {
    number: usize,
    stream: Stream,
    /// Its last guess of the active model.
    mirrored: bool,
}

/// What readers know of a writer.
#[derive(Default)]
struct Known {
    /// By the number of its transactions.
    states: BTreeMap<u64, Arc<Model>>,
    /// The sequence number of each transaction.
    receipts: BTreeMap<u64, u64>,
}

/// What all share.
struct World {
    database: Database,
    folder: PathBuf,
    known: Vec<Mutex<Known>>,
    over: AtomicBool,
    /// The steps of each part, which the watchdog looks at.
    steps: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    /// The number of the process beside.
    beside: AtomicU32,
    /// What upkeep does, for the watchdog.
    doing: Mutex<String>,
    reentrant: AtomicUsize,
}

impl World {
    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }

    fn part(&self, name: impl Into<String>) -> Arc<AtomicU64> {
        Arc::clone(self.steps.lock().unwrap().entry(name.into()).or_default())
    }
}

fn prefix(writer: usize) -> String {
    format!("w{writer} ")
}

fn counter(writer: usize) -> String {
    format!("count {writer}")
}

impl Writer {
    fn new(number: usize, world: &World) -> Self {
        world.known[number].lock().unwrap().states.insert(0, Arc::new(Model::new()));
        Self { number, stream: Stream::new(900 + number as u64), mirrored: false }
    }

    fn operations(&self) -> Vec<Operation> {
        let own = |key: String| prefix(self.number) + &key;
        let view = |vector: Vec<f32>| if self.mirrored { mirror(&vector) } else { vector };
        let mine = |operation| match operation {
            Operation::Put(mut at) => {
                (at.key, at.vector) = (own(at.key), view(at.vector));
                Operation::Put(at)
            }
            Operation::Delete { key } => Operation::Delete { key: own(key) },
            Operation::Label { key, label } => Operation::Label { key: own(key), label },
            Operation::Unlabel { key } => Operation::Unlabel { key: own(key) },
            other => other,
        };
        let mut direction = vec![0.0; DIMENSION];
        direction[self.number] = 1.0;
        // Not by its label: the texts of labels stay.
        let count = Put::new(counter(self.number), view(direction)).source(self.stream.next.to_string());
        self.stream.transaction().into_iter().map(mine).chain([count.into()]).collect()
    }

    /// Writes the next transaction; `false`: it was refused, because the database waits for the caller.
    fn write(&mut self, world: &World) -> bool {
        let number = self.stream.next;
        let mut after = self.stream.clone();
        after.advance();
        {
            let mut known = world.known[self.number].lock().unwrap();
            known.states.insert(number, Arc::new(after.model.clone()));
            known.states.retain(|&state, _| state + KEPT > number);
            known.receipts.retain(|&state, _| state + KEPT > number);
        }
        loop {
            match world.database.write_if([Expect::model(model(self.mirrored).fingerprint)], self.operations()) {
                Ok(receipt) => {
                    world.known[self.number].lock().unwrap().receipts.insert(number, receipt.sequence);
                    self.stream = after;
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::Mismatch => self.mirrored = !self.mirrored,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Reentrant, "writer {}: {error}", self.number);
                    return false;
                }
            }
        }
    }
}

/// Checks a snapshot: whether it is a prefix of one writer's writes, by its content and by the numbers that the writer got.
fn is_a_prefix(world: &World, snapshot: &Snapshot, writer: usize, random: &mut Random) {
    let sequence = snapshot.sequence();
    let record = snapshot.record(&counter(writer)).unwrap();
    let count: u64 = record.map_or(0, |record| record.source.unwrap().parse().unwrap());
    let story = format!("writer {writer} at {sequence}, {count} transactions");
    let state = {
        let known = world.known[writer].lock().unwrap();
        for (&number, &told) in &known.receipts {
            assert_eq!(number <= count, told <= sequence, "{story}: transaction {number} is of {told}");
        }
        // A reader that was held up for long looks at something else.
        let Some(state) = known.states.get(&count) else { return };
        Arc::clone(state)
    };
    let own = prefix(writer);
    let keys: Vec<String> =
        snapshot.keys(None).unwrap().iter().filter_map(|key| key.strip_prefix(&own).map(str::to_owned)).collect();
    assert_eq!(keys, state.keys().cloned().collect::<Vec<_>>(), "{story}");
    let mirrored = snapshot.model() == Some(&model(true));
    for (key, (label, vector)) in state.iter().filter(|_| random.below(8) == 0) {
        let record = snapshot.record(&format!("{own}{key}")).unwrap().unwrap();
        assert_eq!(record.label, *label, "{story}: '{key}'");
        let wanted = if mirrored { mirror(vector) } else { vector.clone() };
        assert_eq!(snapshot.vector(&record.key).unwrap(), Some(wanted), "{story}: '{key}'");
    }
}

fn read(world: &World, seed: u64) {
    let (mut random, mut last) = (Random::new(seed), 0);
    let step = world.part(format!("reader {seed}"));
    while world.goes_on() {
        let snapshot = world.database.snapshot();
        assert!(snapshot.sequence() >= last, "time ran backwards");
        last = snapshot.sequence();
        assert!(world.database.wait_for(last).unwrap().sequence() >= last);
        is_a_prefix(world, &snapshot, random.below(WRITERS + 1), &mut random);
        let vector: Vec<f32> = (0..DIMENSION).map(|_| random.signed()).collect();
        let request = SearchRequest::new().depth(20).rerank(Rerank::new());
        let own = snapshot.model().map(|model| model.fingerprint.as_str());
        let answer = snapshot.search_of_model(own, &request, &[Query::new(vector)]).unwrap().remove(0);
        assert_eq!((answer.as_of_sequence, answer.lag), (last, snapshot.lag()));
        for row in &answer.rows {
            assert_eq!(row.prediction, snapshot.prediction(&row.id).unwrap(), "'{}' at {last}", row.id);
        }
        step.fetch_add(1, Ordering::Relaxed);
    }
}

/// Embeds for the other model, and proposes voters; both call back.
struct Calls<'w> {
    world: &'w World,
    writer: Mutex<Writer>,
    called: AtomicUsize,
}

impl Calls<'_> {
    fn call_back(&self) {
        let database = &self.world.database;
        let snapshot = database.freshest().unwrap();
        assert!(database.wait_for(snapshot.sequence()).is_ok());
        if !self.writer.lock().unwrap().write(self.world) {
            self.world.reentrant.fetch_add(1, Ordering::Relaxed);
        }
        // Each makes a segment, and writers wait where there are many.
        if self.called.fetch_add(1, Ordering::Relaxed).is_multiple_of(16) {
            match database.flush() {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::Reentrant, "{error}"),
            }
        }
        database.status();
    }
}

impl Reembed for Calls<'_> {
    fn reembed(&self, images: &[Wanted]) -> cairn::Result<Vec<cairn::Result<Vec<f32>>>> {
        self.call_back();
        Ok(images.iter().map(|image| Ok(mirror(&image.vector))).collect())
    }
}

/// Proposes nothing, and asks meanwhile.
struct Asks(Database);

impl Propose for Asks {
    fn propose(
        &self,
        rows: &VectorChunks,
        _: &[bool],
        queries: &[f32],
        _: usize,
    ) -> cairn::Result<Vec<Option<Vec<u32>>>> {
        let refused = self.0.write(vec![put("nobody", None, &[1.0; DIMENSION])]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Reentrant);
        let snapshot = self.0.snapshot();
        self.0.wait_for(snapshot.sequence()).unwrap();
        snapshot.keys(None).unwrap();
        Ok(vec![None; queries.len() / rows.dimension])
    }
}

/// One piece of upkeep after the other.
fn maintain(world: &World) {
    let (database, step) = (&world.database, world.part("upkeep"));
    let sound = |what: &str| {
        let problems = database.check(true).unwrap().problems;
        assert!(problems.is_empty(), "{what}: {problems:?}");
    };
    let run = |statement: &str| database.query(statement, &Arguments::default(), &Ports::default());
    let calls = Calls { world, writer: Mutex::new(Writer::new(WRITERS, world)), called: AtomicUsize::new(0) };
    let mut round = 0;
    while world.goes_on() {
        *world.doing.lock().unwrap() = format!("piece {}", round % 8);
        match round % 8 {
            0 => {
                let to = model(database.options().model != Some(model(true)));
                let watch = |at: Progress<'_>| {
                    *world.doing.lock().unwrap() =
                        format!("a change of the model: {}, {} of {}", at.what, at.done, at.all);
                    step.fetch_add(1, Ordering::Relaxed);
                    calls.call_back();
                    ControlFlow::Continue(())
                };
                let changed = database.change_model(Target::new(to, DIMENSION), &calls, Some(&watch));
                changed.unwrap();
            }
            1 => _ = database.flush().unwrap(),
            2 => sound("a check"),
            3 => {
                let to = world.folder.join("backup");
                database.backup(&to).unwrap();
                Database::verify_backup(&to).unwrap();
                let reader = Database::open_read_only(&to).unwrap();
                let problems = reader.check(true).unwrap().problems;
                assert!(problems.is_empty(), "a backup: {problems:?}");
                let mut random = Random::new(round);
                (0..=WRITERS).for_each(|writer| is_a_prefix(world, &reader.snapshot(), writer, &mut random));
                drop(reader);
                std::fs::remove_dir_all(&to).unwrap();
            }
            // Marks change no label.
            4 => match run("CLEAN RULE suspects top=5; UNDO CLEAN") {
                Ok(_) => {}
                Err(error) => {
                    let expected = [ErrorKind::Invalid, ErrorKind::NotFound];
                    assert!(expected.contains(&error.kind()), "{error}");
                }
            },
            5 => {
                database.compact().unwrap();
                database.save_neighbours().unwrap();
            }
            6 => {
                let modes = [Deferral::Never, Deferral::Always, Deferral::Automatic];
                database.set_deferral(modes[(round / 8 % 3) as usize]);
            }
            _ => database.set_proposer((round / 8 % 2 == 0).then(|| Arc::new(Asks(database.clone())) as _)),
        }
        round += 1;
        step.fetch_add(1, Ordering::Relaxed);
    }
    database.set_proposer(None);
    println!("{round} pieces of upkeep, {} calls back refused", world.reentrant.load(Ordering::Relaxed));
}

/// Ends the process if a thread makes no step: a thread that hangs cannot be ended otherwise.
fn watch(world: &World, for_so_long: Duration) {
    let begin = Instant::now();
    let mut last: BTreeMap<String, (u64, Instant, f64)> = BTreeMap::new();
    let mut early = None;
    while begin.elapsed() < for_so_long && world.goes_on() {
        std::thread::sleep(Duration::from_millis(200));
        let (own, of_beside) =
            (processor_seconds(std::process::id()), processor_seconds(world.beside.load(Ordering::Relaxed)));
        for (name, steps) in &*world.steps.lock().unwrap() {
            let used = if name == BESIDE { of_beside } else { own };
            let steps = steps.load(Ordering::Relaxed);
            let seen = last.entry(name.clone()).or_insert((steps, Instant::now(), used));
            let (waited, used_since) = (seen.1.elapsed(), used - seen.2);
            if seen.0 != steps {
                *seen = (steps, Instant::now(), used);
            } else if used_since > WATCHED || waited > WAITED {
                let doing = world.doing.lock().unwrap().clone();
                let waiting = world.database.snapshot().lag();
                eprintln!(
                    "{name} has made no step for {waited:?} ({used_since:.0} s of processors), after {steps}; upkeep: {doing}; {waiting} writes are deferred"
                );
                std::process::abort();
            }
        }
        if early.is_none() && begin.elapsed() > for_so_long / 4 {
            early = Some(resident());
        }
    }
    let (early, late) = (early.unwrap_or_default(), resident());
    println!("resident: {early} KiB after a quarter, {late} KiB at the end");
    if for_so_long > Duration::from_secs(1800) {
        assert!(late < early + early / 4 + (32 << 10), "the process grew");
    }
}

/// Seconds of processors that a process has used.
fn processor_seconds(process: u32) -> f64 {
    /// Of Linux, on every machine.
    const TICKS_A_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name of the program, in brackets, may hold spaces; user and system time are fields 14 and 15.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / TICKS_A_SECOND
}

/// KiB of memory that this process has.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// However a thread ends, the others must.
struct Over<'w>(&'w World);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

/// A process that opens the database for reading, again and again, and checks it.
fn beside(world: &World, path: &Path) {
    let words = world.folder.join("words");
    let out = std::fs::File::create(&words).unwrap();
    let mut child = Guarded(load().arg("look").arg(path).stdout(out).spawn().unwrap());
    world.beside.store(child.0.id(), Ordering::Relaxed);
    let step = world.part(BESIDE);
    let look = || {
        let found = said(&words, 0);
        let wrong: Vec<&String> = found.lines.iter().filter(|line| !line.starts_with("looked")).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        step.store(found.lines.len() as u64, Ordering::Relaxed);
        found.lines.len()
    };
    while world.goes_on() {
        assert!(child.0.try_wait().unwrap().is_none(), "the process beside ended");
        look();
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("{} looks of a process beside", look());
}

#[test]
fn everything_at_once_agrees_with_the_writes_and_comes_to_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let database = Database::create(&path, options()).unwrap();
    let world = World {
        database,
        folder: folder.path().to_owned(),
        known: (0..=WRITERS).map(|_| Mutex::default()).collect(),
        over: AtomicBool::new(false),
        steps: Mutex::default(),
        beside: AtomicU32::new(0),
        reentrant: AtomicUsize::new(0),
        doing: Mutex::default(),
    };
    let writers: Vec<Writer> = (0..WRITERS).map(|number| Writer::new(number, &world)).collect();
    world.known[WRITERS].lock().unwrap().states.insert(0, Arc::new(Model::new()));
    let for_so_long = Duration::from_secs(many(20, 3600) as u64);
    std::thread::scope(|scope| {
        let world = &world;
        for mut writer in writers {
            scope.spawn(move || {
                let _over = Over(world);
                let step = world.part(format!("writer {}", writer.number));
                while world.goes_on() {
                    assert!(writer.write(world), "nobody calls a writer");
                    step.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for reader in 0..READERS {
            scope.spawn(move || {
                let _over = Over(world);
                read(world, reader as u64);
            });
        }
        scope.spawn(move || {
            let _over = Over(world);
            maintain(world);
        });
        scope.spawn(|| {
            let _over = Over(world);
            beside(world, &path);
        });
        scope.spawn(move || {
            let _over = Over(world);
            watch(world, for_so_long);
        });
    });
    let snapshot = world.database.apply_pending().unwrap();
    let mut random = Random::new(1);
    (0..=WRITERS).for_each(|writer| is_a_prefix(&world, &snapshot, writer, &mut random));
    let problems = world.database.check(true).unwrap().problems;
    assert!(problems.is_empty(), "{problems:?}");
    println!("{} writes", snapshot.sequence());
}
