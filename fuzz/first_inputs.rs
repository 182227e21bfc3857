//! Writes the first inputs of the fuzz targets into a folder: `first_inputs FOLDER`, with a subfolder for each target. They are
//! small, of every kind that a target reads, and generated here, so that fuzzing needs no other files.
#![allow(
    clippy::expect_used,
    clippy::big_endian_bytes,
    reason = "a tool of the tests stops by panicking; EXIF and one kind of array are big-endian"
)]

use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageFormat};

/// Pixels of a side.
const SIDE: u32 = 12;

fn main() {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("the folder is named"));
    write(&folder.join("photo_bytes"), photos());
    write(&folder.join("vector_files"), arrays());
    write(&folder.join("catalog_values"), cairn::hostile::first_values());
    write(&folder.join("operation_sequences"), histories());
    write(&folder.join("upkeep_sequences"), histories());
}

fn write(folder: &Path, inputs: Vec<Vec<u8>>) {
    std::fs::create_dir_all(folder).expect("the folder can be made");
    for (number, bytes) in inputs.iter().enumerate() {
        std::fs::write(folder.join(format!("{number:02}")), bytes).expect("the folder can be written");
    }
}

/// A small picture in every format and layout that is read.
fn photos() -> Vec<Vec<u8>> {
    let pixels = image::RgbaImage::from_fn(SIDE, SIDE, |x, y| {
        let value = |of: u32| u8::try_from(of % 256).unwrap_or(0);
        image::Rgba([value(20 * x), value(20 * y), value(7 * x * y), value(255 - 5 * x)])
    });
    let picture = DynamicImage::from(pixels);
    let layouts = [
        DynamicImage::from(picture.to_rgb8()),
        picture.clone(),
        DynamicImage::from(picture.to_luma8()),
        DynamicImage::from(picture.to_luma_alpha8()),
        DynamicImage::from(picture.to_rgb16()),
    ];
    let formats =
        [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::Tiff];
    let mut made = Vec::new();
    for format in formats {
        for layout in &layouts {
            let mut bytes = Cursor::new(Vec::new());
            // Not every format has every layout.
            if layout.write_to(&mut bytes, format).is_ok() {
                made.push(bytes.into_inner());
            }
        }
    }
    let turned = made.first().map(|jpeg| with_orientation(jpeg, 6));
    made.extend(turned);
    made
}

/// A JPEG with an EXIF segment that says how it is turned.
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let tiff = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0";
    let mut exif = tiff.to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let length = u16::try_from(exif.len() + 2).expect("it is short").to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &exif, &jpeg[2..]].concat()
}

/// Arrays as numpy writes them, and rows of .fvecs.
fn arrays() -> Vec<Vec<u8>> {
    let values: Vec<f32> = (0u8..12).map(|n| f32::from(n) / 4.0).collect();
    let bytes = |of: &dyn Fn(f32) -> Vec<u8>| values.iter().flat_map(|&value| of(value)).collect::<Vec<u8>>();
    let float = bytes(&|value| value.to_le_bytes().to_vec());
    let mut made = vec![
        npy("<f4", "False", &float),
        npy("<f4", "True", &float),
        npy(">f4", "False", &bytes(&|value| value.to_be_bytes().to_vec())),
        npy("<f8", "False", &bytes(&|value| f64::from(value).to_le_bytes().to_vec())),
        npy("<f2", "False", &[0x00, 0x3c].repeat(values.len())),
        npy("|i1", "False", &[3, 0xfd].repeat(values.len() / 2)),
        npy("|b1", "False", &[1, 0].repeat(values.len() / 2)),
    ];
    let row = |row: &[f32]| {
        [&4u32.to_le_bytes()[..], &row.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>()].concat()
    };
    made.push(values.chunks(4).flat_map(row).collect());
    made
}

/// Three rows of four numbers.
fn npy(kind: &str, is_fortran: &str, bytes: &[u8]) -> Vec<u8> {
    /// Bytes before the header's text.
    const BEFORE: usize = 10;
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': {is_fortran}, 'shape': (3, 4), }}");
    while !(BEFORE + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let length = u16::try_from(header.len()).expect("it is short").to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), bytes].concat()
}

/// Histories of four bytes a step.
fn histories() -> Vec<Vec<u8>> {
    let mixed = (0u8..60).flat_map(|n| [n.wrapping_mul(37), n.wrapping_mul(11), n, n.wrapping_mul(3)]).collect();
    let grows = (0u8..40).flat_map(|n| [0, n % 5, n, n.wrapping_mul(7)]).collect();
    let deferred = (0u8..30).flat_map(|n| [if n == 0 { 8 } else { 4 * (n % 2) }, n, n % 6, n]).collect();
    let slow = (0u8..12).flat_map(|n| [if n % 4 == 3 { 252 } else { 0 }, n, n, n]).collect();
    vec![mixed, grows, deferred, slow]
}
