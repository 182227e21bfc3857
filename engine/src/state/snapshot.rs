//! Snapshots: the state after one write, unchanged for as long as a reader holds it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::calibration::{Learnt, Shares};
use super::kept::kept;
use super::labels::Labels;
use super::lists::{label_in, list_of};
use super::neighbourhood::{Neighbourhood, Neighbourhoods};
use super::voters::{AugmentedTrain, AugmentedVoters};
use crate::answer::Vote;
use crate::catalog::{Pinned, RecordMessage, SegmentEntry};
use crate::error::{Error, Result};
use crate::id::{ImageId, LabelId, SegmentId};
use crate::operation::{ListSaid, Reading, Record, Role};
use crate::options::{ModelInfo, Options};
use crate::progress::{Interrupt, LOOK_EVERY, Progress, Stop, Watch};
use crate::report::SegmentInfo;
use crate::rows::{Part, RowSet};
use crate::vote::{Ballot, soft_vote};

/// Number of votes with other k's that a snapshot keeps; one more clears them.
const KEPT_REVOTES: usize = 4;
/// Number of index rows that are voted on at a time: bounds the memory of their neighbours.
const REVOTE_ROWS: usize = 1024;

/// The state after one write: rows in memory and the catalog pinned at the same sequence number.
pub(crate) struct Published {
    pub(crate) sequence: u64,
    pub(crate) index: RowSet,
    pub(crate) train: RowSet,
    pub(crate) labels: Labels,
    pub(crate) pinned: Pinned,
    pub(crate) options: Options,
    /// Segments that were set aside, and why: answers are exact, but slower, until they are rebuilt.
    pub(crate) problems: Arc<[Problem]>,
    /// Votes that are not the stored predictions, computed on first use.
    pub(crate) revotes: Mutex<HashMap<Voting, Arc<Revote>>>,
    /// The label shares of index rows, as searches need them.
    pub(crate) shares: Mutex<HashMap<usize, Arc<Shares>>>,
    /// What was derived of the index images, on first use; shared by states with the same ones.
    pub(crate) derived: Arc<Neighbourhoods>,
    /// What the train images say of labels, on first use; shared by states with the same ones.
    pub(crate) learnt: Arc<Mutex<Learnt>>,
    /// The train images by augmented descriptors, on first use.
    pub(crate) voters: AugmentedVoters,
}

/// A segment that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) segment: SegmentId,
    /// The reason, in words that follow its number.
    pub(crate) why: String,
}

/// How index rows are voted on: the k, and the augmentation of the train images (number of averaged images, and the bits of alpha).
type Voting = (usize, Option<(usize, u64)>);

/// The predictions of all index rows that are not the stored ones.
pub(crate) struct Revote {
    /// By row.
    pub(crate) ballots: Vec<Option<Ballot<LabelId>>>,
    /// Rows by label, best score first, equal scores by key: the postings of this k.
    pub(crate) by_label: HashMap<LabelId, Vec<u32>>,
}

/// The database at one moment: every answer of one snapshot comes from the same rows and predictions.
///
/// Cheap to make and to clone. Holding one keeps old rows alive; drop it when you no longer need it.
#[derive(Clone)]
pub struct Snapshot {
    pub(crate) state: Arc<Published>,
    /// Number of the last write that was acknowledged when it was taken.
    pub(crate) accepted: u64,
    /// Number of transactions deferred at that time, and of operations in them.
    pub(crate) waiting: (usize, usize),
    /// What ends its long reads.
    stop: Stop,
    watch: Option<Arc<dyn Watch>>,
}

/// The numbers of images and labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Counts {
    /// Images that have a label and vote.
    pub train: usize,
    /// Images that searches find and that have a prediction.
    pub index: usize,
    /// Labels that at least one train image has.
    pub labels: usize,
}

/// Two snapshots are equal if they show one state.
impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.state, &other.state) && self.accepted == other.accepted
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snapshot of sequence {}", self.state.sequence)
    }
}

