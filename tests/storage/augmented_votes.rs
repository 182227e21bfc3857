//! Votes of augmented train images (RERANK .. AUGMENT TRAIN): the means by hand, and whatever happened to the images before.
//!
//! It catches: a neighbour of another label or with a mark in a mean, a mean without the image itself, weights of another power; index
//! images that vote by plain descriptors in such a search; descriptors of earlier train images, labels or marks; a stored prediction
//! that such a search changes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use cairn::language::{CleanPlan, CleanRule, Cut};
use cairn::methods::Expand;
use cairn::{
    Database, ErrorKind, Operation, Options, Query, Rerank, Role, SearchRequest, Snapshot, Stop, Vote, soft_vote,
};
use cairndb_storage_tests::{DIMENSION, Random, Stream, create, images, put, unit};

/// A train image: key, label, and the descriptor by which it votes.
type Voter = (String, String, Vec<f32>);

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}

fn vector(snapshot: &Snapshot, key: &str) -> Vec<f32> {
    snapshot.vector(key).unwrap().unwrap()
}

fn by_hand(snapshot: &Snapshot, by: Expand) -> Vec<Voter> {
    let all: Vec<(Voter, bool)> = snapshot
        .keys(Some(Role::Train))
        .unwrap()
        .into_iter()
        .map(|key| {
            let record = snapshot.record(&key).unwrap().unwrap();
            let descriptor = vector(snapshot, &key);
            ((key, record.label.unwrap(), descriptor), record.marked.is_some())
        })
        .collect();
    let mean = |((key, label, own), is_marked): &(Voter, bool)| {
        let mut near: Vec<(f64, &Voter)> = all
            .iter()
            .filter(|((other, ..), other_is_marked)| !is_marked && !other_is_marked && other != key)
            .map(|(voter, _)| (dot(own, &voter.2), voter))
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.0.cmp(&b.1.0)));
        let mut sum: Vec<f64> = own.iter().map(|&x| f64::from(x)).collect();
        for (cosine, (_, other, vector)) in near.into_iter().take(by.images - 1) {
            let weight = if other == label { cosine.max(0.0).powf(by.alpha) } else { 0.0 };
            sum.iter_mut().zip(vector).for_each(|(sum, &x)| *sum += weight * f64::from(x));
        }
        (key.clone(), label.clone(), unit(&sum.iter().map(|&x| x as f32).collect::<Vec<f32>>()))
    };
    all.iter().map(mean).collect()
}

/// The vote on a descriptor.
fn vote_by_hand(voters: &[Voter], of: &[f32], k: usize, without: Option<&str>) -> Option<(String, f64)> {
    let mut near: Vec<(f64, &Voter)> = voters
        .iter()
        .filter(|(key, ..)| Some(key.as_str()) != without)
        .map(|voter| (dot(of, &voter.2), voter))
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.0.cmp(&b.1.0)));
    let ballot = soft_vote(near.into_iter().map(|(cosine, voter)| (voter.1.as_str(), cosine as f32)), k)?;
    Some((ballot.label.to_owned(), f64::from(ballot.score)))
}

fn assert_vote(what: &str, got: Option<&Vote>, expected: Option<(String, f64)>) {
    let near = match (got, &expected) {
        (Some(got), Some((label, score))) => got.instance == *label && (f64::from(got.score) - score).abs() < 1e-5,
        (None, None) => true,
        _ => false,
    };
    assert!(near, "{what}: {got:?}, by hand {expected:?}");
}

/// Marks so many train images.
fn mark(database: &Database, images: usize) {
    let plan = CleanPlan::default().rule(CleanRule::Suspects(Cut::Top(images)));
    database.clean(&plan, None, None).unwrap();
}

/// Every descriptor is the one that is computed by hand.
fn assert_descriptors(snapshot: &Snapshot, by: Expand) -> Vec<Voter> {
    let voters = by_hand(snapshot, by);
    for (key, _, expected) in &voters {
        let got = snapshot.augmented_vector(key, by).unwrap().unwrap();
        let far = got.iter().zip(expected).map(|(got, expected)| (got - expected).abs()).fold(0.0, f32::max);
        assert!(far < 1e-6, "{key}: {got:?}, by hand {expected:?}");
    }
    voters
}

