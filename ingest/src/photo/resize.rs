//! Resizes a photo to the input size of a network: antialiased bilinear, with Pillow's arithmetic.

use cairn::{Error, Result};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::Pixels;

/// Boundaries of the ratio height / width between the aspect groups; a ratio on a boundary belongs to the group above.
const ASPECT_CUTS: [f64; 4] = [0.67, 0.77, 1.33, 1.5];
/// (width, height) of the aspect groups, widest first: the sizes "L2" of docs/ALGORITHMS.md.
const ASPECT_SIZES: [(u32, u32); 5] = [(800, 544), (800, 608), (800, 800), (608, 800), (544, 800)];

/// Most pixels that a photo is scaled to before its middle is cut out: those of a square photo at a short side of 8,192.
const MOST_SCALED_PIXELS: u64 = 1 << 26;

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
    /// The short side becomes `short` pixels, and the middle of width x height is cut out, as torchvision's `Resize(short)` and
    /// `CenterCrop` do. `short` is at least each of them.
    ShortSide {
        /// Pixels of the short side before the cut.
        short: u32,
        /// Pixels of the input.
        width: u32,
        /// Pixels of the input.
        height: u32,
    },
    /// Every photo at exactly this size, whatever its ratio.
    Squash {
        /// Pixels of the input.
        width: u32,
        /// Pixels of the input.
        height: u32,
    },
    /// The photo as large as it fits into width x height, in the middle; the rest has one colour.
    Pad {
        /// Pixels of the input.
        width: u32,
        /// Pixels of the input.
        height: u32,
        /// R, G and B of the rest.
        fill: [u8; 3],
    },
    /// The size that the photo has: the encoder resizes.
    Unchanged,
}

impl SizeRule {
    /// The input that a photo gives.
    ///
    /// # Errors
    /// When a side is zero, or the photo is so long that it would be scaled to more than 67 million pixels.
    pub fn fit(self, photo: &Pixels) -> Result<Pixels> {
        let (width, height) = self.target(photo.width, photo.height);
        if u64::from(width) * u64::from(height) > MOST_SCALED_PIXELS && (width, height) != (photo.width, photo.height) {
            let Pixels { width: w, height: h, .. } = photo;
            let message =
                format!("a photo of {w}x{h} would be scaled to {width}x{height}: it is too long for its width");
            return Err(Error::invalid(message).help("cut it, or use a model whose resize rule is squash or pad"));
        }
        let scaled = resize(photo, width, height)?;
        match self {
            SizeRule::ShortSide { width, height, .. } => middle(&scaled, width, height),
            SizeRule::Pad { width, height, fill } => padded(&scaled, width, height, fill),
            _ => Ok(scaled),
        }
    }

    /// (width, height) to which a photo of that width and height is scaled, before anything is cut off or put around it.
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
            SizeRule::ShortSide { short, .. } => {
                let (w, h) = (width.max(1), height.max(1));
                // torchvision cuts the fraction of the long side off.
                let long = u64::from(short) * u64::from(w.max(h)) / u64::from(w.min(h));
                let long = u32::try_from(long).unwrap_or(u32::MAX).max(short);
                if w <= h { (short, long) } else { (long, short) }
            }
            SizeRule::Squash { width, height } => (width, height),
            SizeRule::Pad { width: wide, height: high, .. } => {
                let [w, h] = [width, height].map(|side| f64::from(side.max(1)));
                let scale = (f64::from(wide) / w).min(f64::from(high) / h);
                let side = |side: f64, most: u32| ((side * scale).round_ties_even() as u32).clamp(1, most.max(1));
                (side(w, wide), side(h, high))
            }
            SizeRule::Unchanged => (width, height),
        }
    }
}

/// Where something of `inner` pixels begins in the middle of `outer` pixels; a half goes to the even side, as in torchvision.
fn margin(outer: u32, inner: u32) -> usize {
    (f64::from(outer - inner.min(outer)) / 2.0).round_ties_even() as usize
}

/// The middle of a picture that is at least that large.
fn middle(picture: &Pixels, width: u32, height: u32) -> Result<Pixels> {
    let (left, top) = (margin(picture.width, width), margin(picture.height, height));
    let row = |at: usize| {
        let first = (at * picture.width as usize + left) * 3;
        picture.rgb.get(first..first + width as usize * 3)
    };
    let rows: Option<Vec<&[u8]>> = (top..top + height as usize).map(row).collect();
    rows.and_then(|rows| Pixels::new(width, height, rows.concat()))
        .ok_or_else(|| Error::invalid(format!("the photo has no middle of {width}x{height}")))
}

