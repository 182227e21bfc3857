//! Plans: statements with their names resolved, every default filled in, and the access path chosen.

use crate::ast::{Action, Augment, Column, Cut, Flip, Freshness, Gem, Loss, Origin};
use crate::limits::{
    DEFAULT_BATCH, DEFAULT_EPOCHS, DEFAULT_FREQ, DEFAULT_INLIERS, DEFAULT_NEIGHBOURS, DEFAULT_NN, DEFAULT_RATE,
    DEFAULT_SCALEUP, DEFAULT_SEED, DEFAULT_TRUNK_EPOCHS, DEFAULT_TRUNK_RATE, DEFAULT_VALIDATION,
};
use crate::names::Source;
use crate::recognition::RecognizeRequest;
use crate::request::SearchRequest;

/// The facts about the database that the planner needs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// Live index images.
    pub index_rows: usize,
    /// Live train images.
    pub train_rows: usize,
    /// k of the stored predictions.
    pub vote_k: usize,
    /// Length of the stored neighbour list of an index image (k').
    pub kept_neighbours: usize,
    /// Number of rows in one scope from which a search without EXACT uses the graph.
    pub graph_from_rows: usize,
    /// Number of segments of the roles in the statement's scope ([`Statement::scope`](crate::Statement::scope)); the rows that
    /// are in none of them are the tail.
    pub segments: usize,
    /// Dimension of the descriptors.
    pub dimension: usize,
}

/// A plan: the statement that will run.
#[derive(Debug, Clone, PartialEq)]
pub enum Plan {
    /// A search.
    Search(Box<SearchPlan>),
    /// A vote on one image.
    Predict {
        /// The image whose instance is predicted.
        source: Source,
        /// Voters.
        k: usize,
        /// How far predictions may lag.
        freshness: Freshness,
    },
    /// The instance that images show, or that nothing known is on them.
    Recognize(RecognizePlan),
    /// Insert or replace an image.
    Put {
        /// External key.
        key: String,
        /// The source of its descriptor.
        source: Source,
        /// Its label; a train image has one, an index image none.
        label: Option<String>,
        /// The put may replace another photo or label under the key.
        overwrite: bool,
    },
    /// Delete an image.
    Delete {
        /// External key.
        key: String,
    },
    /// Give an image a label; an index image becomes a train image.
    Label {
        /// External key.
        key: String,
        /// The label.
        label: String,
    },
    /// Remove the label; the image becomes an index image.
    Unlabel {
        /// External key.
        key: String,
    },
    /// The state of the database.
    ShowStatus,
    /// Labels with their numbers of train images.
    ShowLabels,
    /// The segments of the database.
    ShowSegments,
    /// The deferred writes.
    ShowStale,
    /// The cleanings and their changes.
    ShowCleans,
    /// The changes of one cleaning, image by image.
    ShowClean {
        /// Its number.
        number: u64,
    },
    /// Train images that a cleaning marked.
    ShowMarked,
    /// The most suspect train images; it changes nothing.
    ShowSuspects {
        /// Number of images shown.
        limit: usize,
    },
    /// The models, and which one is active.
    ShowModels,
    /// A training.
    Train(TrainPlan),
    /// A cleaning.
    Clean(CleanPlan),
    /// Undo the last cleaning.
    UndoClean,
    /// Revert the last change of labels.
    UndoLabel,
    /// Embed all photos again, under a new model number.
    Reembed {
        /// A file with another model; `None`: the active one.
        model: Option<String>,
    },
    /// Make another model active.
    UseModel {
        /// Its number.
        number: u64,
    },
    /// Drop a model and its descriptors.
    DropModel {
        /// Its number.
        number: u64,
        /// Even if other models were trained on its descriptors.
        force: bool,
    },
    /// Write the rows of the tail into segments.
    Flush,
    /// Merge segments and drop their dead rows.
    Compact {
        /// Also compute and save the neighbour graph.
        neighbours: bool,
    },
    /// Look for damage.
    Check {
        /// Also read every row of every segment.
        deep: bool,
    },
    /// Back the database up.
    Backup {
        /// Folder of the backup.
        folder: String,
    },
    /// Read a backup and look for damage.
    BackupVerify {
        /// Folder of the backup.
        folder: String,
    },
    /// Create a database from a backup.
    BackupRestore {
        /// Folder of the backup.
        from: String,
        /// Folder of the new database.
        to: String,
    },
    /// Print the plan; with `analyze` run it first.
    Explain {
        /// Run it and report counts.
        analyze: bool,
        /// The statement to explain.
        plan: Box<Plan>,
    },
}

