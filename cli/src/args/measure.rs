//! The commands that show and measure what networks give: bench, demo, device.
#![cfg_attr(
    not(feature = "torch"),
    allow(dead_code, reason = "a build without networks refuses these commands unread")
)]

use std::path::PathBuf;

use cairn::language::Loss;
use clap::{Args, Subcommand};

use super::{DeviceWord, ModelArgs};
use crate::networks::model_names;
use crate::output::Format;

/// `cairn bench`
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// What to measure
    #[command(subcommand)]
    pub(crate) what: BenchWhat,
}

/// The comparisons.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchWhat {
    /// Train with every loss and measure each on queries with known answers (Table 5 of the paper)
    Losses(BenchLosses),
    /// Train on the labels as they are, cleaned, and corrected; measure each on queries with known answers (Table 6 of the paper)
    Cleaning(BenchCleaning),
}

/// The arguments that every comparison takes.
#[derive(Debug, Args)]
pub(crate) struct BenchSet {
    /// Folder of a database with a model and labelled photos
    pub(crate) database: PathBuf,
    /// List of query photos: CSV with the columns id and path
    #[arg(long, value_name = "FILE")]
    pub(crate) queries: PathBuf,
    /// Known answers: CSV with the columns id, images and Usage
    #[arg(long, value_name = "FILE")]
    pub(crate) truth: PathBuf,
    /// Trainings per row, with seeds 0, 1, ..
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seeds: u64,
    /// Passes over the train images [default: that of TRAIN]
    #[arg(long, value_name = "N")]
    pub(crate) epochs: Option<usize>,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: Format,
    /// The model
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

/// `cairn bench cleaning`
#[derive(Debug, Args)]
#[command(after_help = "Example:
  cairn bench cleaning photos.db --queries query.csv --truth solution.csv --labels truth.csv

Nothing of the database is changed; local features that no CLEAN kept are found again.")]
pub(crate) struct BenchCleaning {
    /// The set
    #[command(flatten)]
    pub(crate) set: BenchSet,
    /// True labels of train images, to judge both rules by: CSV with the columns id and label
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    /// Training loss
    #[arg(long, value_name = "LOSS", default_value = "lda", value_parser = loss)]
    pub(crate) loss: Loss,
}

/// A loss by its name.
fn loss(name: &str) -> Result<Loss, String> {
    let names = || Loss::ALL.map(Loss::name).join(", ");
    Loss::ALL.into_iter().find(|loss| loss.name() == name).ok_or_else(|| format!("there are {}", names()))
}

/// `cairn bench losses`
#[derive(Debug, Args)]
#[command(after_help = "Example:
  cairn bench losses photos.db --queries query.csv --truth solution.csv --seeds 3

The database is not changed. Half of largest minus smallest of the seeds is printed as +-.")]
pub(crate) struct BenchLosses {
    /// The set
    #[command(flatten)]
    pub(crate) set: BenchSet,
}

/// `cairn demo`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cairn demo
  cairn demo --out /tmp/demo --places 40 --seed 1
  cairn demo --photos my-photos/          a subfolder for each label")]
pub(crate) struct Demo {
    /// Folder for the photos, the database and the report
    #[arg(long, value_name = "DIR", default_value = "demo")]
    pub(crate) out: PathBuf,
    /// Folder with your own photos; the name of a subfolder is the label of its photos
    #[arg(long, value_name = "DIR")]
    pub(crate) photos: Option<PathBuf>,
    /// Number of places to make up, each with an outside and an inside
    #[arg(long, value_name = "N", default_value_t = 24, conflicts_with = "photos")]
    pub(crate) places: usize,
    /// Random seed: the same seed gives the same photos and the same split
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

/// `cairn device`
#[derive(Debug, Args)]
#[cfg_attr(
    feature = "torch",
    command(
        after_help = "CUDA is found when CAIRN_TORCH_LIB names the torch/lib folder of a PyTorch 2.11 installation."
    )
)]
pub(crate) struct Device {
    /// Device to check
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub(crate) device: DeviceWord,
    /// Number of photos to embed on both devices
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(usize))]
    pub(crate) photos: usize,
    /// Number of train vectors that vote; a quarter as many index images get predictions
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub(crate) rows: usize,
    /// Also time training steps of this network, with random weights
    #[arg(long, value_name = "MODEL", value_parser = model_names())]
    pub(crate) training: Option<String>,
    /// Photos per training step
    #[arg(long, value_name = "N", default_value_t = 32, requires = "training")]
    pub(crate) batch: usize,
    /// Number of training steps to time
    #[arg(long, value_name = "N", default_value_t = 30, requires = "training")]
    pub(crate) steps: u64,
}
