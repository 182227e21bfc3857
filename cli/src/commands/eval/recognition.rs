//! Recognition against known labels: the vote's and the paper's two rules, and predictions of a file.

use std::collections::{BTreeSet, HashSet};
use std::io::Write;

use cairn::eval::{Recognised, RecognitionTruth, global_average_precision, top_1};
use cairn::recognition::DISTRACTOR_FROM;
use cairn::reports::Asked;
use cairn::{Query, Recognition, RecognizeRequest, Snapshot};
use cairndb_query::MIN_TERM;

use crate::comparison::query_id;
use crate::failure::{Failure, Result};
use crate::output::{Cell, Format, Printer};
use crate::terminal::note;

/// Predictions under a name.
pub(super) type Rule = (String, Vec<Recognised>);

/// What the rules predict for each query with an id.
///
/// # Errors
/// When a search fails.
pub(super) fn predictions(snapshot: &Snapshot, asked: &[Asked], k: usize) -> Result<Vec<Rule>> {
    let named: Vec<(&str, &Query)> = asked.iter().filter_map(|asked| Some((query_id(asked)?, &asked.query))).collect();
    let mut votes = Vec::new();
    for &(id, query) in &named {
        if let Some(vote) = snapshot.predict(query, k)?.vote {
            votes.push(Recognised { query: id.to_owned(), label: vote.instance, score: f64::from(vote.score) });
        }
    }
    let queries: Vec<Query> = named.iter().map(|&(_, query)| query.clone()).collect();
    // GAP ranks every prediction, so none is too weak, and no threshold is learnt.
    let request = RecognizeRequest::new().distractors(DISTRACTOR_FROM);
    let request = request.least(MIN_TERM * request.n as f64);
    let found = snapshot.recognise(&request, &queries, None)?;
    let rule = |score: fn(&Recognition) -> f64| -> Vec<Recognised> {
        let one = |(&(id, _), found): (&(&str, &Query), &Recognition)| {
            Some(Recognised { query: id.to_owned(), label: found.label.clone()?, score: score(found) })
        };
        named.iter().zip(&found).filter_map(one).collect()
    };
    Ok(vec![
        (format!("soft vote, k={k}"), votes),
        (format!("2 cos - 1, {} nearest", request.n), rule(|found| found.similarity_term)),
        (format!("the same, labels of more than {DISTRACTOR_FROM} queries last"), rule(|found| found.score)),
    ])
}

/// Takes the labels of a query for one label if that is a known one: the column separates labels by spaces, and labels may have spaces.
pub(super) fn join_known(truth: &mut RecognitionTruth, is_known: impl Fn(&str) -> bool) {
    for labels in truth.values_mut().filter(|labels| labels.len() > 1) {
        let whole = labels.join(" ");
        if is_known(&whole) {
            *labels = vec![whole];
        }
    }
}

/// The labels of train images.
///
/// # Errors
/// A damaged catalog.
pub(super) fn stored_labels(snapshot: &Snapshot) -> Result<HashSet<String>> {
    Ok(snapshot.labels()?.into_iter().map(|(label, _)| label).collect())
}

/// Refuses known labels that no train image has.
///
/// # Errors
/// None of the labels has a train image, so every metric would be 0.
pub(super) fn must_be_stored(stored: &HashSet<String>, truth: &RecognitionTruth, name: &str) -> Result<()> {
    let shown: BTreeSet<&str> = truth.values().flatten().map(String::as_str).collect();
    let unknown: Vec<&str> = shown.iter().copied().filter(|label| !stored.contains(*label)).collect();
    let Some(first) = unknown.first() else { return Ok(()) };
    if unknown.len() == shown.len() {
        let has = stored.iter().min().map_or_else(
            || "the database has no train image".to_owned(),
            |label| format!("the database has '{label}'"),
        );
        return Err(Failure::new(format!("{name} names no label of a train image: it has '{first}', {has}"))
            .help("the column landmarks must have the labels that the train images were ingested with"));
    }
    note(&format!(
        "note: {} of the {} labels in {name} have no train image, such as '{first}'; they cannot be predicted",
        unknown.len(),
        shown.len()
    ));
    Ok(())
}

/// Prints GAP and top-1 of each rule. Predictions of queries that the known answers lack are left out.
///
/// # Errors
/// The output cannot be written; none of the queries is in the known answers.
pub(super) fn print(
    out: &mut dyn Write,
    format: Format,
    rules: Vec<Rule>,
    truth: &RecognitionTruth,
    (queries, answers): (&str, &str),
) -> Result<()> {
    if !rules.iter().flat_map(|(_, found)| found).any(|found| truth.contains_key(&found.query)) {
        return Err(Failure::new(format!("{answers} has none of the queries of {queries}"))
            .help("it must have the queries' ids: those of the list's id column, or of --query-ids for vectors"));
    }
    let labelled = truth.values().filter(|labels| !labels.is_empty()).count();
    let columns = ["method", "GAP", "GAP of labelled queries", "top-1", "queries", "labelled queries"];
    let mut printer = Printer::begin(out, format, &columns)?;
    let mut missing = 0;
    for (name, mut found) in rules {
        found.retain(|found| truth.contains_key(&found.query));
        missing = missing.max(truth.len() - found.len());
        let all = global_average_precision(&found, truth);
        let right = top_1(&found, truth);
        found.retain(|found| !truth[&found.query].is_empty());
        printer.row(vec![
            Cell::Text(name),
            Cell::Fixed(all * 100.0, 2),
            Cell::Fixed(global_average_precision(&found, truth) * 100.0, 2),
            Cell::Fixed(right * 100.0, 2),
            Cell::Whole(truth.len() as u64),
            Cell::Whole(labelled as u64),
        ])?;
    }
    printer.end()?;
    if missing > 0 {
        note(&format!("note: {missing} queries of {answers} have no prediction; they count as not recognised"));
    }
    Ok(())
}
