//! The whole path on real photos with noisy labels: the reference's figures, within its margins and in its order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use cairndb_tests::{run_ok, shared};

/// How far a figure in percent may lie from the reference: another resizer moves descriptors a little.
const MARGIN: f64 = 1.5;

struct Reference {
    set: &'static str,
    /// kNN, sort, sort+insert: mAP@100 and P@10 in percent, MeanPos.
    figures: [[f64; 3]; 3],
    /// Index images that get their true label, in percent.
    predicted_right: f64,
}

const LANDMARKS: Reference = Reference {
    set: "landmarks",
    figures: [[69.99, 83.37, 1.58], [75.68, 85.58, 2.32], [78.19, 85.29, 2.50]],
    predicted_right: 65.1,
};

const GROCERIES: Reference = Reference {
    set: "groceries",
    figures: [[32.73, 50.64, 1.59], [45.07, 66.75, 1.95], [61.45, 67.60, 2.70]],
    predicted_right: 66.5,
};

fn walk_the_whole_path(reference: &Reference) {
    let Some(photos) = shared(&format!("photos/{}", reference.set)) else { return };
    let folder = tempfile::tempdir().unwrap();
    let photo_file = |name: &str| photos.join(name).to_str().unwrap().to_owned();
    let cairn = |words: &[&str]| run_ok(folder.path(), words);
    cairn(&["create", "DB", "--model", "lite0-gem"]);
    let train = photo_file("train.csv");
    cairn(&["ingest", "DB", &train, "--as", "train", "--labels", &train]);
    cairn(&["ingest", "DB", &photo_file("index.csv"), "--as", "index"]);
    let eval = [
        "eval",
        "DB",
        "--queries",
        &photo_file("query.csv"),
        "--truth",
        &photo_file("solution.csv"),
        "--format",
        "csv",
    ];
    let table = cairn(&eval);
    let mut rows = table.lines();
    assert_eq!(rows.next(), Some("method,mAP@100,P@10,MeanPos,queries"), "{table}");
    let figures: Vec<(String, [f64; 3])> = rows
        .map(|row| {
            let mut cells = row.split(',');
            let name = cells.next().unwrap().to_owned();
            (name, std::array::from_fn(|_| cells.next().unwrap().parse().unwrap()))
        })
        .collect();
    assert_eq!(figures.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["kNN", "sort", "sort+insert"]);
    for ((name, got), expected) in figures.iter().zip(reference.figures) {
        println!("{} {name}: {got:?}, reference {expected:?}", reference.set);
        assert!((got[0] - expected[0]).abs() <= MARGIN, "{name}: mAP@100 {} against {}", got[0], expected[0]);
        assert!((got[1] - expected[1]).abs() <= MARGIN, "{name}: P@10 {} against {}", got[1], expected[1]);
        assert!((got[2] - expected[2]).abs() <= MARGIN, "{name}: MeanPos {} against {}", got[2], expected[2]);
    }
    assert!(
        figures[0].1[0] < figures[1].1[0] && figures[1].1[0] < figures[2].1[0],
        "the order of the methods: {figures:?}"
    );

    let statement = "SEARCH QUERIES '$' K 100000 RERANK SORT LIMIT 100000 RETURN query, id, instance";
    let one = std::fs::read_to_string(photo_file("query.csv"))
        .unwrap()
        .lines()
        .nth(1)
        .unwrap()
        .split(',')
        .nth(1)
        .unwrap()
        .to_owned();
    std::fs::write(folder.path().join("one.csv"), format!("id,path\nq,{}\n", photos.join(one).display())).unwrap();
    let csv = cairn(&["query", "DB", "-c", &statement.replace('$', "one.csv"), "--format", "csv"]);
    let truth = std::fs::read_to_string(photo_file("truth.csv")).unwrap();
    let truth: std::collections::HashMap<&str, &str> =
        truth.lines().skip(1).filter_map(|row| row.split_once(',')).collect();
    let predicted: Vec<Vec<&str>> = csv.lines().skip(1).map(|row| row.split(',').collect()).collect();
    let right = predicted.iter().filter(|row| truth[row[1]] == row[2]).count();
    let share = 100.0 * right as f64 / predicted.len() as f64;
    println!("{}: {share:.1} % of {} index images get their true label", reference.set, predicted.len());
    assert!((share - reference.predicted_right).abs() <= MARGIN, "{share:.1} % predicted right");
}

#[test]
fn landmarks_reach_the_reference() {
    walk_the_whole_path(&LANDMARKS);
}

#[test]
fn groceries_reach_the_reference() {
    walk_the_whole_path(&GROCERIES);
}
