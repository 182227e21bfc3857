//! The conditions of a conditional write: decided under the writer's lock, so that nothing comes between the check and the write.

use crate::catalog::Catalog;
use crate::error::{Error, ErrorKind, Result};
use crate::id::SpaceId;
use crate::operation::Operation;
use crate::state::Published;

/// A condition that must hold when a write is applied ([`Database::write_if`](crate::Database::write_if)); otherwise the write
/// changes nothing.
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
    /// The active model has this fingerprint; `None`: the database has no model. Descriptors of different models cannot be
    /// compared, and another model can become active while descriptors are computed. If it does not hold, the error is
    /// `Mismatch`.
    Model(Option<String>),
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

    /// [`Expect::Model`] of that fingerprint.
    pub fn model(fingerprint: impl Into<String>) -> Self {
        Self::Model(Some(fingerprint.into()))
    }

    /// Complexity: one look-up of a key.
    ///
    /// # Errors
    /// `Conflict`: it does not hold; `Mismatch`: another model is active.
    pub(crate) fn check(&self, state: &Published) -> Result<()> {
        let found = |key: &str| Ok::<_, Error>(state.stored(key)?.map(|(_, record)| record.version));
        let difference = match self {
            Self::Absent(key) => found(key)?.map(|version| format!("'{key}' already exists, in version {version}")),
            Self::Present(key) => found(key)?.is_none().then(|| format!("image '{key}' does not exist")),
            Self::Version(key, wanted) => match found(key)? {
                Some(version) if version == *wanted => None,
                Some(version) => Some(format!("'{key}' has version {version}, not {wanted}")),
                None => Some(format!("'{key}' had version {wanted}, and was deleted")),
            },
            Self::Sequence(wanted) => (state.sequence != *wanted)
                .then(|| format!("the last write has number {}, not {wanted}", state.sequence)),
            Self::Model(wanted) if state.options.fingerprint() == wanted.as_deref() => None,
            Self::Model(_) => return Err(another_model()),
        };
        let Some(difference) = difference else { return Ok(()) };
        Err(Error::new(ErrorKind::Conflict, format!("{difference}: nothing was written"))
            .help("take a snapshot, decide again, and repeat the write"))
    }
}

/// The error of descriptors that came too late.
pub(crate) fn another_model() -> Error {
    Error::new(ErrorKind::Mismatch, "another model became active while descriptors were made")
        .help("rerun the command: it resumes with the active model")
}

/// Refuses descriptors of an unknown model if the database's own model embeds photos, or if another model became active since it was
/// created. Only the caller can load a model without settings, so as long as it is the only one the caller's descriptors are that
/// model's.
pub(crate) fn refuse_unnamed(catalog: &Catalog, operations: &[Operation]) -> Result<()> {
    let has_vector = |operation: &Operation| match operation {
        Operation::Put(_) => true,
        Operation::Listed(listed) => listed.photo.is_some(),
        Operation::Delete { .. }
        | Operation::Label { .. }
        | Operation::Unlabel { .. }
        | Operation::Rename { .. }
        | Operation::Describe { .. } => false,
    };
    let options = catalog.options();
    let has_changed = catalog.space() != SpaceId::FIRST;
    match &options.model {
        Some(model) if !model.settings.is_empty() && operations.iter().any(has_vector) => Err(unnamed(&model.name)),
        model if has_changed && operations.iter().any(has_vector) => {
            let name = model.as_ref().map_or("your own vectors", |model| &model.name);
            let what =
                format!("another model became active ('{name}'), and the put does not name the model of its vector");
            Err(Error::new(ErrorKind::Mismatch, what).help(
                "embed with the active model (Snapshot::model) and name it: Database::write_if([Expect::Model(..)], ..)",
            ))
        }
        _ => Ok(()),
    }
}

/// A vector was put into a database of photos.
pub(crate) fn unnamed(model: &str) -> Error {
    let what = format!(
        "the database has descriptors of the model '{model}', and the put does not name the model of its vector"
    );
    Error::new(ErrorKind::Mismatch, what).help(
        "put the photo; a program that embeds with that model names it: Database::write_if([Expect::model(fingerprint)], ..)",
    )
}
