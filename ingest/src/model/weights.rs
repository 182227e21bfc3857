//! Reading a file of weights: safetensors only, its BLAKE3 checked before a byte is believed.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use cairn::{Error, ErrorKind, Result};
use safetensors::{Dtype, SafeTensors};
use tch::{Kind, Tensor};

use crate::device::torch_error;

/// Largest file of weights that is read: 2 GiB. The largest model here has 0.2.
pub const MAX_WEIGHTS_BYTES: u64 = 2 << 30;
/// Largest header of a safetensors file: 16 MiB. Real ones have 20 to 100 KiB.
pub const MAX_WEIGHTS_HEADER: u64 = 16 << 20;

/// The tensors of a file, by name.
pub(crate) struct Weights {
    path: PathBuf,
    bytes: Vec<u8>,
    /// Offset of the first tensor's bytes.
    data: usize,
    tensors: HashMap<String, (Dtype, Vec<usize>, Range<usize>)>,
    digest: blake3::Hash,
}

impl Weights {
    /// Reads and checks the file. With `pin`, its BLAKE3 must be that one.
    pub(crate) fn read(path: &Path, pin: Option<blake3::Hash>) -> Result<Self> {
        Self::from_bytes(path, read_weights_file(path)?, pin)
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
        let (header, metadata) = SafeTensors::read_metadata(&bytes)
            .map_err(|error| refuse(path, &format!("is not a sound safetensors file: {error}")).because(error))?;
        let tensors = metadata
            .tensors()
            .into_iter()
            .map(|(name, info)| (name, (info.dtype, info.shape.clone(), info.data_offsets.0..info.data_offsets.1)))
            .collect();
        Ok(Self { path: path.to_owned(), data: 8 + header, tensors, digest, bytes })
    }

    /// BLAKE3 of the whole file.
    pub(crate) fn digest(&self) -> blake3::Hash {
        self.digest
    }

    /// The sides of the tensor of that name.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|(_, shape, _)| shape.as_slice())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The tensor of that name as f32, which must have exactly that shape and only finite values.
    pub(crate) fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor> {
        let Some((dtype, found, range)) = self.tensors.get(name) else {
            return Err(refuse(&self.path, &format!("has no tensor '{name}'")));
        };
        let same = found.len() == shape.len()
            && found.iter().zip(shape).all(|(&found, &expected)| i64::try_from(found) == Ok(expected));
        if !same {
            return Err(refuse(&self.path, &format!("tensor '{name}' has shape {found:?}, expected {shape:?}")));
        }
        let kind = match dtype {
            Dtype::F32 => Kind::Float,
            Dtype::F16 => Kind::Half,
            Dtype::BF16 => Kind::BFloat16,
            Dtype::F64 => Kind::Double,
            other => {
                return Err(refuse(
                    &self.path,
                    &format!("tensor '{name}' holds {other:?}, not floating-point numbers"),
                ));
            }
        };
        let bytes = self
            .data
            .checked_add(range.start)
            .zip(self.data.checked_add(range.end))
            .and_then(|(start, end)| self.bytes.get(start..end))
            .ok_or_else(|| refuse(&self.path, &format!("tensor '{name}' lies outside the file")))?;
        let tensor = Tensor::f_from_data_size(bytes, shape, kind)
            .and_then(|tensor| tensor.f_to_kind(Kind::Float))
            .map_err(torch_error)?;
        let finite =
            tensor.f_isfinite().and_then(|t| t.f_all()).and_then(|t| t.f_int64_value(&[])).map_err(torch_error)?;
        if finite == 0 {
            return Err(refuse(&self.path, &format!("tensor '{name}' holds NaN or infinity")));
        }
        Ok(tensor)
    }
}

/// The bytes of a safetensors file, whose size and announced header are judged first. The tensors are the caller's to check.
pub(crate) fn read_weights_file(path: &Path) -> Result<Vec<u8>> {
    let mut file = File::open(path).map_err(|e| Error::io(path, e))?;
    let about = file.metadata().map_err(|e| Error::io(path, e))?;
    if !about.is_file() {
        return Err(refuse(path, "is not a file"));
    }
    let length = about.len();
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
    file.take(MAX_WEIGHTS_BYTES - 8).read_to_end(&mut bytes).map_err(|e| Error::io(path, e))?;
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
