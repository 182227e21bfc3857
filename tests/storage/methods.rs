//! The clauses of a search around its stages: expansion and conditions, thresholds, copies.
//!
//! It catches: an expansion that sees only what the conditions admit, or the query itself; inserted rows below a threshold; a
//! threshold that takes the places of inserted rows; copies that are shown, counted twice or not at all; parameters out of range.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use cairn::methods::{Diffusion, Expand, Exploration, Fusion, Order, Reciprocal, SuperGlobal};
use cairn::{
    Condition, Database, ErrorKind, Field, Operation, Options, Put, Query, Rerank, Role, Row, Scope, SearchRequest,
    Snapshot, Stage, Stop,
};
use cairndb_storage_tests::{Random, Stream, images, unit};

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

/// The original's formulas on whole matrices, for one query that is compared with the index alone.
fn reciprocal_by_hand(snapshot: &Snapshot, query: &[f32], k1: usize, k2: usize, lambda: f64) -> Vec<String> {
    let keys: Vec<String> = snapshot.keys(Some(Role::Index)).unwrap();
    let vectors: Vec<Vec<f32>> = keys.iter().map(|key| vector(snapshot, key)).collect();
    let all = vectors.len();
    let cosine = |a: &[f32], b: &[f32]| dot(a, b);
    let ranked = |of: &[f32], without: Option<usize>| -> Vec<usize> {
        let mut rows: Vec<usize> = (0..all).filter(|row| Some(*row) != without).collect();
        rows.sort_by(|&a, &b| cosine(of, &vectors[b]).total_cmp(&cosine(of, &vectors[a])));
        rows
    };
    let lists: Vec<Vec<usize>> = (0..all).map(|row| ranked(&vectors[row], Some(row))).collect();
    let has = |row: usize, other: usize, k: usize| lists[row][..k.min(all - 1)].contains(&other);
    let reciprocal = |row: usize, k: usize| -> Vec<usize> {
        let near = lists[row][..k.min(all - 1)].iter().copied().filter(|&other| has(other, row, k));
        near.chain([row]).collect()
    };
    let joined = |members: Vec<usize>| -> Vec<usize> {
        let mut joined = members.clone();
        for &member in &members {
            let own = reciprocal(member, k1 / 2);
            if 3 * own.iter().filter(|row| members.contains(row)).count() > 2 * own.len() {
                joined.extend(own);
            }
        }
        joined.sort_unstable();
        joined.dedup();
        joined
    };
    let weight = |cosine: f64| (2.0 * cosine - 2.0).exp();
    let row_of = |row: usize| -> Vec<f64> {
        let mut weights = vec![0.0; all];
        for other in joined(reciprocal(row, k1)) {
            weights[other] = weight(cosine(&vectors[row], &vectors[other]));
        }
        let whole: f64 = weights.iter().sum();
        weights.iter().map(|weight| weight / whole).collect()
    };
    let rows: Vec<Vec<f64>> = (0..all).map(row_of).collect();
    let mean = |rows: &[&Vec<f64>], own: &[f64]| -> Vec<f64> {
        (0..all).map(|at| (own[at] + rows.iter().map(|row| row[at]).sum::<f64>()) / k2 as f64).collect()
    };
    let near = ranked(query, None);
    let floor = |row: usize| cosine(&vectors[row], &vectors[lists[row][k1 - 1]]);
    let members = near[..k1].iter().copied().filter(|&row| cosine(query, &vectors[row]) >= floor(row)).collect();
    let mut own = vec![0.0; all];
    for other in joined(members) {
        own[other] = weight(cosine(query, &vectors[other]));
    }
    let whole = 1.0 + own.iter().sum::<f64>();
    own.iter_mut().for_each(|weight| *weight /= whole);
    let of_query = mean(&near[..k2 - 1].iter().map(|&row| &rows[row]).collect::<Vec<_>>(), &own);
    let far: Vec<f64> = (0..all)
        .map(|row| {
            let of_row = mean(&lists[row][..k2 - 1].iter().map(|&other| &rows[other]).collect::<Vec<_>>(), &rows[row]);
            let overlap: f64 = of_query.iter().zip(&of_row).map(|(a, b)| a.min(*b)).sum();
            let jaccard = 1.0 - overlap / (2.0 - overlap);
            (1.0 - lambda) * jaccard + lambda * (1.0 - cosine(query, &vectors[row]))
        })
        .collect();
    let mut rows: Vec<usize> = (0..all).collect();
    rows.sort_by(|&a, &b| far[a].total_cmp(&far[b]));
    rows.into_iter().map(|row| keys[row].clone()).collect()
}

