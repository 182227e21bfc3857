//! A trained network inside a database: its file of weights in parts, so that no value is large. Their count is written last, so
//! that a network with a count is complete.

use cairn::{Database, Error, Result};

/// What a database keeps under a name.
pub type Files<'a> = &'a dyn Fn(&str) -> Result<Option<Vec<u8>>>;

/// Bytes of a part.
const PART_BYTES: usize = 4 << 20;
/// Most parts: those of the largest file of weights that is read.
const MOST_PARTS: usize = (super::MAX_WEIGHTS_BYTES as usize).div_ceil(PART_BYTES);

fn name(digest: blake3::Hash, part: usize) -> String {
    format!("network {digest} {part}")
}

/// The name of the count of parts.
fn head(digest: blake3::Hash) -> String {
    format!("network {digest}")
}

/// Keeps a file of weights; returns its digest.
///
/// # Errors
/// `Io`; what was written so far is overwritten by the next try.
pub(crate) fn keep(database: &Database, bytes: &[u8]) -> Result<blake3::Hash> {
    let digest = blake3::hash(bytes);
    let mut parts = 0usize;
    for part in bytes.chunks(PART_BYTES) {
        database.put_file(&name(digest, parts), part)?;
        parts += 1;
    }
    database.put_file(&head(digest), parts.to_string().as_bytes())?;
    Ok(digest)
}

/// Forgets a kept file and its parts.
///
/// # Errors
/// `Io`.
pub(crate) fn forget(database: &Database, digest: blake3::Hash) -> Result<()> {
    database.remove_files(&head(digest))
}

/// Whether the network of that digest is not kept.
///
/// # Errors
/// A damaged catalog.
pub(crate) fn lacks(database: &Database, digest: blake3::Hash) -> Result<bool> {
    Ok(database.file(&head(digest))?.is_none())
}

/// The bytes of a kept file; `None`: there is none of that digest. The caller compares the digest.
///
/// # Errors
/// `Corrupt`: a part is missing; a damaged catalog.
pub(crate) fn read(files: Files<'_>, digest: blake3::Hash) -> Result<Option<Vec<u8>>> {
    let Some(count) = files(&head(digest))? else { return Ok(None) };
    let broken = |what: &str| Error::corrupt(format!("the stored network {digest} {what}"));
    let count = std::str::from_utf8(&count).ok().and_then(|count| count.parse::<usize>().ok());
    let count = count.filter(|&count| count <= MOST_PARTS).ok_or_else(|| broken("has no count of parts"))?;
    let mut bytes = Vec::new();
    for part in 0..count {
        bytes.extend(files(&name(digest, part))?.ok_or_else(|| broken(&format!("lacks part {part}")))?);
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use cairn::Options;

    #[test]
    fn a_network_survives_in_parts_and_a_missing_one_is_told() {
        let home = tempfile::tempdir().unwrap();
        let database = Database::create(home.path().join("db"), Options::for_vectors(2)).unwrap();
        let bytes: Vec<u8> = (0..2 * PART_BYTES + 5).map(|at| (at % 251) as u8).collect();
        let digest = keep(&database, &bytes).unwrap();
        let files = |name: &str| database.file(name);
        assert_eq!(read(&files, digest).unwrap(), Some(bytes));
        assert_eq!(read(&files, blake3::hash(b"another")).unwrap(), None);
        let without_the_last = |of: &str| if of == name(digest, 2) { Ok(None) } else { database.file(of) };
        assert!(read(&without_the_last, digest).unwrap_err().to_string().contains("lacks part 2"));
    }
}
