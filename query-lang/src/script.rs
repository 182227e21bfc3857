//! Splits a script of any length into statements: bytes go in as they arrive, and each statement comes out, with its line, once
//! its `;` has arrived. It holds one statement and the bytes that arrived with its end.

use std::fmt;

use crate::diagnostic::{Diagnostic, LEAD_COLUMNS};
use crate::lexer::{Lexer, Token};
use crate::limits::MAX_TEXT_BYTES;

/// A statement of a script, and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its text, from its first word to its `;`, which the last one of a script may lack.
    pub text: String,
    /// The line on which it starts, from 1.
    pub line: usize,
    /// The text before it on that line; of a long line, as much as a caret needs.
    lead: String,
}

impl Piece {
    /// A statement without a script.
    pub fn alone(text: impl Into<String>) -> Self {
        Self { text: text.into(), line: 1, lead: String::new() }
    }

    /// Shows a diagnostic of this text with its line and number in the script, as [`Diagnostic::render`] does.
    pub fn render(&self, diagnostic: &Diagnostic) -> String {
        diagnostic.render_within(&self.text, self.line, &self.lead)
    }
}

/// Why a script cannot be read further.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScriptError {
    /// The bytes on this line are not UTF-8.
    NotText {
        /// From 1.
        line: usize,
    },
    /// The statement that starts on this line has more than [`MAX_TEXT_BYTES`] bytes.
    TooLong {
        /// From 1.
        line: usize,
    },
}

impl ScriptError {
    /// The line, from 1.
    pub fn line(&self) -> usize {
        match self {
            Self::NotText { line } | Self::TooLong { line } => *line,
        }
    }

    /// What to do about it, without a full stop.
    pub fn help(&self) -> &'static str {
        match self {
            Self::NotText { .. } => "statements are UTF-8 text; check the file and its encoding",
            Self::TooLong { .. } => "end each statement with ; and look for a quote that is not closed",
        }
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotText { line } => write!(out, "line {line} has bytes that are not UTF-8"),
            Self::TooLong { line } => {
                write!(out, "the statement that starts on line {line} has more than {MAX_TEXT_BYTES} bytes")
            }
        }
    }
}

impl std::error::Error for ScriptError {}

/// Splits a script into statements as it arrives. Time is linear in its length; memory is that of one statement.
///
/// ```
/// use cairndb_query::Script;
/// let mut script = Script::new();
/// script.push(b"SHOW STATUS; -- first\nSHOW LAB").unwrap();
/// assert_eq!(script.take().unwrap().unwrap().text, "SHOW STATUS;");
/// assert!(script.take().unwrap().is_none());
/// script.push(b"ELS").unwrap();
/// script.end();
/// let last = script.take().unwrap().unwrap();
/// assert_eq!((last.text.as_str(), last.line), ("SHOW LABELS", 2));
/// ```
#[derive(Debug, Default)]
pub struct Script {
    /// The bytes that came and were not taken: `text[start..]`.
    text: String,
    start: usize,
    /// Up to here the tokens of the statement are known, and none is a semicolon.
    lexed: usize,
    /// Up to here there is no semicolon that could end the statement.
    searched: usize,
    /// The first bytes of a character whose last ones have not come.
    partial: Vec<u8>,
    /// The number of newlines before `start`.
    lines: usize,
    /// The text before `start` on its line.
    lead: String,
    /// The text continues inside a comment.
    comment: bool,
    /// The script has ended.
    ended: bool,
}

impl Script {
    /// A script without any bytes yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The rest of a script, from a line (from 1) on.
    pub fn at_line(line: usize) -> Self {
        Self { lines: line.saturating_sub(1), ..Self::default() }
    }