impl Published {
    /// Train images of each label that has any. Complexity: one pass over the train images.
    pub(crate) fn label_counts(&self) -> HashMap<LabelId, usize> {
        let mut counts = HashMap::new();
        for row in self.train.live() {
            if let Some(ballot) = self.train.instances[row] {
                *counts.entry(ballot.label).or_default() += 1;
            }
        }
        counts
    }
}

impl Snapshot {
    pub(super) fn new(state: Arc<Published>, accepted: u64, waiting: (usize, usize)) -> Self {
        Self { state, accepted, waiting, stop: Stop::NEVER, watch: None }
    }

    /// The same state, whose long reads end soon after `stop` is stopped, with [`ErrorKind::Cancelled`](crate::ErrorKind):
    /// searches, predictions, and every iteration over keys, labels, images and contents. It is checked every few thousand rows.
    ///
    /// ```
    /// # fn main() -> cairn::Result<()> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// use cairn::{Database, ErrorKind, Options, Query, SearchRequest, Stop};
    ///
    /// let database = Database::create(folder.path().join("db"), Options::for_vectors(2))?;
    /// let stop = Stop::new();
    /// let snapshot = database.snapshot().with_stop(&stop);
    /// stop.stop();
    /// let ended = snapshot.search_one(&SearchRequest::new(), &Query::new([1.0, 0.0]));
    /// assert_eq!(ended.unwrap_err().kind(), ErrorKind::Cancelled);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_stop(&self, stop: &Stop) -> Self {
        Self { stop: stop.clone(), ..self.clone() }
    }

    /// The same state, whose searches and predictions `watch` may end.
    pub(crate) fn with_watch(self, watch: Option<Arc<dyn Watch>>) -> Self {
        Self { watch, ..self }
    }

    /// What may interrupt a call of this thread now.
    pub(crate) fn interrupt(&self) -> Interrupt<'_> {
        Interrupt::new(&self.stop, self.watch.as_deref())
    }

    /// Checks its [`Stop`] at regular intervals of an iteration.
    pub(super) fn stop_at(&self, passed: usize) -> Result<()> {
        if passed.is_multiple_of(LOOK_EVERY) { self.stop.check() } else { Ok(()) }
    }

    /// Number of the last write it sees.
    pub fn sequence(&self) -> u64 {
        self.state.sequence
    }

    /// The options of the database: the model whose descriptors it sees, and how many train images vote.
    pub fn options(&self) -> &Options {
        &self.state.options
    }

    /// Number of writes that were acknowledged when it was taken and that it does not see, because they are deferred.
    pub fn lag(&self) -> u64 {
        self.accepted.saturating_sub(self.state.sequence)
    }

    /// The model of the descriptors that it sees; `None`: the caller's own vectors. It does not change, whatever becomes active
    /// later.
    pub fn model(&self) -> Option<&ModelInfo> {
        self.state.options.model.as_ref()
    }

    /// The file that the database keeps for its models under this name ([`Target::files`](crate::model::Target)); `None`: there
    /// is none.
    ///
    /// # Errors
    /// A damaged catalog.
    pub fn model_file(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.state.pinned.file(name)
    }

    /// The application's note under this name ([`Database::set_note`](crate::Database::set_note)); `None`: there is none.
    ///
    /// # Errors
    /// A damaged catalog.
    pub fn note(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.state.pinned.note(name)
    }

    /// Length of the descriptors.
    pub fn dimension(&self) -> usize {
        self.state.options.dimension
    }

    /// The numbers of images and labels. Complexity: one pass over the train images.
    pub fn counts(&self) -> Counts {
        Counts {
            train: self.state.train.live_rows(),
            index: self.state.index.live_rows(),
            labels: self.state.label_counts().len(),
        }
    }

    /// The segments, train before index, in the order of their rows.
    pub(crate) fn segments(&self) -> Vec<SegmentInfo> {
        Role::ALL.into_iter().flat_map(|role| self.state.segments(role)).collect()
    }

    /// Labels with their numbers of train images, by label.
    ///
    /// # Errors
    /// A damaged catalog; `Cancelled`.
    pub fn labels(&self) -> Result<Vec<(String, usize)>> {
        self.stop.check()?;
        let one = |(at, (label, count)): (usize, (LabelId, usize))| {
            self.stop_at(at)?;
            Ok((self.state.label(label)?.to_owned(), count))
        };
        let mut labels = self.state.label_counts().into_iter().enumerate().map(one).collect::<Result<Vec<_>>>()?;
        labels.sort_unstable();
        Ok(labels)
    }

    /// A reading of a list that starts now, to pass with its writes. Its number is unique once something was written.
    pub fn reading(&self) -> Reading {
        Reading { number: self.accepted + 1, overrules: false }
    }

    /// External keys in byte order, of one role or of both.
    ///
    /// # Errors
    /// `Cancelled`; a later version may read keys from the disk.
    pub fn keys(&self, role: Option<Role>) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        for &role in role.as_ref().map_or(&Role::ALL[..], std::slice::from_ref) {
            let set = self.state.rows(role);
            for row in set.live() {
                self.stop_at(keys.len())?;
                keys.push(set.key(row).to_owned());
            }
        }
        keys.sort_unstable();
        Ok(keys)
    }

    /// A stored image, without its vector.
    ///
    /// # Errors
    /// A damaged catalog.
    pub fn record(&self, key: &str) -> Result<Option<Record>> {
        let Some((id, record)) = self.state.stored(key)? else { return Ok(None) };
        let label = record.label.map(|label| self.state.label(LabelId(label)).map(str::to_owned)).transpose()?;
        let content = record.photo_hash()?;
        let role = if label.is_some() { Role::Train } else { Role::Index };
        let marked = if role == Role::Train { self.state.pinned.mark(id)? } else { None };
        let set_by = record.set_by();
        let listed = match record.listed() {
            Some(listed) => Some(ListSaid {
                label: listed.label.map(|label| self.state.label(LabelId(label)).map(str::to_owned)).transpose()?,
                content: listed.photo_hash(&record.key)?.or(content),
            }),
            None => None,
        };
        let attributes = record.attributes()?;
        let RecordMessage { key, source, version, .. } = record;
        Ok(Some(Record { key, role, label, marked, source, content, version, set_by, listed, attributes }))
    }

    /// Calls `visit` with the key and the BLAKE3 of the photo of every stored image that has one, in no particular order.
    ///
    /// Complexity: reads every record.
    ///
    /// # Errors
    /// A damaged catalog; `Cancelled`.
    pub fn each_content(&self, visit: &mut dyn FnMut(&str, &[u8; 32])) -> Result<()> {
        let mut read = 0;
        self.state.pinned.records_while(ImageId(0), |_, record| {
            self.stop_at(read)?;
            read += 1;
            if let Some(content) = record.photo_hash()? {
                visit(&record.key, &content);
            }
            Ok(true)
        })
    }

    /// The stored descriptor of an image: of unit length, bit for bit the one that votes and similarities use.
    ///
    /// # Errors
    /// A damaged catalog.
    pub fn vector(&self, key: &str) -> Result<Option<Vec<f32>>> {
        match self.state.pinned.image(key)? {
            Some(id) => self.state.pinned.vector(self.state.pinned.space(), id),
            None => Ok(None),
        }
    }

    /// The descriptors of stored images by a model of the database, in the order of `keys`; `None` for an image without one of
    /// that model.
    ///
    /// # Errors
    /// `NotFound` for a model or a key that does not exist.
    pub fn descriptors(&self, number: u32, keys: &[String]) -> Result<Vec<Option<Vec<f32>>>> {
        let pinned = &self.state.pinned;
        let space = pinned.spaces()?.into_iter().find(|space| space.id.0 == number);
        let space = space.ok_or_else(|| Error::not_found(format!("model {number} does not exist")))?;
        let one = |key: &String| {
            let id = pinned.image(key)?.ok_or_else(|| Error::not_found(format!("image '{key}' does not exist")))?;
            pinned.descriptor(&space, id)
        };
        keys.iter().map(one).collect()
    }

    /// The database's copy of an image's photo: the bytes of an image file, or nothing.
    ///
    /// # Errors
    /// A damaged catalog.
    pub fn photo(&self, key: &str) -> Result<Option<Vec<u8>>> {
        match self.state.pinned.image(key)? {
            Some(id) => self.state.pinned.photo(id),
            None => Ok(None),
        }
    }

    /// The stored prediction of an index image; a train image's own label with score 1. `None`: there is no such image, or no
    /// train image.
    ///
    /// # Errors
    /// A damaged catalog.
    pub fn prediction(&self, key: &str) -> Result<Option<Vote>> {
        let Some(id) = self.state.pinned.image(key)? else { return Ok(None) };
        let instance = |set: &RowSet| set.row_of(id).and_then(|row| set.instances[row]);
        instance(&self.state.index)
            .or_else(|| instance(&self.state.train))
            .map(|ballot| self.state.vote(ballot))
            .transpose()
    }
}

