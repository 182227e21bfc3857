//! The file of an adapter.

use std::collections::BTreeMap;
use std::path::Path;

use cairn::{Error, Result};
use safetensors::SafeTensors;

use super::adapter::{Adapter, Affine, Block, MAX_BLOCKS, Projection};
use super::file::{CHECKSUM, Named, checksum, numbers, read_file, serialise, write_whole};

/// What the metadata of an adapter's file says under `cairn`.
const FORMAT: &str = "adapter 2";
/// What an adapter that lies in a database is called in messages.
const UNNAMED: &str = "the stored adapter";

impl Adapter {
    /// Writes the file, whole or not at all: safetensors, f32, as docs/FORMAT.md describes it. 4 bytes a number.
    ///
    /// # Errors
    /// `Invalid` for an adapter whose numbers do not fit together, `Io` where the disk refuses.
    pub fn save(&self, path: &Path) -> Result<()> {
        write_whole(path, &self.encoded(path)?)
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// `Invalid` for an adapter whose numbers do not fit together.
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.encoded(Path::new(UNNAMED))
    }

    /// A digest of everything that decides an adapted descriptor: the same on every machine.
    ///
    /// # Errors
    /// `Invalid` for an adapter whose numbers do not fit together.
    pub fn digest(&self) -> Result<blake3::Hash> {
        let (about, tensors) = self.contents(Path::new(UNNAMED))?;
        Ok(blake3::hash(checksum(&about, &tensors).as_bytes()))
    }

    fn encoded(&self, path: &Path) -> Result<Vec<u8>> {
        let (mut about, tensors) = self.contents(path)?;
        about.insert(CHECKSUM.to_owned(), checksum(&about, &tensors));
        serialise(&tensors, about.into_iter().collect())
    }

    fn contents(&self, path: &Path) -> Result<(BTreeMap<String, String>, Vec<Named>)> {
        self.check().map_err(|what| refuse(path, &what))?;
        let mut tensors: Vec<Named> = Vec::new();
        let weights: Vec<f32> = self.blocks.iter().map(|block| block.weight).collect();
        tensors.push(("weights".to_owned(), vec![weights.len()], weights));
        for (at, block) in self.blocks.iter().enumerate() {
            if let Some(Affine { matrix, bias }) = &block.map {
                tensors.push((format!("block.{at}.matrix"), vec![bias.len(), self.input], matrix.clone()));
                tensors.push((format!("block.{at}.bias"), vec![bias.len()], bias.clone()));
            }
        }
        if let Some(Projection { rows, matrix }) = &self.projection {
            tensors.push(("projection".to_owned(), vec![*rows, self.concatenated()], matrix.clone()));
        }
        let about =
            BTreeMap::from([("cairn".to_owned(), FORMAT.to_owned()), ("input".to_owned(), self.input.to_string())]);
        Ok((about, tensors))
    }

    /// Reads the file that [`Adapter::save`] writes; no byte of it is believed.
    ///
    /// # Errors
    /// `Invalid` for a file that is damaged or no adapter, `NotFound`, `Io`.
    pub fn load(path: &Path) -> Result<Self> {
        Self::decoded(&read_file(path)?, path)
    }

    /// The adapter of [`Adapter::encode`]'s bytes; none of them is believed.
    ///
    /// # Errors
    /// `Invalid` for bytes that are damaged or no adapter.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        Self::decoded(bytes, Path::new(UNNAMED))
    }

    fn decoded(bytes: &[u8], path: &Path) -> Result<Self> {
        let unsound = |error: safetensors::SafeTensorError| {
            refuse(path, &format!("it is not a sound safetensors file: {error}")).because(error)
        };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(unsound)?;
        let file = SafeTensors::deserialize(bytes).map_err(unsound)?;
        let mut about: BTreeMap<String, String> = header.metadata().clone().unwrap_or_default().into_iter().collect();
        if about.get("cairn").is_none_or(|format| format != FORMAT) {
            return Err(refuse(path, &format!("its metadata do not say '{FORMAT}'")));
        }
        // As many tensors as the largest adapter has, before any is read.
        let mut names = file.names();
        if names.len() > 2 * MAX_BLOCKS + 2 {
            return Err(refuse(path, &format!("it has {} tensors", names.len())));
        }
        names.sort_unstable();
        let mut tensors: Vec<Named> = Vec::with_capacity(names.len());
        for name in names {
            let (shape, values) = numbers(&file, name).map_err(|what| refuse(path, &what))?.unwrap_or_default();
            tensors.push((name.to_owned(), shape, values));
        }
        if about.remove(CHECKSUM) != Some(checksum(&about, &tensors)) {
            return Err(refuse(path, "its checksum is not that of its contents"));
        }
        let input = about.get("input").and_then(|input| input.parse().ok());
        let adapter = input.ok_or_else(|| "its metadata name no 'input'".to_owned());
        let adapter = adapter.and_then(|input| assemble(input, tensors)).map_err(|what| refuse(path, &what))?;
        adapter.check().map_err(|what| refuse(path, &what))?;
        Ok(adapter)
    }
}

