//! One damage of each kind, made without the database's knowledge, and the words with which CHECK DEEP must name it.
//!
//! It catches each comparison missing from `check`. Tried by removing all of them except those of records with labels, keys, rows
//! and descriptors, and by removing the reading of families: every other case failed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use super::*;
use crate::catalog::{Batch, Catalog, ListedMessage, RecordMessage, Seen};
use crate::disk::{CATALOG, Folder, Lock};
use crate::id::SpaceId;
use crate::operation::{Operation, Put};
use crate::options::Options;
use crate::progress::UNINTERRUPTED;
use crate::vote::{Candidate, List};

const SPACE: SpaceId = SpaceId::FIRST;
const VOTE_K: usize = 2;
const KEEP: usize = 4;
/// The bytes of a photo, easy to find in a file.
const PHOTO: [u8; 64] = [0xc3; 64];

/// 24 images in segments and a tail, every third one a train image of four labels; one of the segments' images is deleted.
fn written(folder: &Path) -> Core {
    std::fs::create_dir_all(folder).unwrap();
    let options = Options { vote_k: VOTE_K, kept_neighbours: KEEP, ..Options::for_vectors(3) };
    let folder = Folder::open(folder).unwrap();
    let its = folder.inner_or_new(CATALOG, "test").unwrap();
    Catalog::create(its, options, &[]).unwrap();
    let catalog = Catalog::open(&folder, Lock::take(&folder).unwrap(), &Default::default()).unwrap();
    let core = Core::load(&folder, catalog).unwrap();
    let put = |n: u8| {
        let put = Put::new(format!("k{n:02}"), [f32::from(n) - 12.0, f32::from(n % 7) + 0.5, 1.0]);
        let put = if n.is_multiple_of(3) { put.label(format!("label {}", n % 4)) } else { put };
        Operation::Put(Put { photo: Some(PHOTO.to_vec()), ..put })
    };
    core.write((0..20).map(put).collect()).unwrap();
    core.flush().unwrap();
    core.write((20..24).map(put).chain([Operation::Delete { key: "k04".into() }]).collect()).unwrap();
    core
}

fn image(core: &Core, key: &str) -> ImageId {
    core.current().pinned.image(key).unwrap().unwrap()
}

/// The stored list of an index image with its keys.
fn list(core: &Core, key: &str) -> List {
    let state = core.current();
    let stored = state.pinned.neighbours(SPACE, image(core, key)).unwrap().unwrap();
    crate::state::lists::list_of(stored, &state.train).unwrap()
}

/// A damage: its name, how it is done, what must be said of it, and whether it takes DEEP.
type Damage = (&'static str, fn(&Core, &mut Batch<'_>) -> Result<()>, &'static str, bool);

fn record(key: &str, label: Option<u32>) -> RecordMessage {
    RecordMessage { key: key.into(), label, ..RecordMessage::default() }
}

fn ballot(label: u32, score: f32) -> Ballot<LabelId> {
    Ballot { label: LabelId(label), score }
}

