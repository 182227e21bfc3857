//! Cairn against other libraries: single queries on one thread, top 100, in one run, the libraries taking turns.
//!
//! `cargo run --profile dev -- DATA [--cache FOLDER] [--rounds N] [--without NAME,..] [--bar]`, where `DATA` is the common prefix
//! of the files of `make_data.py` (`data/100k`). Prints a table; it writes nothing but the indexes in the cache folder.

mod files;
mod hnswlib;
mod libraries;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use cpu_time::ProcessTime;

use files::Rows;
use libraries::{Library, Made, Outcome};

/// Rows asked for, and recall is of.
const K: usize = 100;
/// The recalls at which speeds are compared.
const RECALLS: [f64; 3] = [0.90, 0.95, 0.99];
/// Those that the bar is set at, and how many times hnswlib's speed it is.
const BAR: ([f64; 2], f64) = ([0.95, 0.99], 2.0);
/// Searches that a library does before its chunk is timed: another one had the caches.
const WARM: usize = 10;

/// What some queries at one breadth took.
#[derive(Clone, Copy, Default)]
struct Point {
    queries: usize,
    found: usize,
    cpu: Duration,
    wall: Duration,
}

impl Point {
    fn plus(self, other: Self) -> Self {
        Self {
            queries: self.queries + other.queries,
            found: self.found + other.found,
            cpu: self.cpu + other.cpu,
            wall: self.wall + other.wall,
        }
    }

    fn recall(&self) -> f64 {
        self.found as f64 / (self.queries * K) as f64
    }

    /// Queries for each second of processor time.
    fn speed(&self) -> f64 {
        self.queries as f64 / self.cpu.as_secs_f64()
    }

    fn wall_speed(&self) -> f64 {
        self.queries as f64 / self.wall.as_secs_f64()
    }
}

/// A library in the comparison: its points by breadth, then by round.
struct Entry {
    library: Box<dyn Library>,
    build: Option<Duration>,
    points: Vec<Vec<Point>>,
}

impl Entry {
    /// The points of some rounds together.
    fn of(&self, rounds: std::ops::Range<usize>) -> Vec<Point> {
        let sum = |all: &Vec<Point>| all[rounds.clone()].iter().fold(Point::default(), |sum, &point| sum.plus(point));
        self.points.iter().map(sum).collect()
    }
}

/// The speed at a recall, between the two measured points around it: straight lines over the logarithm of what is missed.
fn at(points: &[Point], recall: f64, speed: fn(&Point) -> f64) -> Option<f64> {
    let missed = |recall: f64| (1.0001 - recall).ln();
    points.windows(2).find(|pair| pair[0].recall() <= recall && recall < pair[1].recall()).map(|pair| {
        let (a, b) = (missed(pair[0].recall()), missed(pair[1].recall()));
        let share = (missed(recall) - a) / (b - a);
        ((1.0 - share) * speed(&pair[0]).ln() + share * speed(&pair[1]).ln()).exp()
    })
}

/// The command line.
struct Flags {
    data: String,
    cache: PathBuf,
    rounds: usize,
    without: Vec<String>,
    bar: bool,
}

fn flags() -> Outcome<Flags> {
    let (mut data, mut words) = (None, std::env::args().skip(1));
    let (mut cache, mut rounds, mut without, mut bar) = (PathBuf::from("cache"), 5, Vec::new(), false);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--cache" => cache = value()?.into(),
            "--rounds" => rounds = value()?.parse()?,
            "--without" => without = value()?.split(',').map(str::to_owned).collect(),
            "--bar" => bar = true,
            _ => data = Some(word),
        }
    }
    let data = data.ok_or("name the data: what its files' paths begin with, like data/100k")?;
    Ok(Flags { data, cache, rounds: rounds.max(1), without, bar })
}

/// Times a chunk of queries.
fn measure(library: &mut dyn Library, queries: &Rows<f32>, truth: &Rows<u32>, chunk: &[usize]) -> Outcome<Point> {
    let mut answers: Vec<Vec<u32>> = vec![Vec::with_capacity(K); chunk.len()];
    for at in 0..WARM {
        library.search(queries.row((chunk[0] + queries.len() / 2 + at) % queries.len()), K, &mut answers[0])?;
    }
    let (cpu, wall) = (ProcessTime::now(), Instant::now());
    for (&query, answer) in chunk.iter().zip(&mut answers) {
        library.search(queries.row(query), K, answer)?;
    }
    let (cpu, wall) = (cpu.elapsed(), wall.elapsed());
    let mut found = 0;
    for (&query, answer) in chunk.iter().zip(&answers) {
        let truth = &truth.row(query)[..K];
        found += answer.iter().filter(|row| truth.contains(row)).count();
    }
    Ok(Point { queries: chunk.len(), found, cpu, wall })
}

