//! Backups: a consistent copy of a database during writes, which can be verified without opening it and restored elsewhere.
//!
//! RocksDB's tables and the segments never change, so a backup on the same file system consists of hard links and takes little
//! space. The list `BACKUP` names every file with its length and checksum; other files are not read.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::disk::{
    BACKUP, CATALOG, Folder, Kind, Lock, MOST_CURRENT, Making, SEGMENTS, What, copy_file, is_backup, link_or_copy,
    must_fit, point, refuse_unfinished, write_whole,
};
use crate::error::{Error, ErrorKind, Result};
use crate::options::OpenOptions;
use crate::progress::{Interrupt, Progress};
use crate::report::Copied;
use crate::write::core::Core;
use crate::write::deferred::Queue;

/// The first line of a list.
const TITLE: &str = "CAIRN BACKUP 1";
/// Bytes read at a time.
const READ_BYTES: usize = 1 << 20;

impl Core {
    /// Copies the database, as it is at one moment, into a folder outside of it that does not exist or is empty, or where a backup was
    /// cut short.
    ///
    /// For a database that is open for reading only, it copies what is durable at that time, even while another process writes.
    ///
    /// # Errors
    /// `AlreadyExists`; `Invalid`: the folder would lie inside the database; `Locked`: who writes it is too busy, or another process
    /// makes the same backup; `Io`.
    pub(crate) fn backup(&self, to: &Path, interrupt: &Interrupt<'_>) -> Result<Copied> {
        // A copy of it moves the log into tables first.
        span!("backup", to = %to.display());
        self.check_place()?;
        must_be_outside(to, self.folder.path())?;
        let making = Making::begin(to, What::Backup(self.folder.path()))?;
        let segments = making.folder().inner_or_new(SEGMENTS, "backup.segments")?;
        point("backup.catalog")?;
        if self.catalog.is_read_only() {
            self.copy_beside(&making, &segments)?;
        } else {
            self.copy_files(&making, &segments)?;
        }
        segments.sync("backup.segments")?;
        point("backup.list")?;
        let (files, bytes) = list(&making, &segments, interrupt)?;
        let sequence = sequence_of(making.catalog(), making.folder());
        making.finish()?;
        event!(files, bytes, sequence, "the backup is finished");
        Ok(Copied { files, bytes, sequence })
    }

    /// Catalog and segments of one moment. Segments are made and merged again as soon as they are there: what was linked or copied
    /// never changes, so that every byte of it can be read afterwards, which takes as long as the disk needs.
    fn copy_files(&self, making: &Making<'_>, segments: &Folder) -> Result<()> {
        // No segment is named or unlinked while the catalog and the segments are copied, so they fit.
        let _no_merge = self.merging.lock();
        let _no_flush = self.flushing.lock();
        self.catalog.copy_to(&making.checkpoint())?;
        making.take_checkpoint()?;
        let Some(from) = self.folder.inner(SEGMENTS)? else { return Ok(()) };
        for role in crate::operation::Role::ALL {
            for (_, entry, _) in self.current().rows(role).frozen() {
                let name = crate::segment::file_of(entry.id);
                // A lost segment is made again by whoever opens the backup.
                if from.about(&name)?.is_some_and(|found| found.kind == Kind::File) {
                    link_or_copy(&from, segments, name.as_ref())?;
                }
            }
        }
        Ok(())
    }
}

/// Writes the list of a new backup's files, by the names that they have when it is finished. Returns their number and bytes.
fn list(making: &Making<'_>, segments: &Folder, interrupt: &Interrupt<'_>) -> Result<(usize, u64)> {
    let mut lines = vec![TITLE.to_owned()];
    let mut bytes = 0;
    let parts = [(making.catalog(), CATALOG, making.names()?), (segments, SEGMENTS, segments.names()?)];
    let all = parts.iter().map(|(.., names)| names.len()).sum();
    for (folder, part, names) in parts {
        for name in names {
            let listed = format!("{part}/{}", name.to_string_lossy());
            if !is_ours(&listed) {
                continue;
            }
            interrupt.at(Progress::FILES, lines.len() - 1, all)?;
            let path = folder.native().join(&name);
            let file = File::open(&path).map_err(|error| Error::io(&path, error))?;
            let (length, sum) = summed(file, &path, u64::MAX, interrupt)?;
            bytes += length;
            lines.push(format!("{sum:08x} {length} {listed}"));
        }
    }
    let files = lines.len() - 1;
    let body = lines.join("\n") + "\n";
    let text = format!("{body}end {:08x}\n", crc32fast::hash(body.as_bytes()));
    let refused = |error| Error::io(&making.folder().path_of(BACKUP), error);
    write_whole(making.folder(), BACKUP, "backup", |file| file.write_all(text.as_bytes()).map_err(refused))?;
    Ok((files, bytes))
}

