//! An opened folder: everything below it is reached from its handle and not by its path, and no link is followed.
//!
//! A path may lead elsewhere the next moment: the folder is moved or deleted, and another one put in its place. The handle stays
//! with the folder that was opened.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::fault::{point, syncs};
use crate::error::{Error, Result};

/// How often an entry is checked again if it was replaced between its check and its opening.
const LOOKS: usize = 100;

/// What a file or folder is, whatever its names are: device and number on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Id(u64, u64);

impl Id {
    /// The number on its device.
    pub(crate) fn number(self) -> u64 {
        self.1
    }
}

/// What an entry of a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    Link,
    Pipe,
    Socket,
    Device,
}

impl Kind {
    /// In a sentence.
    fn words(self) -> &'static str {
        match self {
            Self::File => "a plain file",
            Self::Folder => "a folder",
            Self::Link => "a link",
            Self::Pipe => "a pipe",
            Self::Socket => "a socket",
            Self::Device => "a device",
        }
    }
}

/// An entry of a folder; of a link, the link itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About {
    pub(crate) id: Id,
    pub(crate) kind: Kind,
    pub(crate) bytes: u64,
    /// How many names it has: hard links.
    pub(crate) names: u64,
    /// When its bytes were last changed: seconds, and nanoseconds behind them.
    pub(crate) written: (i64, i64),
}

impl About {
    #[allow(clippy::unnecessary_cast, reason = "the types differ from one system to the next")]
    fn of(stat: &Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Folder,
            FileType::Symlink => Kind::Link,
            FileType::Fifo => Kind::Pipe,
            FileType::Socket => Kind::Socket,
            _ => Kind::Device,
        };
        let id = Id(stat.st_dev as u64, stat.st_ino as u64);
        let written = (stat.st_mtime as i64, stat.st_mtime_nsec as i64);
        Self { id, kind, bytes: u64::try_from(stat.st_size).unwrap_or(0), names: stat.st_nlink as u64, written }
    }
}

/// Where an opened folder lies now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Whereabouts {
    At(PathBuf),
    Deleted,
    /// The system does not tell.
    Unknown,
}

/// An opened folder. Clones share the handle.
#[derive(Debug, Clone)]
pub(crate) struct Folder(Arc<Opened>);

#[derive(Debug)]
struct Opened {
    handle: OwnedFd,
    /// As the caller names it, for messages.
    shown: PathBuf,
    /// The same from the root: the process may go to another working folder.
    absolute: PathBuf,
    /// For those who take nothing but a path.
    native: OnceLock<PathBuf>,
}

