//! The origin of labels, as people and scripts see it: repeated lists, LABEL, UNLABEL, PUT, cleanings, and the undo of a change.
//!
//! It catches: a list that reverts what people or a cleaning decided, or is silent about what it leaves alone; a PUT that replaces another
//! photo or label unasked; a LABEL that does not say what it replaced, that a name is new, that a photo leaves the index; an undo of a
//! cleaning that takes what a person confirmed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use cairndb_tests::{run, run_ok};

/// Both streams of a command that succeeds.
fn said(folder: &Path, words: &[&str]) -> String {
    let output = run(folder, words);
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{words:?}: {text}");
    text
}

/// The message of a statement that is refused.
fn refused(folder: &Path, statement: &str) -> String {
    let output = run(folder, &["query", "DB", "-c", statement]);
    assert_eq!(output.status.code(), Some(1), "{statement}");
    String::from_utf8(output.stderr).unwrap()
}

fn csv(folder: &Path, statement: &str) -> Vec<String> {
    run_ok(folder, &["query", "DB", "-c", statement, "--format", "csv"]).lines().map(str::to_owned).collect()
}

/// Key and label of every train image.
fn labels(folder: &Path) -> Vec<String> {
    let mut rows = csv(folder, "SEARCH VECTOR [1, 1, 1] IN train K 100 RETURN id, label");
    rows.remove(0);
    rows.sort();
    rows
}

/// Vectors v0, v1, .. in three directions, their ids, and labels that a list gives them.
fn vectors(folder: &Path, labels: &[&str]) {
    let rows = labels.len();
    let mut npy = b"\x93NUMPY\x01\x00".to_vec();
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, 3), }}");
    let header = format!("{header:<117}\n");
    npy.extend((header.len() as u16).to_le_bytes());
    npy.extend(header.as_bytes());
    let mut ids = String::new();
    for row in 0..rows {
        let mut vector = [0.1f32, 0.1, 0.1];
        vector[row * 3 / rows] = 1.0 + row as f32 * 0.1;
        vector.iter().for_each(|value| npy.extend(value.to_le_bytes()));
        ids.push_str(&format!("v{row}\n"));
    }
    std::fs::write(folder.join("v.npy"), npy).unwrap();
    std::fs::write(folder.join("ids.txt"), ids).unwrap();
    list(folder, labels);
    run_ok(folder, &["create", "DB", "--dim", "3"]);
}

/// What the list says from now on; an empty label: the row is gone.
fn list(folder: &Path, labels: &[&str]) {
    let rows = labels.iter().enumerate().filter(|(_, label)| !label.is_empty());
    let rows: String = rows.map(|(row, label)| format!("v{row},{label}\n")).collect();
    std::fs::write(folder.join("labels.csv"), format!("id,label\n{rows}")).unwrap();
}

const INGEST: [&str; 9] = ["ingest", "DB", "v.npy", "--ids", "ids.txt", "--labels", "labels.csv", "--as", "train"];

/// It catches: UNDO LABEL promised for labels that came with other vectors, and then an older change undone in their place.
#[test]
fn an_undo_is_promised_only_for_labels_that_it_reverts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    vectors(path, &["a", "a", "b", "b", "c", "c"]);
    said(path, &INGEST);
    // The same vectors under the keys in another order: of six, the first two are exchanged. All labels are other ones.
    let bytes = std::fs::read(path.join("v.npy")).unwrap();
    let row = 4 * 3;
    let start = bytes.len() - 6 * row;
    let other =
        [&bytes[..start], &bytes[start + row..start + 2 * row], &bytes[start..start + row], &bytes[start + 2 * row..]]
            .concat();
    assert_ne!(other, bytes);
    std::fs::write(path.join("v.npy"), other).unwrap();
    list(path, &["x", "x", "y", "y", "z", "z"]);
    let changed = said(path, &INGEST);
    assert!(changed.contains("4 labels changed by the list; UNDO LABEL reverts this"), "{changed}");
    assert!(
        changed.contains("2 labels came with another photo or vector under the key; UNDO LABEL does not revert this"),
        "{changed}"
    );
    let undone = run_ok(path, &["query", "DB", "-c", "UNDO LABEL"]);
    assert!(undone.contains("4 labels were restored"), "{undone}");
    assert_eq!(labels(path), ["v0,x", "v1,x", "v2,b", "v3,b", "v4,c", "v5,c"]);
}

