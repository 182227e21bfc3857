//! CLEAN: its findings, its one transaction that can be undone, and its intermediate results that survive a kill.
//!
//! The photos are generated: an image's bytes name its scene, its features are the scene's seen through an affine map, so pairs
//! of one scene verify and others do not.
//! scene verify and others do not.
//!
//! It catches: a cleaning that is half applied, a cleaning or an undo that overwrites what people changed since it looked, two
//! cleanings with one number, a log that does not tell which image lost which label, one unreadable photo that ends a cleaning,
//! features of another extractor that are compared with these, counted pairs that are counted again, a dry run that writes, a mark
//! that is put twice or outlives what it was put for, features of a thumbnail that stay when the photo is back, weak evidence that is
//! acted on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::ops::ControlFlow;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cairn::clean::Judgement;
use cairn::language::{Action, CleanPlan, CleanRule, Cut};
use cairn::{Database, ErrorKind, Operation, Options, Outcome, Ports, Progress, Put, Watch};
use cairndb_storage_tests::scenes::Scenes;
use cairndb_storage_tests::{Random, tree};

/// Four scenes of eight views; two images of scene 0 carry scene 1's label, and label "lonely" has one image.
fn database(folder: &std::path::Path) -> Database {
    let database = Database::create(folder, Options::for_vectors(8)).unwrap();
    let mut operations = Vec::new();
    let mut random = Random::new(3);
    for scene in 0..4u8 {
        for view in 0..8u8 {
            let wrong = scene == 0 && view >= 6;
            let mut vector: Vec<f32> = (0..8).map(|_| 0.1 * random.signed()).collect();
            vector[usize::from(scene)] += 1.0;
            operations.push(Operation::Put(
                Put::new(format!("s{scene}v{view}"), vector)
                    .label(format!("scene {}", if wrong { 1 } else { scene }))
                    .photo(vec![scene, view]),
            ));
        }
    }
    operations.push(Operation::Put(
        Put::new("alone", vec![0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]).label("lonely").photo(vec![99, 0]),
    ));
    database.write(operations).unwrap();
    database
}

fn doubtful(cleaning: &cairn::clean::Cleaning) -> Vec<&str> {
    let is_doubtful = |judged: &&cairn::clean::Judged| matches!(judged.judgement, Judgement::Doubtful(_));
    cleaning.judged.iter().filter(is_doubtful).map(|judged| judged.key.as_str()).collect()
}

fn label(database: &Database, key: &str) -> Option<String> {
    database.apply_pending().unwrap().record(key).unwrap().unwrap().label
}

fn marked(database: &Database) -> Vec<String> {
    database.marked().unwrap().into_iter().map(|marked| marked.key).collect()
}

#[test]
fn the_papers_rule_finds_what_does_not_verify_and_can_be_undone() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder.path().join("db"));
    let scenes = Scenes::default();
    let dry = CleanPlan::default().dry_run(true).into("report.html".to_owned());
    let before = database.snapshot().sequence();
    let found = database.clean(&dry, Some(&scenes), None).unwrap();
    assert_eq!(doubtful(&found), ["alone", "s0v6", "s0v7"]);
    assert_eq!((found.number, found.receipt, found.found), (None, None, 3));
    assert_eq!(database.snapshot().sequence(), before);
    let kept = found.judged.iter().find(|judged| judged.key == "s2v3").unwrap();
    assert_eq!((kept.compared, kept.verified), (7, 7));
    let witness = kept.witness.as_ref().unwrap();
    assert!(witness.inliers.unwrap() >= 31 && witness.lines.len() == witness.inliers.unwrap() as usize);

    // A dry run keeps nothing; what a cleaning found or counted is used by a dry run too.
    let asked = scenes.asked.load(Ordering::Relaxed);
    let plan = CleanPlan::default().action(Action::Unlabel);
    let cleaning = database.clean(&plan, Some(&scenes), None).unwrap();
    assert_eq!(scenes.asked.load(Ordering::Relaxed), 2 * asked);
    database.clean(&dry, Some(&scenes), None).unwrap();
    assert_eq!(scenes.asked.load(Ordering::Relaxed), 2 * asked);
    assert_eq!(cleaning.receipt.unwrap().images_changed, 3);
    assert_eq!(label(&database, "s0v6"), None);
    assert!(database.check(true).unwrap().problems.is_empty());

    // What people did since is theirs.
    database.write(vec![Operation::Label { key: "s0v6".into(), label: "scene 0".into() }]).unwrap();
    let undone = database.undo_cleaning().unwrap();
    let (cleaning, receipt) = (&undone.cleaning, undone.receipt);
    assert_eq!((cleaning.number, cleaning.undone, receipt.images_changed, undone.marks_removed), (1, true, 2, 0));
    assert_eq!(label(&database, "s0v6").as_deref(), Some("scene 0"));
    assert_eq!(label(&database, "s0v7").as_deref(), Some("scene 1"));
    assert_eq!(database.undo_cleaning().unwrap_err().kind(), ErrorKind::NotFound);
    assert!(database.check(true).unwrap().problems.is_empty());
    // Another extractor's features are not compared with these.
    let other = Scenes { version: 1, ..Scenes::default() };
    database.clean(&dry, Some(&other), None).unwrap();
    assert!(other.asked.load(Ordering::Relaxed) >= 32);
}

