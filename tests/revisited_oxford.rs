//! `cairn eval` on revisited Oxford: 4,993 photos and 70 queries of real CNN descriptors, every method, and names as noisy labels.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use cairndb_tests::{lines, run_ok, shared};

/// Bytes of a descriptor in the file: the dimension, and 128 numbers.
const ROW: usize = 4 + 4 * 128;
/// How far a figure in percent may lie from the recorded one: near ties may stand in another order.
const MARGIN: f64 = 0.1;

/// mAP in percent at Easy, Medium and Hard of the first stages without labels. The kNN figures are those of an independent brute force;
/// the others were recorded when `golden_lists` held each method equal to its original.
const UNSUPERVISED: [(&str, [f64; 3]); 14] = [
    ("kNN", [28.9, 21.1, 4.6]),
    ("EXPAND AQE", [28.40, 21.24, 4.79]),
    ("EXPAND ALPHA", [28.73, 21.54, 4.97]),
    ("EXPAND ALPHA AUGMENT", [29.12, 22.59, 6.29]),
    ("AUGMENT", [28.41, 21.71, 6.16]),
    ("SUPERGLOBAL", [27.39, 20.98, 4.78]),
    ("DIFFUSE", [31.17, 23.23, 5.25]),
    ("DIFFUSE FULL", [29.40, 21.76, 4.87]),
    ("EXPLORE", [27.08, 19.54, 4.00]),
    ("EXPLORE DIRECTED", [27.05, 19.51, 4.00]),
    ("RECIPROCAL", [31.32, 24.34, 6.55]),
    ("RECIPROCAL TRANSDUCTIVE", [33.42, 25.18, 6.73]),
    ("DIFFUSE TRANSDUCTIVE", [29.52, 22.06, 5.23]),
    ("EXPAND ALPHA RECIPROCAL", [30.42, 23.05, 5.21]),
];

/// The same with the names of half of the photos as labels. Nearly a third of them are a mere "oxford", which names no building.
const LABELLED: [(&str, &str, [f64; 3]); 5] = [
    ("kNN", "sort", [29.55, 22.12, 6.08]),
    ("kNN", "insert", [28.92, 21.17, 4.61]),
    ("kNN", "sort + insert", [28.62, 21.68, 6.31]),
    ("EXPAND ALPHA", "sort + insert", [28.48, 21.84, 6.19]),
    ("FUSE", "none", [31.93, 25.66, 7.59]),
];

struct Oxford {
    truth: PathBuf,
    names: serde_json::Value,
    /// By name.
    rows: HashMap<String, Vec<u8>>,
}

impl Oxford {
    fn read() -> Option<Self> {
        let shared = shared("vectors/roxford5k")?;
        let bytes = std::fs::read(shared.join("oxford_features.fvecs")).unwrap();
        let names = lines(&shared.join("names.txt"));
        assert_eq!(bytes.len(), names.len() * ROW);
        let truth = shared.join("gnd_roxford5k.json");
        let about = serde_json::from_str(&std::fs::read_to_string(&truth).unwrap()).unwrap();
        let rows = names.into_iter().zip(bytes.chunks(ROW).map(<[u8]>::to_vec)).collect();
        Some(Self { truth, names: about, rows })
    }

    fn list(&self, name: &str) -> Vec<&str> {
        self.names[name].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
    }

    /// Writes the vectors `NAME.fvecs` of these photos and their keys `NAME.txt`.
    fn write(&self, folder: &Path, name: &str, photos: &[&str], before: &str) {
        let vectors: Vec<u8> = photos.iter().flat_map(|photo| &self.rows[*photo]).copied().collect();
        std::fs::write(folder.join(format!("{name}.fvecs")), vectors).unwrap();
        let keys: String = photos.iter().map(|photo| format!("{before}{photo}\n")).collect();
        std::fs::write(folder.join(format!("{name}.txt")), keys).unwrap();
    }

    /// The database `DB` of all photos as index images, and the queries beside it.
    fn database(&self, folder: &Path) {
        self.write(folder, "index", &self.list("imlist"), "");
        self.write(folder, "query", &self.list("qimlist"), "");
        run_ok(folder, &["create", "DB", "--dim", "128"]);
        run_ok(folder, &["ingest", "DB", "index.fvecs", "--ids", "index.txt", "--as", "index"]);
    }

    /// The rows of `cairn eval` with more words.
    fn eval(&self, folder: &Path, more: &[&str]) -> Vec<HashMap<String, String>> {
        let truth = self.truth.to_str().unwrap();
        let words = ["eval", "DB", "--queries", "query.fvecs", "--query-ids", "query.txt", "--truth", truth];
        let text = run_ok(folder, &[&words[..], &["--format", "csv"], more].concat());
        csv::Reader::from_reader(text.as_bytes()).into_deserialize().map(|row| row.unwrap()).collect()
    }
}

