//! Notes: small values that an application keeps with its database.

use super::database::Database;
use crate::error::{Error, Result};

/// Bytes that a note may have.
pub const MAX_NOTE_BYTES: usize = 64 << 10;
/// Bytes of a note's name.
const NAME_BYTES: std::ops::RangeInclusive<usize> = 1..=255;

impl Database {
    /// Stores an application's note under a name, durable when this returns and part of every backup; `None` removes it. Later
    /// snapshots show it ([`Snapshot::note`](crate::Snapshot::note)). Notes are for data about the database as a whole: the
    /// version of the application's schema, the progress of a job.
    ///
    /// # Errors
    /// `Invalid`: the name is empty or longer than 255 bytes, or the note is longer than [`MAX_NOTE_BYTES`]; `ReadOnly`; `Io`.
    pub fn set_note(&self, name: &str, note: Option<&[u8]>) -> Result<()> {
        if !NAME_BYTES.contains(&name.len()) {
            return Err(Error::invalid(format!(
                "the name of a note must have 1 to 255 bytes; this one has {}",
                name.len()
            )));
        }
        if let Some(length) = note.map(<[u8]>::len).filter(|&length| length > MAX_NOTE_BYTES) {
            return Err(Error::invalid(format!(
                "a note must have at most {MAX_NOTE_BYTES} bytes; this one has {length}"
            ))
            .help("keep large values in a file, and its path in the note"));
        }
        let (_no_flip, core) = self.shared.enter()?;
        core.keep(|batch| batch.set_note(name, note))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::error::ErrorKind;
    use crate::options::Options;

    #[test]
    fn a_note_stays_until_it_is_forgotten() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("db");
        let database = Database::create(&path, Options::for_vectors(2)).unwrap();
        let before = database.snapshot();
        database.set_note("schema", Some(b"3")).unwrap();
        database.set_note("schema of another", Some(b"7")).unwrap();
        assert_eq!(before.note("schema").unwrap(), None, "a snapshot stays as it is");
        database.set_note("schema", Some(b"4")).unwrap();
        assert_eq!(database.snapshot().note("schema").unwrap().as_deref(), Some(&b"4"[..]));
        assert_eq!(database.snapshot().model_file("schema").unwrap(), None, "notes and files of models are apart");
        drop((before, database));
        let database = Database::open(&path).unwrap();
        database.set_note("schema", None).unwrap();
        database.set_note("never there", None).unwrap();
        assert_eq!(database.snapshot().note("schema").unwrap(), None);
        assert_eq!(database.snapshot().note("schema of another").unwrap().as_deref(), Some(&b"7"[..]));
        for (name, note) in [("", &b"x"[..]), (&"n".repeat(256), b"x"), ("large", &[0; MAX_NOTE_BYTES + 1])] {
            assert_eq!(database.set_note(name, Some(note)).unwrap_err().kind(), ErrorKind::Invalid);
        }
        database.set_note(&"n".repeat(255), Some(&[0; MAX_NOTE_BYTES])).unwrap();
    }
}
