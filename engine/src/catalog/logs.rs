//! Checks RocksDB's logs before RocksDB reads them: its reader loops forever on some damage.
//!
//! After a valid record of a log, RocksDB neither skips nor refuses a record with a kind that only recycled logs have (RocksDB
//! 9.3 to 11.8; facebook/rocksdb, issue 13333). One flipped bit turns a valid kind into such a kind, so opening would hang. Logs
//! are not recycled here, so every such record is damage.

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;

use crate::disk::{Folder, MOST_CURRENT};
use crate::error::{Error, Result};

/// A log consists of blocks of this length; no record crosses its block, and damage is skipped up to the next one.
const BLOCK: usize = 32 << 10;
/// Checksum (4 bytes), length of what follows (2), kind (1).
const HEADER: usize = 7;
/// No log and no list of tables is so long: RocksDB begins another one long before.
pub(super) const MOST_BYTES: u64 = 8 << 30;
/// Kinds of recycled logs.
const RECYCLED: [u8; 6] = [5, 6, 7, 8, 11, 131];

/// Whether RocksDB can come to an end with the logs of a catalog.
///
/// Complexity: reads them once.
///
/// # Errors
/// `Corrupt`, naming the file and the byte; one that is longer than any log.
pub(super) fn check(folder: &Folder) -> Result<()> {
    for name in logs(folder)? {
        if let Some(at) = first_recycled_of(folder, &name)? {
            let name = name.to_string_lossy();
            return Err(Error::corrupt(format!("the catalog's {name} is damaged at byte {at}")));
        }
    }
    Ok(())
}

/// Empties the write-ahead logs from where RocksDB would not get past them, and says whether it would get past the manifest. What goes
/// was written after what stays. Lengths stay: RocksDB compares them with its manifest.
pub(super) fn cut(folder: &Folder) -> Result<bool> {
    let (mut is_listed, mut is_cut) = (true, false);
    for name in logs(folder)? {
        let found = first_recycled_of(folder, &name)?;
        if Path::new(&name).extension().is_none() {
            is_listed = found.is_none();
        } else if is_cut || found.is_some() {
            let file = folder.file_or_new(&name)?;
            let empty = || {
                let length = file.metadata()?.len();
                file.set_len(found.filter(|_| !is_cut).unwrap_or(0))?;
                file.set_len(length)
            };
            empty().map_err(|error| Error::io(&folder.path_of(&name), error))?;
            is_cut = true;
        }
    }
    Ok(is_listed)
}

/// The write-ahead logs, oldest first, and the current manifest, which has the same form.
fn logs(folder: &Folder) -> Result<Vec<OsString>> {
    let mut logs = folder.names()?;
    logs.retain(|name| Path::new(name).extension().is_some_and(|end| end == "log"));
    // What CURRENT says is checked by whoever opens the catalog.
    let current = folder.read("CURRENT", MOST_CURRENT)?.unwrap_or_default();
    let current = String::from_utf8_lossy(&current);
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if current.trim_end().strip_prefix("MANIFEST-").is_some_and(is_number) {
        logs.push(current.trim_end().into());
    }
    logs.sort();
    Ok(logs)
}

/// [`first_recycled`] of a file.
fn first_recycled_of(folder: &Folder, name: &OsString) -> Result<Option<u64>> {
    // A writer beside removes what it needs no longer.
    let Some(file) = folder.file(name)? else { return Ok(None) };
    let length = file.metadata().map_err(|error| Error::io(&folder.path_of(name), error))?.len();
    if length > MOST_BYTES {
        let what =
            format!("the catalog's {} is {length} bytes long, which is too long for a log", name.to_string_lossy());
        return Err(Error::corrupt(what));
    }
    first_recycled(file).map_err(|error| Error::io(&folder.path_of(name), error))
}

