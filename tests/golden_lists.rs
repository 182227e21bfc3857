//! The outputs of the original implementations: votes, sort-step, insert-step, the train set as part of the database, metrics.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::path::Path;

use cairn::embed::CountInliers;
use cairn::eval::{
    Difficulty, Recognised, RecognitionTruth, Revisited, RevisitedTruth, Truth, evaluate, global_average_precision,
    revisited, top_1,
};
use cairn::methods::{Diffusion, Expand, Exploration, Order, Reciprocal, SuperGlobal};
use cairn::recognition::{Near, distractors, recognise};
use cairn::rerank::{gate, rerank};
use cairn::{
    Database, Operation, Options, Put, Query, RecognizeRequest, Rerank, Scope, SearchRequest, Stage, Verdict, soft_vote,
};
use cairndb_tests::{integers, lines, npy, rows, shared};

/// Scores closer than this may stand in either order (golden README).
const NEAR_TIE: f32 = 1e-5;

struct Collection {
    database: Database,
    index_ids: Vec<String>,
    train_ids: Vec<String>,
    queries: Vec<Query>,
    _folder: tempfile::TempDir,
}

fn put(key: &str, label: Option<String>, vector: Vec<f32>) -> Operation {
    Operation::Put({
        let mut put = Put::new(key.to_owned(), vector);
        put.label = label;
        put
    })
}

fn collection(golden: &Path) -> Collection {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("db"), Options::for_vectors(64)).unwrap();
    let read =
        |name: &str| (lines(&golden.join(format!("{name}_ids.txt"))), rows(&golden.join(format!("{name}_feats.npy"))));
    let (index_ids, index) = read("index");
    let (train_ids, train) = read("train");
    let labels = integers(&golden.join("train_labels.npy"));
    // Half of the index comes first, so that both orders of arrival are walked.
    let index_puts = |range: std::ops::Range<usize>| {
        range.map(|at| put(&index_ids[at], None, index[at].clone())).collect::<Vec<_>>()
    };
    let train_puts: Vec<Operation> =
        (0..train.len()).map(|at| put(&train_ids[at], Some(labels[at].to_string()), train[at].clone())).collect();
    let half = index.len() / 2;
    database.write(index_puts(0..half)).unwrap();
    for part in train_puts.chunks(700) {
        database.write(part.to_vec()).unwrap();
    }
    database.write(index_puts(half..index.len())).unwrap();
    let queries = rows(&golden.join("query_feats.npy")).into_iter().map(Query::new).collect();
    Collection { database, index_ids, train_ids, queries, _folder: folder }
}

/// Fails unless both lists are equal up to neighbours that are near ties.
fn assert_lists(name: &str, expected: &[Vec<String>], got: &[Vec<(String, f32)>]) {
    assert_near_lists(name, expected, got, NEAR_TIE);
}

fn assert_near_lists(name: &str, expected: &[Vec<String>], got: &[Vec<(String, f32)>], tie: f32) {
    assert_eq!(expected.len(), got.len());
    for (query, (expected, got)) in expected.iter().zip(got).enumerate() {
        assert_eq!(expected.len(), got.len(), "{name}, query {query}: length");
        let similarity: HashMap<&str, f32> = got.iter().map(|(id, similarity)| (id.as_str(), *similarity)).collect();
        for (rank, (expected, (id, similar))) in expected.iter().zip(got).enumerate() {
            let near = similarity.get(expected.as_str()).is_some_and(|other| (other - similar).abs() < tie);
            assert!(
                expected == id || near,
                "{name}, query {query}, rank {}: {expected} expected, {id} found",
                rank + 1
            );
        }
    }
}

fn expected_lists(golden: &Path, name: &str, ids: &[String]) -> Vec<Vec<String>> {
    let (values, shape) = npy(&golden.join(format!("{name}.npy")));
    let id = |row: &f64| ids[*row as usize].clone();
    values.chunks(shape[1]).map(|list| list.iter().filter(|row| **row >= 0.0).map(id).collect()).collect()
}

fn search(collection: &Collection, scope: Scope, rerank: Option<Rerank>) -> Vec<Vec<(String, f32)>> {
    answers(collection, &SearchRequest::new().scope(scope).rerank(rerank))
}

