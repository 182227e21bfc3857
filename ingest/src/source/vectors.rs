//! Files of vectors, read in pieces: `.npy` (2-d, in either order, any float, integer or bool type), a `.npz` of one such array,
//! and `.fvecs`.
//!
//! Shapes are checked against the length of the file before anything is allocated, and no allocation is larger than what the
//! caller asks for in rows.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use cairn::limits::MAX_DIMENSION;
use cairn::{Error, Result};

use super::npy::{Element, MAX_NPY_HEADER, NpyHeader, START_BYTES, text_place};
use super::npz::{Region, only_array};
use super::refuse;
use crate::plain::open_plain;

/// The extensions of files of vectors.
pub const VECTOR_ENDINGS: [&str; 3] = ["npy", "npz", "fvecs"];

/// Whether a name has such an extension ([`VECTOR_ENDINGS`]).
pub fn is_vectors(path: &Path) -> bool {
    path.extension().is_some_and(|ending| VECTOR_ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

/// An open file of `rows` vectors of `dimension` numbers.
#[derive(Debug)]
pub struct VectorFile {
    path: PathBuf,
    file: File,
    rows: usize,
    dimension: usize,
    layout: Layout,
    /// Offset of the first number, or of the bytes before it.
    start: u64,
}

/// The layout of a file's numbers.
#[derive(Debug, Clone, Copy)]
struct Layout {
    element: Element,
    is_big_endian: bool,
    /// The first number of every vector, then the second of every vector, and so on.
    by_columns: bool,
    /// Bytes before each row's numbers: 4 in .fvecs, which repeats the dimension there.
    before_row: usize,
}

impl VectorFile {
    /// Opens a file by its extension; the content tells .npy from .npz.
    ///
    /// # Errors
    /// When it does not exist, is no plain file, has another format, is damaged, or has an unusable shape; the message names the
    /// file.
    pub fn open(path: &Path) -> Result<Self> {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
        if !is_vectors(path) {
            return Err(refuse(path, "not a file of vectors").help("files of vectors end in .npy, .npz or .fvecs"));
        }
        let (file, length) = open_plain(path)?;
        if ending == "fvecs" {
            return Self::fvecs(path, file, length);
        }
        let mut magic = [0; 4];
        match file.read_exact_at(&mut magic, 0) {
            Ok(()) if magic == *b"PK\x03\x04" => Self::npy(path, only_array(path, file, length)?),
            _ => Self::npy(path, Region { file, start: 0, length }),
        }
    }

    fn npy(path: &Path, Region { file, start: begin, length }: Region) -> Result<Self> {
        let read = |at: u64, bytes: usize| -> Result<Vec<u8>> {
            let mut buffer = vec![0; bytes];
            file.read_exact_at(&mut buffer, begin + at).map_err(|error| Error::io(path, error))?;
            Ok(buffer)
        };
        let first = read(0, START_BYTES.min(usize::try_from(length).unwrap_or(START_BYTES)))?;
        let Some((text, start)) = text_place(&first) else {
            return Err(refuse(path, "not a .npy file").help("save the vectors with numpy.save"));
        };
        let announced = start - text;
        if announced > MAX_NPY_HEADER || start as u64 > length {
            return Err(refuse(
                path,
                &format!("its header of {announced} bytes is longer than the file or than allowed"),
            ));
        }
        let header = NpyHeader::parse(&read(text as u64, announced)?);
        let NpyHeader { element, is_big_endian, fortran_order, shape } =
            header.map_err(|(what, help)| refuse(path, &what).help(help))?;
        let &[rows, dimension] = shape.as_slice() else {
            let what = format!("its shape is {shape:?}, and vectors need two axes: rows and dimension");
            return Err(refuse(path, &what));
        };
        let data = rows.checked_mul(dimension).and_then(|n| n.checked_mul(element.bytes() as u64));
        if data.and_then(|data| data.checked_add(start as u64)) != Some(length) {
            let what = format!("{rows} x {dimension} numbers do not fit its length of {length} bytes");
            return Err(refuse(path, &what).help("the file is cut short or damaged; write it again"));
        }
        let layout = Layout { element, is_big_endian, by_columns: fortran_order, before_row: 0 };
        Self::checked(path, file, (rows, dimension), layout, begin + start as u64)
    }

    fn fvecs(path: &Path, file: File, length: u64) -> Result<Self> {
        if length == 0 {
            return Err(refuse(path, "the file is empty"));
        }
        let mut first = [0; 4];
        file.read_exact_at(&mut first, 0).map_err(|_| refuse(path, "shorter than one vector"))?;
        let dimension = u64::from(u32::from_le_bytes(first));
        let row = 4 + 4 * dimension;
        if !length.is_multiple_of(row) {
            let what = format!("its {length} bytes do not hold a whole number of vectors of dimension {dimension}");
            return Err(refuse(path, &what).help("the file is cut short, damaged, or no .fvecs file"));
        }
        let layout = Layout { element: Element::F32, is_big_endian: false, by_columns: false, before_row: 4 };
        Self::checked(path, file, (length / row, dimension), layout, 0)
    }

    fn checked(path: &Path, file: File, (rows, dimension): (u64, u64), layout: Layout, start: u64) -> Result<Self> {
        if rows == 0 {
            return Err(refuse(path, "it has no vectors"));
        }
        let sizes = usize::try_from(rows).ok().zip(usize::try_from(dimension).ok());
        let Some((rows, dimension)) = sizes.filter(|&(_, d)| (1..=MAX_DIMENSION).contains(&d)) else {
            return Err(refuse(path, &format!("a dimension of {dimension} cannot be used (1 to {MAX_DIMENSION})")));
        };
        Ok(Self { path: path.to_owned(), file, rows, dimension, layout, start })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of vectors.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers in a vector.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// `count` vectors from row `first` on (0-based; fewer at the end of the file), row-major.
    ///
    /// # Errors
    /// When reading fails, or a row of an .fvecs file has another dimension.
    pub fn read(&mut self, first: usize, count: usize) -> Result<Vec<f32>> {
        let first = first.min(self.rows);
        let count = count.min(self.rows - first);
        if self.layout.by_columns { self.columns(first, count) } else { self.rows_of(first, count) }
    }

    fn bytes(&self, at: u64, count: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.file.read_exact_at(&mut bytes, self.start + at).map_err(|error| Error::io(&self.path, error))?;
        Ok(bytes)
    }

    fn rows_of(&self, first: usize, count: usize) -> Result<Vec<f32>> {
        let Layout { element, is_big_endian, before_row, .. } = self.layout;
        let row_bytes = before_row + self.dimension * element.bytes();
        let bytes = self.bytes(first as u64 * row_bytes as u64, row_bytes * count)?;
        let mut numbers = Vec::with_capacity(count * self.dimension);
        for (row, bytes) in (first..).zip(bytes.chunks_exact(row_bytes)) {
            let (before, bytes) = bytes.split_at(before_row);
            if let Ok(dimension) = <[u8; 4]>::try_from(before) {
                let dimension = u32::from_le_bytes(dimension);
                if usize::try_from(dimension) != Ok(self.dimension) {
                    let what = format!("row {row} has dimension {dimension}, the first has {}", self.dimension);
                    return Err(refuse(&self.path, &what));
                }
            }
            element.read(bytes, is_big_endian, &mut numbers);
        }
        Ok(numbers)
    }

    /// The same for a layout with one axis after the other: a piece of each.
    fn columns(&self, first: usize, count: usize) -> Result<Vec<f32>> {
        let Layout { element, is_big_endian, .. } = self.layout;
        let (size, mut numbers) = (element.bytes(), vec![0.0; count * self.dimension]);
        let mut column = Vec::with_capacity(count);
        for axis in 0..self.dimension {
            let at = (axis as u64 * self.rows as u64 + first as u64) * size as u64;
            column.clear();
            element.read(&self.bytes(at, size * count)?, is_big_endian, &mut column);
            numbers.iter_mut().skip(axis).step_by(self.dimension).zip(&column).for_each(|(to, from)| *to = *from);
        }
        Ok(numbers)
    }
}

/// Why a vector cannot be stored; `None` if it can.
pub fn row_fault(row: &[f32]) -> Option<&'static str> {
    if row.iter().any(|x| !x.is_finite()) {
        Some("holds NaN, infinity or a number out of the range of 32-bit floats")
    } else if row.iter().all(|&x| x == 0.0) {
        Some("is zero")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::super::npz::tests::zip;
    use super::*;

    fn npy(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.bytes());
        bytes.extend(data);
        bytes
    }

    fn open(name: &str, bytes: &[u8]) -> Result<VectorFile> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        VectorFile::open(&path)
    }

    fn header(kind: &str, shape: &str) -> String {
        format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n")
    }

    #[test]
    fn every_kind_of_number_is_read_in_pieces() {
        let f4: Vec<u8> = [1f32, 2.0, 3.0, -4.5, 0.0, 6.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let mut file = open("v.npy", &npy(&header("<f4", "(3, 2)"), &f4)).unwrap();
        assert_eq!((file.rows(), file.dimension()), (3, 2));
        assert_eq!(file.read(1, 1).unwrap(), [3.0, -4.5]);
        assert_eq!(file.read(2, 9).unwrap(), [0.0, 6.0]);
        assert!(file.read(7, 1).unwrap().is_empty());
        let f8: Vec<u8> = [0.5f64, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(open("v.npy", &npy(&header("<f8", "(1, 2)"), &f8)).unwrap().read(0, 1).unwrap(), [0.5, -2.0]);
        assert_eq!(open("v.npy", &npy(&header("|u1", "(1, 2)"), &[7, 255])).unwrap().read(0, 1).unwrap(), [7.0, 255.0]);
        let f2: Vec<u8> = [0x3C00u16, 0xC100, 0x0001, 0x7BFF].iter().flat_map(|x| x.to_le_bytes()).collect();
        let read = open("v.npy", &npy(&header("<f2", "(2, 2)"), &f2)).unwrap().read(0, 2).unwrap();
        assert_eq!(read, [1.0, -2.5, 5.960_464_5e-8, 65504.0]);
        let mut fvecs = Vec::new();
        for row in [[1f32, 2.0], [3.0, 4.0]] {
            fvecs.extend(2u32.to_le_bytes());
            row.iter().for_each(|x| fvecs.extend(x.to_le_bytes()));
        }
        let mut file = open("v.fvecs", &fvecs).unwrap();
        assert_eq!(file.read(0, 2).unwrap(), [1.0, 2.0, 3.0, 4.0]);
        fvecs[12] = 3;
        assert!(open("v.fvecs", &fvecs).unwrap().read(0, 2).unwrap_err().to_string().contains("row 1 has dimension 3"));
        assert!(open("v.fvecs", &fvecs[..20]).is_err());
    }

    /// It catches: another order of the axes or of the bytes that is read as rows of little-endian numbers.
    #[test]
    fn arrays_by_columns_and_of_other_machines_give_the_same_rows() {
        let rows = [[1f32, 2.0], [3.0, -4.5], [0.0, 6.0]];
        let by_rows: Vec<f32> = rows.concat();
        let by_columns: Vec<f32> = (0..2).flat_map(|axis| rows.iter().map(move |row| row[axis])).collect();
        for (order, numbers) in [("False", &by_rows), ("True", &by_columns)] {
            for kind in ["<f4", ">f4"] {
                let bytes = numbers.iter().flat_map(|x| {
                    let mut bytes = x.to_le_bytes();
                    if kind == ">f4" {
                        bytes.reverse();
                    }
                    bytes
                });
                let text = header(kind, "(3, 2)").replace("False", order);
                let bytes = npy(&text, &bytes.collect::<Vec<_>>());
                for (name, bytes) in
                    [("v.npy", bytes.clone()), ("v.npz", zip(&[("v.npy", &bytes)], 8)), ("v.NPZ", bytes)]
                {
                    let mut file = open(name, &bytes).unwrap();
                    assert_eq!((file.rows(), file.dimension()), (3, 2));
                    assert_eq!(file.read(0, 3).unwrap(), by_rows, "{order} {kind} {name}");
                    assert_eq!(file.read(1, 1).unwrap(), rows[1]);
                    assert_eq!(file.read(2, 9).unwrap(), rows[2]);
                    assert!(file.read(7, 1).unwrap().is_empty());
                }
            }
        }
    }

    /// It catches: a long header in the version that numpy writes for it, refused for its length.
    #[test]
    fn long_headers_of_later_versions_are_read() {
        for version in [2, 3] {
            let text = header("<f4", "(1, 2)").trim_end().to_owned() + &" ".repeat(200_000) + "\n";
            let mut bytes = vec![0x93, b'N', b'U', b'M', b'P', b'Y', version, 0];
            bytes.extend((text.len() as u32).to_le_bytes());
            bytes.extend(text.bytes());
            bytes.extend([1f32, 2.0].iter().flat_map(|x| x.to_le_bytes()));
            assert_eq!(open("v.npy", &bytes).unwrap().read(0, 1).unwrap(), [1.0, 2.0]);
        }
        let long = (MAX_NPY_HEADER as u32 + 1).to_le_bytes();
        let start = [b"\x93NUMPY\x02\x00", &long[..]].concat();
        let error = open("v.npy", &[start, vec![b' '; MAX_NPY_HEADER + 1]].concat()).unwrap_err().to_string();
        assert!(error.contains("than allowed"), "{error}");
    }

    #[test]
    fn sizes_that_do_not_fit_are_errors_without_allocation() {
        let f4 = header("<f4", "(2, 2)");
        for (bytes, said) in [
            (npy(&f4, &[0; 15]), "do not fit"),
            (npy(&f4, &[0; 17]), "do not fit"),
            (npy(&header("<f4", "(9223372036854775807, 4)"), &[0; 16]), "do not fit"),
            (npy(&header("<f4", "(4,)"), &[0; 16]), "two axes"),
            (npy(&header("<f4", "(0, 4)"), &[]), "no vector"),
            (npy(&header("<f4", "(4, 0)"), &[]), "dimension of 0"),
            (npy(&header("<c8", "(1, 2)"), &[0; 16]), "type <c8"),
            (npy(&format!("{{'descr': {}'<f4'", "(".repeat(5000)), &[]), "not numpy's"),
            (npy(&f4.replace("False", "True"), &[0; 15]), "do not fit"),
            (b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(), "longer than the file"),
            (b"PK".to_vec(), "not a .npy"),
            (b"PK\x03\x04".to_vec(), "damaged .npz"),
        ] {
            let error = open("v.npy", &bytes).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        assert!(open("v.fvecs", &u32::MAX.to_le_bytes()).is_err());
        assert!(open("v.fvecs", b"").is_err());
        assert!(open("v.txt", b"1 2").unwrap_err().to_string().contains(".fvecs"));
    }

    #[test]
    fn faults_of_rows_are_named() {
        assert_eq!(row_fault(&[0.0, 1.0]), None);
        assert_eq!(row_fault(&[0.0, -0.0]), Some("is zero"));
        assert_eq!(row_fault(&[f32::NAN]), Some("holds NaN, infinity or a number out of the range of 32-bit floats"));
    }
}
