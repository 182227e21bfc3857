//! TorchScript modules, by libtorch.

use cairn::runtime::Gated;
use cairn::{Error, Result};
use tch::jit::IValue;
use tch::{CModule, Kind, TchError, Tensor};

use super::in_memory::InMemory;
use super::{ACCEPTED, LONGEST_LINE, own_words};
use crate::device::{Hardware, torch_error};

/// A module on a device.
pub(super) struct TorchScript(Gated<CModule>);

impl TorchScript {
    /// # Errors
    /// `Invalid`: the bytes are no module.
    pub(super) fn load(bytes: &[u8], name: &str, hardware: &Hardware) -> Result<Self> {
        // The first calls of the profiling executor round otherwise than the later ones.
        let rounds_alike =
            tch::jit::f_set_profiling_mode(false).and_then(|()| tch::jit::f_set_tensor_expr_fuser_enabled(false));
        rounds_alike.map_err(torch_error)?;
        let file = InMemory::of(bytes)?;
        let mut module =
            CModule::load_on_device(file.path(), hardware.torch()).map_err(|error| no_module(name, &error))?;
        module.f_set_eval().map_err(|error| no_module(name, &error))?;
        Ok(Self(Gated::new(|| module)))
    }

    /// The output in f32 for an input (n, 3, h, w) of that width and height.
    pub(super) fn forward(&self, name: &str, x: &Tensor, size: (u32, u32)) -> Result<Tensor> {
        let given = [IValue::Tensor(x.shallow_clone())];
        let out =
            tch::no_grad(|| self.0.forward_is(&given)).map_err(|error| own_words(name, &last_words(&error), size))?;
        match out {
            IValue::Tensor(tensor) => match tensor.kind() {
                Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16 => {
                    tensor.f_to_kind(Kind::Float).map_err(torch_error)
                }
                other => Err(Error::invalid(format!("{name} returns numbers of the kind {other:?}"))
                    .help("floating-point numbers make a descriptor: return output.float()")),
            },
            other => Err(Error::invalid(format!("{name} returns {}", described(&other))).help(ACCEPTED)),
        }
    }
}

fn no_module(name: &str, error: &TchError) -> Error {
    Error::invalid(format!("{name} is no TorchScript module that can be loaded: {}", last_words(error))).help(
        "save it by torch.jit.script(model).save(..) or torch.jit.trace(model, example).save(..); a file of torch.save (a state dict) is \
         none",
    )
}

/// The line of an error that says what happened: the last one of the script's own, before libtorch's list of calls.
fn last_words(error: &TchError) -> String {
    let text = match error {
        TchError::Torch(text) => text.clone(),
        other => other.to_string(),
    };
    let own = text.split("Exception raised from").next().unwrap_or(&text);
    let is_said = |line: &&str| !line.is_empty() && !line.chars().all(|c| "~ <-HERE".contains(c));
    let mut lines = own.lines().map(str::trim).filter(is_said);
    let first = lines.next().unwrap_or("it gave no reason");
    let line = match lines.next_back() {
        // A traceback ends with the reason.
        Some(last) if text.contains("Traceback of TorchScript") => last,
        _ => first,
    };
    line.chars().take(LONGEST_LINE).collect()
}

/// What came, for people.
fn described(value: &IValue) -> String {
    let several = |kind: &str, parts: &[IValue]| {
        format!("a {kind} of {}: {}", parts.len(), parts.iter().take(4).map(described).collect::<Vec<_>>().join(", "))
    };
    match value {
        IValue::Tensor(tensor) => format!("a tensor of shape {:?}", tensor.size()),
        IValue::Tuple(parts) => several("tuple", parts),
        IValue::GenericList(parts) => several("list", parts),
        IValue::TensorList(parts) => format!("a list of {} tensors", parts.len()),
        IValue::GenericDict(parts) => format!("a dict of {}", parts.len()),
        IValue::None => "nothing".to_owned(),
        IValue::String(_) => "a text".to_owned(),
        IValue::Int(_) | IValue::Double(_) | IValue::Bool(_) => "a number".to_owned(),
        _ => "no tensor".to_owned(),
    }
}
