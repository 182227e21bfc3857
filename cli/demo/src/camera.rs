//! From a painted scene to a photograph: people and leaves in the way, a skewed and cropped view, light, noise, JPEG.

use image::codecs::jpeg::JpegEncoder;

use super::canvas::{Canvas, Noise, Point, mix, shade};
use super::random::Random;

/// Draws what stands between the photographer and the place.
pub(crate) fn occlude(canvas: &mut Canvas, photo: &mut Random, outdoors: bool) {
    let breadth = canvas.breadth();
    if photo.chance(0.55) {
        for _ in 0..photo.whole(1, 5) {
            let tall = photo.range(0.08, 0.24);
            let at = (photo_x(photo, breadth), photo.range(0.9, 1.04));
            person(canvas, photo, at, tall);
        }
    }
    if outdoors && photo.chance(0.35) {
        let leaves = Noise::new(photo);
        let (x, size) = (if photo.chance(0.5) { 0.0 } else { breadth }, photo.range(0.18, 0.42));
        let top = photo.range(0.1, 0.5);
        canvas.line((x, 1.0), (x, top), 0.05, [0.25, 0.18, 0.12]);
        for _ in 0..12 {
            let at = (x + photo.range(-0.8, 0.8) * size, top + photo.range(-0.5, 0.5) * size);
            let green = photo.range(0.3, 0.6);
            canvas.ellipse(at, size * 0.3, size * 0.24, |(px, py)| {
                shade([green * 0.6, green, green * 0.4], 0.6 + 0.7 * leaves.cloud(px * 50.0, py * 50.0))
            });
        }
    }
    if outdoors && photo.chance(0.15) {
        let x = photo_x(photo, breadth);
        canvas.rectangle(x, 0.0, x + 0.015, 1.0, |_| [0.2, 0.2, 0.2]);
    }
}

fn photo_x(photo: &mut Random, breadth: f32) -> f32 {
    photo.range(0.05, 0.95) * breadth
}

fn person(canvas: &mut Canvas, photo: &mut Random, (x, foot): Point, tall: f32) {
    let coat = [photo.range(0.05, 0.8), photo.range(0.05, 0.7), photo.range(0.05, 0.7)];
    let legs = [photo.range(0.05, 0.3), photo.range(0.05, 0.3), photo.range(0.08, 0.4)];
    let skin = mix([0.92, 0.75, 0.62], [0.38, 0.24, 0.17], photo.unit());
    canvas.rectangle(x - tall * 0.11, foot - tall * 0.45, x + tall * 0.11, foot, |_| legs);
    canvas.polygon(
        &[
            (x - tall * 0.16, foot - tall * 0.42),
            (x - tall * 0.17, foot - tall * 0.82),
            (x + tall * 0.17, foot - tall * 0.82),
            (x + tall * 0.16, foot - tall * 0.42),
        ],
        |_| coat,
    );
    canvas.ellipse((x, foot - tall * 0.92), tall * 0.075, tall * 0.095, |_| skin);
}

/// How one photo was taken.
struct Shot {
    /// Corners of the view in the scene: top left, top right, bottom right, bottom left.
    corners: [Point; 4],
    gain: f32,
    contrast: f32,
    tint: [f32; 3],
    vignette: f32,
    noise: f32,
}

impl Shot {
    fn of(photo: &mut Random, breadth: f32, aspect: f32, outdoors: bool) -> Self {
        let zoom = photo.range(0.62, 0.97);
        let height = zoom * (breadth / aspect).min(1.0);
        let width = height * aspect;
        let left = (breadth - width) * (0.5 + photo.range(-0.42, 0.42));
        // A photographer of a building keeps its foot in the picture.
        let top = (1.0 - height) * if outdoors { photo.range(0.25, 0.9) } else { photo.range(0.15, 0.85) };
        let skew = 0.09 * height;
        let roll = photo.range(-0.05, 0.05);
        let (cx, cy) = (left + width / 2.0, top + height / 2.0);
        let corners =
            [(left, top), (left + width, top), (left + width, top + height), (left, top + height)].map(|(x, y)| {
                let (dx, dy) = (x - cx + photo.range(-skew, skew), y - cy + photo.range(-skew, skew));
                (cx + dx - roll * dy, cy + dy + roll * dx)
            });
        let warmth = photo.range(-0.09, 0.09);
        Self {
            corners,
            gain: photo.range(0.72, 1.25),
            contrast: photo.range(0.8, 1.2),
            tint: [1.0 + warmth, 1.0, 1.0 - warmth],
            vignette: photo.range(0.0, 0.5),
            noise: photo.range(0.0, 0.045),
        }
    }
}

