//! The one array of a .npz file: a zip archive of numpy.savez or savez_compressed. It reads the directory under limits, and
//! inflates a compressed array, up to its announced length, into a file without a name.

use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use cairn::{Error, Result};
use flate2::Crc;
use flate2::read::DeflateDecoder;

use super::{first_few, refuse};

/// Largest directory of an archive: 4 MiB, tens of thousands of names.
const MAX_DIRECTORY: u64 = 4 << 20;
/// Bytes of the record at the end of an archive, and of the longest comment after it.
const END_BYTES: u64 = 22;
const MAX_REMARK: u64 = 65_535;
/// The largest ratio at which Deflate expands bytes.
const MAX_RATIO: u64 = 1032;
/// Bytes that are copied or checked at a time.
const PIECE: usize = 1 << 16;
/// The value of a field of 32 or 16 bits whose real value is stored elsewhere because it is larger.
const ELSEWHERE: u64 = 0xffff_ffff;

/// A part of a file.
pub(super) struct Region {
    pub(super) file: File,
    pub(super) start: u64,
    pub(super) length: u64,
}

/// An array in the directory of an archive.
struct Entry {
    name: String,
    is_encrypted: bool,
    method: u16,
    crc: u32,
    compressed: u64,
    length: u64,
    /// Of what stands before its bytes.
    at: u64,
}

/// The little-endian number of `N` bytes at an offset.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let field: &[u8; N] = bytes.get(at..)?.first_chunk()?;
    Some(field.iter().rev().fold(0, |n, &byte| n << 8 | u64::from(byte)))
}

/// The bytes of the only array of an archive of `length` bytes. A compressed one is inflated into a file without a name.
///
/// # Errors
/// When the archive is damaged, has no array or several, or the array cannot be read.
pub(super) fn only_array(path: &Path, file: File, length: u64) -> Result<Region> {
    let damaged = || refuse(path, "a damaged .npz file").help("write it again with numpy.savez");
    let directory = directory(path, &file, length)?.ok_or_else(damaged)?;
    let mut arrays = entries(&directory).ok_or_else(damaged)?;
    arrays.retain(|entry| entry.name.ends_with(".npy"));
    let one = match (arrays.pop(), arrays.len()) {
        (Some(one), 0) => one,
        (None, _) => return Err(refuse(path, "it has no array")),
        (Some(last), others) => {
            let names: Vec<&str> =
                arrays.iter().chain([&last]).map(|entry| entry.name.trim_end_matches(".npy")).collect();
            let what = format!("it has {} arrays: {}", others + 1, first_few(names.iter().copied(), names.len()));
            return Err(refuse(path, &what).help("save the array of vectors with numpy.save"));
        }
    };
    if one.is_encrypted {
        return Err(refuse(path, "its array is encrypted"));
    }
    let mut before = [0; 30];
    file.read_exact_at(&mut before, one.at).map_err(|_| damaged())?;
    let names = number::<2>(&before, 26).zip(number::<2>(&before, 28)).map(|(name, extra)| name + extra);
    let start = names.and_then(|names| one.at.checked_add(before.len() as u64)?.checked_add(names));
    let Some(start) = start.filter(|start| {
        before.starts_with(b"PK\x03\x04") && start.checked_add(one.compressed).is_some_and(|end| end <= length)
    }) else {
        return Err(damaged());
    };
    let region = match one.method {
        0 if one.compressed == one.length => Region { file, start, length: one.length },
        8 if one.length <= one.compressed.saturating_mul(MAX_RATIO) => {
            let mut file = file;
            file.seek(SeekFrom::Start(start)).map_err(|error| Error::io(path, error))?;
            inflated(path, file.take(one.compressed), one.length)?
        }
        0 | 8 => return Err(damaged()),
        other => {
            let what = format!("its array is compressed by method {other}");
            return Err(refuse(path, &what).help("write it again with numpy.savez"));
        }
    };
    if checksum(&region).map_err(|error| Error::io(path, error))? != one.crc {
        return Err(damaged());
    }
    Ok(region)
}

