//! The header of a .npy file: the type of the numbers, their order and their count. It reads every header that numpy has written
//! since Python 2.
//!
//! It is a Python dictionary, read here with bounded work and without recursion: the general parser (npyz 0.9) panics on a shape whose
//! product overflows and recurses with its brackets.

/// Largest header of a .npy file: 16 MiB; numpy writes 128 bytes, and pads headers that may grow.
pub const MAX_NPY_HEADER: usize = 16 << 20;
/// Most axes of an array; numpy's own limit is 64.
const MAX_AXES: usize = 64;
/// The first bytes of a .npy file, before the two bytes of its version.
const MAGIC: &[u8] = b"\x93NUMPY";

/// The type of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    Bool,
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F16,
    F32,
    F64,
}

impl Element {
    /// Bytes of a number.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 | Self::F16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }

    /// By numpy's name, with whether the most significant byte comes first.
    fn of(descr: &str) -> Option<(Self, bool)> {
        let (is_big, name) = match descr.as_bytes().first()? {
            b'>' | b'!' => (true, &descr[1..]),
            b'<' | b'|' | b'=' => (false, &descr[1..]),
            _ => (false, descr),
        };
        let element = match name {
            "b1" | "?" | "bool" => Self::Bool,
            "i1" | "b" | "int8" => Self::I8,
            "u1" | "B" | "uint8" => Self::U8,
            "i2" | "h" | "int16" => Self::I16,
            "u2" | "H" | "uint16" => Self::U16,
            "i4" | "i" | "int32" => Self::I32,
            "u4" | "I" | "uint32" => Self::U32,
            "i8" | "q" | "l" | "int64" => Self::I64,
            "u8" | "Q" | "L" | "uint64" => Self::U64,
            "f2" | "e" | "float16" => Self::F16,
            "f4" | "f" | "float32" => Self::F32,
            "f8" | "d" | "float64" => Self::F64,
            _ => return None,
        };
        Some((element, is_big))
    }

    /// Appends the numbers in `bytes`.
    pub(super) fn read(self, bytes: &[u8], is_big: bool, into: &mut Vec<f32>) {
        match self {
            Self::Bool => into.extend(bytes.iter().map(|&x| f32::from(u8::from(x != 0)))),
            Self::I8 => into.extend(bytes.iter().map(|&x| f32::from(x.cast_signed()))),
            Self::U8 => into.extend(bytes.iter().map(|&x| f32::from(x))),
            Self::I16 => numbers(bytes, is_big, into, |x| f32::from(i16::from_le_bytes(x))),
            Self::U16 => numbers(bytes, is_big, into, |x| f32::from(u16::from_le_bytes(x))),
            Self::I32 => numbers(bytes, is_big, into, |x| i32::from_le_bytes(x) as f32),
            Self::U32 => numbers(bytes, is_big, into, |x| u32::from_le_bytes(x) as f32),
            Self::I64 => numbers(bytes, is_big, into, |x| i64::from_le_bytes(x) as f32),
            Self::U64 => numbers(bytes, is_big, into, |x| u64::from_le_bytes(x) as f32),
            Self::F16 => numbers(bytes, is_big, into, |x| half(u16::from_le_bytes(x))),
            Self::F32 => numbers(bytes, is_big, into, f32::from_le_bytes),
            Self::F64 => numbers(bytes, is_big, into, |x| f64::from_le_bytes(x) as f32),
        }
    }
}

fn numbers<const BYTES: usize>(bytes: &[u8], is_big: bool, into: &mut Vec<f32>, number: impl Fn([u8; BYTES]) -> f32) {
    into.extend(bytes.as_chunks().0.iter().map(|&bytes: &[u8; BYTES]| {
        let mut bytes = bytes;
        if is_big {
            bytes.reverse();
        }
        number(bytes)
    }));
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

/// The place of the header's text and of the numbers, from the start of a .npy file. `None`: it is no such file.
pub(super) fn text_place(start: &[u8]) -> Option<(usize, usize)> {
    let (version, rest) = start.strip_prefix(MAGIC)?.split_first_chunk::<2>()?;
    let bytes = match version {
        [1, 0] => rest.get(..2)?,
        [2 | 3, 0] => rest.get(..4)?,
        _ => return None,
    };
    let announced = bytes.iter().rev().fold(0usize, |n, &byte| n << 8 | usize::from(byte));
    let text = MAGIC.len() + version.len() + bytes.len();
    Some((text, text.saturating_add(announced)))
}

/// Bytes that [`text_place`] needs.
pub(super) const START_BYTES: usize = 12;

/// The three entries of a header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NpyHeader {
    pub(super) element: Element,
    /// The most significant byte of a number comes first.
    pub(super) is_big_endian: bool,
    /// The first axis varies fastest.
    pub(super) fortran_order: bool,
    pub(super) shape: Vec<u64>,
}

