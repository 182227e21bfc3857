//! PUT, LABEL and UNLABEL as statements: what they would overwrite, their effect on an image's label, and the undo of the last
//! change of labels.

use super::database::Database;
use crate::catalog::RelabellingMessage;
use crate::error::{Error, ErrorKind, Result};
use crate::id::LabelId;
use crate::operation::{Operation, Put, Receipt, Record, Role};
use crate::state::{Published, Snapshot};
use crate::vector::unit;
use crate::write::{Expect, KEPT_IMAGES, KEPT_TRANSACTIONS, Note};
use cairndb_query::{nearest_name, plain_label};

/// The effect of PUT, LABEL or UNLABEL on an image and its label.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Labelled {
    /// The transaction.
    pub receipt: Receipt,
    /// External key.
    pub key: String,
    /// The earlier role of the image; `None`: there was no image.
    pub role_before: Option<Role>,
    /// Its earlier label.
    pub label_before: Option<String>,
    /// Its present label; `None`: it is an index image.
    pub label: Option<String>,
    /// No other train image has that label.
    pub is_new_label: bool,
    /// For a new label: an existing label with almost the same spelling.
    pub nearest: Option<String>,
}

impl Labelled {
    /// Its present role.
    pub fn role(&self) -> Role {
        if self.label.is_some() { Role::Train } else { Role::Index }
    }
}

/// The effect of UNDO LABEL.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LabelsUndone {
    /// Sequence numbers of the first and the last transaction that were undone.
    pub sequences: (u64, u64),
    /// Whether they belong to one reading of a list, not to people.
    pub by_list: bool,
    /// The images whose label was restored, with that label, if any.
    pub images: Vec<(String, Option<String>)>,
    /// Number of images that were changed since, and are left unchanged.
    pub left_alone: usize,
    /// The transaction.
    pub receipt: Receipt,
}

impl LabelsUndone {
    /// One line for people.
    pub(super) fn words(&self) -> String {
        let (first, last) = self.sequences;
        let change = match (self.by_list, first == last) {
            (false, _) => format!("the change at sequence {last}"),
            (true, true) => format!("the changes of a list at sequence {last}"),
            (true, false) => format!("the changes of a list from sequence {first} to {last}"),
        };
        let images = match &self.images[..] {
            [] => "no label was restored".to_owned(),
            [(key, Some(label))] => format!("'{key}' has the label '{label}' again"),
            [(key, None)] => format!("'{key}' has no label again, and is an index image"),
            images => format!("{} labels were restored", images.len()),
        };
        let rest = match self.left_alone {
            0 => String::new(),
            1 => "; 1 image was changed since and is left unchanged".to_owned(),
            rest => format!("; {rest} images were changed since and are left unchanged"),
        };
        format!("undone: {change}; {images}{rest}")
    }
}

impl Database {
    /// PUT: without `overwrite` the image must be new, or the same photo with the same label or none yet.
    ///
    /// # Errors
    /// `AlreadyExists`: another photo, or another label; the errors of [`Database::write_if`].
    pub(super) fn put_image(&self, put: Put, made_by: Option<&str>, overwrite: bool) -> Result<Labelled> {
        self.shared.core().refuse_within()?;
        let put = Put { label: put.label.as_deref().map(plain), ..put };
        let _alone = self.shared.labelling.lock();
        let snapshot = self.knowing(&put.key)?;
        let stored = snapshot.record(&put.key)?;
        if let (Some(stored), false) = (&stored, overwrite) {
            refuse_to_overwrite(&snapshot, stored, &put)?;
        }
        let (key, label) = (put.key.clone(), put.label.clone());
        let is_bare = put.content.is_none() && put.source.is_none() && put.photo.is_none();
        // The vector that is stored, typed again, says nothing of where the image came from: that stays known.
        let stays = !overwrite && is_bare && stored.as_ref().is_some_and(|stored| stored.content.is_some());
        let mut operations = Vec::new();
        if !stays {
            operations.push(Operation::Put(put));
        }
        // The statement is a word on the label too, and takes a mark away as LABEL does.
        match label.clone() {
            Some(label) => operations.push(Operation::Label { key: key.clone(), label }),
            None if stays => operations.push(Operation::Unlabel { key: key.clone() }),
            None => {}
        }
        let told = told(&snapshot, stored, key, label)?;
        Ok(Labelled { receipt: self.write_if([Expect::Model(made_by.map(str::to_owned))], operations)?, ..told })
    }

