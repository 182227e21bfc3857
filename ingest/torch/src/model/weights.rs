//! Reads a file of weights: only safetensors, and only after its BLAKE3 is verified.
//!
//! It checks the header first, with the length and the shapes: a file of gigabytes without one of our networks is refused after a
//! few kilobytes of it.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use cairn::{Error, ErrorKind, Result};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use tch::{Kind, Tensor};

use super::Architecture;
use super::layout::Layout;
use crate::device::torch_error;
use cairndb_ingest::source::open_plain;

/// Largest file of weights that is read: 2 GiB. The largest model here has 0.2.
pub const MAX_WEIGHTS_BYTES: u64 = 2 << 30;
/// Largest header of a safetensors file: 1 MiB. Real ones have 20 to 100 KiB.
pub const MAX_WEIGHTS_HEADER: u64 = 1 << 20;
/// Most axes of a tensor; those of networks have 4.
const MAX_AXES: usize = 8;
/// Bytes of tensors that nobody asks for, beside as many as are asked for, that a file may have: an ImageNet classifier, counters.
const MAX_UNUSED_BYTES: u64 = 64 << 20;

/// What released checkpoints call the classifier of their training, which may be larger than the network: one row a label.
const CLASSIFIER: &str = "final.";

/// The tensors of a file, by name.
pub(crate) struct Weights {
    bytes: Vec<u8>,
    header: Header,
    digest: blake3::Hash,
}

/// What a file says that it holds.
pub(crate) struct Header {
    path: PathBuf,
    /// Offset of the first tensor's bytes.
    data: usize,
    /// By Cairn's name.
    tensors: HashMap<String, Stored>,
}

/// A tensor of a file.
struct Stored {
    /// The file's name of it.
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    /// Behind the header.
    range: Range<usize>,
}

impl Header {
    /// The header at the beginning of `bytes`, of a file of `length` bytes.
    fn parse(path: &Path, bytes: &[u8], length: u64) -> Result<Self> {
        let unsound = |what: &str| refuse(path, &format!("is not a sound safetensors file: {what}"));
        let announced = bytes.first_chunk().map(|&first| u64::from_le_bytes(first));
        let announced = announced.filter(|&announced| announced <= MAX_WEIGHTS_HEADER).unwrap_or(u64::MAX);
        let data = usize::try_from(announced).ok().and_then(|announced| announced.checked_add(8));
        let text = data.and_then(|data| bytes.get(8..data)).ok_or_else(|| unsound("its header is cut short"))?;
        if most_axes(text) > MAX_AXES {
            return Err(unsound(&format!("a tensor has more than {MAX_AXES} axes")));
        }
        let metadata: Metadata =
            serde_json::from_slice(text).map_err(|error| unsound(&error.to_string()).because(error))?;
        let data = 8 + text.len();
        if data.checked_add(metadata.data_len()).map(|end| end as u64) != Some(length) {
            return Err(unsound(&format!("its tensors have {} bytes, the file has {length}", metadata.data_len())));
        }
        let listed = metadata.tensors();
        let layout = Layout::of(listed.keys().map(String::as_str));
        let mut tensors = HashMap::with_capacity(listed.len());
        for (name, info) in listed {
            let &TensorInfo { dtype, ref shape, data_offsets: (start, end) } = info;
            let stored = Stored { name, dtype, shape: shape.clone(), range: start..end };
            let own = layout.name(&stored.name);
            if let Some(other) = tensors.insert(own.clone(), stored) {
                return Err(refuse(
                    path,
                    &format!("has two tensors that are read as '{own}'; one is '{}'", other.name),
                ));
            }
        }
        Ok(Self { path: path.to_owned(), data, tensors })
    }

    /// The tensor of that name, which must have exactly that shape: its kind, and its place behind the header.
    fn of_shape(&self, name: &str, shape: &[i64]) -> Result<(Dtype, &Range<usize>)> {
        let Some(Stored { name, dtype, shape: found, range }) = self.tensors.get(name) else {
            return Err(refuse(&self.path, &format!("has no tensor '{name}'")));
        };
        let same = found.len() == shape.len()
            && found.iter().zip(shape).all(|(&found, &expected)| i64::try_from(found) == Ok(expected));
        if !same {
            return Err(refuse(&self.path, &format!("tensor '{name}' has shape {found:?}, expected {shape:?}")));
        }
        Ok((*dtype, range))
    }

