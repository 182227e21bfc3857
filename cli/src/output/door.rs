//! The one way to write the files of statements, options and dot commands: what they may overwrite, and how a file gets its name.
//!
//! A file appears complete or not at all. It is written without a name (`O_TMPFILE`), or under a temporary name if the file
//! system cannot do that; it is synced, and then gets its name by a link or a rename. If anything fails before, the old file is
//! unchanged.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use crate::failure::{Failure, Result};

/// What a new file may replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replace {
    /// Only an empty file: an earlier output cannot be told from other files.
    Nothing,
    /// A file that starts with these words, as only an output of the same kind does.
    Beginning(&'static str),
    /// Any plain file: a person said so.
    Anything,
}

impl Replace {
    /// The same, or anything if a person said so.
    #[must_use]
    pub(crate) fn or_anything(self, said: bool) -> Self {
        if said { Self::Anything } else { self }
    }
}

/// A name that may be written to, in a folder that is held open: renaming the folder or replacing it by a link changes nothing.
#[derive(Debug)]
pub(crate) struct Target {
    path: PathBuf,
    folder: OwnedFd,
    name: OsString,
    replace: Replace,
}

/// The present file at the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum There {
    Nothing,
    /// A file that may be replaced, with its permissions.
    File(Mode),
}

impl Target {
    /// The name, if it may be written to.
    ///
    /// # Errors
    /// When the folder does not exist or is part of a database or of a backup; when a folder, a link, a pipe or a device has the
    /// name, or a file that may not be replaced.
    pub(crate) fn check(path: &Path, replace: Replace) -> Result<Self> {
        let name = path.file_name().filter(|_| !path.as_os_str().as_bytes().ends_with(b"/"));
        let Some(name) = name else {
            return Err(Failure::new(format!("{} is a folder", path.display())).help("name a file"));
        };
        let folder = folder_of(path);
        let opened = rustix::fs::open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let opened = opened.map_err(|error| match error {
            Errno::NOENT | Errno::NOTDIR => {
                Failure::new(format!("{}: the folder {} does not exist", path.display(), folder.display()))
                    .help("create the folder first, or name a file in an existing one")
            }
            error => Failure::io(folder, error.into()).help("name a file in a folder that you may write to"),
        })?;
        outside(&opened, path)?;
        let target = Self { path: path.to_owned(), folder: opened, name: name.to_owned(), replace };
        target.there()?;
        Ok(target)
    }

    /// Writes the whole file.
    ///
    /// # Errors
    /// When the disk refuses, or another file has the name by now. Then no part of it is left.
    pub(crate) fn write(self, bytes: &[u8]) -> Result<()> {
        let mut draft = self.begin()?;
        draft.write_all(bytes).map_err(|error| draft.target.refused(error))?;
        draft.finish()
    }