#[test]
fn reciprocal_neighbourhoods_are_those_of_whole_matrices() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = database(folder.path()).snapshot();
    for seed in 0..12 {
        let mut random = Random::new(seed);
        let query: Vec<f32> = (0..DIMENSION).map(|_| random.signed()).collect();
        let query = unit(&query);
        let request = SearchRequest::new().depth(25).order(Reciprocal::new().k1(8).k2(3));
        let got = rows(&snapshot, &request, &Query::new(query.clone()));
        let expected = reciprocal_by_hand(&snapshot, &query, 8, 3, 0.3);
        let scores: Vec<f32> = got.iter().map(|row| row.score.unwrap()).collect();
        assert!(scores.windows(2).all(|pair| pair[0] >= pair[1]));
        for (at, (got, expected)) in ids(&got).into_iter().zip(&expected).enumerate() {
            let near = |by: usize| scores.get(by).is_some_and(|other| (other - scores[at]).abs() < 1e-5);
            assert!(
                got == expected || near(at + 1) || at > 0 && near(at - 1),
                "seed {seed}, rank {at}: {got}, {expected}"
            );
        }
    }
}

/// It catches: a graph of earlier images, of other row numbers, or of dead rows; a row of a derivation that outlives its graph.
#[test]
fn after_any_history_the_graph_is_that_of_the_images() {
    let folder = tempfile::tempdir().unwrap();
    let database =
        Database::create(folder.path().join("db"), Options::for_vectors(cairndb_storage_tests::DIMENSION)).unwrap();
    let mut stream = Stream::new(11);
    let new = || SearchRequest::new().depth(15);
    let requests = [
        new().order(Diffusion::new().degree(6).sources(3).cut(12)),
        new().order(Diffusion::new().degree(6).sources(3).cut(None)),
        new().order(Exploration::new().degree(4).threshold(0.5)),
        new().order(Exploration::new().degree(4).directed()),
        new().order(Reciprocal::new().k1(5).k2(2)),
        new().order(Reciprocal::new().k1(5).k2(2)).rerank(Rerank::new()),
        new().order(Reciprocal::new().k1(5).k2(2).transductive()),
        new().order(Diffusion::new().degree(6).cut(12).transductive()),
        new().augment(Expand::alpha().images(4)).expand(Expand::alpha().images(3)),
        new().order(Fusion::new()),
        new().order(Fusion::new().labels(0.7)).expand(Expand::alpha().images(3)),
    ];
    for step in 0..60 {
        database.write(stream.transaction()).unwrap();
        stream.advance();
        match step % 20 {
            7 => _ = database.flush().unwrap(),
            13 => database.compact().unwrap(),
            _ => {}
        }
        if step < 20 {
            continue;
        }
        // The same images, put at once.
        let fresh = Database::create(folder.path().join(format!("fresh {step}")), database.options()).unwrap();
        let snapshot = database.snapshot();
        let put = |key: String| {
            let record = snapshot.record(&key).unwrap().unwrap();
            let put = Put::new(key.clone(), vector(&snapshot, &key));
            record.label.map_or(put.clone(), |label| put.label(label)).into()
        };
        fresh.write(snapshot.keys(None).unwrap().into_iter().map(put)).unwrap();
        let fresh = fresh.snapshot();
        let mut random = Random::new(step);
        let query: Vec<f32> = (0..cairndb_storage_tests::DIMENSION).map(|_| random.signed()).collect();
        for request in &requests {
            let asked = Query::new(query.clone());
            let (got, expected) = (rows(&snapshot, request, &asked), rows(&fresh, request, &asked));
            let scored = |rows: &[Row]| rows.iter().map(|row| (row.id.clone(), row.score)).collect::<Vec<_>>();
            assert_eq!(scored(&got), scored(&expected), "step {step}: {request:?}");
        }
    }
}

