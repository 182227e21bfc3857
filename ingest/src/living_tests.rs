//! A library that people move, edit and clear out, against a model that only knows the files.
//!
//! It catches: a moved photo that is embedded again or loses the label that a person gave it, an old key that stays, a photo that is
//! deleted because its disk is not mounted, two photos of one content that become one image.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cairn::{AttributeChanges, Value};

use super::*;
use crate::photo::DecodeLimits;
use crate::{Gone, Survey};

/// Photos that were embedded.
#[derive(Default)]
struct Counted(AtomicUsize);

impl Encoder for Counted {
    fn info(&self) -> &ModelInfo {
        static INFO: std::sync::OnceLock<ModelInfo> = std::sync::OnceLock::new();
        INFO.get_or_init(|| info("counted"))
    }

    fn size_rule(&self) -> SizeRule {
        SizeRule::Squash { width: SIDE, height: SIDE }
    }

    fn encode(&self, photos: &[&Pixels]) -> Result<Vec<Vec<f32>>> {
        self.0.fetch_add(photos.len(), Ordering::Relaxed);
        Ok(photos.iter().map(|photo| photo.rgb().iter().map(|&x| f32::from(x) + 1.0).collect()).collect())
    }
}

/// A photo whose pixels are its number's.
fn photo(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    thumbnail(&Pixels::new(SIDE, SIDE, (0..DIMENSION).map(|_| byte()).collect()).unwrap()).unwrap()
}

struct Library {
    _home: tempfile::TempDir,
    root: PathBuf,
    db: Database,
    embedder: PhotoEmbedder,
    encoder: Arc<Counted>,
    /// Path below the root -> number of the photo.
    files: BTreeMap<String, u64>,
    labels: BTreeMap<String, String>,
}

impl Library {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("photos");
        std::fs::create_dir(&root).unwrap();
        let encoder = Arc::new(Counted::default());
        let embedder = PhotoEmbedder::new(Arc::clone(&encoder) as Arc<dyn Encoder>, Keep::None);
        let db = database(home.path(), "db", &embedder, Keep::None);
        let root = root.canonicalize().unwrap();
        Self { _home: home, root, db, embedder, encoder, files: BTreeMap::new(), labels: BTreeMap::new() }
    }

    fn write(&mut self, path: &str, number: u64) {
        let file = self.root.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, photo(number)).unwrap();
        self.files.insert(path.to_owned(), number);
    }

    fn rename(&mut self, from: &str, to: &str) {
        let file = self.root.join(to);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::rename(self.root.join(from), file).unwrap();
        let number = self.files.remove(from).unwrap();
        self.files.insert(to.to_owned(), number);
        self.labels.remove(to);
        if let Some(label) = self.labels.remove(from) {
            self.labels.insert(to.to_owned(), label);
        }
    }

    fn remove(&mut self, path: &str) {
        std::fs::remove_file(self.root.join(path)).unwrap();
        self.files.remove(path);
        self.labels.remove(path);
    }

    fn label(&mut self, path: &str, label: &str) {
        self.db.write(vec![Operation::label(path, label)]).unwrap();
        self.labels.insert(path.to_owned(), label.to_owned());
    }

    /// Ingests the folder, and deletes what is gone.
    fn ingest(&self) -> (Report, usize) {
        let items = list_folder(&self.root, None).unwrap().items;
        let roots = [self.root.clone()];
        let survey = Survey::of(&items, &DecodeLimits::default());
        let moved = survey.relocate(&self.db, &items, &roots).unwrap();
        let options = IngestOptions { survey, ..IngestOptions::default() };
        let mut report = ingest(&self.db, &self.embedder, &items, &options, &Stop::new()).unwrap();
        report.moved += moved;
        assert!(report.failed.is_empty(), "{:?}", report.failed);
        let gone = Gone::below(&self.db.snapshot(), &roots).unwrap();
        (report, Gone::prune(&self.db, &gone).unwrap())
    }

    /// Keys, paths, contents and labels are those of the files.
    fn must_agree(&self) {
        let snapshot = self.db.snapshot();
        let stored: Vec<_> = snapshot
            .images()
            .map(|record| {
                let record = record.unwrap();
                (record.key, record.source.unwrap(), record.content.unwrap(), record.label)
            })
            .collect();
        let files = self.files.iter().map(|(path, &number)| {
            let place = self.root.join(path).display().to_string();
            (path.clone(), place, *blake3::hash(&photo(number)).as_bytes(), self.labels.get(path).cloned())
        });
        assert_eq!(stored, files.collect::<Vec<_>>());
        assert_eq!(self.db.check(true).unwrap().problems, Vec::<String>::new());
    }

    fn embedded(&self) -> usize {
        self.encoder.0.swap(0, Ordering::Relaxed)
    }
}

