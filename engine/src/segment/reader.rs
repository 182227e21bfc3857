//! Reads a segment: it checks the file by reading it, then maps it; it checks a row of vectors at its first use.
//!
//! A damaged file is refused at the opening. A damaged row of vectors is noticed before its use and read from the catalog
//! instead.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Deref;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use memmap2::{Advice, Mmap};
use parking_lot::Mutex;

use super::layout::{ALIGN, FOOTER_BYTES, Header, SECTIONS_START, Section, check_of};
use crate::catalog::SegmentEntry;
use crate::disk::{Folder, point};
use crate::error::Result;
use crate::graph::Graph;
use crate::id::ImageId;
use crate::process::pool;
use crate::vector::{Sketches, is_of_a_unit_vector, is_unit, sketched_once, stride};

/// Bytes read at a time while checking.
const READ_BYTES: usize = 1 << 20;
/// Bytes of a section that one task checks.
const TASK_BYTES: u64 = 32 << 20;

thread_local! {
    /// The row at hand.
    static ROW: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Gives the stored descriptor of an image: what a segment's copy is measured by.
pub(crate) type Truth = Arc<dyn Fn(ImageId) -> Result<Vec<f32>> + Send + Sync>;

/// What a segment's file must say of itself, because the database says so. Checksums that fit tell nothing of who wrote it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    pub(crate) database: [u8; 16],
    /// Of the descriptors of its space.
    pub(crate) dimension: usize,
    pub(crate) entry: SegmentEntry,
}

impl Expected {
    fn compare(&self, header: &Header, bytes: u64) -> std::result::Result<(), Damage> {
        let entry = &self.entry;
        let differs = |what: &str, found: String, wanted: String| {
            Err(Damage(format!("is not the one that the database names: its {what} is {found}, not {wanted}")))
        };
        for (what, found, wanted) in [
            ("number", header.segment.0, entry.id.0),
            ("space", u64::from(header.space.0), u64::from(entry.space.0)),
            ("dimension", header.dimension as u64, self.dimension as u64),
            ("number of rows", header.rows as u64, entry.rows),
            ("first id", header.first.0, entry.first.0),
            ("last id", header.last.0, entry.last.0),
            ("length", bytes, entry.bytes),
        ] {
            if found != wanted {
                return differs(what, found.to_string(), wanted.to_string());
            }
        }
        if header.role != entry.role {
            return differs("role", format!("{:?}", header.role), format!("{:?}", entry.role));
        }
        if header.database != self.database {
            return Err(Damage("is a file of another database".to_owned()));
        }
        Ok(())
    }
}

/// Why a segment file cannot be used, in words that follow its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage(pub(crate) String);

impl From<String> for Damage {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// A descriptor: the mapped copy, or the catalog's where the copy is damaged.
#[derive(Debug, Clone)]
pub(crate) enum Vector<'a> {
    /// In a map or in memory.
    Lent(&'a [f32]),
    /// Read from the catalog.
    Mended(Arc<[f32]>),
}

impl Deref for Vector<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::Lent(values) => values,
            Self::Mended(values) => values,
        }
    }
}

/// An open segment. Its file may be unlinked while it is held.
pub(crate) struct Segment {
    header: Header,
    map: Mmap,
    /// Only where the kernel cannot be asked to read a piece of the map: else a segment holds no open file.
    file: Option<File>,
    truth: Truth,
    /// One bit a row: its vector was found whole.
    whole: Box<[AtomicU64]>,
    damaged: AtomicBool,
    mended: Mutex<HashMap<usize, Arc<[f32]>>>,
    sketches: OnceLock<Sketches>,
}

