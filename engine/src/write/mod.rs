//! Write: how a list of operations becomes one batch, with the predictions that follow from it.

mod apply;
pub(crate) mod committer;
pub(crate) mod core;
pub(crate) mod deferred;
pub(crate) mod expect;
pub(crate) mod policy;
pub(crate) mod predictions;
pub(crate) mod proposed;
pub(crate) mod relabellings;
pub(crate) mod resolve;
pub(crate) mod signal;
pub(crate) mod writer;

pub(crate) use self::core::{Core, HearsTrouble};
pub use deferred::Deferral;
pub use expect::Expect;
pub(crate) use expect::{another_model, refuse_unnamed, unnamed};
pub(crate) use relabellings::{KEPT_IMAGES, KEPT_TRANSACTIONS};
pub(crate) use writer::Note;
