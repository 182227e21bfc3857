//! The wording of every diagnostic, in one place, so that all read alike: first the mistake, then what to write instead.
//!
//! The first argument of each `Diagnostic::new` is its code; `tests/diagnostics` has a file of that name for each.

mod search;

use std::fmt::Display;

use crate::ast::{Action, Cut, Flip, Loss, Role, Rule, Span, Spanned};
use crate::diagnostic::{Diagnostic, harmless};
use crate::limits::{DEFAULT_SUSPECTS, DEFAULT_TAU, MAX_CONDITIONS, MAX_TAU, MAX_TEXT_BYTES, MIN_TAU};
use crate::options::{self, LOSS, Part};
use crate::print::{interval, quoted};
use crate::value::{Binding, Parameter, Takes, Value};
use crate::words::{self, STATEMENTS};

pub(crate) use search::{
    augment_and_ef, augment_and_order, collapse_too_deep, distractors_of_one, exact_and_ef, freshness_twice,
    graph_of_index, k2_above_k1, lag_range, limit_above_depth, missing_comma, not_of_method, order_twice,
    outside_method, outside_rerank, repeated_column, stale_form, unknown_column, unknown_field, unknown_scope,
    unknown_split, verify_above_depth,
};

/// Messages cut longer pieces of the input.
const SHOWN_CHARACTERS: usize = 40;

/// A piece of the input, safe and short enough for a message.
pub(crate) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN_CHARACTERS).map(harmless).collect();
    if text.chars().nth(SHOWN_CHARACTERS).is_some() {
        short.push('…');
    }
    short
}

fn list(names: impl IntoIterator<Item = &'static str>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// `did you mean X?`, or the general help.
fn did_you_mean(word: &str, known: &[&str], otherwise: impl FnOnce() -> String) -> String {
    words::meant(word, known).map_or_else(otherwise, |meant| format!("did you mean {meant}?"))
}

// The text as a whole.

pub(crate) fn text_too_long(span: Span) -> Diagnostic {
    Diagnostic::new(
        "text-too-long",
        span,
        format!("the text has more than {MAX_TEXT_BYTES} bytes"),
        "bind large vectors as parameters and run long scripts in parts",
    )
}

pub(crate) fn no_statement() -> Diagnostic {
    Diagnostic::new(
        "no-statement",
        Span::default(),
        "no statement found",
        "for example: SEARCH 'photo.jpg' K 100 RERANK k=3 tau=0.6",
    )
}

pub(crate) fn too_many_errors(span: Span) -> Diagnostic {
    Diagnostic::new(
        "too-many-errors",
        span,
        "too many errors; the parser stopped here",
        "check that this text is in the query language",
    )
}

// Characters.

pub(crate) fn unterminated_text(span: Span) -> Diagnostic {
    Diagnostic::new(
        "unterminated-text",
        span,
        "this quote is not closed",
        "close it with a single quote; a quote inside is doubled: 'it''s'",
    )
}

pub(crate) fn wrong_quotes(span: Span, content: &str) -> Diagnostic {
    Diagnostic::new("wrong-quotes", span, "text needs single quotes", format!("write {}", quoted(&shown(content))))
}

pub(crate) fn stray_character(span: Span, character: char) -> Diagnostic {
    Diagnostic::new(
        "stray-character",
        span,
        format!("unexpected character '{}'", harmless(character)),
        "put text in single quotes: '..'; comments start with --",
    )
}

pub(crate) fn parameter_form(span: Span, typed: &str) -> Diagnostic {
    let help = if typed.chars().all(|character| character.is_ascii_digit()) {
        "the first one is $1".to_owned()
    } else {
        format!("a named parameter is written without $: {}", shown(typed))
    };
    Diagnostic::new("parameter-form", span, "a parameter is $ and its position, counted from 1", help)
}

// Statements and clauses.

/// The general one: something is missing, or there is something else in its place.
pub(crate) fn expected(span: Span, what: &str, found: Option<String>, help: impl Into<String>) -> Diagnostic {
    let message = match found {
        None => format!("{what} is missing"),
        Some(found) => format!("expected {what}, found {found}"),
    };
    Diagnostic::new("expected", span, message, help)
}

pub(crate) fn unexpected(span: Span, found: &str, after: &str) -> Diagnostic {
    Diagnostic::new("unexpected", span, format!("{found} cannot follow {after}"), form(after))
}

/// The form of a statement, for the help.
fn form(statement: &str) -> String {
    let form = match statement {
        "SEARCH" => return format!("one image, then any of {}", words::CLAUSES.join(", ")),
        "PREDICT" => "PREDICT 'photo.jpg' k=3, with FRESH, SINCE SEQ 5 or STALE <= 5s",
        "RECOGNIZE" => return format!("one image, then any of {}", words::RECOGNIZE_CLAUSES.join(", ")),
        "PUT" => "PUT ID 'a' 'photo.jpg' AS train LABEL 'x', with OVERWRITE to replace 'a'",
        "DELETE" => "DELETE ID 'a'",
        "LABEL" => "LABEL ID 'a' AS 'x'",
        "UNLABEL" => "UNLABEL ID 'a'",
        "FLUSH" => "FLUSH",
        "COMPACT" => "COMPACT or COMPACT NEIGHBOURS",
        "CHECK" => "CHECK or CHECK DEEP",
        "BACKUP" => BACKUP_FORMS,
        "TRAIN" => return format!("TRAIN alone, or with any of {}", options::names(&options::TRAIN).join(", ")),
        "CLEAN" => return format!("CLEAN alone, or with any of {}", options::names(&options::CLEAN).join(", ")),
        "UNDO" => "UNDO CLEAN or UNDO LABEL",
        "REEMBED" => "REEMBED or REEMBED FROM 'model.safetensors'",
        "USE" => "USE MODEL 2",
        "DROP" => "DROP MODEL 1",
        _ => return format!("the forms are {}", show_forms()),
    };
    format!("the full form is {form}")
}

/// The forms of BACKUP, for the help.
pub(crate) const BACKUP_FORMS: &str =
    "BACKUP TO 'folder', BACKUP VERIFY 'folder' or BACKUP RESTORE 'folder' TO 'folder'";

fn show_form(shown: &str) -> String {
    let number = if shown == "CLEAN" { " 1" } else { "" };
    format!("SHOW {shown}{number}")
}

/// The forms of SHOW, for the help.
pub(crate) fn show_forms() -> String {
    let forms: Vec<String> = words::SHOWN.iter().map(|shown| show_form(shown)).collect();
    match forms.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => forms.concat(),
    }
}

