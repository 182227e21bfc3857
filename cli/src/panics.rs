//! Turns a panic (a fault of the program, or a limit that appears as one) into a message and the exit code of a failure, on any
//! thread.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::{complain, note};

/// Runs the program; a panic ends it as a failure.
pub(crate) fn guarded(run: impl FnOnce() -> u8) -> u8 {
    set_hook(Box::new(|info| {
        complain(&failure(info));
        // With RUST_BACKTRACE=1, a developer gets the usual output.
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            note(&trace.to_string());
        }
    }));
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(Exit::Failed as u8)
}

fn failure(info: &PanicHookInfo<'_>) -> Failure {
    let place = info.location().map_or_else(String::new, |place| {
        let file = place.file().rsplit('/').next().unwrap_or_default();
        format!(" ({file}:{})", place.line())
    });
    told(info.payload_as_str().unwrap_or("no reason was given"), &place)
}

fn told(reason: &str, place: &str) -> Failure {
    let failure =
        Failure::new(format!("the program failed unexpectedly: {reason}{place}; acknowledged writes are kept"));
    // The messages of a thread or a mapping that the system refuses.
    if ["os error 11", "os error 12", "WouldBlock", "OutOfMemory"].iter().any(|limit| reason.contains(limit)) {
        return failure.help("raise the limits of this process (ulimit -u, ulimit -v), or end other programs");
    }
    failure.help("this is a bug in cairn: please report it with the steps that led to it; RUST_BACKTRACE=1 shows more")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_no_fault_of_the_program() {
        let thread =
            told("called `unwrap()`: Os { code: 11, kind: WouldBlock, message: \"..\" }", " (a.rs:1)").to_string();
        assert!(thread.contains("ulimit -u") && !thread.contains("report"), "{thread}");
        assert!(told("index out of bounds", "").to_string().contains("report"));
    }
}
