//! The operations of a write, and a stored image as a reader sees it: plain data.

pub use cairndb_query::Role;
use cairndb_query::plain_label;

/// One change. A list of them is one transaction: all or nothing, in order.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Operation {
    /// Insert an image, or replace the one with the same key.
    Put(Put),
    /// Remove an image.
    Delete {
        /// External key; it must exist.
        key: String,
    },
    /// Give an image a label: an index image becomes a train image, a train image is relabelled.
    Label {
        /// External key; it must exist.
        key: String,
        /// The label.
        label: String,
    },
    /// Take the label of a train image away: it becomes an index image. An index image stays one, and no list gives it a label that it
    /// gave before.
    Unlabel {
        /// External key; it must exist.
        key: String,
    },
    /// What a list says of an image. The image takes it where the list changed since it was read last ([`Record::hears`]).
    Listed(Listed),
}

/// What a list, or a folder, says of an image. Whatever else is written is a person's word: the list does not revert it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Listed {
    /// External key.
    pub key: String,
    /// The label that the list gives; `None`: none.
    pub label: Option<String>,
    /// BLAKE3 of the photo that the list names; `None`: as it was read last.
    pub content: Option<[u8; 32]>,
    /// The image, where it is new or the list names another photo than when it was read last; its own key and label do not count.
    /// `None`: the image must exist, and keeps its photo and descriptor.
    pub photo: Option<Put>,
    /// The reading that it belongs to.
    pub reading: Reading,
}

impl Listed {
    /// A list names an image that exists, which keeps its photo and descriptor.
    pub fn known(key: impl Into<String>, reading: Reading) -> Self {
        Self { key: key.into(), label: None, content: None, photo: None, reading }
    }

    /// The label that the list gives.
    #[must_use]
    pub fn label(self, label: impl Into<Option<String>>) -> Self {
        Self { label: label.into(), ..self }
    }

    /// The BLAKE3 of the photo that the list names.
    #[must_use]
    pub fn content(self, content: impl Into<Option<[u8; 32]>>) -> Self {
        Self { content: content.into(), ..self }
    }
}

/// One reading of a list ([`Snapshot::reading`](crate::Snapshot::reading)): its changes can be undone together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reading {
    /// Number of the reading.
    pub number: u64,
    /// The list's labels replace the present ones, even those set by hand, and whether or not the list changed.
    pub overrules: bool,
}

impl Reading {
    /// Sets [`Reading::overrules`].
    #[must_use]
    pub fn overruling(self, overrules: bool) -> Self {
        Self { overrules, ..self }
    }
}

/// Who set the label of an image, or left the image without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SetBy {
    /// A list or a folder that was ingested.
    List,
    /// A person or a program: LABEL, UNLABEL, PUT, [`Database::write`](crate::Database::write).
    Statement,
    /// The cleaning of this number.
    Cleaning(u64),
    /// Nobody: the image was put without a label.
    Nobody,
    /// A build that did not note it (formats 1 to 3).
    Unknown,
}

/// What a list said of an image when it was read last.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListSaid {
    /// The label that it gave.
    pub label: Option<String>,
    /// BLAKE3 of the photo that it named, where that is known.
    pub content: Option<[u8; 32]>,
}

impl ListSaid {
    /// A list gave this label to the image with this photo.
    pub fn new(label: impl Into<Option<String>>, content: impl Into<Option<[u8; 32]>>) -> Self {
        Self { label: label.into(), content: content.into() }
    }
}

/// What becomes of a label that a list gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It is the present one.
    Agrees,
    /// It replaces the present one: the list changed since it was last read, or overrules.
    Taken,
    /// The present label stays: somebody set it, and the list has not changed.
    LeftAlone,
}

/// What becomes of the label `says` that a list gives; `listed` is what it said when it was read last, `None`: it was not read.
pub(crate) fn heard(
    (in_force, set_by): (Option<&str>, SetBy),
    listed: Option<Option<&str>>,
    says: Option<&str>,
    overrules: bool,
) -> Heard {
    if in_force == says {
        return Heard::Agrees;
    }
    let list_changed = match listed {
        // An earlier build kept a label in the list's spelling. Another spelling alone is no change of the list: it is taken if
        // the present label is the list's, and reverts nobody.
        Some(listed) if plain(listed) == plain(says) => listed != says && in_force == listed,
        Some(listed) => listed != says,
        // The first word of a list counts where nobody spoke before. Who set the label of an image that an earlier build changed is
        // not known; then it may have been a person.
        None => matches!(set_by, SetBy::List | SetBy::Nobody),
    };
    if overrules || list_changed { Heard::Taken } else { Heard::LeftAlone }
}

fn plain(label: Option<&str>) -> Option<std::borrow::Cow<'_, str>> {
    label.map(plain_label)
}

