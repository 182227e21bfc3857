//! A segment file against damage: every byte, every length, every swap, and crafted bytes (R10: `hostile.rs`).
//!
//! It catches: a section whose checksum is not compared, a length or an offset of the table that is not checked, links and key
//! starts that may lead out of their section, ids in any order. Tried: `check_contents` without its check of the key starts, and
//! without the graph's check of its links; both failed. Later checks catch an offset that is not checked.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::hostile::{expected, is_used, resealed};
use super::layout::{self, Entry, Header, Section, check_of};
use super::{Contents, Damage, Expected, Segment, Truth, Vector, file_of, write};
use crate::catalog::SegmentEntry;
use crate::disk::Folder;
use crate::error::Error;
use crate::graph::{self, Codes};
use crate::hostile::{mutated, mutations};
use crate::id::{ImageId, SegmentId, SpaceId};
use crate::operation::Role;
use crate::vector::{encode, stride, unit};

const DIMENSION: usize = 24;

fn vectors(rows: usize) -> Vec<Vec<f32>> {
    let component = |row: usize, at: usize| ((row * 31 + at * 17) % 101) as f32 / 50.0 - 1.0;
    (0..rows).map(|row| unit(&(0..DIMENSION).map(|at| component(row, at)).collect::<Vec<_>>()).unwrap()).collect()
}

fn truth(vectors: Vec<Vec<f32>>) -> Truth {
    Arc::new(move |id| vectors.get(id.0 as usize / 3).cloned().ok_or_else(|| Error::not_found("no such image")))
}

fn open(path: &Path, check: u32, truth: Truth) -> Result<Segment, Damage> {
    let folder = Folder::open(path.parent().unwrap()).unwrap();
    // What was written, whatever lies there now.
    let rows = |header: &Header| SegmentEntry { check, ..expected(header, check).entry };
    let bytes = std::fs::read(path).unwrap_or_default();
    let header = Header::decode(&bytes, bytes.len() as u64).map_err(Damage)?;
    let known = Expected { database: [1; 16], dimension: DIMENSION, entry: rows(&header) };
    Segment::open(&folder, path.file_name().unwrap().to_str().unwrap(), &known, truth)
}

/// A segment of this many rows, with a graph, and the checksum of its header.
fn written(folder: &Path, rows: usize, database: u8) -> (std::path::PathBuf, u32) {
    let vectors = vectors(rows);
    let mut codes = vec![0; stride(DIMENSION) * rows];
    for (vector, row) in vectors.iter().zip(codes.chunks_exact_mut(stride(DIMENSION))) {
        encode(vector, row);
    }
    let ids: Vec<ImageId> = (0..rows as u64).map(|row| ImageId(3 * row)).collect();
    let keys: Vec<String> = (0..rows).map(|row| format!("photo {row}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let graph = graph::merged(Codes { bytes: &codes, dimension: DIMENSION }, None, 1, &[], &|_| {});
    let path = folder.join(file_of(SegmentId(7)));
    let header = write(
        &Folder::open(folder).unwrap(),
        &file_of(SegmentId(7)),
        &Contents {
            database: [database; 16],
            segment: SegmentId(7),
            space: SpaceId::FIRST,
            role: Role::Index,
            dimension: DIMENSION,
            sequence: 5,
            ids: &ids,
            keys: &keys,
            vector: &|row| Ok(Vector::Lent(&vectors[row])),
            codes: &codes,
            graph: graph.as_ref(),
        },
    )
    .unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), header.file_bytes());
    (path, check_of(&header.encode()))
}

#[test]
fn what_was_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (path, check) = written(folder.path(), 300, 1);
    let segment = open(&path, check, truth(vectors(300))).unwrap();
    assert_eq!((segment.rows(), segment.header().role, segment.header().sequence), (300, Role::Index, 5));
    for (row, vector) in vectors(300).iter().enumerate() {
        assert_eq!(&*segment.vector(row).unwrap(), &vector[..]);
        assert_eq!((segment.ids()[row], segment.key(row)), (3 * row as u64, format!("photo {row}").as_str()));
    }
    assert!(segment.graph().is_some() && !segment.is_damaged());
    segment.check_deep(&Folder::open(folder.path()).unwrap(), &file_of(SegmentId(7))).unwrap();
    assert!(graph::unreachable(segment.graph().unwrap()).is_empty());
}