#[test]
fn suspects_get_the_label_that_their_neighbours_have() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let database = database(&path);
    // Nothing speaks for the only image of a label.
    database.write(vec![Operation::Delete { key: "alone".into() }]).unwrap();
    let plan = CleanPlan::default().rule(CleanRule::Suspects(Cut::Top(2))).action(Action::Relabel);
    let cleaning = database.clean(&plan, None, None).unwrap();
    let mut keys: Vec<&str> = cleaning.judged.iter().map(|judged| judged.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["s0v6", "s0v7"]);
    drop(database);
    let database = Database::open(&path).unwrap();
    assert_eq!(label(&database, "s0v6").as_deref(), Some("scene 0"));
    assert_eq!(database.cleanings().unwrap()[0].what, "RULE suspects top=2 RELABEL");
    let outcomes =
        database.query("UNDO CLEAN; SHOW CLEANS; SHOW SUSPECTS LIMIT 1", &Default::default(), &Ports::default());
    let outcomes = outcomes.unwrap();
    let Outcome::Table(table) = &outcomes[1] else { panic!("{outcomes:?}") };
    assert_eq!(table.rows[0][4], "undone");
    let Outcome::Cleaned(shown) = &outcomes[2] else { panic!("{outcomes:?}") };
    assert_eq!((shown.judged.len(), shown.number), (1, None));
    assert_eq!(label(&database, "s0v6").as_deref(), Some("scene 1"));
}

#[test]
fn marked_images_stay_voters_until_their_label_changes() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder.path().join("db"));
    // It is what a cleaning does unless told otherwise.
    database.clean(&CleanPlan::default(), Some(&Scenes::default()), None).unwrap();
    assert_eq!(marked(&database), ["alone", "s0v6", "s0v7"]);
    assert_eq!(label(&database, "s0v6").as_deref(), Some("scene 1"));
    database.write(vec![Operation::Label { key: "s0v6".into(), label: "scene 0".into() }]).unwrap();
    assert_eq!(marked(&database), ["alone", "s0v7"]);
    assert_eq!(
        said(&database, "UNDO CLEAN"),
        "cleaning 1 was undone: 2 marks were removed; 1 image was changed since and is left unchanged"
    );
    assert!(marked(&database).is_empty());
}

/// What a statement says that is done.
fn said(database: &Database, statement: &str) -> String {
    match database.query(statement, &Default::default(), &Ports::default()).unwrap().remove(0) {
        Outcome::Done(text) | Outcome::Explained(text) => text,
        other => panic!("{other:?}"),
    }
}

