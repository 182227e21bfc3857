//! Names resolved: what each image and key of a statement stands for.

use crate::ast::{
    Action, Augment, Clean, Column, Condition, Cut, Flip, Freshness, Gem, Image, Loss, Mode, Origin, Role, Rule, Scope,
    Search, Span, Spanned, Statement, Train,
};
use crate::complaints;
use crate::diagnostic::Diagnostic;
use crate::parser::{check_clean, check_role, check_search, check_train};
use crate::value::Value;

/// The names an application has bound. Their values stay with the application: here they are positions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// How many positional parameters `$1`, `$2`, .. there are.
    pub positional: usize,
    /// Named parameters, in the order in which they follow the positional ones.
    pub named: Vec<String>,
}

/// Where a descriptor comes from, resolved.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A photo file.
    File(String),
    /// A stored image.
    Key(String),
    /// A bound parameter: 0-based, positional ones first, then the named ones.
    Argument(usize),
    /// A literal descriptor.
    Vector(Vec<f32>),
    /// Many queries from one file.
    Queries(String),
}

/// A statement with its names resolved.
#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    /// A search.
    Search(BoundSearch),
    /// A vote.
    Predict {
        /// Whose instance is asked for.
        source: Source,
        /// Voters, if named.
        k: Option<usize>,
        /// How far predictions may lag.
        freshness: Freshness,
    },
    /// Insert or replace an image.
    Put {
        /// External key.
        key: String,
        /// Where its descriptor comes from.
        source: Source,
        /// Its role.
        role: Role,
        /// Its label: always present for a train image, never for an index image.
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
    /// What is waiting to be drained: the writes that predictions have not reached.
    ShowStale,
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
        /// The images shown, if named.
        limit: Option<usize>,
    },
    /// Models, and which of them is in use.
    ShowModels,
    /// Train a model on the train images.
    Train(BoundTrain),
    /// Find train images whose label is doubtful, and act on them.
    Clean(BoundClean),
    /// Undo the last cleaning.
    UndoClean,
    /// Take the last change of labels back.
    UndoLabel,
    /// Embed all photos again, as a new model's descriptors.
    Reembed {
        /// A file with another model; `None`: the present one.
        model: Option<String>,
    },
    /// Go to the descriptors of another model.
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
    /// Explain a statement.
    Explain {
        /// Run it too.
        analyze: bool,
        /// What is explained.
        statement: Box<Bound>,
    },
}

impl Bound {
    /// Whose rows the statement searches, for facts that depend on it; `None` where it searches none. A vote reads train images.
    pub fn scope(&self) -> Option<Scope> {
        match self {
            Self::Search(search) => Some(search.scope),
            Self::Predict { .. } => Some(Scope::Train),
            Self::Explain { statement, .. } => statement.scope(),
            _ => None,
        }
    }

    /// The path of the report that INTO asks for.
    pub fn report(&self) -> Option<&str> {
        match self {
            Self::Search(search) => search.into.as_deref(),
            Self::Clean(clean) => clean.into.as_deref(),
            _ => None,
        }
    }
}

/// A search with its names resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct BoundSearch {
    /// The query image or images.
    pub source: Source,
    /// What is searched.
    pub scope: Scope,
    /// Joined by AND.
    pub filter: Vec<Condition>,
    /// K.
    pub depth: Option<usize>,
    /// LIMIT.
    pub limit: Option<usize>,
    /// EXACT or EF.
    pub mode: Option<Mode>,
    /// RERANK.
    pub rerank: Option<BoundRerank>,
    /// FRESH, SINCE SEQ or STALE.
    pub freshness: Freshness,
    /// INCLUDING SELF.
    pub including_self: bool,
    /// RETURN.
    pub columns: Option<Vec<Column>>,
    /// INTO.
    pub into: Option<String>,
}

/// A second stage without its places.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BoundRerank {
    /// SORT.
    pub sort: bool,
    /// INSERT.
    pub insert: bool,
    /// k.
    pub k: Option<usize>,
    /// tau.
    pub tau: Option<f64>,
}