/// Ids with what ordered them; inserted rows with their similarity.
fn answers(collection: &Collection, request: &SearchRequest) -> Vec<Vec<(String, f32)>> {
    let answers = collection.database.snapshot().search(request, &collection.queries).unwrap();
    let scored = |row: cairn::Row| (row.id, row.score.unwrap_or(row.similarity));
    answers.into_iter().map(|answer| answer.rows.into_iter().map(scored).collect()).collect()
}

/// It catches: an expansion of another number of images or other weights, a vote of an expanded query, a neighbour too many in
/// SuperGlobal.
#[test]
fn methods_of_the_first_stage_equal_the_originals() {
    let Some(golden) = shared("golden") else { return };
    let collection = collection(&golden);
    let sort = Rerank::new().k(3).sort_only();
    let both = Rerank::new().k(3).tau(0.6);
    let (mean, alpha) =
        (|| SearchRequest::new().expand(Expand::mean()), || SearchRequest::new().expand(Expand::alpha()));
    for (name, request) in [
        ("list_aqe", mean()),
        ("list_alphaqe", alpha()),
        ("list_alphaqe_sort_k3", alpha().rerank(sort)),
        ("list_alphaqe_sortinsert_k3_tau0.6", alpha().rerank(both)),
        ("list_alphaqe_adba", alpha().augment(Expand::alpha())),
        ("list_alphaqe_adba_sortinsert_k3_tau0.6", alpha().augment(Expand::alpha()).rerank(both)),
        ("list_ref_superglobal", SearchRequest::new().order(Order::from(SuperGlobal::new()))),
    ] {
        let got = answers(&collection, &request);
        assert_lists(name, &expected_lists(&golden, name, &collection.index_ids), &got);
    }
    let ordered = |order: Order| SearchRequest::new().order(order);
    for (name, order) in [
        ("list_diffusion_yang_aaai19", Order::from(Diffusion::new())),
        ("list_ref_dfs_iscen", Order::from(Diffusion::new().cut(None))),
        ("list_ref_egt_symmetric_k5_tinf", Order::from(Exploration::new().degree(5))),
        ("list_ref_egt_symmetric_k5_t0.40", Order::from(Exploration::new().degree(5).threshold(0.4))),
        ("list_egt_k50_tinf", Order::from(Exploration::new().degree(50))),
        ("list_egt_k50_t0.40", Order::from(Exploration::new().degree(50).threshold(0.4))),
        ("list_egt_lyakaap_k50_tinf", Order::from(Exploration::new().degree(50).directed())),
    ] {
        let expected = expected_lists(&golden, name, &collection.index_ids);
        // Conjugate gradients amplify the noise of floats (golden README).
        let tie = if matches!(order, Order::Diffusion(_)) { 10.0 * NEAR_TIE } else { NEAR_TIE };
        let got = answers(&collection, &ordered(order));
        if matches!(order, Order::Exploration(_)) {
            let ids = |list: &Vec<(String, f32)>| list.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>();
            assert_eq!(got.iter().map(ids).collect::<Vec<_>>(), expected, "{name}");
        } else {
            assert_near_lists(name, &expected, &got, tie);
        }
    }
    for (name, request) in [("aqe", mean()), ("alphaqe", alpha()), ("alphaqe_adba", alpha().augment(Expand::alpha()))] {
        let (scores, shape) = npy(&golden.join(format!("{name}_top100_score.npy")));
        for (query, (expected, got)) in scores.chunks(shape[1]).zip(answers(&collection, &request)).enumerate() {
            let far =
                expected.iter().zip(&got).find(|(expected, (_, got))| (**expected - f64::from(*got)).abs() > 1e-5);
            assert!(far.is_none(), "{name}, query {query}: {far:?}");
        }
    }
}

