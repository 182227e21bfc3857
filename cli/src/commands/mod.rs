//! The commands, one file each.

mod care;
mod create;
mod eval;
mod ingest;
mod job;
mod listed;
mod maintain;
mod pages;
mod partial;
mod predict;
mod prune;
mod query;
mod status;
mod trust;

#[cfg(feature = "torch")]
mod bench;
#[cfg(feature = "torch")]
mod cleaning;
#[cfg(feature = "torch")]
mod demo;
#[cfg(feature = "torch")]
mod device;
#[cfg(feature = "torch")]
mod losses;

use crate::args::Command;
use crate::failure::Result;

/// Runs a command.
///
/// # Errors
/// The error of the command.
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
        Command::Trust(args) => trust::run(&args),
        Command::Backup(args) => care::backup(&args),
        Command::Restore(args) => care::restore(&args),
        Command::Repair(args) => care::repair(&args),
        Command::Pages(args) => pages::run(&args),
        Command::Maintain(args) => maintain::run(&args.what),
        #[cfg(feature = "torch")]
        Command::Bench(args) => match &args.what {
            crate::args::measure::BenchWhat::Losses(args) => losses::run(args),
            crate::args::measure::BenchWhat::Cleaning(args) => cleaning::run(args),
        },
        #[cfg(feature = "torch")]
        Command::Demo(args) => demo::run(&args),
        #[cfg(feature = "torch")]
        Command::Device(args) => device::run(&args),
        #[cfg(not(feature = "torch"))]
        Command::Bench(_) => Err(crate::networks::missing("trainings are measured with a network").into()),
        #[cfg(not(feature = "torch"))]
        Command::Demo(_) => Err(crate::networks::missing("the demo embeds photos").into()),
        #[cfg(not(feature = "torch"))]
        Command::Device(_) => Err(crate::networks::missing("devices compute with torch").into()),
    }
}
