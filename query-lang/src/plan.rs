//! What will run: a statement with its names resolved, every default filled in, and the access path chosen.

use crate::ast::{Action, Augment, Column, Cut, Flip, Freshness, Gem, Loss, Origin};
use crate::limits::{
    DEFAULT_BATCH, DEFAULT_EPOCHS, DEFAULT_FREQ, DEFAULT_INLIERS, DEFAULT_NEIGHBOURS, DEFAULT_NN, DEFAULT_RATE,
    DEFAULT_SCALEUP, DEFAULT_SEED, DEFAULT_TRUNK_EPOCHS, DEFAULT_TRUNK_RATE, DEFAULT_VALIDATION,
};
use crate::names::Source;
use crate::request::SearchRequest;

/// What the planner needs to know about the database.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// Live index images.
    pub index_rows: usize,
    /// Live train images.
    pub train_rows: usize,
    /// k of the stored predictions.
    pub vote_k: usize,
    /// Neighbours kept of every index image (k').
    pub kept_neighbours: usize,
    /// From this many rows in one scope on, a search without EXACT uses the graph.
    pub graph_from_rows: usize,
    /// Segments that the roles of the statement's scope have ([`Statement::scope`](crate::Statement::scope)); the rows that none of them has are the tail.
    pub segments: usize,
    /// Dimension of the descriptors.
    pub dimension: usize,
}

/// What will run.
#[derive(Debug, Clone, PartialEq)]
pub enum Plan {
    /// A search.
    Search(SearchPlan),
    /// A vote for one image.
    Predict {
        /// Whose instance is asked for.
        source: Source,
        /// Voters.
        k: usize,
        /// How far predictions may lag.
        freshness: Freshness,
    },
    /// Insert or replace an image.
    Put {
        /// External key.
        key: String,
        /// Where its descriptor comes from.
        source: Source,
        /// Its label; a train image has one, an index image none.
        label: Option<String>,
        /// Another photo, or another label, under the key is replaced.
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
    /// Take the label away; the image becomes an index image.
    Unlabel {
        /// External key.
        key: String,
    },
    /// The state of the database.
    ShowStatus,
    /// Labels and how many train images carry each.
    ShowLabels,
    /// The segments of the database.
    ShowSegments,
    /// The writes that predictions have not reached.
    ShowStale,
    /// Cleanings, and what each of them changed.
    ShowCleans,
    /// What one cleaning changed, image by image.
    ShowClean {
        /// Its number.
        number: u64,
    },
    /// Train images that a cleaning marked.
    ShowMarked,
    /// The most suspect train images; nothing is changed.
    ShowSuspects {
        /// Images shown.
        limit: usize,
    },
    /// Models, and which of them is in use.
    ShowModels,
    /// A training.
    Train(TrainPlan),
    /// A cleaning.
    Clean(CleanPlan),
    /// Undo the last cleaning.
    UndoClean,
    /// Take the last change of labels back.
    UndoLabel,
    /// Embed all photos again, as a new model's descriptors.
    Reembed {
        /// A file with another model; `None`: the present one.
        model: Option<String>,
    },
    /// Go over to the descriptors of another model.
    UseModel {
        /// Its number.
        number: u64,
    },
    /// Drop a model and its descriptors.
    DropModel {
        /// Its number.
        number: u64,
        /// Even where other models were trained on its descriptors.
        force: bool,
    },
    /// Turn the rows that no segment has into segments.
    Flush,
    /// Merge segments, and give back the space of rows that are dead.
    Compact,
    /// Look for damage.
    Check {
        /// Read every row of every segment too.
        deep: bool,
    },
    /// Back the database up.
    Backup {
        /// Where the backup goes.
        folder: String,
    },
    /// Read a backup and look for damage.
    BackupVerify {
        /// Where the backup is.
        folder: String,
    },
    /// Make a database of a backup.
    BackupRestore {
        /// Where the backup is.
        from: String,
        /// Where the database goes.
        to: String,
    },
    /// Print the plan; with `analyze` run it first.
    Explain {
        /// Run it and report counts.
        analyze: bool,
        /// What is explained.
        plan: Box<Plan>,
    },
}

/// A search with everything decided.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchPlan {
    /// The query image or images.
    pub source: Source,
    /// What is searched, how broadly, and the second stage; `ef` is the access path that was chosen, `limit` at most `depth`.
    pub request: SearchRequest,
    /// Why every row is scored; `None` exactly where the graph is searched.
    pub scan: Option<&'static str>,
    /// Segments that are searched; the tail is searched too, every row of it. 0: there is nothing but the tail.
    pub segments: usize,
    /// Where the votes of the index images come from; `None` exactly without a second stage.
    pub votes: Option<VotesFrom>,
    /// The gate of the insert-step, also where nothing is inserted: a report compares with what would be.
    pub tau: f64,
    /// How far predictions may lag.
    pub freshness: Freshness,
    /// The query itself may answer and vote.
    pub including_self: bool,
    /// The columns that are returned.
    pub columns: Vec<Column>,
    /// Path of a report.
    pub into: Option<String>,
}

