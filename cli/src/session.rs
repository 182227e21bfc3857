//! An open database with everything that statements need: the model on first use, the output format, known answers.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cairn::clean::Cleaning;
use cairn::embed::FailedQuery;
use cairn::reports::{Answers, CheckReport, Part, Recognitions};
use cairn::{Arguments, Database, Outcome, Ports, Prepared, Snapshot, Watch};

use crate::args::{ModelArgs, Opened};
use crate::closing;
use crate::comparison::{self, Comparison, Measurable, print_metrics};
use crate::failure::{Failure, Result};
use crate::output::{Format, Target, name_failed, print_cleaning, print_outcome, print_recognitions};
use crate::report::{self, PhotoFolders};
use crate::solution::Solution;
use crate::terminal::note;
use crate::watch::Attention;

mod access;
mod model;
mod scripts;

pub(crate) use access::{open, open_for_writing};
pub(crate) use scripts::Execute;

/// An open database.
pub(crate) struct Session {
    pub(crate) database: Database,
    pub(crate) ports: Ports,
    pub(crate) format: Format,
    /// The command line says that nothing is written.
    only_read: bool,
    /// The model of the ports.
    watch: Arc<Attention>,
    /// Folders whose photos a report may show.
    pub(crate) folders: PhotoFolders,
    truth: Option<Solution>,
    truth_path: Option<PathBuf>,
    tally: Tally,
}

/// The counts that decide the end of a command.
#[derive(Default)]
struct Tally {
    /// Number of queries of files, and of those that could not run.
    queries: AtomicUsize,
    failed: AtomicUsize,
    /// Number of searches while answers were known, and of those whose queries have answers.
    searches: AtomicUsize,
    measured: AtomicUsize,
}

impl Drop for Session {
    fn drop(&mut self) {
        closing::close(self.database.clone());
    }
}

impl Session {
    /// Opens a database for reading; before the first statement that writes, it is opened for writing, unless the command line
    /// says that it is only read. The model is loaded when a statement first needs it.
    ///
    /// # Errors
    /// When the database cannot be opened or the known answers cannot be read.
    pub(crate) fn open(opened: &Opened, model: &ModelArgs, format: Format, truth: Option<&Path>) -> Result<Self> {
        let solution = truth.map(Solution::read).transpose()?;
        Ok(Self::on(access::open(opened)?, opened, model, format, (solution, truth)))
    }

    /// Opens a database for writing at once; for reading if the command line says so, or if it is a backup.
    ///
    /// # Errors
    /// As [`Session::open`]; when another process holds the database.
    pub(crate) fn open_for_writing(
        opened: &Opened,
        model: &ModelArgs,
        format: Format,
        truth: Option<&Path>,
    ) -> Result<Self> {
        if opened.read_only || Database::is_backup(&opened.database) {
            return Self::open(opened, model, format, truth);
        }
        let solution = truth.map(Solution::read).transpose()?;
        Ok(Self::on(access::open_for_writing(&opened.database)?, opened, model, format, (solution, truth)))
    }

    fn on(
        database: Database,
        opened: &Opened,
        model: &ModelArgs,
        format: Format,
        truth: (Option<Solution>, Option<&Path>),
    ) -> Self {
        let watch = Arc::new(Attention::new());
        let ports = model::ports(&database, model, Arc::clone(&watch) as Arc<dyn Watch>);
        let (truth, truth_path) = (truth.0, truth.1.map(Path::to_owned));
        let only_read = opened.read_only;
        let (folders, tally) = (PhotoFolders::default(), Tally::default());
        Self { database, ports, format, only_read, watch, folders, truth, truth_path, tally }
    }

    /// The same, with reports that may show the photos below these folders.
    ///
    /// # Errors
    /// When one of them does not exist.
    pub(crate) fn with_photos_from(mut self, folders: &[PathBuf]) -> Result<Self> {
        self.folders = PhotoFolders::new(folders)?;
        Ok(self)
    }

    /// The known answers, if there are any.
    pub(crate) fn truth(&self) -> Option<&Solution> {
        self.truth.as_ref()
    }

