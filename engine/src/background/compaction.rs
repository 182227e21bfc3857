//! Compaction: it merges neighbouring segments of a frozen state beside the writer, without their dead rows.

use std::ops::Range;

use super::segments::Base;
use crate::catalog::{Catalog, SegmentEntry};
use crate::disk::point;
use crate::error::Result;
use crate::id::SegmentId;
use crate::operation::Role;
use crate::progress::{Interrupt, Progress, UNINTERRUPTED};
use crate::rows::{Part, RowSet};
use crate::state::snapshot::Published;
use crate::write::core::Core;
use crate::write::policy::{Size, choose};

/// Parts of a compaction: the tail, the segments of each role, the families of the catalog.
const PARTS: usize = 1 + Role::ALL.len() + Catalog::FAMILIES;

impl Core {
    /// Merges what the policy chooses, if it chooses anything.
    pub(crate) fn merge_one(&self) -> Result<bool> {
        let _one_at_a_time = self.merging.lock();
        let state = self.current();
        for role in Role::ALL {
            if let Some(range) = choose(&sizes(state.rows(role))) {
                self.merge(&state, role, range, &UNINTERRUPTED)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// One segment for each role, without dead rows: FLUSH, then everything merged.
    ///
    /// # Errors
    /// `Io`, `Cancelled`; what was there stays.
    pub(crate) fn compact(&self, interrupt: &Interrupt<'_>) -> Result<()> {
        interrupt.at(Progress::PARTS, 0, PARTS)?;
        self.flush()?;
        let _one_at_a_time = self.merging.lock();
        for (at, role) in Role::ALL.into_iter().enumerate() {
            interrupt.at(Progress::PARTS, 1 + at, PARTS)?;
            let state = self.current();
            let sizes = sizes(state.rows(role));
            let is_compact = sizes.len() == 1 && sizes.iter().all(|size| size.live == size.rows && !size.damaged);
            if !(sizes.is_empty() || is_compact) {
                self.merge(&state, role, 0..sizes.len(), interrupt)?;
            }
        }
        Ok(())
    }

    /// Rewrites the catalog's tables, behind [`Core::compact`].
    ///
    /// # Errors
    /// As [`Catalog::compact`]; `Cancelled`.
    pub(crate) fn compact_catalog(&self, interrupt: &Interrupt<'_>) -> Result<()> {
        let before = PARTS - Catalog::FAMILIES;
        self.catalog.compact(&mut |done| interrupt.at(Progress::PARTS, before + done, PARTS))
    }

    /// Makes one segment of neighbouring ones. The caller holds the lock `merging`.
    fn merge(&self, state: &Published, role: Role, range: Range<usize>, interrupt: &Interrupt<'_>) -> Result<()> {
        span!("merge", role = role.name(), segments = range.len());
        let set = state.rows(role);
        let inputs: Vec<(&Part, SegmentEntry, usize)> = set.frozen().skip(range.start).take(range.len()).collect();
        let all = inputs.iter().flat_map(|(part, _, start)| *start..start + part.rows());
        let (rows, dead): (Vec<usize>, Vec<usize>) = all.partition(|&row| set.live[row]);
        let base = base_of(set, &inputs, &rows);
        let rows = [(role, rows)];
        self.must_fit(state, &rows)?;
        let [(_, rows)] = rows;
        let number = state.pinned.next_segment()?;
        let made = if rows.is_empty() { None } else { Some(self.make(state, role, number, &rows, base, interrupt)?) };
        point("merge.made")?;
        let gone: Vec<SegmentId> = inputs.iter().map(|(_, entry, _)| entry.id).collect();
        let made = [(role, made)];
        self.name(
            &made,
            &gone,
            |batch| dead.iter().try_for_each(|&row| batch.delete_tombstone(self.catalog.space(), set.id(row))),
            |now, role, made| now.rows(role).with_merged(&range, made),
        )?;
        event!(role = role.name(), segments = gone.len(), "segments are merged");
        // Readers keep their maps; the names go. What is left by a crash here is removed at the next opening.
        self.remove_segments(gone, "merged")
    }
}

/// The input with the most live rows among those that have a graph, if it is worth keeping.
fn base_of<'a>(set: &RowSet, inputs: &[(&'a Part, SegmentEntry, usize)], rows: &[usize]) -> Option<Base<'a>> {
    let with_graph = inputs.iter().filter(|(part, ..)| part.graph().is_some());
    let counted = with_graph.map(|&(part, _, start)| (set.live_in(start, part.rows()), part, start));
    let (live, part, start) = counted.max_by_key(|&(live, ..)| live)?;
    if live * 2 < part.rows() {
        return None;
    }
    let first = rows.partition_point(|&row| row < start);
    let mut next = first as u32;
    let place = (start..start + part.rows())
        .map(|row| {
            if set.live[row] {
                next += 1;
                next - 1
            } else {
                u32::MAX
            }
        })
        .collect();
    Some(Base { graph: part.graph()?, place })
}

/// The policy's facts about a role's segments.
fn sizes(set: &RowSet) -> Vec<Size> {
    set.frozen()
        .map(|(part, _, start)| Size {
            rows: part.rows(),
            live: set.live_in(start, part.rows()),
            damaged: match part {
                Part::Segment(segment) => segment.is_damaged(),
                Part::Block(_) => true,
            },
        })
        .collect()
}
