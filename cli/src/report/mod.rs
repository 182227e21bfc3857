//! Report pages: the query in blue and, as in figure 1 of the paper, the answers of kNN, the sort-step and sort+insert; or the
//! findings of a cleaning; or plots that compare methods.
//!
//! A page is one self-contained file: it has no script and loads nothing. It contains no metadata of the photos, no path of the
//! machine, and no file that was not ingested ([`pictures`], [`names`], [`files`]). [`gather`] turns answers into a [`Page`] of
//! plain data, [`html`] turns that into text; [`cleaning`] and [`cleaning_html`] do so for a cleaning, [`recognised`] for a
//! recognition, [`sheet`] for a comparison of methods.

mod cleaning;
mod cleaning_html;
mod files;
mod gather;
mod html;
mod names;
mod pair;
mod pictures;
mod recognised;
mod sheet;

use std::path::Path;

use cairn::clean::Cleaning;
use cairn::eval::Metrics;
use cairn::reports::Recognitions;
use cairn::{Snapshot, Stage};

use crate::comparison::Comparison;
use crate::failure::{Failure, Result};
use crate::output::{Replace, Target};
use crate::solution::Solution;

pub(crate) use files::PhotoFolders;
pub(crate) use names::{file_name, named};
use pictures::{Pictures, Sight};
pub(crate) use sheet::{Chart, Group, Mark, Sheet};

/// The largest number of queries shown; the metrics count all of them.
pub(crate) const MOST_QUERIES: usize = 24;

/// The data of the page.
pub(crate) struct Page {
    pub(crate) title: String,
    /// Name and value.
    pub(crate) facts: Vec<(String, String)>,
    pub(crate) truth: Option<Measured>,
    /// Which queries are shown, if not all are.
    pub(crate) selection: Option<String>,
    /// Notes about the pictures.
    pub(crate) notes: Vec<String>,
    pub(crate) blocks: Vec<Block>,
    /// JPEGs in base64, without repetitions; tiles refer to them by number.
    pub(crate) pictures: Vec<String>,
    pub(crate) k: usize,
    pub(crate) tau: f64,
    pub(crate) depth: usize,
}

/// Metrics, if the right answers are known.
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
    /// Number of right ones among the first ten.
    pub(crate) right_of_ten: Option<usize>,
    pub(crate) average_precision: Option<f64>,
}

/// An entry of a strip.
pub(crate) enum Shown {
    /// A result.
    Tile(Tile),
    /// This many results that are not shown.
    Gap(usize),
}

/// A result.
pub(crate) struct Tile {
    /// Its key, without the folder of its file.
    pub(crate) id: String,
    pub(crate) rank: usize,
    pub(crate) similarity: f32,
    pub(crate) prediction: Option<(String, f32)>,
    pub(crate) stage: Option<Stage>,
    pub(crate) right: Option<bool>,
    /// Its rank in the kNN list, if that differs.
    pub(crate) was: Option<usize>,
    pub(crate) sight: Sight,
}

/// Writes the page.
///
/// # Errors
/// When the database cannot be read or the file cannot be written.
pub(crate) fn write(
    target: Target,
    title: &str,
    facts: Vec<(String, String)>,
    (snapshot, folders): (&Snapshot, &PhotoFolders),
    comparison: &Comparison,
    solution: Option<&Solution>,
) -> Result<()> {
    let page = gather::page(title, facts, Pictures::new(snapshot, folders), comparison, solution)?;
    target.write(html::render(&page).as_bytes())
}

/// Writes the page of a cleaning: its findings, each image beside the one that contributed most.
///
/// # Errors
/// When the database cannot be read or the file cannot be written.
pub(crate) fn write_cleaning(
    target: Target,
    facts: Vec<(String, String)>,
    (snapshot, folders): (&Snapshot, &PhotoFolders),
    cleaning: &Cleaning,
) -> Result<()> {
    let page = cleaning::page(facts, Pictures::new(snapshot, folders), cleaning)?;
    target.write(cleaning_html::render(&page).as_bytes())
}

/// Writes the page of a recognition: each query beside the train images that elected its label.
///
/// # Errors
/// When the database cannot be read or the file cannot be written.
pub(crate) fn write_recognitions(
    target: Target,
    facts: Vec<(String, String)>,
    (snapshot, folders): (&Snapshot, &PhotoFolders),
    found: &Recognitions,
) -> Result<()> {
    target.write(recognised::page(facts, Pictures::new(snapshot, folders), found)?.as_bytes())
}

/// Writes the page of a comparison: its plots and its table.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write_sheet(target: Target, title: &str, facts: &[(String, String)], sheet: &Sheet) -> Result<()> {
    target.write(sheet::render(title, facts, sheet).as_bytes())
}

/// The first words of every page, which identify an earlier report.
const OPENING: &str = "<!DOCTYPE html>\n<html lang=\"en\" data-made-by=\"cairn\">";

/// Checks where a page can be written: a typing mistake must not cost a photo. `overwrite`: it may replace any plain file, not
/// only an earlier report.
///
/// # Errors
/// When the name does not end in .html or .htm, or [`Target::check`] refuses it.
pub(crate) fn target(path: &Path, overwrite: bool) -> Result<Target> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if !ending.eq_ignore_ascii_case("html") && !ending.eq_ignore_ascii_case("htm") {
        return Err(Failure::new(format!("{}: INTO writes HTML; the name must end in .html", path.display()))
            .help("for example INTO 'report.html'"));
    }
    Target::check(path, Replace::Beginning(OPENING).or_anything(overwrite))
}
