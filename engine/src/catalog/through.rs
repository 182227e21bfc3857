//! Reads whole families, for CHECK: the data that is on the disk now, entries that nobody would look up, invalid values.
//!
//! The handle in use has its tables open and blocks of them in memory, so it would not notice later changes of the files. A
//! second handle, for reading, has nothing cached.

use rocksdb::{ColumnFamilyDescriptor, DB};

use super::tables::{Work, options_beside};
use super::{BESIDE_PAUSE, BESIDE_TRIES, Catalog, Family, Pinned, codec, identity, logs, moving_files, salvage};
use crate::disk::{Folder, look_at_catalog};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{ImageId, LabelId, SpaceId};
use crate::operation::Role;
use crate::options::OpenOptions;
use crate::process::leaving::{Inside, inside, inside_slow};
use crate::vote::Ballot;

/// The files as they are now.
#[derive(Default)]
struct Again {
    /// `None`: they are no catalog any more.
    db: Option<DB>,
    problem: Option<String>,
    /// Behind the files that are closed.
    closing: Option<Inside>,
}

impl Drop for Again {
    fn drop(&mut self) {
        self.closing = Some(inside());
    }
}

fn open(folder: &Folder, paranoid: bool) -> Result<DB> {
    look_at_catalog(folder)?;
    logs::check(folder)?;
    let mut options = options_beside(folder, &OpenOptions::new())?;
    options.set_paranoid_checks(paranoid);
    let families = Family::ALL.map(|family| ColumnFamilyDescriptor::new(family.name(), family.options(&Work::USUAL)));
    DB::open_cf_descriptors_read_only(&options, folder.native(), families, false).map_err(Error::of_catalog)
}

impl Catalog {
    /// Reads every family through on the disk, checksums compared, and says which of them cannot be read to the end. Writes go on
    /// meanwhile. A writer that is too busy for a second look is read through its own handle, which may have blocks in memory.
    ///
    /// Complexity: reads all tables and logs once.
    ///
    /// # Errors
    /// `Io`: the folder cannot be listed; `Corrupt`: the handle lacks a family; `Cancelled`: `look` gave it, which is called at every
    /// thousandth entry.
    pub(crate) fn damages(&self, look: &mut dyn FnMut() -> Result<()>) -> Result<Vec<String>> {
        let again = self.open_again()?;
        let mut problems: Vec<String> = again.problem.iter().cloned().collect();
        for family in Family::ALL {
            if let Err(error) = salvage::read_through(again.db.as_ref().unwrap_or(&self.store.db), family, look) {
                if error.kind() == ErrorKind::Cancelled {
                    return Err(error);
                }
                problems.push(format!("the family '{}' cannot be read: {}", family.name(), error.message()));
            }
        }
        if !self.is_read_only() && !identity::is_copied(&self.store.db)? {
            problems.push("the two copies of the database's identity differ".to_owned());
        }
        Ok(problems)
    }

    /// How many families there are.
    pub(crate) const FAMILIES: usize = Family::ALL.len();

    fn open_again(&self) -> Result<Again> {
        let _inside = inside_slow();
        let folder = &self.store.db.folder;
        for _ in 0..BESIDE_TRIES {
            let written = self.store.db.latest_sequence_number();
            let before = moving_files(folder)?;
            let opened = open(folder, true);
            let after = moving_files(folder)?;
            if !after.same_logs(&before) || (opened.is_err() && after != before) {
                std::thread::sleep(BESIDE_PAUSE);
                continue;
            }
            return Ok(match opened {
                // RocksDB reads a log up to its first damaged record, and silently drops the rest.
                Ok(db) => {
                    let read = db.latest_sequence_number();
                    let problem = format!("the catalog's log is damaged: of {written} changes {read} can be read");
                    Again {
                        problem: (read < written && !self.is_read_only()).then_some(problem),
                        db: Some(db),
                        closing: None,
                    }
                }
                Err(error) if salvage::is_damaged(&error) => {
                    let problem = format!("the catalog could not be opened: {}", error.message());
                    Again { db: open(folder, false).ok(), problem: Some(problem), closing: None }
                }
                Err(error) => return Err(error),
            });
        }
        Ok(Again::default())
    }
}

