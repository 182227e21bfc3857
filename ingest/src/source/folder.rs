//! A folder of photos as people have them: every photo below it, whatever its name, with its relative path as key.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn::{Database, Error, Result};

use super::exclude::{Exclude, FILE, Rules};
use super::sniff::{Sort, is_named_like_a_photo, sniff};
use super::{Item, Listing, Spellings};

/// Names that cameras, systems and storage boxes leave in folders of photos, in lower case. Names that start with a dot are hidden
/// and need not be here.
const LEFTOVERS: [&str; 13] = [
    "@eadir",
    "@recycle",
    "@recently-snapshot",
    "@tmp",
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "recycler",
    "system volume information",
    "lost+found",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
];

/// All photos below `folder`: [`list_folder_but`] without exclusions.
///
/// # Errors
/// As [`list_folder_but`].
pub fn list_folder(folder: &Path, labels: Option<&mut Spellings>) -> Result<Listing> {
    list_folder_but(folder, &Exclude::default(), labels)
}

/// All photos below `folder`, in byte order of their keys. Key: the path relative to the folder, unchanged. With `labels`, the
/// first subfolder is the label, in the spelling that the database keeps, and photos beside the subfolders have none. A file with
/// the name of a photo counts as one; any other is one if its first bytes are a photo's.
///
/// Hidden names, leftovers of systems, databases, and names that `exclude` or a `.cairnignore` excludes are left out and
/// counted. Links to folders are followed, and each folder is listed once: under its real path if that is below `folder`,
/// otherwise under the first link to it in byte order. Folders and links that cannot be followed are reported by name.
///
/// Complexity: a call of the system for each entry, and for each that has no photo's name an opening.
///
/// # Errors
/// When the folder cannot be read, or has no photo; a pattern that is none.
pub fn list_folder_but(folder: &Path, exclude: &Exclude, labels: Option<&mut Spellings>) -> Result<Listing> {
    let mut walk = Walk { root: folder, labels, listing: Listing::default() };
    let mut seen = HashSet::new();
    let mut waiting = Waiting { folders: vec![(folder.to_owned(), exclude.at(folder)?)], links: BTreeSet::new() };
    while let Some((current, rules)) = waiting.next(exclude, folder)? {
        let entries = current.canonicalize().and_then(|real| match seen.insert(real) {
            true => fs::read_dir(&current).map(Some),
            false => Ok(None),
        });
        let entries = match entries {
            Ok(Some(entries)) => entries,
            Ok(None) => continue,
            Err(error) if current == folder => return Err(Error::io(folder, error)),
            Err(error) => {
                walk.refuse(&current, &error);
                continue;
            }
        };
        let rules = rules.inside(&current)?;
        for entry in entries {
            match entry {
                Ok(entry) => walk.entry(&entry, &rules, &mut waiting),
                Err(error) => walk.refuse(&current, &error),
            }
        }
    }
    let mut listing = walk.listing;
    if listing.items.is_empty() && listing.refused.is_empty() {
        let what = format!("{}: this folder has no photos", folder.display());
        let left_out = listing.left_out.sentences().join("; ");
        let why = if left_out.is_empty() { String::new() } else { format!(" ({left_out})") };
        return Err(
            Error::not_found(format!("{what}{why}")).help("give a folder of JPEG, PNG, WebP, HEIC or other photos")
        );
    }
    listing.items.sort_by(|a, b| a.key.cmp(&b.key));
    listing.refused.sort();
    Ok(listing)
}

/// A listing that grows.
struct Walk<'a> {
    root: &'a Path,
    labels: Option<&'a mut Spellings>,
    listing: Listing,
}

