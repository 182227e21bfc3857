//! The difference of two states: which predictions changed.

use std::sync::Arc;

use super::snapshot::{Published, Snapshot};
use crate::answer::Vote;
use crate::error::Result;
use crate::id::LabelId;
use crate::vote::Ballot;

/// An index image whose prediction is another one than in an earlier state.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Changed {
    /// Its key.
    pub key: String,
    /// The prediction in the earlier state; `None`: there was none, or no such index image.
    pub before: Option<Vote>,
    /// The prediction now; `None`: there is none, or the key is no index image's any more.
    pub now: Option<Vote>,
}

impl Snapshot {
    /// The index images whose predictions differ from those of an earlier snapshot, label or score, in the order of storage; images
    /// that came or went count, and so do those that were put again with another prediction. The number of a write's changes is
    /// [`Receipt::predictions_changed`](crate::Receipt::predictions_changed).
    ///
    /// ```
    /// # fn main() -> cairn::Result<()> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// use cairn::{Database, Operation, Options, Put};
    ///
    /// let database = Database::create(folder.path().join("db"), Options::for_vectors(2).vote_k(1))?;
    /// database.write([Put::new("t", [1.0, 0.0]).label("tower").into(), Put::new("a", [0.9, 0.1]).into()])?;
    /// let before = database.snapshot();
    /// database.write([Operation::label("t", "bridge")])?;
    /// let changed = database.snapshot().changes_since(&before).collect::<cairn::Result<Vec<_>>>()?;
    /// assert_eq!(changed[0].key, "a");
    /// assert_eq!(changed[0].now.as_ref().unwrap().instance, "bridge");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Complexity: one comparison for each index image of both states, in memory; one look-up for each that is in only one of them.
    ///
    /// # Errors
    /// Each entry: a damaged catalog; `Cancelled`: it was stopped ([`Snapshot::with_stop`]).
    pub fn changes_since<'s>(&'s self, earlier: &'s Snapshot) -> impl Iterator<Item = Result<Changed>> + 's {
        let (now, before) = (&self.state, &earlier.state);
        let look = move |at: usize| self.interrupt().look_at(at);
        let changed = now
            .index
            .live()
            .enumerate()
            .filter_map(move |(at, row)| look(at).and_then(|()| changed_row(now, before, row)).transpose());
        let gone = before
            .index
            .live()
            .enumerate()
            .filter_map(move |(at, row)| look(at).and_then(|()| gone_row(now, before, row)).transpose());
        changed.chain(gone)
    }
}

type State = Arc<Published>;

/// The prediction of an index image of this key.
fn of_key(state: &State, key: &str) -> Result<Option<Ballot<LabelId>>> {
    let Some(id) = state.pinned.image(key)? else { return Ok(None) };
    Ok(state.index.row_of(id).filter(|&row| state.index.live[row]).and_then(|row| state.index.instances[row]))
}

fn spelt(state: &State, ballot: Option<Ballot<LabelId>>) -> Result<Option<Vote>> {
    ballot.map(|ballot| state.vote(ballot)).transpose()
}

/// The change of an image that is there now.
fn changed_row(now: &State, before: &State, row: usize) -> Result<Option<Changed>> {
    let (id, key, ballot) = (now.index.id(row), now.index.key(row), now.index.instances[row]);
    let last = match before.index.row_of(id).filter(|&row| before.index.live[row]) {
        Some(row) => before.index.instances[row],
        // It may have been put again: then its key had another image.
        None => of_key(before, key)?,
    };
    // Numbers of labels are never given again.
    if last == ballot {
        return Ok(None);
    }
    Ok(Some(Changed { key: key.to_owned(), before: spelt(before, last)?, now: spelt(now, ballot)? }))
}

/// The change of an image that was there, and of whose key there is no index image now.
fn gone_row(now: &State, before: &State, row: usize) -> Result<Option<Changed>> {
    let (id, key) = (before.index.id(row), before.index.key(row));
    let is_here = |id| now.index.row_of(id).is_some_and(|row| now.index.live[row]);
    let (false, Some(last)) = (is_here(id), before.index.instances[row]) else { return Ok(None) };
    if now.pinned.image(key)?.is_some_and(is_here) {
        return Ok(None);
    }
    Ok(Some(Changed { key: key.to_owned(), before: spelt(before, Some(last))?, now: None }))
}