fn table(database: &Database, statement: &str) -> Vec<Vec<String>> {
    match database.query(statement, &Default::default(), &Ports::default()).unwrap().remove(0) {
        Outcome::Table(table) => table.rows,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_marked_is_not_marked_again_and_one_undo_takes_all_marks_away() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder.path().join("db"));
    let scenes = Scenes::default();
    let clean = || database.clean(&CleanPlan::default(), Some(&scenes), None).unwrap();
    assert_eq!((clean().found, clean().number), (3, None));
    let again = clean();
    assert_eq!((again.found, again.marked_already, again.receipt), (0, 3, None));
    assert_eq!(doubtful(&again).len(), 3);
    assert_eq!(database.cleanings().unwrap().len(), 1, "nothing new is no cleaning");
    // Another rule marks what is new to it alone.
    database.write(vec![Operation::Label { key: "s1v0".into(), label: "scene 2".into() }]).unwrap();
    let other = CleanPlan::default().rule(CleanRule::Suspects(Cut::Top(3)));
    let other = database.clean(&other, None, None).unwrap();
    assert_eq!((other.judged.len(), other.number), (3, Some(2)), "{other:?}");
    assert_eq!(other.found + other.marked_already, 3);
    assert_eq!(other.found, database.cleanings().unwrap()[1].found);
    let marks = database.marked().unwrap();
    assert_eq!(marks.len(), 3 + other.found);
    database.undo_cleaning().unwrap();
    assert_eq!(database.marked().unwrap().len(), 3, "the first cleaning's marks stay");
    assert_eq!(said(&database, "UNDO CLEAN"), "cleaning 1 was undone: 3 marks were removed");
    assert!(database.marked().unwrap().is_empty());
    assert_eq!(clean().number, Some(3));
}

/// Does something once, while a cleaning looks.
struct Meanwhile<F>(F, AtomicBool);

impl<F: Fn() + Send + Sync> Watch for Meanwhile<F> {
    fn progress(&self, _: Progress<'_>) -> ControlFlow<()> {
        if !self.1.swap(true, Ordering::Relaxed) {
            (self.0)();
        }
        ControlFlow::Continue(())
    }
}

fn meanwhile<F: Fn() + Send + Sync>(what: F) -> Meanwhile<F> {
    Meanwhile(what, AtomicBool::new(false))
}

fn relabel(key: &str, label: &str) -> Operation {
    Operation::Label { key: key.into(), label: label.into() }
}

fn delete(key: &str) -> Operation {
    Operation::Delete { key: key.into() }
}

/// An index image.
fn searched(key: &str, vector: [f32; 8]) -> Operation {
    Put::new(key, vector).into()
}

#[test]
fn what_was_replaced_while_a_cleaning_looked_is_not_marked() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder.path().join("db"));
    let vector = || database.snapshot().vector("s1v0").unwrap().unwrap();
    let file = folder.path().join("photo");
    std::fs::write(&file, [1, 8]).unwrap();
    let filed = Put::new("filed", vector()).label("scene 1").source(file.to_str().unwrap());
    database.write(vec![filed.into()]).unwrap();
    // Another photo under its key; and one is gone with its file, which ends nothing.
    let watch = meanwhile(|| {
        let put = Put::new("s0v6", vector()).label("scene 1").photo([1, 0]).into();
        database.write(vec![put, delete("filed")]).unwrap();
        std::fs::remove_file(&file).unwrap();
    });
    let cleaned = database.clean(&CleanPlan::default(), Some(&Scenes::default()), Some(&watch)).unwrap();
    assert!(doubtful(&cleaned).contains(&"s0v6"), "{cleaned:?}");
    assert_eq!((cleaned.found, cleaned.changed_meanwhile), (2, 1));
    assert_eq!((database.marked().unwrap().len(), database.cleanings().unwrap()[0].found), (2, 2));
    assert_eq!(database.snapshot().record("s0v6").unwrap().unwrap().marked, None);
}

#[test]
fn what_people_did_while_a_cleaning_looked_is_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder.path().join("db"));
    let scenes = Scenes::default();
    let unlabel = CleanPlan::default().action(Action::Unlabel);
    // One is gone, one has the label that it should have.
    let watch = meanwhile(|| {
        database.write(vec![delete("s0v6"), relabel("s0v7", "scene 0")]).unwrap();
    });
    let cleaned = database.clean(&unlabel, Some(&scenes), Some(&watch)).unwrap();
    assert_eq!((cleaned.found, cleaned.changed_meanwhile, cleaned.receipt.unwrap().images_changed), (1, 2, 1));
    assert_eq!(label(&database, "s0v7").as_deref(), Some("scene 0"));
    assert_eq!(label(&database, "alone"), None);
    assert_eq!(database.cleanings().unwrap()[0].found, 1);
    assert_eq!(said(&database, "UNDO CLEAN"), "cleaning 1 was undone: 1 label was restored");
    // Somebody looked at its mark and took it away: its label stays.
    database.clean(&CleanPlan::default(), Some(&scenes), None).unwrap();
    let watch = meanwhile(|| {
        database.write(vec![relabel("alone", "lonely")]).unwrap();
    });
    let cleaned = database.clean(&unlabel, Some(&scenes), Some(&watch)).unwrap();
    assert_eq!((cleaned.found, cleaned.changed_meanwhile, cleaned.number), (0, 1, None));
    assert_eq!(label(&database, "alone").as_deref(), Some("lonely"));
    assert!(database.check(true).unwrap().problems.is_empty());
}

