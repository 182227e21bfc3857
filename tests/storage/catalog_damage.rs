//! R8: random damage to the files of the catalog (tables, log, MANIFEST, CURRENT, OPTIONS). Either opening or use returns an
//! error, or every answer is right: never a silently wrong prediction, never an acknowledged write silently missing.
//!
//! It catches: `acknowledged::check` left out (a log cut short opens as an older database), also by the reading opening alone; RocksDB's
//! checks of tables switched off, a recovery mode that skips damaged records, opening without a look at the logs first (it would never end).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cairn::{Database, Deferral, ErrorKind, Result, Snapshot};
use cairndb_storage_tests::{DIMENSION, Model, Random, Stream, copy_folder, create, files, many, wait_until};

/// Waits until the side file holds that sequence number: magic, name of the database, number, checksum.
fn wait_for_note(path: &Path, sequence: u64) {
    let noted = || Some(std::fs::read(path.join("acknowledged")).ok()?.get(24..32)? == sequence.to_le_bytes());
    wait_until("the note in the side file", || noted() == Some(true));
}

/// A small database with tables and segments: closed, or, with an odd seed, as a crash leaves it, with much in its log.
fn build(path: &Path, origin: &Path, seed: u64) -> Model {
    let mut stream = Stream::new(seed);
    for part in 0..3 {
        let database = if part == 0 { create(path, DIMENSION) } else { Database::open(path).unwrap() };
        for _ in 0..25 {
            database.write(stream.transaction()).unwrap();
            stream.advance();
        }
        if part < 2 {
            database.flush().unwrap();
        } else {
            database.set_deferral(Deferral::Always);
            for _ in 0..3 {
                database.write(stream.transaction()).unwrap();
                stream.advance();
            }
            wait_for_note(path, stream.next - 1);
            if !seed.is_multiple_of(2) {
                // A crash leaves one moment; a copy that a merge overtakes would hold two.
                wait_until("the worker's rest", || {
                    let before = (database.segments(), database.snapshot().lag());
                    std::thread::sleep(std::time::Duration::from_millis(300));
                    before == (database.segments(), 0)
                });
                copy_folder(path, origin);
            }
        }
    }
    if seed.is_multiple_of(2) {
        copy_folder(path, origin);
    }
    stream.model
}

fn damage(path: &Path, random: &mut Random) -> String {
    let mut bytes = std::fs::read(path).unwrap();
    let at = if bytes.is_empty() { 0 } else { random.below(bytes.len()) };
    let how = match random.below(8) {
        0 => {
            std::fs::remove_file(path).unwrap();
            return "removed".to_owned();
        }
        1 => {
            bytes.truncate(at);
            format!("cut at {at}")
        }
        2 => {
            let end = (at + 1 + random.below(512)).min(bytes.len());
            bytes[at..end].fill(0);
            format!("zeroed {at}..{end}")
        }
        3 => {
            let from = random.below(bytes.len().max(1));
            let length = 1 + random.below(256);
            let piece = bytes[from..(from + length).min(bytes.len())].to_vec();
            let end = (at + piece.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&piece[..end - at]);
            format!("copied {length} from {from} to {at}")
        }
        4 => {
            let length = 1 + random.below(64);
            bytes.extend((0..length).map(|_| random.number() as u8));
            format!("{length} bytes behind its end")
        }
        _ if bytes.is_empty() => {
            bytes.push(1);
            "a byte in an empty file".to_owned()
        }
        _ => {
            bytes[at] ^= 1 << random.below(8);
            format!("a bit at {at}")
        }
    };
    std::fs::write(path, bytes).unwrap();
    how
}

/// Everything that differs from the model without an error.
fn wrong(snapshot: &Snapshot, model: &Model, votes: &BTreeMap<String, (String, u32)>) -> Vec<String> {
    let mut wrong = Vec::new();
    match snapshot.keys(None) {
        Ok(keys) if !keys.iter().eq(model.keys()) => wrong.push(format!("{} keys for {}", keys.len(), model.len())),
        _ => {}
    }
    for (key, (label, vector)) in model {
        match snapshot.record(key) {
            Ok(Some(record)) if record.label == *label => {}
            Ok(other) => wrong.push(format!("the record of {key}: {other:?}")),
            Err(_told) => {}
        }
        match snapshot.vector(key) {
            Ok(Some(stored)) if stored == *vector => {}
            Ok(_) => wrong.push(format!("the descriptor of {key}")),
            Err(_told) => {}
        }
        match snapshot.prediction(key) {
            Ok(vote)
                if vote.as_ref().map(|vote| (&vote.instance, vote.score.to_bits()))
                    == votes.get(key).map(|vote| (&vote.0, vote.1)) => {}
            Ok(other) => wrong.push(format!("the prediction of {key}: {other:?}")),
            Err(_told) => {}
        }
    }
    wrong
}