#[test]
fn a_list_that_is_read_again_reverts_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    vectors(path, &["a", "a", "b", "b", "c", "c"]);
    said(path, &INGEST);
    run_ok(path, &["query", "DB", "-c", "LABEL ID 'v0' AS 'right'; UNLABEL ID 'v2'"]);
    let corrected = ["v0,right", "v1,a", "v3,b", "v4,c", "v5,c"];
    assert_eq!(labels(path), corrected);
    for _ in 0..2 {
        let again = said(path, &INGEST);
        assert!(again.contains("added 0, replaced 0, unchanged 6, failed 0"), "{again}");
        assert!(again.contains("unchanged: 2 labels set by hand;") && again.contains("--labels list"), "{again}");
        assert!(again.contains("1 of these images has no label and stays an index image"), "{again}");
        assert_eq!(labels(path), corrected);
    }
    // What the list decides later is newer than what people decided.
    list(path, &["z", "a", "b", "y", "c", ""]);
    let changed = said(path, &INGEST);
    assert!(changed.contains("added 0, replaced 3, unchanged 3, failed 0"), "{changed}");
    assert!(
        changed.contains("3 labels changed by the list, 1 of them set by hand before, 1 of them removed;"),
        "{changed}"
    );
    assert!(changed.contains("unchanged: 1 label set by hand;"), "{changed}");
    assert!(changed.contains("1 train image became an index image; its label was removed"), "{changed}");
    assert_eq!(labels(path), ["v0,z", "v1,a", "v3,y", "v4,c"]);
    let again = said(path, &INGEST);
    assert!(again.contains("replaced 0, unchanged 6") && !again.contains("changed by the list"), "{again}");
    // All that the list changed is one change.
    let undone = run_ok(path, &["query", "DB", "-c", "UNDO LABEL"]);
    assert!(
        undone.starts_with("undone: the changes of a list at sequence ") && undone.contains("3 labels were restored"),
        "{undone}"
    );
    let before = ["v0,right", "v1,a", "v3,b", "v4,c", "v5,c"];
    assert_eq!(labels(path), before);
    let again = said(path, &INGEST);
    assert!(again.contains("replaced 0, unchanged 6") && again.contains("unchanged: 4 labels set by hand;"), "{again}");
    assert_eq!(labels(path), before);
    // The word of the list is asked for.
    let overruled = said(path, &[&INGEST[..], &["--labels", "list"]].concat());
    assert!(overruled.contains("4 labels changed by the list, 2 of them set by hand before"), "{overruled}");
    assert_eq!(labels(path), ["v0,z", "v1,a", "v2,b", "v3,y", "v4,c"]);
    // A list without any label is a mistake rather than a change.
    std::fs::write(path.join("labels.csv"), "id,label\n").unwrap();
    let empty = run(path, &INGEST);
    assert_eq!(empty.status.code(), Some(1));
    assert_eq!(labels(path).len(), 5);
}

#[test]
fn a_list_leaves_alone_what_a_cleaning_did() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    // v4 shows what v5, v6, v7 show.
    let wrong = ["a", "a", "a", "a", "a", "b", "b", "b", "c", "c", "c", "c"];
    vectors(path, &wrong);
    said(path, &INGEST);
    let before = labels(path);
    run_ok(path, &["query", "DB", "-c", "CLEAN RULE suspects top=1 RELABEL"]);
    let after = labels(path);
    assert!(before.contains(&"v4,a".to_owned()) && after.contains(&"v4,b".to_owned()), "{after:?}");
    let again = said(path, &INGEST);
    assert!(again.contains("unchanged 12") && again.contains("unchanged: 1 label set by a cleaning;"), "{again}");
    assert_eq!(labels(path), after);
    // Reading the list is no change of the image: the undo gives back what it took.
    let undone = run_ok(path, &["query", "DB", "-c", "UNDO CLEAN"]);
    assert_eq!(undone, "cleaning 1 was undone: 1 label was restored\n");
    assert_eq!(labels(path), before);
    let again = said(path, &INGEST);
    assert!(again.contains("unchanged 12") && !again.contains("unchanged: "), "{again}");
}

