//! Turns operations into net changes: each image before the transaction and after it.
//!
//! Operations of one transaction see each other in order; the result is one change for each image, so the stored data does not
//! show the order inside a transaction.

use std::collections::{BTreeMap, HashMap};

use cairndb_query::plain_label;

use crate::attribute::{self, Attributes};
use crate::catalog::{CleaningMessage, OriginMessage, RecordMessage, RelabelledMessage, RelabellingMessage};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{ImageId, LabelId};
use crate::operation::{Heard, Listed, Operation, Put, SetBy, heard};
use crate::options::MAX_KEY_BYTES;
use crate::state::snapshot::Published;
use crate::vector::unit;

/// Operations that were written together, and the number of their transaction.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) sequence: u64,
    pub(crate) operations: Vec<Operation>,
}

/// Who gives and takes labels.
pub(crate) enum Author {
    /// The caller of the database. A list is named with each operation.
    People,
    /// The cleaning of that number.
    Cleaning(u64),
    /// An undo: labels are back, and with them who set them, by key.
    Undo(HashMap<String, Option<OriginMessage>>),
}

impl Author {
    /// In whose name a cleaning, or its undo, gives and takes labels.
    pub(crate) fn of(cleaning: &CleaningMessage) -> Self {
        if !cleaning.undone {
            return Self::Cleaning(cleaning.number);
        }
        Self::Undo(cleaning.changes.iter().map(|change| (change.key.clone(), change.was_by)).collect())
    }

    fn origin(&self, key: &str, sequence: u64) -> Option<OriginMessage> {
        match self {
            Self::People => OriginMessage::of(SetBy::Statement, sequence),
            Self::Cleaning(number) => OriginMessage::of(SetBy::Cleaning(*number), sequence),
            Self::Undo(origins) => origins.get(key).copied().flatten(),
        }
    }
}

/// What is stored of an image before the transaction.
#[derive(Debug, Clone)]
pub(crate) struct Before {
    pub(crate) id: ImageId,
    pub(crate) record: RecordMessage,
}

/// What an image is to be after it.
#[derive(Debug, Clone)]
pub(crate) struct After {
    /// `Some`: a train image.
    pub(crate) label: Option<String>,
    /// Who set it.
    pub(crate) origin: Option<OriginMessage>,
    /// What a list said of it when it was read last.
    pub(crate) listed: Option<Said>,
    /// `None`: the stored one.
    pub(crate) vector: Option<Vec<f32>>,
    pub(crate) source: Option<String>,
    pub(crate) content: Option<Vec<u8>>,
    /// `None`: what is stored of it, or nothing when there is no `Before`.
    pub(crate) photo: Option<Option<Vec<u8>>>,
    pub(crate) attributes: Attributes,
}

/// What a list said of an image.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Said {
    pub(crate) label: Option<String>,
    /// Hash of the photo that it named; `None`: the image's own.
    pub(crate) content: Option<Vec<u8>>,
}

/// One image's change.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) key: String,
    pub(crate) before: Option<Before>,
    pub(crate) after: Option<After>,
    /// The stored image that was renamed to this key: `after` keeps what is stored of it.
    pub(crate) renamed: Option<Before>,
    /// Somebody labelled or deleted it in between, even to the same result: a person has examined what a cleaning marked.
    pub(crate) settles_mark: bool,
}

/// What transactions come to.
pub(crate) struct Resolved {
    /// The net changes in the order in which the images were first named.
    pub(crate) changes: Vec<Change>,
    /// What each transaction did to labels, for the log of them.
    pub(crate) relabellings: Vec<RelabellingMessage>,
}

/// What the operations of all transactions, one after the other, come to.
///
/// # Errors
/// The first operation that is not valid; nothing of the transactions is applied then.
pub(crate) fn resolve(state: &Published, transactions: Vec<Transaction>, author: &Author) -> Result<Resolved> {
    let mut images = Images { state, changes: Vec::new(), places: HashMap::new() };
    let mut relabellings = Vec::new();
    for Transaction { sequence, operations } in transactions {
        let mut labels = LabelStory::default();
        for operation in operations {
            images.carry_out(operation, sequence, author, &mut labels)?;
        }
        if matches!(author, Author::People) {
            relabellings.extend(labels.told(sequence, &images.changes));
        }
    }
    Ok(Resolved { changes: images.changes, relabellings })
}

