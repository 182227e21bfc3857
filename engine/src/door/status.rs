//! SHOW STATUS: the state of a database, line by line; and who hears of what fails behind the callers.

use std::sync::Arc;

use super::database::Database;
use crate::options::Options;
use crate::report::{Health, SegmentInfo, Status, Trouble};
use crate::state::{Counts, Snapshot};
use crate::write::HearsTrouble;

impl Database {
    /// The state of the database.
    pub fn status(&self) -> Status {
        self.status_of(&self.snapshot())
    }

    /// Calls `hears` with each new trouble of the threads behind the callers: what applying deferred writes, making and merging segments or
    /// keeping the watermark failed with. They try again by themselves; [`Health::trouble`](crate::reports::Health::trouble) shows it until it goes
    /// well. One trouble is reported once, until it goes well or fails with another kind of error. A later call replaces the earlier one;
    /// what failed before a call is not reported.
    ///
    /// Each call is made by a thread of its own, which holds nothing and which nobody waits for: it may ask the database for anything,
    /// also close it, and two may be under way at once. One that keeps a clone of the database keeps the database open
    /// until [`Database::close`]. Where the system gives no thread, only the status shows the trouble.
    ///
    /// ```
    /// # fn main() -> cairn::Result<()> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let database = cairn::Database::create(folder.path().join("db"), cairn::Options::for_vectors(2))?;
    /// database.on_trouble(|trouble| eprintln!("{trouble}"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_trouble(&self, hears: impl Fn(&Trouble) + Send + Sync + 'static) {
        let hears: HearsTrouble = Arc::new(hears);
        // As for the proposer.
        self.shared.with_core(|core| core.set_hears_trouble(Some(hears)));
    }

    /// Rows and segments of one snapshot: those of two do not add up beside a writer.
    fn status_of(&self, snapshot: &Snapshot) -> Status {
        let Counts { train, index, labels } = snapshot.counts();
        let Options { model, dimension, vote_k, kept_neighbours, keep, .. } = self.options();
        let segments = snapshot.segments();
        let tail_rows = train + index - segments.iter().map(|segment| segment.live).sum::<usize>();
        let (deferred_writes, deferred_operations) = snapshot.waiting;
        let core = self.shared.core();
        let mut health = Health { trouble: core.trouble(), ..Health::default() };
        if let Err(displaced) = core.check_place() {
            health.takes_no_writes = Some(displaced.message().to_owned());
        } else if let Some(cause) = core.poison() {
            health.takes_no_writes = Some(format!("accepts no more writes {cause}"));
        } else {
            health.shortage = core.shortage();
        }
        let degraded =
            |segment: &SegmentInfo| Some(format!("segment {} {}", segment.number, segment.problem.as_ref()?));
        health.degraded = segments.iter().filter_map(degraded).collect();
        Status {
            folder: self.folder().to_owned(),
            model,
            dimension,
            train,
            index,
            labels,
            vote_k,
            kept_neighbours,
            sequence: snapshot.sequence(),
            deferred_writes,
            deferred_operations,
            segments,
            tail_rows,
            table_bytes: core.catalog().bytes(),
            keep,
            health,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::operation::Put;
    use crate::options::Options;

    /// It catches: segments of another snapshot than the counts; the rows that came in between were taken from a tail without them.
    #[test]
    fn a_status_is_of_one_snapshot() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::create(folder.path().join("db"), Options::for_vectors(2)).unwrap();
        let put = |key: &str| database.write(vec![Put::new(key, [1.0, 0.5]).into()]).unwrap();
        put("a");
        let before = database.snapshot();
        put("b");
        put("c");
        database.flush().unwrap();
        let then = database.status_of(&before);
        assert_eq!((then.index, then.segments.len(), then.tail_rows), (1, 0, 1));
        let now = database.status();
        assert_eq!((now.index, now.segments.len(), now.tail_rows), (3, 1, 0));
        let line = |name: &str| now.lines().into_iter().find(|line| line.0 == name).unwrap().1;
        assert_eq!(["index images", "segments", "health"].map(line), ["3", "1", "ok"]);
    }
}
