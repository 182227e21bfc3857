//! Pages to look at: the query in blue and, as in figure 1 of the paper, what kNN, the sort-step and sort+insert answer; or what a
//! cleaning found.
//!
//! One file with everything in it: no script, nothing fetched; and nothing that the photos shown bring along, no path of the machine,
//! no file that was not ingested ([`pictures`], [`names`], [`files`]). [`gather`] turns answers into a [`Page`] of plain data, [`html`]
//! turns that into text; [`cleaning`] and [`cleaning_html`] do so for a cleaning.

mod cleaning;
mod cleaning_html;
mod files;
mod gather;
mod html;
mod names;
mod pictures;

use std::path::Path;

use cairn::eval::Metrics;
use cairn::{Cleaning, Snapshot, Stage};

use crate::comparison::Comparison;
use crate::failure::{Failure, Result};
use crate::solution::Solution;

pub(crate) use files::PhotoFolders;
pub(crate) use names::{file_name, named};
use pictures::{Pictures, Sight};

/// Queries shown at most; the metrics count all of them.
pub(crate) const MOST_QUERIES: usize = 24;

/// Everything on the page.
pub(crate) struct Page {
    pub(crate) title: String,
    /// Name and value.
    pub(crate) facts: Vec<(String, String)>,
    pub(crate) truth: Option<Measured>,
    /// Says which queries are shown, when not all are.
    pub(crate) selection: Option<String>,
    /// What is to be said of the pictures.
    pub(crate) notes: Vec<String>,
    pub(crate) blocks: Vec<Block>,
    /// JPEGs in base64, each once; tiles name them by number.
    pub(crate) pictures: Vec<String>,
    pub(crate) k: usize,
    pub(crate) tau: f64,
    pub(crate) depth: usize,
}

/// What is known when the right answers are.
pub(crate) struct Measured {
    pub(crate) metrics: [Metrics; 3],
    /// Average precision of each query: kNN, sort, sort+insert.
    pub(crate) queries: Vec<[f64; 3]>,
}

/// One query and its three lists.
pub(crate) struct Block {
    pub(crate) name: String,
    pub(crate) sight: Sight,
    pub(crate) prediction: Option<(String, f32)>,
    /// How many images it should find.
    pub(crate) relevant: Option<usize>,
    pub(crate) strips: [Strip; 3],
}

/// The list of one method.
pub(crate) struct Strip {
    pub(crate) tiles: Vec<Shown>,
    /// Rows of the whole list.
    pub(crate) rows: usize,
    /// Rows of the whole list that the insert-step added.
    pub(crate) inserted: usize,
    /// Right ones among the first ten.
    pub(crate) right_of_ten: Option<usize>,
    pub(crate) average_precision: Option<f64>,
}

/// A place in a strip.
pub(crate) enum Shown {
    /// A result.
    Tile(Tile),
    /// So many results that are not shown.
    Gap(usize),
}

/// A result.
pub(crate) struct Tile {
    /// Its key, without where the machine keeps its file.
    pub(crate) id: String,
    pub(crate) rank: usize,
    pub(crate) similarity: f32,
    pub(crate) prediction: Option<(String, f32)>,
    pub(crate) stage: Option<Stage>,
    pub(crate) right: Option<bool>,
    /// Its rank in the kNN list, when that was another one.
    pub(crate) was: Option<usize>,
    pub(crate) sight: Sight,
}

/// Writes the page.
///
/// # Errors
/// When the database cannot be read or the file cannot be written.
pub(crate) fn write(
    path: &Path,
    title: &str,
    facts: Vec<(String, String)>,
    (snapshot, folders): (&Snapshot, &PhotoFolders),
    comparison: &Comparison,
    solution: Option<&Solution>,
) -> Result<()> {
    check_target(path)?;
    let page = gather::page(title, facts, Pictures::new(snapshot, folders), comparison, solution)?;
    save(path, &html::render(&page))
}

/// Writes the page of a cleaning: what it found, each image beside the one that decided most.
///
/// # Errors
/// When the database cannot be read or the file cannot be written.
pub(crate) fn write_cleaning(
    path: &Path,
    facts: Vec<(String, String)>,
    (snapshot, folders): (&Snapshot, &PhotoFolders),
    cleaning: &Cleaning,
) -> Result<()> {
    check_target(path)?;
    let page = cleaning::page(facts, Pictures::new(snapshot, folders), cleaning)?;
    save(path, &cleaning_html::render(&page))
}

fn save(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text)
        .map_err(|error| Failure::io(path, error).help("name a file in a folder that you may write to"))
}

/// What every page begins with, by which an earlier report is known.
const OPENING: &str = "<!DOCTYPE html>\n<html lang=\"en\" data-made-by=\"cairn\">";

/// Refuses a name that no page can be written to, and to write over anything but an earlier page: a slip of the pen must not cost a
/// photo.
///
/// # Errors
/// When the name does not end in .html or .htm, its folder is not there, or something else is there.
pub(crate) fn check_target(path: &Path) -> Result<()> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if !ending.eq_ignore_ascii_case("html") && !ending.eq_ignore_ascii_case("htm") {
        return Err(
            Failure::new(format!("{}: a report is a page", path.display())).help("name it like INTO 'report.html'")
        );
    }
    // `r.html` lies in the present folder, whose name is empty here.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return Err(Failure::new(format!("{}: there is no folder {}", path.display(), folder.display()))
            .help("make the folder first, or name a file in one that is there"));
    }
    if path.is_dir() {
        return Err(Failure::new(format!("{} is a folder", path.display())).help("choose another name"));
    }
    match std::fs::read(path) {
        Ok(there) if !there.is_empty() && !there.starts_with(OPENING.as_bytes()) => {
            Err(Failure::new(format!("{} is not an earlier report and stays as it is", path.display()))
                .help("choose another name"))
        }
        _ => Ok(()),
    }
}
