//! The result of a cleaning: for people what it did and the first rows, for programs every row.

use std::collections::BTreeMap;
use std::io::Write;

use cairn::clean::{Cleaning, Judged, Judgement, Sight, Sights};
use cairn::language::{Action, CleanRule};

use super::cell::Cell;
use super::escape::visible;
use super::printer::{Format, Printer};
use super::words::counted;
use crate::failure::Result;
use crate::terminal::note;

/// Number of images whose photo could not be read that people see, with the reason.
const NOT_COMPARED_SHOWN: usize = 3;
/// Why RELABEL leaves an image unchanged.
pub(crate) const WOULD_EMPTY: &str = "left: its label would have no image";
/// Number of rows that people see; programs and reports get all.
const SHOWN: usize = 50;

/// Writes the result of a cleaning. Without `rows`, people get only the lines of text: a report shows the rest.
///
/// # Errors
/// When the output cannot be written.
pub(crate) fn print_cleaning(out: &mut dyn Write, format: Format, cleaning: &Cleaning, rows: bool) -> Result<()> {
    let mut found: Vec<&Judged> = cleaning.judged.iter().filter(|judged| judged.judgement.is_found()).collect();
    if !format.is_for_people() {
        if let Some(sights) = &cleaning.sights {
            note(&format!("note: {}", sights.words()));
        }
        if let Some(read) = files_read(cleaning) {
            note(&format!("note: {read}"));
        }
        return for_programs(out, format, cleaning, &found);
    }
    writeln!(out, "{}", visible(&cleaning.what))?;
    for line in summary(cleaning) {
        writeln!(out, "{line}")?;
    }
    if let Some(read) = files_read(cleaning) {
        writeln!(out, "{}", visible(&read))?;
    }
    if !rows || found.is_empty() {
        return Ok(());
    }
    let more = found.len().saturating_sub(SHOWN);
    found.truncate(SHOWN);
    for_people(out, format, cleaning.plan.rule, &found)?;
    if more > 0 {
        writeln!(out, "and {more} more: use INTO 'report.html' or --format csv")?;
    }
    Ok(())
}

/// Which files it read. Reports do not have this line: they name no path of the machine.
fn files_read(cleaning: &Cleaning) -> Option<String> {
    cleaning.sights.as_ref()?.read.as_ref().map(|read| format!("photo files read: {read}"))
}

/// What a cleaning found and did, in lines for people.
pub(crate) fn summary(cleaning: &Cleaning) -> Vec<String> {
    let mut lines = Vec::new();
    match cleaning.plan.rule {
        CleanRule::Paper => {
            let all = cleaning.judged.len();
            let doubtful = cleaning.found + cleaning.marked_already + cleaning.changed_meanwhile;
            let not_compared = cleaning.not_compared();
            let pass = all - doubtful - not_compared.len();
            lines.push(format!("{} examined: {pass} pass, {doubtful} doubtful", images(all)));
            lines.extend(cleaning.sights.as_ref().map(Sights::words));
            if !not_compared.is_empty() {
                lines.push(format!("{} could not be compared and are unchanged:", images(not_compared.len())));
                let shown = not_compared.iter().take(NOT_COMPARED_SHOWN);
                lines.extend(shown.map(|(key, why)| format!("  {}: {}", visible(key), visible(why))));
                let more = not_compared.len().saturating_sub(NOT_COMPARED_SHOWN);
                lines.extend((more > 0).then(|| format!("  and {more} more")));
            }
            lines.extend(
                reasons(cleaning).into_iter().map(|(reason, count)| format!("  {}: {reason}", counted(count, "image"))),
            );
        }
        CleanRule::Suspects(_) => lines.push(format!("{} found", counted(cleaning.judged.len(), "suspect"))),
    }
    match cleaning.marked_already {
        0 => {}
        1 => lines.push("1 of them already has a mark".to_owned()),
        marked => lines.push(format!("{marked} of them already have a mark")),
    }
    match cleaning.changed_meanwhile {
        0 => {}
        1 => lines.push("1 of them was changed by another write meanwhile and is left unchanged".to_owned()),
        changed => {
            lines.push(format!("{changed} of them were changed by other writes meanwhile and are left unchanged"))
        }
    }
    match cleaning.would_empty {
        0 => {}
        1 => lines.push(
            "1 of them keeps its label, which would otherwise have no image; RELABEL EMPTY relabels it too".to_owned(),
        ),
        left => lines.push(format!(
            "{left} of them keep their labels, which would otherwise have no image; RELABEL EMPTY relabels them too"
        )),
    }
    lines.push(done(cleaning));
    lines
}

