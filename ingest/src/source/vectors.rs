//! Files of vectors, read in pieces: `.npy` (2-d, C order, f2 f4 f8 or u1) and `.fvecs`.
//!
//! Shapes are checked against the length of the file before anything is allocated, and no allocation is larger than what the
//! caller asks for in rows.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use cairn::{Error, MAX_DIMENSION, Result};

/// Largest header of a .npy file that is read: 64 KiB; numpy writes 128 bytes.
pub const MAX_NPY_HEADER: usize = 64 << 10;

/// How a number is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    F16,
    F32,
    F64,
    U8,
}

impl Element {
    fn bytes(self) -> usize {
        match self {
            Element::U8 => 1,
            Element::F16 => 2,
            Element::F32 => 4,
            Element::F64 => 8,
        }
    }
}

/// An open file of `rows` vectors of `dimension` numbers.
#[derive(Debug)]
pub struct VectorFile {
    path: PathBuf,
    file: File,
    rows: usize,
    dimension: usize,
    element: Element,
    /// Offset of the first row.
    start: u64,
    /// Bytes before each row's numbers: 4 in .fvecs, which repeats the dimension there.
    before_row: usize,
}

impl VectorFile {
    /// Opens a file by its ending.
    ///
    /// # Errors
    /// When it is not there, of another kind, damaged, or of a shape that cannot be used; the message names the file.
    pub fn open(path: &Path) -> Result<Self> {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
        let file = File::open(path).map_err(|error| Error::io(path, error))?;
        let length = file.metadata().map_err(|error| Error::io(path, error))?.len();
        match ending.as_str() {
            "npy" => Self::npy(path, file, length),
            "fvecs" => Self::fvecs(path, file, length),
            _ => Err(refuse(path, "not a file of vectors").help("files of vectors end in .npy or .fvecs")),
        }
    }

    fn npy(path: &Path, mut file: File, length: u64) -> Result<Self> {
        let io = |error| Error::io(path, error);
        let mut header = vec![0; MAX_NPY_HEADER.min(usize::try_from(length).unwrap_or(MAX_NPY_HEADER))];
        file.read_exact(&mut header).map_err(io)?;
        let text_at = match header.get(..8) {
            Some([0x93, b'N', b'U', b'M', b'P', b'Y', 1, _]) => 10,
            Some([0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _]) => 12,
            _ => return Err(refuse(path, "not a .npy file")),
        };
        let announced =
            header.get(8..text_at).unwrap_or_default().iter().rev().fold(0, |n, &b| n << 8 | usize::from(b));
        let start = announced.saturating_add(text_at);
        let Some(text) = header.get(text_at..start) else {
            return Err(refuse(
                path,
                &format!("its header of {announced} bytes is longer than the file or than allowed"),
            ));
        };
        let Some(NpyHeader { kind, fortran_order, shape }) = NpyHeader::parse(text) else {
            return Err(refuse(path, "its header is not numpy's"));
        };
        let element = match kind {
            "<f2" => Element::F16,
            "<f4" => Element::F32,
            "<f8" => Element::F64,
            "|u1" => Element::U8,
            other => {
                return Err(refuse(path, &format!("it holds numbers of kind {other}"))
                    .help("read are little-endian f2, f4, f8 and u1; convert with numpy's astype('<f4')"));
            }
        };
        let &[rows, dimension] = shape.as_slice() else {
            let what = format!("its shape is {shape:?}; expected are two axes, rows and dimension");
            return Err(refuse(path, &what));
        };
        if fortran_order && rows > 1 && dimension > 1 {
            return Err(refuse(path, "it is in Fortran order").help("save it with numpy.ascontiguousarray"));
        }
        let data = rows.checked_mul(dimension).and_then(|n| n.checked_mul(element.bytes() as u64));
        if data.and_then(|data| data.checked_add(start as u64)) != Some(length) {
            let what = format!("{rows} x {dimension} numbers do not fit its length of {length} bytes");
            return Err(refuse(path, &what).help("the file is cut short or damaged; write it again"));
        }
        Self::checked(path, file, (rows, dimension), element, start as u64, 0)
    }

    fn fvecs(path: &Path, mut file: File, length: u64) -> Result<Self> {
        if length == 0 {
            return Err(refuse(path, "the file is empty"));
        }
        let mut first = [0; 4];
        file.read_exact(&mut first).map_err(|_| refuse(path, "shorter than one vector"))?;
        let dimension = u64::from(u32::from_le_bytes(first));
        let row = 4 + 4 * dimension;
        if !length.is_multiple_of(row) {
            let what = format!("{length} bytes are no whole number of vectors of dimension {dimension}");
            return Err(refuse(path, &what).help("the file is cut short, damaged, or no .fvecs file"));
        }
        Self::checked(path, file, (length / row, dimension), Element::F32, 0, 4)
    }