/// It catches: a graph that is computed again by each process, one that is stale, one of another model.
#[test]
fn a_saved_graph_serves_later_processes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let saved = database(folder.path());
    let images = saved.save_neighbours().unwrap();
    assert_eq!(images, saved.snapshot().counts().index);
    saved.close().unwrap();
    let file = path.join("neighbours");
    let written = std::fs::read(&file).unwrap();
    let request = SearchRequest::new().order(Reciprocal::new());
    let asked = |database: &Database| {
        let snapshot = database.snapshot();
        let answer = rows(&snapshot, &request, &Query::new(vector(&snapshot, "row000004")));
        let checked = database.check(true).unwrap();
        assert_eq!(checked.problems, Vec::<String>::new());
        let edges =
            checked.checked.iter().find(|(what, _)| what.contains("saved neighbour graph")).map(|(_, count)| *count);
        (answer.into_iter().map(|row| (row.id, row.score)).collect::<Vec<_>>(), edges)
    };
    // Who only reads has it too, and does not write it.
    let (expected, edges) = asked(&Database::open_read_only(&path).unwrap());
    assert_eq!(edges, Some(49 * images as u64));
    assert_eq!(std::fs::read(&file).unwrap(), written);
    // Without the file the answers are the same.
    std::fs::remove_file(&file).unwrap();
    assert_eq!(asked(&Database::open_read_only(&path).unwrap()), (expected.clone(), None));
    std::fs::write(&file, &written).unwrap();
    // Images come and go: the answers are those of a database without the file, and the next closing saves another graph.
    let changed = Database::open(&path).unwrap();
    changed.write(vec![Operation::Delete { key: expected[0].0.clone() }]).unwrap();
    changed.write(vec![Put::new("late", vector(&changed.snapshot(), "row000004")).into()]).unwrap();
    let (late, _) = asked(&changed);
    assert!(late.iter().any(|(id, _)| id == "late") && late.iter().all(|(id, _)| *id != expected[0].0));
    changed.close().unwrap();
    assert_ne!(std::fs::read(&file).unwrap(), written);
    let (with, edges) = asked(&Database::open_read_only(&path).unwrap());
    std::fs::remove_file(&file).unwrap();
    let (without, _) = asked(&Database::open_read_only(&path).unwrap());
    assert_eq!((&with, &without), (&late, &late));
    assert_eq!(edges, Some(49 * images as u64));
}

