//! Dot commands: about the shell, never about the data.

use std::path::Path;

use clap::ValueEnum as _;

use super::{Answers, Shell};
use crate::failure::{Failure, Result};
use crate::output::{Format, Replace, Target};
use crate::terminal::{note, say};

/// What a shell does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// Asks for the next line.
    Stay,
    /// Ends.
    Leave,
}

/// Names, as they are completed; the first of each line of [`HELP`].
pub(super) const COMMANDS: [&str; 11] =
    ["exit", "help", "labels", "mode", "output", "quit", "read", "schema", "status", "tables", "timer"];

const HELP: &str = "\
.help                     this list
.mode FORMAT              how answers are written: table, json, jsonl, csv, csv-safe, markdown
.timer on|off             show how long each statement takes
.output [FILE [OVERWRITE]] write answers to a file, which has its name once they go elsewhere; without FILE to the screen again
.read FILE                run the statements of a file
.tables                   how many images there are of each role
.schema                   columns of an answer, fields of WHERE, forms of statements
.labels                   labels and how many train images carry each (SHOW LABELS)
.status                   the state of the database (SHOW STATUS)
.exit, .quit              leave (so does Ctrl-D)
Statements end with ; and may have several lines. Ctrl-C leaves a line or a statement.";

impl Shell {
    /// Runs a dot command, without its dot.
    pub(super) fn dot(&mut self, line: &str) -> Result<After> {
        let (name, argument) = match line.trim().split_once(char::is_whitespace) {
            Some((name, argument)) => (name, argument.trim().trim_end_matches(';').trim_matches(['\'', '"'])),
            None => (line.trim().trim_end_matches(';'), ""),
        };
        match name.to_ascii_lowercase().as_str() {
            "exit" | "quit" | "q" => return Ok(After::Leave),
            "help" | "h" => self.print(HELP)?,
            "schema" => self.print(&cairn::language::schema())?,
            "labels" => self.run("SHOW LABELS;")?,
            "status" => self.run("SHOW STATUS;")?,
            "tables" => {
                let counts = self.session.database.snapshot().counts();
                self.print(&format!(
                    "train  {} images, {} labels\nindex  {} images",
                    counts.train, counts.labels, counts.index
                ))?;
            }
            "mode" if argument.is_empty() => {
                let word = self.session.format.to_possible_value();
                self.print(word.as_ref().map_or("", |word| word.get_name()))?;
            }
            "mode" => {
                self.session.format = Format::from_str(argument, true).map_err(|_| {
                    Failure::new(format!("there is no format '{argument}'"))
                        .help("formats are table, json, jsonl, csv, csv-safe, markdown")
                })?;
            }
            "timer" => match argument {
                "on" => self.timer = true,
                "off" => self.timer = false,
                "" => self.print(if self.timer { "on" } else { "off" })?,
                other => return Err(Failure::new(format!("the timer is on or off, not '{other}'"))),
            },
            "output" => self.output(line.trim()["output".len()..].trim())?,
            "read" if argument.is_empty() => return Err(Failure::new("which file?").help(".read FILE")),
            "read" => {
                self.read(Path::new(argument))?;
            }
            other => {
                return Err(Failure::new(format!("there is no command '.{other}'")).help(".help lists the commands"));
            }
        }
        Ok(After::Stay)
    }

    /// Sends answers to a file, or back to the screen.
    fn output(&mut self, argument: &str) -> Result<()> {
        let argument = argument.trim_end_matches(';').trim_end();
        let (name, overwrite) = match argument.rsplit_once(char::is_whitespace) {
            Some((name, last)) if last.eq_ignore_ascii_case("OVERWRITE") => (name.trim_end(), true),
            _ => (argument, false),
        };
        // The file of before is whole by now; it may be named again.
        self.answer_to(Answers::Screen)?;
        self.answers = match name.trim_matches(['\'', '"']) {
            "" | "stdout" | "-" | "/dev/stdout" => Answers::Screen,
            "/dev/null" => Answers::Nowhere,
            path => {
                // Rows in CSV or JSON might be anybody's: no earlier output is known by its looks.
                let target = Target::check(Path::new(path), Replace::Nothing.or_anything(overwrite))?;
                note(&format!(
                    "answers go to {path}, which appears when they go elsewhere (.output) or the shell ends"
                ));
                Answers::File(target.begin()?)
            }
        };
        Ok(())
    }

    fn print(&self, text: &str) -> Result<()> {
        Ok(say(text)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_the_help() {
        for name in COMMANDS {
            assert!(HELP.contains(&format!(".{name}")), "{name}");
        }
    }
}
