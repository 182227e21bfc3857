//! The library does what it documents or refuses it: defaults that follow the database, the same bounds as the language, outcomes
//! that are not lost, descriptors of one model only, receipts that count the writes.
//!
//! Each test says what it catches.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use cairn::embed::{Embed, Embedded, LocalFeatureSet, LocalFeatures, Propose, VectorChunks};
use cairn::language::TrainPlan;
use cairn::model::{Maintain, Maintained, ModelInfo, Reembed, Target, Wanted};
use cairn::{
    Argument, Arguments, Condition, Database, Deferral, Error, ErrorKind, Expect, Field, OpenOptions, Operation,
    Options, Outcome, Photo, Ports, Put, Query, Rerank, Scope, SearchRequest, Watch,
};
use cairndb_storage_tests::epochs::{mirror, model, options};
use cairndb_storage_tests::{DIMENSION, create, images, put, status};

fn filled(options: Options) -> (tempfile::TempDir, Database) {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("db"), options).unwrap();
    database.write(images("i", 400, DIMENSION, 9, 4, 3)).unwrap();
    (folder, database)
}

fn query() -> Vec<Query> {
    vec![Query::new((1..=DIMENSION).map(|at| at as f32).collect::<Vec<_>>())]
}

fn run(database: &Database, statements: &str, ports: &Ports) -> cairn::Result<Vec<Outcome>> {
    database.query(statements, &Arguments::default(), ports)
}

/// It catches: voters of a fixed number where the database stores predictions of another; a statement and a request that differ.
#[test]
fn a_search_votes_as_the_database_does() {
    for vote_k in [1, 3, 7] {
        let (_folder, database) = filled(Options::for_vectors(DIMENSION).vote_k(vote_k));
        let snapshot = database.snapshot();
        let of = |rerank: Rerank| snapshot.search(&SearchRequest::new().rerank(rerank), &query()).unwrap();
        assert_eq!(of(Rerank::new()), of(Rerank::new().k(vote_k)), "k = {vote_k}");
        assert_ne!(of(Rerank::new()), of(Rerank::new().k(5)), "the images of this test vote alike whatever k is");
        let values: Vec<String> = query()[0].vector.iter().map(f32::to_string).collect();
        let statement = format!("SEARCH VECTOR [{}] RERANK", values.join(", "));
        match run(&database, &statement, &Ports::default()).unwrap().remove(0) {
            Outcome::Answers(answers) => assert_eq!(answers.answers, of(Rerank::new()), "k = {vote_k}"),
            other => panic!("{other:?}"),
        }
    }
}

/// It catches: an option that is taken without its range, that a reader or a reopening forgets, or that changes an answer.
#[test]
fn what_an_opening_may_take_has_bounds_and_changes_no_answer() {
    let (folder, database) = filled(Options::for_vectors(DIMENSION));
    let path = folder.path().join("db");
    let answers = |database: &Database| database.snapshot().search(&SearchRequest::new(), &query()).unwrap();
    let before = answers(&database);
    database.close().unwrap();
    for (wrong, said) in [
        (OpenOptions::new().open_tables(31), "open tables is 31"),
        (OpenOptions::new().block_cache(1), "block cache in bytes is 1"),
        (OpenOptions::new().build_threads(0), "make graphs is 0"),
        (OpenOptions::new().search_threads(1025), "compute for a call is 1025"),
        (OpenOptions::new().search_threads(cairn::runtime::pool::threads() + 1), "this process computes with"),
    ] {
        for opened in [Database::open_with(&path, &wrong), Database::open_read_only_with(&path, &wrong)] {
            let error = opened.unwrap_err();
            assert!(error.kind() == ErrorKind::Invalid && error.message().contains(said), "{error}");
            assert!(error.next_step().is_some(), "{error}");
        }
    }
    let small = OpenOptions::new().open_tables(32).block_cache(1 << 20).build_threads(1);
    let small = small.search_threads(cairn::runtime::pool::threads());
    let reader = Database::open_read_only_with(&path, &small).unwrap();
    assert_eq!(answers(&reader), before);
    reader.reopen_for_writing().unwrap();
    reader.write(images("more", 5_000, DIMENSION, 9, 4, 5)).unwrap();
    reader.compact().unwrap();
    assert_eq!(reader.check(true).unwrap().problems, Vec::<String>::new());
}

