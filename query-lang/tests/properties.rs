//! Properties over generated text and statements: nothing panics, places lie in the text, and what is printed is read back.

// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "properties/places.rs"]
mod places;

use std::time::Duration;

use cairndb_query::{
    Action, Augment, Binding, Clean, Column, Condition, Cut, DEFAULT_TRUNK_EPOCHS, Facts, Field, Flip, Freshness, Gem,
    Image, KEYWORDS, Loss, Mode, Names, Origin, Parameter, RerankClause, Role, Rule, Scope, Search, Span, Spanned,
    Statement, Takes, Train, Value, fill, parse, plan, statement_is_complete,
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
    (any::<bool>(), any::<bool>(), optional(value(count())), optional(value(tau)))
        .prop_map(|(sort, insert, k, tau)| RerankClause { sort, insert, k, tau })
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
    let shown = (optional(rerank()), optional(freshness()), any::<bool>(), prop::option::of(columns), into());
    (image(), found, shown).prop_map(|(image, found, shown)| {
        let (scope, filter, depth, share, mode) = found;
        let (rerank, freshness, including_self, columns, (into, overwrite)) = shown;
        // LIMIT is a share of K, because more than K is refused.
        let most =
            depth.as_ref().map_or(cairndb_query::DEFAULT_DEPTH, |depth| depth.node.typed().copied().unwrap_or(9));
        let limit = share.map(|share| {
            spanned(match share {
                Value::Typed(share) => Value::Typed(((most as f64 * share) as usize).max(1)),
                Value::Parameter(parameter) => Value::Parameter(parameter),
            })
        });
        Statement::Search(Box::new(Search {
            image,
            scope,
            filter,
            depth,
            limit,
            mode,
            rerank,
            freshness,
            including_self,
            columns,
            into,
            overwrite,
        }))
    })
}

fn put() -> impl Strategy<Value = Statement> {
    (value_text(), new_image(), any::<[bool; 2]>(), prop::option::of(value_text())).prop_map(
        |(key, image, [say_role, overwrite], label)| {
            let role = say_role.then(|| spanned(if label.is_some() { Role::Train } else { Role::Index }));
            Statement::Put { key: spanned(key), image: spanned(image), role, label: label.map(spanned), overwrite }
        },
    )
}

fn train() -> impl Strategy<Value = Statement> {
    let rate = prop_oneof![f64::MIN_POSITIVE..=10.0, Just(10.0), Just(1e-300), Just(0.001)];
    let scale = prop_oneof![f64::MIN_POSITIVE..=1000.0, Just(1000.0), Just(30.0)];
    let flip = prop::sample::select(vec![Flip::Always, Flip::Never]);
    let numbers = (
        optional(value(2..=4096_usize)),
        optional(value(1..=10_000_usize)),
        optional(value(2..=4096_usize)),
        optional(value(prop_oneof![0..20_u64, any::<u64>(), Just(u64::MAX)])),
    );
    let parts = (
        optional(value(rate)),
        optional(value(prop_oneof![0.0..=1.5_f64, Just(0.0), Just(1.5)])),
        optional(value(scale)),
        optional(value(prop_oneof![0.0..=0.9_f64, Just(0.0), Just(0.9)])),
    );
    let loss = optional(prop::sample::select(Loss::ALL.to_vec()));
    let trunk = (
        any::<bool>(),
        optional(prop::sample::select(Augment::ALL.to_vec())),
        optional(value(0..=10_000_usize)),
        optional(prop::sample::select(Gem::ALL.to_vec())),
    );
    let from = prop_oneof![value_text().prop_map(Origin::File), value(any::<u64>()).prop_map(Origin::Model)];
    (loss, numbers, parts, any::<bool>(), trunk, optional(from), optional(flip)).prop_map(
        |(loss, numbers, parts, balance, (trunk, augment, scaleup, gem), from, flip)| {
            // No closed form trains a whole network.
            let loss = loss.filter(|loss| !trunk || loss.node.has_steps());
            let (dimension, epochs, batch, seed) = numbers;
            let (rate, margin, scale, validation) = parts;
            // A margin, a scale and the options of steps are refused where the loss takes none.
            let chosen = loss.as_ref().map_or(Loss::of_training(trunk), |loss| loss.node);
            let most = epochs.as_ref().map_or(DEFAULT_TRUNK_EPOCHS, |epochs| epochs.node.typed().copied().unwrap_or(1));
            Statement::Train(Box::new(Train {
                margin: margin.filter(|_| chosen.default_margin().is_some()),
                scale: scale.filter(|_| chosen.default_scale().is_some()),
                loss,
                dimension,
                epochs: epochs.filter(|_| chosen.has_steps()),
                batch: batch.filter(|_| chosen.has_steps()),
                rate: rate.filter(|_| chosen.has_steps()),
                seed,
                validation,
                balance,
                trunk,
                augment: augment.filter(|_| trunk),
                scaleup: scaleup.filter(|scaleup| trunk && scaleup.node.typed().is_none_or(|scaleup| *scaleup <= most)),
                gem: gem.filter(|_| trunk),
                from,
                flip,
            }))
        },
    )
}

fn clean() -> impl Strategy<Value = Statement> {
    let cut = prop_oneof![
        value(count()).prop_map(Cut::Top),
        value(prop_oneof![0.0..=1.0_f64, Just(0.0), Just(1.0), Just(1e-300)]).prop_map(Cut::Evidence),
    ];
    // An image must be able to have as many verified pairs as it needs: freq is at most nn and neighbours, and their defaults.
    let numbers = [50..=10_000_usize, 51..=1000, 3..=1000, 1..=50].map(|range| optional(value(range)));
    let rule = optional(prop::sample::select(Rule::ALL.to_vec()));
    let action = optional(prop::sample::select(Action::ALL.to_vec()));
    (numbers, rule, optional(cut), action, any::<[bool; 2]>(), into()).prop_map(
        |([nn, neighbours, inliers, freq], rule, cut, action, [thumbnails, dry_run], (into, overwrite))| {
            // Neither rule takes what belongs to the other one.
            let suspects = rule.as_ref().is_some_and(|rule| rule.node == Rule::Suspects);
            let cut = cut.filter(|_| suspects);
            let action = action.filter(|action| suspects || !action.node.relabels());
            let [nn, neighbours, inliers, freq] =
                [nn, neighbours, inliers, freq].map(|number| number.filter(|_| !suspects));
            Statement::Clean(Box::new(Clean {
                nn,
                neighbours,
                inliers,
                freq,
                rule,
                cut,
                action,
                thumbnails: (thumbnails && !suspects).then(Span::default),
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

fn plain_statement() -> impl Strategy<Value = Statement> {
    prop_oneof![
        8 => search(),
        2 => (image(), optional(value(count())), optional(freshness()))
            .prop_map(|(image, k, freshness)| Statement::Predict { image, k, freshness }),
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
            Statement::Compact,
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
const CROSSING: &[&str] = &["limit-above-depth", "freq-above-neighbours", "scaleup-above-epochs"];

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
    let pieces: Vec<&str> = KEYWORDS.iter().copied().chain(symbols.split(' ')).chain(["\n", "rule suspects"]).collect();
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