/// It catches: neighbours of another label in a mean, a mean without the image itself, weights of another power.
#[test]
fn augmented_train_images_equal_the_originals() {
    let Some(golden) = shared("golden") else { return };
    let (ids, vectors) = (lines(&golden.join("train_ids.txt")), rows(&golden.join("train_feats.npy")));
    let labels = integers(&golden.join("train_labels.npy"));
    let expected = rows(&golden.join("supdba_train_feats_first200.npy"));
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("db"), Options::for_vectors(64)).unwrap();
    // The others are part of no mean, and stay as they are.
    let verified: Vec<usize> =
        integers(&golden.join("supdba_verified_train_rows.npy")).into_iter().map(|row| row as usize).collect();
    let puts = verified.iter().map(|&row| put(&ids[row], Some(labels[row].to_string()), vectors[row].clone()));
    database.write(puts.collect::<Vec<_>>()).unwrap();
    let snapshot = database.snapshot();
    let (mut compared, mut moved) = (0, 0);
    for (row, expected) in expected.iter().enumerate() {
        if !verified.contains(&row) {
            assert_eq!(*expected, vectors[row]);
            continue;
        }
        let got = snapshot.augmented_vector(&ids[row], Expand::of_label()).unwrap().unwrap();
        let far = got.iter().zip(expected).map(|(got, expected)| (got - expected).abs()).fold(0.0, f32::max);
        assert!(far < NEAR_TIE, "train image {row}: off by {far}");
        compared += 1;
        moved += usize::from(got != vectors[row]);
    }
    assert!(compared > 100 && moved > 50, "{compared} means, {moved} of several images");
}

/// It catches: a query that is left out of the graph, distances that are not divided by their maxima, rows that are not of unit length.
#[test]
fn transductive_methods_equal_the_originals() {
    let Some(golden) = shared("golden") else { return };
    let collection = collection(&golden);
    for (name, order) in [
        ("list_krecip_k20_6_l0.3", Order::from(Reciprocal::new().transductive())),
        ("list_diffusion_yang_new", Order::from(Diffusion::new().transductive())),
    ] {
        // Conjugate gradients amplify the noise of floats (golden README).
        let tie = if matches!(order, Order::Diffusion(_)) { 10.0 * NEAR_TIE } else { NEAR_TIE };
        let got = answers(&collection, &SearchRequest::new().order(order));
        assert_near_lists(name, &expected_lists(&golden, name, &collection.index_ids), &got, tie);
    }
    let (scores, shape) = npy(&golden.join("krecip_final_dist.npy"));
    let got = answers(&collection, &SearchRequest::new().order(Reciprocal::new().transductive()));
    for (query, (expected, got)) in scores.chunks(shape[1]).zip(&got).enumerate() {
        for (id, score) in got {
            let row = collection.index_ids.iter().position(|known| known == id).unwrap();
            let far = 1.0 - f64::from(*score);
            assert!((expected[row] - far).abs() < 1e-5, "query {query}, {id}: {far}, not {}", expected[row]);
        }
    }
}

#[test]
fn lists_votes_and_metrics_equal_the_originals() {
    let Some(golden) = shared("golden") else { return };
    let collection = collection(&golden);
    let snapshot = collection.database.snapshot();

    let knn = search(&collection, Scope::Index, None);
    let (values, shape) = npy(&golden.join("knn_top100_ids.npy"));
    let expected: Vec<Vec<String>> = values
        .chunks(shape[1])
        .map(|list| list.iter().map(|&row| collection.index_ids[row as usize].clone()).collect())
        .collect();
    assert_lists("kNN", &expected, &knn);

    for k in [1, 3, 5] {
        let sort = Rerank::new().k(k).sort_only();
        let got = search(&collection, Scope::Index, Some(sort));
        assert_lists(
            &format!("sort k={k}"),
            &expected_lists(&golden, &format!("list_sort_k{k}"), &collection.index_ids),
            &got,
        );
        for tau in ["0.0", "0.6", "1.2"] {
            let name = format!("list_sortinsert_k{k}_tau{tau}");
            let both = Rerank::new().k(k).tau(tau.parse().unwrap());
            let got = search(&collection, Scope::Index, Some(both));
            assert_lists(&name, &expected_lists(&golden, &name, &collection.index_ids), &got);
        }
        // The predictions of the index images, through the same door: every one appears in some answer or is asked for.
        let labels = integers(&golden.join(format!("vote_index_k{k}_label.npy")));
        let (scores, _) = npy(&golden.join(format!("vote_index_k{k}_score.npy")));
        let all = SearchRequest::new().depth(collection.index_ids.len()).limit(collection.index_ids.len()).rerank(sort);
        let answer = &snapshot.search(&all, &collection.queries[..1]).unwrap()[0];
        assert_eq!(answer.rows.len(), labels.len());
        let row_of: HashMap<&str, usize> =
            collection.index_ids.iter().enumerate().map(|(row, id)| (id.as_str(), row)).collect();
        for found in &answer.rows {
            let (row, vote) = (row_of[found.id.as_str()], found.prediction.as_ref().unwrap());
            assert_eq!(vote.instance, labels[row].to_string(), "k={k}, index row {row}");
            assert!((f64::from(vote.score) - scores[row]).abs() < 1e-6, "k={k}, index row {row}");
        }
        let labels = integers(&golden.join(format!("vote_query_k{k}_label.npy")));
        let (scores, _) = npy(&golden.join(format!("vote_query_k{k}_score.npy")));
        for (row, query) in collection.queries.iter().enumerate() {
            let vote = snapshot.predict(query, k).unwrap().vote.unwrap();
            assert_eq!(vote.instance, labels[row].to_string(), "k={k}, query {row}");
            assert!((f64::from(vote.score) - scores[row]).abs() < 1e-6, "k={k}, query {row}");
        }
    }

    let both_sets = [collection.index_ids.clone(), collection.train_ids.clone()].concat();
    let got = search(&collection, Scope::All, None);
    assert_lists("train in the database, kNN", &expected_lists(&golden, "list_ref_traindb_knn", &both_sets), &got);
    let both = Rerank::new().k(3).tau(0.6);
    let got = search(&collection, Scope::All, Some(both));
    let expected = expected_lists(&golden, "list_ref_traindb_sortinsert_k3_tau0.6", &both_sets);
    assert_lists("train in the database, both steps", &expected, &got);

    metrics_equal(&golden, &collection);
}