/// It catches: a column of RETURN that the library cannot ask for; a path that is read though nobody asked for it.
#[test]
fn rows_of_a_request_have_what_a_statement_returns() {
    let (_folder, database) = filled(Options::for_vectors(DIMENSION));
    let put = |at: usize| Put::new(format!("p{at}"), [1.0 + at as f32; DIMENSION]).source(format!("/photos/{at}.jpg"));
    database.write([put(1).into(), put(2).label("a label").into()]).unwrap();
    let values: Vec<String> = query()[0].vector.iter().map(f32::to_string).collect();
    let statement =
        format!("SEARCH VECTOR [{}] IN ALL EXACT RERANK RETURN id, path, label, split, stage", values.join(", "));
    let returned = match run(&database, &statement, &Ports::default()).unwrap().remove(0) {
        Outcome::Answers(answers) => answers.answers,
        other => panic!("{other:?}"),
    };
    let request = SearchRequest::new().scope(Scope::All).rerank(Rerank::new());
    let snapshot = database.snapshot();
    assert_eq!(snapshot.search(&request.clone().paths(), &query()).unwrap(), returned);
    let of = |rows: &[cairn::Row], id: &str| rows.iter().find(|row| row.id == id).unwrap().clone();
    let labelled = of(&returned[0].rows, "p2");
    let seen = (labelled.path.as_deref(), labelled.label.as_deref(), labelled.split);
    assert_eq!(seen, (Some("/photos/2.jpg"), Some("a label"), cairn::Role::Train));
    let plain = snapshot.search(&request, &query()).unwrap();
    assert_eq!(of(&plain[0].rows, "p1").path, None);
}

/// It catches: a limit that is forgotten with the depth that is set behind it, and a depth whose rows are cut.
#[test]
fn limit_and_depth_hold_in_any_order() {
    let (_folder, database) = filled(Options::for_vectors(DIMENSION));
    let rows = |request: SearchRequest| database.snapshot().search(&request, &query()).unwrap()[0].rows.len();
    assert_eq!(rows(SearchRequest::new()), 100);
    assert_eq!(rows(SearchRequest::new().limit(100).depth(250)), 100);
    assert_eq!(rows(SearchRequest::new().depth(250).limit(100)), 100);
    assert_eq!(rows(SearchRequest::new().depth(250)), 250);
    assert_eq!(rows(SearchRequest::new().limit(250)), 100, "no more than were searched");
}

/// It catches: a number or a word that the language refuses and the library takes, or the other way round.
#[test]
fn the_library_takes_what_the_language_takes() {
    let (_folder, database) = filled(Options::for_vectors(DIMENSION));
    let vector = format!("VECTOR [1{}]", ", 1".repeat(DIMENSION - 1));
    let split = |value: &str| Condition { field: Field::Split, like: false, value: value.to_owned() };
    let like = |value: &str| Condition { field: Field::Split, like: true, value: value.to_owned() };
    let new = SearchRequest::new;
    let cases = [
        (new().rerank(Rerank::new().tau(9.0)), "RERANK tau=9", false),
        (new().rerank(Rerank::new().tau(-2.5)), "RERANK tau=-2.5", false),
        (new().rerank(Rerank::new().tau(-2.0)), "RERANK tau=-2", true),
        (new().rerank(Rerank::new().tau(2.0)), "RERANK tau=2", true),
        (new().rerank(Rerank::new().k(0)), "RERANK k=0", false),
        (new().ef(0), "EF 0", false),
        (new().ef(1), "EF 1", true),
        (new().depth(0), "K 0", false),
        (new().limit(0), "LIMIT 0", false),
        (new().filter(split("foo")), "WHERE split = 'foo'", false),
        (new().filter(split("train")), "WHERE split = 'train'", true),
        (new().filter(like("foo%")), "WHERE split LIKE 'foo%'", true),
    ];
    for (request, clause, is_taken) in cases {
        let by_library = database.snapshot().search(&request, &query());
        let by_language = run(&database, &format!("SEARCH {vector} {clause}"), &Ports::default());
        assert_eq!((by_library.is_ok(), by_language.is_ok()), (is_taken, is_taken), "{clause}");
        if let (Err(library), Err(language)) = (by_library, by_language) {
            assert_eq!((library.kind(), language.kind()), (ErrorKind::Invalid, ErrorKind::Invalid), "{clause}");
            assert!(library.next_step().is_some(), "{clause}: {library}");
        }
    }
    assert!(database.snapshot().search(&new().rerank(Rerank::new().tau(f64::NAN)), &query()).is_err());
}