impl NpyHeader {
    /// Reads the text of a header.
    ///
    /// # Errors
    /// The mistake, and what to do.
    pub(super) fn parse(text: &[u8]) -> Result<Self, (String, &'static str)> {
        const AGAIN: &str = "save it with numpy.save";
        let foreign = || ("its header is not numpy's".to_owned(), AGAIN);
        let mut words = Words { text };
        let (mut descr, mut order, mut shape) = (None, None, None);
        if !words.take(b'{') {
            return Err(foreign());
        }
        while !words.take(b'}') {
            let name = words.quoted().ok_or_else(foreign)?;
            if !words.take(b':') {
                return Err(foreign());
            }
            let is_new = match name.as_slice() {
                b"descr" => descr.replace(words.descr().ok_or_else(foreign)?).is_none(),
                b"fortran_order" => order.replace(words.truth().ok_or_else(foreign)?).is_none(),
                b"shape" => shape.replace(words.shape().ok_or_else(foreign)?).is_none(),
                _ => false,
            };
            if !is_new || !(words.take(b',') || words.next() == Some(b'}')) {
                return Err(foreign());
            }
        }
        let (Some(descr), Some(fortran_order), Some(shape), None) = (descr, order, shape, words.next()) else {
            return Err(foreign());
        };
        let Some((element, is_big_endian)) = Element::of(&descr) else {
            let what = format!("it has numbers of type {descr}");
            return Err((
                what,
                "Cairn reads floats of 16, 32 and 64 bits, integers and bool; convert it with numpy's astype('<f4')",
            ));
        };
        Ok(Self { element, is_big_endian, fortran_order, shape })
    }
}

/// The rest of a header's text.
struct Words<'a> {
    text: &'a [u8],
}