/// A search with everything decided.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SearchPlan {
    /// The query image or images.
    pub source: Source,
    /// The scope, the breadth and the second stage; `ef` is the chosen access path, `limit` is at most `depth`.
    pub request: SearchRequest,
    /// Why every row is scored; `None` exactly if the search uses the graph.
    pub scan: Option<&'static str>,
    /// Number of segments to search; the search scores every row of the tail too. 0: there is only the tail.
    pub segments: usize,
    /// The source of the index images' votes; `None` exactly without a second stage.
    pub votes: Option<VotesFrom>,
    /// The threshold of the insert-step, even if nothing is inserted: a report shows what it would insert.
    pub tau: f64,
    /// How far predictions may lag.
    pub freshness: Freshness,
    /// The query itself may be in its answer and vote.
    pub including_self: bool,
    /// The columns that are returned.
    pub columns: Vec<Column>,
    /// Path of a report.
    pub into: Option<String>,
}

/// A recognition with everything decided.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RecognizePlan {
    /// The image or images that are recognised.
    pub source: Source,
    /// How the label is elected, and when it is no answer.
    pub request: RecognizeRequest,
    /// The inliers of the local features count too.
    pub verify: bool,
    /// How far predictions may lag.
    pub freshness: Freshness,
    /// Path of a report.
    pub into: Option<String>,
}

/// The source of the index images' votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VotesFrom {
    /// k is the database's `vote_k`: the stored predictions.
    Stored,
    /// k is at most the length of the stored lists: computed from the lists, once per sequence.
    KeptLists,
    /// k is larger, or the train images are augmented: computed by an exact search, once per sequence.
    ExactSearch,
}

/// A training with everything decided.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TrainPlan {
    /// The training loss.
    pub loss: Loss,
    /// Dimension of the new descriptors.
    pub dimension: usize,
    /// Passes over the train images.
    pub epochs: usize,
    /// Images per step.
    pub batch: usize,
    /// The learning rate.
    pub rate: f64,
    /// The margin of the loss; `None` exactly for a loss that has none.
    pub margin: Option<f64>,
    /// The factor of the cosines; `None` exactly for a loss that takes no scale.
    pub scale: Option<f64>,
    /// Random seed.
    pub seed: u64,
    /// The share of the train images that is held out, in [0, 0.9].
    pub validation: f64,
    /// Training samples labels equally often, however many images they have.
    pub balance: bool,
    /// The options of a training of the whole network; `None`: the network stays as it is, and a map of its descriptors is
    /// trained.
    pub trunk: Option<TrunkPlan>,
    /// The network that training starts from; `None`: that of the active model.
    pub from: Option<Origin>,
    /// Whether the new model becomes active.
    pub flip: Flip,
}

/// The further options of a training of the whole network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrunkPlan {
    /// Augmentation of the photos.
    pub augment: Augment,
    /// Number of last epochs with larger photos and frozen batch normalisation.
    pub scaleup: usize,
    /// Whether the exponent of the generalised mean is trained.
    pub gem: Gem,
}

impl TrainPlan {
    /// The plan of TRAIN with this loss, with or without TRUNK, and with the defaults.
    pub fn usual(loss: Loss, trunk: bool) -> Self {
        let (epochs, rate) =
            if trunk { (DEFAULT_TRUNK_EPOCHS, DEFAULT_TRUNK_RATE) } else { (DEFAULT_EPOCHS, DEFAULT_RATE) };
        let of_trunk =
            TrunkPlan { augment: Augment::default(), scaleup: DEFAULT_SCALEUP.min(epochs), gem: Gem::default() };
        Self {
            loss,
            dimension: loss.default_dimension(),
            epochs,
            batch: DEFAULT_BATCH,
            rate,
            margin: loss.default_margin(),
            scale: loss.default_scale(),
            seed: DEFAULT_SEED,
            validation: DEFAULT_VALIDATION,
            balance: false,
            trunk: trunk.then_some(of_trunk),
            from: None,
            flip: Flip::UnlessWorse,
        }
    }

    /// Sets [`TrainPlan::dimension`].
    #[must_use]
    pub fn dimension(self, dimension: usize) -> Self {
        Self { dimension, ..self }
    }

    /// Sets [`TrainPlan::epochs`].
    #[must_use]
    pub fn epochs(self, epochs: usize) -> Self {
        Self { epochs, ..self }
    }

    /// Sets [`TrainPlan::batch`].
    #[must_use]
    pub fn batch(self, batch: usize) -> Self {
        Self { batch, ..self }
    }

    /// Sets [`TrainPlan::rate`].
    #[must_use]
    pub fn rate(self, rate: f64) -> Self {
        Self { rate, ..self }
    }

