//! The log of cleanings: what each of them did, which marks hold, and how the last one is undone.

use super::database::Database;
use crate::catalog::CleaningMessage;
use crate::error::{Error, Result};
use crate::operation::{Operation, Receipt, Role};

/// A cleaning in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleaningEntry {
    /// Its number.
    pub number: u64,
    /// Sequence number of its transaction.
    pub sequence: u64,
    /// Rule and parameters, for people.
    pub what: String,
    /// Images that it changed or marked.
    pub found: usize,
    /// They go on voting.
    pub keep_voters: bool,
    /// It was undone.
    pub undone: bool,
}

/// A train image with a mark: it votes as before, and training passes it over. The mark goes with UNDO CLEAN, with LABEL of the image
/// (the same label too), and with another photo under its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// External key.
    pub key: String,
    /// Its label.
    pub label: String,
    /// Number of the cleaning that marked it.
    pub cleaning: u64,
}

/// What UNDO CLEAN did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// The cleaning that was undone.
    pub cleaning: CleaningEntry,
    /// The transaction; of a cleaning that took or changed labels, the images changed are those that have them back.
    pub receipt: Receipt,
    /// Marks removed, of a cleaning that marked.
    pub marks_removed: usize,
}

impl Undone {
    /// One line for people.
    pub(super) fn words(&self) -> String {
        let Self { cleaning: CleaningEntry { number, found, keep_voters, .. }, receipt, marks_removed } = self;
        let (done, what) = match (keep_voters, marks_removed, receipt.images_changed) {
            (true, 1, _) => (1, "1 mark is removed".to_owned()),
            (true, marks, _) => (*marks, format!("{marks} marks are removed")),
            (false, _, 1) => (1, "1 image has its label back".to_owned()),
            (false, _, images) => (images, format!("{images} images have their labels back")),
        };
        let rest = match found.saturating_sub(done) {
            0 => String::new(),
            1 => "; 1 image was changed since and stays as it is".to_owned(),
            rest => format!("; {rest} images were changed since and stay as they are"),
        };
        format!("cleaning {number} is undone: {what}{rest}")
    }
}

impl Database {
    /// Undoes the last cleaning that was not undone: the images that are as it left them get their labels back, or lose its mark.
    ///
    /// # Errors
    /// `NotFound`: there is none; `Invalid`: the database was opened for reading only.
    pub fn undo_cleaning(&self) -> Result<Undone> {
        let _no_flip = self.shared.gate.read();
        let core = self.shared.core();
        let snapshot = core.reach(core.accepted())?;
        let last = snapshot.state.pinned.cleanings()?.into_iter().rfind(|cleaning| !cleaning.undone);
        let last =
            last.ok_or_else(|| Error::not_found("there is no cleaning to undo").help("SHOW CLEANS lists them"))?;
        let mut operations = Vec::new();
        for change in last.changes.iter().filter(|_| !last.keep_voters) {
            let record = snapshot.record(&change.key)?;
            if record.is_some_and(|record| record.label == change.becomes) {
                operations.push(Operation::Label { key: change.key.clone(), label: change.label.clone() });
            }
        }
        let marks = snapshot.state.pinned.marks()?;
        let marks_removed = marks.into_iter().filter(|&(_, cleaning)| cleaning == last.number).count();
        let undone = CleaningMessage { undone: true, ..last };
        let receipt = core.write_noted(operations, |_| undone.clone())?;
        Ok(Undone { cleaning: entry(undone), receipt, marks_removed })
    }

    /// The cleanings, oldest first.
    ///
    /// # Errors
    /// A damaged catalog.
    pub fn cleanings(&self) -> Result<Vec<CleaningEntry>> {
        Ok(self.snapshot().state.pinned.cleanings()?.into_iter().map(entry).collect())
    }

    /// The train images with a mark, by key.
    ///
    /// # Errors
    /// A damaged catalog.
    pub fn marked(&self) -> Result<Vec<Marked>> {
        let snapshot = self.snapshot();
        let state = &snapshot.state;
        let mut marked = Vec::new();
        for (id, cleaning) in state.pinned.marks()? {
            let set = state.rows(Role::Train);
            let Some(row) = set.row_of(id).filter(|&row| set.live[row]) else { continue };
            let Some(ballot) = set.instances[row] else { continue };
            marked.push(Marked {
                key: set.key(row).to_owned(),
                label: state.label(ballot.label)?.to_owned(),
                cleaning,
            });
        }
        marked.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(marked)
    }

    /// Keys of the train images with a mark: training passes them over.
    ///
    /// # Errors
    /// A damaged catalog.
    pub fn marked_by_cleanings(&self) -> Result<Vec<String>> {
        Ok(self.marked()?.into_iter().map(|marked| marked.key).collect())
    }
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
