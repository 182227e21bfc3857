//! How long writes have been deferred: the one place of the engine that reads a clock, because `STALE <= 5s` needs one. It never
//! affects the content of an answer, only whether deferred writes are applied first.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::state::Snapshot;

/// When the deferred writes of this process were acknowledged, oldest first; those that were applied since are removed with the
/// next one, or at the next question.
#[derive(Debug)]
pub(crate) struct Ages {
    noted: Mutex<VecDeque<(u64, Instant)>>,
    /// Writes up to this one were acknowledged before this process opened the database.
    before: AtomicU64,
}

/// How long the oldest write has waited that a snapshot does not see.
pub(crate) enum Waited {
    Nothing,
    /// For so long.
    For(Duration),
    /// It was acknowledged before this process opened the database.
    SinceBefore,
}

impl Ages {
    /// Those of a database that was opened when the last acknowledged write was this one.
    pub(crate) fn behind(before: u64) -> Self {
        Self { noted: Mutex::default(), before: AtomicU64::new(before) }
    }

    /// The database was opened for writing when the last acknowledged write was this one.
    pub(crate) fn begin(&self, before: u64) {
        self.before.store(before, Ordering::Relaxed);
    }

    /// This write was acknowledged and deferred now; those up to `seen` are applied.
    pub(crate) fn note(&self, sequence: u64, seen: u64) {
        let mut ages = self.noted.lock();
        forget(&mut ages, seen);
        ages.push_back((sequence, Instant::now()));
    }

    /// How long the oldest write has waited that this snapshot does not see.
    pub(crate) fn oldest(&self, snapshot: &Snapshot) -> Waited {
        let seen = snapshot.sequence();
        if snapshot.lag() == 0 {
            return Waited::Nothing;
        }
        let mut ages = self.noted.lock();
        forget(&mut ages, seen);
        match ages.iter().find(|&&(sequence, _)| sequence == seen + 1) {
            Some((_, since)) => Waited::For(since.elapsed()),
            None if seen < self.before.load(Ordering::Relaxed) => Waited::SinceBefore,
            // Its writer is about to note it, or it was carried out since the snapshot was taken.
            None => Waited::For(Duration::ZERO),
        }
    }
}

/// Forgets the writes up to `seen`. Two writers may have noted theirs in another order than that of their numbers; one that stands
/// behind a later one goes with it.
fn forget(ages: &mut VecDeque<(u64, Instant)>, seen: u64) {
    while ages.front().is_some_and(|&(sequence, _)| sequence <= seen) {
        ages.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It catches: ages that nobody asks for and that are kept for good.
    #[test]
    fn what_was_carried_out_is_forgotten_though_nobody_asks() {
        let ages = Ages::behind(0);
        for sequence in 1..=1000 {
            ages.note(sequence, sequence.saturating_sub(3));
        }
        assert_eq!(ages.noted.lock().iter().map(|&(sequence, _)| sequence).collect::<Vec<_>>(), [998, 999, 1000]);
    }
}
