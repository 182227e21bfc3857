//! RECOGNIZE, and SEARCH with VERIFY: what inliers change, what cannot be compared, and what is kept.
//!
//! It catches: inliers of the wrong pair, an order that is wrong instead of plain where features are missing, features that are found
//! again, a reader that writes, features of a cleaning's extractor that a statement drops, a threshold of another set of train images.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cairn::embed::{CountInliers, Embed, Embedded, LocalFeatures};
use cairn::language::CleanPlan;
use cairn::reports::{Answers, Recognitions};
use cairn::{
    Argument, Arguments, Database, ErrorKind, Keep, Operation, Options, Outcome, Photo, Ports, Put, Query,
    RecognizeRequest, Rerank, SearchRequest, Verdict,
};
use cairndb_storage_tests::scenes::{FEATURES, Scenes};
use cairndb_storage_tests::{Random, tree};

/// All photos look like the first axis.
struct Plain;

impl Embed for Plain {
    fn embed(&self, photo: &Photo) -> cairn::Result<Embedded> {
        let Photo::Bytes(bytes) = photo else { panic!("{photo:?}") };
        Ok(Embedded::of_photo([1.0, 0.0, 0.0], bytes))
    }
}

fn ports(scenes: &Arc<Scenes>) -> Ports {
    let scenes = Arc::clone(scenes);
    let load = move || Ok(Arc::clone(&scenes) as Arc<dyn LocalFeatures>);
    Ports::default().embed(Arc::new(Plain)).features(Arc::new(load))
}

/// A descriptor with this cosine to the first axis.
fn at(cosine: f32) -> [f32; 3] {
    [cosine, (1.0 - cosine * cosine).sqrt(), 0.0]
}

/// Photos of a scene by cosine; what is more similar to the queries shows another scene.
fn database(folder: &Path) -> Database {
    let database = Database::create(folder, Options::for_vectors(3).keep(Keep::Original)).unwrap();
    let put = |key: &str, cosine, scene: u8| Put::new(key, at(cosine)).photo([scene, key.as_bytes()[1]]);
    let operations: Vec<Operation> = vec![
        put("t1", 0.9, 1).label("Louvre").into(),
        put("t2", 0.8, 2).label("Pantheon").into(),
        Put::new("t3", at(0.1)).label("Panorama").into(),
        put("i1", 0.95, 1).into(),
        put("i2", 0.7, 2).into(),
        Put::new("i3", at(0.85)).into(),
        put("i4", 0.6, 2).into(),
    ];
    database.write(operations).unwrap();
    database
}

/// A photo of scene 2 that the embedder takes for the first axis.
fn asked() -> Arguments {
    Arguments::of([Argument::Photo(Photo::Bytes(vec![2, 77]))])
}

fn recognised(database: &Database, text: &str, ports: &Ports) -> Recognitions {
    match database.query(text, &asked(), ports).unwrap().remove(0) {
        Outcome::Recognitions(found) => *found,
        other => panic!("{other:?}"),
    }
}

fn answered(database: &Database, text: &str, ports: &Ports) -> Answers {
    match database.query(text, &asked(), ports).unwrap().remove(0) {
        Outcome::Answers(answers) => *answers,
        other => panic!("{other:?}"),
    }
}

fn ids(answers: &Answers) -> Vec<&str> {
    answers.answers[0].rows.iter().map(|row| row.id.as_str()).collect()
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-6
}

