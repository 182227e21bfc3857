//! The process that the engine lives in: which threads compute for a call, and how it may end while threads are in the engine.

pub(crate) mod callback;
pub(crate) mod fork;
pub(crate) mod leaving;
pub mod pool;
