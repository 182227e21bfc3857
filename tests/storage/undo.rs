//! UNDO CLEAN of images that several cleanings changed: one undo after the other restores each label, however many there were,
//! and never changes another image under the same key.
//!
//! It catches: an undo that restores the image for the previous cleaning and not for those before, ids that count as the image's
//! because another image of the same cleaning got one, versions that are equal by chance and count as the same image.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use cairn::language::{Action, CleanPlan, CleanRule, Cut};
use cairn::{Database, Operation, Options};
use cairndb_storage_tests::{Random, put};

const DIMENSION: usize = 8;
const NEIGHBOURS: usize = 8;

/// A direction near that of a scene.
fn near(scene: usize, random: &mut Random) -> Vec<f32> {
    let mut vector: Vec<f32> = (0..DIMENSION).map(|_| 0.1 * random.signed()).collect();
    vector[scene] += 1.0;
    vector
}

/// Three scenes whose images have the scene's label; in the first two of them one image, `odd0` and `odd1`, has another one.
fn database(folder: &Path) -> Database {
    let database = Database::create(folder.join("db"), Options::for_vectors(DIMENSION)).unwrap();
    let mut random = Random::new(9);
    let mut operations = Vec::new();
    for scene in 0..3 {
        for view in 0..NEIGHBOURS {
            operations.push(put(
                format!("s{scene}v{view}"),
                Some(&format!("scene {scene}")),
                &near(scene, &mut random),
            ));
        }
    }
    for scene in 0..2 {
        operations.push(put(format!("odd{scene}"), Some("scene 2"), &near(scene, &mut random)));
    }
    database.write(operations).unwrap();
    database
}

fn label(database: &Database, key: &str) -> Option<String> {
    database.snapshot().record(key).unwrap().unwrap().label
}

fn give(database: &Database, key: &str, label: &str) {
    database.write(vec![Operation::Label { key: key.into(), label: label.into() }]).unwrap();
}

/// All others of a scene get another label, so that its odd image is the most suspect one.
fn rename(database: &Database, scene: usize, label: &str) {
    (0..NEIGHBOURS).for_each(|view| give(database, &format!("s{scene}v{view}"), label));
}

/// Cleans the most suspect images, which are these.
fn clean(database: &Database, action: Action, keys: &[&str]) {
    let rule = CleanRule::Suspects(Cut::Top(keys.len()));
    let cleaned = database.clean(&CleanPlan::default().rule(rule).action(action), None, None).unwrap();
    let mut judged: Vec<&str> = cleaned.judged.iter().map(|judged| judged.key.as_str()).collect();
    judged.sort_unstable();
    assert_eq!(judged, keys);
}

#[test]
fn cleanings_of_one_image_are_undone_one_after_the_other() {
    for last in [Action::RelabelEmpty, Action::Unlabel] {
        for others in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let database = database(folder.path());
            clean(&database, Action::RelabelEmpty, &["odd0", "odd1"]);
            for turn in 1..4 {
                rename(&database, 0, &format!("name {turn}"));
                clean(&database, if turn == 3 { last } else { Action::RelabelEmpty }, &["odd0"]);
                // What was cleaned and undone in between is none of the chain.
                if others && turn == 1 {
                    database.undo_cleaning().unwrap();
                    clean(&database, Action::RelabelEmpty, &["odd0"]);
                }
            }
            let now = (last == Action::RelabelEmpty).then_some("name 3");
            assert_eq!(label(&database, "odd0").as_deref(), now);
            assert_eq!(label(&database, "odd1").as_deref(), Some("scene 1"));
            for before in ["name 2", "name 1", "scene 0", "scene 2"] {
                assert_eq!(database.undo_cleaning().unwrap().left_alone, 0, "{before}, {last:?}");
                assert_eq!(label(&database, "odd0").as_deref(), Some(before), "{last:?}");
            }
            assert_eq!(label(&database, "odd1").as_deref(), Some("scene 2"));
            assert_eq!(database.check(true).unwrap().problems, Vec::<String>::new());
        }
    }
}

/// Puts another image under a key; its version and label are those that the cleaning left.
fn replace(database: &Database, key: &str, scene: usize, label: &str) {
    let before = database.snapshot().record(key).unwrap().unwrap();
    database.write(vec![Operation::Delete { key: key.into() }]).unwrap();
    database.write(vec![put(key, Some("put anew"), &near(scene, &mut Random::new(10)))]).unwrap();
    give(database, key, label);
    let now = database.snapshot().record(key).unwrap().unwrap();
    assert_eq!((now.version, now.label), (before.version, before.label));
}

#[test]
fn an_image_that_is_handed_back_says_nothing_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path());
    clean(&database, Action::RelabelEmpty, &["odd0", "odd1"]);
    replace(&database, "odd1", 1, "scene 1");
    rename(&database, 0, "name 1");
    clean(&database, Action::Unlabel, &["odd0"]);
    assert_eq!(database.undo_cleaning().unwrap().left_alone, 0);
    let undone = database.undo_cleaning().unwrap();
    assert_eq!((undone.receipt.images_changed, undone.left_alone), (1, 1));
    assert_eq!(label(&database, "odd0").as_deref(), Some("scene 2"));
    assert_eq!(label(&database, "odd1").as_deref(), Some("scene 1"), "it is another image");
}

#[test]
fn another_image_is_not_handed_back() {
    for action in [Action::RelabelEmpty, Action::Unlabel] {
        let folder = tempfile::tempdir().unwrap();
        let database = database(folder.path());
        clean(&database, Action::RelabelEmpty, &["odd0", "odd1"]);
        replace(&database, "odd0", 0, "scene 0");
        rename(&database, 0, "name 1");
        clean(&database, action, &["odd0"]);
        assert_eq!(database.undo_cleaning().unwrap().left_alone, 0);
        assert_eq!(label(&database, "odd0").as_deref(), Some("scene 0"));
        assert_eq!(database.undo_cleaning().unwrap().left_alone, 1, "{action:?}");
        assert_eq!(label(&database, "odd0").as_deref(), Some("scene 0"), "{action:?}: it is another image");
    }
}
