//! Crafted bytes: the common part of the decoders' tests, and the functions that fuzz targets may call (the feature `hostile`).

#[cfg(test)]
use proptest::prelude::*;

/// One change to a sound value.
#[cfg(test)]
#[derive(Debug, Clone)]
pub(crate) enum Mutation {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index, prop::sample::Index),
    Grow(prop::sample::Index, Vec<u8>),
    /// Replaces a piece of one value by a piece of another.
    Splice(prop::sample::Index, prop::sample::Index, u8),
}

/// A few changes.
#[cfg(test)]
pub(crate) fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let at = any::<prop::sample::Index>;
    let one = prop_oneof![
        4 => (at(), 0u8..8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        1 => (at(), at()).prop_map(|(from, to)| Mutation::Cut(from, to)),
        1 => (at(), prop::collection::vec(any::<u8>(), 1..12)).prop_map(|(at, bytes)| Mutation::Grow(at, bytes)),
        1 => (at(), at(), any::<u8>()).prop_map(|(to, from, length)| Mutation::Splice(to, from, length)),
    ];
    prop::collection::vec(one, 1..5)
}

/// The bytes after these changes; `other` lends what is spliced in.
#[cfg(test)]
pub(crate) fn mutated(bytes: &[u8], other: &[u8], mutations: &[Mutation]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for mutation in mutations {
        match mutation {
            Mutation::Flip(at, bit) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            Mutation::Flip(..) => {}
            Mutation::Cut(from, to) => {
                let (from, to) = (from.index(bytes.len() + 1), to.index(bytes.len() + 1));
                bytes.drain(from.min(to)..from.max(to));
            }
            Mutation::Grow(at, more) => {
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at, more.iter().copied());
            }
            Mutation::Splice(to, from, length) => {
                let (to, from) = (to.index(bytes.len() + 1), from.index(other.len() + 1));
                let piece = &other[from..other.len().min(from + usize::from(*length))];
                let end = bytes.len().min(to + piece.len());
                bytes.splice(to..end, piece.iter().copied());
            }
        }
    }
    bytes
}

/// Gives bytes to every decoder of the catalog's values.
///
/// # Panics
/// Where one of them breaks its promise.
#[cfg(feature = "hostile")]
pub fn catalog_values(bytes: &[u8]) {
    for decoder in crate::catalog::hostile::DECODERS {
        crate::catalog::hostile::withstands(decoder, bytes);
    }
}

/// Opens bytes as a segment, once as they are and once with checksums that fit them, and uses everything in it. `path` is where they
/// are written.
///
/// # Panics
/// Where the reader breaks its promise.
#[cfg(feature = "hostile")]
pub fn segment_bytes(path: &std::path::Path, bytes: &[u8]) {
    crate::segment::hostile::withstands(path, bytes);
}

/// Small sound values of the catalog, for a fuzzer to begin with.
#[cfg(feature = "hostile")]
#[must_use]
pub fn first_values() -> Vec<Vec<u8>> {
    crate::catalog::hostile::first_values()
}

/// What is wrong with a small database, without reading its files again: lists, votes, postings and segments compared, and each
/// prediction recomputed. A hundred times as fast as CHECK DEEP, whose other parts look for damage of the disk.
///
/// Complexity: `O(index * train)` similarities.
///
/// # Errors
/// What is stored cannot be read at all.
#[cfg(feature = "hostile")]
pub fn history_problems(database: &crate::Database) -> crate::Result<Vec<String>> {
    database.history_problems()
}

/// Family, key and value of an entry of the catalog.
#[cfg(feature = "hostile")]
pub type Entry = (String, Vec<u8>, Vec<u8>);

/// Every entry of a database's catalog, as it is stored.
///
/// # Errors
/// What opening it gives.
#[cfg(feature = "hostile")]
pub fn catalog_entries(folder: &std::path::Path) -> crate::Result<Vec<Entry>> {
    crate::catalog::crafted::entries(&crate::disk::Folder::open(folder)?)
}

/// Stores an entry of a catalog past every check; `None` takes it away.
///
/// # Errors
/// `Invalid`: there is no such family; what opening it gives.
#[cfg(feature = "hostile")]
pub fn put_catalog_entry(
    folder: &std::path::Path,
    family: &str,
    key: &[u8],
    value: Option<&[u8]>,
) -> crate::Result<()> {
    crate::catalog::crafted::put(&crate::disk::Folder::open(folder)?, (family, key), value)
}

/// Makes the checksums of a segment's bytes fit; the checksum of its header, by which the manifest knows it.
#[cfg(feature = "hostile")]
pub fn seal_segment(bytes: &mut [u8]) -> u32 {
    crate::segment::hostile::resealed(bytes)
}

/// A segment's entry in the manifest, for a file with that checksum in its header and that length.
///
/// # Errors
/// `Corrupt`: `value` is no such entry.
#[cfg(feature = "hostile")]
pub fn segment_entry(value: &[u8], check: u32, bytes: u64) -> crate::Result<Vec<u8>> {
    crate::catalog::crafted::segment_entry(value, check, bytes)
}
