//! `cairn eval`: methods on queries with known answers, and answers as files.

mod judge;
mod queries;
mod recognition;
mod scored;
mod searched;
mod sheet;
mod show;
mod submission;
mod table;

use std::collections::{BTreeSet, HashMap};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use cairn::limits::MAX_SEARCH_DEPTH;
use cairn::reports::Asked;
use cairn::{Rerank, SearchRequest, Snapshot};
use cairndb_ingest::answers::RevisitedAnswers;

use judge::{Judge, places};
use searched::Searches;
use table::Measured;

use crate::args::{Eval, ModelArgs, Opened};
use crate::comparison::{Comparison, METHODS, Measurable, must_be_searched, print_metrics, query_id};
use crate::failure::{Failure, Result};
use crate::known::Known;
use crate::lists::one_standard;
use crate::output::{Format, Replace, Target};
use crate::report;
use crate::session::Session;
use crate::solution::Solution;
use crate::terminal::{note, standard_output};

/// Runs the command.
///
/// # Errors
/// When a file cannot be read, an option makes no sense, or a search fails.
pub(super) fn run(args: &Eval) -> Result<()> {
    let lists = [&args.query_ids, &args.truth, &args.truth_images, &args.answers];
    one_standard(lists.into_iter().filter_map(Option::as_deref))?;
    if let (Some(answers), Some(truth)) = (&args.answers, &args.truth) {
        return scored::run(args, answers, truth);
    }
    let missing = |what: &str| Failure::usage(format!("{what} is missing"));
    let database = args.database.clone().ok_or_else(|| missing("the folder of the database"))?;
    evaluate(&Asking {
        opened: &Opened { database, read_only: args.read_only },
        queries: args.queries.as_deref().ok_or_else(|| missing("--queries"))?,
        ids: args.query_ids.as_deref(),
        truth: args.truth.as_deref(),
        truth_images: args.truth_images.as_deref(),
        submission: args.submission.as_deref(),
        k: args.k,
        tau: args.tau,
        compare: match (args.table, args.ablation, args.grid) {
            (true, ..) => Some(Comparing::Methods),
            (_, true, _) => Some(Comparing::Steps),
            (.., true) => Some(Comparing::Grid),
            _ => None,
        },
        report: args.report.as_deref(),
        photos_from: &args.photos.photos_from,
        overwrite: args.overwrite,
        title: "Evaluation",
        format: args.format,
        model: &args.model,
    })
}

/// What an evaluation compares, if not the steps of the paper.
#[derive(Clone, Copy)]
pub(super) enum Comparing {
    /// Every method.
    Methods,
    /// Each step of the second stage alone.
    Steps,
    /// Several k and tau.
    Grid,
}

/// The arguments of an evaluation.
pub(super) struct Asking<'a> {
    pub(super) opened: &'a Opened,
    pub(super) queries: &'a Path,
    pub(super) ids: Option<&'a Path>,
    /// Known answers; only a submission can do without.
    pub(super) truth: Option<&'a Path>,
    pub(super) truth_images: Option<&'a Path>,
    pub(super) submission: Option<&'a Path>,
    pub(super) k: Option<usize>,
    pub(super) tau: f64,
    pub(super) compare: Option<Comparing>,
    pub(super) report: Option<&'a Path>,
    /// Folders from which the report may show photos.
    pub(super) photos_from: &'a [PathBuf],
    /// The report and the submission may replace any file.
    pub(super) overwrite: bool,
    pub(super) title: &'a str,
    pub(super) format: Format,
    pub(super) model: &'a ModelArgs,
}

