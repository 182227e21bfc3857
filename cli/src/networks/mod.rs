//! Everything that needs a network: photos into descriptors, local features, training. A build without the feature `torch` has
//! none of it; the rest of the program calls the same functions in both builds.

use bytes::Bytes;
use cairn::Options;

/// What a new database of a model needs.
pub(crate) struct ForCreation {
    pub(crate) options: Options,
    /// What it keeps for the model.
    pub(crate) files: Vec<(String, Bytes)>,
    /// To be done once it is there.
    pub(crate) created: Box<dyn FnOnce() -> cairn::Result<()>>,
}

impl ForCreation {
    /// Nothing but options.
    pub(crate) fn of(options: Options) -> Self {
        Self { options, files: Vec::new(), created: Box::new(|| Ok(())) }
    }
}

#[cfg(feature = "torch")]
mod torch;
#[cfg(not(feature = "torch"))]
mod without;

#[cfg(feature = "torch")]
pub(crate) use torch::{
    called, embedder, features, forget, hardware, install, maintainer, model_names, of_model, propose, trust,
    trust_list, version,
};
#[cfg(not(feature = "torch"))]
pub(crate) use without::{
    called, embedder, features, forget, install, maintainer, missing, model_names, of_model, propose, trust,
    trust_list, version,
};