fn metrics_equal(golden: &Path, collection: &Collection) {
    let read = |name: &str| -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(golden.join(name)).unwrap()).unwrap()
    };
    let truth: Vec<Truth> = read("gt_retrieval.json")
        .as_object()
        .unwrap()
        .iter()
        .map(|(query, rows)| {
            let id = |row: &serde_json::Value| collection.index_ids[row.as_u64().unwrap() as usize].clone();
            Truth { query: query.clone(), relevant: rows.as_array().unwrap().iter().map(id).collect() }
        })
        .collect();
    let expected = read("metrics_retrieval.json");
    for (name, rerank) in [
        ("knn", None),
        ("sort_k3", Some(Rerank::new().k(3).sort_only())),
        ("sortinsert_k3_tau0.6", Some(Rerank::new().k(3).tau(0.6))),
        ("sortinsert_k5_tau0.0", Some(Rerank::new().k(5).tau(0.0))),
    ] {
        let ranked = search(collection, Scope::Index, rerank)
            .into_iter()
            .enumerate()
            .map(|(query, list)| (query.to_string(), list.into_iter().map(|(id, _)| id).collect()))
            .collect();
        let metrics = evaluate(&truth, &ranked, 100);
        let value = |field: &str| expected[name][field].as_f64().unwrap();
        // Near ties may swap neighbours; a swap moves AP by less than this.
        assert!((metrics.map - value("map100")).abs() < 1e-4, "{name}: {metrics:?}");
        assert!((metrics.precision_at_10 - value("p10")).abs() < 1e-4, "{name}: {metrics:?}");
        assert!((metrics.mean_position - value("mean_pos")).abs() < 1e-2, "{name}: {metrics:?}");
    }
}

