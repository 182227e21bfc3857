//! Ctrl-C and the signals that end programs, as a flag that long work checks regularly.

use std::error::Error;
use std::fmt;
use std::sync::atomic::Ordering;

use crate::exit::Exit;
use crate::signals::{ENDING, ENDS_AT_ONCE, MANNER, ONLY_TOLD, SECOND_ENDS, STOPPED};

/// The effect of a second Ctrl-C while the first one has not stopped the work yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// Nothing more.
    Waits,
    /// Ends the process: acknowledged writes are safe in any case.
    Ends,
}

/// From now on, Ctrl-C, SIGTERM and SIGHUP set the flag instead of ending the process. The first call in a process decides about
/// `again`.
pub(crate) fn listen(again: Again) {
    let manner = if again == Again::Ends { SECOND_ENDS } else { ONLY_TOLD };
    let _decided = MANNER.compare_exchange(ENDS_AT_ONCE, manner, Ordering::SeqCst, Ordering::SeqCst);
}

/// Whether current work must stop: after a Ctrl-C until the next [`forget`], after a signal that ends the program for good.
pub(crate) fn pressed() -> bool {
    STOPPED.load(Ordering::SeqCst)
}

/// Whether the program must end.
pub(crate) fn ending() -> bool {
    ENDING.load(Ordering::SeqCst) != 0
}

/// Clears a Ctrl-C.
pub(crate) fn forget() {
    STOPPED.store(false, Ordering::SeqCst);
    if ending() {
        STOPPED.store(true, Ordering::SeqCst);
    }
}

/// The name of the signal that stopped the work, for messages.
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

/// The reason why a read or a write stopped waiting.
#[derive(Debug)]
pub(crate) struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped by {}", cause())
    }
}

impl Error for Stopped {}
