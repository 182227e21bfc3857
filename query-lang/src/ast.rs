//! Statements as typed, with the places of their parts. Nothing is resolved here, and there are no defaults.

use std::time::Duration;

pub use crate::methods::{Method, Place};

use crate::options::{self, Part};
pub use crate::terms::{Action, Augment, Column, Field, Flip, Gem, Loss, Role, Rule, Scope};
use crate::value::{Setting, Value};

/// A half-open range of bytes of the statement's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// A part of a statement and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Spanned<T> {
    /// The part.
    pub node: T,
    /// Its place in the text.
    pub span: Span,
}

impl<T> Spanned<Value<T>> {
    /// The same place with another value; a parameter stays one.
    pub(crate) fn map<U>(self, make: impl FnOnce(T) -> U) -> Spanned<Value<U>> {
        let node = match self.node {
            Value::Typed(value) => Value::Typed(make(value)),
            Value::Parameter(parameter) => Value::Parameter(parameter),
        };
        Spanned { node, span: self.span }
    }
}

/// One statement of the language.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// `SEARCH <image> ...`
    Search(Box<Search>),
    /// `PREDICT <image> [k=3] [FRESH | SINCE SEQ 5 | STALE <= 5s]`
    Predict {
        /// The image whose instance is predicted.
        image: Spanned<Image>,
        /// Voters; `None`: the database's `vote_k`.
        k: Option<Spanned<Value<usize>>>,
        /// FRESH, SINCE SEQ or STALE.
        freshness: Option<Spanned<Freshness<Value<u64>>>>,
    },
    /// `RECOGNIZE <image> ...`
    Recognize(Box<Recognize>),
    /// `PUT ID 'key' <image> [AS train|index] [LABEL 'x'] [OVERWRITE]`; a label without AS means train.
    Put {
        /// External key.
        key: Spanned<Value<String>>,
        /// The source of the descriptor (a file, a parameter or a literal; never QUERIES).
        image: Spanned<Image>,
        /// Role; `None`: train if there is a label, otherwise index.
        role: Option<Spanned<Role>>,
        /// Label of a train image.
        label: Option<Spanned<Value<String>>>,
        /// OVERWRITE: the put may replace another photo or label under the key.
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
        /// The number of the cleaning, as SHOW CLEANS lists it.
        number: Spanned<Value<u64>>,
    },
    /// `SHOW MARKED`
    ShowMarked,
    /// `SHOW SUSPECTS [LIMIT 20]`
    ShowSuspects {
        /// LIMIT: number of images shown.
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
        /// FROM: a file with another model; `None`: the active model.
        model: Option<Spanned<Value<String>>>,
    },
    /// `USE MODEL 2`
    UseModel {
        /// The number of the model, as SHOW MODELS lists it.
        number: Spanned<Value<u64>>,
    },
    /// `DROP MODEL 1 [FORCE]`
    DropModel {
        /// The number of the model, as SHOW MODELS lists it.
        number: Spanned<Value<u64>>,
        /// FORCE: even if other models were trained on its descriptors.
        force: bool,
    },
    /// `FLUSH`
    Flush,
    /// `COMPACT [NEIGHBOURS]`
    Compact {
        /// It also computes and saves the neighbour graph.
        neighbours: bool,
    },
    /// `CHECK [DEEP]`
    Check {
        /// The word DEEP was typed.
        deep: bool,
    },
    /// `BACKUP TO 'folder'`
    Backup {
        /// Folder of the backup.
        folder: Spanned<Value<String>>,
    },
    /// `BACKUP VERIFY 'folder'`
    BackupVerify {
        /// Folder of the backup.
        folder: Spanned<Value<String>>,
    },
    /// `BACKUP RESTORE 'folder' TO 'folder'`
    BackupRestore {
        /// Folder of the backup.
        from: Spanned<Value<String>>,
        /// Folder of the new database.
        to: Spanned<Value<String>>,
    },
    /// `EXPLAIN [ANALYZE] <statement>`
    Explain {
        /// Also run it, even if it writes, and report counts.
        analyze: bool,
        /// The statement to explain.
        statement: Box<Spanned<Statement>>,
    },
}