/// A picture in the middle of a larger one of one colour.
fn padded(picture: &Pixels, width: u32, height: u32, fill: [u8; 3]) -> Result<Pixels> {
    let (left, top) = (margin(width, picture.width), margin(height, picture.height));
    let mut rgb = fill.repeat(width as usize * height as usize);
    let length = picture.width as usize * 3;
    for (at, row) in picture.rgb.chunks_exact(length.max(1)).enumerate() {
        let first = ((top + at) * width as usize + left) * 3;
        if let Some(place) = rgb.get_mut(first..first + length) {
            place.copy_from_slice(row);
        }
    }
    Pixels::new(width, height, rgb)
        .ok_or_else(|| Error::invalid(format!("a photo cannot stand in {width}x{height} pixels")))
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

    /// It catches: a fraction that is rounded up, a cut that is not in the middle, rows and columns exchanged.
    #[test]
    fn the_short_side_is_scaled_and_the_middle_cut_out() {
        let rule = SizeRule::ShortSide { short: 256, width: 224, height: 224 };
        // 256 * 500 / 375 = 341.33
        assert_eq!((rule.target(500, 375), rule.target(375, 500)), ((341, 256), (256, 341)));
        assert_eq!((rule.target(10, 10), rule.target(1, 3)), ((256, 256), (256, 768)));
        // Column and row of each pixel are its R and G.
        let picture = |width: u32, height: u32| {
            let pixel = |at: u32| [(at % width) as u8, (at / width) as u8, 7];
            Pixels::new(width, height, (0..width * height).flat_map(pixel).collect()).unwrap()
        };
        let cut = SizeRule::ShortSide { short: 4, width: 3, height: 2 }.fit(&picture(4, 7)).unwrap();
        // (4 - 3) / 2 and (7 - 2) / 2 go to the even side: 0 and 2.
        let expected: Vec<u8> = [2u8, 3].iter().flat_map(|&y| [0u8, 1, 2].map(|x| [x, y, 7]).concat()).collect();
        assert_eq!((cut.width, cut.height, cut.rgb), (3, 2, expected));
        let padded = SizeRule::Pad { width: 4, height: 2, fill: [9, 8, 6] }.fit(&picture(2, 2)).unwrap();
        let (edge, rest) = ([9u8, 8, 6], [[0u8, 0, 7], [1, 0, 7], [0, 1, 7], [1, 1, 7]]);
        let expected = [edge, rest[0], rest[1], edge, edge, rest[2], rest[3], edge].concat();
        assert_eq!((padded.width, padded.height, padded.rgb), (4, 2, expected));
        let pad = SizeRule::Pad { width: 100, height: 100, fill: [0; 3] };
        assert_eq!((pad.target(65_535, 1), pad.target(50, 30), pad.target(200, 400)), ((100, 1), (100, 60), (50, 100)));
        let long = rule.fit(&Pixels::new(65_535, 1, vec![0; 65_535 * 3]).unwrap()).unwrap_err();
        assert!(long.message().contains("would be scaled to 16776960x256") && long.next_step().is_some(), "{long}");
        let squashed = SizeRule::Squash { width: 5, height: 3 }.fit(&picture(9, 9)).unwrap();
        assert_eq!((squashed.width, squashed.height), (5, 3));
        // A photo that has the size already stays as it is, under every rule.
        let same = picture(6, 6);
        let square = |fill| {
            [
                SizeRule::ShortSide { short: 6, width: 6, height: 6 },
                SizeRule::Squash { width: 6, height: 6 },
                SizeRule::Pad { width: 6, height: 6, fill },
                SizeRule::Unchanged,
            ]
        };
        for rule in square([1; 3]) {
            assert_eq!(rule.fit(&same).unwrap(), same, "{rule:?}");
        }
    }

    #[test]
    fn a_flat_picture_stays_flat_and_a_zero_side_is_an_error() {
        let flat = Pixels::new(50, 40, vec![77; 50 * 40 * 3]).unwrap();
        assert!(resize(&flat, 320, 256).unwrap().rgb().iter().all(|&x| x == 77));
        assert!(resize(&flat, 0, 10).is_err());
    }
}