/// Embeds with its own model.
struct Foreign(Option<&'static str>);

impl Embed for Foreign {
    fn fingerprint(&self) -> Option<String> {
        self.0.map(str::to_owned)
    }

    fn embed(&self, _: &Photo) -> cairn::Result<Embedded> {
        Ok(Embedded::new([1.0; DIMENSION], [1; 32]))
    }
}

fn embeds(fingerprint: Option<&'static str>) -> Ports {
    Ports::default().embed(Arc::new(Foreign(fingerprint)))
}

/// It catches: descriptors of another model of the same dimension stored or searched.
#[test]
fn descriptors_of_another_model_are_neither_stored_nor_searched() {
    let (_folder, database) = filled(options());
    let own: &'static str = Box::leak(model(false).fingerprint.into_boxed_str());
    for statement in ["PUT ID 'new' 'photo.jpg'", "SEARCH 'photo.jpg'", "PREDICT 'photo.jpg'"] {
        let error = run(&database, statement, &embeds(Some("another"))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{statement}");
        assert!(error.message().contains("another") && error.message().contains(own), "{statement}: {error}");
        assert!(database.snapshot().record("new").unwrap().is_none());
    }
    for told in [Some(own), None] {
        run(&database, "SEARCH 'photo.jpg'; PUT ID 'new' 'photo.jpg'", &embeds(told)).unwrap();
    }
}

/// What the program makes for a database of photos: a model that can be loaded again.
fn loadable() -> ModelInfo {
    ModelInfo::new("net", "net".repeat(9)).settings("model = net")
}

/// It catches: vectors of nobody knows which model among those that a model makes of photos.
#[test]
fn a_database_of_photos_takes_vectors_only_with_the_name_of_their_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let database = Database::create(&path, Options::for_model(loadable(), DIMENSION)).unwrap();
    let vector = || vec![1.0; DIMENSION];
    let refused = |outcome: cairn::Result<()>| {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
        assert!(error.next_step().is_some_and(|help| help.contains("Expect::model")), "{error:?}");
    };
    let reading = database.snapshot().reading();
    refused(database.write(vec![put("a", None, &vector())]).map(|_| ()));
    refused(database.write(vec![Put::new("a", vector()).from_list(reading).into()]).map(|_| ()));
    let bound = Arguments::of([Argument::Vector(vector())]);
    refused(database.query("PUT ID 'a' $1", &bound, &Ports::default()).map(|_| ()));
    assert_eq!(database.snapshot().keys(None).unwrap(), Vec::<String>::new());
    database.write_if([Expect::model(loadable().fingerprint)], vec![put("a", None, &vector())]).unwrap();
    database.write(vec![Operation::Label { key: "a".into(), label: "tower".into() }]).unwrap();
    run(&database, "PUT ID 'b' 'photo.jpg'", &embeds(None)).unwrap();
    // What is stored already is of that model.
    let stored = Arguments::of([Argument::Key("a".to_owned())]);
    database.query("PUT ID 'c' $1", &stored, &Ports::default()).unwrap();
    database.write(vec![Operation::Delete { key: "a".into() }]).unwrap();
}

/// It catches: an error that names another cause than the one there is.
#[test]
fn a_missing_port_is_not_a_missing_model() {
    let (_folder, with) = filled(options());
    let (_folder, without) = filled(Options::for_vectors(DIMENSION));
    let says =
        |database: &Database, statement: &str| run(database, statement, &Ports::default()).unwrap_err().to_string();
    for statement in ["SEARCH 'photo.jpg'", "PUT ID 'x' 'photo.jpg'", "TRAIN", "REEMBED", "USE MODEL 0"] {
        let (with, without) = (says(&with, statement), says(&without, statement));
        assert!(with.contains("this program") && with.contains("'plain'"), "{statement}: {with}");
        assert!(!without.contains("this program"), "{statement}: {without}");
    }
    assert!(says(&without, "SEARCH 'photo.jpg'").contains("has no model"));
}

/// It catches: INTO that is taken and forgotten; an outcome that is lost because a later statement failed.
#[test]
fn what_a_text_did_is_told_and_what_cannot_be_done_is_refused() {
    let (folder, database) = filled(Options::for_vectors(DIMENSION));
    let report = folder.path().join("report.html");
    for statement in ["SEARCH i000001 INTO", "CLEAN RULE suspects DRY RUN INTO"] {
        let statement = format!("DELETE ID 'i000002'; {statement} '{}'", report.display());
        let error = run(&database, &statement, &Ports::default()).unwrap_err();
        assert!(error.kind() == ErrorKind::Invalid && error.message().contains("INTO"), "{error}");
        assert!(database.snapshot().record("i000002").unwrap().is_some(), "it was refused before anything was done");
        let ports = Ports::default().writes_reports(true);
        run(&database, &statement.replace("DELETE ID 'i000002';", ""), &ports).unwrap();
    }
    let text = "DELETE ID 'i000001'; SHOW LABELS; DELETE ID 'nobody'; DELETE ID 'i000003'";
    let mut outcomes = Vec::new();
    let error = database
        .query_each(text, &Arguments::default(), &Ports::default(), &mut |outcome| outcomes.push(outcome))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(matches!(outcomes[..], [Outcome::Written(_), Outcome::Labels(_)]), "{outcomes:?}");
    assert!(database.snapshot().record("i000001").unwrap().is_none());
    let error = run(&database, "DELETE ID 'i000005'; DELETE ID 'nobody'", &Ports::default()).unwrap_err();
    assert!(error.kind() == ErrorKind::NotFound && error.message().starts_with("statement 2: "), "{error}");
}

/// It catches: a receipt that leaves out the image that was written, or counts one whose prediction is as before.
#[test]
fn a_receipt_counts_the_predictions_of_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let database = create(&folder.path().join("db"), 2);
    let changed = |operations: Vec<Operation>| database.write(operations).unwrap().predictions_changed;
    assert_eq!(changed(vec![put("a", None, &[1.0, 0.0])]), 0, "nobody votes");
    assert_eq!(changed(vec![put("t", Some("tower"), &[1.0, 0.1])]), 1, "the one that was there");
    assert_eq!(changed(vec![put("b", None, &[1.0, 0.2])]), 1, "the one that was put");
    assert_eq!(changed(vec![put("b", None, &[1.0, 0.2])]), 0, "the same again");
    assert_eq!(changed(vec![put("b", None, &[1.0, 0.7])]), 1, "another photo, another score");
    assert_eq!(changed(vec![Operation::Unlabel { key: "t".into() }]), 2, "nobody votes any more, and nobody did on it");
    assert_eq!(changed(vec![Operation::Label { key: "t".into(), label: "tower".into() }]), 2);
    assert_eq!(changed(vec![Operation::Delete { key: "a".into() }]), 0);
}

