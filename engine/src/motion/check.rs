//! CHECK: whether what is stored agrees with itself; DEEP: whether it equals a recompute and every byte is what was written.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::core::Core;
use super::lists::list_of;
use super::snapshot::Published;
use crate::answer::CheckReport;
use crate::error::Result;
use crate::id::{ImageId, LabelId};
use crate::operation::Role;
use crate::rows::Part;
use crate::vote::{Ballot, soft_vote};

/// Problems that are told one by one; of more, only the number.
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

struct Check<'s> {
    core: &'s Core,
    state: &'s Published,
    report: CheckReport,
    more: usize,
}

impl Core {
    /// Looks at everything that is stored; what is wrong is in the report. Writes go on meanwhile.
    ///
    /// Complexity: reads every family once; `deep` reads every segment file and computes `O(index * train)` similarities.
    ///
    /// # Errors
    /// Only when the catalog cannot be read at all.
    pub(crate) fn check(&self, deep: bool) -> Result<CheckReport> {
        let state = self.current();
        let mut check = Check { core: self, state: &state, report: CheckReport::default(), more: 0 };
        check.images()?;
        check.reverse_index()?;
        check.postings()?;
        check.segments(deep);
        if deep {
            check.copies()?;
            let rows: Vec<usize> = state.index.live().collect();
            check.recompute(&rows)?;
        }
        let Check { mut report, more, .. } = check;
        if more > 0 {
            report.problems.push(format!("and {more} more"));
        }
        Ok(report)
    }

    /// What is wrong with lists, votes, postings and segments of a space that is not the active one yet; predictions are recomputed
    /// of some images.
    ///
    /// # Errors
    /// Only when the catalog cannot be read at all.
    pub(super) fn check_derived(&self) -> Result<Vec<String>> {
        let state = self.current();
        let mut check = Check { core: self, state: &state, report: CheckReport::default(), more: 0 };
        check.reverse_index()?;
        check.postings()?;
        check.segments(true);
        let every = state.index.live_rows().div_ceil(RECOMPUTED_ROWS).max(1);
        let rows: Vec<usize> = state.index.live().step_by(every).collect();
        check.recompute(&rows)?;
        Ok(check.report.problems)
    }
}

