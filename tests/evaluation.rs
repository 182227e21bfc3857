//! `cairn eval` with known answers of every kind, and with answers as files, against the figures of the original implementations.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::path::Path;

use cairndb_tests::{integers, lines, run, run_ok, shared, write_npy};

/// The golden collection as the database `DB`, with the lists `solution.csv` and `labels.csv` of its known answers.
fn golden_database(folder: &Path, golden: &Path) {
    let file = |name: &str| golden.join(name).to_str().unwrap().to_owned();
    run_ok(folder, &["create", "DB", "--dim", "64"]);
    let labels = lines(&golden.join("train_ids.txt"))
        .iter()
        .zip(integers(&golden.join("train_labels.npy")))
        .map(|(id, label)| format!("{id},{label}\n"))
        .collect::<String>();
    std::fs::write(folder.join("train.csv"), format!("id,label\n{labels}")).unwrap();
    let (train, train_ids) = (file("train_feats.npy"), file("train_ids.txt"));
    run_ok(folder, &["ingest", "DB", &train, "--ids", &train_ids, "--labels", "train.csv", "--as", "train"]);
    run_ok(folder, &["ingest", "DB", &file("index_feats.npy"), "--ids", &file("index_ids.txt"), "--as", "index"]);
    let (queries, images) = (lines(&golden.join("query_ids.txt")), lines(&golden.join("index_ids.txt")));
    let truth: HashMap<usize, Vec<usize>> =
        serde_json::from_str(&std::fs::read_to_string(golden.join("gt_retrieval.json")).unwrap()).unwrap();
    let row = |(query, found): (&usize, &Vec<usize>)| {
        let found: Vec<&str> = found.iter().map(|&row| images[row].as_str()).collect();
        format!("{},{},Private\n", queries[*query], found.join(" "))
    };
    let rows: String = truth.iter().map(row).collect();
    std::fs::write(folder.join("solution.csv"), format!("id,images,Usage\n{rows}")).unwrap();
    let shown = |label: i64| if label >= 0 { label.to_string() } else { String::new() };
    let rows: String = queries
        .iter()
        .zip(integers(&golden.join("query_labels.npy")))
        .map(|(query, label)| format!("{query},{},Public\n", shown(label)))
        .collect();
    std::fs::write(folder.join("labels.csv"), format!("id,landmarks,Usage\n{rows}")).unwrap();
}

/// The rows of CSV behind its header.
fn table(text: &str) -> Vec<Vec<String>> {
    let rows = csv::Reader::from_reader(text.as_bytes()).into_records();
    rows.map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}

fn number(cell: &str) -> f64 {
    cell.parse().unwrap()
}

/// Two queries, q0 and q1, near both axes.
fn two_queries(folder: &Path) {
    std::fs::write(folder.join("q.txt"), "q0\nq1\n").unwrap();
    let mut vectors = Vec::new();
    for row in [[1.0_f32, 0.1], [0.1, 1.0]] {
        vectors.extend(2_i32.to_le_bytes());
        row.iter().for_each(|value| vectors.extend(value.to_le_bytes()));
    }
    std::fs::write(folder.join("q.fvecs"), vectors).unwrap();
}

fn said(folder: &Path, words: &[&str]) -> String {
    let output = run(folder, words);
    assert!(!output.status.success(), "cairn {words:?} succeeded");
    String::from_utf8(output.stderr).unwrap()
}

