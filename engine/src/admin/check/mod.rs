//! CHECK: it verifies that the stored data is consistent; DEEP (`deep`) also compares it with a recompute and verifies every
//! byte.

mod deep;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::catalog::{Catalog, Pinned, too_busy};
use crate::disk::{SEGMENTS, is_backup};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{ImageId, LabelId, SegmentId};
use crate::operation::Role;
use crate::options::OpenOptions;
use crate::progress::{Interrupt, LOOK_EVERY, Progress, UNINTERRUPTED};
use crate::report::{CheckReport, Part as Of, Problem};
use crate::rows::{Part, RowSet};
use crate::segment::{Damage, file_of};
use crate::state::snapshot::Published;
use crate::vote::Ballot;
use crate::write::core::Core;

/// The largest number of problems that are listed; more are only counted.
const MOST_PROBLEMS: usize = 100;
/// Index images whose lists are made again at a time.
const RECOMPUTED_ROWS: usize = 4096;

/// A sum over things in any order: equal sums and equal numbers of things mean equal sets, but for a chance of 2^-64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sum {
    count: u64,
    sum: u64,
}

impl Sum {
    fn add(&mut self, thing: impl Hash) {
        let mut hasher = DefaultHasher::new();
        thing.hash(&mut hasher);
        self.count += 1;
        self.sum = self.sum.wrapping_add(hasher.finish());
    }
}

/// Counts one more entry.
fn look(interrupt: &Interrupt<'_>, entries: &mut usize) -> Result<()> {
    *entries += 1;
    if entries.is_multiple_of(LOOK_EVERY) { interrupt.at(Progress::ENTRIES, *entries, 0) } else { Ok(()) }
}

struct Check<'s> {
    core: &'s Core,
    state: &'s Published,
    report: CheckReport,
    /// The kind of entries being checked.
    of: Of,
    more: usize,
    /// The writer beside merged away what was to be read.
    is_overtaken: bool,
    interrupt: &'s Interrupt<'s>,
    /// Number of checked entries.
    entries: usize,
    /// It was stopped.
    stopped: Option<Error>,
    /// The catalog's keys of images to which their segment gives another one.
    keys: HashMap<ImageId, String>,
}

impl<'s> Check<'s> {
    fn of(core: &'s Core, state: &'s Published, interrupt: &'s Interrupt<'s>) -> Self {
        let (report, of) = (CheckReport::default(), Of::Catalog);
        Self {
            core,
            state,
            report,
            of,
            more: 0,
            is_overtaken: false,
            interrupt,
            entries: 0,
            stopped: None,
            keys: HashMap::new(),
        }
    }
}

