//! The three parts of a photo set and the lists that describe them (the layout of the GLDv2 files).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};
use crate::output::{Replace, Target};

/// Which list a photo belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Labelled; it votes.
    Train,
    /// Is searched.
    Index,
    /// Asks.
    Query,
}

/// A photo of a set.
#[derive(Debug, Clone)]
pub(crate) struct Photo {
    pub(crate) id: String,
    /// Relative to the folder of the lists, or absolute.
    pub(crate) path: PathBuf,
    pub(crate) part: Part,
    /// What it shows.
    pub(crate) truth: String,
    /// What its label says; the lists hold it for train photos only.
    pub(crate) given: String,
}

/// Writes `train.csv`, `index.csv`, `query.csv` and `solution.csv`.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn write_lists(folder: &Path, photos: &[Photo]) -> Result<()> {
    let of = |part: Part| photos.iter().filter(move |photo| photo.part == part);
    let path = |photo: &Photo| photo.path.to_string_lossy().into_owned();
    write(
        &folder.join("train.csv"),
        &["id", "path", "label"],
        of(Part::Train).map(|p| vec![p.id.clone(), path(p), p.given.clone()]),
    )?;
    write(&folder.join("index.csv"), &["id", "path"], of(Part::Index).map(|p| vec![p.id.clone(), path(p)]))?;
    write(&folder.join("query.csv"), &["id", "path"], of(Part::Query).map(|p| vec![p.id.clone(), path(p)]))?;
    let mut shows: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for photo in of(Part::Index) {
        shows.entry(&photo.truth).or_default().push(&photo.id);
    }
    let solution = of(Part::Query).filter_map(|query| {
        let images = shows.get(query.truth.as_str())?.join(" ");
        Some(vec![query.id.clone(), images, "Public".to_owned()])
    });
    write(&folder.join("solution.csv"), &["id", "images", "Usage"], solution)
}

fn write(path: &Path, header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Result<()> {
    let failed = |error: csv::Error| Failure::new(format!("{}: {error}", path.display()));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header).map_err(failed)?;
    for row in rows {
        writer.write_record(&row).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    Target::check(path, Replace::Anything)?.write(&bytes)
}
