//! From the catalog to the rows in memory.

use std::sync::Arc;

use parking_lot::Mutex;

use super::labels::Labels;
use super::snapshot::{Graphs, Published};
use crate::catalog::{Catalog, codec};
use crate::error::{Error, Result};
use crate::id::{ImageId, LabelId, SpaceId};
use crate::operation::Role;
use crate::rows::{NewRow, RowSet};
use crate::vote::Ballot;

/// Rows handed to a row set at a time.
const LOAD_ROWS: usize = 8192;

impl Published {
    /// The present state of a catalog. Complexity: reads every record, vector, list and prediction once.
    pub(crate) fn load(catalog: &Arc<Catalog>) -> Result<Self> {
        let pinned = catalog.pin();
        let options = catalog.options().clone();
        let labels = pinned.labels()?.into_iter().fold(Labels::default(), |mut labels, text| {
            labels.push(text.into());
            labels
        });
        let mut loaded = [Loading::new(options.dimension), Loading::new(options.dimension)];
        let mut records = Vec::new();
        pinned.records(|id, record| {
            records.push((id, record.key, record.label));
            Ok(())
        })?;
        let mut records = records.into_iter();
        pinned.vectors(SpaceId::FIRST, |id, vector| {
            let (expected, key, label) = records.next().ok_or_else(|| unmatched(id))?;
            if id != expected {
                return Err(unmatched(id.min(expected)));
            }
            let instance = label.map(|label| Ballot { label: LabelId(label), score: 1.0 });
            let role = if instance.is_some() { Role::Train } else { Role::Index };
            loaded[role as usize].push(NewRow { id, key: key.into(), instance, floor: f32::NEG_INFINITY }, vector)
        })?;
        if let Some((id, ..)) = records.next() {
            return Err(unmatched(id));
        }
        let [train, index] = loaded;
        let (train, mut index) = (train.finish(), index.finish());
        pinned.predictions(SpaceId::FIRST, options.vote_k, |id, ballot| {
            let row = index.row_of(id).ok_or_else(|| unmatched(id))?;
            index.instances.set(row, Some(ballot));
            Ok(())
        })?;
        pinned.all_neighbours(SpaceId::FIRST, |id, stored| {
            let row = index.row_of(id).ok_or_else(|| unmatched(id))?;
            index.floors.set(row, stored.floor.map_or(f32::NEG_INFINITY, |floor| floor.0));
            Ok(())
        })?;
        Ok(Self {
            sequence: pinned.sequence()?,
            index,
            train,
            labels,
            pinned,
            options,
            graphs: Arc::new(Graphs::default()),
            revotes: Mutex::default(),
        })
    }
}

fn unmatched(id: ImageId) -> Error {
    Error::corrupt(format!("image {} is stored in part: its record, vector or prediction is missing", id.0))
}

/// A row set that is being read.
struct Loading {
    set: RowSet,
    rows: Vec<NewRow>,
    vectors: Vec<f32>,
    dimension: usize,
}

impl Loading {
    fn new(dimension: usize) -> Self {
        Self { set: RowSet::new(dimension), rows: Vec::new(), vectors: Vec::new(), dimension }
    }

    fn push(&mut self, row: NewRow, vector: &[u8]) -> Result<()> {
        codec::vector_into(vector, self.dimension, &mut self.vectors)?;
        self.rows.push(row);
        if self.rows.len() == LOAD_ROWS {
            self.set.append(std::mem::take(&mut self.rows), std::mem::take(&mut self.vectors));
        }
        Ok(())
    }

    fn finish(mut self) -> RowSet {
        self.set.append(self.rows, self.vectors);
        self.set
    }
}