fn look(path: &Path, model: &Model, votes: &BTreeMap<String, (String, u32)>) -> Result<Vec<String>> {
    let database = Database::open(path)?;
    let snapshot = database.apply_pending()?;
    let wrong = wrong(&snapshot, model, votes);
    // An honest check may find more than a reader met; what it must not do is fail without an error.
    let _report = database.check(true)?;
    Ok(wrong)
}

/// Repairs, and says how large a part of the images is as it was; what is left must be a sound database.
fn repaired(path: &Path, model: &Model) -> Result<f64> {
    // Whatever is lost: how much that is, is what is asked here.
    let _lost = Database::repair_at_any_loss(path)?;
    let database = Database::open(path)?;
    let snapshot = database.apply_pending()?;
    assert_eq!(database.check(true)?.problems, Vec::<String>::new());
    let mut same = 0;
    for (key, (label, vector)) in model {
        let record = snapshot.record(key)?;
        same += usize::from(
            record.is_some_and(|record| record.label == *label) && snapshot.vector(key)?.as_ref() == Some(vector),
        );
    }
    Ok(same as f64 / model.len() as f64)
}

/// The predictions of an undamaged database, which is the model.
fn votes_of(origin: &Path, model: &Model) -> BTreeMap<String, (String, u32)> {
    let sound = origin.with_extension("sound");
    copy_folder(origin, &sound);
    let database = Database::open(&sound).unwrap();
    let snapshot = database.apply_pending().unwrap();
    let vote = |key: &String| {
        Some((key.clone(), snapshot.prediction(key).unwrap().map(|vote| (vote.instance, vote.score.to_bits()))?))
    };
    let votes = model.keys().filter_map(vote).collect();
    assert_eq!(wrong(&snapshot, model, &votes), Vec::<String>::new());
    assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new());
    votes
}

/// Where the records of a log of RocksDB end: blocks of 32 KiB, in them checksum (4), length (2), kind (1), bytes.
fn record_ends(bytes: &[u8]) -> Vec<usize> {
    const BLOCK: usize = 32 << 10;
    let (mut ends, mut at) = (Vec::new(), 0);
    while at + 7 <= bytes.len() {
        if BLOCK - at % BLOCK < 7 {
            at = at.next_multiple_of(BLOCK);
            continue;
        }
        at += 7 + usize::from(u16::from_le_bytes([bytes[at + 4], bytes[at + 5]]));
        ends.push(at);
    }
    ends
}

/// RocksDB turns forever in a log in which a record claims to be of a recycled log, which is one bit away from a sound one.
#[test]
fn a_record_of_a_recycled_log_is_refused_and_repaired() {
    const RECYCLED_FULL: u8 = 5;
    let folder = tempfile::tempdir().unwrap();
    let origin = folder.path().join("origin 1");
    let model = build(&folder.path().join("first 1"), &origin, 1);
    let lists = files(&origin.join("catalog")).into_iter().filter(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("MANIFEST") || name.ends_with(".log") && path.metadata().unwrap().len() > 0
    });
    let mut cases = 0;
    for list in lists {
        let bytes = std::fs::read(&list).unwrap();
        let ends = record_ends(&bytes);
        if ends.len() < 2 {
            // Closing left a log of one record, which has no middle.
            continue;
        }
        let middle = ends[ends.len() / 2 - 1];
        let behind = bytes.len();
        for (at, damaged) in [
            (middle, {
                let mut bytes = bytes.clone();
                bytes[middle + 6] = RECYCLED_FULL;
                bytes
            }),
            (behind, [&bytes[..], &[9, 9, 9, 9, 1, 0, RECYCLED_FULL, 9]].concat()),
        ] {
            let path = folder.path().join("copy");
            let _absent = std::fs::remove_dir_all(&path);
            copy_folder(&origin, &path);
            std::fs::write(path.join("catalog").join(list.file_name().unwrap()), damaged).unwrap();
            for refused in [Database::open(&path), Database::open_read_only(&path)] {
                let message = refused.expect_err("damage is reported").to_string();
                assert!(message.contains(&format!("is damaged at byte {at}")), "{message}");
            }
            let left = repaired(&path, &model).unwrap();
            // What lies behind the damage may be gone; what was in tables is not.
            assert!(left > 0.5, "{left:.2} of the images are left");
            cases += 1;
        }
    }
    assert!(cases >= 4, "only {cases} logs were damaged");
}

