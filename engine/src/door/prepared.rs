//! Statements that were parsed once and can run any number of times.

use std::fmt;
use std::sync::Arc;

use cairndb_query::{Diagnostic, Parsed, Piece, Span, Spanned, Statement, parse};

use crate::error::{Error, Result};

/// Statements that were parsed once ([`Database::prepare`](crate::Database::prepare)) and run any number of times
/// ([`Database::execute`](crate::Database::execute)), each time with other arguments. Its `Display` is their canonical text.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The text; `None`: a program built the statements, and they have no places.
    typed: Option<Arc<Piece>>,
    statements: Vec<Spanned<Statement>>,
}

impl Prepared {
    /// Parses a statement of a longer script ([`Script`](cairndb_query::Script)): diagnostics name its line there.
    ///
    /// # Errors
    /// `Invalid` with every mistake ([`Error::diagnostics`]).
    pub fn of_piece(piece: Piece) -> Result<Self> {
        let (prepared, mistakes) = Self::read(piece);
        prepared.refuse(mistakes)?;
        Ok(prepared)
    }

    /// The statements of a text that parse, and the mistakes in the others.
    pub(super) fn read(piece: Piece) -> (Self, Vec<Diagnostic>) {
        let Parsed { statements, diagnostics } = parse(&piece.text);
        (Self { typed: Some(Arc::new(piece)), statements }, diagnostics)
    }

    /// The statements, in order.
    pub fn statements(&self) -> impl Iterator<Item = &Statement> {
        self.statements.iter().map(|statement| &statement.node)
    }

    /// With their places.
    pub(super) fn spanned(&self) -> &[Spanned<Statement>] {
        &self.statements
    }

    /// Each statement alone; diagnostics still show its place in the whole text.
    pub fn each(&self) -> impl Iterator<Item = Self> {
        let alone =
            |statement: &Spanned<Statement>| Self { typed: self.typed.clone(), statements: vec![statement.clone()] };
        self.statements.iter().map(alone)
    }

    /// The line of the text, or of its script, on which the first statement starts, from 1; 1 without a text.
    pub fn line(&self) -> usize {
        let Some((piece, first)) = self.typed.as_ref().zip(self.statements.first()) else { return 1 };
        let before = piece.text.get(..first.span.start).unwrap_or_default();
        piece.line + before.matches('\n').count()
    }

    /// One error with all mistakes, each shown with its place; nothing if there are none.
    ///
    /// # Errors
    /// There are mistakes.
    pub(super) fn refuse(&self, mistakes: Vec<Diagnostic>) -> Result<()> {
        if mistakes.is_empty() {
            return Ok(());
        }
        let shown = |mistake: &Diagnostic| match &self.typed {
            Some(piece) => piece.render(mistake),
            None => format!("error: {mistake}\n  help: {}", mistake.help()),
        };
        let shown: Vec<String> = mistakes.iter().map(shown).collect();
        Err(Error::invalid(shown.join("\n")).with_diagnostics(mistakes))
    }
}

/// A statement that a program built.
impl From<Statement> for Prepared {
    fn from(statement: Statement) -> Self {
        Self { typed: None, statements: vec![Spanned { node: statement, span: Span::default() }] }
    }
}

/// Canonical text, the statements separated by `;` and a newline.
impl fmt::Display for Prepared {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, statement) in self.statements().enumerate() {
            write!(out, "{}{statement}", if at == 0 { "" } else { ";\n" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::{Argument, Arguments, Database, Outcome, Ports};
    use crate::error::ErrorKind;
    use crate::options::Options;

    /// It catches: a statement that is read again, or that keeps the arguments of an earlier run; mistakes that programs cannot tell
    /// apart, or whose places are not those of the text.
    #[test]
    fn a_statement_is_prepared_once_and_runs_with_other_arguments_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::create(folder.path().join("db"), Options::for_vectors(2)).unwrap();
        let put = Database::prepare("PUT ID $1 $2 LABEL $3; SHOW LABELS").unwrap();
        assert_eq!(put.to_string(), "PUT ID $1 $2 LABEL $3;\nSHOW LABELS");
        for (at, key) in ["a", "b", "c"].into_iter().enumerate() {
            let arguments =
                Arguments::of([key.into(), vec![1.0, at as f32].into(), Argument::Text(format!("label {key}"))]);
            let outcomes = database.execute(&put, &arguments, &Ports::default()).unwrap();
            assert!(matches!(&outcomes[1], Outcome::Labels(labels) if labels.len() == at + 1), "{outcomes:?}");
        }
        // Without a value for each, nothing runs, and the place is named.
        let error = database.execute(&put, &Arguments::of(["d".into()]), &Ports::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let [mistake] = error.diagnostics() else { panic!("{error}") };
        assert_eq!((mistake.code(), mistake.span().start), ("unbound-parameter", 19));
        let last = put.each().last().unwrap();
        assert_eq!((last.to_string().as_str(), last.line()), ("SHOW LABELS", 1));
        assert_eq!(database.execute(&last, &Arguments::default(), &Ports::default()).unwrap().len(), 1);
        assert_eq!(database.snapshot().keys(None).unwrap(), ["a", "b", "c"]);
    }

    #[test]
    fn mistakes_are_values_and_are_shown_at_their_places() {
        let text = "SHOW STATUS;\nSEARCH a K 0;\nTRAIN loss=softmax margin=0.3";
        let error = Database::prepare(text).unwrap_err();
        let codes: Vec<&str> = error.diagnostics().iter().map(Diagnostic::code).collect();
        assert_eq!(codes, ["too-small", "not-of-loss"]);
        assert_eq!(&text[error.diagnostics()[0].span().start..][..1], "0");
        assert!(
            error.to_string().contains("  2 | SEARCH a K 0") && error.to_string().contains("  3 | TRAIN"),
            "{error}"
        );
        let third = Database::prepare("FLUSH;\n\n SEARCH $1").unwrap().each().last().unwrap();
        assert_eq!(third.line(), 3);
        // What a program built has no place, and is refused in words all the same.
        let folder = tempfile::tempdir().unwrap();
        let database = Database::create(folder.path().join("db"), Options::for_vectors(2)).unwrap();
        let built: Prepared = parse("LABEL ID 'a' AS $1").statements.remove(0).node.into();
        let error = database.execute(&built, &Arguments::default(), &Ports::default()).unwrap_err();
        assert_eq!(error.diagnostics()[0].code(), "unbound-parameter");
        assert!(!error.to_string().contains(" | "), "{error}");
    }
}
