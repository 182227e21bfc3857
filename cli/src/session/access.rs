//! How a command opens its database: for reading, beside whoever writes it, until a statement writes.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use cairn::language::Effect;
use cairn::{Database, ErrorKind, Prepared};

use crate::args::Opened;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::terminal::note;

/// Opens a database or a backup for reading. One of an older format is opened for writing, which brings it up to date.
///
/// # Errors
/// What [`Database::open_read_only`] and, for an older format, [`Database::open`] give.
pub(crate) fn open(opened: &Opened) -> Result<Database> {
    let folder = &opened.database;
    match Database::open_read_only(folder) {
        Err(error) if error.kind() == ErrorKind::OlderFormat && !opened.read_only && !Database::is_backup(folder) => {
            note("note: the database has an older format; it is opened for writing, which brings it up to date");
            open_for_writing(folder)
        }
        opened => opened.map_err(|error| explained(error, folder)),
    }
}

/// Opens a database for writing.
///
/// # Errors
/// What [`Database::open`] gives.
pub(crate) fn open_for_writing(folder: &Path) -> Result<Database> {
    warn_root(folder);
    Database::open(folder).map_err(|error| explained(error, folder))
}

/// Takes a database that is open for reading over for writing before a statement that writes, or that needs writes carried out which
/// wait; does nothing where none of them does.
///
/// # Errors
/// What [`Database::reopen_for_writing`] gives: the database is a backup, another process holds it.
pub(super) fn before(database: &Database, statements: &Prepared) -> Result<()> {
    if !database.is_read_only() {
        return Ok(());
    }
    let needs_writer = |effect: Effect| match effect {
        Effect::Reads => false,
        Effect::Drains => database.snapshot().lag() > 0,
        Effect::Writes => true,
    };
    if statements.statements().any(|statement| needs_writer(statement.effect())) {
        warn_root(database.folder());
        database.reopen_for_writing().map_err(|error| explained(error, database.folder()))?;
    }
    Ok(())
}

/// Warns who writes as root into a folder of somebody else: files that root makes lock the owner out.
fn warn_root(database: &Path) {
    let Ok(about) = std::fs::metadata(database) else { return };
    if rustix::process::geteuid().is_root() && about.uid() != 0 {
        note(&format!(
            "note: this runs as root, and {} belongs to the user {}, who may not be able to use what root writes there: run it as \
             that user, or end with chown -R {} {}",
            database.display(),
            about.uid(),
            about.uid(),
            database.display()
        ));
    }
}

/// A failure with what the command line offers.
fn explained(error: cairn::Error, folder: &Path) -> Failure {
    let is_damaged = error.kind() == ErrorKind::Corrupt && !Database::is_backup(folder);
    let failure = Failure::from(error);
    match failure.exit() {
        Exit::Locked => failure.help("close that program; statements that only read need no lock"),
        _ if is_damaged => failure.or_help("cairn repair DB"),
        _ => failure,
    }
}
