//! A mistake in a statement: a place, a message and a help line, and how a person sees them.

use std::fmt;

use crate::ast::Span;

/// Width of a tab in columns when a line is shown; terminals disagree, so tabs are shown as spaces.
const TAB: &str = "    ";
/// A wider line is shown only around its caret (a literal VECTOR has thousands of columns).
const WIDEST_LINE: usize = 120;
/// At most this many columns of the text before a statement on its first line are ever shown.
pub(crate) const LEAD_COLUMNS: usize = WIDEST_LINE + 1;
/// Columns that are kept before the caret of such a line.
const BEFORE_CARET: usize = 60;
/// Columns that are kept from the caret on.
const FROM_CARET: usize = 50;

/// A mistake in a statement.
///
/// Its `Display` is its message; [`Diagnostic::render`] shows the place too.
///
/// ```
/// let text = "SEARCH img K 100 RERANK k=3 tau=7";
/// let parsed = cairndb_query::parse(text);
/// assert_eq!(parsed.diagnostics[0].code(), "tau-range");
/// assert_eq!(&text[parsed.diagnostics[0].span().start..], "7");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnostic {
    code: &'static str,
    span: Span,
    other: Option<Span>,
    message: String,
    help: String,
}

impl Diagnostic {
    /// Every code that is passed here needs a file of that name in `tests/diagnostics`.
    pub(crate) fn new(code: &'static str, span: Span, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { code, span, other: None, message: message.into(), help: help.into() }
    }

    /// The same with a second place, if there is one.
    pub(crate) fn with_other(self, other: Option<Span>) -> Self {
        Self { other, ..self }
    }

    /// The kind of mistake as a short stable name, for programs: `tau-range`, `unknown-column`, ..
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Its place, in bytes of the parsed text; empty if something is missing there.
    pub fn span(&self) -> Span {
        self.span
    }

    /// A second place that belongs to it: the earlier clause. It is shown with dashes.
    pub fn other(&self) -> Option<Span> {
        self.other
    }

    /// The mistake, without a full stop.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, without a full stop; never empty.
    pub fn help(&self) -> &str {
        &self.help
    }

    /// Shows the diagnostic with its line of `text` and a caret under the place; no newline at the end. A second place is on the
    /// same line, or has its own line.
    ///
    /// `text` is the text that was parsed; with another text the caret is off, but nothing fails. Tabs are shown as spaces,
    /// control characters as U+FFFD, and a very long line only around its caret.
    pub fn render(&self, text: &str) -> String {
        self.render_within(text, 1, "")
    }

    /// The same for a text that is part of a longer one: it starts on line `line` (from 1), after `lead`. Of a long line, its
    /// last [`LEAD_COLUMNS`] columns are enough.
    pub(crate) fn render_within(&self, text: &str, line: usize, lead: &str) -> String {
        let mut places = vec![Place::of(text, line, lead, self.span, '^')];
        if let Some(other) = self.other {
            let other = Place::of(text, line, lead, other, '-');
            places.insert(usize::from(other.start > places[0].start), other);
        }
        let gutter = places.iter().map(|place| place.number.to_string().len()).fold(3, usize::max);
        let mut rendered = format!("error: {}\n", self.message);
        // Places of one line that is shown in full share it.
        for group in places.chunk_by(|first, second| first.number == second.number && first.whole && second.whole) {
            let Place { number, shown, .. } = &group[0];
            let marks = underline(group);
            rendered.push_str(&format!("{number:>gutter$} | {shown}\n{:>gutter$} | {marks}\n", ""));
        }
        rendered + "  help: " + &self.help
    }
}

/// A place of a text as it is shown.
struct Place {
    /// First byte of the place.
    start: usize,
    /// Number of its line, from 1.
    number: usize,
    /// The line, or the part that is shown.
    shown: String,
    /// Whether all of the line is shown.
    whole: bool,
    /// Columns in front of the place.
    indent: usize,
    /// Columns of the place.
    width: usize,
    /// The character that underlines it.
    mark: char,
}

impl Place {
    fn of(text: &str, first: usize, lead: &str, span: Span, mark: char) -> Self {
        let start = text.floor_char_boundary(span.start.min(text.len()));
        let end = text.ceil_char_boundary(span.end.clamp(start, text.len()));
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let line = &text[line_start..line_end];
        let line = line.strip_suffix('\r').unwrap_or(line);
        let number = text[..start].matches('\n').count() + first;
        let lead = if line_start == 0 { lead } else { "" };

        let caret_column = columns(lead) + columns(&text[line_start..start.min(line_start + line.len())]);
        // `start` may be past a trimmed carriage return, hence `get`.
        let caret_width = line.get(start - line_start..(end - line_start).min(line.len())).map_or(0, columns).max(1);
        let line = format!("{lead}{line}");
        let (shown, indent) = window(&line, caret_column);
        let width = caret_width.min(columns(&shown).saturating_sub(indent)).max(1);
        Self { start, number, shown, whole: columns(&line) <= WIDEST_LINE, indent, width, mark }
    }
}

