//! The three parts of a photo set and the lists that describe them (the layout of the GLDv2 files).

use std::collections::BTreeMap;
use std::path::PathBuf;

use cairn::{Error, Result};

/// Which list a photo belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Labelled; it votes.
    Train,
    /// Is searched.
    Index,
    /// Asks.
    Query,
}

/// A photo of a set.
#[derive(Debug, Clone)]
pub struct Photo {
    /// Its key.
    pub id: String,
    /// Relative to the folder of the lists, or absolute.
    pub path: PathBuf,
    /// Its list.
    pub part: Part,
    /// What it shows.
    pub truth: String,
    /// What its label says; the lists hold it for train photos only.
    pub given: String,
}

/// Names and contents of `train.csv`, `index.csv`, `query.csv` and `solution.csv`.
///
/// # Errors
/// When a row cannot be written as CSV.
pub fn lists(photos: &[Photo]) -> Result<[(&'static str, Vec<u8>); 4]> {
    let of = |part: Part| photos.iter().filter(move |photo| photo.part == part);
    let path = |photo: &Photo| photo.path.to_string_lossy().into_owned();
    let mut shows: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for photo in of(Part::Index) {
        shows.entry(&photo.truth).or_default().push(&photo.id);
    }
    let solution = of(Part::Query).filter_map(|query| {
        let images = shows.get(query.truth.as_str())?.join(" ");
        Some(vec![query.id.clone(), images, "Public".to_owned()])
    });
    Ok([
        list(
            "train.csv",
            &["id", "path", "label"],
            of(Part::Train).map(|p| vec![p.id.clone(), path(p), p.given.clone()]),
        )?,
        list("index.csv", &["id", "path"], of(Part::Index).map(|p| vec![p.id.clone(), path(p)]))?,
        list("query.csv", &["id", "path"], of(Part::Query).map(|p| vec![p.id.clone(), path(p)]))?,
        list("solution.csv", &["id", "images", "Usage"], solution)?,
    ])
}

fn list(
    name: &'static str,
    header: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> Result<(&'static str, Vec<u8>)> {
    let failed = |error: csv::Error| Error::invalid(format!("{name}: {error}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header).map_err(failed)?;
    for row in rows {
        writer.write_record(&row).map_err(failed)?;
    }
    Ok((name, writer.into_inner().map_err(|error| Error::invalid(format!("{name}: {error}")))?))
}
