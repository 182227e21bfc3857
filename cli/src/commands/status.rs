//! `cairn status`: the state of a database.

use std::io::Write as _;

use cairn::Outcome;

use crate::args::Status;
use crate::failure::Result;
use crate::output::print_outcome;
use crate::session::open;
use crate::terminal::standard_output;

/// Runs the command.
///
/// # Errors
/// When the database cannot be opened or the output cannot be written.
pub(super) fn run(args: &Status) -> Result<()> {
    let database = open(&args.opened)?;
    let mut out = standard_output();
    print_outcome(&mut out, args.format, &Outcome::Status(Box::new(database.status())))?;
    Ok(out.flush()?)
}
