//! R21: vectors without a direction, duplicates, thousands of equal rows, more neighbours or rows requested than exist, empty
//! sets, flushing and merging nothing. The answers are defined, and equal to those that a person can work out.
//!
//! It catches: a NaN that is stored, ties in the order of writing instead of keys, a vote divided by the number of voters, a
//! search that cuts K to a wrong count, an empty segment file, a breadth of a search that is not checked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use cairn::limits::MAX_SEARCH_DEPTH;
use cairn::{Database, ErrorKind, Operation, Query, Rerank, Role, Scope, SearchRequest};
use cairndb_storage_tests::{Random, create, digest, files, images, many, put};

/// Train images, index images and labels.
fn counts(snapshot: &cairn::Snapshot) -> [usize; 3] {
    let counts = snapshot.counts();
    [counts.train, counts.index, counts.labels]
}

fn query(vector: &[f32]) -> Query {
    Query::new(vector.to_vec())
}

fn unchanged(database: &Database, before: &[String]) {
    assert_eq!(digest(&database.snapshot()), before);
    assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new());
}

#[test]
fn vectors_without_direction_are_refused_as_a_whole_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let database = create(&folder.path().join("db"), 4);
    database.write(images("i", 20, 4, 3, 3, 1)).unwrap();
    let before = digest(&database.snapshot());
    let sequence = database.snapshot().sequence();
    for deferral in [cairn::Deferral::Never, cairn::Deferral::Always] {
        database.set_deferral(deferral);
        for bad in [
            [f32::NAN, 0.0, 0.0, 1.0],
            [f32::INFINITY, 0.0, 0.0, 0.0],
            [1.0, f32::NEG_INFINITY, 0.0, 0.0],
            [0.0; 4],
            [-0.0; 4],
        ] {
            for label in [None, Some("label 1")] {
                let error = database.write(vec![put("good", None, &[1.0; 4]), put("bad", label, &bad)]).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
                assert!(error.message().contains("'bad'"), "{error}");
            }
            let error = database.snapshot().search(&SearchRequest::default(), &[query(&bad)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
            assert!(database.snapshot().predict(&query(&bad), 3).is_err());
        }
        for length in [0, 3, 5] {
            let error = database.write(vec![put("bad", None, &vec![1.0; length])]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
        }
        for key in ["", "a\0b", &"x".repeat(1025)] {
            assert_eq!(database.write(vec![put(key, None, &[1.0; 4])]).unwrap_err().kind(), ErrorKind::Invalid);
            let label = Operation::Label { key: "i000000".into(), label: key.into() };
            assert_eq!(database.write(vec![label]).unwrap_err().kind(), ErrorKind::Invalid);
        }
        for operation in [
            Operation::Delete { key: "nobody".into() },
            Operation::Unlabel { key: "nobody".into() },
            Operation::Label { key: "nobody".into(), label: "label 1".into() },
        ] {
            let error = database.write(vec![put("good", None, &[1.0; 4]), operation]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        }
        assert_eq!(database.apply_pending().unwrap().sequence(), sequence, "a refused transaction took a number");
        unchanged(&database, &before);
    }
    // Tiny, huge and subnormal ones have a direction.
    database
        .write(vec![
            put("tiny", None, &[1e-38, 0.0, 0.0, 0.0]),
            put("huge", None, &[0.0, -3e38, 3e38, 0.0]),
            put("least", None, &[0.0, 1e-45, 0.0, 0.0]),
        ])
        .unwrap();
    let snapshot = database.apply_pending().unwrap();
    assert_eq!(snapshot.vector("tiny").unwrap().unwrap(), [1.0, 0.0, 0.0, 0.0]);
    assert_eq!(snapshot.vector("least").unwrap().unwrap(), [0.0, 1.0, 0.0, 0.0]);
    assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new());
}

#[test]
fn of_duplicates_in_one_transaction_the_last_holds() {
    let folder = tempfile::tempdir().unwrap();
    for deferral in [cairn::Deferral::Never, cairn::Deferral::Always] {
        let database = create(&folder.path().join(format!("{deferral:?}")), 2);
        database.set_deferral(deferral);
        let (x, y) = ([1.0, 0.0], [0.0, 1.0]);
        let label = |key: &str, label: &str| Operation::Label { key: key.into(), label: label.into() };
        let delete = |key: &str| Operation::Delete { key: key.into() };
        database.write(vec![put("a", None, &x), put("a", Some("one"), &y), put("a", Some("two"), &x)]).unwrap();
        database
            .write(vec![
                put("b", None, &x),
                delete("b"),
                put("b", None, &y),
                label("b", "one"),
                Operation::Unlabel { key: "b".into() },
            ])
            .unwrap();
        database.write(vec![put("c", None, &x), delete("c")]).unwrap();
        let snapshot = database.apply_pending().unwrap();
        assert_eq!(snapshot.keys(None).unwrap(), ["a", "b"]);
        assert_eq!(snapshot.record("a").unwrap().unwrap().label.as_deref(), Some("two"));
        assert_eq!(snapshot.vector("a").unwrap().unwrap(), x);
        assert_eq!(snapshot.vector("b").unwrap().unwrap(), y);
        assert_eq!(snapshot.prediction("b").unwrap().unwrap().instance, "two");
        assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new());
    }
}

#[test]
fn equal_vectors_are_in_the_order_of_their_keys() {
    let folder = tempfile::tempdir().unwrap();
    let database = create(&folder.path().join("db"), 8);
    let count = many(5_000, 100_000);
    let vector = [0.5, 0.1, 0.0, -0.3, 0.2, 0.2, 0.1, 0.7];
    let mut places: Vec<usize> = (0..count).collect();
    Random::new(2).shuffle(&mut places);
    // 50 of them are train images, of 5 labels.
    let label = |at: usize| (at.is_multiple_of(count / 50)).then(|| format!("label {}", at / (count / 50) % 5));
    for places in places.chunks(1000) {
        let operations = places.iter().map(|&at| put(format!("k{at:07}"), label(at).as_deref(), &vector));
        database.write(operations).unwrap();
    }
    let keys: Vec<String> = (0..count).filter(|&at| label(at).is_none()).map(|at| format!("k{at:07}")).collect();
    for state in ["tail", "segments"] {
        let snapshot = database.apply_pending().unwrap();
        for (ef, depth) in [(None, 10), (None, 400), (Some(100), 100), (Some(2 * count), 300)] {
            let request = SearchRequest::new().depth(depth).limit(depth).ef(ef);
            for answer in snapshot.search(&request, &[query(&vector), query(&[1.0; 8])]).unwrap() {
                assert_eq!(answer.rows.len(), depth, "{state}, ef {ef:?}");
                let found: Vec<&String> = answer.rows.iter().map(|row| &row.id).collect();
                if ef.is_none() {
                    assert_eq!(found, keys.iter().take(depth).collect::<Vec<_>>(), "{state}, depth {depth}");
                } else {
                    assert!(found.is_sorted(), "{state}, ef {ef:?}: equal rows out of order");
                }
            }
        }
        // The voters are the first three train keys, of labels 0, 1, 2: the tie goes to the first.
        for key in [&keys[0], &keys[count / 2], &keys[keys.len() - 1]] {
            assert_eq!(snapshot.prediction(key).unwrap().unwrap().instance, "label 0", "{state}");
        }
        if state == "tail" {
            database.compact().unwrap();
        }
    }
    assert_eq!(database.check(count < 10_000).unwrap().problems, Vec::<String>::new());
    // All voters and all rows go; nothing is left that points at them.
    let everything: Vec<String> = database.snapshot().keys(None).unwrap();
    database.write(everything.iter().map(|key| Operation::Delete { key: key.clone() })).unwrap();
    let snapshot = database.apply_pending().unwrap();
    assert_eq!(snapshot.counts(), cairn::Counts::default());
    assert_eq!(snapshot.search(&SearchRequest::default(), &[query(&vector)]).unwrap()[0].rows, []);
    database.compact().unwrap();
    assert_eq!(database.segments(), []);
    assert_eq!(files(&database.folder().join("segments")), Vec::<std::path::PathBuf>::new());
    assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new());
}

