//! What applications rely on and seldom test: spellings of labels, the model behind a vector, readers that ask for the latest, and
//! which predictions a write changed.
//!
//! It catches: labels that differ by white space or by a form of Unicode; vectors of an earlier model silently stored; FRESH on a
//! reader that does not look at its writer; a change that is listed twice, or not at all; a time limit called a request.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::Duration;

use cairn::model::{ModelInfo, Reembed, Target, Wanted};
use cairn::{
    Arguments, Changed, Database, Deferral, ErrorKind, Expect, Operation, Options, Outcome, Ports, Put, Role, Snapshot,
    Stop,
};
use cairndb_storage_tests::{Stream, create};

const DIMENSION: usize = cairndb_storage_tests::DIMENSION;

struct Same;

impl Reembed for Same {
    fn reembed(&self, images: &[Wanted]) -> cairn::Result<Vec<cairn::Result<Vec<f32>>>> {
        Ok(images.iter().map(|image| Ok(image.vector.iter().rev().copied().collect())).collect())
    }
}

#[test]
fn a_label_has_one_spelling_whoever_gives_it() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("db"), Options::for_vectors(2)).unwrap();
    let put = |key: &str, label: &str| Put::new(key, [1.0, 0.0]).label(label).into();
    for deferral in [Deferral::Never, Deferral::Always] {
        database.set_deferral(deferral);
        database
            .write([put("a", "Mus\u{e9}e"), put("b", " Muse\u{301}e\t"), Put::new("c", [0.0, 1.0]).into()])
            .unwrap();
        database.write([Operation::label("c", "Mus\u{e9}e ")]).unwrap();
        let snapshot = database.apply_pending().unwrap();
        assert_eq!(snapshot.of_instance(" Mus\u{e9}e", Role::Train).count(), 3);
        assert_eq!(snapshot.record("b").unwrap().unwrap().label.as_deref(), Some("Mus\u{e9}e"));
        for nothing in ["", " ", "\t\u{feff}\n"] {
            for operation in [put("d", nothing), Operation::label("a", nothing)] {
                assert_eq!(database.write([operation]).unwrap_err().kind(), ErrorKind::Invalid, "{nothing:?}");
            }
        }
        database.write(["a", "b", "c"].map(Operation::delete)).unwrap();
        database.apply_pending().unwrap();
    }
}

#[test]
fn after_a_change_of_the_model_a_vector_needs_the_name_of_its_model() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("db"), Options::for_vectors(2)).unwrap();
    let put = || [Put::new("a", [1.0, 0.0]).into()];
    database.write(put()).unwrap();
    database.change_model(Target::new(ModelInfo::new("b", "b 1"), 2), &Same, None).unwrap();
    let refused = database.write(put()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Mismatch);
    assert_eq!(database.write_if([Expect::Model(None)], put()).unwrap_err().kind(), ErrorKind::Mismatch);
    assert_eq!(database.write_if([Expect::absent("b")], put()).unwrap_err().kind(), ErrorKind::Mismatch);
    database.write_if([Expect::model("b 1")], put()).unwrap();
    // What has no vector needs no model.
    database.write([Operation::label("a", "x"), Operation::unlabel("a"), Operation::delete("a")]).unwrap();
}

#[test]
fn a_reader_that_asks_for_the_latest_looks_at_its_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let writer = create(&path, 2);
    let put = |key: &str| [Put::new(key, [1.0, 0.0]).into()];
    writer.write(put("0")).unwrap();
    let reader = Database::open_read_only(&path).unwrap();
    let finds = |snapshot: &Snapshot, key: &str| snapshot.record(key).unwrap().is_some();
    type Ask = fn(&Database, u64) -> cairn::Result<Snapshot>;
    let asks: [Ask; 4] = [
        |reader, _| reader.freshest(),
        |reader, _| reader.apply_pending(),
        |reader, sequence| reader.wait_for(sequence),
        |reader, _| reader.snapshot_within(Duration::from_secs(3600)),
    ];
    for (at, ask) in asks.into_iter().enumerate() {
        let key = format!("by call {at}");
        let sequence = writer.write(put(&key)).unwrap().sequence;
        assert!(!finds(&reader.snapshot(), &key), "a snapshot stays as it is");
        assert!(finds(&ask(&reader, sequence).unwrap(), &key), "{key}");
    }
    for (at, clause) in ["FRESH", "SINCE SEQ $1", "STALE <= 1ms"].into_iter().enumerate() {
        let key = format!("by clause {at}");
        let sequence = writer.write(put(&key)).unwrap().sequence;
        let arguments = Arguments::of([cairn::Argument::Whole(sequence)]);
        let arguments = if clause.contains('$') { arguments } else { Arguments::default() };
        let text = format!("SEARCH VECTOR [1, 0] {clause} RETURN id");
        let outcomes = reader.query(&text, &arguments, &Ports::default()).unwrap();
        let Some(Outcome::Answers(answers)) = outcomes.first() else { panic!("no answer") };
        assert!(answers.answers[0].rows.iter().any(|row| row.id == key), "{clause}");
    }
    let later = writer.snapshot().sequence() + 1;
    assert_eq!(reader.wait_for(later).unwrap_err().kind(), ErrorKind::Invalid);
}

