//! The engine's own threads, which help a call compute.
//!
//! A call never depends on its caller's threads: the caller works itself, and the helpers take parts when they have time. The
//! caller waits only for the parts that a helper has started, and does nothing else meanwhile: no work of another call, which
//! might need a lock that the caller holds. So a call behaves the same from a rayon task, from `tokio`'s blocking pool and from a
//! plain thread, and a process that cannot start threads only computes more slowly.
//!
//! Helpers take turns: after each part they continue with the call that was helped longest ago. So a search beside a large write
//! gets its share of them, and its caller works on it all the time.
//!
//! The parts compute. They take no lock for long, wait for nobody, and call no code of the application; that gets separate
//! threads ([`on_threads`]).

use std::any::Any;
use std::collections::VecDeque;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Builder;

use parking_lot::{Condvar, Mutex};

use super::leaving::{help_inside, is_inside};
use super::processors;
use crate::error::Error;

/// How often the caller looks whether helpers are done before it sleeps until they are: they often are sooner than it would wake up.
const LOOKS: usize = 100;

/// Threads that work on one call at most: the caller's and all helpers. As many as the process may use processors, unless
/// [`OpenOptions::search_threads`](crate::OpenOptions::search_threads) says otherwise.
pub fn threads() -> usize {
    *THREADS.get_or_init(processors)
}

/// [`threads`], once it is known.
static THREADS: OnceLock<usize> = OnceLock::new();

/// Chooses how many [`threads`] there are.
///
/// # Errors
/// `Invalid`: this process has another number of them already.
pub(crate) fn set_threads(threads: usize) -> crate::error::Result<()> {
    let chosen = *THREADS.get_or_init(|| threads);
    if chosen == threads {
        return Ok(());
    }
    Err(Error::invalid(format!("this process computes with {chosen} threads already, not with {threads}"))
        .help("ask for the same number in every opening, before the process makes any other call"))
}

/// Whether a helper has nothing to do.
pub fn is_free() -> bool {
    helpers().is_some_and(|helpers| helpers.idle.load(Ordering::Relaxed) > 0)
}

/// What `work` makes of each item, in the order of the items. `work` may be called on any thread and in any order.
///
/// A panic of `work` is the caller's, once no thread works for it any more.
pub fn map<'i, T: Sync, R: Send>(items: &'i [T], work: impl Fn(&'i T) -> R + Sync) -> Vec<R> {
    each(items.len(), |at| work(&items[at]))
}

/// [`map`] of work that may fail.
///
/// # Errors
/// One of those that `work` gave; nothing new was begun after it.
pub fn try_map<'i, T: Sync, R: Send, E: Send>(
    items: &'i [T],
    work: impl Fn(&'i T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    try_each(items.len(), |at| work(&items[at]))
}

