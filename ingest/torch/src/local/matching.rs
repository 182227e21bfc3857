//! For this module's tests: scenes with features, and a small matcher with an affine RANSAC. The engine has the real one.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use cairn::embed::LocalFeatureSet;

use cairndb_ingest::photo::Pixels;

/// Numbers that look random, the same everywhere: 16 bits at a time.
pub(super) struct Dice(u32);

impl Dice {
    pub(super) fn new(seed: u32) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 16) % end
    }
}

/// A picture with many corners: rectangles of all colours, in integers only.
pub(super) fn scene(width: u32, height: u32, seed: u32) -> Pixels {
    let mut dice = Dice::new(seed);
    let mut rgb = vec![96u8; (width * height * 3) as usize];
    for _ in 0..width * height / 600 {
        let (left, top) = (dice.below(width), dice.below(height));
        let (right, bottom) = ((left + 4 + dice.below(40)).min(width), (top + 4 + dice.below(40)).min(height));
        let colour = [dice.below(256) as u8, dice.below(256) as u8, dice.below(256) as u8];
        for y in top..bottom {
            for x in left..right {
                rgb[((y * width + x) * 3) as usize..][..3].copy_from_slice(&colour);
            }
        }
    }
    Pixels::new(width, height, rgb).unwrap()
}

/// x' = a x + b y + c, y' = d x + e y + f.
pub(super) type Affine = [f64; 6];

pub(super) fn moved(by: &Affine, [x, y]: [f64; 2]) -> [f64; 2] {
    [by[0] * x + by[1] * y + by[2], by[3] * x + by[4] * y + by[5]]
}

/// The picture whose pixel p shows what `picture` has at `by`(p), between pixels; grey outside.
pub(super) fn warped(picture: &Pixels, width: u32, height: u32, by: &Affine) -> Pixels {
    let pixel = |x: f64, y: f64, channel: usize| {
        let inside = x >= 0.0 && y >= 0.0 && x < f64::from(picture.width()) && y < f64::from(picture.height());
        let at = |x: f64, y: f64| (y as usize * picture.width() as usize + x as usize) * 3 + channel;
        if inside { f64::from(picture.rgb()[at(x, y)]) } else { 96.0 }
    };
    let mut rgb = Vec::new();
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        let [sx, sy] = moved(by, [f64::from(x), f64::from(y)]);
        let (left, top) = (sx.floor(), sy.floor());
        let (dx, dy) = (sx - left, sy - top);
        for c in 0..3 {
            let above = pixel(left, top, c) * (1.0 - dx) + pixel(left + 1.0, top, c) * dx;
            let below = pixel(left, top + 1.0, c) * (1.0 - dx) + pixel(left + 1.0, top + 1.0, c) * dx;
            rgb.push((above * (1.0 - dy) + below * dy).round() as u8);
        }
    }
    Pixels::new(width, height, rgb).unwrap()
}

/// Pairs of locations whose descriptors are each other's nearest, with at least that cosine.
pub(super) fn matches(a: &LocalFeatureSet, b: &LocalFeatureSet, cosine: f32) -> Vec<([f64; 2], [f64; 2])> {
    let dimension = a.dimension;
    let (count_a, count_b) = (a.locations.len(), b.locations.len());
    let mut best_a = vec![(f32::MIN, usize::MAX); count_a];
    let mut best_b = vec![(f32::MIN, usize::MAX); count_b];
    for (i, x) in a.descriptors.chunks_exact(dimension).enumerate() {
        for (j, y) in b.descriptors.chunks_exact(dimension).enumerate() {
            let mut lanes = [0f32; 8];
            for (x, y) in x.chunks_exact(8).zip(y.chunks_exact(8)) {
                (0..8).for_each(|k| lanes[k] += x[k] * y[k]);
            }
            let dot = lanes.iter().sum();
            if dot > best_a[i].0 {
                best_a[i] = (dot, j);
            }
            if dot > best_b[j].0 {
                best_b[j] = (dot, i);
            }
        }
    }
    let mutual =
        |(i, &(dot, j)): (usize, &(f32, usize))| (dot >= cosine && j < count_b && best_b[j].1 == i).then_some((i, j));
    let place = |p: [f32; 2]| p.map(f64::from);
    best_a.iter().enumerate().filter_map(mutual).map(|(i, j)| (place(a.locations[i]), place(b.locations[j]))).collect()
}

/// Most pairs that one affine map explains to `residual` pixels, of 1,000 maps through three pairs each; and that map.
pub(super) fn inliers(pairs: &[([f64; 2], [f64; 2])], residual: f64) -> (usize, Affine) {
    let (mut best, mut best_map) = (0, [0.0; 6]);
    let mut dice = Dice::new(7);
    if pairs.len() < 4 {
        return (0, best_map);
    }
    for _ in 0..1000 {
        let picked = [(); 3].map(|()| &pairs[dice.below(pairs.len() as u32) as usize]);
        let Some(map) = through(picked) else { continue };
        let off = |(from, to): &&([f64; 2], [f64; 2])| {
            let at = moved(&map, *from);
            (at[0] - to[0]).hypot(at[1] - to[1]) < residual
        };
        let count = pairs.iter().filter(off).count();
        if count > best {
            (best, best_map) = (count, map);
        }
    }
    (best, best_map)
}

/// The affine map through three pairs; `None` when their origins lie on a line.
fn through(pairs: [&([f64; 2], [f64; 2]); 3]) -> Option<Affine> {
    let [[x0, y0], [x1, y1], [x2, y2]] = pairs.map(|pair| pair.0);
    let area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0);
    if area.abs() < 1.0 {
        return None;
    }
    let mut map = [0.0; 6];
    for axis in 0..2 {
        let [t0, t1, t2] = pairs.map(|pair| pair.1[axis]);
        let a = ((t1 - t0) * (y2 - y0) - (t2 - t0) * (y1 - y0)) / area;
        let b = ((t2 - t0) * (x1 - x0) - (t1 - t0) * (x2 - x0)) / area;
        map[axis * 3..][..3].copy_from_slice(&[a, b, t0 - a * x0 - b * y0]);
    }
    Some(map)
}
