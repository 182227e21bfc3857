//! The exit codes that scripts branch on.

/// The program's exit code; [`EXIT_CODES`] describes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Success, even if the reader of the output closed it (`| head`).
    Quiet = 0,
    /// A statement or a command failed.
    Failed = 1,
    /// The command line cannot be understood.
    Usage = 2,
    /// Stored bytes differ from those written, or a creation, restore or backup was not finished.
    Corrupt = 3,
    /// Another process holds the database.
    Locked = 4,
    /// More items failed than were allowed; the others are done.
    Partly = 5,
    /// SIGHUP: the terminal is gone.
    HungUp = 129,
    /// Ctrl-C (SIGINT).
    Interrupted = 130,
    /// SIGTERM.
    Terminated = 143,
    /// SIGXCPU: the processor time that this process was given is used up.
    OutOfTime = 152,
}

/// The exit codes of the program, as `cairn --help` and README.md list them.
pub(crate) const EXIT_CODES: [(Exit, &str); 10] = [
    (Exit::Quiet, "success, even if the reader of the output closed it (`| head`)"),
    (Exit::Failed, "a statement or command failed, nothing could be ingested, or the output could not be written"),
    (Exit::Usage, "the command line cannot be understood"),
    (Exit::Corrupt, "the database is damaged, or one of its mapped files was cut short"),
    (Exit::Locked, "another process holds the database"),
    (Exit::Partly, "more photos, vectors, queries or images failed than --allow-failures allows; the others are done"),
    (Exit::HungUp, "ended by SIGHUP; acknowledged writes are kept and the lock is released, as for 130, 143 and 152"),
    (Exit::Interrupted, "stopped by Ctrl-C"),
    (Exit::Terminated, "ended by SIGTERM"),
    (Exit::OutOfTime, "ended by SIGXCPU (ulimit -t)"),
];

/// The same as lines of a help text.
pub(crate) fn exit_codes() -> String {
    let line = |(exit, what): &(Exit, &str)| format!("\n  {:>3}  {what}", *exit as u8);
    format!("Exit codes:{}", EXIT_CODES.iter().map(line).collect::<String>())
}

impl Exit {
    /// Whether a person or a signal stopped the work.
    pub(crate) fn is_stop(self) -> bool {
        matches!(self, Self::HungUp | Self::Interrupted | Self::Terminated | Self::OutOfTime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_lists_the_exit_codes() {
        let readme = include_str!("../../docs/OPERATING.md");
        for (exit, what) in EXIT_CODES {
            let row = format!("| {} | {what} |", exit as u8);
            assert!(readme.contains(&row), "README.md has no row: {row}");
        }
    }
}
