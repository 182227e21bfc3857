//! SHOW STALE, and reads with a limit on the lag.

use std::time::Duration;

use super::database::Database;
use crate::background::Waited;
use crate::error::Result;
use crate::progress::Watch;
use crate::report::Report;
use crate::state::Snapshot;

impl Database {
    /// The state of now, unless a write has waited longer than `lag`: then the state after everything that waits.
    ///
    /// # Errors
    /// What the writes give.
    pub fn snapshot_within(&self, lag: Duration) -> Result<Snapshot> {
        self.snapshot_within_by(lag, None)
    }

    pub(super) fn snapshot_within_by(&self, lag: Duration, watch: Option<&dyn Watch>) -> Result<Snapshot> {
        // How old the last writes are that a reader does not see cannot be told without looking.
        self.see_writer()?;
        let snapshot = self.snapshot();
        match self.shared.ages.oldest(&snapshot) {
            Waited::Nothing => Ok(snapshot),
            Waited::For(waited) if waited <= lag => Ok(snapshot),
            _ => self.wait_for_by(snapshot.accepted, watch),
        }
    }

    /// The deferred writes, line by line; all lines are of one moment.
    pub(super) fn staleness(&self) -> Report {
        let snapshot = self.snapshot();
        let (transactions, operations) = snapshot.waiting;
        let waited = match self.shared.ages.oldest(&snapshot) {
            Waited::Nothing => "nothing is deferred".to_owned(),
            Waited::For(waited) => format!("{:.1} s", waited.as_secs_f64()),
            Waited::SinceBefore => "since before the database was opened".to_owned(),
        };
        let lines = [
            ("predictions of sequence", snapshot.sequence().to_string()),
            ("last write", (snapshot.sequence() + snapshot.lag()).to_string()),
            ("deferred writes", transactions.to_string()),
            ("deferred operations", operations.to_string()),
            ("age of the oldest", waited),
        ];
        lines.into_iter().collect()
    }
}