    /// Runs one statement.
    ///
    /// # Errors
    /// The statement's.
    pub(crate) fn execute(&self, statement: &Prepared) -> Result<Vec<Outcome>> {
        if !self.only_read {
            access::before(&self.database, statement)?;
        }
        let done = self.database.execute(statement, &Arguments::default(), &self.ports);
        self.watch.rest();
        Ok(done?)
    }

    /// Writes an outcome: rows, or the statement's report; then its metrics, if answers are known.
    ///
    /// # Errors
    /// When the output or the report cannot be written, or when the outcome is a check that found something.
    pub(crate) fn show(&self, outcome: &Outcome, into: Option<Target>, out: &mut dyn Write) -> Result<()> {
        let answers = match outcome {
            Outcome::Answers(answers) => answers,
            Outcome::Cleaned(cleaning) => return self.show_cleaning(cleaning, into, out),
            Outcome::Recognitions(found) => return self.show_recognitions(found, into, out),
            outcome => {
                print_outcome(out, self.format, outcome)?;
                return must_be_sound(outcome);
            }
        };
        // A program that reads arrays counts on one for each statement.
        if into.is_none() || self.format != Format::Table {
            print_outcome(out, self.format, outcome)?;
            out.flush()?;
        }
        if let Some(target) = into {
            self.write_report(target, answers)?;
        }
        if !answers.failed.is_empty() {
            out.flush()?;
            self.failed_queries(&answers.failed, answers.asked.len());
        }
        if let Some(truth) = &self.truth {
            self.measure(answers, truth, out)?;
        }
        Ok(())
    }

    /// The result comes first: it stays even if the report cannot be written.
    fn show_cleaning(&self, cleaning: &Cleaning, into: Option<Target>, out: &mut dyn Write) -> Result<()> {
        print_cleaning(out, self.format, cleaning, into.is_none())?;
        let Some(target) = into else { return Ok(()) };
        out.flush()?;
        let path = target.path().to_owned();
        let snapshot = cleaning.snapshot.clone().unwrap_or_else(|| self.database.snapshot());
        report::write_cleaning(target, self.facts(&snapshot, None), (&snapshot, &self.folders), cleaning)?;
        self.written(&path);
        Ok(())
    }

    fn show_recognitions(&self, found: &Recognitions, into: Option<Target>, out: &mut dyn Write) -> Result<()> {
        print_recognitions(out, self.format, found, into.is_none())?;
        out.flush()?;
        if let Some(target) = into {
            let snapshot = found.snapshot.clone().unwrap_or_else(|| self.database.snapshot());
            let (path, facts) = (target.path().to_owned(), self.facts(&snapshot, Some(found.asked.len())));
            report::write_recognitions(target, facts, (&snapshot, &self.folders), found)?;
            self.written(&path);
        }
        if !found.failed.is_empty() {
            self.failed_queries(&found.failed, found.asked.len());
        }
        Ok(())
    }

    /// Lists queries that could not run, and counts those that ran.
    pub(crate) fn failed_queries(&self, failed: &[FailedQuery], asked: usize) {
        self.tally.queries.fetch_add(asked + failed.len(), Ordering::Relaxed);
        if failed.is_empty() {
            return;
        }
        self.tally.failed.fetch_add(failed.len(), Ordering::Relaxed);
        note(&format!("{} of {} queries could not run:", failed.len(), asked + failed.len()));
        let names: Vec<String> = failed.iter().map(FailedQuery::name).collect();
        name_failed(names.iter().zip(failed).map(|(name, failed)| (&**name, &*failed.reason)));
    }

    /// The end of a command all of whose statements ran.
    ///
    /// # Errors
    /// `Partly`: some queries of a file could not run; the others are answered. `Failed`: answers are known, but for none of the
    /// queries of the searches.
    pub(crate) fn end(&self) -> Result<()> {
        let [queries, failed, searches, measured] =
            [&self.tally.queries, &self.tally.failed, &self.tally.searches, &self.tally.measured]
                .map(|count| count.load(Ordering::Relaxed));
        if searches > 0 && measured == 0 {
            let name = self.truth_path.as_deref().unwrap_or(Path::new("")).display();
            return Err(Failure::new(format!("{name} has none of the queries that ran, so nothing was measured"))
                .help("it must have the queries' ids: those of the list's id column, or the photo's file name without extension"));
        }
        if failed > 0 {
            return Err(Failure::partly(format!("{failed} of {queries} queries could not run"))
                .help("the others are answered; the errors are listed above"));
        }
        Ok(())
    }

