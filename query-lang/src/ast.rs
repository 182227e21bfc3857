//! What was typed: statements with the places of their parts. Nothing is resolved and nothing defaulted here.

use std::time::Duration;

use crate::value::Value;

/// A half-open range of bytes of the statement's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// A part of a statement and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Spanned<T> {
    /// The part.
    pub node: T,
    /// Where it was typed.
    pub span: Span,
}

/// One statement of the language.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// `SEARCH <image> ...`
    Search(Box<Search>),
    /// `PREDICT <image> [k=3] [FRESH | SINCE SEQ 5 | STALE <= 5s]`
    Predict {
        /// Whose instance is asked for.
        image: Spanned<Image>,
        /// Voters; `None`: the database's `vote_k`.
        k: Option<Spanned<Value<usize>>>,
        /// FRESH, SINCE SEQ or STALE.
        freshness: Option<Spanned<Freshness<Value<u64>>>>,
    },
    /// `PUT ID 'key' <image> [AS train|index] [LABEL 'x'] [OVERWRITE]`; a label without AS means train.
    Put {
        /// External key.
        key: Spanned<Value<String>>,
        /// Where the descriptor comes from (a file, a parameter or a literal; never QUERIES).
        image: Spanned<Image>,
        /// Role; `None`: train when a label is given, index otherwise.
        role: Option<Spanned<Role>>,
        /// Label of a train image.
        label: Option<Spanned<Value<String>>>,
        /// OVERWRITE: another photo, or another label, under the key is replaced.
        overwrite: bool,
    },
    /// `DELETE ID 'key'`
    Delete {
        /// External key.
        key: Spanned<Value<String>>,
    },
    /// `LABEL ID 'key' AS 'x'`
    Label {
        /// External key.
        key: Spanned<Value<String>>,
        /// The label it gets.
        label: Spanned<Value<String>>,
    },
    /// `UNLABEL ID 'key'`
    Unlabel {
        /// External key.
        key: Spanned<Value<String>>,
    },
    /// `SHOW STATUS`
    ShowStatus,
    /// `SHOW LABELS`
    ShowLabels,
    /// `SHOW SEGMENTS`
    ShowSegments,
    /// `SHOW STALE`
    ShowStale,
    /// `SHOW CLEANS`
    ShowCleans,
    /// `SHOW CLEAN 3`
    ShowClean {
        /// The number of the cleaning, as SHOW CLEANS gives it.
        number: Spanned<Value<u64>>,
    },
    /// `SHOW MARKED`
    ShowMarked,
    /// `SHOW SUSPECTS [LIMIT 20]`
    ShowSuspects {
        /// LIMIT: the images shown.
        limit: Option<Spanned<Value<usize>>>,
    },
    /// `SHOW MODELS`
    ShowModels,
    /// `TRAIN ...`
    Train(Box<Train>),
    /// `CLEAN ...`
    Clean(Box<Clean>),
    /// `UNDO CLEAN`
    UndoClean,
    /// `UNDO LABEL`
    UndoLabel,
    /// `REEMBED [FROM 'model.safetensors']`
    Reembed {
        /// FROM: a file with another model; `None`: the present model.
        model: Option<Spanned<Value<String>>>,
    },
    /// `USE MODEL 2`
    UseModel {
        /// The number of the model, as SHOW MODELS gives it.
        number: Spanned<Value<u64>>,
    },
    /// `DROP MODEL 1 [FORCE]`
    DropModel {
        /// The number of the model, as SHOW MODELS gives it.
        number: Spanned<Value<u64>>,
        /// FORCE: even where other models were trained on its descriptors.
        force: bool,
    },
    /// `FLUSH`
    Flush,
    /// `COMPACT`
    Compact,
    /// `CHECK [DEEP]`
    Check {
        /// The word DEEP was typed.
        deep: bool,
    },
    /// `BACKUP TO 'folder'`
    Backup {
        /// Where the backup goes.
        folder: Spanned<Value<String>>,
    },
    /// `BACKUP VERIFY 'folder'`
    BackupVerify {
        /// Where the backup is.
        folder: Spanned<Value<String>>,
    },
    /// `BACKUP RESTORE 'folder' TO 'folder'`
    BackupRestore {
        /// Where the backup is.
        from: Spanned<Value<String>>,
        /// Where the database goes.
        to: Spanned<Value<String>>,
    },
    /// `EXPLAIN [ANALYZE] <statement>`
    Explain {
        /// Run it too, also where it writes, and report counts.
        analyze: bool,
        /// What is explained.
        statement: Box<Spanned<Statement>>,
    },
}

/// The image of a SEARCH, PREDICT or PUT, as typed.
#[derive(Debug, Clone, PartialEq)]
pub enum Image {
    /// `'photo.jpg'`: a photo file.
    File(String),
    /// `ID 'key'`: a stored image.
    Key(Value<String>),
    /// `img`: a bound parameter of that name or, failing that, a stored key.
    Name(String),
    /// `$1`: a bound parameter by position, counted from 1.
    Parameter(usize),
    /// `VECTOR [0.1, 0.2]`: a literal descriptor; normalised when it is used.
    Vector(Vec<f32>),
    /// `QUERIES 'queries.npy'`: many queries from one file.
    Queries(Value<String>),
}

