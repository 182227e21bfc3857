//! What is measured: one database of many rows of 512 dimensions through its life: bulk load, opening, disk, search, upkeep, cold start.
//! Corpus: seeded landmark-like descriptors, made on the fly. Notes: prints a table; writes nothing but its database's folder.
//!
//! `cargo bench --profile dev -p cairndb-benches --bench scale -- 1000000 --more-train 100000 --cold-start` is the big one; the flags
//! are in `flags.rs`. The figures to quote are ratios of one run.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench stops by panicking")]

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use cairn::{Database, Query, SearchRequest};

mod data;
mod flags;
mod load;
mod meter;
mod methods;
mod search;
mod upkeep;

use data::{Collection, Kind};
use flags::Flags;
use meter::{heading, line, mib};

/// What the parts of the bench share.
struct Run {
    flags: Flags,
    collection: Collection,
    start: Instant,
}

impl Run {
    /// A line of progress.
    fn say(&self, text: impl std::fmt::Display) {
        meter::progress(self.start, text);
    }

    /// A query that is no stored row, by number.
    fn query(&self, number: u64) -> Query {
        Query::new(self.collection.row(Kind::Query, number).1)
    }
}

fn main() {
    let flags = Flags::read();
    let collection = Collection::new(flags.rows);
    let run = Run { flags, collection, start: Instant::now() };
    if let Some(folder) = &run.flags.open {
        return opened(&run, folder);
    }
    let temporary = tempfile::tempdir().unwrap();
    let home = run.flags.folder.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&home).unwrap();
    let folder = home.join("db");

    println!("{} index and {} train images of {} dimensions", run.flags.rows, run.flags.train, data::DIMENSION);
    if folder.exists() {
        line("the database was there already", folder.display());
    } else {
        load::load(&run, &folder);
    }
    if run.flags.wants("open") {
        opening(&run, &folder);
    }
    disk(&run, &folder);
    let database = Database::open(&folder).unwrap();
    if run.flags.wants("search") {
        search::search(&run, &database);
    }
    if run.flags.methods {
        methods::methods(&run, &database);
    }
    if run.flags.wants("upkeep") {
        upkeep::upkeep(&run, &database);
    }
    if run.flags.more_train > 0 {
        load::more_train(&run, &database);
        search::search(&run, &database);
    }
    drop(database);
    if run.flags.cold_start {
        upkeep::cold_start(&run, &home.join("unlabelled"));
    }
}

/// Opens a closed database in fresh processes, with what the system cached of it and without.
fn opening(run: &Run, folder: &Path) {
    heading("open a closed database (a fresh process each)");
    let child = |name: &str| {
        let flags = ["--open", folder.to_str().unwrap(), &run.flags.rows.to_string()];
        let output = Command::new(std::env::current_exe().unwrap()).args(flags).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        line(name, String::from_utf8_lossy(&output.stdout).trim());
    };
    run.say("opening");
    child("first, to fill the cache");
    (1..=3).for_each(|turn| child(&format!("warm, {turn}")));
    for turn in 1..=2 {
        if meter::evict(folder) {
            child(&format!("cold, {turn}"));
        } else {
            line("cold", "not measured: the system's cache cannot be emptied here");
        }
    }
}

/// What the child process of [`opening`] does.
fn opened(run: &Run, folder: &Path) {
    let query = run.query(0);
    let request = SearchRequest::new().ef(200);
    let (faults, used) = (meter::major_faults(), meter::cpu());
    let start = Instant::now();
    let database = Database::open(folder).unwrap();
    let open = start.elapsed().as_secs_f64();
    let answers = database.snapshot().search(&request, &[query]).unwrap();
    let answered = start.elapsed().as_secs_f64();
    assert!(!answers[0].rows.is_empty());
    let (faults, used) = (meter::major_faults() - faults, meter::cpu() - used);
    let (resident, anonymous) = meter::memory();
    let start = Instant::now();
    drop(database);
    let close = start.elapsed().as_secs_f64();
    println!(
        "first answer after {answered:.3} s (open {open:.3} s; CPU {used:.2} s), {faults} page faults, {} resident, {} not of files; close {close:.3} s",
        mib(resident),
        mib(anonymous),
    );
}

/// What the closed database takes on disk.
fn disk(run: &Run, folder: &Path) {
    heading("disk, compacted and closed");
    let rows = (run.flags.rows + run.flags.train) as f64;
    let raw = 4.0 * data::DIMENSION as f64;
    let all = meter::bytes(folder) as f64;
    line("bytes a row (index and train)", format!("{:.0} = {:.2} x its {raw} raw bytes", all / rows, all / rows / raw));
    let mut parts: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    parts.sort();
    for part in parts.iter().filter(|part| part.is_dir()) {
        let bytes = meter::bytes(part) as f64;
        line(&format!("  in {}", part.file_name().unwrap().to_string_lossy()), format!("{:.0} a row", bytes / rows));
    }
}