    fn measure(&self, answers: &Answers, truth: &Solution, out: &mut dyn Write) -> Result<()> {
        self.tally.searches.fetch_add(1, Ordering::Relaxed);
        if comparison::known(&answers.asked, truth) == 0 {
            note("note: the known answers have none of these queries");
            return Ok(());
        }
        self.tally.measured.fetch_add(1, Ordering::Relaxed);
        let snapshot = self.database.snapshot();
        let measurable = Measurable { asked: &answers.asked, snapshot: &snapshot, scope: answers.plan.request.scope };
        let path = self.truth_path.as_deref().unwrap_or(Path::new("the known answers")).display().to_string();
        measurable.check(truth, "this statement", &path)?;
        let ranked = comparison::ranked(&answers.asked, &answers.answers);
        // It measures the rows that the statement returned.
        let depth = answers.plan.request.limit;
        let metrics = cairn::eval::evaluate(truth.truths(), &ranked, depth);
        // Standard output has only rows for programs.
        let lines = [("this statement", metrics)];
        if self.format.is_for_people() {
            print_metrics(out, self.format, depth, &lines)
        } else {
            print_metrics(&mut std::io::stderr(), Format::Table, depth, &lines)
        }
    }

    fn write_report(&self, target: Target, answers: &Answers) -> Result<()> {
        let snapshot = answers.snapshot.clone().unwrap_or_else(|| self.database.snapshot());
        let comparison = Comparison::of(&snapshot, answers)?;
        let title = match comparison.asked.as_slice() {
            [one] => format!("Search: {}", report::named(&one.name)),
            many => format!("Search: {} queries", many.len()),
        };
        let (path, facts) = (target.path().to_owned(), self.facts(&snapshot, Some(answers.asked.len())));
        report::write(target, &title, facts, (&snapshot, &self.folders), &comparison, self.truth())?;
        self.written(&path);
        Ok(())
    }

    /// Prints the path of a report, and which photos were read for it.
    pub(crate) fn written(&self, path: &Path) {
        self.folders.told().iter().for_each(|read| note(read));
        note(&format!("report: {}", absolute(path).display()));
    }