/// A block of descriptors is lost, and the segments have them all; a block of what the database is, and it is written twice.
#[test]
fn damage_to_one_table_of_descriptors_or_of_the_identity_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("first");
    let mut stream = Stream::new(7);
    let database = create(&first, DIMENSION);
    for _ in 0..40 {
        database.write(stream.transaction()).unwrap();
        stream.advance();
    }
    database.flush().unwrap();
    database.apply_pending().unwrap();
    drop(database);
    // The log's rows become tables when a second opening is closed; whatever is not flushed now stays in the log.
    drop(Database::open(&first).unwrap());
    let mut cases = 0;
    // How the properties of a table name its family: the end of a key, and the value behind it.
    for mark in ["nameembeddings", "namemeta"] {
        let holds = |path: &PathBuf| {
            path.extension().is_some_and(|end| end == "sst")
                && std::fs::read(path).unwrap().windows(mark.len()).any(|window| window == mark.as_bytes())
        };
        for table in files(&first.join("catalog")).into_iter().filter(holds) {
            let path = folder.path().join("copy");
            let _absent = std::fs::remove_dir_all(&path);
            copy_folder(&first, &path);
            let table = path.join("catalog").join(table.file_name().unwrap());
            let mut bytes = std::fs::read(&table).unwrap();
            bytes[40] ^= 1;
            std::fs::write(&table, bytes).unwrap();
            assert_eq!(repaired(&path, &stream.model).unwrap(), 1.0, "{mark}");
            let damaged = path.join("catalog.damaged-1");
            assert!(damaged.is_dir(), "the damaged catalog is kept");
            cases += 1;
        }
    }
    println!("{cases} tables");
    assert!(cases >= 2, "only {cases} tables were damaged");
}

/// The list of tables and the log cut behind each of their records: what is left is sound in itself, and older.
#[test]
fn an_older_list_or_log_is_never_silent() {
    let folder = tempfile::tempdir().unwrap();
    let mut found = Vec::new();
    let (mut cases, mut refused) = (0, 0);
    for seed in [0, 1] {
        let origin = folder.path().join(format!("origin {seed}"));
        let model = build(&folder.path().join(format!("first {seed}")), &origin, seed);
        let votes = votes_of(&origin, &model);
        let lists = files(&origin.join("catalog")).into_iter().filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with("MANIFEST") || name.ends_with(".log")
        });
        for list in lists {
            let bytes = std::fs::read(&list).unwrap();
            let mut ends = record_ends(&bytes);
            ends.pop();
            if ends.len() > 60 {
                let step = many(ends.len() / 20, 1);
                ends = ends.into_iter().rev().step_by(step).collect();
            }
            for end in ends {
                let path = folder.path().join("copy");
                let _absent = std::fs::remove_dir_all(&path);
                copy_folder(&origin, &path);
                let name = list.file_name().unwrap();
                std::fs::write(path.join("catalog").join(name), &bytes[..end]).unwrap();
                cases += 1;
                match look(&path, &model, &votes) {
                    Ok(wrong) if wrong.is_empty() => {}
                    Ok(wrong) => found.push(format!(
                        "seed {seed}: {} cut at {end} of {}: {} silent differences, first {:?}",
                        name.to_string_lossy(),
                        bytes.len(),
                        wrong.len(),
                        wrong[0]
                    )),
                    Err(_told) => refused += 1,
                }
            }
        }
    }
    println!("{cases} cuts, {refused} refused, {} silently wrong", found.len());
    assert!(found.is_empty(), "{} of {cases}:\n{}", found.len(), found.join("\n"));
}