/// A training without its places.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BoundTrain {
    /// loss.
    pub loss: Option<Loss>,
    /// dim.
    pub dimension: Option<usize>,
    /// epochs.
    pub epochs: Option<usize>,
    /// batch.
    pub batch: Option<usize>,
    /// rate.
    pub rate: Option<f64>,
    /// margin; only of a loss that has one.
    pub margin: Option<f64>,
    /// scale; only of a loss that takes one.
    pub scale: Option<f64>,
    /// seed.
    pub seed: Option<u64>,
    /// validation.
    pub validation: Option<f64>,
    /// BALANCE.
    pub balance: bool,
    /// TRUNK.
    pub trunk: bool,
    /// augment; only with TRUNK.
    pub augment: Option<Augment>,
    /// scaleup; only with TRUNK.
    pub scaleup: Option<usize>,
    /// gem; only with TRUNK.
    pub gem: Option<Gem>,
    /// FROM; `None`: the present model.
    pub from: Option<Origin>,
    /// FORCE or DRY RUN.
    pub flip: Flip,
}

/// A cleaning without its places.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BoundClean {
    /// nn.
    pub nn: Option<usize>,
    /// neighbours.
    pub neighbours: Option<usize>,
    /// inliers.
    pub inliers: Option<usize>,
    /// freq.
    pub freq: Option<usize>,
    /// RULE.
    pub rule: Rule,
    /// top or evidence; only of [`Rule::Suspects`].
    pub cut: Option<Cut>,
    /// KEEP VOTERS, UNLABEL, or RELABEL and RELABEL EMPTY (only of [`Rule::Suspects`]).
    pub action: Action,
    /// THUMBNAILS.
    pub thumbnails: bool,
    /// DRY RUN.
    pub dry_run: bool,
    /// INTO.
    pub into: Option<String>,
}

/// Resolves the names of a statement, behind [`fill`](crate::fill). A name that no parameter has is the key of a stored image.
///
/// # Errors
///
/// A diagnostic where `$n` is not bound (also one in the place of a text or a number, which `fill` puts there), where PUT names no bound parameter, and for a PUT, TRAIN or CLEAN built by hand whose
/// parts contradict each other.
pub fn bind(statement: &Spanned<Statement>, names: &Names) -> Result<Bound, Diagnostic> {
    Ok(match &statement.node {
        Statement::Search(search) => Bound::Search(bind_search(search, names)?),
        Statement::Predict { image, k, freshness } => {
            Bound::Predict { source: resolve(image, names)?, k: node(k)?, freshness: bind_freshness(freshness)? }
        }
        Statement::Put { key, image, role, label, overwrite } => {
            check_role(role.as_ref(), label.as_ref())?;
            let source = resolve(image, names)?;
            match (&image.node, &source) {
                (Image::Name(name), Source::Key(_)) => return Err(complaints::unbound_name(image.span, name)),
                (_, Source::Key(_) | Source::Queries(_)) => return Err(complaints::put_source(image.span)),
                _ => {}
            }
            Bound::Put {
                key: value(key)?,
                source,
                role: if label.is_some() { Role::Train } else { Role::Index },
                label: node(label)?,
                overwrite: *overwrite,
            }
        }
        Statement::Delete { key } => Bound::Delete { key: value(key)? },
        Statement::Label { key, label } => Bound::Label { key: value(key)?, label: value(label)? },
        Statement::Unlabel { key } => Bound::Unlabel { key: value(key)? },
        Statement::ShowStatus => Bound::ShowStatus,
        Statement::ShowLabels => Bound::ShowLabels,
        Statement::ShowSegments => Bound::ShowSegments,
        Statement::ShowStale => Bound::ShowStale,
        Statement::Flush => Bound::Flush,
        Statement::Compact => Bound::Compact,
        Statement::Check { deep } => Bound::Check { deep: *deep },
        Statement::Backup { folder } => Bound::Backup { folder: value(folder)? },
        Statement::BackupVerify { folder } => Bound::BackupVerify { folder: value(folder)? },
        Statement::BackupRestore { from, to } => Bound::BackupRestore { from: value(from)?, to: value(to)? },
        Statement::ShowCleans => Bound::ShowCleans,
        Statement::ShowClean { number } => Bound::ShowClean { number: value(number)? },
        Statement::ShowMarked => Bound::ShowMarked,
        Statement::ShowSuspects { limit } => Bound::ShowSuspects { limit: node(limit)? },
        Statement::ShowModels => Bound::ShowModels,
        Statement::Train(train) => {
            check_train(train)?;
            Bound::Train(bind_train(train)?)
        }
        Statement::Clean(clean) => {
            check_clean(clean)?;
            Bound::Clean(bind_clean(clean)?)
        }
        Statement::UndoClean => Bound::UndoClean,
        Statement::UndoLabel => Bound::UndoLabel,
        Statement::Reembed { model } => Bound::Reembed { model: node(model)? },
        Statement::UseModel { number } => Bound::UseModel { number: value(number)? },
        Statement::DropModel { number, force } => Bound::DropModel { number: value(number)?, force: *force },
        Statement::Explain { analyze, statement } => {
            Bound::Explain { analyze: *analyze, statement: Box::new(bind(statement, names)?) }
        }
    })
}

