//! `cairn maintain`: words of the command line into statements, which run as if they had been typed.

use std::fmt::{Display, Write as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use cairn::language::{Names, Piece, check as check_statement, parse};

use super::job::Job;
use crate::args::{CleanOptions, Opened, Shown, TrainOptions, Upkeep};
use crate::failure::{Failure, Result};
use crate::session::Session;
use crate::terminal::{Patient, note, standard_output};

/// Runs the command.
///
/// # Errors
/// Usage, when the options make no statement; the first statement that fails.
pub(super) fn run(what: &Upkeep) -> Result<()> {
    let mut folders: &[PathBuf] = &[];
    let (database, shown, text) = match what {
        Upkeep::Clean { database, options, dry_run, overwrite, shown } => {
            folders = &options.photos.photos_from;
            (database, shown, clean(options, *dry_run, *overwrite)?)
        }
        Upkeep::UndoClean { database, shown } => (database, shown, "UNDO CLEAN".to_owned()),
        Upkeep::Train { database, options, dry_run, shown } => (database, shown, train(options, *dry_run)?),
        Upkeep::Reembed { database, from, shown } => (database, shown, reembed(from.as_deref())?),
        Upkeep::Run { database, anew, training, cleaning, overwrite, shown } => {
            let statements = job(training, cleaning, *overwrite)?;
            return run_job(database, shown, &statements, *anew, &cleaning.photos.photos_from);
        }
    };
    check(&text)?;
    run_statements(database, shown, &text, folders)
}

fn run_statements(database: &Path, shown: &Shown, text: &str, folders: &[PathBuf]) -> Result<()> {
    let opened = Opened { database: database.to_owned(), read_only: false };
    let session = Session::open(&opened, &shown.model, shown.format, None)?.with_photos_from(folders)?;
    let mut out = Patient::new(standard_output());
    let ran = session.run(text, &mut out);
    // What ran before a failure has its results on the output.
    out.flush()?;
    ran
}

/// Runs statements one after the other and notes in the database which are done: after a kill or a failure the same command goes on
/// with the one that was cut short, which itself goes on where it was.
fn run_job(database: &Path, shown: &Shown, statements: &[String; 3], anew: bool, folders: &[PathBuf]) -> Result<()> {
    let text = statements.join(";\n");
    check(&text)?;
    let opened = Opened { database: database.to_owned(), read_only: false };
    let session = Session::open_for_writing(&opened, &shown.model, shown.format, None)?.with_photos_from(folders)?;
    let job = Job { database: &session.database, text: &text };
    let first = if anew { 0 } else { job.steps_done()? };
    if first >= statements.len() {
        // The last one was carried out and nobody was told any more.
        note("every step of the run that was begun before is done; the same command now begins another one");
        return job.end();
    }
    if first > 0 {
        let all = statements.len();
        note(&format!(
            "going on with step {} of {all} of the run that was begun before (--anew: with the first)",
            first + 1
        ));
    }
    let mut out = Patient::new(standard_output());
    for (at, statement) in statements.iter().enumerate().skip(first) {
        job.begin(at)?;
        let execute = |statement: &Piece| {
            let outcomes = session.execute(statement)?;
            // Before anything is written: an output or a report that fails must not make it run again.
            if at + 1 < statements.len() { job.begin(at + 1) } else { job.end() }?;
            Ok(outcomes)
        };
        let ran = session.run_by(&execute, statement, &mut out);
        // What ran before a failure has its results on the output.
        out.flush()?;
        ran?;
    }
    Ok(())
}

/// Refuses a number out of its range before the database is opened.
fn check(text: &str) -> Result<()> {
    let parsed = parse(text);
    let planned = parsed.statements.iter();
    let bound = planned.filter_map(|statement| check_statement(&statement.node, &Names::default()).err());
    let wrong: Vec<String> = parsed.diagnostics.iter().cloned().chain(bound).map(|wrong| wrong.render(text)).collect();
    if wrong.is_empty() { Ok(()) } else { Err(Failure::usage(wrong.join("\n"))) }
}

fn clean(options: &CleanOptions, dry_run: bool, overwrite: bool) -> Result<String> {
    let mut text = "CLEAN".to_owned();
    option(&mut text, "nn", options.nn);
    option(&mut text, "neighbours", options.neighbours);
    option(&mut text, "inliers", options.inliers);
    option(&mut text, "freq", options.freq);
    if let Some(rule) = &options.rule {
        word(&mut text, true, &format!("RULE {rule}"));
    }
    option(&mut text, "top", options.top);
    option(&mut text, "evidence", options.evidence);
    word(&mut text, options.relabel, "RELABEL");
    word(&mut text, options.empty, "EMPTY");
    word(&mut text, options.unlabel, "UNLABEL");
    word(&mut text, options.keep_voters, "KEEP VOTERS");
    word(&mut text, options.thumbnails, "THUMBNAILS");
    word(&mut text, dry_run, "DRY RUN");
    file(&mut text, "INTO", options.into.as_deref())?;
    word(&mut text, overwrite, "OVERWRITE");
    Ok(text)
}

fn train(options: &TrainOptions, dry_run: bool) -> Result<String> {
    let mut text = "TRAIN".to_owned();
    option(&mut text, "loss", options.loss.as_ref());
    option(&mut text, "dim", options.dim);
    option(&mut text, "epochs", options.epochs);
    option(&mut text, "batch", options.batch);
    option(&mut text, "rate", options.rate);
    option(&mut text, "margin", options.margin);
    option(&mut text, "scale", options.scale);
    option(&mut text, "seed", options.seed);
    option(&mut text, "validation", options.validation);
    word(&mut text, options.balance, "BALANCE");
    word(&mut text, options.trunk, "TRUNK");
    option(&mut text, "augment", options.augment.as_ref());
    option(&mut text, "scaleup", options.scaleup);
    option(&mut text, "gem", options.gem.as_ref());
    if let Some(number) = options.from_model {
        // Writing to a String cannot fail.
        let _ = write!(text, " FROM MODEL {number}");
    }
    file(&mut text, "FROM", options.from.as_deref())?;
    word(&mut text, options.force, "FORCE");
    word(&mut text, dry_run, "DRY RUN");
    Ok(text)
}

fn reembed(from: Option<&Path>) -> Result<String> {
    let mut text = "REEMBED".to_owned();
    file(&mut text, "FROM", from)?;
    Ok(text)
}

/// The second training goes on with what the first one made: it has no FROM.
fn job(training: &TrainOptions, cleaning: &CleanOptions, overwrite: bool) -> Result<[String; 3]> {
    let again = TrainOptions { from: None, from_model: None, ..training.clone() };
    Ok([train(training, false)?, clean(cleaning, false, overwrite)?, train(&again, false)?])
}

fn option(text: &mut String, name: &str, value: Option<impl Display>) {
    if let Some(value) = value {
        // Writing to a String cannot fail.
        let _ = write!(text, " {name}={value}");
    }
}

fn word(text: &mut String, given: bool, word: &str) {
    if given {
        text.push(' ');
        text.push_str(word);
    }
}

fn file(text: &mut String, before: &str, path: Option<&Path>) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let name = path.to_str().ok_or_else(|| {
        Failure::usage(format!("{}: a statement cannot name this file, its name is no UTF-8", path.display()))
    })?;
    let _ = write!(text, " {before} '{}'", name.replace('\'', "''"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use crate::failure::Exit;
    use clap::Parser as _;

    fn text(line: &str) -> Result<String> {
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let Command::Maintain(args) = cli.command else { unreachable!("{line}") };
        let text = match &args.what {
            Upkeep::Clean { options, dry_run, overwrite, .. } => clean(options, *dry_run, *overwrite)?,
            Upkeep::UndoClean { .. } => "UNDO CLEAN".to_owned(),
            Upkeep::Train { options, dry_run, .. } => train(options, *dry_run)?,
            Upkeep::Reembed { from, .. } => reembed(from.as_deref())?,
            Upkeep::Run { training, cleaning, overwrite, .. } => job(training, cleaning, *overwrite)?.join(";\n"),
        };
        check(&text).map(|()| text)
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
