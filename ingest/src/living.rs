//! A library that lives: photos whose files moved or are gone.
//!
//! A file that is not where it was may lie elsewhere: then a new file with its content is that photo. It counts as gone only if the place
//! where it lay is there: its folder, or the nearest one above that exists and is not above the named folder, has an entry. So a disk
//! that is not mounted, whose folder is missing or empty, makes no photo gone.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use cairn::{Database, Operation, Record, Result, Snapshot};

/// Deletes per transaction.
const PRUNED_PER_TRANSACTION: usize = 1_000;

/// Stored photos below some folders whose files are not where they were, by their content.
#[derive(Debug, Clone, Default)]
pub struct Missing {
    keys: HashMap<[u8; 32], Vec<String>>,
}

impl Missing {
    /// Those of a snapshot below these folders. A photo without a content hash cannot be found again and is not among them.
    ///
    /// Complexity: reads every record once, and asks the system about the file of each below the folders.
    ///
    /// # Errors
    /// A damaged catalog.
    pub fn below(snapshot: &Snapshot, folders: &[PathBuf]) -> Result<Self> {
        let mut missing = Self::default();
        each_below(snapshot, folders, |record, source, _| {
            if let (Some(content), true) = (record.content, is_absent(source)) {
                missing.keys.entry(content).or_default().push(record.key.clone());
            }
        })?;
        // The last one is taken first: the smallest key.
        missing.keys.values_mut().for_each(|keys| keys.sort_unstable_by(|a, b| b.cmp(a)));
        Ok(missing)
    }

    /// Whether a photo of this content is missing.
    pub(crate) fn has(&self, content: &[u8; 32]) -> bool {
        self.keys.contains_key(content)
    }

    /// The key of a missing photo with this content, each once.
    pub(crate) fn take(&mut self, content: &[u8; 32]) -> Option<String> {
        self.keys.get_mut(content)?.pop()
    }
}

/// A stored photo whose file is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// Its key.
    pub key: String,
    /// Where the file lay.
    pub source: PathBuf,
}

impl Gone {
    /// All of them below these folders, in byte order of their keys.
    ///
    /// Complexity: as [`Missing::below`].
    ///
    /// # Errors
    /// A damaged catalog.
    pub fn below(snapshot: &Snapshot, folders: &[PathBuf]) -> Result<Vec<Self>> {
        let (mut known, mut gone) = (Folders::default(), Vec::new());
        each_below(snapshot, folders, |record, source, root| {
            if known.have_lost(source, root) {
                gone.push(Self { key: record.key.clone(), source: source.to_owned() });
            }
        })?;
        Ok(gone)
    }

    /// Deletes these images, unless somebody gave one of them another file meanwhile; the number of deleted ones.
    ///
    /// # Errors
    /// When the database refuses to write; what was deleted stays deleted, and another call resumes.
    pub fn prune(database: &Database, gone: &[Self]) -> Result<usize> {
        let mut deleted = 0;
        for some in gone.chunks(PRUNED_PER_TRANSACTION) {
            let snapshot = database.snapshot();
            let mut operations = Vec::with_capacity(some.len());
            for Self { key, source, .. } in some {
                let stored = snapshot.record(key)?;
                let is_same = stored.is_some_and(|stored| stored.source.as_deref().map(Path::new) == Some(source));
                if is_same && !source.exists() {
                    operations.push(Operation::delete(key));
                }
            }
            deleted += operations.len();
            database.write(operations)?;
        }
        Ok(deleted)
    }
}

/// Calls `visit` with each stored image whose file lies or lay below one of the folders, its path, and that folder.
fn each_below(snapshot: &Snapshot, folders: &[PathBuf], mut visit: impl FnMut(&Record, &Path, &Path)) -> Result<()> {
    let real = |folder: &PathBuf| folder.canonicalize().unwrap_or_else(|_| folder.clone());
    let roots: Vec<PathBuf> = folders.iter().map(real).collect();
    for record in snapshot.images() {
        let record = record?;
        let source = record.source.as_deref().map(Path::new);
        let found = source.and_then(|source| Some((source, roots.iter().find(|root| source.starts_with(root))?)));
        if let Some((source, root)) = found {
            visit(&record, source, root);
        }
    }
    Ok(())
}

/// Whether nothing is there, not even a link that leads nowhere.
fn is_absent(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// Folders that were looked at, and whether each has an entry.
#[derive(Default)]
struct Folders {
    has_entries: HashMap<PathBuf, bool>,
}

impl Folders {
    /// Whether a file is gone from a place that is there.
    fn have_lost(&mut self, file: &Path, root: &Path) -> bool {
        if !is_absent(file) {
            return false;
        }
        let above = file.ancestors().skip(1).take_while(|folder| folder.starts_with(root));
        for folder in above {
            if let Some(&known) = self.has_entries.get(folder) {
                return known;
            }
            if !is_absent(folder) {
                let has_entries = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
                self.has_entries.insert(folder.to_owned(), has_entries);
                return has_entries;
            }
        }
        false
    }
}
