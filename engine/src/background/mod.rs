//! Background work: worker threads write and merge segments and apply deferred writes; another model's descriptors are built
//! beside the active ones and replace them.

mod ages;
mod care;
mod compaction;
mod flush;
mod gate;
mod model_build;
mod model_change;
mod running;
mod segments;
#[cfg(test)]
mod tests;
mod worker;

pub(crate) use ages::Waited;
pub use model_change::{ModelEntry, Target};
pub(crate) use running::Shared;
pub(crate) use worker::Worker;