/// The image of a SEARCH, PREDICT, RECOGNIZE or PUT, as typed.
#[derive(Debug, Clone, PartialEq)]
pub enum Image {
    /// `'photo.jpg'`: a photo file.
    File(String),
    /// `ID 'key'`: a stored image.
    Key(Value<String>),
    /// `img`: a bound parameter of that name, or else a stored key.
    Name(String),
    /// `$1`: a bound parameter by position, counted from 1.
    Parameter(usize),
    /// `VECTOR [0.1, 0.2]`: a literal descriptor; it is normalised at use.
    Vector(Vec<f32>),
    /// `QUERIES 'queries.npy'`: many queries from one file.
    Queries(Value<String>),
}

/// One condition of WHERE; conditions are joined by AND.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition<V = String> {
    /// The field.
    pub field: Field,
    /// `true`: `LIKE` (`%` any run of characters, `_` one character); `false`: `=`.
    pub like: bool,
    /// The text that the field is compared with.
    pub value: V,
}

/// How a search finds candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode<N = usize> {
    /// `EXACT`: it scores every row; the query's vote is exact too.
    Exact,
    /// `EF 200`: it searches the graph with this breadth.
    Ef(N),
}

/// How far an answer's predictions may lag the last write; they lag only if writes are deferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Freshness<N = u64> {
    /// As they are, without waiting. This is the meaning of a statement without one of the clauses; it has no words.
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

/// `RERANK [SORT] [INSERT] [k=3] [tau=0.6] [AUGMENT TRAIN [n=3] [alpha=3]]`; naming neither step means both.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RerankClause {
    /// The word SORT was typed.
    pub sort: bool,
    /// The word INSERT was typed.
    pub insert: bool,
    /// Number of voters; `None`: the database's `vote_k`.
    pub k: Option<Spanned<Value<usize>>>,
    /// Threshold of the insert-step in [-2, 2]; `None`: 0.6.
    pub tau: Option<Spanned<Value<f64>>>,
    /// AUGMENT TRAIN.
    pub augment: Option<Spanned<MethodClause>>,
}

/// A method of a search: `EXPAND ALPHA [n=10] [alpha=3]`.
#[derive(Debug, Clone, PartialEq)]
pub struct MethodClause {
    /// Which one.
    pub method: Method,
    /// Its options, of [`Method::parts`].
    pub options: Options,
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
    /// K: the depth that is retrieved and re-ranked.
    pub depth: Option<Spanned<Value<usize>>>,
    /// LIMIT: number of rows returned.
    pub limit: Option<Spanned<Value<usize>>>,
    /// EXACT or EF.
    pub mode: Option<Spanned<Mode<Value<usize>>>>,
    /// EXPAND: what is searched instead of the query's descriptor.
    pub expand: Option<Spanned<MethodClause>>,
    /// AUGMENT.
    pub augment: Option<Spanned<MethodClause>>,
    /// SUPERGLOBAL: what orders the images that were found, instead of their similarity.
    pub order: Option<Spanned<MethodClause>>,
    /// RERANK.
    pub rerank: Option<Spanned<RerankClause>>,
    /// MIN SIMILARITY, in [-1, 1].
    pub least: Option<Spanned<Value<f64>>>,
    /// COLLAPSE NEAR: the similarity, in [-1, 1], from which rows are copies.
    pub collapse: Option<Spanned<Value<f64>>>,
    /// VERIFY: number of first-stage images that are ordered by their inliers.
    pub verify: Option<Spanned<Value<usize>>>,
    /// FRESH, SINCE SEQ or STALE.
    pub freshness: Option<Spanned<Freshness<Value<u64>>>>,
    /// INCLUDING SELF: a stored image used as the query may be in its answer and vote for itself.
    pub including_self: bool,
    /// RETURN.
    pub columns: Option<Vec<Spanned<Column>>>,
    /// INTO: the path of a report.
    pub into: Option<Spanned<Value<String>>>,
    /// OVERWRITE, after INTO: the report may replace any file.
    pub overwrite: bool,
}

/// A RECOGNIZE as typed.
#[derive(Debug, Clone, PartialEq)]
pub struct Recognize {
    /// The image or images that are recognised.
    pub image: Spanned<Image>,
    /// `n=3`: number of nearest train images that elect the label.
    pub n: Option<Spanned<Value<usize>>>,
    /// VERIFY: the inliers of the local features count too.
    pub verify: bool,
    /// MIN SCORE: a smaller score is no answer; `None`: learnt from the train images.
    pub least: Option<Spanned<Value<f64>>>,
    /// DISTRACTORS: a label that is predicted for more queries of the file is no instance.
    pub distractors: Option<Spanned<Value<usize>>>,
    /// FRESH, SINCE SEQ or STALE.
    pub freshness: Option<Spanned<Freshness<Value<u64>>>>,
    /// INTO: the path of a report.
    pub into: Option<Spanned<Value<String>>>,
    /// OVERWRITE, after INTO: the report may replace any file.
    pub overwrite: bool,
}

