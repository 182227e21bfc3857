//! Loads a state from the disk: manifest, segments, columns, then the rows newer than the segments.
//!
//! A segment that is missing or damaged is set aside: its rows are read from the catalog into memory, so answers stay exact, and
//! the state reports it until the segment is rebuilt.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::columns::{self, Saved};
use super::labels::Labels;
use super::neighbourhood::{Neighbourhoods, Owner};
use super::snapshot::{Problem, Published};
use crate::catalog::{Catalog, Pinned, SegmentEntry, codec};
use crate::disk::{Folder, SEGMENTS, is_of_segments};
use crate::error::{Error, Result};
use crate::id::{ImageId, LabelId, SegmentId};
use crate::operation::Role;
use crate::rows::{NewRow, Part, RowSet};
use crate::segment::{Damage, Expected, Segment, Truth, file_of};
use crate::vote::Ballot;

/// Rows handed to a row set at a time.
const LOAD_ROWS: usize = 8192;

/// Gives descriptors as the catalog has them now.
pub(crate) fn truth(catalog: &Arc<Catalog>) -> Truth {
    let catalog = Arc::clone(catalog);
    Arc::new(move |id| {
        catalog.pin().vector(catalog.space(), id)?.ok_or_else(|| {
            Error::corrupt(format!("a segment's copy of image {} is damaged, and the catalog no longer has it", id.0))
        })
    })
}

/// A segment that the manifest names, and what came of opening it.
pub(crate) struct Opened {
    pub(crate) entry: SegmentEntry,
    /// Or why it cannot be used, in words that follow its number.
    segment: std::result::Result<Arc<Segment>, String>,
    /// Its file is not there.
    pub(crate) is_gone: bool,
}

/// Opens the segments that a view of the catalog names, in the order of their rows.
///
/// # Errors
/// A damaged manifest; a damaged segment is none.
pub(crate) fn open_segments(folder: &Folder, catalog: &Arc<Catalog>, pinned: &Pinned) -> Result<Vec<Opened>> {
    let mut entries = pinned.segments()?;
    entries.sort_by_key(|entry| entry.first);
    must_be_apart(&entries, pinned.covered()?)?;
    let segments = folder.inner(SEGMENTS)?;
    let open = |entry: SegmentEntry| {
        let name = file_of(entry.id);
        let expected = Expected { database: catalog.database(), dimension: catalog.options().dimension, entry };
        let opened = match &segments {
            Some(segments) => Segment::open(segments, &name, &expected, truth(catalog)),
            None => Err(Damage("does not exist, and neither does the folder of segments".to_owned())),
        };
        let segment = opened.map(Arc::new).map_err(|damage| damage.0);
        let is_there = || segments.as_ref().is_some_and(|folder| !matches!(folder.about(&name), Ok(None)));
        let is_gone = segment.is_err() && !is_there();
        Opened { entry, segment, is_gone }
    };
    Ok(entries.into_iter().map(open).collect())
}

/// Refuses a manifest whose segments would give rows twice: those of a role that overlap, and those that reach into what no segment holds.
///
/// # Errors
/// `Corrupt`.
fn must_be_apart(entries: &[SegmentEntry], covered: ImageId) -> Result<()> {
    for role in Role::ALL {
        let mut before: Option<&SegmentEntry> = None;
        for entry in entries.iter().filter(|entry| entry.role == role) {
            if let Some(before) = before.filter(|before| before.last >= entry.first) {
                let what = format!("the rows of segments {} and {} overlap", before.id.0, entry.id.0);
                return Err(Error::corrupt(format!("the manifest is damaged: {what}")));
            }
            if entry.last >= covered {
                let what = format!("segment {} has rows from {} on, which no segment covers", entry.id.0, covered.0);
                return Err(Error::corrupt(format!("the manifest is damaged: {what}")));
            }
            before = Some(entry);
        }
    }
    Ok(())
}

impl Published {
    /// The present state of a database's folder. Complexity: checks the segments' ids, codes and links by reading; after a close,
    /// only the tail is read from the catalog, after a crash every prediction and floor.
    pub(crate) fn load(folder: &Folder, catalog: &Arc<Catalog>) -> Result<Self> {
        let pinned = catalog.pin();
        let segments = open_segments(folder, catalog, &pinned)?;
        Self::of(folder, catalog, pinned, segments)
    }

