//! What depends on whether a person is looking: colours (NO_COLOR is respected), bars, notes on standard error.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

/// Whether standard error may carry colours.
fn colours() -> bool {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    io::stderr().is_terminal() && !set("NO_COLOR") && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// An error for standard error, its first word in red.
pub(crate) fn error_text(error: &impl Display) -> String {
    let text = error.to_string();
    match text.strip_prefix("error") {
        Some(rest) if colours() => format!("\x1b[1;31merror\x1b[0m{rest}"),
        _ => text,
    }
}

/// A note beside the results, on standard error; a closed one is no reason to stop.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
