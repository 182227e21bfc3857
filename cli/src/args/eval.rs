//! `cairn eval`: methods on queries with known answers, and submissions.

use std::path::PathBuf;

use clap::Args;

use super::{ModelArgs, PhotoArgs};
use crate::output::Format;

/// `cairn eval`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("written").args(["report", "submission"]).multiple(true))]
#[command(after_help = "Examples:
  cairn eval photos.db --queries query.csv --truth solution.csv --report report.html
  cairn eval vectors.db --queries q.npy --query-ids q_ids.txt --truth solution.csv --k 3 --tau 0.6
  cairn eval photos.db --queries query.csv --truth solution.csv --table --format markdown --report table.html
  cairn eval vectors.db --queries q.npy --query-ids q_ids.txt --truth gnd_roxford5k.json
  cairn eval photos.db --queries test.csv --submission submission.csv
  cairn eval --answers submission.csv --truth solution.csv

Known answers are one of
  id,images,Usage       retrieval: mAP@100, P@10, MeanPos
  id,landmarks,Usage    recognition: GAP and top-1
  JSON                  revisited Oxford and Paris: mAP and mP@1, 5, 10 of Easy, Medium and Hard, over the whole ranking
Rows marked Ignored are skipped; the column Usage may be missing.")]
pub(crate) struct Eval {
    /// Folder of the database; with --answers it may be left out, and then nobody looks whether the answers are stored images
    #[arg(required_unless_present = "answers")]
    pub(crate) database: Option<PathBuf>,
    /// Refuse every statement that writes; the answers are of the database as it is now
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Queries: a CSV list (id,path), or vectors (.npy, .npz, .fvecs) with --query-ids. Queries that fail are listed, and the
    /// exit code is 5
    #[arg(long, value_name = "FILE", required_unless_present = "answers")]
    pub(crate) queries: Option<PathBuf>,
    /// Ids of the query vectors, one per line
    #[arg(long, value_name = "FILE")]
    pub(crate) query_ids: Option<PathBuf>,
    /// Known answers: CSV (id,images,Usage or id,landmarks,Usage), or the JSON of revisited Oxford or Paris
    #[arg(long, value_name = "FILE", required_unless_present = "submission")]
    pub(crate) truth: Option<PathBuf>,
    /// Names of the images that the numbers of a JSON file without imlist mean, one per line
    #[arg(long, value_name = "FILE", requires = "truth")]
    pub(crate) truth_images: Option<PathBuf>,
    /// Score these answers instead of searching: CSV (id,images, best first; or id,landmarks, a label and its score)
    #[arg(long, value_name = "FILE", requires = "truth",
        conflicts_with_all = ["queries", "query_ids", "k", "tau", "report", "table", "ablation", "grid", "submission"])]
    pub(crate) answers: Option<PathBuf>,
    /// Write the answers of sort + insert for every query to this file (CSV, id,images); with known labels, those of the vote
    /// (id,landmarks)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["table", "ablation", "grid"])]
    pub(crate) submission: Option<PathBuf>,
    /// Number of train images that vote [default: the database's --vote-k]
    #[arg(long, value_name = "K")]
    pub(crate) k: Option<usize>,
    /// Threshold of the insert-step, -2 to 2
    #[arg(long, value_name = "TAU", default_value_t = cairn::language::DEFAULT_TAU, allow_negative_numbers = true)]
    pub(crate) tau: f64,
    /// Write a report (HTML) to this file: the queries with their answers, or the table with plots
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Compare every method of the first stage, alone and with the steps of the second (Table 2 of the paper)
    #[arg(long, conflicts_with_all = ["ablation", "grid"])]
    pub(crate) table: bool,
    /// Compare the steps of the second stage, each alone, with the change from none of them (Table 3 of the paper)
    #[arg(long, conflicts_with = "grid")]
    pub(crate) ablation: bool,
    /// Compare several k and tau (Table 4 of the paper)
    #[arg(long, conflicts_with_all = ["k", "tau"])]
    pub(crate) grid: bool,
    /// Let the report and the submission replace any file, not only an earlier report
    #[arg(long, alias = "force", requires = "written")]
    pub(crate) overwrite: bool,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) photos: PhotoArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}
