//! Statements into plans: resolves names, fills in defaults, and chooses the access path from facts about the database.

use crate::ast::{
    Augment, Clean, Column, Condition, Cut, Freshness, Gem, Image, Method, MethodClause, Mode, Options, Origin,
    Recognize, Rule, Scope, Search, Spanned, Statement, Train,
};
use crate::complaints;
use crate::diagnostic::Diagnostic;
use crate::limits::{
    DEFAULT_DEGREE, DEFAULT_DEPTH, DEFAULT_EF_PER_K, DEFAULT_EVIDENCE, DEFAULT_NEAR, DEFAULT_SUSPECTS, DEFAULT_TAU,
    MAX_COUNT,
};
use crate::methods::{ALPHA, BETA, CUT, DEGREE, K1, K2, LABELS, LAMBDA, M, N, SOURCES, T};
use crate::names::{Names, Source, known, resolve};
use crate::options::{
    AUGMENT, BALANCE, BATCH, DIM, EPOCHS, FREQ, GEM, INLIERS, MARGIN, NEIGHBOURS, NN, Part, RATE, SCALE, SCALEUP, SEED,
    THUMBNAILS, VALIDATION,
};
use crate::parser::{check_clean, check_recognize, check_role, check_search, check_train};
use crate::plan::{CleanPlan, CleanRule, Facts, Plan, RecognizePlan, SearchPlan, TrainPlan, TrunkPlan, VotesFrom};
use crate::recognition::RecognizeRequest;
use crate::request::{Diffusion, Expand, Exploration, Fusion, Order, Reciprocal, Rerank, SearchRequest, SuperGlobal};
use crate::value::{Setting, Value};

/// The planner chooses the graph while its breadth is below one in this many of the rows. For each unit of breadth the graph
/// scores 15 to 30 rows, anywhere in memory, and moves earlier finds to make room, so that its cost grows with the square of the
/// breadth; a scan scores every row in the order of memory, on all processors.
const SCAN_FROM_SHARE: usize = 64;

/// Columns of an answer without RETURN.
const DEFAULT_COLUMNS: [Column; 7] = [
    Column::Query,
    Column::Rank,
    Column::Id,
    Column::Similarity,
    Column::Instance,
    Column::InstanceScore,
    Column::Stage,
];

/// The plan of a statement, after [`fill`](crate::fill). Pure: the same statement, names and facts give the same plan. A name
/// that is no parameter is the key of a stored image.
///
/// # Errors
///
/// A diagnostic if `$n` is not bound (or is left where `fill` puts a text or a number), if PUT names no bound parameter, and for
/// a statement that a program built and whose parts contradict each other. None of these depends on the facts.
///
/// ```
/// use cairndb_query::{Facts, Names, Plan, parse, plan};
/// let parsed = parse("SEARCH ID 'a' K 20");
/// let Plan::Search(search) = plan(&parsed.statements[0].node, &Names::default(), &Facts::default())? else { panic!() };
/// assert_eq!((search.request.depth, search.request.ef), (20, None));
/// # Ok::<(), cairndb_query::Diagnostic>(())
/// ```
pub fn plan(statement: &Statement, names: &Names, facts: &Facts) -> Result<Plan, Diagnostic> {
    Ok(match statement {
        Statement::Search(search) => Plan::Search(Box::new(plan_search(search, names, facts)?)),
        Statement::Predict { image, k, freshness } => Plan::Predict {
            source: resolve(image, names)?,
            k: given(k)?.unwrap_or(facts.vote_k),
            freshness: plan_freshness(freshness)?,
        },
        Statement::Recognize(recognize) => Plan::Recognize(plan_recognize(recognize, names)?),
        Statement::Put { key, image, role, label, overwrite } => {
            check_role(role.as_ref(), label.as_ref())?;
            let source = resolve(image, names)?;
            match (&image.node, &source) {
                (Image::Name(name), Source::Key(_)) => return Err(complaints::unbound_name(image.span, name)),
                (_, Source::Key(_) | Source::Queries(_)) => return Err(complaints::put_source(image.span)),
                _ => {}
            }
            Plan::Put { key: value(key)?, source, label: given(label)?, overwrite: *overwrite }
        }
        Statement::Delete { key } => Plan::Delete { key: value(key)? },
        Statement::Label { key, label } => Plan::Label { key: value(key)?, label: value(label)? },
        Statement::Unlabel { key } => Plan::Unlabel { key: value(key)? },
        Statement::ShowStatus => Plan::ShowStatus,
        Statement::ShowLabels => Plan::ShowLabels,
        Statement::ShowSegments => Plan::ShowSegments,
        Statement::ShowStale => Plan::ShowStale,
        Statement::ShowCleans => Plan::ShowCleans,
        Statement::ShowClean { number } => Plan::ShowClean { number: value(number)? },
        Statement::ShowMarked => Plan::ShowMarked,
        Statement::ShowSuspects { limit } => Plan::ShowSuspects { limit: given(limit)?.unwrap_or(DEFAULT_SUSPECTS) },
        Statement::ShowModels => Plan::ShowModels,
        Statement::Train(train) => Plan::Train(plan_train(train)?),
        Statement::Clean(clean) => Plan::Clean(plan_clean(clean)?),
        Statement::UndoClean => Plan::UndoClean,
        Statement::UndoLabel => Plan::UndoLabel,
        Statement::Reembed { model } => Plan::Reembed { model: given(model)? },
        Statement::UseModel { number } => Plan::UseModel { number: value(number)? },
        Statement::DropModel { number, force } => Plan::DropModel { number: value(number)?, force: *force },
        Statement::Flush => Plan::Flush,
        Statement::Compact { neighbours } => Plan::Compact { neighbours: *neighbours },
        Statement::Check { deep } => Plan::Check { deep: *deep },
        Statement::Backup { folder } => Plan::Backup { folder: value(folder)? },
        Statement::BackupVerify { folder } => Plan::BackupVerify { folder: value(folder)? },
        Statement::BackupRestore { from, to } => Plan::BackupRestore { from: value(from)?, to: value(to)? },
        Statement::Explain { analyze, statement } => {
            Plan::Explain { analyze: *analyze, plan: Box::new(plan(&statement.node, names, facts)?) }
        }
    })
}

