//! The sources of an ingest: folders, lists and label files of photos; files of vectors and of ids.
//!
//! The code here only reads names and numbers; photos are opened later, one by one, so that a bad one stops nothing else.

mod described;
mod exclude;
mod folder;
mod ids;
mod left_out;
mod list;
mod npy;
mod npz;
mod sniff;
mod spelling;
mod table;
mod text;
mod vectors;

use std::path::{Path, PathBuf};

use cairn::AttributeChanges;

pub use crate::plain::open_plain;
pub use described::AttributeColumns;
pub use exclude::Exclude;
pub use folder::{list_folder, list_folder_but};
pub use ids::read_ids;
pub use left_out::LeftOut;
pub use list::{Labels, labels_for, read_labels, read_list, with_role};
pub use npy::MAX_NPY_HEADER;
pub use sniff::{PHOTO_ENDINGS, Sort, is_named_like_a_photo, sniff};
pub use spelling::Spellings;
pub use table::{MAX_LIST_ROWS, MAX_ROW_BYTES, Table, Unique};
pub use text::{MAX_LIST_BYTES, STANDARD_INPUT, Text, Utf8Start};
pub use vectors::{VECTOR_ENDINGS, VectorFile, is_vectors, row_fault};

/// A photo to ingest.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// External key.
    pub key: String,
    /// The path of its file.
    pub path: PathBuf,
    /// Its label, if the source has one; a train image needs one, an index image has none.
    pub label: Option<String>,
    /// A list gave the key, so the photo replaces the stored one; a key from the photo's path may be another photo's.
    pub given: bool,
    /// Its attributes in the source: given ones, and `None` for those that the source leaves empty.
    pub attributes: AttributeChanges,
}

impl Item {
    /// A photo that was found, under a key made of its path, without a label.
    pub fn found(key: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self { key: key.into(), path: path.into(), label: None, given: false, attributes: Vec::new() }
    }
}

/// The photos that were found, and the names that cannot be used, with the reason.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Listing {
    /// In the order in which they are ingested.
    pub items: Vec<Item>,
    /// Names that cannot be used, and why.
    pub refused: Vec<(String, String)>,
    /// What is no photo, or was excluded.
    pub left_out: LeftOut,
}

/// The path of a photo in records: absolute, with every folder link resolved, so that a folder reached by another spelling or
/// through a link is the same one. The name of the file itself stays, even if it is a link.
pub fn place_of(path: &Path) -> PathBuf {
    let absolute = || std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => return absolute(),
    };
    match (folder.canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => absolute(),
    }
}

/// Number of names that a message shows.
const SHOWN: usize = 5;

/// The first few of `count` names, for a message.
fn first_few<'a>(names: impl Iterator<Item = &'a str>, count: usize) -> String {
    let shown = names.take(SHOWN).map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    if count > SHOWN { format!("{shown} and {} more", count - SHOWN) } else { shown }
}

/// A file that cannot be used, and why.
fn refuse(path: &std::path::Path, what: &str) -> cairn::Error {
    cairn::Error::invalid(format!("{}: {what}", path.display()))
}