/// Where the first record lies that claims to be of a recycled log.
///
/// Checksums are not computed: behind a record whose length is damaged it may take something else for a record, but then there is
/// damage.
fn first_recycled(mut log: impl Read) -> std::io::Result<Option<u64>> {
    let mut block = Vec::with_capacity(BLOCK);
    let mut start = 0;
    loop {
        block.clear();
        let length = log.by_ref().take(BLOCK as u64).read_to_end(&mut block)?;
        let mut rest = &block[..];
        while let Some((&[.., low, high, kind], behind)) = rest.split_first_chunk::<HEADER>() {
            if RECYCLED.contains(&kind) {
                return Ok(Some(start + (length - rest.len()) as u64));
            }
            let size = u16::from_le_bytes([low, high]);
            match behind.get(usize::from(size)..) {
                Some(next) if (kind, size) != (0, 0) => rest = next,
                _ => break,
            }
        }
        if length < BLOCK {
            return Ok(None);
        }
        start += length as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record with a payload of that length.
    fn record(kind: u8, length: u16) -> Vec<u8> {
        let [low, high] = length.to_le_bytes();
        let mut record = vec![1, 2, 3, 4, low, high, kind];
        // Its bytes are a recycled kind's wherever they are read as one.
        record.resize(HEADER + usize::from(length), 5);
        record
    }

    #[test]
    fn what_claims_to_be_recycled_is_found_where_a_record_begins() {
        let find = |log: &[Vec<u8>]| first_recycled(&log.concat()[..]).unwrap();
        assert_eq!(find(&[]), None);
        assert_eq!(find(&[record(1, 100), record(2, 900), record(4, 0)]), None);
        assert_eq!(find(&[record(1, 100), record(5, 9)]), Some(107));
        for kind in RECYCLED {
            assert_eq!(find(&[record(kind, 0)]), Some(0));
        }
        // The rest of a block is passed over: behind zeros, a length beyond it, and too few bytes for a header.
        let full = |first: Vec<u8>| [first.clone(), vec![5; BLOCK - first.len()]].concat();
        let beyond = full([record(1, 10), vec![0, 0, 0, 0, 255, 255, 1]].concat());
        let exact = record(1, (BLOCK - HEADER) as u16);
        let trailer = full(record(1, (BLOCK - 2 * HEADER + 1) as u16));
        for block in [full(record(0, 0)), beyond, exact, trailer] {
            assert_eq!(find(&[block.clone(), record(1, 3)]), None);
            assert_eq!(find(&[block.clone(), record(1, 3), record(8, 3)]), Some((BLOCK + 10) as u64));
            assert_eq!(find(&[block, vec![5; 6]]), None);
        }
    }

    #[test]
    fn logs_are_cut_at_the_first_such_record() {
        let folder = tempfile::tempdir().unwrap();
        let its = Folder::open(folder.path()).unwrap();
        let file = |name: &str| folder.path().join(name);
        let bytes = [record(1, 100), record(5, 9), vec![7; BLOCK - 123], record(1, 4), record(131, 2)].concat();
        std::fs::write(file("000006.log"), record(1, 9)).unwrap();
        std::fs::write(file("000007.log"), &bytes).unwrap();
        std::fs::write(file("000008.log"), record(1, 1)).unwrap();
        std::fs::write(file("LOG"), record(5, 1)).unwrap();
        let error = check(&its).unwrap_err();
        assert!(error.message().contains("000007.log") && error.message().contains("107"), "{error}");
        assert!(cut(&its).unwrap());
        check(&its).unwrap();
        assert_eq!(std::fs::read(file("000006.log")).unwrap(), record(1, 9));
        assert_eq!(std::fs::read(file("000007.log")).unwrap(), [&bytes[..107], &vec![0; bytes.len() - 107]].concat());
        assert_eq!(std::fs::read(file("000008.log")).unwrap(), [0; 8]);
        // Of manifests, only the current one counts.
        for (current, sound) in [("MANIFEST-000001\n", true), ("MANIFEST-000002\n", false), ("MANIFEST-000003\n", true)]
        {
            std::fs::write(file("MANIFEST-000001"), record(1, 1)).unwrap();
            std::fs::write(file("MANIFEST-000002"), record(6, 1)).unwrap();
            std::fs::write(file("CURRENT"), current).unwrap();
            assert_eq!(check(&its).is_ok(), sound, "{current}");
            assert_eq!(cut(&its).unwrap(), sound, "{current}");
        }
    }
}
