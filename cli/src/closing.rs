//! Closing databases: what could not be saved then makes the command fail, and how many files the program may have open before.

use std::sync::{Mutex, PoisonError};

use cairn::Database;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::failure::{Failure, Result};

/// Files that are open at once at most, where the system allows that many: more help nobody.
const OPEN_FILES: u64 = 65_536;

/// The first failure.
static FAILED: Mutex<Option<Failure>> = Mutex::new(None);

/// Closes a database for everybody. A failure is kept for [`outcome`]: whoever drops something cannot return it.
pub(crate) fn close(database: Database) {
    if let Err(error) = database.close() {
        FAILED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.into());
    }
}

/// Whether everything could be saved.
///
/// # Errors
/// The first failure.
pub(crate) fn outcome() -> Result<()> {
    FAILED.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
}

/// Lets the program open as many files as it may: the usual limit is made for programs that open few.
pub(crate) fn allow_open_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let most = maximum.map_or(OPEN_FILES, |maximum| maximum.min(OPEN_FILES));
    if current.is_some_and(|current| current < most) {
        // It works with fewer, too.
        let _refused = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum });
    }
}
