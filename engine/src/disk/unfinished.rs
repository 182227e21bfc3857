//! Unfinished folders: until the last step their catalog has another name, so that nobody mistakes one for finished.
//!
//! A creation, a restore and a backup write into a folder whose catalog is called `catalog.unfinished`; one rename to `catalog`
//! completes them. An interruption leaves a folder that is marked unfinished, and the same command starts over.

use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::contents::{is_of_catalog, is_of_segments};
use super::{
    ACKNOWLEDGED, BACKUP, CATALOG, COLUMNS, Folder, KNOWN, Kind, LOCK, Lock, NEIGHBOURS, RESERVE, SEGMENTS,
    make_folder, point, write_whole,
};
use crate::error::{Error, ErrorKind, Result};

/// The catalog of a folder that is being made.
const UNFINISHED: &str = "catalog.unfinished";
/// A file in it that says what is being made, for people.
const NOTE: &str = "BEING-MADE";
/// First line of that file.
const TITLE: &str = "CAIRN UNFINISHED 1";
/// Longer notes are not ours.
const MOST_NOTE_BYTES: u64 = 16 << 10;
/// A folder in it where RocksDB puts a checkpoint, and what that is called while RocksDB fills it.
const CHECKPOINT: [&str; 2] = ["copy", "copy.tmp"];
/// Where a backup of an older build had RocksDB put one.
const OLD_CHECKPOINT: &str = "catalog.tmp";

/// What is being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What<'p> {
    /// An empty database.
    Creation,
    /// A database, from this backup.
    Restore(&'p Path),
    /// A backup of this database.
    Backup(&'p Path),
}

impl What<'_> {
    /// What the note calls it; its fault points begin so too.
    fn word(self) -> &'static str {
        match self {
            Self::Creation => "create",
            Self::Restore(_) => "restore",
            Self::Backup(_) => "backup",
        }
    }

    /// Where it comes from.
    fn from(self) -> String {
        match self {
            Self::Creation => String::new(),
            Self::Restore(from) | Self::Backup(from) => {
                let from = std::path::absolute(from).unwrap_or_else(|_| from.to_owned());
                from.to_string_lossy().escape_debug().to_string()
            }
        }
    }
}

/// A folder that is being made. Dropped before its end it stays as it is: unfinished.
#[derive(Debug)]
pub(crate) struct Making<'p> {
    folder: Folder,
    catalog: Folder,
    what: What<'p>,
    /// The unfinished catalog; locked, so that nobody makes the same folder at once.
    _locked: File,
}

impl<'p> Making<'p> {
    /// Begins to make a folder that does not exist, is empty, or was begun and not finished by the same command; what that left is
    /// removed first.
    ///
    /// # Errors
    /// `AlreadyExists`: the folder holds something else; nothing was changed. `Locked`: another process makes it. `Io`.
    pub(crate) fn begin(path: &Path, what: What<'p>) -> Result<Self> {
        make_folder(path, &format!("{}.folder", what.word()))?;
        let folder = Folder::open(path)?;
        must_be_free(&folder, what)?;
        folder.make(UNFINISHED)?;
        let catalog = folder.within(UNFINISHED)?;
        // The folder itself, so that no file of a lock is left in what is made.
        let locked = File::open(catalog.native()).map_err(|error| Error::io(catalog.path(), error))?;
        if let Err(TryLockError::WouldBlock) = locked.try_lock() {
            return Err(being_made(&folder));
        }
        // Who held the lock may have finished meanwhile.
        must_be_free(&folder, what)?;
        if folder.about(UNFINISHED)?.map(|found| found.id) != Some(catalog.id()?) {
            return Err(being_made(&folder));
        }
        clear(&folder)?;
        let text = format!("{TITLE}\n{}\n{}\n", what.word(), what.from());
        let refused = |error| Error::io(&catalog.path_of(NOTE), error);
        write_whole(&catalog, NOTE, "making", |file| file.write_all(text.as_bytes()).map_err(refused))?;
        folder.sync("making")?;
        Ok(Self { folder, catalog, what, _locked: locked })
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Where the catalog is made.
    pub(crate) fn catalog(&self) -> &Folder {
        &self.catalog
    }

    /// A path where RocksDB may put a checkpoint, which it wants to make itself; [`Making::take_checkpoint`] moves it to its place.
    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.catalog.native().join(CHECKPOINT[0])
    }

