//! The outcomes of statements, as tables and lines.

use std::io::Write;

use cairn::reports::{Answers, CheckReport, SegmentInfo, Table};
use cairn::{Column, Field, Outcome, Prediction, Scope};

use super::cell::Cell;
use super::cleaning::print_cleaning;
use super::escape::{visible, visible_lines};
use super::labelled::print_labelled;
use super::printer::{Format, Printer};
use super::receipt::print_receipt;
use super::recognised::{compared, print_recognitions};
use super::words::{role_word, waiting, yes_or_no};
use crate::failure::Result;
use crate::terminal::note;

/// The name of a column, as in RETURN and in headers.
fn word(column: Column) -> &'static str {
    match column {
        Column::Query => "query",
        Column::Rank => "rank",
        Column::Id => "id",
        Column::Similarity => "similarity",
        Column::Instance => "instance",
        Column::InstanceScore => "instance_score",
        Column::Stage => "stage",
        Column::Label => "label",
        Column::Split => "split",
        Column::Path => "path",
        Column::Score => "score",
        Column::Copies => "copies",
        Column::Inliers => "inliers",
    }
}

/// Writes the outcome of a statement.
///
/// # Errors
/// When the output cannot be written.
pub(crate) fn print_outcome(out: &mut dyn Write, format: Format, outcome: &Outcome) -> Result<()> {
    match outcome {
        Outcome::Answers(answers) => print_answers(out, format, answers),
        Outcome::Prediction { name, prediction } => print_predictions(out, format, &[(name.as_str(), prediction)]),
        Outcome::Recognitions(found) => print_recognitions(out, format, found, true),
        Outcome::Written(receipt) => print_receipt(out, format, receipt),
        Outcome::Labelled(labelled) => print_labelled(out, format, labelled),
        Outcome::Status(status) => print_lines(out, format, &status.lines()),
        Outcome::Report(report) => print_lines(out, format, &report.lines),
        Outcome::Labels(labels) => {
            let mut printer = Printer::begin(out, format, &["label", "train_images"])?;
            for (label, count) in labels {
                printer.row(vec![Cell::Text(label.clone()), Cell::Whole(*count as u64)])?;
            }
            Ok(printer.end()?)
        }
        Outcome::Segments(segments) => print_segments(out, format, segments),
        Outcome::Checked(report) => print_report(out, format, report),
        Outcome::Cleaned(cleaning) => print_cleaning(out, format, cleaning, true),
        Outcome::Table(table) => print_table(out, format, table),
        Outcome::Done(text) if format.is_for_people() => Ok(writeln!(out, "{}", visible_lines(text))?),
        Outcome::Done(text) => {
            let mut printer = Printer::begin(out, format, &["done"])?;
            printer.row(vec![Cell::Text(text.clone())])?;
            Ok(printer.end()?)
        }
        Outcome::Explained(text) if format == Format::Table => Ok(writeln!(out, "{}", visible_lines(text.trim_end()))?),
        Outcome::Explained(text) => {
            let mut printer = Printer::begin(out, format, &["plan"])?;
            for line in text.trim_end().lines() {
                printer.row(vec![Cell::Text(line.to_owned())])?;
            }
            Ok(printer.end()?)
        }
        // Of a later engine.
        other => Ok(writeln!(out, "{}", visible_lines(&format!("{other:?}")))?),
    }
}

fn print_lines(out: &mut dyn Write, format: Format, lines: &[(String, String)]) -> Result<()> {
    let mut printer = Printer::begin(out, format, &["name", "value"])?;
    for (name, value) in lines {
        printer.row(vec![Cell::Text(name.clone()), Cell::Text(value.clone())])?;
    }
    Ok(printer.end()?)
}

fn print_table(out: &mut dyn Write, format: Format, table: &Table) -> Result<()> {
    let columns: Vec<&str> = table.columns.iter().map(String::as_str).collect();
    let mut printer = Printer::begin(out, format, &columns)?;
    for row in &table.rows {
        printer.row(row.iter().map(|cell| Cell::Text(cell.clone())).collect())?;
    }
    Ok(printer.end()?)
}

