//! Named points at which a test program can make the disk fail or the process die. In every other program they do nothing.
//!
//! Only a call arms them, no environment variable and no feature of a build, so that nobody can arm them in a program that is not
//! a test, whatever it is built with.

use std::sync::OnceLock;

use crate::error::Result;

/// What a test program has the disk do.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    /// Hears the name of every point that is passed; an error is that of the work at this point.
    pub point: fn(&str) -> Result<()>,
    /// Whether files are synced. The control run of the power-loss test does not sync, and must lose data to show that the test can
    /// see it.
    pub syncs: bool,
    /// Whether the engine checks the free space before a write; otherwise the disk itself must refuse.
    pub sees_room: bool,
}

static INSTALLED: OnceLock<Faults> = OnceLock::new();

/// Arms the points of this process, once and for all; `false`: they are armed already, and stay as they are.
pub fn install_faults(faults: Faults) -> bool {
    INSTALLED.set(faults).is_ok()
}

/// Whether files are synced: always, but in a test program that says otherwise.
pub(crate) fn syncs() -> bool {
    INSTALLED.get().is_none_or(|faults| faults.syncs)
}

/// Whether the engine checks the free space before a write: always, except in a test program that turns it off.
pub(crate) fn sees_room() -> bool {
    INSTALLED.get().is_none_or(|faults| faults.sees_room)
}

/// Passes a named point.
///
/// # Errors
/// The armed error, in a test program alone.
#[inline]
pub(crate) fn point(name: &str) -> Result<()> {
    match INSTALLED.get() {
        None => Ok(()),
        Some(faults) => (faults.point)(name),
    }
}
