//! How the process may end while threads are in the engine.
//!
//! `exit`, and with it the return from `main`, runs the destructors of C++'s static objects while all other threads continue. A
//! thread that is inside RocksDB or torch then, or enters it, uses destroyed objects. So each call into such code is made inside
//! the **gate** ([`inside`](inside()), [`native`]), and a handler that `exit` calls before those destructors closes it. Threads
//! inside leave; threads that want to enter wait at the gate until the process is gone. The exiting thread makes the last save of
//! each open database and stops RocksDB's own threads. Code that only computes needs no gate: memory and maps stay.
//!
//! `exit` calls handlers in the reverse order of their registration. A static object inside a C++ function is registered at that
//! function's first call, and its destructor would run before an earlier handler. So the handler is registered before the first
//! call and again after slow calls (an opening, a commit, a forward pass of a network); and RocksDB's static objects are created
//! in small steps before any other use of it ([`constructs`], `catalog/statics.rs`). No handler covers a thread whose very first
//! call into the engine starts while `exit` is already running. A program that can end by [`end_process`] depends on none of
//! this.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

/// How long `exit` waits for threads that are inside the gate. One that stays longer (a step of a training, a copy of a catalog to
/// another disk) is not waited for: the process then ends without the destructors.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(1);
/// The handler is registered again after each of the first slow calls, and then after one in this many: an entry of the list
/// takes 32 bytes.
const FIRST_SLOW_CALLS: usize = 4_096;
const SLOW_CALLS_FOR_A_HANDLER: usize = 1_024;
/// Counters of threads that are inside; each thread has one of them, so that few share a line of the cache.
const COUNTERS: usize = 64;

/// A counter on its own cache line.
#[repr(align(128))]
struct Counter(AtomicUsize);

static COUNTS: [Counter; COUNTERS] = [const { Counter(AtomicUsize::new(0)) }; COUNTERS];
static IS_CLOSED: AtomicBool = AtomicBool::new(false);
static SLOW_CALLS: AtomicUsize = AtomicUsize::new(0);
/// The process that set the handler; a fork of it has its handlers and not its threads.
static PROCESS: AtomicU32 = AtomicU32::new(0);
/// What is open, and in which process it was opened.
static OPEN: Mutex<Vec<(u32, Weak<dyn Leave>)>> = Mutex::new(Vec::new());

thread_local! {
    /// How many gates this thread is inside of, one in another.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// The counter of this thread.
    static COUNTER: Cell<usize> = const { Cell::new(usize::MAX) };
    /// It is inside for another thread, which is counted.
    static IS_HELPING: Cell<bool> = const { Cell::new(false) };
    /// The gate is open for the thread that closed it.
    static LEAVES: Cell<bool> = const { Cell::new(false) };
}

/// What is open when the process ends.
pub(crate) trait Leave: Send + Sync {
    /// Asks threads that work long inside the gate, or behind it, to finish. Called before the wait for them.
    fn hurry(&self) {}

    /// The last save. No other thread is inside the gate.
    fn save(&self) {}

    /// Stops threads that are not the engine's. Called after every save.
    fn stop(&self) {}
}

/// From now on it is asked when the process ends, for as long as it is there.
pub(crate) fn register(open: &Arc<impl Leave + 'static>) {
    let open: Weak<dyn Leave> = Arc::downgrade(open) as Weak<dyn Leave>;
    let mut all = OPEN.lock();
    all.retain(|(_, other)| other.strong_count() > 0);
    all.push((std::process::id(), open));
}

/// Whether this thread is the one that ends the process. It must wait for no other, which may stand before the gate.
pub(crate) fn is_leaving() -> bool {
    LEAVES.get()
}

/// Whether the process is about to end.
pub(crate) fn is_closed() -> bool {
    IS_CLOSED.load(Ordering::SeqCst)
}

/// The proof of being inside the gate, for the thread that came in and no other. What closes in its destructor keeps one as its last
/// field.
#[derive(Debug)]
pub struct Inside {
    is_slow: bool,
    is_in: bool,
}