/// What is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// Index images (the default).
    #[default]
    Index,
    /// Train images.
    Train,
    /// Both; a train image answers with its own label and score 1.0.
    All,
}

/// The role of an image: train images carry a label and vote, index images are searched and get a prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Carries a label and votes.
    Train,
    /// Is searched and gets a prediction.
    Index,
}

/// One condition of WHERE; conditions are joined by AND.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition<V = String> {
    /// What is compared.
    pub field: Field,
    /// `true`: `LIKE` (`%` any run of characters, `_` one character); `false`: `=`.
    pub like: bool,
    /// The text it is compared with.
    pub value: V,
}

/// A field that WHERE can test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The given label.
    Label,
    /// The predicted instance (a train image's is its label).
    Instance,
    /// `train` or `index`.
    Split,
    /// Where the image came from.
    Path,
    /// The external key.
    Id,
}

/// How candidates are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode<N = usize> {
    /// `EXACT`: every row is scored; the query's vote is exact too.
    Exact,
    /// `EF 200`: the graph with this breadth.
    Ef(N),
}

/// How far the predictions of an answer may be behind the last write; they lag only where writes defer them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Freshness<N = u64> {
    /// As they are: nothing waits. What a statement without one of the clauses means; no words are typed for it.
    #[default]
    AsIs,
    /// `FRESH`: waits until predictions have reached the last write.
    Fresh,
    /// `SINCE SEQ 5`: waits until predictions have reached this sequence.
    Since(N),
    /// `STALE <= 5s`: accepts predictions that lag at most this long; whole milliseconds, 1 ms to
    /// [`MAX_LAG`](crate::MAX_LAG).
    Within(Duration),
}

/// `RERANK [SORT] [INSERT] [k=3] [tau=0.6]`; naming neither step means both.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RerankClause {
    /// The word SORT was typed.
    pub sort: bool,
    /// The word INSERT was typed.
    pub insert: bool,
    /// Voters; `None`: the database's `vote_k`.
    pub k: Option<Spanned<Value<usize>>>,
    /// Gate of the insert-step in [-2, 2]; `None`: 0.6.
    pub tau: Option<Spanned<Value<f64>>>,
}

/// A SEARCH as typed.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// The query image or images.
    pub image: Spanned<Image>,
    /// IN.
    pub scope: Option<Spanned<Scope>>,
    /// WHERE, joined by AND; empty without the clause.
    pub filter: Vec<Spanned<Condition<Value<String>>>>,
    /// K: the depth that is searched and re-ranked.
    pub depth: Option<Spanned<Value<usize>>>,
    /// LIMIT: the rows returned.
    pub limit: Option<Spanned<Value<usize>>>,
    /// EXACT or EF.
    pub mode: Option<Spanned<Mode<Value<usize>>>>,
    /// RERANK.
    pub rerank: Option<Spanned<RerankClause>>,
    /// FRESH, SINCE SEQ or STALE.
    pub freshness: Option<Spanned<Freshness<Value<u64>>>>,
    /// INCLUDING SELF: a stored image used as the query may answer and vote for itself.
    pub including_self: bool,
    /// RETURN.
    pub columns: Option<Vec<Spanned<Column>>>,
    /// INTO: the path of a report.
    pub into: Option<Spanned<Value<String>>>,
    /// OVERWRITE, behind INTO: the report may replace any file.
    pub overwrite: bool,
}

/// A TRAIN as typed: every part of it may be left out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Train {
    /// `loss=arcface`.
    pub loss: Option<Spanned<Loss>>,
    /// `dim=512`: dimension of the new descriptors.
    pub dimension: Option<Spanned<Value<usize>>>,
    /// `epochs=5`: passes over the train images.
    pub epochs: Option<Spanned<Value<usize>>>,
    /// `batch=32`: images of one step.
    pub batch: Option<Spanned<Value<usize>>>,
    /// `rate=0.001`: the learning rate.
    pub rate: Option<Spanned<Value<f64>>>,
    /// `margin=0.3`; only of a loss that has one ([`Loss::default_margin`]).
    pub margin: Option<Spanned<Value<f64>>>,
    /// `scale=30`; only of a loss that takes one ([`Loss::default_scale`]).
    pub scale: Option<Spanned<Value<f64>>>,
    /// `seed=0`.
    pub seed: Option<Spanned<Value<u64>>>,
    /// `validation=0.2`: the share of the train images that is held out.
    pub validation: Option<Spanned<Value<f64>>>,
    /// The word BALANCE was typed.
    pub balance: bool,
    /// The word TRUNK was typed: the whole network is trained, from photos.
    pub trunk: bool,
    /// `augment=soft`; only with TRUNK.
    pub augment: Option<Spanned<Augment>>,
    /// `scaleup=1`: epochs at the end with larger photos; only with TRUNK.
    pub scaleup: Option<Spanned<Value<usize>>>,
    /// `gem=fixed`; only with TRUNK.
    pub gem: Option<Spanned<Gem>>,
    /// FROM: what training begins with; `None`: the present model.
    pub from: Option<Spanned<Origin<Value<String>, Value<u64>>>>,
    /// FORCE or DRY RUN.
    pub flip: Option<Spanned<Flip>>,
}