/// The reasons why images are doubtful, with their numbers of images; the most frequent first.
fn reasons(cleaning: &Cleaning) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for judged in &cleaning.judged {
        if let Judgement::Doubtful(reason) = &judged.judgement {
            *counts.entry(reason).or_default() += 1;
        }
    }
    let mut counts: Vec<(String, usize)> =
        counts.into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

fn images(count: usize) -> String {
    counted(count, "train image")
}

/// What the cleaning did with the images that it found.
fn done(cleaning: &Cleaning) -> String {
    let (Some(number), Some(receipt)) = (cleaning.number, &cleaning.receipt) else {
        let nothing_new = cleaning.found + cleaning.changed_meanwhile == 0 && cleaning.marked_already > 0;
        let why = if nothing_new { ": the cleaning found nothing new; SHOW MARKED lists the marks" } else { "" };
        return format!("nothing was changed{why}");
    };
    let (found, one) = (images(cleaning.found), cleaning.found == 1);
    let what = match cleaning.plan.action {
        Action::Unlabel => format!("{found} lost {}", if one { "its label" } else { "their labels" }),
        Action::Relabel | Action::RelabelEmpty => {
            format!("{found} got the proposed {}", if one { "label" } else { "labels" })
        }
        Action::KeepVoters => {
            return format!(
                "cleaning {number} (sequence {}): {found} {} marked and still {}; UNDO CLEAN reverts this",
                receipt.sequence,
                if one { "is" } else { "are" },
                if one { "votes" } else { "vote" }
            );
        }
    };
    let predictions = if receipt.deferred {
        "predictions are updated in the background".to_owned()
    } else {
        format!("{} changed", counted(receipt.predictions_changed, "prediction"))
    };
    format!("cleaning {number} (sequence {}): {what}, {predictions}; UNDO CLEAN reverts this", receipt.sequence)
}

/// The figures that the rule decides by, in few columns.
fn for_people(out: &mut dyn Write, format: Format, rule: CleanRule, found: &[&Judged]) -> Result<()> {
    let columns = match rule {
        CleanRule::Paper => ["reason", "compared", "best_pair", "inliers"],
        CleanRule::Suspects(_) => ["proposed", "evidence", "witness", "similarity"],
    };
    // Usually nothing is marked: the column appears only if something is.
    let shows_marks = found.iter().any(|judged| judged.marked.is_some());
    let mut names = [&["rank", "id", "label"][..], &columns].concat();
    names.extend(shows_marks.then_some("marked"));
    let shows_left = rule != CleanRule::Paper && found.iter().any(|judged| judged.would_empty);
    names.extend(shows_left.then_some("reason"));
    let mut printer = Printer::begin(out, format, &names)?;
    for (at, judged) in found.iter().enumerate() {
        let cells = Cells::of(judged);
        let mut row = vec![rank(at), Cell::Text(judged.key.clone()), Cell::Text(judged.label.clone())];
        row.extend(match rule {
            CleanRule::Paper => {
                [cells.reason.clone(), Cell::Whole(judged.compared as u64), cells.witness, cells.inliers]
            }
            CleanRule::Suspects(_) => [cells.proposed, cells.evidence, cells.witness, cells.similarity],
        });
        row.extend(shows_marks.then_some(cells.marked));
        row.extend(shows_left.then_some(cells.reason));
        printer.row(row)?;
    }
    Ok(printer.end()?)
}

fn rank(at: usize) -> Cell {
    Cell::Whole(at as u64 + 1)
}

