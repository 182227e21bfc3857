//! The state of a training in a file: enough to resume to the same bits, and to refuse another training's state.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use cairn::{Error, ErrorKind, Result};
use safetensors::SafeTensors;

use crate::model::file::{CHECKSUM, Named, checksum, numbers, read_file, serialise, write_whole};

/// What the metadata of a checkpoint says under `cairn`.
const FORMAT: &str = "training 1";

/// A training's state.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    /// Steps made.
    pub(crate) step: u64,
    /// AdaCos' scale.
    pub(crate) scale: f64,
    /// The options, as lines `name = value`, and a digest of the samples: who may go on from here.
    pub(crate) identity: Identity,
    /// Parameters, running statistics, momentum, the log, by name.
    pub(crate) tensors: Vec<Named>,
}

/// What makes two trainings the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) options: String,
    pub(crate) data: String,
}

impl Identity {
    /// # Errors
    /// `Mismatch` where `saved` is of another training; it names the options that differ.
    fn check(&self, saved: &Identity, path: &Path) -> Result<()> {
        let refuse = |what: String| {
            Err(Error::new(
                ErrorKind::Mismatch,
                format!("{}: this is the checkpoint of another training: {what}", path.display()),
            )
            .help(
                "resume with the options and images that it started with, or name a new file to start a new training",
            ))
        };
        if self.options != saved.options {
            let theirs: Vec<&str> = saved.options.lines().collect();
            let ours = self.options.lines().filter(|line| !theirs.contains(line));
            let name = |line: &str| line.split(" = ").next().unwrap_or_default().to_owned();
            let pair = |line: &str| {
                let other = theirs.iter().find(|other| name(other) == name(line));
                format!("{line}, there {}", other.and_then(|other| other.split(" = ").nth(1)).unwrap_or("nothing"))
            };
            return refuse(ours.map(pair).collect::<Vec<_>>().join("; "));
        }
        if self.data != saved.data {
            return refuse("it was trained on other images or labels".to_owned());
        }
        Ok(())
    }
}

impl State {
    /// The tensor of that name, which must have that shape and be finite.
    pub(crate) fn tensor(&self, path: &Path, name: &str, shape: &[usize]) -> Result<&[f32]> {
        let found = self.tensors.iter().find(|(of, _, _)| of == name);
        let Some((_, found, values)) = found else {
            return Err(corrupt(path, &format!("it has no tensor '{name}'")));
        };
        if found != shape {
            return Err(corrupt(path, &format!("tensor '{name}' has shape {found:?}, expected {shape:?}")));
        }
        if values.iter().any(|x| !x.is_finite()) {
            return Err(corrupt(path, &format!("tensor '{name}' holds NaN or infinity")));
        }
        Ok(values)
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// `Io`, for example of a full disk; the checkpoint that was there before stays.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let mut about = BTreeMap::from([
            ("cairn".to_owned(), FORMAT.to_owned()),
            ("step".to_owned(), self.step.to_string()),
            ("scale".to_owned(), format!("{:016x}", self.scale.to_bits())),
            ("options".to_owned(), self.identity.options.clone()),
            ("data".to_owned(), self.identity.data.clone()),
        ]);
        about.insert(CHECKSUM.to_owned(), checksum(&about, &self.tensors));
        write_whole(path, &serialise(&self.tensors, about.into_iter().collect())?)
    }

    /// Reads the state of this very training; `None` where there is no file.
    ///
    /// # Errors
    /// `Mismatch` for a checkpoint of another training, `Corrupt` for a damaged one, `Io`.
    pub(crate) fn load(path: &Path, identity: &Identity) -> Result<Option<Self>> {
        // A pipe would be waited for, and a link is not ours.
        if path.symlink_metadata().is_ok_and(|found| !found.is_file()) {
            return Err(corrupt(path, "it is not a plain file"));
        }
        let bytes = match read_file(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Invalid => return Err(corrupt(path, error.message())),
            Err(error) => return Err(error),
        };
        let sound = |error: safetensors::SafeTensorError| corrupt(path, &error.to_string());
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(sound)?;
        let file = SafeTensors::deserialize(&bytes).map_err(sound)?;
        let mut about: BTreeMap<String, String> =
            header.metadata().clone().unwrap_or_else(HashMap::new).into_iter().collect();
        if about.get("cairn").is_none_or(|format| format != FORMAT) {
            return Err(Error::new(
                ErrorKind::Mismatch,
                format!("{}: this file is not a checkpoint of a training", path.display()),
            )
            .help("name another file for the checkpoint; this one is unchanged"));
        }
        let mut names: Vec<String> = file.names().into_iter().map(str::to_owned).collect();
        names.sort_unstable();
        let mut tensors = Vec::with_capacity(names.len());
        for name in names {
            let (shape, values) = numbers(&file, &name).map_err(|what| corrupt(path, &what))?.unwrap_or_default();
            tensors.push((name, shape, values));
        }
        if about.remove(CHECKSUM) != Some(checksum(&about, &tensors)) {
            return Err(corrupt(path, "its checksum does not match its contents"));
        }
        let text = |name: &str| about.get(name).cloned().ok_or_else(|| corrupt(path, &format!("it has no '{name}'")));
        let saved = Identity { options: text("options")?, data: text("data")? };
        identity.check(&saved, path)?;
        let step = text("step")?.parse().map_err(|_| corrupt(path, "its step is not a number"))?;
        let scale = u64::from_str_radix(&text("scale")?, 16).map_err(|_| corrupt(path, "its scale is not a number"))?;
        Ok(Some(Self { step, scale: f64::from_bits(scale), identity: saved, tensors }))
    }
}

