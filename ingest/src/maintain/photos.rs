//! The photo of an image as it was ingested: nothing that a thumbnail could stand for.

use std::path::PathBuf;

use cairn::{Database, Embed, Error, Keep, Photo, Result, Snapshot};
use rayon::prelude::*;

use crate::embedder::PhotoEmbedder;
use crate::photo::{Pixels, about_photo, read_photo};

/// The photo behind an image: its file, or the bytes that the database keeps where it keeps originals.
///
/// # Errors
/// `NotFound`: the file is gone, and a thumbnail or nothing is kept of it.
pub(super) fn original(key: &str, source: Option<&str>, kept: Option<Vec<u8>>, keep: Keep) -> Result<Photo> {
    let file = source.map(PathBuf::from);
    match (file.filter(|path| path.is_file()), kept) {
        (Some(path), _) => Ok(Photo::File(path)),
        (None, Some(bytes)) if keep == Keep::Original => Ok(Photo::Bytes(bytes)),
        (None, kept) => {
            let place = source.map_or_else(String::new, |path| format!(" ({path})"));
            let rest = match kept {
                Some(_) => "only a thumbnail is kept, and its descriptor would not be the photo's",
                None => "nothing is kept of it",
            };
            Err(Error::not_found(format!("the photo of '{key}'{place} is not there any more, and {rest}"))
                .help("put it back where it was, or delete the image; what was embedded so far is kept"))
        }
    }
}

/// The same for an image of a snapshot.
pub(super) fn of_image(database: &Database, snapshot: &Snapshot, key: &str) -> Result<Photo> {
    let source = snapshot.record(key)?.and_then(|record| record.source);
    original(key, source.as_deref(), snapshot.photo(key)?, database.options().keep)
}

/// The descriptors of photos, in order, with the keys of their images; an error names the image. On the CPU each on a thread, on CUDA
/// together.
pub(super) fn embed_all(embedder: &PhotoEmbedder, photos: &[(String, Photo)]) -> Result<Vec<Vec<f32>>> {
    if embedder.model().preferred_batch() == 1 {
        let one = |(key, photo): &(String, Photo)| match embedder.embed(photo) {
            Ok(embedded) => Ok(embedded.vector),
            Err(error) => Err(named(key, &error)),
        };
        return photos.par_iter().map(one).collect();
    }
    let ready = |(key, photo): &(String, Photo)| {
        let pixels = || {
            let bytes = read_photo(photo, embedder.limits())?;
            Ok(embedder.prepare(bytes).map_err(|error| about_photo(photo, error))?.pixels)
        };
        pixels().map_err(|error: Error| named(key, &error))
    };
    let ready: Vec<Pixels> = photos.par_iter().map(ready).collect::<Result<_>>()?;
    embedder.model().embed(&ready.iter().collect::<Vec<_>>())
}

/// The descriptors that are stored, completed by those of the photos of the images that have none; how many were made. `photo` gives
/// the key and the photo of the image at a place.
pub(super) fn completed(
    embedder: &PhotoEmbedder,
    stored: Vec<Option<Vec<f32>>>,
    photo: impl Fn(usize) -> Result<(String, Photo)>,
) -> Result<(Vec<Vec<f32>>, usize)> {
    let bare = stored.iter().enumerate().filter(|(_, stored)| stored.is_none());
    let missing: Vec<(String, Photo)> = bare.map(|(at, _)| photo(at)).collect::<Result<_>>()?;
    let mut made = embed_all(embedder, &missing)?.into_iter();
    let rows = stored.into_iter().filter_map(|stored| stored.or_else(|| made.next())).collect();
    Ok((rows, missing.len()))
}

fn named(key: &str, error: &Error) -> Error {
    let named = Error::new(error.kind(), format!("'{key}': {}", error.message()));
    match error.next_step() {
        Some(help) => named.help(help),
        None => named,
    }
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
        assert_eq!(original("a", Some(there), None, Keep::Thumb).unwrap(), Photo::File(path.clone()));
        let kept = || Some(b"kept".to_vec());
        assert_eq!(original("a", Some(gone), kept(), Keep::Original).unwrap(), Photo::Bytes(b"kept".to_vec()));
        let refused = original("a", Some(gone), kept(), Keep::Thumb).unwrap_err();
        assert!(refused.to_string().contains("only a thumbnail") && refused.to_string().contains(gone), "{refused}");
        assert!(original("a", None, None, Keep::None).unwrap_err().to_string().contains("nothing is kept"));
    }
}
