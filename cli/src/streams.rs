//! Input and output that stop waiting at a signal.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;

use crate::failure::{Failure, Result};
use crate::interrupt::{Stopped, cause, ending};
use crate::signals;

/// The failure of a program that a signal ends while it is idle.
///
/// # Errors
/// Such a signal came.
pub(crate) fn check() -> Result<()> {
    if ending() {
        return Err(Failure::interrupted(format!("ended by {}; acknowledged writes are kept", cause())));
    }
    Ok(())
}

/// A file that is read as it comes; a signal ends the wait with [`Stopped`].
pub(crate) struct Input(File);

impl Input {
    /// Standard input. Bytes that another reader buffers are lost to this one.
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

/// Number of bytes written to a pipe at a time: a pipe that takes any bytes takes this many without waiting.
const PIPE_BYTES: usize = 4096;

/// Standard output; a signal ends a write with [`Stopped`] while nobody reads it.
pub(crate) struct Output<W> {
    out: W,
    /// It is a plain file, which never makes a write wait.
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