#[test]
fn an_undo_leaves_alone_what_has_the_same_label_and_is_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder.path().join("db"));
    let unlabel = CleanPlan::default().action(Action::Unlabel);
    assert_eq!(database.clean(&unlabel, Some(&Scenes::default()), None).unwrap().found, 3);
    // Both are other images under their keys; the second even has as many versions as the one that the cleaning left.
    let (first, second) = ([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.1], [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.1]);
    let version = |key: &str| database.snapshot().record(key).unwrap().unwrap().version;
    let left = version("s0v7");
    database.write(vec![delete("s0v6"), delete("s0v7")]).unwrap();
    database.write(vec![searched("s0v6", first), searched("s0v7", first)]).unwrap();
    database.write(vec![searched("s0v7", second)]).unwrap();
    assert_eq!(version("s0v7"), left);
    let undone = database.undo_cleaning().unwrap();
    assert_eq!((undone.receipt.images_changed, undone.left_alone), (1, 2));
    for (key, now) in [("alone", Some("lonely")), ("s0v6", None), ("s0v7", None)] {
        assert_eq!(label(&database, key).as_deref(), now, "{key}");
    }
    // Away and back is a decision too.
    let proposed = CleanPlan::default().rule(CleanRule::Suspects(Cut::Top(2))).action(Action::RelabelEmpty);
    let cleaned = database.clean(&proposed, None, None).unwrap();
    let (key, given) = (&cleaned.judged[0].key, label(&database, &cleaned.judged[0].key).unwrap());
    database.write(vec![relabel(key, "another")]).unwrap();
    database.write(vec![relabel(key, &given)]).unwrap();
    assert_eq!(
        said(&database, "UNDO CLEAN"),
        "cleaning 2 was undone: 1 label was restored; 1 image was changed since and is left unchanged"
    );
    assert_eq!(label(&database, key), Some(given));
}

/// Lets all cleanings have looked before one of them acts.
struct Together(Barrier);

impl Watch for Together {
    fn progress(&self, _: Progress<'_>) -> ControlFlow<()> {
        self.0.wait();
        ControlFlow::Continue(())
    }
}

#[test]
fn cleanings_at_once_have_numbers_and_entries_of_their_own() {
    const AT_ONCE: usize = 8;
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder.path().join("db"));
    let together = Together(Barrier::new(AT_ONCE));
    let clean = &|top| {
        let plan = CleanPlan::default().rule(CleanRule::Suspects(Cut::Top(top)));
        database.clean(&plan, None, Some(&together)).unwrap()
    };
    let mut numbers: Vec<(u64, usize)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..=AT_ONCE).map(|top| scope.spawn(move || clean(top))).collect();
        let cleaned = threads.into_iter().map(|thread| thread.join().unwrap());
        cleaned.filter_map(|cleaned| Some((cleaned.number?, cleaned.found))).collect()
    });
    numbers.sort_unstable();
    let noted = database.cleanings().unwrap();
    assert_eq!(noted.iter().map(|entry| (entry.number, entry.found)).collect::<Vec<_>>(), numbers);
    assert_eq!(noted.iter().map(|entry| entry.found).sum::<usize>(), AT_ONCE, "each image is marked by one of them");
    noted.iter().for_each(|_| assert_eq!(database.undo_cleaning().unwrap().left_alone, 0));
    assert!(database.marked().unwrap().is_empty());
}

