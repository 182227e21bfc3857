//! The log of cleanings: their changes, the marks that hold, and the undo of the last one.

use crate::background::Shared;
use crate::catalog::{ChangeMessage, CleaningMessage};
use crate::error::{Error, Result};
use crate::id::LabelId;
use crate::operation::{Operation, Receipt, Role};
use crate::state::{Published, Snapshot};
use crate::write::Note;

/// A cleaning in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CleaningEntry {
    /// Its number.
    pub number: u64,
    /// Sequence number of its transaction.
    pub sequence: u64,
    /// Rule and parameters, for people.
    pub what: String,
    /// Number of images that it changed or marked.
    pub found: usize,
    /// Whether it only marked them: they still vote.
    pub keep_voters: bool,
    /// Whether it was undone.
    pub undone: bool,
}

/// The effect of a cleaning on one image.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cleaned {
    /// External key.
    pub key: String,
    /// Its earlier label.
    pub label: String,
    /// Its label after the cleaning; `None`: it lost its label. A cleaning that marks leaves it the same.
    pub becomes: Option<String>,
    /// Whether the effect still holds.
    pub standing: Standing,
}

/// Whether the effect of a cleaning on an image still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The image has not changed since the cleaning.
    Stands,
    /// Somebody changed or deleted it since, or removed its mark; an undo leaves it unchanged.
    ChangedSince,
    /// UNDO CLEAN restored its label, or removed its mark.
    Undone,
}

/// A train image with a mark: it still votes, but training skips it. UNDO CLEAN removes the mark, and so do LABEL of the image
/// (even with the same label) and another photo under its key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Marked {
    /// External key.
    pub key: String,
    /// Its label.
    pub label: String,
    /// Number of the cleaning that marked it.
    pub cleaning: u64,
}

/// The effect of UNDO CLEAN.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undone {
    /// The cleaning that was undone.
    pub cleaning: CleaningEntry,
    /// The transaction; if the cleaning removed or changed labels, its changed images are those whose labels were restored.
    pub receipt: Receipt,
    /// Number of marks removed, if the cleaning marked.
    pub marks_removed: usize,
    /// Number of images of the cleaning that were changed since, and are left unchanged.
    pub left_alone: usize,
}

impl Undone {
    /// One line for people.
    pub(crate) fn words(&self) -> String {
        let Self { cleaning: CleaningEntry { number, keep_voters, .. }, receipt, marks_removed, left_alone } = self;
        let what = match (keep_voters, marks_removed, receipt.images_changed) {
            (true, 1, _) => "1 mark was removed".to_owned(),
            (true, marks, _) => format!("{marks} marks were removed"),
            (false, _, 1) => "1 label was restored".to_owned(),
            (false, _, images) => format!("{images} labels were restored"),
        };
        let rest = match left_alone {
            0 => String::new(),
            1 => "; 1 image was changed since and is left unchanged".to_owned(),
            rest => format!("; {rest} images were changed since and are left unchanged"),
        };
        format!("cleaning {number} was undone: {what}{rest}")
    }
}

/// Undoes the last cleaning, as `Database::undo_cleaning` documents it.
pub(crate) fn undo_cleaning(shared: &Shared) -> Result<Undone> {
    let (_no_flip, core) = shared.enter()?;
    core.refuse_when_read_only()?;
    let undone = core.write_noted(|state| {
        let last = state.pinned.cleanings()?.into_iter().rfind(|cleaning| !cleaning.undone);
        let Some(mut last) = last else { return Ok(None) };
        let mut operations = Vec::new();
        for at in 0..last.changes.len() {
            let stands = stands(state, &last, &last.changes[at])?;
            let change = &mut last.changes[at];
            change.left_alone = !stands;
            if stands && !last.keep_voters {
                operations.push(Operation::Label { key: change.key.clone(), label: change.label.clone() });
            }
        }
        Ok(Some((operations, Note::Cleaning(CleaningMessage { undone: true, ..last }))))
    })?;
    let Some((receipt, Note::Cleaning(undone))) = undone else {
        return Err(Error::not_found("there is no cleaning to undo").help("SHOW CLEANS lists them"));
    };
    let left_alone = undone.changes.iter().filter(|change| change.left_alone).count();
    let marks_removed = if undone.keep_voters { undone.changes.len() - left_alone } else { 0 };
    Ok(Undone { cleaning: entry(undone), receipt, marks_removed, left_alone })
}

/// The cleanings, oldest first.
pub(crate) fn cleanings(snapshot: &Snapshot) -> Result<Vec<CleaningEntry>> {
    Ok(snapshot.state.pinned.cleanings()?.into_iter().map(entry).collect())
}

/// The effect of the cleaning of this number, image by image.
pub(crate) fn cleaned(snapshot: &Snapshot, number: u64) -> Result<Vec<Cleaned>> {
    let state = &snapshot.state;
    let cleaning = state
        .pinned
        .cleaning(number)?
        .ok_or_else(|| Error::not_found(format!("cleaning {number} does not exist")).help("SHOW CLEANS lists them"))?;
    let cleaned = |change: &ChangeMessage| {
        let standing = match (cleaning.undone, change.left_alone) {
            (true, false) => Standing::Undone,
            (true, true) => Standing::ChangedSince,
            (false, _) if stands(state, &cleaning, change)? => Standing::Stands,
            (false, _) => Standing::ChangedSince,
        };
        let becomes = if cleaning.keep_voters { Some(&change.label) } else { change.becomes.as_ref() };
        Ok(Cleaned { key: change.key.clone(), label: change.label.clone(), becomes: becomes.cloned(), standing })
    };
    cleaning.changes.iter().map(cleaned).collect()
}

/// The train images with a mark, by key.
pub(crate) fn marked(snapshot: &Snapshot) -> Result<Vec<Marked>> {
    let state = &snapshot.state;
    let mut marked = Vec::new();
    for (id, cleaning) in state.pinned.marks()? {
        let set = state.rows(Role::Train);
        let Some(row) = set.row_of(id).filter(|&row| set.live[row]) else { continue };
        let Some(ballot) = set.instances[row] else { continue };
        marked.push(Marked { key: set.key(row).to_owned(), label: state.label(ballot.label)?.to_owned(), cleaning });
    }
    marked.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    Ok(marked)
}

/// Whether an image has not changed since the cleaning.
fn stands(state: &Published, cleaning: &CleaningMessage, change: &ChangeMessage) -> Result<bool> {
    let Some((id, record)) = state.stored(&change.key)? else { return Ok(false) };
    if cleaning.keep_voters {
        return Ok(state.pinned.mark(id)? == Some(cleaning.number));
    }
    let label = record.label.map(|label| state.label(LabelId(label))).transpose()?;
    Ok(change.left_as(cleaning.next_image, id.0, record.version) && label == change.becomes.as_deref())
}

fn entry(message: CleaningMessage) -> CleaningEntry {
    CleaningEntry {
        number: message.number,
        sequence: message.sequence,
        what: message.what,
        found: message.changes.len(),
        keep_voters: message.keep_voters,
        undone: message.undone,
    }
}
