//! Model changes: another model space is built beside the active one during writes, and then one key flips. Readers see one model
//! or the other, never both; a kill leaves one or the other; stored descriptors are not computed again.
//!
//! It catches: an image that was put again while its old photo was being embedded or while it was to be taken over, a forgotten
//! choice of the caller, a label that changed meanwhile, a deleted image that reappears, an image that lost its descriptor by
//! changing its role, segments of the earlier model that stay behind, a half-derived state that counts as complete, an unfinished
//! model that becomes active or counts as finished, descriptors that trainings need and that are silently dropped, descriptors of
//! the earlier model that are stored or searched in the space of the one that became active meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use cairn::embed::{Embed, Embedded};
use cairn::language::TrainPlan;
use cairn::model::{Maintain, Maintained, ModelInfo, Reembed, Target, Wanted};
use cairn::{
    Database, Deferral, ErrorKind, Expect, Operation, Outcome, Photo, Ports, Progress, Query, SearchRequest, Watch,
};
use cairndb_storage_tests::epochs::{
    Turns, counted, is_mirrored, mirror, model, model_after, options, under, write_named,
};
use cairndb_storage_tests::{
    DIMENSION, Guarded, Model, Random, apply, digest, images, load, many, no_leftovers, put, said, sound, status, told,
    unit, wait_until,
};

/// Images that the engine asks for at a time, and whose descriptors one transaction keeps.
const EMBED_ROWS: usize = 64;

/// Counts what it is asked for.
#[derive(Default)]
struct Mirror(std::cell::Cell<usize>);

impl Reembed for Mirror {
    fn reembed(&self, images: &[Wanted]) -> cairn::Result<Vec<cairn::Result<Vec<f32>>>> {
        self.0.set(self.0.get() + images.len());
        Ok(images.iter().map(|image| Ok(mirror(&image.vector))).collect())
    }
}

/// While a new model space is verified, so many train images arrive that segments of them are written before the index images
/// that arrived just before them.
#[test]
fn images_that_come_while_a_new_epoch_is_looked_at_are_there_after_reopening() {
    const TRAIN: usize = 17_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let database = Database::create(&path, options()).unwrap();
    let mut random = Random::new(3);
    let mut images = |name: &str, count: usize, label: Option<&str>| -> Vec<Operation> {
        let vector =
            |random: &mut Random| (0..DIMENSION).map(|_| random.below(1000) as f32 - 499.5).collect::<Vec<_>>();
        (0..count).map(|at| put(format!("{name}{at}"), label, &vector(&mut random))).collect()
    };
    write_named(&database, images("a", 20, None)).unwrap();
    let mut late = Some([images("b", 20, None), images("t", TRAIN, Some("tower"))].concat());
    let target = Target::new(model(true), DIMENSION);
    database
        .change_model(
            target,
            &Mirror::default(),
            Some(&told(|at| {
                if at.what == Progress::VERIFICATION
                    && let Some(late) = late.take()
                {
                    write_named(&database, late).unwrap();
                }
                true
            })),
        )
        .unwrap();
    let before = digest(&database.snapshot());
    drop(database);
    let database = Database::open(&path).unwrap();
    assert_eq!(digest(&database.snapshot()), before);
    let problems = database.check(false).unwrap().problems;
    assert!(problems.is_empty(), "{problems:?}");
}

