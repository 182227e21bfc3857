//! `cairn eval --answers`: a submission against known answers, without a search.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::Write as _;
use std::path::Path;

use cairn::SearchRequest;
use cairn::eval::RecognitionTruth;
use cairndb_ingest::answers::{RevisitedAnswers, Submission};

use super::judge::{Judge, query_of};
use super::{recognition, show};
use crate::args::{Eval, Opened};
use crate::comparison::must_be_searched;
use crate::failure::{Failure, Result};
use crate::known::Known;
use crate::lists::text;
use crate::session;
use crate::solution::Solution;
use crate::terminal::{note, standard_output};

/// Scores the answers of a file; with a database, it also looks whether they are stored images.
///
/// # Errors
/// When a file cannot be read or is invalid, the answers are of another kind than the known ones, or have none of their queries or
/// images.
pub(super) fn run(args: &Eval, answers: &Path, truth: &Path) -> Result<()> {
    let known = Known::read(truth, args.truth_images.as_deref())?;
    let submission = Submission::read(text(answers)?)?;
    let names = (answers.display().to_string(), truth.display().to_string());
    let database = args.database.clone().map(|database| Opened { database, read_only: args.read_only });
    let snapshot = database.map(|opened| session::open(&opened)).transpose()?.map(|database| database.snapshot());
    let mut out = standard_output();
    match (known, submission) {
        (Known::Recognition(mut truth), Submission::Recognition(found)) => {
            let predicted: HashSet<String> = found.iter().map(|found| found.label.clone()).collect();
            let stored = snapshot.as_ref().map(recognition::stored_labels).transpose()?;
            recognition::join_known(&mut truth, |label| {
                predicted.contains(label) || stored.as_ref().is_some_and(|stored| stored.contains(label))
            });
            if let Some(stored) = &stored {
                recognition::must_be_stored(stored, &truth, &names.1)?;
            }
            must_share_labels(&truth, &found, (&names.0, &names.1))?;
            let rules = vec![("answers".to_owned(), found)];
            recognition::print(&mut out, args.format, rules, &truth, (&names.0, &names.1))?;
        }
        (known @ (Known::Retrieval(_) | Known::Revisited(_)), Submission::Retrieval(lists)) => {
            let judge = match &known {
                Known::Revisited(answers) => Judge::Revisited(answers),
                Known::Retrieval(solution) => Judge::Landmarks(solution, SearchRequest::new().depth),
                Known::Recognition(_) => return Err(other_kind(&names, "labels", "images")),
            };
            let lists = Lists { lists: &lists, answers: &names.0, truth: &names.1 };
            lists.check(&judge)?;
            if let Some(snapshot) = &snapshot {
                let named: BTreeSet<&str> = lists.lists.values().flatten().map(String::as_str).collect();
                must_be_searched(snapshot, SearchRequest::new().scope, &named, &names.0)?;
            }
            let order: Vec<&String> = lists.lists.keys().collect();
            let places: HashMap<String, usize> =
                order.iter().enumerate().map(|(at, query)| ((*query).clone(), at)).collect();
            let figures = judge.judge(&places, 1, |at| Ok(vec![lists.lists[order[at]].clone()]))?;
            let lines = figures.into_iter().map(|figures| ("answers".to_owned(), figures)).collect();
            show::figures(&mut out, args.format, &judge, lines)?;
        }
        (Known::Recognition(_), Submission::Retrieval(_)) => return Err(other_kind(&names, "labels", "images")),
        (_, Submission::Recognition(_)) => return Err(other_kind(&names, "images", "labels")),
    }
    Ok(out.flush()?)
}

fn other_kind((answers, truth): &(String, String), known: &str, found: &str) -> Failure {
    Failure::new(format!("{truth} has {known}, and {answers} has {found}"))
        .help("give known answers and answers of one kind: id,images for retrieval, id,landmarks for recognition")
}

/// Lists by query, and the names of both files.
struct Lists<'a> {
    lists: &'a HashMap<String, Vec<String>>,
    answers: &'a str,
    truth: &'a str,
}

impl Lists<'_> {
    /// Notes what counts as missed.
    ///
    /// # Errors
    /// None of the queries or of the images is known: every metric would be 0.
    fn check(&self, judge: &Judge<'_>) -> Result<()> {
        let queries = match judge {
            Judge::Landmarks(solution, _) => solution.truths().iter().map(|truth| truth.query.clone()).collect(),
            Judge::Revisited(answers) => (0..answers.count()).map(|at| query_of(answers, at)).collect::<Vec<_>>(),
        };
        let found = queries.iter().filter(|query| self.lists.contains_key(*query)).count();
        if found == 0 {
            let example = queries.first().map_or_else(String::new, |query| format!(", such as '{query}'"));
            return Err(Failure::new(format!("{} has none of the queries of {}{example}", self.answers, self.truth))
                .help("both must have the same ids of queries in the column id"));
        }
        let known = match judge {
            Judge::Landmarks(solution, _) => names_of(solution),
            Judge::Revisited(answers) => images_of(answers),
        };
        if let Some(image) = self.lists.values().flatten().next()
            && !self.lists.values().flatten().any(|image| known.contains(image.as_str()))
        {
            return Err(Failure::new(format!(
                "{} finds '{image}' and others, and {} names none of them",
                self.answers, self.truth
            ))
            .help("both must have the same ids of images"));
        }
        if found < queries.len() {
            note(&format!("note: {} queries of {} have no answer and count as 0", queries.len() - found, self.truth));
        }
        if let Judge::Revisited(answers) = judge {
            let all = answers.images().map_or(0, <[String]>::len);
            let short = self.lists.values().filter(|list| list.len() < all).count();
            if short > 0 {
                note(&format!(
                    "note: {short} lists rank fewer than the {all} images of {}; images without a rank count as not found",
                    self.truth
                ));
            }
        }
        Ok(())
    }
}

fn names_of(solution: &Solution) -> HashSet<&str> {
    solution.truths().iter().flat_map(|truth| &truth.relevant).map(String::as_str).collect()
}

fn images_of(answers: &RevisitedAnswers) -> HashSet<&str> {
    answers.images().unwrap_or_default().iter().map(String::as_str).collect()
}

/// Refuses predictions of which none is a known label.
fn must_share_labels(
    truth: &RecognitionTruth,
    found: &[cairn::eval::Recognised],
    (answers, name): (&str, &str),
) -> Result<()> {
    let shown: HashSet<&str> = truth.values().flatten().map(String::as_str).collect();
    match found.first() {
        Some(first) if !found.iter().any(|found| shown.contains(found.label.as_str())) => {
            Err(Failure::new(format!("{answers} predicts '{}' and others, and {name} has none of them", first.label))
                .help("both must have the same labels"))
        }
        _ => Ok(()),
    }
}
