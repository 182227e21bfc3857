//! The reference of the language: its words, the forms of its statements, and the values of its options. Completion, `.schema`,
//! the help of programs and docs/QUERY.md use it.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::LazyLock;

use crate::ast::{Augment, Column, Field, Gem, Loss, Role, Rule, Scope};
use crate::limits::{DEFAULT_DEPTH, DEFAULT_NEAR, DEFAULT_SUSPECTS, DEFAULT_TAU, EXAMPLE_DISTRACTORS, EXAMPLE_NEAR};
use crate::methods;
use crate::options::{self, Form, Only, Part, Usual};
use crate::print::number;
use crate::value::Setting;
use crate::words;

/// The largest width of a form's lines, in characters.
const WIDEST_FORM: usize = 118;

/// The form of each statement; long ones have several lines.
///
/// ```
/// assert!(cairndb_query::forms().contains(&"USE MODEL 2".to_owned()));
/// ```
pub fn forms() -> Vec<String> {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let mut forms = vec![
        search(),
        "PREDICT <image> [k=3] [FRESH | SINCE SEQ 5 | STALE <= 5s]".to_owned(),
        recognize(),
        "EXPLAIN [ANALYZE] <statement>".to_owned(),
    ];
    forms.extend(words::SHOWN.iter().map(|shown| match *shown {
        "CLEAN" => "SHOW CLEAN 1".to_owned(),
        "SUSPECTS" => format!("SHOW SUSPECTS [LIMIT {DEFAULT_SUSPECTS}]"),
        shown => format!("SHOW {shown}"),
    }));
    forms.extend([clean(), "UNDO CLEAN".to_owned(), "UNDO LABEL".to_owned(), train()]);
    forms.extend(lines("REEMBED [FROM 'model.safetensors']\nUSE MODEL 2\nDROP MODEL 1 [FORCE]"));
    forms.extend(lines("PUT ID 'key' <image> [AS train|index] [LABEL 'x'] [OVERWRITE]\nDELETE ID 'key'"));
    forms.extend(lines("LABEL ID 'key' AS 'x'\nUNLABEL ID 'key'\nFLUSH\nCOMPACT [NEIGHBOURS]\nCHECK [DEEP]"));
    forms.extend(lines("BACKUP TO 'folder'\nBACKUP VERIFY 'folder'\nBACKUP RESTORE 'folder' TO 'folder'"));
    forms
}

/// The forms of all statements, then images, columns, losses and conditions: the whole language on one screen.
pub fn schema() -> String {
    const GAP: &str = "    ";
    let mut lines: Vec<String> = Vec::new();
    for form in forms() {
        let form = format!("{form};");
        // Short statements share a line.
        match lines.last_mut() {
            Some(last)
                if !last.contains('\n')
                    && !form.contains('\n')
                    && last.len() + GAP.len() + form.len() <= WIDEST_FORM =>
            {
                last.push_str(GAP);
                last.push_str(&form);
            }
            _ => lines.push(form),
        }
    }
    let fields = Field::ALL.map(Field::name).join(", ");
    lines.extend([
        "<image>   'photo.jpg' | ID 'key' | VECTOR [0.1, ..] | QUERIES 'file.csv|.npy|.npz|.fvecs' (SEARCH, RECOGNIZE)"
            .to_owned(),
        format!("columns   {}", Column::ALL.map(Column::name).join(", ")),
        format!("losses    {}", Loss::ALL.map(about).join(", ")),
        format!("TRUNK     {}", of_trunk().join(" ")),
        format!("WHERE     {fields}; = or LIKE (% any run, _ one character); AND between conditions"),
    ]);
    lines.join("\n")
}

/// Every word of the language, in capitals and in alphabetical order. [`names`] has columns, losses and the other names.
pub fn keywords() -> &'static [String] {
    static KEYWORDS: LazyLock<Vec<String>> = LazyLock::new(|| {
        let text = schema();
        let mut found = BTreeSet::new();
        let mut rest = text.as_str();
        while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic()) {
            let end = rest[start..]
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .map_or(rest.len(), |end| start + end);
            let word = &rest[start..end];
            // The forms have the words of the language in capitals; options are followed by `=`.
            if word.bytes().all(|byte| byte.is_ascii_uppercase()) || rest[end..].starts_with('=') {
                found.insert(word.to_ascii_uppercase());
            }
            rest = &rest[end..];
        }
        found.into_iter().collect()
    });
    &KEYWORDS
}