#[test]
fn a_library_that_lives_is_followed() {
    // Enough for several transactions and windows; CAIRN_LONG tries a large one.
    let count: u64 = if std::env::var_os("CAIRN_LONG").is_some() { 20_000 } else { 600 };
    let mut library = Library::new();
    for number in 0..count {
        library.write(&format!("{}/{number:05}.jpg", ["a", "b", "c/d"][number as usize % 3]), number);
    }
    let (report, pruned) = library.ingest();
    assert_eq!((report.added, report.moved, pruned), (count as usize, 0, 0));
    library.embedded();
    let names: Vec<String> = library.files.keys().cloned().collect();
    for name in names.iter().step_by(7) {
        library.label(name, "by hand");
    }
    // Folder a becomes e, some photos of b are edited, some of c/d are deleted, new ones come.
    let (mut moved, mut edited, mut deleted) = (0, 0, 0);
    for (at, name) in names.iter().enumerate() {
        match (&name[..1], at % 5) {
            ("a", _) => {
                library.rename(name, &name.replacen('a', "e/f", 1));
                moved += 1;
            }
            ("b", 0) => {
                library.write(name, count + at as u64);
                edited += 1;
            }
            ("c", 1) => {
                library.remove(name);
                deleted += 1;
            }
            _ => {}
        }
    }
    (0..10).for_each(|new| library.write(&format!("new/{new}.jpg"), 3 * count + new));
    let (report, pruned) = library.ingest();
    // Which label an edited photo has is tried elsewhere; all others have the one that they had.
    let edited_ones: Vec<&String> = library.files.iter().filter(|file| *file.1 >= count).map(|file| file.0).collect();
    for name in edited_ones {
        library.labels.remove(name);
        let label = library.db.snapshot().record(name).unwrap().unwrap().label;
        library.labels.extend(label.map(|label| (name.clone(), label)));
    }
    assert_eq!((report.moved, report.added, pruned), (moved, 10, deleted));
    assert_eq!(library.embedded(), edited + 10, "a moved photo was embedded again");
    library.must_agree();
    let (report, pruned) = library.ingest();
    assert_eq!((report.unchanged, report.moved, pruned, library.embedded()), (library.files.len(), 0, 0, 0));
}

#[test]
fn copies_and_swapped_names_are_told_apart() {
    let mut library = Library::new();
    for (path, number) in [("a.jpg", 1), ("b.jpg", 1), ("c.jpg", 2), ("d.jpg", 3)] {
        library.write(path, number);
    }
    library.ingest();
    library.label("b.jpg", "twin");
    library.embedded();
    // Of two equal photos one moves, and one stays.
    library.rename("b.jpg", "z.jpg");
    // Two photos exchange their names: each keeps what is known of it.
    library.label("c.jpg", "c");
    library.rename("c.jpg", "t.jpg");
    library.rename("d.jpg", "c.jpg");
    library.rename("t.jpg", "d.jpg");
    let (report, pruned) = library.ingest();
    assert_eq!((report.moved, report.replaced, report.added, pruned, library.embedded()), (3, 0, 0, 0, 0));
    library.must_agree();
    // Photos are renumbered, the last one over another; one goes away, and a new one comes under its name.
    for (path, number) in [("1.jpg", 11), ("2.jpg", 12), ("3.jpg", 13), ("4.jpg", 14), ("n.jpg", 15)] {
        library.write(path, number);
    }
    library.ingest();
    library.embedded();
    for path in ["1.jpg", "2.jpg", "3.jpg", "4.jpg", "n.jpg"] {
        library.label(path, path);
    }
    for (from, to) in [("3.jpg", "4.jpg"), ("2.jpg", "3.jpg"), ("1.jpg", "2.jpg"), ("n.jpg", "m.jpg")] {
        library.rename(from, to);
    }
    library.write("n.jpg", 16);
    let (report, pruned) = library.ingest();
    assert_eq!((report.moved, report.replaced, report.added, pruned, library.embedded()), (4, 0, 1, 0, 1));
    library.must_agree();
    // Three photos in a circle, and a name that the program would use is taken.
    library.write("2.jpg.moving", 17);
    library.ingest();
    library.embedded();
    for (from, to) in [("2.jpg", "t"), ("3.jpg", "2.jpg"), ("4.jpg", "3.jpg"), ("t", "4.jpg")] {
        library.rename(from, to);
    }
    let (report, _) = library.ingest();
    assert_eq!((report.moved, report.replaced, library.embedded()), (3, 0, 0));
    library.must_agree();
    // One photo is gone, and two copies of it come: one of them is that photo.
    library.remove("a.jpg");
    library.write("x.jpg", 1);
    library.write("y.jpg", 1);
    let (report, pruned) = library.ingest();
    assert_eq!((report.moved, report.added, pruned), (1, 1, 0));
    library.must_agree();
}

