//! `cairn maintain`: turns the options of the command line into statements, which run as typed ones do.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use cairn::Prepared;
use cairn::language::{Action, Cut, Flip, Origin};
use cairndb_query::{Clean, Names, Rule, Setting, Span, Spanned, Statement, Train, Value};

use super::job::Job;
use crate::args::{CleanOptions, Opened, Shown, TrainOptions, Upkeep};
use crate::failure::{Failure, Result};
use crate::session::Session;
use crate::terminal::{Patient, note, standard_output};

/// Runs the command.
///
/// # Errors
/// Usage, if the options make no valid statement; the first statement that fails.
pub(super) fn run(what: &Upkeep) -> Result<()> {
    let mut folders: &[PathBuf] = &[];
    let (database, shown, statement) = match what {
        Upkeep::Clean { database, options, dry_run, overwrite, shown } => {
            folders = &options.photos.photos_from;
            (database, shown, clean(options, *dry_run, *overwrite)?)
        }
        Upkeep::UndoClean { database, shown } => (database, shown, Statement::UndoClean),
        Upkeep::Train { database, options, dry_run, shown } => (database, shown, train(options, *dry_run)?),
        Upkeep::Reembed { database, from, shown } => (database, shown, reembed(from.as_deref())?),
        Upkeep::Run { database, anew, training, cleaning, overwrite, shown } => {
            let statements = job(training, cleaning, *overwrite)?;
            return run_job(database, shown, statements, *anew, &cleaning.photos.photos_from);
        }
    };
    check(&statement)?;
    run_statement(database, shown, &statement.into(), folders)
}

fn run_statement(database: &Path, shown: &Shown, statement: &Prepared, folders: &[PathBuf]) -> Result<()> {
    let opened = Opened { database: database.to_owned(), read_only: false };
    let session = Session::open(&opened, &shown.model, shown.format, None)?.with_photos_from(folders)?;
    let mut out = Patient::new(standard_output());
    let ran = session.run_one(&|statement| session.execute(statement), statement, &mut out);
    // The results of statements before a failure are on the output.
    out.flush()?;
    ran
}

/// Runs statements one after the other and records in the database which are done: after a kill or a failure, the same command
/// resumes with the statement that was interrupted, which itself resumes.
fn run_job(database: &Path, shown: &Shown, statements: [Statement; 3], anew: bool, folders: &[PathBuf]) -> Result<()> {
    statements.iter().try_for_each(check)?;
    let opened = Opened { database: database.to_owned(), read_only: false };
    let session = Session::open_for_writing(&opened, &shown.model, shown.format, None)?.with_photos_from(folders)?;
    let text = printed(&statements);
    let job = Job { database: &session.database, text: &text };
    let first = if anew { 0 } else { job.steps_done()? };
    if first >= statements.len() {
        // The last step finished, but the command was killed before it could report.
        note("every step of the earlier run is done; run the same command again to start a new one");
        return job.end();
    }
    if first > 0 {
        let all = statements.len();
        note(&format!("resuming the earlier run at step {} of {all} (--anew starts with the first)", first + 1));
    }
    let mut out = Patient::new(standard_output());
    let all = statements.len();
    for (at, statement) in statements.into_iter().enumerate().skip(first) {
        job.begin(at)?;
        let execute = |statement: &Prepared| {
            let outcomes = session.execute(statement)?;
            // This comes before any output: an output or a report that fails must not make the step run again.
            if at + 1 < all { job.begin(at + 1) } else { job.end() }?;
            Ok(outcomes)
        };
        let ran = session.run_one(&execute, &statement.into(), &mut out);
        // The results of statements before a failure are on the output.
        out.flush()?;
        ran?;
    }
    Ok(())
}

/// The statements as they would be typed.
fn printed(statements: &[Statement]) -> String {
    statements.iter().map(Statement::to_string).collect::<Vec<_>>().join(";\n")
}

/// Refuses a number out of range, and parts that contradict each other, before the database is opened.
fn check(statement: &Statement) -> Result<()> {
    cairndb_query::check(statement, &Names::default())
        .map_err(|mistake| Failure::usage(mistake.message()).help(mistake.help()))
}

/// A part of a statement without a place in a text.
fn part<T>(node: T) -> Spanned<T> {
    Spanned { node, span: Span::default() }
}

fn clean(options: &CleanOptions, dry_run: bool, overwrite: bool) -> Result<Statement> {
    let action = match options {
        CleanOptions { relabel: true, empty: true, .. } => Some(Action::RelabelEmpty),
        CleanOptions { relabel: true, .. } => Some(Action::Relabel),
        CleanOptions { unlabel: true, .. } => Some(Action::Unlabel),
        CleanOptions { keep_voters: true, .. } => Some(Action::KeepVoters),
        _ => None,
    };
    let rule = options.rule.as_deref().and_then(|word| Rule::ALL.into_iter().find(|rule| rule.name() == word));
    let cut = options.settings.cut().and_then(|setting| match setting {
        Setting::Number(least) => Some(Cut::Evidence(least.into())),
        setting => setting.whole().map(|images| Cut::Top(images.into())),
    });
    Ok(Statement::Clean(Box::new(Clean {
        options: options.settings.options(),
        rule: rule.map(part),
        cut: cut.map(part),
        action: action.map(part),
        dry_run,
        into: options.into.as_deref().map(file).transpose()?,
        overwrite,
    })))
}