#[test]
fn put_asks_before_it_replaces_another_photo_or_label() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run_ok(path, &["create", "DB", "--dim", "3"]);
    let ok = |statement: &str| run_ok(path, &["query", "DB", "-c", statement]);
    ok("PUT ID 'a' VECTOR [1, 0, 0] LABEL 'tower'");
    // The same again, whatever its length.
    ok("PUT ID 'a' VECTOR [2, 0, 0] LABEL 'tower'");
    for (statement, what) in [
        ("PUT ID 'a' VECTOR [0, 1, 0] LABEL 'tower'", "'a' already has another image, labelled 'tower'"),
        ("PUT ID 'a' VECTOR [0, 1, 0] AS index", "'a' already has another image, labelled 'tower'"),
        ("PUT ID 'a' VECTOR [1, 0, 0]", "'a' has the label 'tower', but the PUT gives none"),
        ("PUT ID 'a' VECTOR [1, 0, 0] LABEL 'dome'", "'a' has the label 'tower', but the PUT gives 'dome'"),
    ] {
        let error = refused(path, statement);
        assert!(error.contains(what) && error.contains("OVERWRITE"), "{statement}: {error}");
    }
    assert_eq!(labels(path), ["a,tower"]);
    ok("PUT ID 'b' VECTOR [1, 0, 0]; PUT ID 'b' VECTOR [1, 0, 0] LABEL 'dome'");
    ok("PUT ID 'a' VECTOR [0, 1, 0] LABEL 'dome' OVERWRITE");
    assert_eq!(labels(path), ["a,dome", "b,dome"]);
    ok("PUT ID 'a' VECTOR [0, 1, 0] OVERWRITE");
    assert_eq!(labels(path), ["b,dome"]);
}

/// It catches: the vector that a list brought taken for another photo when it is typed again, and its origin forgotten.
#[test]
fn the_vector_of_a_list_typed_again_is_the_same_image() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    vectors(path, &["a", "a", "b", "b"]);
    said(path, &INGEST);
    run_ok(path, &["query", "DB", "-c", "PUT ID 'v0' VECTOR [1, 0.1, 0.1] LABEL 'a'"]);
    let other_label = refused(path, "PUT ID 'v0' VECTOR [1, 0.1, 0.1] LABEL 'b'");
    assert!(other_label.contains("has the label 'a', but the PUT gives 'b'"), "{other_label}");
    assert!(refused(path, "PUT ID 'v0' VECTOR [0, 0, 1] LABEL 'a'").contains("already has another photo"));
    // It is still the list's.
    let again = said(path, &INGEST);
    assert!(again.contains("unchanged 4"), "{again}");
}

#[test]
fn statements_say_what_becomes_of_a_label() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run_ok(path, &["create", "DB", "--dim", "3"]);
    let ok = |statement: &str| run_ok(path, &["query", "DB", "-c", statement]);
    assert!(ok("PUT ID 'a' VECTOR [1, 0, 0] LABEL 'Louvre'").contains("'Louvre' is a new label\n"));
    ok("PUT ID 'b' VECTOR [0, 1, 0]");
    let text = ok("LABEL ID 'b' AS 'Louvr'");
    assert!(text.contains("'b' left the index: it is a train image with the label 'Louvr' now\n"), "{text}");
    assert!(text.contains("'Louvr' is a new label; the most similar one is 'Louvre'\n"), "{text}");
    let text = ok("LABEL ID 'b' AS 'Louvre'");
    assert!(
        text.contains("the label of 'b' changed from 'Louvr' to 'Louvre'\n") && !text.contains("new label"),
        "{text}"
    );
    assert!(ok("LABEL ID 'b' AS 'Louvre'").contains("'b' already had the label 'Louvre'"));
    assert!(ok("UNLABEL ID 'b'").contains("the label 'Louvre' of 'b' was removed: it is an index image now\n"));
    let columns = "sequence,images_changed,predictions_changed,deferred,id,split_before,split,label_before,label,new_label,nearest_label";
    assert_eq!(csv(path, "LABEL ID 'b' AS 'Louvrr'"), [columns, "7,1,0,no,b,index,train,,Louvrr,yes,Louvre"]);
    // An index image it was not before: the vote of 'a' is its first.
    assert_eq!(csv(path, "UNLABEL ID 'b'"), [columns, "8,1,1,no,b,train,index,Louvrr,,no,"]);
    let json = run_ok(path, &["query", "DB", "-c", "LABEL ID 'b' AS 'x'", "--format", "jsonl"]);
    assert!(json.contains("\"label_before\":null") && json.contains("\"new_label\":\"yes\""), "{json}");
}