#[test]
fn a_mark_is_shown_and_goes_with_what_people_say_of_the_image() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let database = database(&path);
    database.clean(&CleanPlan::default(), Some(&Scenes::default()), None).unwrap();
    assert_eq!(table(&database, "SHOW MARKED")[1], ["s0v6", "scene 1", "1"]);
    assert_eq!(database.snapshot().record("s0v6").unwrap().unwrap().marked, Some(1));
    // The same photo put again says nothing of its label; the label given again does.
    let photo = |bytes: [u8; 2]| {
        let vector = database.snapshot().vector("s0v6").unwrap().unwrap();
        let (key, label) = ("s0v6".to_owned(), Some("scene 1".to_owned()));
        Operation::Put({
            let mut put = Put::new(key, vector).photo(bytes);
            put.label = label;
            put
        })
    };
    database.write(vec![photo([0, 6])]).unwrap();
    assert_eq!(database.marked().unwrap().len(), 3);
    let affirm = || Operation::Label { key: "s0v6".into(), label: "scene 1".into() };
    assert_eq!(database.write(vec![affirm()]).unwrap().images_changed, 1);
    assert_eq!(database.write(vec![affirm()]).unwrap().images_changed, 0, "there is no mark any more");
    assert_eq!(database.snapshot().record("s0v6").unwrap().unwrap().marked, None);
    // Away and back in one transaction or in two.
    let back = |key: &str, label: &str| Operation::Label { key: key.into(), label: label.into() };
    database.write(vec![Operation::Unlabel { key: "s0v7".into() }, back("s0v7", "scene 1")]).unwrap();
    database.write(vec![Operation::Unlabel { key: "alone".into() }]).unwrap();
    database.write(vec![back("alone", "lonely")]).unwrap();
    assert!(database.marked().unwrap().is_empty());
    assert!(database.check(true).unwrap().problems.is_empty());
    drop(database);
    let database = Database::open(&path).unwrap();
    assert!(database.marked().unwrap().is_empty());
}

#[test]
fn suspects_are_acted_on_from_the_measured_evidence_on() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder.path().join("db"));
    let shown = database.query("SHOW SUSPECTS", &Default::default(), &Ports::default()).unwrap().remove(0);
    let Outcome::Cleaned(shown) = shown else { panic!("{shown:?}") };
    assert!(shown.judged.len() > 3, "weak evidence is shown");
    let analysed = said(&database, "EXPLAIN ANALYZE CLEAN RULE suspects");
    assert!(
        analysed.contains("\nsuspects 2, already marked 0\ncleaning 1: changed or marked 2\nsequence "),
        "{analysed}"
    );
    let marks = marked(&database);
    assert_eq!(marks, ["s0v6", "s0v7"], "{shown:?}");
    for judged in &shown.judged {
        let Judgement::Suspect { evidence, .. } = judged.judgement else { panic!("{judged:?}") };
        assert_eq!(evidence >= cairn::language::DEFAULT_EVIDENCE, marks.contains(&judged.key), "{judged:?}");
    }
}

#[test]
fn what_is_found_in_a_thumbnail_is_found_again_when_the_photo_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let (path, photos) = (folder.path().join("db"), folder.path().join("photos"));
    let database = Database::create(&path, Options::for_vectors(8)).unwrap();
    let put = |view: u8| {
        let (key, source) = (format!("v{view}"), photos.join(view.to_string()).display().to_string());
        let vector = vec![1.0, 0.01 * f32::from(view), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        // Every thumbnail shows something else.
        let photo = Some(vec![100 + view, view]);
        Operation::Put({
            let mut put = Put::new(key, vector).label("scene").source(source).content([view; 32]);
            put.photo = photo;
            put
        })
    };
    database.write((0..6).map(put)).unwrap();
    let scenes = Scenes::default();
    let clean = || {
        let before = scenes.asked.load(Ordering::Relaxed);
        let found = doubtful(&database.clean(&CleanPlan::default(), Some(&scenes), None).unwrap()).len();
        (found, scenes.asked.load(Ordering::Relaxed) - before)
    };
    assert_eq!(clean(), (6, 6), "no thumbnail shows what another one does");
    assert_eq!(clean(), (6, 0), "what the thumbnails gave is kept while the photos are away");
    std::fs::create_dir_all(&photos).unwrap();
    (0..6u8).for_each(|view| std::fs::write(photos.join(view.to_string()), [0, view]).unwrap());
    assert_eq!(clean(), (0, 6), "the photos show one scene");
    std::fs::remove_dir_all(&photos).unwrap();
    assert_eq!(clean(), (0, 0), "what the photos gave stays when they are gone again");
}

