//! R27: random histories of repeated and changing lists, LABEL, UNLABEL, PUT, DELETE, cleanings and their undo, and the undo of
//! label changes, against a model without versions and ids: the present label is the last decision of a person, or that of the
//! list if it changed since it was last read.
//!
//! CI=true tries 200 histories, CAIRN_LONG=1 10,000, otherwise 40. It catches: a list that reverts people's or cleanings'
//! decisions, or whose change is not applied; a list's label forgotten by a write, or by a change of role; a person's decision
//! that does not count because the image already has that label; an undo that reverts too much, or loses who set a label;
//! deferred writes that count as one transaction.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use cairn::language::{Action, CleanPlan, CleanRule, Cut};
use cairn::lists::SetBy;
use cairn::{Database, Deferral, ErrorKind, Operation, Put};
use cairndb_storage_tests::{Random, create, many_in_ci, sound, unit};

const KEYS: usize = 10;
const LABELS: usize = 3;
const DIMENSION: usize = 3;
const STEPS: usize = 24;

type Label = Option<String>;

/// Who set a label, and when: no two decisions share a number.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Decision {
    by: SetBy,
    number: u64,
}

#[derive(Debug, Clone, PartialEq)]
struct Image {
    label: Label,
    decision: Decision,
    /// What the list said; `None`: it never named the image.
    listed: Option<Label>,
    /// The photo that the list named.
    listed_photo: Option<usize>,
    photo: usize,
    /// Another one with all that is said of the image and every photo that comes; the undo of a cleaning gives back the one before.
    version: u64,
}

/// The label of an image before somebody changed it, and who had set that.
type Was = (Label, Decision);

struct Cleaned {
    undone: bool,
    /// Key -> what it was and its version then, and the version that the cleaning left.
    images: BTreeMap<String, (Was, u64, u64)>,
}

struct Changed {
    reading: Option<u64>,
    /// Key -> what it was, and the decision that stands if nobody spoke since.
    images: BTreeMap<String, (Was, Decision)>,
}

#[derive(Default)]
struct World {
    images: BTreeMap<String, Image>,
    cleanings: Vec<Cleaned>,
    changes: Vec<Changed>,
    decisions: u64,
}

fn key(n: usize) -> String {
    format!("k{n}")
}

fn text(n: usize) -> String {
    format!("label {n}")
}

/// Photos 3n and 3n + 1 show what label n is of, photo 3n + 2 something between.
fn vector(photo: usize) -> Vec<f32> {
    let mut vector = vec![0.05 * (photo % 3) as f32; DIMENSION];
    vector[photo / 3 % DIMENSION] += 1.0;
    vector[(photo / 3 + 1) % DIMENSION] += if photo % 3 == 2 { 0.8 } else { 0.01 * photo as f32 };
    vector
}

fn image(key: &str, photo: usize, label: &Label) -> Put {
    let put = Put::new(key, vector(photo)).content([photo as u8; 32]);
    match label {
        Some(label) => put.label(label),
        None => put,
    }
}

impl World {
    fn decide(&mut self, by: SetBy) -> Decision {
        self.decisions += 1;
        Decision { by, number: self.decisions }
    }

