//! Completion, and whether a statement is complete, for the line editor.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use cairn::Database;
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

use super::dot::COMMANDS;
use crate::output::Format;
use clap::ValueEnum as _;

/// The largest number of candidates offered.
const MOST: usize = 200;
/// The state of the line editor's helper.
pub(super) struct Words {
    database: Database,
    /// Keys of the stored images, as of a sequence number.
    keys: RefCell<Option<(u64, Vec<String>)>>,
}

/// The text before the cursor.
#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    /// A word, and where it starts.
    Word(usize, &'a str),
    /// Inside quotes after ID.
    Key(usize, &'a str),
    /// Inside quotes after LABEL, AS or `label =`.
    Label(usize, &'a str),
    /// Inside other quotes, or after a dot command that takes a file.
    File(usize, &'a str),
    /// A dot command.
    Dot(usize, &'a str),
    /// The format of `.mode`.
    Mode(usize, &'a str),
}

fn place(before: &str) -> Place<'_> {
    if let Some(command) = before.strip_prefix('.') {
        return match command.split_once(' ') {
            None => Place::Dot(1, command),
            Some(("mode", rest)) => Place::Mode(before.len() - rest.trim_start().len(), rest.trim_start()),
            Some((_, rest)) => Place::File(before.len() - rest.trim_start().len(), rest.trim_start()),
        };
    }
    let mut open = None;
    for (at, c) in before.char_indices() {
        match (open, c) {
            (None, '\'' | '"') => open = Some((at, c)),
            (Some((_, quote)), c) if c == quote => open = None,
            _ => {}
        }
    }
    let Some((quote, _)) = open else {
        let start = before
            .rfind(|c: char| !c.is_alphanumeric() && c != '_')
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        return Place::Word(start, &before[start..]);
    };
    let (start, inside) = (quote + 1, &before[quote + 1..]);
    let words: Vec<String> = before[..quote]
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .map(str::to_uppercase)
        .collect();
    match words.last().map(String::as_str) {
        Some("LABEL" | "AS" | "INSTANCE") => Place::Label(start, inside),
        Some("ID") => Place::Key(start, inside),
        _ => Place::File(start, inside),
    }
}

impl Words {
    pub(super) fn new(database: Database) -> Self {
        Self { database, keys: RefCell::new(None) }
    }

    fn keys(&self, prefix: &str) -> Vec<Pair> {
        let snapshot = self.database.snapshot();
        let mut known = self.keys.borrow_mut();
        if known.as_ref().is_none_or(|(sequence, _)| *sequence != snapshot.sequence()) {
            let mut keys = snapshot.keys(None).unwrap_or_default();
            keys.sort_unstable();
            *known = Some((snapshot.sequence(), keys));
        }
        let keys = known.as_ref().map_or(&[][..], |(_, keys)| keys.as_slice());
        let first = keys.partition_point(|key| key.as_str() < prefix);
        keys[first..].iter().take_while(|key| key.starts_with(prefix)).take(MOST).map(|key| quoted(key)).collect()
    }

    fn labels(&self, prefix: &str) -> Vec<Pair> {
        let labels = self.database.snapshot().labels().unwrap_or_default();
        labels
            .iter()
            .filter(|(label, _)| label.starts_with(prefix))
            .take(MOST)
            .map(|(label, _)| quoted(label))
            .collect()
    }
}

/// A complete value closes its quotes.
fn quoted(value: &str) -> Pair {
    Pair { display: value.to_owned(), replacement: format!("{}'", value.replace('\'', "''")) }
}

fn plain(word: &str) -> Pair {
    Pair { display: word.to_owned(), replacement: word.to_owned() }
}

/// Keywords in the user's case: capitals unless the word starts with a small letter.
fn keywords(prefix: &str) -> Vec<Pair> {
    let small = prefix.chars().next().is_some_and(char::is_lowercase);
    let upper = prefix.to_uppercase();
    let words = cairndb_query::keywords().iter().filter(|word| word.starts_with(&upper)).map(|word| {
        let word = if small { word.to_lowercase() } else { word.clone() };
        Pair { display: word.clone(), replacement: word }
    });
    let names = cairndb_query::names().iter().filter(|name| small && name.starts_with(prefix)).map(|name| plain(name));
    let mut pairs: Vec<Pair> = words.chain(names).collect();
    pairs.dedup_by(|a, b| a.replacement == b.replacement);
    pairs
}

/// Files and folders with this prefix; a folder ends with a slash and leaves the quotes open.
fn files(prefix: &str, close: bool) -> Vec<Pair> {
    let (folder, name) = prefix.rsplit_once('/').map_or(("", prefix), |(folder, name)| (folder, name));
    let lookup = match folder {
        "" if prefix.starts_with('/') => Path::new("/"),
        "" => Path::new("."),
        folder => Path::new(folder),
    };
    let Ok(entries) = fs::read_dir(lookup) else {
        return Vec::new();
    };
    let head = &prefix[..prefix.len() - name.len()];
    let mut pairs: Vec<Pair> = entries
        .flatten()
        .filter_map(|entry| {
            let file = entry.file_name().into_string().ok()?;
            let hidden = file.starts_with('.') && !name.starts_with('.');
            if hidden || !file.starts_with(name) {
                return None;
            }
            let end = if entry.path().is_dir() {
                "/"
            } else if close {
                "'"
            } else {
                ""
            };
            Some(Pair { display: file.clone(), replacement: format!("{head}{file}{end}") })
        })
        .take(MOST)
        .collect();
    pairs.sort_by(|a, b| a.display.cmp(&b.display));
    pairs
}

impl Completer for Words {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = &line[..pos];
        Ok(match place(before) {
            Place::Word(start, word) => (start, keywords(word)),
            Place::Key(start, prefix) => (start, self.keys(prefix)),
            Place::Label(start, prefix) => (start, self.labels(prefix)),
            Place::File(start, prefix) => (start, files(prefix, !before.starts_with('.'))),
            Place::Dot(start, prefix) => {
                (start, COMMANDS.iter().filter(|name| name.starts_with(prefix)).map(|name| plain(name)).collect())
            }
            Place::Mode(start, prefix) => {
                let formats = Format::value_variants().iter().filter_map(|format| format.to_possible_value());
                (
                    start,
                    formats
                        .filter(|value| value.get_name().starts_with(prefix))
                        .map(|value| plain(value.get_name()))
                        .collect(),
                )
            }
        })
    }
}

impl Validator for Words {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = context.input();
        // A dot command is one line, even after an unfinished statement; so are the words that leave other shells.
        let complete = super::dot_command(text).is_some() || cairndb_query::statement_is_complete(text);
        Ok(if complete { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

impl Hinter for Words {
    type Hint = String;
}

impl Highlighter for Words {}

impl Helper for Words {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_decides_what_is_completed() {
        assert_eq!(place("SEA"), Place::Word(0, "SEA"));
        assert_eq!(place("SEARCH ID 'ab"), Place::Key(11, "ab"));
        assert_eq!(place("SEARCH 'im/a"), Place::File(8, "im/a"));
        assert_eq!(place("LABEL ID 'a' AS 'El"), Place::Label(17, "El"));
        assert_eq!(place("SEARCH ID 'a' RER"), Place::Word(14, "RER"));
        assert_eq!(place("SEARCH ID 'a' WHERE label = 'x"), Place::Label(29, "x"));
        assert_eq!(place(".mo"), Place::Dot(1, "mo"));
        assert_eq!(place(".mode c"), Place::Mode(6, "c"));
        assert_eq!(place(".read s"), Place::File(6, "s"));
    }

    #[test]
    fn keywords_keep_the_case_that_was_begun() {
        let list = |prefix| keywords(prefix).into_iter().map(|pair| pair.replacement).collect::<Vec<_>>();
        assert_eq!(list("RER"), ["RERANK"]);
        assert_eq!(list("rer"), ["rerank"]);
        assert!(list("ar").contains(&"arcface".to_owned()) && list("pap") == ["paper"]);
        assert!(list("sim").contains(&"similarity".to_owned()));
        assert_eq!(quoted("it's").replacement, "it''s'");
    }
}