fn bind_search(search: &Search, names: &Names) -> Result<BoundSearch, Diagnostic> {
    check_search(search)?;
    let mut filter = Vec::with_capacity(search.filter.len());
    for Spanned { node: Condition { field, like, value }, span } in &search.filter {
        filter.push(Condition { field: *field, like: *like, value: known(value, *span)? });
    }
    Ok(BoundSearch {
        source: resolve(&search.image, names)?,
        scope: search.scope.as_ref().map_or_else(Scope::default, |scope| scope.node),
        filter,
        depth: node(&search.depth)?,
        limit: node(&search.limit)?,
        mode: match &search.mode {
            None => None,
            Some(Spanned { node: Mode::Exact, .. }) => Some(Mode::Exact),
            Some(Spanned { node: Mode::Ef(breadth), span }) => Some(Mode::Ef(known(breadth, *span)?)),
        },
        rerank: match &search.rerank {
            None => None,
            Some(Spanned { node: rerank, .. }) => Some(BoundRerank {
                sort: rerank.sort,
                insert: rerank.insert,
                k: node(&rerank.k)?,
                tau: node(&rerank.tau)?,
            }),
        },
        freshness: bind_freshness(&search.freshness)?,
        including_self: search.including_self,
        columns: search.columns.as_ref().map(|columns| columns.iter().map(|column| column.node).collect()),
        into: node(&search.into)?,
    })
}

/// A value; one that was left to a parameter is there once `fill` has put it there.
fn known<T: Clone>(value: &Value<T>, span: Span) -> Result<T, Diagnostic> {
    match value {
        Value::Typed(value) => Ok(value.clone()),
        Value::Parameter(parameter) => Err(complaints::unbound_parameter(span, parameter.number, 0)),
    }
}

fn value<T: Clone>(value: &Spanned<Value<T>>) -> Result<T, Diagnostic> {
    known(&value.node, value.span)
}

/// The same of a part that may be left out.
fn node<T: Clone>(part: &Option<Spanned<Value<T>>>) -> Result<Option<T>, Diagnostic> {
    part.as_ref().map(value).transpose()
}

/// A word without its place.
fn word<T: Copy>(part: &Option<Spanned<T>>) -> Option<T> {
    part.as_ref().map(|part| part.node)
}

fn bind_freshness(freshness: &Option<Spanned<Freshness<Value<u64>>>>) -> Result<Freshness, Diagnostic> {
    Ok(match freshness {
        None | Some(Spanned { node: Freshness::AsIs, .. }) => Freshness::AsIs,
        Some(Spanned { node: Freshness::Fresh, .. }) => Freshness::Fresh,
        Some(Spanned { node: Freshness::Since(sequence), span }) => Freshness::Since(known(sequence, *span)?),
        Some(Spanned { node: Freshness::Within(lag), .. }) => Freshness::Within(*lag),
    })
}

