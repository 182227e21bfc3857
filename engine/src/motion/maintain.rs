//! Making segments: the tail becomes segments, segments are merged. The work is done on a frozen state beside the writer; only the
//! naming takes the writer's lock.

use std::ops::Range;
use std::sync::Arc;

use super::core::Core;
use super::open::truth;
use super::policy::{Size, choose};
use super::snapshot::Published;
use crate::catalog::SegmentEntry;
use crate::disk::{SEGMENTS, must_fit, point};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{self, Codes, Graph, OwnedGraph};
use crate::id::{ImageId, SegmentId};
use crate::operation::Role;
use crate::rows::{MOST_SKETCHED_ROWS, Part, RowSet};
use crate::segment::layout::most_bytes;
use crate::segment::{self, Contents, Expected, Segment, file_of};
use crate::vector::{Aligned, encode, stride};

/// Rows below which a segment has no graph: scanning their codes takes no longer.
const GRAPH_FROM_SEGMENT_ROWS: usize = 2_048;
/// Rows up to which a new graph is built by hnsw_rs; larger ones grow from the largest graph that is merged.
const FRESH_GRAPH_ROWS: usize = 8_192;

/// A segment that was written and is not named yet.
type Made = (Arc<Segment>, SegmentEntry);

impl Core {
    /// Carries out some of what waits; `true`: there was something.
    pub(super) fn drain_some(&self) -> Result<bool> {
        if self.waiting().0 == 0 {
            return Ok(false);
        }
        let mut writer = self.writer.lock();
        let next = self.current().sequence + 1;
        self.drain_to(&mut writer, next)?;
        Ok(true)
    }

    /// Makes the tail into segments, one for each role; `false`: there was no tail.
    ///
    /// # Errors
    /// `Io`; the tail stays as it was.
    pub(crate) fn flush(&self) -> Result<bool> {
        self.refuse_when_read_only()?;
        self.check_place()?;
        let _one_at_a_time = self.flushing.lock();
        let (state, end) = {
            let writer = self.writer.lock();
            (self.current(), writer.next_image())
        };
        if super::core::tail_rows(&state) == 0 {
            return Ok(false);
        }
        let tails = Role::ALL.map(|role| {
            let set = state.rows(role);
            let rows: Vec<usize> = (set.tail_start()..set.len()).filter(|&row| set.live[row]).collect();
            (role, rows)
        });
        self.must_fit(&state, &tails)?;
        let mut made: Vec<(Role, Option<Made>)> = Vec::new();
        for (role, rows) in &tails {
            let make = || self.make(&state, *role, state.pinned.next_segment()?, rows, None);
            let outcome = if rows.is_empty() { Ok(None) } else { make().map(Some) };
            made.push((*role, outcome.inspect_err(|_| self.unlink(&made))?));
        }
        point("flush.made")?;
        self.name(
            &made,
            &[],
            |batch| batch.set_covered(end),
            |now, role, made| now.rows(role).with_flushed(made, end),
        )?;
        Ok(true)
    }

