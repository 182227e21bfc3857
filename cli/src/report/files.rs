//! The photo files that a page may show: below folders that the user named, and unchanged since they were ingested.
//!
//! A database may come from elsewhere, and its author chose the paths in it. So the program opens no path of a database unless
//! the user names a folder that contains it, and it compares the content with the digest that the database has of the photo.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cairn::Record;
use cairndb_ingest::photo::{DecodeLimits, is_content, read_file};

use crate::failure::{Failure, Result};

/// Folders whose photos may be read, and how many were read.
#[derive(Debug, Default)]
pub(crate) struct PhotoFolders {
    /// Resolved, without links.
    folders: Vec<PathBuf>,
    /// Photos that were read, by folder; a page reads each once.
    read: Mutex<BTreeMap<PathBuf, usize>>,
}

/// The result for the file of an image.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The bytes that were ingested.
    Photo(Vec<u8>),
    /// The file has other content.
    Changed,
    /// The named folders have no such file.
    Gone,
    /// No folder was named.
    NotAsked,
    /// The image never had a file.
    Bare,
}

impl Found {
    pub(super) const CHANGED: &str = "file changed";
    pub(super) const NOT_ASKED: &str = "not kept";
    pub(super) const GONE: &str = "file not found";

    /// A few words for a picture's place in a page.
    pub(super) fn note(&self) -> Option<&'static str> {
        match self {
            Self::Changed => Some(Self::CHANGED),
            Self::NotAsked => Some(Self::NOT_ASKED),
            Self::Gone => Some(Self::GONE),
            Self::Photo(_) | Self::Bare => None,
        }
    }

    /// The same as a sentence.
    pub(super) fn explain(note: &str) -> &'static str {
        match note {
            Self::CHANGED => {
                "the file has changed since it was ingested and is not shown; the picture, if there is one, is the database's \
                 copy. Ingest the file again to store the new photo."
            }
            Self::NOT_ASKED => {
                "the database has no picture of the photo, and files are read only on request: --photos-from FOLDER."
            }
            _ => "the database has no picture of the photo, and its file is not in the folders of --photos-from.",
        }
    }
}

impl PhotoFolders {
    /// Allows these folders.
    ///
    /// # Errors
    /// When one of them does not exist.
    pub(crate) fn new(folders: &[PathBuf]) -> Result<Self> {
        let real = |folder: &PathBuf| match folder.canonicalize() {
            Ok(real) if real.is_dir() => Ok(real),
            Ok(_) => Err(Failure::new(format!("{} is not a folder", folder.display())).help("name a folder of photos")),
            Err(error) => Err(Failure::io(folder, error).help("--photos-from names a folder of photos")),
        };
        Ok(Self { folders: folders.iter().map(real).collect::<Result<_>>()?, read: Mutex::default() })
    }

    /// The photo of an image: at its path when it was ingested, or under its key in one of the folders.
    pub(super) fn find(&self, record: &Record) -> Found {
        let Some(source) = record.source.as_deref() else { return Found::Bare };
        if self.folders.is_empty() {
            return Found::NotAsked;
        }
        let key = Path::new(&record.key);
        let is_inside = key.components().all(|part| matches!(part, Component::Normal(_)));
        let mut found = Found::Gone;
        for folder in &self.folders {
            let by_key = is_inside.then(|| folder.join(key));
            for path in std::iter::once(PathBuf::from(source)).chain(by_key) {
                // Resolved, without links: none of them leads out of the folder.
                let Some(path) = path.canonicalize().ok().filter(|path| path.starts_with(folder)) else { continue };
                let bytes = read_file(&path, &DecodeLimits::default()).ok();
                match bytes.filter(|bytes| record.content.is_some_and(|content| is_content(bytes, &content))) {
                    Some(bytes) => {
                        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
                        *read.entry(folder.clone()).or_default() += 1;
                        return Found::Photo(bytes);
                    }
                    None => found = Found::Changed,
                }
            }
        }
        found
    }

    /// Number of photos that were read.
    pub(super) fn count(&self) -> usize {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    /// The photos read since the last call, for the person who requested the page: how many below which folder.
    pub(crate) fn told(&self) -> Option<String> {
        let read = std::mem::take(&mut *self.read.lock().unwrap_or_else(PoisonError::into_inner));
        let parts: Vec<String> =
            read.iter().map(|(folder, count)| format!("{count} below {}", folder.display())).collect();
        (!parts.is_empty()).then(|| format!("photos read from their files: {}", parts.join(", ")))
    }
}
