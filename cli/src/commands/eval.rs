//! `cairn eval`: kNN, sort-step and sort+insert side by side on queries with known answers.

use std::collections::HashSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use cairn::embed::{FailedQuery, NamedQuery, QueryFile};
use cairn::reports::Asked;
use cairn::{Photo, Query, SearchRequest};
use cairndb_ingest::source::read_ids;

use super::eval_table::Measured;
use crate::args::{Eval, ModelArgs, Opened};
use crate::comparison::{Comparison, METHODS, Measurable, print_metrics};
use crate::failure::{Failure, Result};
use crate::lists::{one_standard, text};
use crate::output::Format;
use crate::report;
use crate::session::Session;
use crate::terminal::{note, standard_output};

/// Runs the command.
///
/// # Errors
/// When a file cannot be read, an option makes no sense, or a search fails.
pub(super) fn run(args: &Eval) -> Result<()> {
    one_standard(args.query_ids.as_deref().into_iter().chain([args.truth.as_path()]))?;
    let asked = Asking {
        opened: &args.opened,
        queries: &args.queries,
        ids: args.query_ids.as_deref(),
        truth: &args.truth,
        k: args.k,
        tau: args.tau,
        compare: match (args.table, args.grid) {
            (true, _) => Some(Comparing::Methods),
            (_, true) => Some(Comparing::Grid),
            _ => None,
        },
        report: args.report.as_deref(),
        photos_from: &args.photos.photos_from,
        overwrite: args.overwrite,
        title: "Evaluation",
        format: args.format,
        model: &args.model,
    };
    evaluate(&asked)
}

/// What an evaluation compares, if not the steps of the paper.
#[derive(Clone, Copy)]
pub(super) enum Comparing {
    /// Every method.
    Methods,
    /// Several k and tau.
    Grid,
}

/// The arguments of an evaluation.
pub(super) struct Asking<'a> {
    pub(super) opened: &'a Opened,
    pub(super) queries: &'a Path,
    pub(super) ids: Option<&'a Path>,
    pub(super) truth: &'a Path,
    pub(super) k: Option<usize>,
    pub(super) tau: f64,
    pub(super) compare: Option<Comparing>,
    pub(super) report: Option<&'a Path>,
    /// Folders from which the report may show photos.
    pub(super) photos_from: &'a [PathBuf],
    /// The report may replace any file.
    pub(super) overwrite: bool,
    pub(super) title: &'a str,
    pub(super) format: Format,
    pub(super) model: &'a ModelArgs,
}

/// Measures, prints the table and writes the report.
///
/// # Errors
/// As [`run`].
pub(super) fn evaluate(asking: &Asking<'_>) -> Result<()> {
    if !(-2.0..=2.0).contains(&asking.tau) {
        return Err(Failure::usage(format!("--tau {} is out of range", asking.tau))
            .help("tau is a threshold on the sum of two scores of at most 1: -2 to 2; the paper uses 0.6"));
    }
    if asking.k == Some(0) {
        return Err(Failure::usage("--k must be at least 1"));
    }
    // It checks the name before the work, so that the work is not lost to a name that cannot be written.
    let target = asking.report.map(|path| report::target(path, asking.overwrite)).transpose()?;
    let session = Session::open(asking.opened, asking.model, asking.format, Some(asking.truth))?;
    let session = session.with_photos_from(asking.photos_from)?;
    let truth = session.truth().ok_or_else(|| Failure::new("no known answers"))?;
    let (asked, failed) = queries(&session, asking)?;
    let snapshot = session.database.snapshot();
    let request = SearchRequest::default();
    let named = |path: &Path| path.display().to_string();
    let measurable = Measurable { asked: &asked, snapshot: &snapshot, scope: request.scope };
    measurable.check(truth, &named(asking.queries), &named(asking.truth))?;
    let k = asking.k.unwrap_or(snapshot.options().vote_k);
    let count = asked.len();
    if let Some(compare) = asking.compare {
        let measured = Measured { snapshot: &snapshot, asked: &asked, truth, format: asking.format };
        let mut out = standard_output();
        match compare {
            Comparing::Methods => measured.table(&mut out, k, asking.tau)?,
            Comparing::Grid => measured.grid(&mut out)?,
        }
        out.flush()?;
        session.failed_queries(&failed, count);
        return session.end();
    }
    let comparison = Comparison::run(&snapshot, asked, &request, (k, asking.tau), None)?;
    let metrics = comparison.metrics(truth);
    let index = snapshot.counts().index;
    if index * 2 <= comparison.depth * 3 {
        note(&format!(
            "note: every query retrieves {} of the {index} index images: the insert-step has little to add",
            comparison.depth.min(index)
        ));
    }
    let mut out = standard_output();
    let lines: Vec<_> = METHODS.into_iter().zip(metrics).collect();
    print_metrics(&mut out, asking.format, comparison.depth, &lines)?;
    out.flush()?;
    if let (Some(target), Some(path)) = (target, asking.report) {
        let (facts, shown) = (session.facts(&snapshot, Some(count)), (&snapshot, &session.folders));
        report::write(target, asking.title, facts, shown, &comparison, Some(truth))?;
        session.written(path);
    }
    session.failed_queries(&failed, count);
    session.end()
}

/// The queries that can run, and those that cannot.
fn queries(session: &Session, asking: &Asking<'_>) -> Result<(Vec<Asked>, Vec<FailedQuery>)> {
    let reader = session.ports.queries.as_ref().ok_or_else(|| Failure::new("this program cannot read queries"))?;
    let QueryFile { queries, mut failed, .. } = reader.read(asking.queries)?;
    let ids = asking.ids.map(|path| read_query_ids(path, queries.len() + failed.len())).transpose()?;
    for failed in &mut failed {
        failed.id = ids.as_ref().map(|ids| ids[failed.number].clone()).or(failed.id.take());
    }
    if let (true, Some(first)) = (queries.is_empty(), failed.first()) {
        let what = format!("{}: none of its queries can run; {}", asking.queries.display(), first.name());
        return Err(Failure::new(format!("{what}: {}", first.reason)));
    }
    if ids.is_none() && queries.iter().all(|query| query.id.is_none()) {
        return Err(Failure::new(format!("the queries of {} have no ids", asking.queries.display()))
            .help("give them with --query-ids FILE, one per line, in the order of the vectors"));
    }
    let asked = |query: NamedQuery| {
        let id = ids.as_ref().map(|ids| ids[query.number].clone()).or(query.id);
        let name = match (&query.photo, &id) {
            (Some(Photo::File(path)), None) => path.display().to_string(),
            (_, Some(id)) => id.clone(),
            _ => format!("query {}", query.number),
        };
        let (vector, photo, number) = (query.vector, query.photo, query.number);
        Asked::new(name, number, Query::new(vector)).id(id).photo(photo)
    };
    Ok((queries.into_iter().map(asked).collect(), failed))
}

/// The ids of this many queries, one per line, without white space around them.
fn read_query_ids(path: &Path, queries: usize) -> Result<Vec<String>> {
    let ids = read_ids(text(path)?, queries)?;
    let ids: Vec<String> = ids.into_iter().map(|id| id.trim().to_owned()).collect();
    let mut seen = HashSet::new();
    match ids.iter().enumerate().find(|(_, id)| id.is_empty() || !seen.insert(id.as_str())) {
        None => Ok(ids),
        Some((line, id)) => {
            Err(Failure::new(format!("{}: line {} is empty or repeats the id '{id}'", path.display(), line + 1)))
        }
    }
}
