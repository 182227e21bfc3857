//! Another model space beside the active one: its descriptors arrive while reads and writes continue, its lists, votes, postings
//! and segments are derived from them, and then one key flips.
//!
//! Descriptors survive a crash; derived data is built again, since nobody reads it before the flip. Writes meanwhile need no log:
//! an id never changes its descriptor or role, so comparing the ids (and the labels of train images) of both spaces tells what to
//! catch up with. An image that was put again has another id and no descriptor in the new space yet.

use std::ops::Range;
use std::sync::Arc;

use crate::catalog::{Pinned, RecordMessage, SegmentEntry, Space, codec, forget_derived};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{ImageId, LabelId, SpaceId};
use crate::operation::Role;
use crate::options::ModelInfo;
use crate::rows::{NewRow, RowSet};
use crate::state::snapshot::Published;
use crate::vector::unit;
use crate::vote::Ballot;
use crate::write::core::{Core, tail_rows};
use crate::write::policy::FLUSH_ROWS;
use crate::write::predictions::{Moves, Start, follow};
use crate::write::proposed::Proposer;
use crate::write::writer::{Appended, own};

/// Images that a new space takes over by one batch.
const CATCH_UP_ROWS: usize = 4096;

/// An image that has no descriptor in a space.
pub(crate) struct Bare {
    pub(crate) id: ImageId,
    pub(crate) record: RecordMessage,
}

/// The active space's part.
impl Core {
    /// The space to activate: the one of this number; or this model's, which may exist already (one that was active before rather
    /// than an unfinished one); or else a new one. `again`: a new one of this model beside the complete ones, or an unfinished
    /// one that was started like this.
    ///
    /// # Errors
    /// `AlreadyExists`: it is the active one; `NotFound`: there is none of that number; `Invalid`: that one is unfinished.
    pub(crate) fn space_for(
        &self,
        number: Option<u32>,
        model: Option<ModelInfo>,
        dimension: usize,
        again: bool,
    ) -> Result<Space> {
        self.refuse_when_read_only()?;
        let mut writer = self.writer.lock();
        // Not the published view: a space may have gone since.
        let spaces = self.spaces()?;
        let same = |space: &&Space| {
            let fingerprint = |model: &Option<ModelInfo>| model.as_ref().map(|model| model.fingerprint.clone());
            space.dimension == dimension && fingerprint(&space.model) == fingerprint(&model)
        };
        let active = self.catalog.space();
        let in_force = || {
            Error::new(ErrorKind::AlreadyExists, "that model is already active")
                .help("SHOW MODELS lists the models of the database")
        };
        if let Some(number) = number {
            let wanted = spaces.iter().find(|space| space.id.0 == number);
            let wanted = wanted.ok_or_else(|| Error::not_found(format!("model {number} does not exist")))?;
            return match wanted {
                wanted if wanted.id == active => Err(in_force()),
                // Only the statement that began it knows how its descriptors are made.
                wanted if wanted.unfinished => Err(Error::invalid(format!("model {number} is unfinished")).help(
                    format!("rerun the TRAIN or REEMBED that started it to resume; or remove it: DROP MODEL {number}"),
                )),
                wanted => Ok(wanted.clone()),
            };
        }
        if !again && spaces.iter().any(|space| space.id == active && same(&space)) {
            return Err(in_force());
        }
        let known = |unfinished: bool| {
            let fits = |space: &&Space| same(space) && space.id != active && space.unfinished == unfinished;
            spaces.iter().rev().find(fits)
        };
        let whole = if again { None } else { known(false) };
        if let Some(space) = whole.or_else(|| known(true)) {
            return Ok(space.clone());
        }
        // A number that was somebody's never is another one's: people remember it.
        let last = self.catalog.pin().last_space()?.0;
        let next = last
            .checked_add(1)
            .ok_or_else(|| Error::corrupt(format!("the last model has the number {last}, which is too large")))?;
        let space = Space { id: SpaceId(next), model, dimension, unfinished: true };
        self.catalog.care_for(space.id);
        let active = spaces.iter().find(|space| space.id == active);
        writer.commit(|batch| {
            // The layout's number too: from now on, older builds would read the database wrongly.
            batch.put_identity()?;
            active.map_or(Ok(()), |active| batch.put_space(active))?;
            batch.put_space(&space)
        })?;
        self.repin(&mut writer);
        Ok(space)
    }

