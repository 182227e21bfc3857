//! Iterates over the stored images, a page of the catalog at a time, in bounded memory.

use std::collections::VecDeque;

use cairndb_query::plain_label;

use super::snapshot::Snapshot;
use crate::answer::Vote;
use crate::catalog::Posting;
use crate::error::Result;
use crate::id::{ImageId, LabelId};
use crate::operation::{Record, Role};

/// Entries of the catalog that are read at a time.
const PAGE: usize = 1024;

/// The stored images of a snapshot in byte order of their keys ([`Snapshot::images`]).
///
/// Complexity: a page of keys at a time, and one record for each image that it yields; bounded memory.
#[derive(Debug, Clone)]
pub struct Images<'s> {
    keys: Keys<'s>,
}

/// The external keys of a snapshot in byte order ([`Images::keys`]).
#[derive(Debug, Clone)]
pub struct Keys<'s> {
    snapshot: &'s Snapshot,
    prefix: String,
    role: Option<Role>,
    /// The last key of the page; `None`: none was read yet.
    last: Option<String>,
    page: VecDeque<String>,
    is_done: bool,
}

impl<'s> Images<'s> {
    pub(super) fn new(snapshot: &'s Snapshot) -> Self {
        let keys =
            Keys { snapshot, prefix: String::new(), role: None, last: None, page: VecDeque::new(), is_done: false };
        Self { keys }
    }

    /// Only those of one role.
    #[must_use]
    pub fn role(mut self, role: Role) -> Self {
        self.keys.role = Some(role);
        self
    }

    /// Only those whose keys begin with `prefix`; the others are not read.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.keys.prefix = prefix.into();
        self
    }

    /// Their keys alone; no record is read.
    pub fn keys(self) -> Keys<'s> {
        self.keys
    }
}

impl Iterator for Images<'_> {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let record = self.keys.next()?.and_then(|key| self.keys.snapshot.record(&key));
            if let Some(record) = record.transpose() {
                return Some(record);
            }
        }
    }
}

impl Keys<'_> {
    fn read_page(&mut self) -> Result<()> {
        self.snapshot.stop_at(0)?;
        let state = &self.snapshot.state;
        let page = state.pinned.keys_behind(&self.prefix, self.last.as_deref(), PAGE)?;
        self.is_done = page.len() < PAGE;
        self.last = page.last().map(|(key, _)| key.clone()).or(self.last.take());
        let has_role = |id: ImageId| match self.role {
            Some(role) => state.rows(role).row_of(id).is_some(),
            None => true,
        };
        self.page.extend(page.into_iter().filter(|&(_, id)| has_role(id)).map(|(key, _)| key));
        Ok(())
    }
}

impl Iterator for Keys<'_> {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.page.is_empty() && !self.is_done {
            if let Err(error) = self.read_page() {
                self.is_done = true;
                return Some(Err(error));
            }
        }
        self.page.pop_front().map(Ok)
    }
}

/// The images of one role that are predicted to be one instance, best score first, equal scores by key ([`Snapshot::of_instance`]).
///
/// Complexity: a page of postings at a time; bounded memory.
#[derive(Debug, Clone)]
pub struct OfInstance<'s> {
    snapshot: &'s Snapshot,
    role: Role,
    /// `None`: no image ever had the label.
    label: Option<LabelId>,
    last: Option<Posting>,
    page: VecDeque<Posting>,
    is_done: bool,
}

impl OfInstance<'_> {
    fn read_page(&mut self) -> Result<()> {
        self.snapshot.stop_at(0)?;
        let Some(label) = self.label else {
            self.is_done = true;
            return Ok(());
        };
        let pinned = &self.snapshot.state.pinned;
        let k = self.snapshot.state.options.vote_k;
        let page = pinned.postings_behind((pinned.space(), k, self.role, label), self.last.as_ref(), PAGE)?;
        self.is_done = page.len() < PAGE;
        self.last = page.last().cloned().or(self.last.take());
        self.page.extend(page);
        Ok(())
    }
}

