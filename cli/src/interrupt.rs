//! Ctrl-C as a flag that long work looks at between two pieces.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::{Exit, Failure, Result};

static PRESSED: AtomicBool = AtomicBool::new(false);

/// What a second Ctrl-C does while the first one is still being heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// Nothing more.
    Waits,
    /// Ends the process: what was acknowledged is safe in any case.
    Ends,
}

/// From now on Ctrl-C sets the flag instead of ending the process. The first call in a process decides about `again`.
///
/// # Errors
/// When the handler cannot be set.
pub(crate) fn listen(again: Again) -> Result<()> {
    static SET: OnceLock<Option<String>> = OnceLock::new();
    let handler = move || {
        if PRESSED.swap(true, Ordering::SeqCst) && again == Again::Ends {
            std::process::exit(Exit::Interrupted as i32);
        }
    };
    let failed = SET.get_or_init(|| ctrlc::set_handler(handler).err().map(|error| error.to_string()));
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