/// Images that are still to be taken over, and such as were, change while the new epoch's predictions are made.
#[test]
fn what_changes_while_an_epoch_votes_is_in_it_as_it_became() {
    /// More than are taken over by one batch, so that some of either role still wait.
    const TRAIN: usize = 5_000;
    const INDEX: usize = 400;
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("db"), options()).unwrap();
    let mut random = Random::new(4);
    let mut vector = move || unit(&(0..DIMENSION).map(|_| random.signed()).collect::<Vec<_>>());
    let label = |at: usize| format!("label {}", at % 9);
    let train = (0..TRAIN).map(|at| put(format!("t{at:04}"), Some(&label(at)), &vector()));
    let all: Vec<Operation> = train.collect();
    let index = (0..INDEX).map(|at| put(format!("i{at:04}"), None, &vector()));
    let all = [all, index.collect()].concat();
    let mut stored = Model::new();
    apply(&mut stored, &all);
    write_named(&database, all).unwrap();
    let mut rounds = 0;
    let target = Target::new(model(true), DIMENSION);
    let watch = told(|at| {
        // What is written once everything is looked at is another test's.
        if at.what == Progress::PREDICTIONS && rounds < 3 {
            let mut operations = Vec::new();
            for (role, last) in [("t", TRAIN - 1), ("i", INDEX - 1)] {
                for (first, is_taken) in [(10 * rounds, true), (last - 10 * rounds, false)] {
                    let at = |next: usize| if is_taken { first + next } else { first - next };
                    let of = |next: usize| format!("{role}{:04}", at(next));
                    operations.push(Operation::Delete { key: of(0) });
                    operations.push(Operation::Label { key: of(1), label: "another".into() });
                    operations.push(put(of(2), (role == "t").then_some("anew"), &vector()));
                    operations.push(put(of(3), (role == "i").then_some("the other role"), &vector()));
                    if role == "t" {
                        operations.push(Operation::Unlabel { key: of(4) });
                    }
                }
            }
            apply(&mut stored, &operations);
            write_named(&database, operations).unwrap();
            rounds += 1;
        }
        true
    });
    database.change_model(target, &Mirror::default(), Some(&watch)).unwrap();
    drop(watch);
    assert_eq!((rounds, is_mirrored(&database)), (3, true));
    sound(&database, &under(&stored, true), "behind the change");
}

/// Index images that the new model space has already are deleted while it takes over train images that enter their lists.
#[test]
fn what_is_deleted_while_the_new_space_votes_ends_no_change() {
    /// More than are taken over by one batch.
    const LATE: usize = 5_000;
    const INDEX: usize = 300;
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("db"), options()).unwrap();
    let mut random = Random::new(6);
    let mut vector = move || unit(&(0..DIMENSION).map(|_| random.signed()).collect::<Vec<_>>());
    let mut puts = |name: &str, count: usize, label: Option<&str>| -> Vec<Operation> {
        (0..count).map(|at| put(format!("{name}{at:04}"), label, &vector())).collect()
    };
    let first = [puts("t", 20, Some("tower")), puts("i", INDEX, None)].concat();
    let mut late = Some(puts("u", LATE, Some("bridge")));
    let mut gone =
        Some((0..INDEX).step_by(2).map(|at| Operation::Delete { key: format!("i{at:04}") }).collect::<Vec<_>>());
    let mut stored = Model::new();
    apply(&mut stored, &first);
    write_named(&database, first).unwrap();
    let target = Target::new(model(true), DIMENSION);
    let watch = told(|at| {
        let operations = match at.what {
            Progress::PREDICTIONS if at.done >= 20 + INDEX && late.is_some() => late.take(),
            Progress::PREDICTIONS if late.is_none() && at.done < LATE => gone.take(),
            _ => None,
        };
        if let Some(operations) = operations {
            apply(&mut stored, &operations);
            write_named(&database, operations).unwrap();
        }
        true
    });
    database.change_model(target, &Mirror::default(), Some(&watch)).unwrap();
    drop(watch);
    assert!(gone.is_none() && is_mirrored(&database));
    sound(&database, &under(&stored, true), "behind the change");
}

#[test]
fn what_was_chosen_while_the_model_changed_holds_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("db"), options()).unwrap();
    write_named(&database, images("i", 100, DIMENSION, 9, 5, 3)).unwrap();
    let watch = told(|at| {
        if at.what == Progress::VERIFICATION {
            database.set_deferral(Deferral::Always);
        }
        true
    });
    database.change_model(Target::new(model(true), DIMENSION), &Mirror::default(), Some(&watch)).unwrap();
    assert!(write_named(&database, vec![put("late", None, &[1.0; DIMENSION])]).unwrap().deferred);
    database.set_deferral(Deferral::Never);
    assert!(!write_named(&database, vec![put("later", None, &[1.0; DIMENSION])]).unwrap().deferred);
}

