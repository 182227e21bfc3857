//! Runs statements. The query language parses and plans them; here a plan runs.

use std::path::{Path, PathBuf};

use cairndb_query::{
    CleanPlan, CleanRule, Diagnostic, Effect, Facts, Freshness, Piece, Plan, Role, Scope, Source, Statement, check,
    fill, plan,
};

use super::arguments::{Argument, Arguments};
use super::database::Database;
use super::outcome::{Answers, Outcome};
use super::ports::Ports;
use super::prepared::Prepared;
use super::verifying::{recognised, verified};
use crate::answer::{Asked, Prediction, Query, Stage};
use crate::attribute::Attributes;
use crate::clean::{Cleaning, Sights};
use crate::error::{Error, ErrorKind, Result};
use crate::operation::{Operation, Put, Receipt};
use crate::options::GRAPH_FROM_ROWS;
use crate::ports::{Embedded, FailedQuery, NamedQuery, Photo, QueryFile};
use crate::progress::Watch;
use crate::state::Snapshot;
use crate::write::{another_model, unnamed};

/// How often a photo is embedded again because another model became active; that takes minutes each.
const MODEL_TRIES: usize = 3;

/// An image of a statement, resolved to a descriptor.
struct Resolved {
    asked: Asked,
    /// For photos: what a PUT stores with the descriptor.
    embedded: Option<Embedded>,
}

/// The queries that can run, and those that cannot.
type Queries = (Vec<Asked>, Vec<FailedQuery>);

impl Database {
    /// Parses the statements of a text, to run them later and any number of times ([`Database::execute`]).
    ///
    /// # Errors
    /// `Invalid` with every mistake, shown with its place ([`Error::diagnostics`]).
    ///
    /// ```
    /// # fn main() -> cairn::Result<()> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// use cairn::{Arguments, Database, Options, Ports};
    ///
    /// let database = Database::create(&folder.path().join("places"), Options::for_vectors(2))?;
    /// let put = Database::prepare("PUT ID $1 $2 LABEL $3")?;
    /// for (key, label) in [("a", "Louvre"), ("b", "Pantheon")] {
    ///     database.execute(&put, &Arguments::of([key.into(), vec![0.6, 0.8].into(), label.into()]), &Ports::default())?;
    /// }
    /// let error = Database::prepare("SEARCH a K 0").unwrap_err();
    /// assert_eq!(error.diagnostics()[0].code(), "too-small");
    /// # Ok(())
    /// # }
    /// ```
    pub fn prepare(text: &str) -> Result<Prepared> {
        Prepared::of_piece(Piece::alone(text))
    }

    /// Runs prepared statements in order and returns one outcome each.
    ///
    /// It checks the arguments for all of them first: a mistake in any runs none. Statements before a failing one keep their
    /// effect; [`Database::execute_each`] also passes on their outcomes.
    ///
    /// # Errors
    /// `Invalid` if an argument is missing or does not fit its place ([`Error::diagnostics`]), or if INTO names a report and the
    /// program writes none ([`Ports::writes_reports`]); otherwise the error of the first failing statement, with the number of
    /// statements before it that ran.
    pub fn execute(&self, prepared: &Prepared, arguments: &Arguments, ports: &Ports) -> Result<Vec<Outcome>> {
        collected(|done| self.execute_each(prepared, arguments, ports, done))
    }

    /// [`Database::execute`] that passes on each outcome at once, whatever happens to later statements.
    ///
    /// # Errors
    /// As [`Database::execute`], with the message of the statement alone.
    pub fn execute_each(
        &self,
        prepared: &Prepared,
        arguments: &Arguments,
        ports: &Ports,
        done: &mut dyn FnMut(Outcome),
    ) -> Result<()> {
        self.run_all(prepared, Vec::new(), arguments, ports, done)
    }

    /// Parses the statements of a text and runs them in order: one outcome each.
    ///
    /// It checks the text as a whole first: a mistake in any statement runs none of them. Statements before a failing one keep
    /// their effect; [`Database::query_each`] also passes on their outcomes.
    ///
    /// # Errors
    /// As [`Database::prepare`] and [`Database::execute`].
    pub fn query(&self, text: &str, arguments: &Arguments, ports: &Ports) -> Result<Vec<Outcome>> {
        collected(|done| self.query_each(text, arguments, ports, done))
    }

