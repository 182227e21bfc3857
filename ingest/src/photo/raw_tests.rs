//! Camera raws, as far as they are read: a container with previews inside.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, Rgb, RgbImage};

use super::super::{DecodeLimits, decode};
use super::*;

fn jpeg(width: u32, height: u32) -> Vec<u8> {
    let picture = RgbImage::from_fn(width, height, |x, y| Rgb([(x / 4) as u8, (y / 4) as u8, 90]));
    let mut bytes = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut bytes, 90);
    encoder.write_image(&picture, width, height, ExtendedColorType::Rgb8).unwrap();
    bytes
}

/// A TIFF of one directory with a directory inside (tag 330), little-endian: entries of one SHORT each.
fn tiff(outer: &[(u16, u16)], inner: &[(u16, u16)], rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    let directory = |bytes: &mut Vec<u8>, entries: &[(u16, u16)], link: Option<u32>| {
        bytes.extend(((entries.len() + usize::from(link.is_some())) as u16).to_le_bytes());
        for &(tag, value) in entries {
            bytes.extend(
                tag.to_le_bytes().into_iter().chain([3, 0, 1, 0, 0, 0]).chain(value.to_le_bytes()).chain([0, 0]),
            );
        }
        if let Some(to) = link {
            bytes.extend(330u16.to_le_bytes().into_iter().chain([4, 0, 1, 0, 0, 0]).chain(to.to_le_bytes()));
        }
        bytes.extend([0; 4]);
    };
    let inside = 8 + 2 + 12 * (outer.len() + 1) + 4;
    directory(&mut bytes, outer, Some(inside as u32));
    directory(&mut bytes, inner, None);
    bytes.extend(rest);
    bytes
}

/// It catches: the first preview taken instead of the largest, the raw's orientation left out, a TIFF taken for a raw.
#[test]
fn the_largest_preview_is_the_photo() {
    let rest = [jpeg(160, 120), vec![7; 1000], jpeg(800, 600), vec![0xFF, 0xD8, 0xFF, 1, 2], jpeg(320, 240)].concat();
    let raw = tiff(&[(274, 6)], &[(262, 32803)], &rest);
    assert!(is_raw(&raw));
    let pixels = decode(&raw, &DecodeLimits::default()).unwrap();
    assert_eq!((pixels.width(), pixels.height()), (600, 800));
    assert!(!is_raw(&tiff(&[(274, 6), (262, 2)], &[(262, 2)], &rest)));
    let refusal =
        |rest: &[u8]| decode(&tiff(&[], &[(50706, 1)], rest), &DecodeLimits::default()).unwrap_err().to_string();
    assert!(refusal(&jpeg(160, 120)).contains("largest preview has 160x120"), "{}", refusal(&jpeg(160, 120)));
    assert!(refusal(b"nothing").contains("without a JPEG preview"));
    let fuji = [&b"FUJIFILMCCD-RAW 0201"[..], &rest].concat();
    assert_eq!(decode(&fuji, &DecodeLimits::default()).unwrap().width(), 800);
}

/// It catches: a directory that leads to itself, counts beyond the file.
#[test]
fn directories_in_a_circle_end() {
    let mut circle = b"II*\0\x08\0\0\0\x01\0".to_vec();
    circle.extend([0x4A, 0x01, 4, 0, 255, 255, 255, 255, 8, 0, 0, 0, 8, 0, 0, 0]);
    assert!(!is_raw(&circle));
    for length in 0..circle.len() {
        assert!(!is_raw(&circle[..length]));
    }
    let mut big = b"MM\0*\0\0\0\x08".to_vec();
    big.extend([0xFF; 40]);
    assert!(!is_raw(&big));
}
