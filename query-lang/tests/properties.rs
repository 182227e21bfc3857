//! Properties over generated text and statements: nothing panics, places lie in the text, and what is printed is read back.

// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "properties/places.rs"]
mod places;

use std::ops::Bound;
use std::time::Duration;

use cairndb_query::options::{CLEAN, Form, Only, Part, TRAIN};
use cairndb_query::{
    Action, Binding, Clean, Column, Condition, Cut, DEFAULT_FREQ, DEFAULT_NEIGHBOURS, DEFAULT_NN, DEFAULT_TRUNK_EPOCHS,
    Facts, Field, Flip, Freshness, Image, MAX_COLLAPSED, MAX_VOTERS, Method, MethodClause, Mode, Names, Options,
    Origin, Parameter, Place, Recognize, RerankClause, Role, Rule, Scope, Search, Setting, Span, Spanned, Statement,
    Takes, Train, Value, fill, keywords, parse, plan, statement_is_complete,
};
use places::{spanned, spans, without_spans};
use proptest::prelude::*;

/// Text of any characters, with quotes, semicolons and comments more often than chance would have it.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![".{0,12}", "[a'\";\\-\\n\\t 写é]{0,12}"]
}

fn text() -> impl Strategy<Value = String> {
    any_text().prop_filter("empty text is refused", |text| !text.is_empty())
}

/// What an application may bind: typed mostly, now and then a parameter. What its place takes is no part of it.
fn value<T: std::fmt::Debug + Clone>(typed: impl Strategy<Value = T>) -> impl Strategy<Value = Value<T>> {
    let parameter = (1..=1_000_000_usize)
        .prop_map(|number| Value::Parameter(Parameter { number, what: "anything", takes: Takes::AnyText }));
    prop_oneof![5 => typed.prop_map(Value::Typed), 1 => parameter]
}

fn value_text() -> impl Strategy<Value = Value<String>> {
    value(text())
}

/// Names that are no words of the language, and words of it that may be names.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_写é][a-z0-9_写é]{3,8}x_",
        Just("train".to_owned()),
        Just("Status".to_owned()),
        Just("tau".to_owned())
    ]
}

fn new_image() -> impl Strategy<Value = Image> {
    let value = prop_oneof![
        any::<f32>().prop_filter("finite", |value| value.is_finite()),
        (-1.0_f32..1.0),
        Just(-0.0_f32),
        Just(f32::MAX),
        Just(f32::MIN_POSITIVE / 2.0),
    ];
    let vector = prop::collection::vec(value, 1..6)
        .prop_filter("zeros are refused", |values| values.iter().any(|value| *value != 0.0));
    prop_oneof![
        text().prop_map(Image::File),
        name().prop_map(Image::Name),
        (1..=1_000_000_usize).prop_map(Image::Parameter),
        vector.prop_map(Image::Vector),
    ]
}

fn image() -> impl Strategy<Value = Spanned<Image>> {
    prop_oneof![3 => new_image(), 1 => value_text().prop_map(Image::Key), 1 => value_text().prop_map(Image::Queries)]
        .prop_map(spanned)
}

fn count() -> impl Strategy<Value = usize> {
    prop_oneof![1..20_usize, 1..=1_000_000_usize, Just(1_000_000)]
}

fn voters() -> impl Strategy<Value = usize> {
    prop_oneof![1..20_usize, 1..=MAX_VOTERS, Just(MAX_VOTERS)]
}

fn condition() -> impl Strategy<Value = Spanned<Condition<Value<String>>>> {
    let split = prop::sample::select(Role::ALL.to_vec()).prop_map(|role| Condition {
        field: Field::Split,
        like: false,
        value: Value::Typed(role.name().to_owned()),
    });
    let other = (prop::sample::select(Field::ALL.to_vec()), any::<bool>(), value(any_text()))
        .prop_filter("split = takes two words", |(field, like, value)| {
            *field != Field::Split || *like || value.typed().is_none()
        })
        .prop_map(|(field, like, value)| Condition { field, like, value });
    prop_oneof![1 => split, 4 => other].prop_map(spanned)
}

