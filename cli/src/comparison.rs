//! The three lists of the paper's figure 1 for the same queries: kNN, sort-step, sort and insert.

use std::collections::{BTreeSet, HashMap, HashSet};

use cairn::eval::{Metrics, average_precision, evaluate};
use cairn::language::plain_label;
use cairn::reports::{Answers, Asked, KnownInliers};
use cairn::{Answer, Rerank, Role, Scope, SearchRequest, Snapshot};

use crate::failure::{Failure, Result};
use crate::output::{Cell, Format, Printer};
use crate::solution::Solution;
use crate::terminal::note;

/// The names of the three methods, in order.
pub(crate) const METHODS: [&str; 3] = ["kNN", "sort", "sort+insert"];

/// Queries, and the answers of each method.
pub(crate) struct Comparison {
    pub(crate) asked: Vec<Asked>,
    /// By method, then by query.
    pub(crate) answers: [Vec<Answer>; 3],
    pub(crate) depth: usize,
    /// Rows that the statement returns.
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
        (k, tau): (usize, f64),
        inliers: Option<&KnownInliers>,
    ) -> Result<Self> {
        let queries: Vec<_> = asked.iter().map(|asked| asked.query.clone()).collect();
        let search = |rerank| {
            let request = base.clone().rerank(rerank).limit(base.depth);
            match inliers {
                Some(inliers) => snapshot.search_with_inliers(&request, &queries, inliers),
                None => snapshot.search(&request, &queries),
            }
        };
        let steps = Rerank::new().k(k).augment(base.rerank.and_then(|asked| asked.augment));
        let answers = [search(None)?, search(Some(steps.sort_only()))?, search(Some(steps.tau(tau)))?];
        Ok(Self { asked, answers, depth: base.depth, limit: base.limit, k, tau })
    }

    /// The same for the queries of a SEARCH that has run, with its scope, filter, depth, k and tau.
    ///
    /// # Errors
    /// When a search fails.
    pub(crate) fn of(snapshot: &Snapshot, answers: &Answers) -> Result<Self> {
        let plan = &answers.plan;
        let k = plan.request.rerank.map_or(snapshot.options().vote_k, |rerank| rerank.k);
        Self::run(snapshot, answers.asked.clone(), &plan.request, (k, plan.tau), answers.inliers.as_ref())
    }

    /// The metrics of each method.
    pub(crate) fn metrics(&self, solution: &Solution) -> [Metrics; 3] {
        [0, 1, 2].map(|method| evaluate(solution.truths(), &ranked(&self.asked, &self.answers[method]), self.depth))
    }

    /// The lists of a query, by method.
    pub(crate) fn lists(&self, query: usize) -> [Vec<String>; 3] {
        [0, 1, 2].map(|method| ids(&self.answers[method][query]))
    }

    /// The lists of the last method, sort + insert, for each query with an id.
    pub(crate) fn last_lists(&self) -> Vec<(String, Vec<String>)> {
        let named = |(asked, answer)| Some((query_id(asked)?.to_owned(), ids(answer)));
        self.asked.iter().zip(&self.answers[2]).filter_map(named).collect()
    }

    /// Average precision of a query under each method; `None` if its answer is not known.
    pub(crate) fn average_precisions(&self, solution: &Solution, query: usize) -> Option<[f64; 3]> {
        let relevant: Vec<String> = solution.of(query_id(&self.asked[query])?)?.iter().cloned().collect();
        if relevant.is_empty() {
            return None;
        }
        Some([0, 1, 2].map(|method| average_precision(&ids(&self.answers[method][query]), &relevant, self.depth)))
    }

    /// The images that a query should find, if they are known.
    pub(crate) fn relevant<'s>(&self, solution: &'s Solution, query: usize) -> Option<&'s HashSet<String>> {
        solution.of(query_id(&self.asked[query])?)
    }
}

/// The id of a query in the known answers: its own, or the name of its file.
pub(crate) fn query_id(asked: &Asked) -> Option<&str> {
    asked.id.as_deref().or_else(|| std::path::Path::new(&asked.name).file_stem()?.to_str())
}

fn ids(answer: &Answer) -> Vec<String> {
    answer.rows.iter().map(|row| row.id.clone()).collect()
}

