//! One error type for the whole engine: its kind, a message, and what to do about it.

mod owner;

use std::fmt;
use std::path::Path;

use cairndb_query::Diagnostic;

/// The numbers of EMFILE and ENFILE, by which Linux and the BSDs refuse to open one file more.
const TOO_MANY_FILES: [i32; 2] = [24, 23];

/// The help if a disk is full.
pub(crate) const NO_SPACE_HELP: &str = "free some space on that disk; acknowledged writes are kept. An open database resumes writing when there is space; a \
     command that ended must be run again";

/// The help if a file reaches the largest length that this process may write.
const FILE_TOO_LARGE: &str = "File too large";
const FILE_TOO_LARGE_HELP: &str = "raise the limit of file lengths (ulimit -f), or that of the file system, and run the command again; acknowledged writes are kept";
/// RocksDB's message if another handle has its lock.
const CATALOG_LOCKED: &str = "While lock file";

/// How many files this process may have open at once; `None`: there is no limit.
pub(crate) fn open_files_allowed() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

/// The kind of an operating system error that RocksDB reports only as text.
fn of_words(words: &str) -> ErrorKind {
    let says = |part: &&str| words.contains(*part);
    if ["No space left on device", "Disk quota exceeded"].iter().any(says) {
        ErrorKind::DiskFull
    } else if ["Too many open files"].iter().any(says) {
        ErrorKind::TooManyFiles
    } else if words.contains(CATALOG_LOCKED) && words.contains("temporarily unavailable") {
        ErrorKind::Locked
    } else {
        ErrorKind::Io
    }
}

/// The result of every fallible call of the engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of an error; programs branch on it, people read the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A database, file, key or label does not exist.
    NotFound,
    /// Something exists that must not.
    AlreadyExists,
    /// A value, file or statement is not valid.
    Invalid,
    /// A vector or a model does not belong to this database.
    Mismatch,
    /// Another process holds the database.
    Locked,
    /// Stored bytes differ from those written, or are of a version that this build does not read.
    Corrupt,
    /// The operating system or RocksDB returned an error.
    Io,
    /// The disk, or this user's quota, is full. The message has the number of bytes needed, if known.
    DiskFull,
    /// The process, or the whole machine, has too many files open.
    TooManyFiles,
    /// A callback, which the database waits for, made a call that would wait for the callback.
    Reentrant,
    /// The process is a fork of the one that opened the database.
    Forked,
    /// The caller asked to stop.
    Cancelled,
    /// The folder was moved, deleted or replaced while the database was open; the database accepts no more writes.
    Displaced,
    /// A condition of a conditional write does not hold; nothing was written.
    Conflict,
    /// The call would change a backup, or a database that is open for reading only.
    ReadOnly,
    /// The creation, restore or backup of the folder was interrupted; the same command starts over.
    Unfinished,
    /// A database of an older format, which must be opened for writing once before it can be opened for reading.
    OlderFormat,
}

/// An error: kind, message, and (nearly always) the next step.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    help: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    diagnostics: Vec<Diagnostic>,
}

