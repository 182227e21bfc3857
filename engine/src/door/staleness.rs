//! How long writes have waited: the one place of the engine that asks a clock, because `STALE <= 5s` speaks of one. No content of an
//! answer depends on it, only whether waiting writes are carried out first.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::database::Database;
use crate::answer::Status;
use crate::error::Result;
use crate::motion::Snapshot;

/// When the waiting writes of this process were acknowledged, oldest first; those that were carried out since are forgotten with the
/// next one, or with the next question.
#[derive(Debug, Default)]
pub(super) struct Ages(Mutex<VecDeque<(u64, Instant)>>);

impl Ages {
    /// This write was acknowledged now and waits; those up to `seen` are carried out.
    pub(super) fn note(&self, sequence: u64, seen: u64) {
        let mut ages = self.0.lock();
        forget(&mut ages, seen);
        ages.push_back((sequence, Instant::now()));
    }

    /// How long the oldest write behind `seen` has waited; `None`: it was acknowledged before this process opened the database.
    fn oldest(&self, seen: u64) -> Option<Duration> {
        let mut ages = self.0.lock();
        forget(&mut ages, seen);
        ages.front().filter(|&&(sequence, _)| sequence == seen + 1).map(|(_, since)| since.elapsed())
    }
}

/// Forgets the writes up to `seen`. Two writers may have noted theirs in another order than that of their numbers; one that stands
/// behind a later one goes with it.
fn forget(ages: &mut VecDeque<(u64, Instant)>, seen: u64) {
    while ages.front().is_some_and(|&(sequence, _)| sequence <= seen) {
        ages.pop_front();
    }
}

impl Database {
    /// The state of now, unless a write has waited longer than `lag`: then the state after everything that waits.
    ///
    /// # Errors
    /// What the writes give.
    pub fn within(&self, lag: Duration) -> Result<Snapshot> {
        let snapshot = self.snapshot();
        if snapshot.lag() == 0 || self.shared.ages.oldest(snapshot.sequence()).is_some_and(|waited| waited <= lag) {
            return Ok(snapshot);
        }
        self.drain()
    }

    /// What waits, line by line.
    pub(super) fn staleness(&self) -> Status {
        let snapshot = self.snapshot();
        let (transactions, operations) = self.shared.core().waiting();
        let waited = match (snapshot.lag(), self.shared.ages.oldest(snapshot.sequence())) {
            (0, _) => "nothing waits".to_owned(),
            (_, Some(waited)) => format!("{:.1} s", waited.as_secs_f64()),
            (_, None) => "since before the database was opened".to_owned(),
        };
        let lines = [
            ("predictions of sequence", snapshot.sequence().to_string()),
            ("last write", (snapshot.sequence() + snapshot.lag()).to_string()),
            ("waiting writes", transactions.to_string()),
            ("waiting operations", operations.to_string()),
            ("oldest has waited", waited),
        ];
        Status { lines: lines.map(|(name, value)| (name.to_owned(), value)).into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It catches: ages that nobody asks for and that are kept for good.
    #[test]
    fn what_was_carried_out_is_forgotten_though_nobody_asks() {
        let ages = Ages::default();
        for sequence in 1..=1000 {
            ages.note(sequence, sequence.saturating_sub(3));
        }
        assert_eq!(ages.0.lock().iter().map(|&(sequence, _)| sequence).collect::<Vec<_>>(), [998, 999, 1000]);
        assert!(ages.oldest(997).is_some() && ages.oldest(1000).is_none());
    }
}
