//! Text into statements, by recursive descent. The parser turns each mistake into a diagnostic, leaves its statement out, and
//! continues after the next `;`.

mod clean;
mod freshness;
mod options;
mod recognize;
mod search;
mod train;
mod values;

use crate::ast::{Role, Span, Spanned, Statement};
use crate::complaints;
use crate::diagnostic::Diagnostic;
use crate::lexer::{Token, lex};
use crate::limits::{DEFAULT_SUSPECTS, MAX_TEXT_BYTES};
use crate::print::quoted;
use crate::value::{Takes, Value};
use crate::words;

pub(crate) use clean::check_clean;
pub(crate) use recognize::check_recognize;
pub(crate) use search::check_search;
pub(crate) use train::check_train;

/// After this many diagnostics the parser stops: the text is hardly of this language.
const MAX_DIAGNOSTICS: usize = 100;

/// The result of parsing a text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parsed {
    /// The statements without a mistake, in order.
    pub statements: Vec<Spanned<Statement>>,
    /// The mistakes, in order: one for each statement that is left out, and one for a text without any statement.
    pub diagnostics: Vec<Diagnostic>,
}

/// A result of parsing a part: the first mistake ends its statement.
type Parse<T> = Result<T, Diagnostic>;

/// Parses any number of statements.
///
/// ```
/// let parsed = cairndb_query::parse("SEARCH a LIMIT 0; SHOW STATUS");
/// assert_eq!(parsed.statements.len(), 1);
/// assert_eq!(parsed.diagnostics[0].message(), "LIMIT must be at least 1");
/// ```
pub fn parse(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    if text.len() > MAX_TEXT_BYTES {
        let place = text.floor_char_boundary(MAX_TEXT_BYTES);
        parsed.diagnostics.push(complaints::text_too_long(Span { start: place, end: place }));
        return parsed;
    }
    let tokens = lex(text);
    for tokens in tokens.split(|token| token.node == Token::Semicolon).filter(|tokens| !tokens.is_empty()) {
        if parsed.diagnostics.len() == MAX_DIAGNOSTICS {
            parsed.diagnostics.push(complaints::too_many_errors(tokens[0].span));
            return parsed;
        }
        let mut parser = Parser { text, tokens, at: 0 };
        match parser.whole_statement() {
            Ok(statement) => parsed.statements.push(statement),
            Err(diagnostic) => parsed.diagnostics.push(diagnostic),
        }
    }
    if parsed.statements.is_empty() && parsed.diagnostics.is_empty() {
        parsed.diagnostics.push(complaints::no_statement());
    }
    parsed
}

/// Whether a shell should run the input instead of asking for another line: it ends with `;` outside quotes and comments, or has
/// nothing but white space and comments.
///
/// ```
/// use cairndb_query::statement_is_complete;
/// assert!(statement_is_complete("SHOW STATUS; -- done"));
/// assert!(!statement_is_complete("SEARCH 'a;"));
/// assert!(statement_is_complete(" "));
/// ```
pub fn statement_is_complete(text: &str) -> bool {
    // `parse` refuses a text that is too long; asking for more of it would never end.
    text.len() > MAX_TEXT_BYTES || lex(text).last().is_none_or(|token| token.node == Token::Semicolon)
}