/// Reads every file of a backup and compares it with the list. `judge` sees it when every byte is what was backed up, and may refuse it.
///
/// # Errors
/// `NotFound`: no backup; `Unfinished`; `Corrupt`: the first file that is not what was backed up, a list that names what it may not,
/// or a file that the list does not name.
pub(crate) fn verify(
    folder: &Path,
    judge: &dyn Fn(&Folder) -> Result<()>,
    interrupt: &Interrupt<'_>,
) -> Result<Copied> {
    let (folder, listed) = list_of(folder)?;
    let (files, bytes) = compare(&folder, &listed, interrupt)?;
    if let Some(stray) = strays(&folder, &listed)? {
        return Err(Error::new(
            ErrorKind::Corrupt,
            format!("the backup has the extra file {stray}: another program wrote into the backup"),
        )
        .help("every file of the backup is intact, and a restore copies only those; remove the others"));
    }
    judge(&folder)?;
    let sequence = sequence_of(&folder.within(CATALOG)?, &folder);
    Ok(Copied { files, bytes, sequence })
}

/// Number of the last acknowledged write of a catalog that nobody writes; `None`: it cannot be read as it is.
fn sequence_of(catalog: &Folder, folder: &Folder) -> Option<u64> {
    let catalog = Arc::new(Catalog::beside(catalog, folder, &OpenOptions::new()).ok()?);
    let pinned = catalog.pin();
    let deferred = Queue::of(pinned.waiting().ok()?).last();
    Some(deferred.unwrap_or(0).max(pinned.sequence().ok()?))
}

/// Compares the files of a list with what was backed up.
fn compare(folder: &Folder, files: &[Listed], interrupt: &Interrupt<'_>) -> Result<(usize, u64)> {
    let mut bytes = 0;
    for (at, file) in files.iter().enumerate() {
        interrupt.at(Progress::FILES, at, files.len())?;
        let found = file.open(folder).and_then(|opened| file.is_in(opened, &folder.path_of(&file.name), interrupt));
        let is_same = found.map_err(|error| match error.kind() {
            ErrorKind::Cancelled => error,
            _ => damaged(&format!("{} cannot be read: {}", file.name, error.message())),
        })?;
        if !is_same {
            return Err(damaged(&format!("{} is not the file that was backed up", file.name)));
        }
        bytes += file.length;
    }
    Ok((files.len(), bytes))
}

/// The first entry of a backup that its list does not name.
fn strays(folder: &Folder, listed: &[Listed]) -> Result<Option<String>> {
    let known: BTreeSet<&str> = listed.iter().map(|file| file.name.as_str()).collect();
    let names =
        |folder: &Folder| Ok::<_, Error>(folder.names()?.into_iter().map(|name| name.to_string_lossy().into_owned()));
    let mut found: Vec<String> =
        names(folder)?.filter(|name| ![BACKUP, CATALOG, SEGMENTS].contains(&name.as_str())).collect();
    for part in [CATALOG, SEGMENTS] {
        let Some(inside) = folder.inner(part)? else { continue };
        found
            .extend(names(&inside)?.map(|name| format!("{part}/{name}")).filter(|name| !known.contains(name.as_str())));
    }
    Ok(found.into_iter().min())
}

/// Verifies a backup and copies it into a folder that does not exist or is empty, or where a restore was cut short; then it is a
/// database. `judge` sees the backup before anything is written, and may refuse it.
///
/// # Errors
/// As [`verify`], but that files which the list does not name are left where they are; `AlreadyExists`; `Invalid`: the folder would
/// lie inside the backup; `DiskFull`: it does not fit, and no file was copied; `Locked`: another process restores into it; `Io`.
pub(crate) fn restore(
    from: &Path,
    to: &Path,
    judge: &dyn Fn(&Folder) -> Result<()>,
    interrupt: &Interrupt<'_>,
) -> Result<Copied> {
    must_be_outside(to, from)?;
    let (backup, files) = list_of(from)?;
    let (all, bytes) = compare(&backup, &files, interrupt)?;
    judge(&backup)?;
    let sequence = sequence_of(&backup.within(CATALOG)?, &backup);
    let making = Making::begin(to, What::Restore(from))?;
    // What does not fit leaves the room to whoever else is on that disk. A restore that was cut short has given its own back by now.
    must_fit(making.folder(), "a restored database", bytes)?;
    // Its file tells a database that was restored from one whose restore an older build did not finish.
    let lock = Lock::take(making.folder())?;
    let segments = making.folder().inner_or_new(SEGMENTS, "restore.segments")?;
    for (at, file) in files.into_iter().enumerate() {
        interrupt.at(Progress::FILES, at, all)?;
        let (part, name) = file.parts();
        let target = if part == CATALOG { making.catalog() } else { &segments };
        point("restore.copy")?;
        // Copied, not linked: the backup must survive whatever happens to the database.
        copy_file(file.open(&backup)?, target, name.as_ref())?;
        let copied =
            target.file(name)?.ok_or_else(|| damaged(&format!("{} disappeared during the copy", file.name)))?;
        if !file.is_in(copied, &target.path_of(name), interrupt)? {
            return Err(damaged(&format!("{} changed during the copy", file.name)));
        }
    }
    segments.sync("restore.segments")?;
    making.finish()?;
    drop(lock);
    Ok(Copied { files: all, bytes, sequence })
}

