//! What can be written, and what a stored image looks like to a reader: plain data.

pub use cairndb_query::Role;

/// One change. A list of them is one transaction: all or nothing, in order.
#[derive(Debug, Clone, PartialEq)]
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
    /// Take the label of a train image away: it becomes an index image. Without effect on an index image.
    Unlabel {
        /// External key; it must exist.
        key: String,
    },
}

/// An image to store.
#[derive(Debug, Clone, PartialEq)]
pub struct Put {
    /// External key: 1 to [`MAX_KEY_BYTES`](crate::MAX_KEY_BYTES) bytes without NUL.
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

impl From<Put> for Operation {
    fn from(put: Put) -> Self {
        Self::Put(put)
    }
}

/// A stored image, without its vector.
#[derive(Debug, Clone, PartialEq, Eq)]
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
}

/// What a transaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Receipt {
    /// Sequence number of the transaction: every write has its own, and they rise.
    pub sequence: u64,
    /// Images inserted, replaced, deleted or relabelled.
    pub images_changed: usize,
    /// Index images whose stored prediction changed.
    pub predictions_changed: usize,
    /// The transaction is durable and waits to be carried out, because it would change very many predictions or because others wait
    /// before it; the two counts above are then zero. Readers see it when it is done ([`Database::drain`](crate::Database::drain)).
    pub deferred: bool,
}
