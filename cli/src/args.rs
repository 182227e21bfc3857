//! The command line: the arguments that the program takes, and their help.

use std::path::PathBuf;
use std::sync::LazyLock;

use clap::builder::RangedU64ValueParser;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::exit::exit_codes;
use crate::networks;
use crate::output::Format;

mod eval;
mod ingest;
mod maintain;
pub(crate) mod measure;
mod module;
mod settings;
mod shared;

pub(crate) use eval::Eval;
pub(crate) use ingest::{Ingest, LabelsWord, Prune};
pub(crate) use maintain::{CleanOptions, Maintain, Shown, TrainOptions, Upkeep};
use measure::{Bench, Demo, Device};
pub(crate) use module::ModuleArgs;
pub(crate) use shared::{Allowed, PhotoArgs, allowed};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Text of `--version`; `-V` prints its first line only.
static LONG_VERSION: LazyLock<String> = LazyLock::new(|| {
    let [vectors, codes] = cairn::kernels();
    format!(
        "{}\n{}\nkernels on this processor: {vectors} (vectors), {codes} (codes)",
        env!("CARGO_PKG_VERSION"),
        networks::version()
    )
});

/// Text after the list of commands: examples and exit codes.
fn epilogue() -> String {
    format!("{EXAMPLES}\n\n{}", exit_codes())
}

const EXAMPLES: &str = "\
Examples:
  cairn demo                                                    make photos, search them and write a report
  cairn create photos.db --model lite0-gem
  cairn ingest photos.db train.csv --as train
  cairn ingest photos.db holiday/ --as index
  cairn query photos.db -c \"SEARCH 'where.jpg' K 100 RERANK k=3 tau=0.6 INTO 'answer.html'\"
  cairn repl photos.db
  cairn backup photos.db /mnt/other-disk/monday";

/// An embedded retrieval database for photos: finds similar photos and re-ranks them by the instance that they show.
#[derive(Debug, Parser)]
#[command(name = "cairn", version, long_version = LONG_VERSION.as_str(), styles = STYLES, after_help = epilogue(), arg_required_else_help = true, subcommand_required = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create an empty database, for bare vectors (--dim) or for photos (--model)
    Create(Create),
    /// Put photos or vectors into a database; running it again skips those already stored
    Ingest(Ingest),
    /// Run statements from -c, -f or standard input; without any of these, start a shell
    Query(Query),
    /// Start an interactive shell
    Repl(Repl),
    /// Predict the instance that photos show, and list the train images that voted for it
    Predict(Predict),
    /// Measure methods on queries with known answers, or score a file of answers
    Eval(Box<Eval>),
    /// Show the state of a database
    Status(Status),
    /// Look for damage; with --deep also recompute every prediction
    Check(Check),
    /// Let the networks (TorchScript modules) that a database carries run on this machine
    Trust(Trust),
    /// Copy a database, even while it is in use, or verify such a copy
    Backup(Backup),
    /// Create a database from a backup
    Restore(Restore),
    /// Make a damaged database usable again, with every image that can still be read
    Repair(Repair),
    /// Clean the labels, train models, embed the photos again
    Maintain(Box<Maintain>),
    /// Compare methods by measurement
    Bench(Bench),
    /// Make photos or take yours, build a database of them, measure it and write a report
    Demo(Demo),
    /// Check and time a device: compare its descriptors with the CPU's and its votes with exact ones; report photos per second
    Device(Device),
    /// Write the man pages and shell completions of this program below a folder
    #[command(hide = true)]
    Pages(Pages),
}

/// `cairn create`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cairn create vectors.db --dim 64
  cairn create photos.db --model lite0-gem
  cairn create photos.db --model resnet101-gem --weights r101.safetensors --scales 0.75,1,1.25 --keep original
  cairn create photos.db --model lite0-gem+lite2-gem
  cairn create photos.db --model sscd.pt --input-size 288 --output vector")]
