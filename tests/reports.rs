//! R29: a report shows pixels and findings, and nothing else of the machine that made it: no metadata of a photo, no absolute
//! path, no file that was not ingested, even if the database comes from elsewhere.
//!
//! It catches: a small JPEG, or the database's copy, put into a page unchanged; the path of a photo, of the database or of the
//! known answers in a page; a file read because a database names it; a replaced file shown as if it had been ingested.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::Cursor;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cairn::{Database, Operation, Options, Put};
use cairndb_tests::{run, run_ok};
use image::{ImageFormat, RgbImage};

/// Stands in every segment that a page must not hold.
const SECRET: &str = "SECRET-48.8584N-2.2945E";

/// A photo of two colours, of which every sixth is alike.
fn picture(n: u8) -> RgbImage {
    RgbImage::from_fn(72, 48, |x, y| image::Rgb([40 * (n % 6), ((x * u32::from(n)) / 4) as u8, (y * 4) as u8]))
}

fn encoded(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// EXIF with a place, which a reader of photos finds.
fn exif() -> Vec<u8> {
    // Little-endian TIFF: one entry, ImageDescription (0x010e), as text behind the directory.
    let mut exif = b"II*\0\x08\0\0\0\x01\0\x0e\x01\x02\0".to_vec();
    exif.extend((SECRET.len() as u32).to_le_bytes());
    exif.extend(26u32.to_le_bytes());
    exif.extend([0; 4]);
    exif.extend(SECRET.bytes());
    exif
}

fn xmp() -> Vec<u8> {
    format!("<x:xmpmeta xmlns:x='adobe:ns:meta/'><exif:GPSLatitude>{SECRET}</exif:GPSLatitude></x:xmpmeta>")
        .into_bytes()
}

/// A JPEG with EXIF, XMP, a colour profile, an application's segment and a comment.
fn jpeg(n: u8) -> Vec<u8> {
    let plain = encoded(&picture(n), ImageFormat::Jpeg);
    let mut bytes = plain[..2].to_vec();
    for (marker, head, body) in [
        (0xe1, b"Exif\0\0".as_slice(), exif()),
        (0xe1, b"http://ns.adobe.com/xap/1.0/\0", xmp()),
        (0xe2, b"ICC_PROFILE\0\x01\x01", SECRET.as_bytes().to_vec()),
        (0xed, b"Photoshop 3.0\0", SECRET.as_bytes().to_vec()),
        (0xfe, b"", SECRET.as_bytes().to_vec()),
    ] {
        let length = (2 + head.len() + body.len()) as u16;
        bytes.extend([0xff, marker, (length >> 8) as u8, length as u8]);
        bytes.extend(head);
        bytes.extend(body);
    }
    bytes.extend(&plain[2..]);
    // Some cameras leave more behind the end of the picture.
    bytes.extend(SECRET.bytes());
    bytes
}

fn crc(bytes: &[u8]) -> [u8; 4] {
    let crc = bytes.iter().fold(u32::MAX, |mut crc, &byte| {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
        crc
    });
    (!crc).swap_bytes().to_le_bytes()
}

/// A PNG with EXIF, text, and XMP.
fn png(n: u8) -> Vec<u8> {
    let plain = encoded(&picture(n), ImageFormat::Png);
    let head = 8 + 25;
    let mut bytes = plain[..head].to_vec();
    let text = [b"Comment\0", SECRET.as_bytes()].concat();
    let international = [b"XML:com.adobe.xmp\0\0\0\0\0".as_slice(), &xmp()].concat();
    for (kind, body) in [(b"eXIf", exif()), (b"tEXt", text), (b"iTXt", international)] {
        let chunk = [kind.as_slice(), &body].concat();
        bytes.extend((body.len() as u32).swap_bytes().to_le_bytes());
        bytes.extend(&chunk);
        bytes.extend(crc(&chunk));
    }
    bytes.extend(&plain[head..]);
    bytes
}

/// A WebP with a colour profile, EXIF and XMP.
fn webp(n: u8) -> Vec<u8> {
    let plain = encoded(&picture(n), ImageFormat::WebP);
    let chunk = |kind: &[u8], body: &[u8]| {
        let padding = vec![0; body.len() % 2];
        [kind, &(body.len() as u32).to_le_bytes(), body, &padding].concat()
    };
    let size = |side: u32| (side - 1).to_le_bytes()[..3].to_vec();
    let canvas = [vec![0x2c, 0, 0, 0], size(72), size(48)].concat();
    let body = [
        b"WEBP".to_vec(),
        chunk(b"VP8X", &canvas),
        chunk(b"ICCP", SECRET.as_bytes()),
        plain[12..].to_vec(),
        chunk(b"EXIF", &exif()),
        chunk(b"XMP ", &xmp()),
    ]
    .concat();
    [b"RIFF".as_slice(), &(body.len() as u32).to_le_bytes(), &body].concat()
}

/// The photo of a number, and the ending of its name.
fn photo(n: u8) -> (Vec<u8>, &'static str) {
    match n % 3 {
        0 => (jpeg(n), "jpg"),
        1 => (png(n), "png"),
        _ => (webp(n), "webp"),
    }
}

/// The pictures of a page.
fn pictures(page: &str) -> Vec<Vec<u8>> {
    let parts = page.split("url(data:").skip(1).map(|rest| rest.split(')').next().unwrap());
    parts.map(|uri| STANDARD.decode(uri.strip_prefix("image/jpeg;base64,").expect("a JPEG")).unwrap()).collect()
}

/// A picture holds what a decoder needs, and nothing else.
fn is_bare(jpeg: &[u8]) {
    let mut at = 2;
    loop {
        assert_eq!(jpeg[at], 0xff, "no marker at {at}");
        let marker = jpeg[at + 1];
        let length = usize::from(jpeg[at + 2]) * 256 + usize::from(jpeg[at + 3]);
        let body = &jpeg[at + 4..at + 2 + length];
        match marker {
            0xe0 => assert!(body.starts_with(b"JFIF\0") && body.len() == 14, "APP0: {body:?}"),
            0xdb | 0xc4 | 0xc0..=0xc2 | 0xdd => {}
            0xda => break,
            other => panic!("segment {other:x}: {:?}", String::from_utf8_lossy(body)),
        }
        at += 2 + length;
    }
    assert!(jpeg.ends_with(&[0xff, 0xd9]) && jpeg.windows(2).filter(|two| *two == [0xff, 0xd9]).count() == 1);
    assert!(image::load_from_memory(jpeg).is_ok());
}

/// The page that a command wrote, which must hold so many pictures and nothing of this machine.
fn sound_page(folder: &Path, name: &str, most: usize) -> String {
    let page = std::fs::read_to_string(folder.join(name)).unwrap();
    for jpeg in pictures(&page) {
        is_bare(&jpeg);
    }
    assert!(!page.contains("SECRET"), "{name} holds metadata");
    // Without the pictures, whose letters may be those of a path.
    let cut = |rest: &str| rest.split_once(')').unwrap().1.to_owned();
    let text: String = page
        .split("url(data:")
        .enumerate()
        .map(|(at, part)| if at == 0 { part.to_owned() } else { cut(part) })
        .collect();
    for path in [folder.to_str().unwrap(), std::env::temp_dir().to_str().unwrap(), "/home/", env!("CARGO_MANIFEST_DIR")]
    {
        let at = text.find(path);
        assert!(
            at.is_none(),
            "{name} holds {path}: {:?}",
            at.map(|at| text[at..].chars().take(80).collect::<String>())
        );
    }
    assert!(!text.contains("src=") && !text.contains("href=") && !text.contains("file:"), "{name} fetches something");
    let count = pictures(&page).len();
    assert_eq!(count, most, "{name}");
    page
}

/// Twelve train photos of three labels and six index photos, all with metadata, under `place`; their lists beside it, half of the paths
/// absolute.
fn make(place: &Path) {
    std::fs::create_dir_all(place.join("photos")).unwrap();
    let (mut train, mut index, mut query) =
        ("id,path,label\n".to_owned(), "id,path\n".to_owned(), "id,path\n".to_owned());
    let mut solution = "id,images,Usage\n".to_owned();
    for n in 0..20u8 {
        let (bytes, ending) = photo(n);
        let name = format!("photos/{n}.{ending}");
        std::fs::write(place.join(&name), bytes).unwrap();
        let path = if n % 2 == 0 { name.clone() } else { place.join(&name).display().to_string() };
        match n {
            0..12 => train += &format!("t{n},{path},label {}\n", n % 3),
            12..18 => index += &format!("{path},{path}\n"),
            _ => {
                query += &format!("q{n},{path}\n");
                solution += &format!("q{n},{},Private\n", place.join("photos/13.png").display());
            }
        }
    }
    for (name, text) in [("train.csv", train), ("index.csv", index), ("query.csv", query), ("solution.csv", solution)] {
        std::fs::write(place.join(name), text).unwrap();
    }
}

fn database(folder: &Path, keep: &str) {
    run_ok(folder, &["create", "DB", "--model", "lite0-gem", "--keep", keep]);
    run_ok(folder, &["ingest", "DB", "train.csv", "--as", "train"]);
    run_ok(folder, &["ingest", "DB", "index.csv", "--as", "index"]);
}

/// Every way to a page; the pictures that each must have.
fn pages(folder: &Path, more: &[&str], counts: [usize; 4]) -> [String; 4] {
    let query = folder.join("photos/18.jpg").display().to_string();
    let statement = format!("SEARCH '{query}' EXACT K 9 RERANK INTO 'search.html'");
    run_ok(folder, &[&["query", "DB", "-c", &statement], more].concat());
    let list = "SEARCH QUERIES 'query.csv' EXACT K 9 RERANK INTO 'list.html'";
    let truth = folder.join("solution.csv").display().to_string();
    run_ok(folder, &[&["query", "DB", "-c", list, "--truth", &truth], more].concat());
    let eval = ["eval", "DB", "--queries", "query.csv", "--truth", &truth, "--report", "eval.html"];
    run_ok(folder, &[&eval, more].concat());
    let clean = ["maintain", "clean", "DB", "--rule", "suspects", "--top", "5", "--dry-run", "--into", "clean.html"];
    run_ok(folder, &[&clean, more].concat());
    let names = ["search.html", "list.html", "eval.html", "clean.html"];
    std::array::from_fn(|at| sound_page(folder, names[at], counts[at]))
}

#[test]
fn reports_hold_pixels_and_nothing_else_of_the_photos_and_the_machine() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().canonicalize().unwrap();
    for keep in ["thumb", "original"] {
        make(&folder);
        database(&folder, keep);
        let stored = Database::open_read_only(folder.join("DB")).unwrap();
        let kept = stored.snapshot().photo("t0").unwrap().unwrap();
        assert_eq!(kept == photo(0).0, keep == "original", "a small photo is no thumbnail as it is");
        if keep == "thumb" {
            is_bare(&kept);
        }
        drop(stored);
        // The photos are gone: what the database keeps is shown.
        let photos = folder.join("photos");
        for n in 0..18u8 {
            std::fs::remove_file(photos.join(format!("{n}.{}", photo(n).1))).unwrap();
        }
        // Six index photos and one or two queries; the suspects and their witnesses.
        let shown = pictures(&std::fs::read_to_string(clean_page(&folder)).unwrap()).len();
        assert!((5..=10).contains(&shown), "{shown} pictures of suspects");
        let pages = pages(&folder, &[], [7, 8, 8, shown]);
        assert!(pages[0].contains("Search: \u{2026}/18.jpg"), "the query has its name");
        assert!(pages[0].contains("\u{2026}/13.png") && pages[0].contains("photos/12.jpg"), "keys as they were given");
        std::fs::remove_dir_all(folder.join("DB")).unwrap();
    }
}