    /// Refuses a file that lacks a tensor of an architecture, or holds far more than it has.
    fn is_of(&self, architecture: Architecture) -> Result<()> {
        let mut used = 0u64;
        architecture.trunk(&mut |shape| {
            if let Some((name, sides)) = shape.weight() {
                used += self.of_shape(&name, &sides)?.1.len() as u64;
            }
            Ok(())
        })?;
        let of_head = self.tensors.iter().filter(|(name, _)| name.starts_with("head."));
        used += of_head.map(|(_, stored)| stored.range.len() as u64).sum::<u64>();
        let counts = self.tensors.iter().filter(|(name, _)| !name.starts_with(CLASSIFIER));
        let all: u64 = counts.map(|(_, stored)| stored.range.len() as u64).sum();
        if all - used.min(all) > used + MAX_UNUSED_BYTES {
            let what = format!("holds {all} bytes of tensors, of which {} uses {used}", architecture.word());
            return Err(refuse(&self.path, &what));
        }
        Ok(())
    }
}

/// The longest list of numbers in the text of a header: what stands between a bracket and the next one, in commas.
fn most_axes(text: &[u8]) -> usize {
    let (mut most, mut axes, mut in_text, mut escaped) = (0, 0, false, false);
    for &byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' => axes = 1,
            b']' => axes = 0,
            b',' if axes > 0 => axes += 1,
            _ => {}
        }
        most = most.max(axes);
    }
    most
}

impl Weights {
    /// Reads and checks the file. With `pin`, its BLAKE3 must be that one.
    pub(crate) fn read(path: &Path, pin: Option<blake3::Hash>) -> Result<Self> {
        Self::from_bytes(path, read_weights_file(path)?, pin)
    }

    /// The same of a file that must hold the network of an architecture, which its header tells before the rest is read.
    pub(crate) fn read_network(path: &Path, pin: Option<blake3::Hash>, architecture: Architecture) -> Result<Self> {
        let (file, start, header) = open_weights(path)?;
        header.is_of(architecture)?;
        Self::from_bytes(path, read_rest(path, file, start)?, pin)
    }

    /// The tensors of a file's bytes; `path` is what it is called in messages.
    pub(crate) fn from_bytes(path: &Path, bytes: Vec<u8>, pin: Option<blake3::Hash>) -> Result<Self> {
        let digest = blake3::hash(&bytes);
        if let Some(pin) = pin.filter(|pin| *pin != digest) {
            return Err(Error::new(
                ErrorKind::Mismatch,
                format!("{}: these are not the expected weights: BLAKE3 {digest}, expected {pin}", path.display()),
            )
            .help("run the set-up again to fetch them, or name the right file with --weights"));
        }
        let header = Header::parse(path, &bytes, bytes.len() as u64)?;
        Ok(Self { header, digest, bytes })
    }

    /// BLAKE3 of the whole file.
    pub(crate) fn digest(&self) -> blake3::Hash {
        self.digest
    }

    /// The sides of the tensor of that name.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.header.tensors.get(name).map(|stored| stored.shape.as_slice())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.header.tensors.contains_key(name)
    }

    /// The tensor of that name as f32, which must have exactly that shape and only finite values. A `weight` that is all zero lets
    /// nothing through, and a `running_var` below zero is the variance of nothing: both are refused.
    pub(crate) fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor> {
        let (dtype, range) = self.header.of_shape(name, shape)?;
        let path = &self.header.path;
        let kind = match dtype {
            Dtype::F32 => Kind::Float,
            Dtype::F16 => Kind::Half,
            Dtype::BF16 => Kind::BFloat16,
            Dtype::F64 => Kind::Double,
            other => {
                return Err(refuse(path, &format!("tensor '{name}' has type {other:?}, not floating-point numbers")));
            }
        };
        let bytes = self
            .header
            .data
            .checked_add(range.start)
            .zip(self.header.data.checked_add(range.end))
            .and_then(|(start, end)| self.bytes.get(start..end))
            .ok_or_else(|| refuse(path, &format!("tensor '{name}' is outside the file")))?;
        let tensor = Tensor::f_from_data_size(bytes, shape, kind)
            .and_then(|tensor| tensor.f_to_kind(Kind::Float))
            .map_err(torch_error)?;
        let finite =
            tensor.f_isfinite().and_then(|t| t.f_all()).and_then(|t| t.f_int64_value(&[])).map_err(torch_error)?;
        if finite == 0 {
            return Err(refuse(path, &format!("tensor '{name}' has NaN or infinity")));
        }
        let is_all = |t: Result<Tensor, tch::TchError>| -> Result<bool> {
            Ok(t.and_then(|t| t.f_all()).and_then(|t| t.f_int64_value(&[])).map_err(torch_error)? != 0)
        };
        if name.ends_with("weight") && is_all(tensor.f_eq(0.0))? {
            return Err(refuse(
                path,
                &format!("tensor '{name}' is all zero: all photos would get the same descriptor"),
            ));
        }
        if name.ends_with("running_var") && !is_all(tensor.f_ge(0.0))? {
            return Err(refuse(path, &format!("tensor '{name}' has a variance below zero")));
        }
        Ok(tensor)
    }
}

