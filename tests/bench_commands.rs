//! `cairn bench losses` and `cairn bench cleaning` on a part of the landmarks: every figure that needs no training equals that of
//! `cairn eval` and the list of true labels.
//!
//! It catches: a row of another train set than its name says, a rule that is measured on another list than it found, a missing
//! loss, a bench that changes the database, two columns of one name, known answers or labels of other images that count as zero.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{HashMap, HashSet};
use std::path::Path;

use cairndb_tests::{few_landmarks, lines, run, run_ok, shared};

/// Rows of a table in CSV, split, without its header.
fn rows(table: &str) -> Vec<Vec<String>> {
    table.lines().skip(1).map(|row| row.split(',').map(str::to_owned).collect()).collect()
}

/// Queries and answers among the index photos of the folder's list.
fn questions(folder: &Path) {
    let landmarks = shared("photos/landmarks").unwrap();
    let index = lines(&folder.join("index.csv"));
    let index: HashSet<&str> = index.iter().map(|row| row.split(',').next().unwrap()).collect();
    let (mut solution, mut asked) = ("id,images,Usage\n".to_owned(), HashSet::new());
    for row in lines(&landmarks.join("solution.csv")).iter().skip(1).step_by(2) {
        let [id, images, usage] = row.split(',').collect::<Vec<_>>()[..] else { panic!("{row}") };
        let there: Vec<&str> = images.split(' ').filter(|image| index.contains(image)).collect();
        if !there.is_empty() {
            solution.push_str(&format!("{id},{},{usage}\n", there.join(" ")));
            asked.insert(id.to_owned());
        }
    }
    let mut queries = "id,path\n".to_owned();
    for row in lines(&landmarks.join("query.csv")).iter().skip(1) {
        let (id, path) = row.split_once(',').unwrap();
        if asked.contains(id) {
            queries.push_str(&format!("{id},{}/{path}\n", landmarks.display()));
        }
    }
    std::fs::write(folder.join("solution.csv"), solution).unwrap();
    std::fs::write(folder.join("query.csv"), queries).unwrap();
}

/// kNN and sort + insert as `cairn eval` prints them, with two digits.
fn evaluated(folder: &Path) -> [String; 2] {
    let words = ["eval", "DB", "--queries", "query.csv", "--truth", "solution.csv", "--format", "csv"];
    let table = rows(&run_ok(folder, &words));
    [0, 2].map(|row| format!("{:.2}", table[row][1].parse::<f64>().unwrap()))
}

/// What CLEAN would find, by the words behind it.
fn found(folder: &Path, words: &str) -> Vec<Vec<String>> {
    rows(&run_ok(folder, &["query", "DB", "-c", &format!("CLEAN {words} DRY RUN"), "--format", "csv"]))
}

/// Programs need different names for a table's columns.
fn columns_differ(table: &str) {
    let header: Vec<&str> = table.lines().next().unwrap().split(',').collect();
    assert_eq!(header.iter().collect::<HashSet<_>>().len(), header.len(), "{header:?}");
}