/// And so is every vote of such a search.
fn assert_votes(snapshot: &Snapshot, by: Expand, k: usize) {
    let voters = assert_descriptors(snapshot, by);
    let all = snapshot.counts().index.max(1);
    let request = SearchRequest::new().depth(all).rerank(Rerank::new().k(k).tau(0.3).augment(by));
    let mut random = Random::new(3);
    let asked = Query::new((0..snapshot.dimension()).map(|_| random.signed()).collect::<Vec<f32>>());
    let mut queries = vec![asked];
    // A stored train image does not vote for itself.
    queries.extend(voters.first().map(|(key, ..)| Query::new(vector(snapshot, key)).without(key.clone())));
    for (query, answer) in queries.iter().zip(snapshot.search(&request, &queries).unwrap()) {
        let expected = vote_by_hand(&voters, &unit(&query.vector), k, query.without.as_deref());
        assert_vote("the query", answer.prediction.as_ref(), expected);
        assert_eq!(answer.rows.len(), snapshot.counts().index);
        for row in &answer.rows {
            let expected = vote_by_hand(&voters, &vector(snapshot, &row.id), k, None);
            assert_vote(&row.id, row.prediction.as_ref(), expected);
        }
    }
}

#[test]
fn train_images_vote_by_means_of_their_label() {
    let folder = tempfile::tempdir().unwrap();
    let database = create(&folder.path().join("db"), 16);
    // Labels by chance among images of few directions: most nearest ones have another label.
    let mut random = Random::new(4);
    let noisy = |operation: Operation| match operation {
        Operation::Put(put) if put.label.is_some() => {
            let key = put.key.clone();
            let label = format!("label {}", random.below(4));
            cairndb_storage_tests::put(key, Some(&label), &put.vector)
        }
        other => other,
    };
    database.write(images("row", 240, 16, 12, 2, 1).into_iter().map(noisy).collect::<Vec<_>>()).unwrap();
    mark(&database, 30);
    let snapshot = database.snapshot();
    let stored = || -> Vec<Option<Vote>> {
        snapshot.keys(None).unwrap().iter().map(|key| snapshot.prediction(key).unwrap()).collect()
    };
    let before = stored();
    for (by, k) in [
        (Expand::of_label(), 3),
        (Expand::of_label().images(8).power(1.0), 3),
        (Expand::of_label().images(5).power(0.0), 60),
    ] {
        assert_votes(&snapshot, by, k);
    }
    assert_eq!(stored(), before, "stored predictions are those of the plain descriptors");
    // Marks decide: the same images without them have other means.
    let vectors = |snapshot: &Snapshot| -> Vec<Vec<f32>> {
        let keys = snapshot.keys(Some(Role::Train)).unwrap();
        keys.iter().map(|key| snapshot.augmented_vector(key, Expand::of_label()).unwrap().unwrap()).collect()
    };
    let (with, marked) = (vectors(&snapshot), database.marked().unwrap());
    assert_eq!(marked.len(), 30);
    for mark in &marked {
        let own = snapshot.augmented_vector(&mark.key, Expand::of_label()).unwrap();
        assert_eq!(own, snapshot.vector(&mark.key).unwrap(), "a marked image votes as it is");
    }
    database.undo_cleaning().unwrap();
    let unmarked = database.snapshot();
    assert_ne!(vectors(&unmarked), with);
    assert_votes(&unmarked, Expand::of_label(), 3);
    assert_eq!(vectors(&snapshot), with, "an earlier snapshot stays as it was");
    assert_eq!(
        snapshot.augmented_vector("row000001", Expand::of_label()).unwrap(),
        None,
        "an index image does not vote"
    );
    assert_eq!(snapshot.augmented_vector("nobody", Expand::of_label()).unwrap(), None);
}