/// The bytes of the archive's directory; `None`: it has none.
fn directory(path: &Path, file: &File, length: u64) -> Result<Option<Vec<u8>>> {
    let io = |error| Error::io(path, error);
    let tail_at = length.saturating_sub(END_BYTES + MAX_REMARK);
    let mut tail = vec![0; (length - tail_at) as usize];
    file.read_exact_at(&mut tail, tail_at).map_err(io)?;
    // The last one whose comment ends with the file.
    let is_end = |&at: &usize| {
        let remark = number::<2>(&tail, at + 20);
        tail[at..].starts_with(b"PK\x05\x06")
            && remark.is_some_and(|remark| at as u64 + END_BYTES + remark == tail.len() as u64)
    };
    let Some(end) = (0..tail.len()).rev().find(is_end) else { return Ok(None) };
    let mut place = number::<4>(&tail, end + 12).zip(number::<4>(&tail, end + 16));
    if place.is_some_and(|(size, at)| size == ELSEWHERE || at == ELSEWHERE) {
        place = None;
        let locator = end.checked_sub(20).filter(|&at| tail[at..].starts_with(b"PK\x06\x07"));
        if let Some(at) = locator.and_then(|at| number::<8>(&tail, at + 8)) {
            let mut large = [0; 56];
            let is_read = at.checked_add(56).is_some_and(|end| end <= length);
            if is_read {
                file.read_exact_at(&mut large, at).map_err(io)?;
            }
            if large.starts_with(b"PK\x06\x06") {
                place = number::<8>(&large, 40).zip(number::<8>(&large, 48));
            }
        }
    }
    let is_inside =
        |&(size, at): &(u64, u64)| size <= MAX_DIRECTORY && at.checked_add(size).is_some_and(|end| end <= length);
    let Some((size, at)) = place.filter(is_inside) else { return Ok(None) };
    let mut bytes = vec![0; size as usize];
    file.read_exact_at(&mut bytes, at).map_err(io)?;
    Ok(Some(bytes))
}

/// The entries of a directory; `None`: it is damaged.
fn entries(directory: &[u8]) -> Option<Vec<Entry>> {
    let (mut found, mut rest) = (Vec::new(), directory);
    while !rest.is_empty() {
        if !rest.starts_with(b"PK\x01\x02") {
            return None;
        }
        let lengths = [number::<2>(rest, 28)?, number::<2>(rest, 30)?, number::<2>(rest, 32)?].map(|n| n as usize);
        let names = rest.get(46..46 + lengths[0])?;
        let extra = rest.get(46 + lengths[0]..46 + lengths[0] + lengths[1])?;
        // Sizes and offset are in the extra field, in this order, if 32 bits are too few.
        let mut large = [number::<4>(rest, 24)?, number::<4>(rest, 20)?, number::<4>(rest, 42)?];
        let mut elsewhere = large.iter_mut().filter(|value| **value == ELSEWHERE);
        let mut fields = extra;
        while fields.len() >= 4 {
            let (kind, size) = (number::<2>(fields, 0)?, number::<2>(fields, 2)? as usize);
            let field = fields.get(4..4 + size)?;
            if kind == 1 {
                field
                    .as_chunks::<8>()
                    .0
                    .iter()
                    .zip(&mut elsewhere)
                    .for_each(|(&bytes, value)| *value = u64::from_le_bytes(bytes));
            }
            fields = &fields[4 + size..];
        }
        let [length, compressed, at] = large;
        found.push(Entry {
            name: String::from_utf8_lossy(names).into_owned(),
            is_encrypted: number::<2>(rest, 8)? & 1 == 1,
            method: number::<2>(rest, 10)? as u16,
            crc: number::<4>(rest, 16)? as u32,
            compressed,
            length,
            at,
        });
        rest = rest.get(46 + lengths.iter().sum::<usize>()..)?;
    }
    Some(found)
}

/// Inflates a compressed array, up to its announced length, into a file without a name.
fn inflated(path: &Path, compressed: impl Read, length: u64) -> Result<Region> {
    let temporary = |error| Error::io(&std::env::temp_dir(), error);
    let mut file = tempfile::tempfile().map_err(temporary)?;
    let mut decoder = DeflateDecoder::new(compressed).take(length + 1);
    let (mut piece, mut written) = (vec![0; PIECE], 0u64);
    loop {
        let read = decoder
            .read(&mut piece)
            .map_err(|error| refuse(path, &format!("its array cannot be inflated: {error}")))?;
        written += read as u64;
        if read == 0 || written > length {
            break;
        }
        file.write_all(&piece[..read]).map_err(|error| {
            temporary(error).help(
                "the array is inflated there; free some space, or save it with numpy.save, which does not compress",
            )
        })?;
    }
    if written != length {
        return Err(refuse(path, &format!("its array does not have the {length} bytes that it announces")));
    }
    Ok(Region { file, start: 0, length })
}