/// What a training begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin<P = String, N = u64> {
    /// FROM 'network.safetensors': the network of a file.
    File(P),
    /// FROM MODEL 2: the network of a model of the database.
    Model(N),
}

/// How a view differs from its photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Augment {
    /// Not at all.
    None,
    /// By its scale and its brightness, as in the paper (the default).
    #[default]
    Soft,
    /// By the scale of each side, shear, brightness and contrast.
    Hard,
}

/// What becomes of the exponent of the generalised mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Gem {
    /// It stays as it is: the paper's 3 (the default).
    #[default]
    Fixed,
    /// It is trained with the network.
    Learnt,
}

/// What a training makes small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Loss {
    /// No loss at all: regularised discriminants in closed form, beside the descriptor as it was (the default).
    #[default]
    Discriminant,
    /// Additive angular margin.
    ArcFace,
    /// Additive cosine margin.
    CosFace,
    /// An angular loss that finds its own scale.
    AdaCos,
    /// Cross-entropy of a linear classifier.
    Softmax,
    /// Distances of an anchor to an image of its label and to one of another.
    Triplet,
    /// Average precision of a batch.
    AveragePrecision,
}

/// Whether a trained model is put to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flip {
    /// If it is better on the held-out images, or nothing was held out. What a TRAIN without one of the clauses means; no words are typed for it.
    #[default]
    UnlessWorse,
    /// `FORCE`: even where it is not better.
    Always,
    /// `DRY RUN`: never; it is trained and measured only.
    Never,
}

/// A CLEAN as typed: every part of it may be left out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Clean {
    /// `nn=1000`: nearest train images that are looked at, of each train image.
    pub nn: Option<Spanned<Value<usize>>>,
    /// `neighbours=100`: those of them with its label that it is compared with, at most; the image itself is one.
    pub neighbours: Option<Spanned<Value<usize>>>,
    /// `inliers=31`: from this many on a pair is verified; inclusive.
    pub inliers: Option<Spanned<Value<usize>>>,
    /// `freq=3`: from this many verified pairs on an image is kept.
    pub freq: Option<Spanned<Value<usize>>>,
    /// RULE.
    pub rule: Option<Spanned<Rule>>,
    /// `top=20` or `evidence=0.8`; only of `RULE suspects`.
    pub cut: Option<Spanned<Cut<Value<usize>, Value<f64>>>>,
    /// KEEP VOTERS, UNLABEL, or RELABEL and RELABEL EMPTY (only of `RULE suspects`).
    pub action: Option<Spanned<Action>>,
    /// THUMBNAILS: also where they stand for more than a few photos.
    pub thumbnails: Option<Span>,
    /// DRY RUN: report only.
    pub dry_run: bool,
    /// INTO: the path of a report.
    pub into: Option<Spanned<Value<String>>>,
    /// OVERWRITE, behind INTO: the report may replace any file.
    pub overwrite: bool,
}

/// Which train images a cleaning finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Rule {
    /// Those with too few verified pairs, and what is left of a label that has one image left (the default).
    #[default]
    Paper,
    /// The most suspect ones.
    Suspects,
}

/// How many images are suspect enough.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cut<N = usize, X = f64> {
    /// `top=20`: this many of the most suspect ones, however weak the evidence.
    Top(N),
    /// `evidence=0.8`: those with at least this much evidence against their label, in [0, 1] (the default).
    Evidence(X),
}

/// What a cleaning does with the images that its rule finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Action {
    /// `KEEP VOTERS`: they are marked, so that training passes them over, and vote as before (the default: votes are the whole, noisy
    /// train set's, specification section 9).
    #[default]
    KeepVoters,
    /// `UNLABEL`: their label is taken away, so they become index images.
    Unlabel,
    /// `RELABEL`: they get the label that is proposed for them. The last image of a label stays as it is.
    Relabel,
    /// `RELABEL EMPTY`: the last image of a label too, so labels may disappear.
    RelabelEmpty,
}

/// A column of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// 0-based row number of the query.
    Query,
    /// 1-based rank.
    Rank,
    /// External key.
    Id,
    /// Cosine to the query.
    Similarity,
    /// Predicted instance.
    Instance,
    /// Score of that prediction.
    InstanceScore,
    /// `positive`, `inserted`, `negative`; empty without RERANK.
    Stage,
    /// Given label.
    Label,
    /// `train` or `index`.
    Split,
    /// Where the image came from.
    Path,
}
