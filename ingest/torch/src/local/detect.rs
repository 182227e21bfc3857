//! Turns XFeat's maps into features: peaks, scores, interpolated descriptors. Plain arithmetic in a fixed order, without torch.
//!
//! Pixel x of n is read from a map of m cells at x / (n - 1) * m - 0.5, as the authors' code does (its sampler takes the corners
//! once by pixel centres and once by edges); the weights were published with that, so it is kept.

use super::xfeat::{CELL, CHANNELS, Maps};

/// A pixel is a keypoint if no pixel at most this far away, along both axes, is more likely one.
const RADIUS: usize = 2;
/// Smallest likelihood of a keypoint.
const THRESHOLD: f32 = 0.05;
/// The cubic convolution's free parameter, as torch has it.
const CUBIC: f64 = -0.75;
/// Floor of a length that something is divided by.
const SHORTEST: f64 = 1e-12;

/// A feature in pixels of the network's input.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Feature {
    pub(super) x: usize,
    pub(super) y: usize,
    /// Likelihood of the keypoint times reliability of the descriptor, above 0.
    pub(super) score: f32,
    /// Of unit length.
    pub(super) descriptor: [f32; CHANNELS],
}

/// The `most` best features, best first; equal scores in reading order.
pub(super) fn features(maps: &Maps, most: usize) -> Vec<Feature> {
    let (width, height) = (maps.columns * CELL, maps.rows * CELL);
    let mut found: Vec<(f32, usize, usize)> = peaks(&maps.keypoints, width, height)
        .into_iter()
        // The authors' sampler reads 0 beyond the last pixel and pads its lists with the first one: these give no feature.
        .filter(|&(x, y)| x + 1 < width && y + 1 < height && (x, y) != (0, 0))
        .map(|(x, y)| {
            let at = (cell_of(x, width, maps.columns), cell_of(y, height, maps.rows));
            let reliability = bilinear(&maps.reliability, maps.columns, maps.rows, at);
            ((f64::from(maps.keypoints[y * width + x]) * reliability) as f32, y, x)
        })
        .filter(|(score, _, _)| score.is_finite() && *score > 0.0)
        .collect();
    // The sort is stable and peaks come in reading order.
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.truncate(most);
    let unit = unit_cells(&maps.descriptors);
    found
        .into_iter()
        .filter_map(|(score, y, x)| {
            let at = (cell_of(x, width, maps.columns), cell_of(y, height, maps.rows));
            let descriptor = bicubic(&unit, maps.columns, maps.rows, at)?;
            Some(Feature { x, y, score, descriptor })
        })
        .collect()
}

/// Pixels above the threshold that nothing within the radius exceeds, in reading order. Equal neighbours both stay.
fn peaks(map: &[f32], width: usize, height: usize) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (y, row) in map.chunks_exact(width.max(1)).enumerate() {
        for (x, &value) in row.iter().enumerate().filter(|(_, value)| **value > THRESHOLD) {
            let (left, right) = (x.saturating_sub(RADIUS), (x + RADIUS + 1).min(width));
            let (top, bottom) = (y.saturating_sub(RADIUS), (y + RADIUS + 1).min(height));
            let highest = (top..bottom).all(|y| map[y * width + left..y * width + right].iter().all(|&v| v <= value));
            if highest {
                found.push((x, y));
            }
        }
    }
    found
}

/// Where pixel `x` of `pixels` lies in a row of `cells`.
fn cell_of(x: usize, pixels: usize, cells: usize) -> f64 {
    x as f64 / (pixels - 1) as f64 * cells as f64 - 0.5
}

/// The index at `base + step`, if it is one of `count`.
fn index(base: f64, step: i32, count: usize) -> Option<usize> {
    let at = base + f64::from(step);
    (at >= 0.0 && at < count as f64).then_some(at as usize)
}

/// A map of one number a cell between cells; 0 outside.
fn bilinear(map: &[f32], columns: usize, rows: usize, (x, y): (f64, f64)) -> f64 {
    let (left, top) = (x.floor(), y.floor());
    let (dx, dy) = (x - left, y - top);
    let mut sum = 0.0;
    for (step_y, weight_y) in [(0, 1.0 - dy), (1, dy)] {
        for (step_x, weight_x) in [(0, 1.0 - dx), (1, dx)] {
            if let (Some(column), Some(row)) = (index(left, step_x, columns), index(top, step_y, rows)) {
                sum += f64::from(map[row * columns + column]) * weight_x * weight_y;
            }
        }
    }
    sum
}