#[test]
fn the_last_change_of_labels_is_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run_ok(path, &["create", "DB", "--dim", "3"]);
    let ok = |statement: &str| run_ok(path, &["query", "DB", "-c", statement]);
    ok("PUT ID 'a' VECTOR [1, 0, 0] LABEL 'x'; PUT ID 'b' VECTOR [0, 1, 0]; PUT ID 'c' VECTOR [0, 0, 1] LABEL 'z'");
    assert!(refused(path, "UNDO LABEL").contains("there is no change of labels"));
    ok("LABEL ID 'a' AS 'y'; LABEL ID 'b' AS 'y'; UNLABEL ID 'c'");
    assert!(ok("UNDO LABEL").ends_with("; 'c' has the label 'z' again\n"));
    assert!(ok("UNDO LABEL").ends_with("; 'b' has no label again, and is an index image\n"));
    // What was said since stays, even the same label.
    ok("LABEL ID 'a' AS 'y'");
    let undone = ok("UNDO LABEL");
    assert!(undone.ends_with("; no label was restored; 1 image was changed since and is left unchanged\n"), "{undone}");
    assert_eq!(labels(path), ["a,y", "c,z"]);
    ok("PUT ID 'a' VECTOR [1, 0, 0] LABEL 'w' OVERWRITE");
    ok("UNDO LABEL");
    assert_eq!(labels(path), ["a,y", "c,z"]);
    // A label of one photo says nothing of another one.
    ok("PUT ID 'a' VECTOR [1, 1, 0] LABEL 'w' OVERWRITE");
    assert!(refused(path, "UNDO LABEL").contains("there is no change of labels"));
    let read_only = run(path, &["query", "DB", "--read-only", "-c", "UNDO LABEL"]);
    assert_eq!(read_only.status.code(), Some(1));
}

