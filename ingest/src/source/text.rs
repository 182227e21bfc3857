//! Texts that people wrote or exported: a plain file or standard input, in UTF-8, with or without a byte order mark.

use std::io::{self, BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};

use cairn::{Error, Result};

use crate::plain::open_plain;

/// Largest list of photos, labels or answers: 1 GiB.
pub const MAX_LIST_BYTES: u64 = 1 << 30;
/// The name of standard input, in arguments and in messages.
pub const STANDARD_INPUT: (&str, &str) = ("-", "standard input");

/// A reader that skips the byte order mark.
///
/// UTF-16 or UTF-32, with a mark or without, is an error that names it. It reads only as far as needed to recognise the encoding.
pub struct Utf8Start<R> {
    input: R,
    held: Vec<u8>,
    has_begun: bool,
}

/// The encoding that the first bytes show.
enum Beginning {
    /// More bytes are needed.
    Open,
    /// UTF-8, after this many bytes of a mark.
    Utf8(usize),
    Other(&'static str),
}

/// Judges up to four first bytes; `all`: there are no more.
fn beginning(bytes: &[u8], all: bool) -> Beginning {
    match bytes {
        [0xef, 0xbb, 0xbf, ..] => Beginning::Utf8(3),
        [0xff, 0xfe, 0, 0] => Beginning::Other("UTF-32 (little-endian)"),
        [0, 0, 0xfe, 0xff] => Beginning::Other("UTF-32 (big-endian)"),
        [0xfe, 0xff, ..] => Beginning::Other("UTF-16 (big-endian)"),
        [0xff, 0xfe, ..] if all || bytes.len() == 4 => Beginning::Other("UTF-16 (little-endian)"),
        [0xef | 0xff | 0xfe | 0] | [0xef, 0xbb] | [0, 0, ..] | [0xff, 0xfe, ..] if !all && bytes.len() < 4 => {
            Beginning::Open
        }
        [0, letter, ..] if *letter != 0 => Beginning::Other("UTF-16 (big-endian)"),
        [letter, 0, other, ..] if *letter != 0 && *other != 0 => Beginning::Other("UTF-16 (little-endian)"),
        _ => Beginning::Utf8(0),
    }
}

impl<R: Read> Utf8Start<R> {
    /// The text of `input`.
    pub fn new(input: R) -> Self {
        Self { input, held: Vec::new(), has_begun: false }
    }

    fn begin(&mut self) -> io::Result<()> {
        let (mut bytes, mut all) = ([0; 4], false);
        loop {
            match beginning(&self.held, all) {
                Beginning::Utf8(mark) if all || !self.held.is_empty() => {
                    self.held.drain(..mark);
                    self.has_begun = true;
                    return Ok(());
                }
                Beginning::Other(name) => {
                    let what = format!("the text is {name}; save it as UTF-8");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, what));
                }
                _ => {}
            }
            let room = bytes.len() - self.held.len();
            match self.input.read(&mut bytes[..room])? {
                0 => all = true,
                read => self.held.extend(&bytes[..read]),
            }
        }
    }
}

impl<R: Read> Utf8Start<R> {
    /// The first byte that is no white space, if it is among the first few; it stays in the text.
    fn first_mark(&mut self) -> io::Result<Option<u8>> {
        const MOST: usize = 4_096;
        if !self.has_begun {
            self.begin()?;
        }
        loop {
            let mark = self.held.iter().find(|byte| !byte.is_ascii_whitespace()).copied();
            if mark.is_some() || self.held.len() >= MOST {
                return Ok(mark);
            }
            let mut more = [0; 64];
            match self.input.read(&mut more)? {
                0 => return Ok(None),
                read => self.held.extend(&more[..read]),
            }
        }
    }
}

impl<R: Read> Read for Utf8Start<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !self.has_begun {
            self.begin()?;
        }
        if self.held.is_empty() {
            return self.input.read(into);
        }
        let count = into.len().min(self.held.len());
        into[..count].copy_from_slice(&self.held[..count]);
        self.held.drain(..count);
        Ok(count)
    }
}