fn number(row: &HashMap<String, String>, column: &str) -> f64 {
    row[column].parse().unwrap_or_else(|_| panic!("{column}: {row:?}"))
}

/// It catches: rankings that end before the collection does, queries of a transductive method that are asked alone, a method whose row
/// runs another one, ranges without their mean, a report without a plot.
#[test]
fn every_method_without_labels_has_its_figures() {
    let Some(oxford) = Oxford::read() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    oxford.database(folder);
    let rows = oxford.eval(folder, &["--table", "--report", "table.html"]);
    for (method, expected) in UNSUPERVISED {
        let row = rows.iter().find(|row| row["first stage"] == method).unwrap_or_else(|| panic!("no row {method}"));
        for (letter, expected) in ["E", "M", "H"].into_iter().zip(expected) {
            let mean = number(row, &format!("{letter} mAP"));
            assert!((mean - expected).abs() <= MARGIN, "{method} {letter}: {mean}, expected {expected}");
            let range = &row[&format!("{letter} mAP range")];
            let (least, most) = range.split_once(" to ").unwrap();
            assert!(least.parse::<f64>().unwrap() < mean && mean < most.parse::<f64>().unwrap(), "{row:?}");
        }
        assert_eq!(row["queries"], "68 / 70 / 70");
    }
    // No label, no second stage; and FUSE without labels is a method without labels.
    assert_eq!(rows.len(), UNSUPERVISED.len() + 1);
    assert!(rows.iter().all(|row| row["second stage"] == "none"));
    let page = std::fs::read_to_string(folder.join("table.html")).unwrap();
    assert_eq!(page.matches("<svg").count(), 3);
    assert_eq!(page.matches("<circle").count(), 3 * rows.len());
    assert!(page.contains("4993 images") && page.contains("seed 0"));
}

/// It catches: votes that do not reach the whole ranking, changes that are not those from the first stage, a preset that noisy labels
/// make worse than sort + insert.
#[test]
fn names_of_half_of_the_photos_are_noisy_labels() {
    let Some(oxford) = Oxford::read() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    oxford.database(folder);
    let half: Vec<&str> = oxford.list("imlist").into_iter().filter(|photo| is_drawn(photo)).collect();
    assert!((2_300..2_700).contains(&half.len()), "{}", half.len());
    oxford.write(folder, "train", &half, "train ");
    // What stands before the number is the tag that found the photo.
    let labels = half.iter().map(|photo| format!("train {photo},{}\n", photo.rsplit_once('_').unwrap().0));
    std::fs::write(folder.join("labels.csv"), format!("id,label\n{}", labels.collect::<String>())).unwrap();
    run_ok(folder, &["ingest", "DB", "train.fvecs", "--ids", "train.txt", "--labels", "labels.csv", "--as", "train"]);
    let rows = oxford.eval(folder, &["--ablation"]);
    let of = |first: &str, second: &str, measure: &str| {
        let is_it = |row: &&HashMap<String, String>| {
            row["first stage"] == first && row["second stage"] == second && row["measure"] == measure
        };
        rows.iter().find(is_it).unwrap_or_else(|| panic!("no row {first}, {second}, {measure}"))
    };
    for (measure, expected) in [("E mAP", 28.9), ("M mAP", 21.1), ("H mAP", 4.6)] {
        let plain = of("kNN", "none", measure);
        assert!((number(plain, "mean") - expected).abs() <= MARGIN, "{plain:?}");
        assert_eq!(plain["change"], "");
        for second in ["sort", "insert", "sort + insert"] {
            let row = of("kNN", second, measure);
            let change = number(row, "mean") - number(plain, "mean");
            assert!((number(row, "change") - change).abs() < 0.02, "{row:?}");
            assert!(number(row, "better") + number(row, "worse") <= number(row, "queries"), "{row:?}");
        }
    }
    for (first, second, expected) in LABELLED {
        for (measure, expected) in ["E mAP", "M mAP", "H mAP"].into_iter().zip(expected) {
            let row = of(first, second, measure);
            assert!((number(row, "mean") - expected).abs() <= MARGIN, "{row:?}, expected {expected}");
        }
    }
}

/// Half of the names, by their bytes (FNV-1a), so that the same photos are drawn everywhere.
fn is_drawn(photo: &str) -> bool {
    let hash = photo
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (hash >> 40) & 1 == 0
}
