//! The operations of a write, and a stored image as a reader sees it: plain data.

pub use cairndb_query::Role;
use cairndb_query::plain_label;

use crate::attribute::{AttributeChanges, Attributes, Value};

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
    /// Remove the label of a train image: it becomes an index image. An index image stays one, and a list does not give it its
    /// earlier label again.
    Unlabel {
        /// External key; it must exist.
        key: String,
    },
    /// Give an image another key, because its file lies elsewhere now: label, who set it, descriptor, prediction and photo stay. With
    /// the same key only the source changes.
    Rename {
        /// External key; it must exist.
        key: String,
        /// The other key; unless it is the same, no image may have it.
        to: String,
        /// Where the file lies now; `None`: the source stays as it is.
        source: Option<String>,
    },
    /// Set and remove attributes of an image; nothing else of it changes, and no prediction.
    Describe {
        /// External key; it must exist.
        key: String,
        /// Carried out in their order.
        changes: AttributeChanges,
    },
    /// A list's row about an image. It sets the label if the list changed since it was last read ([`Record::hears`]).
    Listed(Listed),
}

/// A row of a list, or a photo of a folder. Every other operation counts as a person's decision: the list does not revert it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Listed {
    /// External key.
    pub key: String,
    /// The label in the list; `None`: none.
    pub label: Option<String>,
    /// BLAKE3 of the photo in the list; `None`: the same as at the last reading.
    pub content: Option<[u8; 32]>,
    /// The image, if it is new or the list names another photo than at the last reading; its own key and label are ignored.
    /// `None`: the image must exist, and keeps its photo and descriptor.
    pub photo: Option<Put>,
    /// The attributes in the list, over those of `photo`.
    pub attributes: AttributeChanges,
    /// The reading of the operation.
    pub reading: Reading,
}

impl Listed {
    /// A row about an image that exists and keeps its photo and descriptor.
    pub fn known(key: impl Into<String>, reading: Reading) -> Self {
        Self { key: key.into(), label: None, content: None, photo: None, attributes: Vec::new(), reading }
    }

    /// Sets the label in the list.
    #[must_use]
    pub fn label(self, label: impl Into<Option<String>>) -> Self {
        Self { label: label.into(), ..self }
    }

    /// Sets the BLAKE3 of the photo in the list.
    #[must_use]
    pub fn content(self, content: impl Into<Option<[u8; 32]>>) -> Self {
        Self { content: content.into(), ..self }
    }

    /// Sets the attributes in the list.
    #[must_use]
    pub fn attributes(self, attributes: AttributeChanges) -> Self {
        Self { attributes, ..self }
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
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "lowercase"))]
pub enum SetBy {
    /// An ingested list or folder.
    List,
    /// A person or a program: LABEL, UNLABEL, PUT, [`Database::write`](crate::Database::write).
    Statement,
    /// The cleaning of this number.
    Cleaning(u64),
    /// Nobody: the image was put without a label.
    Nobody,
    /// A build that did not record it (formats 1 to 3).
    Unknown,
}

/// A list's row about an image at its last reading.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ListSaid {
    /// Its label.
    pub label: Option<String>,
    /// BLAKE3 of its photo, if known.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serial::hex"))]
    pub content: Option<[u8; 32]>,
}

impl ListSaid {
    /// The row of a list with this label and this photo.
    pub fn new(label: impl Into<Option<String>>, content: impl Into<Option<[u8; 32]>>) -> Self {
        Self { label: label.into(), content: content.into() }
    }
}

/// The effect of a list's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It is the present one.
    Agrees,
    /// It replaces the present one: the list changed since it was last read, or overrules.
    Taken,
    /// The present label stays: somebody set it, and the list has not changed.
    LeftAlone,
}

/// The effect of the label `says` of a list; `listed` is the row at the last reading, `None`: it was not read.
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

impl Operation {
    /// Removes the image with this key.
    pub fn delete(key: impl Into<String>) -> Self {
        Self::Delete { key: key.into() }
    }

    /// Gives the image with this key a label, which is stored as [`plain_label`](crate::language::plain_label) writes it; an index
    /// image becomes a train image.
    pub fn label(key: impl Into<String>, label: impl Into<String>) -> Self {
        Self::Label { key: key.into(), label: label.into() }
    }

    /// Gives the image with this key another one, and its file another place.
    pub fn rename(key: impl Into<String>, to: impl Into<String>, source: impl Into<Option<String>>) -> Self {
        Self::Rename { key: key.into(), to: to.into(), source: source.into() }
    }