/// The four weights of cubic convolution (Keys 1981) for a point that lies `t` after the second of four samples.
fn cubic_weights(t: f64) -> [f64; 4] {
    let near = |d: f64| ((CUBIC + 2.0) * d - (CUBIC + 3.0)) * d * d + 1.0;
    let far = |d: f64| ((CUBIC * d - 5.0 * CUBIC) * d + 8.0 * CUBIC) * d - 4.0 * CUBIC;
    [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)]
}

/// The descriptor between cells, of unit length; cells outside are 0. `None` when it has no direction.
fn bicubic(cells: &[f32], columns: usize, rows: usize, (x, y): (f64, f64)) -> Option<[f32; CHANNELS]> {
    let (left, top) = (x.floor(), y.floor());
    let (weights_x, weights_y) = (cubic_weights(x - left), cubic_weights(y - top));
    let mut sum = [0f64; CHANNELS];
    for (step_y, weight_y) in (-1..3).zip(weights_y) {
        for (step_x, weight_x) in (-1..3).zip(weights_x) {
            if let (Some(column), Some(row)) = (index(left, step_x, columns), index(top, step_y, rows)) {
                let cell = &cells[(row * columns + column) * CHANNELS..][..CHANNELS];
                let weight = weight_x * weight_y;
                sum.iter_mut().zip(cell).for_each(|(sum, &value)| *sum += f64::from(value) * weight);
            }
        }
    }
    let length = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
    (length.is_finite() && length > SHORTEST).then(|| sum.map(|x| (x / length) as f32))
}

/// The descriptors of all cells with unit length.
fn unit_cells(cells: &[f32]) -> Vec<f32> {
    let mut unit = Vec::with_capacity(cells.len());
    for cell in cells.chunks_exact(CHANNELS) {
        let length = cell.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt().max(SHORTEST);
        unit.extend(cell.iter().map(|&x| (f64::from(x) / length) as f32));
    }
    unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_are_alone_in_their_neighbourhood_unless_equal() {
        let mut map = vec![0.0; 10 * 6];
        map[2 * 10 + 3] = 0.5;
        map[4 * 10 + 5] = 0.4; // within the radius of the higher one
        map[10 + 6] = 0.3; // three away: outside
        map[5 * 10 + 9] = 0.05; // not above the threshold
        assert_eq!(peaks(&map, 10, 6), [(6, 1), (3, 2)]);
        assert_eq!(peaks(&[0.2; 3], 3, 1), [(0, 0), (1, 0), (2, 0)]);
    }

    #[test]
    fn interpolation_meets_the_cells_and_fades_to_zero_outside() {
        let map = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(bilinear(&map, 2, 2, (1.0, 0.0)), 2.0);
        assert_eq!(bilinear(&map, 2, 2, (0.5, 0.5)), 2.5);
        assert_eq!(bilinear(&map, 2, 2, (-0.5, 0.0)), 0.5);
        assert_eq!(cubic_weights(0.0), [0.0, 1.0, 0.0, 0.0]);
        assert_eq!(cubic_weights(0.5), [-0.09375, 0.59375, 0.59375, -0.09375]);
        assert!((cubic_weights(0.3).iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_best_come_first_and_the_last_column_and_row_give_none() {
        let mut keypoints = vec![0.0; 16 * 16];
        for (x, y, value) in [(0, 0, 0.9), (3, 3, 0.2), (9, 9, 0.6), (15, 4, 0.8), (4, 15, 0.8)] {
            keypoints[y * 16 + x] = value;
        }
        let maps =
            Maps { rows: 2, columns: 2, keypoints, reliability: vec![1.0; 4], descriptors: vec![0.5; 4 * CHANNELS] };
        let found = features(&maps, 10);
        assert_eq!(found.iter().map(|f| (f.x, f.y)).collect::<Vec<_>>(), [(9, 9), (3, 3)]);
        assert!(found.iter().all(|f| (f.descriptor.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5));
        assert_eq!(features(&maps, 1).len(), 1);
    }
}