/// Whether a statement can be planned, independent of the database.
///
/// # Errors
///
/// As [`plan`].
pub fn check(statement: &Statement, names: &Names) -> Result<(), Diagnostic> {
    plan(statement, names, &Facts::default()).map(drop)
}

fn value<T: Clone>(value: &Spanned<Value<T>>) -> Result<T, Diagnostic> {
    known(&value.node, value.span)
}

/// The same for an optional part.
fn given<T: Clone>(part: &Option<Spanned<Value<T>>>) -> Result<Option<T>, Diagnostic> {
    part.as_ref().map(value).transpose()
}

/// A word without its place.
fn word<T: Copy>(part: &Option<Spanned<T>>) -> Option<T> {
    part.as_ref().map(|part| part.node)
}

fn plan_freshness(freshness: &Option<Spanned<Freshness<Value<u64>>>>) -> Result<Freshness, Diagnostic> {
    Ok(match freshness {
        None | Some(Spanned { node: Freshness::AsIs, .. }) => Freshness::AsIs,
        Some(Spanned { node: Freshness::Fresh, .. }) => Freshness::Fresh,
        Some(Spanned { node: Freshness::Since(sequence), span }) => Freshness::Since(known(sequence, *span)?),
        Some(Spanned { node: Freshness::Within(lag), .. }) => Freshness::Within(*lag),
    })
}

fn plan_search(search: &Search, names: &Names, facts: &Facts) -> Result<SearchPlan, Diagnostic> {
    check_search(search)?;
    let mut filter = Vec::with_capacity(search.filter.len());
    for Spanned { node: Condition { field, like, value }, span } in &search.filter {
        filter.push(Condition { field: *field, like: *like, value: known(value, *span)? });
    }
    let source = resolve(&search.image, names)?;
    let scope = word(&search.scope).unwrap_or_default();
    let depth = given(&search.depth)?.unwrap_or(DEFAULT_DEPTH);
    let (expand, augment, order) =
        (plan_expand(search)?, plan_augment(&search.augment, Expand::alpha())?, plan_order(search)?);
    let found = match order {
        Some(Order::SuperGlobal(method)) => depth.max(method.first),
        _ => depth,
    };
    let access = match &search.mode {
        Some(Spanned { node: Mode::Exact, .. }) => Err("EXACT"),
        _ if augment.is_some() => Err("AUGMENT compares other descriptors than those of the graph"),
        _ if !filter.is_empty() => Err("a filtered search must find min(K, matching) rows"),
        Some(Spanned { node: Mode::Ef(ef), span }) => Ok(known(ef, *span)?.max(found)),
        None => choose_access(&source, scope, found, facts),
    };
    let mut tau = DEFAULT_TAU;
    let rerank = match &search.rerank {
        None => None,
        Some(Spanned { node: asked, .. }) => {
            let both = asked.sort == asked.insert;
            tau = given(&asked.tau)?.unwrap_or(tau);
            Some(Rerank {
                k: given(&asked.k)?.unwrap_or(facts.vote_k),
                augment: plan_augment(&asked.augment, Expand::of_label())?,
                sort: both || asked.sort,
                insert: (both || asked.insert).then_some(tau),
            })
        }
    };
    let votes = rerank.map(|rerank| match rerank.k {
        _ if rerank.augment.is_some() => VotesFrom::ExactSearch,
        k if k == facts.vote_k => VotesFrom::Stored,
        k if k <= facts.kept_neighbours => VotesFrom::KeptLists,
        _ => VotesFrom::ExactSearch,
    });
    let limit = given(&search.limit)?.unwrap_or(depth).min(depth);
    let columns: Vec<Column> = match &search.columns {
        Some(columns) => columns.iter().map(|column| column.node).collect(),
        None => DEFAULT_COLUMNS.to_vec(),
    };
    let paths = columns.contains(&Column::Path);
    Ok(SearchPlan {
        source,
        request: SearchRequest {
            scope,
            depth,
            limit,
            ef: access.ok(),
            expand,
            augment,
            order,
            rerank,
            verify: given(&search.verify)?,
            least_similarity: given(&search.least)?,
            collapse: given(&search.collapse)?,
            filter,
            paths,
        },
        scan: access.err(),
        segments: facts.segments,
        votes,
        tau,
        freshness: plan_freshness(&search.freshness)?,
        including_self: search.including_self,
        columns,
        into: given(&search.into)?,
    })
}