fn bind_train(train: &Train) -> Result<BoundTrain, Diagnostic> {
    Ok(BoundTrain {
        loss: word(&train.loss),
        dimension: node(&train.dimension)?,
        epochs: node(&train.epochs)?,
        batch: node(&train.batch)?,
        rate: node(&train.rate)?,
        margin: node(&train.margin)?,
        scale: node(&train.scale)?,
        seed: node(&train.seed)?,
        validation: node(&train.validation)?,
        balance: train.balance,
        trunk: train.trunk,
        augment: word(&train.augment),
        scaleup: node(&train.scaleup)?,
        gem: word(&train.gem),
        from: match &train.from {
            None => None,
            Some(Spanned { node: Origin::File(path), span }) => Some(Origin::File(known(path, *span)?)),
            Some(Spanned { node: Origin::Model(number), span }) => Some(Origin::Model(known(number, *span)?)),
        },
        flip: word(&train.flip).unwrap_or_default(),
    })
}

fn bind_clean(clean: &Clean) -> Result<BoundClean, Diagnostic> {
    Ok(BoundClean {
        nn: node(&clean.nn)?,
        neighbours: node(&clean.neighbours)?,
        inliers: node(&clean.inliers)?,
        freq: node(&clean.freq)?,
        rule: word(&clean.rule).unwrap_or_default(),
        cut: match &clean.cut {
            None => None,
            Some(Spanned { node: Cut::Top(images), span }) => Some(Cut::Top(known(images, *span)?)),
            Some(Spanned { node: Cut::Evidence(least), span }) => Some(Cut::Evidence(known(least, *span)?)),
        },
        action: word(&clean.action).unwrap_or_default(),
        thumbnails: clean.thumbnails.is_some(),
        dry_run: clean.dry_run,
        into: node(&clean.into)?,
    })
}

