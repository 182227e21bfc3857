//! What is ingested: folders, lists and label files of photos; files of vectors and of ids.
//!
//! Everything here only reads names and numbers; photos are opened later, one by one, so that a bad one stops nothing else.

mod folder;
mod ids;
mod list;
mod vectors;

use std::path::{Path, PathBuf};

use cairn::Result;

pub use folder::{PHOTO_EXTENSIONS, is_photo, list_folder};
pub use ids::read_ids;
pub use list::{Labels, labels_for, read_labels, read_list, with_role};
pub use vectors::{MAX_NPY_HEADER, VectorFile, row_fault};

/// A photo to ingest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// External key.
    pub key: String,
    /// Where its file lies.
    pub path: PathBuf,
    /// Its label, where the source has one; a train image needs one, an index image has none.
    pub label: Option<String>,
}

/// Photos that were found, and names that cannot be used with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// In the order in which they are ingested.
    pub items: Vec<Item>,
    /// What was left out, and why.
    pub refused: Vec<(String, String)>,
}

/// The photos of a folder (with its subfolders) or of a CSV list.
///
/// # Errors
/// When there is nothing at `path`, or nothing usable in it.
pub fn list_photos(path: &Path, subfolder_is_label: bool) -> Result<Listing> {
    if path.is_dir() {
        list_folder(path, subfolder_is_label)
    } else {
        Ok(Listing { items: read_list(path)?, refused: Vec::new() })
    }
}

/// The first few of many names, for a message.
fn first_few<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 5;
    let all: Vec<&str> = names.collect();
    let shown = all.iter().take(SHOWN).map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    if all.len() > SHOWN { format!("{shown} and {} more", all.len() - SHOWN) } else { shown }
}
