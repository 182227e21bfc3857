//! Networks that somebody else made: TorchScript modules, whose code is in their file, and ONNX graphs.
//!
//! The [`rules`] say what goes in and what comes out. A module is code, so [`probe`] loads an unknown one in another process first,
//! and [`trust`] decides whether one that a database carries may run on this machine.

mod in_memory;
mod onnx;
pub(crate) mod probe;
pub mod rules;
mod torchscript;
pub mod trust;

use std::path::Path;

use cairn::limits::MAX_DIMENSION;
use cairn::{Error, ErrorKind, Result};
use cairndb_ingest::photo::Pixels;
use cairndb_ingest::source::open_plain;
use tch::{Kind, Tensor};

use super::extract::{channel, input, unit_rows};
use super::gem::gem;
use super::{CUDA_BATCH, MAX_WEIGHTS_BYTES};
use crate::device::{Hardware, one_thread, torch_error};
pub use onnx::ONNX_RUNTIME_VARIABLE;
pub(super) use onnx::OnnxGraph;
use rules::{Output, Rules};
use torchscript::TorchScript;

/// The endings of the files: TorchScript, ONNX.
pub(crate) const ENDINGS: [&str; 2] = [".pt", ".onnx"];
/// Longest name of a network that is kept.
const LONGEST_NAME: usize = 64;
/// Most letters of a line of an error that a network's runtime gives.
const LONGEST_LINE: usize = 400;
/// Width and height of the picture that an unknown network gets, if photos go in as they are.
const PROBE_SIDES: (u32, u32) = (256, 192);
/// How far a descriptor out of a batch may be from that of the photo alone: what other kernels round otherwise.
const SAME_IN_A_BATCH: f32 = 1e-3;

/// The name by which a database knows the network of a file: that of the file, of letters that every settings line may hold.
pub(crate) fn name_of(path: &Path) -> String {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let name: String = name.chars().map(plain).take(LONGEST_NAME).collect();
    let ending = ENDINGS.iter().find(|ending| path.to_string_lossy().ends_with(**ending)).unwrap_or(&ENDINGS[0]);
    format!("{}{ending}", if name.is_empty() { "network" } else { &name })
}

/// Whether that is the name of such a file.
pub(crate) fn is_named_so(name: &str) -> bool {
    ENDINGS.iter().any(|ending| name.len() > ending.len() && name.ends_with(ending))
}

