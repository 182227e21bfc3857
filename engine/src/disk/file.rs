//! Whole files: written beside their place, synced, renamed, and the folder synced, so that a name never stands for half a file.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use super::fault::{point, syncs};
use crate::error::{Error, Result};

/// Bytes handed to the operating system at a time.
const WRITE_BUFFER: usize = 1 << 20;

/// Writes `path` as a whole: whoever opens the name afterwards, in this process or after a power loss, sees all of it or the file
/// that was there before.
///
/// `name` prefixes the fault points that it passes.
///
/// # Errors
/// What `fill` gives, or `Io`; the half-written file is removed.
pub(crate) fn write_whole(
    path: &Path,
    name: &str,
    fill: impl FnOnce(&mut BufWriter<File>) -> Result<()>,
) -> Result<()> {
    let beside = path.with_extension("tmp");
    let written = write_beside(&beside, path, name, fill);
    if written.is_err() {
        // The first error is the one to tell.
        let _left_for_the_next_open = std::fs::remove_file(&beside);
    }
    written
}

fn write_beside(
    beside: &Path,
    path: &Path,
    name: &str,
    fill: impl FnOnce(&mut BufWriter<File>) -> Result<()>,
) -> Result<()> {
    let io = |error| Error::io(beside, error);
    point(&format!("{name}.create"))?;
    let mut file = BufWriter::with_capacity(WRITE_BUFFER, File::create(beside).map_err(io)?);
    point(&format!("{name}.write"))?;
    fill(&mut file)?;
    point(&format!("{name}.written"))?;
    let file = file.into_inner().map_err(|error| io(error.into_error()))?;
    point(&format!("{name}.sync"))?;
    if syncs() {
        file.sync_all().map_err(io)?;
    }
    point(&format!("{name}.rename"))?;
    std::fs::rename(beside, path).map_err(|error| Error::io(path, error))?;
    point(&format!("{name}.renamed"))?;
    match path.parent() {
        Some(folder) => sync_folder(folder, name),
        None => Ok(()),
    }
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path, name: &str) -> Result<()> {
    point(&format!("{name}.sync_folder"))?;
    let io = |error| Error::io(folder, error);
    if syncs() { File::open(folder).map_err(io)?.sync_all().map_err(io) } else { Ok(()) }
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
        sync_folder(above.unwrap_or(Path::new(".")), name)?;
    }
    Ok(())
}

/// Unlinks a file; one that is gone already is as good, and a folder of its name is none of ours and stays.
pub(crate) fn remove(path: &Path, name: &str) -> Result<()> {
    point(&format!("{name}.remove"))?;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound && !path.is_dir() => Err(Error::io(path, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_failed_write_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.file");
        write_whole(&path, "test", |file| file.write_all(b"first").map_err(|error| Error::io(&path, error))).unwrap();
        let failed = write_whole(&path, "test", |file| {
            file.write_all(b"sec").map_err(|error| Error::io(&path, error))?;
            Err(Error::invalid("no more"))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        remove(&path, "test").unwrap();
        remove(&path, "test").unwrap();
    }

    #[test]
    fn a_folder_is_made_with_those_above_it_and_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c");
        make_folder(&path, "test").unwrap();
        make_folder(&path, "test").unwrap();
        std::fs::write(path.join("file"), b"mine").unwrap();
        remove(&path, "test").unwrap();
        assert!(path.join("file").is_file());
    }
}