    /// A report's facts about the database, as it was when it answered.
    pub(crate) fn facts(&self, snapshot: &Snapshot, queries: Option<usize>) -> Vec<(String, String)> {
        let (counts, options) = (snapshot.counts(), snapshot.options());
        let model = options.model.as_ref().map_or("your own vectors", |model| model.name.as_str());
        let mut facts = vec![
            ("database", report::file_name(self.database.folder())),
            ("model", format!("{model}, {} dimensions", options.dimension)),
            ("train", format!("{} images, {} labels", counts.train, counts.labels)),
            ("index", format!("{} images", counts.index)),
        ];
        facts.extend(queries.map(|queries| ("queries", queries.to_string())));
        if let Some(path) = &self.truth_path {
            facts.push(("known answers", report::file_name(path)));
        }
        facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// A check that found something fails, so that scripts notice.
///
/// # Errors
/// The outcome is such a check.
pub(crate) fn must_be_sound(outcome: &Outcome) -> Result<()> {
    let Outcome::Checked(CheckReport { problems, .. }) = outcome else { return Ok(()) };
    if problems.is_empty() {
        return Ok(());
    }
    let all_are = |parts: &[Part]| problems.iter().all(|problem| parts.contains(&problem.part));
    // Segments and the neighbour graph are copies: the database rewrites damaged segments itself.
    Err(Failure::corrupt("the check found problems").help(if all_are(&[Part::Segment]) {
        "no image is lost: the database rewrites segments while it is open for writing; check again afterwards"
    } else if all_are(&[Part::Segment, Part::Graph]) {
        "no image is lost: run COMPACT NEIGHBOURS, which also rewrites segments; check again afterwards"
    } else {
        "restore a backup (cairn restore BACKUP DB); without one, save what is left: cairn repair DB"
    }))
}

/// A path that is also valid in another folder.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use cairn::reports::Problem;

    use super::*;
    use crate::exit::Exit;

    #[test]
    fn a_check_that_finds_something_fails_as_corrupt() {
        let of = |problems: &[(Part, &str)]| {
            let problems = problems.iter().map(|&(part, message)| Problem::new(part, message)).collect();
            must_be_sound(&Outcome::Checked({
                let mut report = CheckReport::default();
                report.problems = problems;
                report
            }))
        };
        assert!(of(&[]).is_ok());
        let segments = of(&[(Part::Segment, "segment 1 is gone")]).unwrap_err();
        assert!(segments.exit() == Exit::Corrupt && segments.to_string().contains("no image is lost"));
        let graph = of(&[(Part::Segment, "segment 1 is gone"), (Part::Graph, "a wrong edge")]).unwrap_err();
        assert!(graph.to_string().contains("no image is lost: run COMPACT NEIGHBOURS"), "{graph}");
        assert!(
            of(&[(Part::Segment, "segment 1 is gone"), (Part::Images, "image 3 has no descriptor")])
                .unwrap_err()
                .to_string()
                .contains("repair")
        );
    }

    /// A session on a new database of four images, and a statement that ran on it.
    fn ran(home: &Path, text: &str) -> (Session, Vec<Outcome>) {
        let folder = home.join("db");
        let database = Database::create(&folder, cairn::Options::for_vectors(2)).unwrap();
        let put = |key: &str, label: Option<&str>, x: f32| {
            let put = {
                let mut put = cairn::Put::new(key, [1.0, x]);
                put.source = Some(format!("/photos/{key}"));
                put
            };
            label.map_or(put.clone(), |label| put.label(label)).into()
        };
        let images = [put("a", Some("old"), 0.0), put("b", Some("old"), 0.1), put("c", None, 0.2), put("d", None, 0.3)];
        database.write(images).unwrap();
        let opened = Opened { database: folder, read_only: false };
        let model = ModelArgs { device: crate::args::DeviceWord::Cpu, weights: None };
        let session = Session::on(database, &opened, &model, Format::Csv, (None, None));
        let outcomes = session.execute(&Database::prepare(text).unwrap()).unwrap();
        (session, outcomes)
    }

    /// The printed answer is the one at the time of the search, whatever is written before it is printed.
    ///
    /// It catches: a column, a report or its facts that are read when the answer is printed.
    #[test]
    fn what_is_written_behind_an_answer_is_not_in_it() {
        let home = tempfile::tempdir().unwrap();
        let page = home.path().join("a.html");
        let statement = "SEARCH ID 'd' IN all INCLUDING SELF RETURN id, label, split, path, instance";
        let (session, outcomes) = ran(home.path(), &format!("{statement} INTO '{}'", page.display()));
        let later = "LABEL ID 'a' AS 'new'; UNLABEL ID 'b'; DELETE ID 'c'; LABEL ID 'd' AS 'new'";
        later.split("; ").for_each(|text| drop(session.execute(&Database::prepare(text).unwrap()).unwrap()));
        let mut out = Vec::new();
        session.show(&outcomes[0], None, &mut out).unwrap();
        let shown = String::from_utf8(out).unwrap();
        let rows: Vec<&str> = shown.lines().skip(1).collect();
        let expected = [
            "d,,index,/photos/d,old",
            "c,,index,/photos/c,old",
            "b,old,train,/photos/b,old",
            "a,old,train,/photos/a,old",
        ];
        assert_eq!(rows, expected);
        session.show(&outcomes[0], Some(report::target(&page, false).unwrap()), &mut Vec::new()).unwrap();
        let text = std::fs::read_to_string(&page).unwrap();
        for of_then in ["2 images, 1 labels", ">c<", ">old<"] {
            assert!(text.contains(of_then), "{of_then}: {text}");
        }
        assert!(!text.contains(">new<"), "{text}");
    }
}