#[command(group = clap::ArgGroup::new("what").required(true).args(["dim", "model"]))]
pub(crate) struct Create {
    /// Folder of the new database
    pub(crate) database: PathBuf,
    /// Dimension of your vectors
    #[arg(long, value_name = "N", value_parser = from_1_to(cairn::limits::MAX_DIMENSION))]
    pub(crate) dim: Option<usize>,
    /// Model that embeds photos: lite0-gem, lite2-gem, resnet18-gem, resnet50-gem, resnet101-gem, se-resnext101-gem, fishnet150-gem
    ///
    /// Several with + between them are one model, an ensemble: lite0-gem+lite2-gem:0.5 (the number is a weight, 1 if it is left out).
    ///
    /// A file that ends in .pt is a TorchScript module, one in .onnx an ONNX graph. It is code, and runs on this machine from now on
    /// (`cairn trust --list`).
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    #[command(flatten)]
    pub(crate) module: ModuleArgs,
    /// Weights of the model (safetensors); lite0-gem includes its own, and the set-up fetches those of lite2-gem.
    /// Once for each network of an ensemble, in order, or for each that has none of its own
    #[arg(long, value_name = "FILE", conflicts_with = "dim")]
    pub(crate) weights: Vec<PathBuf>,
    /// Scales at which each photo is embedded; the descriptors are averaged. For example 0.75,1,1.25
    #[arg(long, value_name = "LIST", value_delimiter = ',', conflicts_with = "dim")]
    pub(crate) scales: Option<Vec<f64>>,
    /// Which copy of each photo the database keeps, to show or embed it later
    #[arg(long, value_name = "WHAT", default_value = "thumb", value_parser = ["original", "thumb", "none"])]
    pub(crate) keep: String,
    /// Number of train images that vote on a stored prediction
    #[arg(long, value_name = "K", default_value_t = cairn::limits::DEFAULT_VOTE_K,
        value_parser = from_1_to(cairn::limits::MAX_KEPT_NEIGHBOURS))]
    pub(crate) vote_k: usize,
    /// Number of nearest train images stored for each index image, at least K
    #[arg(long, value_name = "N", default_value_t = cairn::limits::DEFAULT_KEPT_NEIGHBOURS,
        value_parser = from_1_to(cairn::limits::MAX_KEPT_NEIGHBOURS))]
    pub(crate) neighbours: usize,
}

/// `cairn trust`
#[derive(Debug, Args)]
#[command(
    after_help = "A TorchScript module is code, and a database carries the module of its maker. It never runs before you trust its digest
on this machine; `cairn create --model FILE.pt` trusts the file that it names. Stored vectors are searched without it.

Examples:
  cairn trust received.db
  cairn trust other.pt
  cairn trust --list
  cairn trust --forget 5f0a..."
)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["what", "list", "forget"]))]
pub(crate) struct Trust {
    /// Database whose modules you trust, or a module (.pt)
    #[arg(value_name = "DB|FILE")]
    pub(crate) what: Option<PathBuf>,
    /// List what is trusted: digest (BLAKE3) and name
    #[arg(long)]
    pub(crate) list: bool,
    /// Take the module of this digest out of the list
    #[arg(long, value_name = "DIGEST")]
    pub(crate) forget: Option<String>,
}

/// A whole number that is no larger than `most`.
fn from_1_to(most: usize) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=most as u64)
}

/// `cairn pages`
#[derive(Debug, Args)]
pub(crate) struct Pages {
    /// Folder that gets share/man, share/bash-completion, share/zsh and share/fish
    pub(crate) prefix: PathBuf,
}

/// A database, and whether it is opened only for reading.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct Opened {
    /// Folder of the database
    pub(crate) database: PathBuf,
    /// Refuse every statement that writes; the answers are of the database as it is now
    #[arg(long)]
    pub(crate) read_only: bool,
}

/// The role of ingested images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleWord {
    /// Labelled images, which vote.
    Train,
    /// Images that searches find.
    Index,
}

