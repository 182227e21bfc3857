//! Ctrl-C as a flag that long work looks at between two pieces.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::{Failure, Result};

static PRESSED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C sets the flag instead of ending the process.
///
/// # Errors
/// When the handler cannot be set.
pub(crate) fn listen() -> Result<()> {
    static SET: OnceLock<Option<String>> = OnceLock::new();
    let failed = SET.get_or_init(|| {
        ctrlc::set_handler(|| PRESSED.store(true, Ordering::SeqCst)).err().map(|error| error.to_string())
    });
    match failed {
        None => Ok(()),
        Some(error) => Err(Failure::new(format!("Ctrl-C cannot be watched: {error}"))),
    }
}

/// The flag, for work that takes one.
pub(crate) fn flag() -> &'static AtomicBool {
    &PRESSED
}

/// Whether Ctrl-C was pressed since the last [`forget`].
pub(crate) fn pressed() -> bool {
    PRESSED.load(Ordering::SeqCst)
}

/// Begins anew.
pub(crate) fn forget() {
    PRESSED.store(false, Ordering::SeqCst);
}
