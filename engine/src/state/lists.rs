//! Neighbour lists in their stored form, read together with their train set.

use crate::catalog::StoredList;
use crate::error::{Error, Result};
use crate::id::{ImageId, LabelId};
use crate::rows::RowSet;
use crate::vote::{Candidate, List};

/// A stored list with its keys, which live in the train set it was stored with.
pub(crate) fn list_of(stored: StoredList, train: &RowSet) -> Result<List> {
    let entries = stored
        .entries
        .into_iter()
        .map(|(id, similarity)| {
            let row = train.row_of(id).ok_or_else(|| {
                Error::corrupt(format!("a neighbour list names train image {}, which does not exist", id.0))
            })?;
            Ok(Candidate { similarity, key: train.shared_key(row), id: id.0 })
        })
        .collect::<Result<_>>()?;
    Ok(List { entries, floor: stored.floor.map(|(similarity, key)| (similarity, key.into())) })
}

/// The label of a live train image.
pub(crate) fn label_in(train: &RowSet, id: ImageId) -> Option<LabelId> {
    let row = train.row_of(id)?;
    if train.live[row] { train.instances[row].map(|ballot| ballot.label) } else { None }
}
