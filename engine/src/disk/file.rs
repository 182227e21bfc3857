//! Whole files: written under another name, synced, renamed, and the folder synced, so that a name never refers to half a file.

use std::ffi::OsStr;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use super::fault::{point, syncs};
use super::folder::{Folder, Kind};
use crate::error::{Error, Result};

/// Bytes handed to the operating system at a time.
const WRITE_BUFFER: usize = 1 << 20;

/// Writes a file of a folder atomically: an opening afterwards, in this process or after a power loss, gets all of it or the
/// earlier file.
///
/// `point` prefixes the fault points that it passes.
///
/// # Errors
/// What `fill` gives; `Invalid`: something that is no plain file has the name; `Io`. The half-written file is removed.
pub(crate) fn write_whole(
    folder: &Folder,
    name: &str,
    point: &str,
    fill: impl FnOnce(&mut BufWriter<File>) -> Result<()>,
) -> Result<()> {
    let beside = Path::new(name).with_extension("tmp");
    let written = write_beside(folder, &beside, name, point, fill);
    if written.is_err() {
        // The first error is the one to tell.
        let _left_for_the_next_open = folder.discard(&beside);
    }
    written
}

fn write_beside(
    folder: &Folder,
    beside: &Path,
    name: &str,
    step: &str,
    fill: impl FnOnce(&mut BufWriter<File>) -> Result<()>,
) -> Result<()> {
    let io = |error| Error::io(&folder.path_of(beside), error);
    folder.must_be(name, Kind::File)?;
    point(&format!("{step}.create"))?;
    let mut file = BufWriter::with_capacity(WRITE_BUFFER, folder.create(beside)?);
    point(&format!("{step}.write"))?;
    fill(&mut file)?;
    point(&format!("{step}.written"))?;
    let file = file.into_inner().map_err(|error| io(error.into_error()))?;
    point(&format!("{step}.sync"))?;
    if syncs() {
        file.sync_all().map_err(io)?;
    }
    point(&format!("{step}.rename"))?;
    folder.rename(beside, name)?;
    point(&format!("{step}.renamed"))?;
    folder.sync(step)
}

/// Makes a folder, with those above it that are missing, and makes the names of all of them durable.
///
/// # Errors
/// `Io`.
pub(crate) fn make_folder(folder: &Path, name: &str) -> Result<()> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let missing: Vec<&Path> = folder.ancestors().take_while(is_missing).collect();
    std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
    for made in missing {
        let above = made.parent().filter(|above| !above.as_os_str().is_empty());
        Folder::open(above.unwrap_or(Path::new(".")))?.sync(name)?;
    }
    Ok(())
}

/// A copy of a file that never changes: a hard link, or on another file system a synced copy.
///
/// # Errors
/// `NotFound`: it went; `Invalid`: it is a link, a pipe, ..; `Io`.
pub(crate) fn link_or_copy(from: &Folder, to: &Folder, name: &OsStr) -> Result<()> {
    let gone = || Error::io(&from.path_of(name), std::io::Error::from(std::io::ErrorKind::NotFound));
    from.must_be(name, Kind::File)?.ok_or_else(gone)?;
    if from.link(name, to) {
        return Ok(());
    }
    copy_file(from.file(name)?.ok_or_else(gone)?, to, name)
}

/// Copies a file and syncs the copy.
///
/// # Errors
/// `Io`.
pub(crate) fn copy_file(mut from: File, to: &Folder, name: &OsStr) -> Result<()> {
    let io = |error| Error::io(&to.path_of(name), error);
    let mut written = to.create(name)?;
    std::io::copy(&mut from, &mut written).map_err(io)?;
    if syncs() { written.sync_all().map_err(io) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_failed_write_leaves_what_was_there() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        let path = place.path().join("a.file");
        write_whole(&folder, "a.file", "test", |file| {
            file.write_all(b"first").map_err(|error| Error::io(&path, error))
        })
        .unwrap();
        let failed = write_whole(&folder, "a.file", "test", |file| {
            file.write_all(b"sec").map_err(|error| Error::io(&path, error))?;
            Err(Error::invalid("no more"))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
        folder.remove("a.file", "test").unwrap();
        folder.remove("a.file", "test").unwrap();
    }

    #[test]
    fn a_folder_is_made_with_those_above_it_and_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c");
        make_folder(&path, "test").unwrap();
        make_folder(&path, "test").unwrap();
        std::fs::write(path.join("file"), b"mine").unwrap();
        Folder::open(&folder.path().join("a/b")).unwrap().remove("c", "test").unwrap();
        assert!(path.join("file").is_file());
    }
}
