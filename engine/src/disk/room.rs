//! How much room there is on the disk of a database, and what is said where it is too little.

use super::{Folder, sees_room};
use crate::error::{Error, ErrorKind, NO_SPACE_HELP, Result};

/// Bytes of which people are told.
const MEBIBYTE: u64 = 1 << 20;

/// The bytes that this process may still take of the disk on which a folder lies; `None`: the file system does not say. A quota is not
/// looked at: what is free for everybody may not be free for this user.
///
/// Complexity: one call of the operating system.
pub(crate) fn free_bytes(folder: &Folder) -> Option<u64> {
    if !sees_room() {
        return None;
    }
    let found = rustix::fs::statvfs(folder.native()).ok().filter(|found| found.f_blocks > 0)?;
    // What is kept back for root is free for root.
    let blocks = if rustix::process::geteuid().is_root() { found.f_bfree } else { found.f_bavail };
    Some(blocks.saturating_mul(found.f_frsize))
}

/// Refuses what does not fit on the disk on which a folder lies, before it is begun.
///
/// # Errors
/// `DiskFull`: `what` needs more than is free, in words that say how much.
pub(crate) fn must_fit(folder: &Folder, what: &str, needed: u64) -> Result<()> {
    match free_bytes(folder) {
        Some(free) if free < needed => Err(too_full(folder, what, needed, free)),
        _ => Ok(()),
    }
}

/// `what` needs more than is free.
pub(crate) fn too_full(folder: &Folder, what: &str, needed: u64, free: u64) -> Error {
    let (needed_mib, free_mib) = (needed.div_ceil(MEBIBYTE), free / MEBIBYTE);
    let message = format!(
        "the disk of {} is full: {what} needs {needed_mib} MiB ({needed} bytes), {free_mib} MiB ({free} bytes) are free",
        folder.path().display()
    );
    let missing = needed.saturating_sub(free).div_ceil(MEBIBYTE);
    Error::new(ErrorKind::DiskFull, message).help(format!("{missing} MiB more are needed: {NO_SPACE_HELP}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// It catches: an error that does not say how much must be freed.
    #[test]
    fn what_does_not_fit_is_refused_with_numbers() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        must_fit(&folder, "this", 1).unwrap();
        let error = must_fit(&folder, "this", u64::MAX).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DiskFull);
        let error = too_full(&folder, "this", 5 * MEBIBYTE - 1, 3 * MEBIBYTE);
        assert!(error.message().contains("needs 5 MiB (5242879 bytes), 3 MiB"), "{error}");
        assert!(error.next_step().unwrap().starts_with("2 MiB more"), "{error}");
    }
}