fn optional<T: std::fmt::Debug + Clone>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Option<Spanned<T>>> {
    prop::option::of(value.prop_map(spanned))
}

fn rerank() -> impl Strategy<Value = RerankClause> {
    let tau = prop_oneof![-2.0..=2.0_f64, Just(-2.0), Just(2.0), Just(0.6), Just(1e-300), Just(-0.0)];
    let augment = optional(method(of_place(Place::Voters)));
    (any::<bool>(), any::<bool>(), optional(value(voters())), optional(value(tau)), augment)
        .prop_map(|(sort, insert, k, tau, augment)| RerankClause { sort, insert, k, tau, augment })
}

fn freshness() -> impl Strategy<Value = Freshness<Value<u64>>> {
    let lag = prop_oneof![1..=3_600_000_u64, (1..=3_600_u64).prop_map(|seconds| seconds * 1_000), Just(3_600_000)];
    prop_oneof![
        Just(Freshness::Fresh),
        value(prop_oneof![0..20_u64, any::<u64>(), Just(u64::MAX)]).prop_map(Freshness::Since),
        lag.prop_map(|lag| Freshness::Within(Duration::from_millis(lag))),
    ]
}

/// A report, and whether it may replace any file.
fn into() -> impl Strategy<Value = (Option<Spanned<Value<String>>>, bool)> {
    (optional(value_text()), any::<bool>()).prop_map(|(into, overwrite)| {
        let overwrite = overwrite && into.is_some();
        (into, overwrite)
    })
}

fn of_place(place: Place) -> Vec<Method> {
    Method::ALL.into_iter().filter(|method| method.place() == place).collect()
}

fn search() -> impl Strategy<Value = Statement> {
    let columns = prop::sample::subsequence(Column::ALL.to_vec(), 1..=Column::ALL.len())
        .prop_shuffle()
        .prop_map(|columns| columns.into_iter().map(spanned).collect());
    let found = (
        optional(prop::sample::select(Scope::ALL.to_vec())),
        prop::collection::vec(condition(), 0..4),
        optional(value(count())),
        prop::option::of(value(0.0..=1.0_f64)),
        optional(prop_oneof![Just(Mode::Exact), value(count()).prop_map(Mode::Ef)]),
    );
    let methods = (
        optional(method(of_place(Place::Query))),
        optional(method(of_place(Place::Index))),
        optional(method(of_place(Place::Order))),
        prop::option::of(value(0.0..=1.0_f64)),
        optional(value(-1.0..=1.0_f64)),
        optional(value(prop_oneof![-1.0..=1.0_f64, Just(1.0), Just(-1.0), Just(1e-300)])),
    );
    let shown = (optional(rerank()), optional(freshness()), any::<bool>(), prop::option::of(columns), into());
    (image(), found, methods, shown).prop_map(
        |(image, found, (expand, augment, order, verified, least, collapse), shown)| {
            let (scope, filter, depth, share, mode) = found;
            let (rerank, freshness, including_self, columns, (into, overwrite)) = shown;
            // Only index images have a graph, and no more neighbourhoods are averaged than there are.
            let elsewhere = scope.as_ref().is_some_and(|scope| scope.node != Scope::Index);
            let order = order.filter(|order| !(elsewhere && order.node.method.needs_graph()));
            // It compares other descriptors than the graphs have.
            let by_graph = mode.as_ref().is_some_and(|mode| matches!(mode.node, Mode::Ef(_)));
            let augment = augment.filter(|_| !elsewhere && !by_graph && order.is_none());
            let order = order.map(|mut order| {
                order.node.options = kept(&order.node.options, |part| part.name != "k2");
                order
            });
            // LIMIT and VERIFY are shares of K, because more than K is refused.
            let most =
                depth.as_ref().map_or(cairndb_query::DEFAULT_DEPTH, |depth| depth.node.typed().copied().unwrap_or(9));
            let [limit, verify] = [share, verified].map(|share| {
                share.map(|share| {
                    spanned(match share {
                        Value::Typed(share) => Value::Typed(((most as f64 * share) as usize).max(1)),
                        Value::Parameter(parameter) => Value::Parameter(parameter),
                    })
                })
            });
            Statement::Search(Box::new(Search {
                image,
                scope,
                filter,
                depth,
                limit,
                mode,
                expand,
                augment,
                order,
                verify,
                least,
                // It compares few rows with each other.
                collapse: collapse.filter(|_| most <= MAX_COLLAPSED),
                rerank,
                freshness,
                including_self,
                columns,
                into,
                overwrite,
            }))
        },
    )
}