fn plan_recognize(recognize: &Recognize, names: &Names) -> Result<RecognizePlan, Diagnostic> {
    check_recognize(recognize)?;
    Ok(RecognizePlan {
        source: resolve(&recognize.image, names)?,
        request: RecognizeRequest {
            n: given(&recognize.n)?.unwrap_or(DEFAULT_NEAR),
            least: given(&recognize.least)?,
            distractors: given(&recognize.distractors)?,
        },
        verify: recognize.verify,
        freshness: plan_freshness(&recognize.freshness)?,
        into: given(&recognize.into)?,
    })
}

fn plan_expand(search: &Search) -> Result<Option<Expand>, Diagnostic> {
    let Some(Spanned { node: MethodClause { method, options }, .. }) = &search.expand else { return Ok(None) };
    let usual = if *method == Method::ExpandMean { Expand::mean() } else { Expand::alpha() };
    Ok(Some(Expand {
        images: whole(options, &N)?.unwrap_or(usual.images),
        alpha: number(options, &ALPHA)?.unwrap_or(usual.alpha),
    }))
}

fn plan_augment(clause: &Option<Spanned<MethodClause>>, usual: Expand) -> Result<Option<Expand>, Diagnostic> {
    let Some(Spanned { node: MethodClause { options, .. }, .. }) = clause else { return Ok(None) };
    Ok(Some(Expand {
        images: whole(options, &N)?.unwrap_or(usual.images),
        alpha: number(options, &ALPHA)?.unwrap_or(usual.alpha),
    }))
}

fn plan_order(search: &Search) -> Result<Option<Order>, Diagnostic> {
    let Some(Spanned { node: MethodClause { method, options }, span }) = &search.order else { return Ok(None) };
    Ok(Some(match method {
        Method::Diffuse | Method::DiffuseFull | Method::DiffuseTransductive => {
            let usual = Diffusion::default();
            let cut = whole(options, &CUT)?.or(usual.cut).filter(|_| *method != Method::DiffuseFull);
            Order::Diffusion(Diffusion {
                degree: whole(options, &DEGREE)?.unwrap_or(usual.degree),
                sources: whole(options, &SOURCES)?.unwrap_or(usual.sources),
                cut,
                transductive: *method == Method::DiffuseTransductive,
            })
        }
        Method::Explore | Method::ExploreDirected => Order::Exploration(Exploration {
            degree: whole(options, &DEGREE)?.unwrap_or(DEFAULT_DEGREE),
            threshold: number(options, &T)?,
            directed: *method == Method::ExploreDirected,
        }),
        Method::Reciprocal | Method::ReciprocalTransductive => {
            let usual = Reciprocal::default();
            let k1 = whole(options, &K1)?.unwrap_or(usual.k1);
            let k2 = whole(options, &K2)?;
            if let Some(k2) = k2.filter(|&k2| k2 > k1 + 1) {
                let place = options.get(&K2).map_or(*span, |given| given.span);
                return Err(complaints::k2_above_k1(place, k2, k1));
            }
            let lambda = number(options, &LAMBDA)?.unwrap_or(usual.lambda);
            let transductive = *method == Method::ReciprocalTransductive;
            Order::Reciprocal(Reciprocal { k1, k2: k2.unwrap_or(usual.k2.min(k1 + 1)), lambda, transductive })
        }
        Method::Fuse => Order::Fusion(Fusion { labels: number(options, &LABELS)? }),
        // EXPAND and AUGMENT are no orders; check_search refuses them.
        Method::SuperGlobal | Method::ExpandMean | Method::ExpandAlpha | Method::Augment | Method::AugmentTrain => {
            let usual = SuperGlobal::default();
            Order::SuperGlobal(SuperGlobal {
                first: whole(options, &M)?.unwrap_or(usual.first),
                images: whole(options, &N)?.unwrap_or(usual.images),
                beta: number(options, &BETA)?.unwrap_or(usual.beta),
            })
        }
    }))
}