#[test]
fn what_could_not_be_written_is_refused_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    drop(database(&path));
    let reader = Database::open_read_only(&path).unwrap();
    let scenes = Scenes::default();
    let error = reader.clean(&CleanPlan::default(), Some(&scenes), None).unwrap_err();
    assert!(error.kind() == ErrorKind::ReadOnly && error.to_string().contains("reading only"), "{error}");
    assert_eq!(scenes.asked.load(Ordering::Relaxed), 0);
    for statement in ["TRAIN", "REEMBED", "USE MODEL 0", "CLEAN RULE suspects", "UNDO CLEAN"] {
        let error = reader.query(statement, &Default::default(), &Ports::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{statement}: {error}");
    }
    reader
        .query("SHOW SUSPECTS; CLEAN RULE suspects DRY RUN; SHOW MARKED", &Default::default(), &Ports::default())
        .unwrap();
}

#[test]
fn a_dry_run_changes_nothing_in_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    drop(database(&path));
    let before = tree(&path);
    let dry = CleanPlan::default().dry_run(true).into("report.html".to_owned());
    // An opened writer tidies its catalog by itself; that its dry run keeps nothing is seen by what is found again.
    let database = Database::open_read_only(&path).unwrap();
    let found = database.clean(&dry, Some(&Scenes::default()), None).unwrap();
    assert_eq!(doubtful(&found), ["alone", "s0v6", "s0v7"]);
    assert!(found.judged.iter().any(|judged| judged.witness.as_ref().is_some_and(|seen| !seen.lines.is_empty())));
    assert_eq!(tree(&path), before);
    drop(database);
    assert_eq!(tree(&path), before);
}

/// Stops after so many steps.
struct Stop(AtomicUsize);

impl Watch for Stop {
    fn progress(&self, _: Progress<'_>) -> ControlFlow<()> {
        if self.0.fetch_sub(1, Ordering::Relaxed) > 1 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

#[test]
fn a_cleaning_that_was_stopped_goes_on_and_finds_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let undisturbed = database(&folder.path().join("a")).clean(&CleanPlan::default(), Some(&Scenes::default()), None);
    let undisturbed = undisturbed.unwrap();
    let path = folder.path().join("b");
    drop(database(&path));
    for steps in 1..=2 {
        let database = Database::open(&path).unwrap();
        let stop = Stop(AtomicUsize::new(steps));
        let stopped = database.clean(&CleanPlan::default(), Some(&Scenes::default()), Some(&stop));
        assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Cancelled);
        assert!(database.cleanings().unwrap().is_empty());
    }
    let database = Database::open(&path).unwrap();
    let scenes = Scenes::default();
    let found = database.clean(&CleanPlan::default(), Some(&scenes), None).unwrap();
    assert_eq!((&found.judged, found.found), (&undisturbed.judged, undisturbed.found));
    assert_eq!(scenes.asked.load(Ordering::Relaxed), 0);
}

#[test]
fn what_cannot_be_cleaned_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let empty = Database::create(folder.path().join("empty"), Options::for_vectors(8)).unwrap();
    let error = empty.clean(&CleanPlan::default(), Some(&Scenes::default()), None).unwrap_err();
    assert!(error.to_string().contains("0 labelled images"), "{error}");
    let one = Database::create(folder.path().join("one"), Options::for_vectors(8)).unwrap();
    one.write(cairndb_storage_tests::images("i", 20, 8, 1, 1, 3)).unwrap();
    let error = one.query("SHOW SUSPECTS", &Default::default(), &Ports::default()).unwrap_err();
    assert!(error.to_string().contains("label 0"), "{error}");
    let error = one.query("CLEAN", &Default::default(), &Ports::default()).unwrap_err();
    assert!(error.to_string().contains("bare vectors without photos"), "{error}");
    let error = one.query("TRAIN", &Default::default(), &Ports::default()).unwrap_err();
    assert!(error.to_string().contains("model"), "{error}");
    let error = one.clean(&CleanPlan::default(), Some(&Scenes::default()), None).unwrap_err();
    assert!(error.to_string().contains("bare vectors without photos"), "{error}");
    let some = database(&folder.path().join("some"));
    let error = some.query("CLEAN", &Default::default(), &Ports::default()).unwrap_err();
    assert!(error.to_string().contains("local features"), "{error}");
    // No photo can be read.
    let gone = Database::create(folder.path().join("gone"), Options::for_vectors(8)).unwrap();
    let vector = |at: u8| vec![1.0, 0.1 * f32::from(at), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    let put = |at: u8| Put::new(format!("g{at}"), vector(at)).label("scene").source("/is/not/there.jpg").into();
    gone.write((0..4).map(put)).unwrap();
    let error = gone.clean(&CleanPlan::default(), Some(&Scenes::default()), None).unwrap_err();
    assert!(error.to_string().contains("the photo of 'g0' does not exist"), "{error}");
}

