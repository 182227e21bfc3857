//! The parameters that an optimiser updates, by name.

use tch::{Device, TchError, Tensor};

/// A named tensor of the state.
pub(crate) type Place = (String, Tensor);

/// What the optimiser moves.
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) tensor: Tensor,
    /// It belongs to a normalisation, and stays while these are frozen.
    pub(crate) is_norm: bool,
}

impl Parameter {
    pub(crate) fn new(name: &str, tensor: &Tensor, is_norm: bool) -> Self {
        Self { name: name.to_owned(), tensor: tensor.shallow_clone(), is_norm }
    }
}

/// A copy on a device that learns.
pub(crate) fn learning(t: &Tensor, device: Device) -> Result<Tensor, TchError> {
    t.f_detach()?.f_to_device(device)?.f_contiguous()?.f_set_requires_grad(true)
}