    /// Starts a file that is written piece by piece and has no name before [`Draft::finish`].
    ///
    /// # Errors
    /// When the folder may not be written to.
    pub(crate) fn begin(self) -> Result<Draft> {
        let there = self.there()?;
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o666);
        let unnamed = rustix::fs::openat(&self.folder, ".", flags | OFlags::TMPFILE, mode);
        let (file, beside) = match unnamed {
            Ok(file) => (file, None),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => {
                let beside = self.beside();
                let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
                let file = rustix::fs::openat(&self.folder, &beside, flags, mode);
                (file.map_err(|error| self.refused(error.into()))?, Some(beside))
            }
            Err(error) => return Err(self.refused(error.into())),
        };
        if let There::File(mode) = there {
            // If that is not allowed, a new file's permissions are used.
            let _ = rustix::fs::fchmod(&file, mode);
        }
        Ok(Draft { target: self, file: File::from(file), beside, failed: false })
    }

    /// The path as it was given.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether another target is the same name in the same folder, however both were written.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let place = |target: &Self| rustix::fs::fstat(&target.folder).map(|stat| (stat.st_dev, stat.st_ino)).ok();
        self.name == other.name && place(self).is_some_and(|own| place(other) == Some(own))
    }

    /// Refuses two outputs of one call that are the same file: one of them would be lost.
    ///
    /// # Errors
    /// Two of them have one name.
    pub(crate) fn must_differ<'t>(targets: impl IntoIterator<Item = &'t Self>) -> Result<()> {
        let mut seen: Vec<&Self> = Vec::new();
        for target in targets {
            if let Some(before) = seen.iter().find(|before| before.is_same(target)) {
                let (first, second) = (before.path.display(), target.path.display());
                return Err(Failure::usage(format!("two outputs are one file: {first} and {second}"))
                    .help("nothing ran; give each output a file of its own"));
            }
            seen.push(target);
        }
        Ok(())
    }

    /// Examines the file at the name, without following a link.
    fn there(&self) -> Result<There> {
        let stat = match rustix::fs::statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(There::Nothing),
            Err(error) => return Err(Failure::io(&self.path, error.into()).help("choose another name")),
        };
        let shown = self.path.display();
        let what = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => None,
            FileType::Directory => Some("a folder"),
            FileType::Symlink => Some("a link, and cairn does not write through links"),
            _ => Some("not a plain file"),
        };
        if let Some(what) = what {
            return Err(Failure::new(format!("{shown} is {what}")).help("choose another name"));
        }
        if rustix::fs::accessat(&self.folder, &self.name, Access::WRITE_OK, AtFlags::EACCESS).is_err() {
            return Err(Failure::new(format!("{shown} may not be written to")).help("choose another name"));
        }
        let mode = Mode::from_raw_mode(stat.st_mode & 0o777);
        match self.replace {
            _ if stat.st_size == 0 && stat.st_nlink <= 1 => Ok(There::File(mode)),
            Replace::Anything => Ok(There::File(mode)),
            Replace::Beginning(words) if stat.st_nlink <= 1 && self.begins(words) => Ok(There::File(mode)),
            Replace::Beginning(_) => {
                Err(Failure::new(format!("{shown} is not an earlier output of cairn; it is unchanged"))
                    .help("choose another name, or write OVERWRITE (--overwrite) to replace it"))
            }
            Replace::Nothing => Err(Failure::new(format!("{shown} already exists; it is unchanged"))
                .help("choose another name, or write OVERWRITE (--overwrite) to replace it")),
        }
    }

    fn begins(&self, words: &str) -> bool {
        // A pipe that replaced the file would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(file) = rustix::fs::openat(&self.folder, &self.name, flags, Mode::empty()) else { return false };
        let mut beginning = Vec::new();
        let read = File::from(file).take(words.len() as u64).read_to_end(&mut beginning);
        read.is_ok() && beginning == words.as_bytes()
    }

    /// An unused name beside the target.
    fn beside(&self) -> OsString {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut name = OsString::from(".");
        // A long name must leave room for the addition.
        name.push(OsStr::from_bytes(&self.name.as_bytes()[..self.name.len().min(200)]));
        name.push(format!(".cairn-{}-{number}", std::process::id()));
        name
    }

    fn refused(&self, error: io::Error) -> Failure {
        Failure::io(&self.path, error).help("name a file in a folder that you may write to and that has space")
    }
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Draft {
    target: Target,
    file: File,
    /// Its name until it is finished, if it needs one.
    beside: Option<OsString>,
    /// A part of it could not be written.
    failed: bool,
}

impl Draft {
    /// Gives the file its name. If that fails, no part of it is left and the earlier file is unchanged.
    ///
    /// # Errors
    /// When the disk refuses, or the name has a file that may not be replaced.
    pub(crate) fn finish(mut self) -> Result<()> {
        if self.failed {
            return Err(Failure::new(format!("{} was not written: a part of it is lost", self.path().display())));
        }
        self.file.sync_all().map_err(|error| self.target.refused(error))?;
        // A file that somebody wrote there meanwhile keeps the name.
        match self.target.there()? {
            There::Nothing => self.name_it(),
            There::File(_) => self.replace_it(),
        }
        .map_err(|error| self.target.refused(error.into()))?;
        self.beside = None;
        // The name exists for everybody; at worst, a folder that cannot be synced loses it in a power failure.
        let _ = rustix::fs::fsync(&self.target.folder);
        Ok(())
    }

    /// Whether a part of it could not be written.
    pub(crate) fn failed(&self) -> bool {
        self.failed
    }

    /// The path that it gets.
    pub(crate) fn path(&self) -> &Path {
        &self.target.path
    }