/// It catches: whole rankings cut at the depth of the re-ranking, junk that keeps its place, queries taken in another order; a vote
/// whose queries without a label are left out; a submission that is not what was measured.
#[test]
fn every_kind_of_known_answers_gives_the_originals_figures() {
    let Some(golden) = shared("golden") else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    golden_database(folder, &golden);
    let file = |name: &str| golden.join(name).to_str().unwrap().to_owned();
    let (queries, ids) = (file("query_feats.npy"), file("query_ids.txt"));
    let expected = |name: &str| -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(golden.join(name)).unwrap()).unwrap()
    };

    // The array alone: its queries are the rows of the file, its numbers those of a file of names.
    let (truth, images) = (file("gnd_revisited.json"), file("index_ids.txt"));
    let eval = ["eval", "DB", "--queries", &queries, "--truth", &truth, "--truth-images", &images, "--format", "csv"];
    let rows = table(&run_ok(folder, &eval));
    let figures = expected("metrics_retrieval.json");
    for (method, name) in [("kNN", "knn"), ("sort+insert", "sortinsert_k3_tau0.6")] {
        for (difficulty, letter) in [("Easy", "E"), ("Medium", "M"), ("Hard", "H")] {
            let row = rows.iter().find(|row| row[0] == method && row[1] == difficulty).unwrap();
            let expected = &figures[name]["rev"][letter];
            let mut wanted = vec![expected["map"].as_f64().unwrap()];
            wanted.extend(expected["mp_at_1_5_10"].as_array().unwrap().iter().map(|at| at.as_f64().unwrap()));
            let got = [&row[2], &row[4], &row[5], &row[6]].map(|cell| number(cell));
            let far = got.iter().zip(&wanted).any(|(got, wanted)| (got - 100.0 * wanted).abs() > 0.02);
            assert!(!far, "{method} {difficulty}: {row:?}, expected {wanted:?}");
            let (least, most) = row[3].split_once(" to ").unwrap();
            assert!(number(least) < got[0] && got[0] < number(most), "{row:?}");
        }
    }

    let eval = ["eval", "DB", "--queries", &queries, "--query-ids", &ids, "--format", "csv", "--truth"];
    let with = |truth: &str, more: &[&str]| run_ok(folder, &[&eval[..], &[truth], more].concat());
    let rows = table(&with("labels.csv", &["--submission", "found.csv"]));
    let wanted = &expected("metrics_recognition.json")["softvote_k3"];
    for (cell, field) in [(1, "gap"), (2, "gap_ignore_nongt"), (3, "top1")] {
        assert!((number(&rows[0][cell]) - 100.0 * wanted[field].as_f64().unwrap()).abs() < 0.006, "{field}: {rows:?}");
    }
    let scored = |answers: &str, truth: &str| {
        table(&run_ok(folder, &["eval", "--answers", answers, "--truth", truth, "--format", "csv"]))
    };
    assert_eq!(scored("found.csv", "labels.csv")[0][1..], rows[0][1..]);

    let plain = run(folder, &[&eval[..], &["solution.csv"]].concat());
    let ranges = String::from_utf8(plain.stderr).unwrap();
    assert!(
        ranges.contains("mAP@100: kNN ") && ranges.contains(", sort+insert ") && ranges.contains("seed 0"),
        "{ranges}"
    );

    // What a search was measured with, a submission of the same search is scored with; and it can be the truth of another search.
    let rows = table(&with("solution.csv", &["--submission", "sub.csv"]));
    let ours = &rows.iter().find(|row| row[0] == "sort+insert").unwrap()[1..4];
    assert_eq!(&scored("sub.csv", "solution.csv")[0][1..4], ours);
    let again = table(&with("sub.csv", &[]));
    assert_eq!(again.iter().find(|row| row[0] == "sort+insert").unwrap()[1..3], ["100.00", "100.00"]);

    // The tables: the grid has the figures of each k and tau, and the steps change what they change from.
    let grid = table(&with("solution.csv", &["--grid"]));
    let map = |name: &str| 100.0 * figures[name]["map100"].as_f64().unwrap();
    for (row, k) in grid.iter().zip([1, 3, 5]) {
        for (cell, tau) in [(1, "0.0"), (5, "0.6"), (9, "1.2")] {
            let expected = map(&format!("sortinsert_k{k}_tau{tau}"));
            assert!((number(&row[cell]) - expected).abs() < 0.006, "k={k}, tau={tau}: {row:?}, expected {expected}");
        }
    }
    let steps = table(&with("solution.csv", &["--ablation", "--report", "steps.html"]));
    let row = |second: &str| steps.iter().find(|row| row[0] == "kNN" && row[1] == second).unwrap();
    for (second, name) in [("none", "knn"), ("sort", "sort_k3"), ("sort + insert", "sortinsert_k3_tau0.6")] {
        assert!((number(&row(second)[3]) - map(name)).abs() < 0.006, "{second}: {:?}", row(second));
    }
    assert!((number(&row("sort")[5]) - (map("sort_k3") - map("knn"))).abs() < 0.011, "{:?}", row("sort"));
    let page = std::fs::read_to_string(folder.join("steps.html")).unwrap();
    assert_eq!(page.matches("<circle").count(), steps.len());
    // Nobody needs known answers to take part.
    run_ok(folder, &["eval", "DB", "--queries", &queries, "--query-ids", &ids, "--submission", "test.csv"]);
    assert_eq!(lines(&folder.join("test.csv")), lines(&folder.join("sub.csv")));
}