#[test]
fn more_is_asked_for_than_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let database = create(&folder.path().join("db"), 2);
    database.write(vec![put("t1", Some("one"), &[1.0, 0.0]), put("t2", Some("two"), &[0.6, 0.8])]).unwrap();
    database.write((0..7).map(|n| put(format!("i{n}"), None, &[1.0, n as f32 / 10.0]))).unwrap();
    for _ in 0..2 {
        let snapshot = database.snapshot();
        let request = |scope, ef| {
            SearchRequest::new().scope(scope).depth(1000).limit(5000).ef(ef).rerank(Rerank::new().k(1000).tau(-2.0))
        };
        for ef in [None, Some(1), Some(1000)] {
            for (scope, rows) in [(Scope::Index, 7), (Scope::Train, 2), (Scope::All, 9)] {
                let answer = snapshot.search(&request(scope, ef), &[query(&[1.0, 0.0])]).unwrap().remove(0);
                assert_eq!(answer.rows.len(), rows, "{scope:?} {ef:?}");
                // Two vote; the tally is still divided by k.
                let vote = answer.prediction.unwrap();
                assert_eq!((vote.instance.as_str(), vote.score), ("one", 0.001));
            }
        }
        let voters = snapshot.predict(&query(&[1.0, 0.0]), 1000).unwrap().voters;
        assert_eq!(voters.len(), 2);
        database.compact().unwrap();
    }
    for (depth, limit, k) in [(0, 1, 3), (1, 0, 3), (usize::MAX, 1, 3), (1, 1, 0), (1, 1, usize::MAX - 1)] {
        let rerank = Some(Rerank::new().k(k).sort_only());
        let request = SearchRequest::new().depth(depth).limit(limit).rerank(rerank);
        assert_eq!(database.snapshot().search(&request, &[query(&[1.0, 0.0])]).unwrap_err().kind(), ErrorKind::Invalid);
    }
    // A breadth is what memory is asked for: one beyond any database is a mistake, and the largest that is taken costs no more than
    // there are rows.
    for (ef, is_taken) in [(0, false), (MAX_SEARCH_DEPTH, true), (MAX_SEARCH_DEPTH + 1, false), (usize::MAX, false)] {
        let request = SearchRequest::new().depth(9).limit(usize::MAX).ef(ef);
        match database.snapshot().search(&request, &[query(&[1.0, 0.0])]) {
            Ok(answers) => assert!(is_taken && answers[0].rows.len() == 7, "{ef}"),
            Err(error) => assert!(!is_taken && error.kind() == ErrorKind::Invalid, "{ef}: {error}"),
        }
    }
}

