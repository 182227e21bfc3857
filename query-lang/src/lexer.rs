//! Text into tokens. Nothing fails here: a run that is no token becomes [`Token::Bad`] with the diagnostic that the parser
//! reports when it gets there.

use crate::ast::{Span, Spanned};
use crate::complaints;
use crate::diagnostic::Diagnostic;

/// A piece of a statement. The parser reads words, numbers and parameters from the text by their span.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    /// Letters, digits and `_`, not starting with a digit: a keyword or a name.
    Word,
    /// `'..'` without its quotes.
    Text(String),
    /// `-1.5e3`.
    Number,
    /// `$1`.
    Parameter,
    /// A run such as `photo.jpg`, `-inf` or `12ab`: never valid, but the parser knows what should be there instead.
    Bare,
    /// `;`
    Semicolon,
    /// `=`
    Equals,
    /// `<=`
    AtMost,
    /// `,`
    Comma,
    /// `[`
    OpenBracket,
    /// `]`
    CloseBracket,
    /// `(`
    OpenParenthesis,
    /// `)`
    CloseParenthesis,
    /// Not a token.
    Bad(Box<Diagnostic>),
}

/// Splits a text into tokens; it skips comments and white space.
pub(crate) fn lex(text: &str) -> Vec<Spanned<Token>> {
    let mut lexer = Lexer::new(text, 0);
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next_token() {
        tokens.push(token);
    }
    tokens
}

/// Reads one token after the other; a caller that waits for more text may restart at the start of any token.
pub(crate) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    /// Starts at a byte of the text where a token or white space starts.
    pub(crate) fn new(text: &'a str, at: usize) -> Self {
        Self { text, at }
    }

    /// The current byte.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip_while(&mut self, wanted: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|character| !wanted(character)).unwrap_or(rest.len());
    }

    /// Skips white space and comments; true if the text ends inside a comment.
    pub(crate) fn skip_blank(&mut self) -> bool {
        loop {
            self.skip_while(|character| character.is_whitespace() || character == '\u{feff}');
            if !self.rest().starts_with("--") {
                return false;
            }
            self.skip_while(|character| character != '\n');
            if self.at == self.text.len() {
                return true;
            }
        }
    }

    /// The next token; `None` at the end.
    pub(crate) fn next_token(&mut self) -> Option<Spanned<Token>> {
        self.skip_blank();
        let start = self.at;
        let first = self.peek()?;
        let node = match first {
            ';' => self.symbol(Token::Semicolon),
            '=' => self.symbol(Token::Equals),
            '<' if self.rest().starts_with("<=") => {
                self.at += 1;
                self.symbol(Token::AtMost)
            }
            ',' => self.symbol(Token::Comma),
            '[' => self.symbol(Token::OpenBracket),
            ']' => self.symbol(Token::CloseBracket),
            '(' => self.symbol(Token::OpenParenthesis),
            ')' => self.symbol(Token::CloseParenthesis),
            '\'' => self.quoted(),
            '"' | '`' => self.wrongly_quoted(first, first),
            '‘' | '’' => self.wrongly_quoted(first, '’'),
            '“' | '”' | '„' => self.wrongly_quoted(first, '”'),
            '$' => self.parameter(),
            _ if self.skip_number() => self.unless_bare(Token::Number),
            _ if is_word_start(first) => {
                self.skip_while(is_word);
                self.unless_bare(Token::Word)
            }
            '.' | '/' | '\\' | '~' | '-' if self.starts_a_path(first) => self.unless_bare(Token::Bare),
            _ => {
                self.at += first.len_utf8();
                Token::Bad(Box::new(complaints::stray_character(self.from(start), first)))
            }
        };
        Some(Spanned { node, span: self.from(start) })
    }

    fn from(&self, start: usize) -> Span {
        Span { start, end: self.at }
    }

    fn symbol(&mut self, token: Token) -> Token {
        self.at += 1;
        token
    }

    /// `'..'`; a quote inside is doubled, newlines are allowed.
    fn quoted(&mut self) -> Token {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            let Some(quote) = self.rest().find('\'') else {
                // The text swallows the whole rest; the diagnostic points at the quote that opened it.
                self.at = self.text.len();
                return Token::Bad(Box::new(complaints::unterminated_text(Span { start, end: start + 1 })));
            };
            text.push_str(&self.rest()[..quote]);
            self.at += quote + 1;
            if self.peek() != Some('\'') {
                return Token::Text(text);
            }
            text.push('\'');
            self.at += 1;
        }
    }

    /// `"photo.jpg"`, or typographic quotes: one token, up to the end of the line at most.
    fn wrongly_quoted(&mut self, open: char, close: char) -> Token {
        let start = self.at;
        self.at += open.len_utf8();
        let inside = self.at;
        self.skip_while(|character| character != close && character != '\n');
        let content = self.text[inside..self.at].to_owned();
        if self.peek() == Some(close) {
            self.at += close.len_utf8();
        }
        Token::Bad(Box::new(complaints::wrong_quotes(self.from(start), &content)))
    }

    fn parameter(&mut self) -> Token {
        let start = self.at;
        self.at += 1;
        self.skip_while(is_word);
        let digits = &self.text[start + 1..self.at];
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Token::Parameter;
        }
        Token::Bad(Box::new(complaints::parameter_form(self.from(start), digits)))
    }

    /// Skips `-1`, `1.5`, `.5`, `1.`, `1e-3`; `false` if no number starts here.
    fn skip_number(&mut self) -> bool {
        let start = self.at;
        if self.peek() == Some('-') {
            self.at += 1;
        }
        let whole = self.skip_digits();
        let mut fraction = 0;
        if self.peek() == Some('.') {
            self.at += 1;
            fraction = self.skip_digits();
        }
        if whole + fraction == 0 {
            self.at = start;
            return false;
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            let mantissa_end = self.at;
            self.at += 1;
            if matches!(self.peek(), Some('+' | '-')) {
                self.at += 1;
            }
            if self.skip_digits() == 0 {
                self.at = mantissa_end;
            }
        }
        true
    }

    fn skip_digits(&mut self) -> usize {
        let start = self.at;
        self.skip_while(|character| character.is_ascii_digit());
        self.at - start
    }

    fn starts_a_path(&self, first: char) -> bool {
        self.rest()[first.len_utf8()..].chars().next().is_some_and(|next| !ends_a_run(next))
    }

    /// The token, unless more characters follow it directly: `photo.jpg` is a file name without quotes, not a word and a dot.
    fn unless_bare(&mut self, token: Token) -> Token {
        let end = self.at;
        while let Some(next) = self.peek() {
            if ends_a_run(next) || self.rest().starts_with("--") {
                break;
            }
            self.at += next.len_utf8();
        }
        if self.at == end { token } else { Token::Bare }
    }
}

