//! `cairn trust`: which TorchScript modules run on this machine.

use std::io::Write as _;

use crate::args::Trust;
use crate::failure::Result;
use crate::networks;
use crate::output::visible;
use crate::terminal::{note, standard_output};

/// Runs the command.
///
/// # Errors
/// When a module cannot be used, the database cannot be opened, or the list cannot be read or written.
pub(super) fn run(args: &Trust) -> Result<()> {
    if let Some(digest) = &args.forget {
        networks::forget(digest)?;
        note(&format!("{digest} is trusted no more"));
    }
    if args.list {
        let mut out = standard_output();
        for (digest, name) in networks::trust_list()? {
            writeln!(out, "{digest} {}", visible(&name))?;
        }
        out.flush()?;
    }
    if let Some(what) = &args.what {
        match networks::trust(what)? {
            0 => note(&format!("{} has no module: nothing is to be trusted", what.display())),
            1 => note("1 module may run on this machine"),
            several => note(&format!("{several} modules may run on this machine")),
        }
    }
    Ok(())
}