    /// Merges what the policy chooses, if it chooses anything.
    pub(super) fn merge_one(&self) -> Result<bool> {
        let _one_at_a_time = self.merging.lock();
        let state = self.current();
        for role in Role::ALL {
            if let Some(range) = choose(&sizes(state.rows(role))) {
                self.merge(&state, role, range)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// One segment for each role, without dead rows: FLUSH, then everything merged.
    ///
    /// # Errors
    /// `Io`; what was there stays.
    pub(crate) fn compact(&self) -> Result<()> {
        self.flush()?;
        let _one_at_a_time = self.merging.lock();
        for role in Role::ALL {
            let state = self.current();
            let sizes = sizes(state.rows(role));
            let is_compact = sizes.len() == 1 && sizes.iter().all(|size| size.live == size.rows && !size.damaged);
            if !(sizes.is_empty() || is_compact) {
                self.merge(&state, role, 0..sizes.len())?;
            }
        }
        Ok(())
    }

    /// Makes one segment of neighbouring ones. The caller holds the lock `merging`.
    fn merge(&self, state: &Published, role: Role, range: Range<usize>) -> Result<()> {
        let set = state.rows(role);
        let inputs: Vec<(&Part, SegmentEntry, usize)> = set.frozen().skip(range.start).take(range.len()).collect();
        let all = inputs.iter().flat_map(|(part, _, start)| *start..start + part.rows());
        let (rows, dead): (Vec<usize>, Vec<usize>) = all.partition(|&row| set.live[row]);
        let base = base_of(set, &inputs, &rows);
        let rows = [(role, rows)];
        self.must_fit(state, &rows)?;
        let [(_, rows)] = rows;
        let number = state.pinned.next_segment()?;
        let made = if rows.is_empty() { None } else { Some(self.make(state, role, number, &rows, base)?) };
        point("merge.made")?;
        let gone: Vec<SegmentId> = inputs.iter().map(|(_, entry, _)| entry.id).collect();
        let made = [(role, made)];
        self.name(
            &made,
            &gone,
            |batch| dead.iter().try_for_each(|&row| batch.delete_tombstone(self.catalog.space(), set.id(row))),
            |now, role, made| now.rows(role).with_merged(&range, made),
        )?;
        // Readers keep their maps; the names go. What is left by a crash here is removed at the next opening.
        self.remove_segments(gone, "merged")
    }

    /// Removes the files of segments that the manifest no longer names; `point` prefixes the fault points.
    ///
    /// # Errors
    /// `Io`; the next opening removes what stays.
    pub(super) fn remove_segments(&self, gone: impl IntoIterator<Item = SegmentId>, point: &str) -> Result<()> {
        let Some(folder) = self.folder.inner(SEGMENTS)? else { return Ok(()) };
        gone.into_iter().try_for_each(|id| folder.remove(file_of(id), point))
    }

    /// Refuses segments of these rows before the work is done, where they do not fit on the disk: what does not is tried again and
    /// again. What the catalog may need comes first.
    fn must_fit(&self, state: &Published, all: &[(Role, Vec<usize>)]) -> Result<()> {
        let bytes = all.iter().map(|(role, rows)| {
            let set = state.rows(*role);
            let keys = rows.iter().map(|&row| set.key(row).len()).sum();
            most_bytes(rows.len(), set.dimension(), keys)
        });
        must_fit(&self.folder, "making segments", bytes.sum::<u64>() + self.catalog.flush_bytes())
    }

    /// Removes segments that nobody will name; the next opening removes what stays.
    fn unlink(&self, made: &[(Role, Option<Made>)]) {
        let written = made.iter().filter_map(|(_, made)| made.as_ref()).map(|(_, entry)| entry.id);
        let _stays = self.remove_segments(written, "orphan");
    }

    /// Writes a segment of these live rows and opens it as any reader would.
    fn make(
        &self,
        state: &Published,
        role: Role,
        number: SegmentId,
        rows: &[usize],
        base: Option<Base<'_>>,
    ) -> Result<Made> {
        let set = state.rows(role);
        let dimension = set.dimension();
        let width = stride(dimension);
        let mut codes = Aligned::zeroed(rows.len() * width);
        // Not copied: what is wrong with a code, if anything is, ends with its segment.
        for (&row, code) in rows.iter().zip(codes.chunks_exact_mut(width)) {
            encode(&set.vector(row)?, code);
        }
        let graph = if rows.len() < GRAPH_FROM_SEGMENT_ROWS {
            None
        } else {
            Some(self.graph(Codes { bytes: &codes, dimension }, base)?)
        };
        let ids: Vec<ImageId> = rows.iter().map(|&row| set.id(row)).collect();
        let keys: Vec<&str> = rows.iter().map(|&row| set.key(row)).collect();
        self.check_place()?;
        let folder = self.folder.inner_or_new(SEGMENTS, "segments.folder")?;
        let name = file_of(number);
        let header = segment::write(
            &folder,
            &name,
            &Contents {
                database: self.catalog.database(),
                segment: number,
                space: self.catalog.space(),
                role,
                dimension,
                sequence: state.sequence,
                ids: &ids,
                keys: &keys,
                vector: &|row| set.vector(rows[row]),
                codes: &codes,
                graph: graph.as_ref(),
            },
        )?;
        let check = segment::layout::check_of(&header.encode());
        let entry = SegmentEntry {
            id: number,
            space: self.catalog.space(),
            role,
            rows: ids.len() as u64,
            first: header.first,
            last: header.last,
            check,
            bytes: header.file_bytes(),
        };
        let expected = Expected { database: self.catalog.database(), dimension, entry };
        let opened = Segment::open(&folder, &name, &expected, truth(&self.catalog)).map_err(|damage| {
            Error::new(
                ErrorKind::Io,
                format!("the segment just written {}: {}", folder.path_of(&name).display(), damage.0),
            )
            .help("check the disk's health; nothing is lost, the rows are in the catalog")
        })?;
        if role == Role::Train && set.len() < MOST_SKETCHED_ROWS {
            // A vote does not wait for them then.
            opened.sketches();
        }
        Ok((Arc::new(opened), entry))
    }

    fn graph(&self, codes: Codes<'_>, base: Option<Base<'_>>) -> Result<OwnedGraph> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let stop = &self.signal.stop;
        let graph = match base {
            Some(base) => graph::merged(codes, Some((base.graph, &base.place)), threads, stop, &|_| {}),
            None if codes.rows() <= FRESH_GRAPH_ROWS => graph::fresh(codes, threads, stop),
            None => graph::merged(codes, None, threads, stop, &|_| {}),
        };
        graph.ok_or_else(|| Error::new(ErrorKind::Cancelled, "the database was closed while a segment was being made"))
    }

    /// The one commit that names new segments and forgets old ones; rows that died since the state was frozen are buried in it.
    fn name(
        &self,
        made: &[(Role, Option<Made>)],
        gone: &[SegmentId],
        more: impl FnOnce(&mut crate::catalog::Batch<'_>) -> Result<()>,
        placed: impl Fn(&Published, Role, Option<Made>) -> Result<RowSet>,
    ) -> Result<()> {
        let mut writer = self.writer.lock();
        let now = self.current();
        let mut next = Published { problems: now.problems_without(gone), ..now.repinned(self.catalog.pin()) };
        for (role, made) in made {
            let set = placed(&now, *role, made.clone())?;
            match role {
                Role::Train => next.train = set,
                Role::Index => next.index = set,
            }
        }
        let named = writer.commit(|batch| {
            // Rows that died are forgotten by it, and what was written lies there already.
            batch.set_owed();
            more(batch)?;
            gone.iter().try_for_each(|&id| batch.delete_segment(id))?;
            for (role, made) in made {
                let Some((segment, entry)) = made else { continue };
                batch.put_segment(entry)?;
                for &id in segment.ids() {
                    let id = ImageId(id);
                    let is_live = now.rows(*role).row_of(id).is_some_and(|row| now.rows(*role).live[row]);
                    if !is_live {
                        batch.put_tombstone(self.catalog.space(), id)?;
                    }
                }
            }
            Ok(())
        });
        if let Err(error) = named {
            if self.poison().is_none() {
                self.unlink(made);
                return Err(error);
            }
            self.unnamed.lock().extend(made.iter().flat_map(|(_, made)| made).map(|(_, entry)| entry.id));
            return Err(error);
        }
        next.pinned = self.catalog.pin();
        self.publish(next);
        Ok(())
    }
}

/// A graph to grow from.
struct Base<'a> {
    graph: Graph<'a>,
    /// New row of each old one.
    place: Vec<u32>,
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

/// What the policy is told of a role's segments.
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
