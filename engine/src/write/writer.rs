//! The single writer: a transaction becomes one batch, is committed, and only then becomes visible.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::committer::Commits;
use super::predictions::{Moves, Start, follow};
use super::proposed::Proposer;
use super::relabellings::Log;
use super::resolve::{After, Author, Before, Change, Resolved, Transaction, resolve};
use crate::catalog::{
    AttributeMessage, Batch, CleaningMessage, ListedMessage, RecordMessage, RelabellingMessage, codec,
};
use crate::error::{Error, Result};
use crate::id::{ImageId, LabelId, SpaceId};
use crate::operation::{Operation, Role};
use crate::ports::Propose;
use crate::rows::{NewRow, RowSet};
use crate::state::labels::LabelNumbers;
use crate::state::snapshot::Published;
use crate::vote::Ballot;

/// What only the writer knows.
pub(crate) struct Writer {
    commits: Arc<Commits>,
    next_image: u64,
    numbers: LabelNumbers,
    relabellings: Log,
}

/// What is written together with a transaction of the database's own.
#[derive(Debug, Clone)]
pub(crate) enum Note {
    /// A cleaning, or its undo.
    Cleaning(CleaningMessage),
    /// Changes of labels that are undone.
    TakenBack(Vec<RelabellingMessage>),
}

impl Note {
    fn author(&self) -> Author {
        match self {
            Self::Cleaning(cleaning) => Author::of(cleaning),
            Self::TakenBack(changes) => {
                let changes = changes.iter().flat_map(|change| &change.changes);
                Author::Undo(changes.map(|change| (change.key.clone(), change.was_by)).collect())
            }
        }
    }
}

/// What a carried-out transaction did to the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Carried {
    pub(crate) images_changed: usize,
    pub(crate) predictions_changed: usize,
}

/// The rows to be appended to one role.
#[derive(Default)]
pub(crate) struct Appended {
    pub(crate) rows: Vec<NewRow>,
    pub(crate) vectors: Vec<f32>,
}

impl Appended {
    pub(crate) fn into_set(self, set: &mut RowSet) -> std::ops::Range<usize> {
        let start = set.len();
        set.append(self.rows, self.vectors);
        start..set.len()
    }
}

/// The changes of a transaction, sorted by what they mean for predictions.
#[derive(Default)]
struct Effects {
    removed_train: Vec<ImageId>,
    relabelled: Vec<ImageId>,
    removed_index: Vec<(ImageId, String, Option<Ballot<LabelId>>)>,
    train: Appended,
    index: Appended,
}

impl Writer {
    /// The writer of a database whose present state is `state`.
    pub(crate) fn new(commits: Arc<Commits>, state: &Published) -> Result<Self> {
        Ok(Self {
            commits,
            next_image: state.pinned.next_image()?,
            numbers: LabelNumbers::of(&state.labels),
            relabellings: Log::default(),
        })
    }

    /// The id that the next image gets.
    pub(crate) fn next_image(&self) -> ImageId {
        ImageId(self.next_image)
    }

    /// Numbers the labels as this state does.
    pub(crate) fn learn_labels(&mut self, state: &Published) {
        self.numbers = LabelNumbers::of(&state.labels);
    }

    /// Images up to here are known to a space that is being built.
    pub(crate) fn set_next_image(&mut self, next: ImageId) {
        self.next_image = next.0;
    }