fn put() -> impl Strategy<Value = Statement> {
    (value_text(), new_image(), any::<[bool; 2]>(), prop::option::of(value_text())).prop_map(
        |(key, image, [say_role, overwrite], label)| {
            let role = say_role.then(|| spanned(if label.is_some() { Role::Train } else { Role::Index }));
            Statement::Put { key: spanned(key), image: spanned(image), role, label: label.map(spanned), overwrite }
        },
    )
}

/// A value that an option takes, ends of its range included; now and then a parameter.
fn setting(part: &'static Part) -> BoxedStrategy<Value<Setting>> {
    match &part.form {
        Form::Whole { least, most } => value(
            prop_oneof![*least..=*most, Just(*least), Just(*most), *least..=(*most).min(least + 60)]
                .prop_map(Setting::Whole),
        )
        .boxed(),
        Form::Number((start, end)) => {
            let edge = |edge: &Bound<f64>| match edge {
                Bound::Included(value) => *value,
                Bound::Excluded(value) => value + f64::MIN_POSITIVE,
                Bound::Unbounded => panic!("{} has no range", part.name),
            };
            let (least, most) = (edge(start), edge(end));
            let small = 1e-300_f64.clamp(least, most);
            value(prop_oneof![least..=most, Just(least), Just(most), Just(small)].prop_map(Setting::Number)).boxed()
        }
        Form::OneOf(words) => prop::sample::select(words()).prop_map(|word| Value::Typed(Setting::Word(word))).boxed(),
        Form::Flag => Just(Value::Typed(Setting::Set)).boxed(),
        Form::Clause(form) => panic!("{form} is no option"),
    }
}

/// Any of the options of a table.
fn options(table: &'static [&'static Part]) -> impl Strategy<Value = Options> {
    let parts = table.iter().copied().filter(|part| part.is_option() && part.only != Only::Suspects);
    let each: Vec<_> = parts
        .map(|part| prop::option::of(setting(part)).prop_map(move |value| value.map(|value| (part, value))))
        .collect();
    each.prop_map(|given| {
        let mut options = Options::default();
        given.into_iter().flatten().for_each(|(part, value)| options.set(part, spanned(value)));
        options
    })
}

/// The options that pass; what another one refuses is left out.
fn kept(options: &Options, keep: impl Fn(&Part) -> bool) -> Options {
    let mut left = Options::default();
    let given = options.iter().filter(|given| keep(given.part));
    given.for_each(|given| left.set(given.part, given.value.clone()));
    left
}

/// One of these methods, with any of its options.
fn method(of: Vec<Method>) -> impl Strategy<Value = MethodClause> {
    prop::sample::select(of)
        .prop_flat_map(|method| options(method.parts()).prop_map(move |options| MethodClause { method, options }))
}

fn train() -> impl Strategy<Value = Statement> {
    let flip = prop::sample::select(vec![Flip::Always, Flip::Never]);
    let from = prop_oneof![value_text().prop_map(Origin::File), value(any::<u64>()).prop_map(Origin::Model)];
    (options(&TRAIN), optional(from), optional(flip)).prop_map(|(options, from, flip)| {
        let mut train = Train { options, from, flip };
        let trunk = train.trunk();
        // No closed form trains a whole network, and what belongs to one or to a loss stands with it.
        if trunk && !train.loss().has_steps() {
            train.options = kept(&train.options, |part| part.name != "loss");
        }
        let loss = train.loss();
        train.options = kept(&train.options, |part| part.suits(loss) && (trunk || part.only != Only::Trunk));
        let whole = |name: &str| {
            let given = train.options.iter().find(|given| given.part.name == name)?;
            Some(given.value.node.typed().copied().and_then(Setting::whole))
        };
        let epochs = whole("epochs").map_or(DEFAULT_TRUNK_EPOCHS, |epochs| epochs.unwrap_or(1));
        if whole("scaleup").flatten().is_some_and(|scaleup| scaleup > epochs) {
            train.options = kept(&train.options, |part| part.name != "scaleup");
        }
        Statement::Train(Box::new(train))
    })
}

