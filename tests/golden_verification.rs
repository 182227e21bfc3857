//! The outputs of the original implementations: inlier counts of image pairs, and the train cleaning; and the planted wrong labels.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use cairn::clean::{Neighbour, Pair, Rule, Weighing, clean, suspects};
use cairn::spatial::{Features, Verify, matches, verify};
use cairndb_tests::{integers, npy, rows, shared};

/// Features of each image of one side of the pairs.
fn images(golden: &Path, side: usize) -> Vec<Features> {
    let read = |what: &str| npy(&golden.join(format!("ransac_{what}{side}.npy")));
    let ((locations, _), (descriptors, shape)) = (read("loc"), read("desc"));
    let locations: Vec<[f32; 2]> = locations.chunks(2).map(|xy| [xy[0] as f32, xy[1] as f32]).collect();
    let descriptors: Vec<f32> = descriptors.iter().map(|&x| x as f32).collect();
    let offsets = integers(&golden.join(format!("ransac_off{side}.npy")));
    let part = |ends: &[i64]| {
        let (from, to) = (ends[0] as usize, ends[1] as usize);
        Features::new(shape[1], locations[from..to].to_vec(), &descriptors[from * shape[1]..to * shape[1]]).unwrap()
    };
    offsets.windows(2).map(part).collect()
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Catches: any change of the matching rule, of what an inlier is, or of the search for the best map.
#[test]
fn inlier_counts_equal_the_released_code() {
    let Some(golden) = shared("golden") else { return };
    let (first, second) = (images(&golden, 1), images(&golden, 2));
    let expected = json(&golden.join("ransac_expected.json"));
    let expected = expected.as_array().unwrap();
    assert_eq!((first.len(), second.len(), expected.len()), (24, 24, 24));
    for (pair, expected) in expected.iter().enumerate() {
        let number = |name: &str| expected[name].as_u64().unwrap() as usize;
        let inliers = number("inliers_min")..=number("inliers_max");
        let verified = verify(&first[pair], &second[pair], &Verify::default()).unwrap();
        assert_eq!(verified.putative, number("putative"), "pair {pair}: putative matches");
        let got = verified.inliers.len();
        assert!(inliers.contains(&got), "pair {pair}: {got} inliers, {inliers:?} expected");
        assert_eq!(verified.model.is_some(), got > 0, "pair {pair}: the map");

        // What is stored is as good: the planted ones are found in it too.
        let stored = [&first[pair], &second[pair]].map(|image| Features::decode(&image.encode()).unwrap());
        let got = verify(&stored[0], &stored[1], &Verify::default()).unwrap();
        assert!(
            got.inliers.len() >= number("planted"),
            "pair {pair}: {} inliers of stored features",
            got.inliers.len()
        );
        let putative = matches(&stored[0], &stored[1], &Verify::default().matching).unwrap();
        assert!(putative.len().abs_diff(number("putative")) <= 1, "pair {pair}: {} stored matches", putative.len());
    }
}

/// Catches: counting pairs from both sides, other limits, keeping labels of one image.
#[test]
fn cleaning_equals_the_released_code() {
    let Some(golden) = shared("golden") else { return };
    let labels = integers(&golden.join("train_labels.npy"));
    let pairs: Vec<Pair> = integers(&golden.join("clean_pairs_i_j_inliers.npy"))
        .chunks(3)
        .map(|row| Pair { image: row[0] as usize, other: row[1] as usize, inliers: row[2] as u32 })
        .collect();
    let expected = json(&golden.join("clean_expected.json"));
    let expected = expected.as_object().unwrap();
    assert_eq!(expected.len(), 4);
    for (name, kept) in expected {
        let (verify, freq) = name.strip_prefix("verify").unwrap().split_once("_freq").unwrap();
        let rule = Rule { min_inliers: verify.parse().unwrap(), freq: freq.parse().unwrap() };
        let rows_of = |rows: &serde_json::Value| -> Vec<usize> {
            rows.as_array().unwrap().iter().map(|row| row.as_u64().unwrap() as usize).collect()
        };
        let mut expected: Vec<usize> = kept.as_object().unwrap().values().flat_map(rows_of).collect();
        expected.sort_unstable();
        let verdicts = clean(&labels, &pairs, &rule).unwrap();
        let got: Vec<usize> = (0..verdicts.len()).filter(|&row| verdicts[row].is_kept()).collect();
        assert_eq!(got, expected, "{name}");
    }
}

/// How well a ranking puts the wrong labels first.
fn average_precision(ranked: &[usize], is_wrong: &[bool]) -> f64 {
    let mut hits = 0.0;
    let mut sum = 0.0;
    for (rank, _) in ranked.iter().enumerate().filter(|(_, image)| is_wrong[**image]) {
        hits += 1.0;
        sum += hits / (rank + 1) as f64;
    }
    sum / is_wrong.iter().filter(|wrong| **wrong).count() as f64
}

/// Catches: evidence that ranks no better than counting neighbours of other labels does.
#[test]
fn wrong_labels_of_the_collection_come_first() {
    let Some(golden) = shared("golden") else { return };
    let descriptors = rows(&golden.join("train_feats.npy"));
    let labels = integers(&golden.join("train_labels.npy"));
    let truth = integers(&golden.join("train_true_labels.npy"));
    let is_wrong: Vec<bool> = labels.iter().zip(&truth).map(|(given, right)| given != right).collect();
    let how = Weighing::default();
    let nearest = |image: usize| {
        let cosine = |other: &Vec<f32>| other.iter().zip(&descriptors[image]).map(|(a, b)| a * b).sum();
        let all = descriptors.iter().enumerate().filter(|(other, _)| *other != image);
        let mut all: Vec<Neighbour> =
            all.map(|(other, row)| Neighbour { image: other, similarity: cosine(row), inliers: None }).collect();
        all.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.image.cmp(&b.image)));
        all.truncate(how.k);
        all
    };
    let neighbours: Vec<Vec<Neighbour>> = (0..labels.len()).map(nearest).collect();
    let found = suspects(&labels, &neighbours, &how).unwrap();
    let ranked: Vec<usize> = found.iter().map(|suspect| suspect.image).collect();
    let got = average_precision(&ranked, &is_wrong);

    let alike = |image: &usize| neighbours[*image].iter().filter(|near| labels[near.image] == labels[*image]).count();
    let mut by_share: Vec<usize> = (0..labels.len()).collect();
    by_share.sort_by_key(alike);
    let baseline = average_precision(&by_share, &is_wrong);
    let wrong = found.iter().filter(|suspect| is_wrong[suspect.image]);
    let (right, wrong) = wrong
        .fold((0, 0), |(right, all), suspect| (right + usize::from(suspect.proposed == truth[suspect.image]), all + 1));
    println!("average precision {got:.3}, by shares {baseline:.3}; {right} of {wrong} proposals are the true label");
    assert!(got > baseline, "{got} against {baseline}");
}