    /// Moves the files of a checkpoint to where the catalog is made.
    pub(crate) fn take_checkpoint(&self) -> Result<()> {
        let from = self.catalog.within(CHECKPOINT[0])?;
        for name in from.names()? {
            from.move_to(&name, &self.catalog)?;
        }
        self.catalog.remove_empty(CHECKPOINT[0])
    }

    /// The files of the catalog that is made, sorted.
    pub(crate) fn names(&self) -> Result<Vec<OsString>> {
        let mut names = self.catalog.names()?;
        names.retain(|name| name != NOTE);
        Ok(names)
    }

    /// Ends it: what was made is on the disk and has its name.
    pub(crate) fn finish(self) -> Result<()> {
        let word = self.what.word();
        self.catalog.discard(NOTE)?;
        self.catalog.sync(&format!("{word}.made"))?;
        // Everything else has its name before the catalog has.
        self.folder.sync(&format!("{word}.made"))?;
        point(&format!("{word}.finish"))?;
        self.folder.rename(UNFINISHED, CATALOG)?;
        point(&format!("{word}.finished"))?;
        self.folder.sync(word)
    }
}

/// Refuses a folder that was begun and not finished, and says which command makes it.
///
/// # Errors
/// `Unfinished`; `Io`.
pub(crate) fn refuse_unfinished(folder: &Folder) -> Result<()> {
    match found(folder)? {
        Some(begun) => Err(begun.refused(folder)),
        None => Ok(()),
    }
}

/// A folder that was begun and not finished.
#[derive(Debug, Default, PartialEq, Eq)]
struct Begun {
    /// The word of the note; empty: there is none.
    word: String,
    from: String,
}

impl Begun {
    fn refused(&self, folder: &Folder) -> Error {
        let folder = folder.path().display();
        let from = if self.from.is_empty() { ".." } else { &self.from };
        let (what, command) = match self.word.as_str() {
            "create" => (
                format!("the creation of {folder} was not finished"),
                format!("run it again: cairn create {folder}, with the same options; or delete the folder"),
            ),
            "restore" => (
                format!("the restore into {folder} was not finished"),
                format!("run it again: cairn restore {from} {folder}; or delete the folder"),
            ),
            "backup" => (
                format!("the backup into {folder} was not finished"),
                format!("run it again: cairn backup {from} {folder}; or delete the folder"),
            ),
            _ => (
                format!("{folder} was not finished: its creation, restore or backup was interrupted"),
                "run that command again; it starts over; or delete the folder".to_owned(),
            ),
        };
        Error::new(ErrorKind::Unfinished, what).help(command)
    }
}

fn found(folder: &Folder) -> Result<Option<Begun>> {
    let is = |name, kind| Ok::<_, Error>(folder.about(name)?.is_some_and(|found| found.kind == kind));
    if is(UNFINISHED, Kind::Folder)? && folder.about(CATALOG)?.is_none() {
        return Ok(Some(noted(&folder.within(UNFINISHED)?)));
    }
    Ok(is_left_by_older_builds(folder)?.then(Begun::default))
}

/// What the note says; nothing that it says is believed beyond a sentence for people.
fn noted(catalog: &Folder) -> Begun {
    let mut text = String::new();
    if let Ok(Some(file)) = catalog.file(NOTE)
        && file.take(MOST_NOTE_BYTES).read_to_string(&mut text).is_err()
    {
        text.clear();
    }
    let mut lines = text.lines();
    let is_ours = lines.next() == Some(TITLE);
    let mut line = || if is_ours { lines.next().unwrap_or_default().escape_debug().to_string() } else { String::new() };
    let (word, from) = (line(), line());
    Begun { word, from }
}

