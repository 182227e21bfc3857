//! The sources of an ingest: folders, lists and label files of photos; files of vectors and of ids.
//!
//! The code here only reads names and numbers; photos are opened later, one by one, so that a bad one stops nothing else.

mod folder;
mod ids;
mod list;
mod npy;
mod npz;
mod spelling;
mod table;
mod text;
mod vectors;

use std::path::{Path, PathBuf};

pub use crate::plain::open_plain;
pub use folder::{PHOTO_EXTENSIONS, is_photo, list_folder};
pub use ids::read_ids;
pub use list::{Labels, labels_for, read_labels, read_list, with_role};
pub use npy::MAX_NPY_HEADER;
pub use spelling::Spellings;
pub use table::{MAX_LIST_ROWS, MAX_ROW_BYTES, Table, Unique};
pub use text::{MAX_LIST_BYTES, STANDARD_INPUT, Text, Utf8Start};
pub use vectors::{VECTOR_ENDINGS, VectorFile, is_vectors, row_fault};

/// A photo to ingest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// External key.
    pub key: String,
    /// The path of its file.
    pub path: PathBuf,
    /// Its label, if the source has one; a train image needs one, an index image has none.
    pub label: Option<String>,
    /// A list gave the key, so the photo replaces the stored one; a key from the photo's path may be another photo's.
    pub given: bool,
}

/// The photos that were found, and the names that cannot be used, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// In the order in which they are ingested.
    pub items: Vec<Item>,
    /// Names that were left out, and why.
    pub refused: Vec<(String, String)>,
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