struct Listed {
    name: String,
    length: u64,
    sum: u32,
}

impl Listed {
    /// Its folder in the backup, and its name there.
    fn parts(&self) -> (&str, &str) {
        self.name.split_once('/').unwrap_or(("", &self.name))
    }

    /// Whether a file is the one that was backed up. One of another length is not read, and no more of it than was listed; nor is a file
    /// of nothing but a hole, which can claim to have terabytes.
    fn is_in(&self, file: File, path: &Path, interrupt: &Interrupt<'_>) -> Result<bool> {
        let about = file.metadata().map_err(|error| Error::io(path, error))?;
        Ok(about.len() == self.length
            && !is_hole(&about)
            && summed(file, path, self.length, interrupt)? == (self.length, self.sum))
    }

    /// Opens the file in a backup.
    fn open(&self, backup: &Folder) -> Result<File> {
        let (part, name) = self.parts();
        backup
            .within(part)?
            .file(name)?
            .ok_or_else(|| Error::io(&backup.path_of(&self.name), std::io::Error::from(std::io::ErrorKind::NotFound)))
    }
}

/// Whether a large file has next to nothing on the disk. No file of a database compresses that well, whatever the file system does.
fn is_hole(about: &std::fs::Metadata) -> bool {
    /// Smaller ones are read in no time.
    const FROM_BYTES: u64 = 64 << 20;
    /// Bytes of a file for one on the disk.
    const MOST_COMPRESSED: u64 = 1_000;
    /// Of `st_blocks`, on every file system.
    const BLOCK: u64 = 512;
    let on_disk = std::os::unix::fs::MetadataExt::blocks(about).saturating_mul(BLOCK);
    about.len() > FROM_BYTES && on_disk < about.len() / MOST_COMPRESSED
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the backup is damaged: {what}")).help(
        "use another backup; without one, copy the folder, delete the file BACKUP of the copy, and save what can be read: cairn repair COPY",
    )
}

/// A backup's folder and what its list says, every name checked.
fn list_of(path: &Path) -> Result<(Folder, Vec<Listed>)> {
    /// Far more than any list is long.
    const MOST_BYTES: u64 = 1 << 26;
    let missing = || {
        Error::new(ErrorKind::NotFound, format!("{} is not a backup: it has no list", path.display()))
            .help("name the folder that BACKUP TO wrote")
    };
    let folder = Folder::open(path).map_err(|error| missing().because(error))?;
    refuse_unfinished(&folder)?;
    let file = folder.file(BACKUP)?.ok_or_else(missing)?;
    let mut text = String::new();
    file.take(MOST_BYTES).read_to_string(&mut text).map_err(|_| damaged("its list cannot be read"))?;
    let (body, end) = text.trim_end_matches('\n').rsplit_once('\n').ok_or_else(|| damaged("its list is cut short"))?;
    let body = format!("{body}\n");
    if end != format!("end {:08x}", crc32fast::hash(body.as_bytes())) {
        return Err(damaged("the checksum of its list does not match"));
    }
    let mut lines = body.lines();
    if lines.next() != Some(TITLE) {
        return Err(damaged("its list has another format"));
    }
    let parse = |line: &str| {
        let mut parts = line.splitn(3, ' ');
        let (sum, length, name) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Listed { name: name.to_owned(), length: length.parse().ok()?, sum: u32::from_str_radix(sum, 16).ok()? })
    };
    let listed = lines
        .map(|line| match parse(line) {
            Some(listed) if is_ours(&listed.name) => Ok(listed),
            Some(listed) => {
                Err(damaged(&format!("its list names '{}', which is no file of a backup", listed.name.escape_debug())))
            }
            None => Err(damaged("its list has a line that cannot be read")),
        })
        .collect::<Result<Vec<_>>>()?;
    must_be_a_catalog(&folder, &listed)?;
    Ok((folder, listed))
}