impl Check<'_> {
    fn wrong(&mut self, problem: String) {
        if self.report.problems.len() < MOST_PROBLEMS {
            self.report.problems.push(problem);
        } else {
            self.more += 1;
        }
    }

    fn looked_at(&mut self, what: &str, count: usize) {
        self.report.checked.push((what.to_owned(), count as u64));
    }

    /// Each record has its key, its descriptor and its row, and there are no others.
    fn images(&mut self) -> Result<()> {
        let state = self.state;
        let (first, last) = (ImageId(0), ImageId(u64::MAX));
        let mut records: HashMap<ImageId, bool> = HashMap::new();
        let mut problems = Vec::new();
        state.pinned.records(first, last, |id, record| {
            let role = if record.label.is_some() { Role::Train } else { Role::Index };
            records.insert(id, false);
            if state.pinned.image(&record.key)? != Some(id) {
                problems.push(format!("the key '{}' does not lead to its record", record.key));
            }
            let set = state.rows(role);
            match set.row_of(id) {
                Some(row) if set.live[row] && set.key(row) == record.key => {}
                _ => problems.push(format!("'{}' is stored and cannot be found by a search", record.key)),
            }
            if let Some(label) = record.label {
                let known = set.row_of(id).and_then(|row| set.instances[row]);
                if known != Some(Ballot { label: LabelId(label), score: 1.0 }) || state.label(LabelId(label)).is_err() {
                    problems.push(format!("the label of '{}' is not the one that votes", record.key));
                }
            }
            Ok(())
        })?;
        state.pinned.vectors(state.pinned.space(), first, last, |id, _| {
            match records.get_mut(&id) {
                Some(has_vector) => *has_vector = true,
                None => problems.push(format!("a descriptor of image {} has no record", id.0)),
            }
            Ok(())
        })?;
        for space in self.core.catalog().other_spaces() {
            state.pinned.vectors(space, first, last, |id, _| {
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
            problems.push(format!("{} images are stored and {rows} are searched", records.len()));
        }
        self.looked_at("images", records.len());
        problems.into_iter().for_each(|problem| self.wrong(problem));
        Ok(())
    }

    /// `voters` is the inverse of `neighbours`.
    fn reverse_index(&mut self) -> Result<()> {
        let (mut forward, mut backward, mut lists) = (Sum::default(), Sum::default(), 0);
        self.state.pinned.all_neighbours(self.state.pinned.space(), ImageId(0), |id, stored| {
            lists += 1;
            stored.entries.iter().for_each(|(train, _)| forward.add((train, id)));
            Ok(())
        })?;
        self.state.pinned.each_voter(self.state.pinned.space(), |train, id| {
            backward.add((train, id));
            Ok(())
        })?;
        if forward != backward {
            self.wrong("the reverse index of neighbours is not their inverse".to_owned());
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
                    wanted.add((role as u8, ballot.label, ballot.score.to_bits(), set.key(row), set.id(row)));
                }
            }
            for label in (0..state.labels.len() as u32).map(LabelId) {
                state.pinned.postings(state.pinned.space(), state.options.vote_k, role, label, |score, key, id| {
                    stored.add((role as u8, label, score.to_bits(), key, id));
                    Ok(true)
                })?;
            }
        }
        if wanted != stored {
            self.wrong("the postings by instance are not the image of the predictions".to_owned());
        }
        let mut predictions = Sum::default();
        let mut known = Sum::default();
        state.pinned.predictions(state.pinned.space(), state.options.vote_k, ImageId(0), |id, ballot| {
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

    fn segments(&mut self, deep: bool) {
        let mut count = 0;
        for problem in &*self.state.problems {
            self.wrong(format!("segment {} {}", problem.segment.0, problem.why));
        }
        for role in Role::ALL {
            for (part, entry, _) in self.state.rows(role).frozen() {
                count += 1;
                let Part::Segment(segment) = part else { continue };
                let read = if deep { segment.check_deep() } else { Ok(()) };
                // Its file is gone when it was merged since this state was taken; nobody will read it again.
                let is_named = self.core.current().rows(role).frozen().any(|(_, now, _)| now.id == entry.id);
                if !is_named {
                    continue;
                }
                if let Err(damage) = read {
                    self.wrong(format!("segment {} {}", entry.id.0, damage.0));
                } else if segment.is_damaged() {
                    self.wrong(format!("segment {} has damaged vectors", entry.id.0));
                }
            }
        }
        self.looked_at("segments", count);
    }

    /// Every live row's descriptor is the catalog's, bit for bit.
    fn copies(&mut self) -> Result<()> {
        let state = self.state;
        let mut problems = Vec::new();
        let mut count = 0;
        state.pinned.vectors(state.pinned.space(), ImageId(0), ImageId(u64::MAX), |id, bytes| {
            for set in [&state.index, &state.train] {
                let Some(row) = set.row_of(id).filter(|&row| set.live[row]) else { continue };
                count += 1;
                let same = set.vector(row)?.iter().flat_map(|value| value.to_le_bytes()).eq(bytes.iter().copied());
                if !same {
                    problems.push(format!("the copy of the descriptor of '{}' differs", set.key(row)));
                }
            }
            Ok(())
        })?;
        self.looked_at("descriptors compared", count);
        problems.into_iter().for_each(|problem| self.wrong(problem));
        Ok(())
    }

    /// Law P: the lists and the predictions of these rows equal a recompute.
    fn recompute(&mut self, rows: &[usize]) -> Result<()> {
        let Published { index, train, options, pinned, .. } = self.state;
        for rows in rows.chunks(RECOMPUTED_ROWS) {
            let best = train.best_of_many(&index.gathered(rows)?, options.kept_neighbours, |_, _| true)?;
            for (&row, best) in rows.iter().zip(best) {
                let key = index.key(row);
                let Some(stored) = pinned.neighbours(pinned.space(), index.id(row))? else {
                    self.wrong(format!("'{key}' has no list of neighbours"));
                    continue;
                };
                let list = match list_of(stored, train) {
                    Ok(list) if list.knows(options.vote_k, train.live_rows()) => list,
                    Ok(_) => {
                        self.wrong(format!("the list of '{key}' is too short to vote"));
                        continue;
                    }
                    Err(error) => {
                        self.wrong(format!("'{key}': {}", error.message()));
                        continue;
                    }
                };
                // A list without a floor claims to hold every train image.
                let is_complete = list.floor.is_some() || list.entries.len() == train.live_rows();
                let same = is_complete
                    && list.entries.len() <= best.len()
                    && list.entries.iter().zip(&best).all(|(entry, hit)| {
                        let id = train.id(hit.row as usize).0;
                        (entry.id, entry.similarity.to_bits()) == (id, hit.similarity.to_bits())
                    });
                if !same {
                    self.wrong(format!("the neighbours of '{key}' are not its nearest train images"));
                }
                let voters =
                    best.iter().filter_map(|hit| Some((train.instances[hit.row as usize]?.label, hit.similarity)));
                if soft_vote(voters, options.vote_k) != index.instances[row] {
                    self.wrong(format!("the prediction of '{key}' is not what its neighbours vote"));
                }
            }
        }
        self.looked_at("predictions recomputed", rows.len());
        Ok(())
    }
}