impl Pinned {
    /// Every external key and the image that it leads to.
    pub(crate) fn each_key(&self, mut visit: impl FnMut(&str, ImageId)) -> Result<()> {
        self.scan(Family::Keys, &[], |key, value| {
            visit(&String::from_utf8_lossy(key), ImageId(codec::number_of(value)?));
            Ok(true)
        })
    }

    /// Every posting of a space and k, whatever its label.
    pub(crate) fn each_posting(
        &self,
        space: SpaceId,
        k: usize,
        mut visit: impl FnMut(Role, Ballot<LabelId>, &str, ImageId),
    ) -> Result<()> {
        let prefix = codec::predictions_prefix(space, k);
        self.scan(Family::ByInstance, &prefix, |key, value| {
            let (role, label) = codec::role_and_label_of(key, prefix.len())?;
            let (score, external) = codec::posting_of(key, codec::posting_prefix(space, k, role, label).len())?;
            visit(role, Ballot { label, score }, external, ImageId(codec::number_of(value)?));
            Ok(true)
        })
    }

    /// Families with derived entries of a space that is neither this one nor being derived, or of another k, which nobody would ever
    /// change again; and how many.
    pub(crate) fn stray_entries(&self, k: usize) -> Result<Vec<(&'static str, usize)>> {
        let mut spaces = vec![self.space()];
        spaces.extend(self.deriving()?);
        let mut found = Vec::new();
        for family in [Family::Neighbours, Family::Voters, Family::Predictions, Family::ByInstance] {
            let has_k = matches!(family, Family::Predictions | Family::ByInstance);
            let own: Vec<Vec<u8>> = match has_k {
                true => spaces.iter().map(|&space| codec::predictions_prefix(space, k).to_vec()).collect(),
                false => spaces.iter().map(|&space| codec::space_key(space).to_vec()).collect(),
            };
            let mut strays = 0;
            self.scan(family, &[], |key, _| {
                strays += usize::from(!own.iter().any(|own| key.starts_with(own)));
                Ok(true)
            })?;
            if strays > 0 {
                found.push((family.name(), strays));
            }
        }
        Ok(found)
    }