const DAMAGES: [Damage; 25] = [
    (
        "a key without a record",
        |_, batch| {
            batch.put_record(ImageId(999), &record("ghost", None))?;
            batch.delete_image(ImageId(999), None)
        },
        "the key 'ghost' leads to image 999, which is not stored",
        false,
    ),
    (
        "two keys of one image",
        |core, batch| {
            let id = image(core, "k01");
            batch.put_record(id, &record("other", None))?;
            batch.put_record(id, &record("k01", None))
        },
        "24 keys lead to 23 images",
        false,
    ),
    (
        "a record without a key",
        |_, batch| batch.delete_image(ImageId(999), Some("k01")),
        "the key 'k01' does not lead to its record",
        false,
    ),
    (
        "a record without a row",
        |_, batch| batch.put_record(ImageId(7_000), &record("stray", None)),
        "'stray' is stored, but no search can find it",
        false,
    ),
    (
        "a record without a descriptor",
        |core, batch| batch.delete_vector(SPACE, image(core, "k01")),
        "has no descriptor",
        false,
    ),
    (
        "a descriptor without a record",
        |_, batch| batch.put_vector(SPACE, ImageId(999), &[1.0, 0.0, 0.0]),
        "a descriptor of image 999 has no record",
        false,
    ),
    (
        "another label of a train image",
        |core, batch| batch.put_record(image(core, "k03"), &record("k03", Some(0))),
        "the label of 'k03' is not the one that votes",
        false,
    ),
    (
        "a list's label without a text",
        |core, batch| {
            let stored = core.current().pinned.record(image(core, "k01"))?.unwrap();
            let listed = Some(ListedMessage { label: Some(77), content: None });
            batch.put_record(image(core, "k01"), &RecordMessage { listed, ..stored })
        },
        "the label that a list gave 'k01' has no text",
        false,
    ),
    ("an id that is given twice", |_, batch| batch.set_next_image(3), "would get the id 3", false),
    ("a number of writes that is wrong", |_, batch| batch.set_sequence(77), "the catalog says 77", false),
    ("another text of a label", |_, batch| batch.put_label(LabelId(1), "renamed"), "the labels in memory", false),
    (
        "a posting of an unknown label",
        |core, batch| batch.put_posting(SPACE, VOTE_K, Role::Index, image(core, "k01"), "k01", ballot(77, 0.5)),
        "has the label 77, which has no text",
        false,
    ),
    (
        "a posting of an unknown image",
        |_, batch| batch.put_posting(SPACE, VOTE_K, Role::Index, ImageId(999), "k01", ballot(1, 0.5)),
        "leads to image 999, which is not its image",
        false,
    ),
    (
        "a posting that is not there",
        |core, batch| {
            batch.delete_posting(SPACE, VOTE_K, Role::Train, "k03", {
                let state = core.current();
                state.train.instances[state.train.row_of(image(core, "k03")).unwrap()].unwrap()
            })
        },
        "the postings by instance do not match",
        false,
    ),
    (
        "a prediction of another label",
        |core, batch| batch.put_prediction(SPACE, VOTE_K, image(core, "k01"), "k01", ballot(3, 0.125)),
        "the predictions in memory are not the stored ones",
        false,
    ),
    (
        "a voter that votes for nobody",
        |core, batch| batch.put_voter(SPACE, image(core, "k03"), ImageId(999)),
        "the reverse index",
        false,
    ),
    (
        "a list of no image",
        |_, batch| batch.put_neighbours(SPACE, ImageId(999), &List::default()),
        "a neighbour list belongs to image 999",
        false,
    ),
    (
        "a stored floor that is too high",
        |core, batch| {
            let floor = Some((f32::MAX, "k00".into()));
            batch.put_neighbours(SPACE, image(core, "k01"), &List { floor, ..list(core, "k01") })
        },
        "the floor of 'k01' does not separate",
        true,
    ),
    (
        "a stored floor that is too low",
        |core, batch| {
            let floor = Some((-1.0, "k00".into()));
            batch.put_neighbours(SPACE, image(core, "k01"), &List { floor, ..list(core, "k01") })
        },
        "the floor of 'k01' does not separate",
        true,
    ),
    (
        "a list without its nearest neighbour",
        |core, batch| {
            let mut list = list(core, "k01");
            let Candidate { id, .. } = list.entries.remove(0);
            batch.delete_voter(SPACE, ImageId(id), image(core, "k01"))?;
            batch.put_neighbours(SPACE, image(core, "k01"), &list)
        },
        "the neighbours of 'k01' are not its nearest train images",
        true,
    ),
    (
        "another descriptor than the one that is searched",
        |core, batch| batch.put_vector(SPACE, image(core, "k01"), &[1.0, 0.0, 0.0]),
        "the copy of the descriptor of 'k01' differs",
        true,
    ),
    (
        "a descriptor of another length",
        |core, batch| batch.put_vector(SPACE, image(core, "k01"), &[1.0, 0.0]),
        "in model 0 has 8 bytes",
        true,
    ),
    (
        "votes of a model that is not there",
        |_, batch| batch.put_voter(SpaceId(9), ImageId(1), ImageId(2)),
        "the family 'voters' has 1 entries that belong to no active model",
        true,
    ),
    (
        "a tombstone of a row that is searched",
        |core, batch| batch.put_tombstone(SPACE, image(core, "k01")),
        "'k01' is searched, but has a tombstone",
        true,
    ),
    (
        "the mark of no cleaning",
        |core, batch| batch.put_mark(image(core, "k03"), 5),
        "the mark of cleaning 5, which does not exist",
        true,
    ),
];