/// The names of columns, fields, scopes, roles, rules, losses and option values; in order and without repetitions.
pub fn names() -> &'static [&'static str] {
    static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
        let mut found = BTreeSet::from(Column::ALL.map(Column::name));
        found.extend(Field::ALL.map(Field::name));
        found.extend(Scope::ALL.map(Scope::name));
        found.extend(Role::ALL.map(Role::name));
        found.extend(Rule::ALL.map(Rule::name));
        found.extend(Loss::ALL.map(Loss::name));
        found.extend(Augment::ALL.map(Augment::name));
        found.extend(Gem::ALL.map(Gem::name));
        found.into_iter().collect()
    });
    &NAMES
}

impl Part {
    /// The values that it takes: `2 to 4096`, or the words; empty if it takes no value.
    pub fn range(&self) -> String {
        match &self.form {
            Form::Whole { least, most: u64::MAX } => format!("{least} or more, 64 bits"),
            Form::Whole { least, most } => format!("{least} to {}", grouped(*most)),
            Form::Number((Bound::Excluded(least), Bound::Included(most))) => {
                format!("above {}, to {}", number(*least), number(*most))
            }
            Form::Number((start, end)) => {
                let edge = |edge: &Bound<f64>| match edge {
                    Bound::Included(value) | Bound::Excluded(value) => number(*value),
                    Bound::Unbounded => "any".to_owned(),
                };
                format!("{} to {}", edge(start), edge(end))
            }
            Form::OneOf(words) => words().iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
            Form::Flag | Form::Clause(_) => String::new(),
        }
    }

    /// Its default: `30, with TRUNK 5`.
    pub fn default(&self) -> String {
        match &self.usual {
            Usual::Is(setting) => shown(*setting),
            Usual::OfTrunk { head, trunk } => format!("{}, with TRUNK {}", shown(*head), shown(*trunk)),
            Usual::Other { said, .. } | Usual::Said(said) => (*said).to_owned(),
            Usual::OfLoss(of) => of_losses(*of),
        }
    }

    /// Its syntax: `epochs=n`, `FROM 'file'`.
    fn written(&self) -> String {
        match self.form {
            Form::Whole { .. } => format!("{}=n", self.name),
            Form::Number(_) => format!("{}=x", self.name),
            Form::OneOf(_) => format!("{}=", self.name),
            Form::Flag => self.name.to_owned(),
            Form::Clause(form) => form.to_owned(),
        }
    }
}

/// A table of parts in Markdown, as in docs/QUERY.md.
pub fn table(parts: &[&Part]) -> String {
    let mut table = "| Part | What it does | Values | Without it |\n| --- | --- | --- | --- |\n".to_owned();
    for part in parts {
        let only = match part.only {
            Only::Anywhere | Only::Steps => "",
            Only::Trunk => "with TRUNK: ",
            Only::Paper => "with RULE paper: ",
            Only::Suspects => "with RULE suspects: ",
        };
        table.push_str(&format!(
            "| `{}` | {only}{} | {} | {} |\n",
            part.written(),
            part.means,
            part.range(),
            part.default()
        ));
    }
    table
}

/// A number with a comma before each group of three digits, from five digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    if digits.len() < 5 {
        return digits;
    }
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn shown(setting: Setting) -> String {
    match setting {
        Setting::Word(word) => format!("`{word}`"),
        setting => setting.to_string(),
    }
}

