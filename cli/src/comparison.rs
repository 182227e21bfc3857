//! The three lists of the paper's figure 1 for the same queries: kNN, sort-step, sort and insert.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use cairn::eval::{Metrics, average_precision, evaluate};
use cairn::language::DEFAULT_TAU;
use cairn::{Answer, Answers, Asked, Rerank, SearchRequest, Snapshot};

use crate::failure::{Failure, Result};
use crate::output::{Cell, Format, Printer};
use crate::solution::Solution;
use crate::terminal::note;

/// The names of the three methods, in order.
pub(crate) const METHODS: [&str; 3] = ["kNN", "sort", "sort+insert"];

/// Queries, and what each method answers to each.
pub(crate) struct Comparison {
    pub(crate) asked: Vec<Asked>,
    /// By method, then by query.
    pub(crate) answers: [Vec<Answer>; 3],
    pub(crate) depth: usize,
    /// Rows that the statement asked for.
    pub(crate) limit: usize,
    pub(crate) k: usize,
    pub(crate) tau: f64,
}

impl Comparison {
    /// Runs the three searches.
    ///
    /// # Errors
    /// When a search fails.
    pub(crate) fn run(
        snapshot: &Snapshot,
        asked: Vec<Asked>,
        base: &SearchRequest,
        k: usize,
        tau: f64,
    ) -> Result<Self> {
        let queries: Vec<_> = asked.iter().map(|asked| asked.query.clone()).collect();
        let search = |rerank| {
            let request = SearchRequest { rerank, limit: base.depth, ..base.clone() };
            snapshot.search(&request, &queries)
        };
        let answers = [
            search(None)?,
            search(Some(Rerank { k, sort: true, insert: None }))?,
            search(Some(Rerank { k, sort: true, insert: Some(tau) }))?,
        ];
        Ok(Self { asked, answers, depth: base.depth, limit: base.limit, k, tau })
    }

    /// The same for the queries of a SEARCH that has run, with its own scope, filter, depth, k and tau.
    ///
    /// # Errors
    /// When a search fails.
    pub(crate) fn of(snapshot: &Snapshot, answers: &Answers, vote_k: usize) -> Result<Self> {
        let plan = &answers.plan;
        let request = SearchRequest::of(plan);
        let (k, tau) = plan.rerank.map_or((vote_k, DEFAULT_TAU), |rerank| (rerank.k, rerank.tau));
        Self::run(snapshot, answers.asked.clone(), &request, k, tau)
    }

    /// The metrics of each method.
    pub(crate) fn metrics(&self, solution: &Solution) -> [Metrics; 3] {
        [0, 1, 2].map(|method| evaluate(solution.truths(), &ranked(&self.asked, &self.answers[method]), self.depth))
    }

    /// Average precision of a query under each method; `None` where its answers are not known.
    pub(crate) fn average_precisions(&self, solution: &Solution, query: usize) -> Option<[f64; 3]> {
        let relevant: Vec<String> = solution.of(query_id(&self.asked[query])?)?.iter().cloned().collect();
        if relevant.is_empty() {
            return None;
        }
        Some([0, 1, 2].map(|method| average_precision(&ids(&self.answers[method][query]), &relevant, self.depth)))
    }

    /// What a query should find, where that is known.
    pub(crate) fn relevant<'s>(&self, solution: &'s Solution, query: usize) -> Option<&'s HashSet<String>> {
        solution.of(query_id(&self.asked[query])?)
    }
}

/// The id by which a query is found in the known answers: its own, or the name of its file.
fn query_id(asked: &Asked) -> Option<&str> {
    asked.id.as_deref().or_else(|| std::path::Path::new(&asked.name).file_stem()?.to_str())
}

fn ids(answer: &Answer) -> Vec<String> {
    answer.rows.iter().map(|row| row.id.clone()).collect()
}

/// Ranked ids by query id, as the metrics take them.
pub(crate) fn ranked(asked: &[Asked], answers: &[Answer]) -> HashMap<String, Vec<String>> {
    asked.iter().zip(answers).filter_map(|(asked, answer)| Some((query_id(asked)?.to_owned(), ids(answer)))).collect()
}

/// How many queries of the known answers were asked.
pub(crate) fn known(asked: &[Asked], solution: &Solution) -> usize {
    asked.iter().filter(|asked| query_id(asked).is_some_and(|id| solution.of(id).is_some())).count()
}

/// Notes how many of the known answers were not asked for.
///
/// # Errors
/// When none was: they are of other queries.
pub(crate) fn check_known(asked: &[Asked], truth: &Solution, queries: &Path, answers: &Path) -> Result<()> {
    let known = known(asked, truth);
    if known == 0 {
        return Err(Failure::new(format!("{} holds none of the queries of {}", answers.display(), queries.display()))
            .help("queries are matched by id: the id column of the list, or --query-ids for vectors"));
    }
    let missing = truth.truths().len() - known;
    if missing > 0 {
        note(&format!("note: {missing} queries of {} were not asked and count as 0", answers.display()));
    }
    Ok(())
}

/// Writes one line of metrics for each method.
///
/// # Errors
/// When the output cannot be written.
pub(crate) fn print_metrics(
    out: &mut dyn std::io::Write,
    format: Format,
    depth: usize,
    lines: &[(&str, Metrics)],
) -> Result<()> {
    let map = format!("mAP@{depth}");
    let mut printer = Printer::begin(out, format, &["method", &map, "P@10", "MeanPos", "queries"])?;
    for (name, metrics) in lines {
        printer.row(vec![
            Cell::Text((*name).to_owned()),
            Cell::Fixed(metrics.map * 100.0, 2),
            Cell::Fixed(metrics.precision_at_10 * 100.0, 2),
            Cell::Fixed(metrics.mean_position, 2),
            Cell::Whole(metrics.queries as u64),
        ])?;
    }
    Ok(printer.end()?)
}