/// Bytes of a mapped file that this process has read.
fn touched(path: &Path) -> usize {
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut lines = maps.lines().skip_while(|line| !line.ends_with(&*path.to_string_lossy()));
    let line = lines.find(|line| line.starts_with("Rss:")).unwrap();
    1024 * line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap()
}

/// A sector that cannot be read is an error of a reading call, and a fatal signal at a touch of the map.
#[test]
fn rows_are_verified_without_touching_the_map() {
    const ROWS: usize = 10_000;
    let folder = tempfile::tempdir().unwrap();
    let (path, check) = written(folder.path(), ROWS, 1);
    let segment = open(&path, check, truth(Vec::new())).unwrap();
    let before = touched(&path);
    assert!(segment.all_vectors().is_some());
    let (after, vectors) = (touched(&path), 4 * DIMENSION * ROWS);
    assert!(after - before < vectors / 4, "{} of {vectors} bytes were touched", after - before);
}

/// Opens the file and uses everything in it: `true` when the damage was noticed and every answer is right.
fn noticed(path: &Path, check: u32, vectors: &[Vec<f32>]) -> bool {
    let Ok(segment) = open(path, check, truth(vectors.to_vec())) else { return true };
    for (row, vector) in vectors.iter().enumerate() {
        assert_eq!(&*segment.vector(row).unwrap(), &vector[..], "a wrong answer");
    }
    segment.is_damaged()
}

/// R5, on a small file; `tests/segment_damage.rs` does it on one of more than 256 KiB.
#[test]
fn every_flipped_byte_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, check) = written(folder.path(), 40, 1);
    let vectors = vectors(40);
    assert!(!noticed(&path, check, &vectors), "the whole file is sound");
    let whole = std::fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        std::fs::write(&path, &damaged).unwrap();
        assert!(noticed(&path, check, &vectors), "byte {at} of {} flipped and not noticed", whole.len());
    }
}

/// R5 on the size of a real segment, in place.
#[test]
#[ignore = "every byte of more than 256 KiB; a minute"]
fn every_flipped_byte_of_a_large_file_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, check) = written(folder.path(), 900, 1);
    let (vectors, whole) = (vectors(900), std::fs::read(&path).unwrap());
    assert!(whole.len() >= 256 << 10 && !noticed(&path, check, &vectors), "{} bytes", whole.len());
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let mut put = |at: usize, byte: u8| {
        file.seek(SeekFrom::Start(at as u64)).unwrap();
        file.write_all(&[byte]).unwrap();
    };
    for (at, &byte) in whole.iter().enumerate() {
        put(at, byte ^ 1 << (at % 8));
        assert!(noticed(&path, check, &vectors), "byte {at} of {} flipped and not noticed", whole.len());
        put(at, byte);
    }
    println!("{} bytes, all noticed", whole.len());
}

/// R6: other lengths, zeroed pages, swapped pages, a file of another database.
#[test]
fn other_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, check) = written(folder.path(), 300, 1);
    let (vectors, whole) = (vectors(300), std::fs::read(&path).unwrap());
    let page = 4096;
    assert!(whole.len() > 10 * page);
    let refused = |bytes: &[u8], what: &str| {
        std::fs::write(&path, bytes).unwrap();
        assert!(noticed(&path, check, &vectors), "{what} was not noticed");
    };
    for boundary in (0..=whole.len() + 2 * page).step_by(page) {
        for length in [boundary.saturating_sub(1), boundary, boundary + 1] {
            let mut other = whole.clone();
            other.resize(length, 0);
            if length != whole.len() {
                refused(&other, &format!("length {length}"));
            }
        }
    }
    for at in (0..whole.len() - page).step_by(page) {
        let mut zeroed = whole.clone();
        zeroed[at..at + page].fill(0);
        refused(&zeroed, &format!("a zeroed page at {at}"));
        let mut swapped = whole.clone();
        let (left, right) = swapped.split_at_mut(at + page);
        if let Some(right) = right.get_mut(..page) {
            left[at..].swap_with_slice(right);
            refused(&swapped, &format!("swapped pages at {at}"));
        }
    }
    let elsewhere = tempfile::tempdir().unwrap();
    refused(&std::fs::read(written(elsewhere.path(), 300, 2).0).unwrap(), "a file of another database");
    std::fs::remove_file(&path).unwrap();
    assert!(open(&path, check, truth(vectors)).is_err());
}

