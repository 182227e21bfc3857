//! What depends on whether a person is looking: colours (NO_COLOR is respected), bars, notes on standard error.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use crate::output::visible;

/// Whether standard error may carry colours.
fn colours() -> bool {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    io::stderr().is_terminal() && !set("NO_COLOR") && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// An error for standard error, its first word in red.
pub(crate) fn error_text(error: &impl Display) -> String {
    let text = printable(&error.to_string());
    match text.strip_prefix("error") {
        Some(rest) if colours() => format!("\x1b[1;31merror\x1b[0m{rest}"),
        _ => text,
    }
}

/// Text whose lines stay and whose other control characters are made visible: a file name must not drive the terminal.
fn printable(text: &str) -> String {
    text.split('\n').map(visible).collect::<Vec<_>>().join("\n")
}

/// A note beside the results, on standard error; a closed one is no reason to stop.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_names_are_shown_and_lines_stay() {
        assert_eq!(printable("a\r: no\n  help: \u{1b}[2J"), "a\\r: no\n  help: \\u{1b}[2J");
    }
}
