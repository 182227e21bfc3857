//! The names in a database's folder, and what each may be. Cairn's own names must be plain files or folders, as it creates them,
//! before anything is opened by them; it leaves every other name alone.

use std::ffi::OsStr;

use super::folder::{Folder, Kind};
use super::{ACKNOWLEDGED, BACKUP, CATALOG, COLUMNS, KNOWN, LOCK, NEIGHBOURS, RESERVE, SEGMENTS, TRAINING};
use crate::error::{Error, Result};

/// `CURRENT` is a name and a line break.
pub(crate) const MOST_CURRENT: u64 = 256;
/// Digits of a segment's number in its name, at least.
const DIGITS: usize = 10;

/// What we make under this name in a database's folder, if we do.
fn kind_in_database(name: &str) -> Option<Kind> {
    let is_where_catalogs_are_made = |name: &str| {
        let made = name.strip_prefix(CATALOG).and_then(|rest| rest.strip_prefix('.'));
        matches!(made, Some("unfinished" | "unfinished.tmp" | "tmp" | "clone" | "filling" | "filled"))
    };
    match name {
        CATALOG | SEGMENTS | TRAINING => Some(Kind::Folder),
        name if is_where_catalogs_are_made(name) => Some(Kind::Folder),
        name => match name.strip_suffix(".tmp").unwrap_or(name) {
            LOCK | COLUMNS | NEIGHBOURS | ACKNOWLEDGED | RESERVE | BACKUP | KNOWN => Some(Kind::File),
            _ => None,
        },
    }
}

/// Whether a file of this name in the folder of segments is ours: a segment, or one that was being written.
pub(crate) fn is_of_segments(name: &OsStr) -> bool {
    let number = name.to_str().and_then(|name| name.strip_suffix(".segment").or_else(|| name.strip_suffix(".tmp")));
    number.is_some_and(|number| number.len() >= DIGITS && is_number(number))
}

/// Whether a file of this name in the folder of trainings is one that the program makes.
fn is_of_trainings(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let name = name.strip_suffix(".tmp").unwrap_or(name);
    matches!(name, "log.csv" | "loss.html") || name.starts_with("checkpoint-")
}

