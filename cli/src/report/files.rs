//! The files of photos that a page may show: below folders that were named, and still the very photos that were ingested.
//!
//! A database may come from elsewhere, and whoever made it chose the paths in it. So no path of a database is opened unless the reader
//! names a folder that it must lie in, and what is read is compared with the digest that the database has of the photo.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cairn::Record;
use cairndb_ingest::photo::{DecodeLimits, is_content, read_file};

use crate::failure::{Failure, Result};

/// Folders whose photos may be read, and how many were.
#[derive(Debug, Default)]
pub(crate) struct PhotoFolders {
    /// Without links.
    folders: Vec<PathBuf>,
    /// Photos that were read, by folder; a page reads each once.
    read: Mutex<BTreeMap<PathBuf, usize>>,
}

/// What became of the file of an image.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The bytes that were ingested.
    Photo(Vec<u8>),
    /// There is a file, and it is another one.
    Changed,
    /// There is none in the folders that were named.
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

    /// A few words for a place in a page.
    pub(super) fn note(&self) -> Option<&'static str> {
        match self {
            Self::Changed => Some(Self::CHANGED),
            Self::NotAsked => Some(Self::NOT_ASKED),
            Self::Gone => Some(Self::GONE),
            Self::Photo(_) | Self::Bare => None,
        }
    }

    /// The same in a sentence.
    pub(super) fn explain(note: &str) -> &'static str {
        match note {
            Self::CHANGED => {
                "the file has changed since it was ingested and is not shown; the picture, where there is one, is what the database \
                 kept of the photo. Ingest it again to take the new one in."
            }
            Self::NOT_ASKED => {
                "the database keeps no picture of the photo, and files are read only where that is asked for: --photos-from FOLDER."
            }
            _ => "the database keeps no picture of the photo, and its file is not in the folders of --photos-from.",
        }
    }
}

impl PhotoFolders {
    /// These folders.
    ///
    /// # Errors
    /// When one of them is not there.
    pub(crate) fn new(folders: &[PathBuf]) -> Result<Self> {
        let real = |folder: &PathBuf| match folder.canonicalize() {
            Ok(real) if real.is_dir() => Ok(real),
            Ok(_) => Err(Failure::new(format!("{} is no folder", folder.display())).help("name a folder of photos")),
            Err(error) => Err(Failure::io(folder, error).help("--photos-from names a folder of photos")),
        };
        Ok(Self { folders: folders.iter().map(real).collect::<Result<_>>()?, read: Mutex::default() })
    }

    /// The photo of an image: where it was when it was ingested, or under its key in one of the folders.
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
                // Without links: none of them leads out of the folder.
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

    /// Photos that were read.
    pub(super) fn count(&self) -> usize {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    /// What was read since this was asked last, for the person who asked for the page: how many photos below which folder.
    pub(crate) fn told(&self) -> Option<String> {
        let read = std::mem::take(&mut *self.read.lock().unwrap_or_else(PoisonError::into_inner));
        let parts: Vec<String> =
            read.iter().map(|(folder, count)| format!("{count} below {}", folder.display())).collect();
        (!parts.is_empty()).then(|| format!("photos read from their files: {}", parts.join(", ")))
    }
}