#[test]
fn a_new_epoch_is_what_its_images_alone_would_be() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("db"), options()).unwrap();
    let mut turns = Turns::new(&database, 5);
    for round in 0..6 {
        for _ in 0..40 {
            turns.write();
        }
        if round % 2 == 1 {
            database.compact().unwrap();
        }
        turns.change(&mut |_| {}).unwrap();
        let story = format!("round {round}");
        sound(&database, &under(turns.stored(), is_mirrored(&database)), &story);
        no_leftovers(&database, &story);
        assert_eq!(is_mirrored(&database), round % 2 == 0, "{story}");
    }
    let before = digest(&database.snapshot());
    drop(database);
    let database = Database::open(folder.path().join("db")).unwrap();
    assert_eq!(digest(&database.snapshot()), before);
    // The same images put into a fresh database of the model give the same digest.
    let fresh = Database::create(folder.path().join("fresh"), options()).unwrap();
    let stored = under(&model_after(5, counted(&database)), is_mirrored(&database));
    fresh.write(stored.iter().map(|(key, (label, vector))| put(key, label.as_deref(), vector))).unwrap();
    assert_eq!(digest(&fresh.apply_pending().unwrap()), before);
}

/// Embeds with the active model, which becomes the other one before or after the first call.
struct Overtaken<'d> {
    database: Database,
    plain: &'d [f32],
    flips_first: bool,
    left: std::sync::atomic::AtomicBool,
}

impl Overtaken<'static> {
    fn ports(database: &Database, plain: &'static [f32], flips_first: bool) -> Ports {
        let database = database.clone();
        Ports::default().embed(Arc::new(Self { database, plain, flips_first, left: true.into() }))
    }
}

impl Embed for Overtaken<'_> {
    fn embed(&self, _: &Photo) -> cairn::Result<Embedded> {
        let flip = || {
            if self.left.swap(false, std::sync::atomic::Ordering::Relaxed) {
                let to = model(!is_mirrored(&self.database));
                self.database.change_model(Target::new(to, DIMENSION), &Mirror::default(), None).unwrap();
            }
        };
        if self.flips_first {
            flip();
        }
        let vector = if is_mirrored(&self.database) { mirror(self.plain) } else { self.plain.to_vec() };
        flip();
        Ok(Embedded::new(vector, [7; 32]))
    }
}

#[test]
fn what_a_model_made_is_neither_stored_nor_searched_under_another() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("db"), options()).unwrap();
    // No descriptor is like its mirror image.
    let plain: &'static [f32] = Box::leak((0..DIMENSION).map(|at| (at + 1) as f32).collect());
    write_named(&database, vec![put("known", None, plain), put("other", None, &mirror(plain))]).unwrap();
    let now = || if is_mirrored(&database) { mirror(plain) } else { plain.to_vec() };
    let run = |statement: &str, flips_first| {
        let ports = Overtaken::ports(&database, plain, flips_first);
        database.query(statement, &Default::default(), &ports).unwrap().remove(0)
    };
    for flips_first in [true, false] {
        let Outcome::Answers(found) = run("SEARCH 'photo.jpg' LIMIT 1", flips_first) else { panic!("no answers") };
        assert_eq!(found.answers[0].rows[0].id, "known", "flips first: {flips_first}");
        run("PUT ID 'new' 'photo.jpg'", flips_first);
        let (new, known) = (database.snapshot().vector("new").unwrap(), database.snapshot().vector("known").unwrap());
        assert_eq!(new, known, "flips first: {flips_first}");
    }
    // Whoever reads the photo again may stand in another folder.
    let source = database.snapshot().record("new").unwrap().unwrap().source.unwrap();
    assert_eq!(std::path::Path::new(&source), std::env::current_dir().unwrap().join("photo.jpg"));
    // Whoever embeds himself says what with.
    let (in_force, before) = (model(is_mirrored(&database)), model(!is_mirrored(&database)));
    let late = |key: &str, by: &ModelInfo| {
        database.write_if([Expect::model(&by.fingerprint)], [put(key, None, &now())]).map(|_| ())
    };
    assert_eq!(late("late", &before).unwrap_err().kind(), ErrorKind::Mismatch);
    assert_eq!(database.snapshot().record("late").unwrap(), None);
    late("late", &in_force).unwrap();
    assert!(database.snapshot().record("late").unwrap().is_some());
}

/// Goes on until the step of that number, from 1 on.
fn stop_at(step: usize) -> impl FnMut(Progress<'_>) -> bool {
    let mut left = step;
    move |_| {
        left -= 1;
        left > 0
    }
}