impl Recognize {
    /// A RECOGNIZE of this image without any clause.
    pub fn of(image: Spanned<Image>) -> Self {
        Self {
            image,
            n: None,
            verify: false,
            least: None,
            distractors: None,
            freshness: None,
            into: None,
            overwrite: false,
        }
    }
}

/// A TRAIN as typed; every part is optional.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Train {
    /// Its options and flags: the parts of [`options::TRAIN`](crate::options::TRAIN) that are no clauses.
    pub options: Options,
    /// FROM: the network that training starts from; `None`: that of the active model.
    pub from: Option<Spanned<Origin<Value<String>, Value<u64>>>>,
    /// FORCE or DRY RUN.
    pub flip: Option<Spanned<Flip>>,
}

/// The options and flags of a TRAIN, a CLEAN or a method of SEARCH, in the order of their table.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    given: Vec<Given>,
}

/// An option with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// The option.
    pub part: &'static Part,
    /// Its value; for a flag [`Setting::Set`], with the place of its word.
    pub value: Spanned<Value<Setting>>,
}

impl Options {
    /// Gives an option a value; the planner checks whether the option takes it.
    pub fn set(&mut self, part: &'static Part, value: Spanned<Value<Setting>>) {
        let methods = || Method::ALL.into_iter().flat_map(|method| method.parts());
        let all = || options::TRAIN.iter().chain(&options::CLEAN).chain(methods());
        let place = |part: &Part| all().position(|other| *other == part);
        self.given.retain(|given| given.part != part);
        self.given.push(Given { part, value });
        self.given.sort_by_key(|given| place(given.part));
    }

    /// The value of an option, if it was given.
    pub fn get(&self, part: &Part) -> Option<&Spanned<Value<Setting>>> {
        self.given.iter().find(|given| given.part == part).map(|given| &given.value)
    }

    /// Whether an option or a flag was given.
    pub fn has(&self, part: &Part) -> bool {
        self.get(part).is_some()
    }

    /// All options that were given, in the order of their table.
    pub fn iter(&self) -> impl Iterator<Item = &Given> {
        self.given.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Given> {
        self.given.iter_mut()
    }

    /// The word that is the value of an option; `None` for a parameter.
    pub(crate) fn word(&self, part: &Part) -> Option<&'static str> {
        self.get(part)?.node.typed()?.word()
    }
}

impl Train {
    /// Whether the whole network is trained.
    pub fn trunk(&self) -> bool {
        self.options.has(&options::TRUNK)
    }

    /// The loss; the default one if none is named.
    pub fn loss(&self) -> Loss {
        self.options.word(&options::LOSS).and_then(Loss::named).unwrap_or(Loss::of_training(self.trunk()))
    }
}

/// The network that a training starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin<P = String, N = u64> {
    /// FROM 'network.safetensors': the network of a file.
    File(P),
    /// FROM MODEL 2: the network of a model of the database.
    Model(N),
}

/// A CLEAN as typed; every part is optional.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Clean {
    /// Its options and flags: the parts of [`options::CLEAN`](crate::options::CLEAN) that are no clauses, without the cut.
    pub options: Options,
    /// RULE.
    pub rule: Option<Spanned<Rule>>,
    /// `top=20` or `evidence=0.8`; only of `RULE suspects`.
    pub cut: Option<Spanned<Cut<Value<usize>, Value<f64>>>>,
    /// KEEP VOTERS, UNLABEL, or RELABEL and RELABEL EMPTY (only of `RULE suspects`).
    pub action: Option<Spanned<Action>>,
    /// DRY RUN: report only.
    pub dry_run: bool,
    /// INTO: the path of a report.
    pub into: Option<Spanned<Value<String>>>,
    /// OVERWRITE, after INTO: the report may replace any file.
    pub overwrite: bool,
}

/// Which images count as suspects.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cut<N = usize, X = f64> {
    /// `top=20`: this many of the most suspect ones, however weak the evidence.
    Top(N),
    /// `evidence=0.8`: those with at least this much evidence against their label, in [0, 1] (the default).
    Evidence(X),
}

impl<N, X> Cut<N, X> {
    /// Its name before `=`.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Top(_) => "top",
            Self::Evidence(_) => "evidence",
        }
    }
}
