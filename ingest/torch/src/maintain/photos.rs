//! Reads the photo of an image as it was ingested; a thumbnail cannot replace it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cairn::clean::Readings;
use cairn::{Database, Error, ErrorKind, Keep, Photo, Result, Snapshot};

use cairndb_ingest::PhotoEmbedder;
use cairndb_ingest::photo::{DecodeLimits, hash_file};

/// What to do about a photo that cannot be embedded.
const MEND: &str = "restore the file at its path, or DELETE the image, and run the same command again";

/// The photo behind an image: its file, or the bytes that the database keeps where it keeps originals. A file that is another than
/// was ingested (by `content`, its BLAKE3 then) is none: a descriptor of it would stand beside the label and the thumbnail of the first.
/// Without such a digest no file is opened: any file of this machine could stand at the path. `read` notes what is.
///
/// # Errors
/// `NotFound`: the file is gone, and a thumbnail or nothing is kept of it; `Mismatch`: it is another one.
pub(super) fn original(
    key: &str,
    source: Option<&str>,
    content: Option<[u8; 32]>,
    kept: Option<Vec<u8>>,
    keep: Keep,
    read: &Readings,
) -> Result<Photo> {
    let file = source.map(PathBuf::from).filter(|path| content.is_some() && path.is_file());
    let hash = |path: &Path| hash_file(path, &DecodeLimits::default());
    let is_it = file.as_deref().zip(content).map(|(path, content)| hash(path).map(|now| now == content));
    file.iter().for_each(|path| read.note(path));
    match (file, is_it, kept) {
        (Some(path), None | Some(Ok(true)), _) => Ok(Photo::File(path)),
        (_, _, Some(bytes)) if keep == Keep::Original => Ok(Photo::Bytes(bytes)),
        // Whoever reads a file that cannot be read tells of it.
        (Some(path), Some(Err(_)), _) => Ok(Photo::File(path)),
        (Some(path), Some(Ok(false)), _) => {
            let changed = format!("{} is no longer the photo that was ingested as '{key}'", path.display());
            Err(Error::new(ErrorKind::Mismatch, changed).help(
                "ingest it again to store the new photo, restore the old file, or DELETE the image, and run the same \
                command again",
            ))
        }
        (None, _, _) if content.is_none() && source.is_some() => {
            let place = source.unwrap_or_default();
            Err(Error::new(
                ErrorKind::Mismatch,
                format!(
                    "the database has no digest of the photo of '{key}', so that any file could stand \
                at {place}: it is not read"
                ),
            )
            .help("ingest it again, or DELETE the image, and run the same command again"))
        }
        (None, _, kept) => {
            let place = source.map_or_else(String::new, |path| format!(" ({path})"));
            let rest = match kept {
                Some(_) => "the database has only a thumbnail, whose descriptor would differ",
                None => "the database has no copy of it",
            };
            Err(Error::not_found(format!("the photo of '{key}'{place} does not exist any more, and {rest}")).help(MEND))
        }
    }
}

/// The same for an image of a snapshot.
pub(super) fn of_image(database: &Database, snapshot: &Snapshot, key: &str, read: &Readings) -> Result<Photo> {
    let record = snapshot.record(key)?;
    let (source, content) = record.map_or((None, None), |record| (record.source, record.content));
    original(key, source.as_deref(), content, snapshot.photo(key)?, database.options().keep, read)
}

/// What is known of each of some images, in order.
pub(super) type Each<T> = Vec<Result<T>>;

/// The descriptors of photos, in order, with the keys of their images; the error of a photo names the image.
///
/// # Errors
/// Those of the device.
pub(super) fn embed_all(embedder: &PhotoEmbedder, photos: &[(String, Photo)]) -> Result<Each<Vec<f32>>> {
    let made = embedder.embed_all(photos)?.into_iter();
    Ok(made.zip(photos).map(|(made, (key, _))| made.map_err(|error| named(key, &error))).collect())
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

/// Number of skipped images, and why the first of them was skipped. `None`: there was none.
pub(super) fn passed_over(errors: &[Error]) -> Option<String> {
    let first = errors.first()?;
    let more = match errors.len() - 1 {
        0 => String::new(),
        1 => " (1 more like it)".to_owned(),
        more => format!(" ({more} more like it)"),
    };
    Some(format!("{}: {}{more}", errors.len(), first.message()))
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
        let content = Some(*blake3::hash(b"bytes").as_bytes());
        let read = Readings::default();
        let of = |source: &str, kept: Option<&[u8]>, keep| {
            original("a", Some(source), content, kept.map(Into::into), keep, &read)
        };
        assert_eq!(of(there, None, Keep::Thumb).unwrap(), Photo::File(path.clone()));
        assert_eq!(of(gone, Some(b"kept"), Keep::Original).unwrap(), Photo::Bytes(b"kept".to_vec()));
        let refused = of(gone, Some(b"kept"), Keep::Thumb).unwrap_err();
        assert!(refused.to_string().contains("only a thumbnail") && refused.to_string().contains(gone), "{refused}");
        let nowhere = original("a", None, None, None, Keep::None, &read).unwrap_err().to_string();
        assert!(nowhere.contains("the database has no copy"), "{nowhere}");
        let blind = original("a", Some(there), None, None, Keep::None, &read).unwrap_err().to_string();
        assert!(blind.contains("no digest"), "a file that cannot be told from another one is not read: {blind}");
        assert_eq!(read.line(), Some(format!("1: below {}", folder.path().display())));
    }

    #[test]
    fn another_file_in_its_place_is_not_the_photo() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jpg");
        let of = |kept: Option<&[u8]>, keep| {
            let content = Some(*blake3::hash(b"bytes").as_bytes());
            original("a", path.to_str(), content, kept.map(Into::into), keep, &Readings::default())
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
