//! `cairn bench cleaning`: the comparison of the paper's Table 6 on a database with queries and known answers. It measures the
//! train set as it is, cleaned by the paper's rule, and with the suspects' proposed labels; if the true labels are known, it also
//! measures which wrong labels the rules find.

use std::collections::HashSet;
use std::io::Write;

use cairn::clean::{Cleaning, Judgement};
use cairn::language::{CleanPlan, DEFAULT_EVIDENCE, MAX_COUNT};
use cairn::{Database, Outcome, Query, Role, Scope, SearchRequest};
use cairn_torch::model::Adapter;
use cairndb_ingest::source::{Spellings, read_labels};

use super::bench::{Change, Score, Set, opened, plan, spread};
use crate::args::measure::BenchCleaning;
use crate::failure::{Failure, Result};
use crate::lists::text;
use crate::output::{Cell, Printer};
use crate::session::Session;
use crate::terminal::{note, standard_output};

/// Number of neighbours of the baseline, which ranks images by the share of other labels among them.
const BASELINE_NEIGHBOURS: usize = 10;

/// Columns of the train sets.
const COLUMNS: [&str; 9] = [
    "train set",
    "training",
    "seeds",
    "kNN mAP@100",
    "kNN least",
    "kNN most",
    "sort+insert mAP@100",
    "sort+insert least",
    "sort+insert most",
];

/// A train set: its labels where they differ from the database's, for training and for voting.
struct Variant<'c> {
    name: &'static str,
    learnt: &'c Change,
    voting: &'c Change,
}

/// Runs the command.
///
/// # Errors
/// When a file cannot be read, the database has no model or no labels, or a training fails.
pub(super) fn run(args: &BenchCleaning) -> Result<()> {
    let (session, maintainer) = opened(&args.set)?;
    let truth = match &args.labels {
        Some(path) => Some(read_labels(text(path)?, &mut Spellings::default(), &|_| true)?),
        None => None,
    };
    let trial = maintainer.trial(&session.database)?;
    let set = Set::read(&session, &trial, &args.set)?;
    let given = given(&session)?;
    if let (Some(truth), Some(path)) = (&truth, &args.labels) {
        let told = given.iter().filter(|(key, _)| truth.contains_key(key)).count();
        if told == 0 {
            return Err(Failure::new(format!("{} has none of the train images", path.display()))
                .help("its ids must be keys of the database"));
        }
        if told < given.len() {
            let rest = given.len() - told;
            note(&format!(
                "note: {} has no label for {rest} train images; their labels count as right",
                path.display()
            ));
        }
    }
    let marked = session.database.marked()?.len();
    if marked > 0 {
        note(&format!("{marked} images have a cleaning's mark; the trainings skip them. UNDO CLEAN removes marks"));
    }
    note("comparing local features, as CLEAN does");
    let paper = cleaning(&session, "CLEAN DRY RUN")?;
    let suspects = session.database.clean(&CleanPlan::suspects(MAX_COUNT), None, None)?;
    let dropped: Change = doubtful(&paper).into_iter().map(|key| (key, None)).collect();
    let proposed: Change =
        suspects.judged.iter().filter_map(|judged| Some((judged.key.clone(), Some(cut(judged)?)))).collect();
    let nothing = Change::new();
    let right: Change = match &truth {
        None => Change::new(),
        Some(truth) => {
            let of = |(key, label): &(String, String)| {
                Some((key.clone(), Some(truth.get(key).filter(|is| *is != label)?.clone())))
            };
            given.iter().filter_map(of).collect()
        }
    };
    let mut variants = vec![
        Variant { name: "as it is", learnt: &nothing, voting: &nothing },
        Variant { name: "without what the paper's rule drops", learnt: &dropped, voting: &dropped },
        Variant { name: "the same while dropped images vote", learnt: &dropped, voting: &nothing },
        Variant { name: "with the labels of the suspects", learnt: &proposed, voting: &proposed },
    ];
    if truth.is_some() {
        variants.push(Variant { name: "with the true labels", learnt: &right, voting: &right });
    }
    let mut out = standard_output();
    let mut printer = Printer::begin(&mut out, args.set.format, &COLUMNS)?;
    for variant in &variants {
        let plain = set.score(&session, variant.voting, &|vector: &[f32]| Ok(vector.to_vec()))?;
        printer.row(line(variant.name, "none", &[plain]))?;
    }
    for variant in &variants {
        let trial = trial.relabelled(variant.learnt);
        let mut scores: Vec<Score> = Vec::new();
        for seed in 0..args.set.seeds {
            note(&format!("training: {}, seed {seed}", variant.name));
            let adapter = trial.learn(&plan(args.loss, seed, args.set.epochs))?;
            scores.push(set.score(&session, variant.voting, &|vector: &[f32]| Adapter::apply(&adapter, vector))?);
        }
        printer.row(line(variant.name, args.loss.name(), &scores))?;
    }
    printer.end()?;
    if truth.is_some() {
        let wrong: HashSet<&str> = right.keys().map(String::as_str).collect();
        if args.set.format.is_for_people() {
            writeln!(out)?;
        }
        let mut printer = Printer::begin(
            &mut out,
            args.set.format,
            &["wrong labels", "found", "precision", "recall", "average precision"],
        )?;
        let ranking: Vec<String> = suspects.judged.iter().map(|judged| judged.key.clone()).collect();
        let found = |change: &Change| change.keys().cloned().collect::<Vec<_>>();
        printer.row(judged("the paper's rule", Some(&found(&dropped)), None, &wrong))?;
        let name = format!("suspects with evidence of {DEFAULT_EVIDENCE} or more");
        printer.row(judged(&name, Some(&found(&proposed)), Some(&ranking), &wrong))?;
        let baseline = by_neighbours(&session, &given)?;
        printer.row(judged("share of other labels among the neighbours", None, Some(&baseline), &wrong))?;
        printer.end()?;
    }
    out.flush()?;
    session.end()
}