/// Whether a file of this name in the folder of the catalog is RocksDB's.
pub(crate) fn is_of_catalog(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let name = name.strip_suffix(".trash").unwrap_or(name);
    if matches!(name, "CURRENT" | "IDENTITY" | "LOCK" | "LOG") || name.starts_with("LOG.old") {
        return true;
    }
    let (stem, end) = name.split_once('.').unwrap_or((name, ""));
    let numbered = ["MANIFEST-", "OPTIONS-"].iter().find_map(|begin| stem.strip_prefix(begin));
    match (numbered, end) {
        (Some(number), "" | "dbtmp") => is_number(number),
        (None, "sst" | "ldb" | "log" | "blob" | "dbtmp") => is_number(stem) || stem == "CURRENT",
        _ => false,
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Refuses a database's folder in which a name of ours is something else than we make: a link, a pipe, a folder where a file belongs.
/// Nothing is opened by it, so nothing waits for a pipe and no device acts.
///
/// Complexity: a call of the system for each entry.
///
/// # Errors
/// `Invalid`, with the first such name and what it is; `Io`.
pub(crate) fn look_at_database(folder: &Folder) -> Result<()> {
    for name in folder.names()? {
        if let Some(kind) = name.to_str().and_then(kind_in_database) {
            folder.must_be(&name, kind)?;
        }
    }
    if let Some(segments) = folder.inner(SEGMENTS)? {
        for name in segments.names()?.iter().filter(|name| is_of_segments(name)) {
            // A folder there belongs to nobody: it stays, and a segment with its name is written again.
            if segments.about(name)?.is_some_and(|found| found.kind != Kind::Folder) {
                segments.must_be(name, Kind::File)?;
            }
        }
    }
    if let Some(training) = folder.inner(TRAINING)? {
        for name in training.names()?.iter().filter(|name| is_of_trainings(name)) {
            training.must_be(name, Kind::File)?;
        }
    }
    match folder.inner(CATALOG)? {
        Some(catalog) => look_at_catalog(&catalog),
        None => Ok(()),
    }
}

/// The same of the folder of a catalog.
///
/// # Errors
/// As [`look_at_database`].
pub(crate) fn look_at_catalog(catalog: &Folder) -> Result<()> {
    for name in catalog.names()? {
        if is_of_catalog(&name) {
            catalog.must_be(&name, Kind::File)?;
        } else if matches!(name.to_str(), Some("archive" | "lost")) {
            // RocksDB's own folders.
            catalog.must_be(&name, Kind::Folder)?;
        }
    }
    Ok(())
}

/// Refuses to write a catalog in which a list of tables, or a file under construction, is also somebody else's file under another
/// name. RocksDB creates new ones under the next number, over any file with that name. (Tables are shared with backups and never
/// written; the current list is only read.)
///
/// # Errors
/// `Invalid`, with the name; `Io`.
pub(crate) fn refuse_shared_lists(catalog: &Folder) -> Result<()> {
    let current = catalog.read("CURRENT", MOST_CURRENT)?.unwrap_or_default();
    let in_force = String::from_utf8_lossy(&current);
    for name in catalog.names()?.iter().filter(|name| is_of_catalog(name)) {
        let text = name.to_string_lossy();
        let is_made = text.starts_with("MANIFEST-") || text.ends_with(".dbtmp");
        if is_made && text != in_force.trim_end() && catalog.about(name)?.is_some_and(|found| found.names > 1) {
            let path = catalog.path_of(name);
            return Err(Error::invalid(format!("{} is also a file somewhere else (a hard link)", path.display()))
                .help("RocksDB may write over it: remove this name; the file keeps its other one"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// It catches: a foreign file that the next list of tables would overwrite; the current list, or a table shared with a
    /// backup, refused.
    #[test]
    fn a_list_that_has_another_name_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let (outside, inside) = (place.path().join("theirs"), place.path().join("catalog"));
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(inside.join("CURRENT"), "MANIFEST-000005\n").unwrap();
        std::fs::write(&outside, "theirs").unwrap();
        let catalog = Folder::open(&inside).unwrap();
        for (name, is_refused) in [
            ("MANIFEST-000005", false),
            ("000007.sst", false),
            ("notes.txt", false),
            ("MANIFEST-000009", true),
            ("OPTIONS-000010", false),
            ("000011.dbtmp", true),
        ] {
            std::fs::hard_link(&outside, inside.join(name)).unwrap();
            let looked = refuse_shared_lists(&catalog);
            assert_eq!(looked.is_err(), is_refused, "{name}: {looked:?}");
            assert!(looked.is_ok() || looked.unwrap_err().to_string().contains(name));
            std::fs::remove_file(inside.join(name)).unwrap();
        }
    }

    #[test]
    fn our_names_are_known_and_others_are_nobodys() {
        for name in ["0000000001.segment", "12345678901.segment", "0000000001.tmp"] {
            assert!(is_of_segments(OsStr::new(name)), "{name}");
        }
        for name in
            ["1.segment", "000000000a.segment", "0000000001.jpg", ".segment", "0000000001.segment.bak", "notes.txt"]
        {
            assert!(!is_of_segments(OsStr::new(name)), "{name}");
        }
        for name in [
            "CURRENT",
            "IDENTITY",
            "LOCK",
            "LOG",
            "LOG.old.1732",
            "MANIFEST-000004",
            "OPTIONS-000007",
            "OPTIONS-000007.dbtmp",
            "000012.sst",
            "000013.log",
            "000014.dbtmp",
            "CURRENT.dbtmp",
            "000012.sst.trash",
            "000013.log.trash",
        ] {
            assert!(is_of_catalog(OsStr::new(name)), "{name}");
        }
        for name in
            ["", "MANIFEST-", "MANIFEST-1a", "notes.txt", "photo.sst", "12.jpg", "archive", ".log", "000012.sst.bak"]
        {
            assert!(!is_of_catalog(OsStr::new(name)), "{name}");
        }
        for (name, kind) in [
            ("LOCK", Some(Kind::File)),
            ("columns.tmp", Some(Kind::File)),
            ("catalog", Some(Kind::Folder)),
            ("catalog.filled", Some(Kind::Folder)),
            ("catalog.txt", None),
            ("photos", None),
        ] {
            assert_eq!(kind_in_database(name), kind, "{name}");
        }
    }
}
