//! What a cleaning compares if photos were moved or edited since they were ingested: it counts and reports thumbnails, and asks
//! for permission if they are more than a few.
//!
//! It catches: a thumbnail that silently replaces a photo, in the outcome, an image's row or EXPLAIN ANALYZE; a refusal of a few,
//! of a dry run or after the permission; a file that was read and is not reported.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use cairn::clean::{Cleaning, Sight};
use cairn::embed::{LocalFeatureSet, LocalFeatures};
use cairn::language::CleanPlan;
use cairn::{Database, Error, ErrorKind, Keep, Options, Outcome, Photo, Ports, Put};
use cairndb_storage_tests::scenes::Scenes;

const VIEWS: u8 = 20;

/// A file is the photo only if its second byte is the content's first.
#[derive(Default)]
struct Exact(Scenes);

impl LocalFeatures for Exact {
    fn fingerprint(&self) -> String {
        self.0.fingerprint()
    }

    fn max_distance(&self) -> f32 {
        self.0.max_distance()
    }

    fn extract(&self, photo: &Photo, content: Option<&[u8; 32]>) -> cairn::Result<LocalFeatureSet> {
        if let (Photo::File(path), Some(content)) = (photo, content)
            && std::fs::read(path).unwrap()[1] != content[0]
        {
            return Err(Error::invalid("it is another photo now"));
        }
        self.0.extract(photo, content)
    }
}

fn ports() -> Ports {
    let load = || Ok(Arc::new(Exact::default()) as Arc<dyn LocalFeatures>);
    Ports::default().features(Arc::new(load))
}

/// Views of one scene as files and as what is kept of them, which shows the same.
fn database(folder: &Path, keep: Keep) -> Database {
    let photos = folder.join("photos");
    std::fs::create_dir_all(&photos).unwrap();
    let database = Database::create(folder.join(keep.word()), Options::for_vectors(2).keep(keep)).unwrap();
    let put = |view: u8| {
        let path = photos.join(view.to_string());
        std::fs::write(&path, [0, view]).unwrap();
        let put = Put::new(format!("v{view:02}"), [1.0, 0.01 * f32::from(view)]).label("scene");
        put.source(path.display().to_string()).content([view; 32]).photo([0, view]).into()
    };
    database.write((0..VIEWS).map(put)).unwrap();
    database
}

fn cleaned(database: &Database, statement: &str) -> cairn::Result<Cleaning> {
    match database.query(statement, &Default::default(), &ports())?.pop() {
        Some(Outcome::Cleaned(cleaning)) => Ok(*cleaning),
        other => panic!("{other:?}"),
    }
}

/// By files, kept originals and thumbnails.
fn sights(cleaning: &Cleaning) -> [usize; 3] {
    let sights = cleaning.sights.as_ref().unwrap();
    let by = |sight| cleaning.judged.iter().filter(|judged| judged.seen == Some(sight)).count();
    let counted = [sights.files, sights.kept, sights.thumbnails];
    assert_eq!(counted, [Sight::File, Sight::Kept, Sight::Thumbnail].map(by));
    counted
}

#[test]
fn what_is_compared_instead_of_photos_is_said_and_asked_for_above_a_share() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path(), Keep::Thumb);
    let photos = folder.path().join("photos");
    let away = |view: usize| std::fs::remove_file(photos.join(view.to_string())).unwrap();
    away(0);
    std::fs::write(photos.join("1"), [0, 200]).unwrap();
    let few = cleaned(&database, "CLEAN DRY RUN").unwrap();
    assert_eq!(sights(&few), [18, 0, 2], "one was moved, one was edited");
    let read = few.sights.as_ref().unwrap().read.clone().unwrap();
    assert_eq!(read, format!("19: below {}", photos.display()), "the edited one was opened, too");
    let explained = database.query("EXPLAIN ANALYZE CLEAN DRY RUN", &Default::default(), &ports()).unwrap();
    let [Outcome::Explained(text)] = explained.as_slice() else { panic!("{explained:?}") };
    assert!(text.contains("compared by photo files 18, kept originals 0, thumbnails 2"), "{text}");
    assert!(text.contains("photo files read 19: below"), "{text}");
    let kept = cleaned(&database, "CLEAN").unwrap();
    assert_eq!(sights(&kept), [18, 0, 2], "a tenth needs no permission");

    // Features of photos that were seen stay; those of others are looked for again.
    let database = self::database(&folder.path().join("other"), Keep::Thumb);
    let photos = folder.path().join("other/photos");
    (0..3).for_each(|view| std::fs::remove_file(photos.join(view.to_string())).unwrap());
    let error = cleaned(&database, "CLEAN").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("3 of 20 photos"), "{error}");
    assert!(error.next_step().unwrap().contains("THUMBNAILS"), "{error}");
    assert!(cleaned(&database, "CLEAN UNLABEL").is_err(), "what was found in thumbnails before asks again");
    assert_eq!(sights(&cleaned(&database, "CLEAN DRY RUN").unwrap()), [17, 0, 3]);
    assert_eq!(sights(&cleaned(&database, "CLEAN THUMBNAILS").unwrap()), [17, 0, 3]);
    assert_eq!(sights(&database.clean(&CleanPlan::default(), Some(&Exact::default()), None).unwrap()), [17, 0, 3]);
    (0..3).for_each(|view| std::fs::write(photos.join(view.to_string()), [0, view]).unwrap());
    let back = cleaned(&database, "CLEAN").unwrap();
    assert_eq!(sights(&back), [20, 0, 0]);
    assert_eq!(back.sights.unwrap().read, Some(format!("3: below {}", photos.display())));
}

#[test]
fn an_original_that_the_database_keeps_is_no_thumbnail() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path(), Keep::Original);
    std::fs::remove_dir_all(folder.path().join("photos")).unwrap();
    for _again in 0..2 {
        let cleaning = cleaned(&database, "CLEAN").unwrap();
        assert_eq!(sights(&cleaning), [0, 20, 0]);
        assert_eq!(cleaning.sights.unwrap().read, None);
    }
}
