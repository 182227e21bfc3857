//! The local features of a dry run: a file without a name, which disappears at its end. The database has none of them.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};
use crate::id::ImageId;

/// Features by image, of which only the places are in memory.
pub(crate) struct Scratch {
    file: File,
    written: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    /// Where each begins, and its length.
    places: HashMap<ImageId, (u64, usize)>,
    bytes: u64,
}

impl Scratch {
    /// An empty one, in the folder for temporary files.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { file: tempfile::tempfile().map_err(refused)?, written: Mutex::default() })
    }

    /// Keeps the features of an image.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn put(&self, id: ImageId, features: &[u8]) -> Result<()> {
        let mut written = self.written.lock();
        let begin = written.bytes;
        self.file.write_all_at(features, begin).map_err(refused)?;
        written.places.insert(id, (begin, features.len()));
        written.bytes += features.len() as u64;
        Ok(())
    }

    /// The features of an image, if they were put.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn get(&self, id: ImageId) -> Result<Option<Vec<u8>>> {
        let Some((begin, length)) = self.written.lock().places.get(&id).copied() else { return Ok(None) };
        let mut features = vec![0; length];
        self.file.read_exact_at(&mut features, begin).map_err(refused)?;
        Ok(Some(features))
    }

    /// Whether features of an image were put.
    pub(crate) fn has(&self, id: ImageId) -> bool {
        self.written.lock().places.contains_key(&id)
    }
}

fn refused(error: std::io::Error) -> Error {
    let message = format!("a dry run's file of local features, in the folder for temporary files: {error}");
    Error::new(ErrorKind::Io, message).help("free some space there, or set TMPDIR to another folder").because(error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_last_features_of_an_image_come_back() {
        let scratch = Scratch::new().unwrap();
        for (id, bytes) in [(1, &b"first"[..]), (2, b"other"), (3, b""), (1, b"second")] {
            scratch.put(ImageId(id), bytes).unwrap();
        }
        let get = |id| scratch.get(ImageId(id)).unwrap();
        assert_eq!(
            [get(1), get(2), get(3), get(4)].map(|bytes| bytes.map(|bytes| bytes.len())),
            [Some(6), Some(5), Some(0), None]
        );
        assert_eq!(get(1).unwrap(), b"second");
        assert!(scratch.has(ImageId(3)) && !scratch.has(ImageId(4)));
    }
}