impl Core {
    /// The catalog at this moment, also where this is a reader that holds an earlier state of it. `None`: another process changes it too
    /// fast for a look.
    fn pinned_now(&self) -> Result<Option<Pinned>> {
        if !self.catalog.is_read_only() {
            return Ok(Some(self.catalog.pin()));
        }
        match Catalog::open_beside(&self.folder, &OpenOptions::new()) {
            Ok(now) => Ok(Some(Arc::new(now).pin())),
            Err(error) if error.kind() == ErrorKind::Locked => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Checks everything that is stored; the report has the problems. Writes continue meanwhile.
    ///
    /// Complexity: reads records, keys, lists, votes and postings once; `deep` reads every file besides, photos included, and computes
    /// `O(index * train)` similarities.
    ///
    /// # Errors
    /// When the folder cannot be listed at all; `Locked`: another process merged away what was to be read, which only happens where more
    /// tables are there than may be open; `Forked`. What cannot be read otherwise is in the report.
    pub(crate) fn check(&self, deep: bool, interrupt: &Interrupt<'_>) -> Result<CheckReport> {
        self.catalog.refuse_in_fork()?;
        let state = self.current();
        let mut check = Check::of(self, &state, interrupt);
        interrupt.at(Progress::ENTRIES, 0, 0)?;
        if deep {
            check.families()?;
        }
        check.attempt(Of::Images, "images and keys", Check::images);
        check.attempt(Of::Neighbours, "neighbour lists", Check::reverse_index);
        check.attempt(Of::Predictions, "predictions and postings", Check::postings);
        check.attempt(Of::Manifest, "the manifest", Check::manifest);
        check.attempt(Of::Segment, "segments", |check| check.segments(deep));
        if deep {
            check.attempt(Of::Values, "stored values", Check::meanings);
            check.attempt(Of::Tombstones, "tombstones", Check::tombstones);
            check.attempt(Of::Descriptors, "descriptors", Check::copies);
            let rows: Vec<usize> = state.index.live().collect();
            check.attempt(Of::Predictions, "predictions", |check| check.recompute(&rows));
            check.attempt(Of::Graph, "the neighbour graph", Check::neighbour_graph);
        }
        let Check { mut report, more, is_overtaken, stopped, .. } = check;
        if let Some(stopped) = stopped {
            return Err(stopped);
        }
        if is_overtaken && report.problems.is_empty() {
            return Err(too_busy(&self.folder));
        }
        if more > 0 {
            report.problems.push(Problem { part: Of::More, message: format!("and {more} more") });
        }
        Ok(report)
    }

    /// The check that fuzzing makes after each history.
    ///
    /// # Errors
    /// The catalog cannot be read at all.
    #[cfg(feature = "hostile")]
    pub(crate) fn history_problems(&self) -> Result<Vec<String>> {
        let found = self.check(false, &UNINTERRUPTED)?.problems;
        let mut problems: Vec<String> = found.into_iter().map(|problem| problem.message).collect();
        problems.extend(self.check_derived()?);
        Ok(problems)
    }

    /// What is wrong with lists, votes, postings and segments of a space that is not the active one yet. Lists, votes, postings and
    /// segments are compared with each other as a whole; lists and predictions are recomputed of [`RECOMPUTED_ROWS`] images at most,
    /// so that a change of model does not take as long as two.
    ///
    /// # Errors
    /// Only when the catalog cannot be read at all.
    pub(crate) fn check_derived(&self) -> Result<Vec<String>> {
        let state = self.current();
        let mut check = Check::of(self, &state, &UNINTERRUPTED);
        check.of = Of::Neighbours;
        check.reverse_index()?;
        check.of = Of::Predictions;
        check.postings()?;
        check.of = Of::Segment;
        check.segments(true)?;
        let every = state.index.live_rows().div_ceil(RECOMPUTED_ROWS).max(1);
        let rows: Vec<usize> = state.index.live().step_by(every).collect();
        check.of = Of::Predictions;
        check.recompute(&rows)?;
        Ok(check.report.problems.into_iter().map(|problem| problem.message).collect())
    }
}

impl Check<'_> {
    fn wrong(&mut self, message: String) {
        if self.report.problems.len() < MOST_PROBLEMS {
            self.report.problems.push(Problem { part: self.of, message });
        } else {
            self.more += 1;
        }
    }

    /// One part of the check; what it cannot read is a problem like any other, and the other parts follow.
    fn attempt(&mut self, of: Of, what: &str, part: impl FnOnce(&mut Self) -> Result<()>) {
        if self.stopped.is_some() {
            return;
        }
        self.of = of;
        if let Err(error) = part(self) {
            if error.kind() == ErrorKind::Cancelled {
                return self.stopped = Some(error);
            }
            if self.is_overtaken_by(error.message()) {
                return self.is_overtaken = true;
            }
            self.wrong(format!("{what} cannot be read: {}", error.message()));
        }
    }

    /// Whether a table that cannot be read is one that another process merged away: a reader beside it keeps all tables open, unless
    /// there are more than it may open.
    fn is_overtaken_by(&self, problem: &str) -> bool {
        let is_read_beside = || self.core.catalog.is_read_only() && !is_backup(&self.core.folder).unwrap_or(false);
        problem.contains("No such file") && is_read_beside()
    }

    /// The key of a row, whatever its segment says.
    fn key<'a>(&'a self, set: &'a RowSet, row: usize) -> &'a str {
        self.keys.get(&set.id(row)).map_or_else(|| set.key(row), String::as_str)
    }

    fn looked_at(&mut self, what: &str, count: usize) {
        self.report.checked.push((what.to_owned(), count as u64));
    }

    /// Each record has its key, its descriptor and its row, and there are no others; nor will its id be given again.
    fn images(&mut self) -> Result<()> {
        let state = self.state;
        let (first, last) = (ImageId(0), ImageId(u64::MAX));
        let mut records: HashMap<ImageId, bool> = HashMap::new();
        let (mut problems, mut foreign_keys) = (Vec::new(), HashMap::new());
        let (interrupt, entries) = (self.interrupt, &mut self.entries);
        state.pinned.records(first, last, |id, record| {
            look(interrupt, entries)?;
            let role = if record.label.is_some() { Role::Train } else { Role::Index };
            records.insert(id, false);
            if state.pinned.image(&record.key)? != Some(id) {
                problems.push(format!("the key '{}' does not lead to its record", record.key));
            }
            let set = state.rows(role);
            match set.row_of(id) {
                Some(row) if set.live[row] && set.key(row) == record.key => {}
                Some(row) if set.live[row] => {
                    foreign_keys.insert(id, (role, row, record.key.clone()));
                }
                _ => problems.push(format!("'{}' is stored, but no search can find it", record.key)),
            }
            if let Some(label) = record.label {
                let known = set.row_of(id).and_then(|row| set.instances[row]);
                if known != Some(Ballot { label: LabelId(label), score: 1.0 }) || state.label(LabelId(label)).is_err() {
                    problems.push(format!("the label of '{}' is not the one that votes", record.key));
                }
            }
            let of_list = record.listed.as_ref().and_then(|listed| listed.label);
            if of_list.is_some_and(|label| state.label(LabelId(label)).is_err()) {
                problems.push(format!("the label that a list gave '{}' has no text", record.key));
            }
            Ok(())
        })?;
        state.pinned.vectors(state.pinned.space(), first, last, |id, _| {
            look(interrupt, entries)?;
            match records.get_mut(&id) {
                Some(has_vector) => *has_vector = true,
                None => problems.push(format!("a descriptor of image {} has no record", id.0)),
            }
            Ok(())
        })?;
        for space in self.core.catalog().other_spaces() {
            state.pinned.vectors(space, first, last, |id, _| {
                look(interrupt, entries)?;
                if !records.contains_key(&id) {
                    problems.push(format!("a descriptor of image {} in another space has no record", id.0));
                }
                Ok(())
            })?;
        }
        problems.extend(
            records.iter().filter(|&(_, &has)| !has).map(|(id, _)| format!("image {} has no descriptor", id.0)),
        );
        let rows = state.index.live_rows() + state.train.live_rows();
        if rows != records.len() {
            problems.push(format!("{} images are stored, but {rows} are searched", records.len()));
        }
        let mut keys = 0;
        state.pinned.each_key(|key, id| {
            keys += 1;
            if !records.contains_key(&id) {
                problems.push(format!("the key '{key}' leads to image {}, which is not stored", id.0));
            }
        })?;
        if keys != records.len() {
            problems.push(format!("{keys} keys lead to {} images", records.len()));
        }
        let (next, last) = (state.pinned.next_image()?, records.keys().max());
        if let Some(last) = last.filter(|last| last.0 >= next) {
            problems.push(format!("image {} is stored, but the next one would get the id {next}", last.0));
        }
        let (texts, sequence) = (state.pinned.labels()?, state.pinned.sequence()?);
        if !texts.iter().map(String::as_str).eq(state.labels.iter().map(|text| &**text)) {
            problems.push("the labels in memory are not the stored ones".to_owned());
        }
        if sequence != state.sequence {
            problems.push(format!("the last write was {}, but the catalog says {sequence}", state.sequence));
        }
        self.looked_at("images", records.len());
        self.keys_of_others(foreign_keys);
        problems.into_iter().for_each(|problem| self.wrong(problem));
        Ok(())
    }

    /// `voters` is the inverse of `neighbours`, and the floors that a write compares with are the stored ones.
    fn reverse_index(&mut self) -> Result<()> {
        let (mut forward, mut backward, mut lists) = (Sum::default(), Sum::default(), 0);
        let (index, mut problems) = (&self.state.index, Vec::new());
        let (interrupt, entries) = (self.interrupt, &mut self.entries);
        self.state.pinned.all_neighbours(self.state.pinned.space(), ImageId(0), |id, stored| {
            lists += 1;
            look(interrupt, entries)?;
            stored.entries.iter().for_each(|(train, _)| forward.add((train, id)));
            let floor = stored.floor.map_or(f32::NEG_INFINITY, |floor| floor.0);
            match index.row_of(id).filter(|&row| index.live[row]) {
                Some(row) if index.floors[row].to_bits() == floor.to_bits() => {}
                Some(row) => problems.push(format!(
                    "the floor of '{}' in memory is {}, the stored one {floor}",
                    index.key(row),
                    index.floors[row]
                )),
                None => problems.push(format!("a neighbour list belongs to image {}, which is not searched", id.0)),
            }
            Ok(())
        })?;
        problems.into_iter().for_each(|problem| self.wrong(problem));
        let (state, interrupt, entries) = (self.state, self.interrupt, &mut self.entries);
        state.pinned.each_voter(state.pinned.space(), |train, id| {
            look(interrupt, entries)?;
            backward.add((train, id));
            Ok(())
        })?;
        if forward != backward {
            self.wrong("the reverse index of neighbours does not match the lists".to_owned());
        }
        if lists != self.state.index.live_rows() {
            self.wrong(format!("{lists} neighbour lists for {} index images", self.state.index.live_rows()));
        }
        self.looked_at("neighbour lists", lists);
        Ok(())
    }

    /// `by_instance` is the image of predictions and labels.
    fn postings(&mut self) -> Result<()> {
        let state = self.state;
        let (mut wanted, mut stored) = (Sum::default(), Sum::default());
        for role in Role::ALL {
            let set = state.rows(role);
            for row in set.live() {
                if let Some(ballot) = set.instances[row] {
                    let (id, key) = (set.id(row), self.key(set, row));
                    wanted.add((role as u8, ballot.label, ballot.score.to_bits(), key, id));
                }
            }
        }
        let mut problems = Vec::new();
        state.pinned.each_posting(state.pinned.space(), state.options.vote_k, |role, ballot, key, id| {
            stored.add((role as u8, ballot.label, ballot.score.to_bits(), key, id));
            let set = state.rows(role);
            if state.label(ballot.label).is_err() {
                problems.push(format!("a posting of '{key}' has the label {}, which has no text", ballot.label.0));
            }
            if set.row_of(id).is_none_or(|row| !set.live[row] || self.key(set, row) != key) {
                problems.push(format!("a posting of '{key}' leads to image {}, which is not its image", id.0));
            }
        })?;
        problems.into_iter().for_each(|problem| self.wrong(problem));
        if wanted != stored {
            self.wrong("the postings by instance do not match the predictions".to_owned());
        }
        let mut predictions = Sum::default();
        let mut known = Sum::default();
        let (interrupt, entries) = (self.interrupt, &mut self.entries);
        state.pinned.predictions(state.pinned.space(), state.options.vote_k, ImageId(0), |id, ballot| {
            look(interrupt, entries)?;
            predictions.add((id, ballot.label, ballot.score.to_bits()));
            Ok(())
        })?;
        for row in state.index.live() {
            if let Some(ballot) = state.index.instances[row] {
                known.add((state.index.id(row), ballot.label, ballot.score.to_bits()));
            }
        }
        if predictions != known {
            self.wrong("the predictions in memory are not the stored ones".to_owned());
        }
        self.looked_at("postings", stored.count as usize);
        Ok(())
    }

    /// The manifest names the segments that are searched.
    fn manifest(&mut self) -> Result<()> {
        let mut named = self.state.pinned.segments()?;
        let searched = Role::ALL.into_iter().flat_map(|role| self.state.rows(role).frozen());
        let mut searched: Vec<_> = searched.map(|(_, entry, _)| entry).collect();
        named.sort_by_key(|entry| entry.id);
        searched.sort_by_key(|entry| entry.id);
        if named != searched {
            self.wrong(format!("the manifest names {} segments, but {} are searched", named.len(), searched.len()));
        }
        Ok(())
    }

    /// Of segments whose files have disappeared, those that the database still names are lost; the others were merged.
    fn lost(&mut self, gone: &[SegmentId]) -> Result<()> {
        if gone.is_empty() {
            return Ok(());
        }
        // Whoever changes it that fast has merged them.
        let Some(now) = self.core.pinned_now()? else { return Ok(()) };
        let named: Vec<SegmentId> = now.all_segments()?.into_iter().map(|entry| entry.id).collect();
        for id in gone.iter().filter(|id| named.contains(id)) {
            self.wrong(format!("segment {} cannot be read: it does not exist", id.0));
        }
        Ok(())
    }

    fn segments(&mut self, deep: bool) -> Result<()> {
        let (mut count, mut gone) = (0, Vec::new());
        for problem in &*self.state.problems {
            self.wrong(format!("segment {} {}", problem.segment.0, problem.why));
        }
        let folder = self.core.folder.within(SEGMENTS);
        for role in Role::ALL {
            for (part, entry, _) in self.state.rows(role).frozen() {
                count += 1;
                self.interrupt.look()?;
                let Part::Segment(segment) = part else { continue };
                let read = match &folder {
                    Ok(folder) if deep => segment.check_deep(folder, &file_of(entry.id)),
                    Err(error) if deep => Err(Damage(format!("cannot be read: {}", error.message()))),
                    _ => Ok(true),
                };
                if let Ok(false) = read {
                    // It was merged since this state was taken, or it is lost.
                    gone.push(entry.id);
                }
                if let Err(damage) = read {
                    self.wrong(format!("segment {} {}", entry.id.0, damage.0));
                } else if segment.is_damaged() {
                    self.wrong(format!("segment {} has damaged vectors", entry.id.0));
                }
            }
        }
        self.attempt(Of::Segment, "the present list of segments", |check| check.lost(&gone));
        self.looked_at("segments", count);
        Ok(())
    }
}