pub(crate) fn unknown_statement(span: Span, word: &str) -> Diagnostic {
    let help = match word.to_ascii_uppercase().as_str() {
        "VERIFY" => "write BACKUP VERIFY 'folder'".to_owned(),
        "RESTORE" => "write BACKUP RESTORE 'folder' TO 'folder'".to_owned(),
        _ => did_you_mean(word, STATEMENTS, || format!("statements are {}", STATEMENTS.join(", "))),
    };
    Diagnostic::new("unknown-statement", span, format!("{} is not a statement", shown(word)), help)
}

pub(crate) fn not_in_this_version(span: Span, word: &str, help: impl Into<String>) -> Diagnostic {
    Diagnostic::new(
        "not-in-this-version",
        span,
        format!("{} is not supported in this version", word.to_ascii_uppercase()),
        help,
    )
}

pub(crate) fn missing_semicolon(span: Span, word: &str) -> Diagnostic {
    let word = word.to_ascii_uppercase();
    let message = format!("{word} starts another statement");
    Diagnostic::new("missing-semicolon", span, message, "put ; between two statements")
}

/// TRAIN inside a SEARCH: half of a clause, or a statement that changes the model.
pub(crate) fn train_in_search(span: Span) -> Diagnostic {
    let help = "write RERANK AUGMENT TRAIN to let augmented train images vote; the statement TRAIN, which learns a model, needs ; before it";
    Diagnostic::new("missing-semicolon", span, "TRAIN is no clause of SEARCH", help)
}

pub(crate) fn unknown_clause(span: Span, word: &str, statement: &str, clauses: &[&str]) -> Diagnostic {
    let place = if matches!(statement, "SEARCH" | "RECOGNIZE" | "PUT") { "the image" } else { statement };
    let help = did_you_mean(word, clauses, || format!("after {place}: {}", clauses.join(", ")));
    Diagnostic::new("unknown-clause", span, format!("{statement} has no clause {}", shown(word)), help)
}

pub(crate) fn repeated_clause(span: Span, clause: &str) -> Diagnostic {
    Diagnostic::new("repeated-clause", span, format!("{clause} was given before"), "write each clause at most once")
}

pub(crate) fn explain_explain(span: Span) -> Diagnostic {
    Diagnostic::new(
        "explain-explain",
        span,
        "EXPLAIN cannot explain itself",
        "one EXPLAIN is enough, for example EXPLAIN ANALYZE SEARCH img",
    )
}

