//! The clauses of a search around its stages: expansion and conditions, thresholds, copies.
//!
//! It catches: an expansion that sees only what the conditions admit, or the query itself; inserted rows below a threshold; a
//! threshold that takes the places of inserted rows; copies that are shown, counted twice or not at all; parameters out of range.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use cairn::methods::{Expand, Order, SuperGlobal};
use cairn::{
    Condition, Database, ErrorKind, Field, Operation, Options, Put, Query, Rerank, Row, SearchRequest, Snapshot, Stage,
};
use cairndb_storage_tests::images;

const DIMENSION: usize = 16;

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}

/// 300 images of both roles; of every image of the index with an even number there is a copy, moved a little.
fn database(folder: &std::path::Path) -> Database {
    let database = Database::create(folder.join("db"), Options::for_vectors(DIMENSION)).unwrap();
    let mut all = images("row", 300, DIMENSION, 20, 3, 1);
    let copies: Vec<Operation> = all
        .iter()
        .enumerate()
        .filter_map(|(at, operation)| match operation {
            Operation::Put(put) if put.label.is_none() && at % 2 == 0 => {
                let mut vector = put.vector.clone();
                vector[at % DIMENSION] += 1e-3;
                Some(Put::new(format!("copy of {}", put.key), vector).into())
            }
            _ => None,
        })
        .collect();
    all.extend(copies);
    database.write(all).unwrap();
    database
}

fn vector(snapshot: &Snapshot, key: &str) -> Vec<f32> {
    snapshot.vector(key).unwrap().unwrap()
}

fn rows(snapshot: &Snapshot, request: &SearchRequest, query: &Query) -> Vec<Row> {
    snapshot.search_one(request, query).unwrap().rows
}

fn ids(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.id.as_str()).collect()
}

#[test]
fn an_expansion_averages_the_nearest_images_whatever_the_conditions() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = database(folder.path()).snapshot();
    for key in snapshot.keys(None).unwrap().into_iter().step_by(37) {
        let query = Query::new(vector(&snapshot, &key)).without(key);
        let nearest = rows(&snapshot, &SearchRequest::new().depth(9), &query);
        let mut sum: Vec<f64> = query.vector.iter().map(|&x| f64::from(x)).collect();
        for row in &nearest {
            let weight = f64::from(row.similarity).max(0.0).powi(3);
            sum.iter_mut().zip(vector(&snapshot, &row.id)).for_each(|(sum, x)| *sum += weight * f64::from(x));
        }
        let mut by_hand = query.clone();
        by_hand.vector = sum.iter().map(|&x| x as f32).collect();
        let copies = Condition { field: Field::Id, like: true, value: "copy%".to_owned() };
        let request = SearchRequest::new().depth(20).filter(copies);
        let expected = rows(&snapshot, &request, &by_hand);
        let got = rows(&snapshot, &request.clone().expand(Expand::alpha()), &query);
        assert_eq!(ids(&got), ids(&expected));
        for (got, expected) in got.iter().zip(&expected) {
            assert!((got.score.unwrap() - expected.similarity).abs() < 1e-5, "the score is that of the expanded query");
            let own = dot(&query.vector, &vector(&snapshot, &got.id));
            assert!((f64::from(got.similarity) - own).abs() < 1e-5, "the similarity is the query's");
        }
        // Each search by its graphs or by a scan gives as many rows.
        assert_eq!(rows(&snapshot, &SearchRequest::new().ef(300).expand(Expand::mean()), &query).len(), 100);
    }
}