fn corrupt(path: &Path, what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("{}: the checkpoint is damaged: {what}", path.display()))
        .help("remove it to restart the training")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn state() -> State {
        State {
            step: 17,
            scale: 12.345,
            identity: Identity { options: "loss = arcface\nseed = 1\n".to_owned(), data: "d".to_owned() },
            tensors: vec![("a".to_owned(), vec![2], vec![1.0, -2.5]), ("b".to_owned(), vec![0, 3], vec![])],
        }
    }

    #[test]
    fn a_state_survives_its_file_and_another_trainings_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c");
        assert_eq!(State::load(&path, &state().identity).unwrap(), None);
        state().save(&path).unwrap();
        let loaded = State::load(&path, &state().identity).unwrap().unwrap();
        assert_eq!(loaded, state());
        assert_eq!(loaded.tensor(&path, "a", &[2]).unwrap(), [1.0, -2.5]);
        assert!(loaded.tensor(&path, "a", &[3]).unwrap_err().to_string().contains("expected [3]"));
        let other = Identity { options: "loss = cosface\nseed = 1\n".to_owned(), ..state().identity };
        let refusal = State::load(&path, &other).unwrap_err();
        assert_eq!(refusal.kind(), ErrorKind::Mismatch);
        assert!(refusal.to_string().contains("loss = cosface, there arcface"), "{refusal}");
        assert!(!refusal.to_string().contains("seed"), "{refusal}");
        let other = Identity { data: "e".to_owned(), ..state().identity };
        assert!(State::load(&path, &other).unwrap_err().to_string().contains("other images"));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c");
        state().save(&path).unwrap();
        let sound = std::fs::read(&path).unwrap();
        for at in 0..sound.len() {
            let mut hostile = sound.clone();
            hostile[at] ^= 1 << (at % 8);
            std::fs::write(&path, &hostile).unwrap();
            // Blanks that pad the header may change without harm.
            match State::load(&path, &state().identity) {
                Ok(loaded) => assert_eq!(loaded, Some(state())),
                Err(error) => assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Mismatch), "{error}"),
            }
            std::fs::write(&path, &sound[..at]).unwrap();
            assert!(State::load(&path, &state().identity).is_err(), "cut at {at}");
        }
        crate::model::Adapter::plain(1).save(&path).unwrap();
        assert!(State::load(&path, &state().identity).unwrap_err().to_string().contains("not a checkpoint"));
    }
}