    /// The spaces, in the order of their numbers.
    pub(crate) fn spaces(&self) -> Result<Vec<Space>> {
        self.catalog.pin().spaces()
    }

    /// The id that the next image gets.
    pub(crate) fn next_image(&self) -> ImageId {
        self.writer.lock().next_image()
    }

    /// Some images with these ids that have no descriptor in a space, and where to go on; `None`: there are no more.
    pub(crate) fn bare(
        &self,
        space: SpaceId,
        ids: Range<ImageId>,
        most: usize,
    ) -> Result<(Vec<Bare>, Option<ImageId>)> {
        let pinned = self.catalog.pin();
        let (mut bare, mut more) = (Vec::new(), None);
        pinned.records_while(ids.start, |id, record| {
            if id >= ids.end {
                return Ok(false);
            }
            if bare.len() == most {
                more = Some(id);
                return Ok(false);
            }
            if !pinned.has_vector(space, id)? {
                bare.push(Bare { id, record });
            }
            Ok(true)
        })?;
        Ok((bare, more))
    }

    /// Stores descriptors of another space; it skips images that were deleted meanwhile. Returns the number that it stored.
    pub(crate) fn put_descriptors(&self, space: &Space, rows: Vec<(ImageId, Vec<f32>)>) -> Result<usize> {
        let mut writer = self.writer.lock();
        let state = self.current();
        let mut stored = 0;
        writer.commit(|batch| {
            for (id, vector) in rows {
                if vector.len() != space.dimension {
                    let message = format!("the model returned {} numbers instead of {}", vector.len(), space.dimension);
                    return Err(Error::new(ErrorKind::Mismatch, message).help("check which model was loaded"));
                }
                let is_there = Role::ALL.into_iter().any(|role| {
                    let set = state.rows(role);
                    set.row_of(id).is_some_and(|row| set.live[row])
                });
                if is_there {
                    batch.put_vector(space.id, id, &unit(&vector)?)?;
                    stored += 1;
                }
            }
            Ok(())
        })?;
        // A write that moves an image to another id looks for its descriptors in what was published.
        self.repin(&mut writer);
        Ok(stored)
    }

    /// Begins to derive a space; nothing of it is there yet.
    pub(crate) fn build(&self, space: &Space) -> Result<Building> {
        let catalog = Arc::new(self.catalog.of_space(space));
        let (gone, active) = {
            let mut writer = self.writer.lock();
            let pinned = self.catalog.pin();
            // Whichever space was being derived and was given up goes, too.
            let spaces = [Some(space.id), pinned.deriving()?.filter(|&given_up| given_up != space.id)];
            let is_gone = |entry: &SegmentEntry| spaces.contains(&Some(entry.space));
            let gone: Vec<_> = pinned.all_segments()?.into_iter().filter(is_gone).collect();
            writer.commit(|batch| {
                batch.set_owed();
                spaces.iter().flatten().try_for_each(|&space| forget_derived(batch, &pinned, space))?;
                batch.set_deriving(Some(space.id))
            })?;
            (gone, self.current())
        };
        self.remove_segments(gone.iter().map(|entry| entry.id), "space")?;
        let options = catalog.options().clone();
        let state = Published {
            sequence: active.sequence,
            index: RowSet::new(options.dimension),
            train: RowSet::new(options.dimension),
            labels: active.labels.clone(),
            pinned: catalog.pin(),
            options,
            problems: Arc::default(),
            revotes: Default::default(),
            shares: Default::default(),
            derived: Arc::default(),
            learnt: Arc::default(),
            voters: Default::default(),
        };
        let core = Core::with(&self.folder, catalog, state)?;
        core.inherit(self);
        Ok(Building { core })
    }