/// The bytes of a file.
///
/// # Errors
/// When it cannot be read, or is larger than [`MAX_WEIGHTS_BYTES`].
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    use std::io::Read as _;
    let opened = open_plain(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => error.help("name the file of a TorchScript module (.pt) or of an ONNX graph (.onnx)"),
        _ => error,
    });
    let (file, length) = opened?;
    if length > MAX_WEIGHTS_BYTES {
        let what = format!("{}: has {length} bytes; at most {MAX_WEIGHTS_BYTES} are read", path.display());
        return Err(Error::invalid(what).help("name a TorchScript module (torch.jit.save)"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_WEIGHTS_BYTES).read_to_end(&mut bytes).map_err(|error| Error::io(path, error))?;
    Ok(bytes)
}

/// Loads the module of a file in another process, if [`set_prober`](super::set_prober) names one, and gives a photo to it; the rules
/// are those of the file beside it. Returns its digest and its name.
///
/// # Errors
/// When it cannot be read, or cannot be used.
pub fn try_file(path: &Path) -> Result<(blake3::Hash, String)> {
    if !is_named_so(&path.to_string_lossy()) {
        return Err(Error::invalid(format!("{} is neither a database nor a network", path.display()))
            .help("name a database, a TorchScript module (.pt) or an ONNX graph (.onnx)"));
    }
    let (name, bytes) = (name_of(path), read(path)?);
    probe::probe(&bytes, &name, &Rules::beside(path)?)?;
    Ok((blake3::hash(&bytes), name))
}

/// The network of a file.
enum Network {
    TorchScript(TorchScript),
    Onnx(OnnxGraph),
}

impl Network {
    fn load(bytes: &[u8], name: &str, hardware: &Hardware) -> Result<Self> {
        if name.ends_with(ENDINGS[1]) {
            Ok(Self::Onnx(OnnxGraph::load(bytes, name, hardware)?))
        } else {
            Ok(Self::TorchScript(TorchScript::load(bytes, name, hardware)?))
        }
    }

    /// The output in f32 for an input (n, 3, h, w) of that width and height.
    fn forward(&self, name: &str, x: &Tensor, size: (u32, u32)) -> Result<Tensor> {
        match self {
            Self::TorchScript(module) => module.forward(name, x, size),
            Self::Onnx(graph) => graph.forward(name, x, size),
        }
    }
}

/// An error of the network's own, in its words.
fn own_words(name: &str, words: &str, (width, height): (u32, u32)) -> Error {
    if words.contains(NO_MEMORY) {
        return Error::invalid(format!(
            "{name} asks for more memory than it may have, on an input of {width}x{height}: {words}"
        ))
        .help("a network that embeds photos needs less: choose a smaller input (--input-size), or another network");
    }
    Error::invalid(format!("{name} fails on an input of {width}x{height}: {words}"))
        .help("give it the input that it was made for: size and resize rule (--input-size, --resize), or a JSON file beside it")
}

/// A module on a device. It may be used by many threads at once.
pub(super) struct Module {
    network: Network,
    name: String,
    rules: Rules,
    hardware: Hardware,
    /// Photos in one forward.
    batch: usize,
}

impl Module {
    /// Loads the module of these bytes. The rules may lack the kind of the output and the dimension: then one forward of a made-up
    /// picture tells them.
    ///
    /// # Errors
    /// `Invalid`: the bytes are no module, the module does not take such a photo, or gives something else than the rules say.
    pub(super) fn load(bytes: &[u8], name: &str, rules: Rules, hardware: &Hardware) -> Result<Self> {
        let _native = cairn::runtime::native();
        one_thread();
        rules.check()?;
        let network = Network::load(bytes, name, hardware)?;
        let mut module = Self { network, name: name.to_owned(), rules, hardware: hardware.clone(), batch: 1 };
        if module.rules.dimension.is_none() || module.rules.output.is_none() {
            let picture = probe_picture(&module.rules)?;
            let (output, dimension) = module.described(&[&picture])?;
            module.rules = module.rules.complete(output, dimension);
            if module.encode_batch(&[&picture])? != module.encode_batch(&[&picture])? {
                return Err(Error::invalid(format!("{name} gives one photo two different descriptors")).help(
                    "it draws random numbers, or keeps something of earlier photos: take dropout and the like out",
                ));
            }
        }
        if hardware.is_cuda() {
            module.batch = module.most_at_once()?;
        }
        Ok(module)
    }

    /// The rules with every value.
    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Length of a descriptor.
    pub(super) fn dimension(&self) -> usize {
        self.rules.dimension.unwrap_or(0)
    }

    /// What makes the descriptor, for people.
    pub(super) fn last(&self) -> &'static str {
        match self.rules.output {
            Some(Output::Map) => "GeM",
            Some(Output::FirstToken) => "the first token",
            Some(Output::MeanToken) => "the mean of the tokens",
            _ => "the network",
        }
    }

    /// The unit descriptors of photos at its input size, in order.
    pub(super) fn encode(&self, photos: &[&Pixels]) -> Result<Vec<Vec<f32>>> {
        let mut vectors = Vec::with_capacity(photos.len());
        let mut rest = photos;
        while let Some(first) = rest.first() {
            let size = |photo: &Pixels| (photo.width(), photo.height());
            let same = rest.iter().take(self.batch).take_while(|photo| size(photo) == size(first)).count();
            vectors.extend(self.encode_batch(&rest[..same])?);
            rest = &rest[same..];
        }
        Ok(vectors)
    }

    /// The unit descriptors of photos of one size, by one forward.
    fn encode_batch(&self, photos: &[&Pixels]) -> Result<Vec<Vec<f32>>> {
        let out = self.forward(photos)?;
        let (output, dimension) = self.kind_of(&out, photos.len())?;
        if (self.rules.output, self.rules.dimension) != (Some(output), Some(dimension)) {
            let expected = self.dimension();
            let what = format!("{} gave descriptors of {dimension} numbers, not of {expected}", self.name);
            return Err(
                Error::invalid(what).help("its output depends on the photo: choose a resize rule with one size")
            );
        }
        let raw = match output {
            Output::Vector => Ok(out),
            Output::Map => gem(&out, self.rules.exponent()),
            Output::FirstToken => out.f_select(1, 0),
            Output::MeanToken => out.f_mean_dim([1i64].as_slice(), false, Kind::Float),
        };
        unit_rows(&raw.map_err(torch_error)?).map_err(|error| {
            Error::invalid(format!("{}: {}", self.name, error.message()))
                .help("it answers so for this photo: check its weights, and the mean and deviation of its input")
        })
    }

    /// What comes out for pictures of one size: its kind, and the length of a descriptor.
    fn described(&self, photos: &[&Pixels]) -> Result<(Output, usize)> {
        self.kind_of(&self.forward(photos)?, photos.len())
    }

    /// The output for photos of one size, in f32.
    fn forward(&self, photos: &[&Pixels]) -> Result<Tensor> {
        let Some(first) = photos.first() else { return Err(Error::invalid("a network needs a photo")) };
        let bytes = photos.iter().map(|photo| photo.rgb()).collect::<Vec<_>>().concat();
        let shape = [photos.len() as i64, i64::from(first.height()), i64::from(first.width()), 3];
        let device = self.hardware.torch();
        let [mean, deviation] = self.rules.normalisation();
        let x = tch::no_grad(|| {
            let rgb = Tensor::f_from_data_size(&bytes, &shape, Kind::Uint8)?.f_to_device(device)?;
            // Contiguous as torch makes it: a module may look at its input's memory by `view`.
            input(&rgb, &channel(mean, device)?, &channel(deviation, device)?)?.f_contiguous()
        });
        let size = (first.width(), first.height());
        self.network.forward(&self.name, &x.map_err(torch_error)?, size)
    }

    /// The kind of an output, and the length of its descriptors.
    fn kind_of(&self, out: &Tensor, photos: usize) -> Result<(Output, usize)> {
        let axes = out.size();
        let refuse = |why: &str, help: &str| {
            let (name, photos) =
                (&self.name, if photos == 1 { "a photo".to_owned() } else { format!("{photos} photos") });
            Error::invalid(format!("{name} returns a tensor of shape {axes:?} for {photos}{why}")).help(help)
        };
        let output = match (axes.len(), self.rules.output) {
            (2, None | Some(Output::Vector)) => Output::Vector,
            (4, None | Some(Output::Map)) => Output::Map,
            (3, Some(kind @ (Output::FirstToken | Output::MeanToken))) => kind,
            (3, None) => {
                return Err(refuse(
                    ", which are tokens",
                    "say what the descriptor is: output first-token (--output first-token) or mean-token (--output mean-token)",
                ));
            }
            (2..=4, Some(_)) => return Err(refuse(", which is not the output that its rules name", ACCEPTED)),
            _ => return Err(refuse("", ACCEPTED)),
        };
        let dimension = if output == Output::Vector || output == Output::Map { axes[1] } else { axes[2] };
        let dimension = usize::try_from(dimension).unwrap_or(0);
        if axes[0] != photos as i64 {
            return Err(refuse("", "the first axis must be that of the photos"));
        }
        if !(1..=MAX_DIMENSION).contains(&dimension) || axes.contains(&0) {
            return Err(refuse("", &format!("a descriptor has 1 to {MAX_DIMENSION} numbers")));
        }
        match self.rules.dimension.filter(|&expected| expected != dimension) {
            None => Ok((output, dimension)),
            Some(expected) => Err(refuse(
                &format!(", where its rules say {expected} numbers"),
                "leave `dimension` out of the rules, or name the network that has it",
            )),
        }
    }

    /// Several photos in one forward, if they get the descriptors that they get alone: a traced network may know one photo only.
    fn most_at_once(&self) -> Result<usize> {
        let picture = probe_picture(&self.rules)?;
        let mut other = picture.rgb().to_vec();
        other.reverse();
        let Some(other) = Pixels::new(picture.width(), picture.height(), other) else { return Ok(1) };
        let alone = [self.encode_batch(&[&picture])?, self.encode_batch(&[&other])?].concat();
        let many: Vec<&Pixels> = (0..CUDA_BATCH).map(|at| if at % 2 == 0 { &picture } else { &other }).collect();
        let Ok(together) = self.encode_batch(&many) else { return Ok(1) };
        let is_same = together
            .iter()
            .enumerate()
            .all(|(at, vector)| vector.iter().zip(&alone[at % 2]).all(|(x, y)| (x - y).abs() < SAME_IN_A_BATCH));
        Ok(if is_same { CUDA_BATCH } else { 1 })
    }
}

/// What libtorch says where memory is refused.
const NO_MEMORY: &str = "can't allocate memory";

/// What a network may return.
const ACCEPTED: &str = "a network returns one tensor for N photos: N x D (vector), N x C x H x W (map, which GeM pools), or N x T x D \
                        (first-token, mean-token); wrap yours so that forward returns one of these";

/// A picture for an unknown network, at its input size: gradients with a pattern, so that no channel is flat.
fn probe_picture(rules: &Rules) -> Result<Pixels> {
    let (width, height) = PROBE_SIDES;
    let pixel = |at: u32| {
        let (x, y) = (at % width, at / width);
        [x % 256, (y * 5 + x / 7) % 256, (x * y + 31 * (x / 16) + 17 * (y / 16)) % 256].map(|part| part as u8)
    };
    let picture = Pixels::new(width, height, (0..width * height).flat_map(pixel).collect());
    rules.size_rule().fit(&picture.ok_or_else(|| Error::invalid("there is no picture to try a network with"))?)
}

#[cfg(test)]
mod onnx_tests;
#[cfg(test)]
mod tests;