/// The bytes of a safetensors file, whose length and header are judged first. The tensors are the caller's to check.
pub(crate) fn read_weights_file(path: &Path) -> Result<Vec<u8>> {
    let (file, start, _header) = open_weights(path)?;
    read_rest(path, file, start)
}

/// A file of weights that was read as far as its header, and those bytes.
fn open_weights(path: &Path) -> Result<(File, Vec<u8>, Header)> {
    let (mut file, length) = open_plain(path)?;
    if length > MAX_WEIGHTS_BYTES {
        return Err(refuse(path, &format!("has {length} bytes; at most {MAX_WEIGHTS_BYTES} are read")));
    }
    // The header length is looked at before anything is allocated for it.
    let mut start = [0; 8];
    file.read_exact(&mut start).map_err(|_| refuse(path, "is shorter than a safetensors header"))?;
    let header = u64::from_le_bytes(start);
    if header > MAX_WEIGHTS_HEADER || header > length - 8 {
        return Err(refuse(path, &format!("announces a header of {header} bytes in a file of {length}")));
    }
    let mut bytes = start.to_vec();
    file.by_ref().take(header).read_to_end(&mut bytes).map_err(|e| Error::io(path, e))?;
    let header = Header::parse(path, &bytes, length)?;
    Ok((file, bytes, header))
}

fn read_rest(path: &Path, file: File, mut bytes: Vec<u8>) -> Result<Vec<u8>> {
    let most = MAX_WEIGHTS_BYTES.saturating_sub(bytes.len() as u64);
    file.take(most).read_to_end(&mut bytes).map_err(|e| Error::io(path, e))?;
    Ok(bytes)
}

