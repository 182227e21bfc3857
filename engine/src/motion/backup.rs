//! Backups: a consistent copy of a database while it is written, which can be verified without opening it and restored elsewhere.
//!
//! RocksDB's tables and the segments never change, so a backup on the same file system is hard links and takes little room. The list
//! `BACKUP` names every file with its length and checksum; nothing that it does not name is read.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Component, Path, PathBuf};

use super::core::Core;
use crate::disk::{CATALOG, Folder, SEGMENTS, make_folder, point, write_whole};
use crate::error::{Error, ErrorKind, Result};

/// The list of a backup's files.
const LIST: &str = "BACKUP";
/// Its first line.
const TITLE: &str = "CAIRN BACKUP 1";
/// The file without which a folder is no database: it is restored when all others are there, so that a restoring that was cut short
/// leaves nothing that opens.
const LAST: &str = "catalog/CURRENT";
/// Bytes read at a time.
const READ_BYTES: usize = 1 << 20;

impl Core {
    /// Copies the database, as it is at one moment, into a folder outside of it that does not exist or is empty. Returns the number
    /// of files and their bytes.
    ///
    /// # Errors
    /// `AlreadyExists`; `Invalid`: the folder would lie inside the database; `Io`.
    pub(crate) fn backup(&self, to: &Path) -> Result<(usize, u64)> {
        self.refuse_when_read_only()?;
        // A copy of it moves the log into tables first.
        self.check_place()?;
        must_be_outside(to, self.folder.path())?;
        must_be_free(to, "backup.folder")?;
        self.copy_files(to)?;
        point("backup.list")?;
        list(to)
    }

    /// Catalog and segments of one moment. Segments are made and merged again as soon as they are there: what was linked or copied
    /// never changes, so that every byte of it can be read afterwards, which takes as long as the disk needs.
    fn copy_files(&self, to: &Path) -> Result<()> {
        // No segment is named or unlinked while the catalog and the segments are copied, so they fit.
        let _no_merge = self.merging.lock();
        let _no_flush = self.flushing.lock();
        let segments = to.join(SEGMENTS);
        std::fs::create_dir_all(&segments).map_err(|error| Error::io(&segments, error))?;
        point("backup.catalog")?;
        self.catalog.copy_to(&to.join(CATALOG))?;
        for role in crate::operation::Role::ALL {
            for (_, entry, _) in self.current().rows(role).frozen() {
                let name = crate::segment::file_of(entry.id);
                let from = self.folder.native().join(SEGMENTS).join(&name);
                // A lost segment is made again by whoever opens the backup.
                if from.is_file() {
                    link_or_copy(&from, &segments.join(name))?;
                }
            }
        }
        // RocksDB syncs the catalog's folder, and writing the list that of the backup.
        Folder::open(&segments)?.sync("backup.segments")
    }
}

/// Writes the list of a new backup's files. Returns the number of files and their bytes.
fn list(folder: &Path) -> Result<(usize, u64)> {
    let files = files_under(folder)?;
    let mut lines = vec![TITLE.to_owned()];
    let mut bytes = 0;
    for name in &files {
        let (length, sum) = summed(&folder.join(name))?;
        bytes += length;
        lines.push(format!("{sum:08x} {length} {name}"));
    }
    let body = lines.join("\n") + "\n";
    let text = format!("{body}end {:08x}\n", crc32fast::hash(body.as_bytes()));
    let path = folder.join(LIST);
    write_whole(&Folder::open(folder)?, LIST, "backup", |file| {
        file.write_all(text.as_bytes()).map_err(|error| Error::io(&path, error))
    })?;
    Ok((files.len(), bytes))
}

/// Reads every file of a backup and compares it with the list. Returns the number of files and their bytes.
///
/// # Errors
/// `Corrupt`: the first file that is not what was backed up, or a list that names what it may not.
pub(crate) fn verify(folder: &Path) -> Result<(usize, u64)> {
    let files = list_of(folder)?;
    let mut bytes = 0;
    for file in &files {
        let path = folder.join(&file.name);
        let found =
            summed(&path).map_err(|error| damaged(&format!("{} cannot be read: {}", file.name, error.message())))?;
        if found != (file.length, file.sum) {
            return Err(damaged(&format!("{} is not the file that was backed up", file.name)));
        }
        bytes += file.length;
    }
    Ok((files.len(), bytes))
}

