//! Colours as sRGB: profiles of cameras and phones, inks, transparency.

use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

/// How a file says that its colours are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Profile {
    /// An ICC profile.
    Icc(Vec<u8>),
    /// Display P3, as phones write it.
    DisplayP3,
    /// The wide colours of ITU-R BT.2020.
    Bt2020,
}

/// How inks are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inks {
    /// 255 is all ink.
    Plain,
    /// 0 is all ink, as Adobe's programs write it.
    Inverted,
}

/// Largest difference of a colour, out of 255, at which a profile counts as sRGB and pixels stay as they are.
const AS_GOOD_AS_SRGB: u8 = 3;

impl Profile {
    /// The profile in a form that converts; `None`: it is damaged, and ignored as by every viewer.
    fn read(&self) -> Option<ColorProfile> {
        match self {
            Profile::Icc(bytes) => ColorProfile::new_from_slice(bytes).ok(),
            Profile::DisplayP3 => Some(ColorProfile::new_display_p3()),
            Profile::Bt2020 => Some(ColorProfile::new_bt2020()),
        }
    }
}

/// Converts RGB in place from its profile to sRGB. A profile of another kind (grey, inks) or a damaged one changes nothing.
pub(super) fn to_srgb(rgb: &mut [u8], width: u32, profile: Option<&Profile>) {
    let Some(source) = profile.and_then(Profile::read).filter(|it| it.color_space == DataColorSpace::Rgb) else {
        return;
    };
    let srgb = ColorProfile::new_srgb();
    let Ok(transform) = source.create_transform_8bit(Layout::Rgb, &srgb, Layout::Rgb, TransformOptions::default())
    else {
        return;
    };
    let convert = |from: &[u8], to: &mut [u8]| transform.transform(from, to).is_ok();
    if is_srgb(convert) {
        return;
    }
    let mut row = vec![0; width as usize * 3];
    for pixels in rgb.chunks_exact_mut(row.len().max(1)) {
        if !convert(pixels, &mut row) {
            return;
        }
        pixels.copy_from_slice(&row);
    }
}

/// Whether a conversion leaves a grid of colours as they are.
fn is_srgb(convert: impl Fn(&[u8], &mut [u8]) -> bool) -> bool {
    const STEPS: [u8; 5] = [0, 64, 128, 192, 255];
    let grid: Vec<u8> = STEPS
        .iter()
        .flat_map(|&r| STEPS.iter().flat_map(move |&g| STEPS.iter().flat_map(move |&b| [r, g, b])))
        .collect();
    let mut converted = vec![0; grid.len()];
    convert(&grid, &mut converted)
        && grid.iter().zip(&converted).all(|(&before, &after)| before.abs_diff(after) <= AS_GOOD_AS_SRGB)
}

/// RGB of inks: by their profile, otherwise light that no ink swallows, as Pillow has it.
pub(super) fn of_inks(mut cmyk: Vec<u8>, inks: Inks, width: u32, profile: Option<&Profile>) -> Vec<u8> {
    if inks == Inks::Inverted {
        cmyk.iter_mut().for_each(|value| *value = 255 - *value);
    }
    let mut rgb = vec![0; cmyk.len() / 4 * 3];
    let source = profile.and_then(Profile::read).filter(|it| it.color_space == DataColorSpace::Cmyk);
    let srgb = ColorProfile::new_srgb();
    let transform = source
        .and_then(|it| it.create_transform_8bit(Layout::Rgba, &srgb, Layout::Rgb, TransformOptions::default()).ok());
    if let Some(transform) = transform {
        let side = width.max(1) as usize;
        let mut rows = cmyk.chunks_exact(side * 4).zip(rgb.chunks_exact_mut(side * 3));
        if rows.all(|(from, to)| transform.transform(from, to).is_ok()) {
            return rgb;
        }
    }
    for (inks, colour) in cmyk.chunks_exact(4).zip(rgb.chunks_exact_mut(3)) {
        let light = 255 - u32::from(inks[3]);
        for (ink, value) in inks.iter().zip(colour) {
            *value = (light - (u32::from(*ink) * light + 127) / 255) as u8;
        }
    }
    rgb
}

/// RGB of colours with transparency, as they look on white.
pub(super) fn on_white(rgba: &[u8]) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(rgba.len() / 4 * 3);
    for pixel in rgba.chunks_exact(4) {
        let opaque = u32::from(pixel[3]);
        rgb.extend(
            pixel[..3].iter().map(|&colour| ((u32::from(colour) * opaque + 255 * (255 - opaque) + 127) / 255) as u8),
        );
    }
    rgb
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    /// It catches: a profile that is not applied, applied the wrong way round, or applied where it changes nothing.
    #[test]
    fn profiles_are_converted_to_srgb_and_srgb_stays() {
        // The red of Display P3 is more saturated than any in sRGB; its half red lies inside.
        let mut rgb = vec![255, 0, 0, 128, 100, 100, 90, 90, 90, 255, 255, 255];
        to_srgb(&mut rgb, 2, Some(&Profile::DisplayP3));
        assert_eq!((&rgb[..3], &rgb[6..]), (&[255, 0, 0][..], &[90, 90, 90, 255, 255, 255][..]));
        assert!(rgb[3] > 130 && rgb[4] < 100, "{rgb:?}");
        let icc = |profile: ColorProfile| Profile::Icc(profile.encode().unwrap());
        let mut same = vec![1, 2, 3, 200, 100, 50];
        to_srgb(&mut same, 2, Some(&icc(ColorProfile::new_srgb())));
        assert_eq!(same, [1, 2, 3, 200, 100, 50]);
        let mut adobe = vec![100, 200, 100, 100, 200, 100];
        to_srgb(&mut adobe, 2, Some(&icc(ColorProfile::new_adobe_rgb())));
        assert!(adobe[0] < 80 && adobe[..3] == adobe[3..], "{adobe:?}");
        let mut damaged = vec![9, 8, 7];
        to_srgb(&mut damaged, 1, Some(&Profile::Icc(vec![1; 300])));
        assert_eq!(damaged, [9, 8, 7]);
    }

    #[test]
    fn inks_and_transparency_become_light() {
        // No ink is white; all black ink is black; full cyan swallows red.
        let plain = [0, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 0];
        let rgb = vec![255, 255, 255, 0, 0, 0, 0, 255, 255];
        assert_eq!(of_inks(plain.to_vec(), Inks::Plain, 3, None), rgb);
        assert_eq!(of_inks(plain.map(|ink| 255 - ink).to_vec(), Inks::Inverted, 3, None), rgb);
        assert_eq!(
            on_white(&[10, 20, 30, 255, 10, 20, 30, 0, 0, 0, 0, 128]),
            [10, 20, 30, 255, 255, 255, 127, 127, 127]
        );
    }
}