#[test]
fn thresholds_hold_for_every_row_and_take_no_place() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = database(folder.path()).snapshot();
    let mut inserted = 0;
    for key in snapshot.keys(None).unwrap().into_iter().step_by(23) {
        let query = Query::new(vector(&snapshot, &key));
        for base in [
            SearchRequest::new().depth(12),
            SearchRequest::new().depth(12).expand(Expand::alpha()),
            SearchRequest::new().depth(12).order(Order::from(SuperGlobal::new().first(40))),
            SearchRequest::new().depth(12).rerank(Rerank::new().tau(-2.0)),
        ] {
            // The list without a threshold, long enough that nothing falls off its end.
            let all = rows(&snapshot, &base, &query);
            let least = f64::from(all[all.len() / 2].similarity);
            let got = rows(&snapshot, &base.clone().least_similarity(least), &query);
            assert!(got.iter().all(|row| f64::from(row.similarity) >= least));
            inserted += got.iter().filter(|row| row.stage == Some(Stage::Inserted)).count();
            let kept: Vec<&str> =
                all.iter().filter(|row| f64::from(row.similarity) >= least).map(|row| row.id.as_str()).collect();
            if base.rerank.is_none() {
                assert_eq!(ids(&got), kept);
            } else {
                // Places that become free are given to further inserted rows.
                assert!(got.len() >= kept.len() && kept.iter().all(|id| ids(&got).contains(id)));
            }
        }
    }
    assert!(inserted > 0, "no threshold met an inserted row");
}

#[test]
fn copies_are_counted_once_behind_the_best_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = database(folder.path()).snapshot();
    let mut counted = 0;
    for key in snapshot.keys(None).unwrap().into_iter().step_by(17) {
        let query = Query::new(vector(&snapshot, &key));
        for (base, near) in [
            (SearchRequest::new().depth(50), 0.999),
            (SearchRequest::new().depth(50).limit(5), 0.999),
            (SearchRequest::new().depth(50).limit(7).rerank(Rerank::new()), 0.9),
            (SearchRequest::new().depth(50), 1.0),
        ] {
            let all = rows(&snapshot, &base.clone().limit(50), &query);
            let mut expected: Vec<(&str, usize)> = Vec::new();
            for row in &all {
                let own = vector(&snapshot, &row.id);
                let is_near = |(other, _): &(&str, usize)| dot(&vector(&snapshot, other), &own) >= near - 1e-6;
                match expected.iter().position(is_near) {
                    Some(earlier) => expected[earlier].1 += 1,
                    None if expected.len() < base.limit.min(50) => expected.push((&row.id, 0)),
                    None => {}
                }
            }
            let got = rows(&snapshot, &base.clone().collapse(near), &query);
            let got: Vec<(&str, usize)> = got.iter().map(|row| (row.id.as_str(), row.copies)).collect();
            counted += got.iter().map(|(_, copies)| copies).sum::<usize>();
            assert_eq!(got, expected);
        }
    }
    assert!(counted > 0, "there was no copy");
}

#[test]
fn parameters_out_of_range_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = database(folder.path()).snapshot();
    let query = Query::new([1.0; DIMENSION]);
    let new = SearchRequest::new;
    let superglobal = |method: SuperGlobal| new().order(Order::from(method));
    for request in [
        new().expand(Expand::mean().images(1)),
        new().expand(Expand::mean().images(1_001)),
        new().expand(Expand::alpha().power(f64::NAN)),
        new().expand(Expand::alpha().power(-1.0)),
        superglobal(SuperGlobal::new().first(1)),
        superglobal(SuperGlobal::new().first(10_001)),
        superglobal(SuperGlobal::new().images(0)),
        superglobal(SuperGlobal::new().beta(f64::INFINITY)),
        new().least_similarity(1.5),
        new().least_similarity(f64::NAN),
        new().collapse(-1.5),
        new().depth(10_001).collapse(0.9),
    ] {
        let error = snapshot.search_one(&request, &query).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{request:?}: {error}");
    }
    // More than there are is no mistake.
    let request = superglobal(SuperGlobal::new().first(10_000).images(1_000)).expand(Expand::mean().images(1_000));
    assert_eq!(rows(&snapshot, &request, &query).len(), 100);
    // No index image: nothing to average, and nothing found.
    let empty = Database::create(folder.path().join("empty"), Options::for_vectors(DIMENSION)).unwrap().snapshot();
    assert!(rows(&empty, &request, &query).is_empty());
}
