//! The diagnostics of SEARCH and its clauses.

use super::{did_you_mean, list, one_of_two, shown};
use crate::ast::{Column, Field, Freshness, MethodClause, Role, Scope, Span, Spanned};
use crate::diagnostic::Diagnostic;
use crate::limits::{DEFAULT_DEPTH, MAX_COLLAPSED, MAX_LAG};
use crate::methods::{Method, SOURCES};
use crate::options::{self, Part};
use crate::print::{lag, quoted};
use crate::value::Value;

pub(crate) fn unknown_scope(span: Span, word: &str) -> Diagnostic {
    let known = Scope::ALL.map(Scope::name);
    let help = did_you_mean(word, &known, || format!("IN takes one of {}", list(known)));
    Diagnostic::new("unknown-scope", span, format!("IN does not take {}", shown(word)), help)
}

pub(crate) fn unknown_field(span: Span, word: &str) -> Diagnostic {
    let known = Field::ALL.map(Field::name);
    let help = did_you_mean(word, &known, || format!("fields are {}", list(known)));
    Diagnostic::new("unknown-field", span, format!("WHERE cannot use {}", shown(word)), help)
}

pub(crate) fn unknown_split(span: Span, value: &str) -> Diagnostic {
    let known = Role::ALL.map(Role::name);
    let help = did_you_mean(value, &known, || "write split = train or split = index".to_owned());
    Diagnostic::new("unknown-split", span, format!("no image has the split {}", quoted(&shown(value))), help)
}

pub(crate) fn exact_and_ef(span: Span) -> Diagnostic {
    Diagnostic::new(
        "exact-and-ef",
        span,
        "EXACT and EF exclude each other",
        "EXACT scores every row, EF 200 searches the graph: keep one",
    )
}

/// It shows both places: either clause may be the one to remove.
pub(crate) fn freshness_twice(span: Span, clause: &str, given: &Spanned<Freshness<Value<u64>>>) -> Diagnostic {
    let before = match given.node {
        Freshness::Since(_) => "SINCE",
        Freshness::Within(_) => "STALE",
        Freshness::Fresh | Freshness::AsIs => "FRESH",
    };
    let message = if before == clause {
        format!("{clause} was given before")
    } else {
        format!("{before} and {clause} exclude each other")
    };
    let help = "keep one: FRESH waits for the last write, SINCE SEQ 5 for write 5; STALE <= 5s accepts a lag";
    Diagnostic::new("freshness-twice", span, message, help).with_other(Some(given.span))
}

pub(crate) fn stale_form(span: Span, lag: &str) -> Diagnostic {
    Diagnostic::new("stale-form", span, "STALE needs <= and a lag", format!("write STALE <= {lag}"))
}

pub(crate) fn lag_range(span: Span, none: bool) -> Diagnostic {
    let help = if none { "for predictions without lag, write FRESH" } else { "to accept any lag, leave STALE out" };
    Diagnostic::new("lag-range", span, format!("the lag of STALE must be 1ms to {}", lag(MAX_LAG)), help)
}

pub(crate) fn outside_rerank(span: Span, word: &str) -> Diagnostic {
    Diagnostic::new(
        "outside-rerank",
        span,
        format!("{word} belongs to RERANK"),
        "put it right after RERANK: RERANK SORT INSERT k=3 tau=0.6",
    )
}

/// An option behind a method that does not take it, and that another method takes.
pub(crate) fn not_of_method(span: Span, option: &Part, method: Method) -> Diagnostic {
    let why = match method {
        Method::DiffuseTransductive if *option == SOURCES => {
            ": similarities spread from the query itself, which is an image of the graph"
        }
        _ => "",
    };
    let takes = |method: &Method| method.parts().contains(&option);
    let others = list(Method::ALL.into_iter().filter(takes).map(Method::name));
    let (name, own) = (method.name(), list(options::names(method.parts())));
    let help = format!("leave it out{why}; {name} takes {own}; {} belongs to {others}", option.name);
    Diagnostic::new("not-of-method", span, format!("{name} takes no {}", option.name), help)
}

