//! Resizes a photo to the input size of a network: antialiased bilinear, with Pillow's arithmetic.

use cairn::{Error, Result};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::Pixels;

/// Boundaries of the ratio height / width between the aspect groups; a ratio on a boundary belongs to the group above.
const ASPECT_CUTS: [f64; 4] = [0.67, 0.77, 1.33, 1.5];
/// (width, height) of the aspect groups, widest first: the sizes "L2" of docs/ALGORITHMS.md.
const ASPECT_SIZES: [(u32, u32); 5] = [(800, 544), (800, 608), (800, 800), (608, 800), (544, 800)];

/// The rule that gives the input size for a photo's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeRule {
    /// It keeps the aspect ratio: the longest side becomes `longest` pixels, then each side is rounded to a multiple (at least
    /// one).
    LongestSide {
        /// Pixels of the longest side.
        longest: u32,
        /// Sides are multiples of this.
        multiple: u32,
    },
    /// One of five sizes, by aspect ratio.
    AspectGroups,
    /// The size that the photo has: the encoder resizes.
    Unchanged,
}

impl SizeRule {
    /// (width, height) of the input for a photo of that width and height.
    pub fn target(self, width: u32, height: u32) -> (u32, u32) {
        match self {
            SizeRule::LongestSide { longest, multiple } => {
                let scale = f64::from(longest) / f64::from(width.max(height).max(1));
                let multiple = multiple.max(1);
                let side = |side: u32| {
                    let steps = (f64::from(side) * scale / f64::from(multiple)).round_ties_even();
                    (steps as u32).max(1) * multiple
                };
                (side(width), side(height))
            }
            SizeRule::AspectGroups => ASPECT_SIZES[usize::from(aspect_group(width, height))],
            SizeRule::Unchanged => (width, height),
        }
    }
}

/// The aspect group of a photo, 0 (widest) to 4 (tallest).
pub fn aspect_group(width: u32, height: u32) -> u8 {
    let ratio = f64::from(height) / f64::from(width.max(1));
    ASPECT_CUTS.iter().map(|&cut| u8::from(ratio >= cut)).sum()
}

/// The picture at exactly this size; a picture that has this size is copied.
///
/// # Errors
/// When a side is zero.
pub fn resize(picture: &Pixels, width: u32, height: u32) -> Result<Pixels> {
    if (picture.width, picture.height) == (width, height) {
        return Ok(picture.clone());
    }
    let failed = |what: String| Error::invalid(format!("the photo cannot be resized to {width}x{height}: {what}"));
    let source = ImageRef::new(picture.width, picture.height, &picture.rgb, PixelType::U8x3)
        .map_err(|error| failed(error.to_string()))?;
    let mut target = Image::new(width, height, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    Resizer::new().resize(&source, &mut target, &options).map_err(|error| failed(error.to_string()))?;
    Pixels::new(width, height, target.into_vec()).ok_or_else(|| failed("a side is zero".to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    const LITE0: SizeRule = SizeRule::LongestSide { longest: 320, multiple: 32 };

    #[test]
    fn the_longest_side_is_kept_and_sides_are_multiples() {
        assert_eq!(LITE0.target(416, 312), (320, 256)); // 240 / 32 = 7.5, ties to even
        assert_eq!(LITE0.target(300, 416), (224, 320));
        assert_eq!(LITE0.target(65_535, 1), (320, 32));
        assert_eq!(LITE0.target(1, 1), (320, 320));
    }

    #[test]
    fn aspect_groups_equal_the_golden_cases() {
        let Some(path) = crate::testing::shared("golden/model/preprocess_cases.json") else { return };
        let text = std::fs::read_to_string(path).unwrap();
        // The file is a list of flat objects: w, h, then the sizes; numbers are picked in their order of appearance.
        let numbers_after = |text: &str, name: &str| -> Vec<u32> {
            let at = text.find(name).unwrap() + name.len();
            let end = text[at..].find(['}', '{']).unwrap() + at;
            text[at..end].split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect()
        };
        let mut cases = 0;
        for case in text.split("{\"w\"").skip(1) {
            let case = format!("{{\"w\"{case}");
            let (w, h) = (numbers_after(&case, "\"w\":")[0], numbers_after(&case, "\"h\":")[0]);
            let large = &case[case.find("\"L2\"").unwrap()..];
            let sizes = numbers_after(large, "\"resize_wh\":");
            assert_eq!(SizeRule::AspectGroups.target(w, h), (sizes[0], sizes[1]), "{w}x{h}");
            cases += 1;
        }
        assert!(cases > 10, "{cases}");
    }

    #[test]
    fn a_flat_picture_stays_flat_and_a_zero_side_is_an_error() {
        let flat = Pixels::new(50, 40, vec![77; 50 * 40 * 3]).unwrap();
        assert!(resize(&flat, 320, 256).unwrap().rgb().iter().all(|&x| x == 77));
        assert!(resize(&flat, 0, 10).is_err());
    }
}
