//! The device of networks: the CPU, or a CUDA device that is found at run time.
//!
//! The binary links the CPU half of libtorch only. The CUDA half is loaded when `CAIRN_TORCH_LIB` names the `torch/lib` folder of
//! a full PyTorch of the same version; its kernels register themselves while it loads. This is the one file of the crate with
//! unsafe code.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;

use cairn::{Error, Result};

/// The environment variable that names the `torch/lib` folder of a full PyTorch installation.
pub const TORCH_LIB_VARIABLE: &str = "CAIRN_TORCH_LIB";
/// The PyTorch that this crate is built against; the CUDA half must be of the same one.
pub const TORCH_VERSION: &str = "2.11.0";
const CUDA_LIBRARY: &str = "libtorch_cuda.so";

/// What the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// CUDA where there is one, else the CPU (the default).
    #[default]
    Auto,
    /// The CPU, in f32.
    Cpu,
    /// The first CUDA device, trunk in bf16; an error where there is none.
    Cuda,
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        match word {
            "auto" => Ok(Device::Auto),
            "cpu" => Ok(Device::Cpu),
            "cuda" => Ok(Device::Cuda),
            _ => Err(Error::invalid(format!("there is no device '{word}'")).help("devices are auto, cpu and cuda")),
        }
    }
}

/// A device that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hardware {
    device: tch::Device,
    note: String,
}

impl Hardware {
    /// The CPU.
    pub fn cpu() -> Self {
        Self { device: tch::Device::Cpu, note: "cpu".to_owned() }
    }

    /// True for CUDA.
    pub fn is_cuda(&self) -> bool {
        self.device.is_cuda()
    }

    /// What it is and, after `auto` took the CPU, why: one line for people.
    pub fn describe(&self) -> &str {
        &self.note
    }

    pub(crate) fn torch(&self) -> tch::Device {
        self.device
    }
}

impl Device {
    /// Finds the device. `Auto` never fails: it takes the CPU when CUDA cannot be had and [`Hardware::describe`] says why.
    ///
    /// # Errors
    /// `Cuda` where there is none; the error says what to do.
    pub fn find(self) -> Result<Hardware> {
        match self {
            Device::Cpu => Ok(Hardware::cpu()),
            Device::Cuda => match cuda() {
                Ok(hardware) => Ok(hardware.clone()),
                Err(reason) => Err(Error::not_found(format!("no CUDA device: {reason}")).help(format!(
                    "set {TORCH_LIB_VARIABLE} to the torch/lib folder of PyTorch {TORCH_VERSION} with CUDA (for example \
                     /usr/lib/python3/dist-packages/torch/lib), or use --device cpu"
                ))),
            },
            Device::Auto => Ok(cuda().clone().unwrap_or_else(|reason| Hardware {
                note: format!("cpu (no CUDA device: {reason})"),
                ..Hardware::cpu()
            })),
        }
    }
}

/// Looked for once in a process: a library that registered its kernels cannot be taken out again.
fn cuda() -> &'static Result<Hardware, String> {
    static FOUND: OnceLock<Result<Hardware, String>> = OnceLock::new();
    FOUND.get_or_init(|| {
        if !tch::Cuda::is_available() {
            let folder = std::env::var_os(TORCH_LIB_VARIABLE)
                .map(PathBuf::from)
                .ok_or_else(|| format!("{TORCH_LIB_VARIABLE} is not set"))?;
            load(&folder.join(CUDA_LIBRARY))?;
        }
        match tch::Cuda::is_available() {
            true => {
                Ok(Hardware { device: tch::Device::Cuda(0), note: "cuda (first device, trunk in bf16)".to_owned() })
            }
            false => Err(format!("{CUDA_LIBRARY} was loaded, but it sees no device; check nvidia-smi and the driver")),
        }
    })
}

#[cfg(unix)]
fn load(library: &Path) -> Result<(), String> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    if !library.is_file() {
        return Err(format!("{} does not exist", library.display()));
    }
    // SAFETY: loading runs the library's initialisers. The file is PyTorch's own, named by the user through CAIRN_TORCH_LIB; its
    // initialisers register CUDA kernels with the libtorch that is already loaded, and do nothing else. It is never unloaded
    // (forgotten below), so no registered function can dangle.
    let loaded = unsafe { Library::open(Some(library), RTLD_NOW | RTLD_GLOBAL) };
    match loaded {
        Ok(library) => {
            std::mem::forget(library);
            Ok(())
        }
        Err(error) => Err(format!("{} could not be loaded: {error}", library.display())),
    }
}

#[cfg(not(unix))]
fn load(library: &Path) -> Result<(), String> {
    Err(format!("{}: CUDA is supported on Linux only", library.display()))
}

/// Makes torch use one thread for the calling thread's operations.
///
/// With more threads, the order of summation depends on their number, and with it the last bits of a descriptor; the crate runs
/// photos in parallel instead, one thread each. Returns at once if the calling thread did it before.
pub(crate) fn one_thread() {
    thread_local!(static DONE: Cell<bool> = const { Cell::new(false) });
    DONE.with(|done| {
        if !done.replace(true) {
            let _native = cairn::runtime::native();
            tch::set_num_threads(1);
        }
    });
}

/// An error of torch, without the C++ stack below its first line.
pub(crate) fn torch_error(error: tch::TchError) -> Error {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or("unknown error").to_owned();
    Error::new(cairn::ErrorKind::Io, format!("the network failed: {line}"))
        .help("on a GPU this is most often too little memory: try --device cpu")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn words_parse_and_others_are_refused() {
        assert_eq!("auto".parse::<Device>().unwrap(), Device::Auto);
        assert_eq!("cuda".parse::<Device>().unwrap(), Device::Cuda);
        assert!("gpu".parse::<Device>().unwrap_err().to_string().contains("auto, cpu and cuda"));
    }

    /// It catches: another libtorch in the set-up than the one that messages name.
    #[test]
    fn the_version_is_that_of_the_set_up() {
        let wheels = include_str!("../../../.setup/wheels.txt");
        assert!(wheels.contains(&format!("\ntorch=={TORCH_VERSION} ")), "{TORCH_VERSION}");
    }

    #[test]
    fn auto_always_finds_something_and_cuda_says_what_to_do() {
        let found = Device::Auto.find().unwrap();
        if !found.is_cuda() {
            assert!(found.describe().starts_with("cpu ("), "{}", found.describe());
            let refusal = Device::Cuda.find().unwrap_err().to_string();
            assert!(refusal.contains(TORCH_LIB_VARIABLE), "{refusal}");
        }
    }

    #[test]
    fn a_missing_library_is_named() {
        assert!(load(Path::new("/nowhere/libtorch_cuda.so")).unwrap_err().contains("/nowhere/libtorch_cuda.so"));
    }
}