/// The images that transactions name.
struct Images<'s> {
    state: &'s Published,
    changes: Vec<Change>,
    places: HashMap<String, usize>,
}

impl Images<'_> {
    fn place(&mut self, key: &str) -> Result<usize> {
        if let Some(&at) = self.places.get(key) {
            return Ok(at);
        }
        let before = self.state.stored(key)?.map(|(id, record)| Before { id, record });
        let after = match &before {
            Some(before) => Some(After::unchanged(before, self.state)?),
            None => None,
        };
        self.changes.push(Change { key: key.to_owned(), before, after, renamed: None, settles_mark: false });
        self.places.insert(key.to_owned(), self.changes.len() - 1);
        Ok(self.changes.len() - 1)
    }

    fn carry_out(
        &mut self,
        operation: Operation,
        sequence: u64,
        author: &Author,
        labels: &mut LabelStory,
    ) -> Result<()> {
        let dimension = self.state.options.dimension;
        match operation {
            Operation::Put(put) => {
                let mut after = After::of_put(&put, dimension)?;
                let at = self.place(&put.key)?;
                let is_same_photo = self.is_same_photo(at, &after)?;
                labels.before(at, &self.changes[at], is_same_photo);
                let change = &mut self.changes[at];
                after.spoken_over(change.after.as_ref(), author.origin(&put.key, sequence));
                change.after = Some(after);
            }
            Operation::Delete { key } => {
                let at = self.place(&key)?;
                self.changes[at].existing()?;
                labels.is_another(at);
                self.changes[at].after = None;
                self.changes[at].settles_mark = true;
            }
            Operation::Label { key, label } => {
                let label = plain_label(&label).into_owned();
                check_text("a label", &label)?;
                self.give(&key, Some(label), sequence, author, labels)?;
            }
            Operation::Unlabel { key } => self.give(&key, None, sequence, author, labels)?,
            Operation::Rename { key, to, source } => {
                let at = self.rename(&key, &to, labels)?;
                if let (Some(source), Some(after)) = (source, &mut self.changes[at].after) {
                    after.source = Some(source);
                }
            }
            Operation::Describe { key, changes } => {
                let at = self.place(&key)?;
                attribute::change(&mut self.changes[at].existing()?.attributes, changes)?;
            }
            Operation::Listed(mut listed) => {
                listed.label = listed.label.as_deref().map(|label| plain_label(label).into_owned());
                let at = self.place(&listed.key)?;
                let photo = listed.photo_of(dimension)?;
                let is_same_photo = match &photo {
                    Some(photo) => self.is_same_photo(at, photo)?,
                    None => true,
                };
                labels.before(at, &self.changes[at], is_same_photo);
                labels.reading = Some(listed.reading.number);
                let change = &mut self.changes[at];
                let attributes = std::mem::take(&mut listed.attributes);
                let after = After::as_listed(change.after.take(), photo, listed, sequence);
                let mut after = after.ok_or_else(|| absent(&change.key))?;
                attribute::change(&mut after.attributes, attributes)?;
                change.after = Some(after);
            }
        }
        Ok(())
    }

    /// Moves an image to another key; the place of its change.
    fn rename(&mut self, key: &str, to: &str, labels: &mut LabelStory) -> Result<usize> {
        let from = self.place(key)?;
        self.changes[from].existing()?;
        if key == to {
            return Ok(from);
        }
        check_text("a key", to)?;
        let at = self.place(to)?;
        if self.changes[at].after.is_some() {
            return Err(taken(to));
        }
        [from, at].into_iter().for_each(|place| labels.is_another(place));
        let moved = &mut self.changes[from];
        let (after, renamed) = (moved.after.take(), moved.renamed.take().or_else(|| moved.before.clone()));
        (self.changes[at].after, self.changes[at].renamed) = (after, renamed);
        Ok(at)
    }

    fn give(
        &mut self,
        key: &str,
        label: Option<String>,
        sequence: u64,
        author: &Author,
        labels: &mut LabelStory,
    ) -> Result<()> {
        let at = self.place(key)?;
        self.changes[at].existing()?;
        labels.before(at, &self.changes[at], true);
        let change = &mut self.changes[at];
        change.settles_mark = true;
        let after = change.existing()?;
        (after.label, after.origin) = (label, author.origin(key, sequence));
        Ok(())
    }

    /// Whether an image that is put is the one that is there. Descriptors are compared where one of the two has no content hash.
    fn is_same_photo(&self, at: usize, put: &After) -> Result<bool> {
        let Change { before, after: Some(now), .. } = &self.changes[at] else { return Ok(false) };
        // Where the label stays nobody asks.
        if now.label == put.label && put.content.is_none() {
            return Ok(true);
        }
        match (&now.content, &put.content) {
            (Some(now), Some(put)) => Ok(now == put),
            _ => match (&now.vector, before) {
                (Some(now), _) => Ok(Some(now) == put.vector.as_ref()),
                (None, Some(before)) => {
                    Ok(self.state.pinned.vector(self.state.pinned.space(), before.id)? == put.vector)
                }
                (None, None) => Ok(false),
            },
        }
    }
}

