//! Statements as text, in a canonical form: parsing it gives the same statement.

use std::fmt::{self, Display, Formatter};
use std::ops::Bound;
use std::time::Duration;

use crate::ast::{
    Augment, Clean, Column, Condition, Cut, Field, Flip, Freshness, Gem, Given, Image, Loss, MethodClause, Mode,
    Options, Origin, Recognize, RerankClause, Role, Rule, Scope, Search, Spanned, Statement, Train,
};
use crate::options::{LOSS, Part, THUMBNAILS};
use crate::value::{Interval, Setting, Value};

/// Text in single quotes, in the language's syntax.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The shortest digits that parse to the same number; with an exponent if the digits would be many.
pub(crate) fn number<T: Display + fmt::LowerExp>(value: T) -> String {
    const LONGEST: usize = 20;
    let plain = value.to_string();
    if plain.len() <= LONGEST { plain } else { format!("{value:e}") }
}

/// `be in [0, 1.5]`, or `be more than 0 and at most 10`: the condition on a number.
pub(crate) fn interval((start, end): Interval) -> String {
    let edge = |edge: Bound<f64>| match edge {
        Bound::Included(value) | Bound::Excluded(value) => number(value),
        Bound::Unbounded => "anything".to_owned(),
    };
    match start {
        Bound::Excluded(_) => format!("be more than {} and at most {}", edge(start), edge(end)),
        _ => format!("be in [{}, {}]", edge(start), edge(end)),
    }
}

/// An option with a value, for help: `epochs=30`.
pub(crate) fn example_of(part: &Part) -> String {
    match part.example() {
        // The first loss in the list has no steps, but most options need them.
        Some(Setting::Word(_)) if *part == LOSS => format!("{}={}", part.name, Loss::ArcFace),
        Some(setting) => format!("{}={setting}", part.name),
        None => part.name.to_owned(),
    }
}

/// A value as it is typed; `text` writes values that are no parameter.
fn written<T>(value: &Value<T>, text: impl Fn(&T) -> String) -> String {
    match value {
        Value::Typed(value) => text(value),
        Value::Parameter(parameter) => format!("${}", parameter.number),
    }
}

/// A text of a statement, in quotes.
fn text(value: &Value<String>) -> String {
    written(value, |text| quoted(text))
}

/// A whole number of a statement.
impl<T: Display> Display for Value<T> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(&written(self, T::to_string))
    }
}

/// A lag in the largest unit that gives a whole number: `500ms`, `5s`, `2m`.
pub(crate) fn lag(lag: Duration) -> String {
    match lag.as_millis() {
        milliseconds if milliseconds % 1_000 != 0 => format!("{milliseconds}ms"),
        milliseconds if milliseconds % 60_000 != 0 => format!("{}s", milliseconds / 1_000),
        milliseconds => format!("{}m", milliseconds / 60_000),
    }
}

/// Canonical text: keywords in capitals, clauses in the order of the reference, no `;`.
///
/// For a statement from [`parse`](crate::parse), parsing the text gives the same statement, except for its spans.
impl Display for Statement {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Search(search) => search.fmt(out),
            Self::Predict { image, k, freshness } => {
                write!(out, "PREDICT {}", image.node)?;
                k.as_ref().map_or(Ok(()), |k| write!(out, " k={}", k.node))?;
                write_freshness(out, freshness)
            }
            Self::Recognize(recognize) => recognize.fmt(out),
            Self::Put { key, image, role, label, overwrite } => {
                write!(out, "PUT ID {} {}", text(&key.node), image.node)?;
                clause(out, "AS", role)?;
                label.as_ref().map_or(Ok(()), |label| write!(out, " LABEL {}", text(&label.node)))?;
                out.write_str(if *overwrite { " OVERWRITE" } else { "" })
            }
            Self::Delete { key } => write!(out, "DELETE ID {}", text(&key.node)),
            Self::Label { key, label } => write!(out, "LABEL ID {} AS {}", text(&key.node), text(&label.node)),
            Self::Unlabel { key } => write!(out, "UNLABEL ID {}", text(&key.node)),
            Self::ShowStatus => out.write_str("SHOW STATUS"),
            Self::ShowLabels => out.write_str("SHOW LABELS"),
            Self::ShowSegments => out.write_str("SHOW SEGMENTS"),
            Self::ShowStale => out.write_str("SHOW STALE"),
            Self::Flush => out.write_str("FLUSH"),
            Self::Compact { neighbours } => out.write_str(if *neighbours { "COMPACT NEIGHBOURS" } else { "COMPACT" }),
            Self::Check { deep } => out.write_str(if *deep { "CHECK DEEP" } else { "CHECK" }),
            Self::Backup { folder } => write!(out, "BACKUP TO {}", text(&folder.node)),
            Self::BackupVerify { folder } => write!(out, "BACKUP VERIFY {}", text(&folder.node)),
            Self::BackupRestore { from, to } => {
                write!(out, "BACKUP RESTORE {} TO {}", text(&from.node), text(&to.node))
            }
            Self::ShowCleans => out.write_str("SHOW CLEANS"),
            Self::ShowClean { number } => write!(out, "SHOW CLEAN {}", number.node),
            Self::ShowMarked => out.write_str("SHOW MARKED"),
            Self::ShowSuspects { limit } => {
                out.write_str("SHOW SUSPECTS")?;
                clause(out, "LIMIT", limit)
            }
            Self::ShowModels => out.write_str("SHOW MODELS"),
            Self::Train(train) => train.fmt(out),
            Self::Clean(clean) => clean.fmt(out),
            Self::UndoClean => out.write_str("UNDO CLEAN"),
            Self::UndoLabel => out.write_str("UNDO LABEL"),
            Self::Reembed { model } => {
                out.write_str("REEMBED")?;
                file(out, "FROM", model)
            }
            Self::UseModel { number } => write!(out, "USE MODEL {}", number.node),
            Self::DropModel { number, force } => {
                write!(out, "DROP MODEL {}{}", number.node, if *force { " FORCE" } else { "" })
            }
            Self::Explain { analyze, statement } => {
                write!(out, "EXPLAIN {}{}", if *analyze { "ANALYZE " } else { "" }, statement.node)
            }
        }
    }
}

