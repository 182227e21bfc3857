//! The databases that wait, on this thread, for a callback into the application.
//!
//! Some callbacks run while a database holds a lock that writers wait for: a [`Propose`](crate::embed::Propose) in the middle of a
//! write; a [`Reembed`](crate::model::Reembed) and the progress callback during the last round of a model change. If such code asked the
//! same database for that lock, both would wait forever. So each callback runs under a [`Called`], and each call that would wait
//! first asks [`refuse_within`].

use std::cell::RefCell;

use crate::error::{Error, ErrorKind, Result};

thread_local! {
    /// The databases, and what each of them called; the last one is the innermost.
    static CALLED: RefCell<Vec<(usize, &'static str)>> = const { RefCell::new(Vec::new()) };
}

/// Held while a database waits for code that it called.
pub(crate) struct Called(());

impl Called {
    /// This database calls `what`, in words that follow "a call of".
    pub(crate) fn by(database: usize, what: &'static str) -> Self {
        let _ends = CALLED.try_with(|called| called.borrow_mut().push((database, what)));
        Self(())
    }
}

impl Drop for Called {
    fn drop(&mut self) {
        let _ends = CALLED.try_with(|called| called.borrow_mut().pop());
    }
}

/// Refuses what would wait for its own caller.
///
/// # Errors
/// `Reentrant`.
pub(crate) fn refuse_within(database: usize) -> Result<()> {
    let innermost =
        |called: &Vec<(usize, &'static str)>| called.iter().rfind(|(by, _)| *by == database).map(|&(_, what)| what);
    // A thread that ends, and closes a database in one of its thread-local variables, is in no call any more.
    let what = CALLED.try_with(|called| innermost(&called.borrow())).ok().flatten();
    match what {
        None => Ok(()),
        Some(what) => Err(Error::new(
            ErrorKind::Reentrant,
            format!("{what} called its own database for something that waits until the callback returns"),
        )
        .help("a callback may read; write, flush, merge, back up and close before or after it, or in a thread that it does not wait for")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It catches: a call that is forgotten too early or too late, and one of another database that counts.
    #[test]
    fn only_the_database_that_waits_refuses() {
        {
            let _one = Called::by(1, "one");
            assert!(refuse_within(2).is_ok());
            {
                let _two = Called::by(2, "two");
                assert_eq!(refuse_within(1).map_err(|error| error.kind()), Err(ErrorKind::Reentrant));
                assert_eq!(refuse_within(2).map_err(|error| error.kind()), Err(ErrorKind::Reentrant));
            }
            assert!(refuse_within(2).is_ok());
            assert!(std::thread::spawn(|| refuse_within(1).is_ok()).join().is_ok_and(|is_free| is_free));
        }
        assert!(refuse_within(1).is_ok());
    }
}