    /// LABEL, or without a label UNLABEL.
    ///
    /// # Errors
    /// The errors of [`Database::write`].
    pub(super) fn give_label(&self, key: String, label: Option<String>) -> Result<Labelled> {
        self.shared.core().refuse_within()?;
        let label = label.as_deref().map(plain);
        let _alone = self.shared.labelling.lock();
        let operation = match &label {
            Some(label) => Operation::Label { key: key.clone(), label: label.clone() },
            None => Operation::Unlabel { key: key.clone() },
        };
        let snapshot = self.knowing(&key)?;
        let stored = snapshot.record(&key)?;
        let told = told(&snapshot, stored, key, label)?;
        Ok(Labelled { receipt: self.write(vec![operation])?, ..told })
    }

    /// A state with all acknowledged writes of this key applied.
    fn knowing(&self, key: &str) -> Result<Snapshot> {
        let waits = self.shared.core().waits_on(key);
        if waits { self.apply_pending() } else { Ok(self.snapshot()) }
    }

    /// Undoes the last change of labels: by LABEL, UNLABEL, PUT over an image with the same photo, a transaction of
    /// [`Database::write`], or the reading of a list. Images whose label was set again since, even to the same label, stay
    /// unchanged. It also restores who had set a label. Cleanings are no such change; [`Database::undo_cleaning`] undoes them.
    ///
    /// The database records the last 1,000 transactions that changed labels, with 50,000 images in all.
    ///
    /// Complexity: one transaction; reads what is kept, and the record of each image.
    ///
    /// # Errors
    /// `NotFound`: no change of labels is recorded; `Invalid`: the last one changed more labels than are recorded, or the
    /// database is open for reading only.
    pub fn undo_labels(&self) -> Result<LabelsUndone> {
        let (_no_flip, core) = self.shared.enter()?;
        core.refuse_when_read_only()?;
        let (mut images, mut left_alone) = (Vec::new(), 0);
        let undone = core.write_noted(|state| {
            let changes = last_change(state)?;
            let mut operations = Vec::new();
            for change in &changes {
                for image in &change.changes {
                    if !stands(state, change.sequence, image)? {
                        left_alone += 1;
                        continue;
                    }
                    let key = image.key.clone();
                    operations.push(match image.was.clone() {
                        Some(label) => Operation::Label { key, label },
                        None => Operation::Unlabel { key },
                    });
                    images.push((image.key.clone(), image.was.clone()));
                }
            }
            Ok(Some((operations, Note::TakenBack(changes))))
        })?;
        let Some((receipt, Note::TakenBack(changes))) = undone else { return Err(nothing_kept()) };
        let (Some(first), Some(last)) = (changes.first(), changes.last()) else { return Err(nothing_kept()) };
        let sequences = (first.sequence, last.sequence);
        Ok(LabelsUndone { sequences, by_list: last.reading.is_some(), images, left_alone, receipt })
    }
}

/// A label as lists spell it too: `Louvre ` is `Louvre`.
fn plain(label: &str) -> String {
    plain_label(label).into_owned()
}

fn nothing_kept() -> Error {
    Error::not_found("there is no change of labels to undo")
        .help("it undoes LABEL, UNLABEL, a PUT that replaces, and lists; UNDO CLEAN undoes a cleaning")
}