    /// Forgets a space that is not the active one, and its descriptors.
    pub(crate) fn drop_space(&self, number: u32) -> Result<()> {
        self.refuse_when_read_only()?;
        let _no_merge = self.merging.lock();
        let _no_flush = self.flushing.lock();
        let mut writer = self.writer.lock();
        let space = SpaceId(number);
        if space == self.catalog.space() {
            return Err(
                Error::invalid("the active model cannot be dropped").help("activate another one first: USE MODEL")
            );
        }
        if !self.spaces()?.iter().any(|known| known.id == space) {
            return Err(Error::not_found(format!("there is no model {number}")).help("SHOW MODELS lists them"));
        }
        let pinned = self.catalog.pin();
        let is_begun = pinned.deriving()? == Some(space);
        let gone: Vec<_> = pinned.all_segments()?.into_iter().filter(|entry| entry.space == space).collect();
        writer.commit(|batch| {
            batch.set_owed();
            if is_begun {
                forget_derived(batch, &pinned, space)?;
                batch.set_deriving(None)?;
            }
            batch.set_last_space(pinned.last_space()?)?;
            batch.delete_space(space)
        })?;
        self.repin(&mut writer);
        // The next opening removes what stays.
        let _stays = self.remove_segments(gone.iter().filter(|_| is_begun).map(|entry| entry.id), "space");
        Ok(())
    }

    /// Shows readers what was committed beside the rows.
    pub(crate) fn repin(&self, _writer: &mut crate::write::writer::Writer) {
        self.publish(self.current().repinned(self.catalog.pin()));
    }
}

/// Images that a round could not take over, because one has no descriptor in the space.
pub(crate) struct Bares {
    pub(crate) count: usize,
    /// The first without one; those before it have theirs.
    pub(crate) first: Option<ImageId>,
}

/// A space that is being derived beside the active one.
pub(crate) struct Building {
    core: Core,
}

/// What a space lacks to be in line with the active one.
#[derive(Default)]
struct Behind {
    removed: Vec<(Role, usize)>,
    relabelled: Vec<(usize, LabelId)>,
    /// Rows of the active space.
    added: [Vec<usize>; 2],
    /// Images of the active space that cannot be taken over yet: the first one without a descriptor here and all behind it, because
    /// rows come in the order of their ids.
    waiting: usize,
    first_waiting: Option<ImageId>,
}

impl Behind {
    /// `descriptors` is pinned where `active` was taken: what is not waiting has its descriptor there.
    fn of(space: &Published, active: &Published, descriptors: &Pinned) -> Result<Self> {
        let mut behind = Self::default();
        for role in Role::ALL {
            let (here, there) = (space.rows(role), active.rows(role));
            let row_in = |set: &RowSet, id: ImageId| set.row_of(id).filter(|&row| set.live[row]);
            behind
                .removed
                .extend(here.live().filter(|&row| row_in(there, here.id(row)).is_none()).map(|row| (role, row)));
            for row in there.live() {
                match row_in(here, there.id(row)) {
                    None => {
                        let id = there.id(row);
                        let is_bare = behind.first_waiting.is_none_or(|first| id < first)
                            && !descriptors.has_vector(descriptors.space(), id)?;
                        if is_bare {
                            behind.first_waiting = Some(id);
                        }
                        behind.added[role as usize].push(row);
                    }
                    Some(known) if role == Role::Train => {
                        let label = |ballot: Option<Ballot<LabelId>>| ballot.map(|ballot| ballot.label);
                        if let Some(now) = label(there.instances[row])
                            && label(here.instances[known]) != Some(now)
                        {
                            behind.relabelled.push((known, now));
                        }
                    }
                    Some(_) => {}
                }
            }
        }
        if let Some(first) = behind.first_waiting {
            for role in Role::ALL {
                let rows = &mut behind.added[role as usize];
                let all = rows.len();
                rows.retain(|&row| active.rows(role).id(row) < first);
                behind.waiting += all - rows.len();
            }
        }
        Ok(behind)
    }

    fn bare(&self) -> Bares {
        Bares { count: self.waiting, first: self.first_waiting }
    }

    fn rows(&self) -> usize {
        self.removed.len() + self.relabelled.len() + self.added.iter().map(Vec::len).sum::<usize>()
    }
}