/// A text that is read once, from its start.
pub struct Text {
    name: String,
    folder: PathBuf,
    input: Utf8Start<Box<dyn Read>>,
    /// Length of its file, if it is one.
    length: u64,
}

impl Text {
    /// The text of a plain file.
    ///
    /// # Errors
    /// When it cannot be opened, or is a pipe, a device or a folder.
    pub fn open(path: &Path) -> Result<Self> {
        let (file, length) = open_plain(path)?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let input = Utf8Start::new(Box::new(file) as Box<dyn Read>);
        Ok(Self { name: path.display().to_string(), folder, input, length })
    }

    /// A text from standard input, or from another reader of the caller; its paths are relative to the current folder.
    pub fn standard(input: impl Read + 'static) -> Self {
        let input = Utf8Start::new(Box::new(input) as Box<dyn Read>);
        Self { name: STANDARD_INPUT.1.to_owned(), folder: PathBuf::new(), input, length: 0 }
    }

    /// Its name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first byte that is no white space, if it is among the first 4,096; it stays in the text.
    ///
    /// # Errors
    /// A text that is not UTF-8 or cannot be read.
    pub fn first_mark(&mut self) -> Result<Option<u8>> {
        self.input.first_mark().map_err(|error| Error::invalid(format!("{}: {error}", self.name)))
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Refuses a file longer than [`MAX_LIST_BYTES`] before it is read.
    ///
    /// # Errors
    /// It is longer.
    pub(crate) fn is_no_longer_than_a_list(&self) -> Result<()> {
        if self.length <= MAX_LIST_BYTES {
            return Ok(());
        }
        let what = format!("{}: {} bytes; a list may have {MAX_LIST_BYTES}", self.name, self.length);
        Err(Error::invalid(what).help("split it into parts"))
    }

    /// Calls `visit` with each line, without its end, and its number from 1, until `visit` fails.
    ///
    /// # Errors
    /// What `visit` gives; a line of more than `most` bytes, or more than `in_all`; a text that is not UTF-8 or cannot be read.
    pub fn lines(self, most: usize, in_all: u64, mut visit: impl FnMut(usize, &str) -> Result<()>) -> Result<()> {
        let Self { name, input, .. } = self;
        let refuse = |what: String| Error::invalid(format!("{name}: {what}"));
        let mut input = BufReader::new(input);
        let (mut bytes, mut all) = (Vec::new(), 0);
        for number in 1.. {
            all += bytes.len() as u64;
            if all > in_all {
                return Err(refuse(format!("the list has more than {in_all} bytes")));
            }
            bytes.clear();
            let limit = most as u64 + 2;
            input.by_ref().take(limit).read_until(b'\n', &mut bytes).map_err(|error| refuse(error.to_string()))?;
            if bytes.is_empty() {
                break;
            }
            let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.len() > most {
                return Err(refuse(format!("line {number} has more than {most} bytes")));
            }
            let line = str::from_utf8(line).map_err(|_| refuse(format!("line {number} is not UTF-8 text")))?;
            visit(number, line)?;
        }
        Ok(())
    }
}

impl Read for Text {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.input.read(into)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    /// Gives one byte at a time, and fails if more bytes are requested than exist.
    struct Dripping<'a>(&'a [u8]);

