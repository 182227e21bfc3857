//! The signals between the writer, the worker threads and those who wait for them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// How long the side file may be behind.
pub(crate) const NOTE_EVERY: Duration = Duration::from_secs(1);

/// How the threads and those who wait for them find each other.
#[derive(Default)]
pub(crate) struct Signal {
    pub(crate) stop: AtomicBool,
    changed: Mutex<u64>,
    condvar: Condvar,
    resting: Mutex<()>,
    closes: Condvar,
}

impl Signal {
    /// Something changed.
    pub(crate) fn notify(&self) {
        *self.changed.lock() += 1;
        self.condvar.notify_all();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits until something changes, the time is over, or the database closes.
    pub(crate) fn wait(&self, seen: &mut u64, most: Duration) {
        let mut changed = self.changed.lock();
        if *changed == *seen && !self.is_stopped() {
            self.condvar.wait_for(&mut changed, most);
        }
        *seen = *changed;
    }

    /// Waits until the time is over or the database closes, whatever changes.
    pub(crate) fn rest(&self, time: Duration) {
        let mut nothing = self.resting.lock();
        if !self.is_stopped() {
            self.closes.wait_for(&mut nothing, time);
        }
    }

    /// Stops the threads, and those who wait for them.
    pub(crate) fn close(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.notify();
        // Whoever is about to rest sees the flag, or is resting when it is woken.
        let _nothing = self.resting.lock();
        self.closes.notify_all();
    }

    /// Waits while `behind` holds and the database is open.
    pub(crate) fn wait_while(&self, behind: impl Fn() -> bool) {
        let mut seen = 0;
        while !self.is_stopped() && behind() {
            self.wait(&mut seen, NOTE_EVERY);
        }
    }
}

/// The background duties, each with its own thread, because each may take minutes and none may wait for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duty {
    /// The side file is kept up, and what a full disk did is made good.
    Note,
    /// Applies deferred writes.
    Drain,
    /// Segments are made.
    Flush,
    /// Segments are merged.
    Merge,
}

impl Duty {
    pub(crate) const ALL: [Self; 4] = [Self::Note, Self::Drain, Self::Flush, Self::Merge];

    /// In words that say what it does.
    pub(crate) fn work(self) -> &'static str {
        match self {
            Self::Note => "keeping the watermark",
            Self::Drain => "applying deferred writes",
            Self::Flush => "making segments",
            Self::Merge => "merging segments",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Note => "cairn-note",
            Self::Drain => "cairn-drain",
            Self::Flush => "cairn-flush",
            Self::Merge => "cairn-merge",
        }
    }
}
