//! Dot commands, which concern the shell and never the data.

use std::path::Path;

use clap::ValueEnum as _;

use super::{Answers, Shell};
use crate::failure::{Failure, Result};
use crate::output::{Format, Replace, Target};
use crate::terminal::{note, say};

/// The shell's next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// It asks for the next line.
    Stay,
    /// It ends.
    Leave,
}

/// Names for completion; the first word of each line of [`HELP`].
pub(super) const COMMANDS: [&str; 11] =
    ["exit", "help", "labels", "mode", "output", "quit", "read", "schema", "status", "tables", "timer"];

const HELP: &str = "\
.help [STATEMENT]         this list, or the forms of a statement: .help TRAIN
.mode FORMAT              output format: table, json, jsonl, csv, csv-safe, markdown
.timer on|off             show how long each statement takes
.output [FILE [OVERWRITE]] write answers to a file, which appears when you end it with .output, or leave the shell
.read FILE                run the statements of a file
.tables                   number of images of each role
.schema                   columns of an answer, fields of WHERE, forms of statements
.labels                   labels with their numbers of train images (SHOW LABELS)
.status                   the state of the database (SHOW STATUS)
.exit, .quit              leave (so does Ctrl-D)
Statements end with ; and may have several lines. Ctrl-C cancels a line or a statement.";

/// The list of commands; of a word its own line, the forms of the statement that it starts, or those of the statements that have it.
///
/// # Errors
/// No command and no statement has the word.
fn help(words: &str) -> Result<String> {
    if words.is_empty() {
        return Ok(HELP.to_owned());
    }
    let wanted = words.to_ascii_uppercase();
    let name = wanted.trim_start_matches('.');
    let is_its_line = |line: &&str| line.split([' ', ',']).any(|word| word.to_ascii_uppercase() == format!(".{name}"));
    if let Some(line) = HELP.lines().filter(|line| line.starts_with('.')).find(is_its_line) {
        return Ok(line.to_owned());
    }
    let is_word = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric());
    let starts = |form: &&String| form.to_ascii_uppercase().strip_prefix(&wanted).is_some_and(is_word);
    let has = |form: &&String| {
        form.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word.to_ascii_uppercase() == wanted)
    };
    let forms = cairndb_query::forms();
    let mut found: Vec<&String> = forms.iter().filter(starts).collect();
    if found.is_empty() {
        found = forms.iter().filter(has).collect();
    }
    if found.is_empty() {
        return Err(Failure::new(format!("there is no help for '{words}'"))
            .help(".help lists the commands of the shell, .schema all statements"));
    }
    Ok(found.into_iter().map(|form| format!("{form};")).collect::<Vec<_>>().join("\n"))
}

impl Shell {
    /// Runs a dot command, without its dot.
    pub(super) fn dot(&mut self, line: &str) -> Result<After> {
        let (name, argument) = match line.trim().split_once(char::is_whitespace) {
            Some((name, argument)) => (name, argument.trim().trim_end_matches(';').trim_matches(['\'', '"'])),
            None => (line.trim().trim_end_matches(';'), ""),
        };
        match name.to_ascii_lowercase().as_str() {
            "exit" | "quit" | "q" => return Ok(After::Leave),
            "help" | "h" => self.print(&help(argument)?)?,
            "schema" => self.print(&cairndb_query::schema())?,
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
                other => return Err(Failure::new(format!(".timer takes on or off, not '{other}'"))),
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

    /// Sends answers to a file, or to the screen again.
    fn output(&mut self, argument: &str) -> Result<()> {
        let argument = argument.trim_end_matches(';').trim_end();
        let (name, overwrite) = match argument.rsplit_once(char::is_whitespace) {
            Some((name, last)) if last.eq_ignore_ascii_case("OVERWRITE") => (name.trim_end(), true),
            _ => (argument, false),
        };
        // The earlier file is complete by now; the command may name it again.
        self.answer_to(Answers::Screen)?;
        self.answers = match name.trim_matches(['\'', '"']) {
            "" | "stdout" | "-" | "/dev/stdout" => Answers::Screen,
            "/dev/null" => Answers::Nowhere,
            path => {
                // Rows in CSV or JSON may be anybody's: nothing in them shows an earlier output.
                let target = Target::check(Path::new(path), Replace::Nothing.or_anything(overwrite))?;
                note(&format!(
                    "answers go to {path}; the file appears with the next .output or at the end of the shell"
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

    /// It catches: a word that is ignored, a statement whose name only begins alike.
    #[test]
    fn the_help_of_a_word_is_that_of_its_statement() {
        assert_eq!(help("").unwrap(), HELP);
        let train = help("train").unwrap();
        assert!(train.starts_with("TRAIN") && train.contains("epochs=") && !train.contains("CLEAN"), "{train}");
        assert_eq!(help("label").unwrap(), "LABEL ID 'key' AS 'x';");
        assert_eq!(help("BACKUP").unwrap().lines().count(), 3);
        assert!(help("rerank").unwrap().starts_with("SEARCH"));
        assert!(help(".mode").unwrap().starts_with(".mode FORMAT") && help("quit").unwrap().starts_with(".exit"));
        assert!(help("nothing").unwrap_err().to_string().contains("no help for 'nothing'"));
    }

    #[test]
    fn every_command_is_in_the_help() {
        for name in COMMANDS {
            assert!(HELP.contains(&format!(".{name}")), "{name}");
        }
    }
}