/// [`try_map`] of items that are given away.
///
/// # Errors
/// As [`try_map`].
pub fn try_map_owned<T: Send, R: Send, E: Send>(
    items: Vec<T>,
    work: impl Fn(T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let items: Vec<Mutex<Option<T>>> = items.into_iter().map(|item| Mutex::new(Some(item))).collect();
    let one = |at: usize| {
        let item = items[at].lock().take();
        item.map(&work).transpose()
    };
    Ok(try_each(items.len(), one)?.into_iter().flatten().collect())
}

/// [`map`] of the numbers below `count`.
pub fn each<R: Send>(count: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    if count < 2 {
        return (0..count).map(work).collect();
    }
    let made: Vec<Mutex<Option<R>>> = (0..count).map(|_| Mutex::new(None)).collect();
    share_out(count, &|at| *made[at].lock() = Some(work(at)), || ());
    made.into_iter().filter_map(Mutex::into_inner).collect()
}

/// [`try_map`] of the numbers below `count`.
///
/// # Errors
/// As [`try_map`].
pub fn try_each<R: Send, E: Send>(count: usize, work: impl Fn(usize) -> Result<R, E> + Sync) -> Result<Vec<R>, E> {
    let failed = AtomicBool::new(false);
    let one = |at| {
        if failed.load(Ordering::Relaxed) {
            return None;
        }
        let made = work(at);
        if made.is_err() {
            failed.store(true, Ordering::Relaxed);
        }
        Some(made)
    };
    // What was left out stands beside an error.
    each(count, one).into_iter().flatten().collect()
}

/// The numbers below `length` in pieces for [`map`], of `least` at least but for the last: several for each thread, so that all are
/// done at about one time.
pub fn pieces(length: usize, least: usize) -> Vec<Range<usize>> {
    const EACH: usize = 4;
    let size = length.div_ceil(EACH * threads()).max(least).max(1);
    (0..length).step_by(size).map(|start| start..length.min(start + size)).collect()
}

/// Does `own`; a helper may do `other` meanwhile, else it is done afterwards.
///
/// A panic of either is the caller's, once no thread works for it any more.
pub fn join<A, B: Send>(own: impl FnOnce() -> A, other: impl FnOnce() -> B + Send) -> (A, B) {
    let (work, made) = (Mutex::new(Some(other)), Mutex::new(None));
    let task = |_| {
        let work = work.lock().take();
        let outcome = work.map(|work| work());
        *made.lock() = outcome;
    };
    let own = share_out(1, &task, own);
    match made.into_inner() {
        Some(made) => (own, made),
        // `share_out` returns only when each task was done.
        None => unreachable!("the other half of a join was left out"),
    }
}

/// What `work` makes of each item, in their order, on plain threads that end with the call: for work that calls the application's
/// code, which may wait for whatever it likes. Starting a thread takes some 20 microseconds.
///
/// # Errors
/// As [`try_map`].
pub fn on_threads<'i, T: Sync, R: Send, E: Send>(
    items: &'i [T],
    work: impl Fn(&'i T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let made: Vec<Mutex<Option<Result<R, E>>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let run = || {
        while !failed.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { break };
            let outcome = work(item);
            if outcome.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            *made[at].lock() = Some(outcome);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads().min(items.len()) {
            // Where the system gives no more threads, fewer do the work.
            let _fewer = Builder::new().name("cairn-outside".to_owned()).spawn_scoped(scope, run);
        }
        run();
    });
    made.into_iter().filter_map(Mutex::into_inner).collect()
}

/// Work in numbered parts that one caller shares with the helpers.
struct Job {
    /// Lives as long as the caller waits, which is until no helper is inside and none can come in.
    task: &'static (dyn Fn(usize) + Sync),
    count: usize,
    /// Its caller is inside the gate, and so are its helpers.
    is_inside: bool,
    /// The part that is begun next.
    next: AtomicUsize,
    /// Helpers that are inside.
    inside: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// Held to sleep until nobody is inside, and to wake who does.
    leaving: Mutex<()>,
    left: Condvar,
}

impl Job {
    /// The number of a part that nobody has begun.
    fn begin(&self) -> Option<usize> {
        // Looked at first, so that the number cannot rise for ever.
        let is_left = self.next.load(Ordering::Relaxed) < self.count;
        is_left.then(|| self.next.fetch_add(1, Ordering::Relaxed)).filter(|&at| at < self.count)
    }

    /// No part is begun any more.
    fn give_up(&self) {
        self.next.store(self.count, Ordering::Relaxed);
    }

    fn is_begun(&self) -> bool {
        self.next.load(Ordering::Relaxed) >= self.count
    }

    /// Does a part as a helper, who panics for the caller.
    fn help(&self, at: usize) {
        let part = || if self.is_inside { help_inside(|| (self.task)(at)) } else { (self.task)(at) };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(part)) {
            self.give_up();
            self.panic.lock().get_or_insert(panic);
        }
    }

    /// A helper goes out.
    fn leave(&self) {
        if self.inside.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _woken = self.leaving.lock();
            self.left.notify_all();
        }
    }

    /// Waits until no helper is inside.
    fn wait(&self) {
        let is_over = || self.inside.load(Ordering::Acquire) == 0;
        for _ in 0..LOOKS {
            if is_over() {
                return;
            }
            std::hint::spin_loop();
        }
        let mut leaving = self.leaving.lock();
        while !is_over() {
            self.left.wait(&mut leaving);
        }
    }
}

/// The helpers and what they may help with.
struct Helpers {
    /// Those that were helped longest ago first.
    jobs: Mutex<VecDeque<Arc<Job>>>,
    offered: Condvar,
    /// Jobs whose callers are not done.
    open: AtomicUsize,
    /// Helpers that sleep.
    idle: AtomicUsize,
}