/// An image to store.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Put {
    /// External key: 1 to [`MAX_KEY_BYTES`](crate::limits::MAX_KEY_BYTES) bytes without NUL.
    pub key: String,
    /// `Some`: a train image with this label; `None`: an index image.
    pub label: Option<String>,
    /// Descriptor of the database's dimension; finite and not zero. It is stored with unit length.
    pub vector: Vec<f32>,
    /// Where the image came from (a path), for people.
    pub source: Option<String>,
    /// BLAKE3 of the content, by which a repeated ingest recognises it.
    pub content: Option<[u8; 32]>,
    /// What is kept of the photo.
    pub photo: Option<Vec<u8>>,
}

impl Put {
    /// An image to search for: a key and a descriptor, nothing else. The other methods add one thing each.
    pub fn new(key: impl Into<String>, vector: impl Into<Vec<f32>>) -> Self {
        Self { key: key.into(), label: None, vector: vector.into(), source: None, content: None, photo: None }
    }

    /// A train image with this label.
    #[must_use]
    pub fn label(self, label: impl Into<String>) -> Self {
        Self { label: Some(label.into()), ..self }
    }

    /// Where the image came from.
    #[must_use]
    pub fn source(self, source: impl Into<String>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// The BLAKE3 of its content, by which a repeated ingest recognises it.
    #[must_use]
    pub fn content(self, content: [u8; 32]) -> Self {
        Self { content: Some(content), ..self }
    }

    /// Keeps these bytes of the photo.
    #[must_use]
    pub fn photo(self, photo: impl Into<Vec<u8>>) -> Self {
        Self { photo: Some(photo.into()), ..self }
    }
}

impl Put {
    /// The image as a list gives it, label included.
    pub fn from_list(mut self, reading: Reading) -> Listed {
        let label = self.label.take();
        Listed { key: self.key.clone(), label, content: self.content, photo: Some(self), reading }
    }
}

impl From<Listed> for Operation {
    fn from(listed: Listed) -> Self {
        Self::Listed(listed)
    }
}

impl From<Put> for Operation {
    fn from(put: Put) -> Self {
        Self::Put(put)
    }
}

/// A stored image, without its vector.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// External key.
    pub key: String,
    /// Train or index.
    pub role: Role,
    /// Label of a train image.
    pub label: Option<String>,
    /// Number of the cleaning that marked it as doubtful: it votes, and training passes it over.
    pub marked: Option<u64>,
    /// Where the image came from.
    pub source: Option<String>,
    /// BLAKE3 of the content.
    pub content: Option<[u8; 32]>,
    /// Changes of this image so far, from 1.
    pub version: u64,
    /// Who set the label, or left the image without one.
    pub set_by: SetBy,
    /// What a list said of it when it was read last; `None`: no list was read that names it.
    pub listed: Option<ListSaid>,
}

impl Record {
    /// What becomes of the label that a list gives for this image now.
    pub fn hears(&self, says: Option<&str>, overrules: bool) -> Heard {
        let listed = self.listed.as_ref().map(|listed| listed.label.as_deref());
        heard((self.label.as_deref(), self.set_by), listed, says, overrules)
    }
}

/// What a transaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Receipt {
    /// Sequence number of the transaction: every write has its own, and they rise.
    pub sequence: u64,
    /// Images inserted, replaced, deleted or relabelled; what people say of an image is a change also where it has that label already.
    pub images_changed: usize,
    /// Index images that have another prediction than before, those that were written included: a new one had none.
    pub predictions_changed: usize,
    /// The transaction is durable and deferred, because it would change very many predictions or because it follows deferred
    /// ones; the two counts above are then zero. Readers see it once it is applied ([`Database::drain`](crate::Database::drain)).
    pub deferred: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It catches: a list that was kept as it was spelt by an earlier build, and that reverts people when its labels are read as they
    /// are kept now; or whose own labels stay in two spellings.
    #[test]
    fn another_spelling_of_a_list_reverts_nobody() {
        let hears =
            |in_force, set_by, listed, says| heard((Some(in_force), set_by), Some(Some(listed)), Some(says), false);
        assert_eq!(hears("Eiffel", SetBy::Statement, "Louvre ", "Louvre"), Heard::LeftAlone);
        assert_eq!(hears("Louvre ", SetBy::List, "Louvre ", "Louvre"), Heard::Taken);
        assert_eq!(hears("Louvre", SetBy::Statement, "Louvre ", "Louvre"), Heard::Agrees);
        assert_eq!(hears("Eiffel", SetBy::Statement, "Louvre ", "Orsay"), Heard::Taken);
        assert_eq!(hears("Eiffel", SetBy::Statement, "Louvre", "Louvre"), Heard::LeftAlone);
    }
}
