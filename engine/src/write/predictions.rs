//! The predictions that follow from a write: which lists, votes and postings it changes, exactly (design: predictions that equal
//! a recompute).
//!
//! Each index image has its best `kept_neighbours` train images with a floor ([`List`]). A new train image is compared with the
//! floor of each index image; a deleted one is found through the reverse index; a relabelled one only needs new votes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::proposed::Proposer;
use crate::catalog::{Batch, Pinned};
use crate::error::{Error, Result};
use crate::id::{ImageId, LabelId, SpaceId};
use crate::options::Options;
use crate::process::pool;
use crate::progress::{Interrupt, UNINTERRUPTED};
use crate::rows::RowSet;
use crate::state::lists::{label_in, list_of};
use crate::vector::Hit;
use crate::vote::{Ballot, Candidate, List, soft_vote};

/// What a write did to the rows, before predictions follow.
pub(crate) struct Moves<'a> {
    /// Train images that no longer vote.
    pub(crate) removed_train: &'a [ImageId],
    /// Train images with another label than before.
    pub(crate) relabelled: &'a [ImageId],
    /// Row numbers of the train images that begin to vote.
    pub(crate) added_train: std::ops::Range<usize>,
    /// Row numbers of the index images that want a prediction.
    pub(crate) added_index: std::ops::Range<usize>,
    /// Index images that are gone, with their last prediction; one that was put again has its key among the added ones.
    pub(crate) removed_index: &'a [(ImageId, String, Option<Ballot<LabelId>>)],
}

/// What a write starts from, and what may help it.
pub(crate) struct Start<'a> {
    /// The catalog before the write.
    pub(crate) pinned: &'a Pinned,
    pub(crate) options: &'a Options,
    /// The train set before the write: stored lists still speak of it.
    pub(crate) train: &'a RowSet,
    /// Narrows down voters; decides speed, never a result.
    pub(crate) proposer: Option<Proposer<'a>>,
}

/// Brings lists, votes and postings of `index` in line with `train`, both already as they are after the write; everything that
/// changes goes into `batch`. Returns the number of index images that have another prediction than before the write, by key; one that is
/// new had none.
pub(crate) fn follow(
    batch: &mut Batch<'_>,
    start: &Start<'_>,
    train: &RowSet,
    index: &mut RowSet,
    moves: &Moves<'_>,
) -> Result<usize> {
    let Start { pinned, options, train: before, proposer } = *start;
    let space = pinned.space();
    for (id, key, ballot) in moves.removed_index {
        for (train, _) in pinned.neighbours(space, *id)?.map(|stored| stored.entries).unwrap_or_default() {
            batch.delete_voter(space, train, *id)?;
        }
        batch.delete_neighbours(space, *id)?;
        if let Some(ballot) = ballot {
            batch.delete_prediction(space, options.vote_k, *id, key, *ballot)?;
        }
    }

    let mut work = Work { pinned, before, lists: BTreeMap::new() };
    let mut revote = BTreeSet::new();
    for &id in moves.removed_train {
        for row in work.rows_voted_by(index, id)? {
            work.list(index, row)?.now.remove(id.0);
        }
    }
    for &id in moves.relabelled {
        revote.extend(work.rows_voted_by(index, id)?);
    }
    for (row, candidates) in
        entering(index, moves.added_index.start, train, moves.added_train.clone(), options.kept_neighbours)?
    {
        let list = &mut work.list(index, row)?.now;
        for candidate in candidates {
            list.insert(candidate, options.kept_neighbours);
        }
    }
    let short: Vec<usize> = work
        .lists
        .iter()
        .filter(|(_, lists)| !lists.now.knows(options.vote_k, train.live_rows()))
        .map(|(&row, _)| row)
        .collect();
    for (row, list) in scan_lists(index, &short, train, options.kept_neighbours, proposer, &UNINTERRUPTED)? {
        work.list(index, row)?.now = list;
    }
    for lists in work.lists.values_mut() {
        lists.now.settle(train.live_rows());
    }
    let added: Vec<usize> = moves.added_index.clone().collect();
    for (row, list) in scan_lists(index, &added, train, options.kept_neighbours, proposer, &UNINTERRUPTED)? {
        work.lists.insert(row, Lists { stored: List::default(), now: list, fresh: true });
    }

    for &row in &revote {
        work.list(index, row)?;
    }
    let put_again: HashMap<&str, Option<Ballot<LabelId>>> =
        moves.removed_index.iter().map(|(_, key, ballot)| (key.as_str(), *ballot)).collect();
    let mut changed = 0;
    for (row, lists) in work.lists {
        let id = index.id(row);
        lists.store(batch, space, id)?;
        index.floors.set(row, lists.now.floor_similarity());
        let voters =
            lists.now.entries.iter().filter_map(|entry| Some((label_in(train, ImageId(entry.id))?, entry.similarity)));
        let ballot = soft_vote(voters, options.vote_k);
        let last = index.instances[row];
        let before = if lists.fresh { put_again.get(index.key(row)).copied().flatten() } else { last };
        changed += usize::from(ballot != before);
        if ballot == last {
            continue;
        }
        // The catalog's: a segment is a copy, and what it says must not become the truth.
        let key = if lists.fresh { index.key(row).to_owned() } else { key_of(pinned, index, row)? };
        if let Some(last) = last {
            batch.delete_prediction(space, options.vote_k, id, &key, last)?;
        }
        if let Some(ballot) = ballot {
            batch.put_prediction(space, options.vote_k, id, &key, ballot)?;
        }
        index.instances.set(row, ballot);
    }
    Ok(changed)
}

