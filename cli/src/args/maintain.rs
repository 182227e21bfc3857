//! `cairn maintain`: the commands for cleaning, training and embedding again. The query language defines their options, ranges
//! and defaults.

use std::path::PathBuf;

use cairndb_query::Rule;
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use super::settings::{Cleaning, Settings, Training};
use super::{ModelArgs, PhotoArgs};
use crate::output::Format;

/// `cairn maintain`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cairn maintain clean photos.db --rule suspects --top 50 --dry-run --into suspects.html
  cairn maintain clean photos.db
  cairn maintain undo-clean photos.db
  cairn maintain train photos.db --loss arcface --epochs 10
  cairn maintain run photos.db

Each is a statement of the query language too: CLEAN, UNDO CLEAN, TRAIN, REEMBED. Ctrl-C stops between two pieces of work;
finished work is kept, and the same command resumes it. UNDO CLEAN and USE MODEL return to an earlier state.")]
pub(crate) struct Maintain {
    /// The step
    #[command(subcommand)]
    pub(crate) what: Upkeep,
}

/// The steps.
#[derive(Debug, Subcommand)]
pub(crate) enum Upkeep {
    /// Find train images whose label is doubtful; mark them, remove their labels, or correct them
    #[command(after_help = "Examples:
  cairn maintain clean photos.db --dry-run --into report.html        look first; nothing is changed
  cairn maintain clean photos.db --keep-voters                       marked: training passes them over, they still vote
  cairn maintain clean photos.db --rule suspects --evidence 0.95 --relabel")]
    Clean {
        /// Folder of the database
        database: PathBuf,
        #[command(flatten)]
        options: CleanOptions,
        /// Report what would change, and change nothing
        #[arg(long, help_heading = "Options")]
        dry_run: bool,
        /// Let the report replace any file, not only an earlier report
        #[arg(long, alias = "force", requires = "into", help_heading = "Options")]
        overwrite: bool,
        #[command(flatten)]
        shown: Shown,
    },
    /// Revert the marks or labels of the last cleaning, where nobody has changed them since
    UndoClean {
        /// Folder of the database
        database: PathBuf,
        #[command(flatten)]
        shown: Shown,
    },
    /// Train a model on the train images; it becomes the active model if it is better on the images held out
    #[command(after_help = "Examples:
  cairn maintain train photos.db --dry-run
  cairn maintain train photos.db --loss cosface --epochs 10 --margin 0.35 --balance
  cairn maintain train photos.db --from imagenet.safetensors --loss triplet --rate 0.01
  cairn maintain train photos.db --trunk --epochs 5 --augment hard")]
    Train {
        /// Folder of the database
        database: PathBuf,
        #[command(flatten)]
        options: TrainOptions,
        /// Train and report; the active model stays
        #[arg(long, conflicts_with = "force", help_heading = "Options")]
        dry_run: bool,
        #[command(flatten)]
        shown: Shown,
    },
    /// Compute the descriptors of all photos again under a new model number, with the active model or other weights
    Reembed {
        /// Folder of the database
        database: PathBuf,
        /// Weights of another model (safetensors)
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        #[command(flatten)]
        shown: Shown,
    },
    /// Train, clean with the new model, train on the images without a mark: the paper's whole preparation
    #[command(after_help = "Examples:
  cairn maintain run photos.db --epochs 10 --into cleaned.html

--from is the network of the first training; the second one uses the network of the model that is active by then, and is compared with
that model. With another loss than lda, that model may have learnt from the images held out: if the second one is refused for that
reason, finish with cairn maintain train --force. To see the results first, run the three commands one by one with --dry-run.")]
    Run {
        /// Folder of the database
        database: PathBuf,
        /// Start with the first step, even if an earlier run of the same command was interrupted later
        #[arg(long)]
        anew: bool,
        #[command(flatten)]
        training: TrainOptions,
        #[command(flatten)]
        cleaning: CleanOptions,
        /// Let the report replace any file, not only an earlier report
        #[arg(long, requires = "into", help_heading = "Options")]
        overwrite: bool,
        #[command(flatten)]
        shown: Shown,
    },
}

/// The output format, and the device of the networks.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options")]
pub(crate) struct Shown {
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

/// The options of CLEAN.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cleaning")]
pub(crate) struct CleanOptions {
    #[command(flatten)]
    pub(crate) settings: Settings<Cleaning>,
    /// paper: images with too few verified pairs; suspects: images whose neighbours agree on another label [default: paper]
    #[arg(long, value_name = "RULE", value_parser = PossibleValuesParser::new(Rule::ALL.map(Rule::name)))]
    pub(crate) rule: Option<String>,
    /// With --rule suspects: give each image that is found the proposed label
    #[arg(long, requires = "rule", conflicts_with_all = ["keep_voters", "unlabel"])]
    pub(crate) relabel: bool,
    /// With --relabel: also the last image of a label, so that labels may disappear
    #[arg(long, requires = "relabel")]
    pub(crate) empty: bool,
    /// Remove the labels of the images that are found: they become index images
    #[arg(long, conflicts_with = "keep_voters")]
    pub(crate) unlabel: bool,
    /// Mark the images that are found and have no mark: they keep their labels and votes, but training skips them (the default)
    #[arg(long)]
    pub(crate) keep_voters: bool,
    /// Write a page with the photos, each beside the photo that contributed most to its being found
    #[arg(long, value_name = "FILE")]
    pub(crate) into: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) photos: PhotoArgs,
}

/// The options of TRAIN.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Training")]
pub(crate) struct TrainOptions {
    #[command(flatten)]
    pub(crate) settings: Settings<Training>,
    /// Weights of the network that training starts from (safetensors) [default: the network of the active model]
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// Number of the model whose network training starts from (SHOW MODELS)
    #[arg(long, value_name = "N", conflicts_with = "from")]
    pub(crate) from_model: Option<u64>,
    /// Make the new model active even if it is not better on the images held out
    #[arg(long)]
    pub(crate) force: bool,
}