/// What a creation, a restore or a backup of an older build leaves when it is cut short, where it can be nothing else: a catalog
/// without its list of files in a folder where nobody ever opened a database, or the folder in which RocksDB makes a checkpoint.
fn is_left_by_older_builds(folder: &Folder) -> Result<bool> {
    let names = folder.names()?;
    // Whoever starts over has made the folder of the new catalog already when this is asked again.
    let only = |allowed: &[&str]| names.iter().all(|name| name == UNFINISHED || allowed.iter().any(|own| name == own));
    let is_folder = |name: &str| Ok::<_, Error>(folder.about(name)?.is_some_and(|found| found.kind == Kind::Folder));
    if !is_folder(CATALOG)? {
        return Ok(only(&[OLD_CHECKPOINT, SEGMENTS]) && is_folder(OLD_CHECKPOINT)?);
    }
    let catalog = folder.within(CATALOG)?;
    let inside = catalog.names()?;
    if inside.iter().any(|name| name == "CURRENT") {
        return Ok(false);
    }
    let mut is_empty = true;
    for name in &inside {
        let end = Path::new(name).extension();
        let is_filled = catalog.about(name)?.is_some_and(|found| found.bytes > 0);
        is_empty &= !(end.is_some_and(|end| end == "sst") || end.is_some_and(|end| end == "log") && is_filled);
    }
    // RocksDB leaves these two whenever it opens a catalog for writing.
    let was_opened = inside.iter().any(|name| name == "LOCK" || name == "LOG");
    Ok(is_empty && only(&[CATALOG, LOCK]) || !was_opened && only(&[CATALOG, SEGMENTS]))
}

/// Refuses a folder that holds something else than what can be started over.
fn must_be_free(folder: &Folder, what: What<'_>) -> Result<()> {
    let names = folder.names()?;
    if let Some(begun) = found(folder)? {
        let is_another = !begun.word.is_empty() && begun.word != what.word();
        return if is_another { Err(begun.refused(folder)) } else { Ok(()) };
    }
    // A lone lock file is what a creation that was cut short leaves.
    if names.iter().all(|name| name == LOCK) {
        folder.must_be(LOCK, Kind::File)?;
        return Ok(());
    }
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    let holds = match has(CATALOG) {
        true if has(BACKUP) => "already holds a backup",
        true => "already holds a database",
        false => "is not empty",
    };
    Err(Error::new(ErrorKind::AlreadyExists, format!("{} {holds}", folder.path().display()))
        .help("choose a folder that does not exist yet, or an empty one"))
}

fn being_made(folder: &Folder) -> Error {
    Error::new(ErrorKind::Locked, format!("another process is creating {}", folder.path().display()))
        .help("wait for it, or choose another folder")
}

/// Removes what an attempt before left; the unfinished catalog itself stays, so that a death in here leaves an unfinished folder too.
///
/// # Errors
/// `AlreadyExists`: there is something that no attempt leaves; nothing was removed then.
fn clear(folder: &Folder) -> Result<()> {
    let mut leavings = Leavings { top: folder, files: Vec::new(), folders: Vec::new() };
    for name in folder.names()? {
        let kind = folder.about(&name)?.map(|found| found.kind);
        let part = || folder.within(&name);
        match (name.to_str().unwrap_or_default(), kind) {
            (CATALOG | OLD_CHECKPOINT | UNFINISHED, Some(Kind::Folder)) => {
                leavings.add(folder, &part()?, &is_of_making)?
            }
            (SEGMENTS, Some(Kind::Folder)) => leavings.add(folder, &part()?, &|name| is_of_segments(name))?,
            (text, Some(Kind::File)) if is_of_top(text) => leavings.files.push((folder.clone(), name)),
            (_, None) => {}
            _ => return Err(leavings.foreign(folder, &name)),
        }
    }
    point("making.clear")?;
    // A process that runs an older build may be at work here.
    let held = if folder.about(LOCK)?.is_some() { Some(Lock::take(folder)?) } else { None };
    leavings.files.iter().try_for_each(|(folder, name)| folder.discard(name).map(|_| ()))?;
    for (above, name) in leavings.folders.iter().filter(|(_, name)| name != UNFINISHED) {
        above.remove_empty(name)?;
    }
    drop(held);
    point("making.cleared")
}