/// It catches: an empty write that has a number, which no state has.
#[test]
fn a_write_of_nothing_has_no_number_of_its_own() {
    let (folder, database) = filled(Options::for_vectors(DIMENSION));
    for deferral in [Deferral::Never, Deferral::Always] {
        database.set_deferral(deferral);
        let last = database.write(vec![put("x", None, &[1.0; DIMENSION])]).unwrap().sequence;
        let receipt = database.write(Vec::new()).unwrap();
        assert_eq!((receipt.sequence, receipt.images_changed, receipt.deferred), (last, 0, false));
        assert_eq!(database.apply_pending().unwrap().sequence(), last);
    }
    let reader = Database::open_read_only(folder.path().join("db")).unwrap();
    assert_eq!(reader.write(Vec::new()).unwrap_err().kind(), ErrorKind::ReadOnly);
}

/// It catches: a snapshot that does not know its model, and queries of one model searched among the descriptors of another.
#[test]
fn a_search_can_be_bound_to_the_model_that_made_its_query() {
    struct Mirrors;
    impl Reembed for Mirrors {
        fn reembed(&self, images: &[Wanted]) -> cairn::Result<Vec<cairn::Result<Vec<f32>>>> {
            Ok(images.iter().map(|image| Ok(mirror(&image.vector))).collect())
        }
    }
    let (_folder, database) = filled(options());
    let before = database.snapshot();
    database.change_model(Target::new(model(true), DIMENSION), &Mirrors, None).unwrap();
    let after = database.snapshot();
    assert_eq!((before.model(), after.model()), (Some(&model(false)), Some(&model(true))));
    assert_eq!(after.dimension(), DIMENSION);
    let request = SearchRequest::new().scope(Scope::All);
    for (snapshot, own, other) in [(&before, model(false), model(true)), (&after, model(true), model(false))] {
        let own = Some(own.fingerprint.as_str());
        let bound = snapshot.search_of_model(own, &request, &query()).unwrap();
        assert_eq!(bound, snapshot.search(&request, &query()).unwrap());
        snapshot.predict_of_model(own, &query()[0], 3).unwrap();
        for wrong in [Some(other.fingerprint.as_str()), None] {
            assert_eq!(snapshot.search_of_model(wrong, &request, &query()).unwrap_err().kind(), ErrorKind::Mismatch);
            assert_eq!(snapshot.predict_of_model(wrong, &query()[0], 3).unwrap_err().kind(), ErrorKind::Mismatch);
        }
    }
    let (_folder, bare) = filled(Options::for_vectors(DIMENSION));
    assert!(bare.snapshot().model().is_none());
    bare.snapshot().search_of_model(None, &request, &query()).unwrap();
}