impl Segment {
    /// Opens a file of a folder that must be the one that is expected, and checks everything but the vectors by reading.
    ///
    /// Complexity: reads ids, keys, codes and links once, on all processors; of the codes also whether a vector may have them, which
    /// takes about as long as their checksum.
    ///
    /// # Errors
    /// [`Damage`]: the file is not there, is not whole, is another one, or holds what no segment does.
    pub(crate) fn open(
        folder: &Folder,
        name: &str,
        expected: &Expected,
        truth: Truth,
    ) -> std::result::Result<Self, Damage> {
        let io = |error: std::io::Error| Damage(format!("cannot be read: {error}"));
        point("segment.open").map_err(|error| Damage(error.message().to_owned()))?;
        let mut file = opened(folder, name)?;
        let length = file.metadata().map_err(io)?.len();
        let mut head = vec![0; SECTIONS_START.min(usize::try_from(length).unwrap_or(SECTIONS_START))];
        file.read_exact(&mut head).map_err(io)?;
        let header = Header::decode(&head, length)?;
        if check_of(&head) != expected.entry.check {
            return Err(Damage("is not the file that the database wrote under this name".to_owned()));
        }
        expected.compare(&header, length)?;
        check_footer(&mut file, &header, &head).map_err(io)?.map_err(Damage)?;
        check_sections(&file, &header, |section| section.is_checked_at_open())?;
        check_vector_padding(&mut file, &header).map_err(io)?.map_err(Damage)?;
        // SAFETY: the file was written by this program under a name that is never written again, and the database's lock keeps
        // other writers out; files are unlinked, never truncated.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        if map.len() as u64 != length {
            return Err(Damage("changed its length during the opening".to_owned()));
        }
        let mut can_populate = true;
        for section in Section::ALL.into_iter().filter(|section| section.is_checked_at_open()) {
            let entry = header.entry(section);
            can_populate &= populate(&map, entry.offset as usize, entry.length as usize).map_err(io)?;
        }
        let whole = (0..header.rows.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let segment = Self {
            header,
            map,
            file: (!can_populate).then_some(file),
            truth,
            whole,
            damaged: AtomicBool::new(false),
            mended: Mutex::default(),
            sketches: OnceLock::new(),
        };
        segment.check_contents()?;
        Ok(segment)
    }

    /// What must hold of sound bytes too: nothing in them may lead outside of them.
    fn check_contents(&self) -> std::result::Result<(), Damage> {
        let ids = self.ids();
        let rising = ids.windows(2).all(|pair| pair[0] < pair[1]);
        if !rising || ids.first() != Some(&self.header.first.0) || ids.last() != Some(&self.header.last.0) {
            return Err(Damage("has ids out of order".to_owned()));
        }
        let (starts, keys) = (self.numbers::<u64>(Section::KeyStarts), self.section(Section::Keys));
        let sound = starts.first() == Some(&0)
            && starts.last() == Some(&(keys.len() as u64))
            && starts.windows(2).all(|pair| {
                pair[0] <= pair[1]
                    && keys.get(pair[0] as usize..pair[1] as usize).is_some_and(|key| std::str::from_utf8(key).is_ok())
            });
        if !sound {
            return Err(Damage("has keys out of order".to_owned()));
        }
        self.check_codes()?;
        match self.graph() {
            Some(graph) => graph.check().map_err(Damage),
            None => Ok(()),
        }
    }

    /// A search believes what codes say of how far they are from their vectors.
    fn check_codes(&self) -> std::result::Result<(), Damage> {
        let (dimension, width) = (self.header.dimension, stride(self.header.dimension));
        let of_vectors = |piece: &std::ops::Range<usize>| {
            let codes = &self.codes()[piece.start * width..piece.end * width];
            codes.chunks_exact(width).all(|row| is_of_a_unit_vector(row, dimension))
        };
        match pool::map(&pool::pieces(self.rows(), 1024), of_vectors).contains(&false) {
            true => Err(Damage("has codes that no descriptor has".to_owned())),
            false => Ok(()),
        }
    }

    /// What the file says of itself.
    #[cfg(any(test, feature = "hostile"))]
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// Number of rows, dead ones included.
    pub(crate) fn rows(&self) -> usize {
        self.header.rows
    }

