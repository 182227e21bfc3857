//! The sources of the compared photos (files, copies or thumbnails), and the files that were read.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

/// Folders that are named.
const NAMED: usize = 3;

/// What an image was compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sight {
    /// The file that it was ingested from.
    File,
    /// The original that the database keeps.
    Kept,
    /// The thumbnail that the database keeps: it shows less, so fewer pairs verify.
    Thumbnail,
}

impl Sight {
    /// Its word in answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Kept => "kept",
            Self::Thumbnail => "thumbnail",
        }
    }
}

/// How many images were compared by what.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Sights {
    /// By the file that they were ingested from, now or when their features were found.
    pub files: usize,
    /// By the original that the database keeps.
    pub kept: usize,
    /// By a thumbnail.
    pub thumbnails: usize,
    /// The files that were opened, for people: how many below which folders. `None`: none was; features are kept.
    pub read: Option<String>,
}

impl Sights {
    pub(crate) fn count(&mut self, sight: Sight) {
        *match sight {
            Sight::File => &mut self.files,
            Sight::Kept => &mut self.kept,
            Sight::Thumbnail => &mut self.thumbnails,
        } += 1;
    }

    /// All of them.
    pub fn all(&self) -> usize {
        self.files + self.kept + self.thumbnails
    }

    /// For people.
    pub fn words(&self) -> String {
        let Self { files, kept, thumbnails, .. } = self;
        let parts = [(files, "photo files"), (kept, "originals in the database"), (thumbnails, "thumbnails")];
        // The number of thumbnails is reported even if it is 0.
        let told = parts.iter().filter(|(count, what)| **count > 0 || *what == "thumbnails");
        let told: Vec<String> = told.map(|(count, what)| format!("{count} {what}")).collect();
        format!("compared by {}", told.join(", "))
    }
}

/// Which photos were read: the paths come from the database, which may be somebody else's, so the user must see them.
#[derive(Default)]
pub struct Readings(Mutex<Read>);

#[derive(Default)]
struct Read {
    /// Numbers of the files, since a training opens each many times.
    seen: HashSet<u64>,
    hash: RandomState,
    /// Files by folder.
    folders: BTreeMap<PathBuf, usize>,
}

impl Readings {
    /// A file is read; told once, however often that is.
    pub fn note(&self, path: &Path) {
        let mut read = self.0.lock();
        let number = read.hash.hash_one(path);
        if read.seen.insert(number) {
            *read.folders.entry(path.parent().unwrap_or(path).to_owned()).or_default() += 1;
        }
    }

    /// How many files were read, and below which folders: few of them, each as deep as that allows. `None`: none was.
    pub fn line(&self) -> Option<String> {
        let mut folders = self.0.lock().folders.clone();
        let all: usize = folders.values().sum();
        while folders.len() > NAMED {
            // The deepest goes into the folder that holds it, with all that lie beside it.
            let Some(deepest) = folders.keys().max_by_key(|folder| folder.components().count()) else { break };
            let above = deepest.parent().unwrap_or(deepest).to_owned();
            let count = folders.iter().filter(|(folder, _)| folder.starts_with(&above)).map(|(_, count)| count).sum();
            folders.retain(|folder, _| !folder.starts_with(&above));
            folders.insert(above, count);
        }
        let parts: Vec<String> = match folders.len() {
            1 => folders.keys().map(|folder| format!("below {}", folder.display())).collect(),
            _ => folders.iter().map(|(folder, count)| format!("{count} below {}", folder.display())).collect(),
        };
        (all > 0).then(|| format!("{all}: {}", parts.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_told_by_few_folders() {
        let read = Readings::default();
        assert_eq!(read.line(), None);
        for n in 0..20 {
            read.note(Path::new(&format!("/data/photos/{}/{n}.jpg", n % 7)));
            read.note(Path::new("/data/photos/0/0.jpg"));
        }
        assert_eq!(read.line().as_deref(), Some("20: below /data/photos"));
        read.note(Path::new("/home/anna/secret.jpg"));
        assert_eq!(read.line().as_deref(), Some("21: 20 below /data/photos, 1 below /home/anna"));
    }
}