/// It catches: junk that keeps its place, hard images counted as easy ones, unranked images left out of the divisor.
#[test]
fn revisited_metrics_equal_the_authors() {
    let Some(golden) = shared("golden") else { return };
    let collection = collection(&golden);
    let read = |name: &str| -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(golden.join(name)).unwrap()).unwrap()
    };
    let gnd = read("gnd_revisited.json");
    let truth: Vec<RevisitedTruth> = gnd
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
        .map(|(query, gnd)| {
            let ids = |field: &str| {
                let rows = gnd[field].as_array().unwrap().iter();
                rows.map(|row| collection.index_ids[row.as_u64().unwrap() as usize].clone()).collect()
            };
            (query.to_string(), Revisited { easy: ids("easy"), hard: ids("hard"), junk: ids("junk") })
        })
        .collect();
    let (values, shape) = npy(&golden.join("knn_fullrank.npy"));
    let full: Vec<Vec<String>> = values
        .chunks(shape[1])
        .map(|list| list.iter().map(|&row| collection.index_ids[row as usize].clone()).collect())
        .collect();
    let expected = read("metrics_retrieval.json");
    for (name, list) in
        [("knn", "knn_fullrank"), ("sortinsert_k3_tau0.6", "list_sortinsert_k3_tau0.6"), ("aqe", "list_aqe")]
    {
        let lists = expected_lists(&golden, list, &collection.index_ids);
        // The list, and then the rest in the order of kNN, as the golden figures were made.
        let ranked: HashMap<String, Vec<String>> = lists
            .iter()
            .zip(&full)
            .enumerate()
            .map(|(query, (list, full))| {
                let rest = full.iter().filter(|id| !list.contains(id));
                (query.to_string(), list.iter().chain(rest).cloned().collect())
            })
            .collect();
        for (word, difficulty) in [("E", Difficulty::Easy), ("M", Difficulty::Medium), ("H", Difficulty::Hard)] {
            let metrics = revisited(&truth, &ranked, difficulty, &[1, 5, 10]);
            let expected = &expected[name]["rev"][word];
            assert!((metrics.map - expected["map"].as_f64().unwrap()).abs() < 1e-9, "{name} {word}: {metrics:?}");
            for (got, expected) in metrics.precision.iter().zip(expected["mp_at_1_5_10"].as_array().unwrap()) {
                assert!((got - expected.as_f64().unwrap()).abs() < 1e-9, "{name} {word}: {metrics:?}");
            }
        }
    }
}

/// The inliers of the golden collection: of each query with the three train images.
struct Counted(HashMap<(usize, String), u32>);

impl CountInliers for Counted {
    fn count(&self, asked: &[(usize, Vec<String>)]) -> cairn::Result<Vec<Vec<Option<u32>>>> {
        let of = |(query, keys): &(usize, Vec<String>)| {
            keys.iter().map(|key| self.0.get(&(*query, key.clone())).copied()).collect()
        };
        Ok(asked.iter().map(of).collect())
    }
}

/// The recognition of a whole database equals the original's: labels, scores and the three train images.
///
/// It catches: other nearest images, an inlier term of the wrong image, distractors counted over part of the queries, a threshold that
/// changes a label or its score.
#[test]
fn a_database_recognises_what_the_original_does() {
    let Some(golden) = shared("golden") else { return };
    let collection = collection(&golden);
    let (rows, shape) = npy(&golden.join("recog_top3_train_rows.npy"));
    let (inliers, _) = npy(&golden.join("recog_top3_inliers.npy"));
    let mut counted = HashMap::new();
    for (at, row) in rows.iter().enumerate().filter(|&(at, _)| inliers[at] >= 0.0) {
        counted.insert((at / shape[1], collection.train_ids[*row as usize].clone()), inliers[at] as u32);
    }
    let counted = Counted(counted);
    for most in [30, 2] {
        let request = RecognizeRequest::new().distractors(most);
        let found = collection.database.snapshot().recognise(&request, &collection.queries, Some(&counted)).unwrap();
        let labels = integers(&golden.join(format!("recog_final_ban{most}_label.npy")));
        let (scores, _) = npy(&golden.join(format!("recog_final_ban{most}_score.npy")));
        assert_eq!(found.len(), labels.len());
        for (query, recognition) in found.iter().enumerate() {
            assert_eq!(recognition.label, Some(labels[query].to_string()), "at most {most}, query {query}");
            assert!((recognition.score - scores[query]).abs() < 1e-5, "at most {most}, query {query}: {recognition:?}");
            let is_distractor = recognition.verdict == Verdict::Distractor;
            assert_eq!(is_distractor, recognition.score.fract() == 0.0 && recognition.score < -f64::from(most as u8));
            let near: Vec<&str> = recognition.images.iter().map(|image| image.key.as_str()).collect();
            let expected: Vec<&str> = rows[query * shape[1]..][..shape[1]]
                .iter()
                .map(|&row| collection.train_ids[row as usize].as_str())
                .collect();
            assert_eq!(near, expected, "query {query}");
        }
    }
    // Labels that are missing in train, and photos of nothing: the learnt threshold tells most of them from the others.
    let found = collection.database.snapshot().recognise(&RecognizeRequest::new(), &collection.queries, None).unwrap();
    let truth = integers(&golden.join("query_labels.npy"));
    let right = |query: usize| found[query].label.as_deref() == Some(&*truth[query].to_string());
    let share = |wanted: bool| {
        let of: Vec<usize> = (0..found.len()).filter(|&query| right(query) == wanted).collect();
        of.iter().filter(|&&query| found[query].verdict == Verdict::Known).count() as f64 / of.len() as f64
    };
    println!(
        "known: {:.2} of the right labels, {:.2} of the wrong ones; {:?}",
        share(true),
        share(false),
        found[0].least
    );
    assert!(share(true) > 0.6 && share(false) < 0.2);
}