impl Words<'_> {
    /// The next byte that is no white space.
    fn next(&mut self) -> Option<u8> {
        self.text = self.text.trim_ascii_start();
        self.text.first().copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.next() == Some(byte);
        if found {
            self.text = &self.text[1..];
        }
        found
    }

    /// A text in single or double quotes; Python 2 writes a `u` or a `b` before it.
    fn quoted(&mut self) -> Option<Vec<u8>> {
        if matches!(self.next()?, b'u' | b'U' | b'b' | b'B') {
            self.text = &self.text[1..];
        }
        let (&quote, rest) = self.text.split_first()?;
        if quote != b'\'' && quote != b'"' {
            return None;
        }
        let end = rest.iter().position(|&byte| byte == quote)?;
        let text = rest[..end].to_vec();
        self.text = &rest[end + 1..];
        (!text.contains(&b'\\')).then_some(text)
    }

    /// The type of the numbers; a structure has one name for all.
    fn descr(&mut self) -> Option<String> {
        if self.next()? != b'[' && self.next()? != b'(' {
            return String::from_utf8(self.quoted()?).ok();
        }
        // It skips the brackets and quotes, because the text after them matters.
        let (mut depth, mut quote, mut end) = (0usize, None, None);
        for (at, &byte) in self.text.iter().enumerate() {
            match (quote, byte) {
                (Some(open), _) if open == byte => quote = None,
                (Some(_), _) => {}
                (None, b'\'' | b'"') => quote = Some(byte),
                (None, b'[' | b'(') => depth += 1,
                (None, b']' | b')') => {
                    depth = depth.checked_sub(1)?;
                    if depth == 0 {
                        end = Some(at + 1);
                        break;
                    }
                }
                _ => {}
            }
        }
        self.text = &self.text[end?..];
        Some("structure".to_owned())
    }

    fn truth(&mut self) -> Option<bool> {
        self.next()?;
        for (word, truth) in [(&b"True"[..], true), (b"False", false), (b"1", true), (b"0", false)] {
            if let Some(rest) = self.text.strip_prefix(word) {
                self.text = rest;
                return Some(truth);
            }
        }
        None
    }

    /// Numbers in brackets, with the `L` that Python 2 writes after some.
    fn shape(&mut self) -> Option<Vec<u64>> {
        let close = match self.next()? {
            b'(' => b')',
            b'[' => b']',
            _ => return None,
        };
        self.text = &self.text[1..];
        let mut axes = Vec::new();
        while !self.take(close) {
            self.next()?;
            let digits = self.text.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (number, rest) = self.text.split_at(digits);
            axes.push(str::from_utf8(number).ok()?.parse().ok()?);
            self.text = rest.strip_prefix(b"L").unwrap_or(rest);
            if axes.len() > MAX_AXES || !(self.take(b',') || self.next() == Some(close)) {
                return None;
            }
        }
        Some(axes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn parsed(text: &str) -> Option<NpyHeader> {
        NpyHeader::parse(text.as_bytes()).ok()
    }

    /// It catches: a header in a form of an old or a new numpy that is not understood.
    #[test]
    fn every_spelling_of_a_header_is_understood() {
        for text in [
            "{'descr': '<f4', 'fortran_order': False, 'shape': (6, 8), }          \n",
            "{\"descr\": \"<f4\", \"fortran_order\": False, \"shape\": (6, 8)}",
            "{'shape': (6L, 8L), 'fortran_order': False, 'descr': '<f4'}",
            "{u'descr': u'<f4', u'fortran_order': False, u'shape': (6L, 8L,), }",
            " {\t'descr':'f4' , 'shape' : [6 ,8] ,'fortran_order':0 } \n",
            "{'descr': 'float32', 'fortran_order': False, 'shape': (6, 8)}",
        ] {
            let header = parsed(text).unwrap();
            let expected =
                NpyHeader { element: Element::F32, is_big_endian: false, fortran_order: false, shape: vec![6, 8] };
            assert_eq!(header, expected, "{text}");
        }
        let big = parsed("{'descr': '>f8', 'fortran_order': True, 'shape': ()}").unwrap();
        assert!(big.is_big_endian && big.fortran_order && big.element == Element::F64 && big.shape.is_empty());
    }

    /// It catches: other bytes that are read as a header, or work that grows with their nesting.
    #[test]
    fn what_is_no_header_is_refused() {
        for text in [
            "",
            "{",
            "{}",
            "{'descr': '<f4', 'fortran_order': False}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)} x",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), 'shape': (3, 3)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), 'more': 1}",
            "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (2, 2)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, -2)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 2)}",
            "{'descr': '<f4, 'fortran_order': False, 'shape': (2, 2)}",
            "{'descr': '<f4' 'fortran_order': False 'shape': (2, 2)}",
        ] {
            assert!(parsed(text).is_none(), "{text}");
        }
        let many = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({})}}", "1, ".repeat(100_000));
        assert!(parsed(&many).is_none());
        let deep = format!("{{'descr': {}", "[(".repeat(1_000_000));
        assert!(parsed(&deep).is_none());
        for (descr, kind) in [("'<c8'", "<c8"), ("'|O'", "|O"), ("[('a', '<f4'), ('b]', '<i2')]", "structure")] {
            let text = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (2, 2)}}");
            let (what, help) = NpyHeader::parse(text.as_bytes()).unwrap_err();
            assert!(what.contains(kind) && help.contains("astype"), "{what}");
        }
    }

    /// It catches: a kind of number read as another one, or its bytes in the wrong order.
    #[test]
    fn every_kind_of_number_is_read_in_both_orders() {
        let read = |descr: &str, bytes: &[u8]| {
            let (element, is_big) = Element::of(descr).unwrap();
            assert_eq!(element.bytes(), bytes.len(), "{descr}");
            let mut numbers = Vec::new();
            element.read(bytes, is_big, &mut numbers);
            numbers[0]
        };
        let both = |kind: &str, bytes: &[u8], value: f32| {
            let mut turned = bytes.to_vec();
            turned.reverse();
            assert_eq!(read(&format!("<{kind}"), bytes), value, "<{kind}");
            assert_eq!(read(&format!(">{kind}"), &turned), value, ">{kind}");
        };
        both("f2", &0xC100u16.to_le_bytes(), -2.5);
        both("f4", &(-4.5f32).to_le_bytes(), -4.5);
        both("f8", &0.5f64.to_le_bytes(), 0.5);
        both("i2", &(-300i16).to_le_bytes(), -300.0);
        both("u2", &65535u16.to_le_bytes(), 65535.0);
        both("i4", &(-70_000i32).to_le_bytes(), -70_000.0);
        both("u4", &u32::MAX.to_le_bytes(), 4_294_967_296.0);
        both("i8", &(-5i64).to_le_bytes(), -5.0);
        both("u8", &u64::MAX.to_le_bytes(), 18_446_744_073_709_551_616.0);
        for (descr, byte, value) in [("|i1", 0x80, -128.0), ("|u1", 0x80, 128.0), ("|b1", 1, 1.0), ("?", 0, 0.0)] {
            assert_eq!(read(descr, &[byte]), value, "{descr}");
        }
        assert!(["", "<", "<f3", "<f16", "<U4", "M8[s]", "é"].iter().all(|descr| Element::of(descr).is_none()));
    }

    #[test]
    fn halves_are_exact() {
        let values = [0x3C00u16, 0xC100, 0x0001, 0x7BFF, 0x8000].map(half);
        assert_eq!(values, [1.0, -2.5, 5.960_464_5e-8, 65504.0, 0.0]);
        assert!(half(0x7C00).is_infinite() && half(0x7E00).is_nan());
    }
}