/// It catches: evidence with the wrong sign; labels that say nothing and still decide.
#[test]
fn labels_decide_where_they_say_something() {
    let folder = tempfile::tempdir().unwrap();
    let name = |real: bool| folder.path().join(format!("{real}"));
    let mut found = Vec::new();
    for real in [true, false] {
        let database = Database::create(name(real), Options::for_vectors(DIMENSION)).unwrap();
        let (mut random, mut dice) = (Random::new(3), Random::new(9));
        // Each instance has two looks that have nothing in common; its train images have both.
        let looks: Vec<[Vec<f32>; 2]> = (0..20)
            .map(|_| [0, 1].map(|_| unit(&(0..DIMENSION).map(|_| random.signed()).collect::<Vec<_>>())))
            .collect();
        let mut near = |look: &[f32]| -> Vec<f32> { look.iter().map(|x| x + 0.12 * random.signed()).collect() };
        let mut all = Vec::new();
        for (instance, looks) in looks.iter().enumerate() {
            for n in 0..12 {
                let label = if real { instance } else { dice.below(20) };
                let train =
                    Put::new(format!("t{instance:02} {n:02}"), near(&looks[n % 2])).label(format!("l{label:02}"));
                all.push(train.into());
            }
            for n in 0..8 {
                all.push(Put::new(format!("i{instance:02} {n}"), near(&looks[n % 2])).into());
            }
        }
        database.write(all).unwrap();
        let snapshot = database.snapshot();
        let asked = Query::new(looks[0][0].clone());
        let labels = snapshot.search_one(&SearchRequest::new().order(Fusion::new()), &asked).unwrap().labels.unwrap();
        assert_eq!((labels.learnt, labels.weight < 0.5), (real, !real), "{labels:?}");
        let mut right = 0;
        for (instance, looks) in looks.iter().enumerate() {
            let request = SearchRequest::new().depth(8).order(Fusion::new());
            let own = format!("i{instance:02} ");
            right += rows(&snapshot, &request, &Query::new(looks[0].clone()))
                .iter()
                .filter(|row| row.id.starts_with(&own))
                .count();
        }
        found.push(right);
    }
    // Similarity alone finds the 4 of 8 that have the query's look.
    assert!(found[0] >= 150, "of 160 images {} were found by labels", found[0]);
    assert!((72..=100).contains(&found[1]), "labels that say nothing found {}", found[1]);
}

/// It catches: weights of another power, a mean without the image itself, a length that is left out, the score of another row.
#[test]
fn augmented_images_are_means_of_their_nearest_ones() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = database(folder.path()).snapshot();
    let keys = snapshot.keys(Some(Role::Index)).unwrap();
    let by_hand = |key: &String| {
        let own = vector(&snapshot, key);
        let nearest = rows(&snapshot, &SearchRequest::new().depth(4), &Query::new(own.clone()).without(key.clone()));
        let mut sum: Vec<f64> = own.iter().map(|&x| f64::from(x)).collect();
        for row in nearest {
            let weight = f64::from(row.similarity).max(0.0).powi(2);
            sum.iter_mut().zip(vector(&snapshot, &row.id)).for_each(|(sum, x)| *sum += weight * f64::from(x));
        }
        unit(&sum.iter().map(|&x| x as f32).collect::<Vec<f32>>())
    };
    let augmented: Vec<Vec<f32>> = keys.iter().map(by_hand).collect();
    let request = SearchRequest::new().depth(30).augment(Expand::alpha().images(5).power(2.0));
    let queries: Vec<Query> = keys.iter().step_by(41).map(|key| Query::new(vector(&snapshot, key))).collect();
    for (query, answer) in queries.iter().zip(snapshot.search(&request, &queries).unwrap()) {
        let mut expected: Vec<(f64, &str)> =
            keys.iter().zip(&augmented).map(|(key, vector)| (dot(&query.vector, vector), key.as_str())).collect();
        expected.sort_by(|a, b| b.0.total_cmp(&a.0));
        for (row, (score, key)) in answer.rows.iter().zip(expected) {
            assert!((f64::from(row.score.unwrap()) - score).abs() < 1e-5, "{} and {key}", row.id);
            let own = dot(&query.vector, &vector(&snapshot, &row.id));
            assert!((f64::from(row.similarity) - own).abs() < 1e-5, "the similarity is that of the stored descriptor");
        }
    }
}