// Images, keys and text.

pub(crate) fn missing_quotes(span: Span, typed: &str, help: impl Into<String>) -> Diagnostic {
    Diagnostic::new("missing-quotes", span, format!("{} needs single quotes", shown(typed)), help)
}

pub(crate) fn reserved_name(span: Span, word: &str) -> Diagnostic {
    Diagnostic::new(
        "reserved-name",
        span,
        format!("expected an image, found the word {}", word.to_ascii_uppercase()),
        format!("a photo: 'photo.jpg'; an image with this key: ID {}", quoted(word)),
    )
}

pub(crate) fn key_without_id(span: Span, typed: &str, example: &str) -> Diagnostic {
    Diagnostic::new(
        "key-without-id",
        span,
        "the word ID is missing before the key",
        format!("write {}", example.replace("{}", &quoted(&shown(typed)))),
    )
}

pub(crate) fn empty_text(span: Span, what: &str) -> Diagnostic {
    Diagnostic::new(
        "empty-text",
        span,
        format!("{what} must not be empty"),
        "put at least one character between the quotes",
    )
}

pub(crate) fn put_source(span: Span) -> Diagnostic {
    Diagnostic::new(
        "put-source",
        span,
        "PUT takes one new image",
        "a photo: 'photo.jpg'; a bound parameter: $1 or its name; a descriptor: VECTOR [0.1, 0.2]",
    )
}

// Numbers.

pub(crate) fn not_whole(span: Span, what: &str, example: &str) -> Diagnostic {
    Diagnostic::new(
        "not-whole",
        span,
        format!("{what} must be a whole number"),
        format!("write it in digits, for example {example}"),
    )
}

pub(crate) fn too_small(span: Span, what: &str, least: impl Display, example: &str) -> Diagnostic {
    Diagnostic::new("too-small", span, format!("{what} must be at least {least}"), format!("for example {example}"))
}

pub(crate) fn too_large(span: Span, what: &str, most: impl Display) -> Diagnostic {
    Diagnostic::new("too-large", span, format!("{what} must be at most {most}"), "write a smaller number")
}

pub(crate) fn conditions_too_many(span: Span) -> Diagnostic {
    let help = "a search tests each condition on each row; remove redundant ones, or use LIKE";
    Diagnostic::new("too-large", span, format!("WHERE takes at most {MAX_CONDITIONS} conditions"), help)
}

pub(crate) fn equals_forbidden(span: Span, what: &str, number: &str) -> Diagnostic {
    let help = if what == "K" {
        "the depth of the search: K 100; the voters of re-ranking: k=3, right after RERANK".to_owned()
    } else {
        format!("write {what} {number}")
    };
    Diagnostic::new("equals-forbidden", span, format!("{what} is written without ="), help)
}

/// It refuses `RERANK k 3` and `RERANK K 100` alike: case does not matter, and a depth of 3 would surprise.
pub(crate) fn equals_missing(span: Span, what: &str, example: &str) -> Diagnostic {
    let help = match what {
        "k of RERANK" => "the voters of re-ranking: k=3; the depth of the search: K 100, before RERANK".to_owned(),
        _ => format!("write {example}"),
    };
    Diagnostic::new("equals-missing", span, format!("{what} is written with ="), help)
}

pub(crate) fn tau_range(span: Span) -> Diagnostic {
    Diagnostic::new(
        "tau-range",
        span,
        format!("tau must be in [{MIN_TAU}, {MAX_TAU}], the range of a sum of two scores"),
        format!("the paper's value is tau={DEFAULT_TAU}"),
    )
}

/// `must` completes "the number must": `be in [0, 1]`.
pub(crate) fn number_range(span: Span, what: &str, must: &str, example: &str) -> Diagnostic {
    Diagnostic::new("number-range", span, format!("{what} must {must}"), format!("for example {example}"))
}

pub(crate) fn not_finite(span: Span, what: &str, help: &str) -> Diagnostic {
    Diagnostic::new("not-finite", span, format!("{what} must be a finite number"), help)
}

pub(crate) fn vector_empty(span: Span) -> Diagnostic {
    Diagnostic::new("vector-empty", span, "a VECTOR must have values", "write one for each dimension of the database")
}

pub(crate) fn vector_zero(span: Span) -> Diagnostic {
    Diagnostic::new(
        "vector-zero",
        span,
        "VECTOR must not be all zeros",
        "similarity is a cosine, which a zero vector does not have",
    )
}

