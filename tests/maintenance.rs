//! The maintenance statements and commands on bare vectors, as people and scripts see them: their output, their files and their
//! exit codes.
//!
//! It catches: a cleaning that a script cannot read, a dry run that writes, an incomplete undo, a report that overwrites a file
//! of another kind or is refused only after the work.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use cairndb_tests::{run, run_ok, tree};

/// Two labels of six images each; image t0 carries the label of the others.
fn database(folder: &Path) {
    run_ok(folder, &["create", "DB", "--dim", "3"]);
    let mut text = String::new();
    for (name, first, second) in [("t", 1.0, 0.0), ("d", 0.0, 1.0)] {
        for n in 0..6 {
            let label = if name == "d" || n == 0 { "dome" } else { "tower" };
            let (x, y, z) = (first, second, 0.02 * f64::from(n));
            text.push_str(&format!("PUT ID '{name}{n}' VECTOR [{x}, {y}, {z}] LABEL '{label}';\n"));
        }
    }
    std::fs::write(folder.join("put.sql"), text).unwrap();
    run_ok(folder, &["query", "DB", "-f", "put.sql"]);
}

fn csv(folder: &Path, statement: &str) -> Vec<String> {
    run_ok(folder, &["query", "DB", "-c", statement, "--format", "csv"]).lines().map(str::to_owned).collect()
}

#[test]
fn a_wrong_label_is_shown_corrected_and_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    database(path);
    let labels = || csv(path, "SHOW LABELS");
    assert_eq!(labels(), ["label,train_images", "dome,7", "tower,5"]);

    let suspects = csv(path, "SHOW SUSPECTS LIMIT 1");
    assert!(suspects[0].starts_with("clean,rank,id,label,proposed,evidence,"), "{suspects:?}");
    assert!(suspects[1].starts_with(",1,t0,dome,tower,0."), "{suspects:?}");
    let people = run_ok(path, &["query", "DB", "-c", "SHOW SUSPECTS LIMIT 1"]);
    assert!(people.contains("1 suspect found\nnothing was changed") && people.contains("tower"), "{people}");
    assert_eq!(csv(path, "SHOW CLEANS").len(), 1, "looking is no cleaning");

    let clean = ["maintain", "clean", "DB", "--rule", "suspects", "--top", "1", "--relabel"];
    let before = tree(&path.join("DB"));
    let dry = run_ok(path, &[&clean[..], &["--dry-run", "--into", "page.html"]].concat());
    assert_eq!(tree(&path.join("DB")), before, "a dry run writes nothing");
    assert!(dry.contains("nothing was changed") && !dry.contains("t0"), "the rows are on the page: {dry}");
    let page = std::fs::read_to_string(path.join("page.html")).unwrap();
    assert!(page.contains("Suspects: 1") && page.contains("<s>dome</s>"));
    let done = run_ok(path, &clean);
    assert!(done.contains("cleaning 1 ") && done.contains("UNDO CLEAN"), "{done}");
    assert_eq!(labels(), ["label,train_images", "dome,6", "tower,6"]);
    let cleans = csv(path, "SHOW CLEANS");
    assert_eq!(cleans[0], "clean,sequence,what,images,state");
    assert!(cleans[1].ends_with("RULE suspects top=1 RELABEL,1,done"), "{cleans:?}");

    let undone = run_ok(path, &["maintain", "undo-clean", "DB"]);
    assert_eq!(undone, "cleaning 1 was undone: 1 label was restored\n");
    assert_eq!(labels(), ["label,train_images", "dome,7", "tower,5"]);
    assert!(csv(path, "SHOW CLEANS")[1].ends_with(",undone"));
    let models = csv(path, "SHOW MODELS");
    assert!(models[0] == "model,name,fingerprint,dimension,state" && models[1].ends_with(",3,active"), "{models:?}");
}

#[test]
fn what_cannot_be_done_is_said_with_the_exit_code_of_its_kind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    database(path);
    std::fs::write(path.join("photo.html"), "not a report").unwrap();
    for (words, code, text) in [
        (&["clean", "DB", "--rule", "suspects", "--into", "photo.html"][..], 1, "is not an earlier output of cairn"),
        (&["clean", "DB", "--rule", "suspects", "--into", "page.txt"], 1, "report.html"),
        (&["clean", "DB", "--rule", "suspects", "--into", "reports/page.html"], 1, "the folder reports does not exist"),
        (&["clean", "DB"], 1, "bare vectors without photos"),
        (&["clean", "DB", "--rule", "suspects", "--evidence", "7"], 2, "evidence"),
        (&["clean", "DB", "--rule", "suspects", "--relabel", "--keep-voters"], 2, "--keep-voters"),
        (&["undo-clean", "DB"], 1, "SHOW CLEANS"),
        (&["train", "DB", "--loss", "softmax", "--margin", "0.3"], 2, "takes no margin"),
        (&["clean", "nowhere"], 1, "nowhere"),
    ] {
        let output = run(path, &[&["maintain"], words].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {error}");
        assert!(error.contains(text), "{words:?}: {error}");
    }
    assert_eq!(csv(path, "SHOW CLEANS").len(), 1, "a report that is refused is refused before the work");
    let help = run_ok(path, &["maintain", "train", "--help"]);
    assert!(help.contains("256 for lda") && help.contains("arcface"), "{help}");
}

#[test]
fn marks_are_shown_are_not_put_twice_and_go_one_by_one_or_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    database(path);
    let clean = || run_ok(path, &["maintain", "clean", "DB", "--rule", "suspects"]);
    assert!(clean().contains("1 train image is marked and still votes"), "only strong evidence is acted on");
    let again = clean();
    assert!(
        again.contains("1 of them already has a mark\nnothing was changed: the cleaning found nothing new"),
        "{again}"
    );
    assert_eq!(csv(path, "SHOW CLEANS").len(), 2);
    assert_eq!(csv(path, "SHOW MARKED"), ["id,label,clean", "t0,dome,1"]);
    let suspects = csv(path, "SHOW SUSPECTS LIMIT 1");
    let cells = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
    let column = cells(&suspects[0]).iter().position(|name| name == "marked").unwrap();
    assert_eq!(cells(&suspects[1])[column], "1", "the mark is in its column");
    csv(path, "LABEL ID 't0' AS 'dome'");
    assert_eq!(csv(path, "SHOW MARKED"), ["id,label,clean"]);
    assert!(clean().contains("cleaning 2 "), "what people say of an image does not bind the rule");
    let undone = run_ok(path, &["maintain", "undo-clean", "DB"]);
    assert_eq!(undone, "cleaning 2 was undone: 1 mark was removed\n");
    for words in [&["TRAIN"][..], &["CLEAN RULE suspects"]] {
        let output = run(path, &[&["query", "DB", "--read-only", "-c"], words].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && error.contains("reading only"), "{words:?}: {error}");
    }
}
