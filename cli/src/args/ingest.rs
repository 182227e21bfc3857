//! What `cairn ingest` is told.

use std::path::PathBuf;

use clap::Args;

use super::shared::FailureArgs;
use super::{ModelArgs, RoleWord};

/// What `--labels` of an ingest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LabelsWord {
    /// The source's labels overrule those in force.
    List,
    /// They are in this file.
    File(PathBuf),
}

impl From<std::ffi::OsString> for LabelsWord {
    fn from(word: std::ffi::OsString) -> Self {
        if word == "list" { Self::List } else { Self::File(word.into()) }
    }
}

/// `cairn ingest`
#[derive(Debug, Args)]
#[command(
    after_help = "Sources: a folder of photos, a CSV list (header id,path[,label]; paths relative to the file), a text file with a
path a line, photos themselves, or vectors (.npy, .npz of one array, .fvecs) with --ids. What cannot go in is named and counted, an
unreadable folder as one; the rest goes in, and the exit code is 5. Lists are UTF-8, separated by commas, semicolons, tabs or bars; - is
one that comes from standard input, also for --ids and --labels. Labels that differ by white space around them, or in Unicode's forms,
are one label; what was joined is said. Lists of Google Landmarks (id,url,landmark_id; photos in a/b/c/ID.jpg) are read as they are.

Examples:
  cairn ingest photos.db train.csv --as train
  cairn ingest photos.db images/ --as train --labels train.csv
  cairn ingest photos.db by-label/ --as train --label-from-folder
  cairn ingest photos.db train.csv --as train --labels list      takes the list's labels, also over those set by hand
  cairn ingest photos.db gldv2/train.csv --as train --photos-from gldv2/train
  cairn ingest vectors.db train_feats.npy --ids train_ids.txt --labels train_labels.csv --as train
  cairn ingest vectors.db index_feats.npy --ids index_ids.txt --as index"
)]
pub(crate) struct Ingest {
    /// Folder of the database
    pub(crate) database: PathBuf,
    /// What goes in
    #[arg(required = true, value_name = "SOURCE")]
    pub(crate) sources: Vec<PathBuf>,
    /// train: labelled, votes; index: is searched
    #[arg(long = "as", value_name = "ROLE")]
    pub(crate) role: RoleWord,
    /// Keys of the vectors, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) ids: Option<PathBuf>,
    /// Labels: a CSV file with the columns id and label (or landmark_id). The word `list` alone, also beside a file: labels of the source go in force
    /// whoever set the present ones; without it those that people or a cleaning set stay until the source itself changes
    #[arg(long, value_name = "FILE|list")]
    pub(crate) labels: Vec<LabelsWord>,
    /// The name of a photo's folder is its label
    #[arg(long)]
    pub(crate) label_from_folder: bool,
    /// The folder that a list's paths are relative to, or that has its photos by the letters of their ids; without it the list's own
    #[arg(long, value_name = "FOLDER")]
    pub(crate) photos_from: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) failures: FailureArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}