/// The helpers; `None`: this process has one processor, or the system gives no threads.
fn helpers() -> Option<&'static Helpers> {
    static HELPERS: OnceLock<Option<&'static Helpers>> = OnceLock::new();
    *HELPERS.get_or_init(|| {
        let helpers: &'static Helpers = Box::leak(Box::new(Helpers {
            jobs: Mutex::default(),
            offered: Condvar::new(),
            open: AtomicUsize::new(0),
            idle: AtomicUsize::new(0),
        }));
        let start = |number: usize| Builder::new().name(format!("cairn-{number}")).spawn(|| helpers.run());
        // They end with the process: they hold nothing that has to be given back.
        let started = (1..threads()).take_while(|&number| start(number).is_ok()).count();
        (started > 0).then_some(helpers)
    })
}

impl Helpers {
    fn wake_one(&self) {
        if self.idle.load(Ordering::Relaxed) > 0 {
            self.offered.notify_one();
        }
    }

    /// A helper's life.
    fn run(&self) {
        let mut jobs = self.jobs.lock();
        loop {
            let Some(job) = jobs.pop_front() else {
                self.idle.fetch_add(1, Ordering::Relaxed);
                self.offered.wait(&mut jobs);
                self.idle.fetch_sub(1, Ordering::Relaxed);
                continue;
            };
            let Some(at) = job.begin() else {
                // Nothing of it is left to begin; its caller need not find it here.
                continue;
            };
            // With the queue's lock held and the job in it: the caller cannot have taken it back.
            job.inside.fetch_add(1, Ordering::Relaxed);
            jobs.push_back(Arc::clone(&job));
            drop(jobs);
            if !job.is_begun() {
                // Each wakes the next one: the caller has other work.
                self.wake_one();
            }
            job.help(at);
            // Nobody else waits for help: the next part at once.
            while self.open.load(Ordering::Relaxed) == 1
                && let Some(at) = job.begin()
            {
                job.help(at);
            }
            job.leave();
            jobs = self.jobs.lock();
        }
    }
}

/// A job in the queue; dropping it removes it and waits for the threads inside.
struct Offer {
    helpers: &'static Helpers,
    job: Arc<Job>,
}

impl Offer {
    fn new(helpers: &'static Helpers, job: Job) -> Self {
        let job = Arc::new(job);
        helpers.open.fetch_add(1, Ordering::Relaxed);
        helpers.jobs.lock().push_back(Arc::clone(&job));
        helpers.wake_one();
        Self { helpers, job }
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        // Here by a panic of the caller's, something may be left.
        self.job.give_up();
        self.helpers.jobs.lock().retain(|job| !Arc::ptr_eq(job, &self.job));
        self.helpers.open.fetch_sub(1, Ordering::Relaxed);
        self.job.wait();
    }
}