    /// Gives it an unused name.
    fn name_it(&self) -> Result<(), Errno> {
        let Target { folder, name, .. } = &self.target;
        let Some(beside) = &self.beside else { return self.link(name) };
        match rustix::fs::renameat_with(folder, beside, folder, name, RenameFlags::NOREPLACE) {
            // Older file systems have no such rename.
            Err(Errno::INVAL | Errno::NOSYS) => rustix::fs::renameat(folder, beside, folder, name),
            renamed => renamed,
        }
    }

    /// Replaces a file by it.
    fn replace_it(&mut self) -> Result<(), Errno> {
        if self.beside.is_none() {
            let beside = self.target.beside();
            self.link(&beside)?;
            self.beside = Some(beside);
        }
        let Target { folder, name, .. } = &self.target;
        let beside = self.beside.as_deref().unwrap_or_default();
        rustix::fs::renameat(folder, beside, folder, name)
    }

    /// Links a file without a name.
    fn link(&self, name: &OsStr) -> Result<(), Errno> {
        let unnamed = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        rustix::fs::linkat(CWD, unnamed, &self.target.folder, name, AtFlags::SYMLINK_FOLLOW)
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes);
        self.failed |= written.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::Interrupted);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            // Its name says that it belongs to this program. If it cannot be removed, it could not be finished either.
            let _ = rustix::fs::unlinkat(&self.target.folder, beside, AtFlags::empty());
        }
    }
}

/// Refuses a path for a new file or folder that is in a database or a backup; neither the path nor its folder need exist.
///
/// # Errors
/// It is in one.
pub(crate) fn must_be_outside(path: &Path) -> Result<()> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for folder in absolute.ancestors().skip(1) {
        match rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(opened) => return outside(&opened, path),
            // It does not exist yet: the folder above it decides.
            Err(_) => continue,
        }
    }
    Ok(())
}