/// It catches: another term or limit of recognition, ties, distractors that keep their score, a GAP of another order or divisor.
#[test]
fn recognition_and_its_metrics_equal_the_originals() {
    let Some(golden) = shared("golden") else { return };
    let (rows, shape) = npy(&golden.join("recog_top3_train_rows.npy"));
    let (distances, _) = npy(&golden.join("recog_top3_sqdist.npy"));
    let (inliers, _) = npy(&golden.join("recog_top3_inliers.npy"));
    let labels = integers(&golden.join("train_labels.npy"));
    let near = |at: usize| Near {
        label: labels[rows[at] as usize],
        similarity: 1.0 - distances[at] / 2.0,
        inliers: (inliers[at] >= 0.0).then_some(inliers[at] as u32),
    };
    let recognised = |query: usize| recognise((0..shape[1]).map(|at| near(query * shape[1] + at))).unwrap();
    let found: Vec<(i64, f64)> = (0..shape[0]).map(recognised).map(|elected| (elected.label, elected.score)).collect();
    let ids = lines(&golden.join("query_ids.txt"));
    let shown = |label: i64| if label >= 0 { vec![label.to_string()] } else { Vec::new() };
    let truth: RecognitionTruth = ids
        .iter()
        .zip(integers(&golden.join("query_labels.npy")))
        .map(|(id, label)| (id.clone(), shown(label)))
        .collect();
    let metrics: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(golden.join("metrics_recognition.json")).unwrap()).unwrap();
    let check = |name: &str, found: &[(i64, f64)]| {
        let recognised = |(query, (label, score)): (&String, &(i64, f64))| Recognised {
            query: query.clone(),
            label: label.to_string(),
            score: *score,
        };
        let predictions: Vec<Recognised> = ids.iter().zip(found).map(recognised).collect();
        let known: Vec<Recognised> =
            predictions.iter().filter(|found| !truth[&found.query].is_empty()).cloned().collect();
        for (field, got) in [
            ("gap", global_average_precision(&predictions, &truth)),
            ("gap_ignore_nongt", global_average_precision(&known, &truth)),
            ("top1", top_1(&predictions, &truth)),
        ] {
            let expected = metrics[name][field].as_f64().unwrap();
            assert!((got - expected).abs() < 1e-6, "{name} {field}: {got}, expected {expected}");
        }
    };
    for most in [30, 2] {
        let mut found = found.clone();
        let sunk = distractors(found.iter().map(|(label, _)| *label), most);
        found.iter_mut().for_each(|(label, score)| *score = sunk.get(label).copied().unwrap_or(*score));
        let expected = integers(&golden.join(format!("recog_final_ban{most}_label.npy")));
        let (scores, _) = npy(&golden.join(format!("recog_final_ban{most}_score.npy")));
        for (query, (label, score)) in found.iter().enumerate() {
            assert_eq!(*label, expected[query], "at most {most}, query {query}");
            assert!((score - scores[query]).abs() < 1e-6, "at most {most}, query {query}");
        }
        check(&format!("recognition_ban{most}"), &found);
    }
    for k in [1, 3, 5] {
        let labels = integers(&golden.join(format!("vote_query_k{k}_label.npy")));
        let (scores, _) = npy(&golden.join(format!("vote_query_k{k}_score.npy")));
        check(&format!("softvote_k{k}"), &labels.into_iter().zip(scores).collect::<Vec<_>>());
    }
}