    /// Commits a batch that somebody else filled; after a failure nothing more is taken.
    pub(crate) fn commit(&mut self, fill: impl FnOnce(&mut Batch<'_>) -> Result<()>) -> Result<()> {
        self.commits.commit(fill)
    }

    /// Applies transactions to `state` and returns the state after them, whose sequence number is that of the last one; the same
    /// batch removes the deferred transactions numbered `drained` from the log, and stores a `note`. If it fails, nothing has
    /// changed.
    pub(crate) fn write(
        &mut self,
        state: &Published,
        transactions: Vec<Transaction>,
        proposer: Option<&dyn Propose>,
        drained: &[u64],
        note: Option<&Note>,
    ) -> Result<(Published, Carried)> {
        let commits = Arc::clone(&self.commits);
        commits.refuse()?;
        let is_owed = !drained.is_empty() || transactions.iter().all(|one| only_deletes(&one.operations));
        let sequence = transactions.last().map_or(state.sequence, |last| last.sequence);
        let author = note.map_or(Author::People, Note::author);
        let Resolved { changes, relabellings } = resolve(state, transactions, &author)?;
        let catalog = commits.catalog();
        let mut next = Draft {
            labels: state.labels.clone(),
            index: state.index.clone(),
            train: state.train.clone(),
            next_image: self.next_image,
            batch: Batch::new(catalog),
            vote_k: state.options.vote_k,
            space: catalog.space(),
            others: catalog.other_spaces(),
            effects: Effects::default(),
            relabels: false,
        };
        let numbers = &mut self.numbers;
        // A panic of foreign code below must not leave label numbers that were never stored.
        let watched = commits.watch();
        let filled = next.fill(state, changes, numbers, proposer, sequence, drained);
        let filled = filled.and_then(|carried| {
            match note {
                Some(Note::Cleaning(cleaning)) => next.note(state, cleaning)?,
                Some(Note::TakenBack(taken)) => self.relabellings.take_back(&mut next.batch, state, taken)?,
                None => self.relabellings.add(&mut next.batch, state, relabellings)?,
            }
            Ok(carried)
        });
        watched.over();
        let carried = match filled {
            Ok(carried) => carried,
            Err(error) => {
                // Numbers given to new label texts by a write that failed must not be remembered.
                self.numbers = LabelNumbers::of(&state.labels);
                self.relabellings = Log::default();
                return Err(error);
            }
        };
        let Draft { labels, index, train, next_image, mut batch, relabels, .. } = next;
        if is_owed {
            batch.set_owed();
        }
        if let Err(error) = commits.commit_batch(batch) {
            // When writing goes on, then from what is stored.
            self.numbers = LabelNumbers::of(&state.labels);
            return Err(error);
        }
        self.next_image = next_image;
        // Rows are only appended, and only die.
        let same_train = train.len() == state.train.len() && train.live_rows() == state.train.live_rows() && !relabels;
        let same_index = index.len() == state.index.len() && index.live_rows() == state.index.live_rows();
        let published = Published {
            sequence,
            index,
            train,
            labels,
            pinned: catalog.pin(),
            options: state.options.clone(),
            problems: Arc::clone(&state.problems),
            revotes: Mutex::default(),
            shares: Mutex::default(),
            learnt: if same_train { Arc::clone(&state.learnt) } else { Arc::default() },
            derived: if same_index { Arc::clone(&state.derived) } else { Arc::new(state.derived.of_others()) },
            voters: state.voters.of_another_state(),
        };
        Ok((published, carried))
    }
}

/// Whether operations make the database smaller, whatever it holds.
pub(crate) fn only_deletes(operations: &[Operation]) -> bool {
    operations.iter().all(|operation| matches!(operation, Operation::Delete { .. }))
}

/// The state being written.
struct Draft<'c> {
    labels: crate::state::Labels,
    index: RowSet,
    train: RowSet,
    next_image: u64,
    batch: Batch<'c>,
    vote_k: usize,
    space: SpaceId,
    /// Other spaces whose descriptors follow the images.
    others: Vec<SpaceId>,
    effects: Effects,
    /// A train image got another label.
    relabels: bool,
}

