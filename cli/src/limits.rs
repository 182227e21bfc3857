//! Checks whether this process may start the threads that the libraries need: RocksDB and libtorch end the process if they get
//! none.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;

use crate::failure::{Failure, Result};

/// Number of threads that are needed besides those of each processor: RocksDB's, the engine's duties, a statement's, a clock's,
/// readers of photos.
const BESIDE: usize = 16;
/// Number of threads for each processor: the pools of the engine, of photos, and of libtorch.
const FOR_EACH_PROCESSOR: usize = 3;

/// Starts as many threads as a command may need at once, and lets them end.
///
/// # Errors
/// The system refuses one: the command would then fail in the middle of its work, or a library would end the process.
pub(crate) fn check() -> Result<()> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let wanted = BESIDE + FOR_EACH_PROCESSOR * processors;
    let started = start(wanted);
    if started == wanted {
        return Ok(());
    }
    Err(Failure::new(format!(
        "this process may start only {started} of the {wanted} threads that cairn needs on {processors} processors"
    ))
    .help("raise the limits of processes (ulimit -u) and of address space (ulimit -v), or end other programs of this user"))
}

/// How many threads can exist at once, up to `wanted`.
fn start(wanted: usize) -> usize {
    let (leave, wait) = channel::<()>();
    let wait: Arc<Mutex<Receiver<()>>> = Arc::new(Mutex::new(wait));
    let mut threads = Vec::with_capacity(wanted);
    while threads.len() < wanted {
        let wait = Arc::clone(&wait);
        // The threads end one after the other once the sender is gone.
        let thread = Builder::new().spawn(move || wait.lock().unwrap_or_else(PoisonError::into_inner).recv().is_ok());
        match thread {
            Ok(thread) => threads.push(thread),
            Err(_) => break,
        }
    }
    drop(leave);
    let started = threads.len();
    threads.into_iter().for_each(|thread| drop(thread.join()));
    started
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_counted_and_end() {
        assert_eq!(start(5), 5);
        assert!(check().is_ok());
    }
}