/// Measures, prints the table, and writes the report and the submission.
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
    // It checks the names before the work, so that the work is not lost to a name that cannot be written.
    let report = asking.report.map(|path| report::target(path, asking.overwrite)).transpose()?;
    let replace = Replace::Nothing.or_anything(asking.overwrite);
    let submission = asking.submission.map(|path| Target::check(path, replace)).transpose()?;
    Target::must_differ(report.iter().chain(&submission))?;
    let known = asking.truth.map(|path| Known::read(path, asking.truth_images)).transpose()?;
    must_be_measured(known.as_ref(), asking)?;
    let session = Session::open(asking.opened, asking.model, asking.format, None)?;
    let session = session.with_photos_from(asking.photos_from)?;
    let by_number = matches!(&known, Some(Known::Revisited(answers)) if answers.queries().is_none());
    let (asked, failed) = queries::read(&session, asking, !by_number)?;
    let snapshot = session.database.snapshot();
    let k = asking.k.unwrap_or(snapshot.options().vote_k);
    let count = asked.len();
    let work = Work { asking, session: &session, snapshot: &snapshot, failed: failed.len(), k };
    match &known {
        None => {
            let answers = work.lists(&asked)?;
            submission.map(|target| submission::lists(target, &answers)).transpose()?;
        }
        Some(Known::Retrieval(solution)) => work.retrieval(asked, solution, (report, submission))?,
        Some(Known::Recognition(truth)) => {
            let name = work.truth();
            let (mut truth, stored) = (truth.clone(), recognition::stored_labels(&snapshot)?);
            recognition::join_known(&mut truth, |label| stored.contains(label));
            recognition::must_be_stored(&stored, &truth, &name)?;
            let rules = recognition::predictions(&snapshot, &asked, k)?;
            if let (Some(target), Some(vote)) = (submission, rules.first()) {
                submission::predictions(target, &asked, vote)?;
            }
            let mut out = standard_output();
            let queries = asking.queries.display().to_string();
            recognition::print(&mut out, asking.format, rules, &truth, (&queries, &name))?;
            out.flush()?;
        }
        Some(Known::Revisited(answers)) => {
            work.revisited(&asked, answers, report)?;
            if let Some(target) = submission {
                submission::lists(target, &work.lists(&asked)?)?;
            }
        }
    }
    if let Some(path) = asking.submission {
        note(&format!("submission: {}", path.display()));
    }
    session.failed_queries(&failed, count);
    session.end()
}

/// Refuses options that these known answers do not serve.
///
/// # Errors
/// There is such an option.
fn must_be_measured(known: Option<&Known>, asking: &Asking<'_>) -> Result<()> {
    let option = match asking.compare {
        Some(Comparing::Methods) => "--table",
        Some(Comparing::Steps) => "--ablation",
        Some(Comparing::Grid) => "--grid",
        None => "--report",
    };
    let (what, help) = match (known, asking.compare, asking.report) {
        (None, _, Some(_)) => (
            "--report shows answers beside known ones, and there is no --truth".to_owned(),
            "leave --report out, or name known answers with --truth",
        ),
        (Some(Known::Recognition(_)), Some(_), _) | (Some(Known::Recognition(_)), _, Some(_)) => (
            format!("{option} measures retrieval, and the known answers are labels"),
            "leave it out, or give known answers with the header id,images,Usage",
        ),
        (Some(Known::Revisited(_)), None, Some(_)) => (
            "--report has no page of whole rankings with easy, hard and junk images".to_owned(),
            "write --table, --ablation or --grid beside it, or leave --report out",
        ),
        _ => return Ok(()),
    };
    Err(Failure::usage(what).help(help))
}

/// What every kind of known answers is measured with.
struct Work<'a> {
    asking: &'a Asking<'a>,
    session: &'a Session,
    snapshot: &'a Snapshot,
    /// Number of queries that could not run.
    failed: usize,
    k: usize,
}

