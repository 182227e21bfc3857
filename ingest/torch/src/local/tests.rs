//! Local features end to end: the same bits, what matches and what does not, odd pictures, and (ignored) measurements.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use cairn::embed::{LocalFeatureSet, LocalFeatures};
use cairn::{ErrorKind, Photo};

use super::matching::{Affine, Dice, inliers, matches, moved, scene, warped};
use super::*;
use crate::device::Hardware;
use crate::model::{Architecture, Model, ModelSpec};
use crate::testing::{shared, shared_photos};
use cairndb_ingest::photo::{DecodeLimits, Pixels, decode, resize};

/// The authors' threshold of a match.
const COSINE: f32 = 0.82;
/// DELF's threshold, a distance of 0.8.
const TRUNK_COSINE: f32 = 0.68;

fn xfeat() -> XFeatExtractor {
    XFeatExtractor::load(None, &Hardware::cpu()).unwrap()
}

fn lite0() -> Arc<Model> {
    Arc::new(Model::load(&ModelSpec::new(Architecture::Lite0), &Hardware::cpu()).unwrap())
}

/// A trunk extractor fitted on a few scenes.
fn trunk(folder: &std::path::Path) -> TrunkExtractor {
    let photos: Vec<_> = (0..4)
        .map(|seed| {
            let path = folder.join(format!("{seed}.bmp"));
            save(&scene(320, 240, 100 + seed), &path);
            (Photo::File(path), None)
        })
        .collect();
    TrunkExtractor::fit(lite0(), &photos).unwrap()
}

fn save(picture: &Pixels, path: &std::path::Path) {
    image::RgbImage::from_raw(picture.width(), picture.height(), picture.rgb().to_vec()).unwrap().save(path).unwrap();
}

fn flat(width: u32, height: u32) -> Pixels {
    Pixels::new(width, height, [120, 90, 60].repeat((width * height) as usize)).unwrap()
}

/// What the port promises of every set.
fn check(set: &LocalFeatureSet, width: f32, height: f32) {
    assert!(set.locations.len() <= MAX_FEATURES && set.scores.len() == set.locations.len());
    assert_eq!(set.descriptors.len(), set.locations.len() * set.dimension);
    assert!(
        set.scores.windows(2).all(|pair| pair[0] >= pair[1]) && set.scores.iter().all(|s| s.is_finite() && *s > 0.0)
    );
    // A trunk's receptive field may be centred just beyond the edge.
    let inside = |p: &[f32; 2]| (-40.0..width + 40.0).contains(&p[0]) && (-40.0..height + 40.0).contains(&p[1]);
    assert!(set.locations.iter().all(inside));
    for descriptor in set.descriptors.chunks_exact(set.dimension) {
        assert!((descriptor.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-4);
    }
}

/// Turned by 5 degrees about its middle and shrunk to 0.8.
const TURN: f64 = 5.0 * std::f64::consts::PI / 180.0;

fn turned(picture: &Pixels) -> (Pixels, Affine) {
    let (w, h) = (f64::from(picture.width()), f64::from(picture.height()));
    let (cos, sin) = (TURN.cos() / 0.8, TURN.sin() / 0.8);
    let middle = [0.4 * w, 0.4 * h];
    let by =
        [cos, -sin, w / 2.0 - cos * middle[0] + sin * middle[1], sin, cos, h / 2.0 - sin * middle[0] - cos * middle[1]];
    (warped(picture, (w * 0.8) as u32, (h * 0.8) as u32, &by), by)
}

#[test]
fn a_photo_gives_the_same_bits_on_every_call_and_thread() {
    let folder = tempfile::tempdir().unwrap();
    let (xfeat, trunk) = (xfeat(), trunk(folder.path()));
    let picture = scene(320, 240, 1);
    let path = folder.path().join("p.bmp");
    save(&picture, &path);
    let by_file = xfeat.extract(&Photo::File(path.clone()), None).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let content = *blake3::hash(&bytes).as_bytes();
    let by_bytes = xfeat.extract(&Photo::Bytes(bytes), Some(&content)).unwrap();
    let another = xfeat.extract(&Photo::File(path.clone()), Some(&[7; 32])).unwrap_err();
    assert_eq!(another.kind(), ErrorKind::Mismatch, "{another}");
    let (expected, of_trunk) = (xfeat.extract_pixels(&picture).unwrap(), trunk.extract_pixels(&picture).unwrap());
    assert!(expected.locations.len() > 100, "{}", expected.locations.len());
    assert!(by_file == expected && by_bytes == expected);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                assert_eq!(xfeat.extract_pixels(&picture).unwrap(), expected);
                assert_eq!(trunk.extract_pixels(&picture).unwrap(), of_trunk);
            });
        }
    });
}

