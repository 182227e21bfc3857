//! The end of a failed command: a message for people, a next step, and an exit code.

use std::fmt;
use std::io;
use std::path::Path;

use cairn::ErrorKind;

use crate::exit::Exit;
use crate::interrupt::{self, Stopped};

/// The result of every fallible call of the program.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// A command that did not succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    help: Option<String>,
    note: Option<String>,
}

impl Failure {
    /// A command that failed.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: message.into(), help: None, note: None }
    }

    /// A command line that clap accepts but that is not valid.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, ..Self::new(message) }
    }

    /// Stored bytes that differ from those written.
    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Self { exit: Exit::Corrupt, ..Self::new(message) }
    }

    /// Some of many failed; the others are done.
    pub(crate) fn partly(message: impl Into<String>) -> Self {
        Self { exit: Exit::Partly, ..Self::new(message) }
    }

    /// Ctrl-C, or a signal that ends the program.
    pub(crate) fn interrupted(message: impl Into<String>) -> Self {
        Self { exit: interrupt::exit(), ..Self::new(message) }
    }

    /// An error of the operating system, with its path.
    pub(crate) fn io(path: &Path, error: io::Error) -> Self {
        Self::new(format!("{}: {error}", path.display()))
    }

    /// Ends the program with another code.
    pub(crate) fn exits(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Adds what the reader can do.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds another thing that the reader can do.
    #[must_use]
    pub(crate) fn or_help(mut self, help: &str) -> Self {
        self.help = match self.help {
            Some(first) if first.contains(help) => Some(first),
            Some(first) => Some(format!("{first}; or {help}")),
            None => Some(help.to_owned()),
        };
        self
    }

    /// Adds a note about the effects of the failure, after everything else.
    #[must_use]
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A diagnostic of the query language includes `error:`, its caret and its help.
        let rendered = self.message.starts_with("error");
        write!(f, "{}{}", if rendered { "" } else { "error: " }, self.message.trim_end())?;
        for (word, text) in [("help", &self.help), ("note", &self.note)] {
            if let Some(text) = text {
                write!(f, "\n  {word}: {text}")?;
            }
        }
        Ok(())
    }
}

impl From<cairn::Error> for Failure {
    fn from(error: cairn::Error) -> Self {
        let exit = match error.kind() {
            ErrorKind::Corrupt | ErrorKind::Unfinished => Exit::Corrupt,
            ErrorKind::Locked => Exit::Locked,
            ErrorKind::Cancelled => interrupt::exit(),
            _ => Exit::Failed,
        };
        Self { exit, message: error.message().to_owned(), help: error.next_step().map(str::to_owned), note: None }
    }
}

/// An error while writing results.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.get_ref().is_some_and(|inner| inner.is::<Stopped>()) {
            return Self::interrupted(error.to_string());
        }
        let exit = if error.kind() == io::ErrorKind::BrokenPipe { Exit::Quiet } else { Exit::Failed };
        Self { exit, ..Self::new(format!("the output cannot be written: {error}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_errors_have_their_exit_codes() {
        let exit = |kind| Failure::from(cairn::Error::new(kind, "x")).exit() as u8;
        assert_eq!(exit(ErrorKind::Invalid), 1);
        assert_eq!(exit(ErrorKind::NotFound), 1);
        assert_eq!(exit(ErrorKind::Corrupt), 3);
        assert_eq!(exit(ErrorKind::Locked), 4);
        assert_eq!(exit(ErrorKind::Cancelled), 130);
        assert_eq!(Failure::usage("x").exit() as u8, 2);
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).exit() as u8, 0);
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::StorageFull)).exit() as u8, 1);
    }

    #[test]
    fn a_message_says_error_once_and_then_the_next_step() {
        assert_eq!(Failure::new("no").help("yes").to_string(), "error: no\n  help: yes");
        assert_eq!(Failure::new("no").help("a").or_help("b").or_help("b").to_string(), "error: no\n  help: a; or b");
        assert_eq!(Failure::new("no").note("so far").help("yes").to_string(), "error: no\n  help: yes\n  note: so far");
        assert_eq!(Failure::new("error: no\n  --> 1:2").to_string(), "error: no\n  --> 1:2");
    }
}