    /// Takes the next bytes. They may end inside a word, a text or a character.
    ///
    /// # Errors
    /// [`ScriptError::NotText`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ScriptError> {
        self.text.drain(..self.start);
        (self.lexed, self.searched) = (self.lexed - self.start, self.searched - self.start);
        self.start = 0;
        let joined;
        let mut bytes = bytes;
        if !self.partial.is_empty() {
            joined = [std::mem::take(&mut self.partial).as_slice(), bytes].concat();
            bytes = &joined;
        }
        let (text, rest) = match std::str::from_utf8(bytes) {
            Ok(text) => (text, &bytes[..0]),
            Err(error) => {
                let (text, rest) = bytes.split_at(error.valid_up_to());
                let text = std::str::from_utf8(text).unwrap_or_default();
                if error.error_len().is_some() {
                    return Err(self.no_text(text));
                }
                (text, rest)
            }
        };
        self.text.push_str(text);
        self.partial.extend_from_slice(rest);
        self.leave_comment();
        Ok(())
    }

    /// Ends the script: the rest is the last statement.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// The next complete statement; `None` if more bytes must come first, or if there are no more statements.
    ///
    /// # Errors
    /// [`ScriptError::TooLong`]; [`ScriptError::NotText`] if the script ends inside a character.
    pub fn take(&mut self) -> Result<Option<Piece>, ScriptError> {
        loop {
            let mut blank = Lexer::new(&self.text, self.start);
            let in_comment = blank.skip_blank();
            let begins = blank.at();
            if begins > self.start {
                self.pass(begins);
                self.comment = in_comment && !self.ended;
            }
            let end = self.find_end();
            if end.unwrap_or(self.text.len()) - self.start > MAX_TEXT_BYTES {
                return Err(ScriptError::TooLong { line: self.lines + 1 });
            }
            let Some(end) = end else {
                return if self.ended && !self.partial.is_empty() { Err(self.no_text("")) } else { Ok(None) };
            };
            let text = self.text[self.start..end].to_owned();
            let piece = Piece { text, line: self.lines + 1, lead: self.lead.clone() };
            self.pass(end);
            // A semicolon alone is no statement.
            if piece.text != ";" {
                return Ok(Some(piece));
            }
        }
    }

    /// Where the statement at `start` ends, if that is known.
    fn find_end(&mut self) -> Option<usize> {
        if self.ended {
            let mut lexer = Lexer::new(&self.text, self.lexed);
            while let Some(token) = lexer.next_token() {
                self.lexed = token.span.end;
                if token.node == Token::Semicolon {
                    return Some(self.lexed);
                }
            }
            return (self.partial.is_empty() && self.start < self.text.len()).then_some(self.text.len());
        }
        // Only a semicolon ends it, so no byte is read twice while none comes.
        if !self.text[self.searched..].contains(';') {
            self.searched = self.text.len();
            return None;
        }
        let mut lexer = Lexer::new(&self.text, self.lexed);
        while let Some(token) = lexer.next_token() {
            if token.node == Token::Semicolon {
                self.lexed = token.span.end;
                self.searched = self.lexed;
                return Some(self.lexed);
            }
            if token.span.end == self.text.len() {
                // It may continue in the next bytes.
                break;
            }
            self.lexed = token.span.end;
        }
        self.searched = self.text.len();
        None
    }

    /// Drops the text before `to`.
    fn pass(&mut self, to: usize) {
        let passed = &self.text[self.start..to];
        let line = match passed.rfind('\n') {
            Some(newline) => {
                self.lines += passed.matches('\n').count();
                self.lead.clear();
                &passed[newline + 1..]
            }
            None => passed,
        };
        self.lead.push_str(line);
        if let Some((cut, _)) = self.lead.char_indices().rev().nth(2 * LEAD_COLUMNS) {
            // Seldom, so that a long line costs its length only once.
            let cut = self.lead[cut..].char_indices().nth(LEAD_COLUMNS).map_or(cut, |(more, _)| cut + more);
            self.lead.drain(..cut);
        }
        self.start = to;
        self.lexed = self.lexed.max(to);
        self.searched = self.searched.max(to);
    }

    /// Drops the continuation of a comment.
    fn leave_comment(&mut self) {
        if self.comment {
            let newline = self.text.find('\n');
            self.comment = newline.is_none();
            self.text.drain(..newline.unwrap_or(self.text.len()));
            (self.lexed, self.searched) = (0, 0);
        }
    }

    /// The line of the first byte that is not text, after `text`.
    fn no_text(&self, text: &str) -> ScriptError {
        let newlines = |text: &str| text.matches('\n').count();
        ScriptError::NotText { line: self.lines + newlines(&self.text[self.start..]) + newlines(text) + 1 }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::parser::parse;

    /// The statements of a text that arrives in pieces of this many bytes.
    fn pieces(text: &str, bytes: usize) -> Vec<Piece> {
        let (mut script, mut found) = (Script::new(), Vec::new());
        for part in text.as_bytes().chunks(bytes) {
            script.push(part).unwrap();
            while let Some(piece) = script.take().unwrap() {
                found.push(piece);
            }
        }
        script.end();
        while let Some(piece) = script.take().unwrap() {
            found.push(piece);
        }
        found
    }

    const TEXT: &str = "\u{feff}-- first; 'one\r\nSHOW STATUS;;\tSEARCH 'it''s; --' K 5 -- and; so\n LIMIT 2 ;\n\n-- größe\n\
        PUT ID 'ü;\n' VECTOR [1, -2]--;\n;SEARCH \"a;b\" K 1;\nSEARCH a K 0; SHOW LABELS <= 'x;'; FLUSH -- end";

    #[test]
    fn statements_do_not_depend_on_how_the_text_comes() {
        let whole = pieces(TEXT, TEXT.len());
        assert_eq!(whole.len(), 7);
        for bytes in 1..40 {
            assert_eq!(pieces(TEXT, bytes), whole, "{bytes} bytes at a time");
        }
    }

    #[test]
    fn diagnostics_are_those_of_the_whole_text() {
        let parsed = parse(TEXT);
        let own: Vec<String> = pieces(TEXT, 3)
            .iter()
            .flat_map(|piece| parse(&piece.text).diagnostics.iter().map(|each| piece.render(each)).collect::<Vec<_>>())
            .collect();
        assert_eq!(own.len(), parsed.diagnostics.len());
        for (own, whole) in own.iter().zip(&parsed.diagnostics) {
            // A piece does not know what follows on its line.
            let whole = whole.render(TEXT);
            let (mut own, mut whole) = (own.lines(), whole.lines());
            assert_eq!(own.next(), whole.next());
            assert!(whole.next().unwrap().starts_with(own.next().unwrap()));
            assert!(own.eq(whole));
        }
    }

    #[test]
    fn a_caret_stays_right_on_a_line_of_any_length() {
        let text = format!("{}SEARCH a K 0;", "SHOW STATUS; ".repeat(5_000));
        let last = pieces(&text, 4096).pop().unwrap();
        let own = last.render(&parse(&last.text).diagnostics[0]);
        assert_eq!(
            own,
            parse(&text[text.len() - 2000..]).diagnostics.pop().unwrap().render(&text[text.len() - 2000..])
        );
        assert!(last.lead.len() < 1000, "{}", last.lead.len());
    }

    #[test]
    fn nothing_but_blanks_and_comments_is_no_statement_and_is_not_held() {
        let mut script = Script::new();
        script.push(b"-- a long").unwrap();
        for _ in 0..1000 {
            script.push(&[b';'; 1 << 12]).unwrap();
            assert!(script.take().unwrap().is_none());
            assert!(script.text.len() - script.start <= 1 << 12);
        }
        script.push(b"\n\nFLUSH").unwrap();
        script.end();
        assert_eq!(script.take().unwrap().map(|piece| (piece.text, piece.line)), Some(("FLUSH".to_owned(), 3)));
        assert_eq!(script.take().unwrap(), None);
        assert!(pieces(";; \u{feff} -- x\n ;", 2).is_empty());
    }

    #[test]
    fn what_is_too_long_or_no_text_is_refused_with_its_line() {
        let mut script = Script::new();
        script.push(b"FLUSH;\n\nSEARCH 'x").unwrap();
        assert!(script.take().unwrap().is_some());
        let refused = loop {
            script.push(&[b';'; 1 << 16]).unwrap();
            if let Err(error) = script.take() {
                break error;
            }
            assert!(script.text.len() < 2 * MAX_TEXT_BYTES);
        };
        assert_eq!(refused, ScriptError::TooLong { line: 3 });
        let error = |bytes: &[u8]| {
            let mut script = Script::new();
            script.push(bytes).map(|()| script.end()).and_then(|()| script.take()).unwrap_err()
        };
        assert_eq!(error(b"FLUSH\n\nab\xff"), ScriptError::NotText { line: 3 });
        assert_eq!(error(b"a\nb\xc3"), ScriptError::NotText { line: 2 });
        assert!(!refused.help().is_empty() && refused.to_string().contains("line 3"));
    }
}