#[test]
fn every_kind_of_damage_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut unnamed = Vec::new();
    for (number, (name, damage, said, takes_deep)) in DAMAGES.into_iter().enumerate() {
        let core = written(&folder.path().join(number.to_string()));
        assert_eq!(core.check(true, &UNINTERRUPTED).unwrap().problems, Vec::<String>::new(), "before");
        core.keep(|batch| damage(&core, batch)).unwrap();
        for deep in [false, true] {
            let problems = core.check(deep, &UNINTERRUPTED).unwrap().problems;
            let is_said = problems.iter().any(|problem| problem.message.contains(said));
            if !is_said && (deep || !takes_deep) {
                unnamed.push(format!("{name}, deep {deep}: {problems:?}"));
            }
        }
    }
    assert!(unnamed.is_empty(), "{unnamed:#?}");
}

/// A tombstone that was lost: the row would be back at the next opening, without a record.
#[test]
fn a_dead_row_that_is_not_buried_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let core = written(folder.path());
    // What the delete in `written` buried.
    let state = core.current();
    let dead = (0..state.index.tail_start()).find(|&row| !state.index.live[row]).unwrap();
    let id = state.index.id(dead);
    core.keep(|batch| batch.delete_tombstone(SPACE, id)).unwrap();
    let problems = core.check(true, &UNINTERRUPTED).unwrap().problems;
    assert!(
        problems.iter().any(|problem| problem.message.contains("was deleted, but has no tombstone")),
        "{problems:?}"
    );
}

/// What a write compares with is in memory; the stored floor is sound.
#[test]
fn a_floor_that_is_wrong_in_memory_is_named_without_deep() {
    let folder = tempfile::tempdir().unwrap();
    let core = written(folder.path());
    let mut state = core.current().repinned(core.catalog().pin());
    let row = state.index.row_of(image(&core, "k01")).unwrap();
    state.index.floors.set(row, 1.5);
    core.publish(state);
    let problems = core.check(false, &UNINTERRUPTED).unwrap().problems;
    assert!(problems.iter().any(|problem| problem.message.contains("the floor of 'k01' in memory")), "{problems:?}");
}

/// Photos and features are read by nothing else: a flipped bit in every table that holds one was sound before.
#[test]
fn a_flipped_bit_in_a_photo_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let core = written(folder.path());
    core.keep(|batch| batch.put_features(ImageId(0), Seen::Whole, &[0x5a; 64])).unwrap();
    core.catalog().flush().unwrap();
    for (family, bytes) in [("blobs", PHOTO), ("features", [0x5a; 64])] {
        let mut sound = Vec::new();
        for entry in std::fs::read_dir(folder.path().join(CATALOG)).unwrap() {
            let path = entry.unwrap().path();
            let mut whole = std::fs::read(&path).unwrap();
            let is_table = path.extension().is_some_and(|end| end == "sst");
            if let Some(at) = whole.windows(64).position(|window| window == bytes).filter(|_| is_table) {
                sound.push((path.clone(), whole.clone()));
                whole[at + 30] ^= 4;
                std::fs::write(path, whole).unwrap();
            }
        }
        assert!(!sound.is_empty());
        assert_eq!(core.check(false, &UNINTERRUPTED).unwrap().problems, Vec::<String>::new());
        let problems = core.check(true, &UNINTERRUPTED).unwrap().problems;
        let said = format!("the family '{family}' cannot be read");
        assert!(problems.iter().any(|problem| problem.message.contains(&said)), "{problems:?}");
        sound.into_iter().for_each(|(path, whole)| std::fs::write(path, whole).unwrap());
        assert_eq!(core.check(true, &UNINTERRUPTED).unwrap().problems, Vec::<String>::new());
    }
}
