//! What must hold for a conditional write: decided under the writer's lock, so that nothing comes between the look and the write.

use crate::error::{Error, ErrorKind, Result};
use crate::state::Published;

/// What must hold when a write is carried out ([`Database::write_if`](crate::Database::write_if)); otherwise it changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expect {
    /// No image has this key.
    Absent(String),
    /// An image has this key, in any version.
    Present(String),
    /// The image with this key has this [`Record::version`](crate::Record::version): nobody changed, replaced or deleted it since the
    /// record was read.
    Version(String, u64),
    /// This is the number of the last write ([`Snapshot::sequence`](crate::Snapshot::sequence)): nothing at all was written since.
    Sequence(u64),
}

impl Expect {
    /// [`Expect::Absent`].
    pub fn absent(key: impl Into<String>) -> Self {
        Self::Absent(key.into())
    }

    /// [`Expect::Present`].
    pub fn present(key: impl Into<String>) -> Self {
        Self::Present(key.into())
    }

    /// [`Expect::Version`].
    pub fn version(key: impl Into<String>, version: u64) -> Self {
        Self::Version(key.into(), version)
    }

    /// [`Expect::Sequence`].
    pub fn sequence(sequence: u64) -> Self {
        Self::Sequence(sequence)
    }

    /// Complexity: one look-up of a key.
    ///
    /// # Errors
    /// `Conflict`: it does not hold.
    pub(super) fn check(&self, state: &Published) -> Result<()> {
        let found = |key: &str| Ok::<_, Error>(state.stored(key)?.map(|(_, record)| record.version));
        let difference = match self {
            Self::Absent(key) => found(key)?.map(|version| format!("'{key}' is there already, in version {version}")),
            Self::Present(key) => found(key)?.is_none().then(|| format!("there is no image '{key}'")),
            Self::Version(key, wanted) => match found(key)? {
                Some(version) if version == *wanted => None,
                Some(version) => Some(format!("'{key}' has version {version}, not {wanted}")),
                None => Some(format!("'{key}' had version {wanted} and is gone")),
            },
            Self::Sequence(wanted) => (state.sequence != *wanted)
                .then(|| format!("the last write has number {}, not {wanted}", state.sequence)),
        };
        let Some(difference) = difference else { return Ok(()) };
        Err(Error::new(ErrorKind::Conflict, format!("{difference}: nothing was written"))
            .help("take a snapshot, decide from what it shows, and write again"))
    }
}