/// Where the votes of the index images come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VotesFrom {
    /// k is the database's `vote_k`: the stored predictions.
    Stored,
    /// k is at most the number of kept neighbours: voted again from the kept lists, once per sequence.
    KeptLists,
    /// k is larger: neighbours are searched again, exactly, once per sequence.
    ExactSearch,
}

/// A training with everything decided.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainPlan {
    /// What is made small.
    pub loss: Loss,
    /// Dimension of the new descriptors.
    pub dimension: usize,
    /// Passes over the train images.
    pub epochs: usize,
    /// Images of one step.
    pub batch: usize,
    /// The learning rate.
    pub rate: f64,
    /// The margin of the loss; `None` exactly for a loss that has none.
    pub margin: Option<f64>,
    /// What the cosines are multiplied with; `None` exactly for a loss that takes no scale.
    pub scale: Option<f64>,
    /// Whatever is drawn is drawn from this.
    pub seed: u64,
    /// The share of the train images that is held out, in [0, 0.9].
    pub validation: f64,
    /// Labels are drawn equally often, however many images they have.
    pub balance: bool,
    /// What the training of the whole network is told; `None`: the network stays, and what is learnt stands behind it.
    pub trunk: Option<TrunkPlan>,
    /// What training begins with; `None`: the present model.
    pub from: Option<Origin>,
    /// Whether the new model is put to use.
    pub flip: Flip,
}

/// What the training of a whole network is told beside the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrunkPlan {
    /// How a view differs from its photo.
    pub augment: Augment,
    /// Epochs at the end with larger photos and batch normalisations that stay as they are.
    pub scaleup: usize,
    /// What becomes of the exponent of the generalised mean.
    pub gem: Gem,
}

impl TrainPlan {
    /// What TRAIN with this loss, and with TRUNK where `trunk`, plans by default.
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
}

/// A cleaning with everything decided.
#[derive(Debug, Clone, PartialEq)]
pub struct CleanPlan {
    /// Nearest train images that are looked at, of each train image.
    pub nn: usize,
    /// Those of them with its label that it is compared with, at most; the image itself is one.
    pub neighbours: usize,
    /// From this many inliers on a pair is verified; inclusive.
    pub inliers: usize,
    /// From this many verified pairs on an image is kept.
    pub freq: usize,
    /// Which images are found.
    pub rule: CleanRule,
    /// What is done with them.
    pub action: Action,
    /// Thumbnails are compared however many of them stand for photos; otherwise few of them are.
    pub thumbnails: bool,
    /// Report only.
    pub dry_run: bool,
    /// Path of a report.
    pub into: Option<String>,
}

impl Default for CleanPlan {
    /// The paper's rule with its numbers (docs/ALGORITHMS.md); what is found is marked. A program is not asked about thumbnails, unlike
    /// whoever types CLEAN.
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
}

/// Which train images a cleaning finds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CleanRule {
    /// Those with too few verified pairs, and what is left of a label that has one image left.
    Paper,
    /// The most suspect ones, up to this cut.
    Suspects(Cut),
}
