//! R4 and R25 on real full disks: separate file systems, ext4 and one in memory, are filled under a database. A write that does
//! not fit is refused with the bytes that it needs, a creation leaves nothing, and a full database can be read, closed, opened,
//! backed up elsewhere and deleted from. It resumes when there is space; nothing acknowledged is lost.
//!
//! They need root for `mount`; without it they print that and pass. `CAIRN_LONG=1` tries every MiB from 0 to 100.
//!
//! It catches: a log or a list of tables whose space is allocated before it is written; a reserve that is not released, not
//! created again, or used by other writes; a half creation; a backup that writes to its source; a database that stays out of
//! order when there is space again; an opening that first writes its log into tables.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cairn::model::{Reembed, Target, Wanted};
use cairn::{Database, ErrorKind, Operation, Options, Put};
use cairndb_storage_tests::epochs;
use cairndb_storage_tests::{DIMENSION, Guarded, Random, create, digest, healthy, load, many, put, status, wait_until};

const MIB: u64 = 1 << 20;
/// What a new database needs, as `Database::create` says.
const NEW_MIB: u64 = 16;
/// Bytes of a photo that is kept: a disk is full soon.
const PHOTO: usize = 48 << 10;
/// Images of a transaction.
const TOGETHER: usize = 10;

/// A small file system; unmounted when it goes.
struct Disk {
    place: PathBuf,
    ballast: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ext4,
    Memory,
}

impl Disk {
    /// `None`, said aloud: it cannot be mounted here.
    fn new(folder: &Path, kind: Kind, mib: u64) -> Option<Self> {
        let (place, image) = (folder.join("disk"), folder.join("image"));
        std::fs::create_dir_all(&place).unwrap();
        let mut command = Command::new("mount");
        match kind {
            Kind::Ext4 => {
                std::fs::File::create(&image).unwrap().set_len(mib * MIB).unwrap();
                // Nothing kept back for root, so that everybody's full is full.
                let made = Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image).output();
                if !made.is_ok_and(|made| made.status.success()) {
                    println!("SKIPPED: there is no mkfs.ext4 here");
                    return None;
                }
                command.args(["-o", "loop"]).arg(&image)
            }
            Kind::Memory => command.args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "none"]),
        };
        let mounted = command.arg(&place).output().unwrap();
        if !mounted.status.success() {
            println!("SKIPPED: no file system can be mounted here: {}", String::from_utf8_lossy(&mounted.stderr));
            return None;
        }
        Some(Self { ballast: place.join("ballast"), place })
    }

    /// Fills it up but for so many bytes.
    fn fill(&self, left: u64) {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&self.ballast).unwrap();
        let piece = vec![1; 1 << 16];
        while file.write_all(&piece).is_ok() {}
        let _full = file.sync_all();
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(left)).unwrap();
        let _full = file.sync_all();
    }

    fn free(&self) {
        let _not_filled = std::fs::remove_file(&self.ballast);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _not_mounted = Command::new("umount").arg(&self.place).output();
    }
}

/// Mebibytes at which a test looks.
fn sizes(few: &[u64]) -> Vec<u64> {
    if many(0, 1) == 1 { (0..=100).collect() } else { few.to_vec() }
}

fn transaction(number: usize, random: &mut Random) -> Vec<Operation> {
    let image = |at: usize| {
        let vector: Vec<f32> = (0..DIMENSION).map(|_| random.signed()).collect();
        let photo: Vec<u8> = (0..PHOTO / 4).flat_map(|_| random.signed().to_le_bytes()).collect();
        let put = Put::new(format!("{number:05}-{at:02}"), vector).photo(photo);
        if at.is_multiple_of(5) { put.label("place").into() } else { put.into() }
    };
    (0..TOGETHER).map(image).collect()
}

fn keys(database: &Database) -> BTreeSet<String> {
    database.snapshot().keys(None).unwrap().into_iter().collect()
}

fn problems(database: &Database) -> Vec<String> {
    database.check(true).unwrap().problems.into_iter().map(|problem| problem.message).collect()
}