fn clean() -> impl Strategy<Value = Statement> {
    let cut = prop_oneof![
        value(count()).prop_map(Cut::Top),
        value(prop_oneof![0.0..=1.0_f64, Just(0.0), Just(1.0), Just(1e-300)]).prop_map(Cut::Evidence),
    ];
    let rule = optional(prop::sample::select(Rule::ALL.to_vec()));
    let action = optional(prop::sample::select(Action::ALL.to_vec()));
    (options(&CLEAN), rule, optional(cut), action, any::<bool>(), into()).prop_map(
        |(options, rule, cut, action, dry_run, (into, overwrite))| {
            // Neither rule takes what belongs to the other one.
            let suspects = rule.as_ref().is_some_and(|rule| rule.node == Rule::Suspects);
            let mut options = kept(&options, |part| !suspects || part.only != Only::Paper);
            // An image must be able to have as many verified pairs as it needs.
            let whole = |name: &str| {
                let given = options.iter().find(|given| given.part.name == name)?;
                given.value.node.typed().copied().and_then(Setting::whole)
            };
            let needed = whole("freq").unwrap_or(DEFAULT_FREQ);
            let compared = whole("nn").unwrap_or(DEFAULT_NN).min(whole("neighbours").unwrap_or(DEFAULT_NEIGHBOURS) - 1);
            if needed > compared {
                options = kept(&options, |part| !["freq", "nn", "neighbours"].contains(&part.name));
            }
            Statement::Clean(Box::new(Clean {
                options,
                rule,
                cut: cut.filter(|_| suspects),
                action: action.filter(|action| suspects || !action.node.relabels()),
                dry_run,
                into,
                overwrite,
            }))
        },
    )
}

fn model_number() -> impl Strategy<Value = Spanned<Value<u64>>> {
    value(prop_oneof![0..20_u64, any::<u64>(), Just(u64::MAX)]).prop_map(spanned)
}

fn recognize() -> impl Strategy<Value = Statement> {
    let least = prop_oneof![-3.0..=2.0_f64, Just(2.0), Just(-3.0), Just(1e-300)];
    (
        (image(), optional(value(voters())), any::<bool>(), optional(value(least)), optional(value(count()))),
        (optional(freshness()), optional(value_text()), any::<bool>()),
    )
        .prop_map(|((image, n, verify, least, distractors), (freshness, into, overwrite))| {
            let many = matches!(image.node, Image::Queries(_));
            let (distractors, overwrite) = (distractors.filter(|_| many), overwrite && into.is_some());
            let recognize = Recognize { image, n, verify, least, distractors, freshness, into, overwrite };
            Statement::Recognize(Box::new(recognize))
        })
}

fn plain_statement() -> impl Strategy<Value = Statement> {
    prop_oneof![
        8 => search(),
        2 => (image(), optional(value(voters())), optional(freshness()))
            .prop_map(|(image, k, freshness)| Statement::Predict { image, k, freshness }),
        2 => recognize(),
        2 => put(),
        1 => value_text().prop_map(|key| Statement::Delete { key: spanned(key) }),
        1 => (value_text(), value_text())
            .prop_map(|(key, label)| Statement::Label { key: spanned(key), label: spanned(label) }),
        1 => value_text().prop_map(|key| Statement::Unlabel { key: spanned(key) }),
        1 => value_text().prop_map(|folder| Statement::Backup { folder: spanned(folder) }),
        1 => value_text().prop_map(|folder| Statement::BackupVerify { folder: spanned(folder) }),
        1 => (value_text(), value_text())
            .prop_map(|(from, to)| Statement::BackupRestore { from: spanned(from), to: spanned(to) }),
        3 => train(),
        3 => clean(),
        1 => optional(value(count())).prop_map(|limit| Statement::ShowSuspects { limit }),
        1 => optional(value_text()).prop_map(|model| Statement::Reembed { model }),
        1 => model_number().prop_map(|number| Statement::ShowClean { number }),
        1 => model_number().prop_map(|number| Statement::UseModel { number }),
        1 => (model_number(), any::<bool>()).prop_map(|(number, force)| Statement::DropModel { number, force }),
        2 => prop::sample::select(vec![
            Statement::ShowStatus,
            Statement::ShowLabels,
            Statement::ShowSegments,
            Statement::ShowStale,
            Statement::ShowCleans,
            Statement::ShowMarked,
            Statement::ShowModels,
            Statement::UndoClean,
            Statement::UndoLabel,
            Statement::Flush,
            Statement::Compact { neighbours: false },
            Statement::Compact { neighbours: true },
            Statement::Check { deep: false },
            Statement::Check { deep: true },
        ]),
    ]
}