fn refuse(path: &Path, what: &str) -> Error {
    Error::invalid(format!("{}: {what}", path.display()))
        .help("weights are safetensors files in the layout of the model; docs/ALGORITHMS.md (Files of weights) names the tensors")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    /// A safetensors file with one tensor `w` of two f32.
    fn sound(shape: &str) -> Vec<u8> {
        let header = format!(r#"{{"w":{{"dtype":"F32","shape":{shape},"data_offsets":[0,8]}}}}"#);
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.bytes());
        bytes.extend(1f32.to_le_bytes());
        bytes.extend(2f32.to_le_bytes());
        bytes
    }

    fn read(bytes: &[u8], pin: Option<blake3::Hash>) -> Result<Weights> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        std::fs::write(&path, bytes).unwrap();
        Weights::read(&path, pin)
    }

    #[test]
    fn a_sound_file_gives_its_tensors() {
        let bytes = sound("[2]");
        let weights = read(&bytes, Some(blake3::hash(&bytes))).unwrap();
        assert_eq!(Vec::<f32>::try_from(weights.tensor("w", &[2]).unwrap()).unwrap(), [1.0, 2.0]);
    }

    #[test]
    fn a_wrong_hash_is_refused_before_parsing() {
        let mut bytes = sound("[2]");
        let pin = blake3::hash(&bytes);
        *bytes.last_mut().unwrap() ^= 1;
        let error = read(&bytes, Some(pin)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        assert!(error.to_string().contains("expected"), "{error}");
    }

    #[test]
    fn hostile_headers_are_errors_without_large_allocations() {
        for length in [u64::MAX, u64::MAX - 8, 1 << 62, 226 << 30, MAX_WEIGHTS_HEADER + 1, 9999] {
            let mut bytes = sound("[2]");
            bytes[..8].copy_from_slice(&length.to_le_bytes());
            assert!(read(&bytes, None).is_err(), "header length {length}");
        }
        for cut in 0..sound("[2]").len() {
            assert!(read(&sound("[2]")[..cut], None).is_err(), "cut at {cut}");
        }
        let mut longer = sound("[2]");
        longer.push(0);
        assert!(read(&longer, None).is_err());
        for shape in ["[3]", "[4611686018427387904,4]", "[18446744073709551615]", "[-1]", "\"x\""] {
            assert!(read(&sound(shape), None).is_err(), "shape {shape}");
        }
    }

    /// It catches: a file that is read before its header and its length are judged, which costs what it is long.
    #[test]
    fn a_file_that_holds_no_network_is_refused_by_its_header() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let sparse = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            File::options().write(true).open(&path).unwrap().set_len(MAX_WEIGHTS_BYTES).unwrap();
        };
        let header = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
        // The header of each is whole: what follows is never asked for.
        let said = |error: Error| error.to_string();
        sparse(&[]);
        assert!(open_weights(&path).map(drop).map_err(said).unwrap_err().contains("sound"));
        sparse(&sound("[2]"));
        let error = open_weights(&path).map(drop).map_err(said).unwrap_err();
        assert!(error.contains("its tensors have 8 bytes, the file has 2147483648"), "{error}");
        let one = r#"{"w":{"dtype":"U8","shape":[N],"data_offsets":[0,N]}}"#;
        let length = MAX_WEIGHTS_BYTES as usize - 8 - one.len() - 2 * (10 - 1);
        let one = one.replace('N', &length.to_string());
        sparse(&header(&one));
        assert!(open_weights(&path).is_ok(), "the length fits");
        let error = Weights::read_network(&path, None, Architecture::Lite0).map(drop).map_err(said).unwrap_err();
        assert!(error.contains("has no tensor"), "{error}");
    }

    /// It catches: a file whose gigabytes stand in tensors that no network has.
    #[test]
    fn a_network_beside_far_more_than_it_has_is_refused() {
        let mut at = 0;
        let mut tensors = String::new();
        let mut entry = |name: &str, shape: &[i64]| {
            let bytes = 4 * shape.iter().product::<i64>();
            let end = at + bytes;
            tensors.push_str(&format!(r#""{name}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{at},{end}]}},"#));
            at = end;
        };
        Architecture::Resnet18
            .trunk(&mut |shape| {
                let (name, sides) = shape.weight().unwrap();
                entry(&name, &sides);
                Ok(())
            })
            .unwrap();
        let file = |tensors: &str, end: i64| {
            let header = format!("{{{}}}", tensors.trim_end_matches(','));
            let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
            let length = bytes.len() as u64 + end as u64;
            Header::parse(Path::new("w"), &bytes, length).unwrap()
        };
        assert!(file(&tensors, at).is_of(Architecture::Resnet18).is_ok());
        let end = at + (1 << 30);
        let more = format!(r#"{tensors}"more":{{"dtype":"U8","shape":[{}],"data_offsets":[{at},{end}]}}"#, 1 << 30);
        let error = file(&more, end).is_of(Architecture::Resnet18).unwrap_err().to_string();
        assert!(error.contains("resnet18-gem uses"), "{error}");
    }

    /// It catches: a shape that is parsed into memory before anybody counts its axes.
    #[test]
    fn axes_are_counted_before_a_header_is_parsed() {
        assert_eq!(most_axes(br#"{"a[1,2,3":{"shape":[1,2],"x":[]},"b\"[,,,,":[4]}"#), 2);
        for axes in [MAX_AXES + 1, 100_000] {
            let shape = format!("[{}]", vec!["1"; axes].join(","));
            let error = read(&sound(&shape), None).err().unwrap().to_string();
            assert!(error.contains("more than 8 axes"), "{error}");
        }
    }

    /// It catches: weights that let nothing through, and variances that no square root has.
    #[test]
    fn weights_that_say_nothing_are_refused_by_name() {
        let of = |name: &str, values: [f32; 2]| {
            let mut bytes = sound("[2]");
            let end = bytes.len();
            bytes[end - 8..end - 4].copy_from_slice(&values[0].to_le_bytes());
            bytes[end - 4..].copy_from_slice(&values[1].to_le_bytes());
            let header = format!(r#"{{"{name}":{{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}}}"#);
            let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes[end - 8..]].concat();
            read(&bytes, None).unwrap().tensor(name, &[2]).map(drop).map_err(|error| error.to_string())
        };
        assert!(of("a.weight", [0.0, -0.0]).unwrap_err().contains("'a.weight' is all zero"));
        assert_eq!(of("a.weight", [0.0, 1.0]), Ok(()));
        assert_eq!(of("a.bias", [0.0, 0.0]), Ok(()));
        assert!(of("a.running_var", [1.0, -1e-9]).unwrap_err().contains("variance below zero"));
        assert_eq!(of("a.running_var", [1.0, 0.0]), Ok(()));
    }

    #[test]
    fn missing_misshapen_and_infinite_tensors_are_named() {
        let weights = read(&sound("[2]"), None).unwrap();
        assert!(weights.tensor("v", &[2]).unwrap_err().to_string().contains("no tensor 'v'"));
        assert!(weights.tensor("w", &[2, 1]).unwrap_err().to_string().contains("expected [2, 1]"));
        let mut bytes = sound("[2]");
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(read(&bytes, None).unwrap().tensor("w", &[2]).unwrap_err().to_string().contains("NaN"));
    }

    #[test]
    fn a_folder_and_a_missing_file_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Weights::read(folder.path(), None).is_err());
        assert_eq!(Weights::read(&folder.path().join("no"), None).err().unwrap().kind(), ErrorKind::NotFound);
    }
}
