//! The owner of a file that this process may not use, and what to do about it: the disk is fine then, and checking it would not
//! help.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};

/// What the system says where a right is missing; RocksDB hands on these words alone.
const WORDS: [&str; 2] = ["Permission denied", "Operation not permitted"];

/// Whether the system refused for want of a right (EACCES, EPERM).
pub(super) fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// The same of RocksDB's words, and the file that they name.
pub(super) fn refused_file(message: &str) -> Option<Option<PathBuf>> {
    let end = WORDS.iter().filter_map(|words| message.find(words)).min()?;
    let before = message[..end].trim_end_matches([' ', ':']);
    Some(before.rfind(": /").map(|at| PathBuf::from(&before[at + 2..])))
}

/// What to do about a file, or about the folder that it lies in, that this process may not use.
pub(super) fn help(path: &Path) -> String {
    let path = real(path);
    let (place, about) = match refusing(&path) {
        Some(found) => found,
        None => return "run this as the user that the database belongs to".to_owned(),
    };
    let (owner, me) = (about.uid(), rustix::process::geteuid().as_raw());
    let (place, mine) = (place.display(), name(me));
    if me == 0 {
        return format!(
            "even root may not use {place}: its file system may be read-only, or the file immutable (lsattr)"
        );
    }
    if owner == me {
        let rights = if about.is_dir() { "u+rwx" } else { "u+rw" };
        return format!("{place} belongs to {mine}, but its mode does not allow this: chmod {rights} {place}");
    }
    let owner = name(owner);
    format!(
        "{place} belongs to {owner}, but this program runs as {mine}: run it as {owner}, or give {mine} the whole folder of the \
             database: chown -R {mine} FOLDER"
    )
}

/// The entry that refuses: the file, or the folder that it lies in.
fn refusing(path: &Path) -> Option<(PathBuf, Metadata)> {
    let mut entries = path.ancestors().filter_map(|place| Some((place.to_owned(), place.symlink_metadata().ok()?)));
    let (first, about) = entries.next()?;
    let is_file = first == path && !about.is_dir();
    let rights = if about.is_dir() { Access::all() } else { Access::READ_OK | Access::WRITE_OK };
    let may_be_used = accessat(CWD, &first, rights, AtFlags::EACCESS).is_ok();
    match entries.next() {
        // A file that may be used is refused by its folder, which may not be changed.
        Some(folder) if is_file && may_be_used => Some(folder),
        _ => Some((first, about)),
    }
}

/// A path through an open handle (`/proc/self/fd/3/x`) as people know it.
fn real(path: &Path) -> PathBuf {
    let Ok(rest) = path.strip_prefix("/proc/self/fd") else { return path.to_owned() };
    let mut parts = rest.components();
    let handle = parts.next().map(|number| Path::new("/proc/self/fd").join(number));
    match handle.and_then(|handle| std::fs::read_link(handle).ok()) {
        Some(folder) => folder.join(parts.as_path()),
        None => path.to_owned(),
    }
}

/// The name of a user, or its number.
fn name(user: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(user)).then(|| name.to_owned())
    });
    found.unwrap_or_else(|| format!("the user {user}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn rocksdb_names_the_file_that_is_refused() {
        let file = |message: &str| refused_file(message).map(|file| file.map(|path| path.display().to_string()));
        let open = "IO error: While open a file for appending: /tmp/a b/catalog/000012.log: Permission denied";
        assert_eq!(file(open), Some(Some("/tmp/a b/catalog/000012.log".to_owned())));
        let wrapped = "Corruption: Can't access /000008.sst: IO error: while stat a file for size: /db/catalog/000008.sst: \
                       Permission denied";
        assert_eq!(file(wrapped), Some(Some("/db/catalog/000008.sst".to_owned())));
        assert_eq!(file("IO error: Operation not permitted"), Some(None));
        assert_eq!(file("IO error: No space left on device"), None);
    }

    #[test]
    fn a_file_names_its_owner_and_a_user_without_a_name_its_number() {
        assert_eq!(name(0), "root");
        assert_eq!(name(4_000_000_000), "the user 4000000000");
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("gone/too/x");
        assert_eq!(refusing(&there).unwrap().0, folder.path(), "what is not there is refused by what is");
        let file = std::fs::File::open(folder.path()).unwrap();
        let through = Path::new("/proc/self/fd").join(std::os::fd::AsRawFd::as_raw_fd(&file).to_string()).join("x");
        assert_eq!(real(&through), folder.path().join("x"));
    }
}
