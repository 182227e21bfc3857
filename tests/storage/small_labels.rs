//! CLEAN where labels have one or two images: evidence cannot tell, and RELABEL leaves each label an image.
//!
//! It catches: a label's only image that is relabelled on the evidence of its neighbours, labels that RELABEL exchanges or leaves without an
//! image, whatever happens while it looks, and a RELABEL EMPTY that does as RELABEL does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use cairn::clean::Cleaning;
use cairn::language::{Action, CleanPlan, CleanRule, Cut, DEFAULT_EVIDENCE};
use cairn::{Database, Operation, Options, Outcome, Ports, Progress, Put, Watch};
use cairndb_storage_tests::Random;

/// Deletes an image while a cleaning looks.
struct Deleting<'d>(&'d Database, String, AtomicBool);

impl Watch for Deleting<'_> {
    fn progress(&self, _: Progress<'_>) -> ControlFlow<()> {
        if !self.2.swap(true, Ordering::Relaxed) {
            self.0.write(vec![Operation::Delete { key: self.1.clone() }]).unwrap();
        }
        ControlFlow::Continue(())
    }
}

/// Four scenes of eight images, two of scene 0 with scene 1's label, and images that are the only ones of their label: two whose labels the scenes' neighbours contradict unanimously, and two
/// labels of one image each that lie side by side. Label "pair" has two images, which lie in scene 3.
fn with_small_labels(folder: &Path) -> Database {
    let database = Database::create(folder, Options::for_vectors(8)).unwrap();
    let mut random = Random::new(8);
    let mut put = |key: &str, label: &str, axis: usize| -> Operation {
        let mut vector: Vec<f32> = (0..8).map(|_| 0.05 * random.signed()).collect();
        vector[axis] += 1.0;
        Put::new(key, vector).label(label).into()
    };
    let mut operations = Vec::new();
    for scene in 0..4 {
        for view in 0..8 {
            let label = if scene == 0 && view >= 6 { 1 } else { scene };
            operations.push(put(&format!("s{scene}v{view}"), &format!("scene {label}"), scene));
        }
    }
    let small = [
        ("only2", "only of 2", 2),
        ("only3", "only of 3", 3),
        ("left", "left", 6),
        ("right", "right", 6),
        ("pair1", "pair", 3),
        ("pair2", "pair", 3),
    ];
    operations.extend(small.into_iter().map(|(key, label, axis)| put(key, label, axis)));
    database.write(operations).unwrap();
    database
}

fn label(database: &Database, key: &str) -> Option<String> {
    database.apply_pending().unwrap().record(key).unwrap().unwrap().label
}

fn label_counts(database: &Database) -> Vec<(String, usize)> {
    database.apply_pending().unwrap().labels().unwrap()
}

#[test]
fn the_only_image_of_a_label_is_never_relabelled_by_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let database = with_small_labels(&folder.path().join("db"));
    let before = label_counts(&database);
    let plan = CleanPlan::default().rule(CleanRule::Suspects(Cut::Evidence(DEFAULT_EVIDENCE))).action(Action::Relabel);
    let cleaning = database.clean(&plan, None, None).unwrap();
    let keys: Vec<&str> = cleaning.judged.iter().map(|judged| judged.key.as_str()).collect();
    assert!(keys.contains(&"s0v6") && keys.contains(&"s0v7"), "{cleaning:?}");
    assert!(keys.iter().all(|key| !key.starts_with("only") && *key != "left" && *key != "right"), "{keys:?}");
    assert_eq!(label_counts(&database).len(), before.len());
}

#[test]
fn relabel_leaves_every_label_an_image_unless_it_is_asked_to_empty_labels() {
    let folder = tempfile::tempdir().unwrap();
    let database = with_small_labels(&folder.path().join("db"));
    let before = label_counts(&database);
    let all = |action, dry_run| {
        let rule = CleanRule::Suspects(Cut::Top(1000));
        database.clean(&CleanPlan::default().rule(rule).action(action).dry_run(dry_run), None, None).unwrap()
    };
    let left = |cleaning: &Cleaning| {
        let left = cleaning.judged.iter().filter(|judged| judged.would_empty);
        left.map(|judged| judged.key.clone()).collect::<BTreeSet<_>>()
    };
    let dry = all(Action::Relabel, true);
    assert_eq!((dry.number, dry.would_empty, dry.found), (None, left(&dry).len(), dry.judged.len() - dry.would_empty));
    // However weak the evidence: of each label one image stays that it has, and no two labels are exchanged.
    let cleaning = all(Action::Relabel, false);
    assert_eq!((cleaning.found, left(&cleaning)), (dry.found, left(&dry)));
    assert!(["only2", "only3", "left", "right"].iter().all(|key| left(&cleaning).contains(*key)), "{dry:?}");
    assert_eq!(cleaning.receipt.unwrap().images_changed, cleaning.found);
    assert_eq!(label(&database, "left").as_deref(), Some("left"));
    let now = label_counts(&database);
    assert!(now.iter().map(|(label, _)| label).eq(before.iter().map(|(label, _)| label)), "{now:?}");
    assert!(database.check(true).unwrap().problems.is_empty());
    database.undo_cleaning().unwrap();
    assert_eq!(label_counts(&database), before);

    let statement = "EXPLAIN ANALYZE CLEAN RULE suspects top=1000 RELABEL EMPTY";
    let outcome = database.query(statement, &Default::default(), &Ports::default()).unwrap().remove(0);
    let Outcome::Explained(emptied) = outcome else { panic!("{outcome:?}") };
    assert!(emptied.contains("RELABEL EMPTY") && !emptied.contains("last images of their labels"), "{emptied}");
    assert!(label_counts(&database).len() < before.len());
    assert_eq!(database.cleanings().unwrap()[1].what, "RULE suspects top=1000 RELABEL EMPTY");
    database.undo_cleaning().unwrap();
    assert_eq!(label_counts(&database), before);
}

#[test]
fn what_leaves_a_label_while_a_cleaning_looks_counts_for_the_last_image() {
    let folder = tempfile::tempdir().unwrap();
    let database = with_small_labels(&folder.path().join("db"));
    // The one of the pair that the cleaning would leave is deleted meanwhile.
    let plan = CleanPlan::default().rule(CleanRule::Suspects(Cut::Top(1000))).action(Action::Relabel);
    let dry = database.clean(&plan.clone().dry_run(true), None, None).unwrap();
    let of_pair: Vec<_> = dry.judged.iter().filter(|judged| judged.label == "pair").collect();
    assert_eq!(of_pair.iter().filter(|judged| judged.would_empty).count(), 1, "{of_pair:?}");
    let (first, last) = (of_pair[0].key.clone(), of_pair[1].key.clone());
    let watch = Deleting(&database, last.clone(), AtomicBool::new(false));
    let cleaning = database.clean(&plan, None, Some(&watch)).unwrap();
    let judged = cleaning.judged.iter().find(|judged| judged.key == first).unwrap();
    assert!(judged.would_empty && cleaning.changed_meanwhile == 1, "{cleaning:?}");
    assert_eq!(label(&database, &first).as_deref(), Some("pair"));
}