/// What an attempt left, the innermost first.
struct Leavings<'f> {
    top: &'f Folder,
    files: Vec<(Folder, OsString)>,
    /// Each with the folder in which it lies.
    folders: Vec<(Folder, OsString)>,
}

impl Leavings<'_> {
    /// Adds a folder where everything has a name of ours.
    fn add(&mut self, above: &Folder, folder: &Folder, is_ours: &dyn Fn(&OsStr) -> bool) -> Result<()> {
        for name in folder.names()? {
            let is_checkpoint = CHECKPOINT.iter().any(|checkpoint| name == *checkpoint);
            match folder.about(&name)?.map(|found| found.kind) {
                Some(Kind::Folder) if is_checkpoint => self.add(folder, &folder.within(&name)?, is_ours)?,
                Some(Kind::File) if is_ours(&name) => self.files.push((folder.clone(), name)),
                None => {}
                _ => return Err(self.foreign(folder, &name)),
            }
        }
        let own = folder.path().file_name().unwrap_or_default().to_owned();
        self.folders.push((above.clone(), own));
        Ok(())
    }

    fn foreign(&self, folder: &Folder, name: &OsStr) -> Error {
        let path = folder.path_of(name);
        let inside = path.strip_prefix(self.top.path()).unwrap_or(&path).display();
        let what = format!("{} was not finished, and has {inside}, which is not Cairn's", self.top.path().display());
        Error::new(ErrorKind::AlreadyExists, what)
            .help("move that away and run the command again, or choose another folder")
    }
}

/// Names of files beside the catalog and the segments.
fn is_of_top(name: &str) -> bool {
    [LOCK, BACKUP, RESERVE, COLUMNS, NEIGHBOURS, ACKNOWLEDGED, KNOWN]
        .contains(&name.strip_suffix(".tmp").unwrap_or(name))
}