impl Error {
    /// An error without a next step; add one with [`Error::help`]. A path that leads through an open handle is shown as the path
    /// of its target.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: with_real_paths(message.into()), help: None, source: None, diagnostics: Vec::new() }
    }

    /// Adds what the reader can do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Adds the diagnostics that the message shows.
    #[must_use]
    pub(crate) fn with_diagnostics(mut self, diagnostics: Vec<Diagnostic>) -> Self {
        self.diagnostics = diagnostics;
        self
    }

    /// The same error with another message, made from this one.
    #[must_use]
    pub(crate) fn told(mut self, words: impl FnOnce(&str) -> String) -> Self {
        self.message = words(&self.message);
        self
    }

    /// An invalid value, file or statement.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// Something that does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// Stored bytes that differ from those written.
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message).help(
            "it is damaged or was written by another version; restore a backup, or save what is left: cairn repair DB",
        )
    }

    /// An operating system error, with its path. If a permission is missing, it names the file's owner.
    pub fn io(path: &Path, source: std::io::Error) -> Self {
        use std::io::ErrorKind as Os;
        let kind = match (source.kind(), source.raw_os_error()) {
            (Os::NotFound, _) => ErrorKind::NotFound,
            (Os::StorageFull | Os::QuotaExceeded, _) => ErrorKind::DiskFull,
            (_, Some(code)) if TOO_MANY_FILES.contains(&code) => ErrorKind::TooManyFiles,
            _ => ErrorKind::Io,
        };
        let error = Self::new(kind, format!("{}: {source}", path.display())).with_help_of(kind);
        let error = if source.kind() == Os::FileTooLarge { error.help(FILE_TOO_LARGE_HELP) } else { error };
        let error = if owner::is_refusal(&source) { error.help(owner::help(path)) } else { error };
        error.because(source)
    }

    /// The same with another next step, unless a permission, space or open files are missing: checking the disk would not help
    /// then.
    #[must_use]
    pub(crate) fn help_of_disk(self, underneath: &Self, help: &str) -> Self {
        let is_known = matches!(underneath.kind, ErrorKind::DiskFull | ErrorKind::TooManyFiles)
            || owner::refused_file(&underneath.message).is_some();
        match &underneath.help {
            Some(own) if is_known => self.help(own.as_str()),
            _ => self.help(help),
        }
    }

    /// The help for an error of this kind, whatever failed.
    fn with_help_of(self, kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::DiskFull => self.help(NO_SPACE_HELP),
            ErrorKind::TooManyFiles => self.help(format!(
                "this process may have {} files open: raise that (ulimit -n 4096, or LimitNOFILE= of a service), or close \
                 unused databases, then try again",
                open_files_allowed().map_or("no known number of".to_owned(), |limit| limit.to_string())
            )),
            _ => self,
        }
    }

    /// Whether the disk, or this user's quota, is full.
    pub(crate) fn is_disk_full(&self) -> bool {
        self.kind == ErrorKind::DiskFull
    }

    /// The kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message, in one or more lines.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The mistakes in the text of a statement, or in its arguments, each with its code and its place in the text. Empty for
    /// every other error.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// What to do about it.
    pub fn next_step(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl Error {
    /// What RocksDB reports. No `From`: that would be part of the library's interface.
    pub(crate) fn of_catalog(source: rocksdb::Error) -> Self {
        let message = source.to_string();
        // First of all: RocksDB calls a table that it may not read corrupt.
        if let Some(file) = owner::refused_file(&message) {
            let help = owner::help(file.as_deref().unwrap_or(Path::new("")));
            return Self::new(ErrorKind::Io, format!("the catalog may not be used: {message}"))
                .help(help)
                .because(source);
        }
        let kind = match source.kind() {
            rocksdb::ErrorKind::Corruption => ErrorKind::Corrupt,
            rocksdb::ErrorKind::InvalidArgument => ErrorKind::Invalid,
            _ => of_words(source.as_ref()),
        };
        match kind {
            ErrorKind::Corrupt => Self::corrupt(format!("the catalog is damaged: {source}")),
            ErrorKind::DiskFull | ErrorKind::TooManyFiles => {
                Self::new(kind, format!("the catalog refused: {source}")).with_help_of(kind)
            }
            ErrorKind::Locked => Self::new(kind, format!("another process has the catalog open: {source}"))
                .help("its file LOCK was deleted or replaced; end that process, and open the database again"),
            _ if message.contains(FILE_TOO_LARGE) => {
                Self::new(kind, format!("the catalog refused: {source}")).help(FILE_TOO_LARGE_HELP)
            }
            _ => Self::new(kind, format!("the catalog refused: {source}"))
                .help("check the disk's space and health, then open the database again; acknowledged writes are kept"),
        }
        .because(source)
    }
}

/// RocksDB and others get paths that lead through open handles (`disk/folder.rs`); people see the paths of their targets.
fn with_real_paths(text: String) -> String {
    const THROUGH: &str = "/proc/self/fd/";
    if !text.contains(THROUGH) {
        return text;
    }
    let mut parts = text.split(THROUGH);
    let mut told = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        let (handle, rest) = part.split_at(end);
        let through = format!("{THROUGH}{handle}");
        let real = std::fs::read_link(&through).map_or(through, |real| real.display().to_string());
        told.push_str(&real);
        told.push_str(rest);
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_path_through_a_handle_is_told_as_where_it_leads() {
        use std::os::fd::AsRawFd;
        let folder = tempfile::tempdir().unwrap();
        let handle = std::fs::File::open(folder.path()).unwrap();
        let number = handle.as_raw_fd();
        let real = folder.path().canonicalize().unwrap();
        let told = with_real_paths(format!("IO error: /proc/self/fd/{number}/000007.log: no; /proc/self/fd/{number}"));
        assert_eq!(told, format!("IO error: {0}/000007.log: no; {0}", real.display()));
        assert_eq!(with_real_paths("/proc/self/fd/999999999/x".to_owned()), "/proc/self/fd/999999999/x");
    }

    /// It catches: a full quota taken for a broken disk; a limit of files for a full disk; a help that names no limit.
    #[test]
    fn refusals_of_the_operating_system_have_their_kinds() {
        let of = |code| Error::io(std::path::Path::new("x"), std::io::Error::from_raw_os_error(code));
        let (no_space, quota, many, many_in_all, broken) = (28, 122, 24, 23, 5);
        let kinds = [no_space, quota, many, many_in_all, broken].map(|code| of(code).kind());
        let [full, files] = [ErrorKind::DiskFull, ErrorKind::TooManyFiles];
        assert_eq!(kinds, [full, full, files, files, ErrorKind::Io]);
        let words = ["a: No space left on device", "a: Disk quota exceeded", "a: Too many open files", "a: b"];
        assert_eq!(words.map(of_words), [full, full, files, ErrorKind::Io]);
        let limit = open_files_allowed().map(|limit| limit.to_string()).unwrap_or_default();
        assert!(of(many).next_step().is_some_and(|help| help.contains(&limit) && help.contains("ulimit -n")));
    }
}