#[test]
fn inliers_decide_between_labels_and_what_they_need_is_found_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let database = database(&path);
    let scenes = Arc::new(Scenes::default());
    let ports = ports(&scenes);
    let plain = recognised(&database, "RECOGNIZE $1", &ports);
    let first = &plain.recognitions[0];
    assert_eq!((first.label.as_deref(), first.verdict, first.inlier_term), (Some("Louvre"), Verdict::Known, None));
    assert!(near(first.score, 0.8) && first.least.is_none(), "{first:?}");
    assert_eq!((plain.verification, scenes.asked.load(Ordering::Relaxed)), (None, 0));

    let found = recognised(&database, "RECOGNIZE $1 VERIFY", &ports);
    let first = &found.recognitions[0];
    let inliers = f64::from(first.images[1].inliers.unwrap());
    assert_eq!(first.label.as_deref(), Some("Pantheon"), "{first:?}");
    assert!(inliers > 0.9 * FEATURES as f64, "{first:?}");
    assert!(near(first.similarity_term, 0.6) && near(first.inlier_term.unwrap(), inliers / 70.0));
    assert!(near(first.score, 0.6 + inliers / 70.0));
    let keys: Vec<&str> = first.images.iter().map(|image| image.key.as_str()).collect();
    assert_eq!(keys, ["t1", "t2", "t3"]);
    assert_eq!(first.images[2].inliers, None, "it has no photo");
    let verification = found.verification.unwrap();
    assert_eq!((verification.unseen, verification.unseen_queries, verification.sights.kept), (1, 0, 2));
    assert!(verification.reasons[0].0 == "t3" && verification.reasons[0].1.contains("does not exist"));
    assert_eq!(scenes.asked.load(Ordering::Relaxed), 3, "the query and two train images");

    // What was found is kept; the query is no stored image.
    recognised(&database, "RECOGNIZE $1 VERIFY", &ports);
    assert_eq!(scenes.asked.load(Ordering::Relaxed), 4);
    // A stored image is compared with the others by its own features.
    let of_stored = recognised(&database, "RECOGNIZE ID 'i2' VERIFY n=1", &ports);
    assert_eq!(of_stored.recognitions[0].images[0].key, "t2");
    assert_eq!(of_stored.recognitions[0].label.as_deref(), Some("Pantheon"));
    assert!(of_stored.recognitions[0].images[0].inliers.unwrap() > 50);
    // The query's own photo is no image that it was compared with.
    let verification = of_stored.verification.unwrap();
    assert_eq!((verification.sights.all(), verification.unseen, verification.unseen_queries), (1, 0, 0));
    assert!(database.check(true).unwrap().problems.is_empty());
    drop(database);

    // A reader finds what is missing again each time, and writes nothing.
    let before = tree(&path);
    let reader = Database::open_read_only(&path).unwrap();
    let again = |asked: usize| {
        let found = answered(&reader, "SEARCH $1 VERIFY 4", &ports);
        assert_eq!(ids(&found), ["i2", "i4", "i1", "i3"]);
        assert_eq!(scenes.asked.load(Ordering::Relaxed), asked);
    };
    let now = scenes.asked.load(Ordering::Relaxed);
    // The query, i1 and i4; i2 was kept.
    again(now + 3);
    again(now + 6);
    drop(reader);
    assert_eq!(tree(&path), before);
}

#[test]
fn a_search_that_verifies_orders_the_first_images_by_inliers() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder.path().join("db"));
    let ports = ports(&Arc::new(Scenes::default()));
    assert_eq!(ids(&answered(&database, "SEARCH $1", &ports)), ["i1", "i3", "i2", "i4"]);
    let all = answered(&database, "SEARCH $1 VERIFY 100", &ports);
    assert_eq!(ids(&all), ["i2", "i4", "i1", "i3"]);
    let rows = &all.answers[0].rows;
    assert!(rows[0].inliers.unwrap() > 50 && rows[2].inliers.unwrap() < 10 && rows[3].inliers.is_none(), "{rows:?}");
    assert_eq!(rows[0].similarity, rows[0].score.unwrap(), "the score stays the first stage's");
    // Equal numbers keep the order; those behind the first three stay.
    assert_eq!(ids(&answered(&database, "SEARCH $1 VERIFY 3", &ports)), ["i2", "i1", "i3", "i4"]);
    assert_eq!(ids(&answered(&database, "SEARCH $1 K 2 VERIFY 2", &ports)), ["i1", "i3"]);
    // Votes are those of similarity: the query's is t1's label, as that of i1.
    let reranked = answered(&database, "SEARCH $1 VERIFY 100 RERANK k=1 SORT", &ports);
    assert_eq!(reranked.answers[0].prediction.as_ref().unwrap().instance, "Louvre");
    assert_eq!(ids(&reranked), ["i1", "i2", "i4", "i3"], "the others stay in the verified order");
    let report = answered(&database, "SEARCH $1 VERIFY 100 INTO 'a.html'", &ports.clone().writes_reports(true));
    let request = report.plan.request.clone().rerank(Rerank::new().k(1));
    let queries = [report.asked[0].query.clone()];
    let again = database.snapshot().search_with_inliers(&request, &queries, report.inliers.as_ref().unwrap()).unwrap();
    assert_eq!(again[0].rows[0].inliers, Some(report.answers[0].rows[2].inliers.unwrap()), "i1 is the first positive");
}

