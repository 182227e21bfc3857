//! Reserved space: because this file can be removed, a database on a full disk can still be closed, opened and deleted from, and
//! can report the cause.

use std::io::Write;

use super::folder::{Folder, Kind};
use super::{RESERVE, free_bytes, syncs};

/// Bytes set aside: what an opening writes (1 MiB of RocksDB's lists, options and messages), what closing writes (the number of the last
/// write), and what is left is for deletions.
pub(crate) const RESERVE_BYTES: u64 = 8 << 20;

/// Bytes that must be free beside the reserve when it is made: it must not take the last of a disk.
const FREE_BESIDE: u64 = 4 << 20;

/// An odd number whose multiples look like chance.
const MIXER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Whether space is set aside in a database's folder.
pub(crate) fn is_set_aside(folder: &Folder) -> bool {
    folder.must_be(RESERVE, Kind::File).is_ok_and(|found| found.is_some_and(|found| found.bytes >= RESERVE_BYTES))
}

/// Sets space aside in a database's folder unless it is there. A disk without room for it is no error: it is tried again when there is.
pub(crate) fn set_aside(folder: &Folder) {
    let is_foreign = folder.must_be(RESERVE, Kind::File).is_err();
    let has_no_room = free_bytes(folder).is_some_and(|free| free < RESERVE_BYTES + FREE_BESIDE);
    if is_foreign || is_set_aside(folder) || has_no_room {
        return;
    }
    // Holes take no space, nor on some file systems what can be compressed, nor on others what was never synced.
    let noise = (1..=RESERVE_BYTES / 8).map(|n| n.wrapping_mul(MIXER).rotate_left(31).wrapping_mul(MIXER));
    let bytes: Vec<u8> = noise.flat_map(u64::to_le_bytes).collect();
    let written = folder
        .create(RESERVE)
        .is_ok_and(|mut file| file.write_all(&bytes).is_ok() && (!syncs() || file.sync_all().is_ok()));
    if !written {
        release(folder);
    }
}

/// Gives the space back; `false`: none was set aside.
pub(crate) fn release(folder: &Folder) -> bool {
    folder.discard(RESERVE).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_set_aside_once_and_given_back_once() {
        let place = tempfile::tempdir().unwrap();
        let (folder, path) = (Folder::open(place.path()).unwrap(), place.path().join(RESERVE));
        assert!(!release(&folder));
        set_aside(&folder);
        let first = path.metadata().unwrap();
        assert_eq!(first.len(), RESERVE_BYTES);
        set_aside(&folder);
        assert_eq!(path.metadata().unwrap().modified().unwrap(), first.modified().unwrap());
        std::fs::write(&path, []).unwrap();
        set_aside(&folder);
        assert_eq!(path.metadata().unwrap().len(), RESERVE_BYTES);
        assert!(release(&folder) && !release(&folder));
        drop(place);
        set_aside(&folder);
    }
}
