//! Queries of files and their known answers: a query that cannot run does not stop the others, and useless known answers are
//! refused instead of measured as zero.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use cairndb_tests::{outcome, run_ok, write_npy};

/// Index images a and b, and a train image t; queries q0 to q3, of which the second is zero and the third no number.
fn database(folder: &Path) {
    run_ok(folder, &["create", "DB", "--dim", "2"]);
    let put = "PUT ID 'a' VECTOR [1, 0]; PUT ID 'b' VECTOR [0, 1]; PUT ID 't' VECTOR [1, 1] LABEL 'x'";
    run_ok(folder, &["query", "DB", "-c", put]);
    write_npy(folder, "q.npy", &[[1.0, 0.1], [0.0, 0.0], [f32::NAN, 1.0], [0.1, 1.0]]);
    write_npy(folder, "bad.npy", &[[0.0, 0.0], [f32::INFINITY, 1.0]]);
    std::fs::write(folder.join("q.txt"), "q0\nq1\nq2\nq3\n").unwrap();
    std::fs::write(folder.join("truth.csv"), "id,images\nq0,a\nq1,a\nq3,b\n").unwrap();
}

/// It catches: one query that cannot be asked and ends all, a number that moves because one before it is left out, an exit code that
/// says nothing.
#[test]
fn one_bad_query_keeps_none_of_the_others_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    database(path);
    let search = "SEARCH QUERIES 'q.npy' LIMIT 1 RETURN query, id";
    let (rows, said, code) = outcome(path, &["query", "DB", "-c", search, "-c", "SHOW LABELS", "--format", "csv"]);
    assert_eq!(rows, "query,id\n0,a\n3,b\nlabel,train_images\nx,1\n");
    assert_eq!(code, Some(5), "{said}");
    for line in ["2 of 4 queries could not run", "query 1: row 1 is zero", "query 2: row 2 holds NaN"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    // A script goes on behind it, and a report holds the others.
    std::fs::write(path.join("s.sql"), format!("{search}; SEARCH QUERIES 'q.npy' INTO 'r.html'; SHOW LABELS;"))
        .unwrap();
    let (rows, said, code) = outcome(path, &["query", "DB", "-f", "s.sql", "--format", "csv"]);
    assert!(code == Some(5) && rows.ends_with("x,1\n") && path.join("r.html").is_file(), "{rows}{said}");
    let eval = ["eval", "DB", "--queries", "q.npy", "--query-ids", "q.txt", "--truth", "truth.csv", "--format", "csv"];
    let (rows, said, code) = outcome(path, &eval);
    assert!(rows.contains("\nkNN,66.6") && rows.contains(",3\n"), "the two that could be asked are right: {rows}");
    assert!(code == Some(5) && said.contains("q1: row 1 is zero") && said.contains("q2: row 2"), "{said}");
    // Where none can be asked, the statement fails.
    for words in [
        ["query", "DB", "-c", "SEARCH QUERIES 'bad.npy'", "--format", "csv", "--read-only"].to_vec(),
        ["eval", "DB", "--queries", "bad.npy", "--truth", "truth.csv"].to_vec(),
    ] {
        let (_, said, code) = outcome(path, &words);
        assert!(code == Some(1) && said.contains("none of its") && said.contains("row 0 is zero"), "{said}");
    }
}

/// It catches: a photo that cannot be read and ends a list of queries.
#[test]
fn one_bad_query_photo_is_named_and_the_others_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run_ok(path, &["create", "DB", "--model", "lite0-gem"]);
    for (name, shade) in [("a", 30), ("b", 200)] {
        let picture = image::RgbImage::from_fn(64, 48, |x, y| image::Rgb([(x * 4) as u8, shade, (y * x) as u8]));
        picture.save(path.join(format!("{name}.png"))).unwrap();
    }
    std::fs::write(path.join("text.jpg"), "no photo").unwrap();
    std::fs::write(path.join("index.csv"), "id,path\na,a.png\nb,b.png\n").unwrap();
    run_ok(path, &["ingest", "DB", "index.csv", "--as", "index"]);
    std::fs::write(path.join("q.csv"), "id,path\nq0,a.png\nq1,text.jpg\nq2,gone.png\nq3,b.png\n").unwrap();
    let search = "SEARCH QUERIES 'q.csv' LIMIT 1 RETURN query, id";
    let (rows, said, code) = outcome(path, &["query", "DB", "-c", search, "--format", "csv"]);
    assert_eq!(rows, "query,id\n0,a\n3,b\n");
    assert!(code == Some(5) && said.contains("q1: ") && said.contains("q2: "), "{said}");
    std::fs::write(path.join("truth.csv"), "id,images\nq0,a\nq3,b\n").unwrap();
    let (rows, said, code) =
        outcome(path, &["eval", "DB", "--queries", "q.csv", "--truth", "truth.csv", "--format", "csv"]);
    assert!(code == Some(5) && rows.contains("\nkNN,100.00,") && said.contains("2 of 4 queries"), "{rows}{said}");
}

/// It catches: answers that can be found nowhere measured as 0, a truth without a query measured as zeros.
#[test]
fn answers_that_can_say_nothing_are_refused_with_both_spellings() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    database(path);
    write_npy(path, "q.npy", &[[1.0, 0.1], [0.1, 1.0]]);
    std::fs::write(path.join("q.txt"), "q0\nq1\n").unwrap();
    let eval = |truth: &str| {
        std::fs::write(path.join("truth.csv"), truth).unwrap();
        outcome(path, &["eval", "DB", "--queries", "q.npy", "--query-ids", "q.txt", "--truth", "truth.csv"])
    };
    for (truth, what) in [
        ("id,images\nq0,a.jpg b.jpg\nq1,b.jpg\n", "it has 'a.jpg', the database has 'a'"),
        ("id,images\nq0,photos/B.JPG\n", "it has 'photos/B.JPG', the database has 'b'"),
        ("id,images\nq0,nothing\n", "it has 'nothing', the database has 'a'"),
        ("id,images\nq0,t\n", "'t' is a train image"),
        ("id,images\nq0,\nq1, \n", "no answer to any of the queries"),
        ("id,images\nelse,a\n", "has none of the queries"),
        ("id,images\n", "names no query"),
        ("id,images,Usage\nq0,a,Ignored\n", "1 are marked Ignored"),
    ] {
        let (rows, said, code) = eval(truth);
        assert!(code == Some(1) && said.contains(what) && rows.is_empty(), "{truth}: {rows}{said}");
    }
    let (rows, said, code) = eval("id,images\nq0,a a.jpg\nq1,b\n");
    assert!(code == Some(0) && !rows.is_empty(), "{said}");
    assert!(said.contains("1 of the 3 images") && said.contains("it has 'a.jpg'"), "{said}");
    // The answers of a statement are measured by what it searches.
    let query = |statement: &str| outcome(path, &["query", "DB", "--truth", "truth.csv", "-c", statement]);
    std::fs::write(path.join("truth.csv"), "id,images\na,t\n").unwrap();
    let (_, said, code) = query("SEARCH ID 'a' IN train");
    assert_eq!(code, Some(0), "{said}");
    let (_, said, code) = query("SEARCH ID 'a'");
    assert!(code == Some(1) && said.contains("'t' is a train image"), "{said}");
    let (_, said, code) = query("SEARCH ID 'b'");
    assert!(code == Some(1) && said.contains("none of the queries that ran"), "{said}");
}