/// It catches: files that are measured as zero, or read as what they are not, instead of refused with what to do.
#[test]
fn answers_that_fit_nothing_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    run_ok(folder, &["create", "DB", "--dim", "2"]);
    let put = "PUT ID 'a' VECTOR [1, 0]; PUT ID 'b b' VECTOR [0, 1]; PUT ID 't' VECTOR [1, 1] LABEL 'x'";
    run_ok(folder, &["query", "DB", "-c", put]);
    two_queries(folder);
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("truth.csv", "id,images\nq0,a\nq1,a\n");
    write("labels.csv", "id,landmarks\nq0,x\nq1,\n");
    let named =
        "{\"imlist\": [\"IMAGE\"], \"qimlist\": [\"QUERY\"], \"gnd\": [{\"easy\": [0], \"hard\": [], \"junk\": []}]}";
    let eval = ["eval", "DB", "--queries", "q.fvecs", "--query-ids", "q.txt", "--truth"];
    for (name, text, expected) in [
        ("images.json", named.replace("QUERY", "q0"), "names no searched image: it has 'IMAGE', the database has 'a'"),
        ("queries.json", named.replace("IMAGE", "a"), "has none of the queries of q.fvecs"),
        ("cut.json", named[..named.len() - 9].to_owned(), "at line 1 column"),
        ("number.json", named.replace("[0]", "[7]"), "query 0 ('QUERY'), easy: imlist has no number 7"),
        ("bare.json", "[{\"easy\": [0], \"hard\": [], \"junk\": []}]".to_owned(), "--truth-images FILE"),
        (
            "other.csv",
            "id,landmarks\nq0,7\nq1,8\n".to_owned(),
            "names no label of a train image: it has '7', the database has 'x'",
        ),
        ("noqueries.csv", "id,landmarks\nr,x\n".to_owned(), "has none of the queries of q.fvecs"),
        ("twice.csv", "id,landmarks\nq0,x\nq0,x\n".to_owned(), "twice.csv, line 3: the id 'q0' is already in line 2"),
    ] {
        write(name, &text);
        let said = said(folder, &[&eval[..], &[name]].concat());
        assert!(said.contains(expected), "{name}: {said}");
    }
    write("names.txt", "a\nb b\n");
    write("bare.json", "[{\"easy\": [0], \"hard\": [], \"junk\": []}]");
    let bare = said(folder, &[&eval[..], &["bare.json", "--truth-images", "names.txt"]].concat());
    assert!(bare.contains("1 queries without names, and there are 2"), "{bare}");
    for (name, text, truth, expected) in [
        ("images.csv", "id,images\nq0,z\n", "truth.csv", "finds 'z' and others, and truth.csv names none of them"),
        ("queries.csv", "id,images\nr,a\n", "truth.csv", "has none of the queries of truth.csv, such as 'q0'"),
        ("kind.csv", "id,landmarks\nq0,x 0.5\n", "truth.csv", "truth.csv has images, and kind.csv has labels"),
        ("score.csv", "id,landmarks\nq0,x\n", "labels.csv", "line 2: query 'q0': 'x' is no label, a space and a score"),
        ("label.csv", "id,landmarks\nq0,y 0.5\n", "labels.csv", "predicts 'y' and others, and labels.csv has none"),
        (
            "nan.csv",
            "id,landmarks\nq0,x 0.5\nq1,x nan\n",
            "labels.csv",
            "nan.csv, line 3: query 'q1': the score 'nan' is no finite",
        ),
        (
            "inf.csv",
            "id,landmarks\nq0,x inf\n",
            "labels.csv",
            "line 2: query 'q0': the score 'inf' is no finite number",
        ),
        ("empty.csv", "", "truth.csv", "empty.csv: it is empty"),
        ("header.csv", "id,images\n", "truth.csv", "it finds nothing for any query"),
    ] {
        write(name, text);
        let said = said(folder, &["eval", "--answers", name, "--truth", truth]);
        assert!(said.contains(expected), "{name}: {said}");
    }
    // Answers are looked up where a database is named.
    write("both.csv", "id,images\nq0,z\n");
    write("agrees.csv", "id,images\nq0,z\n");
    run_ok(folder, &["eval", "--answers", "both.csv", "--truth", "agrees.csv"]);
    let stored = said(folder, &["eval", "DB", "--answers", "both.csv", "--truth", "agrees.csv"]);
    assert!(stored.contains("both.csv names no searched image: it has 'z'"), "{stored}");
    // A key with a space would be read as two.
    let spaced = said(folder, &[&eval[..], &["truth.csv", "--submission", "sub.csv"]].concat());
    assert!(spaced.contains("the id 'b b' has a space") && !folder.join("sub.csv").exists(), "{spaced}");
    let refusal = said(folder, &[&eval[..], &["labels.csv", "--table"]].concat());
    assert!(refusal.contains("--table measures retrieval"), "{refusal}");
    // A report is written, or refused before the work.
    write("whole.json", &named.replace("IMAGE", "a").replace("QUERY", "q0"));
    let refused = |truth: &str, more: &[&str], expected: &str| {
        let text = said(folder, &[&eval[..], &[truth], more].concat());
        assert!(text.contains(expected) && text.contains("help:"), "{truth}: {text}");
        assert!(!folder.join("r.html").exists());
    };
    refused("whole.json", &["--report", "r.html"], "--report has no page of whole rankings");
    refused("labels.csv", &["--report", "r.html"], "--report measures retrieval, and the known answers are labels");
    let one_file = ["--report", "r.html", "--submission", "./r.html"];
    refused("truth.csv", &one_file, "two outputs are one file: r.html and ./r.html");
    let eval = &eval[..eval.len() - 1];
    let alone = said(folder, &[eval, &["--submission", "s.csv", "--report", "r.html"]].concat());
    assert!(alone.contains("there is no --truth") && !folder.join("s.csv").exists(), "{alone}");
    // No query, no figure.
    write_npy(folder, "none.npy", &[]);
    let none = said(folder, &["eval", "DB", "--queries", "none.npy", "--truth", "truth.csv"]);
    assert!(none.contains("none.npy: it has no vectors"), "{none}");
    let rows = table(&run_ok(folder, &[eval, &["--truth", "whole.json", "--format", "csv"]].concat()));
    let hard: Vec<_> = rows.iter().filter(|row| row[1] == "Hard").collect();
    assert!(hard.len() == 3 && hard.iter().all(|row| row[2..] == ["", "", "", "", "", "0"]), "{rows:?}");
    let twice = "SEARCH ID 'a' INTO 'p.html'; SEARCH ID 't' INTO './p.html'";
    let twice = said(folder, &["query", "DB", "-c", twice]);
    assert!(twice.contains("two outputs are one file") && !folder.join("p.html").exists(), "{twice}");
    let other = said(folder, &["query", "DB", "-c", "SHOW LABELS", "--truth", "labels.csv"]);
    assert!(other.contains("has labels of queries") && other.contains("cairn eval"), "{other}");
}

