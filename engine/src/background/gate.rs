//! The gate of a database: who may change it while another model becomes active, or while it is closed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::error::{Error, ErrorKind, Result};
use crate::process::callback::Called;

/// Between two looks whether the gate is open.
const LOOK: Duration = Duration::from_secs(1);
/// Looks during one call of the application's code behind the closed gate before a writer gives up: that code may wait for it.
const MOST_LOOKS: u32 = 60;

/// Two gates, because what takes minutes and changes no row (segments are made, merged, copied) must not keep a flip from coming between
/// two writes, nor writers waiting behind that flip.
pub(crate) struct Gate {
    /// Held for reading by that work, for writing by the thread that closes the gate.
    upkeep: RwLock<()>,
    /// Held for reading by each change, for writing by the thread that closes the gate.
    changes: RwLock<()>,
    /// Calls of the application's code behind the closed gate, twice each: odd while one is under way.
    calls: AtomicU64,
    /// [`LOOK`].
    look: Duration,
}

impl Default for Gate {
    fn default() -> Self {
        Self { upkeep: RwLock::default(), changes: RwLock::default(), calls: AtomicU64::new(0), look: LOOK }
    }
}

/// The gate is closed while this is held.
pub(crate) struct Closed<'g> {
    gate: &'g Gate,
    _no_change: RwLockWriteGuard<'g, ()>,
    _no_upkeep: RwLockWriteGuard<'g, ()>,
}

impl Gate {
    /// Waits for the gate to be open, and keeps it so. The caller asks first whether it is waited for itself.
    ///
    /// # Errors
    /// `Locked`: code of the application is called behind the closed gate and has not returned for a minute.
    pub(crate) fn enter(&self) -> Result<RwLockReadGuard<'_, ()>> {
        let (mut seen, mut looks) = (0, 0);
        loop {
            if let Some(open) = self.changes.try_read_for(self.look) {
                return Ok(open);
            }
            let call = self.calls.load(Ordering::SeqCst);
            looks = if call % 2 == 1 && call == seen { looks + 1 } else { 0 };
            seen = call;
            if looks >= MOST_LOOKS {
                return Err(Error::new(
                    ErrorKind::Locked,
                    "another model is becoming active, and its embedder has not answered for a minute",
                )
                .help("try again later; code that embeds must not wait for threads that write"));
            }
        }
    }

    /// [`Gate::enter`] for work that may take long and changes no row.
    pub(crate) fn enter_upkeep(&self) -> RwLockReadGuard<'_, ()> {
        self.upkeep.read()
    }

    /// Closes the gate and waits for the threads inside. Writers continue until long work is done; from then on it waits only for
    /// running writes.
    pub(crate) fn close(&self) -> Closed<'_> {
        let no_upkeep = self.upkeep.write();
        Closed { gate: self, _no_change: self.changes.write(), _no_upkeep: no_upkeep }
    }
}

impl Closed<'_> {
    /// Calls code of the application, which is refused what would wait for the gate.
    pub(crate) fn call<T>(&self, database: usize, what: &'static str, code: impl FnOnce() -> T) -> T {
        /// Counts the end of the call also where it panics.
        struct Over<'g>(&'g AtomicU64);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let _called = Called::by(database, what);
        self.gate.calls.fetch_add(1, Ordering::SeqCst);
        let _over = Over(&self.gate.calls);
        code()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::mpsc::channel;

    use super::*;

    /// It catches: a writer that waits for ever for code that waits for it; one that gives up while calls come and go, or none is made.
    #[test]
    fn a_writer_waits_for_a_change_and_not_for_a_call_that_never_ends() {
        let gate = Gate { look: Duration::from_millis(1), ..Gate::default() };
        let enters = || gate.enter().map(|_open| ()).map_err(|error| error.kind());
        std::thread::scope(|scope| {
            let (asks, asked) = channel();
            let closed = gate.close();
            let waiting = scope.spawn(enters);
            // More calls than looks, each of them short.
            (0..3 * MOST_LOOKS).for_each(|_| closed.call(1, "one", || std::thread::sleep(gate.look)));
            assert!(!waiting.is_finished());
            closed.call(1, "one", || {
                let refused = scope.spawn(move || asks.send(enters()).unwrap());
                // As code does that waits for its own helper.
                assert_eq!(asked.recv().unwrap(), Err(ErrorKind::Locked));
                refused.join().unwrap();
            });
            // Who waited since before may have given up with it.
            drop(closed);
            let _either = waiting.join().unwrap();
        });
        assert_eq!(enters(), Ok(()));
    }

    /// It catches: a change that waits while what takes long goes on, though no flip waits; a flip that comes in the middle of it.
    #[test]
    fn upkeep_keeps_a_flip_out_and_no_writer() {
        let gate = Gate::default();
        let copying = gate.enter_upkeep();
        let (closes, closed) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _closed = gate.close();
                closes.send(()).unwrap();
            });
            for _ in 0..100 {
                drop(gate.enter().unwrap());
                assert!(closed.try_recv().is_err());
                std::thread::yield_now();
            }
            drop(copying);
            closed.recv().unwrap();
        });
    }
}