#[test]
fn photos_of_a_disk_that_is_not_mounted_stay() {
    let mut library = Library::new();
    for number in 0..6 {
        library.write(&format!("{}/{number}.jpg", ["disk/deep", "here"][number as usize % 2]), number);
    }
    library.ingest();
    let (disk, away) = (library.root.join("disk"), library.root.join("../away"));
    // Its mount point is empty.
    std::fs::rename(&disk, &away).unwrap();
    std::fs::create_dir(&disk).unwrap();
    assert_eq!(library.ingest().1, 0);
    // The whole folder is empty: there is nothing to ingest, and nothing is gone.
    let roots = [library.root.clone()];
    std::fs::rename(library.root.join("here"), library.root.join("../here")).unwrap();
    std::fs::remove_dir(&disk).unwrap();
    assert!(Gone::below(&library.db.snapshot(), &roots).unwrap().is_empty());
    std::fs::rename(library.root.join("../here"), library.root.join("here")).unwrap();
    std::fs::rename(&away, &disk).unwrap();
    assert_eq!(library.ingest().0.unchanged, 6);
    library.must_agree();
    // A folder that somebody deleted beside others is gone.
    std::fs::remove_dir_all(&disk).unwrap();
    library.files.retain(|path, _| !path.starts_with("disk"));
    assert_eq!(library.ingest().1, 3);
    library.must_agree();
}

#[test]
fn a_folder_that_was_moved_as_a_whole_keeps_its_keys_and_gets_its_paths() {
    let mut library = Library::new();
    library.write("a.jpg", 1);
    library.write("b.jpg", 2);
    library.ingest();
    library.embedded();
    let elsewhere = library.root.with_file_name("elsewhere");
    std::fs::rename(&library.root, &elsewhere).unwrap();
    library.root = elsewhere.canonicalize().unwrap();
    let (report, pruned) = library.ingest();
    assert_eq!((report.moved, report.unchanged, pruned, library.embedded()), (2, 2, 0, 0));
    library.must_agree();
}

#[test]
fn attributes_of_a_list_follow_it_and_nothing_is_embedded_again() {
    let mut library = Library::new();
    library.write("a.jpg", 1);
    let path = library.root.join("a.jpg");
    let item = |attributes: AttributeChanges| Item { given: true, attributes, ..Item::found("a", &path) };
    let number = |number| Some(Value::Number(number));
    let stars = "stars".to_owned();
    let run = |item: Item| {
        let report = run(&library.db, &library.embedder, &[item]);
        let attributes = library.db.snapshot().record("a").unwrap().unwrap().attributes;
        ((report.added, report.unchanged, report.described), attributes.get("stars").cloned())
    };
    assert_eq!(run(item(vec![(stars.clone(), number(4.0))])), ((1, 0, 0), number(4.0)));
    assert_eq!(run(item(vec![(stars.clone(), number(4.0))])), ((0, 1, 0), number(4.0)));
    assert_eq!(run(item(vec![(stars.clone(), number(5.0))])), ((0, 1, 1), number(5.0)));
    // A list without the column says nothing of it.
    assert_eq!(run(item(Vec::new())), ((0, 1, 0), number(5.0)));
    assert_eq!(run(item(vec![(stars, None)])), ((0, 1, 1), None));
    assert_eq!(library.embedded(), 1);
}