/// Verifies a backup and copies it into a folder that does not exist or is empty; then it is a database.
///
/// # Errors
/// As [`verify`]; `AlreadyExists`; `Io`.
pub(crate) fn restore(from: &Path, to: &Path) -> Result<(usize, u64)> {
    let verified = verify(from)?;
    must_be_free(to, "restore.folder")?;
    let (last, files): (Vec<Listed>, Vec<Listed>) = list_of(from)?.into_iter().partition(|file| file.name == LAST);
    for file in files {
        let target = to.join(&file.name);
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).map_err(|error| Error::io(parent, error))?;
        }
        point("restore.copy")?;
        // Copied, not linked: the backup must survive whatever happens to the database.
        std::fs::copy(from.join(&file.name), &target).map_err(|error| Error::io(&target, error))?;
        File::open(&target).and_then(|file| file.sync_all()).map_err(|error| Error::io(&target, error))?;
        if summed(&target)? != (file.length, file.sum) {
            return Err(damaged(&format!("{} changed while it was copied", file.name)));
        }
    }
    for folder in [to.join(SEGMENTS), to.to_owned()].iter().filter(|folder| folder.is_dir()) {
        Folder::open(folder)?.sync("restore")?;
    }
    for file in last {
        let bytes = std::fs::read(from.join(&file.name)).map_err(|error| Error::io(from, error))?;
        let target = to.join(&file.name);
        let catalog = Folder::open(&to.join(CATALOG))?;
        write_whole(&catalog, "CURRENT", "restore", |out| {
            out.write_all(&bytes).map_err(|error| Error::io(&target, error))
        })?;
    }
    Ok(verified)
}

struct Listed {
    name: String,
    length: u64,
    sum: u32,
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the backup is damaged: {what}")).help("use another backup")
}

/// What the list says, every name checked.
fn list_of(folder: &Path) -> Result<Vec<Listed>> {
    /// Far more than any list is long.
    const MOST_BYTES: u64 = 1 << 26;
    let path = folder.join(LIST);
    let file = File::open(&path).map_err(|error| {
        Error::new(ErrorKind::NotFound, format!("{} is not a backup: it has no list", folder.display()))
            .help("name the folder that BACKUP TO wrote")
            .because(error)
    })?;
    let mut text = String::new();
    file.take(MOST_BYTES).read_to_string(&mut text).map_err(|_| damaged("its list cannot be read"))?;
    let (body, end) = text.trim_end_matches('\n').rsplit_once('\n').ok_or_else(|| damaged("its list is cut short"))?;
    let body = format!("{body}\n");
    if end != format!("end {:08x}", crc32fast::hash(body.as_bytes())) {
        return Err(damaged("its list is not what was written"));
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
    lines
        .map(|line| match parse(line) {
            Some(listed) if is_ours(&listed.name) => Ok(listed),
            Some(listed) => {
                Err(damaged(&format!("its list names '{}', which no backup holds", listed.name.escape_debug())))
            }
            None => Err(damaged("its list has a line that cannot be read")),
        })
        .collect()
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
    let (folder, other) = (resolved(folder)?, resolved(other)?);
    // The database's own folder is refused as one that is not empty.
    if folder == other || !folder.starts_with(&other) {
        return Ok(());
    }
    Err(Error::invalid(format!("{} is inside the database {}", folder.display(), other.display()))
        .help("back it up into a folder beside it; better, onto another disk"))
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

/// Refuses a folder that holds something, and makes one that does not exist; `name` prefixes the fault points.
fn must_be_free(folder: &Path, name: &str) -> Result<()> {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(Error::new(ErrorKind::AlreadyExists, format!("{} is not empty", folder.display()))
                .help("choose another folder")),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => make_folder(folder, name),
        Err(error) => Err(Error::io(folder, error)),
    }
}

fn link_or_copy(from: &Path, to: &Path) -> Result<()> {
    match std::fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(_another_file_system) => {
            std::fs::copy(from, to).map_err(|error| Error::io(to, error))?;
            File::open(to).and_then(|file| file.sync_all()).map_err(|error| Error::io(to, error))
        }
    }
}

/// Every file of a new backup by its name inside it, sorted.
fn files_under(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for part in [folder.join(CATALOG), folder.join(SEGMENTS)] {
        for entry in std::fs::read_dir(&part).map_err(|error| Error::io(&part, error))? {
            let path: PathBuf = entry.map_err(|error| Error::io(&part, error))?.path();
            let name = path.strip_prefix(folder).ok().and_then(Path::to_str).map(|name| name.replace('\\', "/"));
            names.extend(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Length and checksum of a file.
fn summed(path: &Path) -> Result<(u64, u32)> {
    let io = |error| Error::io(path, error);
    let mut file = File::open(path).map_err(io)?;
    let (mut hasher, mut length) = (crc32fast::Hasher::new(), 0);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = file.read(&mut buffer).map_err(io)?;
        if read == 0 {
            return Ok((length, hasher.finalize()));
        }
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