/// The document describes the layout byte by byte; its tables must say what the constants say.
#[test]
fn the_document_agrees_with_the_layout() {
    let document = include_str!("../../../docs/FORMAT.md");
    let says = |line: String| assert!(document.contains(&line), "docs/FORMAT.md lacks: {line}");
    says(format!("header {} bytes, table entry {} bytes", layout::HEADER_BYTES, layout::ENTRY_BYTES));
    says(format!("sections start at byte {}, at multiples of {}", layout::SECTIONS_START, layout::ALIGN));
    says(format!("the last {} bytes are the footer", layout::FOOTER_BYTES));
    says(format!("| {} | 4 | checksum of the header and the table", layout::CHECK_AT));
    says(format!("format {}, readable from format {} on", layout::VERSION, layout::OLDEST_READER));
    for (number, section) in Section::ALL.into_iter().enumerate() {
        says(format!("| {} | {} |", number + 1, section.name()));
    }
    let header = Header {
        database: *b"0123456789abcdef",
        segment: SegmentId(0x11),
        space: SpaceId(0x22),
        role: Role::Index,
        dimension: 0x33,
        rows: 0x44,
        first: ImageId(0x55),
        last: ImageId(0x66),
        sequence: 0x77,
        entries: [Entry::default(); Section::ALL.len()],
    };
    let bytes = header.encode();
    let fields =
        [("magic", 0, 8), ("format", 8, 4), ("oldest format", 12, 4), ("database", 16, 16), ("segment", 32, 8)];
    let more = [("space", 40, 4), ("role", 44, 4), ("dimension", 48, 4), ("sections", 52, 4), ("rows", 56, 8)];
    let last = [("first id", 64, 8), ("last id", 72, 8), ("sequence", 80, 8), ("length", 88, 8)];
    for (name, at, size) in fields.into_iter().chain(more).chain(last) {
        says(format!("| {at} | {size} | {name}"));
    }
    for (at, value) in
        [(32, 0x11), (40, 0x22), (44, 1), (48, 0x33), (52, 10), (56, 0x44), (64, 0x55), (72, 0x66), (80, 0x77)]
    {
        assert_eq!(bytes[at], value, "byte {at}");
    }
}

