//! A small painter: polygons, ellipses and noise on an RGB canvas whose unit of length is its height.

use super::random::Random;

/// Red, green, blue in 0..1.
pub(crate) type Colour = [f32; 3];

/// A point; x grows to the right, y downwards, and 1.0 is the height of the canvas.
pub(crate) type Point = (f32, f32);

/// Pixels in rows.
#[derive(Debug, Clone)]
pub(crate) struct Canvas {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pixels: Vec<Colour>,
}

impl Canvas {
    /// A black canvas.
    pub(crate) fn new(width: usize, height: usize) -> Self {
        Self { width, height, pixels: vec![[0.0; 3]; width * height] }
    }

    /// Width in units of the height.
    pub(crate) fn breadth(&self) -> f32 {
        self.width as f32 / self.height as f32
    }

    /// The colour of a pixel; coordinates outside are those of the nearest edge.
    pub(crate) fn pixel(&self, x: i32, y: i32) -> Colour {
        let x = x.clamp(0, self.width as i32 - 1) as usize;
        let y = y.clamp(0, self.height as i32 - 1) as usize;
        self.pixels[y * self.width + x]
    }

    /// The colour between pixels, at a place in units of the height.
    pub(crate) fn sample(&self, (x, y): Point) -> Colour {
        let (px, py) = (x * self.height as f32 - 0.5, y * self.height as f32 - 0.5);
        let (left, top) = (px.floor(), py.floor());
        let (fx, fy) = (px - left, py - top);
        let (left, top) = (left as i32, top as i32);
        let upper = mix(self.pixel(left, top), self.pixel(left + 1, top), fx);
        let lower = mix(self.pixel(left, top + 1), self.pixel(left + 1, top + 1), fx);
        mix(upper, lower, fy)
    }

    /// Paints every pixel.
    pub(crate) fn paint(&mut self, colour: impl Fn(Point) -> Colour) {
        let scale = 1.0 / self.height as f32;
        for (row, line) in self.pixels.chunks_mut(self.width).enumerate() {
            for (column, pixel) in line.iter_mut().enumerate() {
                *pixel = colour(((column as f32 + 0.5) * scale, (row as f32 + 0.5) * scale));
            }
        }
    }

    /// Fills a polygon (even-odd rule).
    pub(crate) fn polygon(&mut self, corners: &[Point], colour: impl Fn(Point) -> Colour) {
        let unit = self.height as f32;
        let (mut top, mut bottom) = (f32::MAX, f32::MIN);
        for &(_, y) in corners {
            top = top.min(y);
            bottom = bottom.max(y);
        }
        let first = ((top * unit).floor().max(0.0)) as usize;
        let last = ((bottom * unit).ceil().clamp(0.0, unit)) as usize;
        let mut crossings = Vec::new();
        for row in first..last {
            let y = (row as f32 + 0.5) / unit;
            crossings.clear();
            for (i, &(x0, y0)) in corners.iter().enumerate() {
                let (x1, y1) = corners[(i + 1) % corners.len()];
                if (y0 <= y) != (y1 <= y) {
                    crossings.push(x0 + (x1 - x0) * (y - y0) / (y1 - y0));
                }
            }
            crossings.sort_by(f32::total_cmp);
            for pair in crossings.chunks_exact(2) {
                let left = (pair[0] * unit - 0.5).ceil().max(0.0) as usize;
                let right = ((pair[1] * unit - 0.5).ceil().clamp(0.0, self.width as f32)) as usize;
                for column in left..right {
                    self.pixels[row * self.width + column] = colour(((column as f32 + 0.5) / unit, y));
                }
            }
        }
    }

    /// Fills an upright rectangle.
    pub(crate) fn rectangle(&mut self, left: f32, top: f32, right: f32, bottom: f32, colour: impl Fn(Point) -> Colour) {
        self.polygon(&[(left, top), (right, top), (right, bottom), (left, bottom)], colour);
    }

    /// Fills an ellipse.
    pub(crate) fn ellipse(&mut self, centre: Point, rx: f32, ry: f32, colour: impl Fn(Point) -> Colour) {
        self.polygon(&arc(centre, rx, ry, 0.0, 360.0), colour);
    }