fn checksum(region: &Region) -> std::io::Result<u32> {
    let (mut crc, mut piece, mut at) = (Crc::new(), vec![0; PIECE], 0);
    while at < region.length {
        let bytes = (region.length - at).min(PIECE as u64);
        let piece = &mut piece[..bytes as usize];
        region.file.read_exact_at(piece, region.start + at)?;
        crc.update(piece);
        at += bytes;
    }
    Ok(crc.sum())
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use flate2::Compression;
    use flate2::write::DeflateEncoder;

    /// A zip archive of these files, compressed by method 8 or stored.
    pub(in super::super) fn zip(files: &[(&str, &[u8])], method: u16) -> Vec<u8> {
        let (mut bytes, mut directory) = (Vec::new(), Vec::new());
        for (name, content) in files {
            let mut crc = Crc::new();
            crc.update(content);
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(content).unwrap();
            let data = if method == 8 { encoder.finish().unwrap() } else { content.to_vec() };
            let at = bytes.len() as u32;
            let mut fields = vec![20, 0, 0, 0];
            fields.extend(method.to_le_bytes());
            fields.extend([0; 4]);
            fields.extend(crc.sum().to_le_bytes());
            fields.extend((data.len() as u32).to_le_bytes());
            fields.extend((content.len() as u32).to_le_bytes());
            fields.extend((name.len() as u16).to_le_bytes());
            // numpy leaves an extra field before the bytes, and none in the directory.
            bytes.extend(b"PK\x03\x04");
            bytes.extend(&fields);
            bytes.extend(20u16.to_le_bytes());
            bytes.extend(name.bytes());
            bytes.extend([1, 0, 16, 0]);
            bytes.extend([0; 16]);
            bytes.extend(&data);
            directory.extend(b"PK\x01\x02\x14\x03");
            directory.extend(&fields);
            directory.extend([0; 12]);
            directory.extend(at.to_le_bytes());
            directory.extend(name.bytes());
        }
        let at = bytes.len() as u32;
        bytes.extend(&directory);
        bytes.extend(b"PK\x05\x06\0\0\0\0");
        bytes.extend([(files.len() as u16).to_le_bytes(); 2].concat());
        bytes.extend((directory.len() as u32).to_le_bytes());
        bytes.extend(at.to_le_bytes());
        bytes.extend([0; 2]);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<u8>, String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let region = only_array(Path::new("v.npz"), file, bytes.len() as u64).map_err(|error| error.to_string())?;
        let mut content = vec![0; region.length as usize];
        region.file.read_exact_at(&mut content, region.start).unwrap();
        Ok(content)
    }

    /// It catches: an array that is not read, or one of several arrays that is read as the only one.
    #[test]
    fn the_only_array_is_read_and_several_are_named() {
        let content: Vec<u8> = (0..100_000u32).map(|n| (n / 7) as u8).collect();
        for method in [0, 8] {
            assert_eq!(read(&zip(&[("arr_0.npy", &content)], method)).unwrap(), content);
            assert_eq!(read(&zip(&[("about.txt", b"x"), ("v.npy", &content)], method)).unwrap(), content);
        }
        let error = read(&zip(&[("feats.npy", b"1"), ("ids.npy", b"2")], 0)).unwrap_err();
        assert!(error.contains("2 arrays: 'feats', 'ids'"), "{error}");
        assert!(read(&zip(&[("a.txt", b"1")], 0)).unwrap_err().contains("no array"));
        assert!(read(&zip(&[("a.npy", b"1")], 12)).unwrap_err().contains("method 12"));
    }

    /// It catches: damage that is read as numbers; memory or time as large as a damaged header announces.
    #[test]
    fn damaged_archives_are_refused() {
        let content: Vec<u8> = (0..5_000u32).map(|n| (n * n) as u8).collect();
        for method in [0, 8] {
            let sound = zip(&[("a.npy", &content)], method);
            for cut in 0..sound.len() {
                assert!(read(&sound[..cut]).is_err(), "cut at {cut}");
            }
            let data = 30 + 5 + 20;
            let mut flipped = 0;
            for at in (data..sound.len()).step_by(7) {
                let mut bytes = sound.clone();
                bytes[at] ^= 1;
                flipped += 1;
                // A flipped bit in the directory may change nothing that matters: a date, a version.
                assert!(
                    read(&bytes).is_err_and(|error| !error.is_empty()) || read(&bytes).unwrap() == content,
                    "byte {at}"
                );
            }
            assert!(flipped > 3);
        }
        // The lengths in the directory: more than deflate can make of so few bytes.
        let mut bomb = zip(&[("a.npy", &[0; 50_000])], 8);
        let place = bomb.len() - 22 - 46 - 5 + 24;
        bomb[place..place + 4].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
        assert!(read(&bomb).unwrap_err().contains("damaged"));
        bomb[place..place + 4].copy_from_slice(&50_001u32.to_le_bytes());
        assert!(read(&bomb).unwrap_err().contains("announces"));
        bomb[place..place + 4].copy_from_slice(&49_999u32.to_le_bytes());
        assert!(read(&bomb).unwrap_err().contains("announces"));
    }
}
