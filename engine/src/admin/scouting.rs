//! Decides when a scout reads a catalog first, and how thoroughly.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

use parking_lot::Mutex;
use tempfile::TempDir;

use crate::catalog::{Catalog, Look, can_be_probed};
use crate::disk::{Folder, Origin, Record, is_backup};
use crate::error::{Error, ErrorKind, Result};
use crate::process::scout::{End, GREETING, has_scout, send};

/// A scout reads a catalog up to this many bytes completely, even if only its end is new: that takes a fraction of a second.
const CHEAP_BYTES: u64 = 64 << 20;

/// The last catalog that a scout of this process came back from, and how closely it had looked.
static LAST: Mutex<Option<(Record, Look)>> = Mutex::new(None);

/// What a scout does, in the process that `set_scout` names; `words` is what the engine put behind the words of the
/// [`Scout`](crate::runtime::Scout). It writes to standard output, for the engine, and into a temporary folder; only the scout of a repair writes
/// into the database's folder, and takes that away again.
///
/// Returns whether the words were understood; the process ends with success then.
#[must_use = "the process must end with a failure where it was called with other words"]
pub fn scout(words: &[OsString]) -> bool {
    let [look, folder, scratch] = words else { return false };
    let Some(look) = look.to_str().and_then(Look::of_word) else { return false };
    // A core of a process that is meant to die helps nobody.
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let _as_it_was = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    let mut out = std::io::stdout();
    let mut say = |what: &[u8]| {
        let said = out.write_all(what).and_then(|()| out.flush());
        said.map_err(|error| Error::io(Path::new("standard output"), error))
    };
    let looked = say(GREETING)
        .and_then(|()| Folder::open(Path::new(folder)))
        .and_then(|folder| Catalog::probe(&folder, look, Path::new(scratch), &mut || say(b".")));
    // Whoever opens it next meets what it met.
    let _met_again = looked;
    true
}

/// Has a scout look before this process opens a catalog, where that is not known. Returns whether the catalog's files may be noted as
/// known when they are closed: they were before, or a scout came back.
///
/// # Errors
/// `Corrupt`: the scout did not come back; what [`send`] gives.
pub(crate) fn before_opening(folder: &Folder) -> Result<bool> {
    if !can_be_probed(folder) {
        return Ok(false);
    }
    let record = Record::now(folder)?;
    let origin = record.origin(folder);
    match origin {
        Origin::Known => {}
        Origin::Grown if record.bytes() > CHEAP_BYTES => look_first(folder, &record, Look::Open)?,
        Origin::Grown | Origin::Foreign => look_first(folder, &record, Look::All)?,
    }
    Ok(origin != Origin::Foreign || has_scout())
}

/// Sends a scout, whichever machine wrote the catalog.
///
/// # Errors
/// As [`before_opening`].
pub(crate) fn before_care(folder: &Folder, look: Look) -> Result<()> {
    if !can_be_probed(folder) {
        return Ok(());
    }
    look_first(folder, &Record::now(folder)?, look)
}

fn look_first(folder: &Folder, record: &Record, look: Look) -> Result<()> {
    let has_looked = |(last, closely): &(Record, Look)| last == record && *closely >= look;
    if !has_scout() || LAST.lock().as_ref().is_some_and(has_looked) {
        return Ok(());
    }
    let path = std::path::absolute(folder.path()).map_err(|error| Error::io(folder.path(), error))?;
    // Ours, so that it goes also where the scout dies. Without room for it the scout does without.
    let scratch = tempfile::tempdir().ok();
    let scratch_path = scratch.as_ref().map_or(Path::new(""), TempDir::path);
    match send(&[look.word().as_ref(), path.as_os_str(), scratch_path.as_os_str()])? {
        End::Lived => {
            *LAST.lock() = Some((record.clone(), look));
            Ok(())
        }
        End::Died(how) => Err(ended(folder, &how)),
    }
}

fn ended(folder: &Folder, how: &str) -> Error {
    let shown = folder.path().display();
    let what = format!(
        "the catalog of {shown} cannot be read: a process that read it first {how}. Its bytes were crafted, or damaged in a way that \
         its checksums do not show"
    );
    let help = match is_backup(folder).unwrap_or(false) {
        true => "nothing was changed; use another backup, from a source that you trust",
        false => "nothing was changed; restore a backup, and open only databases from sources that you trust",
    };
    Error::new(ErrorKind::Corrupt, what).help(help)
}