    /// Sets [`TrainPlan::margin`].
    #[must_use]
    pub fn margin(self, margin: impl Into<Option<f64>>) -> Self {
        Self { margin: margin.into(), ..self }
    }

    /// Sets [`TrainPlan::scale`].
    #[must_use]
    pub fn scale(self, scale: impl Into<Option<f64>>) -> Self {
        Self { scale: scale.into(), ..self }
    }

    /// Sets [`TrainPlan::seed`].
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Sets [`TrainPlan::validation`].
    #[must_use]
    pub fn validation(self, validation: f64) -> Self {
        Self { validation, ..self }
    }

    /// Sets [`TrainPlan::balance`].
    #[must_use]
    pub fn balance(self, balance: bool) -> Self {
        Self { balance, ..self }
    }

    /// Sets [`TrainPlan::from`].
    #[must_use]
    pub fn from(self, from: impl Into<Option<Origin>>) -> Self {
        Self { from: from.into(), ..self }
    }

    /// Sets [`TrainPlan::flip`].
    #[must_use]
    pub fn flip(self, flip: Flip) -> Self {
        Self { flip, ..self }
    }
}

/// A cleaning with everything decided.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CleanPlan {
    /// Number of nearest train images that are examined for each train image.
    pub nn: usize,
    /// Largest number of those with the same label that the image is compared with; the image itself counts.
    pub neighbours: usize,
    /// Number of inliers from which a pair is verified; inclusive.
    pub inliers: usize,
    /// Number of verified pairs from which an image is kept.
    pub freq: usize,
    /// Which images it finds.
    pub rule: CleanRule,
    /// What it does with them.
    pub action: Action,
    /// Accept any number of thumbnails; otherwise only a few may stand for photos.
    pub thumbnails: bool,
    /// Report only.
    pub dry_run: bool,
    /// Path of a report.
    pub into: Option<String>,
}

impl Default for CleanPlan {
    /// The paper's rule with its numbers (docs/ALGORITHMS.md); it marks the images that it finds. It accepts thumbnails without
    /// asking, unlike a typed CLEAN.
    fn default() -> Self {
        Self {
            nn: DEFAULT_NN,
            neighbours: DEFAULT_NEIGHBOURS,
            inliers: DEFAULT_INLIERS,
            freq: DEFAULT_FREQ,
            rule: CleanRule::Paper,
            action: Action::KeepVoters,
            thumbnails: true,
            dry_run: false,
            into: None,
        }
    }
}

impl CleanPlan {
    /// What SHOW SUSPECTS runs: the most suspect images, and nothing is changed.
    pub fn suspects(limit: usize) -> Self {
        Self { rule: CleanRule::Suspects(Cut::Top(limit)), dry_run: true, ..Self::default() }
    }

    /// Sets [`CleanPlan::nn`].
    #[must_use]
    pub fn nn(self, nn: usize) -> Self {
        Self { nn, ..self }
    }

    /// Sets [`CleanPlan::neighbours`].
    #[must_use]
    pub fn neighbours(self, neighbours: usize) -> Self {
        Self { neighbours, ..self }
    }

    /// Sets [`CleanPlan::inliers`].
    #[must_use]
    pub fn inliers(self, inliers: usize) -> Self {
        Self { inliers, ..self }
    }

    /// Sets [`CleanPlan::freq`].
    #[must_use]
    pub fn freq(self, freq: usize) -> Self {
        Self { freq, ..self }
    }

    /// Sets [`CleanPlan::rule`].
    #[must_use]
    pub fn rule(self, rule: CleanRule) -> Self {
        Self { rule, ..self }
    }

    /// Sets [`CleanPlan::action`].
    #[must_use]
    pub fn action(self, action: Action) -> Self {
        Self { action, ..self }
    }

    /// Sets [`CleanPlan::thumbnails`].
    #[must_use]
    pub fn thumbnails(self, thumbnails: bool) -> Self {
        Self { thumbnails, ..self }
    }

    /// Sets [`CleanPlan::dry_run`].
    #[must_use]
    pub fn dry_run(self, dry_run: bool) -> Self {
        Self { dry_run, ..self }
    }

    /// Sets [`CleanPlan::into`].
    #[must_use]
    pub fn into(self, into: impl Into<Option<String>>) -> Self {
        Self { into: into.into(), ..self }
    }
}

/// Which train images a cleaning finds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CleanRule {
    /// Those with too few verified pairs, and what is left of a label that has one image left.
    Paper,
    /// The most suspect ones, up to this cut.
    Suspects(Cut),
}