#[test]
fn the_document_agrees_with_table_sections_and_footer() {
    let document = include_str!("../../../docs/FORMAT.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let says = |line: String| assert!(document.contains(&line), "docs/FORMAT.md lacks: {line}");
    let [table, footer] = [
        "number (4), zeros (4), offset from the start of the file (8), length without padding (8), checksum of the section with its \
         padding (4), zeros (4).",
        "`CAIRNEND` (8), length of the file (8), number of the segment (8), the checksum of the header (4), zeros, and in the last 4 \
         bytes the checksum of the",
    ];
    says(table.to_owned());
    says(format!("{footer} {} before them", layout::FOOTER_BYTES - 4));
    says(format!(
        "| 7 | base links | rows x {} x u32 row numbers; {} marks an unused link",
        graph::BASE_DEGREE,
        graph::NONE
    ));
    says(format!("| 10 | upper links | {} x u32 slots", graph::UPPER_DEGREE));
    // The longest descriptor of the shortest stride says how long the head is.
    let rounded = stride(1);
    let head = rounded - (1..rounded).rfind(|&dimension| stride(dimension) == rounded).unwrap();
    says(format!("stride = dimension + {head} rounded up to {rounded}"));
    assert_eq!(stride(1 + rounded - head), 2 * rounded);

    let folder = tempfile::tempdir().unwrap();
    let (path, check) = written(folder.path(), 60, 1);
    let bytes = std::fs::read(&path).unwrap();
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let mut next = layout::SECTIONS_START as u64;
    for (number, section) in Section::ALL.into_iter().enumerate() {
        let at = layout::HEADER_BYTES + number * layout::ENTRY_BYTES;
        let (offset, length) = (u64_at(at + 8), u64_at(at + 16));
        assert_eq!((u32_at(at), u32_at(at + 4), u32_at(at + 28)), (number as u32 + 1, 0, 0), "{}", section.name());
        assert_eq!(offset, next, "{}", section.name());
        next = offset + length.next_multiple_of(layout::ALIGN as u64);
        assert_eq!(u32_at(at + 24), crc32fast::hash(&bytes[offset as usize..next as usize]), "{}", section.name());
        let expected = match section {
            Section::Ids => 60 * 8,
            Section::KeyStarts => 61 * 8,
            Section::Vectors => 60 * DIMENSION * 4,
            Section::VectorChecks => 60 * 4,
            Section::Codes => 60 * stride(DIMENSION),
            Section::BaseLinks => 60 * graph::BASE_DEGREE * 4,
            _ => length as usize,
        };
        assert_eq!(length as usize, expected, "{}", section.name());
    }
    let footer = bytes.len() - layout::FOOTER_BYTES;
    assert_eq!((next as usize, &bytes[footer..footer + 8]), (footer, &b"CAIRNEND"[..]));
    assert_eq!((u64_at(footer + 8), u64_at(footer + 16), u32_at(footer + 24)), (bytes.len() as u64, 7, check));
    assert!(bytes[footer + 28..bytes.len() - 4].iter().all(|&byte| byte == 0));
    assert_eq!(u32_at(bytes.len() - 4), crc32fast::hash(&bytes[footer..bytes.len() - 4]));
}

/// A sum of codes that no codes have: proptest once found it, in one history of many thousands, and a product with it overflowed.
#[test]
fn an_absurd_sum_of_codes_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = written(folder.path(), 60, 1);
    let mut bytes = std::fs::read(&path).unwrap();
    let codes = layout::HEADER_BYTES + Section::Codes as usize * layout::ENTRY_BYTES + 8;
    let start = u64::from_le_bytes(bytes[codes..codes + 8].try_into().unwrap()) as usize;
    // The last 16 bytes of a row: scale, residual, sum.
    let sum_at = start + 18 * stride(DIMENSION) - 8;
    bytes[sum_at..sum_at + 4].copy_from_slice(&i32::MIN.wrapping_add(17).to_le_bytes());
    let check = resealed(&mut bytes);
    std::fs::write(&path, &bytes).unwrap();
    let refused = open(&path, check, truth(vectors(60))).err().unwrap();
    assert!(format!("{refused:?}").contains("codes that no descriptor has"), "{refused:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// R10: bytes that no checksum gives away, as a hostile or a mad writer would make them. Whatever they say, they are refused or
    /// everything in them can be used without leaving them.
    #[test]
    fn sealed_nonsense_is_refused_or_harmless(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), in_links in any::<bool>()
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (path, _) = written(folder.path(), 60, 1);
        let mut bytes = std::fs::read(&path).unwrap();
        let links = layout::HEADER_BYTES + Section::BaseLinks as usize * layout::ENTRY_BYTES + 8;
        let start = if in_links { u64::from_le_bytes(bytes[links..links + 8].try_into().unwrap()) as usize } else { 8 };
        for (at, value) in changes {
            let length = bytes.len() - start;
            bytes[start + at.index(length)] = value;
        }
        let check = resealed(&mut bytes);
        is_used(&path, &bytes, check);
    }

    /// R10: bytes changed, cut, grown and spliced anywhere, in header and table, or in the links, another segment's pieces among them,
    /// with and without checksums that fit.
    #[test]
    fn mutated_files_are_refused_or_harmless(mutations in mutations(), part in 0usize..3, is_sealed in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let (path, check) = written(folder.path(), 60, 1);
        let bytes = std::fs::read(&path).unwrap();
        let other = std::fs::read(written(folder.path(), 70, 1).0).unwrap();
        let links = layout::HEADER_BYTES + Section::BaseLinks as usize * layout::ENTRY_BYTES + 8;
        let links = u64::from_le_bytes(bytes[links..links + 8].try_into().unwrap()) as usize;
        let part = [0..bytes.len(), 0..layout::SECTIONS_START, links..bytes.len()][part].clone();
        let mut changed = bytes.clone();
        changed.splice(part.clone(), mutated(&bytes[part.clone()], &other[part.start..], &mutations));
        let check = if is_sealed { resealed(&mut changed) } else { check };
        is_used(&path, &changed, check);
        prop_assert!(is_sealed || changed == bytes || noticed(&path, check, &vectors(60)), "taken for what was written");
    }

    /// R10: no segment at all.
    #[test]
    fn random_files_are_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..1500), seal in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        bytes.splice(..bytes.len().min(8), layout::MAGIC);
        let check = if seal { resealed(&mut bytes) } else { bytes.get(..layout::SECTIONS_START).map_or(0, check_of) };
        prop_assert!(!is_used(&folder.path().join("file"), &bytes, check));
    }
}