impl Folder {
    /// Opens the folder that a path leads to, by links too: the path is the caller's.
    ///
    /// # Errors
    /// `NotFound`; `Io`: it is no folder, or may not be read.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let io = |error| Error::io(path, error);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| io(error.into()))?;
        let absolute = std::path::absolute(path).map_err(io)?;
        Ok(Self(Arc::new(Opened { handle, shown: path.to_owned(), absolute, native: OnceLock::new() })))
    }

    /// A folder in it; `None`: there is nothing of that name.
    ///
    /// # Errors
    /// `Invalid`: something else has the name; `Io`.
    pub(crate) fn inner(&self, name: impl AsRef<OsStr>) -> Result<Option<Self>> {
        let name = name.as_ref();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Some(handle) = self.opened(name, Kind::Folder, flags)? else { return Ok(None) };
        let (shown, absolute) = (self.path_of(name), self.0.absolute.join(name));
        Ok(Some(Self(Arc::new(Opened { handle, shown, absolute, native: OnceLock::new() }))))
    }

    /// A folder in it that must be there.
    ///
    /// # Errors
    /// `NotFound`; as [`Folder::inner`].
    pub(crate) fn within(&self, name: impl AsRef<OsStr>) -> Result<Self> {
        let name = name.as_ref();
        self.inner(name)?.ok_or_else(|| Error::io(&self.path_of(name), Errno::NOENT.into()))
    }

    /// A folder in it, made when it is missing, its name durable; `point` prefixes the fault points.
    ///
    /// # Errors
    /// As [`Folder::inner`].
    pub(crate) fn inner_or_new(&self, name: impl AsRef<OsStr>, point: &str) -> Result<Self> {
        let name = name.as_ref();
        if let Some(there) = self.inner(name)? {
            return Ok(there);
        }
        self.make(name)?;
        self.sync(point)?;
        self.within(name)
    }

    /// Makes a folder in it; one that is there is as good.
    pub(crate) fn make(&self, name: impl AsRef<OsStr>) -> Result<()> {
        let name = name.as_ref();
        match rustix::fs::mkdirat(&self.0.handle, name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(self.io(name, error)),
        }
    }

    /// As the caller named it, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.0.shown
    }

    /// An entry's path as the caller would name it, for messages.
    pub(crate) fn path_of(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.0.shown.join(name.as_ref())
    }

    /// A path that leads through the handle, for those who take nothing else: whatever is put in the folder's place, it leads to this
    /// one. It is good for as long as the folder is held. Where the system has no such paths, the folder's own.
    pub(crate) fn native(&self) -> &Path {
        self.0.native.get_or_init(|| {
            let through = PathBuf::from(format!("/proc/self/fd/{}", self.0.handle.as_raw_fd()));
            let leads_here = |id| rustix::fs::stat(&through).is_ok_and(|stat| About::of(&stat).id == id);
            if self.id().is_ok_and(leads_here) { through } else { self.0.absolute.clone() }
        })
    }

    /// Where it lies now, whatever lies at its path.
    pub(super) fn whereabouts(&self) -> Whereabouts {
        match std::fs::read_link(self.native()) {
            // The system's own word for it.
            Ok(now) if now.as_os_str().as_encoded_bytes().ends_with(b" (deleted)") => Whereabouts::Deleted,
            Ok(now) => Whereabouts::At(now),
            Err(_no_such_paths) => Whereabouts::Unknown,
        }
    }

    /// What it is, whatever its names are.
    pub(crate) fn id(&self) -> Result<Id> {
        let stat = rustix::fs::fstat(&self.0.handle).map_err(|error| Error::io(self.path(), error.into()))?;
        Ok(About::of(&stat).id)
    }

    /// What lies at its path now; `None`: nothing, or nothing that may be seen.
    pub(crate) fn id_at_path(&self) -> Option<Id> {
        rustix::fs::stat(&self.0.absolute).ok().map(|stat| About::of(&stat).id)
    }

    /// What an entry is; `None`: there is none of that name.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn about(&self, name: impl AsRef<OsStr>) -> Result<Option<About>> {
        let name = name.as_ref();
        match rustix::fs::statat(&self.0.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(About::of(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.io(name, error)),
        }
    }

    /// Refuses an entry that is there and is not of this kind; what it is, if it is there.
    ///
    /// # Errors
    /// `Invalid`, with its name and what it is; `Io`.
    pub(crate) fn must_be(&self, name: impl AsRef<OsStr>, kind: Kind) -> Result<Option<About>> {
        let name = name.as_ref();
        match self.about(name)? {
            Some(found) if found.kind != kind => Err(Error::invalid(format!(
                "{} is {}, not {}",
                self.path_of(name).display(),
                found.kind.words(),
                kind.words()
            ))
            .help("a database follows no links and uses only plain files and folders: replace it by the file or folder that it stands for")),
            found => Ok(found),
        }
    }

    /// Opens an entry that must be of this kind, if it is there.
    fn opened(&self, name: &OsStr, kind: Kind, flags: OFlags) -> Result<Option<OwnedFd>> {
        for _ in 0..LOOKS {
            // Before it is opened: a device may act upon that.
            if self.must_be(name, kind)?.is_none() {
                return Ok(None);
            }
            let opened = match rustix::fs::openat(&self.0.handle, name, flags, Mode::empty()) {
                Ok(opened) => opened,
                Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => continue,
                Err(error) => return Err(self.io(name, error)),
            };
            let found = rustix::fs::fstat(&opened).map_err(|error| self.io(name, error))?;
            if About::of(&found).kind == kind {
                return Ok(Some(opened));
            }
        }
        Err(self.io(name, Errno::AGAIN))
    }

    /// Opens a plain file for reading; `None`: there is none.
    ///
    /// # Errors
    /// `Invalid`: a link, a pipe, ..; `Io`.
    pub(crate) fn file(&self, name: impl AsRef<OsStr>) -> Result<Option<File>> {
        // Whoever puts a pipe there in between is not waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(self.opened(name.as_ref(), Kind::File, flags)?.map(File::from))
    }

    /// The bytes of a plain file that is not longer than `most`; `None`: there is none.
    ///
    /// # Errors
    /// `Corrupt`: it is longer, and nothing of it was read into memory beyond that; as [`Folder::file`].
    pub(crate) fn read(&self, name: impl AsRef<OsStr>, most: u64) -> Result<Option<Vec<u8>>> {
        let name = name.as_ref();
        let Some(file) = self.file(name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        let read = file.take(most.saturating_add(1)).read_to_end(&mut bytes);
        if read.map_err(|error| Error::io(&self.path_of(name), error))? as u64 > most {
            let path = self.path_of(name);
            return Err(Error::corrupt(format!("{} is longer than the {most} bytes that it may have", path.display())));
        }
        Ok(Some(bytes))
    }

    /// Opens a plain file for reading and writing as it is, made when it is missing.
    ///
    /// # Errors
    /// As [`Folder::file`].
    pub(crate) fn file_or_new(&self, name: impl AsRef<OsStr>) -> Result<File> {
        let name = name.as_ref();
        for _ in 0..LOOKS {
            let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            if let Some(there) = self.opened(name, Kind::File, flags)? {
                return Ok(File::from(there));
            }
            match rustix::fs::openat(&self.0.handle, name, flags | OFlags::CREATE | OFlags::EXCL, FILE_MODE) {
                Ok(made) => return Ok(File::from(made)),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(self.io(name, error)),
            }
        }
        Err(self.io(name, Errno::AGAIN))
    }

    /// A new, empty file. A plain file that has the name loses it; its content is not touched, for it may have other names.
    ///
    /// # Errors
    /// `Invalid`: a link, a folder, .. has the name; `Io`.
    pub(crate) fn create(&self, name: impl AsRef<OsStr>) -> Result<File> {
        let name = name.as_ref();
        if self.must_be(name, Kind::File)?.is_some() {
            self.unlink(name, AtFlags::empty())?;
        }
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = rustix::fs::openat(&self.0.handle, name, flags, FILE_MODE);
        made.map(File::from).map_err(|error| self.io(name, error))
    }

    /// Gives an entry another name; a file that has it goes.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn rename(&self, from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) -> Result<()> {
        let to = to.as_ref();
        rustix::fs::renameat(&self.0.handle, from.as_ref(), &self.0.handle, to).map_err(|error| self.io(to, error))
    }

    /// Moves an entry into another folder, under its name.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn move_to(&self, name: impl AsRef<OsStr>, to: &Self) -> Result<()> {
        let name = name.as_ref();
        rustix::fs::renameat(&self.0.handle, name, &to.0.handle, name).map_err(|error| to.io(name, error))
    }

    /// Gives a file of this folder a name in another one as well; no: the file systems differ, or have no such links.
    pub(crate) fn link(&self, name: impl AsRef<OsStr>, to: &Self) -> bool {
        let name = name.as_ref();
        rustix::fs::linkat(&self.0.handle, name, &to.0.handle, name, AtFlags::empty()).is_ok()
    }

    /// Removes a plain file; one that is gone already is as good, and what is no plain file is none of ours and stays. `point` prefixes
    /// the fault point.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn remove(&self, name: impl AsRef<OsStr>, step: &str) -> Result<()> {
        point(&format!("{step}.remove"))?;
        self.discard(name).map(|_was_there| ())
    }

    /// The same without a fault point; `false`: there was no such file.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn discard(&self, name: impl AsRef<OsStr>) -> Result<bool> {
        let name = name.as_ref();
        let is_ours = self.about(name)?.is_some_and(|found| found.kind == Kind::File);
        if is_ours {
            self.unlink(name, AtFlags::empty())?;
        }
        Ok(is_ours)
    }

    /// Removes a folder that is empty.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn remove_empty(&self, name: impl AsRef<OsStr>) -> Result<()> {
        self.unlink(name.as_ref(), AtFlags::REMOVEDIR)
    }

    fn unlink(&self, name: &OsStr, flags: AtFlags) -> Result<()> {
        match rustix::fs::unlinkat(&self.0.handle, name, flags) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.io(name, error)),
        }
    }

    /// The names in it, sorted.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn names(&self) -> Result<Vec<OsString>> {
        use std::os::unix::ffi::OsStrExt;
        let io = |error: Errno| Error::io(self.path(), error.into());
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.0.handle).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsStr::from_bytes(name).to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Makes the names in it durable; `name` prefixes the fault point.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn sync(&self, name: &str) -> Result<()> {
        point(&format!("{name}.sync_folder"))?;
        if !syncs() {
            return Ok(());
        }
        rustix::fs::fsync(self.0.handle.as_fd()).map_err(|error| Error::io(self.path(), error.into()))
    }

    fn io(&self, name: &OsStr, error: Errno) -> Error {
        Error::io(&self.path_of(name), error.into())
    }
}

