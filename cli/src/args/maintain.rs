//! `cairn maintain`: the words and defaults of cleaning, training and embedding again. Ranges are the query language's.

use std::path::PathBuf;

use cairn::language::{
    Augment, DEFAULT_BATCH, DEFAULT_DIMENSION, DEFAULT_EPOCHS, DEFAULT_EVIDENCE, DEFAULT_FREQ, DEFAULT_INLIERS,
    DEFAULT_MARGIN, DEFAULT_NEIGHBOURS, DEFAULT_NN, DEFAULT_RATE, DEFAULT_SCALE, DEFAULT_SCALEUP, DEFAULT_SEED,
    DEFAULT_TRUNK_EPOCHS, DEFAULT_TRUNK_RATE, DEFAULT_VALIDATION, Gem, Loss, Rule,
};
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

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

Each is a statement of the query language too: CLEAN, UNDO CLEAN, TRAIN, REEMBED. Ctrl-C stops between two pieces of work; what is
done is kept, and the same command goes on with it. What SHOW CLEANS and SHOW MODELS list can be gone back to.")]
pub(crate) struct Maintain {
    /// What is done
    #[command(subcommand)]
    pub(crate) what: Upkeep,
}

/// What is done.
#[derive(Debug, Subcommand)]
pub(crate) enum Upkeep {
    /// Find train images whose label is doubtful, and mark them (or take their labels away, or correct them)
    #[command(after_help = "Examples:
  cairn maintain clean photos.db --dry-run --into report.html        look first; nothing is changed
  cairn maintain clean photos.db --keep-voters                       marked: training passes them over, they still vote
  cairn maintain clean photos.db --rule suspects --evidence 0.95 --relabel")]
    Clean {
        /// Folder of the database
        database: PathBuf,
        #[command(flatten)]
        options: CleanOptions,
        /// Report what would be done, and change nothing
        #[arg(long, help_heading = "Options")]
        dry_run: bool,
        /// The page may replace any file, not only an earlier page
        #[arg(long, alias = "force", requires = "into", help_heading = "Options")]
        overwrite: bool,
        #[command(flatten)]
        shown: Shown,
    },
    /// Take back what the last cleaning did, its marks or its labels, where nobody changed it since
    UndoClean {
        /// Folder of the database
        database: PathBuf,
        #[command(flatten)]
        shown: Shown,
    },
    /// Train a model on the train images, and go over to it if it is better on the images held out
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
        /// Train and report; the present model stays
        #[arg(long, conflicts_with = "force", help_heading = "Options")]
        dry_run: bool,
        #[command(flatten)]
        shown: Shown,
    },
    /// Make the descriptors of all photos again as an epoch of their own, with the present model or another one
    Reembed {
        /// Folder of the database
        database: PathBuf,
        /// Weights of another model (safetensors)
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        #[command(flatten)]
        shown: Shown,
    },
    /// Train, clean with the new model, train on what has no mark: the paper's whole preparation
    #[command(after_help = "Examples:
  cairn maintain run photos.db --epochs 10 --into cleaned.html

--from is the network of the first training; the second one goes by the network of the model that is then in force, and is compared
with that model, which with another loss than lda may have learnt from the images held out then: if it is refused for that, end with
cairn maintain train --force. To look first, give the three commands one by one with --dry-run.")]
    Run {
        /// Folder of the database
        database: PathBuf,
        /// Begin with the first step, whatever an earlier run of the same command left undone
        #[arg(long)]
        anew: bool,
        #[command(flatten)]
        training: TrainOptions,
        #[command(flatten)]
        cleaning: CleanOptions,
        /// The page may replace any file, not only an earlier page
        #[arg(long, requires = "into", help_heading = "Options")]
        overwrite: bool,
        #[command(flatten)]
        shown: Shown,
    },
}

/// How results are written, and where networks run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options")]
pub(crate) struct Shown {
    /// How results are written
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

/// The options of CLEAN.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Cleaning")]
pub(crate) struct CleanOptions {
    #[arg(long, value_name = "N", help = format!(
        "With --rule paper: nearest train images that are looked at, of each [default: {DEFAULT_NN}]"))]
    pub(crate) nn: Option<usize>,
    #[arg(long, value_name = "N", help = format!(
        "With --rule paper: those of them with its label that it is compared with at most, itself included [default: {DEFAULT_NEIGHBOURS}]"))]
    pub(crate) neighbours: Option<usize>,
    #[arg(long, value_name = "N", help = format!(
        "With --rule paper: matching places from which on a pair is verified [default: {DEFAULT_INLIERS}]"))]
    pub(crate) inliers: Option<usize>,
    #[arg(long, value_name = "N", help = format!(
        "With --rule paper: verified pairs that are enough for an image [default: {DEFAULT_FREQ}]"))]
    pub(crate) freq: Option<usize>,
    /// paper: images with too few verified pairs; suspects: images whose neighbours agree on another label [default: paper]
    #[arg(long, value_name = "RULE", value_parser = PossibleValuesParser::new(Rule::ALL.map(Rule::name)))]
    pub(crate) rule: Option<String>,
    /// With --rule suspects: this many of the most suspect images, however weak the evidence
    #[arg(long, value_name = "N", requires = "rule", conflicts_with = "evidence")]
    pub(crate) top: Option<usize>,
    #[arg(long, value_name = "X", requires = "rule", help = format!(
        "With --rule suspects: images with at least this evidence against their label, 0 to 1 [default: {DEFAULT_EVIDENCE}]"))]
    pub(crate) evidence: Option<f64>,
    /// With --rule suspects: give what is found the label that is proposed for it
    #[arg(long, requires = "rule", conflicts_with_all = ["keep_voters", "unlabel"])]
    pub(crate) relabel: bool,
    /// With --relabel: the last image of a label too, so that labels may disappear
    #[arg(long, requires = "relabel")]
    pub(crate) empty: bool,
    /// Take the label of what is found away: it becomes an index image
    #[arg(long, conflicts_with = "keep_voters")]
    pub(crate) unlabel: bool,
    /// Mark what is found and has no mark: it keeps its label and votes, and training passes it over (the default)
    #[arg(long)]
    pub(crate) keep_voters: bool,
    /// With --rule paper: go by thumbnails also where they stand for more than a tenth of the photos
    #[arg(long)]
    pub(crate) thumbnails: bool,
    /// Write a page with the photos, each beside the one that decided most
    #[arg(long, value_name = "FILE")]
    pub(crate) into: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) photos: PhotoArgs,
}