pub(crate) fn unknown_role(span: Span, word: &str) -> Diagnostic {
    let known = Role::ALL.map(Role::name);
    let help = did_you_mean(word, &known, || "write AS train LABEL 'x', or AS index".to_owned());
    Diagnostic::new("unknown-role", span, format!("{} is not a role", shown(word)), help)
}

pub(crate) fn train_without_label(span: Span) -> Diagnostic {
    Diagnostic::new("train-without-label", span, "a train image needs a label", "add LABEL 'x', or write AS index")
}

pub(crate) fn index_with_label(span: Span) -> Diagnostic {
    Diagnostic::new(
        "index-with-label",
        span,
        "an index image has no label",
        "its instance is predicted; write AS train, or leave LABEL out",
    )
}

pub(crate) fn unknown_show(span: Span, word: &str) -> Diagnostic {
    let help = did_you_mean(word, words::SHOWN, || format!("write {}", show_forms()));
    Diagnostic::new("unknown-show", span, format!("SHOW cannot show {}", shown(word)), help)
}

// Options and clauses of TRAIN and CLEAN.

/// The name of the value after the `=` of an option that takes words, and the help that lists them.
pub(crate) fn choice(part: &Part, words: &[&'static str]) -> (String, String) {
    let all = list(words.iter().copied());
    if *part == LOSS {
        return ("a loss".to_owned(), format!("losses are {all}"));
    }
    (format!("a value of {}", part.name), format!("it is one of {all}"))
}

/// `words`: the values of the option.
pub(crate) fn unknown_choice(span: Span, word: &str, part: &Part, words: &[&'static str]) -> Diagnostic {
    if *part == LOSS {
        let help = did_you_mean(word, words, || choice(part, words).1);
        return Diagnostic::new("unknown-loss", span, format!("there is no loss called {}", shown(word)), help);
    }
    let name = part.name;
    let help = did_you_mean(word, words, || format!("{name} is one of {}", list(words.iter().copied())));
    Diagnostic::new("unknown-choice", span, format!("{name} cannot be {}", shown(word)), help)
}

/// `chosen` is the place of the loss, unless the loss is the default.
pub(crate) fn not_of_loss(span: Span, part: &Part, loss: Loss, chosen: Option<Span>) -> Diagnostic {
    let name = part.name;
    let others = list(Loss::ALL.into_iter().filter(|loss| part.suits(*loss)).map(Loss::name));
    let message = format!("the loss {} takes no {name}", loss.name());
    Diagnostic::new("not-of-loss", span, message, format!("leave {name} out, or use one of {others}"))
        .with_other(chosen)
}

pub(crate) fn only_with_trunk(span: Span, option: &str) -> Diagnostic {
    let message = format!("{option} needs TRUNK");
    Diagnostic::new("only-with-trunk", span, message, format!("write TRAIN TRUNK, or leave {option} out"))
}

pub(crate) fn scaleup_above_epochs(span: Span, scaleup: usize, epochs: usize, given: Option<Span>) -> Diagnostic {
    let message = format!("scaleup={scaleup} is more than the number of epochs, {epochs}");
    Diagnostic::new("scaleup-above-epochs", span, message, format!("write scaleup={epochs} or less, or more epochs"))
        .with_other(given)
}

pub(crate) fn no_loss_of_a_trunk(span: Span, loss: Loss) -> Diagnostic {
    let losses = list(Loss::ALL.into_iter().filter(|loss| loss.has_steps()).map(Loss::name));
    let message = format!("the loss {} is solved in closed form and cannot train a whole network", loss.name());
    Diagnostic::new("not-of-loss", span, message, format!("leave TRUNK out, or use one of {losses}"))
}

/// Two clauses of which a statement takes one: the same clause twice, or clauses that exclude each other. It shows both places.
fn one_of_two(span: Span, clause: &str, before: &str, given: Span, help: &str) -> Diagnostic {
    let message = if clause == before {
        format!("{clause} was given before")
    } else {
        format!("{before} and {clause} exclude each other")
    };
    Diagnostic::new("one-of-two", span, message, help).with_other(Some(given))
}

pub(crate) fn flip_twice(flip: &Spanned<Flip>, given: &Spanned<Flip>) -> Diagnostic {
    let name = |flip: Flip| if flip == Flip::Never { "DRY RUN" } else { "FORCE" };
    let help = "keep one: FORCE always makes the new model active, DRY RUN never";
    one_of_two(flip.span, name(flip.node), name(given.node), given.span, help)
}

pub(crate) fn cut_twice(span: Span, name: &str, given: &Spanned<Cut<Value<usize>, Value<f64>>>) -> Diagnostic {
    let help = "keep one: top=20 takes the 20 most suspect images, evidence=0.9 those with at least this evidence";
    one_of_two(span, name, given.node.name(), given.span, help)
}

pub(crate) fn action_twice(action: &Spanned<Action>, given: &Spanned<Action>) -> Diagnostic {
    let help = "keep one: KEEP VOTERS only marks images, UNLABEL removes their labels, RELABEL gives them other labels";
    one_of_two(action.span, action.node.name(), given.node.name(), given.span, help)
}

pub(crate) fn unknown_rule(span: Span, word: &str) -> Diagnostic {
    let help = did_you_mean(word, &Rule::ALL.map(Rule::name), || "write RULE paper or RULE suspects".to_owned());
    Diagnostic::new("unknown-rule", span, format!("there is no rule called {}", shown(word)), help)
}

/// `rule` is the place of the rule, unless the rule is the default.
pub(crate) fn only_of_suspects(span: Span, what: &str, rule: Option<Span>) -> Diagnostic {
    let help = format!("write RULE suspects top={DEFAULT_SUSPECTS} RELABEL");
    Diagnostic::new("only-of-suspects", span, format!("{what} belongs to RULE suspects"), help).with_other(rule)
}

pub(crate) fn only_of_paper(span: Span, name: &str, rule: Option<Span>) -> Diagnostic {
    let help = format!("RULE suspects compares no local features: leave {name} out, or write RULE paper");
    Diagnostic::new("only-of-paper", span, format!("{name} belongs to RULE paper"), help).with_other(rule)
}

pub(crate) fn freq_above_neighbours(span: Span, freq: usize, compared: usize) -> Diagnostic {
    Diagnostic::new(
        "freq-above-neighbours",
        span,
        format!("no image can have freq={freq} verified pairs: CLEAN compares it with at most {compared} others"),
        "CLEAN would find every image: write a smaller freq, or larger nn and neighbours (the image itself counts)",
    )
}

// Names.

pub(crate) fn unbound_parameter(span: Span, number: usize, bound: usize) -> Diagnostic {
    let help = match bound {
        0 => "no positional parameter is bound".to_owned(),
        1 => "one positional parameter is bound: $1".to_owned(),
        _ => format!("{bound} positional parameters are bound: $1 to ${bound}"),
    };
    Diagnostic::new("unbound-parameter", span, format!("${number} is not bound"), help)
}

/// The value that is bound to a parameter, for a message.
fn bound_to(bound: &Binding) -> String {
    match bound {
        Binding::Image => "a descriptor or a photo".to_owned(),
        Binding::Key(key) => format!("the key {}", quoted(&shown(key))),
        Binding::Text(text) => format!("the text {}", quoted(&shown(text))),
        Binding::Whole(number) => format!("{number}"),
        Binding::Number(number) => format!("{number:?}"),
    }
}

pub(crate) fn parameter_value(span: Span, parameter: &Parameter, bound: &Binding) -> Diagnostic {
    let Parameter { number, what, takes } = parameter;
    let must = match takes {
        Takes::Text | Takes::Key => "be a non-empty text".to_owned(),
        Takes::AnyText | Takes::AnyKey => "be a text".to_owned(),
        Takes::Split => "be the text 'train' or 'index'".to_owned(),
        Takes::Whole { least, most: u64::MAX } => format!("be a whole number, at least {least}"),
        Takes::Whole { least, most } => format!("be a whole number from {least} to {most}"),
        Takes::Number(range) => format!("be a number and {}", interval(*range)),
    };
    let message = format!("${number} stands for {what} and must {must}, not {}", bound_to(bound));
    Diagnostic::new("parameter-value", span, message, format!("bind another value to ${number}"))
}

pub(crate) fn parameter_no_image(span: Span, number: usize, bound: &Binding) -> Diagnostic {
    let message =
        format!("${number} stands for an image and must be a descriptor, a photo or a key, not {}", bound_to(bound));
    Diagnostic::new("parameter-value", span, message, format!("bind another value to ${number}"))
}

pub(crate) fn unbound_name(span: Span, name: &str) -> Diagnostic {
    Diagnostic::new(
        "unbound-name",
        span,
        format!("no parameter {} is bound", shown(name)),
        format!("PUT takes a new image: bind {0}, or name a photo: '{0}.jpg'", shown(name)),
    )
}
