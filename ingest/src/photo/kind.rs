//! What a file holds, judged by its first bytes and never by its name.

/// Number of first bytes that decide.
pub const KIND_BYTES: usize = 512;

/// Kinds of files that can hold a photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// JPEG, whatever its ending (.jpg, .jpeg, .jpe, .jfif).
    Jpeg,
    /// PNG, APNG included (the first picture).
    Png,
    /// WebP.
    WebP,
    /// GIF.
    Gif,
    /// Windows bitmap.
    Bmp,
    /// TIFF, which may turn out to be a camera raw.
    Tiff,
    /// HEIC and HEIF.
    Heif,
    /// AVIF.
    Avif,
    /// JPEG XL, in a container or bare.
    JpegXl,
    /// JPEG 2000, in a container or bare.
    Jpeg2000,
    /// A camera raw that does not begin like a TIFF (Canon CR3, Fujifilm RAF, Panasonic RW2, Olympus ORF, Sigma X3F).
    Raw,
}

impl Kind {
    /// The kind of a file that begins with these bytes; an error says what the file is instead, for a message.
    ///
    /// # Errors
    /// When it is no photo of a known kind.
    pub fn of(head: &[u8]) -> Result<Self, &'static str> {
        let head = &head[..head.len().min(KIND_BYTES)];
        let found = SIGNATURES.iter().find(|(signature, _)| head.starts_with(signature)).map(|&(_, kind)| kind);
        found.or_else(|| container(head)).ok_or_else(|| no_photo(head))
    }
}

/// The first bytes of each kind, but for those in an ISO container.
const SIGNATURES: [(&[u8], Kind); 18] = [
    (b"\xFF\xD8\xFF", Kind::Jpeg),
    (b"\x89PNG\r\n\x1A\n", Kind::Png),
    (b"GIF87a", Kind::Gif),
    (b"GIF89a", Kind::Gif),
    (b"BM", Kind::Bmp),
    (b"II*\0\x10\0\0\0CR", Kind::Raw),
    (b"II*\0", Kind::Tiff),
    (b"MM\0*", Kind::Tiff),
    (b"II+\0", Kind::Tiff),
    (b"MM\0+", Kind::Tiff),
    (b"IIRO", Kind::Raw),
    (b"IIRS", Kind::Raw),
    (b"MMOR", Kind::Raw),
    (b"IIU\0", Kind::Raw),
    (b"FUJIFILMCCD-RAW", Kind::Raw),
    (b"FOVb", Kind::Raw),
    (b"\xFF\x0A", Kind::JpegXl),
    (b"\xFF\x4F\xFF\x51", Kind::Jpeg2000),
];

/// Kinds that begin with a box: the length of the first one, its name, and in `ftyp` the brands.
fn container(head: &[u8]) -> Option<Kind> {
    if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
        return Some(Kind::WebP);
    }
    match head.get(4..8)? {
        b"JXL " => Some(Kind::JpegXl),
        b"jP  " => Some(Kind::Jpeg2000),
        b"ftyp" => {
            let length = head.get(..4)?.iter().fold(0usize, |length, &byte| length << 8 | usize::from(byte));
            let brands = head.get(8..length.min(head.len()))?.chunks_exact(4);
            // The major brand, then, behind its version, the compatible ones: an AVIF also calls itself a MIAF image.
            let mut kinds = brands.filter_map(|brand| match brand {
                b"avif" | b"avis" => Some(Kind::Avif),
                b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1" | b"mif2" => {
                    Some(Kind::Heif)
                }
                b"crx " => Some(Kind::Raw),
                _ => None,
            });
            let first = kinds.next()?;
            Some(if kinds.any(|kind| kind == Kind::Avif) { Kind::Avif } else { first })
        }
        _ => None,
    }
}

/// What a file is that could be a list.
pub(crate) const TEXT: &str = "a text";

