//! The files of `make_data.py`: rows of a 4-byte length and that many 4-byte values, all little-endian.

use std::path::Path;

/// Rows of one length.
pub(crate) struct Rows<T> {
    /// Values of a row.
    pub(crate) width: usize,
    values: Vec<T>,
}

impl<T: Copy> Rows<T> {
    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.values.len() / self.width
    }

    /// One of them.
    pub(crate) fn row(&self, at: usize) -> &[T] {
        &self.values[at * self.width..(at + 1) * self.width]
    }
}

/// The rows of a file.
fn read<T: Copy>(path: &Path, value: fn([u8; 4]) -> T) -> Result<Rows<T>, String> {
    let of = |problem: &str| format!("{}: {problem}", path.display());
    let bytes = std::fs::read(path).map_err(|error| of(&error.to_string()))?;
    let (words, rest) = bytes.as_chunks::<4>();
    let width = words.first().map_or(0, |first| u32::from_le_bytes(*first) as usize);
    if width == 0 || !rest.is_empty() || words.len() % (width + 1) != 0 {
        return Err(of("is not a file of rows of one length"));
    }
    let values = words.chunks_exact(width + 1).flat_map(|row| &row[1..]).map(|&word| value(word)).collect();
    Ok(Rows { width, values })
}

/// Descriptors.
pub(crate) fn floats(path: &Path) -> Result<Rows<f32>, String> {
    read(path, f32::from_le_bytes)
}

/// Row numbers.
pub(crate) fn numbers(path: &Path) -> Result<Rows<u32>, String> {
    read(path, u32::from_le_bytes)
}
