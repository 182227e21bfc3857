//! Bytes that nobody wrote: what the tests of decoders share, and what fuzz targets may call (the feature `hostile`).

#[cfg(test)]
use proptest::prelude::*;

/// One change to a sound value.
#[cfg(test)]
#[derive(Debug, Clone)]
pub(crate) enum Mutation {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index, prop::sample::Index),
    Grow(prop::sample::Index, Vec<u8>),
    /// A piece of another value in the place of one of this.
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
