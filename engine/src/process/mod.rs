//! The process that the engine lives in: which threads compute for a call, how it may end while threads are in the engine, and
//! which process goes first where bytes may end it.

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