#[test]
fn where_nothing_can_be_compared_the_order_is_plain_and_the_answer_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder.path().join("db"));
    let scenes = Arc::new(Scenes::default());
    let ports = ports(&scenes);
    let plain = answered(&database, "SEARCH VECTOR [1, 0, 0] VERIFY 100", &ports);
    assert_eq!(ids(&plain), ["i1", "i3", "i2", "i4"]);
    assert!(plain.answers[0].rows.iter().all(|row| row.inliers.is_none()));
    let verification = plain.verification.unwrap();
    assert_eq!((verification.unseen, verification.unseen_queries), (0, 1));
    assert!(verification.reasons[0].1.contains("a vector"), "{verification:?}");
    assert_eq!(scenes.asked.load(Ordering::Relaxed), 0, "no photo is read for nothing");
    let found = recognised(&database, "RECOGNIZE VECTOR [1, 0, 0] VERIFY", &ports);
    assert_eq!(found.recognitions[0].label.as_deref(), Some("Louvre"));
    assert_eq!(found.verification.unwrap().unseen_queries, 1);
    // A damaged photo of a query is its reason.
    let damaged = Arguments::of([Argument::Photo(Photo::Bytes(vec![2]))]);
    let outcome = database.query("SEARCH $1 VERIFY 100", &damaged, &ports).unwrap().remove(0);
    let Outcome::Answers(answers) = outcome else { panic!("{outcome:?}") };
    assert_eq!(ids(&answers), ["i1", "i3", "i2", "i4"]);
    assert!(answers.verification.as_ref().unwrap().reasons[0].1.contains("cut short"));

    // A stored query without a photo counts once, and nothing was compared with it.
    let verification = answered(&database, "SEARCH ID 'i3' VERIFY 3", &ports).verification.unwrap();
    assert_eq!((verification.sights.all(), verification.unseen, verification.unseen_queries), (0, 0, 1));

    // Without an extractor, or without anybody who counts, nothing pretends to verify.
    for text in ["SEARCH $1 VERIFY 100", "RECOGNIZE $1 VERIFY"] {
        let error = database.query(text, &asked(), &Ports::default().embed(Arc::new(Plain))).unwrap_err();
        assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains("VERIFY"), "{error}");
    }
    let query = Query::new([1.0, 0.0, 0.0]);
    let request = SearchRequest::new().depth(10);
    for images in [0, 5, 11] {
        let error = database.snapshot().search_one(&request.clone().verify(images), &query).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{images}");
    }
    for request in
        [RecognizeRequest::new().n(0), RecognizeRequest::new().least(6.5), RecognizeRequest::new().least(f64::NAN)]
    {
        let error = database.snapshot().recognise(&request, std::slice::from_ref(&query), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{request:?}");
    }
    let explained = database.query("EXPLAIN ANALYZE RECOGNIZE $1 VERIFY", &asked(), &ports).unwrap().remove(0);
    let Outcome::Explained(text) = explained else { panic!("{explained:?}") };
    assert!(
        text.contains("compared by photo files 0, kept originals 2, thumbnails 0; not compared: images 1"),
        "{text}"
    );
    assert!(text.contains("queries 1: known 1, unknown 0, distractors 0"), "{text}");
}

#[test]
fn a_statement_drops_no_features_of_a_cleaning() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder.path().join("db"));
    let own = Scenes::default();
    let plan = CleanPlan::default();
    database.write([Put::new("t4", at(0.75)).label("Louvre").photo([1, 9]).into()]).unwrap();
    database.clean(&plan, Some(&own), None).unwrap();
    let asked = own.asked.load(Ordering::Relaxed);
    assert!(asked > 0);
    let other = Arc::new(Scenes { version: 1, ..Scenes::default() });
    let found = recognised(&database, "RECOGNIZE $1 VERIFY", &ports(&other));
    assert_eq!(found.recognitions[0].label.as_deref(), Some("Pantheon"));
    assert!(other.asked.load(Ordering::Relaxed) >= 3, "features of the other extractor are not compared with these");
    database.clean(&plan.dry_run(true), Some(&own), None).unwrap();
    assert_eq!(own.asked.load(Ordering::Relaxed), asked, "the cleaning's features are still there");
}