/// The device of the networks, and the file of their weights.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct ModelArgs {
    /// Device that embeds photos; auto takes CUDA if there is one
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub(crate) device: DeviceWord,
    /// Weights of the database's model if the file has moved (the same content), or the folder that they are in
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: Option<PathBuf>,
}

/// The name of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceWord {
    /// CUDA if there is one, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The first CUDA device.
    Cuda,
}

/// `cairn query`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cairn query photos.db -c \"SEARCH 'where.jpg' LIMIT 10 RERANK k=3 tau=0.6\"
  cairn query photos.db -c \"SEARCH 'where.jpg' RERANK INTO 'answer.html'\"
  cairn query vectors.db -c \"SEARCH QUERIES 'q.npy' IN index EXACT K 100 RERANK k=3 tau=0.6\" --format csv
  cairn query photos.db -f statements.sql --format json
  cairn query photos.db --read-only -c \"SHOW SEGMENTS\"       while another program writes
  echo \"SHOW STATUS\" | cairn query photos.db")]
pub(crate) struct Query {
    #[command(flatten)]
    pub(crate) opened: Opened,
    /// A statement, or several separated by ;. May be repeated
    #[arg(short = 'c', long = "command", value_name = "STATEMENT")]
    pub(crate) statements: Vec<String>,
    /// A file of statements, - for standard input. It runs statement by statement and stops at the first error; -c is checked as
    /// a whole first
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: Format,
    /// Known answers (id,images,Usage): measure each SEARCH, and mark right and wrong results in reports
    #[arg(long, value_name = "FILE")]
    pub(crate) truth: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) photos: PhotoArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

/// `cairn repl`
#[derive(Debug, Args)]
pub(crate) struct Repl {
    #[command(flatten)]
    pub(crate) opened: Opened,
    /// Known answers (id,images,Usage): mark right and wrong results in reports
    #[arg(long, value_name = "FILE")]
    pub(crate) truth: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) photos: PhotoArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

/// `cairn predict`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cairn predict photos.db unknown.jpg other.jpg
  cairn predict photos.db --id 46fdf25225d80348 --k 5")]
#[command(group = clap::ArgGroup::new("image").required(true).multiple(true).args(["photos", "id"]))]
pub(crate) struct Predict {
    #[command(flatten)]
    pub(crate) opened: Opened,
    /// Photos to predict
    #[arg(value_name = "PHOTO")]
    pub(crate) photos: Vec<PathBuf>,
    /// Key of a stored image to predict; may be repeated
    #[arg(long, value_name = "KEY")]
    pub(crate) id: Vec<String>,
    /// Number of train images that vote [default: the database's --vote-k]
    #[arg(long, value_name = "K")]
    pub(crate) k: Option<usize>,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: Format,
    /// Number of failures up to which the exit code is not 5, or all
    #[arg(long, value_name = "N", default_value = "0", value_parser = allowed)]
    pub(crate) allow_failures: Allowed,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

/// `cairn status`
#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) opened: Opened,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: Format,
}

/// `cairn check`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cairn check photos.db
  cairn check photos.db --deep                    takes as long as ingesting every image again
  cairn check photos.db --read-only --format csv  while another program writes

The exit code is 3 if there is a problem. The statements CHECK and CHECK DEEP do the same.")]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) opened: Opened,
    /// Also read every byte of the segments and recompute every prediction
    #[arg(long)]
    pub(crate) deep: bool,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: Format,
}

/// `cairn backup`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cairn backup photos.db /mnt/other-disk/monday
  cairn backup --verify /mnt/other-disk/monday

On the same file system a backup shares files with the database: it protects against mistakes, not against a failing disk.
It works while another program writes; the backup is the database as it was on the disk at one moment of the command.")]
pub(crate) struct Backup {
    /// Folder of the database
    #[arg(required_unless_present = "verify")]
    pub(crate) database: Option<PathBuf>,
    /// Folder of the backup: a new or empty one, or one with an interrupted backup
    #[arg(required_unless_present = "verify")]
    pub(crate) folder: Option<PathBuf>,
    /// Read a backup and compare every file with its checksum
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["database", "folder"])]
    pub(crate) verify: Option<PathBuf>,
}

