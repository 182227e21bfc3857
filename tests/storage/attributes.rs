//! Attributes and other keys: what is known of an image follows it wherever it goes, and no prediction depends on it.
//!
//! It catches: attributes lost by a label, a rename, a deferred write, a restart, a backup or a repair; an image that is found under
//! both keys or none; a rename onto a key that is taken.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use cairn::{Attributes, Database, Deferral, ErrorKind, Operation, Put, Value};
use cairndb_storage_tests::{create, digest};

fn describe(key: &str, changes: &[(&str, Option<Value>)]) -> Operation {
    let changes = changes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Operation::Describe { key: key.to_owned(), changes }
}

fn attributes(database: &Database, key: &str) -> Attributes {
    database.snapshot().record(key).unwrap().unwrap().attributes
}

fn filled(database: &Database) -> Attributes {
    let place = Value::Place { latitude: 48.858, longitude: 2.294 };
    database
        .write(vec![
            Put::new("t1", [1.0, 0.0]).label("tower").into(),
            Put::new("t2", [0.0, 1.0]).label("bridge").into(),
            Put::new("a", [0.9, 0.1])
                .photo(b"photo".to_vec())
                .attribute("camera", "Leica")
                .attribute("iso", 200.0)
                .attribute("taken", Value::Time(7))
                .attribute("place", place)
                .into(),
        ])
        .unwrap();
    attributes(database, "a")
}

#[test]
fn attributes_change_alone_and_follow_the_image() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let database = create(&path, 2);
    let mut known = filled(&database);
    assert_eq!(known.len(), 4);
    let before = digest(&database.snapshot());
    let receipt = database.write(vec![describe("a", &[("iso", None), ("rating", Some(Value::Number(5.0)))])]).unwrap();
    assert_eq!((receipt.images_changed, receipt.predictions_changed), (1, 0));
    known.remove("iso");
    known.insert("rating".to_owned(), Value::Number(5.0));
    assert_eq!(attributes(&database, "a"), known);
    assert_eq!(digest(&database.snapshot()), before, "answers depend on attributes");

    for operation in [Operation::label("a", "tower"), Operation::label("a", "bridge"), Operation::unlabel("a")] {
        database.write(vec![operation.clone()]).unwrap();
        assert_eq!(attributes(&database, "a"), known, "{operation:?}");
    }
    database.set_deferral(Deferral::Always);
    database.write(vec![describe("a", &[("seen", Some("yes".into()))])]).unwrap();
    known.insert("seen".to_owned(), "yes".into());
    database.close().unwrap();
    let database = Database::open(&path).unwrap();
    database.apply_pending().unwrap();
    assert_eq!(attributes(&database, "a"), known);
    let backup = folder.path().join("backup");
    database.backup(&backup).unwrap();
    database.close().unwrap();
    Database::restore_backup(&backup, folder.path().join("restored")).unwrap();
    Database::repair(&path).unwrap();
    for path in [path, folder.path().join("restored")] {
        let database = Database::open(path).unwrap();
        assert_eq!(attributes(&database, "a"), known);
        assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new());
    }
}

#[test]
fn attributes_that_cannot_be_are_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let database = create(&folder.path().join("db"), 2);
    let known = filled(&database);
    let number = |number: f64| Some(Value::Number(number));
    for deferral in [Deferral::Never, Deferral::Always] {
        database.set_deferral(deferral);
        for (name, value) in
            [("two words", number(1.0)), ("label", number(1.0)), ("x", number(f64::NAN)), ("x", Some("".into()))]
        {
            let error = database.write(vec![describe("a", &[(name, value)])]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        }
        assert_eq!(database.write(vec![describe("no", &[])]).unwrap_err().kind(), ErrorKind::NotFound);
        let error = database.write(vec![Put::new("b", [1.0, 0.0]).attribute("a b", 1.0).into()]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    assert_eq!(attributes(&database, "a"), known);
    assert_eq!(database.snapshot().sequence(), 1);
}

#[test]
fn a_renamed_image_is_the_same_under_its_other_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let database = create(&path, 2);
    let known = filled(&database);
    let seen = |database: &Database, key: &str| {
        let snapshot = database.snapshot();
        (
            snapshot.vector(key).unwrap(),
            snapshot.prediction(key).unwrap(),
            snapshot.photo(key).unwrap(),
            snapshot.record(key).unwrap(),
        )
    };
    for deferral in [Deferral::Never, Deferral::Always] {
        database.set_deferral(deferral);
        let before = seen(&database, "a");
        // There and back, so that the second round begins as the first.
        for (from, to) in [("a", "z"), ("z", "a")] {
            database.write(vec![Operation::rename(from, to, Some(format!("/photos/{to}")))]).unwrap();
            database.apply_pending().unwrap();
            assert_eq!(database.snapshot().record(from).unwrap(), None);
            let (vector, prediction, photo, record) = seen(&database, to);
            let record = record.unwrap();
            assert_eq!((&vector, &prediction, &photo), (&before.0, &before.1, &before.2));
            assert_eq!(record.attributes, known);
            assert_eq!(record.source.as_deref(), Some(&*format!("/photos/{to}")));
        }
        // Of a train image label, who set it, and votes stay.
        database.write(vec![Operation::rename("t1", "t9", None), Operation::rename("t9", "t1", None)]).unwrap();
        database.apply_pending().unwrap();
        assert_eq!(seen(&database, "a").1, before.1);
        let taken = database.write(vec![Operation::rename("a", "t1", None)]).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
        assert_eq!(database.write(vec![Operation::rename("no", "b", None)]).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(database.write(vec![Operation::rename("a", "", None)]).unwrap_err().kind(), ErrorKind::Invalid);
        // A key that becomes free in the same transaction can be taken.
        let freed = vec![Operation::delete("t2"), Operation::rename("a", "t2", None), Put::new("a", [0.0, 1.0]).into()];
        database.write(freed).unwrap();
        database.apply_pending().unwrap();
        assert_eq!(seen(&database, "t2").0, before.0);
        assert_eq!(seen(&database, "a").0, Some(vec![0.0, 1.0]));
        let back = vec![
            Operation::delete("a"),
            Operation::rename("t2", "a", None),
            Put::new("t2", [0.0, 1.0]).label("bridge").into(),
        ];
        database.write(back).unwrap();
        database.apply_pending().unwrap();
        assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new());
    }
}
