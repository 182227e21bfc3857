//! Photos of many kinds that were decoded wrongly once: made by a program, with the right outcome.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::testing::shared;

fn case(name: &str) -> Option<Vec<u8>> {
    shared(&format!("cases/{name}")).map(|path| std::fs::read(path).unwrap())
}

fn read(bytes: &[u8]) -> cairn::Result<Pixels> {
    decode(bytes, &DecodeLimits::default())
}

fn refusal(name: &str) -> Option<String> {
    case(name).map(|bytes| read(&bytes).unwrap_err().to_string())
}

/// It catches: a warning of the decoder that is ignored, an end marker that is required.
#[test]
fn a_jpeg_with_a_hole_is_refused_and_one_without_an_end_is_not() {
    let Some(whole) = case("hole/whole.jpg") else { return };
    let whole = read(&whole).unwrap();
    assert_eq!(read(&case("hole/only_eoi_missing.jpg").unwrap()).unwrap(), whole);
    for name in ["hole/zeros_inside.jpg", "hole/cut_then_eoi.jpg"] {
        let why = refusal(name).unwrap();
        assert!(why.contains("damaged or cut short"), "{name}: {why}");
    }
}

/// It catches: a kind that is judged by its name, a rotation applied twice or never.
#[test]
fn one_picture_in_every_kind_is_nearly_the_same() {
    let Some(upright) = case("kinds/upright.jpg") else { return };
    let upright = read(&upright).unwrap();
    for name in [
        "upright.heic",
        "upright.avif",
        "upright.jp2",
        "photo.jfif",
        "really_a_jpeg.HEIC",
        "really_a_heic.jpg",
        "orientation6.heic",
    ] {
        let pixels = match read(&case(&format!("kinds/{name}")).unwrap()) {
            Err(error) if error.to_string().contains("libheif") => {
                println!("SKIPPED: {name}: {error}");
                continue;
            }
            pixels => pixels.unwrap(),
        };
        assert_eq!((pixels.width(), pixels.height()), (upright.width(), upright.height()), "{name}");
        let sum: u64 = pixels.rgb().iter().zip(upright.rgb()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        let mean = sum as f64 / upright.rgb().len() as f64;
        assert!(mean < 6.0, "{name}: pixels differ by {mean:.1} on average");
    }
    assert!(refusal("kinds/page.jpg").unwrap().contains("a web page"));
    assert!(refusal("kinds/pointer.jpg").unwrap().contains("a Git LFS pointer"));
}

/// It catches: photos of real cameras that are refused, or decoded at full size.
#[test]
fn photos_of_a_hundred_megapixels_are_read() {
    let need = Need::LongestSide(640);
    for (name, size) in [("phone_108mp.jpg", (1500, 1125)), ("camera_60mp_progressive.jpg", (2376, 1584))] {
        let Some(bytes) = case(&format!("shapes_big/{name}")) else { return };
        let pixels = decode_for(&bytes, need, &DecodeLimits::default()).unwrap();
        assert_eq!((pixels.width(), pixels.height()), size, "{name}");
    }
}
