//! The lists that a command reads: a plain file, or standard input for `-`.

use std::path::Path;

use cairndb_ingest::source::{STANDARD_INPUT, Text};

use crate::failure::{Failure, Result};
use crate::streams::Input;

/// Whether a path means standard input.
pub(crate) fn is_standard(path: &Path) -> bool {
    path == Path::new(STANDARD_INPUT.0)
}

/// The text of a list.
///
/// # Errors
/// When the file cannot be opened, is a pipe or a device, or standard input is closed.
pub(crate) fn text(path: &Path) -> Result<Text> {
    if is_standard(path) { Ok(Text::standard(Input::standard()?)) } else { Ok(Text::open(path)?) }
}

/// Refuses a command line that reads two lists from the one standard input.
///
/// # Errors
/// It reads two.
pub(crate) fn one_standard<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Result<()> {
    if paths.into_iter().filter(|path| is_standard(path)).count() < 2 {
        return Ok(());
    }
    Err(Failure::usage("- is given twice, but there is only one standard input").help("put the other list into a file"))
}
