//! Newtypes of the numbers that identify things inside a database. None of them leaves the engine: users see external keys.

/// One version of an image's descriptor and role. A put that changes either gets a new id, so what an id names never changes,
/// and ids rise in the order of writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ImageId(pub(crate) u64);

/// A label text, numbered at first use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LabelId(pub(crate) u32);

/// A family of vectors that may meet: one model, its weights, its derivation. Everything derived from pixels is keyed by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SpaceId(pub(crate) u32);

impl SpaceId {
    /// The space a database is created with.
    pub(crate) const FIRST: Self = Self(0);
}

/// One segment file; numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SegmentId(pub(crate) u64);