/// The label of an image, and who had set it.
type Was = (Option<String>, Option<OriginMessage>);

/// What one transaction does to labels.
#[derive(Default)]
struct LabelStory {
    /// Place of an image -> what it was; `None`: it is another image than before.
    before: BTreeMap<usize, Option<Was>>,
    /// The reading of the list that speaks.
    reading: Option<u64>,
}

impl LabelStory {
    fn before(&mut self, at: usize, change: &Change, is_same_photo: bool) {
        match &change.after {
            Some(after) if is_same_photo => {
                self.before.entry(at).or_insert_with(|| Some((after.label.clone(), after.origin)));
            }
            _ => self.is_another(at),
        }
    }

    fn is_another(&mut self, at: usize) {
        self.before.insert(at, None);
    }

    /// What the log tells of it; `None`: no image's label changed.
    fn told(self, sequence: u64, changes: &[Change]) -> Option<RelabellingMessage> {
        let mut relabelled = Vec::new();
        for (at, before) in self.before {
            let (Some((was, was_by)), Some(after)) = (before, &changes[at].after) else { continue };
            if was != after.label {
                let (key, becomes) = (changes[at].key.clone(), after.label.clone());
                relabelled.push(RelabelledMessage { key, was, was_by, becomes });
            }
        }
        let images = relabelled.len() as u64;
        // Which part of its reading it is, is known to the writer.
        let message = RelabellingMessage { sequence, reading: self.reading, part: 0, images, changes: relabelled };
        (images > 0).then_some(message)
    }
}

/// Whether an operation is valid where images with some keys exist.
///
/// # Errors
/// What [`resolve`] says of it.
pub(crate) fn check_operation(
    operation: &Operation,
    exists: &dyn Fn(&str) -> Result<bool>,
    dimension: usize,
) -> Result<()> {
    match operation {
        Operation::Put(put) => After::of_put(put, dimension).map(|_| ()),
        Operation::Listed(listed) => {
            listed.photo_of(dimension)?;
            attribute::change(&mut Attributes::new(), listed.attributes.clone())?;
            if listed.photo.is_some() || exists(&listed.key)? { Ok(()) } else { Err(absent(&listed.key)) }
        }
        Operation::Label { label, .. } if check_text("a label", &plain_label(label)).is_err() => {
            check_text("a label", &plain_label(label))
        }
        Operation::Delete { key } | Operation::Label { key, .. } | Operation::Unlabel { key } => {
            if exists(key)? {
                Ok(())
            } else {
                Err(absent(key))
            }
        }
        Operation::Describe { key, .. } if !exists(key)? => Err(absent(key)),
        Operation::Describe { changes, .. } => {
            changes.iter().try_for_each(|(name, value)| attribute::check(name, value.as_ref()))
        }
        Operation::Rename { key, .. } if !exists(key)? => Err(absent(key)),
        Operation::Rename { key, to, .. } if key != to => {
            check_text("a key", to)?;
            if exists(to)? { Err(taken(to)) } else { Ok(()) }
        }
        Operation::Rename { .. } => Ok(()),
    }
}

fn taken(key: &str) -> Error {
    Error::new(ErrorKind::AlreadyExists, format!("an image '{key}' exists already"))
        .help("delete it first, or choose another key")
}

fn absent(key: &str) -> Error {
    Error::not_found(format!("image '{key}' does not exist")).help(
        "keys are case-sensitive; a photo that was ingested from a folder has its path inside the folder as its key",
    )
}

impl Change {
    fn existing(&mut self) -> Result<&mut After> {
        self.after.as_mut().ok_or_else(|| absent(&self.key))
    }
}

