//! How a command opens its database: for reading, beside any writer, until a statement writes.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use cairn::{Database, ErrorKind, Prepared};
use cairndb_query::Effect;

use crate::args::Opened;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::terminal::note;

/// Opens a database or a backup for reading. A database of an older format is opened for writing, which upgrades it.
///
/// # Errors
/// The errors of [`Database::open_read_only`] and, for an older format, of [`Database::open`].
pub(crate) fn open(opened: &Opened) -> Result<Database> {
    let folder = &opened.database;
    match Database::open_read_only(folder) {
        Err(error) if error.kind() == ErrorKind::OlderFormat && !opened.read_only && !Database::is_backup(folder) => {
            note("note: the database has an older format; opening it for writing upgrades it");
            open_for_writing(folder)
        }
        opened => opened.map_err(|error| explained(error, folder)),
    }
}

/// Opens a database for writing.
///
/// # Errors
/// The errors of [`Database::open`].
pub(crate) fn open_for_writing(folder: &Path) -> Result<Database> {
    warn_root(folder);
    Database::open(folder).map_err(|error| explained(error, folder))
}

/// Reopens for writing a database that is open for reading, before a statement that writes or that needs deferred writes applied;
/// does nothing for other statements.
///
/// # Errors
/// The errors of [`Database::reopen_for_writing`]: the database is a backup, another process holds it.
pub(super) fn before(database: &Database, statements: &Prepared) -> Result<()> {
    if !database.is_read_only() {
        return Ok(());
    }
    let needs_writer = |effect: Effect| match effect {
        // What it finds is kept only where the database is open for writing already.
        Effect::Reads | Effect::Keeps => false,
        Effect::Drains => database.snapshot().lag() > 0,
        Effect::Writes => true,
    };
    if statements.statements().any(|statement| needs_writer(statement.effect())) {
        warn_root(database.folder());
        database.reopen_for_writing().map_err(|error| explained(error, database.folder()))?;
    }
    Ok(())
}

/// Warns a user who writes as root into somebody else's folder: files that root creates lock the owner out.
fn warn_root(database: &Path) {
    let Ok(about) = std::fs::metadata(database) else { return };
    if rustix::process::geteuid().is_root() && about.uid() != 0 {
        note(&format!(
            "note: this runs as root, and {} belongs to the user {}, who may not be able to use the files that root creates: run it as \
             that user, or end with chown -R {} {}",
            database.display(),
            about.uid(),
            about.uid(),
            database.display()
        ));
    }
}

/// A failure with the options of the command line.
fn explained(error: cairn::Error, folder: &Path) -> Failure {
    let is_damaged = error.kind() == ErrorKind::Corrupt && !Database::is_backup(folder);
    let is_missing = error.kind() == ErrorKind::NotFound && !folder.exists();
    // The system says no more than that of a disk that cannot be written.
    let is_only_read = error.message().contains("Read-only file system");
    let failure = Failure::from(error);
    match failure.exit() {
        _ if is_missing => failure.help(
            "create one first: cairn create DB --model lite0-gem, or cairn create DB --dim N for your own vectors",
        ),
        _ if is_only_read => {
            failure.help("statements that only read work there; cairn repl needs --read-only for that")
        }
        Exit::Locked => failure.help("close that program; statements that only read need no lock"),
        _ if is_damaged => failure.or_help("cairn repair DB"),
        _ => failure,
    }
}