/// Reads one statement, whose tokens have no semicolon; there is at least one token.
struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Spanned<Token>],
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at).map(|token| &token.node)
    }

    /// The place of the next token, or the empty place after the last one.
    fn here(&self) -> Span {
        self.tokens.get(self.at).map_or_else(|| self.end_of(self.tokens.len()), |token| token.span)
    }

    fn end_of(&self, tokens: usize) -> Span {
        let end = tokens.checked_sub(1).and_then(|last| self.tokens.get(last)).map_or(0, |token| token.span.end);
        Span { start: end, end }
    }

    fn typed(&self, span: Span) -> &'a str {
        &self.text[span.start..span.end]
    }

    /// From `start` to the end of the token before the next one.
    fn since(&self, start: Span) -> Span {
        Span { start: start.start, end: self.end_of(self.at).end.max(start.end) }
    }

    fn bump(&mut self) -> Span {
        let span = self.here();
        self.at += 1;
        span
    }

    /// The next token where it is a word.
    fn word(&self) -> Option<&'a str> {
        self.peek().filter(|token| **token == Token::Word).map(|_| self.typed(self.here()))
    }

    fn is(&self, keyword: &str) -> bool {
        self.word().is_some_and(|word| word.eq_ignore_ascii_case(keyword))
    }

    /// The place of the keyword, if it comes next.
    fn take(&mut self, keyword: &str) -> Option<Span> {
        self.is(keyword).then(|| self.bump())
    }

    fn take_token(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    /// Whether the token after the next one is `=`.
    fn equals_follows(&self) -> bool {
        self.tokens.get(self.at + 1).is_some_and(|token| token.node == Token::Equals)
    }

    /// Whether the token behind the next one is this word.
    fn word_follows(&self, keyword: &str) -> bool {
        let next = self.tokens.get(self.at + 1).filter(|token| token.node == Token::Word);
        next.is_some_and(|token| self.typed(token.span).eq_ignore_ascii_case(keyword))
    }

    /// The diagnostic of the next token if it is a bad one, else `otherwise`.
    fn complain(&self, otherwise: impl FnOnce(Span) -> Diagnostic) -> Diagnostic {
        match self.peek() {
            Some(Token::Bad(diagnostic)) => (**diagnostic).clone(),
            _ => otherwise(self.here()),
        }
    }

    fn expected(&self, what: &str, help: impl Into<String>) -> Diagnostic {
        self.complain(|span| complaints::expected(span, what, self.found(), help))
    }

    /// The next token, for a message.
    fn found(&self) -> Option<String> {
        let typed = complaints::shown(self.typed(self.here()));
        Some(match self.peek()? {
            Token::Word | Token::Number | Token::Parameter | Token::Bare | Token::Bad(_) => typed,
            Token::Text(_) => format!("the text {typed}"),
            _ => format!("'{typed}'"),
        })
    }

    fn whole_statement(&mut self) -> Parse<Spanned<Statement>> {
        let start = self.here();
        let node = match self.take("EXPLAIN") {
            Some(_) => {
                let analyze = self.take("ANALYZE").is_some();
                if self.is("EXPLAIN") {
                    return Err(complaints::explain_explain(self.here()));
                }
                let inner = self.here();
                let node = self.statement()?;
                Statement::Explain { analyze, statement: Box::new(Spanned { node, span: self.since(inner) }) }
            }
            None => self.statement()?,
        };
        Ok(Spanned { node, span: self.since(start) })
    }

    /// A statement other than EXPLAIN, up to the last token.
    fn statement(&mut self) -> Parse<Statement> {
        let Some(word) = self.word() else {
            return Err(self.expected("a statement", format!("statements are {}", words::STATEMENTS.join(", "))));
        };
        let span = self.bump();
        let keyword = word.to_ascii_uppercase();
        let statement = match keyword.as_str() {
            "SEARCH" => Statement::Search(Box::new(self.search()?)),
            "PREDICT" => self.predict()?,
            "RECOGNIZE" => Statement::Recognize(Box::new(self.recognize()?)),
            "PUT" => self.put()?,
            "DELETE" => Statement::Delete { key: self.key("DELETE ID {}")? },
            "LABEL" => {
                let key = self.key("LABEL ID {} AS 'x'")?;
                if self.take("AS").is_none() {
                    return Err(self.expected("AS and the label", "write LABEL ID 'a' AS 'x'"));
                }
                let fix = |typed: &str| format!("write AS {typed}");
                Statement::Label { key, label: self.bindable_text("a label", Takes::Text, fix)? }
            }
            "UNLABEL" => Statement::Unlabel { key: self.key("UNLABEL ID {}")? },
            "SHOW" => self.show()?,
            "FLUSH" => Statement::Flush,
            "COMPACT" => Statement::Compact { neighbours: self.take("NEIGHBOURS").is_some() },
            "CHECK" => Statement::Check { deep: self.take("DEEP").is_some() },
            "BACKUP" => self.backup()?,
            "TRAIN" => Statement::Train(Box::new(self.train()?)),
            "CLEAN" => Statement::Clean(Box::new(self.clean()?)),
            "UNDO" => {
                if self.take("CLEAN").is_some() {
                    Statement::UndoClean
                } else if self.take("LABEL").is_some() {
                    Statement::UndoLabel
                } else {
                    return Err(self.expected(
                        "CLEAN or LABEL",
                        "UNDO CLEAN reverts the last cleaning, UNDO LABEL reverts the last change of labels",
                    ));
                }
            }
            "REEMBED" => {
                let mut model = None;
                while self.is("FROM") {
                    self.model_file(&mut model)?;
                }
                Statement::Reembed { model }
            }
            "USE" => Statement::UseModel { number: self.model_number("USE MODEL", "2")? },
            "DROP" => {
                let number = self.model_number("DROP MODEL", "1")?;
                Statement::DropModel { number, force: self.take("FORCE").is_some() }
            }
            _ if words::is_planned(word) && !words::contains(words::BACKUPS, word) => {
                let help = format!("statements are {}", words::STATEMENTS.join(", "));
                return Err(complaints::not_in_this_version(span, word, help));
            }
            _ => return Err(complaints::unknown_statement(span, word)),
        };
        if self.peek().is_some() {
            return Err(self.left_over(&keyword));
        }
        Ok(statement)
    }

    /// The diagnostic for a token after a complete statement that has no clauses.
    fn left_over(&self, statement: &str) -> Diagnostic {
        self.complain(|span| match self.word() {
            // LABEL and INSERT are ordinary words in some statements, but none of these takes one here.
            Some(word) if words::contains(words::STATEMENTS, word) => complaints::missing_semicolon(span, word),
            _ => complaints::unexpected(span, &self.found().unwrap_or_default(), statement),
        })
    }

    fn predict(&mut self) -> Parse<Statement> {
        let image = self.image("PREDICT 'photo.jpg' k=3")?;
        let (mut k, mut freshness) = (None, None);
        loop {
            if self.is("K") {
                k = Some(self.assigned_count(k.is_some(), "k")?);
            } else if self.is_freshness() {
                freshness = Some(self.freshness(freshness.as_ref())?);
            } else {
                return Ok(Statement::Predict { image, k, freshness });
            }
        }
    }

    fn put(&mut self) -> Parse<Statement> {
        let key = self.key("PUT ID {} 'photo.jpg'")?;
        let image = self.image("PUT ID 'a' 'photo.jpg'")?;
        values::check_new_image(&image)?;
        let mut role = None;
        let mut label = None;
        let mut overwrite = false;
        loop {
            if let Some(clause) = self.take("AS") {
                if role.is_some() {
                    return Err(complaints::repeated_clause(clause, "AS"));
                }
                role = Some(self.role()?);
            } else if let Some(clause) = self.take("LABEL") {
                if label.is_some() {
                    return Err(complaints::repeated_clause(clause, "LABEL"));
                }
                label = Some(self.bindable_text("a label", Takes::Text, |typed| format!("write LABEL {typed}"))?);
            } else if let Some(clause) = self.take("OVERWRITE") {
                if overwrite {
                    return Err(complaints::repeated_clause(clause, "OVERWRITE"));
                }
                overwrite = true;
            } else {
                break;
            }
        }
        check_role(role.as_ref(), label.as_ref())?;
        if let Some(word) = self.word()
            && !words::contains(words::STATEMENTS, word)
        {
            return Err(complaints::unknown_clause(self.here(), word, "PUT", &["AS", "LABEL", "OVERWRITE"]));
        }
        Ok(Statement::Put { key, image, role, label, overwrite })
    }

    fn role(&mut self) -> Parse<Spanned<Role>> {
        let Some(word) = self.word() else {
            return Err(self.expected("train or index", "write AS train LABEL 'x', or AS index"));
        };
        let Some(node) = Role::named(word) else {
            return Err(complaints::unknown_role(self.here(), word));
        };
        Ok(Spanned { node, span: self.bump() })
    }

    fn show(&mut self) -> Parse<Statement> {
        if self.take("STATUS").is_some() {
            return Ok(Statement::ShowStatus);
        }
        if self.take("LABELS").is_some() {
            return Ok(Statement::ShowLabels);
        }
        if self.take("SEGMENTS").is_some() {
            return Ok(Statement::ShowSegments);
        }
        if self.take("STALE").is_some() {
            return Ok(Statement::ShowStale);
        }
        if self.take("CLEANS").is_some() {
            return Ok(Statement::ShowCleans);
        }
        if self.take("CLEAN").is_some() {
            self.without_equals("SHOW CLEAN", "1")?;
            let number =
                self.whole("the number of a cleaning", "SHOW CLEAN 1; SHOW CLEANS lists them", 0..=u64::MAX)?;
            return Ok(Statement::ShowClean { number });
        }
        if self.take("MARKED").is_some() {
            return Ok(Statement::ShowMarked);
        }
        if self.take("SUSPECTS").is_some() {
            return self.suspects();
        }
        if self.take("MODELS").is_some() {
            return Ok(Statement::ShowModels);
        }
        Err(match self.word() {
            Some(word) => complaints::unknown_show(self.here(), word),
            None => self.expected("the name of a list", format!("write {}", complaints::show_forms())),
        })
    }

    /// After SHOW SUSPECTS.
    fn suspects(&mut self) -> Parse<Statement> {
        let mut limit = None;
        while self.is("LIMIT") {
            limit = Some(self.counted_clause(limit.is_some(), "LIMIT", &DEFAULT_SUSPECTS.to_string())?);
        }
        if limit.is_none() && self.peek() == Some(&Token::Number) {
            let typed = complaints::shown(self.typed(self.here()));
            return Err(self.expected("LIMIT", format!("write SHOW SUSPECTS LIMIT {typed}")));
        }
        Ok(Statement::ShowSuspects { limit })
    }

    /// `MODEL 2`, after USE or DROP; `what` is both words.
    fn model_number(&mut self, what: &str, example: &str) -> Parse<Spanned<Value<u64>>> {
        let whole = format!("{what} {example}");
        if self.take("MODEL").is_none() {
            let help = match (self.peek(), what) {
                (Some(Token::Number | Token::Parameter), _) => {
                    format!("write {what} {}", complaints::shown(self.typed(self.here())))
                }
                (_, "DROP MODEL") => format!("write {whole}; DELETE ID 'a' deletes an image"),
                _ => format!("write {whole}; SHOW MODELS lists the models"),
            };
            return Err(self.expected("MODEL and its number", help));
        }
        self.without_equals(what, example)?;
        self.whole("the number of a model", &whole, 0..=u64::MAX)
    }

    fn backup(&mut self) -> Parse<Statement> {
        if self.take("TO").is_some() {
            return Ok(Statement::Backup { folder: self.folder(|typed| format!("write BACKUP TO {typed}"))? });
        }
        if self.take("VERIFY").is_some() {
            let folder = self.folder(|typed| format!("write BACKUP VERIFY {typed}"))?;
            return Ok(Statement::BackupVerify { folder });
        }
        if self.take("RESTORE").is_some() {
            let from = self.folder(|typed| format!("write BACKUP RESTORE {typed} TO 'folder'"))?;
            if self.take("TO").is_none() {
                let typed =
                    from.node.typed().map_or_else(|| "'folder'".to_owned(), |from| quoted(&complaints::shown(from)));
                let help = format!("write BACKUP RESTORE {typed} TO 'folder'");
                return Err(self.expected("TO and the folder of the new database", help));
            }
            return Ok(Statement::BackupRestore { from, to: self.folder(|typed| format!("write TO {typed}"))? });
        }
        let help = match self.peek() {
            Some(Token::Text(folder)) => format!("write BACKUP TO {}", quoted(&complaints::shown(folder))),
            Some(Token::Bare) => {
                format!("write BACKUP TO {}", quoted(&complaints::shown(self.typed(self.here()))))
            }
            _ => format!("write {}", complaints::BACKUP_FORMS),
        };
        Err(self.expected("TO, VERIFY or RESTORE", help))
    }

    fn folder(&mut self, fix: impl Fn(&str) -> String) -> Parse<Spanned<Value<String>>> {
        self.bindable_text("a folder", Takes::Text, fix)
    }

    /// `ID 'a'`; `example` has `{}` for the key.
    fn key(&mut self, example: &str) -> Parse<Spanned<Value<String>>> {
        if self.take("ID").is_none() {
            return Err(match self.peek() {
                Some(Token::Text(key)) => complaints::key_without_id(self.here(), key, example),
                Some(Token::Word | Token::Bare | Token::Number) => {
                    complaints::key_without_id(self.here(), self.typed(self.here()), example)
                }
                _ => self.expected("ID and the key", format!("write {}", example.replace("{}", "'a'"))),
            });
        }
        self.bindable_text("a key", Takes::Key, |typed| format!("write ID {typed}"))
    }

    /// Non-empty text in quotes; `fix` writes the help from the input in quotes.
    fn text(&mut self, what: &str, fix: impl Fn(&str) -> String) -> Parse<Spanned<String>> {
        let span = self.here();
        match self.peek() {
            Some(Token::Text(text)) if text.is_empty() => Err(complaints::empty_text(span, what)),
            Some(Token::Text(text)) => Ok(Spanned { node: text.clone(), span: self.bump() }),
            // A word such as LIMIT here is the next clause, not the text.
            Some(Token::Word) if words::is_reserved(self.typed(span)) => {
                Err(self.expected(&format!("{what} in quotes"), fix("'..'")))
            }
            Some(Token::Word | Token::Bare | Token::Number) => {
                let typed = self.typed(span);
                Err(complaints::missing_quotes(span, typed, fix(&quoted(&complaints::shown(typed)))))
            }
            _ => Err(self.expected(&format!("{what} in quotes"), fix("'..'"))),
        }
    }
}

/// A train image has a label, an index image has none.
pub(crate) fn check_role(
    role: Option<&Spanned<Role>>,
    label: Option<&Spanned<Value<String>>>,
) -> Result<(), Diagnostic> {
    match (role, label) {
        (Some(Spanned { node: Role::Train, span }), None) => Err(complaints::train_without_label(*span)),
        (Some(Spanned { node: Role::Index, .. }), Some(label)) => Err(complaints::index_with_label(label.span)),
        _ => Ok(()),
    }
}