/// ` WORD value`, if there is a value.
fn clause<T: Display>(out: &mut Formatter<'_>, word: &str, value: &Option<Spanned<T>>) -> fmt::Result {
    value.as_ref().map_or(Ok(()), |value| write!(out, " {word} {}", value.node))
}

/// ` name=value` of a number, if there is one.
fn number_option(out: &mut Formatter<'_>, name: &str, value: &Option<Spanned<Value<f64>>>) -> fmt::Result {
    value.as_ref().map_or(Ok(()), |value| write!(out, " {name}={}", written(&value.node, |value| number(*value))))
}

/// ` WORD 'file'`, if there is a file.
fn file(out: &mut Formatter<'_>, word: &str, path: &Option<Spanned<Value<String>>>) -> fmt::Result {
    path.as_ref().map_or(Ok(()), |path| write!(out, " {word} {}", text(&path.node)))
}

/// ` INTO 'file' OVERWRITE`, if there is a file.
fn report(out: &mut Formatter<'_>, path: &Option<Spanned<Value<String>>>, overwrite: bool) -> fmt::Result {
    let Some(path) = path else { return Ok(()) };
    write!(out, " INTO {}{}", text(&path.node), if overwrite { " OVERWRITE" } else { "" })
}

/// A method and its options, after a blank.
fn write_method(out: &mut Formatter<'_>, clause: &MethodClause) -> fmt::Result {
    write!(out, " {}{}", clause.method.name(), clause.options)
}

/// The clause after a blank; [`Freshness::AsIs`] has no words.
fn write_freshness(out: &mut Formatter<'_>, freshness: &Option<Spanned<Freshness<Value<u64>>>>) -> fmt::Result {
    match freshness.as_ref().map(|freshness| freshness.node) {
        None | Some(Freshness::AsIs) => Ok(()),
        Some(freshness) => write!(out, " {freshness}"),
    }
}

/// Canonical text; K is before RERANK, where it cannot be read as the voters.
impl Display for Search {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "SEARCH {}", self.image.node)?;
        clause(out, "IN", &self.scope)?;
        for (position, condition) in self.filter.iter().enumerate() {
            write!(out, " {} {}", if position == 0 { "WHERE" } else { "AND" }, condition.node)?;
        }
        clause(out, "K", &self.depth)?;
        clause(out, "LIMIT", &self.limit)?;
        match self.mode.as_ref().map(|mode| mode.node) {
            Some(Mode::Exact) => out.write_str(" EXACT")?,
            Some(Mode::Ef(breadth)) => write!(out, " EF {breadth}")?,
            None => {}
        }
        for method in [&self.expand, &self.augment, &self.order].into_iter().flatten() {
            write_method(out, &method.node)?;
        }
        clause(out, "VERIFY", &self.verify)?;
        if let Some(rerank) = &self.rerank {
            write!(out, " {}", rerank.node)?;
        }
        for (words, value) in [("MIN SIMILARITY", &self.least), ("COLLAPSE NEAR", &self.collapse)] {
            if let Some(value) = value {
                write!(out, " {words} {}", written(&value.node, |value| number(*value)))?;
            }
        }
        write_freshness(out, &self.freshness)?;
        if self.including_self {
            out.write_str(" INCLUDING SELF")?;
        }
        for (position, column) in self.columns.iter().flatten().enumerate() {
            write!(out, "{} {}", if position == 0 { " RETURN" } else { "," }, column.node)?;
        }
        report(out, &self.into, self.overwrite)
    }
}

