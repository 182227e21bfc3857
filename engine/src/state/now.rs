//! The visible state of a running database. The state, the number of the last acknowledged write and the number of deferred
//! writes between the two are published as one: a visible sequence number was acknowledged, and the deferred writes are those not
//! visible yet.

use std::sync::Arc;

use parking_lot::RwLock;

use super::snapshot::{Published, Snapshot};

/// Transactions that wait, and the operations in them.
pub(crate) type Waits = (usize, usize);

/// One moment.
pub(crate) struct Now(RwLock<Moment>);

struct Moment {
    state: Arc<Published>,
    accepted: u64,
    waiting: Waits,
}

impl Now {
    /// The moment of a state with this many deferred writes after it; `accepted` is the last of them.
    pub(crate) fn new(state: Published, accepted: u64, waiting: Waits) -> Self {
        Self(RwLock::new(Moment { accepted: accepted.max(state.sequence), state: Arc::new(state), waiting }))
    }

    /// The state.
    pub(crate) fn state(&self) -> Arc<Published> {
        Arc::clone(&self.0.read().state)
    }

    /// All of it.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let now = self.0.read();
        Snapshot::new(Arc::clone(&now.state), now.accepted, now.waiting)
    }

    /// Number of the last acknowledged transaction.
    pub(crate) fn accepted(&self) -> u64 {
        self.0.read().accepted
    }

    /// The writes that wait.
    pub(crate) fn waiting(&self) -> Waits {
        self.0.read().waiting
    }

    /// Publishes another state, in which `done` of the deferred writes are applied. Returns the earlier one, for the caller to
    /// drop: that may take long, and wait at the gate of an exiting process, and readers must not wait for it.
    pub(crate) fn publish(&self, state: Published, done: Waits) -> Arc<Published> {
        let state = Arc::new(state);
        let mut now = self.0.write();
        now.accepted = now.accepted.max(state.sequence);
        now.waiting = (now.waiting.0.saturating_sub(done.0), now.waiting.1.saturating_sub(done.1));
        std::mem::replace(&mut now.state, state)
    }

    /// A transaction of this many operations was acknowledged and deferred.
    pub(crate) fn accept(&self, sequence: u64, operations: usize) {
        let mut now = self.0.write();
        now.accepted = sequence;
        now.waiting = (now.waiting.0 + 1, now.waiting.1 + operations);
    }
}