/// Comes inside the gate; while the process ends, never. Gates may lie in each other. No lock of the engine is waited for inside, or
/// its holder might wait before the gate.
///
/// Complexity: two atomic additions, some nanoseconds.
pub(crate) fn inside() -> Inside {
    let depth = DEPTH.get();
    if depth == 0 {
        let count = &COUNTS[counter()].0;
        // In one order with the closing: either it sees this thread, or this thread sees it.
        count.fetch_add(1, Ordering::SeqCst);
        if IS_CLOSED.load(Ordering::SeqCst) && !LEAVES.get() {
            count.fetch_sub(1, Ordering::SeqCst);
            stay();
        }
    }
    DEPTH.set(depth + 1);
    Inside { is_slow: false, is_in: true }
}

/// [`inside`] for calls that write or take long.
pub(crate) fn inside_slow() -> Inside {
    if PROCESS.load(Ordering::Relaxed) != std::process::id() {
        // Whatever is made before a first call is destroyed behind it, whenever the process ends.
        set_handler();
    }
    let mut inside = inside();
    inside.is_slow = true;
    inside
}

impl Inside {
    /// Does work outside the gate, or as far outside as the thread was before it got this.
    pub fn outside<T>(&mut self, work: impl FnOnce() -> T) -> T {
        self.go_out();
        let made = work();
        let is_slow = self.is_slow;
        *self = inside();
        self.is_slow = is_slow;
        made
    }

    fn go_out(&mut self) {
        if !std::mem::replace(&mut self.is_in, false) {
            return;
        }
        if self.is_slow {
            let before = SLOW_CALLS.fetch_add(1, Ordering::Relaxed);
            if before < FIRST_SLOW_CALLS || before.is_multiple_of(SLOW_CALLS_FOR_A_HANDLER) {
                set_handler();
            }
        }
        let depth = DEPTH.get() - 1;
        DEPTH.set(depth);
        if depth == 0 {
            COUNTS[counter()].0.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.go_out();
    }
}

/// Something of native code that is destroyed inside the gate, as code under [`native`] is run.
#[derive(Debug)]
pub struct Gated<T> {
    value: T,
    /// Behind it.
    closing: Option<Inside>,
}

impl<T> Gated<T> {
    /// Makes it, inside the gate.
    pub fn new(make: impl FnOnce() -> T) -> Self {
        let _inside = inside();
        Self { value: make(), closing: None }
    }

    /// Uses it, inside the gate.
    pub fn with<R>(&mut self, work: impl FnOnce(&mut T) -> R) -> R {
        let _inside = inside();
        work(&mut self.value)
    }
}

impl<T> std::ops::Deref for Gated<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Drop for Gated<T> {
    fn drop(&mut self) {
        self.closing = Some(inside());
    }
}

/// Held while native code runs that must not run while the process tears its static objects down: by an [`Embed`](crate::embed::Embed), a
/// [`LocalFeatures`](crate::embed::LocalFeatures) or a [`Propose`](crate::embed::Propose) that calls a C++ library on threads that hold a database.
///
/// While the process ends, this call never returns. What is under way is waited for, 10 seconds at most, after which the process ends
/// without any destructor. Meanwhile no other thread that calls this or the engine may be waited for; [`pool`](super::pool) may.
/// Declare it before what the native code makes, so that that is destroyed first.
#[must_use = "the code must run while it is held"]
pub fn native() -> Inside {
    inside_slow()
}

/// Long native work passes here between two steps: while the process ends, this call never returns, and nobody waits for it.
pub fn may_end() {
    if is_closed() && !LEAVES.get() && !IS_HELPING.get() && DEPTH.get() > 0 {
        COUNTS[counter()].0.fetch_sub(1, Ordering::SeqCst);
        stay();
    }
}

/// Whether this thread is inside.
pub(super) fn is_inside() -> bool {
    DEPTH.get() > 0
}

/// A helper works for a caller who is inside, and who is waited for.
pub(super) fn help_inside<T>(work: impl FnOnce() -> T) -> T {
    struct Over(bool);
    impl Drop for Over {
        fn drop(&mut self) {
            DEPTH.set(DEPTH.get() - 1);
            IS_HELPING.set(self.0);
        }
    }
    DEPTH.set(DEPTH.get() + 1);
    let _over = Over(IS_HELPING.replace(true));
    work()
}

fn counter() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    if COUNTER.get() == usize::MAX {
        COUNTER.set(NEXT.fetch_add(1, Ordering::Relaxed) % COUNTERS);
    }
    COUNTER.get()
}

