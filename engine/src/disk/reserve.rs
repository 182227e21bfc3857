//! Space set aside: a database that met a full disk can still be closed and opened, and its reader told what is wrong, because a
//! file that nobody needs is removed then.

use std::io::Write;

use super::RESERVE;
use super::folder::{Folder, Kind};

/// Bytes set aside: what closing and opening a small tail write, with room to spare.
const RESERVE_BYTES: usize = 4 << 20;

/// An odd number whose multiples look like chance.
const MIXER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Sets space aside in a database's folder unless it is there. A disk without room for it is no error: the next opening tries again.
pub(crate) fn set_aside(folder: &Folder) {
    let there = folder.must_be(RESERVE, Kind::File);
    if !there.is_ok_and(|found| found.is_none_or(|found| found.bytes < RESERVE_BYTES as u64)) {
        return;
    }
    // Holes take no space, nor on some file systems what can be compressed.
    let noise = (1..=RESERVE_BYTES as u64 / 8).map(|n| n.wrapping_mul(MIXER).rotate_left(31).wrapping_mul(MIXER));
    let bytes: Vec<u8> = noise.flat_map(u64::to_le_bytes).collect();
    let written = folder.create(RESERVE).is_ok_and(|mut file| file.write_all(&bytes).is_ok());
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
        assert_eq!(first.len(), RESERVE_BYTES as u64);
        set_aside(&folder);
        assert_eq!(path.metadata().unwrap().modified().unwrap(), first.modified().unwrap());
        std::fs::write(&path, []).unwrap();
        set_aside(&folder);
        assert_eq!(path.metadata().unwrap().len(), RESERVE_BYTES as u64);
        assert!(release(&folder) && !release(&folder));
        drop(place);
        set_aside(&folder);
    }
}