/// One form for both rules.
fn for_programs(out: &mut dyn Write, format: Format, cleaning: &Cleaning, found: &[&Judged]) -> Result<()> {
    let columns = [
        "clean",
        "rank",
        "id",
        "label",
        "proposed",
        "evidence",
        "reason",
        "compared",
        "verified",
        "witness",
        "witness_label",
        "similarity",
        "inliers",
        "marked",
        "seen",
        "by_file",
        "by_kept",
        "by_thumbnail",
    ];
    // They are the same in every row, as the cleaning's number is.
    let by = |count: fn(&Sights) -> usize| {
        cleaning.sights.as_ref().map_or(Cell::Nothing, |sights| Cell::Whole(count(sights) as u64))
    };
    let by = [by(|sights| sights.files), by(|sights| sights.kept), by(|sights| sights.thumbnails)];
    let mut printer = Printer::begin(out, format, &columns)?;
    for (at, judged) in found.iter().enumerate() {
        let cells = Cells::of(judged);
        let row = vec![
            cleaning.number.map_or(Cell::Nothing, Cell::Whole),
            rank(at),
            Cell::Text(judged.key.clone()),
            Cell::Text(judged.label.clone()),
            cells.proposed,
            cells.evidence,
            cells.reason,
            Cell::Whole(judged.compared as u64),
            Cell::Whole(judged.verified as u64),
            cells.witness,
            cells.witness_label,
            cells.similarity,
            cells.inliers,
            cells.marked,
            Cell::text(judged.seen.map(Sight::word)),
        ];
        printer.row([row, by.to_vec()].concat())?;
    }
    Ok(printer.end()?)
}

/// The cells that only some rows have.
struct Cells {
    proposed: Cell,
    evidence: Cell,
    reason: Cell,
    witness: Cell,
    witness_label: Cell,
    similarity: Cell,
    inliers: Cell,
    /// The earlier cleaning whose mark it has.
    marked: Cell,
}

