//! The trained head as plain data: one affine map from a descriptor to a better one, with its file.

use std::collections::HashMap;
use std::path::Path;

use cairn::{Error, MAX_DIMENSION, Result};
use safetensors::SafeTensors;

use super::file::{numbers, read_file, serialise, write_whole};
use super::samples::unit;

/// What the metadata of an adapter's file says under `cairn`.
const FORMAT: &str = "adapter 1";

/// x -> L2(W x + b), or L2 of the concatenation (c x, L2(W x + b)), where x is at unit length.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    /// Length of x.
    pub input: usize,
    /// Rows of W.
    pub output: usize,
    /// W, row after row: `output` x `input`.
    pub weight: Vec<f32>,
    /// b, `output` numbers.
    pub bias: Vec<f32>,
    /// c, the weight of the descriptor as it was, which stands before the adapted one; 0: it is left out.
    pub concatenation: f32,
}

impl Adapter {
    /// Length of an adapted descriptor.
    pub fn dimension(&self) -> usize {
        if self.concatenation > 0.0 { self.input + self.output } else { self.output }
    }

    /// The adapted descriptor, of unit length: the same bits on every machine. O(input x output).
    ///
    /// # Errors
    /// `Mismatch` for another length; `Invalid` where a length is zero or not finite.
    pub fn apply(&self, vector: &[f32]) -> Result<Vec<f32>> {
        if vector.len() != self.input {
            let (given, taken) = (vector.len(), self.input);
            return Err(Error::new(
                cairn::ErrorKind::Mismatch,
                format!("the adapter takes descriptors of {taken} numbers, not of {given}"),
            )
            .help("use the adapter with the model that it was trained on"));
        }
        let unusable = || Error::invalid("a descriptor cannot be adapted: its length is zero or not finite");
        let x = unit(vector).ok_or_else(unusable)?;
        let raw: Vec<f32> =
            self.weight.chunks_exact(self.input).zip(&self.bias).map(|(row, &b)| affine(row, &x, b)).collect();
        let adapted = unit(&raw).ok_or_else(unusable)?;
        if self.concatenation > 0.0 {
            let before = x.iter().map(|x| x * self.concatenation);
            unit(&before.chain(adapted).collect::<Vec<f32>>()).ok_or_else(unusable)
        } else {
            Ok(adapted)
        }
    }

    /// Writes the file, whole or not at all: safetensors with `adapter.weight` (output, input), `adapter.bias` (output) and
    /// `adapter.concatenation` (1), f32.
    ///
    /// # Errors
    /// `Invalid` for an adapter whose numbers do not fit together, `Io` where the disk refuses.
    pub fn save(&self, path: &Path) -> Result<()> {
        self.check(path)?;
        let tensors = [
            ("adapter.weight".to_owned(), vec![self.output, self.input], self.weight.clone()),
            ("adapter.bias".to_owned(), vec![self.output], self.bias.clone()),
            ("adapter.concatenation".to_owned(), vec![1], vec![self.concatenation]),
        ];
        let about = HashMap::from([("cairn".to_owned(), FORMAT.to_owned())]);
        write_whole(path, &serialise(&tensors, about)?)
    }

    /// Reads the file that [`Adapter::save`] writes; no byte of it is believed. `adapter.concatenation` may be missing (0).
    ///
    /// # Errors
    /// `Invalid` for a file that is damaged or no adapter, `NotFound`, `Io`.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = read_file(path)?;
        let tensors = SafeTensors::deserialize(&bytes)
            .map_err(|error| refuse(path, &format!("is not a sound safetensors file: {error}")).because(error))?;
        let get = |name: &str| {
            let found = numbers(&tensors, name).map_err(|what| refuse(path, &what))?;
            found.ok_or_else(|| refuse(path, &format!("has no tensor '{name}'")))
        };
        let (shape, weight) = get("adapter.weight")?;
        let &[output, input] = shape.as_slice() else {
            return Err(refuse(path, &format!("tensor 'adapter.weight' has shape {shape:?}, expected two sides")));
        };
        let (_, bias) = get("adapter.bias")?;
        let concatenation = match numbers(&tensors, "adapter.concatenation").map_err(|what| refuse(path, &what))? {
            Some((_, one)) if one.len() == 1 => one[0],
            Some((shape, _)) => {
                return Err(refuse(path, &format!("tensor 'adapter.concatenation' has shape {shape:?}, expected [1]")));
            }
            None => 0.0,
        };
        let adapter = Self { input, output, weight, bias, concatenation };
        adapter.check(path)?;
        Ok(adapter)
    }

    fn check(&self, path: &Path) -> Result<()> {
        let Self { input, output, weight, bias, concatenation } = self;
        let fits = input.checked_mul(*output) == Some(weight.len()) && bias.len() == *output;
        let range = 1..=MAX_DIMENSION;
        let fault = if !fits || !range.contains(input) || !range.contains(output) || !range.contains(&self.dimension())
        {
            format!(
                "{} weights and {} biases do not make an adapter from {input} to {output} numbers; both sides lie between 1 and \
                 {MAX_DIMENSION}",
                weight.len(),
                bias.len()
            )
        } else if !(0.0..=1e6).contains(concatenation) {
            format!("the weight of the concatenation is {concatenation}; it lies between 0 and 1e6")
        } else if !weight.iter().chain(bias).all(|x| x.is_finite()) {
            "a number of the adapter is NaN or infinite".to_owned()
        } else {
            return Ok(());
        };
        Err(refuse(path, &fault))
    }
}

