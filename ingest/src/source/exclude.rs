//! What a listing of a folder leaves out: patterns of the caller, and files `.cairnignore` in the folders, both as in `.gitignore`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn::{Error, Result};
use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// The name of the files with patterns, for their folder and everything below it.
pub(super) const FILE: &str = ".cairnignore";
/// Largest such file: 1 MiB.
const MOST_BYTES: u64 = 1 << 20;

/// Patterns that exclude files and folders, as in a `.gitignore`: `*.png`, `raw/`, `/2019`, `!keep.png`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exclude {
    patterns: Vec<String>,
}

impl Exclude {
    /// Excludes what one of these patterns matches; a later pattern overrules an earlier one.
    pub fn new(patterns: impl IntoIterator<Item = String>) -> Self {
        Self { patterns: patterns.into_iter().collect() }
    }

    /// The rules for the entries of a listed folder.
    ///
    /// # Errors
    /// A pattern that is none.
    pub(super) fn at(&self, folder: &Path) -> Result<Arc<Rules>> {
        let mut builder = GitignoreBuilder::new(folder);
        for pattern in &self.patterns {
            builder.add_line(None, pattern).map_err(|error| no_pattern(pattern, &error))?;
        }
        let own = builder.build().map_err(|error| no_pattern("--exclude", &error))?;
        Ok(Arc::new(Rules { own, above: None }))
    }
}

fn no_pattern(what: &str, error: &ignore::Error) -> Error {
    Error::invalid(format!("'{what}' is no pattern: {error}"))
        .help("patterns are those of .gitignore, such as *.png or raw/")
}

/// The rules of a folder.
pub(super) struct Rules {
    own: Gitignore,
    above: Option<Arc<Rules>>,
}

impl Rules {
    /// The rules for the entries of a folder to which these apply: with those of its own file, if it has one.
    ///
    /// # Errors
    /// When the file cannot be read, or has a line that is no pattern.
    pub(super) fn inside(self: &Arc<Self>, folder: &Path) -> Result<Arc<Self>> {
        let path: PathBuf = folder.join(FILE);
        match std::fs::metadata(&path) {
            Ok(about) if about.is_file() && about.len() <= MOST_BYTES => {}
            Ok(about) if about.is_file() => {
                return Err(Error::invalid(format!("{}: larger than {} KiB", path.display(), MOST_BYTES >> 10)));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Arc::clone(self)),
            Err(error) => return Err(Error::io(&path, error)),
            // What it should leave out would go in.
            Ok(_) => return Err(Error::invalid(format!("{}: not a regular file", path.display()))),
        }
        let mut builder = GitignoreBuilder::new(folder);
        let refuse = |error: ignore::Error| {
            Error::invalid(format!("{} cannot be used: {error}", path.display()))
                .help("fix the file; its lines are patterns as in a .gitignore")
        };
        if let Some(error) = builder.add(&path) {
            return Err(refuse(error));
        }
        let own = builder.build().map_err(refuse)?;
        Ok(Arc::new(Self { own, above: Some(Arc::clone(self)) }))
    }

    /// Whether an entry is excluded; the innermost file that says something decides.
    pub(super) fn exclude(&self, path: &Path, is_folder: bool) -> bool {
        match self.own.matched(path, is_folder) {
            ignore::Match::Ignore(_) => true,
            ignore::Match::Whitelist(_) => false,
            ignore::Match::None => self.above.as_ref().is_some_and(|above| above.exclude(path, is_folder)),
        }
    }
}
