//! The arguments of `cairn ingest`.

use std::path::PathBuf;

use clap::Args;

use super::shared::FailureArgs;
use super::{ModelArgs, RoleWord};

/// The argument of `--labels`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LabelsWord {
    /// The source's labels replace the present ones.
    List,
    /// The labels are in this file.
    File(PathBuf),
}

impl From<std::ffi::OsString> for LabelsWord {
    fn from(word: std::ffi::OsString) -> Self {
        if word == "list" { Self::List } else { Self::File(word.into()) }
    }
}

/// What becomes of images whose files are gone.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Delete the images of these folders whose files are gone. Images of a folder that is empty or cannot be read stay: a disk
    /// may not be mounted there
    #[arg(long)]
    pub(crate) prune: bool,
    /// With --prune: only list what it would delete
    #[arg(long, requires = "prune")]
    pub(crate) dry_run: bool,
    /// With --prune: the most images that it deletes; it deletes none if there are more [default: a tenth of the database's images]
    #[arg(long, requires = "prune", value_name = "N")]
    pub(crate) prune_most: Option<usize>,
}

/// `cairn ingest`
#[derive(Debug, Args)]
#[command(
    after_help = "Sources: a folder of photos, a CSV list (header id,path[,label]; paths relative to the file), a text file with one
path per line, photos, or vectors (.npy, .npz of one array, .fvecs) with --ids. The command ingests what it can, lists what failed
(an unreadable folder counts as one failure), and ends with exit code 5 if anything failed. Lists are UTF-8, separated by commas,
semicolons, tabs or bars; - reads a list from standard input, also for --ids and --labels. Labels that differ only in the white space
around them or in their Unicode form are one label; the output names those that were joined. Lists of Google Landmarks (id,url,landmark_id;
photos in a/b/c/ID.jpg) can be read unchanged.

Examples:
  cairn ingest photos.db train.csv --as train
  cairn ingest photos.db images/ --as train --labels train.csv
  cairn ingest photos.db by-label/ --as train --label-from-folder
  cairn ingest photos.db train.csv --as train --labels list      replaces labels, even those set by hand
  cairn ingest photos.db gldv2/train.csv --as train --photos-from gldv2/train
  cairn ingest vectors.db train_feats.npy --ids train_ids.txt --labels train_labels.csv --as train
  cairn ingest vectors.db index_feats.npy --ids index_ids.txt --as index"
)]
pub(crate) struct Ingest {
    /// Folder of the database
    pub(crate) database: PathBuf,
    /// Folders, lists, photos or vectors to ingest
    #[arg(required = true, value_name = "SOURCE")]
    pub(crate) sources: Vec<PathBuf>,
    /// train: labelled images, which vote; index: images that searches find
    #[arg(long = "as", value_name = "ROLE")]
    pub(crate) role: RoleWord,
    /// Keys of the vectors, one per line
    #[arg(long, value_name = "FILE")]
    pub(crate) ids: Option<PathBuf>,
    /// A CSV file of labels with the columns id and label (or landmark_id). The word `list`, alone or beside a file: the labels
    /// of the source replace the present ones, even those set by hand. Without it, labels that people or a cleaning set stay
    /// until the source itself changes
    #[arg(long, value_name = "FILE|list")]
    pub(crate) labels: Vec<LabelsWord>,
    /// Leave out the files and folders of a folder that match this pattern, as in a .gitignore; can be given more than once. A
    /// file .cairnignore in a folder has such patterns too
    #[arg(long, value_name = "PATTERN")]
    pub(crate) exclude: Vec<String>,
    /// Columns of a list that become attributes of its photos: their names, or `all`; a type behind a colon if the values do not
    /// tell it (code:text, number, time, place). Cameras' notes (taken, camera, place) become attributes without it
    #[arg(long, value_name = "COLUMN,..", value_delimiter = ',')]
    pub(crate) attributes: Vec<String>,
    #[command(flatten)]
    pub(crate) prune: Prune,
    /// Most pixels of a photo, in millions; above the default, photos may take more memory [default: 300]
    #[arg(long, value_name = "MILLIONS", value_parser = clap::value_parser!(u64).range(1..=4000))]
    pub(crate) max_pixels: Option<u64>,
    /// Take the name of a photo's folder as its label
    #[arg(long)]
    pub(crate) label_from_folder: bool,
    /// Folder that a list's paths are relative to, or that has the photos under the letters of their ids (a/b/c/ID.jpg) [default:
    /// the list's own folder]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) photos_from: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) failures: FailureArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}