#[test]
fn what_was_embedded_is_not_embedded_again() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("db"), options()).unwrap();
    write_named(&database, images("i", 1200, DIMENSION, 9, 5, 3)).unwrap();
    let stop = told(stop_at(2));
    let stopped = database.change_model(Target::new(model(true), DIMENSION), &Mirror::default(), Some(&stop));
    assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(!is_mirrored(&database));
    // A new role keeps the descriptor, a new photo does not, and a new label has nothing to do with it.
    write_named(&database, vec![Operation::Unlabel { key: "i000000".into() }]).unwrap();
    write_named(&database, vec![Operation::Label { key: "i000005".into(), label: "label 3".into() }]).unwrap();
    write_named(&database, vec![put("i000001", None, &[1.0; DIMENSION])]).unwrap();
    let rest = Mirror::default();
    assert_eq!(database.change_model(Target::new(model(true), DIMENSION), &rest, None).unwrap(), 1);
    assert_eq!(rest.0.get(), 1200 - 2 * EMBED_ROWS + 1);
    assert!(database.check(true).unwrap().problems.is_empty());
    let error = database.change_model(Target::new(model(true), DIMENSION), &rest, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);

    // Back: nothing is embedded but what came since.
    write_named(&database, vec![put("new", None, &[0.5; DIMENSION])]).unwrap();
    let back = Mirror::default();
    assert_eq!(database.change_model(Target::new(model(false), DIMENSION), &back, None).unwrap(), 0);
    assert_eq!(back.0.get(), 1);
    let models = database.models().unwrap();
    assert_eq!(models.iter().map(|model| (model.number, model.active)).collect::<Vec<_>>(), [(0, true), (1, false)]);
    assert_eq!(database.drop_model(0).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(database.drop_model(7).unwrap_err().kind(), ErrorKind::NotFound);
    database.drop_model(1).unwrap();
    assert_eq!(database.models().unwrap().len(), 1);
    assert!(database.check(true).unwrap().problems.is_empty());
}

#[test]
fn every_image_can_be_embedded_again_and_each_epoch_be_gone_back_to() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("db"), options()).unwrap();
    write_named(&database, images("i", 600, DIMENSION, 9, 5, 3)).unwrap();
    let again = || Target::new(model(false), DIMENSION).again(true);
    for number in 1..=2 {
        let asked = Mirror::default();
        assert_eq!(database.change_model(again(), &asked, None).unwrap(), number);
        assert_eq!(asked.0.get(), 600, "epoch {number}");
    }
    // What was begun and stopped goes on.
    let stopped = database.change_model(again(), &Mirror::default(), Some(&told(stop_at(2))));
    assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Cancelled);
    let rest = Mirror::default();
    assert_eq!(database.change_model(again(), &rest, None).unwrap(), 3);
    assert_eq!(rest.0.get(), 600 - 2 * EMBED_ROWS);
    let first = || Target::new(model(false), DIMENSION).number(0);
    assert_eq!(database.change_model(first(), &rest, None).unwrap(), 0);
    assert_eq!(rest.0.get(), 600 - 2 * EMBED_ROWS, "nothing was embedded to go back");
    assert_eq!(database.change_model(first(), &rest, None).unwrap_err().kind(), ErrorKind::AlreadyExists);
    // Later epochs of the model are there and whole: again is again.
    let asked = Mirror::default();
    assert_eq!(database.change_model(again(), &asked, None).unwrap(), 4);
    assert_eq!(asked.0.get(), 600);
    assert!(database.check(true).unwrap().problems.is_empty());
}