#[test]
fn nothing_is_flushed_merged_and_searched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let database = create(&path, 3);
    let look = |database: &Database, story: &str| {
        // The first may clear dead rows away; then there is nothing.
        database.flush().unwrap();
        assert!(!database.flush().unwrap(), "{story}");
        database.compact().unwrap();
        assert_eq!(database.segments(), [], "{story}");
        let snapshot = database.apply_pending().unwrap();
        for role in [None, Some(Role::Train), Some(Role::Index)] {
            assert_eq!(snapshot.keys(role).unwrap(), Vec::<String>::new());
        }
        for scope in [Scope::Index, Scope::Train, Scope::All] {
            for ef in [None, Some(10)] {
                let rerank = Some(Rerank::new().k(3).tau(0.6));
                let request = SearchRequest::new().scope(scope).ef(ef).rerank(rerank);
                let answer = snapshot.search(&request, &[query(&[1.0, 0.0, 0.0])]).unwrap().remove(0);
                assert_eq!((answer.prediction, answer.rows), (None, Vec::new()), "{story}");
            }
        }
        assert_eq!(snapshot.search(&SearchRequest::default(), &[]).unwrap(), []);
        let predicted = snapshot.predict(&query(&[1.0, 0.0, 0.0]), 3).unwrap();
        assert_eq!((predicted.vote, predicted.voters), (None, Vec::new()));
        assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new(), "{story}");
    };
    look(&database, "new");
    database.write(vec![put("a", None, &[1.0, 0.0, 0.0])]).unwrap();
    database.write(vec![Operation::Delete { key: "a".into() }]).unwrap();
    look(&database, "emptied in the tail");
    database.write(images("i", 30, 3, 3, 3, 1)).unwrap();
    database.flush().unwrap();
    let keys = database.snapshot().keys(None).unwrap();
    database.write(keys.into_iter().map(|key| Operation::Delete { key })).unwrap();
    database.compact().unwrap();
    look(&database, "emptied in segments");
    drop(database);
    look(&Database::open(&path).unwrap(), "opened again");
}

#[test]
fn one_role_may_be_empty() {
    let folder = tempfile::tempdir().unwrap();
    let database = create(&folder.path().join("db"), 3);
    database.write((0..9).map(|n| put(format!("i{n}"), None, &[1.0, n as f32, 0.0]))).unwrap();
    database.compact().unwrap();
    assert_eq!(database.segments().len(), 1);
    // Nobody votes: no prediction, nothing is positive, all rows are in the order of the first stage.
    let rerank = Some(Rerank::new().k(3).tau(-2.0));
    let request = SearchRequest::new().rerank(rerank);
    let answer = database.snapshot().search(&request, &[query(&[1.0, 0.0, 0.0])]).unwrap().remove(0);
    assert_eq!((answer.prediction, answer.rows.len()), (None, 9));
    assert!(answer.rows.iter().all(|row| row.prediction.is_none() && row.stage != Some(cairn::Stage::Positive)));
    assert_eq!(database.snapshot().prediction("i0").unwrap(), None);
    // All become train images: now nothing is searched, and everything votes.
    database.write((0..9).map(|n| Operation::Label { key: format!("i{n}"), label: "all".into() })).unwrap();
    database.compact().unwrap();
    let snapshot = database.snapshot();
    let answer = snapshot.search(&request, &[query(&[1.0, 0.0, 0.0])]).unwrap().remove(0);
    assert_eq!((answer.prediction.unwrap().instance.as_str(), answer.rows.len()), ("all", 0));
    assert_eq!(counts(&snapshot), [9, 0, 1]);
    assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new());
    // And back.
    database.write((0..9).map(|n| Operation::Unlabel { key: format!("i{n}") })).unwrap();
    let snapshot = database.snapshot();
    assert_eq!(counts(&snapshot), [0, 9, 0]);
    assert_eq!(snapshot.prediction("i0").unwrap(), None);
    assert_eq!(snapshot.labels().unwrap(), []);
    assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new());
}
