//! What surrounds a building: the weather of a photo, the hills, houses, trees or water behind.

use super::canvas::{Canvas, Noise, hsv, mix, shade};
use super::random::Random;

/// Paints the sky and says how dark it is, 0..1.
pub(super) fn sky(canvas: &mut Canvas, photo: &mut Random) -> f32 {
    let weather = photo.whole(0, 9);
    let (high, low, cover, dusk) = match weather {
        0..=4 => ([0.28, 0.5, 0.85], [0.72, 0.84, 0.95], photo.range(0.1, 0.6), 0.0),
        5 | 6 => ([0.62, 0.66, 0.7], [0.8, 0.82, 0.83], 0.9, 0.15),
        7 | 8 => ([0.25, 0.26, 0.5], [0.95, 0.62, 0.38], 0.35, 0.45),
        _ => ([0.03, 0.04, 0.12], [0.15, 0.14, 0.25], 0.1, 0.85),
    };
    let clouds = Noise::new(photo);
    canvas.paint(|(x, y)| {
        let air = mix(high, low, (y * 1.25).min(1.0));
        let mist = ((clouds.cloud(x * 2.2, y * 4.5) - 1.0 + cover) * 2.5).clamp(0.0, 1.0);
        mix(air, mix(low, [1.0, 1.0, 1.0], 0.6 * (1.0 - dusk)), mist * 0.8)
    });
    dusk
}

/// Paints what stands behind the building: one of four kinds.
pub(super) fn behind(canvas: &mut Canvas, kind: usize, stone: Noise, dusk: f32) {
    let breadth = canvas.breadth();
    let dim = 1.0 - 0.6 * dusk;
    match kind {
        0 => {
            let ridge = |x: f32| 0.72 - 0.3 * stone.cloud(x * 1.6 + 3.0, 0.5);
            for step in 0..160 {
                let x = breadth * step as f32 / 160.0;
                canvas.rectangle(x, ridge(x), x + breadth / 160.0, 0.82, |(_, y)| {
                    mix([0.4 * dim, 0.5 * dim, 0.6 * dim], [0.35 * dim, 0.48 * dim, 0.4 * dim], y)
                });
            }
        }
        1 => {
            for block in 0..14 {
                let x = breadth * block as f32 / 14.0;
                let top = 0.74 - 0.28 * stone.cell(block, 77);
                let grey = (0.45 + 0.25 * stone.cell(block, 78)) * dim;
                canvas.rectangle(x, top, x + breadth / 13.0, 0.82, |(x, y)| {
                    let window = (x * 60.0).fract() < 0.5 && (y * 50.0).fract() < 0.5;
                    if window { [grey * 0.75, grey * 0.8, grey * 0.9] } else { [grey, grey, grey * 1.05] }
                });
            }
        }
        2 => {
            for tree in 0..11 {
                let x = breadth * (tree as f32 + stone.cell(tree, 5)) / 11.0;
                let size = 0.08 + 0.1 * stone.cell(tree, 6);
                let green = hsv(0.25 + 0.08 * stone.cell(tree, 7), 0.55, (0.3 + 0.2 * stone.cell(tree, 8)) * dim);
                canvas.ellipse((x, 0.78 - size * 0.6), size * 0.7, size, |(x, y)| {
                    shade(green, 0.7 + 0.6 * stone.cloud(x * 40.0, y * 40.0))
                });
            }
        }
        _ => canvas.rectangle(0.0, 0.72, breadth, 0.82, |(x, y)| {
            shade([0.25 * dim, 0.45 * dim, 0.6 * dim], 0.85 + 0.3 * stone.at(x * 14.0, y * 130.0))
        }),
    }
}