impl Published {
    /// [`Neighbourhoods::graph`] of its index images.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn neighbourhood(&self, others: usize, interrupt: &Interrupt<'_>) -> Result<Arc<Neighbourhood>> {
        self.derived.graph(&self.index, others, interrupt)
    }

    /// The same rows with the catalog's present data about them.
    pub(crate) fn repinned(&self, pinned: Pinned) -> Self {
        Self {
            sequence: self.sequence,
            index: self.index.clone(),
            train: self.train.clone(),
            labels: self.labels.clone(),
            pinned,
            options: self.options.clone(),
            problems: Arc::clone(&self.problems),
            revotes: Mutex::default(),
            shares: Mutex::default(),
            derived: Arc::clone(&self.derived),
            learnt: Arc::clone(&self.learnt),
            voters: self.voters.of_another_state(),
        }
    }

    /// The problems that remain after these segments are replaced.
    pub(crate) fn problems_without(&self, gone: &[SegmentId]) -> Arc<[Problem]> {
        self.problems.iter().filter(|problem| !gone.contains(&problem.segment)).cloned().collect()
    }

    /// The rows of one role.
    pub(crate) fn rows(&self, role: Role) -> &RowSet {
        match role {
            Role::Index => &self.index,
            Role::Train => &self.train,
        }
    }

    /// The segments of one role, for people.
    pub(crate) fn segments(&self, role: Role) -> Vec<SegmentInfo> {
        let set = self.rows(role);
        let info = |(part, entry, start): (&Part, SegmentEntry, usize)| {
            let (bytes, mut problem) = match part {
                Part::Segment(segment) if segment.is_damaged() => {
                    (segment.bytes(), Some("has damaged vectors".to_owned()))
                }
                Part::Segment(segment) => (segment.bytes(), None),
                Part::Block(_) => (0, Some("is not used".to_owned())),
            };
            if let Some(known) = self.problems.iter().find(|known| known.segment == entry.id) {
                problem = Some(known.why.clone());
            }
            SegmentInfo {
                number: entry.id.0,
                role,
                rows: part.rows(),
                live: set.live_in(start, part.rows()),
                bytes,
                graph: part.graph().is_some(),
                problem,
            }
        };
        set.frozen().map(info).collect()
    }

    /// The text of a label.
    pub(crate) fn label(&self, id: LabelId) -> Result<&str> {
        self.labels
            .get(id.0 as usize)
            .map(|text| &**text)
            .ok_or_else(|| Error::corrupt(format!("label {} has no text", id.0)))
    }

    /// The number of a label's text; `None`: no image ever had it. Complexity: it reads each text once.
    pub(crate) fn label_number(&self, label: &str) -> Option<LabelId> {
        self.labels.iter().position(|text| **text == *label).map(|at| LabelId(at as u32))
    }

    /// A vote with the text of its label.
    pub(crate) fn vote(&self, ballot: Ballot<LabelId>) -> Result<Vote> {
        Ok(Vote { instance: self.label(ballot.label)?.to_owned(), score: ballot.score })
    }

    /// Id and record of an external key.
    pub(crate) fn stored(&self, key: &str) -> Result<Option<(ImageId, RecordMessage)>> {
        let Some(id) = self.pinned.image(key)? else { return Ok(None) };
        let record = self
            .pinned
            .record(id)?
            .ok_or_else(|| Error::corrupt(format!("'{key}' names an image without a record")))?;
        Ok(Some((id, record)))
    }

    /// The label of a live train image.
    pub(crate) fn train_label(&self, id: ImageId) -> Option<LabelId> {
        label_in(&self.train, id)
    }

    /// The predictions of all index rows for this `k`: of augmented train images by exact search; of the plain ones from the stored lists
    /// if `k` is at most their length, by exact search otherwise. The snapshot keeps them.
    ///
    /// Complexity: one read of all lists, or `O(index * train * dimension)` for an exact search.
    ///
    /// # Errors
    /// A damaged catalog; `Cancelled`.
    pub(crate) fn revote(
        &self,
        k: usize,
        augmented: Option<&AugmentedTrain>,
        interrupt: &Interrupt<'_>,
    ) -> Result<Arc<Revote>> {
        let voting = (k, augmented.map(|augmented| (augmented.by.images, augmented.by.alpha.to_bits())));
        kept(&self.revotes, KEPT_REVOTES, voting, || Ok(Arc::new(self.vote_again(k, augmented, interrupt)?)))
    }

    fn vote_again(&self, k: usize, augmented: Option<&AugmentedTrain>, interrupt: &Interrupt<'_>) -> Result<Revote> {
        let train = augmented.map_or(&self.train, |augmented| &augmented.rows);
        let mut ballots = vec![None; self.index.len()];
        let (mut unknown, mut read) = (Vec::new(), 0);
        let all = self.index.live_rows();
        interrupt.at(Progress::VOTES, 0, all)?;
        if augmented.is_none() && k <= self.options.kept_neighbours {
            self.pinned.all_neighbours(self.pinned.space(), ImageId(0), |id, stored| {
                interrupt.look_at(read)?;
                read += 1;
                let Some(row) = self.index.row_of(id) else { return Ok(()) };
                let list = list_of(stored, &self.train)?;
                if list.knows(k, self.train.live_rows()) {
                    ballots[row] =
                        self.ballot(list.entries.iter().map(|entry| (ImageId(entry.id), entry.similarity)), k);
                } else {
                    unknown.push(row);
                }
                Ok(())
            })?;
        } else {
            unknown = self.index.live().collect();
        }
        let (known, mut voted) = (all - unknown.len().min(all), 0);
        for rows in unknown.chunks(REVOTE_ROWS) {
            interrupt.at(Progress::VOTES, known + voted, all)?;
            voted += rows.len();
            let queries = self.index.gathered(rows)?;
            for (&row, hits) in rows.iter().zip(train.best_of_many(&queries, k, |_, _| true, interrupt)?) {
                let best = hits.iter().map(|hit| (train.id(hit.row as usize), hit.similarity));
                ballots[row] = self.ballot(best, k);
            }
        }
        let mut by_label: HashMap<LabelId, Vec<u32>> = HashMap::new();
        for row in self.index.live() {
            if let Some(ballot) = ballots[row] {
                by_label.entry(ballot.label).or_default().push(row as u32);
            }
        }
        let score = |row: u32| ballots[row as usize].map_or(f32::NEG_INFINITY, |ballot| ballot.score + 0.0);
        for rows in by_label.values_mut() {
            rows.sort_unstable_by(|&a, &b| {
                score(b).total_cmp(&score(a)).then_with(|| self.index.key(a as usize).cmp(self.index.key(b as usize)))
            });
        }
        Ok(Revote { ballots, by_label })
    }

    /// The vote of these neighbours, best first.
    pub(crate) fn ballot(&self, best: impl Iterator<Item = (ImageId, f32)>, k: usize) -> Option<Ballot<LabelId>> {
        soft_vote(best.filter_map(|(id, similarity)| Some((self.train_label(id)?, similarity))), k)
    }
}