/// The breadth of a graph search if the statement names no access path, or why every row is scored.
fn choose_access(source: &Source, scope: Scope, depth: usize, facts: &Facts) -> Result<usize, &'static str> {
    let rows = match scope {
        Scope::Index => facts.index_rows,
        Scope::Train => facts.train_rows,
        Scope::All => facts.index_rows.max(facts.train_rows),
    };
    if matches!(source, Source::Queries(_)) {
        Err("a batch of queries shares one pass")
    } else if rows < facts.graph_from_rows {
        Err("few rows: a scan is as fast as a graph")
    } else if depth.saturating_mul(DEFAULT_EF_PER_K * SCAN_FROM_SHARE) >= rows {
        Err("K is a large share of the rows: a scan is as fast as a graph")
    } else {
        Ok(depth.saturating_mul(DEFAULT_EF_PER_K).min(MAX_COUNT))
    }
}

/// The value of an option; `None` if it was left out.
fn setting(options: &Options, part: &Part) -> Result<Option<Setting>, Diagnostic> {
    options.get(part).map(value).transpose()
}

fn whole(options: &Options, part: &Part) -> Result<Option<usize>, Diagnostic> {
    Ok(setting(options, part)?.and_then(Setting::whole))
}

fn number(options: &Options, part: &Part) -> Result<Option<f64>, Diagnostic> {
    Ok(setting(options, part)?.and_then(Setting::number))
}

fn plan_train(train: &Train) -> Result<TrainPlan, Diagnostic> {
    check_train(train)?;
    let given = &train.options;
    let usual = TrainPlan::usual(train.loss(), train.trunk());
    let epochs = whole(given, &EPOCHS)?.unwrap_or(usual.epochs);
    let (scaleup, seed) = (whole(given, &SCALEUP)?, setting(given, &SEED)?);
    Ok(TrainPlan {
        loss: usual.loss,
        dimension: whole(given, &DIM)?.unwrap_or(usual.dimension),
        epochs,
        batch: whole(given, &BATCH)?.unwrap_or(usual.batch),
        rate: number(given, &RATE)?.unwrap_or(usual.rate),
        margin: number(given, &MARGIN)?.or(usual.margin),
        scale: number(given, &SCALE)?.or(usual.scale),
        seed: if let Some(Setting::Whole(seed)) = seed { seed } else { usual.seed },
        validation: number(given, &VALIDATION)?.unwrap_or(usual.validation),
        balance: given.has(&BALANCE),
        trunk: usual.trunk.map(|usual| TrunkPlan {
            augment: given.word(&AUGMENT).and_then(Augment::named).unwrap_or(usual.augment),
            scaleup: scaleup.unwrap_or(usual.scaleup.min(epochs)),
            gem: given.word(&GEM).and_then(Gem::named).unwrap_or(usual.gem),
        }),
        from: match &train.from {
            None => None,
            Some(Spanned { node: Origin::File(path), span }) => Some(Origin::File(known(path, *span)?)),
            Some(Spanned { node: Origin::Model(number), span }) => Some(Origin::Model(known(number, *span)?)),
        },
        flip: word(&train.flip).unwrap_or_default(),
    })
}

