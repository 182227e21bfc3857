//! One error for the whole engine: what kind, what happened, and what to do about it.

mod owner;

use std::fmt;
use std::path::Path;

/// The result of every fallible call of the engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, coarsely; programs branch on it, people read the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A database, file, key or label that is not there.
    NotFound,
    /// Something is there that must not be.
    AlreadyExists,
    /// A value, file or statement that cannot be used as it is.
    Invalid,
    /// A vector or a model that does not belong to this database.
    Mismatch,
    /// Another process holds the database.
    Locked,
    /// Stored bytes that are not what was written, or of a version this build does not read.
    Corrupt,
    /// The operating system or RocksDB refused.
    Io,
    /// The caller asked to stop.
    Cancelled,
    /// The folder was moved, deleted or replaced while the database was open; nothing more is written.
    Displaced,
    /// A change was asked of a backup, or of a database that was opened for reading.
    ReadOnly,
    /// The creation, the restore or the backup that makes the folder was cut short; the same command starts it over.
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
}

impl Error {
    /// An error without a next step; add one with [`Error::help`]. A path that leads through an open handle is told as where that
    /// leads.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: with_real_paths(message.into()), help: None, source: None }
    }

    /// Says what the reader can do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Keeps the error underneath.
    #[must_use]
    pub fn because(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// A value, file or statement that cannot be used.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// Something that is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// Stored bytes that are not what was written.
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message).help(
            "it is damaged or was written by another version; restore a backup, or keep what is sound: cairn repair DB",
        )
    }

    /// A refusal of the operating system, with the path it concerns. Where a right is missing, it says whose the file is.
    pub fn io(path: &Path, source: std::io::Error) -> Self {
        let kind = if source.kind() == std::io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Io };
        let error = Self::new(kind, format!("{}: {source}", path.display()));
        let error = if owner::is_refusal(&source) { error.help(owner::help(path)) } else { error };
        error.because(source)
    }

    /// The same with another next step, but where a right is missing: no look at the disk helps then.
    #[must_use]
    pub(crate) fn help_of_disk(self, underneath: &Self, help: &str) -> Self {
        match (&underneath.help, owner::refused_file(&underneath.message)) {
            (Some(own), Some(_)) => self.help(own.as_str()),
            _ => self.help(help),
        }
    }

    /// Whether the disk, or what this user may take of it, is full.
    pub(crate) fn is_disk_full(&self) -> bool {
        use std::error::Error as _;
        let mut causes = std::iter::successors(self.source(), |&error| error.source());
        let full = |error: &std::io::Error| {
            matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
        };
        // RocksDB hands on the system's words only.
        self.message.contains("No space left on device") || causes.any(|cause| cause.downcast_ref().is_some_and(full))
    }

    /// What went wrong, coarsely.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What happened, in one or more lines.
    pub fn message(&self) -> &str {
        &self.message
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

impl From<rocksdb::Error> for Error {
    fn from(source: rocksdb::Error) -> Self {
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
            _ => ErrorKind::Io,
        };
        match kind {
            ErrorKind::Corrupt => Self::corrupt(format!("the catalog is damaged: {source}")),
            _ => Self::new(kind, format!("the catalog refused: {source}"))
                .help("check the disk's space and health, then open the database again; acknowledged writes are kept"),
        }
        .because(source)
    }
}

/// RocksDB and others are handed paths that lead through open handles (`disk/folder.rs`); people are told where those lead.
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
}
