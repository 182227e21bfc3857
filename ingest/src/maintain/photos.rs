//! The photo of an image as it was ingested: nothing that a thumbnail could stand for.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use cairn::{Database, Embed, Error, ErrorKind, Keep, Photo, Result, Snapshot};
use rayon::prelude::*;

use crate::embedder::PhotoEmbedder;
use crate::photo::{Pixels, about_photo, read_photo};

/// What to do about a photo that cannot be embedded.
const MEND: &str = "put a sound file back where it was, or DELETE the image, and give the same command again";

/// The photo behind an image: its file, or the bytes that the database keeps where it keeps originals. A file that is another than
/// was ingested (by `content`, its BLAKE3 then) is none: a descriptor of it would stand beside the label and the thumbnail of the first.
///
/// # Errors
/// `NotFound`: the file is gone, and a thumbnail or nothing is kept of it; `Mismatch`: it is another one.
pub(super) fn original(
    key: &str,
    source: Option<&str>,
    content: Option<[u8; 32]>,
    kept: Option<Vec<u8>>,
    keep: Keep,
) -> Result<Photo> {
    let file = source.map(PathBuf::from).filter(|path| path.is_file());
    let is_it = file.as_deref().zip(content).map(|(path, content)| hash(path).map(|now| now == content));
    match (file, is_it, kept) {
        (Some(path), None | Some(Ok(true)), _) => Ok(Photo::File(path)),
        (_, _, Some(bytes)) if keep == Keep::Original => Ok(Photo::Bytes(bytes)),
        // Whoever reads a file that cannot be read tells of it.
        (Some(path), Some(Err(_)), _) => Ok(Photo::File(path)),
        (Some(path), Some(Ok(false)), _) => {
            let changed = format!("{} is not the photo any more that was ingested as '{key}'", path.display());
            Err(Error::new(ErrorKind::Mismatch, changed).help(
                "ingest it again, which takes the new photo in, or put the first one back, and give the same command again",
            ))
        }
        (None, _, kept) => {
            let place = source.map_or_else(String::new, |path| format!(" ({path})"));
            let rest = match kept {
                Some(_) => "only a thumbnail is kept, and its descriptor would not be the photo's",
                None => "nothing is kept of it",
            };
            Err(Error::not_found(format!("the photo of '{key}'{place} is not there any more, and {rest}")).help(MEND))
        }
    }
}

fn hash(path: &Path) -> std::io::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(*hasher.finalize().as_bytes())
}

/// The same for an image of a snapshot.
pub(super) fn of_image(database: &Database, snapshot: &Snapshot, key: &str) -> Result<Photo> {
    let record = snapshot.record(key)?;
    let (source, content) = record.map_or((None, None), |record| (record.source, record.content));
    original(key, source.as_deref(), content, snapshot.photo(key)?, database.options().keep)
}

/// What is known of each of some images, in order.
pub(super) type Each<T> = Vec<Result<T>>;

/// The descriptors of photos, in order, with the keys of their images; the error of a photo names the image. On the CPU each on a
/// thread, on CUDA together.
///
/// # Errors
/// Those of the device.
pub(super) fn embed_all(embedder: &PhotoEmbedder, photos: &[(String, Photo)]) -> Result<Each<Vec<f32>>> {
    if embedder.model().preferred_batch() == 1 {
        let one = |(key, photo): &(String, Photo)| match embedder.embed(photo) {
            Ok(embedded) => Ok(embedded.vector),
            Err(error) => Err(named(key, &error)),
        };
        return Ok(photos.par_iter().map(one).collect());
    }
    let ready = |(key, photo): &(String, Photo)| {
        let pixels = || {
            let bytes = read_photo(photo, embedder.limits())?;
            Ok(embedder.prepare(bytes).map_err(|error| about_photo(photo, error))?.pixels)
        };
        pixels().map_err(|error: Error| named(key, &error))
    };
    let ready: Each<Pixels> = photos.par_iter().map(ready).collect();
    let mut made = embedder.model().embed(&ready.iter().flatten().collect::<Vec<_>>())?.into_iter();
    Ok(ready.into_iter().filter_map(|pixels| pixels.map(|_| made.next()).transpose()).collect())
}

/// The descriptors that are stored, completed by those of the photos of the images that have none; how many were made. `photo` gives
/// the key and the photo of the image at a place.
///
/// # Errors
/// Those of the device.
pub(super) fn completed(
    embedder: &PhotoEmbedder,
    stored: Vec<Option<Vec<f32>>>,
    photo: impl Fn(usize) -> Result<(String, Photo)>,
) -> Result<(Each<Vec<f32>>, usize)> {
    let (mut there, mut lost) = (Vec::new(), BTreeMap::new());
    for at in (0..stored.len()).filter(|&at| stored[at].is_none()) {
        match photo(at) {
            Ok(photo) => there.push(photo),
            Err(error) => {
                lost.insert(at, error);
            }
        }
    }
    let made = embed_all(embedder, &there)?;
    let count = made.iter().flatten().count();
    let mut made = made.into_iter();
    let row = |(at, stored): (usize, Option<Vec<f32>>)| match (stored, lost.remove(&at)) {
        (Some(row), _) => Some(Ok(row)),
        (None, Some(error)) => Some(Err(error)),
        (None, None) => made.next(),
    };
    Ok((stored.into_iter().enumerate().filter_map(row).collect(), count))
}

fn named(key: &str, error: &Error) -> Error {
    let help = error.next_step().map_or_else(|| MEND.to_owned(), |own| format!("{own}; or DELETE the image"));
    Error::new(error.kind(), format!("'{key}': {}", error.message())).help(help)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_thumbnail_is_no_photo() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jpg");
        std::fs::write(&path, b"bytes").unwrap();
        let (there, gone) = (path.to_str().unwrap(), "/nowhere/a.jpg");
        let of =
            |source: &str, kept: Option<&[u8]>, keep| original("a", Some(source), None, kept.map(Into::into), keep);
        assert_eq!(of(there, None, Keep::Thumb).unwrap(), Photo::File(path.clone()));
        assert_eq!(of(gone, Some(b"kept"), Keep::Original).unwrap(), Photo::Bytes(b"kept".to_vec()));
        let refused = of(gone, Some(b"kept"), Keep::Thumb).unwrap_err();
        assert!(refused.to_string().contains("only a thumbnail") && refused.to_string().contains(gone), "{refused}");
        assert!(original("a", None, None, None, Keep::None).unwrap_err().to_string().contains("nothing is kept"));
    }

    #[test]
    fn another_file_in_its_place_is_not_the_photo() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jpg");
        let of = |kept: Option<&[u8]>, keep| {
            let content = Some(*blake3::hash(b"bytes").as_bytes());
            original("a", path.to_str(), content, kept.map(Into::into), keep)
        };
        std::fs::write(&path, b"bytes").unwrap();
        assert_eq!(of(Some(b"bytes"), Keep::Original).unwrap(), Photo::File(path.clone()));
        std::fs::write(&path, b"byt").unwrap();
        assert_eq!(of(Some(b"bytes"), Keep::Original).unwrap(), Photo::Bytes(b"bytes".to_vec()));
        for keep in [Keep::Thumb, Keep::None] {
            let refused = of(Some(b"small"), keep).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Mismatch);
            assert!(refused.next_step().unwrap().contains("ingest it again"), "{refused}");
        }
    }
}