#[test]
fn an_undo_of_a_cleaning_leaves_alone_what_a_person_confirmed() {
    for (action, confirm) in [
        ("RELABEL", "LABEL ID 't0' AS 'tower'"),
        ("RELABEL", "PUT ID 't0' VECTOR [1, 0, 0] LABEL 'tower'"),
        ("UNLABEL", "UNLABEL ID 't0'"),
        ("UNLABEL", "PUT ID 't0' VECTOR [1, 0, 0]"),
        ("KEEP VOTERS", "LABEL ID 't0' AS 'dome'"),
        ("KEEP VOTERS", "PUT ID 't0' VECTOR [1, 0, 0] LABEL 'dome'"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        run_ok(path, &["create", "DB", "--dim", "3"]);
        let mut text = String::new();
        for (name, first, second) in [("t", 1.0, 0.0), ("d", 0.0, 1.0)] {
            for n in 0..6 {
                let label = if name == "d" || n == 0 { "dome" } else { "tower" };
                let z = 0.02 * f64::from(n);
                text.push_str(&format!("PUT ID '{name}{n}' VECTOR [{first}, {second}, {z}] LABEL '{label}';\n"));
            }
        }
        std::fs::write(path.join("put.sql"), text).unwrap();
        run_ok(path, &["query", "DB", "-f", "put.sql"]);
        run_ok(path, &["query", "DB", "-c", &format!("CLEAN RULE suspects top=1 {action}")]);
        let cleaned = labels(path);
        assert_eq!(cleaned.contains(&"t0,dome".to_owned()), action == "KEEP VOTERS", "{action}");
        run_ok(path, &["query", "DB", "-c", confirm]);
        assert_eq!(labels(path), cleaned, "{action}, {confirm}");
        assert!(csv(path, "SHOW CLEAN 1")[1].ends_with(",changed since"), "{action}, {confirm}");
        let undone = run_ok(path, &["query", "DB", "-c", "UNDO CLEAN"]);
        assert!(undone.contains("1 image was changed since and is left unchanged"), "{action}, {confirm}: {undone}");
        assert_eq!(labels(path), cleaned, "{action}, {confirm}");
    }
}

/// Pictures that differ.
fn photo(folder: &Path, name: &str, shade: u8) {
    let picture = image::RgbImage::from_fn(96, 96, |x, y| {
        image::Rgb([(x * 2) as u8, shade, ((x / 8 + y / 8) * u32::from(shade)) as u8])
    });
    picture.save(folder.join(name)).unwrap();
}

#[test]
fn lists_of_photos_take_and_leave_labels_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run_ok(path, &["create", "DB", "--model", "lite0-gem"]);
    for (name, shade) in [("1.png", 20), ("2.png", 90), ("3.png", 160), ("other.png", 230)] {
        photo(path, name, shade);
    }
    let list = |a: &str, b: &str, c: &str| {
        std::fs::write(path.join("list.csv"), format!("id,path,label\na,1.png,{a}\nb,2.png,{b}\nc,3.png,{c}\n"))
            .unwrap();
    };
    list("x", "y", "z");
    let ingest = || said(path, &["ingest", "DB", "list.csv", "--as", "train"]);
    let shown = || {
        let mut rows = csv(path, "SEARCH '1.png' IN all K 9 RETURN id, label");
        rows.remove(0);
        rows.sort();
        rows
    };
    ingest();
    run_ok(path, &["query", "DB", "-c", "LABEL ID 'a' AS 'right'; UNLABEL ID 'b'"]);
    // Another photo put under a key stays as well: the list names the file that it named before.
    assert!(refused(path, "PUT ID 'c' 'other.png' LABEL 'z'").contains("3.png, labelled 'z'"));
    run_ok(path, &["query", "DB", "-c", "PUT ID 'c' '3.png' LABEL 'z'; PUT ID 'c' 'other.png' LABEL 'w' OVERWRITE"]);
    let corrected = ["a,right", "b,", "c,w"];
    assert_eq!(shown(), corrected);
    let again = ingest();
    assert!(again.contains("added 0, replaced 0, unchanged 3, failed 0"), "{again}");
    assert!(
        again.contains("unchanged: 3 labels set by hand;") && again.contains("unchanged: 1 photo put by hand;"),
        "{again}"
    );
    assert_eq!(shown(), corrected);
    // A label that the list gives no more.
    list("x", "y", "");
    let emptied = ingest();
    assert!(
        emptied.contains("1 label changed by the list, 1 of them set by hand before, 1 of them removed;"),
        "{emptied}"
    );
    assert_eq!(shown(), ["a,right", "b,", "c,"]);
    list("x", "new", "");
    assert!(ingest().contains("1 label changed by the list, 1 of them set by hand before;"));
    assert_eq!(shown(), ["a,right", "b,new", "c,"]);
    // What is not there needs a label, and a list without any label is refused.
    std::fs::write(path.join("list.csv"), "id,path,label\na,1.png,x\nd,2.png,\n").unwrap();
    assert_eq!(run(path, &["ingest", "DB", "list.csv", "--as", "train"]).status.code(), Some(1));
    list("", "", "");
    assert_eq!(run(path, &["ingest", "DB", "list.csv", "--as", "train"]).status.code(), Some(1));
    // What is deleted comes back.
    run_ok(path, &["query", "DB", "-c", "DELETE ID 'a'"]);
    list("x", "new", "");
    assert!(ingest().contains("added 1"));
    assert_eq!(shown(), ["a,x", "b,new", "c,"]);
}