fn statement() -> impl Strategy<Value = Statement> {
    let explain = (any::<bool>(), plain_statement())
        .prop_map(|(analyze, inner)| Statement::Explain { analyze, statement: Box::new(spanned(inner)) });
    prop_oneof![4 => plain_statement(), 1 => explain]
}

fn assert_in(span: Span, text: &str) {
    assert!(text.get(span.start..span.end).is_some(), "{span:?} is not in {text:?}");
}

/// What two values of one statement contradict each other in: `plan` says so, behind `fill`.
const CROSSING: &[&str] = &["limit-above-depth", "verify-above-depth", "freq-above-neighbours", "scaleup-above-epochs"];

/// Parses, shows and plans anything; every place must lie in the text, on the boundary of a character.
fn survive(text: &str) {
    let parsed = parse(text);
    assert!(!parsed.statements.is_empty() || !parsed.diagnostics.is_empty(), "{text:?} gives nothing");
    for diagnostic in &parsed.diagnostics {
        assert_in(diagnostic.span(), text);
        let rendered = diagnostic.render(text);
        let lines = rendered.lines().count();
        assert!(lines == 4 || lines == 6 && diagnostic.other().is_some(), "{rendered}");
        if let Some(other) = diagnostic.other() {
            assert_in(other, text);
        }
        assert!(!rendered.contains(|character: char| character.is_control() && character != '\n'), "{rendered:?}");
    }
    let facts = Facts {
        index_rows: 10,
        train_rows: 10,
        vote_k: 3,
        kept_neighbours: 10,
        graph_from_rows: 5,
        segments: 2,
        dimension: 2,
    };
    let names = Names { positional: 3, named: vec!["img".to_owned()] };
    for statement in &parsed.statements {
        for span in spans(statement) {
            assert_in(span, text);
            assert!(statement.span.start <= span.start && span.end <= statement.span.end, "{span:?} in {statement:?}");
        }
        if let Ok(plan) = plan(&statement.node, &names, &facts) {
            assert!(!plan.to_string().is_empty());
        }
        for value in [Binding::Image, Binding::Text("it's".to_owned()), Binding::Whole(3), Binding::Number(f64::NAN)] {
            // What was put in its place is read back, too.
            if let Ok(filled) = fill(statement, &[value.clone(), value.clone(), value]) {
                let printed = filled.node.to_string();
                let again = parse(&printed);
                assert!(again.diagnostics.iter().all(|diagnostic| CROSSING.contains(&diagnostic.code())), "{printed}");
            }
        }
    }
    statement_is_complete(text);
}

