//! The three lists of the paper's figure 1 for the same queries: kNN, sort-step, sort and insert.

use std::collections::{BTreeSet, HashMap, HashSet};

use cairn::eval::{Metrics, average_precision, evaluate};
use cairn::language::plain_label;
use cairn::{Answer, Answers, Asked, Rerank, Role, Scope, SearchRequest, Snapshot};

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
            let request = base.clone().rerank(rerank).limit(base.depth);
            snapshot.search(&request, &queries)
        };
        let answers =
            [search(None)?, search(Some(Rerank::new().k(k).sort_only()))?, search(Some(Rerank::new().k(k).tau(tau)))?];
        Ok(Self { asked, answers, depth: base.depth, limit: base.limit, k, tau })
    }

    /// The same for the queries of a SEARCH that has run, with its own scope, filter, depth, k and tau.
    ///
    /// # Errors
    /// When a search fails.
    pub(crate) fn of(snapshot: &Snapshot, answers: &Answers) -> Result<Self> {
        let plan = &answers.plan;
        let k = plan.request.rerank.map_or(snapshot.options().vote_k, |rerank| rerank.k);
        Self::run(snapshot, answers.asked.clone(), &plan.request, k, plan.tau)
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

/// What known answers are compared with: the queries that were asked, and the images that could be found.
pub(crate) struct Measurable<'a> {
    pub(crate) asked: &'a [Asked],
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) scope: Scope,
}

impl Measurable<'_> {
    /// Notes how many of the known answers were not asked for, and how many of those that were name no image that is searched.
    ///
    /// # Errors
    /// When none was asked for, none of those has an answer, or none of the answers is an image that is searched: whatever is measured
    /// then is 0.
    pub(crate) fn check(&self, truth: &Solution, queries: &str, answers: &str) -> Result<()> {
        let known = known(self.asked, truth);
        if known == 0 {
            return Err(Failure::new(format!("{answers} holds none of the queries of {queries}"))
                .help("queries are matched by id: the id column of the list, or --query-ids for vectors"));
        }
        let of_query = |asked: &Asked| truth.of(query_id(asked)?);
        let named: BTreeSet<&str> = self.asked.iter().filter_map(of_query).flatten().map(String::as_str).collect();
        let Some(first) = named.first() else {
            return Err(Failure::new(format!("{answers} has no answer to any of the queries of {queries}"))
                .help("the column images holds the ids of what a query should find, with spaces between them"));
        };
        let missing = truth.truths().len() - known;
        if missing > 0 {
            note(&format!("note: {missing} queries of {answers} were not asked and count as 0"));
        }
        let (mut unknown, mut in_other_role) = (Vec::new(), Vec::new());
        for &id in &named {
            match self.snapshot.record(id)? {
                None => unknown.push(id),
                Some(record) if !self.is_searched(record.role) => in_other_role.push(id),
                Some(_) => {}
            }
        }
        let lost = unknown.len() + in_other_role.len();
        if lost == 0 {
            return Ok(());
        }
        let example = match (unknown.first(), in_other_role.first()) {
            (Some(id), _) => format!("it says '{id}', {}", self.spelling_of(id)?),
            (None, id) => format!("'{}' is {}", id.unwrap_or(first), self.other_role()),
        };
        if lost == named.len() {
            return Err(Failure::new(format!("{answers} names no image that is searched: {example}")).help(
                "answers are keys of stored images, written as in the database: ids of a list, or paths in the folder",
            ));
        }
        note(&format!(
            "note: {lost} of the {} images that {answers} names are not searched and count as missed: {example}",
            named.len()
        ));
        Ok(())
    }

    fn is_searched(&self, role: Role) -> bool {
        match self.scope {
            Scope::All => true,
            Scope::Index => role == Role::Index,
            Scope::Train => role == Role::Train,
        }
    }

    fn other_role(&self) -> &'static str {
        if self.scope == Scope::Index {
            "a train image, and index images are searched"
        } else {
            "an index image, and train images are searched"
        }
    }

    /// How the database spells an id that it does not have.
    fn spelling_of(&self, id: &str) -> Result<String> {
        let keys = self.snapshot.keys(None)?;
        let wanted = bare(id);
        let same = keys.iter().find(|key| bare(key) == wanted);
        Ok(match same.or(keys.first()) {
            Some(key) => format!("the database has '{key}'"),
            None => "the database is empty".to_owned(),
        })
    }
}

/// What is left of a key without folders, ending, case of letters and white space: two keys that differ in no more are meant as one.
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