/// Canonical text.
impl Display for Recognize {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "RECOGNIZE {}", self.image.node)?;
        self.n.as_ref().map_or(Ok(()), |n| write!(out, " n={}", n.node))?;
        if self.verify {
            out.write_str(" VERIFY")?;
        }
        if let Some(least) = &self.least {
            write!(out, " MIN SCORE {}", written(&least.node, |least| number(*least)))?;
        }
        clause(out, "DISTRACTORS", &self.distractors)?;
        write_freshness(out, &self.freshness)?;
        report(out, &self.into, self.overwrite)
    }
}

/// Canonical text, with a blank before each.
impl Display for Options {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|given| write!(out, " {given}"))
    }
}

/// `epochs=30`, or the word of a flag.
impl Display for Given {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self.value.node {
            Value::Typed(Setting::Set) => out.write_str(self.part.name),
            value => write!(out, "{}={value}", self.part.name),
        }
    }
}

/// Its value as it is typed.
impl Display for Setting {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => value.fmt(out),
            Self::Number(value) => out.write_str(&number(*value)),
            Self::Word(word) => out.write_str(word),
            Self::Set => Ok(()),
        }
    }
}

/// Canonical text.
impl Display for Train {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str("TRAIN")?;
        self.options.fmt(out)?;
        match self.from.as_ref().map(|from| &from.node) {
            None => {}
            Some(Origin::File(path)) => write!(out, " FROM {}", text(path))?,
            Some(Origin::Model(number)) => write!(out, " FROM MODEL {number}")?,
        }
        out.write_str(match self.flip.as_ref().map(|flip| flip.node) {
            None | Some(Flip::UnlessWorse) => "",
            Some(Flip::Always) => " FORCE",
            Some(Flip::Never) => " DRY RUN",
        })
    }
}

/// Canonical text.
impl Display for Clean {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str("CLEAN")?;
        // THUMBNAILS comes after the clauses.
        for given in self.options.iter().filter(|given| *given.part != THUMBNAILS) {
            write!(out, " {given}")?;
        }
        clause(out, "RULE", &self.rule)?;
        if let Some(cut) = &self.cut {
            write!(out, " {}", cut.node)?;
        }
        if let Some(action) = &self.action {
            write!(out, " {}", action.node.name())?;
        }
        if self.options.has(&THUMBNAILS) {
            out.write_str(" THUMBNAILS")?;
        }
        if self.dry_run {
            out.write_str(" DRY RUN")?;
        }
        report(out, &self.into, self.overwrite)
    }
}

/// Canonical text.
impl Display for Cut<Value<usize>, Value<f64>> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top(images) => write!(out, "{}={images}", self.name()),
            Self::Evidence(least) => write!(out, "{}={}", self.name(), written(least, |least| number(*least))),
        }
    }
}

/// Canonical text, empty for [`Freshness::AsIs`].
impl<N: Display> Display for Freshness<N> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::AsIs => Ok(()),
            Self::Fresh => out.write_str("FRESH"),
            Self::Since(sequence) => write!(out, "SINCE SEQ {sequence}"),
            Self::Within(most) => write!(out, "STALE <= {}", lag(*most)),
        }
    }
}

/// Canonical text, with the word RERANK.
impl Display for RerankClause {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str("RERANK")?;
        if self.sort {
            out.write_str(" SORT")?;
        }
        if self.insert {
            out.write_str(" INSERT")?;
        }
        if let Some(k) = &self.k {
            write!(out, " k={}", k.node)?;
        }
        number_option(out, "tau", &self.tau)?;
        self.augment.as_ref().map_or(Ok(()), |augment| write_method(out, &augment.node))
    }
}

/// Canonical text.
impl Display for Image {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => out.write_str(&quoted(path)),
            Self::Key(key) => write!(out, "ID {}", text(key)),
            Self::Name(name) => out.write_str(name),
            Self::Parameter(position) => write!(out, "${position}"),
            Self::Vector(values) => {
                out.write_str("VECTOR [")?;
                for (position, value) in values.iter().enumerate() {
                    write!(out, "{}{}", if position == 0 { "" } else { ", " }, number(*value))?;
                }
                out.write_str("]")
            }
            Self::Queries(path) => write!(out, "QUERIES {}", text(path)),
        }
    }
}

/// Canonical text.
impl Display for Condition<Value<String>> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{} {} {}", self.field, if self.like { "LIKE" } else { "=" }, text(&self.value))
    }
}

/// Canonical text.
impl Display for Condition {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{} {} {}", self.field, if self.like { "LIKE" } else { "=" }, quoted(&self.value))
    }
}

/// Its name.
impl Display for Column {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Its name.
impl Display for Field {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Its name.
impl Display for Scope {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Its name.
impl Display for Role {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Its name.
impl Display for Loss {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Its name.
impl Display for Augment {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Its name.
impl Display for Gem {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Its name.
impl Display for Rule {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}
