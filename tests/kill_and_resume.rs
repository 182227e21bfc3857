//! A process killed in the middle of an ingest, and run again: the result equals an uninterrupted run, bit for bit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cairn::Database;
use cairndb_tests::{cairn, run_ok};

/// Pictures that differ: gradients and blocks from a number.
fn make_photos(folder: &Path, count: u32) {
    std::fs::create_dir_all(folder).unwrap();
    for n in 0..count {
        let picture = image::RgbImage::from_fn(96 + n % 5 * 16, 96, |x, y| {
            let block = (x / (8 + n % 7) + y / (8 + n % 11)) * (n + 3);
            image::Rgb([(x * 2 + n * 5) as u8, (y * 2 + n * 3) as u8, (block * 40) as u8])
        });
        picture.save(folder.join(format!("{n:04}.png"))).unwrap();
    }
}

/// Everything the database says, by key: record, descriptor, prediction. Ids and sequence numbers may differ.
fn contents(database: &Path) -> Vec<String> {
    let database = Database::open(database).unwrap();
    let snapshot = database.snapshot();
    let keys = snapshot.keys(None).unwrap();
    let line = |key: &String| {
        let record = snapshot.record(key).unwrap().unwrap();
        let bits: Vec<u32> = snapshot.vector(key).unwrap().unwrap().iter().map(|x| x.to_bits()).collect();
        let prediction = snapshot.prediction(key).unwrap().map(|vote| (vote.instance, vote.score.to_bits()));
        format!(
            "{key} {:?} {:?} {:?} {prediction:?} {bits:?}",
            record.label,
            record.content,
            snapshot.photo(key).unwrap()
        )
    };
    keys.iter().map(line).collect()
}

#[test]
fn a_killed_ingest_goes_on_to_the_same_database() {
    const PHOTOS: u32 = 400;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    make_photos(&path.join("train"), 24);
    make_photos(&path.join("index"), PHOTOS);
    let labels: String = (0..24).map(|n| format!("{n:04}.png,place {}\n", n % 5)).collect();
    std::fs::write(path.join("labels.csv"), format!("id,label\n{labels}")).unwrap();
    let start = |name: &str| {
        run_ok(path, &["create", name, "--model", "lite0-gem"]);
        // The keys of both folders are equal, so the train photos get a list with other ids.
        let rows: String = (0..24).map(|n| format!("t{n},train/{n:04}.png,place {}\n", n % 5)).collect();
        std::fs::write(path.join("train.csv"), format!("id,path,label\n{rows}")).unwrap();
        run_ok(path, &["ingest", name, "train.csv", "--as", "train"]);
    };
    start("whole");
    run_ok(path, &["ingest", "whole", "index", "--as", "index"]);
    start("killed");
    let (mut kills_in_the_middle, mut last) = (0, 0);
    for attempt in 1..=4 {
        let mut command = cairn();
        command.current_dir(path).args(["ingest", "killed", "index", "--as", "index"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(900 * attempt) && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _already_done = child.kill();
        child.wait().unwrap();
        let rows = Database::open(path.join("killed")).unwrap().snapshot().counts().index;
        assert!(rows >= last, "an acknowledged row was lost: {rows} after {last}");
        kills_in_the_middle += usize::from(rows > 0 && rows < PHOTOS as usize);
        last = rows;
    }
    println!("{kills_in_the_middle} of 4 kills came in the middle");
    run_ok(path, &["ingest", "killed", "index", "--as", "index"]);
    let (whole, killed) = (contents(&path.join("whole")), contents(&path.join("killed")));
    assert_eq!(whole.len(), PHOTOS as usize + 24);
    assert!(whole == killed, "the resumed database differs from the undisturbed one");
}
