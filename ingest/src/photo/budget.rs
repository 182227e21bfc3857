//! The memory that all threads together may use for decoding.

use std::sync::{Condvar, Mutex, PoisonError};

/// Memory that is in use, and whose turn it is.
struct Budget {
    used: u64,
    /// Number of the next one that asks, and of the next one that is served: a large photo does not wait behind small ones for ever.
    next: u64,
    served: u64,
}

static BUDGET: Mutex<Budget> = Mutex::new(Budget { used: 0, next: 0, served: 0 });
static CHANGED: Condvar = Condvar::new();

/// A share of the memory, given back when it is dropped.
pub(super) struct Share(u64);

impl Share {
    /// Waits until `bytes` more leave the sum of all shares at most `most`, or nothing else is in use. Served in the order of asking.
    pub(super) fn take(bytes: u64, most: u64) -> Self {
        let mut budget = BUDGET.lock().unwrap_or_else(PoisonError::into_inner);
        let number = budget.next;
        budget.next += 1;
        while budget.served != number || (budget.used > 0 && budget.used.saturating_add(bytes) > most) {
            budget = CHANGED.wait(budget).unwrap_or_else(PoisonError::into_inner);
        }
        budget.served += 1;
        budget.used = budget.used.saturating_add(bytes);
        drop(budget);
        CHANGED.notify_all();
        Self(bytes)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut budget = BUDGET.lock().unwrap_or_else(PoisonError::into_inner);
        budget.used = budget.used.saturating_sub(self.0);
        drop(budget);
        CHANGED.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// It catches: shares that are not counted, a large one that never gets its turn, one above the limit that waits for ever.
    #[test]
    fn shares_of_all_threads_stay_within_the_limit() {
        const MOST: u64 = 100;
        static NOW: AtomicU64 = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for thread in 0..8u64 {
                scope.spawn(move || {
                    for turn in 0..200u64 {
                        let bytes = 1 + (thread * 37 + turn * 11) % MOST;
                        let share = Share::take(bytes, MOST);
                        let now = NOW.fetch_add(bytes, Ordering::SeqCst) + bytes;
                        assert!(now <= MOST, "{now}");
                        std::thread::yield_now();
                        NOW.fetch_sub(bytes, Ordering::SeqCst);
                        drop(share);
                    }
                });
            }
        });
        // Nothing else is in use, so it is served.
        drop(Share::take(10 * MOST, MOST));
    }
}
