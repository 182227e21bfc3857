//! What turns pixels into descriptors, as the pipeline sees it: a network of the `cairndb-torch` crate, or your own.

use cairn::{ModelInfo, Result};

use crate::photo::{Pixels, SizeRule};

/// A model that gives unit descriptors to photos that were brought to size.
///
/// The descriptor of a photo must not depend on the photos beside it, or on the thread: a run that was stopped is finished by running
/// it again.
pub trait Encoder: Send + Sync {
    /// Name, fingerprint and settings, for [`cairn::Options::for_model`].
    fn info(&self) -> &ModelInfo;

    /// The size at which a photo goes in.
    fn size_rule(&self) -> SizeRule;

    /// How many photos one call should get. 1 (the default): every thread calls with a photo of its own.
    fn preferred_batch(&self) -> usize {
        1
    }

    /// The descriptors by the network alone, in the order of the photos.
    ///
    /// # Errors
    /// When the device fails, or a photo has no usable descriptor.
    fn encode(&self, photos: &[&Pixels]) -> Result<Vec<Vec<f32>>>;

    /// The model's descriptor from the network's; the same one (the default) where nothing is trained behind the network.
    ///
    /// # Errors
    /// `Mismatch`: the descriptor is of another length.
    fn adapt(&self, of_network: Vec<f32>) -> Result<Vec<f32>> {
        Ok(of_network)
    }

    /// The network alone, where something is trained behind it; `None` (the default): nothing is.
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
