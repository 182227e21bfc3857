//! Whether this process is a fork of the one that opened a database. A fork has its memory and none of its threads: a lock that
//! one of them held is never released there, and a thread that waits for them waits forever.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{Error, ErrorKind, Result};

/// Forks that lie between the first process and this one.
static FORKS: AtomicU32 = AtomicU32::new(0);

extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// The process in which something was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin(u32);

impl Origin {
    /// This process. From now on its forks are counted.
    pub(crate) fn here() -> Self {
        static COUNTED: Once = Once::new();
        COUNTED.call_once(|| {
            // SAFETY: the handler adds to a number of the whole program's life, and allocates and locks nothing. Where there is no memory
            // for it, forks are not noticed, as before.
            let _not_noticed = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        });
        Self(FORKS.load(Ordering::Relaxed))
    }

    /// Whether this process is a fork of it.
    pub(crate) fn is_elsewhere(self) -> bool {
        FORKS.load(Ordering::Relaxed) != self.0
    }

    /// Refuses what needs the threads of the process that opened a database.
    ///
    /// # Errors
    /// `Forked`.
    pub(crate) fn refuse_elsewhere(self) -> Result<()> {
        if !self.is_elsewhere() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Forked, "this process is a fork of the one that opened the database")
            .help("open the database after the fork, or start another program instead (fork and exec)"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

    use std::time::Duration;

    use crate::{Database, ErrorKind, Options, Put, Query, SearchRequest};

    /// What the child found, as a code to end with.
    fn in_the_fork(database: Database, snapshot: &crate::Snapshot) -> i32 {
        let is_refused = |kind: Option<ErrorKind>| kind == Some(ErrorKind::Forked);
        let write = database.write(vec![Put::new("b", [0.0, 1.0]).into()]).err().map(|error| error.kind());
        let search = snapshot.search(&SearchRequest::new(), &[Query::new([1.0, 0.0])]).err().map(|error| error.kind());
        let read = snapshot.record("a").err().map(|error| error.kind());
        let flush = database.flush().err().map(|error| error.kind());
        let check = database.check(true).err().map(|error| error.kind());
        let close = database.close().err().map(|error| error.kind());
        let all = [write, search, read, flush, check, close];
        all.iter().position(|&kind| !is_refused(kind)).map_or(0, |at| at as i32 + 1)
    }

    /// It catches: a child that waits for threads which only its parent has, or that releases its parent's lock.
    #[test]
    fn a_fork_is_told_and_never_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let database = Database::create(&path, Options::for_vectors(2)).unwrap();
        database.write(vec![Put::new("a", [1.0, 0.0]).label("tower").into()]).unwrap();
        let snapshot = database.snapshot();
        // SAFETY: the child calls nothing but the code under test, which must work there, and ends without destructors.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let code = in_the_fork(database.clone(), &snapshot);
            // The last clone goes, too.
            drop(database);
            // SAFETY: it may be called at any time.
            unsafe { libc::_exit(code) }
        }
        let mut status = 0;
        for _ in 0..3_000 {
            // SAFETY: the child is this process's own, and the status lives until the call is over.
            let ended = unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) };
            if ended == child {
                assert_eq!(status, 0, "the child's status; its code is the number of the call that was not refused");
                // The lock is still the parent's, and the parent works.
                assert_eq!(Database::open(&path).err().map(|error| error.kind()), Some(ErrorKind::Locked));
                database.write(vec![Put::new("b", [0.0, 1.0]).into()]).unwrap();
                return database.close().unwrap();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // SAFETY: the child is this process's own and was not waited for yet.
        unsafe { libc::kill(child, libc::SIGKILL) };
        panic!("the child hangs");
    }
}