/// Holds a write up until the other end is dropped.
struct Holds(Mutex<Sender<()>>, Mutex<Receiver<()>>);

impl Propose for Holds {
    fn propose(&self, _: &VectorChunks, _: &[bool], _: &[f32], _: usize) -> cairn::Result<Vec<Option<Vec<u32>>>> {
        let _nobody_listens = self.0.lock().unwrap().send(());
        let _opened = self.1.lock().unwrap().recv();
        Ok(Vec::new())
    }
}

/// It catches: a reader that cannot have what there is because something waits.
#[test]
fn a_reader_can_ask_for_what_there_is() {
    let (folder, database) = filled(Options::for_vectors(DIMENSION));
    let seen = database.snapshot().sequence();
    let ((entered, inside), (open, opened)) = (channel(), channel());
    database.set_proposer(Some(Arc::new(Holds(Mutex::new(entered), Mutex::new(opened)))));
    database.set_deferral(Deferral::Always);
    database.write(vec![put("waits", None, &[1.0; DIMENSION])]).unwrap();
    inside.recv().unwrap();
    let reader = Database::open_read_only(folder.path().join("db")).unwrap();
    let there = reader.freshest().unwrap();
    assert_eq!((there.sequence(), there.lag()), (seen, 1));
    let fresh = || run(&reader, "SEARCH i000001 FRESH", &Ports::default()).map(|_| ());
    for error in [reader.apply_pending().map(|_| ()).unwrap_err(), fresh().unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::ReadOnly);
        assert!(error.next_step().is_some_and(|help| help.contains("freshest")), "{error:?}");
    }
    drop(open);
    assert_eq!(database.freshest().unwrap().lag(), 0);
}

/// It catches: numbers of another moment beside each other, and a sequence number that is seen before it counts as acknowledged.
#[test]
fn a_number_that_is_seen_is_an_acknowledged_one() {
    let folder = tempfile::tempdir().unwrap();
    let database = create(&folder.path().join("db"), DIMENSION);
    let rounds = cairndb_storage_tests::many(400, 20_000);
    for deferral in [Deferral::Never, Deferral::Always, Deferral::Automatic] {
        database.set_deferral(deferral);
        let writing = AtomicUsize::new(2);
        std::thread::scope(|scope| {
            for writer in 0..2 {
                let (database, writing) = (&database, &writing);
                scope.spawn(move || {
                    for round in 0..rounds {
                        database.write(images(&format!("w{writer} "), 2, DIMENSION, 9, 2, round as u64)).unwrap();
                    }
                    writing.fetch_sub(1, Ordering::Relaxed);
                });
            }
            while writing.load(Ordering::Relaxed) > 0 {
                let snapshot = database.snapshot();
                if deferral == Deferral::Never {
                    assert_eq!(snapshot.lag(), 0);
                }
                let reached = database.wait_for(snapshot.sequence()).unwrap();
                assert!(reached.sequence() >= snapshot.sequence());
                let stale = match run(&database, "SHOW STALE", &Ports::default()).unwrap().remove(0) {
                    Outcome::Report(report) => report.lines,
                    other => panic!("{other:?}"),
                };
                let line = |name: &str| stale.iter().find(|line| line.0 == name).unwrap().1.clone();
                let number = |name: &str| line(name).parse::<u64>().unwrap();
                let waiting = number("last write") - number("predictions of sequence");
                assert_eq!(number("deferred writes"), waiting, "{stale:?}");
                assert_eq!(number("deferred operations"), 2 * waiting, "{stale:?}");
                assert_eq!(line("age of the oldest") == "nothing is deferred", waiting == 0, "{stale:?}");
                assert_ne!(line("age of the oldest"), "since before the database was opened", "{stale:?}");
            }
        });
        database.apply_pending().unwrap();
    }
    assert_eq!(status(&database, "deferred writes"), "0 (0 operations)");
}