impl Walk<'_> {
    fn refuse(&mut self, path: &Path, error: &dyn std::fmt::Display) {
        self.listing.refused.push((path.display().to_string(), error.to_string()));
    }

    fn entry(&mut self, entry: &fs::DirEntry, rules: &Arc<Rules>, waiting: &mut Waiting) {
        let path = entry.path();
        let about = fs::metadata(&path);
        let is_folder = about.as_ref().is_ok_and(fs::Metadata::is_dir);
        let left_out = &mut self.listing.left_out;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') {
            left_out.hidden += usize::from(name != FILE);
        } else if LEFTOVERS.contains(&&*name.to_lowercase()) {
            left_out.leftovers.insert(name.into_owned());
        } else if rules.exclude(&path, is_folder) {
            left_out.excluded += 1;
        } else if is_folder && Database::is_at(&path) {
            left_out.databases.push(path.display().to_string());
        } else {
            match about {
                Ok(_) if is_folder => {
                    waiting.push(path, entry.file_type().is_ok_and(|kind| kind.is_symlink()), rules);
                }
                // If it cannot be read, the reading reports it.
                _ if is_named_like_a_photo(&path) => self.photo(path),
                Ok(about) if about.is_file() => match sniff(&path) {
                    Ok(Sort::Photo) => self.photo(path),
                    Ok(Sort::Text | Sort::Other(_)) => left_out.note_unread(&path),
                    Err(error) => self.refuse(&path, &error),
                },
                Ok(_) => left_out.note_unread(&path),
                // It may have photos: a folder without permission, a path that is too long, or a link that leads nowhere.
                Err(error) if !entry.file_type().is_ok_and(|kind| kind.is_file()) => self.refuse(&path, &error),
                Err(_) => {}
            }
        }
    }

    fn photo(&mut self, path: PathBuf) {
        match item(self.root, path, self.labels.as_deref_mut()) {
            Ok(item) => self.listing.items.push(item),
            Err(refused) => self.listing.refused.push(refused),
        }
    }
}

/// Folders that are still to be read, with the rules of the one above. The listing finds everything below them before it follows a
/// link, and follows links in order: so the path of a folder does not depend on the order in which a directory lists its names.
struct Waiting {
    folders: Vec<(PathBuf, Arc<Rules>)>,
    links: BTreeSet<PathBuf>,
}

impl Waiting {
    fn push(&mut self, path: PathBuf, is_link: bool, rules: &Arc<Rules>) {
        if is_link {
            self.links.insert(path);
        } else {
            self.folders.push((path, Arc::clone(rules)));
        }
    }

    /// Rules are few and links are rare: those of a link's folder are read again.
    fn next(&mut self, exclude: &Exclude, root: &Path) -> Result<Option<(PathBuf, Arc<Rules>)>> {
        if let Some(next) = self.folders.pop() {
            return Ok(Some(next));
        }
        let Some(link) = self.links.pop_first() else { return Ok(None) };
        let above = link.parent().unwrap_or(root);
        let mut rules = exclude.at(root)?;
        let steps: Vec<&Path> = above.ancestors().take_while(|step| step.starts_with(root)).collect();
        for step in steps.into_iter().rev() {
            rules = rules.inside(step)?;
        }
        Ok(Some((link, rules)))
    }
}