/// The options of TRAIN.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Training")]
pub(crate) struct TrainOptions {
    #[arg(long, value_name = "LOSS", value_parser = PossibleValuesParser::new(Loss::ALL.map(Loss::name)), help = format!(
        "What is made small; ap is average precision [default: {}, with --trunk {}]",
        Loss::of_training(false).name(), Loss::of_training(true).name()))]
    pub(crate) loss: Option<String>,
    #[arg(long, value_name = "N", help = format!(
        "Dimension of the new descriptors [default: {} for lda, {DEFAULT_DIMENSION}, or {} for triplet and ap]",
        Loss::Discriminant.default_dimension(), Loss::Triplet.default_dimension()))]
    pub(crate) dim: Option<usize>,
    #[arg(long, value_name = "N", help = format!(
        "Passes over the train images [default: {DEFAULT_EPOCHS}, with --trunk {DEFAULT_TRUNK_EPOCHS}]"))]
    pub(crate) epochs: Option<usize>,
    #[arg(long, value_name = "N", help = format!("Images of one step [default: {DEFAULT_BATCH}]"))]
    pub(crate) batch: Option<usize>,
    #[arg(long, value_name = "X", help = format!("Learning rate [default: {DEFAULT_RATE}, with --trunk {DEFAULT_TRUNK_RATE}]"))]
    pub(crate) rate: Option<f64>,
    #[arg(long, value_name = "X", help = format!(
        "Margin of the loss: radians of arcface, a cosine of cosface, adacos and triplet [default: {DEFAULT_MARGIN} of arcface \
         and cosface, {} of adacos, {} of triplet]",
        Loss::AdaCos.default_margin().unwrap_or_default(), Loss::Triplet.default_margin().unwrap_or_default()))]
    pub(crate) margin: Option<f64>,
    #[arg(long, value_name = "X", help = format!(
        "What the cosines of arcface and cosface are multiplied with [default: {DEFAULT_SCALE}]"))]
    pub(crate) scale: Option<f64>,
    #[arg(long, value_name = "N", help = format!("Whatever is drawn is drawn from it [default: {DEFAULT_SEED}]"))]
    pub(crate) seed: Option<u64>,
    #[arg(long, value_name = "X", help = format!(
        "Share of the train images that is held out, 0 to 0.9 [default: {DEFAULT_VALIDATION}]"))]
    pub(crate) validation: Option<f64>,
    /// Draw labels equally often, however many images they have
    #[arg(long)]
    pub(crate) balance: bool,
    /// Train the whole network from the photos, not a map behind it
    #[arg(long)]
    pub(crate) trunk: bool,
    #[arg(long, value_name = "HOW", requires = "trunk", value_parser = PossibleValuesParser::new(Augment::ALL.map(Augment::name)),
        help = format!("With --trunk: how views differ from their photos [default: {}]", Augment::default().name()))]
    pub(crate) augment: Option<String>,
    #[arg(long, value_name = "N", requires = "trunk", help = format!(
        "With --trunk: epochs at the end with larger photos and frozen batch normalisations [default: {DEFAULT_SCALEUP}]"))]
    pub(crate) scaleup: Option<usize>,
    #[arg(long, value_name = "HOW", requires = "trunk", value_parser = PossibleValuesParser::new(Gem::ALL.map(Gem::name)),
        help = format!("With --trunk: what becomes of the mean's exponent [default: {}]", Gem::default().name()))]
    pub(crate) gem: Option<String>,
    /// Weights of the network that training begins with (safetensors); without it the network of the model in force
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// Number of the model whose network training begins with, as SHOW MODELS lists it
    #[arg(long, value_name = "N", conflicts_with = "from")]
    pub(crate) from_model: Option<u64>,
    /// Go over to the new model even if it is not better on the images held out
    #[arg(long)]
    pub(crate) force: bool,
}
