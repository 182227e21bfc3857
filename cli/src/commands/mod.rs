//! The commands, a file each.

mod bench;
mod care;
mod cleaning;
mod create;
mod demo;
mod device;
mod eval;
mod ingest;
mod job;
mod listed;
mod losses;
mod maintain;
mod partial;
mod predict;
mod query;
mod status;

use crate::args::Command;
use crate::failure::Result;

/// Runs a command.
///
/// # Errors
/// What the command gives.
pub(crate) fn run(command: Command) -> Result<()> {
    match command {
        Command::Create(args) => create::run(&args),
        Command::Ingest(args) => ingest::run(&args),
        Command::Query(args) => query::run(&args),
        Command::Repl(args) => query::shell(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Check(args) => care::check(&args),
        Command::Backup(args) => care::backup(&args),
        Command::Restore(args) => care::restore(&args),
        Command::Repair(args) => care::repair(&args),
        Command::Maintain(args) => maintain::run(&args.what),
        Command::Bench(args) => match &args.what {
            crate::args::BenchWhat::Losses(args) => losses::run(args),
            crate::args::BenchWhat::Cleaning(args) => cleaning::run(args),
        },
        Command::Demo(args) => demo::run(&args),
        Command::Device(args) => device::run(&args),
    }
}
