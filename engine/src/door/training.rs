//! The folder for a program's files of its trainings, inside the database's.

use std::path::{Path, PathBuf};

use super::database::Database;
use crate::disk::{Folder, TRAINING};
use crate::error::Result;

/// A folder of a database, held open: whatever is put in the database's place, files go into this one.
#[derive(Debug, Clone)]
pub struct HeldFolder(Folder);

impl HeldFolder {
    /// The path to reach its files by while this is held: it leads through the open folder, so it says nothing to people.
    pub fn path(&self) -> &Path {
        self.0.native()
    }

    /// A file of it as people know it.
    pub fn shown(&self, name: &str) -> PathBuf {
        self.0.path_of(name)
    }
}

impl Database {
    /// The folder `training` in the database's folder, made when it is missing. What lies in it is no part of the database.
    ///
    /// # Errors
    /// `Displaced`: the database's folder was moved, deleted or replaced; `Invalid`: opened for reading only, or something else has
    /// the name; `Io`.
    pub fn training_folder(&self) -> Result<HeldFolder> {
        let core = self.shared.core();
        core.refuse_when_read_only()?;
        core.check_place()?;
        self.shared.folder.inner_or_new(TRAINING, "training").map(HeldFolder)
    }
}
