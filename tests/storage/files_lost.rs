//! R9: any subset of the segment files removed, damaged, or swapped with files of another database. The database opens degraded
//! and reports it, answers as before, and its worker rebuilds the segments.
//!
//! It catches: an opening that fails on a missing segment, `from_catalog` that forgets tombstones or a role, a segment accepted
//! by its name without a check of its header, problems that stay in the status after the rebuild, an opening or a repair that
//! fails on an entry that is no file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use cairn::{Database, Operation};
use cairndb_storage_tests::{
    Random, copy_folder, create, digest, files, healthy, images, many, no_leftovers, status, wait_until,
};

/// Three segments of each role, dead rows in some, and a tail.
fn build(path: &Path, seed: u64) -> Vec<String> {
    let database = create(path, 16);
    for part in 0..3 {
        database.write(images(&format!("p{part}-"), 240, 16, 9, 4, seed + part)).unwrap();
        database.flush().unwrap();
    }
    let dead = (0..30).map(|n| Operation::Delete { key: format!("p1-{:06}", n * 2) });
    database.write(dead).unwrap();
    database.write(images("tail-", 40, 16, 9, 4, seed + 9)).unwrap();
    digest(&database.snapshot())
}

/// What happens to one segment file.
fn damage(path: &Path, how: usize, others: &[PathBuf], random: &mut Random) {
    let bytes = std::fs::read(path).unwrap();
    // A new file each time: a file that may be mapped is never cut short.
    std::fs::remove_file(path).unwrap();
    let mut changed = bytes.clone();
    match how {
        0 => return,
        1 => changed.truncate(random.below(bytes.len())),
        2 => {
            let at = random.below(bytes.len());
            changed[at] ^= 1 << random.below(8);
        }
        3 => {
            let at = random.below(bytes.len() / 512) * 512;
            changed[at..at + 512].fill(0);
            if changed == bytes {
                changed[at] = 1;
            }
        }
        4 => changed = std::fs::read(&others[random.below(others.len())]).unwrap(),
        _ => changed = Vec::new(),
    }
    std::fs::write(path, changed).unwrap();
}

#[test]
fn any_subset_of_segment_files_can_be_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (origin, stranger) = (folder.path().join("origin"), folder.path().join("stranger"));
    let wanted = build(&origin, 1);
    build(&stranger, 1);
    let segments = files(&origin.join("segments"));
    let mut others = files(&stranger.join("segments"));
    assert!(segments.len() >= 4, "{segments:?}");
    others.extend(segments.iter().cloned());
    let mut random = Random::new(9);
    let cases = many(24, 1000);
    for case in 0..cases {
        // The first cases: each file alone, then all of them; then any subset.
        let subset: Vec<&PathBuf> = match case {
            0 => segments.iter().collect(),
            case if case <= segments.len() => vec![&segments[case - 1]],
            _ => segments.iter().filter(|_| random.below(2) == 0).collect(),
        };
        let how = if case == 0 { 0 } else { random.below(6) };
        let story = format!("case {case}, {how}, {} files", subset.len());
        let path = folder.path().join("copy");
        let _absent = std::fs::remove_dir_all(&path);
        copy_folder(&origin, &path);
        if random.below(2) == 0 {
            let _absent = std::fs::remove_file(path.join("columns"));
        }
        for file in &subset {
            // A file swapped with itself is no damage.
            let strangers: Vec<PathBuf> = others.iter().filter(|other| other != file).cloned().collect();
            damage(&path.join("segments").join(file.file_name().unwrap()), how, &strangers, &mut random);
        }
        // Read only, nothing is rebuilt behind the test's back.
        {
            let database = Database::open_read_only(&path).unwrap_or_else(|error| panic!("{story}: {error}"));
            let open = status(&database, "health");
            assert!(digest(&database.snapshot()) == wanted, "{story}: other answers, read only");
            let problems = database.check(true).unwrap().problems;
            assert_eq!(problems.is_empty(), subset.is_empty(), "{story}: {problems:?}");
            if how != 2 && how != 3 && !subset.is_empty() {
                assert!(open.starts_with("degraded"), "{story}: {open}");
            }
        }
        let database = Database::open(&path).unwrap_or_else(|error| panic!("{story}: {error}"));
        assert!(digest(&database.snapshot()) == wanted, "{story}: other answers after opening");
        // It looks at every row, so damage that only a reader of that row can meet is met.
        database.check(true).unwrap();
        wait_until("a rebuild", || {
            healthy(&database) && database.segments().iter().all(|segment| segment.problem.is_none())
        });
        assert!(digest(&database.snapshot()) == wanted, "{story}: other answers after the rebuild");
        wait_until("a sound check", || {
            database.check(true).unwrap().problems.is_empty() || {
                // A damaged row that is dead is met by nobody; a merge drops it.
                database.compact().unwrap();
                false
            }
        });
        no_leftovers(&database, &story);
        drop(database);
        let database = Database::open_read_only(&path).unwrap();
        assert!(healthy(&database), "{story}: {}", status(&database, "health"));
        assert!(digest(&database.snapshot()) == wanted, "{story}: other answers after opening again");
    }
    println!("{cases} cases, {} segment files", segments.len());
}

/// A folder among the segments, or with a segment's name, belongs to nobody: it stays, and nothing fails because of it.
#[test]
fn a_folder_among_the_segments_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let wanted = build(&path, 3);
    let stranger = path.join("segments/lost+found");
    std::fs::create_dir(&stranger).unwrap();
    std::fs::write(stranger.join("note"), b"mine").unwrap();
    let segment = files(&path.join("segments")).into_iter().find(|path| path.is_file()).unwrap();
    std::fs::remove_file(&segment).unwrap();
    std::fs::create_dir(&segment).unwrap();
    for _ in 0..2 {
        assert!(digest(&Database::open_read_only(&path).unwrap().snapshot()) == wanted);
        let database = Database::open(&path).unwrap();
        database.backup(folder.path().join("backup")).unwrap();
        Database::verify_backup(folder.path().join("backup")).unwrap();
        std::fs::remove_dir_all(folder.path().join("backup")).unwrap();
        wait_until("a rebuild", || healthy(&database));
        database.compact().unwrap();
        assert!(digest(&database.snapshot()) == wanted);
        drop(database);
        Database::repair(&path).unwrap();
        assert!(segment.is_dir());
        assert_eq!(std::fs::read(stranger.join("note")).unwrap(), b"mine");
    }
}