fn plan_clean(clean: &Clean) -> Result<CleanPlan, Diagnostic> {
    check_clean(clean)?;
    let cut = match &clean.cut {
        None => Cut::Evidence(DEFAULT_EVIDENCE),
        Some(Spanned { node: Cut::Top(images), span }) => Cut::Top(known(images, *span)?),
        Some(Spanned { node: Cut::Evidence(least), span }) => Cut::Evidence(known(least, *span)?),
    };
    let (options, usual) = (&clean.options, CleanPlan::default());
    Ok(CleanPlan {
        nn: whole(options, &NN)?.unwrap_or(usual.nn),
        neighbours: whole(options, &NEIGHBOURS)?.unwrap_or(usual.neighbours),
        inliers: whole(options, &INLIERS)?.unwrap_or(usual.inliers),
        freq: whole(options, &FREQ)?.unwrap_or(usual.freq),
        rule: match word(&clean.rule).unwrap_or_default() {
            Rule::Paper => CleanRule::Paper,
            Rule::Suspects => CleanRule::Suspects(cut),
        },
        action: word(&clean.action).unwrap_or_default(),
        thumbnails: options.has(&THUMBNAILS),
        dry_run: clean.dry_run,
        into: given(&clean.into)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ast::{Action, Loss, Role, Span};
    use crate::options::LOSS;

    fn spanned<T>(node: T) -> Spanned<T> {
        Spanned { node, span: Span::default() }
    }

    fn predict(image: Image) -> Statement {
        Statement::Predict { image: spanned(image), k: None, freshness: None }
    }

    fn source(image: Image, names: &Names) -> Result<Source, &'static str> {
        match plan(&predict(image), names, &Facts::default()) {
            Ok(Plan::Predict { source, .. }) => Ok(source),
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
            parsed.statements[0].node.scope()
        };
        assert_eq!(scope("SEARCH a"), Some(Scope::Index));
        assert_eq!(scope("EXPLAIN ANALYZE SEARCH a IN all"), Some(Scope::All));
        assert_eq!(scope("EXPLAIN PREDICT a"), Some(Scope::Train));
        assert_eq!(scope("FLUSH"), None);
    }

    #[test]
    fn a_training_or_cleaning_built_by_hand_must_not_contradict_itself() {
        let code = |statement: Statement| check(&statement, &Names::default()).map_err(|error| error.code());
        let train = |loss: Loss, margin: Option<f64>, scale: Option<f64>| {
            let mut train = Train::default();
            train.options.set(&LOSS, spanned(Value::Typed(Setting::Word(loss.name()))));
            for (part, number) in [(&MARGIN, margin), (&SCALE, scale)] {
                number.into_iter().for_each(|number| train.options.set(part, spanned(Setting::Number(number).into())));
            }
            code(Statement::Train(Box::new(train)))
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
        let with = |options: &[(&'static Part, Setting)]| {
            let mut clean = Clean::default();
            options.iter().for_each(|(part, setting)| clean.options.set(part, spanned((*setting).into())));
            code(Statement::Clean(Box::new(clean)))
        };
        assert_eq!(with(&[(&FREQ, Setting::Whole(4)), (&NEIGHBOURS, Setting::Whole(3))]), Err("freq-above-neighbours"));
        // Values out of range, and of another kind.
        assert_eq!(with(&[(&FREQ, Setting::Whole(0))]), Err("too-small"));
        assert_eq!(with(&[(&INLIERS, Setting::Whole(1001))]), Err("too-large"));
        assert_eq!(with(&[(&INLIERS, Setting::Number(5.0))]), Err("expected"));
        assert_eq!(clean(Rule::Suspects, Some(Cut::Evidence(1.5.into())), Action::Unlabel), Err("number-range"));
    }

    /// The parser refuses these; the planner must also refuse them in a statement that a program built.
    #[test]
    fn a_planned_put_has_a_label_exactly_if_it_is_a_train_image() {
        let put = |role: Option<Role>, label: Option<&str>, image: Image| {
            let statement = Statement::Put {
                key: spanned("key".to_owned().into()),
                image: spanned(image),
                role: role.map(spanned),
                label: label.map(|label| spanned(label.to_owned().into())),
                overwrite: false,
            };
            match plan(&statement, &Names::default(), &Facts::default()) {
                Ok(Plan::Put { label, .. }) => Ok(label.is_some()),
                Ok(_) => Err("another statement"),
                Err(diagnostic) => Err(diagnostic.code()),
            }
        };
        let file = || Image::File("a.jpg".to_owned());
        assert_eq!(put(None, None, file()), Ok(false));
        assert_eq!(put(Some(Role::Index), None, file()), Ok(false));
        assert_eq!(put(None, Some("x"), file()), Ok(true));
        assert_eq!(put(Some(Role::Train), Some("x"), file()), Ok(true));
        assert_eq!(put(Some(Role::Train), None, file()), Err("train-without-label"));
        assert_eq!(put(Some(Role::Index), Some("x"), file()), Err("index-with-label"));
        assert_eq!(put(None, None, Image::Key("a".to_owned().into())), Err("put-source"));
        assert_eq!(put(None, None, Image::Queries("a.csv".to_owned().into())), Err("put-source"));
        assert_eq!(put(None, None, Image::Name("a".to_owned())), Err("unbound-name"));
    }
}