/// The adapter of these tensors; what it holds is checked afterwards.
fn assemble(input: usize, mut tensors: Vec<Named>) -> Result<Adapter, String> {
    let mut take = |name: &str| {
        let at = tensors.iter().position(|(of, _, _)| of == name)?;
        let (_, shape, values) = tensors.swap_remove(at);
        Some((shape, values))
    };
    let missing = |name: &str| format!("it has no tensor '{name}'");
    let (_, weights) = take("weights").ok_or_else(|| missing("weights"))?;
    let mut blocks = Vec::new();
    for (at, weight) in weights.into_iter().enumerate().take(MAX_BLOCKS + 1) {
        let name = format!("block.{at}.matrix");
        let map = match take(&name) {
            None => None,
            Some((shape, matrix)) => {
                let (_, bias) =
                    take(&format!("block.{at}.bias")).ok_or_else(|| missing(&format!("block.{at}.bias")))?;
                if shape != [bias.len(), input] {
                    let rows = bias.len();
                    return Err(format!("tensor '{name}' has shape {shape:?}, expected [{rows}, {input}]"));
                }
                Some(Affine { matrix, bias })
            }
        };
        blocks.push(Block { map, weight });
    }
    let projection = match take("projection") {
        None => None,
        Some((shape, matrix)) => match shape[..] {
            [rows, _] => Some(Projection { rows, matrix }),
            _ => return Err(format!("tensor 'projection' has shape {shape:?}, expected two sides")),
        },
    };
    match tensors.first() {
        Some((name, _, _)) => Err(format!("it has a tensor '{name}', which no adapter has")),
        None => Ok(Adapter { input, blocks, projection }),
    }
}

