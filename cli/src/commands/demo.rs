//! `cairn demo`: makes photos, a database of them, a measurement and a report, in one command.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use cairn::Keep;
use cairn::language::DEFAULT_TAU;
use cairn_demo::{MOST_PLACES, Part, Photo, generate, lists, photos_of, split_folder};
use cairn_torch::model::Architecture;

use super::create::create;
use super::eval::{Asking, evaluate};
use super::ingest::{Job, ingest};
use super::partial::Tally;
use crate::args::measure::Demo;
use crate::args::{Allowed, Opened, RoleWord};
use crate::failure::{Failure, Result};
use crate::networks::{ForCreation, of_model};
use crate::output::{Format, Replace, Target, must_be_outside};
use crate::progress::Bar;
use crate::session::absolute;
use crate::terminal::{note, say};

/// Marks a folder as a demo's, so that a second run may replace it, and nothing else is ever deleted.
const MARK: &str = "made-by-cairn-demo";
/// The contents of a demo folder.
const DATABASE: &str = "photos.db";
const REPORT: &str = "report.html";
/// The subfolder of the made photos.
const IMAGES: &str = "images";

/// Runs the command.
///
/// # Errors
/// When the folder has other contents, photos cannot be read, or a step fails.
pub(super) fn run(args: &Demo) -> Result<()> {
    if args.places == 0 || args.places > MOST_PLACES {
        return Err(Failure::usage(format!("--places must be 1 to {MOST_PLACES}")));
    }
    let began = Instant::now();
    let out = &args.out;
    clear(out)?;
    note(&format!(
        "1/5  {}",
        if args.photos.is_some() { "splitting your photos into train, index and queries" } else { "making photos" }
    ));
    let photos = photos(args)?;
    let count = |part| photos.iter().filter(|photo| photo.part == part).count();
    note(&format!(
        "     {} train, {} index, {} queries; their lists are in {}",
        count(Part::Train),
        count(Part::Index),
        count(Part::Query),
        out.display()
    ));
    note("2/5  creating the database");
    let database = out.join(DATABASE);
    let model = of_model(Architecture::default().word(), &[], None, "{}")?;
    create(&database, ForCreation { options: model.options.keep(Keep::Thumb), ..model })?;
    let mut tally = Tally::default();
    for (step, role, list) in [(3, RoleWord::Train, "train.csv"), (4, RoleWord::Index, "index.csv")] {
        note(&format!("{step}/5  embedding the photos of {list}"));
        let sources = [out.join(list)];
        let done = ingest(&Job {
            database: &database,
            sources: &sources,
            role,
            ids: None,
            labels: None,
            overrules: false,
            label_from_folder: false,
            exclude: &[],
            attributes: &[],
            max_pixels: None,
            prune: None,
            photos_from: None,
            model: &args.model,
            list_failures: None,
        })?;
        tally = tally + done;
    }
    note("5/5  running every query with each of the three methods");
    let report = out.join(REPORT);
    let solution = out.join("solution.csv");
    evaluate(&Asking {
        opened: &Opened { database: database.clone(), read_only: false },
        queries: &out.join("query.csv"),
        ids: None,
        truth: Some(&solution),
        truth_images: None,
        submission: None,
        k: None,
        tau: DEFAULT_TAU,
        compare: None,
        report: Some(&report),
        photos_from: &[],
        // It replaces an earlier demo's files.
        overwrite: true,
        title: "Cairn demo: which photos show the same place?",
        format: Format::Table,
        model: &args.model,
    })?;
    note(&format!(
        "done in {:.0} s; to run your own queries: cairn repl {}",
        began.elapsed().as_secs_f64(),
        database.display()
    ));
    say_where(&absolute(&report))?;
    tally.end(Allowed::default(), "ingested", "the list is above")
}

/// The last line, alone on standard output: the path of the report.
fn say_where(report: &Path) -> Result<()> {
    Ok(say(&format!("report: {}", report.display()))?)
}

fn photos(args: &Demo) -> Result<Vec<Photo>> {
    let photos = match &args.photos {
        Some(folder) => split_folder(folder, args.seed)?,
        None => {
            let bar = Bar::new(photos_of(args.places) as u64, "photos");
            let done = AtomicU64::new(0);
            let step = || bar.reach(done.fetch_add(1, Ordering::Relaxed) + 1);
            let photos = made(&args.out, args.places, args.seed, &step)?;
            bar.finish();
            photos
        }
    };
    for (name, rows) in lists(&photos)? {
        Target::check(&args.out.join(name), Replace::Anything)?.write(&rows)?;
    }
    Ok(photos)
}

/// Makes photos in `folder`; calls `each` after every photo.
///
/// # Errors
/// When a file cannot be written.
pub(super) fn made(folder: &Path, places: usize, seed: u64, each: &(dyn Fn() + Sync)) -> Result<Vec<Photo>> {
    let images = folder.join(IMAGES);
    fs::create_dir_all(&images).map_err(|error| Failure::io(&images, error))?;
    generate(places, seed, &|path, jpeg| {
        Target::check(&folder.join(path), Replace::Anything)?.write(jpeg)?;
        each();
        Ok(())
    })
}

/// Makes the folder, or empties one of an earlier demo.
fn clear(out: &Path) -> Result<()> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| Failure::io(&path, error)
    };
    must_be_outside(out)?;
    let mark = out.join(MARK);
    let occupied = fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some());
    if occupied && !mark.is_file() {
        return Err(Failure::new(format!("{} is not empty and was not made by a demo", out.display()))
            .help("name another folder with --out; the demo replaces only the folder of an earlier demo"));
    }
    for name in [DATABASE, IMAGES] {
        let folder: PathBuf = out.join(name);
        if folder.is_dir() {
            fs::remove_dir_all(&folder).map_err(failed(&folder))?;
        }
    }
    fs::create_dir_all(out).map_err(failed(out))?;
    Target::check(&mark, Replace::Anything)?.write(b"cairn demo may replace this folder\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_no_demo_made_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mine = folder.path().join("photos.db");
        fs::create_dir(&mine).unwrap();
        assert!(clear(folder.path()).is_err());
        assert!(mine.exists());
        let fresh = folder.path().join("fresh");
        clear(&fresh).unwrap();
        fs::create_dir(fresh.join(DATABASE)).unwrap();
        clear(&fresh).unwrap();
        assert!(!fresh.join(DATABASE).exists());
    }
}