/// Of the pairs: how many one affine map explains, and how many lie within `residual` pixels of where `by` moves them.
fn explained(pairs: &[([f64; 2], [f64; 2])], by: &Affine, residual: f64) -> (usize, usize) {
    let right = |(from, to): &&([f64; 2], [f64; 2])| {
        let at = moved(by, *from);
        (at[0] - to[0]).hypot(at[1] - to[1]) < residual
    };
    let found = (inliers(pairs, residual).0, pairs.iter().filter(right).count());
    println!("{} pairs, {} inliers, {} right", pairs.len(), found.0, found.1);
    found
}

#[test]
fn a_turned_and_shrunk_picture_matches_where_it_should_and_another_does_not() {
    let xfeat = xfeat();
    let picture = scene(480, 360, 3);
    let (other, by) = turned(&picture);
    let [a, b, c] = [&other, &picture, &scene(480, 360, 4)].map(|p| xfeat.extract_pixels(p).unwrap());
    check(&a, 384.0, 288.0);
    check(&b, 480.0, 360.0);
    let (count, right) = explained(&matches(&a, &b, COSINE), &by, 3.0);
    assert!(count >= 300 && right >= 300);
    let (stranger, _) = explained(&matches(&a, &c, COSINE), &by, 3.0);
    assert!(stranger <= 15);
}

/// Small enough that no cell is cut: three scales of the one are scales of the other, cell by cell.
#[test]
fn the_trunk_matches_a_picture_with_itself_at_half_the_size() {
    let folder = tempfile::tempdir().unwrap();
    let trunk = trunk(folder.path());
    let picture = scene(384, 256, 3);
    let half = resize(&picture, 192, 128).unwrap();
    let [a, b, c] = [&half, &picture, &scene(384, 256, 4)].map(|p| trunk.extract_pixels(p).unwrap());
    check(&a, 192.0, 128.0);
    check(&b, 384.0, 256.0);
    let by = [2.0, 0.0, 0.5, 0.0, 2.0, 0.5];
    let (count, right) = explained(&matches(&a, &b, TRUNK_COSINE), &by, 3.0);
    assert!(count >= 30 && right >= 30);
    let (stranger, _) = explained(&matches(&a, &c, TRUNK_COSINE), &by, 3.0);
    assert!(stranger <= 15);
}

#[test]
fn a_picture_of_one_colour_has_no_features_and_that_is_no_error() {
    let xfeat = xfeat();
    for (width, height) in [(320, 240), (640, 640), (33, 500)] {
        let set = xfeat.extract_pixels(&flat(width, height)).unwrap();
        assert_eq!(set, LocalFeatureSet { dimension: XFEAT_DIMENSION, ..LocalFeatureSet::default() });
    }
}

#[test]
fn tiny_and_long_pictures_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (xfeat, trunk) = (xfeat(), trunk(folder.path()));
    for (width, height) in [(1, 1), (2, 1), (31, 33), (20_000, 1), (1, 20_000), (3000, 7)] {
        for picture in [flat(width, height), scene(width, height, 5)] {
            let frame = 640f32.min(width.max(height) as f32);
            check(&xfeat.extract_pixels(&picture).unwrap(), frame, frame);
            check(&trunk.extract_pixels(&picture).unwrap(), frame, frame);
        }
    }
}

#[test]
fn large_photos_give_at_most_a_thousand_and_locations_in_the_frame() {
    let (large, small) = (scene(1600, 1200, 6), scene(800, 600, 6));
    let xfeat = xfeat();
    for picture in [&large, &small] {
        check(&xfeat.extract_pixels(picture).unwrap(), 640.0, 480.0);
    }
    // Enlarged, a picture has the same frame, and its features stay where they are.
    let twice = resize(&small, 1600, 1200).unwrap();
    let [a, b] = [&small, &twice].map(|p| xfeat.extract_pixels(p).unwrap());
    let pairs = matches(&a, &b, COSINE);
    let still = pairs.iter().filter(|(p, q)| (p[0] - q[0]).hypot(p[1] - q[1]) < 1.5).count();
    assert!(still > 300 && still * 10 > pairs.len() * 9, "{still} of {}", pairs.len());
}