fn models(database: &Database) -> Vec<Vec<String>> {
    match database.query("SHOW MODELS", &Default::default(), &Ports::default()).unwrap().remove(0) {
        Outcome::Table(table) => table.rows,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_unfinished_epoch_says_how_far_it_is_and_is_not_put_in_force_by_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let database = Database::create(&path, options()).unwrap();
    write_named(&database, images("i", 600, DIMENSION, 9, 5, 3)).unwrap();
    let again = || Target::new(model(false), DIMENSION).again(true);
    database.change_model(again(), &Mirror::default(), Some(&told(stop_at(1)))).unwrap_err();
    drop(database);
    let database = Database::open(&path).unwrap();
    assert_eq!(
        database.models().unwrap().iter().map(|entry| entry.unfinished).collect::<Vec<_>>(),
        [None, Some(EMBED_ROWS)]
    );
    let shown = models(&database);
    assert_eq!(shown[0][4], "active");
    assert_eq!(
        (shown[1][1].as_str(), shown[1][4].as_str()),
        ("plain, embedded again", format!("unfinished: {EMBED_ROWS} of 600 descriptors").as_str())
    );
    let by_number = || Target::new(model(false), DIMENSION).number(1);
    let error = database.change_model(by_number(), &Mirror::default(), None).unwrap_err();
    assert!(error.to_string().contains("unfinished") && error.next_step().unwrap().contains("DROP MODEL 1"), "{error}");
    assert_eq!(database.change_model(again(), &Mirror::default(), None).unwrap(), 1);
    let states: Vec<String> = models(&database).into_iter().map(|row| row[4].clone()).collect();
    assert_eq!(states, ["kept", "active"]);
}

#[test]
fn what_was_derived_of_an_epoch_that_was_given_up_goes_with_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("db"), options()).unwrap();
    write_named(&database, images("i", 600, DIMENSION, 9, 5, 3)).unwrap();
    let give_up = || {
        let until_it_votes = told(|at| at.what != Progress::PREDICTIONS);
        let target = Target::new(model(true), DIMENSION);
        let stopped = database.change_model(target, &Mirror::default(), Some(&until_it_votes)).unwrap_err();
        assert_eq!(stopped.kind(), ErrorKind::Cancelled);
    };
    give_up();
    let again = Target::new(model(false), DIMENSION).again(true);
    database.change_model(again, &Mirror::default(), None).unwrap();
    assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new());
    give_up();
    database.drop_model(1).unwrap();
    assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new());
    no_leftovers(&database, "dropped");
}

#[test]
fn a_dropped_epoch_is_forgotten_by_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("db"), options()).unwrap();
    write_named(&database, images("i", 600, DIMENSION, 9, 5, 3)).unwrap();
    let again = || Target::new(model(false), DIMENSION).again(true);
    let begun = || {
        database.change_model(again(), &Mirror::default(), Some(&told(stop_at(1)))).unwrap_err();
    };
    begun();
    database.drop_model(1).unwrap();
    assert_eq!(models(&database).len(), 1);
    // It is registered again, under a new number, and has nothing of the earlier one.
    begun();
    let shown = models(&database);
    assert_eq!(
        (shown.len(), shown[1][0].as_str(), shown[1][4].as_str()),
        (2, "2", format!("unfinished: {EMBED_ROWS} of 600 descriptors").as_str())
    );
    database.drop_model(2).unwrap();
    let all = Mirror::default();
    assert_eq!(database.change_model(again(), &all, None).unwrap(), 3);
    assert_eq!(all.0.get(), 600);
    assert!(database.check(true).unwrap().problems.is_empty());
}

/// A maintainer whose mirrored model was trained on the plain one.
struct Trained;

impl Maintain for Trained {
    fn train(&self, _: &Database, _: &TrainPlan, _: Option<&dyn Watch>) -> cairn::Result<Maintained> {
        panic!("nothing is trained here")
    }

    fn reembed(&self, _: &Database, _: Option<&str>) -> cairn::Result<Maintained> {
        panic!("nothing is embedded here")
    }

    fn use_model(&self, _: &Database, _: u64) -> cairn::Result<Maintained> {
        panic!("nothing is used here")
    }

    fn base(&self, _: &ModelInfo) -> cairn::Result<ModelInfo> {
        Ok(model(false))
    }
}