fn resolve(image: &Spanned<Image>, names: &Names) -> Result<Source, Diagnostic> {
    Ok(match &image.node {
        Image::File(path) => Source::File(path.clone()),
        Image::Key(key) => Source::Key(known(key, image.span)?),
        Image::Name(name) => match names.named.iter().position(|bound| bound == name) {
            Some(position) => Source::Argument(names.positional + position),
            None => Source::Key(name.clone()),
        },
        Image::Parameter(number) => match number.checked_sub(1) {
            Some(position) if position < names.positional => Source::Argument(position),
            _ => return Err(complaints::unbound_parameter(image.span, *number, names.positional)),
        },
        Image::Vector(values) => Source::Vector(values.clone()),
        Image::Queries(path) => Source::Queries(known(path, image.span)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ast::Span;

    fn spanned<T>(node: T) -> Spanned<T> {
        Spanned { node, span: Span::default() }
    }

    fn predict(image: Image) -> Spanned<Statement> {
        spanned(Statement::Predict { image: spanned(image), k: None, freshness: None })
    }

    fn source(image: Image, names: &Names) -> Result<Source, &'static str> {
        match bind(&predict(image), names) {
            Ok(Bound::Predict { source, .. }) => Ok(source),
            Ok(_) => Err("another statement"),
            Err(diagnostic) => Err(diagnostic.code()),
        }
    }

    #[test]
    fn arguments_are_positional_ones_then_named_ones_then_keys() {
        let names = Names { positional: 2, named: vec!["a".to_owned(), "b".to_owned(), "a".to_owned()] };
        let name = |name: &str| Image::Name(name.to_owned());
        assert_eq!(source(Image::Parameter(1), &names), Ok(Source::Argument(0)));
        assert_eq!(source(Image::Parameter(2), &names), Ok(Source::Argument(1)));
        assert_eq!(source(name("a"), &names), Ok(Source::Argument(2)));
        assert_eq!(source(name("b"), &names), Ok(Source::Argument(3)));
        assert_eq!(source(name("B"), &names), Ok(Source::Key("B".to_owned())));
        // An ID is a key even where a parameter has its name.
        assert_eq!(source(Image::Key("a".to_owned().into()), &names), Ok(Source::Key("a".to_owned())));
    }

    #[test]
    fn positions_that_are_not_bound_are_refused() {
        let one = Names { positional: 1, named: vec!["a".to_owned()] };
        for number in [0, 2, usize::MAX] {
            assert_eq!(source(Image::Parameter(number), &one), Err("unbound-parameter"));
        }
        assert_eq!(source(Image::Parameter(1), &Names::default()), Err("unbound-parameter"));
    }

    #[test]
    fn a_scope_is_what_is_searched_also_where_it_is_explained() {
        let scope = |text: &str| {
            let parsed = crate::parser::parse(text);
            bind(&parsed.statements[0], &Names::default()).map(|bound| bound.scope())
        };
        assert_eq!(scope("SEARCH a"), Ok(Some(Scope::Index)));
        assert_eq!(scope("EXPLAIN ANALYZE SEARCH a IN all"), Ok(Some(Scope::All)));
        assert_eq!(scope("EXPLAIN PREDICT a"), Ok(Some(Scope::Train)));
        assert_eq!(scope("FLUSH"), Ok(None));
    }

    #[test]
    fn a_training_or_cleaning_built_by_hand_must_not_contradict_itself() {
        let code = |statement: Statement| bind(&spanned(statement), &Names::default()).map_err(|error| error.code());
        let train = |loss: Loss, margin: Option<f64>, scale: Option<f64>| {
            let [margin, scale] = [margin, scale].map(|number| number.map(|number| spanned(Value::Typed(number))));
            code(Statement::Train(Box::new(Train { loss: Some(spanned(loss)), margin, scale, ..Train::default() })))
        };
        assert_eq!(train(Loss::Softmax, Some(0.3), None), Err("not-of-loss"));
        assert_eq!(train(Loss::AdaCos, None, Some(30.0)), Err("not-of-loss"));
        assert!(train(Loss::Triplet, Some(0.3), None).is_ok() && train(Loss::ArcFace, Some(0.3), Some(1.0)).is_ok());
        let clean = |rule: Rule, cut: Option<Cut<Value<usize>, Value<f64>>>, action: Action| {
            let (rule, cut, action) = (Some(spanned(rule)), cut.map(spanned), Some(spanned(action)));
            code(Statement::Clean(Box::new(Clean { rule, cut, action, ..Clean::default() })))
        };
        assert_eq!(clean(Rule::Paper, Some(Cut::Top(1.into())), Action::Unlabel), Err("only-of-suspects"));
        assert_eq!(clean(Rule::Paper, None, Action::Relabel), Err("only-of-suspects"));
        assert_eq!(clean(Rule::Paper, None, Action::RelabelEmpty), Err("only-of-suspects"));
        assert!(clean(Rule::Paper, None, Action::KeepVoters).is_ok());
        assert!(clean(Rule::Suspects, Some(Cut::Evidence(0.5.into())), Action::Relabel).is_ok());
        let few = Clean { freq: Some(spanned(4.into())), neighbours: Some(spanned(3.into())), ..Clean::default() };
        assert_eq!(code(Statement::Clean(Box::new(few))), Err("freq-above-neighbours"));
    }

    /// The parser refuses these; a statement built by hand must not get past either.
    #[test]
    fn a_bound_put_has_a_label_exactly_if_it_is_a_train_image() {
        let put = |role: Option<Role>, label: Option<&str>, image: Image| {
            let statement = Statement::Put {
                key: spanned("key".to_owned().into()),
                image: spanned(image),
                role: role.map(spanned),
                label: label.map(|label| spanned(label.to_owned().into())),
                overwrite: false,
            };
            match bind(&spanned(statement), &Names::default()) {
                Ok(Bound::Put { role, label, .. }) => Ok((role, label.is_some())),
                Ok(_) => Err("another statement"),
                Err(diagnostic) => Err(diagnostic.code()),
            }
        };
        let file = || Image::File("a.jpg".to_owned());
        assert_eq!(put(None, None, file()), Ok((Role::Index, false)));
        assert_eq!(put(Some(Role::Index), None, file()), Ok((Role::Index, false)));
        assert_eq!(put(None, Some("x"), file()), Ok((Role::Train, true)));
        assert_eq!(put(Some(Role::Train), Some("x"), file()), Ok((Role::Train, true)));
        assert_eq!(put(Some(Role::Train), None, file()), Err("train-without-label"));
        assert_eq!(put(Some(Role::Index), Some("x"), file()), Err("index-with-label"));
        assert_eq!(put(None, None, Image::Key("a".to_owned().into())), Err("put-source"));
        assert_eq!(put(None, None, Image::Queries("a.csv".to_owned().into())), Err("put-source"));
        assert_eq!(put(None, None, Image::Name("a".to_owned())), Err("unbound-name"));
    }
}