#[test]
fn photos_that_cannot_be_read_are_named_and_weights_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("no photo.jpg");
    std::fs::write(&path, b"text").unwrap();
    let error = xfeat().extract(&Photo::File(path.clone()), None).unwrap_err().to_string();
    assert!(error.contains("no photo.jpg"), "{error}");
    let load = |path: &PathBuf| XFeatExtractor::load(Some(path), &Hardware::cpu()).err().unwrap();
    assert!(load(&path).to_string().contains("no photo.jpg"));
    assert_eq!(load(&folder.path().join("absent")).kind(), ErrorKind::NotFound);
    let other = crate::model::Architecture::Lite0.default_weights().unwrap().find().unwrap();
    assert!(load(&other).to_string().contains("no tensor"));
}

#[test]
fn what_decides_the_features_is_in_the_fingerprint() {
    let folder = tempfile::tempdir().unwrap();
    let of_xfeat = [xfeat().fingerprint(), xfeat().with_longest_side(480).fingerprint()];
    assert_ne!(of_xfeat[0], of_xfeat[1]);
    let trunk = trunk(folder.path());
    let path = folder.path().join("pca.safetensors");
    trunk.projection().save(&path).unwrap();
    let again = TrunkExtractor::with_projection(lite0(), &path).unwrap();
    assert_eq!(again.fingerprint(), trunk.fingerprint());
    let picture = scene(200, 150, 8);
    assert_eq!(again.extract_pixels(&picture).unwrap(), trunk.extract_pixels(&picture).unwrap());
}

/// The pixels of every photo of landmarks, and its true label.
fn landmarks() -> Option<Vec<(Pixels, String)>> {
    let paths: HashMap<String, PathBuf> = ["train", "index", "query"]
        .into_iter()
        .map(|list| shared_photos(&format!("photos/landmarks/{list}.csv")))
        .collect::<Option<Vec<_>>>()?
        .concat()
        .into_iter()
        .collect();
    let truth = csv::Reader::from_path(shared("photos/landmarks/truth.csv")?).unwrap().into_records();
    let photo = |row: csv::StringRecord| {
        let bytes = std::fs::read(&paths[&row[0]]).unwrap();
        (decode(&bytes, &DecodeLimits::default()).unwrap(), row[1].to_owned())
    };
    Some(truth.map(|row| photo(row.unwrap())).collect())
}

/// `count` pairs of different photos, of one label or of two.
fn pairs_of(photos: &[(Pixels, String)], same: bool, count: usize) -> Vec<(usize, usize)> {
    let mut dice = Dice::new(if same { 1 } else { 2 });
    let mut pairs = Vec::new();
    while pairs.len() < count {
        let [i, j] = [(); 2].map(|()| dice.below(photos.len() as u32) as usize);
        if i != j && (photos[i].1 == photos[j].1) == same && !pairs.contains(&(i, j)) {
            pairs.push((i, j));
        }
    }
    pairs
}

/// Milliseconds that this thread has computed: the wall clock says little on a machine that others use.
fn computed() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e6
}

/// Prints how far inliers tell pairs of one label from pairs of two.
fn separation(name: &str, sets: &[LocalFeatureSet], pairs: &[Vec<(usize, usize)>; 2], cosine: f32, residual: f64) {
    let counts = pairs.clone().map(|pairs| {
        let one = |(i, j): (usize, usize)| inliers(&matches(&sets[i], &sets[j], cosine), residual).0;
        let mut counts: Vec<usize> = pairs.into_iter().map(one).collect();
        counts.sort_unstable();
        counts
    });
    let at = |counts: &[usize], part: f64| counts[((counts.len() - 1) as f64 * part) as usize];
    let [same, other] = &counts;
    let above: usize = same.iter().map(|s| other.partition_point(|o| o < s) + other.partition_point(|o| o <= s)).sum();
    let auc = above as f64 / (2 * same.len() * other.len()) as f64;
    println!("{name}, cosine {cosine}, residual {residual}: AUC {auc:.3}");
    for (word, counts) in [("same", same), ("other", other)] {
        let quantiles = [0.05, 0.25, 0.5, 0.75, 0.95, 1.0].map(|part| at(counts, part));
        println!("  {word}: 5 25 50 75 95 100 % {quantiles:?}");
    }
    for least in [4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40] {
        let [s, o] = counts.each_ref().map(|c| c.iter().filter(|n| **n >= least).count() as f64 / c.len() as f64);
        println!("  at least {least:3}: same {:5.1} %, other {:5.1} %", s * 100.0, o * 100.0);
    }
}