/// Predictions of index images by key.
fn predictions(snapshot: &Snapshot) -> BTreeMap<String, (String, u32)> {
    let mut found = BTreeMap::new();
    for record in snapshot.images() {
        let record = record.unwrap();
        if let (Role::Index, Some(vote)) = (record.role, snapshot.prediction(&record.key).unwrap()) {
            found.insert(record.key, (vote.instance, vote.score.to_bits()));
        }
    }
    found
}

#[test]
fn changed_predictions_are_listed_once_each() {
    let folder = tempfile::tempdir().unwrap();
    let database = create(folder.path(), DIMENSION);
    let mut stream = Stream::new(5);
    let mut held = vec![database.snapshot()];
    let mut listed = 0;
    for step in 0..120 {
        let receipt = database.write(stream.transaction()).unwrap();
        stream.advance();
        let now = database.snapshot();
        let changes = |earlier: &Snapshot| now.changes_since(earlier).collect::<cairn::Result<Vec<Changed>>>().unwrap();
        if step % 10 == 0 {
            database.flush().unwrap();
        }
        // The last state, and one of long ago.
        for earlier in [held.last().unwrap(), &held[held.len() / 2]] {
            let (before, after) = (predictions(earlier), predictions(&now));
            let of = |map: &BTreeMap<String, (String, u32)>, key: &str| map.get(key).cloned();
            let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            let expected: BTreeMap<String, _> = keys
                .into_iter()
                .map(|key| (key.clone(), (of(&before, key), of(&after, key))))
                .filter(|(_, (before, after))| before != after)
                .collect();
            let found = changes(earlier);
            let count = found.len();
            let vote = |vote: Option<cairn::Vote>| vote.map(|vote| (vote.instance, vote.score.to_bits()));
            let found: BTreeMap<String, _> =
                found.into_iter().map(|changed| (changed.key, (vote(changed.before), vote(changed.now)))).collect();
            assert_eq!(count, found.len(), "step {step}: an image is listed twice");
            assert_eq!(found, expected, "step {step}");
            listed += count;
        }
        let still_there = changes(held.last().unwrap()).iter().filter(|changed| changed.now.is_some()).count();
        assert!(still_there <= receipt.predictions_changed as usize, "step {step}");
        held.push(now);
    }
    assert!(listed > 100);
    assert_eq!(database.snapshot().changes_since(&database.snapshot()).count(), 0);
}

#[test]
fn a_time_limit_says_that_it_was_reached() {
    let folder = tempfile::tempdir().unwrap();
    let database = create(folder.path(), DIMENSION);
    let mut stream = Stream::new(6);
    (0..20).for_each(|_| {
        database.write(stream.transaction()).unwrap();
        stream.advance();
    });
    let over = Stop::new().after(Duration::ZERO);
    let pressed = Stop::new();
    pressed.stop();
    for (stop, word) in [(over, "time limit"), (pressed, "stopped on request")] {
        let by_watch = database.check_watched(true, &stop).unwrap_err();
        let by_stop = database.snapshot().with_stop(&stop).changes_since(&database.snapshot()).next();
        for error in [Some(by_watch), by_stop.and_then(Result::err)].into_iter().flatten() {
            assert_eq!(error.kind(), ErrorKind::Cancelled);
            assert!(error.message().contains(word), "{error}");
        }
    }
}
