//! The process of the engine: the threads that compute for a call, the end of the process while threads are in the engine, and
//! the scout that reads dangerous bytes first.

pub(crate) mod callback;
pub(crate) mod fork;
pub(crate) mod leaving;
pub mod pool;
pub(crate) mod room;
pub(crate) mod scout;

/// Processors that the process may use.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
