//! The user's own photos: a subfolder for each label, split by a hash of each photo's name.

use std::fs;
use std::path::{Path, PathBuf};

use cairn::{Error, Result};

use super::random::Random;
use super::split::{Part, Photo};

/// Endings of photo files.
const ENDINGS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"];
/// Share of a label's photos that vote; of the rest, a share asks and the others are searched.
const TRAIN_SHARE: f64 = 0.35;
const QUERY_SHARE: f64 = 0.12;
/// Folders in folders, at most.
const MOST_LEVELS: usize = 16;

/// The photos of `folder`, which has a subfolder for each label, split by `seed`: every label gives at least one to train, then to the index, then to the queries.
///
/// # Errors
/// When the folder cannot be read or holds too little to search.
pub fn split_folder(folder: &Path, seed: u64) -> Result<Vec<Photo>> {
    let mut labels: Vec<PathBuf> = entries(folder)?.into_iter().filter(|path| path.is_dir()).collect();
    labels.sort();
    let mut photos = Vec::new();
    for subfolder in &labels {
        let label = subfolder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if label.starts_with('.') {
            continue;
        }
        let mut files = Vec::new();
        collect(subfolder, 0, &mut files)?;
        let mut named: Vec<(u64, PathBuf)> = files
            .into_iter()
            .map(|file| {
                let name = file.strip_prefix(folder).unwrap_or(&file).to_string_lossy().into_owned();
                (hash(seed, &name), file)
            })
            .collect();
        named.sort();
        let parts = parts(named.len());
        for ((number, file), part) in named.into_iter().zip(parts) {
            let path = std::path::absolute(&file).unwrap_or(file);
            photos.push(Photo { id: format!("{number:016x}"), path, part, truth: label.clone(), given: label.clone() });
        }
    }
    let has = |part| photos.iter().any(|photo| photo.part == part);
    if !(has(Part::Train) && has(Part::Index) && has(Part::Query)) {
        return Err(Error::invalid(format!("{} holds too few photos to search", folder.display()))
            .help("put the photos of each label into one subfolder, at least three photos in one of them: DIR/label/photo.jpg"));
    }
    photos.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(photos)
}

/// Who gets how many of `count` photos, in order.
fn parts(count: usize) -> Vec<Part> {
    let share = |share: f64| (count as f64 * share).round() as usize;
    let train = share(TRAIN_SHARE).clamp(1, count.max(1));
    let query = if count >= 3 { share(QUERY_SHARE).max(1) } else { 0 };
    (0..count)
        .map(|at| match at {
            at if at < train => Part::Train,
            at if at < train + query => Part::Query,
            _ => Part::Index,
        })
        .collect()
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error| Error::io(folder, error);
    fs::read_dir(folder).map_err(failed)?.map(|entry| Ok(entry.map_err(failed)?.path())).collect()
}

fn collect(folder: &Path, level: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    for path in entries(folder)? {
        let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_lowercase);
        if path.is_dir() && level < MOST_LEVELS {
            collect(&path, level + 1, files)?;
        } else if ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str())) && path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// A number of the name's own: adding photos leaves the others where they are, as far as the shares allow.
fn hash(seed: u64, name: &str) -> u64 {
    let parts = name.as_bytes().chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    });
    let named: Vec<u64> = [seed, name.len() as u64].into_iter().chain(parts).collect();
    Random::of(&named).bits()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn each_label_feeds_train_first_then_the_index_then_the_queries() {
        let count = |n: usize| {
            let parts = parts(n);
            [Part::Train, Part::Index, Part::Query].map(|part| parts.iter().filter(|&&p| p == part).count())
        };
        assert_eq!(count(0), [0, 0, 0]);
        assert_eq!(count(1), [1, 0, 0]);
        assert_eq!(count(2), [1, 1, 0]);
        assert_eq!(count(3), [1, 1, 1]);
        assert_eq!(count(100), [35, 53, 12]);
    }

    #[test]
    fn a_folder_is_split_by_name_and_the_split_stays() {
        let folder = tempfile::tempdir().unwrap();
        for label in ["cat", "dog"] {
            fs::create_dir_all(folder.path().join(label).join("deep")).unwrap();
            for n in 0..10 {
                fs::write(folder.path().join(label).join("deep").join(format!("{n}.JPG")), b"x").unwrap();
            }
            fs::write(folder.path().join(label).join("notes.txt"), b"x").unwrap();
        }
        let split = |seed| split_folder(folder.path(), seed).unwrap();
        let ids = |photos: &[Photo]| photos.iter().map(|p| (p.id.clone(), p.part as u8)).collect::<Vec<_>>();
        assert_eq!(split(1).len(), 20);
        assert_eq!(ids(&split(1)), ids(&split(1)));
        assert_ne!(ids(&split(1)), ids(&split(2)));
        assert!(split(1).iter().all(|photo| photo.truth == "cat" || photo.truth == "dog"));
    }

    #[test]
    fn too_few_photos_are_refused_with_a_next_step() {
        let folder = tempfile::tempdir().unwrap();
        assert!(split_folder(folder.path(), 1).unwrap_err().next_step().is_some());
        assert!(split_folder(&folder.path().join("absent"), 1).is_err());
    }
}