/// The page of a first cleaning, to count by.
fn clean_page(folder: &Path) -> PathBuf {
    let clean = ["maintain", "clean", "DB", "--rule", "suspects", "--top", "5", "--dry-run", "--into", "first.html"];
    run_ok(folder, &clean);
    folder.join("first.html")
}

#[test]
fn a_report_reads_no_file_that_nobody_named_and_none_that_changed() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().canonicalize().unwrap();
    make(&folder);
    database(&folder, "none");
    let without = pages(&folder, &[], [1, 2, 2, 0]);
    for page in &without {
        assert!(
            page.contains("--photos-from FOLDER") && page.contains("not kept"),
            "the page says how photos are shown"
        );
    }
    // One photo is replaced by another, one is gone, one is a pipe now.
    std::fs::write(folder.join("photos/12.jpg"), jpeg(99)).unwrap();
    std::fs::remove_file(folder.join("photos/14.webp")).unwrap();
    std::fs::remove_file(folder.join("photos/16.png")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(folder.join("photos/16.png")).status().unwrap().success());
    let output = run(
        &folder,
        &[
            "query",
            "DB",
            "-c",
            "SEARCH QUERIES 'query.csv' EXACT K 9 RERANK INTO 'list.html'",
            "--photos-from",
            "photos",
        ],
    );
    let said = String::from_utf8(output.stderr).unwrap();
    let place = folder.join("photos").display().to_string();
    assert!(said.contains(&format!("photos read from their files: 3 below {place}")), "{said}");
    let page = sound_page(&folder, "list.html", 2 + 3);
    assert!(page.contains("file changed") && page.contains("file not found"), "{page}");
    assert!(page.contains("2 of the images shown: the file has changed"), "the replaced one and the pipe");
    // Photos that moved are found by their keys, and only in the folder that is named.
    std::fs::create_dir_all(folder.join("moved/photos")).unwrap();
    for name in ["13.png", "15.jpg", "17.webp"] {
        std::fs::remove_file(folder.join("photos").join(name)).unwrap();
    }
    std::fs::write(folder.join("moved/photos/14.webp"), webp(14)).unwrap();
    std::os::unix::fs::symlink(folder.join("query.csv"), folder.join("moved/photos/16.png")).unwrap();
    run_ok(&folder, &["query", "DB", "-c", "SEARCH ID 't0' EXACT K 9 INTO 'moved.html'", "--photos-from", "moved"]);
    sound_page(&folder, "moved.html", 1);
    let output = run(&folder, &["query", "DB", "-c", "SHOW STATUS", "--photos-from", "nowhere"]);
    assert!(!output.status.success() && String::from_utf8(output.stderr).unwrap().contains("nowhere"));
}

#[test]
fn a_database_from_elsewhere_draws_no_file_of_the_reader_into_a_page() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().canonicalize().unwrap();
    std::fs::create_dir_all(folder.join("private")).unwrap();
    std::fs::write(folder.join("private/mine.jpg"), jpeg(7)).unwrap();
    let mine = folder.join("private/mine.jpg").display().to_string();
    let database = Database::create(folder.join("DB"), Options::for_vectors(2)).unwrap();
    // Whoever made it chose the paths, and whether there is a digest.
    let put = |n: u8, content: Option<[u8; 32]>, key: &str| {
        Operation::Put({
            let mut put = Put::new(key.to_owned(), vec![1.0, f32::from(n)]).source(mine.clone());
            put.content = content;
            put
        })
    };
    let operations = vec![put(0, None, "a"), put(1, Some([0; 32]), "private/mine.jpg"), put(2, None, &mine)];
    database.write(operations).unwrap();
    drop(database);
    for more in [&[][..], &["--photos-from", "private"], &["--photos-from", "."]] {
        run_ok(&folder, &[&["query", "DB", "-c", "SEARCH VECTOR [1, 1] EXACT RERANK INTO 'r.html'"], more].concat());
        sound_page(&folder, "r.html", 0);
    }
}
