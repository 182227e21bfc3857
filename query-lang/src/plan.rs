//! What will run: a bound statement with every default filled in and the access path chosen from facts about the database.

use crate::ast::{Action, Augment, Column, Condition, Cut, Flip, Freshness, Gem, Loss, Mode, Origin, Rule, Scope};
use crate::bind::{Bound, BoundClean, BoundSearch, BoundTrain, Source};
use crate::limits::{
    DEFAULT_BATCH, DEFAULT_DEPTH, DEFAULT_EF_PER_K, DEFAULT_EPOCHS, DEFAULT_EVIDENCE, DEFAULT_FREQ, DEFAULT_INLIERS,
    DEFAULT_NEIGHBOURS, DEFAULT_NN, DEFAULT_RATE, DEFAULT_SCALEUP, DEFAULT_SEED, DEFAULT_SUSPECTS, DEFAULT_TAU,
    DEFAULT_TRUNK_EPOCHS, DEFAULT_TRUNK_RATE, DEFAULT_VALIDATION, MAX_COUNT,
};

/// A graph is searched while its breadth is below one in so many of the rows. For each of its breadth it scores 15 to 30 rows, wherever
/// in memory they lie, and moves what it found before to make room, so that its cost grows with the square of the breadth; a scan
/// scores every row in the order of memory, by all processors.
const SCAN_FROM_SHARE: usize = 64;

/// What the planner needs to know about the database.
#[derive(Debug, Clone, PartialEq)]
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
    /// Segments that the roles of the statement's scope have ([`Bound::scope`]); the rows that none of them has are the tail.
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
    /// A training.
    Train(TrainPlan),
    /// A cleaning.
    Clean(CleanPlan),
    /// The most suspect train images; nothing is changed.
    Suspects {
        /// Images shown.
        limit: usize,
    },
    /// Any statement that has nothing to choose: it runs as bound.
    Direct(Bound),
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
    /// What is searched.
    pub scope: Scope,
    /// All must hold, for inserted rows too.
    pub filter: Vec<Condition>,
    /// K: candidates searched and re-ranked.
    pub depth: usize,
    /// Rows returned, at most `depth`.
    pub limit: usize,
    /// How candidates are found.
    pub access: Access,
    /// Segments that are searched; the tail is searched too, every row of it. 0: there is nothing but the tail.
    pub segments: usize,
    /// The second stage.
    pub rerank: Option<RerankPlan>,
    /// How far predictions may lag.
    pub freshness: Freshness,
    /// The query itself may answer and vote.
    pub including_self: bool,
    /// What is returned.
    pub columns: Vec<Column>,
    /// Path of a report.
    pub into: Option<String>,
}

/// How candidates are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Every row is scored.
    Exact {
        /// Why not the graph.
        why: &'static str,
    },
    /// The graph, this broad.
    Graph {
        /// Breadth of the search.
        ef: usize,
    },
}

/// The second stage with everything decided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RerankPlan {
    /// Sort-step: positives first.
    pub sort: bool,
    /// Insert-step: unretrieved positives behind them.
    pub insert: bool,
    /// Voters.
    pub k: usize,
    /// An item is inserted unless score(query) + score(item) < tau.
    pub tau: f64,
    /// Where the votes of the index images come from.
    pub votes: VotesFrom,
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
    /// The paper's rule with its numbers (SPEC sections 4 and 9); what is found is marked. A program is not asked about thumbnails, unlike
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

/// Columns of an answer that names none.
const DEFAULT_COLUMNS: [Column; 7] = [
    Column::Query,
    Column::Rank,
    Column::Id,
    Column::Similarity,
    Column::Instance,
    Column::InstanceScore,
    Column::Stage,
];

/// Fills in defaults and chooses the access path. Pure: the same statement and facts give the same plan.
pub fn plan(bound: Bound, facts: &Facts) -> Plan {
    match bound {
        Bound::Search(search) => Plan::Search(plan_search(search, facts)),
        Bound::Predict { source, k, freshness } => Plan::Predict { source, k: k.unwrap_or(facts.vote_k), freshness },
        Bound::Explain { analyze, statement } => Plan::Explain { analyze, plan: Box::new(plan(*statement, facts)) },
        Bound::Train(train) => Plan::Train(plan_train(train)),
        Bound::Clean(clean) => Plan::Clean(plan_clean(clean)),
        Bound::ShowSuspects { limit } => Plan::Suspects { limit: limit.unwrap_or(DEFAULT_SUSPECTS) },
        direct => Plan::Direct(direct),
    }
}