/// The same number of inliers with every image.
struct Same(u32);

impl CountInliers for Same {
    fn count(&self, asked: &[(usize, Vec<String>)]) -> cairn::Result<Vec<Vec<Option<u32>>>> {
        Ok(asked.iter().map(|(_, keys)| vec![Some(self.0); keys.len()]).collect())
    }
}

/// Thirty labels of three images each, and room for unknown photos.
#[test]
fn what_is_unknown_is_told_from_what_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("db"), Options::for_vectors(32)).unwrap();
    let mut random = Random::new(5);
    let mut centre = || -> Vec<f32> { (0..32).map(|_| random.signed()).collect() };
    let centres: Vec<Vec<f32>> = (0..40).map(|_| centre()).collect();
    let view = |label: usize, random: &mut Random| -> Vec<f32> {
        centres[label].iter().map(|x| x + 0.3 * random.signed()).collect()
    };
    let mut of_views = Random::new(6);
    let mut operations: Vec<Operation> = Vec::new();
    for image in 0..90 {
        let (label, vector) = (image / 3, view(image / 3, &mut of_views));
        operations.push(Put::new(format!("t{image}"), vector).label(format!("label {label}")).into());
    }
    let none = database.snapshot().recognise(&RecognizeRequest::new(), &[Query::new(vec![1.0; 32])], None).unwrap();
    assert_eq!((none[0].verdict, none[0].label.as_deref(), none[0].score), (Verdict::NoTrainImages, None, 0.0));
    database.write(operations).unwrap();
    let queries: Vec<Query> = (0..40).map(|label| Query::new(view(label, &mut of_views))).collect();
    let found = database.snapshot().recognise(&RecognizeRequest::new(), &queries, None).unwrap();
    let least = found[0].least.unwrap();
    for (label, recognition) in found.iter().enumerate() {
        let verdict = if label < 30 { Verdict::Known } else { Verdict::Unknown };
        assert_eq!(recognition.verdict, verdict, "{label}: {recognition:?}");
        assert_eq!(recognition.score < least, verdict == Verdict::Unknown);
        if label < 30 {
            assert_eq!(recognition.label, Some(format!("label {label}")));
        }
    }
    // Inliers lift no label over it; a given score is compared with both terms.
    let counted = |inliers, request: &RecognizeRequest| {
        let snapshot = database.snapshot();
        snapshot.recognise(request, &queries[35..36], Some(&Same(inliers))).unwrap().remove(0)
    };
    let learnt = RecognizeRequest::new();
    assert_eq!(counted(70, &learnt).verdict, Verdict::Unknown);
    assert!(near(counted(70, &learnt).evidence, counted(70, &learnt).similarity_term));
    let score = counted(70, &learnt).score;
    assert!(near(counted(70, &learnt.least(score - 0.01)).evidence, score));
    assert_eq!(counted(70, &learnt.least(score - 0.01)).verdict, Verdict::Known);
    // A given score replaces it; a label of too many queries is none.
    let snapshot = database.snapshot();
    let given = RecognizeRequest::new().least(-9.0).distractors(2);
    let mut crowd = vec![queries[0].clone(); 3];
    crowd.extend([queries[1].clone(), queries[35].clone()]);
    let found = snapshot.recognise(&given, &crowd, None).unwrap();
    let verdicts: Vec<Verdict> = found.iter().map(|one| one.verdict).collect();
    let [known, distractor] = [Verdict::Known, Verdict::Distractor];
    assert_eq!(verdicts, [distractor, distractor, distractor, known, known]);
    assert_eq!((found[0].score, found[0].label.as_deref()), (-3.0, Some("label 0")));
    // A stored image does not elect its own label.
    let own = Query::new(snapshot.vector("t0").unwrap().unwrap()).without("t0");
    let found = snapshot.recognise(&RecognizeRequest::new(), &[own], None).unwrap();
    assert!(found[0].images.iter().all(|image| image.key != "t0"));
    // The threshold is one of the present train images: of few there is none.
    let gone = (0..90).filter(|image| image % 9 != 0).map(|image| Operation::Delete { key: format!("t{image}") });
    database.write(gone.collect::<Vec<_>>()).unwrap();
    let few = database.snapshot().recognise(&RecognizeRequest::new(), &queries[..1], None).unwrap();
    assert_eq!((few[0].least, few[0].verdict), (None, Verdict::Known));
}
