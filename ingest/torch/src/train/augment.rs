//! Augmented views of a photo: the paper's "soft" and the released "hard" augmentation (docs/ALGORITHMS.md).

use cairn::{Error, Result};

use crate::random::Mix;
use cairndb_ingest::photo::{Pixels, resize};

/// Tells this file's draws from others of the same seed.
const PURPOSE: u64 = 0xa6e7;
/// Chance of each change of colour, as in the library of the released code.
const COLOUR_CHANCE: f64 = 0.5;
/// Largest change of brightness and of contrast.
const COLOUR_LIMIT: f64 = 0.1;
const SOFT_SCALE: f64 = 0.2;
const HARD_SCALE: f64 = 0.3;
/// Largest angle of the shear.
const SHEAR_DEGREES: f64 = 4.0;

/// How strongly a view differs from its photo. No view is mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Augmentation {
    /// Not at all.
    None,
    /// Both sides scaled by one factor between 0.8 and 1.2, then cropped or padded with black at a random place to the size it
    /// had; brightness +-10 % half of the time (the default, as in the paper).
    #[default]
    Soft,
    /// Width and height by separate factors between 0.7 and 1.3: a crop of that size, or the whole photo with a black border,
    /// resized to the original size; sheared by up to 4 degrees; brightness and contrast +-10 %, each with probability one half.
    Hard,
}

impl Augmentation {
    /// All of them.
    pub const ALL: [Augmentation; 3] = [Augmentation::None, Augmentation::Soft, Augmentation::Hard];

    /// The name people type.
    pub fn word(self) -> &'static str {
        match self {
            Augmentation::None => "none",
            Augmentation::Soft => "soft",
            Augmentation::Hard => "hard",
        }
    }

    /// How much larger than a view its photo must be, so that the smallest part that is ever taken still has as many pixels.
    pub(crate) fn headroom(self) -> f64 {
        match self {
            Augmentation::None => 1.0,
            Augmentation::Soft => 1.0 + SOFT_SCALE,
            Augmentation::Hard => 1.0 / (1.0 - HARD_SCALE),
        }
    }

    /// A view of the photo, of its size: a function of the photo and of these numbers.
    ///
    /// # Errors
    /// `Invalid` for a photo whose sides do not allow it (longer than 2^31 pixels).
    pub fn view(self, photo: &Pixels, seed: u64, step: u64, slot: u64) -> Result<Pixels> {
        let mut mix = Mix::new(&[seed, PURPOSE, step, slot]);
        let (width, height) = (f64::from(photo.width()), f64::from(photo.height()));
        let part = match self {
            Augmentation::None => return Ok(photo.clone()),
            Augmentation::Soft => {
                let factor = mix.between(1.0 - SOFT_SCALE, 1.0 + SOFT_SCALE);
                window(photo, width / factor, height / factor, &mut mix)?
            }
            Augmentation::Hard => {
                let (low, high) = (1.0 - HARD_SCALE, 1.0 + HARD_SCALE);
                let (tall, wide) = (mix.between(low, high), mix.between(low, high));
                let wide = window(photo, width * wide, height * tall, &mut mix)?;
                let angle = mix.between(-SHEAR_DEGREES, SHEAR_DEGREES).to_radians();
                shear(&wide, angle.tan())?
            }
        };
        let mut view = part.rgb().to_vec();
        if mix.unit() < COLOUR_CHANCE {
            let factor = mix.between(1.0 - COLOUR_LIMIT, 1.0 + COLOUR_LIMIT);
            recolour(&mut view, factor, 0.0);
        }
        if self == Augmentation::Hard && mix.unit() < COLOUR_CHANCE {
            let factor = mix.between(1.0 - COLOUR_LIMIT, 1.0 + COLOUR_LIMIT);
            let sum: u64 = view.iter().map(|&x| u64::from(x)).sum();
            let mean = sum as f64 / view.len().max(1) as f64;
            recolour(&mut view, factor, mean);
        }
        picture(photo.width(), photo.height(), view)
    }
}

fn picture(width: u32, height: u32, rgb: Vec<u8>) -> Result<Pixels> {
    Pixels::new(width, height, rgb).ok_or_else(|| Error::invalid(format!("a view of {width}x{height} cannot be made")))
}

/// The part of the photo in a window of that size at a random place, black where the window is larger, at the size of the photo.
fn window(photo: &Pixels, width: f64, height: f64, mix: &mut Mix) -> Result<Pixels> {
    let side = |x: f64| x.round().clamp(1.0, f64::from(u32::MAX >> 1)) as u32;
    let (width, height) = (side(width), side(height));
    // Where the window begins on the photo, or, if it is larger, the photo in the window.
    let mut place = |photo: u32, window: u32| {
        let room = mix.below(photo.abs_diff(window) as usize + 1);
        if window > photo { (0, room, photo as usize) } else { (room, 0, window as usize) }
    };
    let (from_x, to_x, columns) = place(photo.width(), width);
    let (from_y, to_y, rows) = place(photo.height(), height);
    let (stride, own) = (photo.width() as usize * 3, width as usize * 3);
    let mut rgb = vec![0; own * height as usize];
    for row in 0..rows {
        let from = (from_y + row) * stride + from_x * 3;
        let to = (to_y + row) * own + to_x * 3;
        rgb[to..to + columns * 3].copy_from_slice(&photo.rgb()[from..from + columns * 3]);
    }
    resize(&picture(width, height, rgb)?, photo.width(), photo.height())
}

