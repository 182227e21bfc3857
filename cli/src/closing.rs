//! Closing databases: if something could not be saved, the command fails. Also raises the limit of open files.

use std::sync::{Mutex, PoisonError};

use cairn::Database;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::failure::{Failure, Result};

/// Upper bound for the limit of open files; more than this helps nobody.
const OPEN_FILES: u64 = 65_536;

/// The first failure.
static FAILED: Mutex<Option<Failure>> = Mutex::new(None);

/// Closes a database. It keeps a failure for [`outcome`], because a drop cannot return it.
pub(crate) fn close(database: Database) {
    if let Err(error) = database.close() {
        FAILED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.into());
    }
}

/// Whether everything was saved.
///
/// # Errors
/// The first failure.
pub(crate) fn outcome() -> Result<()> {
    FAILED.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
}

/// Raises the limit of open files as far as the system allows: the usual limit suits programs that open few.
pub(crate) fn allow_open_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let most = maximum.map_or(OPEN_FILES, |maximum| maximum.min(OPEN_FILES));
    if current.is_some_and(|current| current < most) {
        // The program also works with fewer.
        let _refused = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum });
    }
}