    /// The state of a view of the catalog whose segments were opened.
    pub(crate) fn of(folder: &Folder, catalog: &Arc<Catalog>, pinned: Pinned, segments: Vec<Opened>) -> Result<Self> {
        let options = catalog.options().clone();
        let labels = pinned.labels()?.into_iter().fold(Labels::default(), |mut labels, text| {
            labels.push(text.into());
            labels
        });
        pinned.check_counters()?;
        let sequence = pinned.sequence()?;
        let covered = pinned.covered()?;
        let mut problems = Vec::new();
        let mut sets = [RowSet::new(options.dimension), RowSet::new(options.dimension)];
        for Opened { entry, segment, .. } in segments {
            let part = match segment {
                Ok(segment) => Part::Segment(segment),
                Err(why) => {
                    warn_of!(segment = entry.id.0, why, "a segment is set aside");
                    problems.push(Problem { segment: entry.id, why });
                    from_catalog(&pinned, &entry, options.dimension)?
                }
            };
            sets[entry.role as usize].push_frozen(part, entry, |_| (None, f32::NEG_INFINITY, true));
        }
        let [mut train, mut index] = sets;
        pinned.tombstones(pinned.space(), |id| {
            for set in [&mut train, &mut index] {
                if let Some(row) = set.row_of(id) {
                    set.kill(row);
                }
            }
            Ok(())
        })?;
        load_tail(&pinned, covered, &mut train, &mut index)?;
        let known = (catalog.database(), sequence, pinned.columns_check()?);
        let saved = columns::load(folder, known, &train, &index);
        let from = match saved {
            Some(saved) if fits(&saved, labels.len(), &train, &index) => {
                restore(saved, &mut train, &mut index);
                covered
            }
            _ => ImageId(0),
        };
        load_columns(&pinned, from, options.vote_k, &mut train, &mut index)?;
        let owner = Owner { database: catalog.database(), space: pinned.space() };
        let derived = Arc::new(Neighbourhoods::stored(folder, owner, pinned.neighbours_file()?));
        Ok(Self {
            sequence,
            index,
            train,
            labels,
            pinned,
            options,
            problems: problems.into(),
            revotes: Mutex::default(),
            shares: Mutex::default(),
            derived,
            learnt: Arc::default(),
            voters: Default::default(),
        })
    }
}

/// Removes segment files that the manifest does not name: what a crash between writing and naming leaves. Whatever has another kind of
/// name is somebody else's, and stays.
///
/// # Errors
/// `Io`.
pub(crate) fn remove_orphans(folder: &Folder, pinned: &Pinned) -> Result<()> {
    let folder = folder.inner_or_new(SEGMENTS, "segments.folder")?;
    let named: Vec<_> = pinned.all_segments()?.iter().map(|entry| file_of(entry.id)).collect();
    for name in folder.names()? {
        if is_of_segments(&name) && !named.iter().any(|named| **named == *name) {
            folder.remove(&name, "orphan")?;
        }
    }
    Ok(())
}

fn unmatched(id: ImageId) -> Error {
    Error::corrupt(format!("image {} is stored in part: its record, vector or prediction is missing", id.0))
}

/// The live rows of a segment as the catalog has them.
fn from_catalog(pinned: &Pinned, entry: &SegmentEntry, dimension: usize) -> Result<Part> {
    let (mut ids, mut keys, mut vectors) = (Vec::new(), Vec::new(), Vec::new());
    let mut records = HashMap::new();
    pinned.records(entry.first, entry.last, |id, record| {
        let role = if record.label.is_some() { Role::Train } else { Role::Index };
        if role == entry.role {
            records.insert(id, record.key);
        }
        Ok(())
    })?;
    pinned.vectors(pinned.space(), entry.first, entry.last, |id, vector| {
        if let Some(key) = records.remove(&id) {
            ids.push(id.0);
            keys.push(key.into());
            codec::vector_into(vector, dimension, &mut vectors)?;
        }
        Ok(())
    })?;
    match records.into_keys().next() {
        Some(id) => Err(unmatched(id)),
        None => Ok(Part::in_memory(dimension, ids, keys, vectors)),
    }
}

