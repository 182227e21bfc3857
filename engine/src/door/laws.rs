//! The laws of predictions, tested on random histories: P (stored predictions equal a recompute), R (postings, voters and lists
//! are inverses of each other), D (the stored data depends only on the final rows).
//!
//! These tests caught the following mutations of `upkeep`: no refill of a short list, a voter kept of a removed neighbour, a
//! floor not raised in memory, no new votes for a relabelled image, an old posting kept, only `keep` new images reported although
//! one more shows that something was cut, a complete list that keeps its old floor. CHECK DEEP finds nothing wrong at the end of
//! any history.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::prelude::*;

use crate::answer::{Query, Rerank, SearchRequest};
use crate::attribute::Attributes;
use crate::door::Database;
use crate::id::{ImageId, LabelId, SpaceId};
use crate::operation::{Operation, Put, Role};
use crate::options::Options;
use crate::report::Part;
use crate::state::lists::list_of;
use crate::state::snapshot::Snapshot;
use crate::vector::{dot, unit};
use crate::vote::soft_vote;
use crate::write::Deferral;

const DIMENSION: usize = 3;
const VOTE_K: usize = 2;
const KEEP: usize = 4;

/// A folder in memory where the machine has room there: nothing here depends on a disk, and histories wait for one most of their time.
fn place() -> tempfile::TempDir {
    const MEMORY: &str = "/dev/shm";
    const ROOM: u64 = 2 << 30;
    let has_room = rustix::fs::statvfs(MEMORY).is_ok_and(|found| found.f_bavail.saturating_mul(found.f_frsize) > ROOM);
    if has_room { tempfile::tempdir_in(MEMORY).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// Histories that are tried: `CAIRN_CASES` of them; 2,000 under CI=true, otherwise few enough for every change.
fn cases() -> u32 {
    let asked = std::env::var("CAIRN_CASES").ok().and_then(|cases| cases.parse().ok());
    asked.unwrap_or(if std::env::var("CI").is_ok_and(|value| value == "true") { 2_000 } else { 128 })
}

/// Key -> label and vector: everything a database is.
type Model = BTreeMap<String, (Option<String>, Vec<f32>)>;

fn options() -> Options {
    Options { vote_k: VOTE_K, kept_neighbours: KEEP, ..Options::for_vectors(DIMENSION) }
}

/// Few keys, few labels and few directions: collisions, ties and emptied sets are common.
fn operation() -> impl Strategy<Value = Operation> {
    let key = (0u8..24).prop_map(|n| format!("k{:02}", (n * 7) % 24));
    let label = (0u8..3).prop_map(|n| format!("label {n}"));
    let vector = prop::collection::vec((-2i8..3).prop_map(f32::from), DIMENSION).prop_map(|mut vector| {
        if vector.iter().all(|&x| x == 0.0) {
            vector[0] = 1.0;
        }
        vector
    });
    prop_oneof![
        6 => (key.clone(), prop::option::of(label.clone()), vector).prop_map(|(key, label, vector)| {
            Operation::Put(Put { label, ..Put::new(key, vector) })
        }),
        2 => key.clone().prop_map(|key| Operation::Delete { key }),
        2 => (key.clone(), label).prop_map(|(key, label)| Operation::Label { key, label }),
        1 => key.clone().prop_map(|key| Operation::Unlabel { key }),
        1 => (key.clone(), key).prop_map(|(key, to)| Operation::Rename { key, to, source: None }),
    ]
}

/// The events between two checks of a database.
#[derive(Debug, Clone)]
enum Step {
    Write(Vec<Operation>),
    Defer(Vec<Vec<Operation>>),
    Flush,
    Compact,
    Reopen,
    /// Some segment files and the saved columns are gone; the bits say which.
    LoseFiles(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let operations = || prop::collection::vec(operation(), 1..12);
    prop_oneof![
        6 => operations().prop_map(Step::Write),
        2 => prop::collection::vec(operations(), 1..4).prop_map(Step::Defer),
        2 => Just(Step::Flush),
        1 => Just(Step::Compact),
        1 => Just(Step::Reopen),
        1 => any::<u8>().prop_map(Step::LoseFiles),
    ]
}

/// Removes the segment files whose bit is set, and the saved columns with the lowest one.
fn lose_files(path: &Path, which: u8) {
    let files = std::fs::read_dir(path.join("segments")).unwrap().map(|entry| entry.unwrap().path());
    for (at, file) in files.enumerate() {
        if which >> (at % 8) & 1 == 1 {
            std::fs::remove_file(file).unwrap();
        }
    }
    if which & 1 == 1 {
        let _absent = std::fs::remove_file(path.join("columns"));
        let _absent = std::fs::remove_file(path.join("neighbours"));
    }
}

/// The operations that are valid on this model, and the model after them.
fn apply(model: &mut Model, operations: Vec<Operation>) -> Vec<Operation> {
    let possible = |model: &mut Model, operation: &Operation| match operation {
        Operation::Put(put) => {
            model.insert(put.key.clone(), (put.label.clone(), unit(&put.vector).unwrap()));
            true
        }
        Operation::Delete { key } => model.remove(key).is_some(),
        Operation::Label { key, label } => model.get_mut(key).map(|image| image.0 = Some(label.clone())).is_some(),
        Operation::Unlabel { key } => model.get_mut(key).map(|image| image.0 = None).is_some(),
        Operation::Rename { key, to, .. } if key != to && model.contains_key(to) => false,
        Operation::Rename { key, to, .. } => {
            let image = model.remove(key);
            image.is_some_and(|image| model.insert(to.clone(), image).is_none())
        }
        // What becomes of a list's word is tried in tests/storage/lists.rs, of attributes in tests/storage/attributes.rs.
        Operation::Listed(_) | Operation::Describe { .. } => false,
    };
    operations.into_iter().filter(|operation| possible(model, operation)).collect()
}

/// The best `count` train images of the model for a vector: similarity, key, label.
fn neighbours<'m>(model: &'m Model, vector: &[f32], count: usize) -> Vec<(f32, &'m str, &'m str)> {
    let mut all: Vec<_> = model
        .iter()
        .filter_map(|(key, (label, other))| Some((dot(vector, other), key.as_str(), label.as_deref()?)))
        .collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    all.truncate(count);
    all
}

fn recompute(model: &Model, vector: &[f32], k: usize) -> Option<(String, u32)> {
    let best = neighbours(model, vector, k);
    let ballot = soft_vote(best.iter().map(|&(similarity, _, label)| (label, similarity)), k)?;
    Some((ballot.label.to_owned(), ballot.score.to_bits()))
}

/// Everything law D speaks of, in terms of external keys and label texts only.
fn digest(snapshot: &Snapshot) -> Vec<String> {
    let state = &snapshot.state;
    let label = |id: LabelId| state.label(id).unwrap().to_owned();
    let mut lines = Vec::new();
    for key in snapshot.keys(None).unwrap() {
        let record = snapshot.record(&key).unwrap().unwrap();
        lines.push(format!(
            "{key} {:?} {:?} {:?}",
            record.label,
            snapshot.vector(&key).unwrap(),
            snapshot.prediction(&key).unwrap()
        ));
        if record.role == Role::Index {
            let id = state.pinned.image(&key).unwrap().unwrap();
            let list = list_of(state.pinned.neighbours(SpaceId::FIRST, id).unwrap().unwrap(), &state.train).unwrap();
            let head: Vec<_> =
                list.entries.iter().take(VOTE_K).map(|e| (e.key.clone(), e.similarity.to_bits())).collect();
            lines.push(format!("{key} neighbours {head:?}"));
        }
    }
    for number in 0..state.labels.len() as u32 {
        for role in [Role::Train, Role::Index] {
            let mut visit = |score: f32, key: &str, _: ImageId| {
                lines.push(format!("{} {role:?} {score} {key}", label(LabelId(number))));
                Ok(true)
            };
            state.pinned.postings(SpaceId::FIRST, VOTE_K, role, LabelId(number), &mut visit).unwrap();
        }
    }
    lines.sort();
    lines
}

/// Laws P and R on one snapshot.
fn hold(snapshot: &Snapshot, model: &Model) {
    let state = &snapshot.state;
    assert_eq!(snapshot.keys(None).unwrap(), model.keys().cloned().collect::<Vec<_>>());
    let train_images = model.values().filter(|(label, _)| label.is_some()).count();
    let mut stored_voters = Vec::new();
    let collect = |train, index| {
        stored_voters.push((train, index));
        Ok(())
    };
    state.pinned.each_voter(SpaceId::FIRST, collect).unwrap();
    let mut listed = Vec::new();
    let mut lists = 0;
    state
        .pinned
        .all_neighbours(SpaceId::FIRST, ImageId(0), |id, stored| {
            lists += 1;
            listed.extend(stored.entries.iter().map(|&(train, _)| (train, id)));
            let row = state.index.row_of(id).unwrap();
            assert!(state.index.live[row], "a list outlived its image");
            let vector = &model[state.index.key(row)].1;
            let list = list_of(stored, &state.train).unwrap();
            let best: Vec<_> = neighbours(model, vector, list.entries.len());
            let kept: Vec<_> = list.entries.iter().map(|e| (e.similarity, &*e.key)).collect();
            assert_eq!(kept, best.iter().map(|&(s, key, _)| (s, key)).collect::<Vec<_>>());
            assert!(list.knows(VOTE_K, train_images), "a list too short to vote");
            assert!(
                list.floor.is_some() || list.entries.len() == train_images,
                "a list without a floor holds everything"
            );
            assert_eq!(state.index.floors[row], list.floor_similarity());
            Ok(())
        })
        .unwrap();
    listed.sort();
    stored_voters.sort();
    assert_eq!(stored_voters, listed, "voters are not the inverse of neighbours");

    let mut postings = BTreeSet::new();
    for (key, (label, vector)) in model {
        let vote = snapshot.prediction(key).unwrap().map(|vote| (vote.instance, vote.score.to_bits()));
        match label {
            Some(label) => assert_eq!(vote, Some((label.clone(), 1.0f32.to_bits()))),
            None => {
                lists -= 1;
                assert_eq!(vote, recompute(model, vector, VOTE_K), "prediction of {key}");
            }
        }
        if let Some((instance, score)) = vote {
            postings.insert((instance, key.clone(), score));
        }
    }
    assert_eq!(lists, 0, "lists and index images differ in number");
    let mut stored = BTreeSet::new();
    for number in 0..state.labels.len() as u32 {
        for role in [Role::Train, Role::Index] {
            state
                .pinned
                .postings(SpaceId::FIRST, VOTE_K, role, LabelId(number), |score, key, id| {
                    assert_eq!(state.pinned.image(key).unwrap(), Some(id));
                    stored.insert((state.label(LabelId(number)).unwrap().to_owned(), key.to_owned(), score.to_bits()));
                    Ok(true)
                })
                .unwrap();
        }
    }
    assert_eq!(stored, postings, "postings are not the image of predictions");
    revotes_hold(snapshot, model);
}

/// Votes for a k that is not stored, below and above the number of kept neighbours.
fn revotes_hold(snapshot: &Snapshot, model: &Model) {
    for k in [1, 3, KEEP + 2] {
        let rerank = Some(Rerank::new().k(k).sort_only());
        let request = SearchRequest::new().depth(64).limit(64).rerank(rerank);
        let answer = &snapshot.search(&request, &[Query { vector: vec![1.0, 0.0, 0.0], without: None }]).unwrap()[0];
        for row in &answer.rows {
            let vote = row.prediction.as_ref().map(|vote| (vote.instance.clone(), vote.score.to_bits()));
            assert_eq!(vote, recompute(model, &model[&row.id].1, k), "k={k}, {}", row.id);
        }
    }
}

/// One history: after every step the laws hold, and in the end the database is what one import of its rows makes.
fn laws_hold_on(history: Vec<Step>) -> Result<(), TestCaseError> {
    let folder = place();
    let path = folder.path().join("db");
    let mut database = Database::create(&path, options()).unwrap();
    let mut model = Model::new();
    for step in history {
        // A snapshot holds the database open, so none is kept over a closing.
        let closes = matches!(step, Step::Reopen | Step::LoseFiles(_));
        let before = (!closes).then(|| (database.snapshot(), digest(&database.snapshot())));
        match step {
            Step::Write(operations) => {
                database.write(apply(&mut model, operations)).unwrap();
            }
            Step::Defer(transactions) => {
                database.set_deferral(Deferral::Always);
                for operations in transactions {
                    let transaction = apply(&mut model, operations);
                    // One of which nothing is left takes no number.
                    let is_one = !transaction.is_empty();
                    prop_assert_eq!(database.write(transaction).unwrap().deferred, is_one);
                }
                database.set_deferral(Deferral::Automatic);
            }
            Step::Flush => {
                database.flush().unwrap();
            }
            Step::Compact => database.compact().unwrap(),
            Step::Reopen => {
                database.apply_pending().unwrap();
                let seen = digest(&database.snapshot());
                drop(database);
                database = Database::open(&path).unwrap();
                prop_assert_eq!(digest(&database.snapshot()), seen, "reopening changed something");
            }
            Step::LoseFiles(which) => {
                database.apply_pending().unwrap();
                let seen = digest(&database.snapshot());
                drop(database);
                lose_files(&path, which);
                database = Database::open(&path).unwrap();
                prop_assert_eq!(digest(&database.snapshot()), seen, "lost segments changed something");
            }
        }
        if let Some((before, seen)) = before {
            prop_assert_eq!(digest(&before), seen, "a snapshot changed under its reader");
        }
        let now = database.apply_pending().unwrap();
        prop_assert_eq!(now.lag(), 0);
        hold(&now, &model);
    }
    // A lost segment is reported until it is written again; nothing else is wrong.
    let problems = database.check(true).unwrap().problems;
    prop_assert!(problems.iter().all(|problem| problem.part == Part::Segment), "{problems:?}");
    let bulk = Database::create(folder.path().join("bulk"), options()).unwrap();
    let puts = model.iter().rev().map(|(key, (label, vector))| {
        Operation::Put(Put {
            key: key.clone(),
            label: label.clone(),
            vector: vector.clone(),
            source: None,
            content: None,
            photo: None,
            attributes: Attributes::new(),
        })
    });
    bulk.write(puts).unwrap();
    prop_assert_eq!(digest(&bulk.snapshot()), digest(&database.snapshot()));
    Ok(())
}

/// On every processor: a history takes a tenth of a second, most of it the making and opening of databases.
#[test]
fn laws_hold_on_random_histories() {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let config = ProptestConfig { cases: cases().div_ceil(workers as u32), ..ProptestConfig::default() };
    let work = || proptest!(config.clone(), |(history in prop::collection::vec(step(), 1..14))| laws_hold_on(history)?);
    std::thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
}

/// Emptying the train set leaves lists that are complete and short; what comes after must not be measured by their old floors.
#[test]
fn a_new_train_set_votes_after_the_old_one_is_gone() {
    let folder = place();
    for left in 0..VOTE_K {
        let database = Database::create(folder.path().join(left.to_string()), options()).unwrap();
        let mut model = Model::new();
        let put = |key: String, label: Option<&str>, vector: Vec<f32>| {
            let label = label.map(str::to_owned);
            Operation::Put(Put { label, ..Put::new(key, vector) })
        };
        let mut write = |operations: Vec<Operation>| {
            database.write(apply(&mut model, operations)).unwrap();
            hold(&database.snapshot(), &model);
        };
        write(vec![put("x".into(), None, vec![1.0, 0.0, 0.0])]);
        let near = |n: usize| put(format!("t{n}"), Some("old"), vec![1.0, n as f32 / 10.0, 0.0]);
        write((0..KEEP + 2).map(near).collect());
        write((left..KEEP + 2).map(|n| Operation::Delete { key: format!("t{n}") }).collect());
        write(vec![put("far".into(), Some("new"), vec![0.1, 1.0, 0.0])]);
        write(vec![put("opposite".into(), Some("new"), vec![-1.0, 0.1, 0.0])]);
    }
}

/// Repair makes the same database of a sound one, and of one whose derived families are gone; a check finds both sound and what was
/// broken before.
#[test]
fn repair_makes_everything_again() {
    let folder = place();
    let path = folder.path().join("db");
    let database = Database::create(&path, options()).unwrap();
    let mut model = Model::new();
    let mut operations = Vec::new();
    for n in 0..40u8 {
        let label = (n % 3 == 0).then(|| format!("label {}", n % 4));
        let vector = vec![f32::from(n) - 20.0, f32::from(n % 7) + 0.5, 1.0];
        operations.push(Operation::Put(Put {
            key: format!("k{n:02}"),
            label,
            vector,
            source: None,
            content: None,
            photo: None,
            attributes: Attributes::new(),
        }));
    }
    database.write(apply(&mut model, operations)).unwrap();
    database.flush().unwrap();
    database.write(apply(&mut model, vec![Operation::Delete { key: "k05".into() }])).unwrap();
    assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new());
    let sound = digest(&database.snapshot());
    let backup = folder.path().join("backup");
    database.backup(&backup).unwrap();
    drop(database);
    let repaired = Database::repair(&path).unwrap();
    assert!(!repaired.has_lost() && repaired.kept_images == model.len(), "{repaired:?}");
    let database = Database::open(&path).unwrap();
    hold(&database.snapshot(), &model);
    assert_eq!(digest(&database.snapshot()).len(), sound.len());
    assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new());
    drop(database);

    let restored = folder.path().join("restored");
    Database::restore_backup(&backup, &restored).unwrap();
    let database = Database::open(&restored).unwrap();
    assert_eq!(digest(&database.snapshot()), sound);
    // One list is made wrong behind the database's back: the check must say so, and a repair must mend it.
    let state = database.snapshot().state;
    let id = state.pinned.image("k10").unwrap().unwrap();
    let catalog = state.pinned.catalog();
    let mut batch = crate::catalog::Batch::new(catalog);
    batch.put_neighbours(SpaceId::FIRST, id, &crate::vote::List::default()).unwrap();
    batch.commit().unwrap();
    drop((state, database));
    let database = Database::open(&restored).unwrap();
    let problems = database.check(true).unwrap().problems;
    assert!(problems.iter().any(|problem| problem.message.contains("k10")), "{problems:?}");
    assert!(problems.iter().any(|problem| problem.message.contains("reverse index")), "{problems:?}");
    drop(database);
    Database::repair(&restored).unwrap();
    let database = Database::open(&restored).unwrap();
    hold(&database.snapshot(), &model);
    assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new());
}

/// An interrupted repair is reported, and only another repair gets past it.
#[test]
fn a_half_repaired_database_is_refused() {
    let folder = place();
    let path = folder.path().join("db");
    let database = Database::create(&path, options()).unwrap();
    let state = database.snapshot().state;
    let mut batch = crate::catalog::Batch::new(state.pinned.catalog());
    batch.set_repairing(Some(&crate::catalog::Lost::default())).unwrap();
    batch.commit().unwrap();
    drop((state, database));
    for refused in [Database::open(&path), Database::open_read_only(&path)] {
        assert!(refused.err().unwrap().message().contains("interrupted"));
    }
    Database::repair(&path).unwrap();
    let database = Database::open(&path).unwrap();
    let sound = digest(&database.snapshot());
    drop(database);
    // Cut short between the last two steps of a salvage.
    std::fs::rename(path.join("catalog"), path.join("catalog.filled")).unwrap();
    for refused in [Database::open(&path), Database::open_read_only(&path)] {
        assert!(refused.err().unwrap().message().contains("interrupted"));
    }
    Database::repair(&path).unwrap();
    assert_eq!(digest(&Database::open(&path).unwrap().snapshot()), sound);
}
