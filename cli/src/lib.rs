//! The `cairn` program: it turns command lines and statements into calls of the engine, and answers into tables and pages.
//!
//! `args` defines the command line, `commands` has a file for each command, a `session` is an open database with everything that
//! statements need, `repl` is the shell, `output` writes rows, `report` writes pages, `networks` has everything that needs torch.

mod args;
mod closing;
mod commands;
mod comparison;
mod exit;
mod failure;
mod interrupt;
mod known;
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

/// Runs the program with the arguments of the process. Its exit code is one of `exit::EXIT_CODES`.
///
/// It installs handlers for signals and panics, which only a program may do; the libraries install none.
///
/// It does not return: torch and RocksDB have static objects that must not be destroyed while their users run.
pub fn main() -> ! {
    if let Some(code) = scout::called().or_else(networks::called) {
        cairn::runtime::end_process(i32::from(code));
    }
    signals::install();
    scout::install();
    networks::install();
    closing::allow_open_files();
    cairn::runtime::end_process(i32::from(panics::guarded(run)))
}

/// The exit code.
fn run() -> u8 {
    let done = match args::Cli::try_parse() {
        Ok(cli) => limits::check().and_then(|()| commands::run(cli.command)),
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // The help goes to standard error, since nobody asked for it; it contains no input.
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
                // Standard error may be closed; the exit code still reports the failure.
                terminal::complain(&failure);
            }
            failure.exit() as u8
        }
    }
}