fn report(entries: &[Entry], rounds: usize) -> bool {
    println!("\nlibrary   breadth   recall   QPS of CPU time   QPS of wall time");
    for entry in entries {
        for (ef, point) in entry.library.breadths().iter().zip(entry.of(0..rounds)) {
            let (name, recall) = (entry.library.name(), point.recall());
            println!("{name:<10}{ef:>7}{recall:>9.4}{:>18.0}{:>19.0}", point.speed(), point.wall_speed());
        }
    }
    println!(
        "\nlibrary   build CPU s   QPS (CPU time) @ recall .90       .95       .99   (wall time)  .90       .95       .99"
    );
    for entry in entries {
        let points = entry.of(0..rounds);
        let build = entry.build.map_or("-".to_owned(), |time| format!("{:.0}", time.as_secs_f64()));
        let cell = |speed: Option<f64>| speed.map_or("-".to_owned(), |speed| format!("{speed:.0}"));
        let [a, b, c] = RECALLS.map(|recall| cell(at(&points, recall, Point::speed)));
        let [d, e, f] = RECALLS.map(|recall| cell(at(&points, recall, Point::wall_speed)));
        println!("{:<10}{build:>11}{a:>30}{b:>10}{c:>10}{d:>19}{e:>10}{f:>10}", entry.library.name());
    }
    let mut passed = true;
    let Some(cairn) = entries.iter().find(|entry| entry.library.name() == "cairn") else { return passed };
    println!();
    for rival in entries.iter().filter(|entry| entry.library.name() != "cairn") {
        for recall in RECALLS {
            let ratio = |range: std::ops::Range<usize>| {
                let speed = |entry: &Entry| at(&entry.of(range.clone()), recall, Point::speed);
                Some(speed(cairn)? / speed(rival)?)
            };
            let name = rival.library.name();
            let Some(all) = ratio(0..rounds) else {
                println!("cairn / {name} at {recall:.2}: not reached by both");
                continue;
            };
            let each: Vec<f64> = (0..rounds).filter_map(|round| ratio(round..round + 1)).collect();
            let (least, most) = each.iter().fold((f64::MAX, 0.0f64), |(a, b), &each| (a.min(each), b.max(each)));
            let counts = name == "hnswlib" && BAR.0.contains(&recall);
            let verdict = match (counts, all >= BAR.1) {
                (false, _) => "",
                (true, true) => "; the bar of 2 is passed",
                (true, false) => "; the bar of 2 is missed",
            };
            passed &= !counts || all >= BAR.1;
            println!("cairn / {name} at {recall:.2}: {all:.2} x (rounds {least:.2} to {most:.2}){verdict}");
        }
    }
    passed
}

fn run() -> Outcome<bool> {
    let flags = flags()?;
    let file = |end: &str| PathBuf::from(format!("{}_{end}", flags.data));
    let (base, queries) = (files::floats(&file("base.fvecs"))?, files::floats(&file("query.fvecs"))?);
    let truth = files::numbers(&file("gt.ivecs"))?;
    if truth.width < K || truth.len() != queries.len() || queries.width != base.width {
        return Err("the three files do not belong together".into());
    }
    std::fs::create_dir_all(&flags.cache)?;
    type Make = fn(&std::path::Path, &Rows<f32>) -> Outcome<Made>;
    let all: [(&str, Make); 3] =
        [("cairn", libraries::cairn), ("hnswlib", libraries::hnswlib), ("hnsw_rs", libraries::hnsw_rs)];
    let mut entries = Vec::new();
    for (_, make) in all.into_iter().filter(|(name, _)| !flags.without.iter().any(|without| without == name)) {
        let (library, build) = make(&flags.cache, &base)?;
        let points = vec![Vec::new(); library.breadths().len()];
        entries.push(Entry { library, build, points });
    }
    println!("{} rows, {} queries, {} dimensions, {} rounds", base.len(), queries.len(), base.width, flags.rounds);
    for round in 0..flags.rounds {
        eprintln!("round {} of {}", round + 1, flags.rounds);
        // Every round asks its share of the queries, so that all rounds together ask each once.
        let chunk: Vec<usize> = (round..queries.len()).step_by(flags.rounds).collect();
        let most = entries.iter().map(|entry| entry.points.len()).max().unwrap_or_default();
        for breadth in 0..most {
            for entry in entries.iter_mut().filter(|entry| breadth < entry.points.len()) {
                entry.library.set_breadth(entry.library.breadths()[breadth]);
                let point = measure(&mut *entry.library, &queries, &truth, &chunk)?;
                entry.points[breadth].push(point);
            }
        }
    }
    Ok(report(&entries, flags.rounds) || !flags.bar)
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