#[test]
fn a_photo_that_cannot_be_read_ends_no_cleaning() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder.path().join("db"));
    let broken = folder.path().join("broken.jpg");
    std::fs::write(&broken, [2]).unwrap();
    let put = |key: &str| {
        let vector = database.snapshot().vector(key).unwrap().unwrap();
        Put::new(key, vector).label("scene 2").source(broken.display().to_string()).content([1; 32])
    };
    // Of one something is kept, of another nothing, and the photo of the third is gone.
    let gone = put("s2v2").source("/is/not/there.jpg");
    database.write(vec![put("s2v0").photo([2, 0]).into(), put("s2v1").into(), gone.into()]).unwrap();
    let scenes = Scenes::default();
    let cleaned = database.clean(&CleanPlan::default(), Some(&scenes), None).unwrap();
    assert_eq!(doubtful(&cleaned), ["alone", "s0v6", "s0v7"]);
    let (cut, gone) = ("'s2v1': it is cut short", "the photo of 's2v2' does not exist");
    assert_eq!(cleaned.not_compared(), [("s2v1", cut), ("s2v2", gone)]);
    let judged = |key: &str| cleaned.judged.iter().find(|judged| judged.key == key).unwrap();
    assert_eq!((judged("s2v0").compared, judged("s2v0").verified), (5, 5), "its thumbnail is compared");
    // Others are not found doubtful because their neighbours cannot be read.
    let strict = CleanPlan::default().freq(6).dry_run(true);
    let cleaned = database.clean(&strict, Some(&scenes), None).unwrap();
    assert_eq!(cleaned.not_compared().len(), 8);
    assert!(doubtful(&cleaned).iter().all(|key| !key.starts_with("s2")), "{cleaned:?}");
    let reason = "only 5 of its 7 neighbours can be compared";
    assert!(cleaned.not_compared().contains(&("s2v7", reason)), "{cleaned:?}");
}

#[test]
fn a_cleaning_tells_which_image_lost_which_label() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder.path().join("db"));
    let scenes = Scenes::default();
    let unlabel = CleanPlan::default().action(Action::Unlabel);
    database.clean(&unlabel, Some(&scenes), None).unwrap();
    let shown = |number: u64| table(&database, &format!("SHOW CLEAN {number}"));
    let row = |key: &str, label: &str, becomes: &str, state: &str| [key, label, becomes, state].map(str::to_owned);
    let (alone, first) = (row("alone", "lonely", "", "stands"), row("s0v6", "scene 1", "", "stands"));
    assert_eq!(shown(1), [alone, first, row("s0v7", "scene 1", "", "stands")]);
    database.write(vec![relabel("s0v6", "scene 0")]).unwrap();
    let changed = row("s0v6", "scene 1", "", "changed since");
    assert_eq!(shown(1)[1], changed);
    database.undo_cleaning().unwrap();
    assert_eq!(shown(1), [row("alone", "lonely", "", "undone"), changed, row("s0v7", "scene 1", "", "undone")]);
    // What is marked keeps its label.
    database.clean(&CleanPlan::default(), Some(&scenes), None).unwrap();
    database.write(vec![relabel("alone", "lonely")]).unwrap();
    let affirmed = row("alone", "lonely", "lonely", "changed since");
    assert_eq!(shown(2), [affirmed, row("s0v7", "scene 1", "scene 1", "stands")]);
    let error = database.query("SHOW CLEAN 3", &Default::default(), &Ports::default()).unwrap_err();
    assert!(error.to_string().contains("cleaning 3 does not exist"), "{error}");
}
