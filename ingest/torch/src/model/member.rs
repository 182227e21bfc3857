//! One network of a model, on a device: one that Cairn builds, or one that somebody else made.

use cairn::Result;
use cairndb_ingest::photo::{Pixels, SizeRule};

use super::built::Built;
use super::module::Module;

/// A network, and how much its descriptor counts.
pub(super) struct Member {
    pub(super) network: Network,
    /// How much its descriptor counts beside those of others.
    pub(super) weight: f64,
}

/// A network. It may be used by many threads at once.
pub(super) enum Network {
    Built(Box<Built>),
    Module(Box<Module>),
}

impl Member {
    /// Length of its descriptor.
    pub(super) fn dimension(&self) -> usize {
        match &self.network {
            Network::Built(built) => built.dimension,
            Network::Module(module) => module.dimension(),
        }
    }

    /// What makes the descriptor, for people.
    pub(super) fn last(&self) -> &'static str {
        match &self.network {
            Network::Built(built) => built.last(),
            Network::Module(module) => module.last(),
        }
    }

    /// How large a photo goes in.
    pub(super) fn size_rule(&self) -> SizeRule {
        match &self.network {
            Network::Built(built) => built.architecture.size_rule(),
            Network::Module(module) => module.rules().size_rule(),
        }
    }

    /// The unit descriptors of photos at its input size, in order.
    pub(super) fn encode(&self, photos: &[&Pixels]) -> Result<Vec<Vec<f32>>> {
        match &self.network {
            Network::Built(built) => built.encode(photos),
            Network::Module(module) => module.encode(photos),
        }
    }

    /// The network that gives feature maps; `None`: a module's maps, if it has any, are its own.
    pub(super) fn built(&self) -> Option<&Built> {
        match &self.network {
            Network::Built(built) => Some(built),
            Network::Module(_) => None,
        }
    }
}
