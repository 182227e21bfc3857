//! The `cairn` program: what people type into databases, answers into tables and pages.
//!
//! `args` says what can be typed, `commands` holds a file for each command, a `session` is an open database with what
//! statements need beside it, `repl` is the shell, `output` writes rows, `report` writes pages, `networks` has what needs torch.

mod args;
mod closing;
mod commands;
mod comparison;
mod exit;
mod failure;
mod interrupt;
mod limits;
mod lists;
mod networks;
mod output;
mod panics;
mod progress;
mod repl;
mod report;
mod scout;
mod session;
mod signals;
mod solution;
mod streams;
mod terminal;
mod watch;

use clap::Parser as _;
use clap::error::ErrorKind;

/// Runs the program with the arguments of the process. What it ends with is a code of `exit::EXIT_CODES`.
///
/// It installs handlers for signals and panics, which only a program may; libraries below install none.
///
/// It does not return: torch and RocksDB have static objects that must not be destroyed before what uses them came to its end.
pub fn main() -> ! {
    if let Some(code) = scout::called() {
        cairn::end_process(i32::from(code));
    }
    signals::install();
    scout::install();
    closing::allow_open_files();
    cairn::end_process(i32::from(panics::guarded(run)))
}

/// The exit code.
fn run() -> u8 {
    let done = match args::Cli::try_parse() {
        Ok(cli) => limits::check().and_then(|()| commands::run(cli.command)),
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // The help goes to standard error, since nothing was asked for; it holds nothing that was typed.
            let _ = error.print();
            return exit::Exit::Usage as u8;
        }
        Err(error) if error.use_stderr() => Err(failure::Failure::usage(error.render().to_string())),
        Err(help_or_version) => terminal::writable().and_then(|()| help_or_version.print()).map_err(Into::into),
    };
    match done.and_then(|()| closing::outcome()) {
        Ok(()) => exit::Exit::Quiet as u8,
        Err(failure) => {
            if failure.exit() != exit::Exit::Quiet {
                // Standard error may be closed; the exit code still tells.
                terminal::complain(&failure);
            }
            failure.exit() as u8
        }
    }
}
