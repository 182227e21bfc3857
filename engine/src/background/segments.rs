//! Segment files: each is written from live rows, opened as a reader would open it, and named by the one commit that takes the
//! writer's lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::catalog::SegmentEntry;
use crate::disk::{SEGMENTS, must_fit};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{self, Codes, Graph, OwnedGraph};
use crate::id::{ImageId, SegmentId};
use crate::operation::Role;
use crate::progress::Interrupt;
use crate::rows::{MOST_SKETCHED_ROWS, RowSet};
use crate::segment::layout::most_bytes;
use crate::segment::{self, Contents, Expected, Segment, file_of};
use crate::state::load::truth;
use crate::state::snapshot::Published;
use crate::vector::{Aligned, encode, stride};
use crate::write::Core;

/// Rows below which a segment has no graph: scanning their codes takes no longer.
const GRAPH_FROM_SEGMENT_ROWS: usize = 2_048;
/// Rows up to which a new graph is built by hnsw_rs; larger ones grow from the largest graph that is merged.
const FRESH_GRAPH_ROWS: usize = 8_192;

/// A segment that was written and is not named yet.
pub(super) type Made = (Arc<Segment>, SegmentEntry);

impl Core {
    /// Removes the files of segments that the manifest no longer names; `point` prefixes the fault points.
    ///
    /// # Errors
    /// `Io`; the next opening removes what stays.
    pub(crate) fn remove_segments(&self, gone: impl IntoIterator<Item = SegmentId>, point: &str) -> Result<()> {
        let Some(folder) = self.folder.inner(SEGMENTS)? else { return Ok(()) };
        gone.into_iter().try_for_each(|id| folder.remove(file_of(id), point))
    }

    /// Refuses segments of these rows before the work is done, where they do not fit on the disk: what does not is tried again and
    /// again. What the catalog may need comes first.
    pub(super) fn must_fit(&self, state: &Published, all: &[(Role, Vec<usize>)]) -> Result<()> {
        let bytes = all.iter().map(|(role, rows)| {
            let set = state.rows(*role);
            let keys = rows.iter().map(|&row| set.key(row).len()).sum();
            most_bytes(rows.len(), set.dimension(), keys)
        });
        must_fit(&self.folder, "making segments", bytes.sum::<u64>() + self.catalog.flush_bytes())
    }

    /// Removes segments that nobody will name; the next opening removes what stays.
    pub(super) fn unlink(&self, made: &[(Role, Option<Made>)]) {
        let written = made.iter().filter_map(|(_, made)| made.as_ref()).map(|(_, entry)| entry.id);
        let _stays = self.remove_segments(written, "orphan");
    }

    /// Writes a segment of these live rows and opens it as any reader would.
    pub(super) fn make(
        &self,
        state: &Published,
        role: Role,
        number: SegmentId,
        rows: &[usize],
        base: Option<Base<'_>>,
        interrupt: &Interrupt<'_>,
    ) -> Result<Made> {
        let set = state.rows(role);
        let dimension = set.dimension();
        let width = stride(dimension);
        let mut codes = Aligned::zeroed(rows.len() * width);
        // Not copied: what is wrong with a code, if anything is, ends with its segment.
        for (at, (&row, code)) in rows.iter().zip(codes.chunks_exact_mut(width)).enumerate() {
            interrupt.look_at(at)?;
            encode(&set.vector(row)?, code);
        }
        let graph = if rows.len() < GRAPH_FROM_SEGMENT_ROWS {
            None
        } else {
            Some(self.graph(Codes { bytes: &codes, dimension }, base, interrupt)?)
        };
        let ids: Vec<ImageId> = rows.iter().map(|&row| set.id(row)).collect();
        // The catalog's: those of a segment are copies.
        let key = |&row: &usize| {
            let record = state.pinned.record(set.id(row))?;
            Ok(record.map_or_else(|| set.key(row).to_owned(), |record| record.key))
        };
        let keys = rows.iter().map(key).collect::<Result<Vec<String>>>()?;
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
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

    /// # Errors
    /// `Cancelled`: it was stopped, or the database is closed.
    pub(super) fn graph(
        &self,
        codes: Codes<'_>,
        base: Option<Base<'_>>,
        interrupt: &Interrupt<'_>,
    ) -> Result<OwnedGraph> {
        let threads = self.build_threads();
        let is_over = AtomicBool::new(false);
        let stop = &[&self.signal.stop, &is_over];
        let look = |_| is_over.store(interrupt.look().is_err(), Ordering::Relaxed);
        let graph = match base {
            Some(base) => graph::merged(codes, Some((base.graph, &base.place)), threads, stop, &look),
            None if codes.rows() <= FRESH_GRAPH_ROWS => graph::fresh(codes, threads, stop),
            None => graph::merged(codes, None, threads, stop, &look),
        };
        if is_over.into_inner() {
            interrupt.look()?;
        }
        graph.ok_or_else(|| Error::new(ErrorKind::Cancelled, "the database was closed while a segment was being made"))
    }

    /// The one commit that names new segments and forgets old ones; rows that died since the state was frozen are buried in it.
    pub(super) fn name(
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
                // Its rows have other numbers.
                Role::Index => (next.index, next.derived) = (set, Arc::new(now.derived.of_others())),
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
pub(super) struct Base<'a> {
    pub(super) graph: Graph<'a>,
    /// New row of each old one.
    pub(super) place: Vec<u32>,
}
