//! A folder of photos: every image file below it, with its relative path as key.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use cairn::{Error, Result};

use super::{Item, Listing, Spellings};

/// File extensions of photos, in any case.
pub const PHOTO_EXTENSIONS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"];

/// All photos below `folder`, in byte order of their keys. Key: the path relative to the folder, unchanged. With `labels`, the
/// first subfolder is the label, in the spelling that the database keeps, and photos beside the subfolders have none. Names that
/// start with a dot are skipped. Links to folders are followed, and each folder is listed once: under its real path if that is
/// below `folder`, otherwise under the first link to it in byte order. Folders and links that cannot be followed are reported by
/// name.
///
/// # Errors
/// When the folder cannot be read, or has no photo.
pub fn list_folder(folder: &Path, mut labels: Option<&mut Spellings>) -> Result<Listing> {
    let mut listing = Listing::default();
    let mut seen = HashSet::new();
    let mut waiting = Waiting { folders: vec![folder.to_owned()], links: BTreeSet::new() };
    while let Some(current) = waiting.next() {
        let entries = current.canonicalize().and_then(|real| match seen.insert(real) {
            true => fs::read_dir(&current).map(Some),
            false => Ok(None),
        });
        let entries = match entries {
            Ok(Some(entries)) => entries,
            Ok(None) => continue,
            Err(error) if current == folder => return Err(Error::io(folder, error)),
            Err(error) => {
                listing.refused.push((current.display().to_string(), error.to_string()));
                continue;
            }
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    listing.refused.push((current.display().to_string(), error.to_string()));
                    continue;
                }
            };
            let path = entry.path();
            if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
                continue;
            }
            match fs::metadata(&path) {
                Ok(about) if about.is_dir() => {
                    waiting.push(path, entry.file_type().is_ok_and(|kind| kind.is_symlink()))
                }
                // If it cannot be read, the reading reports it.
                _ if is_photo(&path) => match item(folder, path, labels.as_deref_mut()) {
                    Ok(item) => listing.items.push(item),
                    Err(refused) => listing.refused.push(refused),
                },
                Ok(_) => {}
                // It may have photos: a folder without permission, a path that is too long, or a link that leads nowhere.
                Err(error) if !entry.file_type().is_ok_and(|kind| kind.is_file()) => {
                    listing.refused.push((path.display().to_string(), error.to_string()));
                }
                Err(_) => {}
            }
        }
    }
    if listing.items.is_empty() && listing.refused.is_empty() {
        return Err(Error::not_found(format!("{}: this folder has no photos", folder.display()))
            .help(format!("photos are files that end in {}", PHOTO_EXTENSIONS.join(", "))));
    }
    listing.items.sort_by(|a, b| a.key.cmp(&b.key));
    listing.refused.sort();
    Ok(listing)
}

/// Folders that are still to be read. The listing finds everything below them before it follows a link, and follows links in
/// order: so the path of a folder does not depend on the order in which a directory lists its names.
struct Waiting {
    folders: Vec<PathBuf>,
    links: BTreeSet<PathBuf>,
}

impl Waiting {
    fn push(&mut self, path: PathBuf, is_link: bool) {
        if is_link {
            self.links.insert(path);
        } else {
            self.folders.push(path);
        }
    }

    fn next(&mut self) -> Option<PathBuf> {
        self.folders.pop().or_else(|| self.links.pop_first())
    }
}

/// Whether a name ends like a photo's ([`PHOTO_EXTENSIONS`]).
pub fn is_photo(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
    extension.is_some_and(|extension| PHOTO_EXTENSIONS.contains(&extension.as_str()))
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
    Ok(Item { key, path, label, given: false })
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
}