#[test]
fn the_vote_equals_the_original_case_by_case() {
    let Some(golden) = shared("golden") else { return };
    let cases: Vec<serde_json::Value> =
        serde_json::from_str(&std::fs::read_to_string(golden.join("vote_cases.json")).unwrap()).unwrap();
    assert!(!cases.is_empty());
    for case in &cases {
        let neighbours = case["neighbours"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (pair[0].as_i64().unwrap(), pair[1].as_f64().unwrap() as f32));
        let ballot = soft_vote(neighbours, case["k"].as_u64().unwrap() as usize).unwrap();
        assert_eq!(ballot.label, case["label"].as_i64().unwrap(), "{case}");
        assert!((f64::from(ballot.score) - case["score"].as_f64().unwrap()).abs() < 1e-6, "{case}");
    }
}

#[test]
fn both_steps_equal_the_paper_case_by_case() {
    let Some(golden) = shared("golden") else { return };
    let cases: Vec<serde_json::Value> =
        serde_json::from_str(&std::fs::read_to_string(golden.join("rerank_cases.json")).unwrap()).unwrap();
    assert!(!cases.is_empty());
    for case in &cases {
        let list = |field: &str| {
            case[field].as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect::<Vec<_>>()
        };
        let labels: Vec<i64> = case["index_label"].as_array().unwrap().iter().map(|v| v.as_i64().unwrap()).collect();
        let scores: Vec<f32> =
            case["index_score"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
        let (label, score) = (case["query_label"].as_i64().unwrap(), case["query_score"].as_f64().unwrap() as f32);
        let (tau, depth) = (case["tau"].as_f64().unwrap(), case["topk"].as_u64().unwrap() as usize);
        let mut retrieved = list("retrieved");
        // The search that comes before retrieves `topk` at the most.
        retrieved.truncate(depth);
        let mut candidates: Vec<usize> = (0..labels.len())
            .filter(|row| labels[*row] == label && !retrieved.contains(row) && gate(score, scores[*row], tau))
            .collect();
        candidates.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
        let rows = |list: Vec<(usize, Stage)>| list.into_iter().map(|(row, _)| row).collect::<Vec<_>>();
        let positive = |row: &usize| labels[*row] == label;
        let got = rows(rerank(retrieved.clone(), positive, true, candidates, depth));
        assert_eq!(got, list("expected_paper"), "{}", case["name"]);
        let got = rows(rerank(retrieved, positive, true, [], depth));
        assert_eq!(got, list("expected_sort_only"), "{}", case["name"]);
    }
}

/// Many queries at once ask for a graph that is not built yet, then for one that is behind: it must be built once, without a
/// deadlock, hold every new row, and answer with min(K, rows) live rows.
#[test]
fn the_graph_finds_what_exact_search_finds() {
    let Some(golden) = shared("golden") else { return };
    let collection = collection(&golden);
    let recall = |depth: usize| {
        let snapshot = collection.database.snapshot();
        let exact = SearchRequest::new().depth(depth).limit(depth);
        let graph = exact.clone().ef(2 * depth);
        let ids = |request: &SearchRequest| -> Vec<Vec<String>> {
            let answers = snapshot.search(request, &collection.queries).unwrap();
            answers.into_iter().map(|answer| answer.rows.into_iter().map(|row| row.id).collect()).collect()
        };
        let (exact, graph) = (ids(&exact), ids(&graph));
        let pairs = exact.iter().zip(&graph);
        let found: usize = pairs.map(|(exact, graph)| exact.iter().filter(|id| graph.contains(id)).count()).sum();
        assert!(graph.iter().zip(&exact).all(|(graph, exact)| graph.len() == exact.len()), "a list is too short");
        found as f64 / exact.iter().map(Vec::len).sum::<usize>() as f64
    };
    let first = recall(100);
    println!("recall@100 {first:.4}");
    assert!(first > 0.98, "recall {first}");
    let gone: Vec<Operation> =
        collection.index_ids[..1500].iter().map(|key| Operation::Delete { key: key.clone() }).collect();
    collection.database.write(gone).unwrap();
    let moved: Vec<Operation> =
        collection.train_ids[..300].iter().map(|key| Operation::Unlabel { key: key.clone() }).collect();
    collection.database.write(moved).unwrap();
    let second = recall(100);
    println!("recall@100 after deletions and additions {second:.4}");
    assert!(second > 0.98, "recall {second}");
    assert!(recall(2_000) > 0.999, "a depth beyond the rows gives all of them");
}
