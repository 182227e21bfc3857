//! `cairn ingest --prune`: deletes the images whose files are gone.

use std::path::PathBuf;

use cairn::Database;
use cairndb_ingest::Gone;

use crate::args::Prune;
use crate::failure::{Failure, Result};
use crate::output::{counted, name_failed};
use crate::terminal::note;

/// One in so many images may be gone before somebody is asked.
const MOST_SHARE: usize = 10;

/// Deletes or lists them.
///
/// # Errors
/// When there are more than allowed, `unread` entries could not be read, or no source is a folder.
pub(super) fn run(database: &Database, asked: &Prune, folders: &[PathBuf], unread: usize) -> Result<()> {
    if folders.is_empty() {
        return Err(
            Failure::usage("--prune needs a folder among the sources").help("a list does not tell what is gone")
        );
    }
    let snapshot = database.snapshot();
    let gone = Gone::below(&snapshot, folders)?;
    let counts = snapshot.counts();
    let most = asked.prune_most.unwrap_or((counts.train + counts.index) / MOST_SHARE);
    let reasons: Vec<String> = gone.iter().map(|gone| format!("{} is gone", gone.source.display())).collect();
    name_failed(gone.iter().zip(&reasons).map(|(gone, reason)| (&*gone.key, &**reason)));
    if asked.dry_run {
        note(&format!("--prune would delete {}", counted(gone.len(), "image")));
        return Ok(());
    }
    if gone.is_empty() {
        return Ok(());
    }
    if unread > 0 {
        let what =
            "--prune deleted nothing, because some folders or files could not be read: what is gone may lie there";
        return Err(Failure::new(what).help("make them readable or remove them, and run the command again"));
    }
    if gone.len() > most {
        let what =
            format!("{} lost their files, more than the {most} that --prune may delete", counted(gone.len(), "image"));
        let help = "look at them with --dry-run, then allow that many with --prune-most N; --prune deleted nothing";
        return Err(Failure::new(what).help(help));
    }
    let deleted = Gone::prune(database, &gone)?;
    if deleted > 0 {
        note(&format!("deleted {} without a file", counted(deleted, "image")));
    }
    Ok(())
}