    /// What is stored and cannot be understood: descriptors of another length than their space's, waiting transactions, features,
    /// cleanings, marks.
    pub(crate) fn nonsense(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for space in self.spaces()? {
            self.scan(Family::Embeddings, &codec::space_key(space.id), |key, value| {
                if value.len() != 4 * space.dimension {
                    let id = codec::image_of_space_key(key)?.0;
                    found.push(format!(
                        "the descriptor of image {id} in model {} has {} bytes",
                        space.id.0,
                        value.len()
                    ));
                }
                Ok(true)
            })?;
        }
        self.each_waiting(|sequence, operations| {
            if let Err(error) = operations {
                found.push(format!("the deferred write {sequence} cannot be applied: {}", error.message()));
            }
            Ok(())
        })?;
        self.scan(Family::Features, &[], |key, value| {
            if !matches!(value.first(), Some(0 | 1)) {
                found.push(format!("the local features of image {} cannot be read", codec::image_of_key(key)?.0));
            }
            Ok(true)
        })?;
        let (cleanings, marks) = (self.cleanings(), self.marks());
        found.extend(cleanings.as_ref().err().map(|error| error.message().to_owned()));
        found.extend(marks.as_ref().err().map(|error| format!("the marks of cleanings: {}", error.message())));
        if let (Ok(cleanings), Ok(marks)) = (cleanings, marks) {
            for (id, number) in marks {
                if !cleanings.iter().any(|cleaning| cleaning.number == number) {
                    found.push(format!("image {} has the mark of cleaning {number}, which does not exist", id.0));
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::path::{Path, PathBuf};

    use super::super::Batch;
    use super::*;
    use crate::disk::{CATALOG, Lock};
    use crate::options::Options;

    /// The tables of a catalog that holds something in every family, each with the name of its family.
    fn written(folder: &Path) -> (Catalog, Vec<(String, PathBuf)>) {
        std::fs::create_dir_all(folder).unwrap();
        let folder = Folder::open(folder).unwrap();
        Catalog::create(folder.inner_or_new(CATALOG, "test").unwrap(), Options::for_vectors(2), &[]).unwrap();
        let catalog = Catalog::open(&folder, Lock::take(&folder).unwrap(), &Default::default()).unwrap();
        let mut batch = Batch::new(&catalog);
        for family in Family::ALL {
            let key =
                if family == Family::Labels { codec::label_text_key(LabelId(0)).to_vec() } else { vec![b'z'; 20] };
            batch.put(family, &key, &[7; 300]).unwrap();
        }
        batch.commit().unwrap();
        catalog.flush().unwrap();
        let tables = catalog.store.db.live_files().unwrap();
        let path = |name: &str| catalog.store.db.path().join(name.trim_start_matches('/'));
        let tables = tables.iter().map(|table| (table.column_family_name.clone(), path(&table.name))).collect();
        (catalog, tables)
    }

    /// It catches: a family left out of the reading, blocks taken from memory instead of the disk, checksums that are not compared.
    #[test]
    fn a_flipped_bit_in_any_family_is_told_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let (catalog, tables) = written(folder.path());
        assert_eq!(catalog.damages(&mut || Ok(())).unwrap(), Vec::<String>::new());
        assert_eq!(tables.len(), Family::ALL.len());
        for (family, table) in &tables {
            let whole = std::fs::read(table).unwrap();
            // The first block holds the entries; what lies behind them, the index and the footer, is no family's alone.
            for at in [0, 9, whole.len() / 2, whole.len() - 60, whole.len() - 1] {
                let mut damaged = whole.clone();
                damaged[at] ^= 1 << (at % 8);
                std::fs::write(table, &damaged).unwrap();
                let problems = catalog.damages(&mut || Ok(())).unwrap();
                assert!(!problems.is_empty(), "byte {at} of {} of '{family}'", whole.len());
                if at < 10 {
                    let name = format!("'{family}'");
                    assert!(problems.iter().any(|problem| problem.contains(&name)), "{name}: {problems:?}");
                    assert_eq!(problems.iter().filter(|problem| problem.contains("the family '")).count(), 1);
                }
            }
            std::fs::write(table, &whole).unwrap();
        }
        assert_eq!(catalog.damages(&mut || Ok(())).unwrap(), Vec::<String>::new());
    }

    /// It catches: a log that is believed as far as it goes.
    #[test]
    fn a_flipped_bit_in_the_log_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (catalog, _) = written(folder.path());
        for value in [1u8, 2] {
            let mut batch = Batch::new(&catalog);
            batch.put(Family::Blobs, b"photo", &[value; 500]).unwrap();
            batch.commit().unwrap();
        }
        assert_eq!(catalog.damages(&mut || Ok(())).unwrap(), Vec::<String>::new());
        let logs = std::fs::read_dir(catalog.store.db.path()).unwrap().map(|entry| entry.unwrap().path());
        let log = logs.filter(|path| path.extension().is_some_and(|end| end == "log")).max().unwrap();
        let mut bytes = std::fs::read(&log).unwrap();
        let at = bytes.len() - 20;
        bytes[at] ^= 1;
        std::fs::write(&log, bytes).unwrap();
        let problems = catalog.damages(&mut || Ok(())).unwrap();
        assert!(problems.iter().any(|problem| problem.contains("log is damaged")), "{problems:?}");
    }
}
