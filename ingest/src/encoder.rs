//! The interface of models that turn pixels into descriptors, for the pipeline: a network of the `cairndb-torch` crate, or your
//! own.

use cairn::Result;
use cairn::model::ModelInfo;

use crate::photo::{Pixels, SizeRule};

/// A model that computes unit descriptors of resized photos.
///
/// The descriptor of a photo must not depend on the other photos of a call, or on the thread: an interrupted run is finished by
/// running it again.
pub trait Encoder: Send + Sync {
    /// Name, fingerprint and settings, for [`cairn::Options::for_model`].
    fn info(&self) -> &ModelInfo;

    /// The input size for a photo.
    fn size_rule(&self) -> SizeRule;

    /// How many photos one call should get. 1 (the default): every thread calls with one photo.
    fn preferred_batch(&self) -> usize {
        1
    }

    /// The descriptors by the network alone, in the order of the photos.
    ///
    /// # Errors
    /// When the device fails, or a photo has no usable descriptor.
    fn encode(&self, photos: &[&Pixels]) -> Result<Vec<Vec<f32>>>;

    /// The model's descriptor from the network's; the same one (the default) if the model has no adapter.
    ///
    /// # Errors
    /// `Mismatch`: the descriptor has another length.
    fn adapt(&self, of_network: Vec<f32>) -> Result<Vec<f32>> {
        Ok(of_network)
    }

    /// The network without its adapter; `None` (the default) if there is no adapter.
    ///
    /// # Errors
    /// `Mismatch`: the model's settings cannot be read.
    fn base(&self) -> Result<Option<ModelInfo>> {
        Ok(None)
    }

    /// The model's descriptors, in the order of the photos.
    ///
    /// # Errors
    /// As [`Encoder::encode`] and [`Encoder::adapt`].
    fn embed(&self, photos: &[&Pixels]) -> Result<Vec<Vec<f32>>> {
        self.encode(photos)?.into_iter().map(|vector| self.adapt(vector)).collect()
    }
}