    /// Draws a line of some thickness.
    pub(crate) fn line(&mut self, from: Point, to: Point, thickness: f32, colour: Colour) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = (dx * dx + dy * dy).sqrt().max(1e-6);
        let (nx, ny) = (-dy / length * thickness / 2.0, dx / length * thickness / 2.0);
        let corners =
            [(from.0 + nx, from.1 + ny), (to.0 + nx, to.1 + ny), (to.0 - nx, to.1 - ny), (from.0 - nx, from.1 - ny)];
        self.polygon(&corners, |_| colour);
    }

    /// An opening with a round or pointed head, standing on `bottom`.
    pub(crate) fn arch(
        &mut self,
        middle: f32,
        top: f32,
        bottom: f32,
        width: f32,
        pointed: bool,
        colour: impl Fn(Point) -> Colour,
    ) {
        let half = width / 2.0;
        let spring = (top + if pointed { width * 0.9 } else { half }).min(bottom);
        let mut corners = vec![(middle - half, bottom)];
        if pointed {
            corners.extend([
                (middle - half, spring),
                (middle - half * 0.72, top + (spring - top) * 0.38),
                (middle, top),
            ]);
            corners.extend([(middle + half * 0.72, top + (spring - top) * 0.38), (middle + half, spring)]);
        } else {
            corners.extend(arc((middle, spring), half, spring - top, 180.0, 360.0));
        }
        corners.push((middle + half, bottom));
        self.polygon(&corners, colour);
    }
}

/// Points along an ellipse from one angle to another, in degrees clockwise from the right.
pub(crate) fn arc(centre: Point, rx: f32, ry: f32, from: f32, to: f32) -> Vec<Point> {
    (0..=28)
        .map(|step| {
            let angle = (from + (to - from) * step as f32 / 28.0).to_radians();
            (centre.0 + rx * angle.cos(), centre.1 + ry * angle.sin())
        })
        .collect()
}

/// A blend of two colours: `part` of the second.
pub(crate) fn mix(a: Colour, b: Colour, part: f32) -> Colour {
    [0, 1, 2].map(|i| a[i] + (b[i] - a[i]) * part)
}

/// A colour made lighter (above 1) or darker (below 1).
pub(crate) fn shade(colour: Colour, factor: f32) -> Colour {
    colour.map(|c| (c * factor).clamp(0.0, 1.0))
}

/// A colour from hue (turns), saturation and value.
pub(crate) fn hsv(hue: f32, saturation: f32, value: f32) -> Colour {
    [5.0_f32, 3.0, 1.0].map(|n| {
        let k = (n + hue.rem_euclid(1.0) * 6.0) % 6.0;
        value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0)
    })
}

/// Smooth noise in 0..1 from a lattice of random numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noise {
    seed: u64,
}

impl Noise {
    /// Noise of a stream's own.
    pub(crate) fn new(random: &mut Random) -> Self {
        Self { seed: random.bits() }
    }

    /// One octave; features about 1 wide.
    pub(crate) fn at(&self, x: f32, y: f32) -> f32 {
        let (left, top) = (x.floor(), y.floor());
        let ease = |t: f32| t * t * (3.0 - 2.0 * t);
        let (fx, fy) = (ease(x - left), ease(y - top));
        let (left, top) = (left as i64, top as i64);
        let upper = self.cell(left, top) * (1.0 - fx) + self.cell(left + 1, top) * fx;
        let lower = self.cell(left, top + 1) * (1.0 - fx) + self.cell(left + 1, top + 1) * fx;
        upper * (1.0 - fy) + lower * fy
    }

    /// Four octaves, for clouds, stone and leaves.
    pub(crate) fn cloud(&self, x: f32, y: f32) -> f32 {
        let octave = |power: f32| self.at(x * power + power * 17.0, y * power) / power;
        (octave(1.0) + octave(2.0) + octave(4.0) + octave(8.0)) / 1.875
    }

    /// The random number of a lattice cell.
    pub(crate) fn cell(&self, x: i64, y: i64) -> f32 {
        let mut z =
            self.seed ^ (x as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (y as u64).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
        z = (z ^ (z >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 32)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1_u64 << 24) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_polygon_fills_its_inside_and_nothing_else() {
        let mut canvas = Canvas::new(40, 20);
        canvas.rectangle(0.5, 0.25, 1.0, 0.75, |_| [1.0, 0.0, 0.0]);
        assert_eq!(canvas.pixel(10, 5), [1.0, 0.0, 0.0]);
        assert_eq!(canvas.pixel(19, 14), [1.0, 0.0, 0.0]);
        assert_eq!(canvas.pixel(9, 5), [0.0; 3]);
        assert_eq!(canvas.pixel(20, 14), [0.0; 3]);
        assert_eq!(canvas.pixel(10, 15), [0.0; 3]);
        canvas.polygon(&[(-5.0, -5.0), (9.0, -5.0), (9.0, 9.0), (-5.0, 9.0)], |_| [0.0, 1.0, 0.0]);
        assert_eq!(canvas.pixel(39, 19), [0.0, 1.0, 0.0]);
    }

    #[test]
    fn hues_go_round() {
        assert_eq!(hsv(0.0, 1.0, 1.0), [1.0, 0.0, 0.0]);
        assert_eq!(hsv(1.0 / 3.0, 1.0, 1.0).map(|c| c.round()), [0.0, 1.0, 0.0]);
        assert_eq!(hsv(0.4, 0.0, 0.5), [0.5; 3]);
    }
}