/// The result of a cleaning that changes nothing.
fn cleaning(session: &Session, statement: &str) -> Result<Cleaning> {
    let outcome = session.execute(&Database::prepare(statement)?)?.into_iter().next();
    match outcome {
        Some(Outcome::Cleaned(cleaning)) => Ok(*cleaning),
        _ => Err(Failure::new(format!("{statement} gave no cleaning"))),
    }
}

fn doubtful(cleaning: &Cleaning) -> Vec<String> {
    let doubtful = cleaning.judged.iter().filter(|judged| matches!(judged.judgement, Judgement::Doubtful(_)));
    doubtful.map(|judged| judged.key.clone()).collect()
}

/// The label that CLEAN RULE suspects would give an image, if any.
fn cut(judged: &cairn::clean::Judged) -> Option<String> {
    match &judged.judgement {
        Judgement::Suspect { proposed, evidence } if *evidence >= DEFAULT_EVIDENCE => Some(proposed.clone()),
        _ => None,
    }
}

/// The train images and their labels.
fn given(session: &Session) -> Result<Vec<(String, String)>> {
    let snapshot = session.database.snapshot();
    let mut given = Vec::new();
    for key in snapshot.keys(Some(Role::Train))? {
        let label = snapshot.record(&key)?.and_then(|record| record.label);
        given.extend(label.map(|label| (key, label)));
    }
    Ok(given)
}

/// Ranks train images by the number of their nearest neighbours with another label.
fn by_neighbours(session: &Session, given: &[(String, String)]) -> Result<Vec<String>> {
    let snapshot = session.database.snapshot();
    let labels: std::collections::HashMap<&str, &str> =
        given.iter().map(|(key, label)| (key.as_str(), label.as_str())).collect();
    let (depth, limit) = (BASELINE_NEIGHBOURS, BASELINE_NEIGHBOURS);
    let request = SearchRequest::new().scope(Scope::Train).depth(depth).limit(limit);
    let mut shares = Vec::with_capacity(given.len());
    for (key, label) in given {
        let Some(vector) = snapshot.vector(key)? else { continue };
        let answers = snapshot.search(&request, &[Query::new(vector).without(key.clone())])?;
        let rows = answers.iter().flat_map(|answer| &answer.rows);
        shares.push((rows.filter(|row| labels.get(row.id.as_str()) != Some(&label.as_str())).count(), key.clone()));
    }
    shares.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    Ok(shares.into_iter().map(|(_, key)| key).collect())
}

fn line(name: &str, training: &str, scores: &[Score]) -> Vec<Cell> {
    let words = [name, training].map(|word| Cell::Text(word.to_owned()));
    let mut cells: Vec<Cell> = words.into_iter().chain([Cell::Whole(scores.len() as u64)]).collect();
    for method in 0..2 {
        let (mean, least, most) = spread(scores, method);
        cells.extend([mean, least, most].map(|figure| Cell::Fixed(figure, 2)));
    }
    cells
}

/// How much of the images found, and of a ranking, has a wrong label.
fn judged(name: &str, found: Option<&[String]>, ranking: Option<&[String]>, wrong: &HashSet<&str>) -> Vec<Cell> {
    let mut cells = vec![Cell::Text(name.to_owned())];
    match found {
        None => cells.extend([Cell::Nothing, Cell::Nothing, Cell::Nothing]),
        Some(found) => {
            let hits = found.iter().filter(|key| wrong.contains(key.as_str())).count() as f64;
            cells.push(Cell::Whole(found.len() as u64));
            cells.extend([found.len(), wrong.len()].map(|of| Cell::Fixed(hits / of.max(1) as f64, 3)));
        }
    }
    cells.push(ranking.map_or(Cell::Nothing, |ranking| Cell::Fixed(average_precision(ranking, wrong), 3)));
    cells
}

/// Images that the ranking leaves out are never found.
fn average_precision(ranking: &[String], wrong: &HashSet<&str>) -> f64 {
    let (mut hits, mut sum) = (0.0, 0.0);
    for (rank, _) in ranking.iter().enumerate().filter(|(_, key)| wrong.contains(key.as_str())) {
        hits += 1.0;
        sum += hits / (rank + 1) as f64;
    }
    sum / wrong.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_recall_and_average_precision_by_hand() {
        let wrong: HashSet<&str> = ["a", "b", "c"].into();
        let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<String>>();
        let cells = judged("x", Some(&keys(&["a", "z"])), Some(&keys(&["a", "z", "b"])), &wrong);
        let told: Vec<String> = cells.iter().map(Cell::exact).collect();
        // One of two found is wrong, and of three wrong ones one is found; hits at ranks 1 and 3, the third is never found.
        assert_eq!(told, ["x", "2", "0.500", "0.333", "0.556"]);
    }
}
