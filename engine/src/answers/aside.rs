//! Work that another processor may do meanwhile.
//!
//! Whoever comes first does it: the threads of the pool may be busy with a segment for minutes, and then the one who offered the work
//! does it himself as if he had never offered it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex};

/// How often one looks for the outcome before one sleeps until it is there: what is left to do is often done sooner than one wakes up.
const LOOKS: usize = 1_000;

/// Offers that no thread of the pool has come to yet, be it that their work was taken back.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Whether the pool came to every offer: if not, it is busy, and another one would only wait behind them.
pub(super) fn pool_is_free() -> bool {
    WAITING.load(Ordering::Relaxed) == 0
}

/// Work that was offered to the pool, and its outcome.
pub(super) struct Aside<T>(Arc<Shared<T>>);

struct Shared<T> {
    work: Mutex<Work<T>>,
    done: Condvar,
}

enum Work<T> {
    Offered(Box<dyn FnOnce() -> T + Send>),
    /// Somebody does it, or nobody wants it any more.
    Taken,
    Done(std::thread::Result<T>),
}

impl<T> Shared<T> {
    /// The work, if nobody has it yet.
    fn take(&self) -> Option<Box<dyn FnOnce() -> T + Send>> {
        let mut work = self.work.lock();
        match std::mem::replace(&mut *work, Work::Taken) {
            Work::Offered(offered) => Some(offered),
            other => {
                *work = other;
                None
            }
        }
    }
}

impl<T: Send + 'static> Aside<T> {
    /// Offers work. What it holds is let go before its outcome is there.
    pub(super) fn offer(work: impl FnOnce() -> T + Send + 'static) -> Self {
        let shared = Arc::new(Shared { work: Mutex::new(Work::Offered(Box::new(work))), done: Condvar::new() });
        let offered = Arc::clone(&shared);
        WAITING.fetch_add(1, Ordering::Relaxed);
        rayon::spawn(move || {
            WAITING.fetch_sub(1, Ordering::Relaxed);
            if let Some(work) = offered.take() {
                // A panic is the business of the one who offered the work.
                let outcome = catch_unwind(AssertUnwindSafe(work));
                *offered.work.lock() = Work::Done(outcome);
                offered.done.notify_one();
            }
        });
        Self(shared)
    }

    /// The outcome: waits for the one who does the work, or does it.
    pub(super) fn outcome(self) -> T {
        if let Some(work) = self.0.take() {
            return work();
        }
        for _ in 0..LOOKS {
            if matches!(*self.0.work.lock(), Work::Done(_)) {
                break;
            }
            std::hint::spin_loop();
        }
        let mut work = self.0.work.lock();
        loop {
            match std::mem::replace(&mut *work, Work::Taken) {
                Work::Done(Ok(outcome)) => return outcome,
                Work::Done(Err(panic)) => resume_unwind(panic),
                Work::Offered(_) | Work::Taken => self.0.done.wait(&mut work),
            }
        }
    }
}

impl<T> Drop for Aside<T> {
    /// Work that nobody waits for is not begun, and what it holds is let go.
    fn drop(&mut self) {
        drop(self.0.take());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    use super::*;

    /// Every thread of the pool waits until the returned end is dropped.
    fn busy_pool() -> std::sync::mpsc::Sender<()> {
        let (end, ended) = channel::<()>();
        let ended = Arc::new(Mutex::new(ended));
        let (began, begun) = channel();
        for _ in 0..rayon::current_num_threads() {
            let (ended, began) = (Arc::clone(&ended), began.clone());
            rayon::spawn(move || {
                let _told = began.send(());
                let _closed = ended.lock().recv();
            });
        }
        (0..rayon::current_num_threads()).for_each(|_| begun.recv().unwrap());
        end
    }

    #[test]
    fn work_is_done_once_whoever_does_it() {
        let done = Arc::new(AtomicUsize::new(0));
        for round in 0..2_000 {
            let counted = Arc::clone(&done);
            let aside = Aside::offer(move || {
                counted.fetch_add(1, Ordering::Relaxed);
                round
            });
            if round % 2 == 0 {
                std::thread::yield_now();
            }
            assert_eq!(aside.outcome(), round);
        }
        assert_eq!(done.load(Ordering::Relaxed), 2_000);
    }

    /// One test, since both need the pool for themselves.
    #[test]
    fn a_busy_pool_holds_nobody_up_and_keeps_nothing() {
        let end = busy_pool();
        assert_eq!(Aside::offer(|| 7).outcome(), 7);
        // That offer stands in the queue until the pool comes to it.
        assert!(!pool_is_free());
        let held = Arc::new(());
        let kept = Arc::clone(&held);
        let aside = Aside::offer(move || drop(kept));
        assert_eq!(Arc::strong_count(&held), 2);
        drop(aside);
        assert_eq!(Arc::strong_count(&held), 1);
        drop(end);
    }

    #[test]
    #[should_panic(expected = "the work's own")]
    fn a_panic_reaches_the_one_who_waits() {
        let (began, begun) = channel();
        let aside: Aside<()> = Aside::offer(move || {
            let _told = began.send(());
            panic!("the work's own")
        });
        // Only the pool can have begun it.
        let _begun = begun.recv();
        aside.outcome();
    }
}