/// Refuses `path` if the opened folder, or one above it, is a database or a backup.
fn outside(folder: &OwnedFd, path: &Path) -> Result<()> {
    let mut at = folder.try_clone().map_err(|error| Failure::io(path, error))?;
    loop {
        if let Some(what) = what_it_is(&at) {
            return Err(Failure::new(format!("{} is in {what}, where only cairn itself writes", path.display()))
                .help("name a place outside of it"));
        }
        let up = rustix::fs::openat(&at, "..", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        // Nothing can be seen above a folder that may not be searched.
        let Ok(up) = up else { return Ok(()) };
        let same = |a: &Stat, b: &Stat| (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino);
        match (rustix::fs::fstat(&at), rustix::fs::fstat(&up)) {
            (Ok(here), Ok(above)) if !same(&here, &above) => at = up,
            // The root is above itself.
            _ => return Ok(()),
        }
    }
}

/// The kind of a folder by its contents: a database (complete, damaged or unfinished) or a backup.
fn what_it_is(folder: &OwnedFd) -> Option<&'static str> {
    let has = |name: &str| rustix::fs::statat(folder.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
    if has("BACKUP") && has("catalog") {
        return Some("a backup");
    }
    let whole = has("catalog/CURRENT") || has("catalog.unfinished");
    let damaged = has("LOCK") && (has("catalog") || has("segments"));
    (whole || damaged).then_some("a database")
}

/// The folder of a file's path; for a bare name, the current folder.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    const PAGE: Replace = Replace::Beginning("<page>");

    fn names(folder: &Path) -> Vec<OsString> {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_when_it_is_whole_and_not_before() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.html");
        let mut draft = Target::check(&path, PAGE).unwrap().begin().unwrap();
        draft.write_all(b"<page>one").unwrap();
        assert!(!path.exists());
        draft.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"<page>one");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        Target::check(&path, PAGE).unwrap().write(b"<page>two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"<page>two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        drop(Target::check(&path, PAGE).unwrap().begin().unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"<page>two");
        assert_eq!(names(home.path()), ["a.html"]);
    }

    #[test]
    fn the_same_where_a_file_needs_a_name_from_the_beginning() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a");
        let named = || {
            let mut draft = Target::check(&path, Replace::Anything).unwrap().begin().unwrap();
            let beside = draft.target.beside();
            draft.file = File::create_new(home.path().join(&beside)).unwrap();
            draft.beside = Some(beside);
            draft.write_all(b"x").unwrap();
            draft
        };
        drop(named());
        assert!(names(home.path()).is_empty());
        for _ in 0..2 {
            named().finish().unwrap();
            assert_eq!((fs::read(&path).unwrap(), names(home.path()).len()), (b"x".to_vec(), 1));
        }
        let late = named();
        fs::remove_file(&path).unwrap();
        symlink("/dev/null", &path).unwrap();
        assert!(late.finish().is_err());
        assert_eq!(names(home.path()), ["a"]);
    }

    #[test]
    fn what_is_not_an_earlier_output_is_replaced_only_on_request() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        fs::write(path("photo"), "jpeg").unwrap();
        fs::write(path("page"), "<page>").unwrap();
        fs::write(path("empty"), "").unwrap();
        let may = |name: &str, replace| Target::check(&path(name), replace).is_ok();
        assert_eq!([PAGE, Replace::Nothing, Replace::Anything].map(|r| may("photo", r)), [false, false, true]);
        assert_eq!([PAGE, Replace::Nothing, Replace::Anything].map(|r| may("page", r)), [true, false, true]);
        assert_eq!([PAGE, Replace::Nothing, Replace::Anything].map(|r| may("empty", r)), [true, true, true]);
        // Another name of a page may belong to anybody.
        fs::hard_link(path("page"), path("other")).unwrap();
        assert_eq!([PAGE, Replace::Anything].map(|r| may("page", r)), [false, true]);
        Target::check(&path("page"), Replace::Anything).unwrap().write(b"new").unwrap();
        assert_eq!(fs::read(path("other")).unwrap(), b"<page>");
    }

    #[test]
    fn links_folders_and_devices_are_never_written_to() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        fs::write(path("photo"), "jpeg").unwrap();
        fs::create_dir(path("folder")).unwrap();
        symlink(path("photo"), path("link")).unwrap();
        symlink(path("nothing"), path("dangling")).unwrap();
        drop(std::os::unix::net::UnixListener::bind(path("socket")).unwrap());
        for name in ["folder", "link", "dangling", "socket", "folder/", "..", "nowhere/a", "photo/a"] {
            assert!(Target::check(&path(name), Replace::Anything).is_err(), "{name}");
        }
        assert!(Target::check(Path::new("/dev/null"), Replace::Anything).is_err());
        assert!(Target::check(Path::new(""), Replace::Anything).is_err());
        assert_eq!(fs::read(path("photo")).unwrap(), b"jpeg");
    }

    #[test]
    fn nothing_is_written_into_databases_and_backups_whatever_leads_there() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        for folder in
            ["db/catalog", "db/segments/deep", "copy/catalog", "half/catalog.unfinished", "hurt/catalog", "plain"]
        {
            fs::create_dir_all(path(folder)).unwrap();
        }
        for file in ["db/catalog/CURRENT", "copy/BACKUP", "hurt/LOCK"] {
            fs::write(path(file), "x").unwrap();
        }
        symlink(path("db/segments"), path("plain/segments")).unwrap();
        for name in [
            "db/new",
            "db/catalog/CURRENT",
            "db/segments/deep/new",
            "plain/segments/new",
            "plain/segments/deep/../new",
            "copy/new",
            "copy/BACKUP",
            "half/catalog.unfinished/x",
            "hurt/catalog/x",
        ] {
            let refusal = Target::check(&path(name), Replace::Anything).unwrap_err().to_string();
            assert!(refusal.contains("is in a"), "{refusal}");
            assert!(must_be_outside(&path(name)).is_err(), "{name}");
        }
        assert!(must_be_outside(&path("db/not/there/yet")).is_err());
        assert!(must_be_outside(&path("plain/not/there/yet")).is_ok());
        assert!(must_be_outside(&path("db")).is_ok());
        assert!(Target::check(&path("db/../plain/new"), PAGE).is_ok());
    }

    #[test]
    fn a_full_disk_leaves_nothing_and_the_old_file() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a");
        fs::write(&path, "old").unwrap();
        let mut draft = Target::check(&path, Replace::Anything).unwrap().begin().unwrap();
        draft.file = File::options().write(true).open("/dev/full").unwrap();
        assert!(draft.write_all(b"new").is_err() && draft.failed());
        assert!(draft.finish().is_err());
        assert_eq!((fs::read(&path).unwrap(), names(home.path()).len()), (b"old".to_vec(), 1));
    }
}