/// The key of an image that was there before the write. An image whose record is gone is one of a model space that is being derived:
/// it was deleted meanwhile, and the next round of catching up removes it here, too.
fn key_of(pinned: &Pinned, index: &RowSet, row: usize) -> Result<String> {
    let record = pinned.record(index.id(row))?;
    Ok(record.map_or_else(|| index.key(row).to_owned(), |record| record.key))
}

/// A list as stored and as it will be.
struct Lists {
    stored: List,
    now: List,
    /// Nothing is stored yet.
    fresh: bool,
}

impl Lists {
    fn store(&self, batch: &mut Batch<'_>, space: SpaceId, id: ImageId) -> Result<()> {
        if self.stored == self.now && !self.fresh {
            return Ok(());
        }
        let has = |list: &List, id: u64| list.entries.iter().any(|entry| entry.id == id);
        for gone in self.stored.entries.iter().filter(|entry| !has(&self.now, entry.id)) {
            batch.delete_voter(space, ImageId(gone.id), id)?;
        }
        for new in self.now.entries.iter().filter(|entry| !has(&self.stored, entry.id)) {
            batch.put_voter(space, ImageId(new.id), id)?;
        }
        batch.put_neighbours(space, id, &self.now)
    }
}

/// The lists that a write touches, by row of the index set, read when first needed.
struct Work<'a> {
    pinned: &'a Pinned,
    before: &'a RowSet,
    lists: BTreeMap<usize, Lists>,
}

impl Work<'_> {
    fn list(&mut self, index: &RowSet, row: usize) -> Result<&mut Lists> {
        match self.lists.entry(row) {
            std::collections::btree_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let id = index.id(row);
                let stored = self.pinned.neighbours(self.pinned.space(), id)?;
                let stored =
                    stored.ok_or_else(|| Error::corrupt(format!("index image '{}' has no list", index.key(row))))?;
                let stored = list_of(stored, self.before)?;
                Ok(entry.insert(Lists { now: stored.clone(), stored, fresh: false }))
            }
        }
    }

    /// Live rows of index images that have this train image in their lists.
    fn rows_voted_by(&self, index: &RowSet, train: ImageId) -> Result<Vec<usize>> {
        let voters = self.pinned.voters(self.pinned.space(), train)?;
        Ok(voters.into_iter().filter_map(|id| index.row_of(id)).filter(|&row| index.live[row]).collect())
    }
}

/// Which of the new train images may enter which lists: for each index row below `until` the new images at or above its floor,
/// best first.
///
/// At most `keep + 1` of them are reported for a row: the list takes `keep`, and the one more tells it that something was left
/// out, so that its floor rises.
fn entering(
    index: &RowSet,
    until: usize,
    train: &RowSet,
    added: std::ops::Range<usize>,
    keep: usize,
) -> Result<Vec<(usize, Vec<Candidate>)>> {
    let rows: Vec<usize> = added.collect();
    let (floor, key) = (|row: usize| index.floors[row], |number: u32| train.key(rows[number as usize]));
    let found = index.reached(until, &train.gathered(&rows)?, floor, keep + 1, key, &UNINTERRUPTED)?;
    let of_train = |hit: Hit| candidate(train, &Hit { row: rows[hit.row as usize] as u32, ..hit });
    Ok(found.into_iter().map(|(row, hits)| (row, hits.into_iter().map(of_train).collect())).collect())
}

fn candidate(train: &RowSet, hit: &Hit) -> Candidate {
    let row = hit.row as usize;
    Candidate { similarity: hit.similarity, key: train.shared_key(row), id: train.id(row).0 }
}

/// The lists of these index rows by exact search over the whole train set.
///
/// A proposer narrows the search where it can prove that it misses nothing; every similarity is the canonical kernel's.
pub(crate) fn scan_lists(
    index: &RowSet,
    rows: &[usize],
    train: &RowSet,
    keep: usize,
    proposer: Option<Proposer<'_>>,
    interrupt: &Interrupt<'_>,
) -> Result<Vec<(usize, List)>> {
    /// Rows of one pass: bounds the memory of their vectors.
    const PASS_ROWS: usize = 4096;
    let mut lists = Vec::with_capacity(rows.len());
    for rows in rows.chunks(PASS_ROWS) {
        let queries = index.gathered(rows)?;
        // A device that fails costs speed only.
        let proposed = match (proposer, proposer.and_then(|_| train.vectors())) {
            (Some(proposer), Some(vectors)) if train.live_rows() > 0 => {
                let live: Vec<bool> = train.live.iter().copied().collect();
                proposer.rows(&vectors, &live, &queries, keep)
            }
            _ => None,
        };
        let best = match proposed {
            Some(proposed) => pool::try_each(rows.len(), |at| {
                let query = index.vector(rows[at])?;
                match &proposed[at] {
                    Some(proposed) => train.best_among(&query, proposed.iter().copied(), keep, |_| true),
                    None => train.best(&query, keep, |_| true, interrupt),
                }
            })?,
            None => train.best_of_many(&queries, keep, |_, _| true, interrupt)?,
        };
        lists.extend(rows.iter().zip(best).map(|(&row, best)| {
            let best = best.iter().map(|hit| candidate(train, hit)).collect();
            (row, List::from_scan(best, train.live_rows()))
        }));
    }
    Ok(lists)
}
