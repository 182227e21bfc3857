//! Commands that process many items of which some fail: every failure counts, and the exit code shows it.

use std::io::Write as _;

use crate::args::Allowed;
use crate::failure::{Failure, Result};
use crate::output::{Cell, Format, Printer};
use crate::terminal::{note, standard_output};

/// How many items failed, and how many there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub(super) failed: usize,
    pub(super) all: usize,
}

/// The sum of two steps.
impl std::ops::Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { failed: self.failed + other.failed, all: self.all + other.all }
    }
}

impl Tally {
    /// Prints the last line of a command: how many items failed, and how to list them.
    ///
    /// # Errors
    /// If more failed than are allowed: `Partly` if others succeeded, otherwise `Failed`.
    pub(super) fn end(self, allowed: Allowed, verb: &str, list: &str) -> Result<()> {
        let Self { failed, all } = self;
        let said = format!("{failed} of {all} could not be {verb}");
        if failed <= allowed.0 {
            if failed > 0 {
                note(&format!("{said}, as --allow-failures allows; {list}"));
            }
            return Ok(());
        }
        let help = format!("{list}; --allow-failures {failed} accepts this number");
        Err(if failed == all { Failure::new(said) } else { Failure::partly(said) }.help(help))
    }
}

/// Writes all of them to standard output, one row each.
///
/// # Errors
/// When it cannot be written.
pub(super) fn list(failed: &[(String, String)], format: Format) -> Result<()> {
    let mut out = standard_output();
    let mut printer = Printer::begin(&mut out, format, &["id", "reason"])?;
    for (key, reason) in failed {
        printer.row(vec![Cell::Text(key.clone()), Cell::Text(reason.clone())])?;
    }
    printer.end()?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn one_failure_of_many_is_no_success_and_the_last_line_says_how_many() {
        let end = |failed, all, allowed| Tally { failed, all }.end(Allowed(allowed), "ingested", "look there");
        let failure = end(1, 100_001, 0).unwrap_err();
        assert_eq!(failure.exit(), Exit::Partly);
        assert!(failure.to_string().contains("1 of 100001 could not be ingested\n  help: look there"), "{failure}");
        assert_eq!(end(3, 9, 2).unwrap_err().exit(), Exit::Partly);
        assert_eq!(end(9, 9, 8).unwrap_err().exit(), Exit::Failed);
        for (failed, all, allowed) in [(0, 0, 0), (0, 5, 0), (3, 9, 3), (9, 9, usize::MAX)] {
            assert!(end(failed, all, allowed).is_ok(), "{failed} of {all}, {allowed} allowed");
        }
    }
}
