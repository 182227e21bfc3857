//! A trained network inside a database: its file of weights in parts, so that no value is large. Their count is written last, so
//! that a network with a count is complete.

use bytes::Bytes;
use cairn::{Error, Result, Snapshot};

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

/// Names and bytes to keep of a file of weights, the count of parts last.
pub(crate) fn parts(weights: &Bytes) -> Vec<(String, Bytes)> {
    let digest = blake3::hash(weights);
    let part = |at: usize| {
        let first = at * PART_BYTES;
        (name(digest, at), weights.slice(first..weights.len().min(first + PART_BYTES)))
    };
    let count = weights.len().div_ceil(PART_BYTES);
    (0..count).map(part).chain([(head(digest), count.to_string().into())]).collect()
}

/// The beginning of the names of a kept file's parts and of their count.
pub(crate) fn beginning(digest: blake3::Hash) -> String {
    head(digest)
}

/// Whether the network of that digest is not kept.
///
/// # Errors
/// A damaged catalog.
pub(crate) fn lacks(snapshot: &Snapshot, digest: blake3::Hash) -> Result<bool> {
    Ok(snapshot.model_file(&head(digest))?.is_none())
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

    #[test]
    fn a_network_survives_in_parts_and_a_missing_one_is_named() {
        let bytes: Bytes = (0..2 * PART_BYTES + 5).map(|at| (at % 251) as u8).collect::<Vec<u8>>().into();
        let digest = blake3::hash(&bytes);
        let kept = parts(&bytes);
        assert!(kept.len() == 4 && kept.iter().all(|(name, _)| name.starts_with(&beginning(digest))));
        assert_eq!(
            kept.last().map(|(name, _)| name.clone()),
            Some(head(digest)),
            "a count that is there counts whole parts"
        );
        let of = |wanted: &str| kept.iter().find(|(name, _)| name == wanted).map(|(_, bytes)| bytes.to_vec());
        assert_eq!(read(&|name| Ok(of(name)), digest).unwrap(), Some(bytes.to_vec()));
        assert_eq!(read(&|name| Ok(of(name)), blake3::hash(b"another")).unwrap(), None);
        let without_the_last = |wanted: &str| Ok(of(wanted).filter(|_| wanted != name(digest, 2)));
        assert!(read(&without_the_last, digest).unwrap_err().to_string().contains("lacks part 2"));
    }
}