/// Each default with the losses that have it: `0.3 for arcface, cosface; 0 for adacos`.
fn of_losses(of: fn(Loss) -> Option<Setting>) -> String {
    let mut groups: Vec<(Setting, Vec<String>)> = Vec::new();
    for loss in Loss::ALL {
        let Some(setting) = of(loss) else { continue };
        let name = format!("`{}`", loss.name());
        match groups.iter_mut().find(|(other, _)| *other == setting) {
            Some((_, losses)) => losses.push(name),
            None => groups.push((setting, vec![name])),
        }
    }
    let mut text: Vec<String> =
        groups.iter().map(|(setting, losses)| format!("{setting} for {}", losses.join(", "))).collect();
    if Loss::ALL.into_iter().any(|loss| of(loss).is_none()) {
        text.push("the others take none".to_owned());
    }
    text.join("; ")
}

/// A loss with the defaults that depend on it, and the options that it refuses.
fn about(loss: Loss) -> String {
    let parts = options::TRAIN.iter().filter(|part| part.is_option());
    let refused: Vec<&str> =
        parts.clone().filter(|part| part.only == Only::Steps && !part.suits(loss)).map(|part| part.name).collect();
    let usual = parts.filter_map(|part| match part.usual {
        Usual::OfLoss(of) => of(loss).map(|setting| format!("{}={setting}", part.name)),
        _ => None,
    });
    let usual = usual.collect::<Vec<_>>().join(" ");
    let refused = if refused.is_empty() { String::new() } else { format!("; no {}", refused.join(", ")) };
    format!("{} ({usual}{refused})", loss.name())
}

/// The defaults of TRAIN that differ with TRUNK.
fn of_trunk() -> Vec<String> {
    let with = |part: &&Part| match part.usual {
        Usual::OfTrunk { trunk, .. } => Some(format!("{}={trunk}", part.name)),
        _ => None,
    };
    options::TRAIN.iter().filter_map(with).collect()
}

fn search() -> String {
    let all =
        |parts: &[&Part]| parts.iter().map(|part| format!("[{}]", with_default(part))).collect::<Vec<_>>().join(" ");
    // A choice of several long clauses takes several pieces, so that it can be wrapped.
    let clauses = [
        "[IN index|train|all]".to_owned(),
        "[WHERE <condition> [AND <condition>]..]".to_owned(),
        format!("[K {DEFAULT_DEPTH}]"),
        "[LIMIT 10]".to_owned(),
        "[EXACT | EF 200]".to_owned(),
        format!("[EXPAND AQE {} | EXPAND ALPHA {}]", all(&methods::EXPAND_AQE), all(&methods::EXPAND_ALPHA)),
        format!("[AUGMENT {}]", all(&methods::AUGMENT)),
        format!("[SUPERGLOBAL {} |", all(&methods::SUPERGLOBAL)),
        format!("DIFFUSE [FULL | TRANSDUCTIVE] {} |", all(&methods::DIFFUSE)),
        format!("EXPLORE [DIRECTED] {} |", all(&methods::EXPLORE)),
        format!("RECIPROCAL [TRANSDUCTIVE] {} |", all(&methods::RECIPROCAL)),
        format!("FUSE {}]", all(&methods::FUSE)),
        format!("[VERIFY {DEFAULT_DEPTH}]"),
        format!("[RERANK [SORT] [INSERT] [k=3] [tau={DEFAULT_TAU}] [AUGMENT TRAIN {}]]", all(&methods::AUGMENT_TRAIN)),
        "[MIN SIMILARITY 0.5]".to_owned(),
        format!("[COLLAPSE NEAR {EXAMPLE_NEAR}]"),
        "[FRESH | SINCE SEQ 5 | STALE <= 5s]".to_owned(),
        "[INCLUDING SELF]".to_owned(),
        "[RETURN column, ..]".to_owned(),
        "[INTO 'report.html' [OVERWRITE]]".to_owned(),
    ];
    wrapped("SEARCH", std::iter::once("<image>".to_owned()).chain(clauses))
}

fn recognize() -> String {
    let clauses = [
        format!("[n={DEFAULT_NEAR}]"),
        "[VERIFY]".to_owned(),
        "[MIN SCORE 0.9]".to_owned(),
        format!("[DISTRACTORS {EXAMPLE_DISTRACTORS}]"),
        "[FRESH | SINCE SEQ 5 | STALE <= 5s]".to_owned(),
        "[INTO 'report.html' [OVERWRITE]]".to_owned(),
    ];
    wrapped("RECOGNIZE", std::iter::once("<image>".to_owned()).chain(clauses))
}

