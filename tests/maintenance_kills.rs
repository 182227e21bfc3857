//! SIGKILL at random moments of TRAIN, REEMBED and CLEAN on real photos: the job is run again until it ends, and what the database then
//! holds is what an undisturbed run leaves, bit for bit (CPU; the network and the head compute on one thread each).
//!
//! It catches: a training that begins anew from other numbers, an epoch that is taken for whole when it is half built, a cleaning that
//! is carried out twice, features of a photo that are stored in part.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cairn::Database;
use cairndb_tests::{cairn, run_ok, shared};

/// Kills of each job.
const KILLS: u32 = 25;
/// Kills of the training of a whole network, which takes longer.
const TRUNK_KILLS: u32 = 8;

/// Photos of the landmarks that the test takes: every third one.
fn lists(folder: &Path) -> Option<()> {
    let landmarks = shared("photos/landmarks")?;
    for (name, header) in [("train", "id,path,label"), ("index", "id,path")] {
        let text = std::fs::read_to_string(landmarks.join(format!("{name}.csv"))).unwrap();
        let rows = text.lines().skip(1).step_by(3).map(|row| {
            let (id, rest) = row.split_once(',').unwrap();
            format!("{id},{}/{rest}\n", landmarks.display())
        });
        std::fs::write(folder.join(format!("{name}.csv")), format!("{header}\n{}", rows.collect::<String>())).unwrap();
    }
    run_ok(folder, &["create", "start", "--model", "lite0-gem"]);
    run_ok(folder, &["ingest", "start", "train.csv", "--as", "train"]);
    run_ok(folder, &["ingest", "start", "index.csv", "--as", "index"]);
    Some(())
}

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
    let in_force = database.models().unwrap().into_iter().filter(|model| model.in_force);
    lines.extend(in_force.map(|entry| format!("{:?} {}", entry.model.unwrap().fingerprint, entry.dimension)));
    lines.extend(database.cleanings().unwrap().into_iter().map(|entry| format!("{} {}", entry.what, entry.found)));
    lines
}

/// Runs a command to its end, killing it on the way; what it leaves is what an undisturbed run leaves.
fn survives(folder: &Path, name: &str, most: u32, words: &[&str]) {
    let (whole, killed) = (format!("{name}-whole"), format!("{name}-killed"));
    for target in [&whole, &killed] {
        copy(&folder.join("start"), &folder.join(target));
    }
    let words_for = |database: &str| -> Vec<String> { words.iter().map(|word| word.replace("DB", database)).collect() };
    let begin = Instant::now();
    let undisturbed = words_for(&whole);
    run_ok(folder, &undisturbed.iter().map(String::as_str).collect::<Vec<_>>());
    let whole_run = begin.elapsed();
    let (mut kills, mut ended, mut wait) = (0, false, 0x9e37_79b9_u64);
    while kills < most && !ended {
        let mut child = cairn()
            .current_dir(folder)
            .args(words_for(&killed))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait = wait.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Most kills come in the first part of a run: later ones would leave too few runs to kill.
        let patience = whole_run.mul_f64(0.05 + 0.4 * (wait >> 40) as f64 / (1u64 << 24) as f64);
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
    }
    println!("{name}: {kills} kills, undisturbed it takes {:.1} s", whole_run.as_secs_f64());
    assert!(kills > 3, "{name} was hardly killed");
    if !ended {
        let last = words_for(&killed);
        run_ok(folder, &last.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let (wanted, found) = (contents(&folder.join(&whole)), contents(&folder.join(&killed)));
    assert!(wanted == found, "{name}: the killed job ended otherwise");
}

#[test]
fn killed_maintenance_goes_on_to_the_same_end() {
    let folder = tempfile::tempdir().unwrap();
    let Some(()) = lists(folder.path()) else { return };
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
    survives(folder.path(), "reembed", KILLS, &["maintain", "reembed", "DB"]);
    survives(
        folder.path(),
        "clean",
        KILLS,
        &["maintain", "clean", "DB", "--inliers", "20", "--freq", "1", "--unlabel"],
    );
    let trunk = "maintain train DB --trunk --dim 32 --epochs 2 --batch 16 --gem learnt --validation 0 --seed 3";
    survives(folder.path(), "trunk", TRUNK_KILLS, &trunk.split(' ').collect::<Vec<_>>());
}