#[test]
#[ignore = "measures; minutes"]
fn separation_on_landmarks_by_xfeat() {
    let Some(photos) = landmarks() else { return };
    let pairs = [pairs_of(&photos, true, 200), pairs_of(&photos, false, 200)];
    for (name, longest, enlarge) in
        [("320", 320, false), ("416 (as they are)", 640, false), ("enlarged to 640", 640, true)]
    {
        let xfeat = xfeat().with_longest_side(longest);
        let start = computed();
        let extract = |(photo, _): &(Pixels, String)| {
            let scale = 640.0 / f64::from(photo.width().max(photo.height()));
            let side = |side: u32| (f64::from(side) * scale) as u32;
            let large = enlarge.then(|| resize(photo, side(photo.width()), side(photo.height())).unwrap());
            xfeat.extract_pixels(large.as_ref().unwrap_or(photo)).unwrap()
        };
        let sets: Vec<LocalFeatureSet> = photos.iter().map(extract).collect();
        let each = (computed() - start) / photos.len() as f64;
        let features = sets.iter().map(|set| set.locations.len()).sum::<usize>() / sets.len();
        println!("{name}: {each:.1} ms and {features} features a photo, {} photos", photos.len());
        for residual in [20.0, 10.0, 5.0] {
            separation(name, &sets, &pairs, COSINE, residual);
        }
    }
}

#[test]
fn a_photo_that_cannot_be_read_is_passed_over_while_the_projection_is_fitted() {
    let folder = tempfile::tempdir().unwrap();
    let fitted = trunk(folder.path());
    let file = |name: &str| (Photo::File(folder.path().join(name)), None);
    let another = (file("0.bmp").0, Some([7; 32]));
    let with_bad = [file("0.bmp"), file("1.bmp"), file("gone.bmp"), another, file("2.bmp"), file("3.bmp")];
    let other = TrunkExtractor::fit(lite0(), &with_bad).unwrap();
    assert_eq!(other.fingerprint(), fitted.fingerprint());
    let refused = TrunkExtractor::fit(lite0(), &[file("gone.bmp")]).err().unwrap();
    assert!(refused.to_string().contains("gone.bmp"), "{refused}");
}

#[test]
#[ignore = "measures; minutes"]
fn separation_on_landmarks_by_the_trunk() {
    let Some(list) = shared_photos("photos/landmarks/train.csv") else { return };
    let files: Vec<_> = list.into_iter().map(|(_, path)| (Photo::File(path), None)).collect();
    let start = computed();
    let trunk = TrunkExtractor::fit(lite0(), &files).unwrap();
    println!("fitted in {:.1} s", (computed() - start) / 1e3);
    let photos = landmarks().unwrap();
    let pairs = [pairs_of(&photos, true, 200), pairs_of(&photos, false, 200)];
    let start = computed();
    let sets: Vec<LocalFeatureSet> = photos.iter().map(|(photo, _)| trunk.extract_pixels(photo).unwrap()).collect();
    let each = (computed() - start) / photos.len() as f64;
    let features = sets.iter().map(|set| set.locations.len()).sum::<usize>() / sets.len();
    println!("{each:.1} ms and {features} features a photo");
    for (cosine, residual) in [(TRUNK_COSINE, 20.0), (COSINE, 20.0), (TRUNK_COSINE, 30.0)] {
        separation("trunk", &sets, &pairs, cosine, residual);
    }
}

#[test]
#[ignore = "measures; Linux"]
fn milliseconds_of_one_photo() {
    let xfeat = xfeat();
    for (width, height) in [(416, 312), (640, 480), (640, 640)] {
        let picture = scene(width, height, 9);
        let count = xfeat.extract_pixels(&picture).unwrap().locations.len();
        let start = computed();
        (0..20).for_each(|_| drop(xfeat.extract_pixels(&picture).unwrap()));
        println!("{width}x{height}: {:.1} ms, {count} features", (computed() - start) / 20.0);
    }
}
