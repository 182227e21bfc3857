//! Decoding: orientations, odd kinds of pixels, damaged and hostile files, all made here.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat, Rgb, RgbImage};

use image::metadata::Orientation;

use super::*;
use crate::photo::read_file;

/// A picture without any symmetry.
fn gradient(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x * 5) as u8, (y * 3) as u8, ((x + 2 * y) % 251) as u8]))
}

fn encode(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn jpeg(width: u32, height: u32) -> Vec<u8> {
    encode(&DynamicImage::ImageRgb8(gradient(width, height)), ImageFormat::Jpeg)
}

fn read(bytes: &[u8]) -> Result<Pixels> {
    decode(bytes, &DecodeLimits::default())
}

fn refusal(bytes: &[u8]) -> String {
    read(bytes).unwrap_err().to_string()
}

/// An EXIF block (TIFF, little-endian) with one entry: orientation.
fn exif(orientation: u8) -> Vec<u8> {
    let mut block = b"II*\0\x08\0\0\0\x01\0".to_vec();
    block.extend([0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0, 0, 0, 0, 0]);
    block
}

#[test]
fn all_eight_orientations_decode_to_the_same_upright_picture() {
    let upright = gradient(23, 17);
    for code in 1..=8u8 {
        let orientation = Orientation::from_exif(code).unwrap();
        // What a camera stores: the picture that its orientation turns upright.
        let inverse = match orientation {
            Orientation::Rotate90 => Orientation::Rotate270,
            Orientation::Rotate270 => Orientation::Rotate90,
            own_inverse => own_inverse,
        };
        let mut stored = DynamicImage::ImageRgb8(upright.clone());
        stored.apply_orientation(inverse);
        let stored = stored.into_rgb8();
        let mut png = Vec::new();
        let mut encoder = PngEncoder::new(&mut png);
        encoder.set_exif_metadata(exif(code)).unwrap();
        encoder.write_image(&stored, stored.width(), stored.height(), ExtendedColorType::Rgb8).unwrap();
        let pixels = read(&png).unwrap();
        assert_eq!((pixels.width(), pixels.height()), (23, 17), "orientation {code}");
        assert_eq!(pixels.rgb(), upright.as_raw().as_slice(), "orientation {code}");

        let mut jpeg = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, 95);
        encoder.set_exif_metadata(exif(code)).unwrap();
        encoder.write_image(&stored, stored.width(), stored.height(), ExtendedColorType::Rgb8).unwrap();
        let pixels = read(&jpeg).unwrap();
        assert_eq!((pixels.width(), pixels.height()), (23, 17), "orientation {code}");
        let difference: u64 = pixels.rgb().iter().zip(upright.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        assert!(difference / (23 * 17 * 3) < 8, "orientation {code}: mean difference {difference} / 1173");
    }
}

#[test]
fn deep_grey_and_transparent_pictures_become_rgb() {
    let deep = DynamicImage::ImageRgb8(gradient(9, 7)).into_rgb16();
    let from_deep = read(&encode(&DynamicImage::ImageRgb16(deep), ImageFormat::Png)).unwrap();
    assert_eq!(from_deep.rgb(), gradient(9, 7).as_raw().as_slice());
    let grey = DynamicImage::ImageRgb8(gradient(9, 7)).into_luma8();
    let from_grey = read(&encode(&DynamicImage::ImageLuma8(grey.clone()), ImageFormat::Png)).unwrap();
    assert!(from_grey.rgb().chunks(3).zip(grey.as_raw()).all(|(rgb, &l)| rgb == [l, l, l]));
    // What is transparent shows white, whatever colour it hides.
    let mut clear = DynamicImage::ImageRgb8(gradient(9, 7)).into_rgba8();
    clear.pixels_mut().enumerate().for_each(|(at, pixel)| pixel.0[3] = if at < 9 { 0 } else { 255 });
    let from_clear = read(&encode(&DynamicImage::ImageRgba8(clear), ImageFormat::Png)).unwrap();
    assert_eq!(from_clear.rgb()[..27], [255; 27]);
    assert_eq!(from_clear.rgb()[27..], gradient(9, 7).as_raw()[27..]);
}

#[test]
fn every_format_that_is_promised_is_read() {
    let picture = DynamicImage::ImageRgb8(gradient(20, 11));
    for format in
        [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::Tiff]
    {
        let pixels = read(&encode(&picture, format)).unwrap();
        assert_eq!((pixels.width(), pixels.height()), (20, 11), "{format:?}");
    }
}

/// A baseline JPEG of 8x8 pixels with four components of one value each (Adobe CMYK, which stores ink inverted).
fn cmyk_jpeg(inverted_ink: [u8; 4]) -> Vec<u8> {
    let mut file = vec![0xFF, 0xD8];
    let mut segment = |marker: u8, body: &[u8]| {
        file.extend([0xFF, marker, 0, body.len() as u8 + 2]);
        file.extend(body);
    };
    segment(0xEE, b"Adobe\0\x64\0\0\0\0\0"); // transform 0: CMYK as it is
    segment(0xDB, &[&[0u8][..], &[1; 64]].concat());
    segment(0xC0, &[8, 0, 8, 0, 8, 4, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 4, 0x11, 0]);
    // DC: twelve categories, each with a code of four bits that is its number. AC: the end of a block, one bit.
    let mut dc = vec![0x00, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    dc.extend(0..12u8);
    segment(0xC4, &dc);
    segment(0xC4, &[0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x00]);
    segment(0xDA, &[4, 1, 0, 2, 0, 3, 0, 4, 0, 0, 63, 0]);
    let mut bits = String::new();
    for value in inverted_ink {
        let dc = (i32::from(value) - 128) * 8;
        let size = 32 - dc.unsigned_abs().leading_zeros();
        bits.push_str(&format!("{size:04b}"));
        let code = if dc < 0 { dc + (1 << size) - 1 } else { dc };
        for bit in (0..size).rev() {
            bits.push(if code >> bit & 1 == 1 { '1' } else { '0' });
        }
        bits.push('0');
    }
    while !bits.len().is_multiple_of(8) {
        bits.push('1');
    }
    for byte in bits.as_bytes().chunks(8) {
        let byte = byte.iter().fold(0u8, |byte, &bit| byte << 1 | (bit - b'0'));
        file.push(byte);
        if byte == 0xFF {
            file.push(0);
        }
    }
    file.extend([0xFF, 0xD9]);
    file
}

#[test]
fn cmyk_becomes_rgb() {
    // Ink (cyan 0, magenta 1, yellow 1, key 0) is red; Adobe stores 255 - ink.
    let pixels = read(&cmyk_jpeg([255, 0, 0, 255])).unwrap();
    assert_eq!((pixels.width(), pixels.height()), (8, 8));
    for rgb in pixels.rgb().chunks(3) {
        assert!(rgb[0] > 240 && rgb[1] < 15 && rgb[2] < 15, "{rgb:?}");
    }
}

#[test]
fn what_is_no_image_is_said_so() {
    assert!(refusal(b"").contains("empty"));
    assert!(refusal(b"id,path\nx,y\n").contains("not a photo: a text"));
    assert!(refusal(b"\x89PNG\r\n\x1a\n").contains("damaged"));
    assert!(read(&[0xFF, 0xD8, 0xFF]).is_err());
}

#[test]
fn a_jpeg_cut_anywhere_is_refused_and_trailing_bytes_are_not() {
    let whole = jpeg(64, 48);
    read(&whole).unwrap();
    for cut in (3..whole.len() - 2).step_by(7).chain([whole.len() - 3]) {
        assert!(read(&whole[..cut]).is_err(), "cut at {cut} of {}", whole.len());
        let ended = [&whole[..cut], b"\xFF\xD9"].concat();
        assert!(read(&ended).is_err(), "cut at {cut} of {}, and ended", whole.len());
    }
    // Every pixel is there, only the end marker is not.
    for cut in [whole.len() - 1, whole.len() - 2] {
        assert_eq!(read(&whole[..cut]).unwrap(), read(&whole).unwrap());
    }
    let mut longer = whole;
    longer.extend([0; 500]);
    read(&longer).unwrap();
}

#[test]
fn an_embedded_thumbnails_end_is_not_the_photos() {
    let (small, whole) = (jpeg(16, 16), jpeg(64, 48));
    let mut nested = whole[..2].to_vec();
    let length = (small.len() + 2) as u16;
    nested.extend([0xFF, 0xE5, (length >> 8) as u8, length as u8]);
    nested.extend(&small);
    nested.extend(&whole[2..]);
    assert_eq!(read(&nested).unwrap(), read(&whole).unwrap());
    assert!(refusal(&nested[..nested.len() - 200]).contains("cut short"));
}

#[test]
fn header_bombs_are_refused_before_decoding() {
    let mut png = encode(&DynamicImage::ImageRgb8(gradient(4, 4)), ImageFormat::Png);
    png[16..24].copy_from_slice(&[0, 0, 0xC3, 0x50, 0, 0, 0xC3, 0x50]); // 50,000 x 50,000
    let crc = png_crc(&png[12..29]);
    png[29..33].copy_from_slice(&[24, 16, 8, 0].map(|shift| (crc >> shift) as u8));
    assert!(refusal(&png).contains("50000x50000"), "{}", refusal(&png));

    let mut bmp = encode(&DynamicImage::ImageRgb8(gradient(4, 4)), ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&50_000u32.to_le_bytes());
    bmp[22..26].copy_from_slice(&50_000u32.to_le_bytes());
    assert!(read(&bmp).is_err());

    let mut huge = jpeg(64, 48);
    let frame = huge.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    huge[frame + 5..frame + 9].copy_from_slice(&[0xC3, 0x50, 0xC3, 0x50]);
    assert!(refusal(&huge).contains("a photo may have 300 million"), "{}", refusal(&huge));
}

fn png_crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

#[test]
fn limits_can_be_lowered() {
    let limits = DecodeLimits { pixels: 1_000_000, ..DecodeLimits::default() };
    let large = encode(&DynamicImage::ImageRgb8(gradient(1001, 1000)), ImageFormat::Png);
    assert!(decode(&large, &limits).unwrap_err().to_string().contains("1001x1000"));
    let limits = DecodeLimits { working_bytes: 1_000_000, ..DecodeLimits::default() };
    assert!(decode(&large, &limits).is_err());
}

/// A picture of 40x24 pixels: red 6x, green 10y, blue 90 on the left and 200 on the right; as JPEG XL, lossless and not.
const JPEG_XL: [&str; 2] = [
    "ff0a050888040800010058014b2831dd3cab87abc24242424941c4881271e27f8cbf01875815837518630c63304d1b0140014280010441\
     000890c722a34d131dfdfffffffeff6ffbff6981642cc3f7569df2963c680c25395aca6c5c8ef69fc2971e",
    "ff0a05c80013880200b003b59f200000152aa38c1bbc9cebf9f24387c5b48deb0c6db56d610963b3bd3048988162716194dbf0e836e517\
     0a0c0c3c12dc2124d4d151f340c22d57543da6dc94f80b4f01064918431276c7832b164393b324e5f6d927c2b233839ad8bef133dce1ce\
     9580b120d78c8aaa420ae4c1762b29ef988c793115638c091d8c1e30fea8abef5a9b85de6612d55db9800d02bb5d2a0b19d4df3658351f\
     648d2454a54115b234a144c32ca876eae1d3dc75cfdd05fed84d9c5b481ee9bfa38dfe79b44bb2d5379fd85719332edcb8cde15fed4d5f\
     a472d8b1f918932e72d944edf5b75a1ec495a0feb3a6c287038100",
];

fn jpeg_xl(digits: &str) -> Vec<u8> {
    (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// It catches: channels or rows exchanged, colours that are converted twice.
#[test]
fn jpeg_xl_is_read() {
    let pixel = |at: u32| [(at % 40 * 6) as u8, (at / 40 * 10) as u8, if at % 40 < 20 { 90 } else { 200 }];
    let picture = Pixels::new(40, 24, (0..40 * 24).flat_map(pixel).collect()).unwrap();
    let [lossless, lossy] = JPEG_XL.map(|digits| read(&jpeg_xl(digits)).unwrap());
    assert_eq!(lossless, picture);
    assert!(difference(&lossy, &picture) < 4.0, "{}", difference(&lossy, &picture));
    let cut = jpeg_xl(JPEG_XL[1]);
    assert!(read(&cut[..cut.len() / 2]).is_err());
}

/// Files that are mutated: of each kind one, those of other programs where they are.
fn sound_files() -> Vec<(String, Vec<u8>)> {
    let picture = DynamicImage::ImageRgb8(gradient(40, 30));
    let formats =
        [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Tiff, ImageFormat::Bmp];
    let mut files: Vec<_> = formats.map(|format| (format!("{format:?}"), encode(&picture, format))).into();
    files.push(("JPEG XL".to_owned(), jpeg_xl(JPEG_XL[1])));
    for name in ["upright.heic", "upright.avif", "upright.jp2", "orientation6.heic"] {
        if let Some(path) = crate::testing::shared(&format!("cases/kinds/{name}")) {
            files.push((name.to_owned(), std::fs::read(path).unwrap()));
        }
    }
    files
}

/// R15: `CAIRN_CASES` mutations of each kind; 300 otherwise, of the slower kinds a tenth.
#[test]
fn mutated_files_never_panic() {
    let asked: Option<usize> = std::env::var("CAIRN_CASES").ok().and_then(|cases| cases.parse().ok());
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for (name, sound) in sound_files() {
        let is_slow = name.contains('.');
        let cases = asked.unwrap_or(if is_slow { 30 } else { 300 });
        for _ in 0..cases {
            let mut bytes = sound.clone();
            for _ in 0..1 + next() % 8 {
                // Half of the changes hit the header.
                let within = if next() % 2 == 0 { bytes.len().min(400) } else { bytes.len() } as u64;
                let at = (next() % within) as usize;
                bytes[at] = next() as u8;
            }
            bytes.truncate((next() % (2 * bytes.len() as u64)) as usize);
            // Any answer will do; a panic of a decoder is caught and is an error.
            let _ = read(&bytes);
        }
        println!("{name}: {cases} mutations");
    }
}

#[test]
fn a_folder_and_an_oversized_file_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let limits = DecodeLimits { file_bytes: 10, ..DecodeLimits::default() };
    assert!(read_file(folder.path(), &limits).is_err());
    let path = folder.path().join("photo.jpg");
    std::fs::write(&path, [0; 11]).unwrap();
    assert!(read_file(&path, &limits).unwrap_err().to_string().contains("11 bytes"));
}

/// The mean difference of two pictures of one size, out of 255.
fn difference(a: &Pixels, b: &Pixels) -> f64 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let sum: u64 = a.rgb().iter().zip(b.rgb()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.rgb().len() as f64
}

/// It catches: a divisor that leaves less than twice the size, sides rounded down, a picture that is scaled after it was turned.
#[test]
fn a_large_jpeg_is_decoded_as_small_as_its_use_allows() {
    assert_eq!(Need::All.divisor(8000, 6000), 1);
    assert_eq!(Need::LongestSide(640).divisor(4032, 3024), 2);
    assert_eq!(Need::LongestSide(250).divisor(4000, 3000), 8);
    assert_eq!(Need::LongestSide(640).divisor(1279, 1279), 1);
    let squash = SizeRule::Squash { width: 100, height: 400 };
    assert_eq!(Need::Input(squash).divisor(4000, 1600), 2);
    // A smooth picture, so that scaling by any good way gives nearly the same.
    let smooth = RgbImage::from_fn(1001, 601, |x, y| Rgb([(x / 4) as u8, (y / 3) as u8, ((x + y) / 8) as u8]));
    let whole = encode(&DynamicImage::ImageRgb8(smooth), ImageFormat::Jpeg);
    let full = read(&whole).unwrap();
    for (longest, size) in [(250, (501, 301)), (125, (251, 151)), (62, (126, 76)), (251, (1001, 601))] {
        let small = decode_for(&whole, Need::LongestSide(longest), &DecodeLimits::default()).unwrap();
        assert_eq!((small.width(), small.height()), size, "{longest}");
        let expected = crate::photo::resize(&full, small.width(), small.height()).unwrap();
        assert!(difference(&small, &expected) < 2.0, "{longest}: {}", difference(&small, &expected));
    }
}

/// It catches: pixels of full size that are reserved for a scaled decoding, passes that are not counted.
#[test]
fn memory_is_counted_for_the_size_that_is_decoded() {
    let whole = jpeg(1024, 1024);
    let limits = DecodeLimits { working_bytes: 1 << 20, ..DecodeLimits::default() };
    assert!(decode(&whole, &limits).unwrap_err().to_string().contains("decoding takes 3 MiB, more than the 1"));
    assert_eq!(decode_for(&whole, Need::LongestSide(128), &limits).unwrap().width(), 256);
}

/// It catches: a number of parts that overflows, a profile that is unpacked without a limit.
#[test]
fn colour_profiles_are_bounded() {
    let whole = jpeg(16, 16);
    let part = |number: u8| [&[0xFF, 0xE2, 0, 18][..], b"ICC_PROFILE\0", &[number, 255, 7, 7]].concat();
    let parts: Vec<u8> = (1..=255).flat_map(part).collect();
    let many = [&whole[..2], &parts, &whole[2..]].concat();
    assert_eq!(read(&many).unwrap(), read(&whole).unwrap());

    let png = encode(&DynamicImage::ImageRgb8(gradient(4, 4)), ImageFormat::Png);
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), 64 << 20), &mut packed).unwrap();
    let body = [&b"iCCPname\0\0"[..], &packed.finish().unwrap()].concat();
    let length = [24, 16, 8, 0].map(|shift| ((body.len() - 4) >> shift) as u8);
    let crc = [24, 16, 8, 0].map(|shift| (png_crc(&body) >> shift) as u8);
    let bomb = [&png[..33], &length, &body, &crc, &png[33..]].concat();
    assert!(refusal(&bomb).contains("colour profile"), "{}", refusal(&bomb));
}