/// Pieces of the language in any order: gets further into the parser than arbitrary characters do.
fn word_salad() -> impl Strategy<Value = String> {
    let symbols =
        "= , ; [ ] ( ) 'x' ' \" 3 -1.5e3 0 $1 $ -- é a.b img <= < 5s k=3 loss=triplet margin=0.3 top=5 nn=7 arcface";
    let pieces: Vec<&str> =
        keywords().iter().map(String::as_str).chain(symbols.split(' ')).chain(["\n", "rule suspects"]).collect();
    prop::collection::vec(prop::sample::select(pieces), 0..24).prop_map(|pieces| pieces.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        survive(&text);
    }

    #[test]
    fn words_in_any_order_never_panic(text in word_salad()) {
        survive(&text);
    }

    /// One to four edits of a valid statement: characters taken out, doubled, or put in.
    #[test]
    fn mutations_of_statements_never_panic(
        statement in statement(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..3_u8, any::<char>()), 1..5),
    ) {
        let mut characters: Vec<char> = statement.to_string().chars().collect();
        for (place, kind, new) in edits {
            let place = place.index(characters.len().max(1)).min(characters.len());
            match kind {
                0 if place < characters.len() => drop(characters.remove(place)),
                1 if place < characters.len() => characters.insert(place, characters[place]),
                _ => characters.insert(place, new),
            }
        }
        survive(&characters.into_iter().collect::<String>());
    }

    #[test]
    fn what_is_printed_is_read_back(statement in statement()) {
        let text = statement.to_string();
        let parsed = parse(&text);
        prop_assert!(parsed.diagnostics.is_empty(), "{}", parsed.diagnostics[0].render(&text));
        prop_assert_eq!(parsed.statements.len(), 1, "{}", text);
        let read = parsed.statements.into_iter().next().unwrap();
        prop_assert_eq!(read.span, Span { start: 0, end: text.len() });
        prop_assert_eq!(read.node.to_string(), &*text);
        prop_assert_eq!(without_spans(read.node), statement, "{}", text);
        survive(&text);
    }

    #[test]
    fn statements_stand_beside_each_other(first in statement(), second in statement(), broken in word_salad()) {
        // `'` and `"` would swallow what follows, and `--` its line.
        let broken: String = broken.replace(['\'', '"', ';'], " ").replace("--", " ");
        let text = format!("{first};\nBROKEN {broken};\n{second}; -- the end");
        let parsed = parse(&text);
        prop_assert_eq!(parsed.statements.len(), 2, "{}", text);
        prop_assert_eq!(parsed.diagnostics.len(), 1, "{}", text);
        prop_assert!(parsed.statements[0].span.end <= parsed.diagnostics[0].span().start);
        prop_assert!(statement_is_complete(&text));
        let open = format!("{first};\n{second}");
        prop_assert!(!statement_is_complete(&open));
    }

    /// Case means nothing in words of the language, and clauses stand in any order.
    #[test]
    fn clauses_stand_in_any_order(order in Just((0..12).collect::<Vec<usize>>()).prop_shuffle(), capitals in any::<bool>()) {
        let statements: [(&str, &[&str]); 4] = [
            ("SEARCH img", &[
                "in all", "where label = 'X' and split = train", "K 50", "LIMIT 9", "Ef 70", "rerank Sort k=3 tau=0.5",
                "stale <= 5s", "including self", "return Id, rank", "into 'R.html' Overwrite",
            ]),
            ("TRAIN", &[
                "loss=cosface", "dim=64", "Epochs=2", "batch=8", "rate=0.1", "margin=0.2", "scale=9", "seed=5",
                "validation=0.1", "from 'R.html' balance", "trunk augment=hard", "scaleup=1 gem=learnt dry run",
            ]),
            ("CLEAN", &["nn=50", "neighbours=9", "Inliers=40", "freq=2", "rule Paper", "unlabel", "thumbnails", "dry run", "into 'R.html'"]),
            ("CLEAN", &["rule Suspects", "top=7", "relabel", "dry run", "into 'R.html'"]),
        ];
        for (begin, clauses) in statements {
            let shuffled: Vec<&str> = order.iter().filter_map(|&position| clauses.get(position).copied()).collect();
            let shuffled = shuffled.join(" ");
            let cased = if capitals {
                shuffled.to_uppercase().replace("R.HTML", "R.html")
            } else {
                shuffled.to_lowercase().replace("r.html", "R.html").replace("'x'", "'X'")
            };
            let (text, canonical) = (format!("{begin} {cased}"), format!("{begin} {}", clauses.join(" ")));
            let (parsed, expected) = (parse(&text), parse(&canonical));
            prop_assert!(parsed.diagnostics.is_empty(), "{}", parsed.diagnostics[0].render(&text));
            let [parsed, expected] = [parsed, expected].map(|of| without_spans(of.statements[0].node.clone()));
            prop_assert_eq!(parsed, expected);
        }
    }
}
