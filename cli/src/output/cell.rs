//! One value of an answer, and how each format writes it.

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// Words.
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

    /// For programs: shortest digits that read back as the same number; nothing where there is no value.
    pub(crate) fn exact(&self) -> String {
        match self {
            Cell::Text(text) => text.clone(),
            Cell::Whole(number) => number.to_string(),
            Cell::Number(number) => number.to_string(),
            Cell::Fixed(number, decimals) => format!("{number:.decimals$}"),
            Cell::Nothing => String::new(),
        }
    }

    /// For people: four decimals, and control characters made visible, so that a key cannot drive the terminal.
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

    /// One field of a CSV line (RFC 4180).
    pub(crate) fn csv(&self) -> String {
        let text = self.exact();
        if text.contains([',', '"', '\n', '\r']) || text.starts_with(' ') || text.ends_with(' ') {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text
        }
    }

    /// One cell of a Markdown table.
    pub(crate) fn markdown(&self) -> String {
        self.shown().replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;")
    }

    /// True for numbers, which are set to the right.
    pub(crate) fn is_number(&self) -> bool {
        matches!(self, Cell::Whole(_) | Cell::Number(_) | Cell::Fixed(..))
    }
}

/// Text with its control characters escaped.
pub(crate) fn visible(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

/// A JSON string.
pub(crate) fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
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
    fn csv_quotes_what_must_be_quoted() {
        let csv = |text: &str| Cell::Text(text.to_owned()).csv();
        assert_eq!(csv("plain"), "plain");
        assert_eq!(csv("a,b"), "\"a,b\"");
        assert_eq!(csv("say \"hi\""), "\"say \"\"hi\"\"\"");
        assert_eq!(csv("two\nlines"), "\"two\nlines\"");
        assert_eq!(Cell::Nothing.csv(), "");
    }

    #[test]
    fn json_escapes_and_terminals_are_left_alone() {
        assert_eq!(Cell::Text("a\"\u{1}\n".to_owned()).json(), "\"a\\\"\\u0001\\n\"");
        assert_eq!(Cell::Text("\u{1b}[31mred".to_owned()).shown(), "\\u{1b}[31mred");
        assert_eq!(Cell::Text("a|b".to_owned()).markdown(), "a\\|b");
    }
}