/// Takes a photo of a scene; returns a JPEG.
///
/// # Errors
/// When the encoder refuses.
pub(crate) fn take(scene: &Canvas, photo: &mut Random, outdoors: bool) -> image::ImageResult<Vec<u8>> {
    let (width, height) = if photo.chance(0.18) { (240_usize, 320_usize) } else { (320, 240) };
    let shot = Shot::of(photo, scene.breadth(), width as f32 / height as f32, outdoors);
    let map = homography(&shot.corners);
    let mut bytes = Vec::with_capacity(width * height * 3);
    for row in 0..height {
        for column in 0..width {
            let mut colour = [0.0_f32; 3];
            for (ox, oy) in [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)] {
                let (u, v) = ((column as f32 + ox) / width as f32, (row as f32 + oy) / height as f32);
                let part = scene.sample(map(u, v));
                for (sum, value) in colour.iter_mut().zip(part) {
                    *sum += value / 4.0;
                }
            }
            let (u, v) = (column as f32 / width as f32 - 0.5, row as f32 / height as f32 - 0.5);
            let edge = 1.0 - shot.vignette * (u * u + v * v) * 1.6;
            let speck = (photo.unit() + photo.unit() - 1.0) * shot.noise * 2.0;
            for (channel, tint) in colour.iter().zip(shot.tint) {
                let value = ((channel * tint * shot.gain - 0.5) * shot.contrast + 0.5) * edge + speck;
                bytes.push((value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8);
            }
        }
    }
    let quality = photo.whole(62, 90) as u8;
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, quality).encode(
        &bytes,
        width as u32,
        height as u32,
        image::ExtendedColorType::Rgb8,
    )?;
    Ok(jpeg)
}

/// The projective map from the unit square to four corners (Heckbert 1989).
fn homography(corners: &[Point; 4]) -> impl Fn(f32, f32) -> Point + use<> {
    let [(x0, y0), (x1, y1), (x2, y2), (x3, y3)] = *corners;
    let (sx, sy) = (x0 - x1 + x2 - x3, y0 - y1 + y2 - y3);
    let (dx1, dy1, dx2, dy2) = (x1 - x2, y1 - y2, x3 - x2, y3 - y2);
    let det = dx1 * dy2 - dx2 * dy1;
    let det = if det.abs() < 1e-9 { 1e-9 } else { det };
    let (g, h) = ((sx * dy2 - dx2 * sy) / det, (dx1 * sy - sx * dy1) / det);
    let (a, b, c) = (x1 - x0 + g * x1, x3 - x0 + h * x3, x0);
    let (d, e, f) = (y1 - y0 + g * y1, y3 - y0 + h * y3, y0);
    move |u, v| {
        let w = g * u + h * v + 1.0;
        ((a * u + b * v + c) / w, (d * u + e * v + f) / w)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_hits_the_four_corners() {
        let corners = [(0.1, 0.2), (1.1, 0.15), (1.0, 0.9), (0.05, 0.95)];
        let map = homography(&corners);
        for ((u, v), (x, y)) in [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)].into_iter().zip(corners) {
            let (mx, my) = map(u, v);
            assert!((mx - x).abs() < 1e-5 && (my - y).abs() < 1e-5);
        }
    }

    #[test]
    fn a_photo_is_a_jpeg_and_the_same_every_time() {
        let mut scene = Canvas::new(200, 150);
        scene.paint(|(x, y)| [x, y, 0.5]);
        let photo = |seed| take(&scene, &mut Random::of(&[seed]), true).unwrap();
        assert!(image::load_from_memory(&photo(1)).is_ok());
        assert_eq!(photo(1), photo(1));
        assert_ne!(photo(1), photo(2));
    }
}
