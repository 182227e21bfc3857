//! The one spelling of a label: labels that look the same to people are the same label.

use std::borrow::Cow;

use unicode_normalization::char::is_combining_mark;
use unicode_normalization::{UnicodeNormalization as _, is_nfc};

/// Invisible characters that are not white space: zero width space and joiners, word joiner, byte order mark.
const UNSEEN: [char; 5] = ['\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}', '\u{feff}'];

/// A label as the database keeps it: in Unicode's normalisation form C, without white space and invisible characters around it.
/// `Louvre ` and `Louvre` are one label, and so are the two encodings of an e with an accent. The inside does not change.
pub fn plain_label(text: &str) -> Cow<'_, str> {
    let is_around = |letter: char| letter.is_whitespace() || UNSEEN.contains(&letter);
    let inside = text.trim_matches(is_around);
    if is_nfc(inside) { Cow::Borrowed(inside) } else { Cow::Owned(inside.nfc().collect()) }
}

/// A text that shows the difference between two spellings of one label: it has combining marks, invisible characters and unusual
/// white space as `\u{301}`.
pub fn spelt(text: &str) -> String {
    let show = |letter: char| {
        let odd = is_combining_mark(letter) || UNSEEN.contains(&letter) || (letter.is_whitespace() && letter != ' ');
        if odd { letter.escape_unicode().to_string() } else { letter.to_string() }
    };
    text.chars().map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It catches: a form of Unicode, or white space, that makes two labels of one.
    #[test]
    fn spellings_of_one_label_are_one() {
        for text in ["Louvre", "Louvre ", " Louvre", "\tLouvre\r\n", "\u{a0}Louvre", "\u{feff}Louvre\u{200b}"] {
            assert_eq!(plain_label(text), "Louvre");
        }
        assert_eq!(plain_label("Cafe\u{301}"), "Caf\u{e9}");
        assert_eq!(plain_label("\u{212b}ngstrom"), "\u{c5}ngstrom");
        assert!(matches!(plain_label("Mus\u{e9}e  d'Orsay"), Cow::Borrowed("Mus\u{e9}e  d'Orsay")));
        // What has another meaning stays another label: ligatures and full width letters.
        assert_eq!(plain_label("\u{fb01}n"), "\u{fb01}n");
        assert_eq!(plain_label(" \u{feff} "), "");
    }

    /// It catches: a message that shows the same letters twice.
    #[test]
    fn a_spelling_shows_what_is_not_seen() {
        assert_eq!(spelt("Cafe\u{301}\u{200b} "), "Cafe\\u{301}\\u{200b} ");
        assert_eq!(spelt("Caf\u{e9}"), "Caf\u{e9}");
    }
}