/// What a bench says of a list that is not this database's, before it trains.
fn refused(folder: &Path, words: &[&str]) -> String {
    let output = run(folder, words);
    assert!(!output.status.success() && output.stdout.is_empty(), "{words:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn benches_print_what_is_measured_otherwise_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let Some(()) = few_landmarks(path, "DB") else { return };
    questions(path);
    let truth = shared("photos/landmarks/truth.csv").unwrap();
    let as_it_is = evaluated(path);
    let shared_words = ["--queries", "query.csv", "--truth", "solution.csv", "--format", "csv", "--seeds", "2"];

    let words = [&["bench", "cleaning", "DB", "--labels", truth.to_str().unwrap()][..], &shared_words].concat();
    let printed = run_ok(path, &words);
    columns_differ(&printed);
    let (sets, rules) = printed.split_once("wrong labels,").expect("two tables");
    let sets = rows(sets);
    let untrained: HashMap<&str, [&str; 2]> = sets
        .iter()
        .filter(|row| row[1] == "none")
        .map(|row| (row[0].as_str(), [row[3].as_str(), row[6].as_str()]))
        .collect();
    let names: Vec<&str> = sets.iter().filter(|row| row[1] == "lda").map(|row| row[0].as_str()).collect();
    assert_eq!((names.len(), untrained.len()), (5, 5), "{printed}");
    assert!(names.iter().all(|name| untrained.contains_key(name)), "{printed}");
    assert_eq!(untrained["as it is"], as_it_is.each_ref().map(String::as_str));
    assert_eq!(untrained["the same while dropped images vote"], untrained["as it is"], "nothing is learnt");
    for row in sets.iter().filter(|row| row[1] == "lda") {
        let figures: Vec<f64> = row[3..].iter().map(|figure| figure.parse().unwrap()).collect();
        assert!(
            row[2] == "2" && figures.chunks(3).all(|of| of[1] <= of[0] && of[0] <= of[2] && of[2] < 100.0),
            "{row:?}"
        );
    }

    // What the rules find, against the list of true labels.
    let truth: HashMap<String, String> = rows(&std::fs::read_to_string(&truth).unwrap())
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    let given: HashMap<String, String> = rows(&std::fs::read_to_string(path.join("train.csv")).unwrap())
        .into_iter()
        .map(|row| (row[0].clone(), row[2].clone()))
        .collect();
    let wrong: Vec<&String> = given.keys().filter(|key| truth[*key] != given[*key]).collect();
    assert!(wrong.len() > 3, "{wrong:?}");
    let rules = rows(rules);
    for (row, found) in rules.iter().zip([found(path, ""), found(path, "RULE suspects")]) {
        let ids: HashSet<&str> = found.iter().map(|row| row[2].as_str()).collect();
        let hits = wrong.iter().filter(|key| ids.contains(key.as_str())).count() as f64;
        let wanted = [
            ids.len().to_string(),
            format!("{:.3}", hits / ids.len().max(1) as f64),
            format!("{:.3}", hits / wrong.len() as f64),
        ];
        assert_eq!(row[1..4], wanted, "{row:?}, found {found:?}");
    }
    assert!(rules[1][4].parse::<f64>().unwrap() > 0.5 && rules[2][4].parse::<f64>().unwrap() > 0.0, "{rules:?}");

    std::fs::write(path.join("others.csv"), "id,images,Usage\nnobody,nothing,Public\n").unwrap();
    std::fs::write(path.join("labels.csv"), "id,label\nnobody,dome\n").unwrap();
    let words = ["bench", "losses", "DB", "--queries", "query.csv", "--truth", "others.csv"];
    assert!(refused(path, &words).contains("has none of the queries"));
    let words = [&["bench", "cleaning", "DB", "--labels", "labels.csv"][..], &shared_words].concat();
    assert!(refused(path, &words).contains("has none of the train images"));
    std::fs::write(path.join("labels.csv"), "id,label\nnobody,\n").unwrap();
    assert!(refused(path, &words).contains("line 2: id 'nobody': the label is empty"));

    let losses = run_ok(path, &[&["bench", "losses", "DB", "--epochs", "2"][..], &shared_words].concat());
    columns_differ(&losses);
    let losses = rows(&losses);
    let names: Vec<&str> = losses.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(names[0], "none: as published");
    for loss in ["lda", "arcface", "cosface", "adacos", "softmax", "triplet", "ap"] {
        assert_eq!(names.iter().filter(|name| **name == loss).count(), 1, "{loss} in {names:?}");
    }
    assert_eq!([&losses[0][3], &losses[0][5]], [&as_it_is[0], &as_it_is[1]]);
    assert!(losses.iter().all(|row| row[3].parse::<f64>().unwrap() > 5.0), "{losses:?}");

    // Nothing was changed; with the true labels the database is worth what the bench said.
    assert_eq!(evaluated(path), as_it_is);
    for (key, label) in wrong.iter().map(|key| (key, &truth[*key])) {
        run_ok(path, &["query", "DB", "-c", &format!("LABEL ID '{key}' AS '{label}'")]);
    }
    assert_eq!(untrained["with the true labels"], evaluated(path).each_ref().map(String::as_str));
}