/// It catches: an answer of transductive queries that hangs on their order or on how many are asked at a time.
#[test]
fn transductive_queries_are_answered_together() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = database(folder.path()).snapshot();
    let mut random = Random::new(5);
    let mut near = |key: &String| {
        let vector = vector(&snapshot, key);
        Query::new(vector.into_iter().map(|x| x + 0.05 * random.signed()).collect::<Vec<f32>>())
    };
    let keys = snapshot.keys(None).unwrap();
    let mut queries: Vec<Query> = keys.iter().take(300).map(&mut near).collect();
    let reciprocal = Reciprocal::new().k1(6).k2(3).transductive();
    for order in [Order::from(reciprocal), Order::from(Diffusion::new().degree(5).cut(20).transductive())] {
        let request = SearchRequest::new().depth(20).order(order);
        let scored = |rows: &[Row]| rows.iter().map(|row| (row.id.clone(), row.score)).collect::<Vec<_>>();
        let together: Vec<_> =
            snapshot.search(&request, &queries).unwrap().iter().map(|answer| scored(&answer.rows)).collect();
        queries.reverse();
        let reversed = snapshot.search(&request, &queries).unwrap();
        queries.reverse();
        let alone = snapshot.search(&request, &queries[..1]).unwrap();
        for (one, other) in together.iter().zip(reversed.iter().rev()) {
            for ((_, one), other) in one.iter().zip(&other.rows) {
                assert!((one.unwrap() - other.score.unwrap()).abs() < 1e-5, "{order:?}");
            }
        }
        assert_ne!(together[0], scored(&alone[0].rows), "{order:?}: the other queries say nothing");
    }
}

#[test]
fn methods_of_the_graph_obey_conditions_and_fill_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = database(folder.path()).snapshot();
    let index = snapshot.keys(Some(Role::Index)).unwrap();
    let key = &index[index.len() / 2];
    let query = Query::new(vector(&snapshot, key)).without(key.clone());
    let copies = Condition { field: Field::Id, like: true, value: "copy%".to_owned() };
    let matching = index.iter().filter(|other| other.starts_with("copy") && *other != key).count();
    let new = |order: Order| SearchRequest::new().order(order);
    for request in [
        new(Diffusion::new().into()),
        new(Diffusion::new().cut(None).into()),
        new(Exploration::new().into()),
        new(Exploration::new().degree(2).into()),
        new(Exploration::new().degree(2).directed().into()),
        new(Reciprocal::new().into()),
        new(Fusion::new().into()),
        new(Reciprocal::new().transductive().into()),
        new(Diffusion::new().transductive().into()),
        SearchRequest::new().augment(Expand::alpha()),
    ] {
        let all = rows(&snapshot, &request.clone().depth(10_000), &query);
        assert_eq!(all.len(), index.len() - 1, "{request:?}");
        assert!(!ids(&all).contains(&key.as_str()), "{request:?}: the query itself");
        let found = rows(&snapshot, &request.clone().depth(10_000).filter(copies.clone()), &query);
        assert_eq!(found.len(), matching, "{request:?}");
        assert!(ids(&found).iter().all(|id| id.starts_with("copy")), "{request:?}");
        let mut unique = ids(&found);
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), found.len(), "{request:?}");
        let refused = snapshot.search_one(&request.clone().scope(Scope::All), &query).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        let stopped = snapshot.with_stop(&{
            let stop = Stop::new();
            stop.stop();
            stop
        });
        let error = stopped.search_one(&request, &query).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
    }
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
        new().order(Order::from(Diffusion::new().degree(1))),
        new().order(Order::from(Diffusion::new().sources(0))),
        new().order(Order::from(Diffusion::new().cut(10_001))),
        new().order(Order::from(Exploration::new().threshold(f64::NAN))),
        new().order(Order::from(Reciprocal::new().k1(0))),
        new().order(Order::from(Reciprocal::new().k1(3).k2(5))),
        new().order(Order::from(Reciprocal::new().lambda(1.1))),
        new().order(Order::from(Fusion::new().labels(10.5))),
        new().order(Order::from(Fusion::new().labels(f64::NAN))),
        new().order(Order::from(Diffusion::new().cut(None).transductive())),
        new().augment(Expand::alpha().images(1)),
        new().augment(Expand::alpha()).ef(100),
        new().augment(Expand::alpha()).order(Order::from(SuperGlobal::new())),
        new().augment(Expand::alpha()).scope(Scope::Train),
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
