//! `cairn query`: runs statements from -c, -f or standard input; without any of these, a shell.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use crate::args::{Query, Repl};
use crate::failure::Result;
use crate::output::Format;
use crate::repl;
use crate::session::Session;
use crate::streams::Input;
use crate::terminal::standard_output;

/// Its name in messages.
const STANDARD_INPUT: &str = "standard input";

/// Runs the command.
///
/// # Errors
/// The first statement that fails; queries of files that could not run, after all statements ran.
pub(super) fn run(args: &Query) -> Result<()> {
    let open = || {
        Session::open(&args.opened, &args.model, args.format, args.truth.as_deref())?
            .with_photos_from(&args.photos.photos_from)
    };
    let script = match &args.file {
        Some(path) if path == Path::new("-") => Some((Input::standard()?, STANDARD_INPUT.to_owned())),
        Some(path) => Some((Input::open(path)?, path.display().to_string())),
        None if !args.statements.is_empty() => None,
        None if io::stdin().is_terminal() => {
            let (opened, model, truth) = (&args.opened, &args.model, args.truth.as_deref());
            let session = Session::open_for_writing(opened, model, args.format, truth)?;
            return repl::run(session.with_photos_from(&args.photos.photos_from)?);
        }
        None => Some((Input::standard()?, STANDARD_INPUT.to_owned())),
    };
    let session = open()?;
    let mut out = standard_output();
    for text in &args.statements {
        let ran = session.run(text, &mut out);
        // The answers of statements before a failure are on the output.
        out.flush()?;
        ran?;
    }
    if let Some((mut input, name)) = script {
        let ran = session.run_script(&|statement| session.execute(statement), &mut input, &name, &mut out);
        out.flush()?;
        ran?;
    }
    session.end()
}

/// The shell.
///
/// # Errors
/// When the database cannot be opened or the terminal cannot be used.
pub(super) fn shell(args: &Repl) -> Result<()> {
    let session = Session::open_for_writing(&args.opened, &args.model, Format::Table, args.truth.as_deref())?;
    repl::run(session.with_photos_from(&args.photos.photos_from)?)
}
