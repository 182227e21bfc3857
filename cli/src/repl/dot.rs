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

const SCHEMA: &str = "\
SEARCH <image> [IN index|train|all] [WHERE label = 'x' AND path LIKE '%y%'] [K 100] [LIMIT 10] [EXACT | EF 200]
       [RERANK [SORT] [INSERT] [k=3] [tau=0.6]] [FRESH | SINCE SEQ 5 | STALE <= 5s] [INCLUDING SELF]
       [RETURN column, ..] [INTO 'report.html' [OVERWRITE]];
PREDICT <image> [k=3] [FRESH | SINCE SEQ 5 | STALE <= 5s];    EXPLAIN [ANALYZE] <statement>;
SHOW STATUS;    SHOW LABELS;    SHOW SEGMENTS;    SHOW STALE;    SHOW MODELS;
SHOW SUSPECTS [LIMIT 20];    SHOW CLEANS;    SHOW CLEAN 1;    SHOW MARKED;
CLEAN [nn=1000] [neighbours=100] [inliers=31] [freq=3] [RULE paper | RULE suspects [evidence=0.8 | top=20]]
      [KEEP VOTERS | UNLABEL | RELABEL [EMPTY]] [THUMBNAILS] [DRY RUN] [INTO 'report.html' [OVERWRITE]];    UNDO CLEAN;    UNDO LABEL;
TRAIN [loss=lda] [dim=512] [epochs=30] [batch=32] [rate=0.02] [margin=0.3] [scale=30] [seed=0] [validation=0.34]
      [BALANCE] [TRUNK [augment=soft] [scaleup=1] [gem=fixed]] [FROM 'model.safetensors' | FROM MODEL 2] [FORCE | DRY RUN];
REEMBED [FROM 'model.safetensors'];    USE MODEL 2;    DROP MODEL 1 [FORCE];
PUT ID 'key' <image> [AS train|index] [LABEL 'x'] [OVERWRITE];    DELETE ID 'key';    LABEL ID 'key' AS 'x';    UNLABEL ID 'key';
FLUSH;    COMPACT;    CHECK [DEEP];    BACKUP TO 'folder';    BACKUP VERIFY 'folder';    BACKUP RESTORE 'folder' TO 'folder';
<image>   'photo.jpg' | ID 'key' | VECTOR [0.1, ..] | QUERIES 'file.csv|.npy|.npz|.fvecs' (SEARCH only)
columns   query, rank, id, similarity, instance, instance_score, stage, label, split, path
losses    lda (in closed form: no epochs, batch, rate; dim=256), arcface (with TRUNK; epochs=5 rate=0.001), cosface, adacos, softmax, triplet, ap (average precision)
WHERE     label, instance, split, path, id; = or LIKE (% any run, _ one character); AND between conditions";

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
            "schema" => self.print(SCHEMA)?,
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

    #[test]
    fn the_forms_name_every_loss_and_the_defaults_of_the_language() {
        use cairn::language::{
            DEFAULT_DIMENSION, DEFAULT_EPOCHS, DEFAULT_EVIDENCE, DEFAULT_INLIERS, DEFAULT_NN, DEFAULT_SUSPECTS, Loss,
        };
        assert!(Loss::ALL.iter().all(|loss| SCHEMA.contains(loss.name())));
        for option in [
            format!("dim={DEFAULT_DIMENSION}"),
            format!("epochs={DEFAULT_EPOCHS}"),
            format!("inliers={DEFAULT_INLIERS}"),
            format!("nn={DEFAULT_NN}"),
            format!("evidence={DEFAULT_EVIDENCE}"),
            format!("LIMIT {DEFAULT_SUSPECTS}"),
        ] {
            assert!(SCHEMA.contains(&option), "{option}");
        }
    }
}
