//! What depends on whether a person is looking: colours (NO_COLOR is respected), bars, notes on standard error.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use crate::output::visible;

/// Whether standard error may carry colours.
fn colours() -> bool {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    io::stderr().is_terminal() && !set("NO_COLOR") && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// An error for standard error, its first word in red.
pub(crate) fn error_text(error: &impl Display) -> String {
    let text = printable(&error.to_string());
    match text.strip_prefix("error") {
        Some(rest) if colours() => format!("\x1b[1;31merror\x1b[0m{rest}"),
        _ => text,
    }
}

/// Text whose lines stay and whose other control characters are made visible: a file name must not drive the terminal.
fn printable(text: &str) -> String {
    text.split('\n').map(visible).collect::<Vec<_>>().join("\n")
}

/// An output whose reader may go away (`| head`) without ending the work: what is written from then on is lost.
pub(crate) struct Patient<W> {
    out: W,
    alone: bool,
}

impl<W: io::Write> Patient<W> {
    /// Writes to `out` for as long as somebody reads.
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

/// A note beside the results, on standard error; a closed one is no reason to stop.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipe that was closed, or a full disk.
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
        assert_eq!(printable("a\r: no\n  help: \u{1b}[2J"), "a\\r: no\n  help: \\u{1b}[2J");
    }
}
