//! The commands for bare vectors, word for word, against the lists of the original implementation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::path::Path;

use cairndb_tests::{integers, lines, npy, run, run_ok, shared};

/// Links the golden inputs into a working folder under the names of the commands, and writes the labels file.
fn working_folder(golden: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["train_feats.npy", "train_ids.txt", "index_feats.npy", "index_ids.txt", "query_feats.npy"] {
        std::os::unix::fs::symlink(golden.join(name), folder.path().join(name)).unwrap();
    }
    let ids = lines(&golden.join("train_ids.txt"));
    let labels = integers(&golden.join("train_labels.npy"));
    let rows: String = ids.iter().zip(labels).map(|(id, label)| format!("{id},{label}\n")).collect();
    std::fs::write(folder.path().join("train_labels.csv"), format!("id,label\n{rows}")).unwrap();
    folder
}

#[test]
fn the_documented_commands_give_the_original_lists() {
    let Some(golden) = shared("golden") else { return };
    let folder = working_folder(&golden);
    let cairn = |words: &[&str]| run_ok(folder.path(), words);
    cairn(&["create", "DB", "--dim", "64"]);
    let train =
        ["ingest", "DB", "train_feats.npy", "--ids", "train_ids.txt", "--labels", "train_labels.csv", "--as", "train"];
    cairn(&train);
    cairn(&["ingest", "DB", "index_feats.npy", "--ids", "index_ids.txt", "--as", "index"]);
    let again = run(folder.path(), &train);
    let again = String::from_utf8([again.stdout, again.stderr].concat()).unwrap();
    assert!(again.contains("unchanged 3000"), "a second ingest passes over everything: {again}");

    let index_ids = lines(&golden.join("index_ids.txt"));
    for k in [1, 3, 5] {
        let statement = format!("SEARCH QUERIES 'query_feats.npy' IN index EXACT K 100 RERANK k={k} tau=0.6");
        let csv = cairn(&["query", "DB", "-c", &statement, "--format", "csv"]);
        let mut rows = csv.lines();
        assert_eq!(rows.next(), Some("query,rank,id,similarity,instance,instance_score,stage"));
        let (expected, shape) = npy(&golden.join(format!("list_sortinsert_k{k}_tau0.6.npy")));
        let rows: Vec<Vec<&str>> = rows.map(|row| row.split(',').collect()).collect();
        assert_eq!(rows.len(), shape[0] * shape[1]);
        let mut stages: HashMap<&str, usize> = HashMap::new();
        let mut misplaced = 0;
        for (at, (row, expected)) in rows.iter().zip(&expected).enumerate() {
            assert_eq!((row[0], row[1]), (&*(at / shape[1]).to_string(), &*(at % shape[1] + 1).to_string()));
            let expected = &index_ids[*expected as usize];
            if row[2] != expected {
                // Only a neighbour with a similarity that is equal to within 1e-5 may stand here (golden README).
                let same_query = rows.iter().filter(|other| other[0] == row[0]);
                let other = same_query.into_iter().find(|other| other[2] == expected).expect("the id is in the list");
                let difference = other[3].parse::<f64>().unwrap() - row[3].parse::<f64>().unwrap();
                assert!(difference.abs() < 1e-5, "k={k}: {row:?} stands where {expected} was expected");
                misplaced += 1;
            }
            *stages.entry(row[6]).or_default() += 1;
        }
        assert!(misplaced <= 60, "{misplaced} near ties");
        let mut words: Vec<&str> = stages.into_keys().collect();
        words.sort_unstable();
        assert_eq!(words, ["inserted", "negative", "positive"]);
    }
    let plain = cairn(&["query", "DB", "-c", "SEARCH QUERIES 'query_feats.npy' K 3", "--format", "csv"]);
    assert_eq!(plain.lines().count(), 301);
    assert!(plain.lines().skip(1).all(|row| row.ends_with(',')), "without RERANK stage is empty");
}

#[test]
fn a_database_of_another_model_or_dimension_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run_ok(path, &["create", "three", "--dim", "3"]);
    let npy = |name: &str, rows: &[[f32; 2]]| {
        let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, 2), }}", rows.len());
        while (header.len() + 11) % 64 != 0 {
            header.push(' ');
        }
        header.push('\n');
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.bytes());
        rows.iter().flatten().for_each(|value| bytes.extend(value.to_le_bytes()));
        std::fs::write(path.join(name), bytes).unwrap();
    };
    npy("two.npy", &[[1.0, 0.0], [0.0, 1.0]]);
    std::fs::write(path.join("ids.txt"), "a\nb\n").unwrap();
    let output = run(path, &["ingest", "three", "two.npy", "--ids", "ids.txt", "--as", "index"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("dimension 2") && text.contains('3') && text.contains("help:"), "{text}");
    let output = run(path, &["query", "three", "-c", "SEARCH QUERIES 'two.npy'"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("dimension"));
    let output = run(path, &["ingest", "three", "photo.jpg", "--as", "index"]);
    assert_eq!(output.status.code(), Some(1), "a database of bare vectors takes no photos");

    run_ok(path, &["create", "two", "--dim", "2"]);
    npy("bad.npy", &[[1.0, 0.0], [0.0, 0.0], [f32::NAN, 1.0]]);
    std::fs::write(path.join("ids3.txt"), "a\nb\nc\n").unwrap();
    let output = run(path, &["ingest", "two", "bad.npy", "--ids", "ids3.txt", "--as", "index"]);
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains('b') && text.contains('c') && text.contains("zero"), "both bad rows are named: {text}");
    let status = run_ok(path, &["query", "two", "-c", "SHOW STATUS", "--format", "csv"]);
    assert!(status.contains("index images,1"), "the good row went in: {status}");
}