#[test]
fn after_any_history_they_are_those_of_the_images() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let mut database = Database::create(&path, Options::for_vectors(DIMENSION)).unwrap();
    let (mut stream, mut marks) = (Stream::new(23), 0);
    let by = Expand::of_label().images(4);
    let request = SearchRequest::new().depth(500).rerank(Rerank::new().k(3).augment(by));
    let everything = |snapshot: &Snapshot, step: u64| {
        let mut random = Random::new(step);
        let asked = Query::new((0..DIMENSION).map(|_| random.signed()).collect::<Vec<f32>>());
        let keys = snapshot.keys(Some(Role::Train)).unwrap();
        let vectors: Vec<_> = keys.iter().map(|key| snapshot.augmented_vector(key, by).unwrap()).collect();
        (keys, vectors, snapshot.search_one(&request, &asked).unwrap())
    };
    for step in 0..48 {
        database.apply_pending().unwrap();
        match step % 12 {
            5 => _ = database.flush().unwrap(),
            3 | 7 => mark(&database, 6),
            9 => _ = database.undo_cleaning(),
            10 => database.compact().unwrap(),
            _ => {
                database.write(stream.transaction()).unwrap();
                stream.advance();
            }
        }
        let snapshot = database.apply_pending().unwrap();
        marks += database.marked().unwrap().len();
        let followed = everything(&snapshot, step);
        if step % 4 == 3 {
            // Another opening knows nothing of what was computed before.
            drop(snapshot);
            database.close().unwrap();
            database = Database::open(&path).unwrap();
            let snapshot = database.snapshot();
            assert_eq!(everything(&snapshot, step), followed, "step {step}");
            // Votes are not compared: some descriptors are equal, and so rounding decides between their means.
            assert_descriptors(&snapshot, by);
        }
    }
    assert!(marks > 0, "no image was marked at any step");
}

#[test]
fn without_others_of_the_label_votes_are_the_plain_ones() {
    let folder = tempfile::tempdir().unwrap();
    let database = create(&folder.path().join("db"), 8);
    let index = images("index", 40, 8, 5, 1_000, 1).split_off(1);
    database.write(index).unwrap();
    let query = Query::new([0.3, -0.2, 0.5, 0.1, 0.9, -0.4, 0.2, 0.6]);
    let search = |rerank: Option<Rerank>| {
        let request = SearchRequest::new().depth(39).rerank(rerank);
        database.snapshot().search_one(&request, &query).unwrap()
    };
    let augmented = Some(Rerank::new().augment(Expand::of_label()));
    // Nobody votes: the order is that of similarity.
    let (plain, answer) = (search(None), search(augmented));
    assert_eq!(answer.prediction, None);
    let ids = |answer: &cairn::Answer| answer.rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&answer), ids(&plain));
    // Each label has one image.
    let mut random = Random::new(7);
    let single = |n: usize| {
        let vector: Vec<f32> = (0..8).map(|_| random.signed()).collect();
        put(format!("t{n}"), Some(&format!("label {n}")), &vector)
    };
    database.write((0..9).map(single).collect::<Vec<_>>()).unwrap();
    assert_eq!(search(augmented), search(Some(Rerank::new())));
    let snapshot = database.snapshot();
    for key in snapshot.keys(Some(Role::Train)).unwrap() {
        assert_eq!(snapshot.augmented_vector(&key, Expand::of_label()).unwrap(), snapshot.vector(&key).unwrap());
    }
}

#[test]
fn what_is_out_of_range_is_refused_and_a_stop_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let database = create(&folder.path().join("db"), 8);
    database.write(images("row", 60, 8, 5, 2, 1)).unwrap();
    let snapshot = database.snapshot();
    let query = Query::new([1.0; 8]);
    let request = |by: Expand| SearchRequest::new().rerank(Rerank::new().augment(by));
    for by in [Expand::of_label().images(1), Expand::of_label().images(1_001), Expand::of_label().power(f64::NAN)] {
        assert_eq!(snapshot.search_one(&request(by), &query).unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(snapshot.augmented_vector("row000000", by).unwrap_err().kind(), ErrorKind::Invalid);
    }
    let stop = Stop::new();
    stop.stop();
    let stopped = snapshot.with_stop(&stop);
    let error = stopped.search_one(&request(Expand::of_label()), &query).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    // What was stopped is computed by the next search.
    snapshot.search_one(&request(Expand::of_label()), &query).unwrap();
}
