//! Space set aside: a database that met a full disk can still be closed and opened, and its reader told what is wrong, because a
//! file that nobody needs is removed then.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::reserve_file;

/// Bytes set aside: what closing and opening a small tail write, with room to spare.
const RESERVE_BYTES: usize = 4 << 20;

/// An odd number whose multiples look like chance.
const MIXER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Sets space aside in a database's folder unless it is there. A disk without room for it is no error: the next opening tries again.
pub(crate) fn set_aside(folder: &Path) {
    let path = reserve_file(folder);
    let is_there = path.metadata().is_ok_and(|found| found.len() >= RESERVE_BYTES as u64);
    if is_there {
        return;
    }
    // Holes take no space, nor on some file systems what can be compressed.
    let noise = (1..=RESERVE_BYTES as u64 / 8).map(|n| n.wrapping_mul(MIXER).rotate_left(31).wrapping_mul(MIXER));
    let bytes: Vec<u8> = noise.flat_map(u64::to_le_bytes).collect();
    let written = File::create(&path).and_then(|mut file| file.write_all(&bytes));
    if written.is_err() {
        release(folder);
    }
}

/// Gives the space back; `false`: none was set aside.
pub(crate) fn release(folder: &Path) -> bool {
    std::fs::remove_file(reserve_file(folder)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_set_aside_once_and_given_back_once() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!release(folder.path()));
        set_aside(folder.path());
        let first = reserve_file(folder.path()).metadata().unwrap();
        assert_eq!(first.len(), RESERVE_BYTES as u64);
        set_aside(folder.path());
        assert_eq!(reserve_file(folder.path()).metadata().unwrap().modified().unwrap(), first.modified().unwrap());
        File::create(reserve_file(folder.path())).unwrap();
        set_aside(folder.path());
        assert_eq!(reserve_file(folder.path()).metadata().unwrap().len(), RESERVE_BYTES as u64);
        assert!(release(folder.path()) && !release(folder.path()));
        set_aside(&folder.path().join("not there"));
    }
}