fn is_word_start(character: char) -> bool {
    character == '_' || character.is_alphabetic()
}

fn is_word(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

fn ends_a_run(character: char) -> bool {
    character.is_whitespace() || ";,'\"`=()[]<>!$‘’“”„".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(String, &str)> {
        lex(text)
            .into_iter()
            .map(|token| {
                let kind = match token.node {
                    Token::Bad(diagnostic) => diagnostic.code().to_owned(),
                    Token::Text(inner) => inner,
                    other => format!("{other:?}"),
                };
                (kind, &text[token.span.start..token.span.end])
            })
            .collect()
    }

    fn kinds_only(text: &str) -> Vec<String> {
        kinds(text).into_iter().map(|(kind, _)| kind).collect()
    }

    #[test]
    fn numbers() {
        for text in ["0", "-1", "1.5", ".5", "-.5", "1.", "1e3", "1E-3", "-1.5e+30", "007"] {
            assert_eq!(kinds(text), [("Number".to_owned(), text)]);
        }
        for text in ["12ab", "1e", "1.2.3", "100000.jpg", "1-2", "-inf", "0x10"] {
            assert_eq!(kinds(text), [("Bare".to_owned(), text)]);
        }
        assert_eq!(kinds_only("k=3 tau=-0.6"), ["Word", "Equals", "Number", "Word", "Equals", "Number"]);
    }

    #[test]
    fn at_most_is_one_token_and_ends_a_run() {
        assert_eq!(kinds_only("STALE<=5s"), ["Word", "AtMost", "Bare"]);
        assert_eq!(kinds_only("<= =< < ="), ["AtMost", "Equals", "stray-character", "stray-character", "Equals"]);
    }

    #[test]
    fn text_keeps_its_inside() {
        assert_eq!(kinds("'it''s; -- \n'"), [("it's; -- \n".to_owned(), "'it''s; -- \n'")]);
        assert_eq!(kinds("''"), [(String::new(), "''")]);
        assert_eq!(kinds_only("'a' 'b"), ["a", "unterminated-text"]);
    }

    #[test]
    fn comments_and_white_space_are_nothing() {
        assert!(lex(" \t\r\n\u{feff}-- all of it ; 'x").is_empty());
        assert_eq!(kinds_only("a--b\n;"), ["Word", "Semicolon"]);
        assert_eq!(kinds_only("5--b\n;"), ["Number", "Semicolon"]);
    }

    #[test]
    fn file_names_without_quotes_are_one_run() {
        for text in ["photo.jpg", "./a/b.png", "/data/x", "~/x", "..", "C:\\x.jpg", "a-b", "größe.jpg"] {
            assert_eq!(kinds(text), [("Bare".to_owned(), text)]);
        }
        assert_eq!(kinds_only("größe 图"), ["Word", "Word"]);
    }

    #[test]
    fn what_is_no_token_is_bad_and_the_rest_goes_on() {
        assert_eq!(kinds_only("\"a;b\" x"), ["wrong-quotes", "Word"]);
        assert_eq!(kinds_only("“a b” x"), ["wrong-quotes", "Word"]);
        assert_eq!(kinds_only("? ; x"), ["stray-character", "Semicolon", "Word"]);
        assert_eq!(kinds_only("$1 $x $"), ["Parameter", "parameter-form", "parameter-form"]);
    }
}