fn print_segments(out: &mut dyn Write, format: Format, segments: &[SegmentInfo]) -> Result<()> {
    let columns = ["segment", "role", "rows", "live", "bytes", "graph", "problem"];
    let mut printer = Printer::begin(out, format, &columns)?;
    for segment in segments {
        printer.row(vec![
            Cell::Whole(segment.number),
            Cell::Text(role_word(segment.role).to_owned()),
            Cell::Whole(segment.rows as u64),
            Cell::Whole(segment.live as u64),
            Cell::Whole(segment.bytes),
            yes_or_no(segment.graph),
            Cell::text(segment.problem.as_deref()),
        ])?;
    }
    Ok(printer.end()?)
}

/// People get the checked items and then the problems, one per line; programs get rows of both kinds.
fn print_report(out: &mut dyn Write, format: Format, report: &CheckReport) -> Result<()> {
    if format.is_for_people() {
        let mut printer = Printer::begin(out, format, &["checked", "count"])?;
        for (what, count) in &report.checked {
            printer.row(vec![Cell::Text(what.clone()), Cell::Whole(*count)])?;
        }
        printer.end()?;
        for problem in &report.problems {
            writeln!(out, "problem: {}", visible(&problem.message))?;
        }
        if report.problems.is_empty() {
            writeln!(out, "no problems")?;
        }
        return Ok(());
    }
    let mut printer = Printer::begin(out, format, &["kind", "text", "count"])?;
    for (what, count) in &report.checked {
        printer.row(vec![Cell::Text("checked".to_owned()), Cell::Text(what.clone()), Cell::Whole(*count)])?;
    }
    for problem in &report.problems {
        printer.row(vec![Cell::Text("problem".to_owned()), Cell::Text(problem.message.clone()), Cell::Nothing])?;
    }
    Ok(printer.end()?)
}

/// Writes the votes of several images: a sentence each for people, and one table of all voters. An image without voters has one
/// row without a voter.
///
/// # Errors
/// When the output cannot be written.
pub(crate) fn print_predictions(
    out: &mut dyn Write,
    format: Format,
    predictions: &[(&str, &Prediction)],
) -> Result<()> {
    if format.is_for_people() {
        for (name, prediction) in predictions {
            match &prediction.vote {
                Some(vote) => writeln!(out, "{}: {} ({:.4})", visible(name), visible(&vote.instance), vote.score)?,
                None => writeln!(out, "{}: no prediction, the database has no train images", visible(name))?,
            }
        }
    }
    let columns = ["image", "instance", "score", "rank", "voter", "label", "similarity"];
    let mut printer = Printer::begin(out, format, &columns)?;
    for (name, Prediction { vote, voters, .. }) in predictions {
        let image = || Cell::Text((*name).to_owned());
        let instance = || Cell::text(vote.as_ref().map(|vote| &vote.instance));
        let score = || vote.as_ref().map_or(Cell::Nothing, |vote| Cell::Number(vote.score));
        if voters.is_empty() {
            printer.row(vec![
                image(),
                instance(),
                score(),
                Cell::Nothing,
                Cell::Nothing,
                Cell::Nothing,
                Cell::Nothing,
            ])?;
            continue;
        }
        for (rank, voter) in voters.iter().enumerate() {
            printer.row(vec![
                image(),
                instance(),
                score(),
                Cell::Whole(rank as u64 + 1),
                Cell::Text(voter.key.clone()),
                Cell::Text(voter.label.clone()),
                Cell::Number(voter.similarity),
            ])?;
        }
    }
    Ok(printer.end()?)
}