/// `cairn restore`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cairn restore /mnt/other-disk/monday photos.db

The command verifies the backup first and does not change it.")]
pub(crate) struct Restore {
    /// Folder of the backup
    pub(crate) backup: PathBuf,
    /// Folder of the new database: a new or empty one, or one with an interrupted restore
    pub(crate) database: PathBuf,
}

/// `cairn repair`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cp -r photos.db before-repair.db && cairn repair photos.db && cairn check photos.db --deep

It works on a database that cannot be opened. It keeps every image that it can read completely and derives everything else again,
which takes as long as ingesting them all. If there is a backup, restoring it loses less. The exit code is 3 if something was lost.")]
pub(crate) struct Repair {
    /// Folder of the database
    pub(crate) database: PathBuf,
    /// Repair the database even if more images would be dropped than kept
    #[arg(long)]
    pub(crate) accept_loss: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_commands_of_the_manual_parse() {
        for line in [
            "cairn create DB --dim 64",
            "cairn create DB --model lite0-gem --scales 0.75,1,1.25 --keep none --vote-k 3 --neighbours 8",
            "cairn create DB --model lite0-gem+resnet18-gem:0.5+resnet50-gem --weights a --weights b",
            "cairn ingest DB train_feats.npy --ids train_ids.txt --labels train_labels.csv --as train",
            "cairn ingest DB index_feats.npy --ids index_ids.txt --as index",
            "cairn ingest DB train.csv --as train --labels list",
            "cairn ingest DB images/ --as train --labels train.csv --labels list",
            "cairn ingest DB - --as train --photos-from images",
            "cairn ingest DB a b --as train --label-from-folder --device cpu",
            "cairn query DB -c SHOW -c STATUS --format csv",
            "cairn predict DB --id x --k 3",
            "cairn eval DB --queries q.npy --query-ids F --truth solution.csv --k 3 --tau -0.6 --report out.html",
            "cairn query DB --read-only -c STATUS",
            "cairn repl --read-only DB",
            "cairn status DB --read-only",
            "cairn check DB --deep --read-only --format json",
            "cairn backup DB FOLDER",
            "cairn backup --verify FOLDER",
            "cairn restore FOLDER DB",
            "cairn repair DB",
            "cairn maintain clean DB --nn 500 --inliers 40 --freq 2 --keep-voters --dry-run --into r.html",
            "cairn maintain clean DB --rule suspects --evidence 0.9 --relabel --format csv",
            "cairn maintain undo-clean DB",
            "cairn maintain train DB --loss ap --epochs 3 --balance --from w.safetensors --force --device cpu",
            "cairn maintain reembed DB --from w.safetensors",
            "cairn maintain run DB --loss softmax --rule paper --seed 7",
            "cairn demo --photos DIR --seed 7",
        ] {
            assert!(parse(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn what_means_nothing_is_a_usage_error() {
        for line in [
            "cairn create DB",
            "cairn create DB --dim 3 --model x",
            "cairn create DB --dim 3 --weights x",
            "cairn ingest DB --as train",
            "cairn ingest DB x",
            "cairn ingest DB x --as judge",
            "cairn query DB --format xml",
            "cairn predict DB",
            "cairn ingest DB x --as index --read-only",
            "cairn backup DB",
            "cairn backup DB FOLDER --verify FOLDER",
            "cairn restore FOLDER",
            "cairn maintain",
            "cairn maintain clean DB --top 5",
            "cairn maintain clean DB --rule suspects --relabel --keep-voters",
            "cairn maintain clean DB --rule suspects --top 5 --evidence 0.5",
            "cairn maintain train DB --loss hinge",
            "cairn maintain train DB --force --dry-run",
            "cairn maintain run DB --dry-run",
        ] {
            let error = parse(line).err().map(|error| error.exit_code());
            assert_eq!(error, Some(2), "{line}");
        }
    }
}