/// Writes until the disk is full. Returns what was acknowledged.
fn fill_up(database: &Database, from: usize, random: &mut Random, story: &str) -> BTreeSet<String> {
    let mut acknowledged = keys(database);
    for number in from..from + 2_000 {
        match database.write(transaction(number, random)) {
            Ok(_) => acknowledged.extend((0..TOGETHER).map(|at| format!("{number:05}-{at:02}"))),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::DiskFull, "{story}: {error}");
                assert!(error.to_string().contains("MiB"), "{story}: {error}");
                return acknowledged;
            }
        }
    }
    panic!("{story}: the disk never gets full");
}

/// What must hold of a full database, from its creation on; then there is room again.
fn lives_through(disk: &Disk, elsewhere: &Path, mib: u64, story: &str) {
    let path = disk.place.join("db");
    disk.fill(mib * MIB);
    let mut random = Random::new(mib);
    let database = match Database::create(&path, Options::for_vectors(DIMENSION)) {
        Ok(database) => database,
        Err(error) => {
            assert!(mib <= NEW_MIB, "{story}: {error}");
            assert_eq!(error.kind(), ErrorKind::DiskFull, "{story}: {error}");
            assert!(error.message().contains("needs 16 MiB"), "{story}: {error}");
            assert!(!path.exists(), "{story}: something is left of a creation");
            disk.free();
            return drop(Database::create(&path, Options::for_vectors(DIMENSION)).unwrap());
        }
    };
    let reserve = path.join("reserve");
    assert!(reserve.exists(), "{story}: space is set aside at once");
    let acknowledged = fill_up(&database, 0, &mut random, story);
    // What is said depends on whether a small write would fit still.
    let health = status(&database, "health");
    assert!(health == "ok" || health.contains("full") && health.contains("MiB"), "{story}: {health}");
    assert_eq!(keys(&database), acknowledged, "{story}: reading goes on");
    database.close().unwrap_or_else(|error| panic!("{story}, closing: {error}"));

    // Somebody else takes the rest.
    disk.fill(0);
    let full = Database::open(&path).unwrap_or_else(|error| panic!("{story}, still full: {error}"));
    assert_eq!(keys(&full), acknowledged, "{story}");
    let (copy, restored) = (elsewhere.join("copy"), elsewhere.join("restored"));
    full.backup(&copy).unwrap_or_else(|error| panic!("{story}, backing up: {error}"));
    let before = digest(&full.snapshot());
    full.close().unwrap_or_else(|error| panic!("{story}, closing the full one: {error}"));
    assert!(digest(&Database::open_read_only(&path).unwrap().snapshot()) == before, "{story}");
    Database::verify_backup(&copy).unwrap();
    Database::restore_backup(&copy, &restored).unwrap();
    assert!(digest(&Database::open(&restored).unwrap().snapshot()) == before, "{story}: the copy differs");
    std::fs::remove_dir_all(&copy).unwrap();
    std::fs::remove_dir_all(&restored).unwrap();

    let full = Database::open(&path).unwrap_or_else(|error| panic!("{story}, full again: {error}"));
    let (gone, kept): (Vec<String>, Vec<String>) = acknowledged.iter().cloned().partition(|key| key.ends_with('3'));
    for some in gone.chunks(TOGETHER) {
        let deletes = some.iter().map(|key| Operation::Delete { key: key.clone() });
        full.write(deletes).unwrap_or_else(|error| panic!("{story}, deleting: {error}"));
    }
    let kept: BTreeSet<String> = kept.into_iter().collect();
    assert_eq!(keys(&full), kept, "{story}");
    if let Err(error) = full.compact() {
        assert_eq!(error.kind(), ErrorKind::DiskFull, "{story}, compacting: {error}");
        assert!(error.message().contains("MiB"), "{story}, compacting: {error}");
    }
    assert_eq!(keys(&full), kept, "{story}");

    // Nobody opens it again: it takes writes as soon as there is room, and soon is as it was.
    disk.free();
    wait_until(&format!("{story}: healing"), || full.write(vec![put("after", None, &[1.0; DIMENSION])]).is_ok());
    wait_until(&format!("{story}: the reserve"), || reserve.exists() && healthy(&full));
    full.compact().unwrap();
    assert_eq!(problems(&full), Vec::<String>::new(), "{story}");
    full.close().unwrap();
    assert_eq!(keys(&Database::open(&path).unwrap()).len(), kept.len() + 1, "{story}");
}

