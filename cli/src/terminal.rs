//! Standard output, which may be a terminal or closed; notes and errors on standard error, with colours on a terminal (it
//! respects NO_COLOR).

use std::env;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::os::fd::AsFd as _;

use crate::output::{Shielded, visible_lines};
use crate::streams::Output;

/// Number of answer bytes written at a time.
const BUFFER: usize = 1 << 16;

/// Standard output, buffered; flush it before the end. A terminal gets no character that could control it. Writing to a closed or
/// failing output is an error: the standard library would silently drop the answers.
pub(crate) fn standard_output() -> impl Write {
    BufWriter::with_capacity(BUFFER, Standard::open())
}

/// Writes a line for people to standard output.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn say(line: &str) -> io::Result<()> {
    let mut out = standard_output();
    writeln!(out, "{}", visible_lines(line))?;
    out.flush()
}

/// Whether standard output can be written, for text that other code writes there.
///
/// # Errors
/// When it is closed.
pub(crate) fn writable() -> io::Result<()> {
    match Standard::open() {
        Standard::Lost(why) => Err(io::Error::other(why)),
        _ => Ok(()),
    }
}

enum Standard {
    Terminal(Shielded<Output<File>>),
    File(Output<File>),
    /// Nothing can be written, and why.
    Lost(String),
}

impl Standard {
    fn open() -> Self {
        let out = io::stdout();
        match out.as_fd().try_clone_to_owned().map(File::from) {
            _ if start::standard_output_was_closed() => Self::Lost("standard output is closed".to_owned()),
            Err(error) => Self::Lost(error.to_string()),
            Ok(file) if out.is_terminal() => Self::Terminal(Shielded::new(Output::new(file))),
            Ok(file) => Self::File(Output::new(file)),
        }
    }
}

impl Write for Standard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Terminal(out) => out.write(bytes),
            Self::File(out) => out.write(bytes),
            Self::Lost(why) => Err(io::Error::other(why.as_str())),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Terminal(out) => out.flush(),
            Self::File(out) => out.flush(),
            Self::Lost(_) => Ok(()),
        }
    }
}

/// The state at the start of the process, before the standard library opens `/dev/null` for closed descriptors.
mod start {
    use std::sync::atomic::{AtomicBool, Ordering};

    static CLOSED: AtomicBool = AtomicBool::new(false);

    /// Whether the process was started without a standard output (`>&-`).
    pub(super) fn standard_output_was_closed() -> bool {
        CLOSED.load(Ordering::Relaxed)
    }

    extern "C" fn look() {
        CLOSED.store(rustix::io::fcntl_getfd(rustix::stdio::stdout()).is_err(), Ordering::Relaxed);
    }

    /// The C library calls it before `main`; `look` uses nothing of Rust's runtime.
    #[used]
    #[cfg_attr(target_os = "linux", unsafe(link_section = ".init_array"))]
    static BEFORE_MAIN: extern "C" fn() = look;
}

/// Whether standard error may have colours.
fn colours() -> bool {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    io::stderr().is_terminal() && !set("NO_COLOR") && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// An error for standard error, its first word in red.
fn error_text(error: &impl Display) -> String {
    let text = visible_lines(&error.to_string());
    match text.strip_prefix("error") {
        Some(rest) if colours() => format!("\x1b[1;31merror\x1b[0m{rest}"),
        _ => text,
    }
}

/// An output whose reader may close it (`| head`) without ending the work: later writes are lost.
pub(crate) struct Patient<W> {
    out: W,
    alone: bool,
}

impl<W: io::Write> Patient<W> {
    /// Writes to `out` as long as somebody reads it.
    pub(crate) fn new(out: W) -> Self {
        Self { out, alone: false }
    }

    fn told(&mut self, done: io::Result<usize>, all: usize) -> io::Result<usize> {
        match done {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.alone = true;
                Ok(all)
            }
            done => done,
        }
    }
}

impl<W: io::Write> io::Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.alone {
            return Ok(bytes.len());
        }
        let done = self.out.write(bytes);
        self.told(done, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.alone {
            return Ok(());
        }
        let done = self.out.flush().map(|()| 0);
        self.told(done, 0).map(|_| ())
    }
}

/// Prints a note on standard error; a closed one is no reason to stop. A file name in it cannot control the terminal.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{}", visible_lines(text));
}

/// Prints an error on standard error, as [`note`] does.
pub(crate) fn complain(error: &impl Display) {
    let _ = writeln!(io::stderr(), "{}", error_text(error));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pipe was closed, or the disk is full.
    struct Refusing(io::ErrorKind);

    impl io::Write for Refusing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn a_reader_that_goes_away_ends_no_work_and_a_full_disk_is_told() {
        let mut out = Patient::new(io::BufWriter::with_capacity(4, Refusing(io::ErrorKind::BrokenPipe)));
        assert!(out.write_all(b"more than four bytes").is_ok() && out.write_all(b"x").is_ok() && out.flush().is_ok());
        let mut out = Patient::new(Refusing(io::ErrorKind::StorageFull));
        assert!(out.write_all(b"x").is_err() && out.flush().is_err());
    }

    #[test]
    fn control_characters_of_names_are_shown_and_lines_stay() {
        assert!(error_text(&"error: a\r: no\n  help: \u{1b}[2J").ends_with(": a\\r: no\n  help: \\u{1b}[2J"));
    }
}