    fn checked(
        path: &Path,
        file: File,
        (rows, dimension): (u64, u64),
        element: Element,
        start: u64,
        before_row: usize,
    ) -> Result<Self> {
        if rows == 0 {
            return Err(refuse(path, "there is no vector in it"));
        }
        let sizes = usize::try_from(rows).ok().zip(usize::try_from(dimension).ok());
        let Some((rows, dimension)) = sizes.filter(|&(_, d)| (1..=MAX_DIMENSION).contains(&d)) else {
            return Err(refuse(path, &format!("a dimension of {dimension} cannot be used (1 to {MAX_DIMENSION})")));
        };
        Ok(Self { path: path.to_owned(), file, rows, dimension, element, start, before_row })
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
        let row_bytes = self.before_row + self.dimension * self.element.bytes();
        let at = self.start + first as u64 * row_bytes as u64;
        let mut bytes = vec![0; row_bytes * count];
        let io = |error| Error::io(&self.path, error);
        self.file.seek(SeekFrom::Start(at)).map_err(io)?;
        self.file.read_exact(&mut bytes).map_err(io)?;
        let mut numbers = Vec::with_capacity(count * self.dimension);
        for (row, bytes) in (first..).zip(bytes.chunks_exact(row_bytes)) {
            let (before, bytes) = bytes.split_at(self.before_row);
            if let Ok(dimension) = <[u8; 4]>::try_from(before) {
                let dimension = u32::from_le_bytes(dimension);
                if usize::try_from(dimension) != Ok(self.dimension) {
                    let what = format!("row {row} has dimension {dimension}, the first has {}", self.dimension);
                    return Err(refuse(&self.path, &what));
                }
            }
            match self.element {
                Element::U8 => numbers.extend(bytes.iter().map(|&x| f32::from(x))),
                Element::F16 => numbers.extend(bytes.as_chunks().0.iter().map(|&x| half(u16::from_le_bytes(x)))),
                Element::F32 => numbers.extend(bytes.as_chunks().0.iter().map(|&x| f32::from_le_bytes(x))),
                Element::F64 => numbers.extend(bytes.as_chunks().0.iter().map(|&x| f64::from_le_bytes(x) as f32)),
            }
        }
        Ok(numbers)
    }
}

/// Why a vector cannot be stored; `None` when it can.
pub fn row_fault(row: &[f32]) -> Option<&'static str> {
    if row.iter().any(|x| !x.is_finite()) {
        Some("holds NaN or infinity")
    } else if row.iter().all(|&x| x == 0.0) {
        Some("is zero")
    } else {
        None
    }
}

/// IEEE half precision to single, exactly.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    let size = match exponent {
        0 => fraction * (-24f32).exp2(),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + fraction) * ((exponent - 25) as f32).exp2(),
    };
    sign * size
}

/// The three entries of a .npy header, a Python dictionary. Read here because the general parser (npyz 0.9) panics on a shape
/// whose product overflows and recurses with its brackets.
struct NpyHeader<'a> {
    kind: &'a str,
    fortran_order: bool,
    shape: Vec<u64>,
}

impl<'a> NpyHeader<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        let text = str::from_utf8(text).ok()?.trim();
        let entries = text.strip_prefix('{')?.strip_suffix('}')?;
        let value = |name: &str| {
            let (_, rest) = entries.split_once(name)?;
            Some(rest.trim_start().strip_prefix(':')?.trim_start())
        };
        let kind = match value("'descr'")?.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'')?.0,
            None => "structure",
        };
        let order = value("'fortran_order'")?;
        let fortran_order = order.starts_with("True");
        if !fortran_order && !order.starts_with("False") {
            return None;
        }
        let (axes, _) = value("'shape'")?.strip_prefix('(')?.split_once(')')?;
        let axes = axes.split(',').map(str::trim).filter(|axis| !axis.is_empty());
        Some(Self { kind, fortran_order, shape: axes.map(|axis| axis.parse().ok()).collect::<Option<_>>()? })
    }
}

fn refuse(path: &Path, what: &str) -> Error {
    Error::invalid(format!("{}: {what}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
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
            (npy(&header(">f4", "(2, 2)"), &[0; 16]), "kind >f4"),
            (npy(&header("<i8", "(1, 2)"), &[0; 16]), "kind <i8"),
            (npy(&format!("{{'descr': {}'<f4'", "(".repeat(5000)), &[]), "not numpy's"),
            (npy(&f4.replace("False", "True"), &[0; 16]), "Fortran"),
            (b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(), "longer than the file"),
            (b"PK".to_vec(), "not a .npy"),
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
        assert_eq!(row_fault(&[f32::NAN]), Some("holds NaN or infinity"));
    }
}
