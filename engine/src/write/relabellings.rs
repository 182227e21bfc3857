//! Records which transactions changed labels, within bounds: the writer's side of the log that `UNDO LABEL` reads.

use std::collections::VecDeque;

use crate::catalog::{Batch, RelabellingMessage};
use crate::error::Result;
use crate::state::snapshot::Published;

/// Transactions that are kept: a reading of a list writes one for each 64 photos.
pub(crate) const KEPT_TRANSACTIONS: usize = 1000;
/// Images that are kept of all of them; of one that changed more labels only their number is kept.
pub(crate) const KEPT_IMAGES: u64 = 50_000;

/// What is known of the log without reading it.
#[derive(Default)]
pub(crate) struct Log {
    /// Oldest first; `None`: not read yet.
    entries: Option<VecDeque<Entry>>,
}

struct Entry {
    sequence: u64,
    reading: Option<u64>,
    part: u64,
    /// Images that it names.
    named: u64,
}

impl Entry {
    fn of(message: &RelabellingMessage) -> Self {
        let RelabellingMessage { sequence, reading, part, ref changes, .. } = *message;
        Self { sequence, reading, part, named: changes.len() as u64 }
    }
}

impl Log {
    fn entries(&mut self, state: &Published) -> Result<&mut VecDeque<Entry>> {
        if self.entries.is_none() {
            self.entries = Some(state.pinned.relabellings()?.iter().map(Entry::of).collect());
        }
        Ok(self.entries.get_or_insert_default())
    }

    /// Notes what transactions did to labels; what is too old, or too much, goes.
    pub(crate) fn add(
        &mut self,
        batch: &mut Batch<'_>,
        state: &Published,
        relabellings: Vec<RelabellingMessage>,
    ) -> Result<()> {
        if relabellings.is_empty() {
            return Ok(());
        }
        let entries = self.entries(state)?;
        for mut message in relabellings {
            let last = entries.back().filter(|last| last.reading.is_some() && last.reading == message.reading);
            message.part = last.map_or(0, |last| last.part.saturating_add(1));
            if message.images > KEPT_IMAGES {
                message.changes.clear();
            }
            entries.push_back(Entry::of(&message));
            batch.put_relabelling(&message)?;
        }
        let mut named: u64 = entries.iter().map(|entry| entry.named).sum();
        while entries.len() > KEPT_TRANSACTIONS || named > KEPT_IMAGES {
            let Some(oldest) = entries.pop_front() else { break };
            named -= oldest.named;
            batch.delete_relabelling(oldest.sequence)?;
        }
        Ok(())
    }

    /// Removes changes that are undone.
    pub(crate) fn take_back(
        &mut self,
        batch: &mut Batch<'_>,
        state: &Published,
        taken: &[RelabellingMessage],
    ) -> Result<()> {
        let entries = self.entries(state)?;
        for message in taken {
            entries.retain(|entry| entry.sequence != message.sequence);
            batch.delete_relabelling(message.sequence)?;
        }
        Ok(())
    }
}