fn at_every_size(kind: Kind, few: &[u64]) {
    for mib in sizes(few) {
        let folder = tempfile::tempdir().unwrap();
        // COMPACT at the end needs room for all that was written beside it.
        let Some(disk) = Disk::new(folder.path(), kind, 128 + 2 * mib) else { return };
        lives_through(&disk, folder.path(), mib, &format!("{kind:?} with {mib} MiB"));
        println!("{kind:?} with {mib} MiB: as it must be");
    }
}

#[test]
fn a_full_disk_of_any_size_is_lived_through() {
    at_every_size(Kind::Ext4, &[0, 15, 17, 40]);
}

#[test]
fn a_full_memory_is_lived_through() {
    at_every_size(Kind::Memory, &[5, 24]);
}

/// RocksDB itself meets the full disk: another program took the space between the look and the write. It catches: a database that must
/// be opened again although there is room; a write that failed and is there.
#[test]
fn what_rocksdb_could_not_write_heals_without_an_opening() {
    let rounds = many(1, 20) as u64;
    for seed in 0..rounds {
        let folder = tempfile::tempdir().unwrap();
        let Some(disk) = Disk::new(folder.path(), Kind::Ext4, 96) else { return };
        let (path, words) = (disk.place.join("db"), folder.path().join("words"));
        drop(Database::create(&path, Options::for_vectors(DIMENSION)).unwrap());
        disk.fill((2 + 3 * seed % 20) * MIB);
        let out = std::fs::File::create(&words).unwrap();
        let mut command = load();
        command.env("CAIRN_ROOM", "unknown").arg("heal").arg(&path).arg(seed.to_string());
        let mut child = Guarded(command.stdin(Stdio::piped()).stdout(out).spawn().unwrap());
        let says = |what: &str| std::fs::read_to_string(&words).unwrap().lines().any(|line| line.starts_with(what));
        wait_until("the full disk", || says("full"));
        disk.free();
        wait_until("healing", || says("healed") || child.0.try_wait().unwrap().is_some());
        assert!(child.0.wait().unwrap().success(), "seed {seed}: {}", std::fs::read_to_string(&words).unwrap());
        let said = std::fs::read_to_string(&words).unwrap();
        let acknowledged: BTreeSet<String> =
            said.lines().filter_map(|line| line.strip_prefix("ack ")).map(str::to_owned).collect();
        let database = Database::open(&path).unwrap();
        assert_eq!(keys(&database), acknowledged, "seed {seed}");
        assert_eq!(problems(&database), Vec::<String>::new(), "seed {seed}");
        println!("seed {seed}: {} images, healed", acknowledged.len());
    }
}

struct Mirror;

impl Reembed for Mirror {
    fn reembed(&self, images: &[Wanted]) -> cairn::Result<Vec<cairn::Result<Vec<f32>>>> {
        Ok(images.iter().map(|image| Ok(epochs::mirror(&image.vector))).collect())
    }
}

/// Makes one of two models active.
fn change(database: &Database, mirrored: bool) -> cairn::Result<()> {
    let to = Target::new(epochs::model(mirrored), DIMENSION);
    database.change_model(to, &Mirror, None).map(|_| ())
}