fn plan_search(search: BoundSearch, facts: &Facts) -> SearchPlan {
    let depth = search.depth.unwrap_or(DEFAULT_DEPTH);
    let rows = match search.scope {
        Scope::Index => facts.index_rows,
        Scope::Train => facts.train_rows,
        Scope::All => facts.index_rows.max(facts.train_rows),
    };
    let access = match search.mode {
        Some(Mode::Exact) => Access::Exact { why: "EXACT was asked for" },
        _ if !search.filter.is_empty() => Access::Exact { why: "a filter must find min(K, matching) rows" },
        Some(Mode::Ef(ef)) => Access::Graph { ef: ef.max(depth) },
        None if matches!(search.source, Source::Queries(_)) => {
            Access::Exact { why: "a batch of queries shares one pass" }
        }
        None if rows < facts.graph_from_rows => Access::Exact { why: "few rows: a scan is as fast as a graph" },
        None if depth.saturating_mul(DEFAULT_EF_PER_K * SCAN_FROM_SHARE) >= rows => {
            Access::Exact { why: "K is a large share of the rows: a scan is as fast as a graph" }
        }
        None => Access::Graph { ef: depth.saturating_mul(DEFAULT_EF_PER_K).min(MAX_COUNT) },
    };
    let rerank = search.rerank.map(|asked| {
        let both = asked.sort == asked.insert;
        let k = asked.k.unwrap_or(facts.vote_k);
        RerankPlan {
            sort: both || asked.sort,
            insert: both || asked.insert,
            k,
            tau: asked.tau.unwrap_or(DEFAULT_TAU),
            votes: match k {
                k if k == facts.vote_k => VotesFrom::Stored,
                k if k <= facts.kept_neighbours => VotesFrom::KeptLists,
                _ => VotesFrom::ExactSearch,
            },
        }
    });
    SearchPlan {
        source: search.source,
        scope: search.scope,
        filter: search.filter,
        depth,
        limit: search.limit.unwrap_or(depth).min(depth),
        access,
        segments: facts.segments,
        rerank,
        freshness: search.freshness,
        including_self: search.including_self,
        columns: search.columns.unwrap_or_else(|| DEFAULT_COLUMNS.to_vec()),
        into: search.into,
    }
}

/// A TRAIN with every default filled in.
pub fn plan_train(train: BoundTrain) -> TrainPlan {
    let loss = train.loss.unwrap_or(Loss::of_training(train.trunk));
    let (epochs, rate) =
        if train.trunk { (DEFAULT_TRUNK_EPOCHS, DEFAULT_TRUNK_RATE) } else { (DEFAULT_EPOCHS, DEFAULT_RATE) };
    let epochs = train.epochs.unwrap_or(epochs);
    TrainPlan {
        loss,
        dimension: train.dimension.unwrap_or(loss.default_dimension()),
        epochs,
        batch: train.batch.unwrap_or(DEFAULT_BATCH),
        rate: train.rate.unwrap_or(rate),
        margin: loss.default_margin().map(|usual| train.margin.unwrap_or(usual)),
        scale: loss.default_scale().map(|usual| train.scale.unwrap_or(usual)),
        seed: train.seed.unwrap_or(DEFAULT_SEED),
        validation: train.validation.unwrap_or(DEFAULT_VALIDATION),
        balance: train.balance,
        trunk: train.trunk.then(|| TrunkPlan {
            augment: train.augment.unwrap_or_default(),
            scaleup: train.scaleup.unwrap_or(DEFAULT_SCALEUP.min(epochs)),
            gem: train.gem.unwrap_or_default(),
        }),
        from: train.from,
        flip: train.flip,
    }
}

fn plan_clean(clean: BoundClean) -> CleanPlan {
    CleanPlan {
        nn: clean.nn.unwrap_or(DEFAULT_NN),
        neighbours: clean.neighbours.unwrap_or(DEFAULT_NEIGHBOURS),
        inliers: clean.inliers.unwrap_or(DEFAULT_INLIERS),
        freq: clean.freq.unwrap_or(DEFAULT_FREQ),
        rule: match clean.rule {
            Rule::Paper => CleanRule::Paper,
            Rule::Suspects => CleanRule::Suspects(clean.cut.unwrap_or(Cut::Evidence(DEFAULT_EVIDENCE))),
        },
        action: clean.action,
        thumbnails: clean.thumbnails,
        dry_run: clean.dry_run,
        into: clean.into,
    }
}
