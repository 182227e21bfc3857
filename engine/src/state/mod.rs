//! State: the data that a reader holds, and how a folder becomes a state again.

mod calibration;
mod changes;
pub(crate) mod columns;
mod digest;
pub(crate) mod images;
mod kept;
pub(crate) mod labels;
pub(crate) mod lists;
pub(crate) mod load;
mod neighbourhood;
pub(crate) mod now;
pub(crate) mod snapshot;
mod voters;
pub(crate) mod watermark;

pub(crate) use calibration::{Calibration, Shares};
pub use changes::Changed;
pub use images::{Images, Keys, OfInstance};
pub(crate) use kept::kept;
pub(crate) use labels::Labels;
pub(crate) use neighbourhood::{Derivation, Neighbourhood, Owner as GraphOwner, Sparse};
pub use snapshot::{Counts, Snapshot};
pub(crate) use snapshot::{Published, Revote};
pub(crate) use voters::{AugmentedTrain, TrainImage};
