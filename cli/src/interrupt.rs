//! Ctrl-C and the signals that end programs, as a flag that long work looks at between two pieces.

use std::error::Error;
use std::fmt;
use std::sync::atomic::Ordering;

use crate::exit::Exit;
use crate::signals::{ENDING, ENDS_AT_ONCE, MANNER, ONLY_TOLD, SECOND_ENDS, STOPPED};

/// What a second Ctrl-C does while the first one is still being heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// Nothing more.
    Waits,
    /// Ends the process: what was acknowledged is safe in any case.
    Ends,
}

/// From now on Ctrl-C, SIGTERM and SIGHUP set the flag instead of ending the process. The first call in a process decides about `again`.
pub(crate) fn listen(again: Again) {
    let manner = if again == Again::Ends { SECOND_ENDS } else { ONLY_TOLD };
    let _decided = MANNER.compare_exchange(ENDS_AT_ONCE, manner, Ordering::SeqCst, Ordering::SeqCst);
}

/// Whether work in hand shall stop: after a Ctrl-C up to the next [`forget`], after a signal that ends the program for good.
pub(crate) fn pressed() -> bool {
    STOPPED.load(Ordering::SeqCst)
}

/// Whether the program shall end.
pub(crate) fn ending() -> bool {
    ENDING.load(Ordering::SeqCst) != 0
}

/// Begins again after a Ctrl-C.
pub(crate) fn forget() {
    STOPPED.store(false, Ordering::SeqCst);
    if ending() {
        STOPPED.store(true, Ordering::SeqCst);
    }
}

/// What stopped the work, for messages.
pub(crate) fn cause() -> &'static str {
    match exit() {
        Exit::Terminated => "SIGTERM",
        Exit::HungUp => "SIGHUP",
        Exit::OutOfTime => "SIGXCPU (ulimit -t)",
        _ => "Ctrl-C",
    }
}

/// The exit code of work that was stopped.
pub(crate) fn exit() -> Exit {
    match ENDING.load(Ordering::SeqCst) {
        0 => Exit::Interrupted,
        libc::SIGHUP => Exit::HungUp,
        libc::SIGXCPU => Exit::OutOfTime,
        _ => Exit::Terminated,
    }
}

/// Why a read or a write did not wait any longer.
#[derive(Debug)]
pub(crate) struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped by {}", cause())
    }
}

impl Error for Stopped {}