#[test]
fn descriptors_that_a_model_was_trained_on_are_dropped_only_by_force() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("db"), options()).unwrap();
    write_named(&database, images("i", 300, DIMENSION, 9, 5, 3)).unwrap();
    database.change_model(Target::new(model(true), DIMENSION), &Mirror::default(), None).unwrap();
    let ports = Ports::default().maintain(Arc::new(Trained));
    let run = |statement: &str| database.query(statement, &Default::default(), &ports);
    let error = run("DROP MODEL 0").unwrap_err();
    assert!(error.to_string().contains("model 1 was trained"), "{error}");
    assert!(error.next_step().unwrap().contains("DROP MODEL 0 FORCE"), "{error}");
    assert_eq!(database.models().unwrap().len(), 2);
    // A model that nothing depends on is dropped without a warning, and so is one of two spaces of the network.
    let again = Target::new(model(false), DIMENSION).again(true);
    database.change_model(again, &Mirror::default(), None).unwrap();
    run("DROP MODEL 0").unwrap();
    database.change_model(Target::new(model(true), DIMENSION), &Mirror::default(), None).unwrap();
    assert!(run("DROP MODEL 2").is_err());
    run("DROP MODEL 2 FORCE").unwrap();
    assert_eq!(database.models().unwrap().len(), 1);
    assert_eq!(run("DROP MODEL 7").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(run("DROP MODEL 1").unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_snapshot_keeps_the_model_that_it_was_taken_of() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("db"), options()).unwrap();
    write_named(&database, images("i", 3000, DIMENSION, 9, 5, 3)).unwrap();
    database.compact().unwrap();
    let request = SearchRequest::new().depth(50).limit(50);
    let query = Query::new(database.snapshot().vector("i000001").unwrap().unwrap());
    let before = database.snapshot();
    let answer =
        |snapshot: &cairn::Snapshot| snapshot.search(&request, std::slice::from_ref(&query)).unwrap().remove(0);
    let told = answer(&before);
    database.change_model(Target::new(model(true), DIMENSION), &Mirror::default(), None).unwrap();
    assert_eq!(answer(&before).rows, told.rows);
    assert_ne!(answer(&database.snapshot()).rows, told.rows);
    assert_eq!(database.snapshot().sequence(), before.sequence() + 1);
    assert_eq!(status(&database, "health"), "ok");
}

#[test]
fn a_model_may_have_another_dimension() {
    struct Half;
    impl Reembed for Half {
        fn reembed(&self, images: &[Wanted]) -> cairn::Result<Vec<cairn::Result<Vec<f32>>>> {
            Ok(images.iter().map(|image| Ok(image.vector[..DIMENSION / 2].to_vec())).collect())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let database = Database::create(&path, options()).unwrap();
    write_named(&database, images("i", 600, DIMENSION, 9, 5, 3)).unwrap();
    let wrong = database.change_model(Target::new(model(true), DIMENSION / 2), &Mirror::default(), None).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Mismatch);
    database.change_model(Target::new(model(true), DIMENSION / 2), &Half, None).unwrap();
    for _ in 0..2 {
        assert_eq!(database.options().dimension, DIMENSION / 2);
        assert!(database.check(true).unwrap().problems.is_empty());
        let error = write_named(&database, vec![put("x", None, &[1.0; DIMENSION])]).unwrap_err();
        assert!(error.to_string().contains("4"), "{error}");
    }
    drop(database);
    let database = Database::open(&path).unwrap();
    assert_eq!(database.options().dimension, DIMENSION / 2);
    assert!(database.check(true).unwrap().problems.is_empty());
}

#[test]
fn a_kill_leaves_one_model_or_the_other() {
    const SEED: u64 = 21;
    let folder = tempfile::tempdir().unwrap();
    let (path, words) = (folder.path().join("db"), folder.path().join("words"));
    drop(Database::create(&path, options()).unwrap());
    let mut random = Random::new(SEED);
    let (mut flips, kills) = (0, many(25, 500));
    for kill in 0..kills {
        let story = format!("kill {kill}");
        let out = std::fs::File::create(&words).unwrap();
        let mut child = Guarded(load().arg("epochs").arg(&path).arg(SEED.to_string()).stdout(out).spawn().unwrap());
        wait_until("the opening", || std::fs::read_to_string(&words).unwrap().starts_with("open\n"));
        std::thread::sleep(Duration::from_millis(random.below(300) as u64));
        assert!(child.0.try_wait().unwrap().is_none(), "{story}: the load ended by itself");
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        let said = said(&words, 0);
        flips += said.lines.iter().filter(|line| *line == "flipped").count();
        let database = Database::open(&path).unwrap_or_else(|error| panic!("{story}: {error}"));
        let count = counted(&database);
        assert!(count >= said.acknowledged, "{story}: {} was acknowledged, {count} is stored", said.acknowledged);
        sound(&database, &under(&model_after(SEED, count), is_mirrored(&database)), &story);
        no_leftovers(&database, &story);
    }
    println!("{kills} kills, {flips} flips");
    assert!(flips > 0, "no model was ever changed");
}