/// Refuses a list that names a file twice, or not the files without which no catalog can be opened: nothing would be wrong with any file
/// of it, and there would be no database.
///
/// # Errors
/// `Corrupt`.
fn must_be_a_catalog(folder: &Folder, listed: &[Listed]) -> Result<()> {
    let mut names = BTreeSet::new();
    if let Some(again) = listed.iter().find(|file| !names.insert(file.name.as_str())) {
        return Err(damaged(&format!("its list names '{}' twice", again.name)));
    }
    let current = format!("{CATALOG}/CURRENT");
    if !names.contains(current.as_str()) {
        return Err(damaged("its list names no catalog"));
    }
    let text = folder.within(CATALOG).and_then(|catalog| catalog.read("CURRENT", MOST_CURRENT));
    let text = text.map_err(|error| damaged(&format!("{current} cannot be read: {}", error.message())))?;
    let text = text.unwrap_or_default();
    let manifest = format!("{CATALOG}/{}", String::from_utf8_lossy(&text).trim_end());
    if names.contains(manifest.as_str()) {
        return Ok(());
    }
    Err(damaged(&format!("its list does not name the list of tables '{}'", manifest.escape_debug())))
}

/// Whether a backup may hold a file of that name: one of ours, one level deep at most, of harmless letters.
fn is_ours(name: &str) -> bool {
    let harmless = |part: &str| {
        !part.starts_with('.')
            && !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    let normal = Path::new(name).components().all(|component| matches!(component, Component::Normal(_)));
    match name.split('/').collect::<Vec<_>>()[..] {
        [folder, file] => normal && (folder == "catalog" || folder == "segments") && harmless(file),
        _ => false,
    }
}

/// Refuses a folder inside another one, by whatever links and dots its path leads there; neither needs to exist.
fn must_be_outside(folder: &Path, other: &Path) -> Result<()> {
    let (folder, inside) = (resolved(folder)?, resolved(other)?);
    // The database's own folder is refused as one that is not empty.
    if folder == inside || !folder.starts_with(&inside) {
        return Ok(());
    }
    let other = Folder::open(other).and_then(|other| is_backup(&other));
    let what = if other.unwrap_or(false) { "backup" } else { "database" };
    Err(Error::invalid(format!("{} is inside the {what} {}", folder.display(), inside.display()))
        .help("choose a folder beside it; better, on another disk"))
}

/// Where a path leads, part by part; those that do not exist stay as they are.
fn resolved(path: &Path) -> Result<PathBuf> {
    let mut resolved = PathBuf::new();
    for component in std::path::absolute(path).map_err(|error| Error::io(path, error))?.components() {
        match component {
            Component::ParentDir => {
                resolved.pop();
            }
            component => resolved.push(component),
        }
        if let Ok(real) = resolved.canonicalize() {
            resolved = real;
        }
    }
    Ok(resolved)
}

/// Length and checksum of a file, of which one byte more than `most` is read at most: it may grow meanwhile.
fn summed(file: File, path: &Path, most: u64, interrupt: &Interrupt<'_>) -> Result<(u64, u32)> {
    let mut file = file.take(most.saturating_add(1));
    let io = |error| Error::io(path, error);
    let (mut hasher, mut length) = (crc32fast::Hasher::new(), 0);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = file.read(&mut buffer).map_err(io)?;
        if read == 0 {
            return Ok((length, hasher.finalize()));
        }
        interrupt.look()?;
        hasher.update(&buffer[..read]);
        length += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_names_are_taken() {
        for name in ["catalog/CURRENT", "catalog/000012.sst", "catalog/MANIFEST-000004", "segments/0000000001.segment"]
        {
            assert!(is_ours(name), "{name}");
        }
        for name in [
            "",
            "/etc/passwd",
            "../catalog/CURRENT",
            "catalog/../../x",
            "catalog/..",
            "catalog/.",
            "catalog/.hidden",
            "catalog/",
            "catalog//x",
            "segments/a/b",
            "x",
            "LOCK",
            "catalog",
            "./catalog/x",
            "catalog\\x",
            "catalog/a b",
            "catalog/a\0b",
            "other/x",
            "catalog/x\n",
            "C:\\x",
            "catalog/ü",
        ] {
            assert!(!is_ours(name), "{name:?}");
        }
    }
}
