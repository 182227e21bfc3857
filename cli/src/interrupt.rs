//! Ctrl-C and the signals that end programs, as a flag that long work looks at between two pieces; waits that they end.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::{Exit, Failure, Result};
use crate::signals::{self, ENDING, ENDS_AT_ONCE, MANNER, ONLY_TOLD, SECOND_ENDS, STOPPED};

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

/// The flag, for work that takes one.
pub(crate) fn flag() -> &'static AtomicBool {
    &STOPPED
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

/// The failure of a program that a signal ends while it is idle.
///
/// # Errors
/// Such a signal came.
pub(crate) fn check() -> Result<()> {
    if ending() {
        return Err(Failure::interrupted(format!("ended by {}; what was acknowledged is kept", cause())));
    }
    Ok(())
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

/// A file that is read as it comes; a signal ends the wait with [`Stopped`].
pub(crate) struct Input(File);

impl Input {
    /// Standard input. What another reader of it holds back is lost to this one.
    ///
    /// # Errors
    /// It is closed.
    pub(crate) fn standard() -> Result<Self> {
        let file = io::stdin().as_fd().try_clone_to_owned();
        let file = file.map_err(|error| Failure::new(format!("standard input cannot be read: {error}")))?;
        Ok(Self(file.into()))
    }

    /// A file, a pipe or a device.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Ok(Self(File::open(path).map_err(|error| Failure::io(path, error))?))
    }
}

impl Read for Input {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if !signals::wait(self.0.as_fd(), libc::POLLIN)? {
            return Err(io::Error::other(Stopped));
        }
        self.0.read(bytes)
    }
}

/// Bytes that are written to a pipe at a time: as many as it takes without waiting when it takes any.
const PIPE_BYTES: usize = 4096;

/// Standard output, which a signal leaves with [`Stopped`] while nobody reads it.
pub(crate) struct Output<W> {
    out: W,
    /// It is a plain file, which never waits.
    plain: bool,
}

impl<W: AsFd> Output<W> {
    /// Writes to `out`.
    pub(crate) fn new(out: W) -> Self {
        let plain = rustix::fs::fstat(&out)
            .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile);
        Self { out, plain }
    }
}

impl<W: Write + AsFd> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.plain {
            return self.out.write(bytes);
        }
        if !signals::wait(self.out.as_fd(), libc::POLLOUT)? {
            return Err(io::Error::other(Stopped));
        }
        self.out.write(&bytes[..bytes.len().min(PIPE_BYTES)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