    /// One transaction of people.
    fn say(&mut self, random: &mut Random) -> Vec<Operation> {
        let (mut operations, mut before) = (Vec::new(), BTreeMap::new());
        for _ in 0..1 + random.below(3) {
            let key = key(random.below(KEYS));
            let label = text(random.below(LABELS));
            let now = self.images.get(&key).cloned();
            let choice = random.below(9);
            let (operation, after) = match (now.clone(), choice) {
                (None, _) | (_, 0..=2) => {
                    let label = (random.below(3) > 0).then_some(label);
                    let photo = match &now {
                        Some(now) if random.below(2) == 0 => now.photo,
                        _ => random.below(9),
                    };
                    let silent = now.as_ref().is_none_or(|now| now.label.is_none() && now.decision.by == SetBy::Nobody);
                    let decision =
                        self.decide(if label.is_none() && silent { SetBy::Nobody } else { SetBy::Statement });
                    let version = decision.number;
                    let (listed, listed_photo) =
                        now.as_ref().map_or((None, None), |now| (now.listed.clone(), now.listed_photo));
                    let after = Image { label: label.clone(), decision, listed, listed_photo, photo, version };
                    (Operation::Put(image(&key, photo, &label)), Some(after))
                }
                (Some(_), 3) => (Operation::Delete { key: key.clone() }, None),
                (Some(now), 4..=6) => {
                    let decision = self.decide(SetBy::Statement);
                    let after = Image { label: Some(label.clone()), decision, version: decision.number, ..now };
                    (Operation::Label { key: key.clone(), label }, Some(after))
                }
                (Some(now), _) => {
                    let decision = self.decide(SetBy::Statement);
                    let after = Image { label: None, decision, version: decision.number, ..now };
                    (Operation::Unlabel { key: key.clone() }, Some(after))
                }
            };
            let is_same = now.as_ref().zip(after.as_ref()).is_some_and(|(now, after)| now.photo == after.photo);
            let was = now.map(|now| (now.label, now.decision));
            let first = before.entry(key.clone()).or_insert(was.filter(|_| is_same));
            if !is_same {
                *first = None;
            }
            match after {
                Some(after) => drop(self.images.insert(key, after)),
                None => drop(self.images.remove(&key)),
            }
            operations.push(operation);
        }
        self.note(None, before);
        operations
    }

    fn note(&mut self, reading: Option<u64>, before: BTreeMap<String, Option<Was>>) {
        let changed = |(key, was): (String, Option<Was>)| {
            let (was, now) = (was?, self.images.get(&key)?);
            (was.0 != now.label).then_some((key, (was, now.decision)))
        };
        let images: BTreeMap<_, _> = before.into_iter().filter_map(changed).collect();
        if !images.is_empty() {
            self.changes.push(Changed { reading, images });
        }
    }

    /// One transaction of a list: what it says of these keys.
    fn hear(&mut self, reading: cairn::lists::Reading, rows: &[(String, (usize, Label))]) -> Vec<Operation> {
        let (mut operations, mut before) = (Vec::new(), BTreeMap::new());
        for (key, (photo, says)) in rows {
            let decision = self.decide(SetBy::List);
            let version = decision.number;
            let new = Image {
                label: says.clone(),
                decision,
                listed: Some(says.clone()),
                listed_photo: Some(*photo),
                photo: *photo,
                version,
            };
            let now = self.images.get(key).cloned();
            let is_known = now.as_ref().is_some_and(|now| now.photo == *photo || now.listed_photo == Some(*photo));
            let after = match &now {
                None => new,
                Some(now) => {
                    let changed = match &now.listed {
                        Some(listed) => listed != says,
                        None => matches!(now.decision.by, SetBy::Nobody | SetBy::List),
                    };
                    let takes = now.label != *says && (changed || reading.overrules);
                    Image {
                        label: if takes { says.clone() } else { now.label.clone() },
                        decision: if takes { decision } else { now.decision },
                        photo: if is_known { now.photo } else { *photo },
                        version: if is_known && !takes { now.version } else { version },
                        ..new
                    }
                }
            };
            let is_same = now.as_ref().is_some_and(|now| now.photo == after.photo);
            before.insert(key.clone(), now.map(|now| (now.label, now.decision)).filter(|_| is_same));
            self.images.insert(key.clone(), after);
            let mut listed = image(key, *photo, says).from_list(reading);
            if is_known {
                listed.photo = None;
            }
            operations.push(listed.into());
        }
        self.note(Some(reading.number), before);
        operations
    }