    /// [`Database::query`] that passes on each outcome at once, whatever happens to later statements.
    ///
    /// # Errors
    /// As [`Database::query`], with the message of the statement alone.
    pub fn query_each(
        &self,
        text: &str,
        arguments: &Arguments,
        ports: &Ports,
        done: &mut dyn FnMut(Outcome),
    ) -> Result<()> {
        let (prepared, mistakes) = Prepared::read(Piece::alone(text));
        self.run_all(&prepared, mistakes, arguments, ports, done)
    }

    /// Runs statements unless there are mistakes in their text or their arguments.
    fn run_all(
        &self,
        prepared: &Prepared,
        mut mistakes: Vec<Diagnostic>,
        arguments: &Arguments,
        ports: &Ports,
        done: &mut dyn FnMut(Outcome),
    ) -> Result<()> {
        let mut filled = Vec::new();
        let (bindings, names) = (arguments.bindings(), arguments.names());
        for statement in prepared.spanned() {
            match fill(statement, &bindings).and_then(|ready| check(&ready.node, &names).map(|()| ready)) {
                Ok(ready) => filled.push(ready.node),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        prepared.refuse(mistakes)?;
        if !ports.writes_reports && filled.iter().any(|statement| statement.report().is_some()) {
            return Err(writes_no_reports());
        }
        for statement in &filled {
            if statement.effect() == Effect::Writes {
                // Before any work, whatever way the statement takes.
                match statement {
                    Statement::Compact { neighbours: true } => self.must_save_neighbours()?,
                    _ => self.shared.core().refuse_when_read_only()?,
                }
            }
            // Facts of the moment at which it runs: what stands before it may have changed them.
            match plan(statement, &names, &self.facts(statement.scope())) {
                Ok(plan) => done(self.run(plan, arguments, ports)?),
                Err(mistake) => prepared.refuse(vec![mistake])?,
            }
        }
        Ok(())
    }

    fn facts(&self, scope: Option<Scope>) -> Facts {
        let snapshot = self.snapshot();
        let segments = |role| snapshot.state.rows(role).frozen().count();
        let options = self.options();
        Facts {
            index_rows: snapshot.state.index.live_rows(),
            train_rows: snapshot.state.train.live_rows(),
            vote_k: options.vote_k,
            kept_neighbours: options.kept_neighbours,
            graph_from_rows: GRAPH_FROM_ROWS,
            segments: match scope {
                Some(Scope::Index) | None => segments(Role::Index),
                Some(Scope::Train) => segments(Role::Train),
                Some(Scope::All) => segments(Role::Index) + segments(Role::Train),
            },
            dimension: options.dimension,
        }
    }

    fn run(&self, plan: Plan, arguments: &Arguments, ports: &Ports) -> Result<Outcome> {
        let watch = ports.watch.as_deref();
        Ok(match plan {
            Plan::Search(plan) => return self.run_search(*plan, arguments, ports),
            Plan::Predict { source, k, freshness } => {
                let (snapshot, asked) = self.under_one_model(freshness, ports, |snapshot| {
                    Ok(snapshot.resolve(&source, arguments, ports, false)?.asked)
                })?;
                let snapshot = snapshot.with_watch(ports.watch.clone());
                Outcome::Prediction { name: asked.name, prediction: snapshot.predict(&asked.query, k)? }
            }
            Plan::Recognize(plan) => return self.run_recognition(plan, arguments, ports),
            Plan::Put { key, source, label, overwrite } => {
                let (put, made_by) = self.image_to_put(key, &source, label, arguments, ports)?;
                Outcome::Labelled(Box::new(self.put_image(put, made_by.as_deref(), overwrite)?))
            }
            Plan::Delete { key } => Outcome::Written(self.write(vec![Operation::Delete { key }])?),
            Plan::Label { key, label } => Outcome::Labelled(Box::new(self.give_label(key, Some(label))?)),
            Plan::Unlabel { key } => Outcome::Labelled(Box::new(self.give_label(key, None)?)),
            Plan::ShowStatus => Outcome::Status(Box::new(self.status())),
            Plan::ShowLabels => Outcome::Labels(self.snapshot().labels()?),
            Plan::ShowSegments => Outcome::Segments(self.segments()),
            Plan::ShowStale => Outcome::Report(self.staleness()),
            Plan::ShowCleans => Outcome::Table(self.table_of_cleanings()?),
            Plan::ShowClean { number } => Outcome::Table(self.table_of_cleaned(number)?),
            Plan::ShowMarked => Outcome::Table(self.table_of_marks()?),
            Plan::ShowModels => Outcome::Table(self.table_of_models()?),
            Plan::ShowSuspects { limit } => return self.run_cleaning(&CleanPlan::suspects(limit), ports),
            Plan::Train(plan) => Outcome::Report(self.run_training(&plan, ports)?),
            Plan::Clean(plan) => return self.run_cleaning(&plan, ports),
            Plan::UndoClean => Outcome::Done(self.undo_cleaning()?.words()),
            Plan::UndoLabel => Outcome::Done(self.undo_labels()?.words()),
            Plan::Reembed { model } => Outcome::Report(self.run_reembedding(model.as_deref(), ports)?),
            Plan::UseModel { number } => Outcome::Report(self.run_use(number, ports)?),
            Plan::DropModel { number, force } => return self.run_drop(number, force, ports),
            Plan::Flush => {
                let done = if self.flush()? {
                    "flushed: the tail is in segments"
                } else {
                    "nothing to flush: there is no tail"
                };
                Outcome::Done(done.to_owned())
            }
            Plan::Compact { neighbours } => {
                self.compact_by(watch)?;
                let segments = format!("{} segments", self.segments().len());
                if neighbours {
                    let images = self.save_neighbours_by(watch)?;
                    Outcome::Done(format!("{segments}; the nearest images of {images} index images are saved"))
                } else {
                    Outcome::Done(segments)
                }
            }
            Plan::Check { deep } => Outcome::Checked(self.check_by(deep, watch)?),
            Plan::Backup { folder } => {
                let copied = self.backup_by(Path::new(&folder), watch)?;
                Outcome::Done(format!("backed up {copied} to {folder}"))
            }
            Plan::BackupVerify { folder } => {
                let verified = Self::verify_backup_by(Path::new(&folder), watch)?;
                Outcome::Done(format!("{folder} is sound: {verified}"))
            }
            Plan::BackupRestore { from, to } => {
                let copied = Self::restore_backup_by(Path::new(&from), Path::new(&to), watch)?;
                Outcome::Done(format!("restored {copied} to {to}"))
            }
            Plan::Explain { analyze, plan } => {
                let mut text = plan.to_string();
                if analyze {
                    let outcome = self.run(*plan, arguments, ports)?;
                    text.push_str(&analysis(&outcome));
                }
                Outcome::Explained(text)
            }
        })
    }

    /// The image that a PUT stores, and the fingerprint of the model that was active when it was embedded.
    fn image_to_put(
        &self,
        key: String,
        source: &Source,
        label: Option<String>,
        arguments: &Arguments,
        ports: &Ports,
    ) -> Result<(Put, Option<String>)> {
        let (snapshot, resolved) =
            self.under_one_model(Freshness::AsIs, ports, |snapshot| snapshot.resolve(source, arguments, ports, true))?;
        let source = match &resolved.asked.photo {
            // Maintenance may come from another folder.
            Some(Photo::File(path)) => {
                Some(std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string())
            }
            _ => None,
        };
        let (content, photo, attributes) = match resolved.embedded {
            Some(embedded) => (Some(embedded.content), embedded.kept, embedded.attributes),
            None => (None, None, Attributes::new()),
        };
        let put = Put { label, source, content, photo, attributes, ..Put::new(key, resolved.asked.query.vector) };
        let model = snapshot.model();
        let is_bare = content.is_none() && resolved.asked.id.is_none();
        if let Some(model) = model.filter(|model| is_bare && !model.settings.is_empty()) {
            return Err(unnamed(&model.name));
        }
        Ok((put, model.map(|model| model.fingerprint.clone())))
    }

    /// A snapshot whose predictions lag no more than requested; deferred writes are applied first if necessary.
    fn snapshot_as(&self, freshness: Freshness, watch: Option<&dyn Watch>) -> Result<Snapshot> {
        match freshness {
            Freshness::AsIs => Ok(self.snapshot()),
            Freshness::Fresh => self.apply_pending_by(watch),
            Freshness::Since(sequence) => self.wait_for_by(sequence, watch),
            Freshness::Within(lag) => self.snapshot_within_by(lag, watch),
        }
    }

    /// The queries of a statement that takes one image or a file of them, those that cannot run, and the snapshot for them.
    pub(super) fn queries_of(
        &self,
        (source, freshness): (&Source, Freshness),
        including_self: bool,
        arguments: &Arguments,
        ports: &Ports,
    ) -> Result<(Snapshot, Queries)> {
        self.under_one_model(freshness, ports, |snapshot| match source {
            Source::Queries(path) => read_queries(path, ports),
            source => Ok((vec![snapshot.resolve(source, arguments, ports, including_self)?.asked], Vec::new())),
        })
    }

    /// A snapshot, and the result of `resolve` for it; embedding takes time, and uses the model that is active at its start. If
    /// another one became active meanwhile, both are taken again.
    fn under_one_model<T>(
        &self,
        freshness: Freshness,
        ports: &Ports,
        resolve: impl Fn(&Snapshot) -> Result<T>,
    ) -> Result<(Snapshot, T)> {
        for _ in 0..MODEL_TRIES {
            let snapshot = self.snapshot_as(freshness, ports.watch.as_deref())?;
            let resolved = resolve(&snapshot);
            if self.options().fingerprint() == snapshot.state.options.fingerprint() {
                return Ok((snapshot, resolved?));
            }
        }
        Err(another_model())
    }
}

/// The outcomes of several statements; an error has the number of statements that ran before it.
fn collected(run: impl FnOnce(&mut dyn FnMut(Outcome)) -> Result<()>) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    match run(&mut |outcome| outcomes.push(outcome)) {
        Ok(()) => Ok(outcomes),
        Err(error) if outcomes.is_empty() => Err(error),
        Err(error) => {
            Err(error
                .told(|message| format!("statement {}: {message} (the statements before it ran)", outcomes.len() + 1)))
        }
    }
}

impl Snapshot {
    fn resolve(&self, source: &Source, arguments: &Arguments, ports: &Ports, including_self: bool) -> Result<Resolved> {
        match source {
            Source::File(path) => self.embedded(Photo::File(PathBuf::from(path)), path.clone(), ports),
            Source::Key(key) => self.stored(key, including_self),
            Source::Vector(vector) => Ok(bare("vector", vector)),
            Source::Argument(at) => match arguments.get(*at) {
                Some(Argument::Vector(vector)) => Ok(bare("bound vector", vector)),
                Some(Argument::Photo(photo)) => {
                    let name = match photo {
                        Photo::File(path) => path.display().to_string(),
                        Photo::Bytes(_) => "bound photo".to_owned(),
                    };
                    self.embedded(photo.clone(), name, ports)
                }
                Some(Argument::Key(key)) => self.stored(key, including_self),
                Some(Argument::Text(_) | Argument::Whole(_) | Argument::Number(_)) => {
                    let what = "a text or a number is bound to the name of an image";
                    Err(Error::invalid(what)
                        .help("bind a descriptor, a photo or a key; texts and numbers need $1, $2, .."))
                }
                None => Err(Error::invalid(format!("parameter {} is not bound", at + 1))),
            },
            Source::Queries(_) => {
                Err(Error::invalid("only SEARCH and RECOGNIZE take QUERIES").help("name one image here"))
            }
        }
    }

