//! Training a descriptor: losses, the head, and what a training is made of.
//!
//! [`train_discriminant`] computes a better descriptor in closed form; [`train_head`] trains the head on cached descriptors, with the trunk as it is; both give an [`Adapter`](crate::model::Adapter).
//! A training is a function of its options, its samples and a seed: batches, noise and first weights are drawn from (seed, epoch,
//! step), so that one that was cut short goes on from its checkpoint to the same bits (on the CPU, which uses one thread for the
//! network).

mod aspect;
mod augment;
mod batches;
mod checkpoint;
mod course;
mod discriminant;
mod head;
mod head_only;
mod init;
mod judge;
mod loss;
mod nearest;
mod options;
mod parameter;
mod record;
mod samples;
mod schedule;
mod sgd;
mod trunk;
mod validate;

pub use aspect::{LAST_EPOCH_SIZES, TRAINING_SIZES};
pub use augment::Augmentation;
pub use batches::Sampling;
pub use course::Run;
pub use discriminant::{
    DiscriminantOptions, HeldOut, MOST_INDEX_IMAGES, MOST_TRAIN_IMAGES, TrainedDiscriminant, train_discriminant,
};
pub(crate) use discriminant::{judge_discriminant, judge_with_more};
pub(crate) use head_only::judge_head;
pub use head_only::{Trained, train_head};
pub use init::Init;
pub use judge::{Comparison, Quality};
pub use loss::{Loss, LossOptions};
pub use options::HeadOptions;
pub use record::{LOG_HEADER, Step};
pub use samples::{Samples, Singles};
pub use schedule::cosine_rate;
pub use trunk::{PhotoSet, StepSize, TrainedTrunk, TrunkOptions, step_speed};
pub(crate) use trunk::{judge_trunk, train_trunk};
pub(crate) use validate::Descriptors;
pub use validate::Validation;