fn print_answers(out: &mut dyn Write, format: Format, answers: &Answers) -> Result<()> {
    let columns = &answers.plan.columns;
    let words: Vec<&str> = columns.iter().map(|&column| word(column)).collect();
    let one = answers.answers.len() == 1;
    let mut printer = Printer::begin(out, format, &words)?;
    for (asked, answer) in answers.asked.iter().zip(&answers.answers) {
        for (rank, row) in answer.rows.iter().enumerate() {
            let cells = columns.iter().map(|column| match column {
                Column::Query => Cell::Whole(asked.number as u64),
                Column::Rank => Cell::Whole(rank as u64 + 1),
                Column::Id => Cell::Text(row.id.clone()),
                Column::Similarity => Cell::Number(row.similarity),
                Column::Instance => Cell::text(row.prediction.as_ref().map(|vote| &vote.instance)),
                Column::InstanceScore => row.prediction.as_ref().map_or(Cell::Nothing, |vote| Cell::Number(vote.score)),
                Column::Stage => Cell::text(row.stage.map(cairn::Stage::word)),
                Column::Label => Cell::text(row.label.clone()),
                Column::Split => Cell::Text(role_word(row.split).to_owned()),
                Column::Path => Cell::text(row.path.clone()),
                Column::Score => row.score.map_or(Cell::Nothing, Cell::Number),
                Column::Copies => Cell::Whole(row.copies as u64),
                Column::Inliers => row.inliers.map_or(Cell::Nothing, |count| Cell::Whole(u64::from(count))),
            });
            printer.row(cells.collect())?;
        }
    }
    printer.end()?;
    let request = &answers.plan.request;
    let lag = answers.answers.first().map_or(0, |answer| answer.lag);
    if lag > 0 && format.is_for_people() {
        note(&format!("note: {} deferred and not in this answer; FRESH waits for them", waiting(lag)));
    }
    if let Some(verification) = &answers.verification {
        let mut rows = answers.answers.iter().flat_map(|answer| &answer.rows).peekable();
        if rows.peek().is_some() && rows.all(|row| row.inliers.is_none()) {
            note("note: no image could be compared, so the order is the plain one");
        }
        compared(verification).iter().for_each(|line| note(&format!("note: {}", visible(line))));
    }
    let empty = answers.answers.iter().all(|answer| answer.rows.is_empty());
    if empty && request.scope == Scope::Index && request.filter.iter().any(|condition| condition.field == Field::Label)
    {
        note("note: index images have no label; filter them by instance, or search IN train or IN all");
    }
    let nobody_voted = answers.answers.iter().all(|answer| answer.prediction.is_none());
    if request.rerank.is_some() && nobody_voted && !answers.answers.is_empty() {
        note("note: there are no train images to vote: no row is positive or inserted");
    }
    if format == Format::Table && one {
        // The query's vote decides what the second stage does with every row.
        if let Some(vote) = answers.answers.first().and_then(|answer| answer.prediction.as_ref()) {
            writeln!(out, "predicted instance: {} (score {:.4})", visible(&vote.instance), vote.score)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cairn::reports::{Part, Problem};

    use super::*;

    fn printed(print: impl Fn(&mut dyn Write) -> Result<()>) -> String {
        let mut out = Vec::new();
        print(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_report_names_what_was_looked_at_and_every_problem() {
        let sound = {
            let mut report = CheckReport::default();
            report.checked = vec![("images".to_owned(), 7)];
            report
        };
        let broken = {
            let mut report = sound.clone();
            report.problems = vec![Problem::new(Part::Segment, "segment 3 is\tmissing")];
            report
        };
        let table = |report| printed(|out| print_report(out, Format::Table, report));
        assert!(table(&sound).contains("images") && table(&sound).ends_with("no problems\n"));
        assert!(table(&broken).ends_with("problem: segment 3 is\\tmissing\n"));
        let csv = printed(|out| print_report(out, Format::Csv, &broken));
        assert_eq!(csv, "kind,text,count\nchecked,images,7\nproblem,segment 3 is\tmissing,\n");
    }

    #[test]
    fn a_table_is_the_same_cells_in_every_format() {
        let words = |list: &[&str]| list.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let table = Table::new(words(&["model", "in_force"]), vec![words(&["1", "yes"]), words(&["2", "no"])]);
        let text = |format| printed(|out| print_table(out, format, &table));
        assert_eq!(text(Format::Csv), "model,in_force\n1,yes\n2,no\n");
        assert_eq!(
            text(Format::Jsonl),
            "{\"model\":\"1\",\"in_force\":\"yes\"}\n{\"model\":\"2\",\"in_force\":\"no\"}\n"
        );
        assert_eq!(text(Format::Markdown), "| model | in_force |\n| --- | --- |\n| 1 | yes |\n| 2 | no |\n\n");
    }
}