/// Each row moved sideways by `slope` times its distance from the middle row, by parts of pixels too; black comes in.
fn shear(photo: &Pixels, slope: f64) -> Result<Pixels> {
    let (width, height) = (photo.width() as usize, photo.height() as usize);
    let mut rgb = vec![0; photo.rgb().len()];
    let rows = photo.rgb().chunks_exact(width * 3).zip(rgb.chunks_exact_mut(width * 3));
    for (row, (from, to)) in rows.enumerate() {
        let moved = slope * (row as f64 - (height - 1) as f64 / 2.0);
        let (whole, part) = (moved.floor(), moved - moved.floor());
        let at = |column: f64, channel: usize| {
            let inside = column >= 0.0 && column < width as f64;
            if inside { f64::from(from[column as usize * 3 + channel]) } else { 0.0 }
        };
        for (i, value) in to.iter_mut().enumerate() {
            let (column, channel) = ((i / 3) as f64 - whole, i % 3);
            *value = (at(column, channel) * (1.0 - part) + at(column - 1.0, channel) * part).round() as u8;
        }
    }
    picture(photo.width(), photo.height(), rgb)
}

/// Every value's distance from `around` times `factor`.
fn recolour(rgb: &mut [u8], factor: f64, around: f64) {
    rgb.iter_mut().for_each(|x| *x = ((f64::from(*x) - around) * factor + around).round().clamp(0.0, 255.0) as u8);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn photo() -> Pixels {
        let rgb = (0..40 * 30 * 3).map(|i| 60 + (i / 3 % 40 * 3) as u8).collect();
        Pixels::new(40, 30, rgb).unwrap()
    }

    #[test]
    fn views_keep_the_size_and_are_functions_of_their_numbers() {
        for how in [Augmentation::Soft, Augmentation::Hard] {
            let view = |seed, epoch, image| how.view(&photo(), seed, epoch, image).unwrap();
            assert_eq!((view(1, 2, 3).width(), view(1, 2, 3).height()), (40, 30));
            assert_eq!(view(1, 2, 3), view(1, 2, 3));
            assert!(view(1, 2, 3) != view(1, 2, 4) && view(1, 2, 3) != view(1, 3, 3) && view(1, 2, 3) != view(2, 2, 3));
        }
        assert_eq!(Augmentation::None.view(&photo(), 1, 2, 3).unwrap(), photo());
    }

    #[test]
    fn a_window_crops_or_pads_by_its_factor() {
        let white = Pixels::new(100, 100, vec![255; 30_000]).unwrap();
        let mut mix = Mix::new(&[1]);
        assert!(window(&white, 80.0, 80.0, &mut mix).unwrap().rgb().iter().all(|&x| x == 255));
        let padded = window(&white, 125.0, 125.0, &mut mix).unwrap();
        let share = padded.rgb().iter().map(|&x| f64::from(x) / 255.0).sum::<f64>() / 30_000.0;
        assert!((share - 0.64).abs() < 0.02, "{share}");
    }

    #[test]
    fn the_tiniest_photo_has_views() {
        let dot = Pixels::new(1, 1, vec![9; 3]).unwrap();
        for image in 0..20 {
            for how in [Augmentation::Soft, Augmentation::Hard] {
                assert_eq!(how.view(&dot, 1, 1, image).unwrap().width(), 1);
            }
        }
    }

    #[test]
    fn a_shear_leans_by_its_slope_and_none_changes_nothing() {
        assert_eq!(shear(&photo(), 0.0).unwrap(), photo());
        let mut rgb = vec![0; 9 * 3 * 3];
        (0..3).for_each(|row| rgb[(row * 9 + 4) * 3] = 200);
        let leaning = shear(&Pixels::new(9, 3, rgb).unwrap(), 1.5).unwrap();
        let red = |row: usize, column: usize| leaning.rgb()[(row * 9 + column) * 3];
        assert_eq!([red(0, 2), red(0, 3), red(1, 4), red(2, 5), red(2, 6)], [100, 100, 200, 100, 100]);
    }

    #[test]
    fn brightness_scales_and_contrast_keeps_the_middle() {
        let mut rgb = [100, 200, 250];
        recolour(&mut rgb, 1.1, 0.0);
        assert_eq!(rgb, [110, 220, 255]);
        let mut rgb = [100, 150, 200];
        recolour(&mut rgb, 0.9, 150.0);
        assert_eq!(rgb, [105, 150, 195]);
    }
}