    fn take_back(&mut self) -> Option<usize> {
        let reading = self.changes.last()?.reading;
        let mut given_back = 0;
        loop {
            for (key, (was, stands)) in self.changes.pop()?.images {
                let image = self.images.get_mut(&key).filter(|image| image.decision == stands);
                self.decisions += 1;
                if let Some(image) = image {
                    (image.label, image.decision) = was;
                    image.version = self.decisions;
                    given_back += 1;
                }
            }
            if reading.is_none() || self.changes.last().is_none_or(|last| last.reading != reading) {
                return Some(given_back);
            }
        }
    }

    fn undo_cleaning(&mut self) -> Option<usize> {
        let cleaned = self.cleanings.iter_mut().rfind(|cleaned| !cleaned.undone)?;
        cleaned.undone = true;
        let mut given_back = 0;
        for (key, (was, version, left)) in &cleaned.images {
            if let Some(image) = self.images.get_mut(key).filter(|image| image.version == *left) {
                (image.label, image.decision) = was.clone();
                image.version = *version;
                given_back += 1;
            }
        }
        Some(given_back)
    }

    fn clean(&mut self, database: &Database, number: u64, changes_labels: bool) {
        let mut images = BTreeMap::new();
        for cleaned in database.cleaned(number).unwrap().into_iter().filter(|_| changes_labels) {
            let decision = self.decide(SetBy::Cleaning(number));
            let image = self.images.get_mut(&cleaned.key).unwrap();
            assert_eq!(image.label.as_ref(), Some(&cleaned.label));
            let was = (image.label.clone(), image.decision);
            let version = std::mem::replace(&mut image.version, decision.number);
            (image.label, image.decision) = (cleaned.becomes, decision);
            images.insert(cleaned.key, (was, version, decision.number));
        }
        self.cleanings.push(Cleaned { undone: false, images });
    }

    /// The database is what the model says.
    fn holds(&self, database: &Database, story: &str) {
        let snapshot = database.apply_pending().unwrap();
        assert_eq!(snapshot.keys(None).unwrap(), self.images.keys().cloned().collect::<Vec<_>>(), "{story}");
        for (key, image) in &self.images {
            let record = snapshot.record(key).unwrap().unwrap();
            let listed = record.listed.map(|listed| listed.label);
            assert_eq!(
                (&record.label, record.set_by, &listed, record.content),
                (&image.label, image.decision.by, &image.listed, Some([image.photo as u8; 32])),
                "{story}: '{key}'"
            );
        }
    }
}

/// A list, and how it changes.
struct List(BTreeMap<String, (usize, Label)>);

impl List {
    fn change(&mut self, random: &mut Random) {
        for _ in 0..random.below(4) {
            let row = (random.below(9), (random.below(4) > 0).then(|| text(random.below(LABELS))));
            match random.below(4) {
                0 => drop(self.0.remove(&key(random.below(KEYS)))),
                1 => drop(self.0.insert(key(random.below(KEYS)), row)),
                // Of a row that stays only the label changes.
                _ => {
                    if let Some(old) = self.0.get_mut(&key(random.below(KEYS))) {
                        old.1 = row.1;
                    }
                }
            }
        }
    }
}

/// A change larger than the record is not undone in part.
#[test]
fn what_is_kept_of_changes_is_bounded() {
    const MORE: usize = 1001;
    let folder = tempfile::tempdir().unwrap();
    let database = create(&folder.path().join("db"), DIMENSION);
    let listed = |reading, label: &str, at: usize| {
        let put = Put::new(format!("k{at}"), [1.0, at as f32, 0.0]).content([0; 32]).label(label);
        Operation::from(put.from_list(reading))
    };
    let reading = database.snapshot().reading();
    database.write((0..MORE).map(|at| listed(reading, "old", at))).unwrap();
    assert_eq!(database.undo_labels().unwrap_err().kind(), ErrorKind::NotFound, "new images changed no label");
    let reading = database.snapshot().reading();
    (0..MORE).for_each(|at| _ = database.write(vec![listed(reading, "new", at)]).unwrap());
    let label = |at: usize| database.snapshot().record(&format!("k{at}")).unwrap().unwrap().label;
    database.write(vec![Operation::Unlabel { key: "k7".into() }]).unwrap();
    assert_eq!(database.undo_labels().unwrap().images, [("k7".to_owned(), Some("new".to_owned()))]);
    let error = database.undo_labels().unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid && error.message().contains("too large"), "{error}");
    assert_eq!(label(MORE - 1).as_deref(), Some("new"));
    // The next reading is small, and separate.
    let reading = database.snapshot().reading();
    database.write((0..3).map(|at| listed(reading, "third", at))).unwrap();
    assert_eq!(database.undo_labels().unwrap().images.len(), 3);
    assert_eq!(label(0).as_deref(), Some("new"));
}

