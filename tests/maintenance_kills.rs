//! SIGKILL at random moments of TRAIN, REEMBED and CLEAN on real photos: the job is run again until it ends, and the database
//! then equals that of an uninterrupted run, bit for bit (CPU; the network and the head compute on one thread each).
//!
//! Also: a job whose output nobody reads to its end.
//!
//! It catches: a training that restarts with other numbers, a half-built model space that counts as complete, a cleaning that
//! runs twice, partly stored features of a photo, a job that ends with its reader.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cairn::Database;
use cairndb_tests::{cairn, few_landmarks, run_ok};

/// Kills of each job.
const KILLS: u32 = 25;
/// Kills of the training of a whole network, which takes longer.
const TRUNK_KILLS: u32 = 8;
/// Kills of the default training, and of a job of three steps: each restarts its step.
const STEP_KILLS: u32 = 12;

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Everything the database says, by key, and which models it has.
fn contents(path: &Path) -> Vec<String> {
    let database = Database::open(path).unwrap();
    assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new());
    let snapshot = database.snapshot();
    let line = |key: &String| {
        let record = snapshot.record(key).unwrap().unwrap();
        let bits: Vec<u32> = snapshot.vector(key).unwrap().unwrap().iter().map(|x| x.to_bits()).collect();
        let prediction = snapshot.prediction(key).unwrap().map(|vote| (vote.instance, vote.score.to_bits()));
        format!("{key} {:?} {prediction:?} {bits:?}", record.label)
    };
    let mut lines: Vec<String> = snapshot.keys(None).unwrap().iter().map(line).collect();
    let models = database.models().unwrap();
    lines.push(format!(
        "models begun and not whole: {}",
        models.iter().filter(|model| model.unfinished.is_some()).count()
    ));
    let in_force = models.into_iter().filter(|model| model.active);
    lines.extend(in_force.map(|entry| {
        // A job that was killed after its flip may have made a second model; the first one is no longer active.
        let (number, dimension) = (entry.number, entry.dimension);
        format!("{:?} {dimension}, another than the first: {}", entry.model.unwrap().fingerprint, number > 0)
    }));
    lines.extend(database.cleanings().unwrap().into_iter().map(|entry| format!("{} {}", entry.what, entry.found)));
    lines
}

/// Fails with the first lines in which two databases differ.
fn assert_same(wanted: &[String], found: &[String], what: &str) {
    let differing: Vec<_> = wanted.iter().zip(found).filter(|(wanted, found)| wanted != found).collect();
    let short = |line: &str| line.chars().take(300).collect::<String>();
    let shown: Vec<_> = differing.iter().rev().take(3).map(|(one, two)| (short(one), short(two))).collect();
    let (there, here) = (wanted.len(), found.len());
    assert!(wanted == found, "{what}: {} lines differ of {there} and {here}, at the end {shown:#?}", differing.len());
}

/// Whether a database has descriptors of an epoch that was begun and is not whole.
fn is_half_made(path: &Path) -> bool {
    let models = Database::open(path).unwrap().models().unwrap();
    models.iter().any(|model| model.unfinished.is_some_and(|made| made > 0))
}