/// Until the process is gone.
fn stay() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Threads that are inside, without this one.
fn others_inside() -> usize {
    let all: usize = COUNTS.iter().map(|count| count.0.load(Ordering::SeqCst)).sum();
    all - usize::from(DEPTH.get() > 0)
}

/// Waits until no other thread is inside; no: one still is.
fn wait() -> bool {
    let mut waited = Duration::ZERO;
    while others_inside() > 0 {
        if waited >= PATIENCE {
            return false;
        }
        std::thread::sleep(PAUSE);
        waited += PAUSE;
    }
    true
}

/// Everything that is open.
fn open() -> Vec<Arc<dyn Leave>> {
    let all = OPEN.lock();
    all.iter().filter(|(process, _)| *process == std::process::id()).filter_map(|(_, open)| open.upgrade()).collect()
}

/// Lets every open database finish behind the closed gate; no: a thread is still inside.
fn leave() -> bool {
    LEAVES.set(true);
    // What is open stays open, also where this is the last that holds it: closing it might need what others have locked.
    let hurried = std::mem::ManuallyDrop::new(open());
    hurried.iter().for_each(|open| open.hurry());
    if !wait() {
        return false;
    }
    let open = std::mem::ManuallyDrop::new(open());
    open.iter().for_each(|open| open.save());
    open.iter().for_each(|open| open.stop());
    true
}

/// What `exit` calls.
extern "C" fn at_exit(status: libc::c_int, _: *mut libc::c_void) {
    let is_fork = PROCESS.load(Ordering::SeqCst) != std::process::id();
    if is_fork || LEAVES.get() {
        return;
    }
    if IS_CLOSED.swap(true, Ordering::SeqCst) {
        // Another thread called `exit`, too, and must not destroy what the first one saves.
        stay();
    }
    // A panic must not pass through `exit`.
    let is_quiet = catch_unwind(AssertUnwindSafe(leave)).unwrap_or(false);
    if !is_quiet {
        // SAFETY: both may be called at any time; `fflush` of all streams is what `exit` would have done with them.
        unsafe {
            libc::fflush(std::ptr::null_mut());
            libc::_exit(status);
        }
    }
}

/// Ends the process in order, with this exit status: threads leave the gate, open databases are saved, RocksDB's threads stop,
/// and then `exit` runs. A program that links a library with static objects ends by this and not by returning from `main`,
/// because `exit` destroys some of them before it calls the engine.
///
/// It waits 10 seconds at most for calls that are under way.
pub fn end_process(status: i32) -> ! {
    at_exit(status, std::ptr::null_mut());
    std::process::exit(status)
}

/// Runs native code that constructs static objects whose destructors must run behind the handler.
pub(crate) fn constructs<T>(make: impl FnOnce() -> T) -> T {
    let _inside = inside();
    let made = make();
    set_handler();
    made
}

unsafe extern "C" {
    /// glibc's `atexit` with the status that the process ends with.
    fn on_exit(handler: extern "C" fn(libc::c_int, *mut libc::c_void), argument: *mut libc::c_void) -> libc::c_int;
}

/// Has `exit` call the handler before everything that was set until now.
fn set_handler() {
    if IS_CLOSED.load(Ordering::SeqCst) {
        return;
    }
    PROCESS.store(std::process::id(), Ordering::SeqCst);
    // SAFETY: the handler is a function of the whole program's life and takes no argument. Where there is no memory for one more, the
    // earlier ones are still set.
    let _one_less = unsafe { on_exit(at_exit, std::ptr::null_mut()) };
}
