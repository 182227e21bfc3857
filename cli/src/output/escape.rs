//! Makes characters visible that control a terminal, reverse the text around them or are invisible; and shortens long texts.

use std::fmt::Write as _;
use std::io::{self, Write};

/// Number of characters of one value that people see; keys and labels are shorter, and a value of a megabyte is no use on a
/// screen.
const LONGEST_VALUE: usize = 500;
/// Number of characters of one line of a message that people see; such a line may contain values.
const LONGEST_LINE: usize = 1_000;

/// Whether a character controls a terminal (C0, DEL, C1), reverses the text around it (bidirectional controls), or is invisible.
/// Joiners and variation selectors, which some scripts need, stay if they follow a character that is not ASCII.
fn is_hidden(c: char, before: char) -> bool {
    match c {
        '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => before.is_ascii(),
        // Soft hyphen, combining joiner, Hangul fillers, Khmer and Mongolian vowels and selectors without a shape.
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' => true,
        // Bidirectional controls; spaces without width; line separators; invisible operators.
        '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
        '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' => true,
        '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}' => true,
        c => c.is_control(),
    }
}

/// A value for people: its hidden characters escaped as in `\u{1b}`, and if it is too long to read, cut in the middle, with its
/// length.
pub(crate) fn visible(text: &str) -> String {
    escaped(&cut(text, LONGEST_VALUE))
}

/// A message of several lines for people: the same for each line, which may be longer.
pub(crate) fn visible_lines(text: &str) -> String {
    text.split('\n').map(|line| escaped(&cut(line, LONGEST_LINE))).collect::<Vec<_>>().join("\n")
}

fn escaped(text: &str) -> String {
    let (mut safe, mut before) = (String::with_capacity(text.len()), ' ');
    for c in text.chars() {
        if is_hidden(c, before) {
            safe.extend(c.escape_default())
        } else {
            safe.push(c)
        }
        before = c;
    }
    safe
}

/// Both ends of a text of more than `most` characters, and its length.
fn cut(text: &str, most: usize) -> String {
    // Bytes are counted first: there are never more characters than bytes.
    let count = if text.len() <= most { 0 } else { text.chars().count() };
    if count <= most {
        return text.to_owned();
    }
    let (head, tail) = (2 * most / 3, most / 3);
    let place = |at: usize| text.char_indices().nth(at).map_or(text.len(), |(place, _)| place);
    format!("{}\u{2026}{} ({count} characters)", &text[..place(head)], &text[place(count - tail)..])
}

/// A JSON string; it has hidden characters as `\uXXXX`, which every reader turns back into the characters.
pub(crate) fn json_string(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    let (mut safe, mut before) = (String::with_capacity(quoted.len()), ' ');
    for c in quoted.chars() {
        if is_hidden(c, before) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
        before = c;
    }
    safe
}

/// An output to a terminal: no text written through it can control the terminal, whatever its format. Newlines and tabs stay.
pub(crate) struct Shielded<W> {
    out: W,
    /// The first bytes of a character whose last ones have not come yet.
    begun: Vec<u8>,
    before: char,
}

impl<W: Write> Shielded<W> {
    /// Wraps a terminal.
    pub(crate) fn new(out: W) -> Self {
        Self { out, begun: Vec::new(), before: ' ' }
    }

    fn pass(&mut self, text: &str) -> io::Result<()> {
        let mut safe = String::with_capacity(text.len());
        for c in text.chars() {
            if is_hidden(c, self.before) && c != '\n' && c != '\t' {
                safe.extend(c.escape_default());
            } else {
                safe.push(c);
            }
            self.before = c;
        }
        self.out.write_all(safe.as_bytes())
    }
}

impl<W: Write> Write for Shielded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let all = [std::mem::take(&mut self.begun).as_slice(), bytes].concat();
        let mut chunks = all.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            self.pass(chunk.valid())?;
            // A character has up to four bytes; fewer at the end may be the start of one.
            if chunks.peek().is_none() && std::str::from_utf8(chunk.invalid()).is_err_and(|e| e.error_len().is_none()) {
                self.begun = chunk.invalid().to_vec();
            } else if !chunk.invalid().is_empty() {
                self.pass("\u{fffd}")?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Characters that must not reach a terminal: ESC, BEL, DEL, C1 (CSI, OSC), bidirectional controls, invisible ones.
    const NASTY: [char; 16] = [
        '\u{1b}',
        '\u{7}',
        '\r',
        '\u{8}',
        '\u{7f}',
        '\u{9b}',
        '\u{9d}',
        '\u{85}',
        '\u{202e}',
        '\u{2066}',
        '\u{200f}',
        '\u{61c}',
        '\u{200b}',
        '\u{feff}',
        '\u{2028}',
        '\u{e0041}',
    ];

    #[test]
    fn no_hidden_character_passes() {
        for c in NASTY {
            let text = format!("a{c}b");
            let mut shielded = Shielded::new(Vec::new());
            shielded.write_all(text.as_bytes()).unwrap();
            for shown in
                [visible(&text), visible_lines(&text), json_string(&text), String::from_utf8(shielded.out).unwrap()]
            {
                assert!(!shown.contains(c) && shown.contains('\\'), "{c:?} in {shown:?}");
            }
            assert_eq!(serde_json::from_str::<String>(&json_string(&text)).unwrap(), text);
        }
        assert_eq!(visible("two\nlines"), "two\\nlines");
        assert_eq!(visible_lines("two\nlines\u{1b}[2J"), "two\nlines\\u{1b}[2J");
    }

    #[test]
    fn words_of_every_writing_stay_as_they_are() {
        // Persian with a joiner that separates two letters, a family, a coloured heart, Hindi.
        for text in [
            "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
            "\u{1f469}\u{200d}\u{1f467}",
            "\u{2764}\u{fe0f}",
            "\u{915}\u{94d}\u{200d}\u{937}",
            "Zürich 東京",
        ] {
            assert_eq!(visible(text), text);
            assert_eq!(json_string(text), format!("\"{text}\""));
        }
        assert_eq!(visible("a\u{200d}b"), "a\\u{200d}b", "two keys must not look alike");
    }

    #[test]
    fn a_text_that_nobody_reads_is_cut_and_its_length_told() {
        let long = format!("{}{}", "ä".repeat(1 << 20), "end");
        for shown in [visible(&long), visible_lines(&long)] {
            assert!(shown.len() < 5_000 && shown.contains("end (1048579 characters)"), "{shown}");
        }
        assert_eq!(json_string(&long).chars().count(), (1 << 20) + 5);
        assert_eq!(visible(&"x".repeat(LONGEST_VALUE)), "x".repeat(LONGEST_VALUE));
    }

    #[test]
    fn a_terminal_gets_lines_and_tabs_and_characters_that_come_in_pieces() {
        let mut shielded = Shielded::new(Vec::new());
        for byte in "a\té\u{9b}\n東\u{1b}]52;c;eA==\u{7}".as_bytes() {
            shielded.write_all(&[*byte]).unwrap();
        }
        shielded.write_all(b"\xff.").unwrap();
        assert_eq!(String::from_utf8(shielded.out).unwrap(), "a\té\\u{9b}\n東\\u{1b}]52;c;eA==\\u{7}\u{fffd}.");
    }
}