    /// Bytes of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.map.len() as u64
    }

    fn section(&self, section: Section) -> &[u8] {
        let entry = self.header.entry(section);
        &self.map[entry.offset as usize..(entry.offset + entry.length) as usize]
    }

    fn numbers<T: bytemuck::AnyBitPattern>(&self, section: Section) -> &[T] {
        // Maps start at a page and sections at multiples of 64, so this cannot fail; a length that is no multiple was refused.
        bytemuck::try_cast_slice(self.section(section)).unwrap_or_default()
    }

    /// Image ids, rising.
    pub(crate) fn ids(&self) -> &[u64] {
        self.numbers(Section::Ids)
    }

    /// External key of a row.
    pub(crate) fn key(&self, row: usize) -> &str {
        let starts = self.numbers::<u64>(Section::KeyStarts);
        let key = &self.section(Section::Keys)[starts[row] as usize..starts[row + 1] as usize];
        // Checked at open.
        std::str::from_utf8(key).unwrap_or_default()
    }

    /// Coded rows.
    pub(crate) fn codes(&self) -> &[u8] {
        self.section(Section::Codes)
    }

    /// The sketches of its rows, made from the codes when they are first asked for.
    pub(crate) fn sketches(&self) -> &Sketches {
        sketched_once(&self.sketches, self.codes(), self.header.dimension)
    }

    /// The links, unless the segment is so small that it has none.
    pub(crate) fn graph(&self) -> Option<Graph<'_>> {
        let base = self.numbers(Section::BaseLinks);
        (!base.is_empty()).then(|| Graph {
            rows: self.rows(),
            base,
            upper_counts: self.numbers(Section::UpperCounts),
            upper_rows: self.numbers(Section::UpperRows),
            upper_links: self.numbers(Section::UpperLinks),
        })
    }

    fn mapped_vector(&self, row: usize) -> &[u8] {
        let bytes = 4 * self.header.dimension;
        &self.section(Section::Vectors)[row * bytes..(row + 1) * bytes]
    }

    /// Asks for the descriptor of a row before it is needed.
    pub(crate) fn prefetch(&self, row: usize) {
        crate::vector::prefetch(self.mapped_vector(row));
    }

    /// The checksum of a row's descriptor as it lies on the disk. Its pages are read into memory first: what cannot be read is an error
    /// so, and would be a fatal signal at the first look.
    fn sum_of(&self, row: usize) -> std::io::Result<u32> {
        let bytes = 4 * self.header.dimension;
        let at = self.header.entry(Section::Vectors).offset + (row * bytes) as u64;
        if let Some(file) = &self.file {
            return ROW.with_borrow_mut(|buffer| {
                buffer.resize(bytes, 0);
                file.read_exact_at(buffer, at)?;
                Ok(crc32fast::hash(buffer))
            });
        }
        populate(&self.map, at as usize, bytes)?;
        Ok(crc32fast::hash(self.mapped_vector(row)))
    }

    /// Whether the copy of a row's descriptor is what was written.
    fn is_whole(&self, row: usize) -> bool {
        let (word, bit) = (&self.whole[row / 64], 1 << (row % 64));
        if word.load(Ordering::Relaxed) & bit != 0 {
            return true;
        }
        let check = self.numbers::<u32>(Section::VectorChecks)[row];
        // Numbers with a fitting checksum may still be no descriptor.
        let is_descriptor =
            || is_unit(self.mapped_vector(row).as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        let whole = self.sum_of(row).is_ok_and(|sum| sum == check) && is_descriptor();
        if whole {
            word.fetch_or(bit, Ordering::Relaxed);
        }
        whole
    }

    /// The descriptor of a row, checked when it is first used.
    ///
    /// # Errors
    /// The copy is damaged and the catalog does not have the image any more.
    pub(crate) fn vector(&self, row: usize) -> Result<Vector<'_>> {
        if self.is_whole(row) {
            return Ok(Vector::Lent(bytemuck::try_cast_slice(self.mapped_vector(row)).unwrap_or_default()));
        }
        self.damaged.store(true, Ordering::Relaxed);
        if let Some(mended) = self.mended.lock().get(&row) {
            return Ok(Vector::Mended(Arc::clone(mended)));
        }
        let mended: Arc<[f32]> = (self.truth)(ImageId(self.ids()[row]))?.into();
        self.mended.lock().insert(row, Arc::clone(&mended));
        Ok(Vector::Mended(mended))
    }

    /// All descriptors, row-major, once every row was found whole; `None`: one is not.
    pub(crate) fn all_vectors(&self) -> Option<&[f32]> {
        let pieces = pool::pieces(self.rows(), 1024);
        let whole = pool::map(&pieces, |piece| piece.clone().all(|row| self.is_whole(row)));
        if whole.contains(&false) {
            self.damaged.store(true, Ordering::Relaxed);
            return None;
        }
        bytemuck::try_cast_slice(self.section(Section::Vectors)).ok()
    }

    /// A row was found to be something else than it should.
    pub(crate) fn set_damaged(&self) {
        self.damaged.store(true, Ordering::Relaxed);
    }

    /// Whether a damaged row was met.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Reads the whole file again, as it is in its folder now, and compares every checksum: CHECK DEEP. One that is not in its folder any
    /// more is read as it is mapped; `false`: so it was.
    ///
    /// # Errors
    /// The first difference.
    pub(crate) fn check_deep(&self, folder: &Folder, name: &str) -> std::result::Result<bool, Damage> {
        let found = folder.file(name).map_err(|error| Damage(format!("cannot be read: {}", error.message())))?;
        match found {
            Some(file) => check_sections(&file, &self.header, |_| true).map(|()| true),
            None => self.check_map().map(|()| false),
        }
    }

    /// Compares the checksum of every section as it is mapped.
    fn check_map(&self) -> std::result::Result<(), Damage> {
        let io = |error: std::io::Error| Damage(format!("cannot be read: {error}"));
        for section in Section::ALL {
            let entry = self.header.entry(section);
            let (offset, length) = (entry.offset as usize, entry.length.next_multiple_of(ALIGN as u64) as usize);
            // A page that cannot be read would be a fatal signal.
            let sum = match &self.file {
                Some(file) => sum(file, entry.offset, length as u64).map_err(io)?.finalize(),
                None => {
                    populate(&self.map, offset, length).map_err(io)?;
                    crc32fast::hash(&self.map[offset..offset + length])
                }
            };
            if sum != entry.check {
                return Err(Damage(format!("has a damaged section '{}'", section.name())));
            }
        }
        Ok(())
    }
}

