//! The outcome of RECOGNIZE: for people a sentence for each query and the train images behind it, for programs a row for each image.

use std::io::Write;

use cairn::reports::{Asked, Recognitions, Verification};
use cairn::{Recognition, Verdict};

use super::cell::Cell;
use super::escape::visible;
use super::printer::{Format, Printer};
use super::words::waiting;
use crate::failure::Result;
use crate::terminal::note;

/// Writes recognitions. Without `rows`, people get only the sentences: a report shows the rest.
///
/// # Errors
/// When the output cannot be written.
pub(crate) fn print_recognitions(out: &mut dyn Write, format: Format, found: &Recognitions, rows: bool) -> Result<()> {
    let people = format.is_for_people();
    if people {
        for (asked, recognition) in found.asked.iter().zip(&found.recognitions) {
            writeln!(out, "{}: {}", visible(&asked.name), visible(&sentence(recognition)))?;
        }
    }
    if people && rows && found.recognitions.iter().any(|recognition| !recognition.images.is_empty()) {
        for_people(out, format, found)?;
    } else if !people {
        for_programs(out, format, found)?;
    }
    for line in notices(found) {
        note(&format!("note: {}", visible(&line)));
    }
    Ok(())
}

/// What a recognition says, with the terms of its score.
pub(crate) fn sentence(recognition: &Recognition) -> String {
    let Recognition { label, verdict, score, similarity_term, inlier_term, least, evidence, .. } = recognition;
    let label = label.as_deref().unwrap_or_default();
    let terms = match inlier_term {
        Some(inliers) => format!("similarity {similarity_term:.4} + inliers {inliers:.4}"),
        None => format!("similarity {similarity_term:.4}"),
    };
    match verdict {
        Verdict::Known => format!("{label} (score {score:.4}: {terms})"),
        Verdict::Unknown => {
            let least = least.unwrap_or_default();
            // A learnt threshold is of the similarity term.
            let what = if evidence < score { "similarity" } else { "score" };
            format!(
                "nothing known (the near train images elect {label}, but its {what} {evidence:.4} is below {least:.4}: {terms})"
            )
        }
        Verdict::Distractor => {
            let count = -score;
            format!("nothing known ({label} is elected for {count} queries, so it is no instance; {terms})")
        }
        _ => "nothing known: the database has no train images".to_owned(),
    }
}

/// What people must know of an answer besides its rows.
pub(crate) fn notices(found: &Recognitions) -> Vec<String> {
    let mut lines = Vec::new();
    let first = found.recognitions.iter().find(|one| one.verdict != Verdict::NoTrainImages);
    if first.is_some_and(|first| first.least.is_none()) {
        lines.push(
            "every label counts: the train images are too few, or too mixed, to teach a least score; MIN SCORE sets one".to_owned(),
        );
    }
    lines.extend(found.verification.as_ref().map(compared).unwrap_or_default());
    let lag = found.recognitions.first().map_or(0, |one| one.lag);
    if lag > 0 {
        lines.push(format!("{} deferred and not in this answer; FRESH waits for them", waiting(lag)));
    }
    lines
}

/// How photos were compared, and what could not be.
pub(super) fn compared(verification: &Verification) -> Vec<String> {
    let Verification { sights, unseen, unseen_queries, reasons, .. } = verification;
    let mut lines = Vec::new();
    if sights.all() > 0 {
        lines.push(sights.words());
    }
    lines.extend(sights.read.as_ref().map(|read| format!("photo files read: {read}")));
    let parts = [(*unseen_queries, "query", "queries"), (*unseen, "image", "images")];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, one, many)| format!("{count} {}", if *count == 1 { one } else { many }))
        .collect();
    if !parts.is_empty() {
        let reasons: Vec<String> = reasons.iter().map(|(name, why)| format!("{name}: {why}")).collect();
        lines.push(format!(
            "not compared, so only similarity counts: {} ({})",
            parts.join(" and "),
            reasons.join("; ")
        ));
    }
    lines
}

/// The train images; with a column for the query if there are several.
fn for_people(out: &mut dyn Write, format: Format, found: &Recognitions) -> Result<()> {
    let (many, verified) = (found.asked.len() > 1, found.plan.verify);
    let mut columns = if many { vec!["query"] } else { Vec::new() };
    columns.extend(["rank", "image", "image_label", "similarity"]);
    columns.extend(verified.then_some("inliers"));
    let mut printer = Printer::begin(out, format, &columns)?;
    for (asked, recognition) in found.asked.iter().zip(&found.recognitions) {
        for (at, image) in recognition.images.iter().enumerate() {
            let mut row = if many { vec![Cell::Whole(asked.number as u64)] } else { Vec::new() };
            row.extend([
                Cell::Whole(at as u64 + 1),
                Cell::Text(image.key.clone()),
                Cell::Text(image.label.clone()),
                Cell::Number(image.similarity),
            ]);
            row.extend(verified.then(|| whole(image.inliers)));
            printer.row(row)?;
        }
    }
    Ok(printer.end()?)
}

/// A row for each train image; a query without any has one row.
fn for_programs(out: &mut dyn Write, format: Format, found: &Recognitions) -> Result<()> {
    let columns = [
        "query",
        "label",
        "answer",
        "score",
        "similarity_term",
        "inlier_term",
        "rank",
        "image",
        "image_label",
        "similarity",
        "inliers",
    ];
    let mut printer = Printer::begin(out, format, &columns)?;
    for (asked, recognition) in found.asked.iter().zip(&found.recognitions) {
        let begin = beginning(asked, recognition);
        if recognition.images.is_empty() {
            printer.row([begin, vec![Cell::Nothing; 5]].concat())?;
            continue;
        }
        for (at, image) in recognition.images.iter().enumerate() {
            let rest = vec![
                Cell::Whole(at as u64 + 1),
                Cell::Text(image.key.clone()),
                Cell::Text(image.label.clone()),
                Cell::Number(image.similarity),
                whole(image.inliers),
            ];
            printer.row([begin.clone(), rest].concat())?;
        }
    }
    Ok(printer.end()?)
}

/// The cells that all rows of a query share.
fn beginning(asked: &Asked, recognition: &Recognition) -> Vec<Cell> {
    let number = |value: f64| if recognition.label.is_some() { Cell::Number(value as f32) } else { Cell::Nothing };
    vec![
        Cell::Whole(asked.number as u64),
        Cell::text(recognition.label.clone()),
        Cell::Text(recognition.verdict.words().to_owned()),
        number(recognition.score),
        number(recognition.similarity_term),
        recognition.inlier_term.map_or(Cell::Nothing, number),
    ]
}

fn whole(count: Option<u32>) -> Cell {
    count.map_or(Cell::Nothing, |count| Cell::Whole(u64::from(count)))
}