/// w . x + b, summed in f64 in eight parts whose order is fixed.
fn affine(w: &[f32], x: &[f32], b: f32) -> f32 {
    let mut parts = [0f64; 8];
    for (w, x) in w.chunks(8).zip(x.chunks(8)) {
        for (part, (&w, &x)) in parts.iter_mut().zip(w.iter().zip(x)) {
            *part += f64::from(w) * f64::from(x);
        }
    }
    (parts.iter().sum::<f64>() + f64::from(b)) as f32
}

fn refuse(path: &Path, what: &str) -> Error {
    Error::invalid(format!("{}: {what}", path.display())).help("an adapter is a file that a training wrote")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn adapter() -> Adapter {
        let weight = vec![0.0, 1.0, 0.0, -1.0, 0.0, 0.0];
        Adapter { input: 3, output: 2, weight, bias: vec![0.0, 0.5], concatenation: 0.0 }
    }

    #[test]
    fn the_map_by_hand() {
        // x = (.6, .8, 0): W x + b = (.8, -.1).
        let length = (0.64f32 + 0.01).sqrt();
        let adapted = adapter().apply(&[3.0, 4.0, 0.0]).unwrap();
        assert!((adapted[0] - 0.8 / length).abs() < 1e-6 && (adapted[1] + 0.1 / length).abs() < 1e-6);
        let both = Adapter { concatenation: 2.0, ..adapter() };
        let joined = both.apply(&[3.0, 4.0, 0.0]).unwrap();
        assert_eq!((joined.len(), both.dimension()), (5, 5));
        assert!((joined[0] - 1.2 / 5f32.sqrt()).abs() < 1e-6 && (joined[3] - adapted[0] / 5f32.sqrt()).abs() < 1e-6);
        assert!(adapter().apply(&[1.0]).unwrap_err().to_string().contains("takes descriptors of 3"));
        assert!(adapter().apply(&[0.0; 3]).is_err());
    }

    #[test]
    fn a_file_gives_back_what_was_saved_and_damage_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let saved = Adapter { concatenation: 0.25, ..adapter() };
        saved.save(&path).unwrap();
        assert_eq!(Adapter::load(&path).unwrap(), saved);
        let sound = std::fs::read(&path).unwrap();
        for cut in 0..sound.len() {
            std::fs::write(&path, &sound[..cut]).unwrap();
            assert!(Adapter::load(&path).is_err(), "cut at {cut}");
        }
        for at in 0..sound.len() {
            for bit in [1, 128] {
                let mut hostile = sound.clone();
                hostile[at] ^= bit;
                std::fs::write(&path, &hostile).unwrap();
                // Only a number may change unseen, and then it is a number.
                if let Ok(adapter) = Adapter::load(&path) {
                    assert!(adapter.weight.iter().chain(&adapter.bias).all(|x| x.is_finite()));
                    assert_eq!(adapter.weight.len(), adapter.input * adapter.output);
                }
            }
        }
        assert!(Adapter { bias: vec![f32::NAN, 0.0], ..adapter() }.save(&path).is_err());
        assert!(Adapter { input: 2, ..adapter() }.save(&path).is_err());
        assert_eq!(Adapter::load(&folder.path().join("no")).unwrap_err().kind(), cairn::ErrorKind::NotFound);
    }
}