fn opened(folder: &Folder, name: &str) -> std::result::Result<File, Damage> {
    let opened = folder.file(name).map_err(|error| Damage(format!("cannot be read: {}", error.message())))?;
    opened.ok_or_else(|| Damage("cannot be read: it does not exist".to_owned()))
}

/// The advice is not known.
const EINVAL: i32 = 22;

/// Reads a piece of a map into memory; `false`: the kernel, before 5.14, does not know how.
///
/// # Errors
/// `Io`: what would be a fatal signal at the first touch.
fn populate(map: &Mmap, offset: usize, bytes: usize) -> std::io::Result<bool> {
    match map.advise_range(Advice::PopulateRead, offset, bytes) {
        Err(error) if error.raw_os_error() == Some(EINVAL) => Ok(false),
        Err(error) => Err(error),
        Ok(()) => Ok(true),
    }
}

type Checked = std::io::Result<std::result::Result<(), String>>;

fn check_footer(file: &mut File, header: &Header, head: &[u8]) -> Checked {
    let mut footer = [0; FOOTER_BYTES];
    file.seek(SeekFrom::Start(header.file_bytes() - FOOTER_BYTES as u64))?;
    file.read_exact(&mut footer)?;
    Ok(if footer == header.footer(head) { Ok(()) } else { Err("has a footer that does not match".to_owned()) })
}

fn check_vector_padding(file: &mut File, header: &Header) -> Checked {
    let entry = header.entry(Section::Vectors);
    let end = entry.offset + entry.length;
    let mut padding = vec![0; (entry.length.next_multiple_of(ALIGN as u64) - entry.length) as usize];
    file.seek(SeekFrom::Start(end))?;
    file.read_exact(&mut padding)?;
    Ok(if padding.iter().all(|&byte| byte == 0) { Ok(()) } else { Err("has bytes after its vectors".to_owned()) })
}

/// Reads sections and compares their checksums, in pieces on all processors.
fn check_sections(file: &File, header: &Header, wanted: impl Fn(Section) -> bool) -> std::result::Result<(), Damage> {
    let pieces: Vec<(Section, u64, u64)> = Section::ALL
        .into_iter()
        .filter(|&section| wanted(section))
        .flat_map(|section| {
            let entry = header.entry(section);
            let padded = entry.length.next_multiple_of(ALIGN as u64);
            (0..padded.div_ceil(TASK_BYTES)).map(move |task| {
                let start = task * TASK_BYTES;
                (section, entry.offset + start, TASK_BYTES.min(padded - start))
            })
        })
        .collect();
    let sums: Vec<std::io::Result<(Section, crc32fast::Hasher)>> =
        pool::map(&pieces, |&(section, offset, length)| Ok((section, sum(file, offset, length)?)));
    let mut whole: Vec<crc32fast::Hasher> = Section::ALL.iter().map(|_| crc32fast::Hasher::new()).collect();
    for sum in sums {
        let (section, sum) = sum.map_err(|error| Damage(format!("cannot be read: {error}")))?;
        whole[section as usize].combine(&sum);
    }
    for (section, sum) in Section::ALL.into_iter().zip(whole).filter(|&(section, _)| wanted(section)) {
        if sum.finalize() != header.entry(section).check {
            return Err(Damage(format!("has a damaged section '{}'", section.name())));
        }
    }
    Ok(())
}

fn sum(file: &File, offset: u64, length: u64) -> std::io::Result<crc32fast::Hasher> {
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; READ_BYTES.min(length as usize)];
    let (mut at, mut left) = (offset, length as usize);
    while left > 0 {
        let part = buffer.len().min(left);
        file.read_exact_at(&mut buffer[..part], at)?;
        hasher.update(&buffer[..part]);
        at += part as u64;
        left -= part;
    }
    Ok(hasher)
}