fn item(folder: &Path, path: PathBuf, labels: Option<&mut Spellings>) -> Result<Item, (String, String)> {
    let relative = path.strip_prefix(folder).unwrap_or(&path);
    let Some(key) = relative.to_str().map(str::to_owned) else {
        return Err((relative.display().to_string(), "the name is not UTF-8; rename the file".to_owned()));
    };
    let mut parts = relative.components();
    let first = parts.next().and_then(|part| part.as_os_str().to_str()).map(str::to_owned);
    let label = match (labels, first.filter(|_| parts.next().is_some())) {
        (Some(labels), Some(first)) => Some(labels.plain(&first)).filter(|label| !label.is_empty()),
        _ => None,
    };
    Ok(Item { label, ..Item::found(key, path) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn photos_are_found_at_every_depth_in_key_order() {
        let root = tempfile::tempdir().unwrap();
        for name in ["b/2.JPG", "b/deep/3.png", "a/1.jpeg", "top.webp", "notes.txt", ".hidden/4.jpg"] {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink(root.path(), root.path().join("b/loop")).unwrap();
        let listing = list_folder(root.path(), Some(&mut Spellings::default())).unwrap();
        let found: Vec<_> = listing.items.iter().map(|i| (i.key.as_str(), i.label.as_deref())).collect();
        let expected =
            [("a/1.jpeg", Some("a")), ("b/2.JPG", Some("b")), ("b/deep/3.png", Some("b")), ("top.webp", None)];
        assert_eq!(found, expected);
        assert!(list_folder(root.path(), None).unwrap().items.iter().all(|item| item.label.is_none()));
    }

    /// It catches: a label that depends on the order in which a directory lists its names, or on the link that leads to a folder.
    #[test]
    fn a_linked_folder_is_listed_under_its_own_place_or_its_first_link() {
        let root = tempfile::tempdir().unwrap();
        let (photos, outside) = (root.path().join("photos"), root.path().join("outside"));
        for path in [photos.join("middle/1.jpg"), outside.join("2.jpg")] {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        }
        // In every order of creation: directories list names in that order, in its reverse, or by their hash.
        for names in [["a", "b", "n", "z"], ["z", "n", "b", "a"], ["n", "a", "z", "b"]] {
            for name in names {
                let to = if name == "a" || name == "z" { Path::new("middle") } else { outside.as_path() };
                std::os::unix::fs::symlink(to, photos.join(name)).unwrap();
            }
            let mut spellings = Spellings::default();
            let found: Vec<_> = list_folder(&photos, Some(&mut spellings)).unwrap().items;
            let found: Vec<_> = found.iter().map(|item| (item.key.as_str(), item.label.as_deref())).collect();
            assert_eq!(found, [("b/2.jpg", Some("b")), ("middle/1.jpg", Some("middle"))], "{names:?}");
            for name in names {
                fs::remove_file(photos.join(name)).unwrap();
            }
        }
    }

    #[test]
    fn what_may_hold_photos_and_cannot_be_reached_is_named() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("a.jpg"), b"x").unwrap();
        std::os::unix::fs::symlink("nowhere", root.path().join("card")).unwrap();
        std::os::unix::fs::symlink("circle", root.path().join("circle")).unwrap();
        let name = "n".repeat(200);
        let deep = (0..20).fold(root.path().to_owned(), |folder, _| folder.join(&name));
        fs::create_dir_all(&deep).unwrap();
        // Longer than the system's limit for a path: only the last steps are relative.
        let step = rustix::fs::open(
            &deep,
            rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::PATH,
            rustix::fs::Mode::empty(),
        );
        let step = step.unwrap();
        rustix::fs::mkdirat(&step, &name, rustix::fs::Mode::RWXU).unwrap();
        let listing = list_folder(root.path(), None).unwrap();
        assert_eq!(listing.items.len(), 1);
        let refused: Vec<_> = listing.refused.iter().map(|(name, _)| name.rsplit('/').next().unwrap()).collect();
        assert_eq!(refused, ["card", "circle", name.as_str()], "{:?}", listing.refused);
    }

    #[test]
    fn an_empty_and_a_missing_folder_are_errors() {
        let root = tempfile::tempdir().unwrap();
        assert!(list_folder(root.path(), None).unwrap_err().to_string().contains("no photo"));
        assert_eq!(list_folder(&root.path().join("no"), None).unwrap_err().kind(), cairn::ErrorKind::NotFound);
    }

    /// It catches: a photo known by its name alone, something left out silently, a pattern that reaches out of its folder.
    #[test]
    fn content_decides_and_what_is_left_out_is_counted() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        let png = b"\x89PNG\r\n\x1A\n";
        for name in
            ["a.jfif", "no ending", "b.mov", "raw/c.DNG", "raw/x.jpg", "raw/keep.jpg", "other/raw.txt", "skip/d.jpg"]
        {
            write(name, png);
        }
        for name in [
            "clip.MOV",
            "clip.mov",
            "notes.txt",
            "README",
            "@eaDir/a.jpg",
            "other/Thumbs.db",
            "._a.jpg",
            ".hidden/b.jpg",
        ] {
            write(name, b"words");
        }
        write(".cairnignore", b"# camera raws\n/raw/*\n!keep.jpg\n");
        write("other/.cairnignore", b"a.png\n");
        write("other/a.png", png);
        write("a.png", png);
        cairn::Database::create(root.path().join("photos.db"), cairn::Options::for_vectors(2)).unwrap();
        let exclude = Exclude::new(["skip/".to_owned()]);
        let listing = list_folder_but(root.path(), &exclude, None).unwrap();
        let found: Vec<&str> = listing.items.iter().map(|item| &*item.key).collect();
        assert_eq!(found, ["a.jfif", "a.png", "b.mov", "no ending", "other/raw.txt", "raw/keep.jpg"]);
        assert!(listing.refused.is_empty(), "{:?}", listing.refused);
        let sentences = listing.left_out.sentences();
        assert_eq!(
            sentences,
            [
                "4 files of kinds that are not read: .mov 2, no ending 1, .txt 1",
                "4 excluded entries",
                &format!("1 database: '{}'", root.path().join("photos.db").display()),
                "what systems leave behind: @eaDir, Thumbs.db",
                "2 hidden entries",
            ]
        );
        assert!(list_folder_but(root.path(), &Exclude::new(["[z-a]".to_owned()]), None).is_err());
    }
}