impl Draft<'_> {
    /// Puts the whole transaction into the batch; the numbers of changed images and of changed predictions.
    fn fill(
        &mut self,
        state: &Published,
        changes: Vec<Change>,
        numbers: &mut LabelNumbers,
        proposer: Option<&dyn Propose>,
        sequence: u64,
        drained: &[u64],
    ) -> Result<Carried> {
        let mut images_changed = 0;
        for change in changes {
            images_changed += usize::from(self.apply(state, change, numbers)?);
        }
        let predictions_changed = self.follow(state, proposer)?;
        self.batch.set_sequence(sequence)?;
        self.batch.set_next_image(self.next_image)?;
        drained.iter().try_for_each(|&waiting| self.batch.delete_waiting(waiting))?;
        Ok(Carried { images_changed, predictions_changed })
    }

    /// Notes a cleaning, and puts its marks or takes them away. A cleaning that marks changes no image by the same transaction.
    fn note(&mut self, state: &Published, cleaning: &CleaningMessage) -> Result<()> {
        if cleaning.undone {
            self.batch.put_cleaning(cleaning)?;
            self.hand_back(state, cleaning)?;
            let marks = state.pinned.marks()?.into_iter().filter(|&(_, by)| by == cleaning.number);
            return marks.map(|(id, _)| id).try_for_each(|id| self.batch.delete_mark(id));
        }
        // Only here is it known which ids the transaction itself gave. Builds that do not tell images apart one by one go by the next
        // one.
        let mut cleaning = CleaningMessage { next_image: Some(self.next_image), ..cleaning.clone() };
        let given = self.given(state);
        for change in &mut cleaning.changes {
            change.left = left_with(state, &given, &change.key)?;
        }
        self.batch.put_cleaning(&cleaning)?;
        for change in cleaning.changes.iter().filter(|_| cleaning.keep_voters) {
            if let Some(id) = state.pinned.image(&change.key)? {
                self.batch.put_mark(id, cleaning.number)?;
            }
        }
        Ok(())
    }

    /// The ids that the transaction gave, by key.
    fn given(&self, state: &Published) -> HashMap<String, u64> {
        let new = |now: &RowSet, before: &RowSet| -> Vec<(String, u64)> {
            (before.len()..now.len()).map(|row| (now.key(row).to_owned(), now.id(row).0)).collect()
        };
        new(&self.train, &state.train).into_iter().chain(new(&self.index, &state.index)).collect()
    }

    /// What an earlier cleaning left, and the undone one changed again, is as the earlier one left it: it can be undone, too. Of an
    /// image that several cleanings changed one after the other all earlier ones follow, so that each hangs on the next as before.
    fn hand_back(&mut self, state: &Published, undone: &CleaningMessage) -> Result<()> {
        /// Versions that an undone cleaning leaves behind: its own and its undo's.
        const STEPS: u64 = 2;
        /// What a cleaning judged of an image, and the id that it has now where the cleaning is the undone one.
        struct Judged {
            id: Option<u64>,
            version: u64,
            now: Option<u64>,
        }
        let given = self.given(state);
        let mut chains: HashMap<&str, Judged> = HashMap::new();
        for change in undone.changes.iter().filter(|change| !undone.keep_voters && !change.left_alone) {
            let now = left_with(state, &given, &change.key)?;
            chains.insert(&change.key, Judged { id: change.judged, version: change.version, now });
        }
        let earlier = state.pinned.cleanings()?.into_iter().rev().filter(|cleaning| cleaning.number < undone.number);
        for mut cleaning in earlier.filter(|cleaning| !cleaning.undone && !cleaning.keep_voters) {
            let mut is_changed = false;
            for change in &mut cleaning.changes {
                let Some(judged) = chains.get_mut(change.key.as_str()) else { continue };
                // A later cleaning that did not tell which image it judged is believed by the version.
                let id = judged.id.or(change.left).unwrap_or(0);
                if !change.left_as(cleaning.next_image, id, judged.version) {
                    continue;
                }
                // The undo of its successor restores the id of an earlier one in the chain.
                change.left = judged.now.take().or(change.left);
                *judged = Judged { id: change.judged, version: change.version, now: None };
                change.version += STEPS;
                is_changed = true;
            }
            if is_changed {
                self.batch.put_cleaning(&cleaning)?;
            }
        }
        Ok(())
    }

    /// One image's change; `false`: it was none.
    fn apply(&mut self, state: &Published, change: Change, numbers: &mut LabelNumbers) -> Result<bool> {
        let Change { key, before, after, renamed, settles_mark } = change;
        match (before, after) {
            (None, None) => Ok(false),
            (Some(before), None) => {
                self.remove(state, &before, &key, true)?;
                Ok(true)
            }
            (None, Some(after)) => {
                self.insert(state, renamed.as_ref(), &key, after, numbers)?;
                self.mark_follows(state, renamed.as_ref(), settles_mark)?;
                Ok(true)
            }
            // The image that had the key before was deleted or renamed itself.
            (Some(before), Some(after)) if renamed.is_some() => {
                self.remove(state, &before, &key, false)?;
                self.insert(state, renamed.as_ref(), &key, after, numbers)?;
                self.mark_follows(state, renamed.as_ref(), settles_mark)?;
                Ok(true)
            }
            (Some(before), Some(after)) => self.replace(state, before, &key, after, settles_mark, numbers),
        }
    }

    fn label_number(&mut self, text: &str, numbers: &mut LabelNumbers) -> Result<LabelId> {
        let (id, new) = numbers.number(text, &mut self.labels);
        if new {
            self.batch.put_label(id, text)?;
        }
        Ok(id)
    }

    /// What a list said, as it is stored.
    fn listed(&mut self, after: &After, numbers: &mut LabelNumbers) -> Result<Option<ListedMessage>> {
        let Some(listed) = &after.listed else { return Ok(None) };
        let label = listed.label.as_ref().map(|label| self.label_number(label, numbers)).transpose()?;
        Ok(Some(ListedMessage { label: label.map(|label| label.0), content: listed.content.clone() }))
    }

    fn replace(
        &mut self,
        state: &Published,
        before: Before,
        key: &str,
        after: After,
        settles_mark: bool,
        numbers: &mut LabelNumbers,
    ) -> Result<bool> {
        let same_role = before.record.label.is_some() == after.label.is_some();
        // What other spaces hold of it was made from the photo's bytes.
        let same_content = self.others.is_empty() || after.content == before.record.content;
        let same_vector = match &after.vector {
            Some(vector) => state.pinned.vector(self.space, before.id)?.as_ref() == Some(vector),
            None => true,
        };
        if !(same_role && same_vector && same_content) {
            self.remove(state, &before, key, false)?;
            self.insert(state, Some(&before), key, after, numbers)?;
            return Ok(true);
        }
        let label = after.label.as_ref().map(|label| self.label_number(label, numbers)).transpose()?;
        let listed = self.listed(&after, numbers)?;
        let record = RecordMessage {
            key: key.to_owned(),
            label: label.map(|label| label.0),
            source: after.source,
            content: after.content,
            version: codec::next_number(before.record.version, &format!("the next version of '{key}'"))?,
            origin: after.origin,
            listed,
            attributes: AttributeMessage::of(after.attributes),
        };
        let same_photo = match &after.photo {
            Some(photo) => state.pinned.photo(before.id)? == *photo,
            None => true,
        };
        // What a list said is noted beside the image; it is no change of the image.
        let as_before = RecordMessage { version: before.record.version, ..record.clone() };
        let same_record = RecordMessage { listed: before.record.listed.clone(), ..as_before.clone() } == before.record;
        let loses_mark = (settles_mark || record.label != before.record.label) && self.unmark(state, before.id)?;
        if same_record && same_photo {
            if as_before.listed != before.record.listed() {
                self.batch.put_record(before.id, &as_before)?;
            }
            return Ok(loses_mark);
        }
        // Said again by the same is noted, so that nobody changes it unseen, and counts for no change.
        let is_said_again = same_photo && as_before.set_by() == before.record.set_by() && {
            let origin = before.record.origin;
            RecordMessage { listed: before.record.listed.clone(), origin, ..as_before } == before.record
        };
        self.batch.put_record(before.id, &record)?;
        if let (false, Some(photo)) = (same_photo, after.photo) {
            match photo {
                Some(photo) => self.batch.put_photo(before.id, &photo)?,
                None => self.batch.delete_photo(before.id)?,
            }
        }
        if let (Some(label), Some(row)) = (label, self.train.row_of(before.id))
            && before.record.label != Some(label.0)
        {
            let (last, now) = (self.train.instances[row], own(label));
            if let Some(last) = last {
                self.batch.delete_posting(self.space, self.vote_k, Role::Train, key, last)?;
            }
            self.batch.put_posting(self.space, self.vote_k, Role::Train, before.id, key, now)?;
            self.train.instances.set(row, Some(now));
            self.effects.relabelled.push(before.id);
        }
        Ok(loses_mark || !is_said_again)
    }

    /// The image that was inserted last has the mark of the one that was renamed, unless somebody labelled it meanwhile.
    fn mark_follows(&mut self, state: &Published, renamed: Option<&Before>, settles_mark: bool) -> Result<()> {
        let Some(renamed) = renamed.filter(|_| !settles_mark) else { return Ok(()) };
        match state.pinned.mark(renamed.id)? {
            Some(cleaning) => self.batch.put_mark(ImageId(self.next_image - 1), cleaning),
            None => Ok(()),
        }
    }

    /// Takes a cleaning's mark away; `false`: there was none.
    fn unmark(&mut self, state: &Published, id: ImageId) -> Result<bool> {
        let is_marked = state.pinned.mark(id)?.is_some();
        if is_marked {
            self.batch.delete_mark(id)?;
        }
        Ok(is_marked)
    }

    fn remove(&mut self, state: &Published, before: &Before, key: &str, forget_key: bool) -> Result<()> {
        if before.record.label.is_some() {
            self.unmark(state, before.id)?;
        }
        self.batch.delete_image(before.id, forget_key.then_some(key))?;
        if let Some(row) = self.train.row_of(before.id) {
            if let Some(ballot) = self.train.instances[row] {
                self.batch.delete_posting(self.space, self.vote_k, Role::Train, key, ballot)?;
            }
            self.bury(row < self.train.tail_start(), before.id)?;
            self.train.kill(row);
            self.effects.removed_train.push(before.id);
        } else if let Some(row) = self.index.row_of(before.id) {
            self.bury(row < self.index.tail_start(), before.id)?;
            self.index.kill(row);
            self.effects.removed_index.push((before.id, key.to_owned(), self.index.instances[row]));
        }
        Ok(())
    }

    /// A dead row of a segment is noted, because the segment itself never changes.
    fn bury(&mut self, in_segment: bool, id: ImageId) -> Result<()> {
        if in_segment { self.batch.put_tombstone(self.space, id) } else { Ok(()) }
    }

    /// An image that only changes its role keeps its descriptors in other spaces.
    fn carry_over(&mut self, state: &Published, before: &Before, after: &After, id: ImageId) -> Result<()> {
        if self.others.is_empty() || before.record.content != after.content {
            return Ok(());
        }
        let same_vector = match &after.vector {
            Some(vector) => state.pinned.vector(self.space, before.id)?.as_ref() == Some(vector),
            None => true,
        };
        for &space in self.others.iter().filter(|_| same_vector) {
            if let Some(stored) = state.pinned.vector_bytes(space, before.id)? {
                self.batch.put_vector_bytes(space, id, &stored)?;
            }
        }
        Ok(())
    }

    fn insert(
        &mut self,
        state: &Published,
        before: Option<&Before>,
        key: &str,
        after: After,
        numbers: &mut LabelNumbers,
    ) -> Result<()> {
        let id = ImageId(self.next_image);
        self.next_image = codec::next_number(self.next_image, "the id of the next image")?;
        if let Some(before) = before {
            self.carry_over(state, before, &after, id)?;
        }
        let listed = self.listed(&after, numbers)?;
        let vector = match (after.vector, before) {
            (Some(vector), _) => vector,
            (None, Some(before)) => state
                .pinned
                .vector(self.space, before.id)?
                .ok_or_else(|| Error::corrupt(format!("the vector of '{key}' is missing")))?,
            (None, None) => return Err(Error::invalid(format!("'{key}' has no vector"))),
        };
        let photo = match (after.photo, before) {
            (Some(photo), _) => photo,
            (None, Some(before)) => state.pinned.photo(before.id)?,
            (None, None) => None,
        };
        let label = after.label.as_ref().map(|label| self.label_number(label, numbers)).transpose()?;
        let record = RecordMessage {
            key: key.to_owned(),
            label: label.map(|label| label.0),
            source: after.source,
            content: after.content,
            version: match before {
                Some(before) => codec::next_number(before.record.version, &format!("the next version of '{key}'"))?,
                None => 1,
            },
            origin: after.origin,
            listed,
            attributes: AttributeMessage::of(after.attributes),
        };
        self.batch.put_record(id, &record)?;
        self.batch.put_vector(self.space, id, &vector)?;
        if let Some(photo) = photo {
            self.batch.put_photo(id, &photo)?;
        }
        let mut row = NewRow { id, key: key.into(), instance: None, floor: f32::NEG_INFINITY };
        match label {
            Some(label) => {
                row.instance = Some(own(label));
                self.batch.put_posting(self.space, self.vote_k, Role::Train, id, key, own(label))?;
                self.effects.train.rows.push(row);
                self.effects.train.vectors.extend(vector);
            }
            None => {
                self.effects.index.rows.push(row);
                self.effects.index.vectors.extend(vector);
            }
        }
        Ok(())
    }

    fn follow(&mut self, state: &Published, proposer: Option<&dyn Propose>) -> Result<usize> {
        let effects = std::mem::take(&mut self.effects);
        self.relabels |= !effects.relabelled.is_empty();
        let moves = Moves {
            removed_train: &effects.removed_train,
            relabelled: &effects.relabelled,
            added_train: effects.train.into_set(&mut self.train),
            added_index: effects.index.into_set(&mut self.index),
            removed_index: &effects.removed_index,
        };
        let database = state.pinned.catalog().handle_number();
        let proposer = proposer.map(|propose| Proposer { propose, database });
        let start = Start { pinned: &state.pinned, options: &state.options, train: &state.train, proposer };
        follow(&mut self.batch, &start, &self.train, &mut self.index, &moves)
    }
}

/// The id of a key behind a transaction that gave these.
fn left_with(state: &Published, given: &HashMap<String, u64>, key: &str) -> Result<Option<u64>> {
    match given.get(key) {
        Some(&id) => Ok(Some(id)),
        None => Ok(state.pinned.image(key)?.map(|id| id.0)),
    }
}

/// A train image's own prediction: its label with score 1 (paper, Discussion).
pub(crate) fn own(label: LabelId) -> Ballot<LabelId> {
    Ballot { label, score: 1.0 }
}
