//! R18: filters that let through everything, half, a thousandth, one row of all (of 20,000; of 200,000, 0.0005 %, with
//! `CAIRN_LONG=1`), none: always min(K, matching) rows, the nearest of
//! the matching ones, by the graph as by exact search.
//!
//! It catches: a filter applied after the first K rows, a graph search that gives up among rows that do not match, inserted rows
//! that bypass the filter.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use cairn::{Condition, Database, Field, Operation, Query, Rerank, Scope, SearchRequest};
use cairndb_storage_tests::{Random, create, images, many};

const DIMENSION: usize = 16;

struct Row {
    key: String,
    source: String,
    label: Option<String>,
    prediction: Option<String>,
    vector: Vec<f32>,
}

fn build(database: &Database, rows: usize) -> Vec<Row> {
    let mut all = Vec::new();
    for (at, operation) in images("row", rows, DIMENSION, 30, 10, 3).into_iter().enumerate() {
        let Operation::Put(put) = operation else { continue };
        // Of every ten, a hundred, .. rows one is in the folder of that name; one row is alone.
        let folder = [100_000, 10_000, 1_000, 100, 10].into_iter().find(|share| at % share == share / 2).unwrap_or(1);
        let label = put.label.clone().map(|label| if at == 10 * (rows / 20) { "alone".to_owned() } else { label });
        let mut put = put.source(format!("share{folder}/{at}"));
        put.label = label;
        all.push(put.into());
    }
    for part in all.chunks(2000) {
        database.write(part.to_vec()).unwrap();
    }
    database.compact().unwrap();
    assert!(database.segments().iter().any(|segment| segment.graph), "too few rows for a graph");
    // A tail, too.
    database.write(images("tail", 50, DIMENSION, 30, 10, 4)).unwrap();
    let snapshot = database.snapshot();
    let row = |key: String| {
        let record = snapshot.record(&key).unwrap().unwrap();
        Row {
            source: record.source.unwrap_or_default(),
            label: record.label,
            prediction: snapshot.prediction(&key).unwrap().map(|vote| vote.instance),
            vector: snapshot.vector(&key).unwrap().unwrap(),
            key,
        }
    };
    snapshot.keys(None).unwrap().into_iter().map(row).collect()
}

fn condition(field: Field, like: bool, value: &str) -> Condition {
    Condition { field, like, value: value.to_owned() }
}

#[test]
fn every_filter_gives_the_rows_that_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let database = create(&folder.path().join("db"), DIMENSION);
    let rows = build(&database, many(20_000, 200_000));
    type Passes = fn(&Row) -> bool;
    let cases: Vec<(&str, Vec<Condition>, Passes)> = vec![
        ("all by path", vec![condition(Field::Path, true, "share%")], |row| row.source.starts_with("share")),
        ("a tenth", vec![condition(Field::Path, true, "share10/%")], |row| row.source.starts_with("share10/")),
        ("a hundredth", vec![condition(Field::Path, true, "share100/%")], |row| row.source.starts_with("share100/")),
        ("a thousandth", vec![condition(Field::Path, true, "share1000/%")], |row| row.source.starts_with("share1000/")),
        ("a ten-thousandth", vec![condition(Field::Path, true, "share10000/%")], |row| {
            row.source.starts_with("share10000/")
        }),
        ("one key", vec![condition(Field::Id, false, "row012345")], |row| row.key == "row012345"),
        ("ten keys", vec![condition(Field::Id, true, "row00123_")], |row| row.key.starts_with("row00123")),
        ("a lonely label", vec![condition(Field::Label, false, "alone")], |row| row.label.as_deref() == Some("alone")),
        ("a label", vec![condition(Field::Label, false, "label 7")], |row| row.label.as_deref() == Some("label 7")),
        ("an instance", vec![condition(Field::Instance, false, "label 7")], |row| {
            row.prediction.as_deref() == Some("label 7")
        }),
        ("train", vec![condition(Field::Split, false, "train")], |row| row.label.is_some()),
        ("none", vec![condition(Field::Id, false, "nobody")], |_| false),
        (
            "two that meet once",
            vec![condition(Field::Path, true, "share10/%"), condition(Field::Id, true, "row00012%")],
            |row| row.source.starts_with("share10/") && row.key.starts_with("row00012"),
        ),
    ];
    let mut random = Random::new(1);
    let mut asked = 0;
    for (name, filter, passes) in &cases {
        for scope in [Scope::Index, Scope::Train, Scope::All] {
            let in_scope = |row: &&Row| match scope {
                Scope::Index => row.label.is_none(),
                Scope::Train => row.label.is_some(),
                Scope::All => true,
            };
            let matching: Vec<&Row> = rows.iter().filter(in_scope).filter(|row| passes(row)).collect();
            for ef in [None, Some(100), Some(10)] {
                for depth in [1, 10, 100] {
                    let vector: Vec<f32> = (0..DIMENSION).map(|_| random.signed()).collect();
                    let story = format!("{name}, {scope:?}, ef {ef:?}, depth {depth}");
                    let request = {
                        let mut request = SearchRequest::new().scope(scope).depth(depth).limit(depth).ef(ef);
                        request.filter = filter.clone();
                        request
                    };
                    let query = Query::new(vector.clone());
                    let answer = database.snapshot().search(&request, std::slice::from_ref(&query)).unwrap().remove(0);
                    assert_eq!(answer.rows.len(), depth.min(matching.len()), "{story}");
                    let product = |row: &Row| -> f64 {
                        row.vector.iter().zip(&vector).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
                    };
                    let length = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
                    let mut best: Vec<f64> = matching.iter().map(|row| product(row) / length).collect();
                    best.sort_by(|a, b| b.total_cmp(a));
                    for (row, best) in answer.rows.iter().zip(best) {
                        assert!(
                            matching.iter().any(|matching| matching.key == row.id),
                            "{story}: '{}' does not match",
                            row.id
                        );
                        assert!((f64::from(row.similarity) - best).abs() < 1e-5, "{story}: '{}' for {best}", row.id);
                    }
                    // The second stage moves rows and inserts others; none that does not match.
                    let rerank = Some(Rerank::new().k(3).tau(-2.0));
                    let request = request.limit(2 * depth).rerank(rerank);
                    let answer = database.snapshot().search(&request, &[query]).unwrap().remove(0);
                    assert!(answer.rows.len() >= depth.min(matching.len()), "{story}, second stage");
                    for row in &answer.rows {
                        assert!(
                            matching.iter().any(|matching| matching.key == row.id),
                            "{story}: '{}' was inserted",
                            row.id
                        );
                    }
                    asked += 2;
                }
            }
        }
    }
    println!("{} rows, {asked} searches", rows.len());
}
