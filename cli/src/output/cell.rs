//! One value of an answer, in each format.

use super::escape::{json_string, visible};

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// Text.
    Text(String),
    /// A count or a rank.
    Whole(u64),
    /// A similarity or a score.
    Number(f32),
    /// A figure with a fixed number of decimals, for people and programs alike.
    Fixed(f64, usize),
    /// No value.
    Nothing,
}

impl Cell {
    /// A value that may be absent.
    pub(crate) fn text(value: Option<impl Into<String>>) -> Self {
        value.map_or(Cell::Nothing, |text| Cell::Text(text.into()))
    }

    /// For programs: the shortest digits that parse to the same number; nothing for no value.
    pub(crate) fn exact(&self) -> String {
        match self {
            Cell::Text(text) => text.clone(),
            Cell::Whole(number) => number.to_string(),
            Cell::Number(number) => number.to_string(),
            Cell::Fixed(number, decimals) => {
                let text = format!("{number:.decimals$}");
                // A sum of nothing is minus zero, and a small negative figure rounds to it: neither has a sign.
                let is_zero = text.trim_start_matches('-').bytes().all(|byte| matches!(byte, b'0' | b'.'));
                if is_zero { text.trim_start_matches('-').to_owned() } else { text }
            }
            Cell::Nothing => String::new(),
        }
    }

    /// For people: four decimals, with hidden characters made visible, so that a key cannot control the terminal.
    pub(crate) fn shown(&self) -> String {
        match self {
            Cell::Number(number) => format!("{number:.4}"),
            Cell::Text(text) => visible(text),
            other => other.exact(),
        }
    }

    /// A JSON value.
    pub(crate) fn json(&self) -> String {
        match self {
            Cell::Text(text) => json_string(text),
            Cell::Number(number) if !number.is_finite() => "null".to_owned(),
            Cell::Fixed(number, _) if !number.is_finite() => "null".to_owned(),
            Cell::Nothing => "null".to_owned(),
            other => other.exact(),
        }
    }

    /// One field of a CSV line (RFC 4180): exactly the value.
    pub(crate) fn csv(&self) -> String {
        quoted(self.exact())
    }

    /// One field of a CSV line for a spreadsheet: text that it would read as a formula gets a `'` before it, also after a
    /// character that some spreadsheets treat as the end of a cell (OWASP, CSV injection). Numbers do not change.
    pub(crate) fn csv_safe(&self) -> String {
        let Cell::Text(text) = self else { return self.csv() };
        let (mut safe, mut begins) = (String::with_capacity(text.len()), true);
        for c in text.chars() {
            let formula =
                matches!(c, '=' | '+' | '-' | '@' | '\u{ff1d}' | '\u{ff0b}' | '\u{ff0d}' | '\u{ff20}' | '\t' | '\r');
            if begins && formula {
                safe.push('\'');
            }
            safe.push(c);
            begins = matches!(c, ',' | ';' | '|' | '\t' | '\r' | '\n')
                || (begins && (c.is_whitespace() || is_passed_over(c)));
        }
        quoted(safe)
    }

    /// One cell of a Markdown table.
    pub(crate) fn markdown(&self) -> String {
        self.shown().replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;")
    }

    /// True for numbers, which are right-aligned.
    pub(crate) fn is_number(&self) -> bool {
        matches!(self, Cell::Whole(_) | Cell::Number(_) | Cell::Fixed(..))
    }
}

fn quoted(text: String) -> String {
    if text.contains([',', '"', '\n', '\r']) || text.starts_with(' ') || text.ends_with(' ') {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

/// Characters that may hide the start of a formula.
fn is_passed_over(c: char) -> bool {
    c == '"' || c == '\u{feff}' || c == '\u{200b}' || c.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back_as_they_were() {
        for number in [0.1_f32, 1.0, -0.0, 1.0e-7, 0.333_333_34, f32::MIN_POSITIVE, 0.999_999_94] {
            let text = Cell::Number(number).exact();
            assert_eq!(text.parse::<f32>().unwrap().to_bits(), number.to_bits(), "{text}");
        }
        assert_eq!(Cell::Number(0.1).exact(), "0.1");
        assert_eq!(Cell::Number(0.1).json(), "0.1");
        assert_eq!(Cell::Number(f32::NAN).json(), "null");
    }

    #[test]
    fn no_figure_is_minus_zero() {
        let nothing: f64 = [0.0_f64; 0].iter().sum();
        for number in [nothing, -0.0, -0.004, 0.004] {
            assert_eq!(Cell::Fixed(number, 2).exact(), "0.00", "{number}");
        }
        assert_eq!(Cell::Fixed(-0.3, 0).json(), "0");
        assert_eq!([Cell::Fixed(-0.005_1, 2).exact(), Cell::Fixed(-10.0, 1).exact()], ["-0.01", "-10.0"]);
    }

    #[test]
    fn csv_quotes_what_must_be_quoted() {
        let csv = |text: &str| Cell::Text(text.to_owned()).csv();
        assert_eq!(csv("plain"), "plain");
        assert_eq!(csv("a,b"), "\"a,b\"");
        assert_eq!(csv("say \"hi\""), "\"say \"\"hi\"\"\"");
        assert_eq!(csv("two\nlines"), "\"two\nlines\"");
        assert_eq!(Cell::Nothing.csv(), "");
    }

    #[test]
    fn a_spreadsheet_takes_no_word_for_a_formula() {
        let safe = |text: &str| Cell::Text(text.to_owned()).csv_safe();
        for (text, expected) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t'=1"),
            ("\r=1", "\"'\r'=1\""),
            (" =1", "\" '=1\""),
            ("\u{feff}=1", "\u{feff}'=1"),
            ("a;=1", "a;'=1"),
            ("a\n\"=1", "\"a\n\"\"'=1\""),
            ("a-b=c", "a-b=c"),
            ("plain, words", "\"plain, words\""),
        ] {
            assert_eq!(safe(text), expected, "{text:?}");
        }
        assert_eq!(Cell::Number(-0.5).csv_safe(), "-0.5");
        assert_eq!(Cell::Text("=1".to_owned()).csv(), "=1", "data stay as they are where nobody asks");
    }

    #[test]
    fn json_escapes_and_terminals_are_left_alone() {
        assert_eq!(Cell::Text("a\"\u{1}\n".to_owned()).json(), "\"a\\\"\\u0001\\n\"");
        assert_eq!(Cell::Text("\u{1b}[31mred".to_owned()).shown(), "\\u{1b}[31mred");
        assert_eq!(Cell::Text("a|b".to_owned()).markdown(), "a\\|b");
    }
}