/// Ranked ids by query id, in the form that the metrics take.
pub(crate) fn ranked(asked: &[Asked], answers: &[Answer]) -> HashMap<String, Vec<String>> {
    asked.iter().zip(answers).filter_map(|(asked, answer)| Some((query_id(asked)?.to_owned(), ids(answer)))).collect()
}

/// Number of queries in the known answers that ran.
pub(crate) fn known(asked: &[Asked], solution: &Solution) -> usize {
    asked.iter().filter(|asked| query_id(asked).is_some_and(|id| solution.of(id).is_some())).count()
}

/// The other side of a comparison with known answers: the queries that ran, and the images that searches can find.
pub(crate) struct Measurable<'a> {
    pub(crate) asked: &'a [Asked],
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) scope: Scope,
}

impl Measurable<'_> {
    /// Notes the number of known answers whose query did not run, and of answers that are not among the searched images.
    ///
    /// # Errors
    /// When no query of the known answers ran, none of those has an answer, or none of the answers is a searched image: every
    /// metric would be 0.
    pub(crate) fn check(&self, truth: &Solution, queries: &str, answers: &str) -> Result<()> {
        let known = known(self.asked, truth);
        if known == 0 {
            return Err(Failure::new(format!("{answers} has none of the queries of {queries}"))
                .help("it must have the queries' ids: those of the list's id column, or of --query-ids for vectors"));
        }
        let of_query = |asked: &Asked| truth.of(query_id(asked)?);
        let named: BTreeSet<&str> = self.asked.iter().filter_map(of_query).flatten().map(String::as_str).collect();
        if named.is_empty() {
            return Err(Failure::new(format!("{answers} has no answer to any of the queries of {queries}")).help(
                "the column images must have the ids of the images that a query should find, separated by spaces",
            ));
        }
        let missing = truth.truths().len() - known;
        if missing > 0 {
            note(&format!("note: {missing} queries of {answers} did not run and count as 0"));
        }
        must_be_searched(self.snapshot, self.scope, &named, answers)
    }
}

/// Notes which of the images that a file names are not searched.
///
/// # Errors
/// A damaged catalog; none of them is a searched image, so every metric would be 0.
pub(crate) fn must_be_searched(snapshot: &Snapshot, scope: Scope, named: &BTreeSet<&str>, answers: &str) -> Result<()> {
    let is_searched = |role: Role| match scope {
        Scope::All => true,
        Scope::Index => role == Role::Index,
        Scope::Train => role == Role::Train,
    };
    let (mut unknown, mut in_other_role) = (Vec::new(), Vec::new());
    for &id in named {
        match snapshot.record(id)? {
            None => unknown.push(id),
            Some(record) if !is_searched(record.role) => in_other_role.push(id),
            Some(_) => {}
        }
    }
    let lost = unknown.len() + in_other_role.len();
    let example = match (unknown.first(), in_other_role.first()) {
        (Some(id), _) => format!("it has '{id}', {}", spelling_of(snapshot, id)?),
        (None, Some(id)) if scope == Scope::Index => {
            format!("'{id}' is a train image, but only index images are searched")
        }
        (None, Some(id)) => format!("'{id}' is an index image, but only train images are searched"),
        (None, None) => return Ok(()),
    };
    if lost == named.len() {
        return Err(Failure::new(format!("{answers} names no searched image: {example}"))
            .help("answers must be keys of stored images: the ids of the list, or the paths in the folder"));
    }
    note(&format!(
        "note: {lost} of the {} images in {answers} are not searched and count as missed: {example}",
        named.len()
    ));
    Ok(())
}

/// The spelling of a key in the database that is close to an unknown id.
fn spelling_of(snapshot: &Snapshot, id: &str) -> Result<String> {
    let keys = snapshot.keys(None)?;
    let wanted = bare(id);
    let same = keys.iter().find(|key| bare(key) == wanted);
    Ok(match same.or(keys.first()) {
        Some(key) => format!("the database has '{key}'"),
        None => "the database is empty".to_owned(),
    })
}

/// A key without folders, extension, case and white space: two keys that are equal in this form are probably meant as the same.
fn bare(key: &str) -> String {
    let name = key.trim().rsplit(['/', '\\']).next().unwrap_or_default();
    plain_label(name.split_once('.').map_or(name, |(stem, _)| stem)).to_lowercase()
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