fn train() -> String {
    let bracketed = |only: Only| -> Vec<String> {
        let parts =
            options::TRAIN.iter().filter(|part| part.is_option() && part.only == only && **part != &options::TRUNK);
        parts.map(|part| format!("[{}]", with_default(part))).collect()
    };
    let head =
        options::TRAIN.iter().filter(|part| part.is_option() && part.only != Only::Trunk && **part != &options::TRUNK);
    let mut clauses: Vec<String> = head.map(|part| format!("[{}]", with_default(part))).collect();
    clauses.push(format!("[TRUNK {}]", bracketed(Only::Trunk).join(" ")));
    clauses.extend(["[FROM 'model.safetensors' | FROM MODEL 2]".to_owned(), "[FORCE | DRY RUN]".to_owned()]);
    wrapped("TRAIN", clauses)
}

fn clean() -> String {
    let of = |only: Only| options::CLEAN.iter().filter(move |part| part.only == only);
    let values = |part: &&&Part| matches!(part.form, Form::Whole { .. } | Form::Number(_));
    let flags = |part: &&&Part| matches!(part.form, Form::Flag);
    let cuts: Vec<String> = of(Only::Suspects).filter(values).map(|part| with_default(part)).collect();
    let mut clauses: Vec<String> =
        of(Only::Paper).filter(values).map(|part| format!("[{}]", with_default(part))).collect();
    clauses.push(format!("[RULE paper | RULE suspects [{}]]", cuts.join(" | ")));
    clauses.push("[KEEP VOTERS | UNLABEL | RELABEL [EMPTY]]".to_owned());
    clauses.extend(of(Only::Paper).filter(flags).map(|part| format!("[{}]", part.name)));
    clauses.extend(["[DRY RUN]".to_owned(), "[INTO 'report.html' [OVERWRITE]]".to_owned()]);
    wrapped("CLEAN", clauses)
}

/// `epochs=30`: an option with its default, or with an example if the default depends on something.
fn with_default(part: &Part) -> String {
    match part.usual(Loss::of_training(false), false).or_else(|| part.example()) {
        Some(setting) => format!("{}={setting}", part.name),
        None => part.name.to_owned(),
    }
}

/// A statement and its clauses, wrapped; later lines are indented below the first clause.
fn wrapped(statement: &str, clauses: impl IntoIterator<Item = String>) -> String {
    let indent = statement.len();
    let mut lines = vec![statement.to_owned()];
    for clause in clauses {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + clause.len() <= WIDEST_FORM => {
                line.push(' ');
                line.push_str(&clause);
            }
            _ => lines.push(format!("{:indent$} {clause}", "")),
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It catches: a statement, a clause or an option that completion and `.schema` do not know.
    #[test]
    fn every_word_is_in_the_reference() {
        let parts = [options::names(&options::TRAIN), options::names(&options::CLEAN)].concat();
        let built = [words::STATEMENTS, words::CLAUSES, words::RECOGNIZE_CLAUSES, words::SHOWN, words::BACKUPS, &parts]
            .into_iter()
            .flatten();
        for word in built.flat_map(|words| words.split(' ')) {
            assert!(keywords().contains(&word.to_ascii_uppercase()), "{word}");
        }
        for word in [
            "ID",
            "VECTOR",
            "QUERIES",
            "LIKE",
            "AND",
            "TAU",
            "SEQ",
            "SELF",
            "RUN",
            "EMPTY",
            "MODEL",
            "OVERWRITE",
            "AQE",
            "NEAR",
        ] {
            assert!(keywords().iter().any(|keyword| keyword == word), "{word}");
        }
        assert!(names().contains(&"paper") && names().contains(&"learnt") && names().contains(&"instance_score"));
        assert!(schema().lines().all(|line| line.chars().count() <= 240));
    }
}
