//! FLUSH: it writes the rows of the tail into one segment per role, beside the writer.

use super::segments::Made;
use crate::disk::point;
use crate::error::Result;
use crate::operation::Role;
use crate::progress::UNINTERRUPTED;
use crate::write::core::{Core, tail_rows};

impl Core {
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
        if tail_rows(&state) == 0 {
            return Ok(false);
        }
        span!("flush", rows = tail_rows(&state));
        let tails = Role::ALL.map(|role| {
            let set = state.rows(role);
            let rows: Vec<usize> = (set.tail_start()..set.len()).filter(|&row| set.live[row]).collect();
            (role, rows)
        });
        self.must_fit(&state, &tails)?;
        let mut made: Vec<(Role, Option<Made>)> = Vec::new();
        for (role, rows) in &tails {
            let make = || self.make(&state, *role, state.pinned.next_segment()?, rows, None, &UNINTERRUPTED);
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
        event!(sequence = state.sequence, "the tail is in segments");
        Ok(true)
    }
}