impl Work<'_> {
    /// The name of the known answers in messages.
    fn truth(&self) -> String {
        self.asking.truth.map_or_else(String::new, |path| path.display().to_string())
    }

    /// A report's facts about this many queries.
    fn facts(&self, queries: usize) -> Vec<(String, String)> {
        let mut facts = self.session.facts(self.snapshot, Some(queries));
        facts.extend(self.asking.truth.map(|path| ("known answers".to_owned(), report::file_name(path))));
        facts
    }

    /// The answers of sort + insert for each query with an id.
    fn lists(&self, asked: &[Asked]) -> Result<Vec<(String, Vec<String>)>> {
        let request = SearchRequest::new().rerank(Rerank::new().k(self.k).tau(self.asking.tau));
        let mut lists = Vec::new();
        for asked in asked {
            let Some(id) = query_id(asked) else { continue };
            let answer = self.snapshot.search_one(&request, &asked.query)?;
            lists.push((id.to_owned(), answer.rows.into_iter().map(|row| row.id).collect()));
        }
        Ok(lists)
    }

    /// Many methods, many parameters, or the three steps of the paper.
    fn compare(&self, asked: &[Asked], judge: Judge<'_>, compare: Comparing, report: Option<Target>) -> Result<()> {
        let places = places(&judge, asked, asked.len() + self.failed)?;
        let format = self.asking.format;
        let measured = Measured { snapshot: self.snapshot, asked, places: &places, judge, format };
        let mut out = standard_output();
        let (title, sheet) = match compare {
            Comparing::Methods => ("Methods", measured.table(&mut out, self.k, self.asking.tau)?),
            Comparing::Steps => ("Steps of the re-ranking", measured.ablation(&mut out, self.k, self.asking.tau)?),
            Comparing::Grid => ("Voters and thresholds", measured.grid(&mut out)?),
        };
        out.flush()?;
        if let (Some(target), Some(path)) = (report, self.asking.report) {
            report::write_sheet(target, title, &self.facts(asked.len()), &sheet)?;
            self.session.written(path);
        }
        Ok(())
    }

    fn retrieval(
        &self,
        asked: Vec<Asked>,
        truth: &Solution,
        (report, submission): (Option<Target>, Option<Target>),
    ) -> Result<()> {
        let asking = self.asking;
        let request = SearchRequest::default();
        let measurable = Measurable { asked: &asked, snapshot: self.snapshot, scope: request.scope };
        measurable.check(truth, &asking.queries.display().to_string(), &self.truth())?;
        if let Some(compare) = asking.compare {
            return self.compare(&asked, Judge::Landmarks(truth, request.depth), compare, report);
        }
        let count = asked.len();
        let comparison = Comparison::run(self.snapshot, asked, &request, (self.k, asking.tau), None)?;
        let metrics = comparison.metrics(truth);
        let ranges = self.ranges(&comparison, truth)?;
        let index = self.snapshot.counts().index;
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
        note(&ranges);
        if let Some(target) = submission {
            submission::lists(target, &comparison.last_lists())?;
        }
        if let (Some(target), Some(path)) = (report, asking.report) {
            let shown = (self.snapshot, &self.session.folders);
            report::write(target, asking.title, self.facts(count), shown, &comparison, Some(truth))?;
            self.session.written(path);
        }
        Ok(())
    }

    /// The range of each method's mean average precision, in words: people and programs read the table's columns by their names.
    fn ranges(&self, comparison: &Comparison, truth: &Solution) -> Result<String> {
        let judge = Judge::Landmarks(truth, comparison.depth);
        let places = places(&judge, &comparison.asked, comparison.asked.len() + self.failed)?;
        let figures = judge.judge(&places, METHODS.len(), |query| Ok(comparison.lists(query).to_vec()))?;
        let range = |(name, figures): (&str, &Vec<judge::Figure>)| {
            let range = figures[0].range()?;
            Some(format!("{name} {:.2} to {:.2}", range.least, range.most))
        };
        let ranges: Vec<String> = METHODS.into_iter().zip(&figures).filter_map(range).collect();
        Ok(format!("mAP@{}: {}; {}", comparison.depth, ranges.join(", "), judge::about_ranges()))
    }

    fn revisited(&self, asked: &[Asked], answers: &RevisitedAnswers, report: Option<Target>) -> Result<()> {
        let judge = Judge::Revisited(answers);
        let places = places(&judge, asked, asked.len() + self.failed)?;
        self.must_be_measurable(answers, &places)?;
        if let Some(compare) = self.asking.compare {
            return self.compare(asked, judge, compare, report);
        }
        let steps = Rerank::new().k(self.k);
        let second = vec![None, Some(steps.sort_only()), Some(steps.tau(self.asking.tau))];
        let mut searches = Searches::begin(self.snapshot, asked, &judge, (SearchRequest::new(), second))?;
        let figures = judge.judge(&places, METHODS.len(), |query| Ok(searches.lists(query)?))?;
        let lines = METHODS.into_iter().map(str::to_owned).zip(figures).collect();
        let mut out = standard_output();
        show::figures(&mut out, self.asking.format, &judge, lines)?;
        Ok(out.flush()?)
    }

    /// Notes what counts as missed, and images that the known answers do not know.
    ///
    /// # Errors
    /// None of the queries or of the images is known: every metric would be 0.
    fn must_be_measurable(&self, answers: &RevisitedAnswers, places: &HashMap<String, usize>) -> Result<()> {
        let (truth, queries) = (self.truth(), self.asking.queries.display());
        let ran = (0..answers.count()).filter(|&at| places.contains_key(&judge::query_of(answers, at))).count();
        if ran == 0 {
            return Err(Failure::new(format!("{truth} has none of the queries of {queries}")).help(
                "qimlist must have the queries' ids: those of the list's id column, or of --query-ids for vectors",
            ));
        }
        if ran < answers.count() {
            note(&format!("note: {} queries of {truth} did not run and count as 0", answers.count() - ran));
        }
        let images = answers.images().unwrap_or_default();
        let named: BTreeSet<&str> = images.iter().map(String::as_str).collect();
        must_be_searched(self.snapshot, SearchRequest::new().scope, &named, &truth)?;
        let index = self.snapshot.counts().index;
        if index > MAX_SEARCH_DEPTH {
            note(&format!(
                "note: a ranking ends at {MAX_SEARCH_DEPTH} of the {index} index images; what stands behind counts as not found"
            ));
        }
        if index > images.len() {
            note(&format!(
                "note: the database has {index} index images, {truth} {}; those that it does not name count as wrong",
                images.len()
            ));
        }
        Ok(())
    }
}
