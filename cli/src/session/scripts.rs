//! Texts and scripts, statement by statement: a text is checked as a whole first, a script runs as it is read.

use std::io::{self, Read, Write};
use std::path::Path;

use cairn::{Database, Outcome, Prepared};
use cairndb_ingest::source::Utf8Start;
use cairndb_query::{Piece, Script, Statement};

use super::Session;
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::output::{Target, must_be_outside};
use crate::report;

/// Number of bytes of a script that are read at a time.
const READ_BYTES: usize = 1 << 16;

/// How one statement runs: Ctrl-C can cancel the shell's.
pub(crate) type Execute<'e> = &'e dyn Fn(&Prepared) -> Result<Vec<Outcome>>;

impl Session {
    /// Runs the statements of a text one by one, and writes the outcome of each before the next starts.
    ///
    /// # Errors
    /// When the text has a mistake anywhere (then nothing runs), or the first failure of a statement.
    pub(crate) fn run(&self, text: &str, out: &mut dyn Write) -> Result<()> {
        self.run_by(&|statement| self.execute(statement), text, out)
    }

    /// The same, with another way to run one statement.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub(crate) fn run_by(&self, execute: Execute<'_>, text: &str, out: &mut dyn Write) -> Result<()> {
        let prepared = Database::prepare(text)?;
        // A name that cannot be written is reported when its statement runs.
        let targets: Vec<Target> =
            prepared.statements().filter_map(|statement| target(statement).ok().flatten()).collect();
        Target::must_differ(&targets)?;
        for (ran, statement) in prepared.each().enumerate() {
            self.run_one(execute, &statement, out).map_err(|failure| match ran {
                0 => failure,
                _ => failure.note(so_far(ran, Some(statement.line()), None)),
            })?;
        }
        Ok(())
    }

    /// Runs a script of any length as it is read: a statement runs when its `;` has come, and the first mistake ends the script.
    /// `name` is its name in messages.
    ///
    /// # Errors
    /// The first mistake or failure, with its line and the number of statements before it; their effects stay.
    pub(crate) fn run_script(
        &self,
        execute: Execute<'_>,
        input: &mut dyn Read,
        name: &str,
        out: &mut dyn Write,
    ) -> Result<()> {
        let (mut script, mut ran, mut bytes) = (Script::new(), 0, vec![0; READ_BYTES]);
        let mut input = Utf8Start::new(input);
        loop {
            let read = match input.read(&mut bytes) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted && !interrupt::pressed() => continue,
                Err(_) if interrupt::pressed() => return Err(stopped().note(so_far(ran, None, Some(name)))),
                Err(error) => {
                    return Err(Failure::new(format!("{name} cannot be read: {error}")).note(so_far(ran, None, None)));
                }
            };
            let unreadable = |error: cairndb_query::ScriptError| {
                Failure::new(error.to_string()).help(error.help()).note(so_far(ran, Some(error.line()), Some(name)))
            };
            if read == 0 {
                script.end();
            } else {
                script.push(&bytes[..read]).map_err(unreadable)?;
            }
            while let Some(piece) = script.take().map_err(|error| {
                Failure::new(error.to_string()).help(error.help()).note(so_far(ran, Some(error.line()), Some(name)))
            })? {
                let line = piece.line;
                self.run_piece(execute, piece, out)
                    .map_err(|failure| failure.note(so_far(ran, Some(line), Some(name))))?;
                ran += 1;
            }
            if read == 0 {
                break;
            }
        }
        // A script without statements is a mistake, as is a text without one.
        if ran == 0 { Ok(Database::prepare("").map(drop)?) } else { Ok(()) }
    }

    /// Reads and runs one statement of a script.
    ///
    /// # Errors
    /// Its mistake or failure; a stop before it.
    pub(crate) fn run_piece(&self, execute: Execute<'_>, piece: Piece, out: &mut dyn Write) -> Result<()> {
        if interrupt::pressed() {
            return Err(stopped());
        }
        self.run_one(execute, &Prepared::of_piece(piece)?, out)
    }

    /// Runs one statement.
    ///
    /// # Errors
    /// Its failure; a stop before it.
    pub(crate) fn run_one(&self, execute: Execute<'_>, statement: &Prepared, out: &mut dyn Write) -> Result<()> {
        if interrupt::pressed() {
            return Err(stopped());
        }
        // This comes before the work: hours of it must not be lost to a name that cannot be written.
        let mut into = None;
        for statement in statement.statements() {
            into = target(statement)?;
        }
        for outcome in execute(statement)? {
            self.show(&outcome, into.take(), out)?;
        }
        Ok(out.flush()?)
    }
}

/// The report that a statement writes, which must be outside of every database.
fn target(statement: &Statement) -> Result<Option<Target>> {
    let (into, overwrite) = match statement {
        Statement::Search(search) => (&search.into, search.overwrite),
        Statement::Clean(clean) => (&clean.into, clean.overwrite),
        Statement::Recognize(recognize) => (&recognize.into, recognize.overwrite),
        Statement::Backup { folder: to } | Statement::BackupRestore { to, .. } => {
            // A parameter has no value here; the statement reports that.
            to.node.typed().map_or(Ok(()), |to| must_be_outside(Path::new(to)))?;
            return Ok(None);
        }
        _ => return Ok(None),
    };
    let into = into.as_ref().and_then(|path| path.node.typed());
    into.map(|path| report::target(Path::new(path), overwrite)).transpose()
}

fn stopped() -> Failure {
    Failure::interrupted(format!("stopped by {} before the next statement", interrupt::cause()))
}

/// The place where a script stopped, and the effect on the statements before.
fn so_far(ran: usize, line: Option<usize>, name: Option<&str>) -> String {
    let place = match (line, name) {
        (Some(line), Some(name)) => format!("stopped at line {line} of {name}"),
        (Some(line), None) => format!("stopped at line {line}"),
        (None, Some(name)) => format!("stopped in {name}"),
        (None, None) => "stopped".to_owned(),
    };
    match ran {
        0 => format!("{place}; no statement ran before"),
        1 => format!("{place}; 1 statement ran before, and its effects stay"),
        _ => format!("{place}; {ran} statements ran before, and their effects stay"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;
    use std::path::PathBuf;

    #[test]
    fn reports_are_checked_before_the_work_and_plans_write_none() {
        let home = tempfile::tempdir().unwrap();
        let at = home.path().join("a.html");
        let of = |text: &str| {
            let text = text.replace("FILE", at.to_str().unwrap());
            target(Database::prepare(&text).unwrap().statements().next().unwrap())
                .map(|into| into.map(|into| into.path().to_owned()))
        };
        assert_eq!(of("CLEAN DRY RUN INTO 'FILE'").unwrap(), Some(at.clone()));
        assert_eq!(of("EXPLAIN CLEAN INTO 'FILE'").unwrap(), None::<PathBuf>);
        std::fs::write(&at, "mine").unwrap();
        assert!(of("SEARCH a INTO 'FILE'").is_err());
        assert_eq!(of("SEARCH a INTO 'FILE' OVERWRITE").unwrap(), Some(at.clone()));
    }

    #[test]
    fn a_script_that_stops_says_where_and_what_ran() {
        assert_eq!(so_far(0, Some(3), Some("a.sql")), "stopped at line 3 of a.sql; no statement ran before");
        assert!(so_far(1, Some(3), None).ends_with("1 statement ran before, and its effects stay"));
        assert!(so_far(7, None, Some("standard input")).starts_with("stopped in standard input; 7 statements"));
        assert_eq!(stopped().exit(), Exit::Interrupted);
    }
}
