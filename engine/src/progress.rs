//! The progress reports of long calls, and how a caller ends one.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};

/// Number of rows, entries or similar items that a loop processes between two checks for a stop.
pub(crate) const LOOK_EVERY: usize = 4096;

/// The progress of a long call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// The kind of work: a constant of this type, or a name that the implementor of a port chooses.
    pub what: &'a str,
    /// More about this step, for people, such as the loss of a training step.
    pub note: Option<&'a str>,
    /// Units of it that are done.
    pub done: usize,
    /// Its total number of units, as far as it is known now.
    pub all: usize,
}

impl<'a> Progress<'a> {
    /// A change of the model computes descriptors; images.
    pub const DESCRIPTORS: &'static str = "descriptors";
    /// A change of the model derives predictions; images.
    pub const PREDICTIONS: &'static str = "predictions";
    /// A change of the model verifies what it derived; one unit.
    pub const VERIFICATION: &'static str = "verification";
    /// CLEAN looks for the neighbours of train images; images.
    pub const NEIGHBOURS: &'static str = "neighbours";
    /// CLEAN and VERIFY find local features; images.
    pub const LOCAL_FEATURES: &'static str = "local features";
    /// CLEAN and VERIFY compare images by their local features; images, or queries.
    pub const PAIRS: &'static str = "pairs of images compared";
    /// A search or a prediction scores rows; rows.
    pub const ROWS: &'static str = "rows";
    /// A batch of queries; queries.
    pub const QUERIES: &'static str = "queries";
    /// A search votes again with another number of voters than the stored one; index images.
    pub const VOTES: &'static str = "votes";
    /// A check reads what is stored; entries, and `all` is 0.
    pub const ENTRIES: &'static str = "entries checked";
    /// COMPACT rewrites rows and tables; parts.
    pub const PARTS: &'static str = "parts compacted";
    /// A backup, a verification or a restore reads files; files.
    pub const FILES: &'static str = "files";
    /// A repair keeps and derives images; images.
    pub const IMAGES: &'static str = "images";
    /// Deferred writes are applied; writes.
    pub const WRITES: &'static str = "writes";

    /// `done` of about `all` units of `what`.
    pub const fn new(what: &'a str, done: usize, all: usize) -> Self {
        Self { what, note: None, done, all }
    }

    /// The same with a note for people.
    #[must_use]
    pub const fn note(self, note: &'a str) -> Self {
        Self { note: Some(note), ..self }
    }
}

/// Watches a long call, and may stop it.
///
/// A closure that takes a [`Progress`] is one, and so is a [`Stop`].
pub trait Watch: Send + Sync {
    /// The call is at this step; `Break` stops it soon after with [`ErrorKind::Cancelled`]. It is called on the thread of the
    /// long call, at least every few thousand rows.
    fn progress(&self, at: Progress<'_>) -> ControlFlow<()>;

    /// Why it answered `Break`, for the error; `None` (the default): on request.
    fn reason(&self) -> Option<String> {
        None
    }
}

impl<F: Fn(Progress<'_>) -> ControlFlow<()> + Send + Sync> Watch for F {
    fn progress(&self, at: Progress<'_>) -> ControlFlow<()> {
        self(at)
    }
}

/// Stops long reads of a snapshot ([`Snapshot::with_stop`](crate::Snapshot::with_stop)) and, as a [`Watch`], every other long call.
/// Clones share one flag.
///
/// ```
/// use std::time::Duration;
/// let stop = cairn::Stop::new();
/// let timed = stop.after(Duration::from_secs(60));
/// assert!(!timed.is_stopped());
/// stop.stop();
/// assert!(timed.is_stopped());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// `None`: nobody can set it.
    flag: Option<Arc<AtomicBool>>,
    /// The moment of the time limit, and the limit.
    until: Option<(Instant, Duration)>,
}

impl Stop {
    /// A token that nobody stops.
    pub(crate) const NEVER: Self = Self { flag: None, until: None };

    /// A flag that is not set, without a time limit.
    pub fn new() -> Self {
        Self { flag: Some(Arc::default()), until: None }
    }

    /// The same flag with a time limit, which starts now. Of two limits the earlier one applies.
    #[must_use]
    pub fn after(&self, limit: Duration) -> Self {
        let until = Instant::now().checked_add(limit).map(|until| (until, limit));
        let until = [self.until, until].into_iter().flatten().min_by_key(|&(until, _)| until);
        Self { flag: self.flag.clone(), until }
    }