/// It catches: features that are not what the port promises, compared and kept.
#[test]
fn local_features_are_what_their_port_promises() {
    struct Given(LocalFeatureSet);
    impl LocalFeatures for Given {
        fn fingerprint(&self) -> String {
            "given".to_owned()
        }
        fn max_distance(&self) -> f32 {
            0.6
        }
        fn extract(&self, _: &Photo, _: Option<&[u8; 32]>) -> cairn::Result<LocalFeatureSet> {
            Ok(self.0.clone())
        }
    }
    let sound = || LocalFeatureSet {
        locations: vec![[1.0, 2.0], [3.0, 4.0]],
        descriptors: vec![1.0, 0.0, 0.0, 1.0],
        dimension: 2,
        scores: vec![0.5, 0.5],
    };
    type Spoil = fn(&mut LocalFeatureSet);
    let cases: [(&str, Spoil); 9] = [
        ("scores", |set| set.scores = vec![0.5]),
        ("scores", |set| set.scores = vec![0.5, 0.6]),
        ("scores", |set| set.scores = vec![0.5, 0.0]),
        ("scores", |set| set.scores = vec![f32::NAN, 0.1]),
        ("length", |set| set.descriptors = vec![1.0, 0.0, 0.0, 5.0]),
        ("NaN", |set| set.descriptors[0] = f32::NAN),
        ("dimension", |set| set.dimension = 3),
        ("dimension", |set| set.dimension = 0),
        ("NaN", |set| set.locations[1][0] = f32::NAN),
    ];
    let folder = tempfile::tempdir().unwrap();
    let database = create(&folder.path().join("db"), 2);
    let photo = |at: u8| Put::new(format!("p{at}"), [1.0, f32::from(at)]).label("tower").photo([at]).into();
    database.write((0..4).map(photo)).unwrap();
    let clean = |set: LocalFeatureSet| {
        let ports =
            Ports::default().features(Arc::new(move || Ok(Arc::new(Given(set.clone())) as Arc<dyn LocalFeatures>)));
        run(&database, "CLEAN THUMBNAILS", &ports)
    };
    for (at, (word, spoil)) in cases.into_iter().enumerate() {
        let mut set = sound();
        spoil(&mut set);
        let error = clean(set).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch, "case {at}: {error}");
        assert!(error.message().contains(word), "case {at}: {error}");
    }
    clean(sound()).unwrap();
}

/// A model change that waits for a signal.
struct Slow(Mutex<Receiver<()>>, Sender<()>);

impl Reembed for Slow {
    fn reembed(&self, _: &[Wanted]) -> cairn::Result<Vec<cairn::Result<Vec<f32>>>> {
        self.1.send(()).unwrap();
        let _told = self.0.lock().unwrap().recv();
        Err(Error::invalid("it is enough"))
    }
}

/// It catches: a kind that the documentation of `drop_model` does not name.
#[test]
fn a_model_cannot_be_dropped_while_one_is_put_in_force() {
    let (_folder, database) = filled(options());
    let (end, ended) = channel();
    let (began, begun) = channel();
    std::thread::scope(|scope| {
        let change = scope.spawn(|| {
            let slow = Slow(Mutex::new(ended), began);
            database.change_model(Target::new(model(true), DIMENSION), &slow, None)
        });
        begun.recv().unwrap();
        let error = database.drop_model(1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Locked);
        assert!(error.next_step().is_some());
        drop(end);
        assert_eq!(change.join().unwrap().unwrap_err().kind(), ErrorKind::Invalid);
    });
    database.drop_model(1).unwrap();
}

/// A trainer that trains nothing.
struct Nobody;

impl Maintain for Nobody {
    fn train(&self, _: &Database, _: &TrainPlan, _: Option<&dyn Watch>) -> cairn::Result<Maintained> {
        Ok(Maintained::default())
    }

    fn reembed(&self, _: &Database, _: Option<&str>) -> cairn::Result<Maintained> {
        Ok(Maintained::default())
    }

    fn use_model(&self, _: &Database, _: u64) -> cairn::Result<Maintained> {
        Ok(Maintained::default())
    }
}

/// It catches: a port that is handed in and not found.
#[test]
fn a_port_that_is_there_is_used() {
    let (_folder, database) = filled(options());
    let ports = embeds(None).maintain(Arc::new(Nobody));
    run(&database, "TRAIN; REEMBED; USE MODEL 0; SEARCH 'photo.jpg'", &ports).unwrap();
}
