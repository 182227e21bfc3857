//! Both parts together: matching and geometry.

use super::*;
use crate::error::ErrorKind;

/// Descriptors that point along one axis each, at these locations.
fn axes(locations: &[[f32; 2]], axes: &[usize]) -> Features {
    let mut descriptors = vec![0.0; locations.len() * 16];
    for (row, axis) in descriptors.chunks_exact_mut(16).zip(axes) {
        row[*axis] = 1.0;
    }
    Features::new(16, locations.to_vec(), &descriptors).unwrap()
}

#[test]
fn inliers_are_the_matches_that_agree() {
    let places: Vec<[f32; 2]> = (0..8u8).map(|at| [f32::from(at % 3) * 90.0, f32::from(at / 3) * 70.0]).collect();
    let mut moved: Vec<[f32; 2]> = places.iter().map(|[x, y]| [2.0 * x + 5.0, y - 9.0]).collect();
    // Feature 5 is elsewhere in the second image, and 7 looks like nothing in the first.
    moved[5] = [900.0, 900.0];
    let first = axes(&places, &[0, 1, 2, 3, 4, 5, 6, 7]);
    let second = axes(&moved, &[0, 1, 2, 3, 4, 5, 6, 15]);
    let verified = verify(&first, &second, &Verify::default()).unwrap();
    assert_eq!(verified.putative, 7);
    let inliers: Vec<(u32, u32)> = verified.inliers.iter().map(|pair| (pair.first, pair.second)).collect();
    assert_eq!(inliers, [0, 1, 2, 3, 4, 6].map(|at| (at, at)));
    let [x, y] = verified.model.unwrap().apply([10.0, 10.0]);
    assert!((x - 25.0).abs() < 1e-9 && (y - 1.0).abs() < 1e-9);
}

#[test]
fn nothing_to_compare_is_no_inlier_and_no_error() {
    let none = axes(&[], &[]);
    let three = axes(&[[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]], &[0, 1, 2]);
    assert_eq!(verify(&none, &three, &Verify::default()).unwrap(), Verified::default());
    let verified = verify(&three, &three, &Verify::default()).unwrap();
    assert_eq!((verified.putative, verified.inliers.len(), verified.model), (3, 0, None));
}

#[test]
fn a_mistake_of_the_caller_is_told_also_without_features() {
    let none = axes(&[], &[]);
    let other = Features::new(3, vec![], &[]).unwrap();
    assert_eq!(verify(&none, &other, &Verify::default()).unwrap_err().kind(), ErrorKind::Mismatch);
    let ransac = Ransac { trials: 0, ..Ransac::default() };
    assert!(verify(&none, &none, &Verify { ransac, ..Verify::default() }).is_err());
}
