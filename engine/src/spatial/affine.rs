//! Affine maps of the plane: through three points, and the best for many.

/// Twice the area of a triangle over its longest squared side, below which its corners count as lying on one line.
const FLAT: f64 = 1e-9;

/// An affine map: `x' = m[0] x + m[1] y + m[2]`, `y' = m[3] x + m[4] y + m[5]`, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    /// The two rows of the matrix, one behind the other.
    pub m: [f64; 6],
}

impl Affine {
    /// Where it maps a location to.
    pub fn apply(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let m = &self.m;
        [m[0] * x + m[1] * y + m[2], m[3] * x + m[4] * y + m[5]]
    }

    /// The map that takes three points to three others; `None` when the three lie on one line, as equal ones do.
    pub(crate) fn through(from: [[f64; 2]; 3], to: [[f64; 2]; 3]) -> Option<Self> {
        let side = |a: usize, b: usize| [from[b][0] - from[a][0], from[b][1] - from[a][1]];
        let (u, v, w) = (side(0, 1), side(0, 2), side(1, 2));
        let squared = |s: [f64; 2]| s[0] * s[0] + s[1] * s[1];
        let area = u[0] * v[1] - u[1] * v[0];
        if area.abs() <= FLAT * squared(u).max(squared(v)).max(squared(w)) {
            return None;
        }
        let row = |axis: usize| {
            let (p, q) = (to[1][axis] - to[0][axis], to[2][axis] - to[0][axis]);
            let (a, b) = ((p * v[1] - q * u[1]) / area, (q * u[0] - p * v[0]) / area);
            [a, b, to[0][axis] - a * from[0][0] - b * from[0][1]]
        };
        let ([a, b, c], [d, e, f]) = (row(0), row(1));
        Some(Self { m: [a, b, c, d, e, f] })
    }

    /// The map with the least sum of squared distances in the second image; `None` for fewer than three pairs, or when the first
    /// ends lie on one line.
    pub(crate) fn best(pairs: impl Iterator<Item = [[f64; 2]; 2]> + Clone) -> Option<Self> {
        let (mut count, mut from, mut to) = (0.0, [0.0; 2], [0.0; 2]);
        for [a, b] in pairs.clone() {
            count += 1.0;
            for axis in 0..2 {
                from[axis] += a[axis];
                to[axis] += b[axis];
            }
        }
        if count < 3.0 {
            return None;
        }
        (from, to) = (from.map(|sum| sum / count), to.map(|sum| sum / count));
        // Around the centres: sums of x x, x y, y y, and of x and y with either coordinate of the other end.
        let (mut xx, mut xy, mut yy, mut with) = (0.0, 0.0, 0.0, [[0.0; 2]; 2]);
        for [a, b] in pairs {
            let (x, y) = (a[0] - from[0], a[1] - from[1]);
            (xx, xy, yy) = (xx + x * x, xy + x * y, yy + y * y);
            for axis in 0..2 {
                with[axis][0] += x * (b[axis] - to[axis]);
                with[axis][1] += y * (b[axis] - to[axis]);
            }
        }
        let spread = xx * yy - xy * xy;
        // The squares of areas and lengths: FLAT squared.
        if spread <= FLAT * FLAT * (xx + yy) * (xx + yy) {
            return None;
        }
        let row = |axis: usize| {
            let [x, y] = with[axis];
            let (a, b) = ((x * yy - y * xy) / spread, (y * xx - x * xy) / spread);
            [a, b, to[axis] - a * from[0] - b * from[1]]
        };
        let ([a, b, c], [d, e, f]) = (row(0), row(1));
        Some(Self { m: [a, b, c, d, e, f] })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn off(a: [f64; 2], b: [f64; 2]) -> f64 {
        (a[0] - b[0]).abs().max((a[1] - b[1]).abs())
    }

    fn points(count: usize) -> impl Strategy<Value = Vec<[f64; 2]>> {
        prop::collection::vec([-1000i32..1000, -1000i32..1000].prop_map(|p| p.map(f64::from)), count)
    }

    proptest! {
        #[test]
        fn both_find_the_map_that_made_the_points(m in [-2.0f64..2.0, -2.0..2.0, -500.0..500.0, -2.0..2.0, -2.0..2.0, -500.0..500.0], from in points(12)) {
            let model = Affine { m };
            let to: Vec<[f64; 2]> = from.iter().map(|&p| model.apply(p)).collect();
            if let Some(found) = Affine::through([from[0], from[1], from[2]], [to[0], to[1], to[2]]) {
                for at in 0..3 {
                    prop_assert!(off(found.apply(from[at]), to[at]) < 1e-6);
                }
            }
            let best = Affine::best(from.iter().zip(&to).map(|(&a, &b)| [a, b])).unwrap();
            for (&a, &b) in from.iter().zip(&to) {
                prop_assert!(off(best.apply(a), b) < 1e-6);
            }
        }
    }

    #[test]
    fn the_best_map_halves_a_disagreement() {
        let square = [[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]];
        // One corner is off by (4, 0): every corner's residual is a quarter of that.
        let pairs = square.iter().enumerate().map(|(at, &p)| [p, if at == 3 { [6.0, 2.0] } else { p }]);
        let best = Affine::best(pairs).unwrap();
        assert!(off(best.apply([2.0, 2.0]), [5.0, 2.0]) < 1e-12);
        assert!(off(best.apply([0.0, 0.0]), [-1.0, 0.0]) < 1e-12);
    }

    #[test]
    fn points_on_a_line_have_no_map() {
        let line = [[0.0, 0.0], [1.0, 3.0], [2.0, 6.0]];
        assert_eq!(Affine::through(line, line), None);
        assert_eq!(Affine::through([[5.0, 5.0]; 3], line), None);
        assert_eq!(Affine::best(line.iter().map(|&p| [p, p])), None);
        assert_eq!(Affine::best([[[0.0; 2]; 2]; 2].into_iter()), None);
    }
}