impl Listed {
    /// The image that comes with it, checked, without its label.
    fn photo_of(&self, dimension: usize) -> Result<Option<After>> {
        check_text("a key", &self.key)?;
        if let Some(label) = &self.label {
            check_text("a label", &plain_label(label))?;
        }
        self.photo.as_ref().map(|photo| After::of_put(photo, dimension)).transpose()
    }
}

impl After {
    fn unchanged(before: &Before, state: &Published) -> Result<Self> {
        let text = |label: Option<u32>| label.map(|label| state.label(LabelId(label)).map(str::to_owned)).transpose();
        let listed = match before.record.listed() {
            Some(listed) => Some(Said { label: text(listed.label)?, content: listed.content }),
            None => None,
        };
        Ok(Self {
            label: text(before.record.label)?,
            origin: before.record.origin,
            listed,
            vector: None,
            source: before.record.source.clone(),
            content: before.record.content.clone(),
            photo: None,
            attributes: before.record.attributes()?,
        })
    }

    /// A person put it, where `last` was.
    fn spoken_over(&mut self, last: Option<&Self>, origin: Option<OriginMessage>) {
        let had_a_say = |last: &Self| last.label.is_some() || last.origin.is_none_or(|last| !last.is_nobody());
        self.origin = match origin {
            // That an image comes without a label is no word on labels; that a label goes is one.
            Some(origin) if self.label.is_none() && !last.is_some_and(had_a_say) => {
                OriginMessage::of(SetBy::Nobody, origin.at)
            }
            origin => origin,
        };
        let Some(last) = last else { return };
        self.listed = last.listed.clone();
        if let Some(listed) = self.listed.as_mut().filter(|listed| listed.content.is_none())
            && last.content != self.content
        {
            listed.content = last.content.clone();
        }
    }

    /// The image as it is once a list was heard; `None`: there is none.
    fn as_listed(last: Option<Self>, photo: Option<Self>, listed: Listed, sequence: u64) -> Option<Self> {
        let Listed { label, content, reading, .. } = listed;
        let word = match &last {
            None => Heard::Taken,
            Some(last) => {
                let set_by = last.origin.map_or(SetBy::Unknown, OriginMessage::set_by);
                let listed = last.listed.as_ref().map(|listed| listed.label.as_deref());
                heard((last.label.as_deref(), set_by), listed, label.as_deref(), reading.overrules)
            }
        };
        let brings_photo = photo.is_some();
        let mut after = match (photo, last) {
            (Some(photo), Some(last)) => Self { label: last.label, origin: last.origin, listed: last.listed, ..photo },
            (photo, last) => photo.or(last)?,
        };
        if word == Heard::Taken {
            (after.label, after.origin) = (label.clone(), OriginMessage::of(SetBy::List, sequence));
        }
        let content = match content {
            _ if brings_photo => None,
            Some(content) => Some(content.to_vec()).filter(|content| after.content.as_ref() != Some(content)),
            None => after.listed.and_then(|listed| listed.content),
        };
        after.listed = Some(Said { label, content });
        Some(after)
    }

    fn of_put(put: &Put, dimension: usize) -> Result<Self> {
        check_text("a key", &put.key)?;
        let label = put.label.as_deref().map(|label| plain_label(label).into_owned());
        if let Some(label) = &label {
            check_text("a label", label)?;
        }
        if put.vector.len() != dimension {
            return Err(Error::new(
                ErrorKind::Mismatch,
                format!("the vector of '{}' has dimension {}, the database has {dimension}", put.key, put.vector.len()),
            )
            .help(
                "embed with the active model (Snapshot::model): vectors of different models cannot be compared; create another \
                 database for those of another model",
            ));
        }
        let vector = unit(&put.vector).map_err(|error| {
            Error::invalid(format!("'{}': {}", put.key, error.message())).help("the image was not stored")
        })?;
        let mut attributes = Attributes::new();
        attribute::change(
            &mut attributes,
            put.attributes.clone().into_iter().map(|(name, value)| (name, Some(value))).collect(),
        )?;
        Ok(Self {
            label,
            origin: None,
            listed: None,
            vector: Some(vector),
            source: put.source.clone(),
            content: put.content.map(|content| content.to_vec()),
            photo: Some(put.photo.clone()),
            attributes,
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