/// Labels have spaces, and the column separates labels by spaces. It catches: right predictions that count as wrong, with a database and
/// without.
#[test]
fn a_label_with_spaces_is_one_label() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    run_ok(folder, &["create", "DB", "--dim", "2"]);
    let put = "PUT ID 'a' VECTOR [1, 0] LABEL 'Eiffel Tower'; PUT ID 'b' VECTOR [0, 1] LABEL 'Louvre'";
    run_ok(folder, &["query", "DB", "-c", put]);
    two_queries(folder);
    // The second query shows two.
    std::fs::write(folder.join("labels.csv"), "id,landmarks,Usage\nq0,Eiffel Tower,Public\nq1,Orsay Louvre,Public\n")
        .unwrap();
    let eval = ["eval", "DB", "--queries", "q.fvecs", "--query-ids", "q.txt", "--truth", "labels.csv"];
    let searched = run_ok(folder, &[&eval[..], &["--k", "1", "--submission", "sub.csv", "--format", "csv"]].concat());
    let scored = run_ok(folder, &["eval", "--answers", "sub.csv", "--truth", "labels.csv", "--format", "csv"]);
    for text in [searched, scored] {
        let rows = table(&text);
        assert_eq!(rows.iter().map(|row| number(&row[1])).collect::<Vec<_>>(), vec![100.0; rows.len()], "{text}");
    }
}
