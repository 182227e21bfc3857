//! A library that lives: photos whose files moved or are gone.
//!
//! A file that is not where it was may lie elsewhere: then the file with its content is that photo. It counts as gone only if the place
//! where it lay is there: its folder, or the nearest one above that exists and is not above the named folder, has an entry. So a disk
//! that is not mounted, whose folder is missing or empty, makes no photo gone.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use cairn::runtime::pool;
use cairn::{Database, Operation, Record, Result, Snapshot};

use crate::photo::{DecodeLimits, hash_file};
use crate::source::{Item, place_of};

/// Deletes per transaction.
const PRUNED_PER_TRANSACTION: usize = 1_000;
/// Renames per transaction, unless more need each other.
const RENAMED_PER_TRANSACTION: usize = 1_000;

/// The contents of the items of folders, and so where stored photos lie now.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    contents: HashMap<String, [u8; 32]>,
}

impl Survey {
    /// Whether a stored image lies or lay below one of these folders: otherwise nothing can have moved in them.
    ///
    /// Complexity: reads records up to the first one that does.
    ///
    /// # Errors
    /// A damaged catalog.
    pub fn is_needed(snapshot: &Snapshot, folders: &[PathBuf]) -> Result<bool> {
        let roots = real(folders);
        for record in snapshot.images() {
            let source = record?.source;
            if source.is_some_and(|source| roots.iter().any(|root| Path::new(&source).starts_with(root))) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads every item that was found in a folder, on all processors; what cannot be read is left out.
    pub fn of(items: &[Item], limits: &DecodeLimits) -> Self {
        let found: Vec<&Item> = items.iter().filter(|item| !item.given).collect();
        let content = |item: &&Item| -> Result<Option<[u8; 32]>> { Ok(hash_file(&item.path, limits).ok()) };
        let contents = pool::try_map(&found, content).unwrap_or_default();
        let known = found.into_iter().zip(contents);
        Self { contents: known.filter_map(|(item, content)| Some((item.key.clone(), content?))).collect() }
    }

    /// The BLAKE3 of an item's file.
    pub(crate) fn content(&self, key: &str) -> Option<&[u8; 32]> {
        self.contents.get(key)
    }

    /// Gives each stored photo of these folders that lies elsewhere in them now the key and the path of that place; the number of them.
    /// A photo under whose key another file lies now, and that lies nowhere else, is left to the ingest, which replaces it; if a moved photo
    /// takes its key, it is deleted.
    ///
    /// Complexity: reads every record once. Photos that exchange their keys do so in one transaction.
    ///
    /// # Errors
    /// A damaged catalog; a database that refuses to write. What was written stays, and another call resumes.
    pub fn relocate(&self, database: &Database, items: &[Item], folders: &[PathBuf]) -> Result<usize> {
        let snapshot = database.snapshot();
        let places: HashMap<&str, &Item> =
            items.iter().filter(|item| !item.given).map(|item| (&*item.key, item)).collect();
        let (mut settled, mut displaced) = (HashSet::new(), HashMap::<[u8; 32], Vec<String>>::new());
        each_below(&snapshot, folders, |record, source, _| {
            let Some(content) = record.content else { return };
            let is_elsewhere = match self.content(&record.key) {
                Some(now) if *now == content => {
                    settled.insert(record.key.clone());
                    false
                }
                Some(_) => true,
                None => !places.contains_key(&*record.key) && is_absent(source),
            };
            // The key of a list does not follow the file.
            if is_elsewhere && source.ends_with(&record.key) {
                displaced.entry(content).or_default().push(record.key.clone());
            }
        })?;
        // The last one is taken first: the smallest key.
        displaced.values_mut().for_each(|keys| keys.sort_unstable_by(|a, b| b.cmp(a)));
        let mut moves = BTreeMap::new();
        for item in items.iter().filter(|item| !item.given && !settled.contains(&item.key)) {
            let Some(candidates) = self.content(&item.key).and_then(|content| displaced.get_mut(content)) else {
                continue;
            };
            let stored = snapshot.record(&item.key)?;
            let is_of_others = stored.as_ref().and_then(|stored| stored.source.as_deref()).is_some_and(|source| {
                let source = Path::new(source);
                source != place_of(&item.path) && source.exists()
            });
            if stored.is_some_and(|stored| stored.content.as_ref() == self.content(&item.key)) || is_of_others {
                continue;
            }
            if let Some(from) = candidates.pop() {
                moves.insert(from, item);
            }
        }
        let count = moves.len();
        let mut operations = Vec::new();
        for together in chains(&snapshot, moves)? {
            operations.extend(together);
            if operations.len() >= RENAMED_PER_TRANSACTION {
                database.write(std::mem::take(&mut operations))?;
            }
        }
        if !operations.is_empty() {
            database.write(operations)?;
        }
        if count > 0 {
            database.apply_pending()?;
        }
        Ok(count)
    }
}

/// The operations of moves (from a key to an item's), those that need each other together.
fn chains(snapshot: &Snapshot, mut moves: BTreeMap<String, &Item>) -> Result<Vec<Vec<Operation>>> {
    let rename = |from: &str, to: &Item| Operation::rename(from, &to.key, place_of(&to.path).display().to_string());
    let targets: HashSet<String> = moves.values().map(|item| item.key.clone()).collect();
    let starts: Vec<String> = moves.keys().filter(|from| !targets.contains(*from)).cloned().collect();
    let mut all = Vec::new();
    for start in starts {
        let (mut steps, mut at) = (Vec::new(), start);
        while let Some(to) = moves.remove(&at) {
            steps.push(rename(&at, to));
            at = to.key.clone();
        }
        // Nothing moves away from the last key.
        if snapshot.record(&at)?.is_some() {
            steps.push(Operation::delete(at));
        }
        steps.reverse();
        all.push(steps);
    }
    // What is left goes round in circles: one of each steps aside.
    while let Some((first, to)) = moves.pop_first() {
        let mut aside = format!("{first}.moving");
        while snapshot.record(&aside)?.is_some() {
            aside.push('_');
        }
        let (mut steps, mut at) = (vec![rename(&aside, to)], to.key.clone());
        while let Some(to) = moves.remove(&at) {
            steps.push(rename(&at, to));
            at = to.key.clone();
        }
        steps.push(Operation::rename(first, aside, None));
        steps.reverse();
        all.push(steps);
    }
    Ok(all)
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
    /// Complexity: reads every record once, and asks the system about the file of each below the folders.
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

/// The folders as records name them.
fn real(folders: &[PathBuf]) -> Vec<PathBuf> {
    folders.iter().map(|folder| folder.canonicalize().unwrap_or_else(|_| folder.clone())).collect()
}

/// Calls `visit` with each stored image whose file lies or lay below one of the folders, its path, and that folder.
fn each_below(snapshot: &Snapshot, folders: &[PathBuf], mut visit: impl FnMut(&Record, &Path, &Path)) -> Result<()> {
    let roots = real(folders);
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
