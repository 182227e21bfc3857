//! `cairn query`: statements from -c, -f or standard input; the shell when there are none.

use std::io::{self, IsTerminal as _, Read as _, Write as _};

use crate::args::{Query, Repl};
use crate::failure::{Failure, Result};
use crate::output::Format;
use crate::repl;
use crate::session::Session;
use crate::terminal::standard_output;

/// Runs the command.
///
/// # Errors
/// The first statement that fails.
pub(super) fn run(args: &Query) -> Result<()> {
    let mut texts = args.statements.clone();
    if let Some(path) = &args.file {
        texts.push(std::fs::read_to_string(path).map_err(|error| Failure::io(path, error))?);
    }
    let open = || {
        Session::open(&args.opened, &args.model, args.format, args.truth.as_deref())?
            .with_photos_from(&args.photos.photos_from)
    };
    if texts.is_empty() {
        if io::stdin().is_terminal() {
            let (opened, model, truth) = (&args.opened, &args.model, args.truth.as_deref());
            let session = Session::open_for_writing(opened, model, args.format, truth)?;
            return repl::run(session.with_photos_from(&args.photos.photos_from)?);
        }
        let mut text = String::new();
        io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| Failure::new(format!("standard input cannot be read: {error}")))?;
        texts.push(text);
    }
    let session = open()?;
    let mut out = standard_output();
    for text in &texts {
        let ran = session.run(text, &mut out);
        // What ran before a failure has its answers on the output.
        out.flush()?;
        ran?;
    }
    Ok(())
}

/// The shell.
///
/// # Errors
/// When the database cannot be opened or the terminal cannot be used.
pub(super) fn shell(args: &Repl) -> Result<()> {
    let session = Session::open_for_writing(&args.opened, &args.model, Format::Table, args.truth.as_deref())?;
    repl::run(session.with_photos_from(&args.photos.photos_from)?)
}