/// The marks of the places of one line, in their order.
fn underline(places: &[Place]) -> String {
    let mut marks = String::new();
    for place in places {
        // One column per mark: all of them are ASCII.
        let gap = place.indent.saturating_sub(marks.len());
        marks.extend(std::iter::repeat_n(' ', gap).chain(std::iter::repeat_n(place.mark, place.width)));
    }
    marks
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Diagnostic {}

/// The part of a line that is shown, and the column at which its caret starts.
fn window(line: &str, caret: usize) -> (String, usize) {
    let width = columns(line);
    if width <= WIDEST_LINE {
        return (line.chars().map(Cell::of).map(|cell| cell.shown).collect(), caret);
    }
    let (from, to) = (caret.saturating_sub(BEFORE_CARET), caret + FROM_CARET);
    let mut shown = String::new();
    let mut indent = caret;
    let mut column = 0;
    if from > 0 {
        shown.push('…');
        indent = 1;
    }
    for cell in line.chars().map(Cell::of) {
        let here = column;
        column += cell.width;
        if here < from || here >= to {
            continue;
        }
        if from > 0 && here < caret {
            indent += cell.width;
        }
        shown.push_str(&cell.shown);
    }
    if to < width {
        shown.push('…');
    }
    (shown, indent)
}

/// The width of a piece of a line, in columns.
fn columns(piece: &str) -> usize {
    piece.chars().map(|character| Cell::of(character).width).sum()
}

/// One character as it is shown.
struct Cell {
    shown: String,
    width: usize,
}

impl Cell {
    fn of(character: char) -> Self {
        if character == '\t' {
            return Self { shown: TAB.to_owned(), width: TAB.len() };
        }
        let shown = harmless(character);
        Self { shown: shown.to_string(), width: width(shown) }
    }
}

/// A character that cannot move the cursor or reorder a line: file names and keys from outside appear in messages.
pub(crate) fn harmless(character: char) -> char {
    let reorders = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if character.is_control() || reorders { char::REPLACEMENT_CHARACTER } else { character }
}

/// Columns of a character on a terminal: 2 for East Asian wide characters and emoji, 0 for combining marks. It approximates
/// Unicode's tables: an error only shifts the caret.
fn width(character: char) -> usize {
    match u32::from(character) {
        0x0300..=0x036f | 0x200b..=0x200d | 0x20d0..=0x20ff | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f680..=0x1f6ff
        | 0x1f900..=0x1f9ff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn at(start: usize, end: usize) -> Diagnostic {
        Diagnostic::new("test", Span { start, end }, "wrong", "right")
    }

    #[test]
    fn it_is_an_error_that_displays_its_message() {
        let error: Box<dyn std::error::Error> = Box::new(at(0, 1));
        assert_eq!(error.to_string(), "wrong");
    }

    #[test]
    fn a_place_outside_the_text_or_inside_a_character_is_moved_to_it() {
        assert_eq!(at(50, 90).render("ab"), "error: wrong\n  1 | ab\n    |   ^\n  help: right");
        assert_eq!(at(1, 2).render("é!"), "error: wrong\n  1 | é!\n    | ^\n  help: right");
        assert_eq!(at(9, 2).render(""), "error: wrong\n  1 | \n    | ^\n  help: right");
    }

    #[test]
    fn the_line_of_the_place_is_shown() {
        assert_eq!(at(5, 6).render("ab\r\n\tcd\nef"), "error: wrong\n  2 |     cd\n    |     ^\n  help: right");
        assert_eq!(at(3, 3).render("ab\r\ncd"), "error: wrong\n  1 | ab\n    |   ^\n  help: right");
        let text = "\n".repeat(12_344) + "x";
        assert_eq!(at(12_344, 12_345).render(&text), "error: wrong\n12345 | x\n      | ^\n  help: right");
    }

    #[test]
    fn a_second_place_shares_the_line_or_has_its_own() {
        let two = |start, end, other| at(start, end).with_other(Some(Span { start: other, end: other + 2 }));
        assert_eq!(two(3, 5, 0).render("ab cd"), "error: wrong\n  1 | ab cd\n    | -- ^^\n  help: right");
        assert_eq!(two(0, 2, 3).render("ab cd"), "error: wrong\n  1 | ab cd\n    | ^^ --\n  help: right");
        let lines = "error: wrong\n  1 | ab\n    | --\n  2 | cd\n    | ^^\n  help: right";
        assert_eq!(two(3, 5, 0).render("ab\ncd"), lines);
        let long = format!("ab{}cd", " ".repeat(500));
        assert_eq!(two(502, 504, 0).render(&long).lines().count(), 6);
    }

    #[test]
    fn a_long_line_is_shown_around_its_caret() {
        let text = format!("{}!{}", "a".repeat(5000), "b".repeat(5000));
        let rendered = at(5000, 5001).render(&text);
        let lines: Vec<&str> = rendered.lines().collect();
        let column = lines[2].chars().position(|character| character == '^').unwrap();
        assert_eq!(lines[1].chars().nth(column), Some('!'));
        assert!(lines[1].chars().count() < 130, "{rendered}");
        let whole = at(0, 10_001).render(&text);
        assert!(whole.lines().all(|line| line.chars().count() < 130), "{whole}");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert!(!at(0, 1).render("\u{1b}[2J\u{202e}").contains(['\u{1b}', '\u{202e}']));
    }
}
