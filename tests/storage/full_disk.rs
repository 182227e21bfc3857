//! R4 on a real full disk: a file system of 48 MiB is filled up under a database that is being written. Its writer stops with an error,
//! reading goes on, what was set aside is given back, so that it can be closed and opened while the disk is still full; nothing
//! acknowledged is lost, and once there is room it is written again and sets space aside again.
//!
//! It needs root for `mount`, so it runs on request only:
//! `cargo test --workspace --test full_disk -- --ignored --nocapture`.
//!
//! It catches: a reserve that is not given back, or taken back at once; an acknowledged write that was not on the disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use cairn::{Database, ErrorKind};
use cairndb_storage_tests::{Random, create, put};

const DIMENSION: usize = 128;
/// Images of a transaction.
const TOGETHER: usize = 20;

/// A small file system in memory; unmounted when it goes.
struct Disk(PathBuf);

impl Disk {
    fn new(place: PathBuf) -> Self {
        std::fs::create_dir_all(&place).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=48m", "none"]).arg(&place).output().unwrap();
        assert!(mounted.status.success(), "{}", String::from_utf8_lossy(&mounted.stderr));
        Self(place)
    }

    /// Fills it up but for so many bytes.
    fn fill(&self, ballast: &Path, left: usize) {
        let mut file = std::fs::File::create(ballast).unwrap();
        let piece = vec![1; 1 << 16];
        while file.write_all(&piece).is_ok() {}
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(left as u64)).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _not_mounted = Command::new("umount").arg(&self.0).output();
    }
}

fn transaction(number: usize, random: &mut Random) -> Vec<cairn::Operation> {
    let image = |at: usize| {
        let vector: Vec<f32> = (0..DIMENSION).map(|_| random.signed()).collect();
        put(format!("{number:05}-{at:02}"), at.is_multiple_of(5).then_some("place"), &vector)
    };
    (0..TOGETHER).map(image).collect()
}

fn keys(database: &Database) -> BTreeSet<String> {
    database.snapshot().keys(None).unwrap().into_iter().collect()
}

#[test]
#[ignore = "needs root: it mounts a file system"]
fn a_full_disk_stops_the_writer_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new(folder.path().join("disk"));
    let (path, ballast) = (disk.0.join("db"), disk.0.join("ballast"));
    let reserve = path.join("reserve");
    let mut random = Random::new(4);
    let mut database = create(&path, DIMENSION);
    for (round, left) in [16 << 20, 900 << 10, 300 << 10, 20 << 10].into_iter().enumerate() {
        let mut acknowledged = keys(&database);
        assert!(reserve.exists(), "round {round}");
        disk.fill(&ballast, left);
        let first = 10_000 * round;
        let error = (first..first + 5_000)
            .find_map(|number| {
                let written = database.write(transaction(number, &mut random));
                acknowledged.extend(
                    written
                        .is_ok()
                        .then(|| (0..TOGETHER).map(|at| format!("{number:05}-{at:02}")))
                        .into_iter()
                        .flatten(),
                );
                written.err()
            })
            .expect("the disk must get full");
        println!("round {round}: {} images, then: {}", acknowledged.len(), error.message());
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.next_step().unwrap().contains("space"), "{error}");
        assert!(!reserve.exists(), "what was set aside must be given back");
        assert_eq!(keys(&database), acknowledged, "reading goes on");
        let again = database.write(transaction(9_999, &mut random)).unwrap_err();
        assert!(again.message().contains("an earlier write failed"), "{again}");
        drop(database);

        let full = Database::open(&path).unwrap_or_else(|error| panic!("round {round}, still full: {error}"));
        assert!(acknowledged.is_subset(&keys(&full)), "acknowledged images are gone");
        assert!(keys(&full).len() <= acknowledged.len() + TOGETHER, "only the last transaction's fate was open");
        drop(full);

        std::fs::remove_file(&ballast).unwrap();
        database = Database::open(&path).unwrap();
        assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new());
        database.write(transaction(first + 9_000, &mut random)).unwrap();
    }
}
