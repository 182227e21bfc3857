//! Writes a segment: one pass over the rows, checksums on the way, the header last.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use super::layout::{ALIGN, Entry, Header, Section};
use super::reader::Vector;
use crate::disk::{Folder, write_whole};
use crate::error::{Error, Result};
use crate::graph::OwnedGraph;
use crate::id::{ImageId, SegmentId, SpaceId};
use crate::operation::Role;

/// What goes into a segment. Rows come in rising order of ids; there is at least one.
pub(crate) struct Contents<'a> {
    pub(crate) database: [u8; 16],
    pub(crate) segment: SegmentId,
    pub(crate) space: SpaceId,
    pub(crate) role: Role,
    pub(crate) dimension: usize,
    pub(crate) sequence: u64,
    pub(crate) ids: &'a [ImageId],
    pub(crate) keys: &'a [&'a str],
    /// Descriptor of a row.
    pub(crate) vector: &'a dyn Fn(usize) -> Result<Vector<'a>>,
    /// Coded rows.
    pub(crate) codes: &'a [u8],
    pub(crate) graph: Option<&'a OwnedGraph>,
}

/// Writes the file and returns its header, as stored.
///
/// # Errors
/// `Io`; nothing of the file is left then.
pub(crate) fn write(folder: &Folder, name: &str, contents: &Contents<'_>) -> Result<Header> {
    let mut header = Header {
        database: contents.database,
        segment: contents.segment,
        space: contents.space,
        role: contents.role,
        dimension: contents.dimension,
        rows: contents.ids.len(),
        first: contents.ids.first().copied().ok_or_else(|| Error::invalid("a segment has at least one row"))?,
        last: contents.ids.last().copied().ok_or_else(|| Error::invalid("a segment has at least one row"))?,
        sequence: contents.sequence,
        entries: [Entry::default(); Section::ALL.len()],
    };
    let path = folder.path_of(name);
    write_whole(folder, name, "segment", |file| {
        let mut out = Out { file, path: &path, at: 0 };
        out.put(&header.encode())?;
        let mut row_checks = Vec::with_capacity(4 * contents.ids.len());
        for section in Section::ALL {
            let mut part = Part { offset: out.at, length: 0, hasher: crc32fast::Hasher::new(), out: &mut out };
            match section {
                Section::Ids => contents.ids.iter().try_for_each(|id| part.put(&id.0.to_le_bytes()))?,
                Section::KeyStarts => {
                    let mut start = 0u64;
                    for key in contents.keys {
                        part.put(&start.to_le_bytes())?;
                        start += key.len() as u64;
                    }
                    part.put(&start.to_le_bytes())?;
                }
                Section::Keys => contents.keys.iter().try_for_each(|key| part.put(key.as_bytes()))?,
                Section::Vectors => {
                    let mut bytes = Vec::with_capacity(4 * contents.dimension);
                    for row in 0..contents.ids.len() {
                        bytes.clear();
                        bytes.extend((contents.vector)(row)?.iter().flat_map(|value| value.to_le_bytes()));
                        row_checks.extend(crc32fast::hash(&bytes).to_le_bytes());
                        part.put(&bytes)?;
                    }
                }
                Section::VectorChecks => part.put(&row_checks)?,
                Section::Codes => part.put(contents.codes)?,
                Section::BaseLinks => part.put_numbers(contents.graph.map_or(&[], |graph| &graph.base))?,
                Section::UpperCounts => part.put_numbers(contents.graph.map_or(&[], |graph| &graph.upper_counts))?,
                Section::UpperRows => part.put_numbers(contents.graph.map_or(&[], |graph| &graph.upper_rows))?,
                Section::UpperLinks => part.put_numbers(contents.graph.map_or(&[], |graph| &graph.upper_links))?,
            }
            header.entries[section as usize] = part.finish()?;
        }
        let head = header.encode();
        out.put(&header.footer(&head))?;
        let io = |error| Error::io(&path, error);
        out.file.seek(SeekFrom::Start(0)).map_err(io)?;
        out.file.write_all(&head).map_err(io)
    })?;
    Ok(header)
}

struct Out<'a> {
    file: &'a mut BufWriter<File>,
    path: &'a Path,
    at: u64,
}

impl Out<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.at += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|error| Error::io(self.path, error))
    }
}

/// A section being written.
struct Part<'a, 'f> {
    offset: u64,
    length: u64,
    hasher: crc32fast::Hasher,
    out: &'a mut Out<'f>,
}

impl Part<'_, '_> {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.length += bytes.len() as u64;
        self.hasher.update(bytes);
        self.out.put(bytes)
    }

    fn put_numbers(&mut self, numbers: &[u32]) -> Result<()> {
        /// Numbers turned into bytes at a time.
        const NUMBERS: usize = 4096;
        let mut bytes = Vec::with_capacity(4 * NUMBERS.min(numbers.len()));
        for numbers in numbers.chunks(NUMBERS) {
            bytes.clear();
            bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
            self.put(&bytes)?;
        }
        Ok(())
    }

    /// Pads the section and gives its entry.
    fn finish(mut self) -> Result<Entry> {
        let length = self.length;
        let padding = (length.next_multiple_of(ALIGN as u64) - length) as usize;
        self.put(&[0; ALIGN][..padding])?;
        Ok(Entry { offset: self.offset, length, check: self.hasher.finalize() })
    }
}