/// What a file is that holds no photo.
fn no_photo(head: &[u8]) -> &'static str {
    const OTHERS: [(&[u8], &str); 17] = [
        (b"version https://git-lfs", "a Git LFS pointer: the photo itself was not fetched (git lfs pull)"),
        (b"%PDF", "a PDF document"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"\x1F\x8B", "a gzip archive"),
        (b"Rar!", "a RAR archive"),
        (b"7z\xBC\xAF", "a 7z archive"),
        (b"\x1A\x45\xDF\xA3", "a Matroska or WebM video"),
        (b"RIFF", "a sound or a video (RIFF)"),
        (b"ID3", "a sound (MP3)"),
        (b"OggS", "a sound or a video (Ogg)"),
        (b"fLaC", "a sound (FLAC)"),
        (b"8BPS", "a Photoshop document"),
        (b"gimp xcf", "a GIMP document"),
        (b"\0\0\x01\0", "an icon"),
        (b"SQLite format 3", "an SQLite database"),
        (b"\x93NUMPY", "an array of numpy"),
        (b"\x7FELF", "a program"),
    ];
    if head.is_empty() {
        return "an empty file";
    }
    if head.iter().all(|&byte| byte == 0) {
        return "nothing but zeros; its content was lost";
    }
    if let Some((_, what)) = OTHERS.iter().find(|(signature, _)| head.starts_with(signature)) {
        return what;
    }
    if head.get(4..8) == Some(b"ftyp") {
        return "a video (MP4 or MOV)";
    }
    // Cut in the middle of a letter, text is still text.
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return "no photo of a known kind",
    };
    let start = text.trim_start_matches('\u{FEFF}').trim_start().to_ascii_lowercase();
    let has = |what: &str| start.contains(what);
    if start.starts_with("<!doctype html") || has("<html") || has("<head") || has("<body") {
        "a web page"
    } else if has("<svg") {
        "an SVG drawing"
    } else if start.starts_with("<?xml") || has("<x:xmpmeta") {
        "an XML document"
    } else if text.chars().any(|letter| letter.is_control() && !letter.is_whitespace()) {
        "no photo of a known kind"
    } else {
        TEXT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It catches: a brand that is read past its box, a minor brand that decides against the major one, a text taken for a photo.
    #[test]
    fn first_bytes_decide_the_kind() {
        let ftyp = |brands: &[&[u8]]| {
            let mut bytes = vec![0, 0, 0, (8 + 4 * brands.len()) as u8];
            bytes.extend(b"ftyp");
            brands.iter().for_each(|brand| bytes.extend(*brand));
            bytes.extend(b"\0\0\0\x08avif");
            bytes
        };
        assert_eq!(Kind::of(&ftyp(&[b"heic", b"\0\0\0\0", b"mif1", b"heic"])), Ok(Kind::Heif));
        assert_eq!(Kind::of(&ftyp(&[b"mif1", b"\0\0\0\0", b"mif1", b"avif"])), Ok(Kind::Avif));
        assert_eq!(Kind::of(&ftyp(&[b"crx ", b"\0\0\0\x01", b"crx ", b"isom"])), Ok(Kind::Raw));
        assert_eq!(Kind::of(&ftyp(&[b"qt  ", b"\0\0\0\0"])), Err("a video (MP4 or MOV)"));
        assert_eq!(Kind::of(b"RIFF\x10\0\0\0WEBPVP8 "), Ok(Kind::WebP));
        assert_eq!(Kind::of(b"RIFF\x10\0\0\0WAVEfmt "), Err("a sound or a video (RIFF)"));
        assert_eq!(Kind::of(b"II*\0\x10\0\0\0CR\x02\0"), Ok(Kind::Raw));
        assert_eq!(Kind::of(b"II*\0\x08\0\0\0"), Ok(Kind::Tiff));
        assert_eq!(Kind::of(b"\xFF\xD8\xFF\xE0"), Ok(Kind::Jpeg));
        assert_eq!(Kind::of(b""), Err("an empty file"));
        assert_eq!(Kind::of(&[0; 600]), Err("nothing but zeros; its content was lost"));
        assert_eq!(Kind::of(b"\n\n<!DOCTYPE HTML>\n<title>404</title>"), Err("a web page"));
        assert_eq!(Kind::of("\u{FEFF}<?xml version='1.0'?><svg/>".as_bytes()), Err("an SVG drawing"));
        assert_eq!(Kind::of(b"id,label\na.jpg,Louvre\n"), Err("a text"));
        // The last letter is cut in its middle.
        assert_eq!(Kind::of(&[b'a'; 511].iter().copied().chain("é".bytes()).collect::<Vec<_>>()), Err("a text"));
        assert!(Kind::of(b"version https://git-lfs.github.com/spec/v1").unwrap_err().starts_with("a Git LFS pointer"));
        assert_eq!(Kind::of(b"\x01\x02\x03\xFE"), Err("no photo of a known kind"));
        for length in 0..20 {
            let _any = Kind::of(&b"\0\0\0\x30ftypheic\0\0\0\0mif1"[..length]);
        }
    }
}