fn refuse(path: &Path, what: &str) -> Error {
    Error::invalid(format!("{}: this is no adapter: {what}", path.display()))
        .help("an adapter is a file that a training wrote")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn adapter() -> Adapter {
        let map = Affine { matrix: vec![0.0, 1.0, 0.0, -1.0, 0.0, 0.0], bias: vec![0.0, 0.5] };
        let mut adapter = Adapter::affine(3, map, 0.25);
        adapter.projection = Some(Projection { rows: 1, matrix: vec![1.0, 2.0, 3.0, 4.0, 5.0] });
        adapter
    }

    #[test]
    fn a_file_gives_back_what_was_saved_and_damage_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let saved = adapter();
        for saved in [Adapter::plain(7), Adapter { projection: None, ..saved.clone() }, saved.clone()] {
            saved.save(&path).unwrap();
            assert_eq!(Adapter::load(&path).unwrap(), saved);
        }
        let sound = std::fs::read(&path).unwrap();
        for at in 0..sound.len() {
            std::fs::write(&path, &sound[..at]).unwrap();
            assert!(Adapter::load(&path).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut hostile = sound.clone();
                hostile[at] ^= 1 << bit;
                std::fs::write(&path, &hostile).unwrap();
                // Blanks that pad the header may change without harm.
                if let Ok(loaded) = Adapter::load(&path) {
                    assert_eq!(loaded, saved, "bit {bit} of {at}");
                }
            }
        }
        assert_eq!(Adapter::load(&folder.path().join("no")).unwrap_err().kind(), cairn::ErrorKind::NotFound);
    }

    #[test]
    fn an_adapter_that_does_not_fit_together_is_not_saved() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let refusal = |change: &dyn Fn(&mut Adapter)| {
            let mut adapter = adapter();
            change(&mut adapter);
            let refusal = adapter.save(&path).unwrap_err().to_string();
            assert!(!path.exists());
            refusal
        };
        assert!(refusal(&|a| a.input = 2).contains("6 numbers for 2 rows of 2"));
        assert!(refusal(&|a| a.input = 0).contains("takes 0 numbers"));
        assert!(refusal(&|a| a.blocks.clear()).contains("0 blocks"));
        assert!(refusal(&|a| a.blocks = vec![a.blocks[0].clone(); 17]).contains("17 blocks"));
        assert!(refusal(&|a| a.blocks[0].weight = 0.0).contains("weight of block 0"));
        assert!(refusal(&|a| a.blocks[0].weight = f32::NAN).contains("weight of block 0 is NaN"));
        assert!(refusal(&|a| a.blocks[1].map.as_mut().unwrap().bias[0] = f32::NAN).contains("NaN"));
        assert!(refusal(&|a| a.projection.as_mut().unwrap().matrix[2] = f32::INFINITY).contains("infinite"));
        assert!(refusal(&|a| a.projection.as_mut().unwrap().rows = 2).contains("5 numbers for 2 rows of 5"));
        let empty = Projection { rows: 0, matrix: vec![] };
        assert!(refusal(&|a| a.projection = Some(empty.clone())).contains("0 numbers"));
    }

    #[test]
    fn a_file_of_absurd_shapes_with_a_sound_checksum_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let read = |input: &str, tensors: &[(&str, &[usize])], value: f32| {
            let tensors: Vec<Named> = tensors
                .iter()
                .map(|(name, shape)| ((*name).to_owned(), shape.to_vec(), vec![value; shape.iter().product()]))
                .collect();
            let mut about =
                BTreeMap::from([("cairn".to_owned(), FORMAT.to_owned()), ("input".to_owned(), input.to_owned())]);
            about.insert(CHECKSUM.to_owned(), checksum(&about, &tensors));
            std::fs::write(&path, serialise(&tensors, about.into_iter().collect()).unwrap()).unwrap();
            Adapter::load(&path)
        };
        let refusal = |input: &str, tensors: &[(&str, &[usize])]| read(input, tensors, 1.0).unwrap_err().to_string();
        assert!(refusal("3", &[]).contains("no tensor 'weights'"));
        assert!(refusal("x", &[("weights", &[1])]).contains("no 'input'"));
        assert!(refusal("99999999999999999999", &[("weights", &[1])]).contains("no 'input'"));
        assert!(refusal("18446744073709551615", &[("weights", &[1])]).contains("takes 18446744073709551615"));
        assert!(refusal("3", &[("weights", &[0])]).contains("0 blocks"));
        assert!(refusal("3", &[("weights", &[900])]).contains("17 blocks"));
        assert!(refusal("3", &[("weights", &[1]), ("block.1.matrix", &[1, 3])]).contains("which no adapter has"));
        assert!(refusal("3", &[("weights", &[1]), ("block.0.matrix", &[1, 3])]).contains("block.0.bias"));
        let mut map: Vec<(&str, &[usize])> =
            vec![("weights", &[1]), ("block.0.matrix", &[3, 1]), ("block.0.bias", &[1])];
        assert!(refusal("3", &map).contains("shape [3, 1]"));
        map[1].1 = &[1, 3];
        assert_eq!(read("3", &map, 1.0).unwrap().dimension(), 1);
        for value in [f32::NAN, f32::INFINITY, -1.0, 0.0] {
            assert_eq!(read("3", &map, value).unwrap_err().kind(), cairn::ErrorKind::Invalid);
        }
        map.push(("projection", &[1, 1, 1]));
        assert!(refusal("3", &map).contains("two sides"));
        map[3].1 = &[1, 2];
        assert!(refusal("3", &map).contains("2 numbers for 1 rows of 1"));
        map[3].1 = &[0, 1];
        assert!(refusal("3", &map).contains("0 numbers"));
        let many: Vec<String> = (0..40).map(|at| format!("x{at}")).collect();
        let many: Vec<(&str, &[usize])> = many.iter().map(|name| (name.as_str(), &[1usize][..])).collect();
        assert!(refusal("3", &many).contains("40 tensors"));
    }
}