    /// Sets the flag of this token and of all its clones. It stays set.
    pub fn stop(&self) {
        if let Some(flag) = &self.flag {
            flag.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the flag is set, or the time limit is over.
    pub fn is_stopped(&self) -> bool {
        self.is_set() || self.limit_over().is_some()
    }

    fn is_set(&self) -> bool {
        self.flag.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    fn limit_over(&self) -> Option<Duration> {
        self.until.and_then(|(until, limit)| (Instant::now() >= until).then_some(limit))
    }

    /// # Errors
    /// `Cancelled`, with the reason.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_set() {
            return Err(stopped());
        }
        match self.time_is_over() {
            Some(reason) => {
                Err(Error::new(ErrorKind::Cancelled, reason)
                    .help("allow more time (Stop::after), or ask for less at once"))
            }
            None => Ok(()),
        }
    }

    fn time_is_over(&self) -> Option<String> {
        self.limit_over().map(|limit| format!("the time limit of {:.1} s was reached", limit.as_secs_f64()))
    }
}

impl Watch for Stop {
    fn progress(&self, _: Progress<'_>) -> ControlFlow<()> {
        if self.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn reason(&self) -> Option<String> {
        if self.is_set() { None } else { self.time_is_over() }
    }
}

/// A stop on request.
pub(crate) fn stopped() -> Error {
    Error::new(ErrorKind::Cancelled, "stopped on request")
}

/// The stop of a watch.
fn stopped_by(watch: &dyn Watch) -> Error {
    watch.reason().map_or_else(stopped, |reason| Error::new(ErrorKind::Cancelled, reason))
}

/// Reports progress to the watcher.
///
/// # Errors
/// `Cancelled`: the answer was `Break`.
pub(crate) fn report(watch: Option<&dyn Watch>, what: &str, done: usize, all: usize) -> Result<()> {
    match watch {
        Some(watch) if watch.progress(Progress::new(what, done, all)).is_break() => {
            Err(stopped_by(watch).help("what was done before is kept; the same call continues from there"))
        }
        _ => Ok(()),
    }
}

/// The stop conditions of a call that computes on several threads: a [`Stop`], which every thread checks, and a [`Watch`], which
/// is the application's code, so that only the calling thread asks it.
pub(crate) struct Interrupt<'a> {
    stop: &'a Stop,
    watch: Option<&'a dyn Watch>,
    /// The thread of the call; `None`: there is no watch.
    caller: Option<ThreadId>,
    /// The last step that the call was at.
    step: Mutex<(&'static str, usize, usize)>,
    /// The watch answered `Break`.
    is_broken: AtomicBool,
}

/// Nothing interrupts it.
pub(crate) static UNINTERRUPTED: Interrupt<'static> = Interrupt::with(&Stop::NEVER, None, None);

impl<'a> Interrupt<'a> {
    const fn with(stop: &'a Stop, watch: Option<&'a dyn Watch>, caller: Option<ThreadId>) -> Self {
        Self { stop, watch, caller, step: Mutex::new((Progress::ROWS, 0, 0)), is_broken: AtomicBool::new(false) }
    }

    /// For a call of this thread.
    pub(crate) fn new(stop: &'a Stop, watch: Option<&'a dyn Watch>) -> Self {
        Self::with(stop, watch, watch.map(|_| std::thread::current().id()))
    }

    /// For a call of this thread that only a watch may stop.
    pub(crate) fn by(watch: Option<&'a dyn Watch>) -> Self {
        Self::new(&Stop::NEVER, watch)
    }

    /// The call is at this step: `done` of about `all` units of `what`.
    ///
    /// # Errors
    /// `Cancelled`: the call must end, with the reason.
    pub(crate) fn at(&self, what: &'static str, done: usize, all: usize) -> Result<()> {
        if self.watch.is_some() {
            *self.step.lock() = (what, done, all);
        }
        self.look()
    }

    /// Checks whether the call must end; it repeats the last step to the watcher.
    ///
    /// # Errors
    /// As [`Interrupt::at`].
    pub(crate) fn look(&self) -> Result<()> {
        self.stop.check()?;
        let Some(watch) = self.watch else { return Ok(()) };
        if !self.is_broken.load(Ordering::Relaxed) && self.caller == Some(std::thread::current().id()) {
            // Not locked while the application's code runs.
            let (what, done, all) = *self.step.lock();
            let answer = watch.progress(Progress::new(what, done, all));
            self.is_broken.store(answer.is_break(), Ordering::Relaxed);
        }
        if self.is_broken.load(Ordering::Relaxed) { Err(stopped_by(watch)) } else { Ok(()) }
    }

    /// [`Interrupt::look`] at every [`LOOK_EVERY`]th unit, the first one included.
    ///
    /// # Errors
    /// As [`Interrupt::at`].
    pub(crate) fn look_at(&self, unit: usize) -> Result<()> {
        if unit.is_multiple_of(LOOK_EVERY) { self.look() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// It catches: a limit reported as a request, a limit that a later one extends, a flag that clones do not share.
    #[test]
    fn a_stop_says_whether_it_was_asked_for_or_the_time_is_over() {
        let stop = Stop::new();
        let (own, over) = (stop.clone(), stop.after(Duration::ZERO));
        assert!(over.is_stopped() && !own.is_stopped());
        let later = over.after(Duration::from_secs(3600)).check().unwrap_err();
        assert!(later.kind() == ErrorKind::Cancelled && later.message().contains("time limit of 0.0 s"), "{later}");
        assert!(!stop.after(Duration::MAX).is_stopped());
        stop.stop();
        assert!(own.is_stopped() && own.check().unwrap_err().message().contains("on request"));
        assert!(own.progress(Progress::new(Progress::ROWS, 0, 1)).is_break());
    }

    /// It catches: application code that is called on a helper's thread; a helper that does not learn of the answer.
    #[test]
    fn only_the_calling_thread_asks_and_all_hear_the_answer() {
        let asked = AtomicUsize::new(0);
        let watch = |at: Progress<'_>| {
            asked.fetch_add(1, Ordering::Relaxed);
            if at.done < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let interrupt = Interrupt::by(Some(&watch));
        let elsewhere =
            |done| std::thread::scope(|scope| scope.spawn(|| interrupt.at("rows", done, 9)).join().unwrap());
        interrupt.at("rows", 1, 9).unwrap();
        elsewhere(5).unwrap();
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert!(interrupt.at("rows", 2, 9).is_err() && elsewhere(5).is_err() && interrupt.look().is_err());
        assert_eq!(asked.load(Ordering::Relaxed), 2, "it is not asked again");
    }
}