/// As the standard library makes files.
const FILE_MODE: Mode = Mode::from_raw_mode(0o666);

/// What an open file is, whatever its names are, and how many it has.
///
/// # Errors
/// As the system says.
pub(super) fn about_file(file: &File) -> std::io::Result<About> {
    Ok(About::of(&rustix::fs::fstat(file)?))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::disk::write_whole;
    use crate::error::ErrorKind;

    fn filled(path: &Path) -> Folder {
        std::fs::create_dir_all(path).unwrap();
        Folder::open(path).unwrap()
    }

    /// It catches: one call that follows a link or opens a pipe.
    #[test]
    fn nothing_but_plain_files_and_folders_is_opened_written_or_removed() {
        let place = tempfile::tempdir().unwrap();
        let (folder, outside) = (filled(&place.path().join("in")), filled(&place.path().join("out")));
        outside.create("file").unwrap().write_all(b"theirs").unwrap();
        type Make = fn(&Path);
        let kinds: [(&str, &str, Make); 4] = [
            ("to a file", "a link", |path| symlink("../out/file", path).unwrap()),
            ("to a folder", "a link", |path| symlink("../out", path).unwrap()),
            ("to nothing", "a link", |path| symlink("../out/new", path).unwrap()),
            ("pipe", "a pipe", |path| rustix::fs::mkfifoat(rustix::fs::CWD, path, FILE_MODE).unwrap()),
        ];
        for (name, what, make) in kinds {
            make(&folder.path_of(name));
            let refused = [
                folder.inner(name).map(|_| ()),
                folder.inner_or_new(name, "test").map(|_| ()),
                folder.file(name).map(|_| ()),
                folder.read(name, 64).map(|_| ()),
                folder.file_or_new(name).map(|_| ()),
                folder.create(name).map(|_| ()),
                write_whole(&folder, name, "test", |_| Ok(())),
            ];
            for refused in refused {
                let error = refused.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
                assert!(
                    error.message().contains(&format!("in/{name} is {what}, not a plain"))
                        || error.message().contains(&format!("in/{name} is {what}, not a folder")),
                    "{error}"
                );
            }
            assert!(!folder.discard(name).unwrap() && folder.about(name).unwrap().is_some());
        }
        assert_eq!(outside.names().unwrap(), ["file"]);
        assert_eq!(outside.read("file", 64).unwrap().unwrap(), b"theirs");
        let error = folder.make("file").and_then(|()| folder.file("file").map(|_| ())).unwrap_err();
        assert!(error.message().ends_with("in/file is a folder, not a plain file"), "{error}");
    }

    #[test]
    fn a_new_file_does_not_touch_one_that_has_other_names() {
        let place = tempfile::tempdir().unwrap();
        let folder = filled(place.path());
        folder.create("theirs").unwrap().write_all(b"theirs").unwrap();
        std::fs::hard_link(folder.path_of("theirs"), folder.path_of("mine")).unwrap();
        folder.create("mine").unwrap().write_all(b"mine").unwrap();
        assert_eq!(folder.read("theirs", 64).unwrap().unwrap(), b"theirs");
        assert_eq!(folder.about("theirs").unwrap().unwrap().names, 1);
    }

    /// It catches: a call by the path. Whatever lies there is another folder.
    #[test]
    fn a_handle_stays_with_its_folder() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("first");
        let folder = filled(&path);
        assert_eq!(folder.id_at_path(), Some(folder.id().unwrap()));
        let moved = place.path().canonicalize().unwrap().join("moved");
        std::fs::rename(&path, &moved).unwrap();
        assert_eq!(folder.id_at_path(), None);
        let second = filled(&path);
        assert_ne!(folder.id_at_path(), Some(folder.id().unwrap()));
        folder.inner_or_new("inner", "test").unwrap().create("file").unwrap();
        std::fs::write(folder.native().join("by path"), b"").unwrap();
        assert_eq!(second.names().unwrap(), Vec::<OsString>::new());
        assert_eq!(folder.names().unwrap(), ["by path", "inner"]);
        assert!(moved.join("inner/file").is_file());
        assert_eq!(folder.whereabouts(), Whereabouts::At(moved.clone()));
        std::fs::remove_dir_all(&moved).unwrap();
        assert_eq!(folder.whereabouts(), Whereabouts::Deleted);
        assert_eq!(folder.create("file").unwrap_err().kind(), ErrorKind::NotFound);
    }
}