fn history(seed: u64, folder: &Path) {
    let mut random = Random::new(seed);
    let mut database = create(folder, DIMENSION);
    let (mut world, mut list) = (World::default(), List(BTreeMap::new()));
    for n in 0..KEYS {
        let label = (random.below(4) > 0).then(|| text(random.below(LABELS)));
        list.0.insert(key(n), (random.below(9), label));
    }
    for step in 0..STEPS {
        let choice = if step == 0 { 0 } else { random.below(20) };
        let story = format!("seed {seed}, step {step} ({choice})");
        match choice {
            0..=5 => {
                list.change(&mut random);
                let reading = database.apply_pending().unwrap().reading();
                let reading = reading.overruling(random.below(8) == 0);
                let rows: Vec<_> = list.0.clone().into_iter().collect();
                for rows in rows.chunks(1 + random.below(KEYS)) {
                    database.write(world.hear(reading, rows)).unwrap();
                }
            }
            6..=11 => {
                // Some of them wait, and are carried out by one batch.
                let waits = random.below(3) == 0;
                database.set_deferral(if waits { Deferral::Always } else { Deferral::Never });
                for _ in 0..if waits { 3 } else { 1 } {
                    database.write(world.say(&mut random)).unwrap();
                }
                database.set_deferral(Deferral::Automatic);
            }
            12..=14 => {
                let action = [Action::Relabel, Action::Unlabel, Action::KeepVoters][random.below(3)];
                let rule = CleanRule::Suspects(Cut::Top(1 + random.below(3)));
                match database.clean(&CleanPlan::default().rule(rule).action(action), None, None) {
                    Ok(cleaning) => {
                        if let Some(number) = cleaning.number {
                            world.clean(&database, number, action != Action::KeepVoters);
                        }
                    }
                    // There are too few labels, or all are equal.
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Invalid, "{story}: {error}"),
                }
            }
            15..=16 => match database.undo_cleaning() {
                Ok(undone) if undone.cleaning.keep_voters => _ = world.undo_cleaning(),
                Ok(undone) => assert_eq!(Some(undone.receipt.images_changed), world.undo_cleaning(), "{story}"),
                Err(_) => assert_eq!(world.undo_cleaning(), None, "{story}"),
            },
            17..=18 => match database.undo_labels() {
                Ok(undone) => assert_eq!(Some(undone.images.len()), world.take_back(), "{story}: {undone:?}"),
                Err(_) => assert_eq!(world.take_back(), None, "{story}"),
            },
            _ => {
                drop(database);
                database = Database::open(folder).unwrap();
            }
        }
        world.holds(&database, &story);
    }
    let model = world.images.into_iter().map(|(key, image)| (key, (image.label, unit(&vector(image.photo)))));
    sound(&database, &model.collect(), &format!("seed {seed}"));
}

#[test]
fn the_label_in_force_is_the_last_decision_of_people_then_of_the_list_where_it_changed() {
    let folder = tempfile::tempdir().unwrap();
    let histories = many_in_ci(40, 200, 10_000) as u64;
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let folder = folder.path();
            scope.spawn(move || {
                for seed in (thread..histories).step_by(threads as usize) {
                    let path = folder.join(seed.to_string());
                    history(seed, &path);
                    std::fs::remove_dir_all(path).unwrap();
                }
            });
        }
    });
}