impl Cells {
    fn of(judged: &Judged) -> Self {
        let (proposed, evidence, reason) = match &judged.judgement {
            Judgement::Kept => (Cell::Nothing, Cell::Nothing, Cell::Nothing),
            Judgement::NotCompared(reason) | Judgement::Doubtful(reason) => {
                (Cell::Nothing, Cell::Nothing, Cell::Text(reason.clone()))
            }
            Judgement::Suspect { proposed, evidence } => {
                let left = if judged.would_empty { Cell::Text(WOULD_EMPTY.to_owned()) } else { Cell::Nothing };
                (Cell::Text(proposed.clone()), Cell::Fixed(*evidence, 4), left)
            }
        };
        let witness = judged.witness.as_ref();
        Self {
            proposed,
            evidence,
            reason,
            witness: Cell::text(witness.map(|witness| &witness.key)),
            witness_label: Cell::text(witness.map(|witness| &witness.label)),
            similarity: witness.map_or(Cell::Nothing, |witness| Cell::Number(witness.similarity)),
            inliers: witness
                .and_then(|witness| witness.inliers)
                .map_or(Cell::Nothing, |inliers| Cell::Whole(inliers.into())),
            marked: judged.marked.map_or(Cell::Nothing, Cell::Whole),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn::Receipt;
    use cairn::clean::Witness;
    use cairn::language::{CleanPlan, Cut};

    fn printed(format: Format, cleaning: &Cleaning) -> String {
        let mut out = Vec::new();
        print_cleaning(&mut out, format, cleaning, true).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn judged(key: &str, judgement: Judgement, inliers: Option<u32>) -> Judged {
        let witness = {
            let mut witness = Witness::default();
            witness.key = "w".to_owned();
            witness.label = "dome".to_owned();
            witness.similarity = 0.5;
            witness.inliers = inliers;
            witness
        };
        {
            let mut judged = Judged::default();
            judged.key = key.to_owned();
            judged.label = "tower".to_owned();
            judged.judgement = judgement;
            judged.compared = 4;
            judged.verified = 1;
            judged.witness = Some(witness);
            judged.seen = inliers.map(|_| Sight::Thumbnail);
            judged
        }
    }

    fn suspects(number: Option<u64>) -> Cleaning {
        let judgement = Judgement::Suspect { proposed: "dome".to_owned(), evidence: 0.94 };
        {
            let mut cleaning = Cleaning::default();
            cleaning.plan = CleanPlan::default().rule(CleanRule::Suspects(Cut::Top(20))).action(Action::Relabel);
            cleaning.number = number;
            cleaning.what = "RULE suspects top=20 RELABEL".to_owned();
            cleaning.judged = vec![judged("a|b", judgement, None)];
            cleaning.found = 1;
            cleaning.receipt = number.map(|_| {
                let mut receipt = Receipt::default();
                receipt.sequence = 9;
                receipt.predictions_changed = 2;
                receipt
            });
            cleaning
        }
    }

    fn paper(doubtful: usize) -> Cleaning {
        let reason = |at| {
            let text = if at == 0 { "its label is left with 1 of 2 images needed" } else { "1 of 3 verified pairs" };
            judged(&format!("i{at}"), Judgement::Doubtful(text.to_owned()), Some(12))
        };
        let mut all: Vec<Judged> = (0..doubtful).map(reason).collect();
        all.push(judged("good", Judgement::Kept, Some(80)));
        {
            let mut cleaning = Cleaning::default();
            cleaning.plan = CleanPlan::default();
            cleaning.number = Some(3);
            cleaning.what = "RULE paper nn=1000".to_owned();
            cleaning.judged = all;
            cleaning.found = doubtful;
            cleaning.sights = Some({
                let mut sights = Sights::default();
                sights.files = 40;
                sights.thumbnails = 13;
                sights.read = Some("9: below /photos".to_owned());
                sights
            });
            cleaning.receipt = Some({
                let mut receipt = Receipt::default();
                receipt.sequence = 7;
                receipt.deferred = true;
                receipt
            });
            cleaning
        }
    }

    #[test]
    fn suspects_are_a_table_with_what_was_done_above_it() {
        assert_eq!(
            printed(Format::Markdown, &suspects(Some(2))),
            "RULE suspects top=20 RELABEL\n1 suspect found\ncleaning 2 (sequence 9): 1 train image got the proposed label, \
             2 predictions changed; UNDO CLEAN reverts this\n\
             | rank | id | label | proposed | evidence | witness | similarity |\n\
             | --- | --- | --- | --- | --- | --- | --- |\n\
             | 1 | a\\|b | tower | dome | 0.9400 | w | 0.5000 |\n\n"
        );
        assert!(printed(Format::Table, &suspects(None)).contains("nothing was changed"));
    }

    #[test]
    fn programs_get_one_form_for_both_rules_and_every_row() {
        let header = "clean,rank,id,label,proposed,evidence,reason,compared,verified,witness,witness_label,similarity,inliers,marked,seen,by_file,by_kept,by_thumbnail";
        assert_eq!(
            printed(Format::Csv, &suspects(None)),
            format!("{header}\n,1,a|b,tower,dome,0.9400,,4,1,w,dome,0.5,,,,,,\n")
        );
        let csv = printed(Format::Csv, &paper(SHOWN + 2));
        assert_eq!(csv.lines().count(), SHOWN + 3, "what was kept is no row");
        assert_eq!(
            csv.lines().nth(2),
            Some("3,2,i1,tower,,,1 of 3 verified pairs,4,1,w,dome,0.5,12,,thumbnail,40,0,13")
        );
    }

    #[test]
    fn people_get_the_reasons_counted_and_the_first_rows() {
        let text = printed(Format::Markdown, &paper(SHOWN + 2));
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("RULE paper nn=1000"));
        assert_eq!(lines.next(), Some("53 train images examined: 1 pass, 52 doubtful"));
        assert_eq!(lines.next(), Some("compared by 40 photo files, 13 thumbnails"));
        assert_eq!(lines.next(), Some("  51 images: 1 of 3 verified pairs"));
        assert_eq!(lines.next(), Some("  1 image: its label is left with 1 of 2 images needed"));
        assert!(lines.next().is_some_and(|line| line.contains("are marked and still vote")), "{text}");
        assert!(text.ends_with("and 2 more: use INTO 'report.html' or --format csv\n"), "{text}");
        let nothing = {
            let mut cleaning = paper(0);
            cleaning.number = None;
            cleaning.receipt = None;
            cleaning
        };
        let nothing = printed(Format::Table, &nothing);
        assert!(nothing.contains("1 pass, 0 doubtful\n"), "{nothing}");
        assert!(nothing.ends_with("nothing was changed\nphoto files read: 9: below /photos\n"), "{nothing}");
    }

    #[test]
    fn what_is_marked_already_is_said_and_not_taken_for_new() {
        let mut again = {
            let mut cleaning = paper(2);
            cleaning.number = None;
            cleaning.receipt = None;
            cleaning.found = 0;
            cleaning.marked_already = 2;
            cleaning
        };
        again.judged.iter_mut().take(2).for_each(|judged| judged.marked = Some(1));
        let text = printed(Format::Table, &again);
        assert!(text.contains("1 pass, 2 doubtful") && text.contains("2 of them already have a mark"), "{text}");
        assert!(
            text.contains("nothing was changed: the cleaning found nothing new") && text.contains("marked"),
            "{text}"
        );
        assert!(printed(Format::Csv, &again).lines().nth(1).is_some_and(|line| line.ends_with(",1,thumbnail,40,0,13")));
    }
}