    impl Read for Dripping<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else {
                return Err(io::Error::other("asked for more than has come"));
            };
            into[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    fn whole(bytes: &[u8]) -> Result<Vec<u8>, String> {
        let mut read = Vec::new();
        let done = Utf8Start::new(bytes).read_to_end(&mut read).map(|_| read.clone()).map_err(|e| e.to_string());
        let mut slow = Vec::new();
        let slowly = Utf8Start::new(Dripping(bytes).chain(&b""[..])).read_to_end(&mut slow);
        match &done {
            Ok(all) if !bytes.is_empty() => {
                // The bytes so far were passed on before more were requested.
                assert!(slowly.unwrap_err().to_string().contains("more than has come"));
                let open = matches!(bytes, [0xef | 0xff | 0xfe | 0] | [0xef, 0xbb] | [0, 0] | [0, 0, 0]);
                assert_eq!(slow, if open { &b""[..] } else { all });
            }
            _ => {}
        }
        done
    }

    /// It catches: a mark that becomes part of the first word; a text that waits for bytes that it does not need.
    #[test]
    fn a_byte_order_mark_is_no_part_of_a_text() {
        assert_eq!(whole(b"\xef\xbb\xbfid,label").unwrap(), b"id,label");
        assert_eq!(whole(b"a;").unwrap(), b"a;");
        assert_eq!(whole(b"\xef\xbb\xbf").unwrap(), b"");
        assert_eq!(whole(b"").unwrap(), b"");
        assert_eq!(whole(b"\xef\xbbx").unwrap(), b"\xef\xbbx");
        // The second one is a character of the text.
        assert_eq!(whole(b"\xef\xbb\xbf\xef\xbb\xbfa").unwrap(), b"\xef\xbb\xbfa");
        assert_eq!(whole("é".as_bytes()).unwrap(), "é".as_bytes());
    }

    /// It catches: letters with zero bytes between them that are read as ids.
    #[test]
    fn other_encodings_are_refused_by_name() {
        for (bytes, name) in [
            (&b"\xff\xfea\0b\0"[..], "UTF-16 (little-endian)"),
            (b"\xff\xfe", "UTF-16 (little-endian)"),
            (b"\xfe\xff\0a", "UTF-16 (big-endian)"),
            (b"a\0b\0", "UTF-16 (little-endian)"),
            (b"\0a\0b", "UTF-16 (big-endian)"),
            (b"\xff\xfe\0\0a\0\0\0", "UTF-32 (little-endian)"),
            (b"\0\0\xfe\xff\0\0\0a", "UTF-32 (big-endian)"),
        ] {
            let error = whole(bytes).unwrap_err();
            assert!(error.contains(name) && error.contains("UTF-8"), "{bytes:?}: {error}");
        }
    }

    /// It catches: a line of any length that is read to its end.
    #[test]
    fn lines_are_bounded() {
        let lines = |text: &'static [u8]| {
            let mut found = Vec::new();
            Text::standard(text).lines(3, 100, |number, line| {
                found.push((number, line.to_owned()));
                Ok(())
            })?;
            Ok::<_, Error>(found)
        };
        let of = |n: usize, line: &str| (n, line.to_owned());
        assert_eq!(lines(b"\xef\xbb\xbfabc\r\n\nx").unwrap(), [of(1, "abc"), of(2, ""), of(3, "x")]);
        assert!(lines(b"abc\nabcd\n").unwrap_err().to_string().contains("line 2 has more than 3 bytes"));
        assert!(lines(b"\xc3\x28").unwrap_err().to_string().contains("line 1 is not UTF-8"));
        let endless = Text::standard(io::repeat(b'a')).lines(100, 1000, |_, _| Ok(()));
        assert!(endless.unwrap_err().to_string().contains("more than 100 bytes"));
        let endless = Text::standard(io::repeat(b'\n')).lines(100, 1000, |_, _| Ok(()));
        assert!(endless.unwrap_err().to_string().contains("more than 1000 bytes"));
    }

    /// It catches: a list of gigabytes that is opened and read.
    #[test]
    fn a_list_that_is_too_long_is_refused_by_its_length() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.csv");
        std::fs::File::create(&path).unwrap().set_len(MAX_LIST_BYTES + 1).unwrap();
        let refused = Text::open(&path).unwrap().is_no_longer_than_a_list().unwrap_err().to_string();
        assert!(refused.contains("1073741825 bytes"), "{refused}");
        assert!(super::super::Table::open(Text::open(&path).unwrap(), &["id"]).is_err());
    }
}