impl Iterator for OfInstance<'_> {
    /// The external key and the vote.
    type Item = Result<(String, Vote)>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.page.is_empty() && !self.is_done {
            if let Err(error) = self.read_page() {
                self.is_done = true;
                return Some(Err(error));
            }
        }
        let Posting { score, key } = self.page.pop_front()?;
        let vote = self.label.map(|label| Ok(Vote { instance: self.snapshot.state.label(label)?.to_owned(), score }));
        vote.map(|vote| vote.map(|vote| (key, vote)))
    }
}

impl Snapshot {
    /// Walks through the stored images in byte order of their keys. [`Images::prefix`] and [`Images::role`] narrow it, [`Images::keys`]
    /// reads no records.
    ///
    /// ```
    /// # fn main() -> cairn::Result<()> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// use cairn::{Database, Options, Put};
    ///
    /// let database = Database::create(folder.path().join("db"), Options::for_vectors(2))?;
    /// database.write([
    ///     Put::new("2023/a", [1.0, 0.0]).into(),
    ///     Put::new("2024/a", [1.0, 0.5]).into(),
    ///     Put::new("2024/b", [0.5, 1.0]).into(),
    /// ])?;
    /// let snapshot = database.snapshot();
    /// let keys: Vec<String> = snapshot.images().prefix("2024/").keys().collect::<cairn::Result<_>>()?;
    /// assert_eq!(keys, ["2024/a", "2024/b"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn images(&self) -> Images<'_> {
        Images::new(self)
    }

    /// The images of one role whose stored prediction is this label, best score first, equal scores by key: what the insert-step draws
    /// from. A train image has its own label with score 1. A label that is not there has none.
    pub fn of_instance(&self, label: &str, role: Role) -> OfInstance<'_> {
        let label = self.state.label_number(label).or_else(|| self.state.label_number(&plain_label(label)));
        OfInstance { snapshot: self, role, label, last: None, page: VecDeque::new(), is_done: false }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::door::Database;
    use crate::operation::Put;
    use crate::options::Options;

    /// It catches: an entry lost or given twice where one page ends and the next begins; a prefix or a role that lets others through.
    #[test]
    fn pages_join_without_a_gap() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::create(folder.path().join("db"), Options::for_vectors(2)).unwrap();
        let rows = 2 * PAGE + 7;
        let put = |n: usize| {
            let put = Put::new(format!("{}/{n:05}", n % 3), [1.0, (n % 97) as f32 / 97.0]);
            if n.is_multiple_of(10) { put.label(format!("l{}", n % 20)).into() } else { put.into() }
        };
        database.write((0..rows).map(put)).unwrap();
        database.write([crate::Operation::Delete { key: "1/00001".to_owned() }]).unwrap();
        let snapshot = database.snapshot();
        let all: Vec<String> = snapshot.images().keys().collect::<Result<_>>().unwrap();
        assert_eq!(all, snapshot.keys(None).unwrap());
        assert_eq!(all.len(), rows - 1);
        let some: Vec<Record> = snapshot.images().prefix("2/").role(Role::Train).collect::<Result<_>>().unwrap();
        let wanted: Vec<String> =
            snapshot.keys(Some(Role::Train)).unwrap().into_iter().filter(|key| key.starts_with("2/")).collect();
        assert_eq!(some.iter().map(|record| record.key.clone()).collect::<Vec<_>>(), wanted);
        let mut seen = 0;
        for label in ["l0", "l10", "nobody's"] {
            let found: Vec<(String, Vote)> = snapshot.of_instance(label, Role::Index).collect::<Result<_>>().unwrap();
            let in_order = |pair: &[(String, Vote)]| {
                pair[0].1.score > pair[1].1.score
                    || pair[0].1.score.total_cmp(&pair[1].1.score).is_eq() && pair[0].0 < pair[1].0
            };
            assert!(found.windows(2).all(in_order), "{label}");
            found.iter().for_each(|(key, vote)| {
                assert_eq!(snapshot.prediction(key).unwrap().as_ref(), Some(vote));
                assert_eq!(vote.instance, label);
            });
            seen += found.len();
        }
        assert_eq!(seen, snapshot.counts().index);
    }
}