/// Does `own`, and meanwhile and afterwards every part below `count`, each once, with whatever helpers have time.
fn share_out<A>(count: usize, task: &(dyn Fn(usize) + Sync), own: impl FnOnce() -> A) -> A {
    let Some(helpers) = helpers() else {
        let own = own();
        (0..count).for_each(task);
        return own;
    };
    // SAFETY: only the lifetime changes. `offer` outlives each use of the task: a helper goes inside with the queue's lock held and only
    // into a job that is in the queue; dropping `offer`, which a panic does too, takes the job out of the queue under the same lock and
    // returns when nobody is inside. What a helper keeps after that is the job and not the task: `begin` gives it no more numbers.
    let task: &'static (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(task) };
    let job = Job {
        task,
        count,
        is_inside: is_inside(),
        next: AtomicUsize::new(0),
        inside: AtomicUsize::new(0),
        panic: Mutex::new(None),
        leaving: Mutex::new(()),
        left: Condvar::new(),
    };
    let offer = Offer::new(helpers, job);
    let own = own();
    while let Some(at) = offer.job.begin() {
        (offer.job.task)(at);
    }
    let job = Arc::clone(&offer.job);
    drop(offer);
    if let Some(panic) = job.panic.lock().take() {
        resume_unwind(panic);
    }
    own
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Every helper waits until the returned end is dropped.
    fn busy_helpers() -> (Sender<()>, std::thread::JoinHandle<()>) {
        let (end, ended) = channel::<()>();
        let (began, begun) = channel();
        let busy = move |ended: Receiver<()>, began: Sender<()>| {
            let ended = Mutex::new(ended);
            // A part for each helper and one for the caller.
            each(threads(), |_| {
                let _told = began.send(());
                let _closed = ended.lock().recv();
            });
        };
        let caller = std::thread::spawn(move || busy(ended, began));
        // The receiver has one owner at a time, so each is registered before it waits.
        (0..threads()).for_each(|_| begun.recv().unwrap());
        (end, caller)
    }

    /// It catches: a part left out or done twice; outcomes in the order in which they came.
    #[test]
    fn each_part_is_done_once_and_outcomes_are_in_order() {
        for count in [0, 1, 2, 3, 100, 5_000] {
            let done: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
            let made = each(count, |at| {
                done[at].fetch_add(1, Ordering::Relaxed);
                2 * at
            });
            assert_eq!(made, (0..count).map(|at| 2 * at).collect::<Vec<_>>());
            assert!(done.iter().all(|done| done.load(Ordering::Relaxed) == 1));
        }
        for length in [0, 1, 7, 1_000] {
            let joined: Vec<usize> = pieces(length, 3).into_iter().flatten().collect();
            assert_eq!(joined, (0..length).collect::<Vec<_>>());
        }
        assert_eq!(on_threads(&[1, 2, 3], |n| Ok::<_, ()>(n * n)), Ok(vec![1, 4, 9]));
    }

    /// It catches: a caller that waits for a helper to begin; a job that stays in the queue.
    #[test]
    fn busy_helpers_hold_nobody_up() {
        let (end, caller) = busy_helpers();
        assert_eq!(each(50, |at| at).len(), 50);
        for round in 0..1_000 {
            assert_eq!(join(|| round, || round + 1), (round, round + 1));
        }
        drop(end);
        caller.join().unwrap();
    }

    /// It catches: a caller that sleeps for ever because the last helper left between its look and its sleep; work that calls share
    /// out within shared work and that waits for itself.
    #[test]
    fn calls_within_calls_from_many_threads_come_to_an_end() {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for round in 0..500usize {
                        let sums = each(5, |at| each(at + 1, |within| within + round).into_iter().sum::<usize>());
                        let expected: Vec<usize> =
                            (0..5).map(|at| (0..=at).map(|within| within + round).sum()).collect();
                        assert_eq!(sums, expected);
                    }
                });
            }
        });
    }

    /// It catches: a helper that does all parts of one job before it takes the next.
    #[test]
    fn a_short_job_beside_a_long_one_is_helped() {
        if threads() < 2 {
            return;
        }
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // As long as it takes until a helper has done a part of the short one.
            scope.spawn(|| {
                each(usize::MAX >> 40, |_| {
                    if !over.load(Ordering::Relaxed) {
                        std::thread::yield_now();
                    }
                })
            });
            let caller = std::thread::current().id();
            let helped = || {
                let by = each(64, |_| {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                    std::thread::current().id()
                });
                by.iter().any(|&by| by != caller)
            };
            let was_helped = (0..100).any(|_| helped());
            over.store(true, Ordering::Relaxed);
            assert!(was_helped);
        });
    }

    #[test]
    fn errors_and_panics_reach_the_caller_and_end_the_work() {
        let begun = AtomicUsize::new(0);
        let failed = try_each(100_000, |at| {
            begun.fetch_add(1, Ordering::Relaxed);
            if at == 3 { Err(at) } else { Ok(at) }
        });
        assert_eq!(failed, Err(3));
        assert_eq!(try_each(10, Ok::<_, ()>).unwrap().len(), 10);
        let panicked = |count: usize, at: usize| {
            let work = |part| {
                if part == at {
                    panic!("the work's own")
                }
            };
            catch_unwind(AssertUnwindSafe(|| each(count, work))).unwrap_err()
        };
        for at in [0, 1, 99] {
            assert_eq!(panicked(100, at).downcast_ref::<&str>(), Some(&"the work's own"));
        }
        let (began, begun) = channel();
        let waits = || {
            let _began = begun.recv();
        };
        let other = move || {
            let _told = began.send(());
            panic!("the other's own")
        };
        let joined: Result<((), ()), _> =
            catch_unwind(AssertUnwindSafe(|| if threads() > 1 { join(waits, other) } else { join(|| (), other) }));
        assert!(joined.is_err());
        // The helpers that panicked still help.
        assert_eq!(each(1_000, |at| at).len(), 1_000);
    }
}