/// A reader is also refused if acknowledged writes are lost, and only then.
#[test]
fn a_reader_is_told_of_lost_writes() {
    let folder = tempfile::tempdir().unwrap();
    let origin = folder.path().join("origin");
    let model = build(&folder.path().join("first"), &origin, 1);
    let path = folder.path().join("copy");
    let mut refused = 0;
    let logs =
        files(&origin.join("catalog")).into_iter().filter(|path| path.extension().is_some_and(|end| end == "log"));
    for log in logs {
        let bytes = std::fs::read(&log).unwrap();
        for part in [1, 2, 3, 4] {
            let _absent = std::fs::remove_dir_all(&path);
            copy_folder(&origin, &path);
            let kept = bytes.len() * part / 4;
            std::fs::write(path.join("catalog").join(log.file_name().unwrap()), &bytes[..kept]).unwrap();
            match Database::open_read_only(&path) {
                Ok(_) => assert_eq!(kept, bytes.len(), "a log was cut, and no error was reported"),
                Err(error) => {
                    assert_ne!(kept, bytes.len(), "{error}");
                    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                    refused += usize::from(error.message().contains("were acknowledged"));
                }
            }
        }
    }
    println!("{refused} cuts were refused for lost writes, {} images", model.len());
    assert!(refused > 0);
}

#[test]
fn damage_is_never_silent() {
    let folder = tempfile::tempdir().unwrap();
    let (mut found, mut left): (Vec<String>, Vec<f64>) = Default::default();
    let (mut refused, mut right, mut panicked) = (0, 0, 0);
    let cases = many(60, 10_000);
    let mut random = Random::new(88);
    for (seed, part) in [(0u64, cases / 2), (1, cases - cases / 2)] {
        let origin = folder.path().join(format!("origin {seed}"));
        let model = build(&folder.path().join(format!("first {seed}")), &origin, seed);
        let votes = votes_of(&origin, &model);
        let targets: Vec<PathBuf> = files(&origin.join("catalog"))
            .into_iter()
            .filter(|path| {
                !["LOG", "LOCK"].iter().any(|name| path.file_name().unwrap().to_string_lossy().starts_with(name))
            })
            .collect();
        let vital: Vec<&PathBuf> =
            targets.iter().filter(|path| path.extension().is_none_or(|end| end != "sst")).collect();
        for case in 0..part {
            if case % 500 == 499 {
                println!("seed {seed}: {case} cases, {refused} refused, {right} right");
            }
            let path = folder.path().join("copy");
            let _absent = std::fs::remove_dir_all(&path);
            copy_folder(&origin, &path);
            // Tables are many; log and lists get half of the blows.
            let target = if random.below(2) == 0 {
                vital[random.below(vital.len())]
            } else {
                &targets[random.below(targets.len())]
            };
            let target = path.join("catalog").join(target.file_name().unwrap());
            let how = damage(&target, &mut random);
            let story = format!("seed {seed} case {case}: {} {how}", target.file_name().unwrap().to_string_lossy());
            match std::panic::catch_unwind(|| look(&path, &model, &votes)) {
                Ok(Ok(wrong)) if wrong.is_empty() => right += 1,
                Ok(Ok(wrong)) => {
                    found.push(format!("{story}: {} silent differences, first {:?}", wrong.len(), wrong[0]))
                }
                Ok(Err(_told)) => {
                    refused += 1;
                    if refused % many(1, 10) == 0 {
                        match repaired(&path, &model) {
                            Ok(images) => left.push(images),
                            Err(error) => found.push(format!("{story}: not repaired: {error:?}")),
                        }
                    }
                }
                Err(_panic) => {
                    panicked += 1;
                    println!("{story}: a panic");
                    found.push(story);
                }
            }
        }
    }
    left.sort_by(f64::total_cmp);
    // Half of the blows hit lists and logs, and what only a log holds may be gone with its end.
    assert!(left[left.len() * 2 / 3] == 1.0, "two of three repairs lost images: {left:?}");
    println!(
        "after repairs {:.0} % of the images are as they were in the median, {:.0} % in the worst of ten, of {} cases all",
        100.0 * left[left.len() / 2],
        100.0 * left[left.len() / 10],
        left.iter().filter(|&&left| left == 1.0).count()
    );
    println!(
        "{cases} cases: {refused} refused, {right} right, {panicked} panics, {} silently wrong",
        found.len() - panicked
    );
    assert!(refused > 0 && right > 0, "the damage does not reach");
    assert!(found.is_empty(), "{} of {cases}:\n{}", found.len(), found.join("\n"));
}
