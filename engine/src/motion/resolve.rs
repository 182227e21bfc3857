//! From operations to net changes: what each image was before the transaction and what it is after it.
//!
//! Operations of one transaction see each other in order; what comes out is one change for each image, so the order inside a
//! transaction cannot be seen in what is stored.

use std::collections::HashMap;

use super::snapshot::Published;
use crate::catalog::RecordMessage;
use crate::error::{Error, ErrorKind, Result};
use crate::id::ImageId;
use crate::operation::{Operation, Put};
use crate::options::MAX_KEY_BYTES;
use crate::vector::unit;

/// What is stored of an image before the transaction.
#[derive(Debug, Clone)]
pub(super) struct Before {
    pub(super) id: ImageId,
    pub(super) record: RecordMessage,
}

/// What an image is to be after it.
#[derive(Debug, Clone)]
pub(super) struct After {
    /// `Some`: a train image.
    pub(super) label: Option<String>,
    /// `None`: the stored one.
    pub(super) vector: Option<Vec<f32>>,
    pub(super) source: Option<String>,
    pub(super) content: Option<Vec<u8>>,
    /// `None`: what is stored of it, or nothing when there is no `Before`.
    pub(super) photo: Option<Option<Vec<u8>>>,
}

/// One image's change.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) key: String,
    pub(super) before: Option<Before>,
    pub(super) after: Option<After>,
    /// Somebody labelled or deleted it on the way, be it to the same end: what a cleaning marked has been looked at.
    pub(super) settles_mark: bool,
}

/// The net changes in the order in which the images were first named.
///
/// # Errors
/// The first operation that cannot be carried out; nothing of the transaction is then.
pub(super) fn resolve(state: &Published, operations: Vec<Operation>) -> Result<Vec<Change>> {
    let mut changes: Vec<Change> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut place = |key: &str, changes: &mut Vec<Change>| -> Result<usize> {
        if let Some(&at) = places.get(key) {
            return Ok(at);
        }
        let before = state.stored(key)?.map(|(id, record)| Before { id, record });
        let after = match &before {
            Some(before) => Some(After::unchanged(before, state)?),
            None => None,
        };
        changes.push(Change { key: key.to_owned(), before, after, settles_mark: false });
        places.insert(key.to_owned(), changes.len() - 1);
        Ok(changes.len() - 1)
    };
    for operation in operations {
        match operation {
            Operation::Put(put) => {
                let after = After::of_put(&put, state.options.dimension)?;
                let at = place(&put.key, &mut changes)?;
                changes[at].after = Some(after);
            }
            Operation::Delete { key } => {
                let at = place(&key, &mut changes)?;
                changes[at].existing()?;
                changes[at].after = None;
                changes[at].settles_mark = true;
            }
            Operation::Label { key, label } => {
                check_text("a label", &label)?;
                let at = place(&key, &mut changes)?;
                changes[at].existing()?.label = Some(label);
                changes[at].settles_mark = true;
            }
            Operation::Unlabel { key } => {
                let at = place(&key, &mut changes)?;
                changes[at].existing()?.label = None;
                changes[at].settles_mark = true;
            }
        }
    }
    Ok(changes)
}

/// Whether an operation on a key for which there is an image, or none, can be carried out.
///
/// # Errors
/// What [`resolve`] says of it.
pub(super) fn check_operation(operation: &Operation, exists: bool, dimension: usize) -> Result<()> {
    match operation {
        Operation::Put(put) => After::of_put(put, dimension).map(|_| ()),
        Operation::Label { label, .. } if check_text("a label", label).is_err() => check_text("a label", label),
        Operation::Delete { key } | Operation::Label { key, .. } | Operation::Unlabel { key } => {
            if exists {
                Ok(())
            } else {
                Err(absent(key))
            }
        }
    }
}

fn absent(key: &str) -> Error {
    Error::not_found(format!("there is no image '{key}'"))
        .help("keys are case-sensitive; photos of a folder are keyed by their path inside it")
}

impl Change {
    fn existing(&mut self) -> Result<&mut After> {
        self.after.as_mut().ok_or_else(|| absent(&self.key))
    }
}

impl After {
    fn unchanged(before: &Before, state: &Published) -> Result<Self> {
        let label =
            before.record.label.map(|label| state.label(crate::id::LabelId(label)).map(str::to_owned)).transpose()?;
        Ok(Self {
            label,
            vector: None,
            source: before.record.source.clone(),
            content: before.record.content.clone(),
            photo: None,
        })
    }

    fn of_put(put: &Put, dimension: usize) -> Result<Self> {
        check_text("a key", &put.key)?;
        if let Some(label) = &put.label {
            check_text("a label", label)?;
        }
        if put.vector.len() != dimension {
            return Err(Error::new(
                ErrorKind::Mismatch,
                format!("the vector of '{}' has dimension {}, the database has {dimension}", put.key, put.vector.len()),
            )
            .help("vectors of different models never meet: create another database for them"));
        }
        let vector = unit(&put.vector).map_err(|error| {
            Error::invalid(format!("'{}': {}", put.key, error.message())).help("the image was not stored")
        })?;
        Ok(Self {
            label: put.label.clone(),
            vector: Some(vector),
            source: put.source.clone(),
            content: put.content.map(|content| content.to_vec()),
            photo: Some(put.photo.clone()),
        })
    }
}

fn check_text(what: &str, text: &str) -> Result<()> {
    let problem = match text {
        "" => "is empty".to_owned(),
        text if text.len() > MAX_KEY_BYTES => format!("is {} bytes long", text.len()),
        text if text.contains('\0') => "contains a NUL character".to_owned(),
        _ => return Ok(()),
    };
    Err(Error::invalid(format!("{what} {problem}"))
        .help(format!("use 1 to {MAX_KEY_BYTES} bytes of UTF-8 without NUL")))
}
