//! The `cairn` program: what people type into databases, answers into tables and pages.
//!
//! `args` says what can be typed, `commands` holds a file for each command, a `session` is an open database with what
//! statements need beside it, `repl` is the shell, `output` writes rows, `report` writes pages, `demo` makes photos.

mod args;
mod commands;
mod comparison;
mod demo;
mod failure;
mod interrupt;
mod output;
mod progress;
mod repl;
mod report;
mod session;
mod solution;
mod terminal;
mod watch;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

/// Runs the program with the arguments of the process: exit code 0 ok, 1 a statement or command failed, 2 usage, 3 corrupt,
/// 4 locked, 130 interrupted.
pub fn main() -> ExitCode {
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output with code 0, mistakes to standard error with code 2.
            let code = u8::try_from(error.exit_code()).unwrap_or(failure::Exit::Usage as u8);
            return if error.print().is_ok() { ExitCode::from(code) } else { ExitCode::SUCCESS };
        }
    };
    match commands::run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if failure.exit() != failure::Exit::Quiet {
                // Standard error may be closed; the exit code still tells.
                let _ = writeln!(std::io::stderr(), "{}", terminal::error_text(&failure));
            }
            ExitCode::from(failure.exit() as u8)
        }
    }
}
