//! The free space on the disk of a database, and the error if it is too little.

use super::{Folder, sees_room};
use crate::error::{Error, ErrorKind, NO_SPACE_HELP, Result};

/// The number of bytes in messages.
const MEBIBYTE: u64 = 1 << 20;

/// The bytes that this process may still use of the disk of a folder; `None`: the file system does not say. It ignores quotas, so
/// this user may have less space.
///
/// Complexity: one call of the operating system.
pub(crate) fn free_bytes(folder: &Folder) -> Option<u64> {
    if !sees_room() {
        return None;
    }
    let found = rustix::fs::statvfs(folder.native()).ok().filter(|found| found.f_blocks > 0)?;
    let blocks = if rustix::process::geteuid().is_root() {
        free_for_root(found.f_blocks, found.f_bfree, found.f_bavail)
    } else {
        found.f_bavail
    };
    Some(blocks.saturating_mul(found.f_frsize))
}

/// Blocks reserved for root are free for root, except those that ext4 keeps for its own lists: a fiftieth, 4,096 at most. It
/// counts them as free, but no file can use them.
fn free_for_root(all: u64, free: u64, available: u64) -> u64 {
    const MOST_OWN: u64 = 4096;
    free - (all / 50).min(MOST_OWN).min(free.saturating_sub(available))
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
        "the disk of {} is full: {what} needs {needed_mib} MiB ({needed} bytes), but {free_mib} MiB ({free} bytes) are free",
        folder.path().display()
    );
    let missing = needed.saturating_sub(free).div_ceil(MEBIBYTE);
    Error::new(ErrorKind::DiskFull, message).help(format!("it needs {missing} MiB more: {NO_SPACE_HELP}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// It catches: blocks counted as free that nobody gets; root refused what is kept back for it.
    #[test]
    fn root_has_all_but_what_the_file_system_keeps() {
        // Nothing kept back, ext4 with nothing for root, ext4 with a twentieth for root, and a full one.
        assert_eq!(free_for_root(32_768, 9_000, 9_000), 9_000);
        assert_eq!(free_for_root(32_768, 9_000, 8_345), 8_345);
        assert_eq!(free_for_root(10_000_000, 900_000, 395_904), 895_904);
        assert_eq!(free_for_root(32_768, 100, 0), 0);
    }

    /// It catches: an error that does not say how much must be freed.
    #[test]
    fn what_does_not_fit_is_refused_with_numbers() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        must_fit(&folder, "this", 1).unwrap();
        let error = must_fit(&folder, "this", u64::MAX).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DiskFull);
        let error = too_full(&folder, "this", 5 * MEBIBYTE - 1, 3 * MEBIBYTE);
        assert!(error.message().contains("needs 5 MiB (5242879 bytes), but 3 MiB"), "{error}");
        assert!(error.next_step().unwrap().starts_with("it needs 2 MiB more"), "{error}");
    }
}