/// Runs a command to its end again and again, each time on a fresh copy, killing it on the way, until it was killed `most` times; what
/// it leaves is what an undisturbed run leaves. How many kills left a half-made epoch.
fn survives(folder: &Path, name: &str, most: u32, words: &[&str]) -> u32 {
    let (whole, killed) = (format!("{name}-whole"), format!("{name}-killed"));
    copy(&folder.join("start"), &folder.join(&whole));
    let words_for = |database: &str| -> Vec<String> { words.iter().map(|word| word.replace("DB", database)).collect() };
    let begin = Instant::now();
    let undisturbed = words_for(&whole);
    run_ok(folder, &undisturbed.iter().map(String::as_str).collect::<Vec<_>>());
    let whole_run = begin.elapsed();
    let wanted = contents(&folder.join(&whole));
    let (mut kills, mut rounds, mut half_made, mut wait) = (0, 0, 0, 0x9e37_79b9_u64);
    while kills < most && rounds < most {
        rounds += 1;
        copy(&folder.join("start"), &folder.join(&killed));
        let mut ended = false;
        while kills < most && !ended {
            let mut child = cairn()
                .current_dir(folder)
                .args(words_for(&killed))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            wait = wait.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Two of three kills come in the first part of a run, so that many of one round land; the third aims at its end.
            let (from, span) = if kills % 3 == 2 { (0.5, 0.5) } else { (0.05, 0.45) };
            let patience = whole_run.mul_f64(from + span * (wait >> 40) as f64 / (1u64 << 24) as f64);
            let begin = Instant::now();
            while begin.elapsed() < patience && !ended {
                ended = child.try_wait().unwrap().is_some();
                std::thread::sleep(Duration::from_millis(5));
            }
            if !ended {
                child.kill().unwrap();
                kills += 1;
            }
            child.wait().unwrap();
            half_made += u32::from(!ended && is_half_made(&folder.join(&killed)));
        }
        if !ended {
            let last = words_for(&killed);
            run_ok(folder, &last.iter().map(String::as_str).collect::<Vec<_>>());
        }
        assert_same(&wanted, &contents(&folder.join(&killed)), &format!("{name}: the killed job ended otherwise"));
        std::fs::remove_dir_all(folder.join(&killed)).unwrap();
    }
    println!(
        "{name}: {kills} kills in {rounds} rounds, {half_made} left a half-made epoch; undisturbed it takes {:.1} s",
        whole_run.as_secs_f64()
    );
    assert!(2 * kills > most, "{name} was hardly killed");
    half_made
}

/// A job whose output nobody reads to its end is done to its end, once.
fn goes_on_without_a_reader(folder: &Path) {
    let words = |database: &'static str| ["maintain", "run", database, "--rule", "suspects", "--unlabel"];
    for database in ["read", "unread"] {
        copy(&folder.join("start"), &folder.join(database));
    }
    run_ok(folder, &words("read"));
    let mut child =
        cairn().current_dir(folder).args(words("unread")).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
    let database = Database::open(folder.join("unread")).unwrap();
    assert_eq!(database.cleanings().unwrap().len(), 1);
    assert_eq!(database.snapshot().note("maintain run").unwrap(), None, "nothing is left to do");
    drop(database);
    assert_same(&contents(&folder.join("read")), &contents(&folder.join("unread")), "no reader");
}

#[test]
fn killed_maintenance_goes_on_to_the_same_end() {
    let folder = tempfile::tempdir().unwrap();
    let Some(()) = few_landmarks(folder.path(), "start") else { return };
    survives(
        folder.path(),
        "train",
        KILLS,
        &[
            "maintain",
            "train",
            "DB",
            "--loss",
            "arcface",
            "--dim",
            "64",
            "--epochs",
            "200",
            "--validation",
            "0",
            "--seed",
            "3",
        ],
    );
    goes_on_without_a_reader(folder.path());
    let half_made = survives(folder.path(), "reembed", KILLS, &["maintain", "reembed", "DB"]);
    assert!(half_made > 0, "no kill left an unfinished model space");
    survives(
        folder.path(),
        "clean",
        KILLS,
        &["maintain", "clean", "DB", "--inliers", "20", "--freq", "1", "--unlabel"],
    );
    survives(folder.path(), "discriminants", STEP_KILLS, &["maintain", "train", "DB"]);
    survives(folder.path(), "run", STEP_KILLS, &["maintain", "run", "DB", "--rule", "suspects", "--unlabel"]);
    let trunk = "maintain train DB --trunk --dim 32 --epochs 2 --batch 16 --gem learnt --validation 0 --seed 3";
    survives(folder.path(), "trunk", TRUNK_KILLS, &trunk.split(' ').collect::<Vec<_>>());
    // Killed between its last step and its end, it is run again with nothing left to do.
    let once = contents(&folder.path().join("trunk-whole"));
    let again = run_ok(folder.path(), &trunk.replace("DB", "trunk-whole").split(' ').collect::<Vec<_>>());
    assert!(again.contains("is the result of this training"), "{again}");
    assert_same(&once, &contents(&folder.path().join("trunk-whole")), "trained twice");
}