    fn stored(&self, key: &str, including_self: bool) -> Result<Resolved> {
        let vector = self.vector(key)?.ok_or_else(|| {
            Error::not_found(format!("image '{key}' does not exist"))
                .help("a name without quotes is a stored key; write a photo file in quotes: SEARCH 'photo.jpg'")
        })?;
        let query = Query { vector, without: (!including_self).then(|| key.to_owned()) };
        let asked = Asked { name: key.to_owned(), id: Some(key.to_owned()), query, photo: None, number: 0 };
        Ok(Resolved { asked, embedded: None })
    }

    fn embedded(&self, photo: Photo, name: String, ports: &Ports) -> Result<Resolved> {
        let embedder = ports.embed.as_ref().ok_or_else(|| match self.model() {
            None => Error::new(ErrorKind::Mismatch, "this database has no model, so it cannot embed a photo")
                .help("give it vectors: VECTOR [..], or QUERIES 'queries.npy' in a search"),
            Some(model) => {
                Error::invalid(format!("this program has no embedder for the database's model '{}'", model.name))
                    .help("pass an embedder of that model (Ports::embed)")
            }
        })?;
        let must_be_ours = || match (embedder.fingerprint(), self.state.options.fingerprint()) {
            (Some(of_embedder), own) if Some(of_embedder.as_str()) != own => Err(Error::new(
                ErrorKind::Mismatch,
                format!(
                    "the embedder has the model {of_embedder}, the database {}",
                    own.map_or_else(|| "none".to_owned(), |own| format!("the model {own}"))
                ),
            )
            .help("descriptors of different models cannot be compared: embed with the active model (Snapshot::model)")),
            _ => Ok(()),
        };
        must_be_ours()?;
        let embedded = embedder.embed(&photo)?;
        must_be_ours()?;
        let query = Query { vector: embedded.vector.clone(), without: None };
        Ok(Resolved { asked: Asked { name, id: None, query, photo: Some(photo), number: 0 }, embedded: Some(embedded) })
    }
}

fn writes_no_reports() -> Error {
    Error::invalid("this program writes no reports, so INTO is not supported")
        .help("leave INTO out; a program that writes reports itself sets Ports { writes_reports: true, .. }")
}

fn bare(name: &str, vector: &[f32]) -> Resolved {
    let query = Query { vector: vector.to_vec(), without: None };
    Resolved { asked: Asked { name: name.to_owned(), id: None, query, photo: None, number: 0 }, embedded: None }
}

/// The queries of a file that can run, and the others.
fn read_queries(path: &str, ports: &Ports) -> Result<Queries> {
    let reader = ports.queries.as_ref().ok_or_else(|| Error::invalid("this program reads no files of queries"))?;
    let QueryFile { queries, failed } = reader.read(Path::new(path))?;
    if let (true, Some(first)) = (queries.is_empty(), failed.first()) {
        let what = match failed.len() {
            1 => format!("{path}: its query cannot run: {}: {}", first.name(), first.reason),
            all => format!("{path}: none of its {all} queries can run; {}: {}", first.name(), first.reason),
        };
        return Err(Error::invalid(what));
    }
    let asked = |query: NamedQuery| Asked {
        name: query.id.clone().unwrap_or_else(|| format!("query {}", query.number)),
        id: query.id,
        query: Query { vector: query.vector, without: None },
        photo: query.photo,
        number: query.number,
    };
    Ok((queries.into_iter().map(asked).collect(), failed))
}

fn as_lines(lines: &[(String, String)]) -> Vec<String> {
    lines.iter().map(|(name, value)| format!("{name}: {value}")).collect()
}

/// The lines of EXPLAIN ANALYZE after the plan: counts, no times (the engine has no clock; programs time it from outside).
fn analysis(outcome: &Outcome) -> String {
    let lines = match outcome {
        Outcome::Answers(answers) => counts_of(answers),
        Outcome::Written(receipt) => vec![written(receipt)],
        Outcome::Labelled(labelled) => vec![written(&labelled.receipt)],
        Outcome::Cleaned(cleaning) => found_by(cleaning),
        Outcome::Prediction { prediction: Prediction { vote, voters, as_of_sequence, lag }, .. } => vec![
            seen(*as_of_sequence, *lag),
            format!("voters {}, with a prediction {}", voters.len(), usize::from(vote.is_some())),
        ],
        Outcome::Recognitions(recognitions) => recognised(recognitions),
        Outcome::Status(status) => as_lines(&status.lines()),
        Outcome::Report(report) => as_lines(&report.lines),
        Outcome::Labels(labels) => vec![rows(labels.len())],
        Outcome::Segments(segments) => vec![rows(segments.len())],
        Outcome::Table(table) => vec![rows(table.rows.len())],
        Outcome::Checked(report) => vec![format!("problems {}", report.problems.len())],
        Outcome::Done(text) => vec![text.clone()],
        Outcome::Explained(_) => Vec::new(),
    };
    lines.into_iter().map(|line| format!("\n{line}")).collect()
}

fn found_by(cleaning: &Cleaning) -> Vec<String> {
    let Cleaning { judged, found, marked_already, changed_meanwhile, would_empty, .. } = cleaning;
    let doubtful = found + marked_already + changed_meanwhile;
    let looked_at = match cleaning.plan.rule {
        CleanRule::Paper => format!("train images {}, doubtful {doubtful}", judged.len()),
        CleanRule::Suspects(_) => format!("suspects {}", judged.len()),
    };
    let mut lines = vec![format!("{looked_at}, already marked {marked_already}")];
    if let Some(sights) = &cleaning.sights {
        let Sights { files, kept, thumbnails, read } = sights;
        lines.push(format!("compared by photo files {files}, kept originals {kept}, thumbnails {thumbnails}"));
        lines.extend(read.as_ref().map(|read| format!("photo files read {read}")));
    }
    let not_compared = cleaning.not_compared().len();
    if not_compared > 0 {
        lines.push(format!("not compared {not_compared}"));
    }
    match (&cleaning.receipt, cleaning.number) {
        (Some(receipt), Some(number)) => {
            lines.extend([format!("cleaning {number}: changed or marked {found}"), written(receipt)]);
        }
        _ => lines.push("nothing was changed".to_owned()),
    }
    if *changed_meanwhile > 0 {
        lines.push(format!("changed by other writes meanwhile {changed_meanwhile}"));
    }
    if *would_empty > 0 {
        lines.push(format!("last images of their labels, unchanged {would_empty}"));
    }
    lines
}

fn rows(count: usize) -> String {
    format!("rows {count}")
}

fn written(receipt: &Receipt) -> String {
    let Receipt { sequence, images_changed, predictions_changed, deferred } = receipt;
    match deferred {
        true => format!("sequence {sequence}: deferred"),
        false => {
            format!("sequence {sequence}: images changed {images_changed}, predictions changed {predictions_changed}")
        }
    }
}

/// The state of an answer.
pub(super) fn seen(as_of_sequence: u64, lag: u64) -> String {
    format!("as of sequence {as_of_sequence}, lag {lag}")
}

fn counts_of(answers: &Answers) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(answer) = answers.answers.first() {
        lines.push(seen(answer.as_of_sequence, answer.lag));
    }
    if let Some(labels) = answers.answers.first().and_then(|answer| answer.labels) {
        let why = if labels.learnt { "" } else { ": the train images are too few, or their labels say nothing" };
        lines.push(format!("labels weigh {}{why}", labels.weight));
    }
    let rows = answers.answers.iter().flat_map(|answer| &answer.rows);
    let count = |stage: Stage| rows.clone().filter(|row| row.stage == Some(stage)).count();
    let voted = answers.answers.iter().filter(|answer| answer.prediction.is_some()).count();
    let failed = match answers.failed.len() {
        0 => String::new(),
        failed => format!(", failed {failed}"),
    };
    lines.push(format!("queries {}, with a prediction {voted}{failed}", answers.answers.len()));
    lines.push(format!(
        "rows {}: positive {}, inserted {}, negative {}",
        rows.clone().count(),
        count(Stage::Positive),
        count(Stage::Inserted),
        count(Stage::Negative)
    ));
    lines.extend(answers.verification.iter().flat_map(verified));
    lines
}