/// Names of RocksDB's files, and that of the note.
fn is_of_making(name: &OsStr) -> bool {
    let text = name.to_str().unwrap_or_default();
    is_of_catalog(name) || text.strip_suffix(".tmp").unwrap_or(text) == NOTE
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn touch(path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"x").unwrap();
    }

    fn refuse(folder: &Path) -> Result<()> {
        refuse_unfinished(&Folder::open(folder).unwrap())
    }

    fn names(folder: &Path) -> Vec<OsString> {
        Folder::open(folder).unwrap().names().unwrap()
    }

    #[test]
    fn what_was_begun_is_refused_until_it_is_finished_and_starts_over() {
        let home = tempfile::tempdir().unwrap();
        let (folder, from) = (home.path().join("new"), home.path().join("bk"));
        let making = Making::begin(&folder, What::Restore(&from)).unwrap();
        touch(&making.catalog().path_of("000012.sst"));
        touch(&making.checkpoint().join("MANIFEST-000004"));
        touch(&folder.join("segments/0000000001.segment"));
        let second = Making::begin(&folder, What::Restore(&from)).unwrap_err();
        assert_eq!(second.kind(), ErrorKind::Locked, "{second}");
        drop(making);
        let error = refuse(&folder).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unfinished);
        let command = format!("cairn restore {} {}", from.display(), folder.display());
        assert!(error.to_string().contains(&command), "{error}");
        let other = Making::begin(&folder, What::Creation).unwrap_err();
        assert_eq!((other.kind(), other.message()), (error.kind(), error.message()), "another command makes it");
        let making = Making::begin(&folder, What::Restore(&from)).unwrap();
        assert_eq!(names(&folder), [UNFINISHED], "what the first attempt left is gone");
        assert_eq!(names(making.catalog().path()), [NOTE]);
        touch(&making.checkpoint().join("CURRENT"));
        making.take_checkpoint().unwrap();
        making.finish().unwrap();
        refuse(&folder).unwrap();
        assert_eq!(names(&folder.join("catalog")), ["CURRENT"]);
        assert_eq!(Making::begin(&folder, What::Restore(&from)).unwrap_err().kind(), ErrorKind::AlreadyExists);
    }

    #[test]
    fn files_of_others_stay_and_are_named() {
        for name in ["photo.jpg", "catalog.unfinished/notes.txt", "segments/1.jpg", "segments/sub/1.segment", "LOCK/x"]
        {
            let home = tempfile::tempdir().unwrap();
            drop(Making::begin(home.path(), What::Creation).unwrap());
            touch(&home.path().join("catalog.unfinished/000012.sst"));
            touch(&home.path().join(name));
            let error = Making::begin(home.path(), What::Creation).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{name}");
            let named = name.split('/').take_while(|part| *part != "x" && *part != "1.segment").collect::<Vec<_>>();
            assert!(error.message().contains(&named.join("/")), "{name}: {error}");
            assert!(home.path().join(name).is_file(), "{name}");
            assert!(home.path().join("catalog.unfinished/000012.sst").is_file(), "{name}: something was removed");
        }
        let home = tempfile::tempdir().unwrap();
        drop(Making::begin(home.path(), What::Creation).unwrap());
        touch(&home.path().join("outside"));
        std::os::unix::fs::symlink(home.path().join("outside"), home.path().join("catalog.unfinished/000012.sst"))
            .unwrap();
        std::fs::remove_file(home.path().join("outside")).unwrap();
        assert!(Making::begin(home.path(), What::Creation).unwrap_err().message().contains("000012.sst"));
    }

    #[test]
    fn leavings_of_older_builds_are_known_where_they_can_be_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let folder = |name: &str, files: &[&str]| {
            let folder = home.path().join(name);
            files.iter().for_each(|file| touch(&folder.join(file)));
            folder
        };
        for (name, files) in [
            ("create", &["LOCK", "catalog/LOCK", "catalog/LOG", "catalog/MANIFEST-000001"][..]),
            ("restore", &["catalog/000012.sst", "catalog/000013.log", "segments/0000000001.segment"]),
            ("backup", &["segments/0000000001.segment", "catalog.tmp/000012.sst"]),
        ] {
            let folder = folder(name, files);
            assert_eq!(refuse(&folder).unwrap_err().kind(), ErrorKind::Unfinished, "{name}");
            Making::begin(&folder, What::Creation).unwrap().finish().unwrap();
            assert_eq!(std::fs::read_dir(folder.join("catalog")).unwrap().count(), 0, "{name}");
        }
        for (name, files) in [
            ("was opened", &["LOCK", "catalog/LOCK", "catalog/LOG", "catalog/000012.sst", "segments/1.segment"][..]),
            ("was restored and damaged", &["LOCK", "catalog/000012.sst", "segments/1.segment"]),
            ("lost its catalog", &["LOCK", "acknowledged", "catalog/LOG"]),
            ("whole", &["catalog/CURRENT", "catalog/000012.sst"]),
            ("another", &["catalog/000012.sst", "photo.jpg"]),
        ] {
            let folder = folder(name, files);
            refuse(&folder).unwrap();
            assert_eq!(Making::begin(&folder, What::Creation).unwrap_err().kind(), ErrorKind::AlreadyExists, "{name}");
        }
    }
}