    /// Takes the label of the image with this key; it becomes an index image.
    pub fn unlabel(key: impl Into<String>) -> Self {
        Self::Unlabel { key: key.into() }
    }
}

/// An image to store.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Put {
    /// External key: 1 to [`MAX_KEY_BYTES`](crate::limits::MAX_KEY_BYTES) bytes without NUL.
    pub key: String,
    /// `Some`: a train image with this label ([`Put::label`]); `None`: an index image.
    pub label: Option<String>,
    /// Descriptor of the database's dimension; finite and not zero. It is stored with unit length.
    pub vector: Vec<f32>,
    /// The file or address that the image came from, for people.
    pub source: Option<String>,
    /// BLAKE3 of the content, which identifies a photo that is ingested again.
    pub content: Option<[u8; 32]>,
    /// The database's copy of the photo.
    pub photo: Option<Vec<u8>>,
    /// What else is known of it.
    pub attributes: Attributes,
}

impl Put {
    /// An index image with a key and a descriptor. The other methods add one thing each.
    pub fn new(key: impl Into<String>, vector: impl Into<Vec<f32>>) -> Self {
        let (key, vector, attributes) = (key.into(), vector.into(), Attributes::new());
        Self { key, label: None, vector, source: None, content: None, photo: None, attributes }
    }

    /// Makes it a train image with this label, which is stored as [`plain_label`](crate::language::plain_label) writes it: in Unicode's
    /// form C, without white space around it.
    #[must_use]
    pub fn label(self, label: impl Into<String>) -> Self {
        Self { label: Some(label.into()), ..self }
    }

    /// Sets the file or address that the image came from.
    #[must_use]
    pub fn source(self, source: impl Into<String>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// Sets the BLAKE3 of its content, which identifies a photo that is ingested again.
    #[must_use]
    pub fn content(self, content: [u8; 32]) -> Self {
        Self { content: Some(content), ..self }
    }

    /// Stores these bytes of the photo, whatever [`Options::keep`](crate::Options::keep) says: only embedders obey that.
    #[must_use]
    pub fn photo(self, photo: impl Into<Vec<u8>>) -> Self {
        Self { photo: Some(photo.into()), ..self }
    }

    /// Sets an attribute.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }
}

impl Put {
    /// The image as a row of a list, label included.
    pub fn from_list(mut self, reading: Reading) -> Listed {
        let label = self.label.take();
        let (key, content) = (self.key.clone(), self.content);
        Listed { key, label, content, photo: Some(self), attributes: Vec::new(), reading }
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
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Record {
    /// External key.
    pub key: String,
    /// Train or index.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serial::role"))]
    pub role: Role,
    /// Label of a train image.
    pub label: Option<String>,
    /// Number of the cleaning that marked it as doubtful: it votes, but training skips it.
    pub marked: Option<u64>,
    /// The file or address that the image came from.
    pub source: Option<String>,
    /// BLAKE3 of the content.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serial::hex"))]
    pub content: Option<[u8; 32]>,
    /// Number of changes of this image, from 1.
    pub version: u64,
    /// Who set the label, or left the image without one.
    pub set_by: SetBy,
    /// The row of a list at its last reading; `None`: no list with this image was read.
    pub listed: Option<ListSaid>,
    /// What else is known of it.
    pub attributes: Attributes,
}

impl Record {
    /// The effect of a list's label on this image now.
    pub fn hears(&self, says: Option<&str>, overrules: bool) -> Heard {
        let listed = self.listed.as_ref().map(|listed| listed.label.as_deref());
        heard((self.label.as_deref(), self.set_by), listed, says, overrules)
    }
}

/// The effects of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Receipt {
    /// Sequence number of the transaction: every write has one, and they rise.
    pub sequence: u64,
    /// Number of images inserted, replaced, deleted or relabelled; a person's label counts as a change even if the image already
    /// has it.
    pub images_changed: usize,
    /// Number of index images with another prediction than before, including those that were written: a new one had none.
    pub predictions_changed: usize,
    /// The transaction is durable and deferred, because it would change very many predictions or because it follows deferred
    /// ones; the two counts above are then zero. Readers see it once it is applied ([`Database::apply_pending`](crate::Database::apply_pending)).
    pub deferred: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It catches: a label in a list's spelling, kept by an earlier build, that reverts people when its present spelling is read;
    /// or whose own labels stay in two spellings.
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