/// Long work that the disk ends: the database keeps its answers, opens for writing, and the work succeeds when there is room.
#[test]
fn long_work_that_a_full_disk_ends_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::new(folder.path(), Kind::Ext4, 160) else { return };
    let path = disk.place.join("db");
    let database = Database::create(&path, epochs::options()).unwrap();
    for number in 0..60 {
        database.write(transaction(number, &mut Random::new(number as u64))).unwrap();
    }
    database.flush().unwrap();
    let before = digest(&database.snapshot());
    let copy = folder.path().join("copy");
    database.backup(&copy).unwrap();
    database.close().unwrap();
    for mib in if many(0, 1) == 1 { (0..40).collect() } else { vec![0, 9, 20] } {
        let story = format!("{mib} MiB");
        disk.free();
        disk.fill(mib * MIB);
        let database = Database::open(&path).unwrap_or_else(|error| panic!("{story}: {error}"));
        let ends: [(&str, cairn::Result<()>); 4] = [
            ("TRAIN", change(&database, true)),
            ("BACKUP", database.backup(disk.place.join("copy")).map(drop)),
            ("COMPACT", database.compact()),
            ("RESTORE", Database::restore_backup(&copy, disk.place.join("restored")).map(drop)),
        ];
        for (what, outcome) in ends {
            match outcome {
                Ok(()) if what == "TRAIN" => {
                    // The way back needs room too.
                    disk.free();
                    change(&database, false).unwrap_or_else(|error| panic!("{story}: {error}"));
                }
                Ok(()) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::DiskFull, "{story}, {what}: {error}"),
            }
        }
        assert!(digest(&database.snapshot()) == before, "{story}");
        database.close().unwrap_or_else(|error| panic!("{story}, closing: {error}"));
        let _absent = std::fs::remove_dir_all(disk.place.join("copy"));
        let _absent = std::fs::remove_dir_all(disk.place.join("restored"));
        let again = Database::open(&path).unwrap_or_else(|error| panic!("{story}, again: {error}"));
        assert!(digest(&again.snapshot()) == before, "{story}, again");
        println!("{story}: as it must be");
    }
    disk.free();
    let database = Database::open(&path).unwrap();
    change(&database, true).unwrap();
    assert_eq!(problems(&database), Vec::<String>::new());
}

/// It catches: a restore that counts what an earlier one left as taken, and is refused for ever on a disk that holds it once.
#[test]
fn a_restore_that_was_cut_short_needs_no_room_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("db"), folder.path().join("copy"));
    let database = create(&path, DIMENSION);
    for number in 0..60 {
        database.write(transaction(number, &mut Random::new(number as u64))).unwrap();
    }
    let says = digest(&database.snapshot());
    let bytes = database.backup(&copy).unwrap().bytes;
    let Some(disk) = Disk::new(folder.path(), Kind::Memory, bytes.div_ceil(MIB) + 6) else { return };
    let restored = disk.place.join("db");
    // Killed when all is copied.
    let mut killed = load();
    killed.env("CAIRN_FAULT", "restore.finish:1:kill").arg("restore").arg(&copy).arg(&restored);
    assert!(!killed.output().unwrap().status.success());
    // Another disk's worth is not there.
    let other = Database::restore_backup(&copy, disk.place.join("other")).unwrap_err();
    assert_eq!(other.kind(), ErrorKind::DiskFull, "{other}");
    let _leavings = std::fs::remove_dir_all(disk.place.join("other"));
    Database::restore_backup(&copy, &restored).unwrap();
    assert!(digest(&Database::open_read_only(&restored).unwrap().snapshot()) == says);
}

/// It catches: a write that was said to have failed, is stored, and is overwritten by what is in memory; one that was not stored and
/// keeps the database from going on.
#[test]
fn a_write_that_failed_is_made_good_only_when_it_is_not_stored() {
    for (point, heals) in [("commit.before", true), ("commit.after", false)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        drop(Database::create(&path, Options::for_vectors(DIMENSION)).unwrap());
        let mut command = load();
        command.env("CAIRN_FAULT", format!("{point}:5:enospc")).arg("heal").arg(&path).arg("1");
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said.contains("healed"), heals, "{point}: {said}{}", String::from_utf8_lossy(&output.stderr));
        let acknowledged = said.lines().filter(|line| line.starts_with("ack ")).count();
        let database = Database::open(&path).unwrap();
        // The fifth commit was a write of one image.
        assert_eq!(keys(&database).len(), acknowledged + usize::from(!heals), "{point}: {said}");
        assert_eq!(problems(&database), Vec::<String>::new(), "{point}");
    }
}