/// The last transaction that changed labels, or all those of the last reading of a list.
fn last_change(state: &Published) -> Result<Vec<RelabellingMessage>> {
    let mut kept = state.pinned.relabellings()?;
    let reading = kept.last().ok_or_else(nothing_kept)?.reading;
    let is_of_it = |change: &RelabellingMessage| reading.is_some() && change.reading == reading;
    let others = kept.iter().rposition(|change| !is_of_it(change)).map_or(0, |last| last + 1);
    let changes = kept.split_off(if reading.is_some() { others } else { kept.len() - 1 });
    let begins = changes.first().is_some_and(|first| first.part == 0);
    if begins && changes.iter().all(|change| change.changes.len() as u64 == change.images) {
        return Ok(changes);
    }
    Err(Error::invalid(format!(
        "the last change of labels is too large to undo: the database records {KEPT_IMAGES} images in {KEPT_TRANSACTIONS} transactions"
    ))
    .help("ingest the earlier version of the list, or restore a backup"))
}

/// Whether an image has the label that a transaction gave it, and nobody decided about it since.
fn stands(state: &Published, sequence: u64, change: &crate::catalog::RelabelledMessage) -> Result<bool> {
    let Some((_, record)) = state.stored(&change.key)? else { return Ok(false) };
    let label = record.label.map(|label| state.label(LabelId(label))).transpose()?;
    Ok(record.origin.is_some_and(|origin| origin.at == sequence) && label == change.becomes.as_deref())
}

/// Refuses a PUT that would replace a photo or label that somebody may need.
fn refuse_to_overwrite(snapshot: &Snapshot, stored: &Record, put: &Put) -> Result<()> {
    let key = &put.key;
    let is_same_photo = match (stored.content, put.content) {
        (Some(stored), Some(put)) => stored == put,
        // A vector that is typed has no digest. What has no direction is refused by the write itself.
        _ => match unit(&put.vector) {
            Ok(vector) => snapshot.vector(key)? == Some(vector),
            Err(_refused_later) => true,
        },
    };
    let label = stored.label.as_ref().map_or(String::new(), |label| format!(", labelled '{label}'"));
    if !is_same_photo {
        let what = match &stored.source {
            Some(source) => format!("another photo, {source}"),
            None => "another image".to_owned(),
        };
        return Err(Error::new(ErrorKind::AlreadyExists, format!("'{key}' already has {what}{label}"))
            .help("use another key, or add OVERWRITE to the PUT to replace photo and label"));
    }
    match (&stored.label, &put.label) {
        (Some(stored), given) if given.as_ref() != Some(stored) => {
            let given = match given {
                Some(given) => format!("gives '{given}'"),
                None => "gives none".to_owned(),
            };
            Err(Error::new(ErrorKind::AlreadyExists, format!("'{key}' has the label '{stored}', but the PUT {given}"))
                .help("LABEL and UNLABEL change only the label; or add OVERWRITE to the PUT"))
        }
        _ => Ok(()),
    }
}

/// The effect of a statement on a label, before it runs.
fn told(snapshot: &Snapshot, stored: Option<Record>, key: String, label: Option<String>) -> Result<Labelled> {
    let (role_before, label_before) = stored.map_or((None, None), |stored| (Some(stored.role), stored.label));
    let asked = label.as_ref().filter(|label| label_before.as_ref() != Some(label));
    let is_new_label = match asked {
        Some(label) => !is_carried(&snapshot.state, label)?,
        None => false,
    };
    let mut nearest = None;
    if let (Some(label), true) = (asked, is_new_label) {
        let texts = snapshot.state.labels.iter().map(|text| &**text);
        let found = nearest_name(label, texts).map(str::to_owned);
        nearest = match found {
            Some(found) if is_carried(&snapshot.state, &found)? => Some(found),
            _ => None,
        };
    }
    Ok(Labelled { receipt: Receipt::default(), key, role_before, label_before, label, is_new_label, nearest })
}

/// Whether a train image has this label. Complexity: it reads each text once.
fn is_carried(state: &Published, label: &str) -> Result<bool> {
    let Some(number) = state.label_number(label) else { return Ok(false) };
    let mut found = false;
    state.pinned.postings(state.pinned.space(), state.options.vote_k, Role::Train, number, |_, _, _| {
        found = true;
        Ok(false)
    })?;
    Ok(found)
}