fn train(options: &TrainOptions, dry_run: bool) -> Result<Statement> {
    let from = match (&options.from, options.from_model) {
        (Some(path), _) => Some(part(Origin::File(file(path)?.node))),
        (None, Some(number)) => Some(part(Origin::Model(number.into()))),
        (None, None) => None,
    };
    let flip = match (options.force, dry_run) {
        (true, _) => Some(Flip::Always),
        (false, true) => Some(Flip::Never),
        (false, false) => None,
    };
    Ok(Statement::Train(Box::new(Train { options: options.settings.options(), from, flip: flip.map(part) })))
}

fn reembed(from: Option<&Path>) -> Result<Statement> {
    Ok(Statement::Reembed { model: from.map(file).transpose()? })
}

/// The second training starts from the first one's model: it has no FROM.
fn job(training: &TrainOptions, cleaning: &CleanOptions, overwrite: bool) -> Result<[Statement; 3]> {
    let again = TrainOptions { from: None, from_model: None, ..training.clone() };
    Ok([train(training, false)?, clean(cleaning, false, overwrite)?, train(&again, false)?])
}

/// The name of a file in a statement.
fn file(path: &Path) -> Result<Spanned<Value<String>>> {
    let name = path.to_str().ok_or_else(|| {
        Failure::usage(format!("{}: a statement cannot name this file: its name is not UTF-8", path.display()))
    })?;
    Ok(part(name.to_owned().into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use crate::exit::Exit;
    use clap::Parser as _;

    fn text(line: &str) -> Result<String> {
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let Command::Maintain(args) = cli.command else { unreachable!("{line}") };
        let statements = match &args.what {
            Upkeep::Clean { options, dry_run, overwrite, .. } => vec![clean(options, *dry_run, *overwrite)?],
            Upkeep::UndoClean { .. } => vec![Statement::UndoClean],
            Upkeep::Train { options, dry_run, .. } => vec![train(options, *dry_run)?],
            Upkeep::Reembed { from, .. } => vec![reembed(from.as_deref())?],
            Upkeep::Run { training, cleaning, overwrite, .. } => job(training, cleaning, *overwrite)?.into(),
        };
        statements.iter().try_for_each(check)?;
        let text = printed(&statements);
        // It prints what a person would have to type.
        assert_eq!(cairn::Database::prepare(&text).unwrap().to_string(), text);
        Ok(text)
    }

    #[test]
    fn options_are_a_statement_that_the_language_takes() {
        let all = "cairn maintain clean DB --nn 500 --neighbours 50 --inliers 40 --freq 2 --rule paper --unlabel --thumbnails --dry-run \
                   --into it's.html";
        assert_eq!(
            text(all).unwrap(),
            "CLEAN nn=500 neighbours=50 inliers=40 freq=2 RULE paper UNLABEL THUMBNAILS DRY RUN INTO 'it''s.html'"
        );
        assert_eq!(
            text("cairn maintain clean DB --rule suspects --top 5 --relabel").unwrap(),
            "CLEAN RULE suspects top=5 RELABEL"
        );
        assert_eq!(
            text("cairn maintain clean DB --rule suspects --relabel --empty").unwrap(),
            "CLEAN RULE suspects RELABEL EMPTY"
        );
        assert_eq!(text("cairn maintain clean DB").unwrap(), "CLEAN");
        for word in ["--overwrite", "--force"] {
            let line = format!("cairn maintain clean DB --into a.html {word}");
            assert_eq!(text(&line).unwrap(), "CLEAN INTO 'a.html' OVERWRITE");
        }
        assert_eq!(
            text("cairn maintain clean DB --rule suspects --evidence 0.9 --keep-voters").unwrap(),
            "CLEAN RULE suspects evidence=0.9 KEEP VOTERS"
        );
        let all = "cairn maintain train DB --loss arcface --dim 64 --epochs 3 --batch 16 --rate 0.00001 --margin 0.5 --scale 20 \
                   --seed 7 --validation 0 --balance --from w.safetensors --force";
        assert_eq!(
            text(all).unwrap(),
            "TRAIN loss=arcface dim=64 epochs=3 batch=16 rate=0.00001 margin=0.5 scale=20 seed=7 validation=0 BALANCE FROM \
             'w.safetensors' FORCE"
        );
        assert_eq!(text("cairn maintain train DB --dry-run").unwrap(), "TRAIN DRY RUN");
        assert_eq!(text("cairn maintain reembed DB --from w").unwrap(), "REEMBED FROM 'w'");
    }

    #[test]
    fn a_whole_preparation_trains_cleans_and_goes_on_training() {
        let line = "cairn maintain run DB --loss ap --epochs 2 --freq 1 --from w --force";
        assert_eq!(
            text(line).unwrap(),
            "TRAIN loss=ap epochs=2 FROM 'w' FORCE;\nCLEAN freq=1;\nTRAIN loss=ap epochs=2 FORCE"
        );
    }

    #[test]
    fn what_the_language_refuses_is_a_usage_error() {
        for line in [
            "cairn maintain clean DB --freq 0",
            "cairn maintain clean DB --rule paper --top 5",
            "cairn maintain clean DB --rule suspects --inliers 40",
            "cairn maintain clean DB --rule suspects --evidence 2",
            "cairn maintain train DB --loss softmax --margin 0.3",
            "cairn maintain train DB --rate NaN",
        ] {
            let failure = text(line).unwrap_err();
            assert!(failure.exit() == Exit::Usage && failure.to_string().starts_with("error"), "{line}: {failure}");
        }
    }
}