/// A word of a method where a clause should start.
pub(crate) fn outside_method(span: Span, word: &str) -> Diagnostic {
    let word = word.to_ascii_uppercase();
    let with = Method::ALL.into_iter().filter(|method| method.name().ends_with(&format!(" {word}")));
    let forms: Vec<&str> = with.map(Method::name).collect();
    let message = format!("{word} belongs to a method");
    Diagnostic::new("outside-method", span, message, format!("write {}, its options behind it", forms.join(" or ")))
}

fn above_depth(clause: &str, number: usize, depth: Option<usize>) -> String {
    match depth {
        Some(depth) => format!("{clause} {number} is more than K {depth}"),
        None => format!("{clause} {number} is more than K, which is {DEFAULT_DEPTH} by default"),
    }
}

pub(crate) fn limit_above_depth(span: Span, limit: usize, depth: Option<usize>) -> Diagnostic {
    let help = format!("K rows are searched and LIMIT of them returned: write K {limit}, or leave LIMIT out");
    Diagnostic::new("limit-above-depth", span, above_depth("LIMIT", limit, depth), help)
}

pub(crate) fn verify_above_depth(span: Span, verified: usize, depth: Option<usize>) -> Diagnostic {
    let help = format!("K rows are searched and the first of them verified: write K {verified}, or a smaller VERIFY");
    Diagnostic::new("verify-above-depth", span, above_depth("VERIFY", verified, depth), help)
}

pub(crate) fn collapse_too_deep(span: Span, collapse: Span) -> Diagnostic {
    let help = "it compares each row with those before it; write a smaller K, or leave COLLAPSE out";
    Diagnostic::new("too-large", span, format!("K must be at most {MAX_COLLAPSED} with COLLAPSE"), help)
        .with_other(Some(collapse))
}

pub(crate) fn unknown_column(span: Span, word: &str) -> Diagnostic {
    let known = Column::ALL.map(Column::name);
    let help = did_you_mean(word, &known, || format!("columns are {}", list(known)));
    Diagnostic::new("unknown-column", span, format!("an answer has no column {}", shown(word)), help)
}

pub(crate) fn repeated_column(span: Span, column: Column) -> Diagnostic {
    Diagnostic::new(
        "repeated-column",
        span,
        format!("the column {} was named before", column.name()),
        "write each column at most once in RETURN",
    )
}

pub(crate) fn missing_comma(span: Span, what: &str) -> Diagnostic {
    Diagnostic::new("missing-comma", span, format!("a comma is missing between two {what}"), "put , before this one")
}

// Clauses of PUT, LABEL and SHOW.

pub(crate) fn order_twice(span: Span, word: &str, given: &Spanned<MethodClause>) -> Diagnostic {
    let help = "keep one: each of them decides the order of the images that were found";
    one_of_two(span, word, given.node.method.name(), given.span, help)
}

pub(crate) fn augment_and_order(span: Span, word: &str, augment: Span) -> Diagnostic {
    let help = "keep one: AUGMENT changes the descriptors that are compared, and the order comes from the stored ones; to expand the \
                query before the order, write EXPAND ALPHA";
    one_of_two(span, word, "AUGMENT", augment, help)
}

pub(crate) fn augment_and_ef(span: Span, augment: Span) -> Diagnostic {
    let help =
        "leave EF out: AUGMENT scores every row, because the graphs of segments have edges of the stored descriptors";
    one_of_two(span, "EF", "AUGMENT", augment, help)
}

pub(crate) fn graph_of_index(span: Span, method: &str, scope: Span) -> Diagnostic {
    let help = "leave IN out, or the method: only index images have a neighbour graph";
    Diagnostic::new("graph-of-index", span, format!("{method} takes index images"), help).with_other(Some(scope))
}

pub(crate) fn distractors_of_one(span: Span, image: Span) -> Diagnostic {
    let help = "name a file of queries: RECOGNIZE QUERIES 'queries.csv' DISTRACTORS 30; or leave DISTRACTORS out";
    Diagnostic::new("distractors-of-one", span, "DISTRACTORS compares the labels of many queries", help)
        .with_other(Some(image))
}

pub(crate) fn k2_above_k1(span: Span, k2: usize, k1: usize) -> Diagnostic {
    let help = format!("an image has {k1} nearest ones here: write a larger k1, or k2={} at most", k1 + 1);
    Diagnostic::new("k2-above-k1", span, format!("k2={k2} is more than k1={k1} and the image itself"), help)
}