/// The rows with ids from `covered` on, which no segment holds.
fn load_tail(pinned: &Pinned, covered: ImageId, train: &mut RowSet, index: &mut RowSet) -> Result<()> {
    let mut records = Vec::new();
    pinned.records(covered, LAST, |id, record| {
        records.push((id, record.key, record.label));
        Ok(())
    })?;
    let mut records = records.into_iter();
    let mut loading = [Loading::new(train), Loading::new(index)];
    pinned.vectors(pinned.space(), covered, LAST, |id, vector| {
        let (expected, key, label) = records.next().ok_or_else(|| unmatched(id))?;
        if id != expected {
            return Err(unmatched(id.min(expected)));
        }
        let role = if label.is_some() { Role::Train } else { Role::Index };
        loading[role as usize].push(NewRow { id, key: key.into(), instance: None, floor: f32::NEG_INFINITY }, vector)
    })?;
    if let Some((id, ..)) = records.next() {
        return Err(unmatched(id));
    }
    loading.into_iter().for_each(Loading::finish);
    Ok(())
}

/// Past every id.
const LAST: ImageId = ImageId(u64::MAX);

/// Labels, predictions and floors of the rows with ids from `from` on.
fn load_columns(pinned: &Pinned, from: ImageId, k: usize, train: &mut RowSet, index: &mut RowSet) -> Result<()> {
    pinned.records(from, LAST, |id, record| {
        if let Some(label) = record.label {
            let row = train.row_of(id).ok_or_else(|| unmatched(id))?;
            train.instances.set(row, Some(Ballot { label: LabelId(label), score: 1.0 }));
        }
        Ok(())
    })?;
    pinned.predictions(pinned.space(), k, from, |id, ballot| {
        let row = index.row_of(id).ok_or_else(|| unmatched(id))?;
        index.instances.set(row, Some(ballot));
        Ok(())
    })?;
    pinned.all_neighbours(pinned.space(), from, |id, stored| {
        let row = index.row_of(id).ok_or_else(|| unmatched(id))?;
        index.floors.set(row, stored.floor.map_or(f32::NEG_INFINITY, |floor| floor.0));
        Ok(())
    })
}

/// Whether saved columns speak of exactly these segments, and of no label but these.
fn fits(saved: &[Saved], labels: usize, train: &RowSet, index: &RowSet) -> bool {
    let found = [train, index].into_iter().flat_map(RowSet::frozen);
    let found: Vec<(SegmentId, usize)> = found.map(|(part, entry, _)| (entry.id, part.rows())).collect();
    let known: Vec<(SegmentId, usize)> = saved.iter().map(|saved| (saved.segment, saved.rows.len())).collect();
    let mut ballots = saved.iter().flat_map(|saved| &saved.rows).filter_map(|(ballot, _)| *ballot);
    found == known && ballots.all(|ballot| (ballot.label.0 as usize) < labels && ballot.score.is_finite())
}

fn restore(saved: Vec<Saved>, train: &mut RowSet, index: &mut RowSet) {
    let mut saved = saved.into_iter();
    for set in [train, index] {
        let starts: Vec<usize> = set.frozen().map(|(_, _, start)| start).collect();
        for (start, saved) in starts.into_iter().zip(saved.by_ref()) {
            for (row, (instance, floor)) in (start..).zip(saved.rows) {
                set.instances.set(row, instance);
                set.floors.set(row, floor);
            }
        }
    }
}

/// A tail that is being read.
struct Loading<'s> {
    set: &'s mut RowSet,
    rows: Vec<NewRow>,
    vectors: Vec<f32>,
}

impl<'s> Loading<'s> {
    fn new(set: &'s mut RowSet) -> Self {
        Self { set, rows: Vec::new(), vectors: Vec::new() }
    }

    fn push(&mut self, row: NewRow, vector: &[u8]) -> Result<()> {
        codec::vector_into(vector, self.set.dimension(), &mut self.vectors)?;
        self.rows.push(row);
        if self.rows.len() == LOAD_ROWS {
            self.set.append(std::mem::take(&mut self.rows), std::mem::take(&mut self.vectors));
        }
        Ok(())
    }

    fn finish(self) {
        self.set.append(self.rows, self.vectors);
    }
}
