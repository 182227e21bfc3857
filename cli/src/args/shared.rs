//! Options that several commands share: how many photos may fail, and which files a report may show.

use std::path::PathBuf;

use clap::Args;

use crate::output::Format;

/// Number of failures up to which a command counts as successful.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Allowed(pub(crate) usize);

/// A number, or `all`.
///
/// # Errors
/// When it is neither.
pub(crate) fn allowed(word: &str) -> Result<Allowed, String> {
    match word {
        "all" => Ok(Allowed(usize::MAX)),
        number => number.parse().map(Allowed).map_err(|_| "a number, or all".to_owned()),
    }
}

/// What a command does about photos that fail.
#[derive(Debug, Args)]
pub(crate) struct FailureArgs {
    /// Number of failures up to which the exit code is not 5, or all
    #[arg(long, value_name = "N", default_value = "0", value_parser = allowed)]
    pub(crate) allow_failures: Allowed,
    /// Write all failures to standard output, with the columns id and reason
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "csv")]
    pub(crate) list_failures: Option<Format>,
}

/// Which files a report may show.
#[derive(Debug, Default, Args)]
pub(crate) struct PhotoArgs {
    /// Let reports show photos from below this folder that the database keeps no copy of, if they have not changed; may be
    /// repeated
    #[arg(long, value_name = "FOLDER")]
    pub(crate) photos_from: Vec<PathBuf>,
}
