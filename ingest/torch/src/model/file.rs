//! Files of tensors: written completely under another name, synced, renamed; read under limits.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use cairn::{Error, Result};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

pub(crate) use super::weights::read_weights_file as read_file;

/// Where the metadata of a file holds its checksum.
pub(crate) const CHECKSUM: &str = "blake3";

/// Name, shape, numbers.
pub(crate) type Named = (String, Vec<usize>, Vec<f32>);

/// A safetensors file of f32 tensors.
pub(crate) fn serialise(tensors: &[Named], about: HashMap<String, String>) -> Result<Vec<u8>> {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(_, _, values)| values.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let failed = |error: safetensors::SafeTensorError| Error::invalid(format!("tensors cannot be saved: {error}"));
    let views: Vec<(&str, TensorView)> = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, shape, _), bytes)| Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    safetensors::serialize(views, Some(about)).map_err(failed)
}

/// Shape and numbers of a tensor.
pub(crate) type Shaped = (Vec<usize>, Vec<f32>);

/// Those of an f32 tensor; `None` where there is none of that name, a text where it is of another kind.
pub(crate) fn numbers(file: &SafeTensors, name: &str) -> Result<Option<Shaped>, String> {
    let Ok(view) = file.tensor(name) else { return Ok(None) };
    if view.dtype() != Dtype::F32 {
        return Err(format!("tensor '{name}' has type {:?}, expected F32", view.dtype()));
    }
    let number = |bytes: &[u8]| bytes.try_into().map(f32::from_le_bytes).unwrap_or(f32::NAN);
    Ok(Some((view.shape().to_vec(), view.data().chunks_exact(4).map(number).collect())))
}

/// BLAKE3 of the texts and the tensors, both in the order of their names.
pub(crate) fn checksum(about: &BTreeMap<String, String>, tensors: &[Named]) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    for (name, text) in about {
        part(name.as_bytes());
        part(text.as_bytes());
    }
    let mut tensors: Vec<&Named> = tensors.iter().collect();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, shape, values) in tensors {
        part(name.as_bytes());
        part(&shape.iter().flat_map(|&side| (side as u64).to_le_bytes()).collect::<Vec<u8>>());
        part(&values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
    }
    hasher.finalize().to_hex().to_string()
}

/// Writes `path` atomically: an opening afterwards, even after a power loss, gets all of it or the earlier file. It writes
/// through no link.
///
/// # Errors
/// `Io`; then what was there before stays, and the half-written file is removed.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let io = |error: std::io::Error| {
        let help = "free some space or choose another folder; the earlier checkpoint is complete, and the training can resume from it";
        Error::io(path, error).help(help)
    };
    let beside = beside(path);
    let file = new_file(&beside).map_err(io)?;
    let written = write_beside(file, &beside, path, bytes);
    if written.is_err() {
        // The first error is the one to tell.
        let _gone_or_left_for_the_next_writer = std::fs::remove_file(&beside);
    }
    written.map_err(io)
}

/// The name under which a file is written before it gets its own.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    path.with_file_name(name)
}

fn write_beside(mut file: File, beside: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(beside, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// A new, empty file. A plain file that has the name gives way; nothing is written through a link, or into a file that has other
/// names as well.
pub(crate) fn new_file(path: &Path) -> std::io::Result<File> {
    match path.symlink_metadata() {
        Ok(found) if found.is_file() => std::fs::remove_file(path)?,
        // What is no plain file is refused by what follows.
        _ => {}
    }
    File::options().write(true).create_new(true).open(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn what_cannot_be_written_leaves_what_was_there_and_what_a_link_leads_to() {
        let folder = tempfile::tempdir().unwrap();
        let (path, outside) = (folder.path().join("state"), folder.path().join("outside"));
        write_whole(&path, b"first").unwrap();
        std::fs::write(&outside, b"theirs").unwrap();
        // The name that is written first leads elsewhere.
        std::os::unix::fs::symlink(&outside, beside(&path)).unwrap();
        let refusal = write_whole(&path, &[7; 100_000]).unwrap_err().to_string();
        assert!(refusal.contains("File exists") && refusal.contains("can resume from it"), "{refusal}");
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(std::fs::read(&outside).unwrap(), b"theirs");
        // One that a killed process left is replaced, and another name of it is not written.
        std::fs::remove_file(beside(&path)).unwrap();
        std::fs::hard_link(&outside, beside(&path)).unwrap();
        write_whole(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::read(&outside).unwrap(), b"theirs");
    }

    #[test]
    fn tensors_survive_their_file() {
        let tensors = [("b".to_owned(), vec![2, 1], vec![1.5, -0.0]), ("a".to_owned(), vec![0], vec![])];
        let bytes = serialise(&tensors, HashMap::new()).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let (shape, values) = numbers(&file, "b").unwrap().unwrap();
        assert_eq!(shape, [2, 1]);
        assert!(values.iter().map(|x| x.to_bits()).eq([1.5f32, -0.0].map(f32::to_bits)));
        assert_eq!(numbers(&file, "c"), Ok(None));
    }
}