impl Building {
    /// Takes over the active space's images that this one lacks, except those without a descriptor here. It calls `progress` with
    /// the number of images done and the total. Returns the number of images taken over, and the images without a descriptor.
    ///
    /// What is written meanwhile is not seen: an image that is gone since, or has another id or label, is taken over as it was, and
    /// the next round, which compares again, removes or relabels it. Once nobody writes, one round is the last one.
    ///
    /// Complexity: as writing these images.
    pub(crate) fn catch_up(
        &self,
        active: &Core,
        progress: &mut dyn FnMut(usize, usize) -> Result<()>,
    ) -> Result<(usize, Bares)> {
        // Rows and descriptors of one moment: an image that is deleted while others are taken over keeps its descriptor here.
        let (state, descriptors, end) = {
            let writer = active.writer.lock();
            (active.current(), self.core.catalog.pin(), writer.next_image())
        };
        let behind = Behind::of(&self.core.current(), &state, &descriptors)?;
        // Ids of later images are larger, so what is flushed from now on lies below `end`.
        let end = behind.first_waiting.map_or(end, |first| first.min(end));
        self.core.writer.lock().set_next_image(end);
        let (all, mut done, mut flushed) = (behind.rows(), 0, false);
        if !behind.removed.is_empty() || !behind.relabelled.is_empty() {
            self.take_over(&state, &descriptors, &behind.removed, &behind.relabelled, Role::Train, &[])?;
        }
        for role in Role::ALL {
            for rows in behind.added[role as usize].chunks(CATCH_UP_ROWS) {
                self.take_over(&state, &descriptors, &[], &[], role, rows)?;
                done += rows.len();
                progress(done, all)?;
                if tail_rows(&self.core.current()) >= FLUSH_ROWS {
                    flushed = self.core.flush()?;
                    while self.core.merge_one()? {}
                }
            }
        }
        if flushed {
            // That flush said that segments hold everything below `end`, and rows with smaller ids came in after it.
            self.core.flush()?;
        }
        Ok((all, behind.bare()))
    }

    /// What a round would give now: how many images it would take over, and which not.
    ///
    /// Complexity: compares the ids of both spaces.
    pub(crate) fn lack(&self, active: &Core) -> Result<(usize, Bares)> {
        let (state, descriptors) = {
            let _no_write = active.writer.lock();
            (active.current(), self.core.catalog.pin())
        };
        let behind = Behind::of(&self.core.current(), &state, &descriptors)?;
        Ok((behind.rows(), behind.bare()))
    }

    fn take_over(
        &self,
        active: &Published,
        descriptors: &Pinned,
        removed: &[(Role, usize)],
        relabelled: &[(usize, LabelId)],
        role: Role,
        added: &[usize],
    ) -> Result<()> {
        let core = &self.core;
        let (space, proposer) = (core.catalog.space(), core.proposer());
        let mut writer = core.writer.lock();
        let state = core.current();
        let (mut train, mut index) = (state.train.clone(), state.index.clone());
        let vote_k = state.options.vote_k;
        // Of now, unlike the descriptors: the rows before these changed the lists.
        let pinned = core.catalog.pin();
        writer.commit(|batch| {
            let (mut removed_train, mut removed_index) = (Vec::new(), Vec::new());
            for &(role, row) in removed {
                let set = if role == Role::Train { &mut train } else { &mut index };
                let (id, key, ballot) = (set.id(row), set.shared_key(row), set.instances[row]);
                if row < set.tail_start() {
                    batch.put_tombstone(space, id)?;
                }
                set.kill(row);
                match (role, ballot) {
                    (Role::Train, ballot) => {
                        if let Some(ballot) = ballot {
                            batch.delete_posting(space, vote_k, Role::Train, &key, ballot)?;
                        }
                        removed_train.push(id);
                    }
                    (Role::Index, ballot) => removed_index.push((id, key.to_string(), ballot)),
                }
            }
            let mut revoted = Vec::new();
            for &(row, label) in relabelled {
                let (id, key) = (train.id(row), train.shared_key(row));
                if let Some(last) = train.instances[row] {
                    batch.delete_posting(space, vote_k, Role::Train, &key, last)?;
                }
                batch.put_posting(space, vote_k, Role::Train, id, &key, own(label))?;
                train.instances.set(row, Some(own(label)));
                revoted.push(id);
            }
            let mut appended = [Appended::default(), Appended::default()];
            for &row in added {
                let set = active.rows(role);
                let (id, key) = (set.id(row), set.shared_key(row));
                let vector = descriptors.vector(space, id)?;
                let vector = vector.ok_or_else(|| {
                    Error::new(ErrorKind::NotFound, format!("'{key}' has no descriptor of the new model"))
                })?;
                let instance = if role == Role::Train { set.instances[row] } else { None };
                if let Some(own) = instance {
                    batch.put_posting(space, vote_k, Role::Train, id, &key, own)?;
                }
                let appended = &mut appended[role as usize];
                appended.rows.push(NewRow { id, key, instance, floor: f32::NEG_INFINITY });
                appended.vectors.extend(vector);
            }
            let [added_train, added_index] = appended;
            let moves = Moves {
                removed_train: &removed_train,
                relabelled: &revoted,
                added_train: added_train.into_set(&mut train),
                added_index: added_index.into_set(&mut index),
                removed_index: &removed_index,
            };
            let database = core.catalog.handle_number();
            let proposer = proposer.as_deref().map(|propose| Proposer { propose, database });
            let start = Start { pinned: &pinned, options: &state.options, train: &state.train, proposer };
            follow(batch, &start, &train, &mut index, &moves).map(|_changed| ())
        })?;
        core.publish(Published {
            sequence: active.sequence,
            index,
            train,
            labels: active.labels.clone(),
            pinned: core.catalog.pin(),
            options: state.options.clone(),
            problems: Arc::default(),
            revotes: Default::default(),
            shares: Default::default(),
            derived: Arc::default(),
            learnt: Arc::default(),
            voters: Default::default(),
        });
        Ok(())
    }

    /// Writes the last rows into segments and checks all derived data.
    ///
    /// # Errors
    /// `Corrupt`: what is wrong; the active space is untouched.
    pub(crate) fn verify(&self) -> Result<()> {
        self.core.flush()?;
        while self.core.merge_one()? {}
        let problems = self.core.check_derived()?;
        match problems.first() {
            None => Ok(()),
            Some(first) => Err(Error::corrupt(format!("the new model space is inconsistent: {first}"))
                .help("the database is unchanged; try again, and check the disk's health")),
        }
    }

    /// The commit that makes this space the active one. Nothing of `active` is written or waits meanwhile, and this space has
    /// caught up with it. Returns the running database of this space.
    ///
    /// # Errors
    /// `Io`: it is uncertain which space is active until the database is opened again; `active` accepts no more writes.
    pub(crate) fn flip(self, active: &Core) -> Result<Core> {
        active.refuse_when_poisoned()?;
        let core = self.core;
        let sequence = codec::next_number(active.accepted(), "the number of the next write")?;
        let last = active.catalog.space();
        let pinned = active.catalog.pin();
        let gone: Vec<_> = pinned.segments()?.iter().map(|entry| entry.id).collect();
        let next_image = active.writer.lock().next_image();
        {
            let mut writer = core.writer.lock();
            writer.set_next_image(next_image);
            let committed = writer.commit(|batch| {
                batch.set_active(core.catalog.space(), core.catalog.options())?;
                batch.put_space(&core.catalog.own_space())?;
                batch.set_sequence(sequence)?;
                forget_derived(batch, &pinned, last)?;
                batch.set_deriving(None)
            });
            if let Err(error) = committed {
                if core.poison().is_some() {
                    active.set_poison(error.message());
                }
                return Err(error);
            }
            let labels = active.current().labels.clone();
            core.publish(Published { sequence, labels, ..core.current().repinned(core.catalog.pin()) });
            writer.learn_labels(&core.current());
        }
        // Readers keep their maps. The space is active whatever happens to these files; the next opening removes the rest.
        let _stays = core.remove_segments(gone, "space");
        Ok(core)
    }
}
